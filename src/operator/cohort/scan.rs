//! Finds the combinations of at most three attribute values in which bad events are over-represented, beside what their own
//! history lets expect: a Poisson scan with deflation.
//!
//! Each round takes the combination that explains the bad events best among those that pass every filter, prefers the
//! shortest description that explains as much, and takes its leaves out. So a cause is named once, and not again under
//! every correlated attribute.

mod cells;
pub mod history;

use super::poisson::{Count, log_likelihood_ratio, p_value, risk_ratio, stratified_ratio};
use super::risk::{Risk, adjust};
use super::{
    EXCESS_LEFT_MIN, EXCESS_SHARE_MIN, EXCHANGES_MAX, P_ADJUSTED_MAX, RISK_RATIO_LOW_MIN, USERS_WITH_BAD_MIN,
    is_unaffected, margin_of, usual,
};
use crate::operator::event_leaf::Whose;
use cells::Cells;

/// The least number of bad events of a combination.
const BAD_MIN: f64 = 5.0;
/// The least risk ratio with the strongest other attribute held fixed.
const STRATIFIED_MIN: f64 = 1.5;
/// The most combinations that are named.
const CAUSES_MAX: usize = 10;

/// The events of everybody who shares a set of attribute values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Leaf<'a> {
    /// In any order; of a repeated name the last value counts.
    pub attributes: Vec<(&'a str, &'a str)>,
    pub bad: f64,
    /// Bad events that its own history lets expect. Only proportions between leaves count, unless the history is short.
    pub expected: f64,
}

/// A combination that passed every filter.
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    /// Ascending by name.
    pub attributes: Vec<(String, String)>,
    pub bad: f64,
    /// Of its bad events, the ones that would be there without the cause.
    pub expected: f64,
    /// Its share of all bad events beyond the expected ones.
    pub excess_share: f64,
    /// Compared with leaves of no cause named before.
    pub risk: Risk,
    pub log_likelihood_ratio: f64,
    pub p_adjusted: f64,
}

/// What a scan found, and how widely it looked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scanned {
    /// Best first.
    pub causes: Vec<Cause>,
    /// Combinations that occur.
    pub combinations: usize,
    /// Attributes that were not looked at: they have one value, or so many that they identify rather than group.
    pub left_out: Vec<String>,
}

/// Tells of some leaves whose their bad events are.
pub type AskWhose<'a> = dyn Fn(&[usize]) -> Whose + 'a;

/// Looks for causes among the leaves, best first. `history_times`: how many times as many events as now the expectations
/// are from, because what is counted in a short time is uncertain itself; infinite if they are certain. `whose` says of some
/// leaves who had their bad events, where that is known: then a cause is one of several users.
pub fn scan(leaves: &[Leaf<'_>], history_times: f64, whose: Option<&AskWhose<'_>>) -> Scanned {
    let (cells, left_out) = Cells::of(leaves);
    let mut search = Search { whose, ..Search::new(leaves, cells, history_times) };
    let mut causes = Vec::new();
    while causes.len() < CAUSES_MAX && search.excess_left > EXCESS_LEFT_MIN * search.excess {
        let Some(best) = search.best() else { break };
        causes.push(search.cause(&best));
        search.take_out(&best);
    }
    Scanned { causes, combinations: search.cells.len(), left_out }
}

/// A combination in one round.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    cell: usize,
    count: Count,
    /// How much more events scatter than independent ones; at least 1.
    spread: f64,
    /// Of the counts, divided by the spread.
    log_ratio: f64,
    p: f64,
    risk: Risk,
}

struct Search<'a> {
    whose: Option<&'a AskWhose<'a>>,
    cells: Cells,
    /// Nothing for leaves that are explained already.
    counts: Vec<Count>,
    all: Count,
    /// Bad events per expected one where nothing is wrong.
    usual: f64,
    excess: f64,
    excess_left: f64,
    history_times: f64,
}

impl<'a> Search<'a> {
    fn new(leaves: &[Leaf<'_>], mut cells: Cells, history_times: f64) -> Search<'a> {
        let valid = |x: f64| if x.is_finite() { x.max(0.0) } else { 0.0 };
        let count = |leaf: &Leaf<'_>| Count { bad: valid(leaf.bad), expected: valid(leaf.expected) };
        let counts: Vec<Count> = leaves.iter().map(count).collect();
        counts.iter().enumerate().for_each(|(leaf, count)| cells.add(leaf, *count));
        let all = sum(&counts);
        let usual = usual(counts.iter().map(|count| (count.expected, count.ratio())), (all.expected, all.ratio()));
        let excess = all.bad - usual * all.expected;
        Search { whose: None, cells, counts, all, usual, excess, excess_left: excess, history_times }
    }

    /// The cause of this round.
    fn best(&self) -> Option<Candidate> {
        let passing = self.passing();
        // Of equals the first wins: the shortest, then the first by name.
        let likeliest = passing.iter().reduce(|a, b| if b.log_ratio > a.log_ratio { b } else { a })?;
        let mut best = *likeliest;
        for _ in 0..EXCHANGES_MAX {
            match self.better_described(&best, &passing) {
                Some(next) => best = next,
                None => break,
            }
        }
        Some(best)
    }

    /// Of one round, the combinations that pass every filter, in the order of the cells.
    fn passing(&self) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> = (0..self.cells.len()).filter_map(|cell| self.candidate(cell)).collect();
        candidates.sort_unstable_by(|a, b| a.p.total_cmp(&b.p).then(a.cell.cmp(&b.cell)));
        let mut adjusted: Vec<f64> = candidates.iter().map(|c| c.p).collect();
        // The other combinations were looked at, too: they count as tests with p = 1.
        adjust(&mut adjusted, self.cells.len());
        candidates.iter_mut().zip(adjusted).for_each(|(c, p)| c.p = p);
        candidates.retain(|c| c.p <= P_ADJUSTED_MAX);
        candidates.sort_unstable_by_key(|c| c.cell);
        // This one reads all leaves, so it comes last.
        candidates.retain(|c| self.holds_in_strata(c) && self.is_of_many(c));
        candidates
    }

    /// A combination with enough bad events, enough of the excess, and a clearly higher ratio than the rest.
    fn candidate(&self, cell: usize) -> Option<Candidate> {
        let count = self.cells.count(cell);
        if count.bad < BAD_MIN || self.excess_of(count) < EXCESS_SHARE_MIN * self.excess {
            return None;
        }
        let outside = self.all.without(count);
        if count.bad * outside.expected < RISK_RATIO_LOW_MIN * outside.bad * count.expected {
            return None;
        }
        // Asked before the scatter, which reads all leaves.
        let uncertain = self.uncertainty(count, outside);
        risk_ratio(count, outside, libm::sqrt(uncertain)).filter(|risk| risk.low >= RISK_RATIO_LOW_MIN)?;
        let spread = self.scatter(cell, outside);
        let width = libm::sqrt(spread * uncertain);
        let risk = risk_ratio(count, outside, width).filter(|risk| risk.low >= RISK_RATIO_LOW_MIN)?;
        let log_ratio = log_likelihood_ratio(count, self.all) / spread;
        let beside_history = self.beside_history(count, outside) / spread;
        let p = match () {
            () if beside_history < log_ratio => libm::erfc(libm::sqrt(beside_history)),
            () if spread > 1.0 => libm::erfc(libm::sqrt(log_ratio)),
            () => p_value(count, self.all, log_ratio),
        };
        Some(Candidate { cell, count, spread, log_ratio, p, risk })
    }

    /// By how much a history that is short itself adds to the variance of a risk ratio's logarithm; 1: by nothing.
    fn uncertainty(&self, inside: Count, outside: Count) -> f64 {
        let counted = |count: Count| 1.0 / count.bad.max(0.5);
        let expected = |count: Count| 1.0 / (self.history_times * count.expected + 0.5);
        1.0 + (expected(inside) + expected(outside)) / (counted(inside) + counted(outside))
    }

    /// The likelihood ratio of a combination's bad events now and in its own short history, each beside its share of the time:
    /// what is expected of it was counted itself.
    fn beside_history(&self, inside: Count, outside: Count) -> f64 {
        if !self.history_times.is_finite() {
            return f64::INFINITY;
        }
        // Half an event, because outside may have none.
        let usual = (outside.bad + 0.5) / outside.expected;
        let then = self.history_times * inside.expected;
        let both = Count { bad: inside.bad + then, expected: usual + self.history_times };
        log_likelihood_ratio(Count { bad: inside.bad, expected: usual }, both)
    }

    fn excess_of(&self, count: Count) -> f64 {
        count.bad - self.usual * count.expected
    }

    /// How much more the leaves outside a combination differ from one rate than independent events would: the mean square of
    /// what is off beside what is expected; at least 1. Events in clusters (retries, one busy client) make it larger.
    fn scatter(&self, cell: usize, outside: Count) -> f64 {
        let ratio = outside.ratio();
        let off = |count: &Count| (count.bad - ratio * count.expected) * (count.bad - ratio * count.expected);
        let squares: f64 = self.cells.outside(cell).map(|leaf| off(&self.counts[leaf])).sum();
        if outside.bad > 0.0 { (squares / outside.bad).max(1.0) } else { 1.0 }
    }

    /// Whether the combination stands out within the values of the attribute that explains most besides it (Simpson's
    /// paradox: it may only have more of a bad value of another attribute).
    fn holds_in_strata(&self, candidate: &Candidate) -> bool {
        let Some(attribute) = self.strongest_other(candidate) else { return true };
        let strata = self.cells.strata(candidate.cell, attribute, &self.counts);
        stratified_ratio(&strata).is_none_or(|ratio| ratio >= STRATIFIED_MIN)
    }

    /// Events of one user are correlated, so their number overstates the evidence: a cause has enough users with bad events,
    /// and holds without the one who has the most of them.
    fn is_of_many(&self, candidate: &Candidate) -> bool {
        let Some(whose) = self.whose else { return true };
        // Those of causes named before count for nobody any more.
        let mut left = self.cells.leaves(candidate.cell);
        left.retain(|leaf| self.counts[*leaf].bad > 0.0);
        let Whose { users, nameless } = whose(&left);
        let largest = users.most().max(u64::from(nameless > 0)) as f64;
        let rest = candidate.count.without(Count { bad: largest, expected: 0.0 });
        let all = self.all.without(Count { bad: largest, expected: 0.0 });
        let width = libm::sqrt(candidate.spread * self.uncertainty(rest, all.without(rest)));
        users.known().len() as u64 + nameless >= USERS_WITH_BAD_MIN
            && log_likelihood_ratio(rest, all) / candidate.spread > margin_of(self.cells.len())
            && risk_ratio(rest, all.without(rest), width).is_some_and(|risk| risk.low >= RISK_RATIO_LOW_MIN)
    }

    /// The attribute outside the combination with the value that explains most.
    fn strongest_other(&self, candidate: &Candidate) -> Option<usize> {
        let pairs = self.cells.pairs(candidate.cell);
        let singles = self.cells.singles().filter(|(_, attribute)| pairs.iter().all(|(name, _)| name != attribute));
        let ranked =
            singles.map(|(cell, attribute)| (log_likelihood_ratio(self.cells.count(cell), self.all), attribute));
        let (log_ratio, attribute) = ranked.reduce(|a, b| if b.0 > a.0 { b } else { a })?;
        (log_ratio > 0.0).then_some(attribute)
    }

    /// A shorter description that explains as much, or a longer one whose parent also covers leaves that are not affected.
    fn better_described(&self, best: &Candidate, passing: &[Candidate]) -> Option<Candidate> {
        let likelier = |a: Candidate, b: Candidate| if b.log_ratio > a.log_ratio { b } else { a };
        let parents = passing.iter().filter(|p| self.cells.is_child(best.cell, p.cell) && !self.adds_to(best, p));
        parents.copied().reduce(likelier).or_else(|| {
            let children = passing.iter().filter(|c| self.cells.is_child(c.cell, best.cell) && self.replaces(c, best));
            children.copied().reduce(likelier)
        })
    }

    /// Whether a child explains clearly more than its parent: more than the best of all children would by chance.
    fn adds_to(&self, child: &Candidate, parent: &Candidate) -> bool {
        let descriptions = self.cells.descriptions(parent.cell, child.cell);
        let added = log_likelihood_ratio(child.count, parent.count) / child.spread;
        added > margin_of(descriptions)
    }

    /// A child replaces its parent if it explains it, and the rest of the parent is not affected.
    fn replaces(&self, child: &Candidate, parent: &Candidate) -> bool {
        let rest = parent.count.without(child.count);
        self.adds_to(child, parent) && is_unaffected(risk_ratio(rest, self.all.without(parent.count), 1.0))
    }

    fn cause(&self, best: &Candidate) -> Cause {
        Cause {
            attributes: self.cells.named(best.cell),
            bad: best.count.bad,
            expected: self.usual * best.count.expected,
            excess_share: if self.excess > 0.0 { self.excess_of(best.count) / self.excess } else { 0.0 },
            risk: best.risk,
            log_likelihood_ratio: best.log_ratio,
            p_adjusted: best.p,
        }
    }

    fn take_out(&mut self, cause: &Candidate) {
        self.excess_left -= self.excess_of(cause.count);
        for leaf in self.cells.leaves(cause.cell) {
            self.cells.take_out(leaf, self.counts[leaf]);
            self.counts[leaf] = Count::default();
        }
        self.all = sum(&self.counts);
    }
}

fn sum(counts: &[Count]) -> Count {
    counts.iter().fold(Count::default(), |mut sum, count| {
        sum.add(*count);
        sum
    })
}

#[cfg(test)]
mod tests;
