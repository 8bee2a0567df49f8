//! Whether a candidate (a new release, or one of two tracks) serves worse than its baseline: two tests by betting on the
//! labels of bad events, minute by minute (contract, section 12).
//!
//! Given that an event is bad, the share of traffic says how likely it is one of the candidate's. A shared outage makes both
//! fail and changes nothing. The evidence is an e-process (Ramdas, Grünwald, Vovk and Shafer, "Game-theoretic statistics and
//! safe anytime-valid inference", Statistical Science 38, 2023): looking at every minute costs no error probability.

use crate::model::ratio::{Ratio, Threshold};
use crate::model::slo::Canary;
use crate::model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Ms};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// A candidate may fail so much more often without being called worse: caches are cold, connections new.
const WARM_UP: f64 = 1.25;
/// How much worse a candidate is tried to be.
const TIMES_WORSE: [f64; 6] = [1.5, 2.0, 3.0, 5.0, 10.0, 30.0];
/// A candidate passes if it is certainly not so much worse.
const TOO_MUCH_WORSE: f64 = 3.0;
const EVIDENCE: f64 = 100.0;
const PASSES_AFTER_MS: Ms = 10 * MINUTE_MS;
const BAD_USERS_MIN: usize = 2;
const BURN_BAD_MIN: u64 = 3;
/// A value is on trial for so long after its first event; then it belongs to the baseline.
const NEW_FOR_MS: Ms = DAY_MS;
/// The test of a named candidate begins anew after so long without an event of it.
const BEGINS_ANEW_AFTER_MS: Ms = HOUR_MS;
/// So many values of an attribute are remembered, and so many of them are on trial at once.
pub const VALUES_MAX: usize = 1_000;
const TRIALS_MAX: usize = 100;

/// What became visible at one boundary of the events with one value of the attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueDelta {
    pub value: Box<str>,
    pub events: u64,
    pub bad: u64,
    /// Bad events without a user: each counts as one of a user of its own.
    pub nameless_bad: u64,
    /// Hashes of the users with a bad event, ascending, without repeats.
    pub bad_users: Vec<u64>,
}

/// What a value has gathered since the last full minute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Minute {
    events: u64,
    bad: u64,
    nameless_bad: u64,
    /// In any order, with repeats.
    bad_users: Vec<u64>,
}

impl Minute {
    fn add(&mut self, delta: &ValueDelta) {
        self.events += delta.events;
        self.bad += delta.bad;
        self.nameless_bad += delta.nameless_bad;
        self.bad_users.extend_from_slice(&delta.bad_users);
    }

    fn merge(&mut self, other: &mut Minute) {
        self.events += other.events;
        self.bad += other.bad;
        self.nameless_bad += other.nameless_bad;
        self.bad_users.append(&mut other.bad_users);
    }

    fn side(&mut self) -> Side {
        self.bad_users.sort_unstable();
        self.bad_users.dedup();
        let bad_once = self.nameless_bad + self.bad_users.len() as u64;
        Side { events: self.events, bad: self.bad, bad_once }
    }
}

/// What became visible in a minute of the candidate or of the baseline, unweighted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    pub events: u64,
    pub bad: u64,
    /// Bad events, those of one user counted once.
    pub bad_once: u64,
}

/// What the tests have decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    #[default]
    Undecided,
    /// It fails by the evidence against the baseline.
    IsWorse,
    /// It fails because it burns faster than `canary-max-burn`.
    Burns,
    IsNotWorse,
}

impl Outcome {
    pub const fn verdict(self) -> &'static str {
        match self {
            Outcome::IsWorse | Outcome::Burns => "fail",
            Outcome::IsNotWorse => "pass",
            Outcome::Undecided => "inconclusive",
        }
    }
}

/// The events of one side since the start of a test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    pub events: u64,
    pub bad: u64,
}

impl Served {
    fn add(&mut self, side: Side) {
        self.events += side.events;
        self.bad += side.bad;
    }
}

/// The test of one candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    pub started_ms: Ms,
    /// By [`TIMES_WORSE`]: the logarithm of the evidence that it is worse, and that it is not.
    worse: [f64; TIMES_WORSE.len()],
    not_worse: [f64; TIMES_WORSE.len()],
    pub candidate: Served,
    pub baseline: Served,
    /// Users of the candidate with a bad event, as hashes; no more are kept than are asked for.
    bad_users: Vec<u64>,
    nameless_bad: u64,
    pub outcome: Outcome,
}

/// What a candidate's verdict depends on besides the events.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `1 - objective`.
    pub allowed: Ratio,
    pub max_burn: Option<Ratio>,
}

impl Trial {
    fn begin(started_ms: Ms) -> Trial {
        Trial {
            started_ms,
            worse: [0.0; TIMES_WORSE.len()],
            not_worse: [0.0; TIMES_WORSE.len()],
            candidate: Served::default(),
            baseline: Served::default(),
            bad_users: Vec::new(),
            nameless_bad: 0,
            outcome: Outcome::Undecided,
        }
    }

    fn note_bad_users(&mut self, minute: &Minute) {
        self.nameless_bad += minute.nameless_bad;
        for user in &minute.bad_users {
            if self.bad_users.len() < BAD_USERS_MIN && !self.bad_users.contains(user) {
                self.bad_users.push(*user);
            }
        }
    }

    /// Ends a minute at `at_ms`.
    fn end_minute(&mut self, at_ms: Ms, candidate: Side, baseline: Side, limits: Limits) {
        self.candidate.add(candidate);
        self.baseline.add(baseline);
        if candidate.events > 0 && baseline.events > 0 {
            let (n_c, n_b) = (candidate.events as f64, baseline.events as f64);
            let (x_c, x_b) = (candidate.bad_once as f64, baseline.bad_once as f64);
            for (at, times) in TIMES_WORSE.into_iter().enumerate() {
                self.worse[at] += bet(share(WARM_UP, n_c, n_b), share(times * WARM_UP, n_c, n_b), x_c, x_b);
                let (worst, better) = (TOO_MUCH_WORSE, TOO_MUCH_WORSE / times);
                self.not_worse[at] += bet(share(worst, n_c, n_b), share(better, n_c, n_b), x_c, x_b);
            }
        }
        self.decide(at_ms, limits);
    }

    /// A verdict stands.
    fn decide(&mut self, at_ms: Ms, limits: Limits) {
        if self.outcome != Outcome::Undecided {
            return;
        }
        let of_two = self.bad_users.len() as u64 + self.nameless_bad >= BAD_USERS_MIN as u64;
        let is_late_enough = at_ms - self.started_ms >= PASSES_AFTER_MS;
        self.outcome = match () {
            () if of_two && mean(&self.worse) >= EVIDENCE => Outcome::IsWorse,
            () if of_two && self.burns(limits) => Outcome::Burns,
            () if is_late_enough && mean(&self.not_worse) >= EVIDENCE => Outcome::IsNotWorse,
            () => Outcome::Undecided,
        };
    }

    fn burns(&self, Limits { allowed, max_burn }: Limits) -> bool {
        let Served { events, bad } = self.candidate;
        let exceeds = |most| Threshold::product(allowed, most).compare_share(bad.into(), events.into());
        bad >= BURN_BAD_MIN && max_burn.is_some_and(|most| exceeds(most) == Ordering::Greater)
    }

    /// The evidence of the verdict.
    pub fn e_value(&self) -> f64 {
        let mean = mean(if self.outcome == Outcome::IsNotWorse { &self.not_worse } else { &self.worse });
        mean.min(f64::MAX)
    }

    /// Why the verdict is as it is.
    pub fn reason(&self) -> &'static str {
        match self.outcome {
            Outcome::IsWorse => "it has more bad events than the baseline, and that is no chance",
            Outcome::Burns => "it burns faster than canary-max-burn",
            Outcome::IsNotWorse => "it is not three times as bad as the baseline",
            Outcome::Undecided if self.candidate.events == 0 => "no traffic",
            Outcome::Undecided if self.baseline.events == 0 => "no baseline",
            Outcome::Undecided => "undecided",
        }
    }
}

/// One value of the attribute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Value {
    /// The boundaries of its first and of its last event.
    first_ms: Ms,
    last_ms: Ms,
    minute: Minute,
    trial: Option<Box<Trial>>,
}

/// All values of an SLO's attribute, and the tests of those that are candidates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Canaries {
    values: BTreeMap<Box<str>, Value>,
    /// Events became visible since the last full minute that was evaluated.
    is_open: bool,
    /// More values were seen than are remembered or tried.
    pub overflows: bool,
}

impl Canaries {
    /// Adds what became visible at a boundary.
    pub fn add(&mut self, at_ms: Ms, deltas: &[ValueDelta], canary: &Canary) {
        for delta in deltas.iter().filter(|delta| delta.events > 0 && canary.asks_for(&delta.value)) {
            if !self.values.contains_key(&delta.value) && !self.makes_room(at_ms) {
                self.overflows = true;
                continue;
            }
            self.is_open = true;
            let trial = self.begins(at_ms, &delta.value, canary).then(|| self.new_trial(at_ms));
            let new = || Value { first_ms: at_ms, last_ms: at_ms, minute: Minute::default(), trial: None };
            let value = self.values.entry(delta.value.clone()).or_insert_with(new);
            value.last_ms = at_ms;
            value.minute.add(delta);
            if let Some(trial) = trial {
                value.trial = trial;
            }
        }
    }

    /// Whether an event of this value begins a test.
    fn begins(&self, at_ms: Ms, value: &str, canary: &Canary) -> bool {
        match (self.values.get(value), &canary.tracks) {
            (None, None) => true,
            (Some(_), None) => false,
            (_, Some(tracks)) if tracks.candidate != value => false,
            (known, Some(_)) => known.is_none_or(|known| at_ms - known.last_ms > BEGINS_ANEW_AFTER_MS),
        }
    }

    /// `None`: too many are on trial.
    fn new_trial(&mut self, at_ms: Ms) -> Option<Box<Trial>> {
        let is_room = self.values.values().filter(|value| value.trial.is_some()).count() < TRIALS_MAX;
        self.overflows |= !is_room;
        is_room.then(|| Box::new(Trial::begin(at_ms)))
    }

    /// Makes room for a new value: of the old ones, the one that was not seen for the longest time is forgotten.
    fn makes_room(&mut self, at_ms: Ms) -> bool {
        if self.values.len() < VALUES_MAX {
            return true;
        }
        let is_old = |value: &Value| at_ms - value.first_ms >= NEW_FOR_MS && value.minute == Minute::default();
        let old = self.values.iter().filter(|(_, value)| is_old(value));
        let longest = old.min_by_key(|(name, value)| (value.last_ms, *name)).map(|(name, _)| name.clone());
        longest.is_some_and(|name| self.values.remove(&name).is_some())
    }

    /// Ends the minute at a full minute; returns the names of the candidates that had events in it.
    pub fn end_minute(&mut self, at_ms: Ms, canary: &Canary, limits: Limits) -> Vec<Box<str>> {
        if !std::mem::take(&mut self.is_open) {
            return Vec::new();
        }
        let mut baseline = Minute::default();
        for (name, value) in &mut self.values {
            if !canary.is_candidate(name, at_ms - value.first_ms < NEW_FOR_MS) {
                baseline.merge(&mut value.minute);
                (value.minute, value.trial) = (Minute::default(), None);
            }
        }
        let baseline = baseline.side();
        let mut had_events = Vec::new();
        for (name, value) in &mut self.values {
            let mut minute = std::mem::take(&mut value.minute);
            if let Some(trial) = &mut value.trial {
                // Minutes without events were passed over: in one of them the test may have become old enough.
                trial.decide(at_ms - MINUTE_MS, limits);
                trial.note_bad_users(&minute);
                trial.end_minute(at_ms, minute.side(), baseline, limits);
                if minute.events > 0 {
                    had_events.push(name.clone());
                }
            }
        }
        had_events
    }

    pub fn trial(&self, candidate: &str) -> Option<&Trial> {
        self.values.get(candidate)?.trial.as_deref()
    }

    /// The minute that has begun gets evaluated even if nothing more becomes visible.
    pub fn is_open(&self) -> bool {
        self.is_open
    }
}

/// The candidate's share of bad events if it fails `times` as often.
fn share(times: f64, candidate: f64, baseline: f64) -> f64 {
    times * candidate / (times * candidate + baseline)
}

/// The logarithm of the likelihood ratio of a share against another one.
fn bet(share_0: f64, share_1: f64, bad_candidate: f64, bad_baseline: f64) -> f64 {
    bad_candidate * libm::log(share_1 / share_0) + bad_baseline * libm::log((1.0 - share_1) / (1.0 - share_0))
}

fn mean(logs: &[f64]) -> f64 {
    logs.iter().map(|log| libm::exp(*log)).sum::<f64>() / logs.len() as f64
}

#[cfg(test)]
mod tests;
