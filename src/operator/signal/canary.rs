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
mod tests {
    use super::*;
    use crate::model::slo::Tracks;

    const LIMITS: Limits = Limits { allowed: Ratio { num: 1, den: 1_000 }, max_burn: None };
    const START_MS: Ms = 1_780_000_000_000 / HOUR_MS * HOUR_MS;

    fn newest() -> Canary {
        Canary { attribute: "release".to_owned(), tracks: None, max_burn: None }
    }

    fn tracks() -> Canary {
        let tracks = Tracks { candidate: "canary".to_owned(), baseline: "stable".to_owned() };
        Canary { attribute: "track".to_owned(), tracks: Some(tracks), max_burn: None }
    }

    fn delta(value: &str, events: u64, users: &[u64]) -> ValueDelta {
        let bad_users = users.to_vec();
        ValueDelta { value: value.into(), events, bad: users.len() as u64, nameless_bad: 0, bad_users }
    }

    fn side(events: u64, bad: u64) -> Side {
        Side { events, bad, bad_once: bad }
    }

    /// Minutes until a verdict: per minute, events and bad events of candidate and baseline.
    fn decided(minute: [(u64, u64); 2], users: &[u64], most: i64) -> (Outcome, i64) {
        let mut trial = Trial::begin(0);
        trial.note_bad_users(&Minute { bad_users: users.to_vec(), ..Minute::default() });
        for at in 1..=most {
            let [(n_c, x_c), (n_b, x_b)] = minute;
            trial.end_minute(at * MINUTE_MS, side(n_c, x_c), side(n_b, x_b), LIMITS);
            if trial.outcome != Outcome::Undecided {
                return (trial.outcome, at);
            }
        }
        (Outcome::Undecided, most)
    }

    #[test]
    fn a_worse_candidate_fails_within_minutes_and_only_if_two_users_suffer() {
        let worse = [(300, 3), (5_700, 6)];
        let (outcome, minutes) = decided(worse, &[1, 2], 60);
        assert_eq!(outcome, Outcome::IsWorse);
        assert!(minutes <= 5, "{minutes}");
        assert_ne!(decided(worse, &[1, 1], 60).0, Outcome::IsWorse, "one user may have a bad day");
    }

    #[test]
    fn a_shared_outage_is_no_fault_of_the_candidate() {
        let both_fail = [(300, 150), (5_700, 2_850)];
        assert_eq!(decided(both_fail, &[1, 2], 600), (Outcome::IsNotWorse, 10), "no sooner than ten minutes");
    }

    #[test]
    fn without_bad_events_nothing_is_decided() {
        let mut trial = Trial::begin(0);
        assert_eq!(trial.reason(), "no traffic");
        trial.end_minute(MINUTE_MS, side(10, 0), side(0, 0), LIMITS);
        assert_eq!(trial.reason(), "no baseline");
        trial.end_minute(2 * MINUTE_MS, side(10, 0), side(10, 0), LIMITS);
        assert_eq!((trial.outcome, trial.reason()), (Outcome::Undecided, "undecided"));
        assert!((trial.e_value() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_limit_on_the_burn_needs_three_bad_events_of_two_users() {
        let limits = Limits { max_burn: Some(Ratio { num: 10, den: 1 }), ..LIMITS };
        let mut trial = Trial::begin(0);
        let users = |users: &[u64]| Minute { bad_users: users.to_vec(), ..Minute::default() };
        trial.note_bad_users(&users(&[1]));
        trial.end_minute(MINUTE_MS, side(100, 2), side(0, 0), limits);
        trial.note_bad_users(&users(&[2]));
        assert_eq!(trial.outcome, Outcome::Undecided, "two bad ones");
        trial.end_minute(2 * MINUTE_MS, side(100, 1), side(0, 0), limits);
        assert_eq!(trial.outcome, Outcome::Burns, "1.5 % of 0.1 % allowed burn 15 times");
        let mut exact = Trial::begin(0);
        exact.note_bad_users(&users(&[1, 2]));
        exact.end_minute(MINUTE_MS, side(300, 3), side(0, 0), limits);
        assert_eq!(exact.outcome, Outcome::Undecided, "exactly 10 times is not more");
    }

    /// By hand: 1 of 2 bad events is the candidate's at equal traffic; times 2 of 1.25: 5/9 becomes 5/7.
    #[test]
    fn a_minute_multiplies_the_evidence_by_the_likelihood_ratio() {
        let by_hand = libm::log((5.0 / 7.0) / (5.0 / 9.0) * ((2.0 / 7.0) / (4.0 / 9.0)));
        let mut trial = Trial::begin(0);
        trial.end_minute(MINUTE_MS, side(50, 1), side(50, 1), LIMITS);
        assert!((trial.worse[1] - by_hand).abs() < 1e-12);
    }

    #[test]
    fn a_value_is_on_trial_for_a_day_and_then_belongs_to_the_baseline() {
        let (canary, mut all) = (newest(), Canaries::default());
        all.add(START_MS, &[delta("v1", 10, &[])], &canary);
        assert_eq!(all.end_minute(START_MS, &canary, LIMITS), ["v1".into()]);
        assert_eq!(all.trial("v1").map(Trial::reason), Some("no baseline"));
        let later_ms = START_MS + DAY_MS;
        all.add(later_ms - MINUTE_MS, &[delta("v1", 1, &[])], &canary);
        assert_eq!(all.end_minute(later_ms - MINUTE_MS, &canary, LIMITS), ["v1".into()]);
        all.add(later_ms, &[delta("v1", 5, &[1, 2]), delta("v2", 7, &[2])], &canary);
        assert_eq!(all.end_minute(later_ms, &canary, LIMITS), ["v2".into()]);
        assert!(all.trial("v1").is_none());
        let v2 = all.trial("v2").expect("a candidate");
        assert_eq!(
            (v2.started_ms, v2.candidate, v2.baseline),
            (later_ms, Served { events: 7, bad: 1 }, Served { events: 5, bad: 2 })
        );
    }

    #[test]
    fn a_user_counts_once_a_minute_whatever_value_of_the_baseline_it_met() {
        let (canary, mut all) = (newest(), Canaries::default());
        all.add(START_MS, &[delta("v1", 1, &[]), delta("v2", 1, &[])], &canary);
        all.end_minute(START_MS, &canary, LIMITS);
        let at_ms = START_MS + DAY_MS;
        all.add(at_ms - 20_000, &[delta("v1", 9, &[5]), delta("v3", 9, &[7])], &canary);
        all.add(at_ms - 10_000, &[delta("v2", 9, &[5]), delta("v3", 9, &[7])], &canary);
        all.add(at_ms, &[delta("v1", 9, &[5])], &canary);
        all.end_minute(at_ms, &canary, LIMITS);
        let mut by_hand = Trial::begin(at_ms - 20_000);
        by_hand.note_bad_users(&Minute { bad_users: vec![7], ..Minute::default() });
        let once = |events, bad| Side { events, bad, bad_once: 1 };
        by_hand.end_minute(at_ms, once(18, 2), once(27, 3), LIMITS);
        assert_eq!(all.trial("v3"), Some(&by_hand));
    }

    #[test]
    fn a_named_candidate_begins_anew_after_an_hour_without_events() {
        let (canary, mut all) = (tracks(), Canaries::default());
        let mut minute = |at_ms: Ms, deltas: &[ValueDelta]| {
            all.add(at_ms, deltas, &canary);
            let had_events = all.end_minute(at_ms, &canary, LIMITS);
            (had_events.len(), all.trial("canary").map(|trial| (trial.started_ms, trial.candidate.events)))
        };
        let stable = delta("stable", 50, &[]);
        assert_eq!(minute(START_MS, &[stable.clone(), delta("other", 9, &[])]), (0, None));
        let (at_ms, first_ms) = (START_MS + 5 * MINUTE_MS, START_MS + MINUTE_MS);
        assert_eq!(minute(first_ms, &[delta("canary", 3, &[])]), (1, Some((first_ms, 3))));
        assert_eq!(minute(at_ms, &[delta("canary", 4, &[])]), (1, Some((first_ms, 7))));
        let hour_ms = at_ms + HOUR_MS;
        assert_eq!(minute(hour_ms - MINUTE_MS, &[stable]), (0, Some((first_ms, 7))), "no record without its events");
        assert_eq!(minute(hour_ms, &[delta("canary", 1, &[])]), (1, Some((first_ms, 8))), "an hour, not longer");
        let anew_ms = hour_ms + HOUR_MS + MINUTE_MS;
        assert_eq!(minute(anew_ms, &[delta("canary", 1, &[])]), (1, Some((anew_ms, 1))));
    }

    #[test]
    fn a_test_that_grows_old_enough_in_silence_passes_there() {
        let both_fail =
            |trial: &mut Trial, at| trial.end_minute(at * MINUTE_MS, side(300, 30), side(5_700, 570), LIMITS);
        let mut trial = Trial::begin(0);
        (1..=9).for_each(|at| both_fail(&mut trial, at));
        assert_eq!(trial.outcome, Outcome::Undecided);
        // Much worse than before: too late.
        trial.decide(29 * MINUTE_MS, LIMITS);
        trial.end_minute(30 * MINUTE_MS, side(300, 300), side(5_700, 57), LIMITS);
        assert_eq!(trial.outcome, Outcome::IsNotWorse);
    }

    #[test]
    fn values_are_bounded_and_those_not_seen_for_long_go_first() {
        let (canary, mut all) = (newest(), Canaries::default());
        let name = |i: usize| format!("v{i:05}");
        for i in 0..VALUES_MAX {
            all.add(START_MS + (i as Ms % 7) * 10_000, &[delta(&name(i), 1, &[])], &canary);
        }
        assert!(all.overflows, "more than are tried at once");
        all.end_minute(START_MS + MINUTE_MS, &canary, LIMITS);
        assert_eq!(all.values.values().filter(|value| value.trial.is_some()).count(), TRIALS_MAX);
        all.add(START_MS + HOUR_MS, &[delta("late", 1, &[])], &canary);
        assert!(all.trial("late").is_none() && all.values.len() == VALUES_MAX, "all are new");
        all.end_minute(START_MS + HOUR_MS, &canary, LIMITS);
        let at_ms = START_MS + 2 * DAY_MS;
        all.add(at_ms, &[delta(&name(0), 1, &[])], &canary);
        all.end_minute(at_ms, &canary, LIMITS);
        all.add(at_ms, &[delta("later", 1, &[])], &canary);
        assert!(all.trial("later").is_some() && all.values.len() == VALUES_MAX);
        assert!(all.values.contains_key(&*name(0)) && !all.values.contains_key(&*name(7)));
    }
}
