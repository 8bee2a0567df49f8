//! Cohorts by bad events, from a key's table of events: every event counts, and a combination may have an operation.
//!
//! What is expected of a leaf is what its own history, before the window, lets expect ([`history`](super::scan::history)).
//! Where there is no history that says anything, everybody is expected to fail alike.

use super::poisson::{Count, risk_ratio};
use super::scan::history::{Past, expected};
use super::scan::{self, Cause, scan};
use super::{Attributes, Found, Kind, covers, is_unaffected, leaves_of};
use crate::model::time::Ms;
use crate::model::tuple::Tuple;
use crate::operator::event_leaf::{Crowd, OPERATION, Whose};
use crate::operator::event_table::{EventTable, Sum};
use crate::operator::partial::{Leaf, SampleUser, keep_worst};

/// A window with fewer bad events has no cause.
const BAD_MIN: u64 = 5;
/// A history with fewer bad events, or shorter than the window, says nothing.
const BAD_HISTORY_MIN: u64 = 20;

/// The events of a user window, leaf by leaf, beside what is expected of them.
pub struct Events<'a> {
    table: &'a EventTable,
    at_ms: Ms,
    window_ms: Ms,
    sums: Vec<Sum>,
    leaves: Vec<scan::Leaf<'a>>,
    history_times: f64,
}

impl<'a> Events<'a> {
    pub fn of(table: &'a EventTable, at_ms: Ms, window_ms: Ms) -> Events<'a> {
        let mut events =
            Events { table, at_ms, window_ms, sums: Vec::new(), leaves: Vec::new(), history_times: f64::INFINITY };
        if table.bad_in(at_ms, window_ms) < BAD_MIN {
            // Too few to find a cause.
            return events;
        }
        let (now, before) = (table.window(at_ms, window_ms), table.before(at_ms, window_ms));
        let past = |(tuple, (sum, before)): (&'a Tuple, (&Sum, Sum))| Past {
            attributes: tuple.pairs().collect(),
            n: sum.events as f64,
            bad_history: before.bad as f64,
            n_history: before.events as f64,
        };
        let with_past = now.iter().zip(before.iter().copied().chain(std::iter::repeat(Sum::default())));
        let past: Vec<Past<'a>> = table.tuples().iter().zip(with_past).map(past).collect();
        let (n, n_history) = (all(&now, |sum| sum.events), all(&before, |sum| sum.events));
        let has_history = n_history >= n && all(&before, |sum| sum.bad) >= BAD_HISTORY_MIN;
        let expected = if has_history { expected(&past) } else { past.iter().map(|leaf| leaf.n).collect() };
        let leaf = |((past, sum), expected): ((Past<'a>, &Sum), f64)| scan::Leaf {
            attributes: past.attributes,
            bad: sum.bad as f64,
            expected,
        };
        events.leaves = past.into_iter().zip(&now).zip(expected).map(leaf).collect();
        events.sums = now;
        if has_history {
            events.history_times = n_history as f64 / n as f64;
        }
        events
    }

    /// The cohorts, best first. `cube`: the users of the window, by attributes; it knows how many there are, and names.
    pub fn search<'c>(&self, cube: impl Iterator<Item = &'c Leaf>) -> Vec<Found> {
        if self.leaves.is_empty() {
            return Vec::new();
        }
        let whose = |leaves: &[usize]| self.whose(|leaf| leaves.binary_search(&leaf).is_ok());
        let scanned = scan(&self.leaves, self.history_times, Some(&whose));
        let cube = if scanned.causes.is_empty() { Vec::new() } else { leaves_of(Kind::Events, cube) };
        (1..).zip(&scanned.causes).map(|(rank, cause)| self.found(rank, cause, &cube)).collect()
    }

    fn whose(&self, is_asked: impl Fn(usize) -> bool) -> Whose {
        self.table.whose(self.at_ms, self.window_ms, is_asked)
    }

    fn found(&self, rank: u64, cause: &Cause, cube: &[Leaf]) -> Found {
        let is_own = |leaf: usize| covers(&cause.attributes, self.leaves[leaf].attributes.iter().copied());
        let own: Vec<Sum> = (0..self.sums.len()).filter(|leaf| is_own(*leaf)).map(|leaf| self.sums[leaf]).collect();
        let crowd = self.whose(is_own).users;
        let has_operation = cause.attributes.iter().any(|(name, _)| name == OPERATION);
        let of_users: Attributes = cause.attributes.iter().filter(|(name, _)| name != OPERATION).cloned().collect();
        let users: Vec<&Leaf> = cube.iter().filter(|leaf| covers(&of_users, leaf.tuple.pairs())).collect();
        // Rows of users do not know operations.
        let counted = if has_operation { 0 } else { users.iter().map(|leaf| leaf.users_below).sum() };
        let users_in_tail = crowd.users().max(counted);
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
            bad: own.iter().map(|sum| sum.bad_weight).sum(),
            bad_total: self.sums.iter().map(|sum| sum.bad_weight).sum(),
            sample: sample_of(&users, &crowd, has_operation),
            events: all(&own, |sum| sum.events),
            bad_events: all(&own, |sum| sum.bad),
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

fn all(sums: &[Sum], of: impl Fn(&Sum) -> u64) -> u64 {
    sums.iter().map(of).sum()
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
