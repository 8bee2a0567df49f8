//! Which true error rates, and how many users of each, explain what all users saw: a mixture of binomials without an assumed
//! shape (Kiefer and Wolfowitz, Annals of Mathematical Statistics 27, 1956).
//!
//! Many mixtures are as likely as the likeliest one, as far as the data can tell, and their tails differ. Of them this one is
//! taken: a mixture of one or two rates if there is such a one, else the smoothest, else the one with the fewest rates. So
//! users who are all alike have no tail that chance alone made, and users who all differ are not forced into a few classes.

use super::evidence::{Column, Evidence, RATES, grid};
use std::collections::BTreeSet;
use std::rc::Rc;

/// A rate and its share of the users.
pub(super) type Shares = Vec<(f64, f64)>;

/// So much log-likelihood of all users together may be given up for a simpler mixture, and for a smoother one.
const SIMPLER_NATS: f64 = 2.0;
const SMOOTHER_NATS: f64 = 5.0;
/// The likeliest mixture is found up to so much of it.
const SETTLED_NATS: f64 = 0.5;
/// A mixture of so few rates is taken before a smooth one, and one of more than so many never.
const FEW: usize = 2;
const CLASSES_MAX: usize = 4;
/// The likeliest mixture is searched from every so-manieth rate, for so many rounds, each with so many exchanges.
const FIRST_EVERY: usize = 8;
const ROUNDS_MAX: usize = 60;
const EXCHANGES: usize = 2;
/// What two merged rates explain is found again in so many rounds.
const MERGED_ROUNDS: usize = 5;
/// A smooth mixture is looked for in so many rounds.
const SMOOTH_ROUNDS_MAX: usize = 120;
/// No density is 0, or its logarithm would be no number.
const DENSITY_MIN: f64 = 1e-300;
/// Evidence that is less likely than this at a rate, beside its best one, is not explained by it.
const EXPLAINED_MIN: f64 = 1e-50;

/// The mixture of the rates behind the evidence.
pub(super) fn fit(evidence: &Evidence) -> Shares {
    let rates = grid();
    let columns: Vec<Rc<Column>> = rates.iter().map(|rate| Rc::new(evidence.column(*rate))).collect();
    let likeliest = Mixture::likeliest(evidence, &rates, &columns);
    let top = evidence.log_likelihood(&likeliest.density);
    let simple = likeliest.simplest(top - SIMPLER_NATS / evidence.users);
    if simple.parts.len() <= FEW {
        return simple.shares();
    }
    let (weights, is_as_likely) = smooth(evidence, &columns, top - SMOOTHER_NATS / evidence.users);
    if is_as_likely || simple.parts.len() > CLASSES_MAX {
        return rates.into_iter().zip(weights).collect();
    }
    simple.shares()
}

/// The weights of all rates after so many rounds of expectation and maximisation from equal ones that the mixture is as likely
/// as is asked; `false`: it is not. Stopped early, they are smooth (Laird, JASA 73, 1978).
fn smooth(evidence: &Evidence, columns: &[Rc<Column>], least: f64) -> ([f64; RATES], bool) {
    let mut weights = [1.0 / RATES as f64; RATES];
    let mut density = vec![0.0; evidence.len()];
    for _ in 0..SMOOTH_ROUNDS_MAX {
        density.fill(0.0);
        for (weight, column) in weights.iter().zip(columns) {
            density.iter_mut().zip(column.iter()).for_each(|(to, likelihood)| *to += weight * likelihood);
        }
        density.iter_mut().for_each(|density| *density = density.max(DENSITY_MIN));
        if evidence.log_likelihood(&density) >= least {
            return (weights, true);
        }
        let pull = evidence.pull(&density);
        weights.iter_mut().zip(columns).for_each(|(weight, column)| *weight *= dot(&pull, column));
    }
    (weights, false)
}

/// One rate of a mixture.
#[derive(Clone)]
struct Part {
    rate: f64,
    weight: f64,
    /// Shared, because mixtures that are tried out differ in few of their parts.
    column: Rc<Column>,
}

/// A mixture of few rates, ascending.
#[derive(Clone)]
struct Mixture<'a> {
    evidence: &'a Evidence,
    parts: Vec<Part>,
    /// How likely each piece of evidence is.
    density: Vec<f64>,
}

impl<'a> Mixture<'a> {
    fn of(evidence: &'a Evidence, parts: Vec<Part>) -> Mixture<'a> {
        let mut mixture = Mixture { evidence, parts, density: Vec::new() };
        mixture.weigh_up();
        mixture
    }

    /// The likeliest mixture over the grid. Rates come in where the likelihood rises most; then neighbours exchange weight
    /// (Yu, "D-optimal designs via a cocktail algorithm", Statistics and Computing 21, 2011), which takes a few rounds where
    /// expectation and maximisation alone takes ten thousands.
    fn likeliest(evidence: &'a Evidence, rates: &[f64], columns: &[Rc<Column>]) -> Mixture<'a> {
        let part = |at: usize, weight: f64| Part { rate: rates[at], weight, column: Rc::clone(&columns[at]) };
        let first = first_rates(columns, evidence.len());
        let parts = first.iter().map(|at| part(*at, 1.0 / first.len() as f64)).collect();
        let mut mixture = Mixture::of(evidence, parts);
        let settled = 1.0 + SETTLED_NATS / evidence.users;
        for _ in 0..ROUNDS_MAX {
            let pull = evidence.pull(&mixture.density);
            let rises: Vec<f64> = columns.iter().map(|column| dot(&pull, column)).collect();
            if rises.iter().all(|rise| *rise <= settled) {
                break;
            }
            for at in (0..rates.len()).filter(|at| rises[*at] > settled && is_peak(&rises, *at)) {
                let place = mixture.parts.partition_point(|part| part.rate < rates[at]);
                if mixture.parts.get(place).is_none_or(|next| next.rate > rates[at]) {
                    mixture.parts.insert(place, part(at, 0.0));
                }
            }
            (0..EXCHANGES).for_each(|_| mixture.exchange_all());
            mixture.improve();
        }
        mixture
    }

    /// Merges neighbours for as long as the mixture stays as likely as is asked.
    fn simplest(mut self, least: f64) -> Mixture<'a> {
        while let Some(mut merged) = self.merged() {
            for _ in 0..MERGED_ROUNDS {
                merged.exchange_all();
                merged.improve();
            }
            if self.evidence.log_likelihood(&merged.density) < least {
                break;
            }
            self = merged;
        }
        self
    }

    /// The mixture with the two neighbours in one that lose the least by it; `None`: there is one part left.
    fn merged(&self) -> Option<Mixture<'a>> {
        // On this scale the same distance is as well told apart everywhere.
        let place = |part: &Part| libm::asin(libm::sqrt(part.rate));
        let loss = |(a, b): (&Part, &Part)| {
            let apart = place(b) - place(a);
            a.weight * b.weight / (a.weight + b.weight) * apart * apart
        };
        let pairs = self.parts.iter().zip(self.parts.iter().skip(1));
        let at = pairs.map(loss).enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).map(|(at, _)| at)?;
        let mut parts = self.parts.clone();
        let other = parts.remove(at + 1);
        let one = parts.get_mut(at)?;
        let weight = one.weight + other.weight;
        one.rate = (one.weight * one.rate + other.weight * other.rate) / weight;
        one.weight = weight;
        one.column = Rc::new(self.evidence.column(one.rate));
        Some(Mixture::of(self.evidence, parts))
    }

    fn exchange_all(&mut self) {
        for at in 1..self.parts.len() {
            self.exchange(at - 1);
        }
        self.parts.retain(|part| part.weight > 0.0);
    }

    /// Moves weight between a part and the next one: a step of Newton's method towards the most likely exchange.
    fn exchange(&mut self, at: usize) {
        let (before, after) = self.parts.split_at_mut(at + 1);
        let (Some(one), Some(next)) = (before.last_mut(), after.first_mut()) else { return };
        let (mut slope, mut bend) = (0.0, 0.0);
        let columns = || one.column.iter().zip(next.column.iter());
        for ((share, density), (a, b)) in self.evidence.shares.iter().zip(&self.density).zip(columns()) {
            let gain = (b - a) / density;
            slope += share * gain;
            bend += share * gain * gain;
        }
        if bend <= 0.0 {
            return;
        }
        let moved = (slope / bend).min(one.weight).max(-next.weight);
        for (density, (a, b)) in self.density.iter_mut().zip(columns()) {
            *density = (*density + moved * (b - a)).max(DENSITY_MIN);
        }
        one.weight -= moved;
        next.weight += moved;
    }

    /// One round of expectation and maximisation.
    fn improve(&mut self) {
        let pull = self.evidence.pull(&self.density);
        let weights: Vec<f64> = self.parts.iter().map(|part| part.weight * dot(&pull, &part.column)).collect();
        let all: f64 = weights.iter().sum();
        // None of the rates explains anything: there is nothing to choose by.
        if !(all > 0.0 && all.is_finite()) {
            return;
        }
        self.parts.iter_mut().zip(weights).for_each(|(part, weight)| part.weight = weight / all);
        self.parts.retain(|part| part.weight > 0.0);
        self.weigh_up();
    }

    fn weigh_up(&mut self) {
        self.density = vec![0.0; self.evidence.len()];
        for part in &self.parts {
            self.density
                .iter_mut()
                .zip(part.column.iter())
                .for_each(|(to, likelihood)| *to += part.weight * likelihood);
        }
        self.density.iter_mut().for_each(|density| *density = density.max(DENSITY_MIN));
    }

    fn shares(&self) -> Shares {
        self.parts.iter().map(|part| (part.rate, part.weight)).collect()
    }
}

/// Every so-manieth rate, and the likeliest rate of evidence that none of these explains: what somebody saw in ten thousand
/// events is impossible a few rates further on, and from nothing no likelihood rises.
fn first_rates(columns: &[Rc<Column>], evidence: usize) -> Vec<usize> {
    let mut first: BTreeSet<usize> = (0..columns.len()).step_by(FIRST_EVERY).collect();
    for piece in 0..evidence {
        if first.iter().all(|at| columns[*at][piece] < EXPLAINED_MIN) {
            first.extend((0..columns.len()).max_by(|a, b| columns[*a][piece].total_cmp(&columns[*b][piece])));
        }
    }
    first.into_iter().collect()
}

/// Whether no neighbour is higher.
fn is_peak(heights: &[f64], at: usize) -> bool {
    let is_below = |neighbour: Option<usize>| neighbour.and_then(|n| heights.get(n)).is_none_or(|h| *h <= heights[at]);
    is_below(at.checked_sub(1)) && is_below(Some(at + 1))
}

/// The sum of products, in four parts that do not wait for one another.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut parts = [0.0; 4];
    let (a_fours, b_fours) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = a_fours.remainder().iter().zip(b_fours.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_fours.zip(b_fours) {
        for lane in 0..4 {
            parts[lane] += a[lane] * b[lane];
        }
    }
    (parts[0] + parts[1]) + (parts[2] + parts[3]) + rest
}
