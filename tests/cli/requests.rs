//! Attempts that share a trace_id are one request, with a time of its own.

use crate::program::Program;
use serde_json::{Value, json};

const SLO: &str = include_str!("../../ops/examples/slos/llm/requests.yaml");
const START_MS: i64 = 1_780_000_000_000;

/// Trace, user, the end in seconds, how long it took in milliseconds, and the status.
const EVENTS: [(&str, &str, i64, i64, i64); 11] = [
    // Answered at the third try: 3.5 s after the first one ended, which took 0.3 s.
    ("a", "ann", 1, 300, 429),
    ("a", "ann", 2, 200, 429),
    ("a", "ann", 4, 310, 200),
    // Of the same user at the same time: never answered.
    ("b", "ann", 2, 100, 429),
    ("b", "ann", 3, 100, 503),
    ("c", "bob", 5, 900, 200),
    // Answered, but 31.1 s after it began.
    ("d", "bob", 6, 100, 503),
    ("d", "bob", 37, 400, 200),
    // Nobody's, and of no trace.
    ("e", "", 8, 100, 200),
    ("", "bob", 9, 100, 200),
    // Time goes on.
    ("f", "cid", 600, 1_000, 200),
];

fn lines() -> String {
    let line = |(trace, user, end_s, latency_ms, status): &(&str, &str, i64, i64, i64)| {
        let mut event = json!({"tenant": "acme", "timestamp": START_MS + end_s * 1_000, "status": status,
                               "latency_ms": latency_ms, "attributes": {"model": "small"}});
        for (name, text) in [("trace_id", trace), ("user", user)].iter().filter(|(_, text)| !text.is_empty()) {
            event[*name] = json!(text);
        }
        format!("{event}\n")
    };
    EVENTS.iter().map(line).collect()
}

#[test]
fn retries_that_share_a_trace_are_one_request() {
    let program = Program::new().with_file("slo.yaml", SLO).with_file("events.jsonl", &lines());
    let ran = program.run(&["backtest", "--slos", "slo.yaml", "--input", "events.jsonl", "--out", "out"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let text = std::fs::read_to_string(program.path().join("out/slo-status.jsonl")).expect("statuses");
    let mut statuses = text.lines().rev().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let status = statuses.find(|status| status["scope"] == "aggregate").expect("a status");
    let step = json!({"name": "answer", "entered": 5, "failed": 2, "abandoned": 0});
    assert_eq!(status["journey"], json!({"attempts": 5, "abandoned": 0, "stray": 0, "steps": [step], "compound": 0.6}));
    let month = status["windows"].as_array().and_then(|windows| windows.last()).expect("windows");
    assert_eq!((&month["good"], &month["bad"]), (&json!(3.0), &json!(2.0)), "{month}");
    assert_eq!((&status["counts"]["accepted"], &status["counts"]["unclassified"]), (&json!(9), &json!(2)));
    // Requests of 0.9, 1, 3.3 and 31.1 s: nobody waited for the one that was never answered until it ended.
    let latency = |name: &str| month["latency_ms"][name].as_f64().expect("a time");
    assert!((latency("p50") - 3_300.0).abs() < 66.0 && (latency("p99") - 31_100.0).abs() < 700.0, "{month}");
}

#[test]
fn what_events_cannot_share_is_refused_with_what_they_can() {
    for (wrong, words) in [
        (SLO.replace("by: trace_id", "by: latency_ms"), "events cannot share `latency_ms`"),
        (SLO.replace("within: 30s", "within: 30"), "`30` is too long, or no duration"),
        (SLO.replace("retries: 100", "retries: -1"), "-1 is no number of retries"),
    ] {
        let program = Program::new().with_file("slo.yaml", &wrong);
        let ran = program.run(&["check", "--slos", "slo.yaml"]);
        assert!(ran.code == Some(78) && ran.stdout.contains(words), "{}", ran.stdout);
    }
}
