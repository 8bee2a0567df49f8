//! Two days over the beginning of summer time in New York, counted in slices of a minute to six hours.

use serde_json::{Value, json};

use crate::agreement::{assert_agree, backtest};
use crate::coverage::Coverage;
use crate::input::Format;
use crate::replay::replay;
use crate::slo::{self, Rule, Slo};
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use crate::traffic::{self, ABSENT, Incident, Plan, Who};
use crate::units::assert_reached;

const SLOS: [(&str, &str); 5] = [
    ("a.yaml", include_str!("slos/slices/five-minutes.yaml")),
    ("b.yaml", include_str!("slos/slices/ratio.yaml")),
    ("c.yaml", include_str!("slos/slices/hours.yaml")),
    ("d.yaml", include_str!("slos/slices/latency.yaml")),
    ("e.yaml", include_str!("slos/slices/quarter-days.yaml")),
];

/// 2026-03-07T03:00:06.417Z; the clocks go forward on 8 March.
const START_MS: i64 = traffic::START_MS + 5 * DAY_MS;

/// A tenant falls silent for more than a day, is forgotten, and comes back.
pub fn plan(seed: u64) -> Plan {
    let incident = |from_min, to_min, who, share| Incident { from_min, to_min, who, share };
    let incidents = vec![
        incident(300, 345, Who::All, 1.0),
        incident(600, 700, Who::Tenant("acme"), 0.2),
        incident(700, 715, Who::Tenant("gone"), 1.0),
        incident(715, 2_300, Who::Tenant("gone"), ABSENT),
        incident(900, 940, Who::All, 0.05),
        incident(1_000, 1_060, Who::User(0), 1.0),
        incident(1_200, 1_700, Who::Region("eu"), 0.6),
        incident(1_500, 1_590, Who::All, 1.0),
        incident(1_800, 1_890, Who::All, ABSENT),
    ];
    Plan {
        seed,
        start_ms: START_MS,
        duration_ms: 50 * HOUR_MS,
        per_hour: 230.0,
        users: 60,
        tenants: &["acme", "beta", "acme", "gone", "acme"],
        base: 0.0015,
        incidents,
        has_releases: false,
    }
}

/// A tenant whose slices stand exactly at the edges: an SLI of an odd number of half billionths in each minute of two
/// hours, then slices of five minutes with 19 of 20 events good.
pub fn edges() -> Vec<(i64, String)> {
    let line = |time_ms: i64, status: i64, weight: f64| {
        let user = format!("e{}", time_ms % 7);
        let event = json!({"tenant": "edges", "user": user, "timestamp": time_ms, "operation": "pay",
                           "status": status, "latency_ms": 10.0, "weight": weight});
        (time_ms, event.to_string())
    };
    let begin_ms = START_MS + HOUR_MS - START_MS % HOUR_MS;
    let halves = (0..120).flat_map(|minute| {
        let time_ms = begin_ms + minute * MINUTE_MS + 20_000;
        let good = if minute % 2 == 0 { 1.0 } else { 5.0 };
        [line(time_ms, 200, good / 1e6), line(time_ms + 1_000, 503, (2e9 - good) / 1e6)]
    });
    let at_target = (0..240).map(|n| {
        let time_ms = begin_ms + 3 * HOUR_MS + n * 15_000;
        line(time_ms, if n % 20 == 7 { 500 } else { 200 }, 0.333_333)
    });
    halves.chain(at_target).collect()
}

/// Adds timed lines to a partition: each before the first event that is later.
pub fn mix(lines: Vec<String>, more: Vec<(i64, String)>) -> Vec<String> {
    let mut more = more.into_iter().peekable();
    let mut mixed = Vec::new();
    for line in lines {
        let time = serde_json::from_str::<Value>(&line).ok().and_then(|event| event["timestamp"].as_i64());
        while let Some((_, other)) = more.next_if(|(time_ms, _)| time.is_some_and(|time| time > *time_ms)) {
            mixed.push(other);
        }
        mixed.push(line);
    }
    mixed.extend(more.map(|(_, line)| line));
    mixed
}

fn rules(slos: &[Slo], name: &str) -> Vec<String> {
    slos.iter().filter(|slo| slo.name == name).flat_map(|slo| slo.rules.iter().map(Rule::name)).collect()
}

fn count(records: &[Value], has: &dyn Fn(&Value) -> bool) -> usize {
    records.iter().filter(|record| has(record)).count()
}

#[test]
fn the_program_agrees_on_slices_of_time() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut lines = plan(31).lines();
    lines[0] = mix(std::mem::take(&mut lines[0]), edges());
    let slos = traffic::write_slos(directory.path(), &SLOS);
    let inputs = traffic::write_lines(directory.path(), &lines);
    let loaded = slo::load(&slos).expect("the SLOs");
    let oracle = replay(&loaded, &inputs, Format::JsonLines);
    eprintln!("{} statuses, {} alerts", oracle.statuses.len(), oracle.alerts.len());
    assert_reached(&[
        "too few events in a slice",
        "a slice at its target",
        "half a billionth",
        "a late event that changes a slice",
        "a window that begins inside a slice",
        "a key that comes back",
    ]);
    assert_eq!(rules(&loaded, "five-minutes"), ["90m/8m", "6h/30m", "18h/90m", "sla"]);
    assert_eq!(rules(&loaded, "latency"), ["1d/2h", "3d/6h", "sla"]);
    assert_eq!(rules(&loaded, "quarter-days"), [""; 0]);
    let some = |what: &str, has: &dyn Fn(&Value) -> bool| assert!(count(&oracle.statuses, has) > 0, "no {what}");
    some("period before without a slice", &|s| s["previous"].is_object() && s["previous"]["sli"].is_null());
    some("final period", &|s| s["previous"]["is_final"] == true && s["previous"]["sli"].is_number());
    some("missed agreement", &|s| s["sla"]["is_missed"] == true);
    for action in ["ship", "caution", "freeze", "rollback"] {
        some(action, &|s| s["policy"]["action"] == action);
    }
    Coverage::of(&oracle).assert_slices();
    let program = backtest(&slos, &inputs, Format::JsonLines, &directory.path().join("out"));
    assert_agree(&oracle, &program);
}
