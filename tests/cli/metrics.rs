//! The SLO metrics of `/metrics`, from the records of a backtest.

use crate::program::Program;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use tailburn::http::{Board, Update};
use tailburn::telemetry::{Committed, figures};

const SLO: &str = include_str!("../fixtures/availability.yaml");
const START_MS: i64 = 1_780_000_000_000;
const MINUTE_MS: i64 = 60_000;

/// The metrics after all records up to this `at` are committed.
fn text_at(statuses: &str, until: &str) -> String {
    let board = Board::default();
    for line in statuses.lines() {
        let status: Value = serde_json::from_str(line).expect("JSON");
        if status["scope"] == "aggregate" && status["at"].as_str().is_some_and(|at| at <= until) {
            let key = format!("{}|aggregate", status["slo"].as_str().expect("a name"));
            board.publish([Update::Status { key, json: line.into() }]);
        }
    }
    let aggregates = board.aggregates();
    let aggregates: Vec<&[u8]> = aggregates.iter().map(|json| &**json).collect();
    figures(&Committed { aggregates: &aggregates, firing: &[], keys: &BTreeMap::new(), canaries: &[] }).text()
}

#[test]
fn hours_after_the_last_event_no_burn_rate_is_shown() {
    let mut input = String::new();
    for second in 0..600 {
        let at = START_MS + second * 1_000;
        let _ = writeln!(
            input,
            r#"{{"tenant":"a","user":"u{second}","timestamp":{at},"operation":"checkout","status":503}}"#
        );
    }
    // Excluded events do not count, but move time.
    for minute in 10..270 {
        let at = START_MS + minute * MINUTE_MS;
        let _ = writeln!(input, r#"{{"tenant":"a","timestamp":{at},"operation":"heartbeat"}}"#);
    }
    let program = Program::new().with_file("slo.yaml", SLO).with_file("in.jsonl", &input);
    let ran = program.run(&["backtest", "--slos", "slo.yaml", "--input", "in.jsonl", "--out", "out"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let statuses = std::fs::read_to_string(program.path().join("out/slo-status.jsonl")).expect("statuses");

    let during = text_at(&statuses, "2026-05-28T20:35:00.000Z");
    let burn = |text: &str, window: &str| {
        let name = format!("tailburn_slo_burn_rate{{slo=\"availability\",window=\"{window}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name).map(|figure| figure.parse::<f64>().expect("a number")))
    };
    assert!(burn(&during, "5m").is_some_and(|rate| rate > 900.0), "{during}");
    assert!(during.contains("tailburn_slo_state{slo=\"availability\",state=\"no_data\"} 0"), "{during}");

    let after = text_at(&statuses, "9999");
    for window in ["5m", "30m", "1h", "2h"] {
        assert_eq!(burn(&after, window), None, "{after}");
    }
    assert!(burn(&after, "28d").is_some_and(|rate| rate > 900.0), "the compliance window still holds them: {after}");
    assert!(after.contains("tailburn_slo_state{slo=\"availability\",state=\"no_data\"} 1"), "{after}");
    let time = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("tailburn_slo_status_timestamp_seconds{")).expect("T");
        line.rsplit(' ').next().and_then(|t| t.parse::<f64>().ok()).expect("a time")
    };
    assert!(time(&after) - time(&during) > 2.5 * 3_600.0, "{after}");
}
