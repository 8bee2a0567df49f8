//! What was applied, in its topic. Records are JSON always: what people wrote years ago stays readable.
#![expect(clippy::disallowed_methods, reason = "brokers get a limited time to answer; no figure depends on it")]

use super::{key, key_of_change};
use crate::command::Failure;
use crate::command::topics::kafka_settings;
use crate::config::Settings;
use crate::log::LogError;
use crate::log::kafka::follow::Follower;
use crate::log::kafka::topics::{TopicAdmin, definitions};
use crate::log::kafka::{KafkaSettings, write_notes};
use crate::model::applied::AppliedDefinition;
use crate::model::record::Topic;
use std::time::{Duration, Instant};

const WAIT: Duration = Duration::from_millis(100);
/// The records are few: who waits longer waits for brokers that are away.
const PATIENCE: Duration = Duration::from_secs(60);

/// In the order of the log. Without a topic nothing was applied yet.
pub fn read(settings: &Settings) -> Result<Vec<AppliedDefinition>, Failure> {
    let kafka = kafka_settings(settings);
    let name = kafka.topic_name(Topic::Definitions);
    if TopicAdmin::open(&kafka).and_then(|admin| admin.partitions(&name)).map_err(failure)?.is_none() {
        return Ok(Vec::new());
    }
    let mut follower = Follower::open(&kafka, &[Topic::Definitions]).map_err(failure)?;
    let (mut all, mut unreadable) = (Vec::new(), None);
    let deadline = Instant::now() + PATIENCE;
    while !follower.is_caught_up() {
        if Instant::now() >= deadline {
            let message = format!("{name} could not be read to its end within {} s", PATIENCE.as_secs());
            return Err(failure(LogError::Broken(message)));
        }
        let taken = follower.take(WAIT, &mut |_, record| {
            if record.value.is_empty() {
                return;
            }
            match serde_json::from_slice(record.value) {
                Ok(applied) => all.push(applied),
                Err(error) => unreadable = Some((record.offset, error)),
            }
        });
        taken.map_err(failure)?;
    }
    match unreadable {
        None => Ok(all),
        Some((offset, error)) => Err(Failure::Definition(format!(
            "{name}: the record at offset {offset} cannot be read: {error}; a newer build may have written it"
        ))),
    }
}

/// Each change under a key of its own, and as what is in force of its SLO.
pub fn write(settings: &Settings, records: &[AppliedDefinition]) -> Result<(), Failure> {
    let kafka = kafka_settings(settings);
    make(settings, &kafka)?;
    let mut notes = Vec::with_capacity(2 * records.len());
    for record in records {
        let json = serde_json::to_vec(record).map_err(anyhow::Error::from)?;
        notes.push((key_of_change(record), json.clone()));
        notes.push((key(&record.slo), json));
    }
    write_notes(&kafka, Topic::Definitions, &notes).map_err(failure)
}

fn make(settings: &Settings, kafka: &KafkaSettings) -> Result<(), Failure> {
    let admin = TopicAdmin::open(kafka).map_err(failure)?;
    let plan = definitions(kafka);
    if admin.partitions(&plan.name).map_err(failure)?.is_some() {
        return Ok(());
    }
    if !settings.topics.create {
        let name = &plan.name;
        let message = format!("{name}: there is no such topic, and topics.create is false: `tailburn topics --create`");
        return Err(Failure::Definition(message));
    }
    admin.create_missing(&[plan], settings.topics.replication_factor).map_err(failure)?;
    Ok(())
}

fn failure(error: LogError) -> Failure {
    match error {
        LogError::Refused { .. } => Failure::Definition(error.to_string()),
        other => anyhow::Error::from(other).into(),
    }
}
