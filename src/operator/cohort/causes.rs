//! Cohorts by bad events, from a key's table of events: every event counts, and a combination may have an operation.
//!
//! What is expected of a leaf is what its own history, before the window, lets expect ([`history`](super::scan::history)).
//! Where there is no history that says anything, everybody is expected to fail alike.

use super::poisson::{Count, risk_ratio};
use super::scan::history::{Past, expected};
use super::scan::{self, Cause, scan};
use super::{Attributes, Found, Kind, covers, is_unaffected, leaves_of};
use crate::model::time::Ms;
use crate::operator::event_leaf::{Crowd, OPERATION};
use crate::operator::event_table::{EventTable, Sum};
use crate::operator::partial::{Leaf, SampleUser, keep_worst};

/// A window with fewer bad events has no cause.
const BAD_MIN: u64 = 5;
/// A history with fewer bad events, or shorter than the window, says nothing.
const BAD_HISTORY_MIN: u64 = 20;

/// The events of a user window, leaf by leaf, beside what is expected of them.
pub struct Events<'a> {
    sums: &'a [Sum],
    leaves: Vec<scan::Leaf<'a>>,
    history_times: f64,
}

/// The sums of a window and of the time before it.
pub struct Sums {
    now: Vec<Sum>,
    before: Vec<Sum>,
}

impl Sums {
    /// Nothing where too few events are bad to find a cause.
    pub fn of(table: &EventTable, at_ms: Ms, window_ms: Ms) -> Sums {
        if table.bad_in(at_ms, window_ms) < BAD_MIN {
            return Sums { now: Vec::new(), before: Vec::new() };
        }
        Sums { now: table.window(at_ms, window_ms), before: table.before(at_ms, window_ms) }
    }
}

impl<'a> Events<'a> {
    pub fn of(table: &'a EventTable, sums: &'a Sums) -> Events<'a> {
        let bad = |sums: &[Sum]| sums.iter().map(|sum| sum.bad.events).sum::<u64>();
        let all = |sums: &[Sum]| sums.iter().map(|sum| sum.events).sum::<u64>();
        let (n, n_history) = (all(&sums.now), all(&sums.before));
        let has_history = n_history >= n && bad(&sums.before) >= BAD_HISTORY_MIN;
        let tuples = if sums.now.is_empty() { Vec::new() } else { table.tuples() };
        let past: Vec<Past<'_>> = tuples
            .iter()
            .zip(&sums.now)
            .enumerate()
            .map(|(at, (tuple, sum))| {
                let before = sums.before.get(at);
                Past {
                    attributes: tuple.pairs().collect(),
                    n: sum.events as f64,
                    bad_history: before.map_or(0.0, |sum| sum.bad.events as f64),
                    n_history: before.map_or(0.0, |sum| sum.events as f64),
                }
            })
            .collect();
        let expected = if has_history { expected(&past) } else { past.iter().map(|leaf| leaf.n).collect() };
        let leaves = past.into_iter().zip(&sums.now).zip(expected).map(|((past, sum), expected)| scan::Leaf {
            attributes: past.attributes,
            bad: sum.bad.events as f64,
            expected,
            bad_events: Some(&sum.bad),
        });
        let history_times = if has_history { n_history as f64 / n as f64 } else { f64::INFINITY };
        Events { sums: &sums.now, leaves: leaves.collect(), history_times }
    }

    /// The cohorts, best first. `cube`: the users of the window, by attributes; it knows how many there are, and names.
    pub fn search<'c>(&self, cube: impl Iterator<Item = &'c Leaf>) -> Vec<Found> {
        if self.leaves.is_empty() {
            return Vec::new();
        }
        let scanned = scan(&self.leaves, self.history_times);
        let cube = if scanned.causes.is_empty() { Vec::new() } else { leaves_of(Kind::Events, cube) };
        (1..).zip(&scanned.causes).map(|(rank, cause)| self.found(rank, cause, &cube)).collect()
    }

    fn covered<'s>(&'s self, attributes: &'s Attributes) -> impl Iterator<Item = &'s Sum> {
        let of = self.leaves.iter().zip(self.sums);
        of.filter(|(leaf, _)| covers(attributes, leaf.attributes.iter().copied())).map(|(_, sum)| sum)
    }

    fn found(&self, rank: u64, cause: &Cause, cube: &[Leaf]) -> Found {
        let mut own = Sum::default();
        for sum in self.covered(&cause.attributes) {
            own.events += sum.events;
            own.bad.add(&sum.bad);
        }
        let has_operation = cause.attributes.iter().any(|(name, _)| name == OPERATION);
        let of_users: Attributes = cause.attributes.iter().filter(|(name, _)| name != OPERATION).cloned().collect();
        let users: Vec<&Leaf> = cube.iter().filter(|leaf| covers(&of_users, leaf.tuple.pairs())).collect();
        // Rows of users do not know operations.
        let counted = if has_operation { 0 } else { users.iter().map(|leaf| leaf.users_below).sum() };
        let users_in_tail = own.bad.users.users().max(counted);
        let counted_users =
            if has_operation { 0 } else { users.iter().map(|leaf| leaf.users).sum::<u64>().max(users_in_tail) };
        let tail_total: u64 = cube.iter().map(|leaf| leaf.users_below).sum();
        Found {
            attributes: cause.attributes.clone(),
            rank,
            users_in_tail,
            users: counted_users,
            tail_total: tail_total.max(users_in_tail),
            users_total: cube.iter().map(|leaf| leaf.users).sum::<u64>().max(users_in_tail),
            risk: cause.risk,
            p_adjusted: cause.p_adjusted,
            bad: own.bad.weight,
            bad_total: self.sums.iter().map(|sum| sum.bad.weight).sum(),
            sample: sample_of(&users, &own.bad.users, has_operation),
            events: own.events,
            bad_events: own.bad.events,
        }
    }

    /// Whether an open cohort is why another one stands out: without its events the other one would not.
    pub fn explains(&self, open: &Attributes, other: &Attributes) -> bool {
        let (mut rest, mut outside) = (Count::default(), Count::default());
        for leaf in self.leaves.iter().filter(|leaf| !covers(open, leaf.attributes.iter().copied())) {
            let count = Count { bad: leaf.bad, expected: leaf.expected };
            if covers(other, leaf.attributes.iter().copied()) { rest.add(count) } else { outside.add(count) }
        }
        rest.bad < BAD_MIN as f64 || is_unaffected(risk_ratio(rest, outside, 1.0))
    }
}

/// The users with the most bad events among those with these attributes; with an operation, those who are known to have them
/// there.
fn sample_of(users: &[&Leaf], crowd: &Crowd, has_operation: bool) -> Vec<SampleUser> {
    let named = users.iter().flat_map(|leaf| &leaf.sample);
    let is_known =
        |user: &&SampleUser| !has_operation || crowd.known().iter().any(|(hash, _)| *hash == user.hash as u32);
    let mut sample: Vec<SampleUser> = named.filter(is_known).cloned().collect();
    keep_worst(&mut sample);
    sample
}

#[cfg(test)]
mod tests;
