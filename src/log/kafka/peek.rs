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
use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
    /// `None` is a tombstone.
    value: Option<Vec<u8>>,
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
            value: self.value.as_deref().unwrap_or_default(),
            timestamp_ms: self.timestamp_ms,
            headers: &self.headers,
        }
    }

    pub fn is_tombstone(&self) -> bool {
        self.value.is_none()
    }

    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    fn of(message: &BorrowedMessage<'_>) -> Result<Peeked, LogError> {
        let partition = u32::try_from(message.partition());
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        Ok(Peeked {
            partition: partition.map_err(|_| LogError::Broken(format!("partition {}", message.partition())))?,
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: OwnHeaders(headers.map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec())).collect()),
        })
    }
}

/// The last `limit` committed records of a topic by their timestamps, oldest first.
///
/// Offsets are no count of records: the ends of transactions and what was aborted have offsets, too. So each
/// partition is read from further and further back, until it gave enough records or has no more.
pub fn newest(properties: &BTreeMap<String, String>, topic: &str, limit: u64) -> Result<Vec<Peeked>, LogError> {
    let consumer = onlooker(properties, "tailburn-check")
        .map_err(|e| LogError::Refused { what: "kafka.properties".to_owned(), message: e.to_string() })?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut partitions = partitions(&consumer, topic, limit)?;
    #[expect(clippy::disallowed_methods, reason = "a request to brokers has a deadline")]
    let deadline = Instant::now() + PATIENCE;
    let mut is_in_time = true;
    while is_in_time && partitions.values().any(|p| p.is_wanted) {
        is_in_time = read_to_the_ends(&consumer, topic, &mut partitions, limit, deadline)?;
        partitions.values_mut().for_each(|partition| partition.go_back(limit));
    }
    if !is_in_time {
        tracing::warn!(target: "tailburn::kafka", topic, "reading took too long: there may be newer records");
    }
    let mut found: Vec<Peeked> = partitions.into_values().flat_map(|partition| partition.found).collect();
    found.sort_by_key(|peeked| (peeked.timestamp_ms, peeked.partition, peeked.offset));
    Ok(found.split_off(found.len().saturating_sub(limit)))
}

/// A partition whose end is read.
#[derive(Default)]
struct Partition {
    low: i64,
    high: i64,
    /// Where reading begins.
    from: i64,
    found: VecDeque<Peeked>,
    /// Whether it is (still) to be read.
    is_wanted: bool,
}

impl Partition {
    fn new(low: i64, high: i64, limit: usize) -> Partition {
        let from = high.saturating_sub(i64::try_from(limit).unwrap_or(i64::MAX)).max(low);
        Partition { low, high, from, found: VecDeque::new(), is_wanted: limit > 0 && low < high }
    }

    fn take(&mut self, peeked: Peeked, limit: usize) {
        if self.found.len() >= limit {
            self.found.pop_front();
        }
        self.found.push_back(peeked);
    }

    /// Begins twice as far from the end, where there were too few records and there is something before them.
    fn go_back(&mut self, limit: usize) {
        self.is_wanted = self.is_wanted && self.found.len() < limit && self.from > self.low;
        if self.is_wanted {
            self.found.clear();
            self.from = self.high.saturating_sub((self.high - self.from).saturating_mul(2)).max(self.low);
        }
    }
}

/// Reads what is wanted to the ends; false where the time was up before.
fn read_to_the_ends(
    consumer: &BaseConsumer<Onlooker>,
    topic: &str,
    partitions: &mut BTreeMap<i32, Partition>,
    limit: usize,
    deadline: Instant,
) -> Result<bool, LogError> {
    let mut list = TopicPartitionList::new();
    let mut open = BTreeSet::new();
    for (number, partition) in partitions.iter().filter(|(_, p)| p.is_wanted) {
        let from = Offset::Offset(partition.from);
        list.add_partition_offset(topic, *number, from).map_err(|e| broken("name an offset", &e))?;
        open.insert(*number);
    }
    consumer.assign(&list).map_err(|e| broken("take partitions", &e))?;
    while !open.is_empty() {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                if let Some(partition) = partitions.get_mut(&message.partition()) {
                    partition.take(Peeked::of(&message)?, limit);
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            // librdkafka goes on trying; what it does not get over runs into the deadline.
            Some(Err(error)) => tracing::warn!(target: "tailburn::kafka", topic, %error, "reading is disturbed"),
            None => {}
        }
        #[expect(clippy::disallowed_methods, reason = "as above")]
        if Instant::now() >= deadline {
            return Ok(false);
        }
    }
    Ok(true)
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

/// The partitions of a topic, each to be read from `limit` offsets before its end.
fn partitions(
    consumer: &BaseConsumer<Onlooker>,
    topic: &str,
    limit: usize,
) -> Result<BTreeMap<i32, Partition>, LogError> {
    let metadata = consumer.fetch_metadata(Some(topic), REQUEST).map_err(|e| broken("look the topic up", &e))?;
    let found = metadata.topics().first().map_or(&[][..], |found| found.partitions());
    if found.is_empty() {
        let message = "there is neither a file nor a topic of this name".to_owned();
        return Err(LogError::Refused { what: topic.to_owned(), message });
    }
    let mut partitions = BTreeMap::new();
    for number in found.iter().map(|partition| partition.id()) {
        let (low, high) =
            consumer.fetch_watermarks(topic, number, REQUEST).map_err(|e| broken("look an end up", &e))?;
        partitions.insert(number, Partition::new(low, high, limit));
    }
    Ok(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peeked(offset: i64) -> Peeked {
        let (key, value) = (None, Some(Vec::new()));
        Peeked { partition: 0, offset, timestamp_ms: None, key, value, headers: OwnHeaders(Vec::new()) }
    }

    /// Looks for records where some offsets hold none, as `newest` does; where each round began.
    fn looked(low: i64, high: i64, limit: usize, is_record: impl Fn(i64) -> bool) -> (Vec<i64>, Vec<i64>) {
        let mut partition = Partition::new(low, high, limit);
        let mut rounds = Vec::new();
        while partition.is_wanted {
            rounds.push(partition.from);
            (partition.from..high).filter(|o| is_record(*o)).for_each(|o| partition.take(peeked(o), limit));
            partition.go_back(limit);
        }
        (partition.found.iter().map(|p| p.offset).collect(), rounds)
    }

    #[test]
    fn records_are_counted_and_not_offsets() {
        assert_eq!(looked(0, 100, 3, |_| true), (vec![97, 98, 99], vec![97]));
        // A record and the end of its transaction, in turn; the end comes last.
        assert_eq!(looked(0, 100, 3, |o| o % 2 == 0), (vec![94, 96, 98], vec![97, 94]));
        assert_eq!(looked(0, 100, 1, |o| o == 98), (vec![98], vec![99, 98]));
        // Far behind a long row of markers, and never before the beginning.
        assert_eq!(looked(10, 100, 1, |o| o == 20), (vec![20], vec![99, 98, 96, 92, 84, 68, 36, 10]));
        assert_eq!(looked(10, 100, 2, |o| o == 20).0, [20]);
        assert_eq!(looked(10, 100, 5, |_| false).0, [] as [i64; 0]);
        assert_eq!(looked(10, 10, 5, |_| true), (vec![], vec![]));
        assert_eq!(looked(0, 100, 0, |_| true), (vec![], vec![]));
        assert_eq!(looked(0, 5, usize::MAX, |_| true).0, [0, 1, 2, 3, 4]);
    }
}
