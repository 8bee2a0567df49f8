//! Whether one user of a tenant fails more than the tenant's other users: bets on the labels of bad events, minute by minute
//! (contract, section 12; customer success is told, nobody is paged).
//!
//! Given that an event of the tenant is bad, the share of its requests says how likely it is one of the user's. A shared
//! outage makes everybody fail and changes nothing. Of the user a minute has one failure at most, because retries repeat
//! one; the others' all count. So what is capped only speaks against the user's case.
//!
//! The evidence is an e-detector (Shin, Ramdas and Rinaldo, "E-detectors", New England Journal of Statistics in Data Science
//! 2, 2024): a bet begins at every minute of the year with an equal part of one stake. By Ville's inequality (1939) the
//! chance that the sum ever grows to `1 / ALPHA` within the year is at most `ALPHA`, wherever one looks. A part of a bet
//! that is forgotten only makes the sum smaller.

use crate::model::slo::Slo;
use crate::model::time::{DAY_MS, MINUTE_MS, Ms, slice_ms};
use crate::operator::distribution::UserSums;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// Users differ: one may fail so much more often than the rest of its tenant without being called worse.
const DIFFERENT: f64 = 2.0;
/// How much worse than that a user is tried to be.
const TIMES_WORSE: [f64; 5] = [2.0, 4.0, 10.0, 30.0, 100.0];
/// The chance that a user who is not worse is ever named, a year.
const ALPHA: f64 = 0.01;
/// Bets in a year.
const MINUTES_A_YEAR: f64 = 365.0 * 24.0 * 60.0;
/// Bounds of a logarithm: the exponential stays finite.
const LOG_MAX: f64 = 60.0;
/// A user is looked at from so many minutes with a bad event on.
pub const BAD_MINUTES_MIN: u64 = 3;
/// Users looked at, per tenant and minute: the worst served.
pub const LOOKED_AT: usize = 32;
/// A user who has recovered had so many minutes in a row with requests and without a bad one, at least; and with so many it has
/// in any case.
const GOOD_MINUTES_MIN: u64 = 5;
const GOOD_MINUTES_MAX: u64 = 60;
/// By chance such a run is at most 1 % likely if the user still failed as often as before.
const STILL_FAILS_LOG: f64 = 4.605_170_185_988_091;

/// Over how long failures of a user are looked for; `None`: the SLO's user windows have no steps of a minute.
pub fn evidence_ms(slo: &Slo) -> Option<Ms> {
    let has_minutes = slo.user_windows_ms.first().is_some_and(|shortest| slice_ms(*shortest) <= MINUTE_MS);
    let longest = slo.user_windows_ms.iter().copied().filter(|window_ms| *window_ms <= DAY_MS).max();
    longest.filter(|_| slo.cohorts && has_minutes)
}

/// A user with several bad minutes who had events in the minute before the boundary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailingUser {
    pub hash: u64,
    pub user: Box<str>,
    /// Events in that minute.
    pub minute_events: u64,
    pub minute_bad: u64,
    /// Minutes with a bad event of those looked back at.
    pub bad_minutes: u64,
    /// From this boundary on too few of them are left, unless there are new ones.
    pub lapses_ms: Ms,
    /// The start of the slice with the first of them, and all its events since.
    pub since_ms: Ms,
    pub events: u64,
    pub bad_events: u64,
    pub good: u128,
    pub bad: u128,
}

impl FailingUser {
    pub fn sums(&self) -> UserSums {
        UserSums { events: self.events, bad_events: self.bad_events, good: self.good, bad: self.bad }
    }

    /// The worst served first, by events; ties by the hash, then by the name.
    fn order(&self, other: &FailingUser) -> Ordering {
        let (own, others) = (u128::from(self.bad_events), u128::from(other.bad_events));
        let worst = (others * u128::from(self.events)).cmp(&(own * u128::from(other.events)));
        worst.then(self.hash.cmp(&other.hash)).then_with(|| self.user.cmp(&other.user))
    }
}

/// The worst served of several, in order; one more than are looked at, which says that there are more.
pub fn keep_worst_served(users: &mut Vec<FailingUser>) {
    users.sort_unstable_by(FailingUser::order);
    users.truncate(LOOKED_AT + 1);
}

/// Events of a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Minute {
    pub events: u64,
    pub bad: u64,
}

/// What the bets on one user are worth, by [`TIMES_WORSE`], as logarithms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    logs: [f64; TIMES_WORSE.len()],
}

impl Default for Evidence {
    fn default() -> Self {
        Evidence { logs: [f64::NEG_INFINITY; TIMES_WORSE.len()] }
    }
}

impl Evidence {
    /// One more minute of the user, and of the others of its tenant.
    pub fn add(&mut self, own: Minute, others: Minute) {
        if own.events == 0 || others.events == 0 {
            return;
        }
        let (n, n_others, x_others) = (own.events as f64, others.events as f64, others.bad as f64);
        let share = |times: f64| times * n / (times * n + n_others);
        let usual = share(DIFFERENT);
        for (log, times) in self.logs.iter_mut().zip(TIMES_WORSE) {
            let worse = share(times * DIFFERENT);
            let own = if own.bad > 0 { libm::log(worse / usual) } else { 0.0 };
            let bet = own + x_others * libm::log((1.0 - worse) / (1.0 - usual));
            // What the bets so far are worth, and one that begins with this minute.
            *log = (libm::log1p(libm::exp(*log)) + bet).min(LOG_MAX);
        }
    }

    /// All bets of a year together, of a stake of 1.
    pub fn e_value(&self) -> f64 {
        let mean = self.logs.iter().map(|log| libm::exp(*log)).sum::<f64>() / self.logs.len() as f64;
        mean / MINUTES_A_YEAR
    }

    pub fn is_enough(&self) -> bool {
        self.e_value() >= 1.0 / ALPHA
    }
}

/// Minutes in which a user had events, since it is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub minutes: u64,
    pub failed: u64,
    /// Those since the last one that failed.
    good: u64,
}

impl Run {
    pub fn add(&mut self, has_failed: bool) {
        self.minutes += 1;
        self.failed += u64::from(has_failed);
        self.good = if has_failed { 0 } else { self.good + 1 };
    }

    /// Whether the last minutes would be unlikely if the user still failed as often.
    pub fn has_recovered(&self) -> bool {
        let fails = (self.failed as f64 / self.minutes.max(1) as f64).min(0.99);
        let is_unlikely = self.good as f64 * -libm::log(1.0 - fails) >= STILL_FAILS_LOG;
        self.good >= GOOD_MINUTES_MAX || self.good >= GOOD_MINUTES_MIN && is_unlikely
    }
}

#[cfg(test)]
mod tests;
