//! The figures of the worst 1 % of the users freed from small-sample noise, beside the raw ones and a beta-binomial fit:
//! how far each is from the truth, over distributions of the users' true error rates and of their numbers of events.

use crate::dice::Dice;
use statrs::distribution::{Beta, ContinuousCDF};
use statrs::function::beta::ln_beta;
use std::collections::BTreeMap;
use tailburn::model::ratio::Ratio;
use tailburn::model::time::HOUR_MS;
use tailburn::operator::distribution::{DistributionBuilder, Limits, UserSums};

const WORST: f64 = 0.01;
/// As `run` has it: the raw figures are of users with enough events.
const LIMITS: Limits = Limits { min_events: 5, objective: Ratio { num: 99, den: 100 } };

type Draw = fn(&mut Dice) -> f64;

/// True error rates.
const TRUTHS: [(&str, Draw); 10] = [
    ("all 0.1 %", |_| 0.001),
    ("all 3.3 %", |_| 0.033),
    ("all 10 %", |_| 0.1),
    ("0.1 %, and 0.5 % of users 50 %", |dice| if dice.unit() < 0.005 { 0.5 } else { 0.001 }),
    ("0.1 %, and 2 % of users 50 %", |dice| if dice.unit() < 0.02 { 0.5 } else { 0.001 }),
    ("0.03 %, and 3 % of users 20 %", |dice| if dice.unit() < 0.03 { 0.2 } else { 0.0003 }),
    ("0.2 %, and 1.5 % of users 100 %", |dice| if dice.unit() < 0.015 { 1.0 } else { 0.002 }),
    ("1 %, and 2 % of users 10 %", |dice| if dice.unit() < 0.02 { 0.1 } else { 0.01 }),
    ("lognormal around 0.2 %", |dice| (0.002 * libm::exp(1.2 * dice.normal())).min(1.0)),
    ("beta(0.5, 50)", |dice| dice.beta(0.5, 50.0)),
];

/// Numbers of events of a user.
const EVENTS: [(&str, Draw); 3] = [
    ("2 to 41", |dice| libm::floor(2.0 + 40.0 * dice.unit() * dice.unit())),
    ("median 2, 1 % over 46", |dice| libm::ceil(2.0 * libm::exp(1.35 * dice.normal())).max(1.0)),
    ("20 to 200", |dice| libm::floor(20.0 + 180.0 * dice.unit())),
];

/// The SLI that the worst 1 % are below, and the mean error rate of these.
#[derive(Clone, Copy)]
struct Worst {
    sli: f64,
    error_mean: f64,
}

/// The truth, the raw figures, the estimate, the beta-binomial fit, and a mixture fitted by 150 rounds of EM.
fn one(draw: Draw, events_of: Draw, users: u64, seed: u64) -> [Worst; 5] {
    let mut dice = Dice(seed);
    let (mut builder, mut rates) = (DistributionBuilder::default(), Vec::new());
    let mut seen: BTreeMap<(u64, u64), f64> = BTreeMap::new();
    for _ in 0..users {
        let (rate, events) = (draw(&mut dice), events_of(&mut dice) as u64);
        let bad_events = (0..events).filter(|_| dice.unit() < rate).count() as u64;
        let micros = |events: u64| u128::from(events) * 1_000_000;
        let sums = UserSums { events, bad_events, good: micros(events - bad_events), bad: micros(bad_events) };
        builder.add(&sums, bad_events, &LIMITS, || ("t", "u"));
        *seen.entry((events, bad_events)).or_default() += 1.0;
        rates.push(rate);
    }
    rates.sort_by(|a: &f64, b| b.total_cmp(a));
    let count = users as usize / 100;
    let truth =
        Worst { sli: 1.0 - rates[count], error_mean: rates.iter().take(count).sum::<f64>() / count.max(1) as f64 };
    let figures = builder.finish().figures(HOUR_MS, 0, &LIMITS);
    let figure = |sli: Option<f64>, mean: Option<f64>| Worst {
        sli: sli.unwrap_or(f64::NAN),
        error_mean: mean.unwrap_or(f64::NAN),
    };
    let raw = figure(figures.sli_worst_1pct, figures.worst_1pct_error_mean);
    let estimate = figure(figures.sli_worst_1pct_estimate, figures.worst_1pct_error_mean_estimate);
    [truth, raw, estimate, beta_binomial(&seen), mixture_by_em(&seen)]
}

/// The likeliest beta distribution of rates: by coordinates, over the logarithms of its mean and of its precision.
fn beta_binomial(seen: &BTreeMap<(u64, u64), f64>) -> Worst {
    let log_likelihood = |mean: f64, precision: f64| -> f64 {
        let (a, b) = (mean * precision, (1.0 - mean) * precision);
        let of =
            |((n, x), users): (&(u64, u64), &f64)| users * (ln_beta(*x as f64 + a, (n - x) as f64 + b) - ln_beta(a, b));
        seen.iter().map(of).sum()
    };
    let of = |at: [f64; 2]| {
        let mean = libm::exp(at[0]).min(0.999);
        log_likelihood(mean, libm::exp(at[1]))
    };
    let (events, bad) =
        seen.iter().fold((0.0, 0.0), |(n, x), ((of_n, of_x), u)| (n + *of_n as f64 * u, x + *of_x as f64 * u));
    let mut at = [libm::log((bad / events).max(1e-7)), libm::log(10.0)];
    let (mut best, mut step) = (of(at), 2.0);
    while step > 0.005 {
        let tries = [[step, 0.0], [-step, 0.0], [0.0, step], [0.0, -step]];
        let next = tries.map(|[mean, precision]| [at[0] + mean, (at[1] + precision).clamp(-3.0, 14.0)]);
        match next.into_iter().map(|at| (of(at), at)).max_by(|a, b| a.0.total_cmp(&b.0)) {
            Some((likelihood, to)) if likelihood > best => (best, at) = (likelihood, to),
            _ => step /= 2.0,
        }
    }
    let (mean, precision) = (libm::exp(at[0]).min(0.999), libm::exp(at[1]));
    let rates = Beta::new(mean * precision, (1.0 - mean) * precision).expect("both are positive");
    let from = 1.0 - WORST;
    let tail = (0..200).map(|i| rates.inverse_cdf(from + WORST * (f64::from(i) + 0.5) / 200.0)).sum::<f64>() / 200.0;
    Worst { sli: 1.0 - rates.inverse_cdf(from), error_mean: tail }
}

/// Sixty fixed rates, log-spaced, and their weights after 150 rounds of expectation and maximisation from equal ones.
fn mixture_by_em(seen: &BTreeMap<(u64, u64), f64>) -> Worst {
    const RATES: usize = 60;
    let rate = |k: usize| libm::exp(libm::log(1e-5) * (1.0 - k as f64 / (RATES - 1) as f64)).min(1.0);
    let rates: [f64; RATES] = std::array::from_fn(rate);
    let logs = rates.map(|rate| (libm::log(rate), libm::log1p(-rate.min(1.0 - 1e-12))));
    let likelihoods = |(n, x): &(u64, u64)| {
        let all = logs.map(|(bad, good)| *x as f64 * bad + (n - x) as f64 * good);
        let best = all.into_iter().fold(f64::NEG_INFINITY, f64::max);
        all.map(|log| libm::exp(log - best))
    };
    let total: f64 = seen.values().sum();
    let shares: Vec<([f64; RATES], f64)> =
        seen.iter().map(|(pair, users)| (likelihoods(pair), users / total)).collect();
    let mut weights = [1.0 / RATES as f64; RATES];
    for _ in 0..150 {
        let mut factors = [0.0; RATES];
        for (likelihood, share) in &shares {
            let sum: f64 = weights.iter().zip(likelihood).map(|(weight, l)| weight * l).sum();
            factors.iter_mut().zip(likelihood).for_each(|(to, l)| *to += share / sum.max(1e-300) * l);
        }
        weights.iter_mut().zip(factors).for_each(|(weight, factor)| *weight *= factor);
    }
    let (mut left, mut errors, mut at) = (WORST, 0.0, 0.0);
    for (rate, weight) in rates.iter().zip(weights).rev().filter(|(_, weight)| *weight > 0.0) {
        let taken = weight.min(left);
        (errors, left, at) = (errors + taken * rate, left - taken, *rate);
        if left <= 0.0 {
            break;
        }
    }
    Worst { sli: 1.0 - at, error_mean: errors / WORST }
}

pub fn worst(seeds: u64, users: u64) {
    println!(
        "The worst 1 % of {users} users: root mean square error over {seeds} seeds, of the SLI | of the mean error rate"
    );
    println!(
        "{:<36}{:<24}{:>16}{:>18}{:>18}{:>18}{:>18}  goal",
        "true error rates", "events of a user", "truth", "raw", "estimate", "beta-binomial", "EM, 150 rounds"
    );
    let mut squares = Vec::new();
    for (name, draw) in TRUTHS {
        for (events_name, events_of) in EVENTS {
            let runs: Vec<[Worst; 5]> = (0..seeds).map(|seed| one(draw, events_of, users, 40 + seed)).collect();
            let mean = |of: &dyn Fn(&[Worst; 5]) -> f64| runs.iter().map(of).sum::<f64>() / runs.len() as f64;
            let square = |at: usize| {
                let sli = mean(&|run| (run[at].sli - run[0].sli) * (run[at].sli - run[0].sli));
                let errors =
                    mean(&|run| (run[at].error_mean - run[0].error_mean) * (run[at].error_mean - run[0].error_mean));
                [sli, errors]
            };
            let words = |at: usize| square(at).map(|s| format!("{:.4}", libm::sqrt(s))).join(" | ");
            let truth = format!("{:.3} | {:.3}", mean(&|run| run[0].sli), mean(&|run| run[0].error_mean));
            println!(
                "{name:<36}{events_name:<24}{truth:>16}{:>18}{:>18}{:>18}{:>18}  estimate <= .01",
                words(1),
                words(2),
                words(3),
                words(4)
            );
            squares.push([square(1), square(2), square(3), square(4)]);
        }
    }
    let all = |at: usize| {
        let of = |part: usize| {
            libm::sqrt(squares.iter().map(|squares| squares[at][part]).sum::<f64>() / squares.len() as f64)
        };
        format!("{:.4} | {:.4}", of(0), of(1))
    };
    println!("{:<76}{:>18}{:>18}{:>18}{:>18}  estimate <= .01", "all of them", all(0), all(1), all(2), all(3));
}
