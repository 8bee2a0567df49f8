//! Finds attribute values that badly served users have in common: scans combinations of up to three, with deflation.
//!
//! Each round takes the combination that explains the outliers best (by likelihood, among those that pass every
//! filter), prefers the shortest description that explains as much, and removes its users. So a cohort is reported
//! once, and not again under every correlated attribute. A cohort describes who is affected, not why.

pub mod causes;
pub mod lattice;
pub mod poisson;
pub mod risk;
pub mod scan;

use super::partial::{Leaf, SampleUser, keep_worst};
use lattice::{Combination, Lattice};
use risk::{Risk, Tally, adjust, log_likelihood_ratio, p_value, risk_ratio};
use serde::{Deserialize, Serialize};

/// The least number of users below the objective in a cohort.
const USERS_BELOW_MIN: u64 = 5;
/// The least number of users with a bad event in a cohort by events.
const USERS_WITH_BAD_MIN: u64 = 3;
/// The least lower 95 % bound of its risk ratio.
const RISK_RATIO_LOW_MIN: f64 = 2.0;
/// Its least share of the excess.
const EXCESS_SHARE_MIN: f64 = 0.05;
/// The search ends when the excess left is below this.
const EXCESS_LEFT_MIN: f64 = 0.02;
/// The false-discovery rate of a step. A key has 1,440 steps a day, so it is far below the usual 0.05.
const P_ADJUSTED_MAX: f64 = 1e-3;
/// Likelihood that a longer description must add, beyond what the number of candidates gives by chance.
const CHILD_MARGIN: f64 = 3.0;
/// A remainder with a lower risk ratio is not affected.
const REMAINDER_RISK_RATIO: f64 = 1.5;
/// Users who only send more requests, but do not fail more often, are not a cohort: its events must be bad this much
/// more often.
const EVENT_RISK_RATIO_MIN: f64 = 1.5;
/// How often a description is exchanged for a better one.
const EXCHANGES_MAX: usize = 6;
/// The most cohorts of a search.
const COHORTS_MAX: usize = 5;

/// The unit that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// Bad events among the events of all users; a user with a bad one is in the tail.
    Events,
    /// Users below the objective among the users with enough events.
    Users,
}

impl Kind {
    /// The least number of users in the tail.
    const fn users_min(self) -> u64 {
        match self {
            Kind::Events => USERS_WITH_BAD_MIN,
            Kind::Users => USERS_BELOW_MIN,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Events => "events",
            Kind::Users => "users",
        }
    }
}

/// A cohort that passed every filter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Ascending by attribute.
    pub attributes: Attributes,
    /// From 1: the round that found it; of an open cohort its place by the budget it burnt.
    pub rank: u64,
    pub users_in_tail: u64,
    pub users: u64,
    pub tail_total: u64,
    pub users_total: u64,
    /// Compared with users in no higher-ranked cohort.
    pub risk: Risk,
    pub p_adjusted: f64,
    pub bad: u128,
    pub bad_total: u128,
    pub sample: Vec<SampleUser>,
    /// By events: those that it covers, and the bad ones among them, unweighted; 0 where it is by users.
    #[serde(default)]
    pub events: u64,
    #[serde(default)]
    pub bad_events: u64,
}

/// A combination in one round.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    combination: usize,
    tally: Tally,
    log_ratio: f64,
    p: f64,
    risk: Risk,
}

/// The attributes of a cohort, ascending by name.
pub type Attributes = Vec<(String, String)>;

/// Finds the cohorts of one population, best first. `known` are already open: of two nearly equal descriptions it keeps
/// the known one.
pub fn search(leaves: &[Leaf], kind: Kind, known: &[&Attributes]) -> Vec<Found> {
    if leaves.iter().map(|l| l.users_below).sum::<u64>() < kind.users_min() {
        return Vec::new();
    }
    let lattice = Lattice::of(leaves, kind.users_min());
    let mut scan = Scan::new(leaves, kind, &lattice, known);
    let mut found = Vec::new();
    while found.len() < COHORTS_MAX && scan.excess_left > EXCESS_LEFT_MIN * scan.excess {
        let Some(best) = scan.best() else { break };
        found.push(scan.tell(&best, found.len() as u64 + 1));
        scan.take_out(&best);
    }
    found
}

/// Whether an open cohort is why another one stands out: without its users the other one would not.
pub fn explains(leaves: &[Leaf], kind: Kind, open: &Attributes, other: &Attributes) -> bool {
    let tally = |leaf: &Leaf| match kind {
        Kind::Users => Tally { units: leaf.users as f64, outliers: leaf.users_below as f64 },
        Kind::Events => Tally { units: leaf.events as f64, outliers: leaf.bad_events as f64 },
    };
    let (mut rest, mut outside, mut users) = (Tally::default(), Tally::default(), 0);
    for leaf in leaves.iter().filter(|leaf| !covers(open, leaf.tuple.pairs())) {
        if covers(other, leaf.tuple.pairs()) {
            rest.add(tally(leaf));
            users += leaf.users_below;
        } else {
            outside.add(tally(leaf));
        }
    }
    users < kind.users_min() || is_unaffected(risk_ratio(rest, outside, 1.0))
}

/// Whether these attributes have all of a cohort.
fn covers<'a>(cohort: &Attributes, pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> bool {
    cohort.iter().all(|(name, value)| pairs.clone().any(|(n, v)| n == name && v == value))
}

/// Whether a search may find something among users of whom so many are below the objective, and so many had a bad event.
pub const fn may_find(users_below: u64, users_with_bad: u64) -> bool {
    users_below >= Kind::Users.users_min() || users_with_bad >= Kind::Events.users_min()
}

/// The leaves of a kind, added up over several cubes, ascending by tuple; none if too few users are in the tail to find
/// something.
pub fn leaves_of<'a>(kind: Kind, cubes: impl Iterator<Item = &'a Leaf>) -> Vec<Leaf> {
    let mut leaves: Vec<&Leaf> = cubes.collect();
    let in_tail = |leaf: &&Leaf| match kind {
        Kind::Users => leaf.users_below,
        Kind::Events => leaf.every.users_with_bad,
    };
    if leaves.iter().map(in_tail).sum::<u64>() < kind.users_min() {
        return Vec::new();
    }
    // A cube ascends by tuple. The sort is stable: it finds the cubes as runs, and merges them.
    leaves.sort_by(|a, b| a.tuple.cmp(&b.tuple));
    let own = |leaf: &Leaf| match kind {
        Kind::Users => leaf.clone(),
        Kind::Events => leaf.of_every(),
    };
    let merged = leaves.chunk_by(|a, b| a.tuple == b.tuple).map(|same| {
        let mut sum = own(same[0]);
        same[1..].iter().for_each(|leaf| sum.add(&own(leaf)));
        sum
    });
    merged.collect()
}

struct Scan<'a> {
    leaves: &'a [Leaf],
    kind: Kind,
    lattice: &'a Lattice,
    known: &'a [&'a Attributes],
    /// Zero for leaves that are already explained.
    tallies: Vec<Tally>,
    below: Vec<u64>,
    events: Vec<Tally>,
    all: Tally,
    all_events: Tally,
    usual_rate: f64,
    excess: f64,
    excess_left: f64,
}

impl<'a> Scan<'a> {
    fn new(leaves: &'a [Leaf], kind: Kind, lattice: &'a Lattice, known: &'a [&'a Attributes]) -> Scan<'a> {
        let of_users = |l: &Leaf| Tally { units: l.users as f64, outliers: l.users_below as f64 };
        let of_events = |l: &Leaf| Tally { units: l.events as f64, outliers: l.bad_events as f64 };
        let events: Vec<Tally> = leaves.iter().map(of_events).collect();
        let tallies = match kind {
            Kind::Users => leaves.iter().map(of_users).collect(),
            Kind::Events => events.clone(),
        };
        let (all, all_events) = (sum(tallies.iter()), sum(events.iter()));
        let usual_rate = usual_rate(&tallies, all);
        let excess = all.outliers - usual_rate * all.units;
        let below = leaves.iter().map(|leaf| leaf.users_below).collect();
        let excess_left = excess;
        Scan { leaves, kind, lattice, known, tallies, below, events, all, all_events, usual_rate, excess, excess_left }
    }

    /// The cohort of this round.
    fn best(&self) -> Option<Candidate> {
        let passing = self.passing();
        // Of equals the first wins: the shortest, then the first by name.
        let likeliest = passing.iter().reduce(|a, b| if b.log_ratio > a.log_ratio { b } else { a })?;
        Some(self.described_best(*likeliest, &passing))
    }

    fn passing(&self) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> =
            (0..self.lattice.combinations.len()).filter_map(|c| self.candidate(c)).collect();
        candidates.sort_unstable_by(|a, b| a.p.total_cmp(&b.p).then(a.combination.cmp(&b.combination)));
        let mut adjusted: Vec<f64> = candidates.iter().map(|c| c.p).collect();
        // Combinations that are no candidates were examined, too: they count as tests with p = 1.
        adjust(&mut adjusted, self.lattice.combinations.len());
        candidates.iter_mut().zip(adjusted).for_each(|(c, p)| c.p = p);
        candidates.retain(|c| self.passes(c));
        candidates.sort_unstable_by_key(|c| c.combination);
        candidates
    }

    /// A combination worth testing: it has enough users, and a higher rate inside.
    fn candidate(&self, combination: usize) -> Option<Candidate> {
        let covered = self.lattice.leaves_of(&self.lattice.combinations[combination]);
        if covered.iter().map(|leaf| self.below[*leaf as usize]).sum::<u64>() < self.kind.users_min() {
            return None;
        }
        let mut tally = Tally::default();
        covered.iter().for_each(|leaf| tally.add(self.tallies[*leaf as usize]));
        let outside = self.all.without(tally);
        let risk = risk_ratio(tally, outside, 1.0).filter(|risk| risk.ratio > 1.0)?;
        let log_ratio = log_likelihood_ratio(tally, self.all);
        Some(Candidate { combination, tally, log_ratio, p: p_value(tally, self.all, log_ratio), risk })
    }

    fn passes(&self, candidate: &Candidate) -> bool {
        candidate.p <= P_ADJUSTED_MAX
            && candidate.risk.low >= RISK_RATIO_LOW_MIN
            && self.excess_of(candidate.tally) >= EXCESS_SHARE_MIN * self.excess
            && match self.kind {
                Kind::Users => self.fails_more_often(candidate),
                Kind::Events => self.is_of_many(candidate),
            }
    }

    fn covered(&self, candidate: &Candidate) -> &'a [u32] {
        let lattice: &'a Lattice = self.lattice;
        lattice.leaves_of(&lattice.combinations[candidate.combination])
    }

    /// Whether users are below because their requests fail more often, and not because they made more: if all fail
    /// alike, the active users fall below first.
    fn fails_more_often(&self, candidate: &Candidate) -> bool {
        let inside = sum(self.covered(candidate).iter().map(|leaf| &self.events[*leaf as usize]));
        let outside = self.all_events.without(inside);
        inside.rate() >= EVENT_RISK_RATIO_MIN * outside.rate()
    }

    fn excess_of(&self, tally: Tally) -> f64 {
        tally.outliers - self.usual_rate * tally.units
    }

    /// Events of one user are correlated, so their number overstates the evidence: the cohort must hold without its
    /// largest user, and with an interval as wide as the leaves really scatter.
    fn is_of_many(&self, candidate: &Candidate) -> bool {
        let covered = self.covered(candidate);
        let samples = covered.iter().filter_map(|leaf| self.leaves[*leaf as usize].sample.first());
        let largest = samples.map(|user| user.bad_events).max().unwrap_or(0) as f64;
        let largest = Tally { units: largest, outliers: largest };
        let inside = candidate.tally.without(largest);
        let outside = self.all.without(candidate.tally);
        let log_ratio = log_likelihood_ratio(inside, self.all.without(largest));
        let scatter = self.scatter(candidate, covered);
        let holds = |risk: Risk| risk.low >= RISK_RATIO_LOW_MIN;
        log_ratio / scatter > margin_of(self.lattice.combinations.len())
            && risk_ratio(inside, outside, libm::sqrt(scatter)).is_some_and(holds)
    }

    /// Pearson's dispersion of the leaves around one rate inside and one outside; at least 1.
    fn scatter(&self, candidate: &Candidate, covered: &[u32]) -> f64 {
        let outside = self.all.without(candidate.tally).rate();
        let mut rates = vec![outside; self.tallies.len()];
        covered.iter().for_each(|leaf| rates[*leaf as usize] = candidate.tally.rate());
        let of_leaf = |(tally, rate): (&Tally, &f64)| {
            let variance = tally.units * rate * (1.0 - rate);
            let off = tally.outliers - tally.units * rate;
            (variance > 0.0).then(|| off * off / variance)
        };
        let (sum, leaves) =
            self.tallies.iter().zip(&rates).filter_map(of_leaf).fold((0.0, 0.0), |(s, n), x| (s + x, n + 1.0));
        if leaves > 2.0 { (sum / (leaves - 2.0)).max(1.0) } else { 1.0 }
    }

    /// The shortest description that explains as much, but not one that covers unaffected users.
    fn described_best(&self, likeliest: Candidate, passing: &[Candidate]) -> Candidate {
        let mut best = likeliest;
        for _ in 0..EXCHANGES_MAX {
            let parents = passing.iter().filter(|p| self.is_child(&best, p));
            let enough = parents.filter(|p| !self.adds_to(&best, p));
            let next = enough.reduce(|a, b| if b.log_ratio > a.log_ratio { b } else { a });
            let next = next.or_else(|| {
                let children = passing.iter().filter(|c| self.is_child(c, &best) && self.replaces(c, &best));
                children.reduce(|a, b| if b.log_ratio > a.log_ratio { b } else { a })
            });
            match next {
                Some(next) => best = *next,
                None => break,
            }
        }
        best
    }

    fn is_child(&self, child: &Candidate, parent: &Candidate) -> bool {
        self.combination(child).is_child_of(self.combination(parent))
    }

    /// Whether a child explains clearly more than its parent: more than the best of all children would by chance. A
    /// known child has shown that before.
    fn adds_to(&self, child: &Candidate, parent: &Candidate) -> bool {
        let added = log_likelihood_ratio(child.tally, parent.tally);
        let (child, parent) = (self.combination(child), self.combination(parent));
        if self.known.iter().any(|known| **known == self.lattice.named(child)) {
            return added > 0.0;
        }
        added > margin_of(self.lattice.descriptions(parent, child.arity()))
    }

    fn combination(&self, candidate: &Candidate) -> &Combination {
        &self.lattice.combinations[candidate.combination]
    }

    /// A child replaces its parent if it explains it, and the parent's other users are not affected.
    fn replaces(&self, child: &Candidate, parent: &Candidate) -> bool {
        if !self.adds_to(child, parent) {
            return false;
        }
        let remainder = parent.tally.without(child.tally);
        let outside = self.all.without(parent.tally);
        is_unaffected(risk_ratio(remainder, outside, 1.0))
    }

    fn take_out(&mut self, cohort: &Candidate) {
        self.excess_left -= self.excess_of(cohort.tally);
        for leaf in self.covered(cohort) {
            let leaf = *leaf as usize;
            (self.tallies[leaf], self.events[leaf], self.below[leaf]) = (Tally::default(), Tally::default(), 0);
        }
        (self.all, self.all_events) = (sum(self.tallies.iter()), sum(self.events.iter()));
    }

    fn tell(&self, cohort: &Candidate, rank: u64) -> Found {
        let covered = || self.covered(cohort).iter().map(|leaf| &self.leaves[*leaf as usize]);
        let mut sample: Vec<SampleUser> = covered().flat_map(|leaf| leaf.sample.iter().cloned()).collect();
        keep_worst(&mut sample);
        Found {
            attributes: self.lattice.named(self.combination(cohort)),
            rank,
            users_in_tail: covered().map(|leaf| leaf.users_below).sum(),
            users: covered().map(|leaf| leaf.users).sum(),
            tail_total: self.leaves.iter().map(|leaf| leaf.users_below).sum(),
            users_total: self.leaves.iter().map(|leaf| leaf.users).sum(),
            risk: cohort.risk,
            p_adjusted: cohort.p,
            bad: covered().map(Leaf::all_bad).sum(),
            bad_total: self.leaves.iter().map(Leaf::all_bad).sum(),
            sample,
            events: if self.kind == Kind::Events { covered().map(|leaf| leaf.events).sum() } else { 0 },
            bad_events: if self.kind == Kind::Events { covered().map(|leaf| leaf.bad_events).sum() } else { 0 },
        }
    }
}

fn sum<'a>(tallies: impl Iterator<Item = &'a Tally>) -> Tally {
    tallies.fold(Tally::default(), |mut sum, tally| {
        sum.add(*tally);
        sum
    })
}

/// Whether what is left of a combination without another one does not stand out.
fn is_unaffected(rest: Option<Risk>) -> bool {
    rest.is_none_or(|risk| risk.ratio < REMAINDER_RISK_RATIO || risk.low <= 1.0)
}

/// The likelihood that the best of this many descriptions must add.
fn margin_of(descriptions: usize) -> f64 {
    libm::log(descriptions.max(1) as f64) + CHILD_MARGIN
}

/// The outlier rate where nothing is wrong.
fn usual_rate(tallies: &[Tally], all: Tally) -> f64 {
    usual(tallies.iter().map(|tally| (tally.units, tally.rate())), (all.units, all.rate()))
}

/// The rate of the median leaf: the base for an excess. Pairs of how much a leaf counts, and its rate. A cohort of less than
/// half of all does not change it.
fn usual(leaves: impl Iterator<Item = (f64, f64)>, all: (f64, f64)) -> f64 {
    let mut by_rate: Vec<(f64, f64)> = leaves.filter(|(units, _)| *units > 0.0).collect();
    by_rate.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut before = 0.0;
    let middle = by_rate.iter().find(|(units, _)| {
        before += units;
        before * 2.0 >= all.0
    });
    middle.map_or(0.0, |(_, rate)| rate.min(all.1))
}

#[cfg(test)]
mod tests;
