//! tailburn's SLO on itself, over its own log lines.

use crate::program::Program;
use crate::read;
use serde_json::{Value, json};
use std::fmt::Write as _;

const START_MS: i64 = 1_780_000_000_000;

/// A log of `run`: two hours, in the second of which twenty minutes were evaluated at once, after a stop.
fn log() -> String {
    let mut log = String::new();
    let mut line = |minute: i64, fields: Value| {
        let time = |ms: i64| jiff::Timestamp::from_millisecond(ms).expect("a time").to_string();
        let now_ms = START_MS + minute * 60_000;
        let mut all = json!({"timestamp": time(now_ms), "level": "INFO", "target": "tailburn::punctual"});
        all.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        let _ = writeln!(log, "{all}");
    };
    for minute in (0..120).filter(|minute| !(70..90).contains(minute)) {
        let (latency_ms, minutes) = if minute == 90 { (1_200_000, 21) } else { (9_000 + minute, 1) };
        let fields = json!({"message": "evaluated", "at": "2026-05-28T20:00:00.000Z", "latency_ms": latency_ms,
                            "minutes": minutes, "instance": "tailburn-1"});
        line(minute, fields);
        line(minute, json!({"message": "the transaction was aborted: sending it once more"}));
    }
    log
}

#[test]
fn minutes_that_were_evaluated_late_are_bad_and_other_lines_do_not_count() {
    let program = Program::new()
        .with_file("tailburn.yaml", &read("ops/self/tailburn.yaml"))
        .with_file("event-to-alert.yaml", &read("ops/self/event-to-alert.yaml"))
        .with_file("log.jsonl", &log());
    let args = [
        "backtest",
        "--config",
        "tailburn.yaml",
        "--slos",
        "event-to-alert.yaml",
        "--input",
        "log.jsonl",
        "--out",
        "out",
    ];
    let ran = program.run(&args);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let statuses = std::fs::read_to_string(program.path().join("out/slo-status.jsonl")).expect("statuses");
    let last: Value = statuses
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .rfind(|status| status["scope"] == "aggregate")
        .expect("a status");
    let period = last["windows"].as_array().and_then(|windows| windows.last()).expect("a window").clone();
    assert_eq!((&period["good"], &period["bad"]), (&json!(99.0), &json!(21.0)), "{last}");
    assert_eq!(last["counts"]["unclassified"], 0);
    let dead = std::fs::read_to_string(program.path().join("out/dead-letters.jsonl")).expect("dead letters");
    assert_eq!(dead, "");
}
