//! The records in the files of a backtest, with their keys.
//!
//! A file keeps every record where a topic keeps the latest, and has no keys: they follow from the records' fields.
//! Hourly points are made of the statuses at full hours, as the rollup makes them.

use crate::command::Failure;
use crate::model::key::{OTHER, Scope, encode_into, key_text};
use crate::model::output::{Labels, SloStatus};
use crate::model::record::Topic;
use crate::model::time::{HOUR_MS, Moment};
use crate::operator::status::history_of;
use anyhow::Context as _;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::path::Path;

/// The topics that a backtest writes, one file each; dead letters come last.
pub const FILES: [Topic; 6] = [
    Topic::SloStatus,
    Topic::BurnAlerts,
    Topic::TailCohorts,
    Topic::UserStatus,
    Topic::CanaryVerdicts,
    Topic::DeadLetters,
];

/// The fields that make a key.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    slo: String,
    scope: String,
    tenant: Option<String>,
    group: Labels,
    at: Option<Moment>,
    user: String,
    candidate: String,
}

impl Head {
    fn key(&self, topic: Topic) -> String {
        let tenant = self.tenant.clone().unwrap_or_default();
        match topic {
            Topic::DeadLetters => String::new(),
            Topic::UserStatus => joined(&[&self.slo, &tenant, &self.user]),
            // A verdict without a tenant is about all of them.
            Topic::CanaryVerdicts if self.tenant.is_none() => {
                format!("{}|*|{}", joined(&[&self.slo]), joined(&[&self.candidate]))
            }
            Topic::CanaryVerdicts => joined(&[&self.slo, &tenant, &self.candidate]),
            _ => key_text(&self.slo, &self.scope(tenant)),
        }
    }

    fn is_at_full_hour(&self) -> bool {
        self.at.is_some_and(|at| at.0 % HOUR_MS == 0)
    }

    fn scope(&self, tenant: String) -> Scope {
        match self.scope.as_str() {
            "tenant" => Scope::Tenant(tenant),
            "group" if !self.group.is_empty() && self.group.values().all(|value| value == OTHER) => Scope::OtherGroups,
            "group" => Scope::Group(self.group.clone().into_iter().collect()),
            _ => Scope::Aggregate,
        }
    }
}

fn joined(parts: &[&str]) -> String {
    let mut key = String::new();
    for (i, part) in parts.iter().enumerate() {
        key.push_str(if i == 0 { "" } else { "|" });
        encode_into(&mut key, part);
    }
    key
}

/// Who takes a record: its topic, its key and its JSON.
pub type Each<'a> = &'a mut dyn FnMut(Topic, &str, &[u8]) -> anyhow::Result<()>;

/// Passes on the records of these topics, of statuses and verdicts only the latest of each key. Returns how many were
/// read.
pub fn each(dir: &Path, topics: &[Topic], each: Each<'_>) -> Result<u64, Failure> {
    let mut records = 0;
    for topic in FILES {
        let is_wanted = topics.contains(&topic) || topic == Topic::SloStatus && topics.contains(&Topic::SloHistory);
        if !is_wanted {
            continue;
        }
        let path = dir.join(format!("{}.jsonl", topic.name()));
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound && topic != Topic::SloStatus => continue,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let (file, dir) = (path.display(), dir.display());
                return Err(Failure::Usage(format!("{file}: no such file; `tailburn backtest --out {dir}` writes it")));
            }
            Err(error) => return Err(anyhow::Error::from(error).context(path.display().to_string()).into()),
        };
        records += of_file(file, topic, topics, each).with_context(|| path.display().to_string())?;
    }
    Ok(records)
}

fn of_file(file: File, topic: Topic, topics: &[Topic], each: Each<'_>) -> anyhow::Result<u64> {
    let mut input = BufReader::with_capacity(1 << 18, file);
    let (mut line, mut records) = (Vec::new(), 0);
    let mut latest: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for number in 1.. {
        line.clear();
        if input.read_until(b'\n', &mut line).with_context(|| format!("line {number}"))? == 0 {
            break;
        }
        let value = line.trim_ascii();
        if value.is_empty() {
            continue;
        }
        records += 1;
        let head: Head = serde_json::from_slice(value).with_context(|| format!("line {number} is no record"))?;
        let key = head.key(topic);
        if topic == Topic::SloStatus && topics.contains(&Topic::SloHistory) && head.is_at_full_hour() {
            let status: SloStatus = serde_json::from_slice(value).with_context(|| format!("line {number}"))?;
            each(Topic::SloHistory, &key, &serde_json::to_vec(&history_of(&status))?)?;
        }
        match topic {
            Topic::SloStatus | Topic::CanaryVerdicts => _ = latest.insert(key, value.to_vec()),
            _ => each(topic, &key, value)?,
        }
    }
    if topics.contains(&topic) {
        latest.iter().try_for_each(|(key, json)| each(topic, key, json))?;
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_follow_from_the_fields_of_a_record() {
        let key = |topic, json: &str| serde_json::from_str::<Head>(json).expect("a head").key(topic);
        for (topic, json, expected) in [
            (Topic::SloStatus, r#"{"slo":"a","scope":"aggregate","tenant":null,"group":{}}"#, "a|aggregate"),
            (Topic::SloStatus, r#"{"slo":"a|b","scope":"tenant","tenant":"x,y"}"#, "a%7Cb|tenant|x%2Cy"),
            (
                Topic::BurnAlerts,
                r#"{"slo":"a","scope":"group","group":{"tier":"pro","region":"eu"}}"#,
                "a|group|region=eu,tier=pro",
            ),
            (Topic::SloStatus, r#"{"slo":"a","scope":"group","group":{"tier":"__other__"}}"#, "a|group|__other__"),
            (Topic::UserStatus, r#"{"slo":"a","tenant":"t","user":"u|1"}"#, "a|t|u%7C1"),
            (Topic::CanaryVerdicts, r#"{"slo":"a","tenant":null,"candidate":"v2"}"#, "a|*|v2"),
        ] {
            assert_eq!(key(topic, json), expected);
        }
    }
}
