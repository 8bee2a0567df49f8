//! The expected content of the topics, only from the files of a backtest and the contract: keys, partitions and
//! tombstones are derived here independently.

use crate::compare::Record;
use crate::traffic::Traffic;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use tailburn::model::key::{Scope, encode_into, key_text};
use tailburn::model::record::partition_of;
use tailburn::model::time::HOUR_MS;

pub const ROLLUPS: u32 = 2;
/// All output topics; no SLO here has a canary, and dead letters have one partition for each input partition.
pub const OUTPUTS: [&str; 7] =
    ["slo-status", "slo-history", "burn-alerts", "tail-cohorts", "user-status", "canary-verdicts", "dead-letters"];

/// All records up to the T that a live run reaches, in the order of each partition.
pub fn answers(result: &Path, traffic: &Traffic, input: &str) -> Vec<Record> {
    let mut all = Vec::new();
    for topic in ["slo-status", "burn-alerts", "tail-cohorts"] {
        all.extend(lines(result, topic).iter().map(|line| of_line(topic, line)));
    }
    let of_the_hour = all.iter().filter(|r| r.topic == "slo-status" && r.at_ms % HOUR_MS == 0);
    let history: Vec<Record> = of_the_hour.map(history_of).collect();
    all.extend(history);
    all.extend(user_statuses(&lines(result, "user-status")));
    all.retain(|record| record.at_ms <= traffic.told_to_ms);
    all.extend(dead_letters(&lines(result, "dead-letters"), traffic, input));
    all
}

fn lines(result: &Path, topic: &str) -> Vec<String> {
    let text = fs::read_to_string(result.join(format!("{topic}.jsonl"))).expect("a result");
    text.lines().map(str::to_owned).collect()
}

/// The small record of a full hour, from the status of that hour.
fn history_of(status: &Record) -> Record {
    let value: Value = serde_json::from_slice(status.value.as_deref().unwrap_or_default()).expect("JSON");
    let named = |list: &str, name: &Value| -> Value {
        let found = value[list].as_array().expect("a list").iter().find(|entry| entry["window"] == *name);
        found.cloned().unwrap_or_default()
    };
    let (hour, day) = (named("windows", &json!("1h")), named("users", &json!("1d")));
    let small = json!({
        "slo": value["slo"], "definition_hash": value["definition_hash"], "scope": value["scope"],
        "tenant": value["tenant"], "group": value["group"], "at": value["at"], "state": value["state"],
        "good": hour["good"], "bad": hour["bad"],
        "sli": named("windows", &value["compliance_window"])["sli"],
        "budget_remaining": value["budget_remaining"],
        "budget_spent_of_period": value["budget_spent_of_period"],
        "users": day["users"], "users_below": day["below_objective"],
        "worst_1pct_error_mean_estimate": day["worst_1pct_error_mean_estimate"],
    });
    Record { topic: "slo-history", value: Some(small.to_string().into_bytes()), ..status.clone() }
}

fn of_line(topic: &'static str, line: &str) -> Record {
    let value: Value = serde_json::from_str(line).expect("JSON");
    let scope = scope(&value);
    let key = key_text(text(&value, "slo"), &scope);
    // An SLO's groups are in the partition of its aggregate.
    let placed_by = match scope {
        Scope::Group(_) => key_text(text(&value, "slo"), &Scope::Aggregate),
        _ => key.clone(),
    };
    Record {
        topic,
        partition: partition_of(placed_by.as_bytes(), ROLLUPS) as i32,
        at_ms: at(&value),
        identity: identity(topic, &key, Some(&value)),
        key: Some(key.into_bytes()),
        value: Some(line.as_bytes().to_vec()),
        headers: Vec::new(),
    }
}

/// The identity of a record within its T. (Also for `found` records.)
pub fn identity(topic: &str, key: &str, value: Option<&Value>) -> String {
    match (topic, value) {
        (_, None) => format!("{key} (tombstone)"),
        ("burn-alerts" | "tail-cohorts", Some(v)) => {
            format!("{key} {} {} {}", text(v, "severity"), text(v, "id"), v["seq"])
        }
        _ => key.to_owned(),
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn at(value: &Value) -> i64 {
    text(value, "at").parse::<jiff::Timestamp>().expect("a time").as_millisecond()
}

fn scope(value: &Value) -> Scope {
    let group = || value["group"].as_object().expect("a group");
    let owned = |(name, v): (&String, &Value)| (name.clone(), v.as_str().unwrap_or_default().to_owned());
    match text(value, "scope") {
        "aggregate" => Scope::Aggregate,
        "tenant" => Scope::Tenant(text(value, "tenant").to_owned()),
        _ => Scope::Group(group().iter().map(owned).collect()),
    }
}

/// The worst users at each step of a tenant, and tombstones before them for those who left the list.
fn user_statuses(lines: &[String]) -> Vec<Record> {
    let mut steps: BTreeMap<(i64, String), Vec<Record>> = BTreeMap::new();
    for line in lines {
        let value: Value = serde_json::from_str(line).expect("JSON");
        let tenant = key_text(text(&value, "slo"), &Scope::Tenant(text(&value, "tenant").to_owned()));
        let partition = partition_of(tenant.as_bytes(), ROLLUPS) as i32;
        let step = steps.entry((at(&value), tenant)).or_default();
        step.push(user_status(partition, at(&value), user_key(&value), Some(line)));
    }
    let mut listed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut all = Vec::new();
    for ((at_ms, tenant), step) in steps {
        let now: BTreeSet<String> = step.iter().map(|record| record.identity.clone()).collect();
        let before = listed.insert(tenant, now.clone()).unwrap_or_default();
        all.extend(before.difference(&now).map(|key| user_status(step[0].partition, at_ms, key.clone(), None)));
        all.extend(step);
    }
    all
}

fn user_status(partition: i32, at_ms: i64, key: String, line: Option<&String>) -> Record {
    Record {
        topic: "user-status",
        partition,
        at_ms,
        identity: if line.is_some() { key.clone() } else { identity("user-status", &key, None) },
        key: Some(key.into_bytes()),
        value: line.map(|line| line.as_bytes().to_vec()),
        headers: Vec::new(),
    }
}

fn user_key(value: &Value) -> String {
    let mut key = String::new();
    for (i, name) in ["slo", "tenant", "user"].into_iter().enumerate() {
        key.push_str(if i == 0 { "" } else { "|" });
        encode_into(&mut key, text(value, name));
    }
    key
}

/// In input order per input partition: those of the backtest, and those that a file cannot contain.
fn dead_letters(lines: &[String], traffic: &Traffic, input: &str) -> Vec<Record> {
    let mut all: BTreeMap<(i32, i64), Record> = BTreeMap::new();
    for line in lines {
        let value: Value = serde_json::from_str(line).expect("JSON");
        let (partition, offset) = (value["partition"].as_i64().expect("one"), value["offset"].as_i64().expect("one"));
        let bytes = STANDARD.decode(text(&value, "value_base64")).expect("base64");
        let record = dead_letter(partition as i32, offset, text(&value, "reason"), bytes, input);
        all.insert((partition as i32, offset), record);
    }
    for (partition, lines) in traffic.lines.iter().enumerate() {
        for (offset, line) in lines.iter().enumerate() {
            let Some(reason) = line.refused else { continue };
            let record = dead_letter(partition as i32, offset as i64, reason, line.bytes.clone(), input);
            all.insert((partition as i32, offset as i64), record);
        }
    }
    all.into_values().collect()
}

fn dead_letter(partition: i32, offset: i64, reason: &str, bytes: Vec<u8>, input: &str) -> Record {
    let header = |name: &str, value: &str| (format!("tailburn.{name}"), value.as_bytes().to_vec());
    Record {
        topic: "dead-letters",
        partition,
        at_ms: 0,
        identity: offset.to_string(),
        key: None,
        value: Some(bytes),
        headers: vec![
            header("reason", reason),
            header("topic", input),
            header("partition", &partition.to_string()),
            header("offset", &offset.to_string()),
        ],
    }
}
