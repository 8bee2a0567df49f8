//! Reads our output topics from their beginning on and goes on with what comes, outside of any group: for those who
//! show what was published.

use super::client_config;
use super::errors::{broken, invalid_properties};
use super::fetch::Fetcher;
use super::group::GroupContext;
use super::message::partition_error;
use super::settings::KafkaSettings;
use crate::log::LogError;
use crate::model::record::{RecordIn, Topic};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const METADATA_WAIT: Duration = Duration::from_secs(15);
/// How often it looks whether topics have more partitions.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// Of dead letters only the newest are shown, as examples.
const NEWEST_LETTERS: i64 = 50;
/// It is nearly always at the end, so brokers may wait before they answer. Of each partition little is fetched ahead.
const PATIENT: [(&str, &str); 3] =
    [("fetch.wait.max.ms", "250"), ("queued.max.messages.kbytes", "4096"), ("enable.partition.eof", "true")];
const REMEDY: &str = "It is read again from its beginning";

pub struct Follower {
    fetcher: Fetcher,
    topics: BTreeMap<String, Topic>,
    /// The number of partitions that are read, by topic.
    assigned: BTreeMap<String, i32>,
    /// Partitions that were not read to an end yet.
    unread: BTreeSet<(String, i32)>,
    looked: Instant,
}

impl Follower {
    pub fn open(settings: &KafkaSettings, topics: &[Topic]) -> Result<Follower, LogError> {
        settings.validate()?;
        let mut config = client_config::reader(settings);
        for (name, value) in PATIENT {
            config.set(name, value);
        }
        let consumer: BaseConsumer<GroupContext> =
            config.create_with_context(GroupContext::default()).map_err(|e| invalid_properties(&e))?;
        let mut follower = Follower {
            fetcher: Fetcher::new(consumer)?,
            topics: topics.iter().map(|topic| (settings.topic_name(*topic), *topic)).collect(),
            assigned: BTreeMap::new(),
            unread: BTreeSet::new(),
            looked: Instant::now(),
        };
        follower.assign()?;
        Ok(follower)
    }

    /// Whether everything was read that was there at the start.
    pub fn is_caught_up(&self) -> bool {
        self.unread.is_empty()
    }

    /// How many partitions are not read to their ends yet, of how many.
    pub fn progress(&self) -> (usize, usize) {
        (self.unread.len(), self.assigned.values().map(|count| usize::try_from(*count).unwrap_or(0)).sum())
    }

    /// Passes on what is there, up to a batch, and waits up to `wait` if there is nothing. An empty value is a tombstone.
    pub fn take(&mut self, wait: Duration, each: &mut dyn FnMut(Topic, &RecordIn<'_>)) -> Result<usize, LogError> {
        if self.looked.elapsed() >= LOOK_AGAIN
            && let Err(error) = self.assign()
        {
            // Brokers that are away for a while come back, and it looks again.
            tracing::debug!(target: "tailburn::kafka", %error, "the output topics cannot be looked up");
        }
        // These are only errors of the connection. Errors of a partition come with its records.
        if let Some(Err(error)) = self.fetcher.consumer()?.poll(Duration::ZERO) {
            tracing::debug!(target: "tailburn::kafka", %error, "the reader of the output topics reports");
        }
        let Follower { fetcher, topics, unread, .. } = self;
        let (mut count, mut failed) = (0, None);
        fetcher.take(wait, |message| match message.error() {
            None => {
                if let Some(topic) = topics.get(message.topic()) {
                    count += 1;
                    each(*topic, &message.record());
                }
            }
            Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF) => {
                if !unread.is_empty() {
                    unread.remove(&(message.topic().to_owned(), message.partition()));
                }
            }
            Some(code) => failed = failed.take().or_else(|| partition_error(code, message, REMEDY)),
        })?;
        failed.map_or(Ok(count), Err)
    }

    /// Takes the partitions that are not read yet: all of them at first, later those that were added.
    fn assign(&mut self) -> Result<(), LogError> {
        self.looked = Instant::now();
        let mut list = TopicPartitionList::new();
        let is_first = self.assigned.is_empty();
        let mut counts = BTreeMap::new();
        for (name, topic) in &self.topics {
            let found = self.fetcher.consumer()?.fetch_metadata(Some(name), METADATA_WAIT);
            let found = found.map_err(|e| broken(&format!("look topic {name} up"), &e))?;
            let partitions = found.topics().first().map_or(0, |found| found.partitions().len());
            let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
            if partitions == 0 && is_first {
                let message = "there is no such topic: `tailburn topics` lists ours, `output.prefix` names them";
                return Err(LogError::Refused { what: name.clone(), message: message.to_owned() });
            }
            let from =
                if *topic == Topic::DeadLetters { Offset::OffsetTail(NEWEST_LETTERS) } else { Offset::Beginning };
            for partition in self.assigned.get(name).copied().unwrap_or(0)..partitions {
                list.add_partition_offset(name, partition, from).map_err(|e| broken("set an offset", &e))?;
            }
            counts.insert(name.clone(), partitions);
        }
        let new: Vec<(String, i32)> =
            list.elements().iter().map(|new| (new.topic().to_owned(), new.partition())).collect();
        if new.is_empty() {
            return Ok(());
        }
        for (topic, partition) in new {
            self.fetcher.forward(&topic, partition)?;
            self.unread.insert((topic, partition));
        }
        let consumer = self.fetcher.consumer()?;
        let taken = if is_first { consumer.assign(&list) } else { consumer.incremental_assign(&list) };
        taken.map_err(|e| broken("take partitions", &e))?;
        self.assigned = counts;
        Ok(())
    }
}
