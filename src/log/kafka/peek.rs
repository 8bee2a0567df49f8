//! Reads the newest records of a topic without joining a group or committing an offset.

use super::errors::{broken, invalid_properties};
use super::observer::{Observer, observer};
use crate::log::LogError;
use crate::model::record::{Headers, RecordIn};
use crate::model::time::Ms;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

const REQUEST: Duration = Duration::from_secs(15);
/// For all partitions together: a topic that is written faster than it is read has no end.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

/// A record that owns its bytes.
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
    /// As the log passes records on.
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
/// Offsets do not count records: the ends of transactions and aborted records have offsets too. So each partition is
/// read again from further back until it has given enough records or has no more.
pub fn newest(properties: &BTreeMap<String, String>, topic: &str, limit: u64) -> Result<Vec<Peeked>, LogError> {
    let consumer = observer(properties, "tailburn-check").map_err(|e| invalid_properties(&e))?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut partitions = partitions(&consumer, topic, limit)?;
    #[expect(clippy::disallowed_methods, reason = "a request to brokers has a deadline")]
    let deadline = Instant::now() + READ_TIMEOUT;
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

/// A partition, read from some offset to its end.
#[derive(Default)]
struct Partition {
    low: i64,
    high: i64,
    /// Where reading starts.
    from: i64,
    found: VecDeque<Peeked>,
    /// Whether it has to be read (again).
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

    /// If there were too few records and there is something before them, starts twice as far from the end.
    fn go_back(&mut self, limit: usize) {
        self.is_wanted = self.is_wanted && self.found.len() < limit && self.from > self.low;
        if self.is_wanted {
            self.found.clear();
            self.from = self.high.saturating_sub((self.high - self.from).saturating_mul(2)).max(self.low);
        }
    }
}

/// Reads the wanted partitions to their ends. `false`: the deadline came first.
fn read_to_the_ends(
    consumer: &BaseConsumer<Observer>,
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
            // librdkafka tries again. If that does not help, the deadline ends this.
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

/// The partitions of a topic, each with `limit` offsets before its end as the start.
fn partitions(
    consumer: &BaseConsumer<Observer>,
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

    /// Reads a partition as `newest` does, where only some offsets hold records. Returns the records and where each
    /// round started.
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
        // Records and ends of transactions take turns, and an end comes last.
        assert_eq!(looked(0, 100, 3, |o| o % 2 == 0), (vec![94, 96, 98], vec![97, 94]));
        assert_eq!(looked(0, 100, 1, |o| o == 98), (vec![98], vec![99, 98]));
        // One record before many ends of transactions. Reading never starts before the log does.
        assert_eq!(looked(10, 100, 1, |o| o == 20), (vec![20], vec![99, 98, 96, 92, 84, 68, 36, 10]));
        assert_eq!(looked(10, 100, 2, |o| o == 20).0, [20]);
        assert_eq!(looked(10, 100, 5, |_| false).0, [] as [i64; 0]);
        assert_eq!(looked(10, 10, 5, |_| true), (vec![], vec![]));
        assert_eq!(looked(0, 100, 0, |_| true), (vec![], vec![]));
        assert_eq!(looked(0, 5, usize::MAX, |_| true).0, [0, 1, 2, 3, 4]);
    }
}
