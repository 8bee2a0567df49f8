//! The silences in their topic.

use crate::command::Failure;
use crate::command::topics::notify_settings;
use crate::config::Settings;
use crate::log::LogError;
use crate::log::kafka::follow::Follower;
use crate::log::kafka::topics::{TopicAdmin, silences};
use crate::log::kafka::{KafkaSettings, write_note};
use crate::model::record::{RecordIn, Topic};
use crate::notify::{Event, Silence};
use std::collections::BTreeMap;
use std::time::Duration;

const WAIT: Duration = Duration::from_millis(100);

/// Reads them from the first on; makes the topic where that may be. `None`: there is none, and so no silence.
pub fn follow(settings: &Settings, kafka: &KafkaSettings, may_create: bool) -> Result<Option<Follower>, Failure> {
    if !exists(settings, kafka, may_create).map_err(failure)? {
        return Ok(None);
    }
    Ok(Some(Follower::open(kafka, &[Topic::Silences]).map_err(failure)?))
}

/// What a record says. One that cannot be read silences nobody, and is said.
pub fn event(record: &RecordIn<'_>) -> Option<Event> {
    let id = String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned();
    if record.value.is_empty() {
        return Some(Event::SilenceGone(id));
    }
    match serde_json::from_slice::<Silence>(record.value) {
        Ok(silence) => Some(Event::Silence(silence)),
        Err(error) => {
            tracing::error!(id, %error, "a silence cannot be read, and silences nobody");
            None
        }
    }
}

/// The latest of each.
pub fn read(settings: &Settings) -> Result<Vec<Silence>, Failure> {
    let Some(mut follower) = follow(settings, &notify_settings(settings), false)? else { return Ok(Vec::new()) };
    let mut all = BTreeMap::new();
    while !follower.is_caught_up() {
        let taken = follower.take(WAIT, &mut |_, record| match event(record) {
            Some(Event::Silence(silence)) => drop(all.insert(silence.id.clone(), silence)),
            Some(Event::SilenceGone(id)) => drop(all.remove(&id)),
            _ => {}
        });
        taken.map_err(failure)?;
    }
    Ok(all.into_values().collect())
}

pub fn write(settings: &Settings, id: &str, json: Vec<u8>) -> Result<(), Failure> {
    let kafka = notify_settings(settings);
    if !exists(settings, &kafka, true).map_err(failure)? {
        let name = kafka.topic_name(Topic::Silences);
        let message = format!("{name}: there is no such topic, and topics.create is false: `tailburn topics --create`");
        return Err(Failure::Definition(message));
    }
    write_note(&kafka, Topic::Silences, id, &json).map_err(failure)
}

fn exists(settings: &Settings, kafka: &KafkaSettings, may_create: bool) -> Result<bool, LogError> {
    let admin = TopicAdmin::open(kafka)?;
    let plan = silences(kafka);
    if admin.partitions(&plan.name)?.is_some() {
        return Ok(true);
    }
    if !may_create || !settings.topics.create {
        return Ok(false);
    }
    admin.create_missing(&[plan], settings.topics.replication_factor)?;
    Ok(true)
}

pub fn failure(error: LogError) -> Failure {
    match error {
        LogError::Refused { .. } => Failure::Definition(error.to_string()),
        other => anyhow::Error::from(other).into(),
    }
}
