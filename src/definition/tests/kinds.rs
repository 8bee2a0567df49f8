//! Kinds of SLO that count something else than events (contract, section 11).

use super::*;
use crate::model::period::{Method, Slicing};
use crate::model::slo::Component;

const SLICES: &str = "objectives: [{displayName: standard, target: 0.999, timeSliceTarget: 0.95, timeSliceWindow: 5m}]";
const OBJECTIVES: &str = "objectives: [{displayName: standard, target: 0.999}]";

fn sliced(method: &str, objectives: &str) -> String {
    with("budgetingMethod: Occurrences", &format!("budgetingMethod: {method}")).replace(OBJECTIVES, objectives)
}

#[test]
fn slices_have_a_length_a_target_and_a_minimum() {
    let of = |text: &str| slo(text).method;
    let slicing = Slicing { slice_ms: 300_000, target: Ratio { num: 19, den: 20 }, min_events: 1 };
    assert_eq!(of(&sliced("Timeslices", SLICES)), Method::Timeslices(slicing));
    let ratio = SLICES.replace("timeSliceTarget: 0.95, ", "");
    let by_share = Slicing { target: Ratio::ZERO, ..slicing };
    assert_eq!(of(&sliced("RatioTimeslices", &ratio)), Method::RatioTimeslices(by_share));
    // A number is minutes.
    let minutes = SLICES.replace("5m", "5");
    let least = annotated("tailburn.dev/timeslice-min-events: \"7\"").replace("Occurrences", "Timeslices");
    let least = least.replace(OBJECTIVES, &minutes);
    assert_eq!(of(&least), Method::Timeslices(Slicing { min_events: 7, ..slicing }));
}

#[test]
fn slices_that_do_not_fit_are_refused_with_a_remedy() {
    for (method, objectives, words) in [
        ("Timeslices", SLICES.replace("5m", "7m"), "whole minutes that divide a day"),
        ("Timeslices", SLICES.replace("5m", "30s"), "whole minutes that divide a day"),
        ("Timeslices", SLICES.replace("0.95", "1.5"), "up to 1"),
        ("Timeslices", SLICES.replace("timeSliceTarget: 0.95, ", ""), "`timeSliceTarget` is missing"),
        ("RatioTimeslices", SLICES.to_owned(), "`timeSliceTarget` has no meaning"),
        ("Occurrences", SLICES.replace("timeSliceTarget: 0.95, ", ""), "`timeSliceWindow` has no meaning"),
    ] {
        let message = error(&sliced(method, &objectives));
        assert!(message.contains(words), "{method}: {message}");
    }
}

#[test]
fn a_rule_that_cannot_see_a_slice_is_left_out_or_refused() {
    let hours = SLICES.replace("5m", "1h");
    let rules: Vec<String> = slo(&sliced("Timeslices", &hours)).rules.iter().map(|rule| rule.name()).collect();
    assert_eq!(rules, ["1d/2h", "3d/6h"], "5m and 30m are shorter than a slice");
    let written = annotated("tailburn.dev/alert-rules: 1h/5m/10/page").replace("Occurrences", "Timeslices");
    let message = error(&written.replace(OBJECTIVES, &hours));
    assert!(message.contains("shorter than a slice of 1h"), "{message}");
}

const INDICATOR: &str = "indicator: {metadata: {name: NAME}, spec: {ratioMetric: {counter: true, \
    good: {metricSource: {type: tailburn, spec: {filter: \"has(status) && status < 500\"}}}}}}";

/// The document with an indicator for each objective, and none of its own.
fn composite(objectives: &[&str]) -> String {
    let own = &GOOD[GOOD.find("  indicator:").expect("an indicator")..GOOD.find("  timeWindow:").expect("a window")];
    let objectives: Vec<String> = objectives.iter().map(|text| format!("  - {{{text}, {INDICATOR}}}\n")).collect();
    GOOD.replace(own, "").replace(OBJECTIVES, &format!("objectives:\n{}", objectives.concat()))
}

#[test]
fn objectives_with_indicators_are_a_composite_and_its_components() {
    let text = composite(&["displayName: fast, target: 0.9, compositeWeight: 3", "displayName: right, target: 0.98"]);
    let slos = parsed(&text).expect("a composite").slos;
    let names: Vec<&str> = slos.iter().map(|slo| slo.name.as_str()).collect();
    assert_eq!(names, ["checkout", "checkout:fast", "checkout:right"]);
    let part = |name: &str, weight, num, den| Component {
        name: name.to_owned(),
        weight,
        objective: Ratio { num, den },
        method: Method::Occurrences,
    };
    assert_eq!(slos[0].components(), [part("checkout:fast", 3.0, 9, 10), part("checkout:right", 1.0, 49, 50)]);
    assert!((slos[0].objective.as_f64() - 0.92).abs() < 1e-12);
    assert!(!slos[0].has_budget_rule() && slos[1].has_budget_rule());
    assert_ne!(slos[0].filters_hash, slos[1].filters_hash);
}

#[test]
fn a_composite_that_cannot_be_is_refused_with_a_remedy() {
    let two = ["displayName: fast, target: 0.9", "displayName: right, target: 0.98"];
    let good = composite(&two);
    for (text, words) in [
        (good.replace("displayName: right, ", ""), "`displayName` is missing"),
        (good.replace(", target: 0.98", ", target: 0.98, compositeWeight: 0"), "0 is not a weight"),
        (good.replace("tailburn.dev/owner: payments", "tailburn.dev/canary: release"), "a composite has no canary"),
        (with(OBJECTIVES, &format!("objectives: [{{target: 0.9, {INDICATOR}}}]")), "its objectives have others"),
    ] {
        let message = errors(&text).join("\n");
        assert!(message.contains(words), "{message}");
    }
}

const COUNTED: &str = "has(status) && status < 500\"";

#[test]
fn users_are_counted_where_both_metrics_say_so() {
    let users = GOOD.replace(COUNTED, "has(status) && status < 500\", count: users");
    let both = users.replace("operation == 'checkout'\"", "operation == 'checkout'\", count: users");
    let counted = slo(&both);
    assert!(counted.counts_users() && counted.rules.is_empty() && !counted.has_budget_rule() && !counted.cohorts);
    let calendar =
        both.replace("isRolling: true", "isRolling: false, calendar: {startTime: 2026-01-01, timeZone: UTC}");
    let month = slo(&calendar.replace("28d", "1M"));
    assert_eq!(month.user_windows_ms, [63 * DAY_MS], "rows are kept for two periods");
    for (text, words) in [
        (users, "the other metric counts events"),
        (both.replace("count: users", "count: people"), "only users can be counted"),
    ] {
        let message = errors(&text).join("\n");
        assert!(message.contains(words), "{message}");
    }
}
