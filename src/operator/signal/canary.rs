//! Whether a candidate (a new release, or one of two tracks) serves worse than its baseline: two tests by betting on the
//! labels of bad events, minute by minute (contract, section 12).
//!
//! Given that an event is bad, the share of traffic says how likely it is one of the candidate's. A shared outage makes both
//! fail and changes nothing. The evidence is an e-process (Ramdas, Grünwald, Vovk and Shafer, "Game-theoretic statistics and
//! safe anytime-valid inference", Statistical Science 38, 2023): looking at every minute costs no error probability.

use crate::model::ratio::{Ratio, Threshold};
use crate::model::time::{MINUTE_MS, Ms};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

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

/// What became visible in a minute of the candidate or of the baseline, unweighted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    pub events: u64,
    pub bad: u64,
    /// Bad events, those of one user counted once.
    pub bad_once: u64,
}

impl Side {
    pub fn add(&mut self, other: Side) {
        self.events += other.events;
        self.bad += other.bad;
        self.bad_once += other.bad_once;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    Fail,
    Pass,
    Inconclusive,
}

impl Verdict {
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Fail => "fail",
            Verdict::Pass => "pass",
            Verdict::Inconclusive => "inconclusive",
        }
    }
}

/// The test of one candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    pub started_ms: Ms,
    /// By [`TIMES_WORSE`]: the logarithm of the evidence that it is worse, and that it is not.
    worse: [f64; TIMES_WORSE.len()],
    not_worse: [f64; TIMES_WORSE.len()],
    pub candidate: Side,
    pub baseline: Side,
    /// Users of the candidate with a bad event, as hashes; no more are kept than are asked for.
    bad_users: Vec<u64>,
    verdict: Verdict,
}

impl Trial {
    pub fn begin(started_ms: Ms) -> Trial {
        Trial {
            started_ms,
            worse: [0.0; TIMES_WORSE.len()],
            not_worse: [0.0; TIMES_WORSE.len()],
            candidate: Side::default(),
            baseline: Side::default(),
            bad_users: Vec::new(),
            verdict: Verdict::Inconclusive,
        }
    }

    /// A user of the candidate had a bad event. (One without a user is nobody's.)
    pub fn note_bad_user(&mut self, hash: u64) {
        if self.bad_users.len() < BAD_USERS_MIN && !self.bad_users.contains(&hash) {
            self.bad_users.push(hash);
        }
    }

    /// Ends a minute at `at_ms`.
    pub fn end_minute(&mut self, at_ms: Ms, candidate: Side, baseline: Side, allowed: Ratio, max_burn: Option<Ratio>) {
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
        if self.verdict == Verdict::Inconclusive {
            self.verdict = self.decide(at_ms, allowed, max_burn);
        }
    }

    fn decide(&self, at_ms: Ms, allowed: Ratio, max_burn: Option<Ratio>) -> Verdict {
        let of_two = self.bad_users.len() >= BAD_USERS_MIN;
        let burns = max_burn.is_some_and(|most| self.burns(allowed, most));
        if of_two && (mean(&self.worse) >= EVIDENCE || burns) {
            return Verdict::Fail;
        }
        let is_late_enough = at_ms - self.started_ms >= PASSES_AFTER_MS;
        if is_late_enough && mean(&self.not_worse) >= EVIDENCE { Verdict::Pass } else { Verdict::Inconclusive }
    }

    fn burns(&self, allowed: Ratio, most: Ratio) -> bool {
        let Side { events, bad, .. } = self.candidate;
        let threshold = Threshold::product(allowed, most);
        bad >= BURN_BAD_MIN && threshold.compare_share(bad.into(), events.into()) == Ordering::Greater
    }

    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The evidence of the verdict.
    pub fn e_value(&self) -> f64 {
        mean(if self.verdict == Verdict::Pass { &self.not_worse } else { &self.worse })
    }

    /// Why nothing is decided yet.
    pub fn reason(&self) -> &'static str {
        match () {
            () if self.candidate.events == 0 => "no traffic",
            () if self.baseline.events == 0 => "no baseline",
            () => "undecided",
        }
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

    const ALLOWED: Ratio = Ratio { num: 1, den: 1_000 };

    fn side(events: u64, bad: u64) -> Side {
        Side { events, bad, bad_once: bad }
    }

    /// Minutes until a verdict: per minute, events and bad events of candidate and baseline.
    fn decided(minute: [(u64, u64); 2], users: u64, most: i64) -> (Verdict, i64) {
        let mut trial = Trial::begin(0);
        (0..users).for_each(|user| trial.note_bad_user(user));
        for at in 1..=most {
            let [(n_c, x_c), (n_b, x_b)] = minute;
            trial.end_minute(at * MINUTE_MS, side(n_c, x_c), side(n_b, x_b), ALLOWED, None);
            if trial.verdict() != Verdict::Inconclusive {
                return (trial.verdict(), at);
            }
        }
        (Verdict::Inconclusive, most)
    }

    #[test]
    fn a_worse_candidate_fails_within_minutes_and_only_if_two_users_suffer() {
        let worse = [(300, 3), (5_700, 6)];
        let (verdict, minutes) = decided(worse, 2, 60);
        assert_eq!(verdict, Verdict::Fail);
        assert!(minutes <= 5, "{minutes}");
        assert_ne!(decided(worse, 1, 60).0, Verdict::Fail, "one user may have a bad day");
    }

    #[test]
    fn a_shared_outage_is_no_fault_of_the_candidate() {
        assert_eq!(decided([(300, 150), (5_700, 2_850)], 2, 600), (Verdict::Pass, 10), "no sooner than ten minutes");
    }

    #[test]
    fn without_bad_events_nothing_is_decided() {
        let mut trial = Trial::begin(0);
        assert_eq!(trial.reason(), "no traffic");
        trial.end_minute(MINUTE_MS, side(10, 0), side(0, 0), ALLOWED, None);
        assert_eq!(trial.reason(), "no baseline");
        trial.end_minute(2 * MINUTE_MS, side(10, 0), side(10, 0), ALLOWED, None);
        assert_eq!((trial.verdict(), trial.reason()), (Verdict::Inconclusive, "undecided"));
        assert!((trial.e_value() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_limit_on_the_burn_needs_three_bad_events_of_two_users() {
        let limit = Some(Ratio { num: 10, den: 1 });
        let mut trial = Trial::begin(0);
        trial.note_bad_user(1);
        trial.end_minute(MINUTE_MS, side(100, 2), side(0, 0), ALLOWED, limit);
        trial.note_bad_user(2);
        assert_eq!(trial.verdict(), Verdict::Inconclusive, "two bad ones");
        trial.end_minute(2 * MINUTE_MS, side(100, 1), side(0, 0), ALLOWED, limit);
        assert_eq!(trial.verdict(), Verdict::Fail, "1.5 % of 0.1 % allowed burn 15 times");
    }

    /// By hand: 1 of 2 bad events is the candidate's at equal traffic; times 2 of 1.25: 5/9 becomes 5/7.
    #[test]
    fn a_minute_multiplies_the_evidence_by_the_likelihood_ratio() {
        let by_hand = libm::log((5.0 / 7.0) / (5.0 / 9.0) * ((2.0 / 7.0) / (4.0 / 9.0)));
        let mut trial = Trial::begin(0);
        trial.end_minute(MINUTE_MS, side(50, 1), side(50, 1), ALLOWED, None);
        assert!((trial.worse[1] - by_hand).abs() < 1e-12);
    }
}
