//! `check --input TOPIC`: what the newest records of a topic become, and no trace of having looked.

use crate::broker_or_skip;
use crate::world::World;
use serde_json::Value;
use std::fs;
use std::process::{Command, Output};
use tempfile::TempDir;

const SLO: &str = include_str!("../fixtures/availability.yaml");

fn check(dir: &TempDir, topic: &str, limit: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tailburn"));
    command.current_dir(dir.path()).args(["check", "--json", "--input", topic, "--limit", limit]);
    command.output().expect("the program runs")
}

#[test]
fn the_newest_records_of_a_topic_are_explained() {
    let world = World::new(broker_or_skip!(), "peek", 2);
    let outcome = |user: &str, status: u16| {
        format!(
            r#"{{"tenant":"t","user":"{user}","timestamp":1780000000000,"operation":"checkout","status":{status}}}"#
        )
    };
    world.produce(0, &[&outcome("old", 200)]);
    world.produce(1, &[&outcome("a", 200), &outcome("b", 503)]);
    world.produce(0, &["{"]);
    let dir = TempDir::new().expect("a directory");
    fs::write(dir.path().join("slo.yaml"), SLO).expect("an SLO");
    let config = format!(
        "slos: [slo.yaml]\nkafka: {{properties: {{bootstrap.servers: \"{}\"}}}}\nprivacy: {{user_ids: plain}}\n",
        world.broker.bootstrap()
    );
    fs::write(dir.path().join("tailburn.yaml"), config).expect("a configuration");

    let checked = check(&dir, &world.input, "3");
    let report: Value = serde_json::from_slice(&checked.stdout).expect("JSON");
    let records: Vec<(i64, i64, &str)> = report["records"]
        .as_array()
        .expect("records")
        .iter()
        .map(|r| {
            let said = r["verdicts"][0]["verdict"].as_str().or(r["reason"].as_str());
            (r["partition"].as_i64().expect("it"), r["number"].as_i64().expect("it"), said.expect("it"))
        })
        .collect();
    assert_eq!(records, [(1, 0, "good"), (1, 1, "bad"), (0, 1, "not_decodable")], "{report:#}");
    assert_eq!(checked.status.code(), Some(1), "a dead letter is a finding");

    let missing = check(&dir, "no-such-topic", "3");
    assert_ne!(missing.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("neither a file nor a topic"), "{missing:?}");
}
