//! What fails most, by dependency and type of error (contract, section 11).

use super::changes::Program;
use super::*;
use crate::model::output::Failure;

/// A bad event; dependency and type of error follow from `any` (see [`Event::outcome`]).
fn failed(time_ms: Ms, any: u64) -> Event {
    Event { any, ..plain(time_ms, 1, 503) }
}

/// What moves T on.
fn good(time_ms: Ms) -> Event {
    plain(time_ms, 1, 200)
}

fn failures(program: &Program, key: &str) -> Vec<(String, String, f64, f64)> {
    let of = |f: &Failure| (f.dependency.clone(), f.error_type.clone(), f.bad_1h, f.bad_period);
    program.latest[key].failures.iter().map(of).collect()
}

fn failure(dependency: &str, error_type: &str, bad_1h: f64, bad_period: f64) -> (String, String, f64, f64) {
    (dependency.to_owned(), error_type.to_owned(), bad_1h, bad_period)
}

#[test]
fn failures_are_ranked_by_the_last_hour_then_by_the_period_then_by_bytes() {
    let mut program = Program::new(slos(&[CHECKOUT]));
    let start_ms = START_MS / HOUR_MS * HOUR_MS;
    // d1/e0 is old; of d3 no type of error is known; d0 and d2 failed as often, once with another weight.
    let heavy = Event { weight: 3 * WEIGHT_ONE, ..failed(start_ms + 2 * HOUR_MS, 7) };
    program.feed(&[failed(start_ms, 1), failed(start_ms, 1), failed(start_ms, 1)]);
    program.feed(&[heavy, failed(start_ms + 2 * HOUR_MS, 3), failed(start_ms + 2 * HOUR_MS, 2)]);
    program.feed(&[good(start_ms + 2 * HOUR_MS + 10 * MINUTE_MS), good(start_ms + 2 * HOUR_MS + 12 * MINUTE_MS)]);
    let want = [
        failure("d0", "e1", 3.0, 3.0),
        failure("d2", "e0", 1.0, 1.0),
        failure("d3", "-", 1.0, 1.0),
        failure("d1", "e0", 0.0, 3.0),
    ];
    for key in ["checkout|aggregate", "checkout|tenant|t0", "checkout|group|region=eu"] {
        assert_eq!(failures(&program, key), want, "{key}");
    }
    let first = &program.latest["checkout|aggregate"].failures[0];
    assert_eq!((first.share_1h, first.share_period), (Some(0.6), Some(0.375)));
    // Two days later all of them left.
    program.feed(&[good(start_ms + 60 * HOUR_MS), good(start_ms + 60 * HOUR_MS + MINUTE_MS)]);
    assert_eq!(failures(&program, "checkout|aggregate"), []);
}

#[test]
fn sixty_four_pairs_are_told_apart_for_good_and_the_rest_is_ranked_like_one() {
    let mut program = Program::new(slos(&[CHECKOUT]));
    // 40 pairs at one boundary; then 40 more, of which the 24 that are first by bytes are admitted.
    let pairs = |at_ms: Ms, from: u64| (0..40).map(move |n| failed(at_ms, (from + n) * 21 + 7));
    let events: Vec<Event> = pairs(START_MS, 0).collect();
    let named = |event: &Event| (event.any % 7, event.any / 7 % 40, event.any % 3);
    assert_eq!(events.iter().map(named).collect::<BTreeSet<_>>().len(), 40);
    program.feed(&events);
    let more: Vec<Event> = (0..40).map(|n| failed(START_MS + MINUTE_MS, n * 21 + 8)).collect();
    let twice = [more.clone(), more].concat();
    program.feed(&twice);
    program.feed(&[good(START_MS + 3 * MINUTE_MS)]);
    let seen = failures(&program, "checkout|aggregate");
    assert_eq!(seen[0], failure("__other__", "__other__", 32.0, 32.0), "16 pairs with two events each: {seen:?}");
    assert!(seen[1..].iter().all(|(dependency, _, hour, _)| dependency == "d1" && *hour == 2.0), "{seen:?}");
    assert_eq!(seen.len(), 5);
}

#[test]
fn a_calendar_counts_its_period_and_a_new_window_is_filled_from_the_slices_at_hand() {
    let rolling = CHECKOUT.replace("name: checkout\n", "name: days\n");
    let calendar = "calendar: {startTime: '2026-01-01 07:00:00', timeZone: UTC}";
    let days = rolling.replace("2d, isRolling: true", &format!("1d, isRolling: false, {calendar}"));
    assert_ne!(days, rolling);
    let seven_ms = START_MS / DAY_MS * DAY_MS + 7 * HOUR_MS;
    let events = [
        failed(seven_ms - 20 * MINUTE_MS, 1),
        failed(seven_ms - MINUTE_MS, 1),
        failed(seven_ms + MINUTE_MS, 2),
        good(seven_ms + 20 * MINUTE_MS),
        good(seven_ms + 22 * MINUTE_MS),
    ];
    let mut program = Program::new(slos(&[&days]));
    events.iter().for_each(|event| program.feed(std::slice::from_ref(event)));
    let of_days = [failure("d1", "e0", 2.0, 0.0), failure("d2", "e0", 1.0, 1.0)];
    assert_eq!(failures(&program, "days|aggregate"), of_days);
    program.restart(&slos(&[&rolling]));
    program.feed(&[good(seven_ms + 24 * MINUTE_MS), good(seven_ms + 26 * MINUTE_MS)]);
    let of_two_days = [failure("d1", "e0", 2.0, 2.0), failure("d2", "e0", 1.0, 1.0)];
    assert_eq!(failures(&program, "days|aggregate"), of_two_days);
    program.restart(&slos(&[&days]));
    program.feed(&[good(seven_ms + 28 * MINUTE_MS), good(seven_ms + 30 * MINUTE_MS)]);
    assert_eq!(failures(&program, "days|aggregate"), of_days);
    // The next period begins with nothing.
    program.feed(&[good(seven_ms + DAY_MS + HOUR_MS), good(seven_ms + DAY_MS + HOUR_MS + 2 * MINUTE_MS)]);
    assert_eq!(failures(&program, "days|aggregate"), []);
}
