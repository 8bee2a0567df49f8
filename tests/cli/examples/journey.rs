//! The example of a journey: attempts of customers, step by step, as section 11 of the contract has it.

use super::count::{Arrived, DAY, HOUR, MINUTE, Unit, events, floor, start, sums, within};
use super::rules::{Key, defaults};
use super::{Ran, by_status, compare_alerts, compare_window, near};
use crate::examples::count::Is;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const STEPS: [&str; 3] = ["cart", "address", "pay"];
const RETRIES: [u64; 3] = [0, 0, 1];
const TIMEOUT: i64 = 15 * MINUTE;

fn step(event: &Value) -> Option<usize> {
    STEPS.iter().position(|step| event["operation"] == *step)
}

/// An attempt that has begun.
struct Open {
    started: i64,
    step: usize,
    failures: u64,
    region: String,
    who: String,
}

/// An attempt that is over; neither good nor bad: abandoned.
struct Decided {
    unit: Unit,
    is_abandoned: bool,
    step: usize,
    region: String,
}

#[derive(Default)]
struct Attempts {
    open: BTreeMap<String, Open>,
    decided: Vec<Decided>,
    /// Time and region.
    stray: Vec<(i64, String)>,
}

impl Attempts {
    fn decide(&mut self, attempt: Open, time: i64, visible: i64, good: Option<bool>) {
        let (good_part, bad_part) = match good {
            Some(true) => (1_000_000, 0),
            Some(false) => (0, 1_000_000),
            None => (0, 0),
        };
        let unit = Unit { time, visible, good: good_part, bad: bad_part, who: Some(attempt.who) };
        self.decided.push(Decided { unit, is_abandoned: good.is_none(), step: attempt.step, region: attempt.region });
    }

    /// Bad where something failed before, else abandoned.
    fn end(&mut self, attempt: Open, time: i64, visible: i64) {
        let good = (attempt.failures > 0).then_some(false);
        self.decide(attempt, time, visible, good);
    }

    fn time_out(&mut self, attempt: Open) {
        let time = attempt.started + TIMEOUT;
        self.end(attempt, time, floor(time, 10_000) + 10_000);
    }

    fn take(&mut self, a: &Arrived) {
        let (Some(j), e) = (step(&a.event), &a.event) else { return };
        let is_good = e["status"].as_i64().is_some_and(|status| status < 500);
        let who = format!("{}/{}", e["tenant"], e["user"]);
        let region = e["attributes"]["region"].as_str().expect("a region").to_owned();
        let mut open = self.open.remove(&who);
        if let Some(old) = open.take_if(|open| a.time >= open.started + TIMEOUT) {
            self.time_out(old);
        }
        if let Some(old) = open.take_if(|open| j == 0 && open.step > 0) {
            self.end(old, a.time, a.visible);
        }
        let mut attempt = match open {
            Some(attempt) => attempt,
            None if j == 0 => Open { started: a.time, step: 0, failures: 0, region, who: who.clone() },
            None => return self.stray.push((a.time, region)),
        };
        if j == attempt.step && is_good {
            if j + 1 == STEPS.len() {
                return self.decide(attempt, a.time, a.visible, Some(true));
            }
            (attempt.step, attempt.failures) = (j + 1, 0);
        } else if j == attempt.step {
            attempt.failures += 1;
            if attempt.failures > RETRIES[j] {
                return self.decide(attempt, a.time, a.visible, Some(false));
            }
        }
        self.open.insert(who, attempt);
    }

    fn of(arrived: &[Arrived], t: i64) -> Attempts {
        let mut sorted: Vec<&Arrived> = arrived.iter().collect();
        sorted.sort_by_key(|a| (a.visible, a.time, step(&a.event), a.event["status"].as_i64()));
        let mut attempts = Attempts::default();
        sorted.into_iter().for_each(|a| attempts.take(a));
        for (_, open) in std::mem::take(&mut attempts.open) {
            if open.started + TIMEOUT < t {
                attempts.time_out(open);
            }
        }
        attempts
    }
}

#[test]
fn the_journey_counts_attempts_and_says_where_they_fail() {
    let ran = Ran::of("checkout-journey");
    let (arrived, t) = ran.arrivals(HOUR);
    let attempts = Attempts::of(&arrived, t);
    let from = start(t, 28 * DAY);
    let of_steps = |e: &Value| if step(e).is_some() { by_status(e) } else { Is::Out };
    let seen = events(&arrived, of_steps);
    let first = seen.iter().map(|unit| unit.time).min().expect("events");
    let statuses = ran.last("checkout-journey");
    let whole = statuses.values().filter(|s| s["scope"] == "aggregate" || s["scope"] == "group");
    assert_eq!(whole.clone().count(), 3);
    for status in whole {
        let is_of = |region: &str| status["group"]["region"].is_null() || status["group"]["region"] == region;
        let own: Vec<&Decided> =
            attempts.decided.iter().filter(|d| is_of(&d.region) && (from..t).contains(&d.unit.time)).collect();
        let units: Vec<Unit> = own.iter().filter(|d| !d.is_abandoned).map(|d| d.unit.clone()).collect();
        let is_us = status["group"]["region"] == "us";
        // The first event of the other region is the second cart.
        let first = if is_us { first + 3 * MINUTE } else { first };
        compare_window(status, &units, first, 10_000, 28 * DAY, 1e6, t);
        let stray = attempts.stray.iter().filter(|(time, region)| is_of(region) && (from..t).contains(time)).count();
        let journey = &status["journey"];
        assert_eq!(journey["attempts"], own.len(), "{journey}");
        assert_eq!(journey["abandoned"], own.iter().filter(|d| d.is_abandoned).count(), "{journey}");
        assert_eq!(journey["stray"], stray, "{journey}");
        let mut compound = 1.0;
        for (k, name) in STEPS.iter().enumerate() {
            let is_paid = |d: &&&Decided| d.unit.good > 0;
            let entered = own.iter().filter(|d| d.step >= k || is_paid(d)).count();
            let failed = own.iter().filter(|d| d.step == k && d.unit.bad > 0).count();
            let abandoned = own.iter().filter(|d| d.step == k && d.is_abandoned).count();
            let expected = json!({"name": name, "entered": entered, "failed": failed, "abandoned": abandoned});
            assert_eq!(journey["steps"][k], expected, "{journey}");
            compound *= 1.0 - failed as f64 / entered as f64;
        }
        near(&journey["compound"], compound, "the compound of the steps");
    }
    let units: Vec<Unit> = attempts.decided.iter().filter(|d| !d.is_abandoned).map(|d| d.unit.clone()).collect();
    let (good, bad) = sums(&within(&units, from, t));
    let abandoned = attempts.decided.iter().filter(|d| d.is_abandoned).count();
    assert!(good > 0 && bad > 0 && abandoned > 0 && !attempts.stray.is_empty(), "each of them is there");
    let key = Key {
        rules: &defaults(28),
        parts: &[(units.clone(), 10_000, 1)],
        events: &seen,
        counted: &units,
        allowed: 0.01,
        min_events: 0,
        guards: true,
    };
    compare_alerts(&ran, "checkout-journey", &key, &[], t);
}
