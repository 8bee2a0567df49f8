//! `check --input TOPIC` shows the results of a topic's newest records, and leaves no trace at the brokers.

use crate::broker_or_skip;
use crate::world::World;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::Value;
use std::fs;
use std::process::{Command, Output};
use std::time::Duration;
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

/// Writes each value in a transaction of its own, then some that are aborted: the partition ends in markers.
fn produce_in_transactions(
    world: &World<impl std::ops::Deref<Target = crate::broker::Broker>>,
    topic: &str,
    values: &[&str],
) {
    let producer: BaseProducer = world.client().set("transactional.id", "peek").create().expect("a producer");
    let patience = Duration::from_secs(30);
    producer.init_transactions(patience).expect("transactions");
    let transaction = |value: &str| {
        producer.begin_transaction().expect("a transaction");
        let record = BaseRecord::to(topic).partition(0).key("k").payload(value);
        producer.send(record).map_err(|(error, _)| error).expect("the record is queued");
        producer.flush(patience).expect("the record is delivered");
    };
    for value in values {
        transaction(value);
        producer.commit_transaction(patience).expect("it commits");
    }
    for _ in 0..4 {
        transaction("aborted");
        producer.abort_transaction(patience).expect("it aborts");
    }
}

#[test]
fn the_last_records_are_found_behind_the_ends_of_transactions() {
    let world = World::new(broker_or_skip!(), "peek-marked", 1);
    let outcome = |user: &str| {
        format!(r#"{{"tenant":"t","user":"{user}","timestamp":1780000000000,"operation":"checkout","status":200}}"#)
    };
    let outcomes = ["a", "b", "c", "d"].map(outcome);
    produce_in_transactions(&world, &world.input, &outcomes.each_ref().map(String::as_str));
    let dir = TempDir::new().expect("a directory");
    fs::write(dir.path().join("slo.yaml"), SLO).expect("an SLO");
    let config = format!(
        "slos: [slo.yaml]\nkafka: {{properties: {{bootstrap.servers: \"{}\"}}}}\nprivacy: {{user_ids: plain}}\n\
         output: {{prefix: \"{}.\"}}\n",
        world.broker.bootstrap(),
        world.name
    );
    fs::write(dir.path().join("tailburn.yaml"), config).expect("a configuration");
    for (limit, users) in [("1", &["d"][..]), ("3", &["b", "c", "d"]), ("20", &["a", "b", "c", "d"])] {
        let checked = check(&dir, &world.input, limit);
        let report: Value = serde_json::from_slice(&checked.stdout).expect("JSON");
        let found: Vec<&str> = report["records"]
            .as_array()
            .expect("records")
            .iter()
            .filter_map(|r| r["fields"]["user"].as_str())
            .collect();
        assert_eq!(found, users, "{report:#}");
    }

    let alerts = format!("{}.burn-alerts", world.name);
    produce_in_transactions(&world, &alerts, &[r#"{"slo":"a"}"#, r#"{"slo":"b"}"#, r#"{"slo":"c"}"#]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tailburn"));
    let tapped = command.current_dir(dir.path()).args(["tap", "burn-alerts", "--last", "2"]).output().expect("it runs");
    assert_eq!(String::from_utf8_lossy(&tapped.stdout), "{\"slo\":\"b\"}\n{\"slo\":\"c\"}\n", "{tapped:?}");
}
