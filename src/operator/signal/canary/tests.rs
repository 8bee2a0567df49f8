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
    let both_fail = |trial: &mut Trial, at| trial.end_minute(at * MINUTE_MS, side(300, 30), side(5_700, 570), LIMITS);
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
