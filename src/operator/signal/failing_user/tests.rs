use super::*;
use crate::operator::random::Random;
use proptest::prelude::*;

const fn minute(events: u64, bad: u64) -> Minute {
    Minute { events, bad }
}

/// Worked out by hand: one of 100 events is the user's, so at twice the usual rate 2 of 101 bad ones are, and at 4, 8, 20, 60
/// and 200 times as many more.
#[test]
fn the_evidence_of_a_minute_is_the_mean_of_likelihood_ratios_of_labels() {
    let mut evidence = Evidence::default();
    evidence.add(minute(1, 3), minute(99, 0));
    let usual = 2.0 / 101.0;
    let ratios = [4.0, 8.0, 20.0, 60.0, 200.0].map(|times: f64| times / (times + 99.0) / usual);
    let mean = ratios.iter().sum::<f64>() / 5.0;
    assert!((evidence.e_value() * 525_600.0 - mean).abs() < 1e-9, "{mean}");
    // The bet goes on, and a new one begins.
    evidence.add(minute(1, 1), minute(99, 0));
    let mean = ratios.iter().map(|ratio| (1.0 + ratio) * ratio).sum::<f64>() / 5.0;
    assert!((evidence.e_value() * 525_600.0 - mean).abs() < 1e-6);
}

#[test]
fn a_user_who_fails_alone_is_named_after_a_few_bad_minutes_and_never_beside_nobody() {
    let after = |others: Minute| {
        let mut evidence = Evidence::default();
        (1..100).find(|_| {
            evidence.add(minute(1, 1), others);
            evidence.is_enough()
        })
    };
    assert_eq!(after(minute(99, 0)), Some(6));
    assert_eq!(after(minute(9_999, 0)), Some(5), "of ten thousand events");
    assert_eq!(after(minute(9, 0)), Some(12), "a tenth of the traffic");
    assert_eq!(after(minute(0, 0)), None, "without others there is nobody to compare with");
    assert_eq!(after(minute(99, 99)), None, "a shared outage is no evidence");
    assert!(
        after(minute(1, 0)).is_some_and(|minutes| minutes > 40),
        "half of the traffic: that of the others says little"
    );
}

#[test]
fn a_good_minute_of_the_user_is_evidence_against_only_if_others_fail_in_it() {
    let mut evidence = Evidence::default();
    evidence.add(minute(1, 1), minute(99, 0));
    let before = evidence.e_value();
    evidence.add(minute(0, 0), minute(99, 50));
    assert_eq!(evidence.e_value(), before, "it made no requests");
    evidence.add(minute(50, 0), minute(50, 40));
    assert!(evidence.e_value() < before);
}

/// Users of one failure rate, of very different activity, with retries and shared outages: a year's chance for one of them
/// is 1 %, and in four days no one of 400 should be named.
#[test]
fn users_who_fail_as_often_as_others_are_not_named() {
    let mut random = Random(13);
    let activity: Vec<u64> = (0..400).map(|user| 1 + (user % 40) * (user % 40) / 60).collect();
    let mut evidence = vec![Evidence::default(); activity.len()];
    for at in 0..4 * 1_440 {
        let fails_of_10_000 = if at % 700 < 20 { 4_000 } else { 100 };
        let minutes: Vec<Minute> = activity
            .iter()
            .map(|events| {
                let bad = (0..*events).filter(|_| random.below(10_000) < fails_of_10_000).count() as u64;
                // Who fails tries twice more.
                minute(events + 2 * bad, 3 * bad)
            })
            .collect();
        let all = minutes.iter().fold(minute(0, 0), |all, m| minute(all.events + m.events, all.bad + m.bad));
        for (evidence, own) in evidence.iter_mut().zip(&minutes) {
            evidence.add(*own, minute(all.events - own.events, all.bad - own.bad));
            assert!(!evidence.is_enough());
        }
    }
}

#[test]
fn who_failed_often_recovers_after_five_good_minutes_and_others_later() {
    let after = |failed: &[bool]| {
        let mut run = Run::default();
        failed.iter().for_each(|failed| run.add(*failed));
        (1..200).find(|_| {
            run.add(false);
            run.has_recovered()
        })
    };
    assert_eq!(after(&[true; 50]), Some(5));
    assert_eq!(after(&[true; 3]), Some(60), "few minutes say little");
    let mut seldom = [false; 200];
    (0..200).step_by(10).for_each(|at| seldom[at] = true);
    let after = after(&seldom).expect("it recovers");
    assert!((35..60).contains(&after), "{after}");
}

proptest! {
    #[test]
    fn which_users_are_told_does_not_depend_on_how_they_are_spread_over_tasks(
        bad in prop::collection::vec((1u64..6, 1u64..6), 1..150), tasks in 1usize..5,
    ) {
        let user = |(id, (events, bad)): (usize, &(u64, u64))| FailingUser {
            hash: (id as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            user: format!("u{id}").into(),
            events: events + bad,
            bad_events: *bad,
            ..FailingUser::default()
        };
        let all: Vec<FailingUser> = bad.iter().enumerate().map(user).collect();
        let mut told: Vec<FailingUser> = (0..tasks).rev().flat_map(|task| {
            let mut own: Vec<FailingUser> = all.iter().skip(task).step_by(tasks).cloned().collect();
            keep_worst_served(&mut own);
            own
        }).collect();
        keep_worst_served(&mut told);
        let mut expected = all;
        keep_worst_served(&mut expected);
        prop_assert_eq!(told, expected);
    }
}
