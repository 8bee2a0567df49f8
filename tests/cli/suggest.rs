//! `suggest` and `explain`: what they say, and that `suggest` says what a backtest would.

use crate::program::Program;
use serde_json::Value;
use std::fs;

const SLO: &str = include_str!("../fixtures/availability.yaml");
const START_MS: i64 = 1_780_000_000_000;

/// Three days of a checkout every 20 s by 40 users in turn, with an outage of 40 minutes and an hour of 5 % errors.
fn traffic() -> String {
    let event = |i: i64| {
        let at_s = i * 20;
        let is_bad = (100_000..102_400).contains(&at_s) || (180_000..183_600).contains(&at_s) && i % 20 == 0;
        let (at_ms, status) = (START_MS + at_s * 1_000, if is_bad { 503 } else { 200 });
        let user = i % 40;
        format!(
            "{{\"tenant\":\"a\",\"user\":\"u{user}\",\"timestamp\":{at_ms},\"operation\":\"checkout\",\"status\":{status}}}\n"
        )
    };
    (0..3 * 4_320).map(event).collect()
}

#[test]
fn a_candidate_is_judged_as_a_backtest_of_it_would_be() {
    let program = Program::new().with_file("slo.yaml", SLO).with_file("in.jsonl", &traffic());
    let args = ["suggest", "--slos", "slo.yaml", "--input", "in.jsonl"];
    let ran = program.run(&[&args[..], &["--json"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let candidates: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(candidates.iter().any(|c| c["is_own"] == true) && candidates.len() > 3, "{}", ran.stdout);
    assert!(candidates.iter().any(|c| c["pages"].as_u64() > Some(0)), "{}", ran.stdout);
    for candidate in &candidates {
        let text = SLO.replace("target: 0.999", &format!("target: {}", candidate["objective"]));
        fs::write(program.path().join("one.yaml"), text).expect("an SLO");
        let ran = program.run(&["backtest", "--slos", "one.yaml", "--input", "in.jsonl", "--out", "out"]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let alerts = fs::read_to_string(program.path().join("out/burn-alerts.jsonl")).expect("alerts");
        let alerts: Vec<Value> = alerts.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let count = |severity: &str| {
            let of = |a: &&Value| a["scope"] == "aggregate" && a["state"] == "firing" && a["severity"] == severity;
            alerts.iter().filter(of).count() as u64
        };
        let (pages, tickets) = (candidate["pages"].as_u64(), candidate["tickets"].as_u64());
        assert_eq!((pages, tickets), (Some(count("page")), Some(count("ticket"))), "{candidate}");
    }
    let table = program.run(&args);
    assert!(table.stdout.contains("99.9 % *") && table.stdout.contains("pages"), "{}", table.stdout);
}

/// As for every command that judges by the definitions.
#[test]
fn a_file_of_tenants_that_names_no_slo_is_refused() {
    let program = Program::new()
        .with_file("slo.yaml", SLO)
        .with_file("in.jsonl", &traffic())
        .with_file("tailburn.yaml", "tenants: tenants.jsonl\n")
        .with_file("tenants.jsonl", "{\"tenant\": \"a\", \"objectives\": {\"nothing\": 0.99}}\n");
    let ran = program.run(&["suggest", "--slos", "slo.yaml", "--input", "in.jsonl"]);
    assert_eq!(ran.code, Some(78), "{}", ran.stderr);
    assert!(ran.stderr.contains("nothing"), "{}", ran.stderr);
}

#[test]
fn explain_names_what_the_bad_events_have_in_common() {
    let mut table = "region,release,failed,requests\n".to_owned();
    for region in ["eu", "us", "ap"] {
        for release in ["1", "2", "3"] {
            let failed = if (region, release) == ("eu", "2") { 90 } else { 2 };
            table.push_str(&format!("{region},{release},{failed},1000\n"));
        }
    }
    let program = Program::new().with_file("now.csv", &table);
    let args = ["explain", "--input", "now.csv", "--value", "failed", "--total", "requests"];
    let ran = program.run(&args);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let found = ran.json();
    let expected = serde_json::json!([{"attribute": "region", "value": "eu"}, {"attribute": "release", "value": "2"}]);
    assert_eq!((&found["rank"], &found["cohort"], &found["bad"]), (&1.into(), &expected, &90.0.into()));
    assert_eq!(found["total"], 1_000.0);
    // A history in which the same fail as often explains it.
    let program = program.with_file("past.csv", &table);
    let ran = program.run(&[&args[..], &["--history", "past.csv"]].concat());
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("nothing stands out"), "{}", ran.stderr);
    let wrong = program.run(&["explain", "--input", "now.csv", "--value", "broken", "--total", "requests"]);
    assert_eq!(wrong.code, Some(2));
    assert!(
        wrong.stderr.contains("no column `broken`") && wrong.stderr.contains("region, release"),
        "{}",
        wrong.stderr
    );
}
