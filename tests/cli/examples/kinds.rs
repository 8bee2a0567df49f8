//! The examples that count something other than events, or not over a rolling window.

use super::count::{Arrived, DAY, HOUR, Is, MINUTE, Unit, events, floor, slices, start, sums, within};
use super::rules::{Key, Rule, defaults};
use super::{Ran, by_status, compare_alerts, compare_window, error, is_op, ms, near, of_operation};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The documents that are compared here.
pub const COMPARED: [&str; 10] = [
    "assistant-safety",
    "checkout-journey",
    "checkout-minutes",
    "contract-month",
    "export-freshness",
    "feature-adoption",
    "shop-experience",
    "store-rating",
    "upstream-ratio",
    "video-minutes",
];

const WHOLE: u128 = 1_000_000_000;

fn share(inside: &[&Unit]) -> (u128, u128) {
    let (good, bad) = sums(inside);
    (good, good + bad)
}

/// An example that counts slices.
struct Sliced {
    slo: &'static str,
    allowed: u128,
    window: i64,
    length: i64,
    rules: Vec<Rule>,
}

impl Sliced {
    /// `counted`: its events, as far as they count. `judge`: how good a slice is.
    fn compare(&self, counted: fn(&Value) -> Is, judge: impl Fn(&[&Unit], &[Arrived]) -> Option<u128>) {
        let ran = Ran::of(self.slo);
        let (arrived, t) = ran.arrivals(HOUR);
        let units = events(&arrived, counted);
        let slices = slices(&units, self.length, |inside| judge(inside, &arrived));
        let first = units.iter().map(|unit| unit.time).min().expect("events");
        compare_window(ran.aggregate(self.slo), &slices, first, self.allowed, self.window, WHOLE as f64, t);
        let key = Key {
            rules: &self.rules,
            parts: &[(slices, self.allowed, 1)],
            events: &units,
            counted: &units,
            allowed: 0.0,
            min_events: 0,
            guards: false,
        };
        compare_alerts(&ran, self.slo, &key, &[], t);
    }
}

/// The values of a measure in a slice.
fn values(inside: &[&Unit], arrived: &[Arrived], name: &str) -> Vec<f64> {
    let times: BTreeSet<i64> = inside.iter().map(|unit| unit.time).collect();
    let of_slice = arrived.iter().filter(|a| times.contains(&a.time));
    of_slice.filter_map(|a| a.event["measures"][name].as_f64()).collect()
}

#[test]
fn the_examples_over_slices_say_what_their_documents_mean() {
    let minutes =
        Sliced { slo: "checkout-minutes", allowed: 5_000, window: 28 * DAY, length: MINUTE, rules: defaults(28) };
    minutes.compare(
        |e| of_operation(e, "checkout", by_status),
        |inside, _| {
            let (good, all) = share(inside);
            (inside.len() >= 5).then_some(if 100 * good >= 95 * all { WHOLE } else { 0 })
        },
    );
    let fresh = Sliced {
        slo: "export-freshness",
        allowed: 100_000,
        window: 7 * DAY,
        length: HOUR,
        rules: vec![Rule::new("6h/1h", 6 * HOUR, HOUR, (3, 1), true), Rule::new("1d/2h", DAY, 2 * HOUR, (2, 1), false)],
    };
    fresh.compare(
        |e| of_operation(e, "probe", |_| Is::Good),
        |inside, arrived| {
            let ages = values(inside, arrived, "age_minutes");
            Some(if ages.iter().all(|age| *age <= 90.0) { WHOLE } else { 0 })
        },
    );
    let ratio =
        Sliced { slo: "upstream-ratio", allowed: 20_000, window: 28 * DAY, length: 5 * MINUTE, rules: defaults(28) };
    ratio.compare(
        |e| Is::good(e["measures"]["success_ratio"].is_number()),
        |inside, arrived| {
            let ratios = values(inside, arrived, "success_ratio");
            let sum: i64 = ratios.iter().map(|ratio| (ratio * 1e6).round() as i64).sum();
            Some(if sum >= 990_000 * ratios.len() as i64 { WHOLE } else { 0 })
        },
    );
    let video = Sliced { slo: "video-minutes", allowed: 10_000, window: 28 * DAY, length: MINUTE, rules: defaults(28) };
    video.compare(
        |e| {
            let is_fast = e["measures"]["start_ms"].as_f64().is_some_and(|ms| ms <= 2_000.0);
            of_operation(e, "play", |e| Is::good(error(e).is_empty() && is_fast))
        },
        |inside, _| {
            let (good, all) = share(inside);
            Some((good as f64 / all as f64 * 1e9).round_ties_even() as u128)
        },
    );
}

/// A component: name, allowed in millionths, weight, what it means.
type Part = (&'static str, u128, u128, fn(&Value) -> Is);

fn compare_composite(slo: &str, parts: &[Part], guards: bool) {
    let ran = Ran::of(slo);
    let (arrived, t) = ran.arrivals(HOUR);
    let from = start(t, 28 * DAY);
    let weights: u128 = parts.iter().map(|(_, _, weight, _)| weight).sum();
    let allowed =
        parts.iter().map(|(_, allowed, weight, _)| allowed * weight).sum::<u128>() as f64 / weights as f64 / 1e6;
    let mut burn = 0.0;
    let mut lists = Vec::new();
    for (name, part_allowed, weight, is) in parts {
        let units = events(&arrived, is);
        let first = units.iter().map(|unit| unit.time).min().expect("events");
        let of_part = format!("{slo}:{name}");
        compare_window(ran.aggregate(&of_part), &units, first, *part_allowed, 28 * DAY, 1e6, t);
        let (good, bad) = sums(&within(&units, from, t));
        burn += *weight as f64 * (bad as f64 / (good + bad) as f64 / (*part_allowed as f64 / 1e6));
        let key = Key {
            rules: &defaults(28),
            parts: &[(units.clone(), *part_allowed, 1)],
            events: &units,
            counted: &units,
            allowed: *part_allowed as f64 / 1e6,
            min_events: 0,
            guards,
        };
        compare_alerts(&ran, &of_part, &key, &[], t);
        lists.push((units, *part_allowed, *weight));
    }
    burn /= weights as f64;
    let status = ran.aggregate(slo);
    let window = status["windows"].as_array().and_then(|windows| windows.last()).expect("a window");
    near(&window["sli"], 1.0 - burn * allowed, slo);
    near(&status["budget_remaining"], 1.0 - burn, slo);
    // Each event once: bad if bad for one, else good if good for one.
    let of_all = |e: &Value| {
        let verdicts: Vec<Is> = parts.iter().map(|(_, _, _, is)| is(e)).collect();
        [Is::Bad, Is::Good].into_iter().find(|is| verdicts.contains(is)).unwrap_or(Is::Out)
    };
    let all = events(&arrived, of_all);
    assert_eq!(status["counts"]["accepted"], all.len(), "{slo}");
    let key = Key { rules: &defaults(28), parts: &lists, events: &all, counted: &all, allowed, min_events: 0, guards };
    compare_alerts(&ran, slo, &key, &[], t);
}

#[test]
fn the_composites_say_what_their_documents_mean() {
    let answers: fn(&Value) -> Is = |e| Is::good(e["status"].as_i64().is_some_and(|status| status < 500));
    let speed: fn(&Value) -> Is = |e| e["latency_ms"].as_f64().map_or(Is::Out, |latency| Is::good(latency <= 300.0));
    compare_composite("shop-experience", &[("answers", 1_000, 3, answers), ("speed", 50_000, 1, speed)], true);
    let harmless: fn(&Value) -> Is = |e| match e["attributes"]["safety"].as_str() {
        Some(safety) => of_operation(e, "chat", |_| Is::good(safety != "harmful" && safety != "unknown")),
        None => Is::Out,
    };
    let helpful: fn(&Value) -> Is = |e| match e["attributes"]["safety"] == "safe" {
        true => of_operation(e, "chat", |e| Is::good(e["attributes"]["refused"] != "true")),
        false => Is::Out,
    };
    let parts: [Part; 2] = [("harmless", 1_000, 10, harmless), ("helpful", 50_000, 1, helpful)];
    compare_composite("assistant-safety", &parts, false);
}

#[test]
fn the_contract_s_month_begins_at_midnight_in_berlin() {
    const JUNE: i64 = 1_780_264_800_000;
    const JULY: i64 = JUNE + 30 * DAY;
    let ran = Ran::of("contract-month");
    let (arrived, t) = ran.arrivals(HOUR);
    let units = events(&arrived, |e| of_operation(e, "pay", by_status));
    let status = ran.aggregate("contract-month");
    let (good, bad) = sums(&within(&units, JUNE, t));
    let window = status["windows"].as_array().and_then(|windows| windows.last()).expect("the month");
    near(&window["good"], good as f64 / 1e6, "good");
    near(&window["bad"], bad as f64 / 1e6, "bad");
    assert_eq!((ms(&status["period"]["start"]), ms(&status["period"]["end"])), (JUNE, JULY));
    // The key is older than the month: its coverage is whole.
    let elapsed = (t - JUNE) as f64 / (JULY - JUNE) as f64;
    let burn = |allowed: f64| bad as f64 / (good + bad) as f64 / allowed;
    near(&status["budget_spent_of_period"], burn(0.001) * elapsed, "spent");
    near(&status["budget_remaining"], 1.0 - burn(0.001) * elapsed, "budget");
    assert_eq!(status["policy"]["action"], "ship", "{}", status["policy"]);
    // The agreement: the same events, in the same months, by another objective.
    near(&status["sla"]["good"], good as f64 / 1e6, "good of the agreement");
    near(&status["sla"]["bad"], bad as f64 / 1e6, "bad of the agreement");
    near(&status["sla"]["budget_remaining"], 1.0 - burn(0.005) * elapsed, "budget of the agreement");
    let (may_good, may_bad) = sums(&within(&units, JUNE - 31 * DAY, JUNE));
    near(&status["previous"]["good"], may_good as f64 / 1e6, "good of May");
    near(&status["previous"]["bad"], may_bad as f64 / 1e6, "bad of May, the one at 23:59:59 among them");
    assert_eq!(may_bad, 2_000_000);
    let agreed: BTreeMap<String, &Value> = ran.last("contract-month");
    let objectives: BTreeSet<String> =
        agreed.values().map(|s| format!("{} {}", s["tenant"], s["sla"]["objective"])).collect();
    let expected = ["\"acme\" 0.999", "\"globex\" 0.995", "\"initech\" 0.99", "null 0.995"];
    assert_eq!(objectives, expected.map(str::to_owned).into_iter().collect());
    let key = Key {
        rules: &defaults(30),
        parts: &[(units.clone(), 1_000, 1)],
        events: &units,
        counted: &units,
        allowed: 0.001,
        min_events: 0,
        guards: true,
    };
    // At the rates of these days there is a failure a day: 28 more in June, where 0.5 % of its events are 7.
    compare_alerts(&ran, "contract-month", &key, &["sla"], t);
}

#[test]
fn the_adoption_counts_each_user_once() {
    let ran = Ran::of("feature-adoption");
    let (arrived, t) = ran.arrivals(HOUR);
    let from = start(t, 7 * DAY);
    let users = |is_new: bool| {
        let searched = arrived.iter().filter(|a| (from..t).contains(&a.time) && is_op(&a.event, "search"));
        let searched = searched.filter(|a| !is_new || a.event["attributes"]["engine"] == "new");
        searched.map(|a| a.event["user"].as_str().expect("a user").to_owned()).collect::<BTreeSet<_>>().len()
    };
    let (good, all) = (users(true) as f64, users(false) as f64);
    let status = ran.aggregate("feature-adoption");
    let window = status["windows"].as_array().and_then(|windows| windows.last()).expect("a week");
    near(&window["good"], good, "users of the new engine");
    near(&window["bad"], all - good, "the others");
    near(&status["budget_remaining"], 1.0 - (1.0 - good / all) / 0.6, "budget");
    assert!(good / all < 0.4, "it starts red");
}

#[test]
fn the_rating_is_a_mean_with_a_trend() {
    let ran = Ran::of("store-rating");
    let (arrived, t) = ran.arrivals(HOUR);
    let from = start(t, 28 * DAY);
    let rated: Vec<(i64, f64)> =
        arrived.iter().filter_map(|a| Some((a.time, a.event["measures"]["rating"].as_f64()?))).collect();
    let inside: Vec<&(i64, f64)> = rated.iter().filter(|(time, _)| (from..t).contains(time)).collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let value = mean(&inside.iter().map(|(_, rating)| *rating).collect::<Vec<_>>());
    let gauge = &ran.aggregate("store-rating")["gauge"];
    near(&gauge["value"], value, "the mean");
    near(&gauge["progress"], (value - 3.1) / (4.5 - 3.1), "the way so far");
    assert_eq!(gauge["is_met"], value >= 4.5);
    // The least-squares slope through the whole days.
    let mut days: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for (time, rating) in inside {
        let day = floor(*time, DAY);
        if day >= from && day + DAY <= t {
            days.entry(day / DAY).or_default().push(*rating);
        }
    }
    let points: Vec<(f64, f64)> = days.iter().map(|(day, ratings)| (*day as f64, mean(ratings))).collect();
    let (x, y) =
        (mean(&points.iter().map(|p| p.0).collect::<Vec<_>>()), mean(&points.iter().map(|p| p.1).collect::<Vec<_>>()));
    let slope = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>()
        / points.iter().map(|p| (p.0 - x) * (p.0 - x)).sum::<f64>();
    near(&gauge["trend_per_day"], slope, "the trend");
    let expected_ms = t as f64 + (4.5 - value) / slope * DAY as f64;
    assert!((ms(&gauge["expected_at"]) as f64 - expected_ms).abs() <= 1.0, "{gauge}");
}
