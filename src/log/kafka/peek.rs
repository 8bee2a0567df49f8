//! The newest records of a topic, read from outside: no group is joined and no offset is committed.

use super::broken;
use super::group::log_line;
use crate::log::LogError;
use crate::model::record::{Headers, RecordIn};
use crate::model::time::Ms;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{ClientConfig, ClientContext};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const REQUEST: Duration = Duration::from_secs(15);
/// All of it: a topic that is written to faster than it is read has no end.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

/// The context of a client that only looks: the end of a partition is no news for a log.
pub struct Onlooker;

impl ClientContext for Onlooker {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if !matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::PartitionEOF)) {
            tracing::warn!(target: "tailburn::kafka", %error, reason, "the consumer reports");
        }
    }
}

impl ConsumerContext for Onlooker {}

/// A record with its bytes.
pub struct Peeked {
    partition: u32,
    offset: i64,
    timestamp_ms: Option<Ms>,
    key: Option<Vec<u8>>,
    value: Vec<u8>,
    headers: OwnHeaders,
}

struct OwnHeaders(Vec<(String, Vec<u8>)>);

impl Headers for OwnHeaders {
    fn for_each(&self, each: &mut dyn FnMut(&str, &[u8])) {
        self.0.iter().for_each(|(name, value)| each(name, value));
    }
}

impl Peeked {
    /// As the log hands records over.
    pub fn record(&self) -> RecordIn<'_> {
        RecordIn {
            partition: self.partition,
            offset: self.offset,
            key: self.key.as_deref(),
            value: &self.value,
            timestamp_ms: self.timestamp_ms,
            headers: &self.headers,
        }
    }

    fn of(message: &BorrowedMessage<'_>) -> Result<Peeked, LogError> {
        let partition = u32::try_from(message.partition());
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        Ok(Peeked {
            partition: partition.map_err(|_| LogError::Broken(format!("partition {}", message.partition())))?,
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().unwrap_or_default().to_vec(),
            headers: OwnHeaders(headers.map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec())).collect()),
        })
    }
}

/// The last `limit` committed records of a topic by their timestamps, oldest first.
pub fn newest(properties: &BTreeMap<String, String>, topic: &str, limit: u64) -> Result<Vec<Peeked>, LogError> {
    let consumer = onlooker(properties, "tailburn-check")
        .map_err(|e| LogError::Refused { what: "kafka.properties".to_owned(), message: e.to_string() })?;
    let mut open = assign(&consumer, topic, limit)?;
    let mut found = Vec::new();
    #[expect(clippy::disallowed_methods, reason = "a request to brokers has a deadline")]
    let deadline = Instant::now() + PATIENCE;
    while !open.is_empty() {
        match consumer.poll(POLL) {
            Some(Ok(message)) => found.push(Peeked::of(&message)?),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            // librdkafka goes on trying; what it does not get over runs into the deadline.
            Some(Err(error)) => tracing::warn!(target: "tailburn::kafka", topic, %error, "reading is disturbed"),
            None => {}
        }
        #[expect(clippy::disallowed_methods, reason = "as above")]
        if Instant::now() >= deadline {
            break;
        }
    }
    found.sort_by_key(|peeked| (peeked.timestamp_ms, peeked.partition, peeked.offset));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok(found.split_off(found.len().saturating_sub(limit)))
}

/// A consumer with the user's properties, except for those that would leave traces in the cluster.
/// librdkafka assigns nothing without a group id; it is never joined.
pub fn onlooker(properties: &BTreeMap<String, String>, group: &str) -> Result<BaseConsumer<Onlooker>, KafkaError> {
    let mut config = ClientConfig::new();
    config.extend(properties.clone());
    for (name, value) in [
        ("group.id", group),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("isolation.level", "read_committed"),
        ("enable.partition.eof", "true"),
        ("auto.offset.reset", "earliest"),
    ] {
        config.set(name, value);
    }
    config.create_with_context(Onlooker)
}

/// Begins `limit` offsets before the end of every partition; returns the partitions.
fn assign(consumer: &BaseConsumer<Onlooker>, topic: &str, limit: u64) -> Result<BTreeSet<i32>, LogError> {
    let metadata = consumer.fetch_metadata(Some(topic), REQUEST).map_err(|e| broken("look the topic up", &e))?;
    let partitions = metadata.topics().first().map_or(&[][..], |found| found.partitions());
    if partitions.is_empty() {
        let message = "there is neither a file nor a topic of this name".to_owned();
        return Err(LogError::Refused { what: topic.to_owned(), message });
    }
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions.iter().map(|partition| partition.id()) {
        let (low, high) =
            consumer.fetch_watermarks(topic, partition, REQUEST).map_err(|e| broken("look an end up", &e))?;
        let from = high.saturating_sub(i64::try_from(limit).unwrap_or(i64::MAX)).max(low);
        list.add_partition_offset(topic, partition, Offset::Offset(from)).map_err(|e| broken("name an offset", &e))?;
    }
    consumer.assign(&list).map_err(|e| broken("take partitions", &e))?;
    Ok(partitions.iter().map(|partition| partition.id()).collect())
}
