//! Feeds a board from the output topics, on a thread of its own.
//!
//! What cannot be read now is read again later: a board that is not fed is shown as it is, and says so.

use super::observe::Reading as Records;
use super::topics::kafka_settings;
use super::{Failure, assemble};
use crate::board::{Board, Reading, Update};
use crate::codec::dead_letter;
use crate::codec::output::{Decoder, OutputFormat};
use crate::config::Settings;
use crate::log::LogError;
use crate::log::kafka::KafkaSettings;
use crate::log::kafka::follow::Follower;
use crate::model::output::{DeadLetter, Labels};
use crate::model::record::{RecordIn, Topic};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const WAIT: Duration = Duration::from_millis(100);
/// Between two tries to read.
const PAUSE: Duration = Duration::from_secs(5);
/// Of an example's value.
const VALUE_MAX_BYTES: usize = 4_096;

/// Who takes a record: its topic, its key and its JSON; without JSON it is a tombstone.
pub type Each<'a> = &'a mut dyn FnMut(Topic, &str, Option<&[u8]>) -> anyhow::Result<()>;

/// Passes on what the topics hold now.
pub fn to_the_end(settings: &Settings, topics: &[Topic], each: Each<'_>) -> Result<(), Failure> {
    let decoder = match assemble::output_format(settings) {
        OutputFormat::Json => None,
        OutputFormat::AvroRaw => Some(Decoder::new().map_err(anyhow::Error::from)?),
    };
    let mut follower = open(&kafka_settings(settings), topics)?;
    let mut failed = None;
    while !follower.is_caught_up() && failed.is_none() {
        let taken = follower.take(WAIT, &mut |topic, record| {
            let mut one = || -> anyhow::Result<()> {
                let key = String::from_utf8_lossy(record.key.unwrap_or_default());
                match (&decoder, record.value) {
                    (_, []) => each(topic, &key, None),
                    (None, json) => each(topic, &key, Some(json)),
                    (Some(decoder), value) => {
                        let json = serde_json::to_vec(&decoder.decode(topic, value)?)?;
                        each(topic, &key, Some(&json))
                    }
                }
            };
            if failed.is_none() {
                failed = one().err();
            }
        });
        taken.map_err(anyhow::Error::from)?;
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}

fn open(kafka: &KafkaSettings, topics: &[Topic]) -> Result<Follower, Failure> {
    Follower::open(kafka, topics).map_err(|error| match error {
        LogError::Refused { .. } => Failure::Definition(error.to_string()),
        error => anyhow::Error::from(error).into(),
    })
}

pub struct Following {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Following {
    /// Fails at once if the topics cannot be read: whoever starts it should know.
    pub fn start(kafka: KafkaSettings, format: OutputFormat, board: Arc<Board>) -> Result<Following, Failure> {
        let follower = open(&kafka, &Topic::OUTPUTS)?;
        let records = Records::new(format)?;
        let stop = Arc::new(AtomicBool::new(false));
        let feed = Feed { kafka, records, board, stop: Arc::clone(&stop) };
        let thread = std::thread::Builder::new().name("board".to_owned()).spawn(move || feed.run(follower))?;
        Ok(Following { stop, thread: Some(thread) })
    }

    pub fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that feeds the board panicked");
        }
    }
}

struct Feed {
    kafka: KafkaSettings,
    records: Records,
    board: Arc<Board>,
    stop: Arc<AtomicBool>,
}

impl Feed {
    fn run(&self, first: Follower) {
        let (mut follower, mut told) = (Some(first), None);
        while !self.is_stopped() {
            let opened = follower.take().map_or_else(|| Follower::open(&self.kafka, &Topic::OUTPUTS), Ok);
            if let Err(error) = opened.and_then(|follower| self.follow(follower)) {
                let error = error.to_string();
                // It tries again every few seconds, and says the same once.
                if told.as_ref() != Some(&error) {
                    tracing::warn!("the API shows what was read so far, and tries again: {error}");
                }
                told = Some(error.clone());
                self.board.set_reading(Reading::Broken(error));
                self.pause();
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn pause(&self) {
        for _ in 0..PAUSE.as_millis() / WAIT.as_millis() {
            if self.is_stopped() {
                return;
            }
            #[expect(clippy::disallowed_methods, reason = "it waits between two tries; no figure depends on it")]
            std::thread::sleep(WAIT);
        }
    }

    fn follow(&self, mut follower: Follower) -> Result<(), LogError> {
        self.board.set_reading(Reading::CatchingUp);
        let mut batch: Vec<Update> = Vec::new();
        while !self.is_stopped() {
            let taken = follower.take(WAIT, &mut |topic, record| batch.extend(self.update(topic, record)));
            self.board.publish(batch.drain(..));
            taken?;
            if follower.is_caught_up() {
                self.board.set_reading(Reading::CaughtUp);
            }
        }
        Ok(())
    }

    fn update(&self, topic: Topic, record: &RecordIn<'_>) -> Option<Update> {
        if topic == Topic::DeadLetters {
            let json = serde_json::to_vec(&letter(record)).ok()?;
            return Update::of(topic, String::new(), Some(json));
        }
        // Compacted topics have no empty values, only tombstones.
        self.records.update(topic, record.key, Some(record.value).filter(|value| !value.is_empty()))
    }
}

/// A dead letter in Kafka is the record as it came; here it has the form that files have.
fn letter(record: &RecordIn<'_>) -> DeadLetter {
    let mut headers = Labels::new();
    record.headers.for_each(&mut |name, value| {
        headers.insert(name.to_owned(), String::from_utf8_lossy(value).into_owned());
    });
    let mut take = |name: &str| headers.remove(name).unwrap_or_default();
    let (topic, reason) = (take(dead_letter::TOPIC), take(dead_letter::REASON));
    let (partition, offset) = (take(dead_letter::PARTITION), take(dead_letter::OFFSET));
    let kept = &record.value[..record.value.len().min(VALUE_MAX_BYTES)];
    if kept.len() < record.value.len() {
        headers.entry(dead_letter::CUT.to_owned()).or_insert_with(|| record.value.len().to_string());
    }
    DeadLetter {
        topic,
        partition: partition.parse().unwrap_or(record.partition),
        offset: offset.parse().unwrap_or(record.offset),
        key: record.key.map(|key| String::from_utf8_lossy(key).into_owned()),
        value_base64: STANDARD.encode(kept),
        headers,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::Headers;

    struct Ours;

    impl Headers for Ours {
        fn for_each(&self, each: &mut dyn FnMut(&str, &[u8])) {
            for (name, value) in [
                ("trace", "1"),
                (dead_letter::REASON, "no_tenant"),
                (dead_letter::TOPIC, "outcomes"),
                (dead_letter::PARTITION, "3"),
                (dead_letter::OFFSET, "41"),
            ] {
                each(name, value.as_bytes());
            }
        }
    }

    #[test]
    fn a_dead_letter_is_shown_with_the_place_it_came_from() {
        let value = vec![b'x'; VALUE_MAX_BYTES + 1];
        let record = RecordIn { partition: 0, offset: 7, key: None, value: &value, timestamp_ms: None, headers: &Ours };
        let letter = letter(&record);
        assert_eq!((letter.topic.as_str(), letter.partition, letter.offset), ("outcomes", 3, 41));
        assert_eq!(letter.reason, "no_tenant");
        assert_eq!(letter.headers.get(dead_letter::CUT).map(String::as_str), Some("4097"));
        assert_eq!(letter.headers.get("trace").map(String::as_str), Some("1"));
    }
}
