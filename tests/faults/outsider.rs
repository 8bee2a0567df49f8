//! The broker as seen by an independent client: the visible records of its topics, and administration.

use crate::answers::identity;
use crate::compare::Record;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const REQUEST: Duration = Duration::from_secs(30);

pub struct Outsider {
    bootstrap: String,
}

impl Outsider {
    pub fn new(bootstrap: &str) -> Outsider {
        Outsider { bootstrap: bootstrap.to_owned() }
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("reconnect.backoff.max.ms", "1000");
        config
    }

    /// A producer that survives every outage, and neither repeats nor reorders.
    pub fn producer(&self) -> BaseProducer {
        let mut config = self.client();
        config.set("enable.idempotence", "true").set("message.timeout.ms", "3600000");
        config.set("message.max.bytes", "16000000").set("linger.ms", "5");
        config.create().expect("a producer")
    }

    fn consumer(&self, group: &str) -> BaseConsumer {
        let mut config = self.client();
        config.set("group.id", group).set("isolation.level", "read_committed");
        config.set("enable.auto.commit", "false").set("enable.partition.eof", "true").set("log_level", "0");
        config.create().expect("a consumer")
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("an administrator")
    }

    pub fn create_topic(&self, name: &str, partitions: usize, settings: &[(&str, &str)]) {
        let topic = NewTopic::new(name, partitions as i32, TopicReplication::Fixed(1));
        let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        let made = wait(self.admin().create_topics(&[topic], &AdminOptions::new())).expect("an answer");
        assert!(made.iter().all(Result::is_ok), "{made:?}");
    }

    pub fn delete_topic(&self, name: &str) {
        let deleted = wait(self.admin().delete_topics(&[name], &AdminOptions::new())).expect("an answer");
        assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    }

    /// How many partitions a topic has; 0: there is none.
    pub fn partitions(&self, topic: &str) -> usize {
        let metadata = self.consumer("outsider").fetch_metadata(Some(topic), REQUEST);
        metadata.ok().and_then(|m| m.topics().first().map(|t| t.partitions().len())).unwrap_or_default()
    }

    /// The ends of all partitions of a topic.
    pub fn ends(&self, topic: &str) -> Vec<i64> {
        let consumer = self.consumer("outsider");
        let end = |p: usize| consumer.fetch_watermarks(topic, p as i32, REQUEST).map_or(-1, |(_, end)| end);
        (0..self.partitions(topic)).map(end).collect()
    }

    /// Deletes all records of a compacted topic. The broker refuses this for each partition unless the topic's policy
    /// is to delete, so the policy is changed meanwhile.
    pub fn empty_compacted(&self, topic: &str) {
        let ends = self.ends(topic);
        let list = self.list(topic, |partition| Offset::Offset(ends[partition]));
        self.set(topic, &[("cleanup.policy", "compact,delete")]);
        let deadline = Instant::now() + REQUEST;
        loop {
            let deleted = wait(self.admin().delete_records(&list, &AdminOptions::new())).expect("an answer");
            let refused = deleted.elements().iter().filter(|e| e.error().is_err()).count();
            if refused == 0 {
                break;
            }
            assert!(Instant::now() < deadline, "records of {topic} are not deleted: {deleted:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
        self.set(topic, &[("cleanup.policy", "compact")]);
        let begins =
            |p: usize| self.consumer("outsider").fetch_watermarks(topic, p as i32, REQUEST).map(|(low, _)| low);
        assert!((0..ends.len()).all(|p| begins(p) == Ok(ends[p])), "{topic} still holds records");
    }

    /// Sets a topic's configuration; settings not named return to the broker's default.
    fn set(&self, topic: &str, settings: &[(&str, &str)]) {
        let wanted = AlterConfig::new(ResourceSpecifier::Topic(topic));
        let wanted = settings.iter().fold(wanted, |wanted, (key, value)| wanted.set(key, value));
        let set = wait(self.admin().alter_configs([&wanted], &AdminOptions::new())).expect("an answer");
        assert!(set.iter().all(Result::is_ok), "{set:?}");
    }

    /// A group's committed offsets of a topic, with their metadata.
    pub fn committed(&self, group: &str, topic: &str) -> TopicPartitionList {
        let list = self.list(topic, |_| Offset::Invalid);
        self.consumer(group).committed_offsets(list, REQUEST).expect("the committed offsets")
    }

    /// Sets the offsets of a group without members.
    pub fn commit(&self, group: &str, offsets: &TopicPartitionList) {
        self.consumer(group).commit(offsets, CommitMode::Sync).expect("the group's offsets are set");
    }

    /// The beginnings of all partitions.
    pub fn beginnings(&self, topic: &str) -> TopicPartitionList {
        self.list(topic, |_| Offset::Offset(0))
    }

    /// This many records of a topic, by partition.
    pub fn values(&self, topic: &str, count: usize) -> Vec<Vec<Vec<u8>>> {
        let consumer = self.consumer("outsider");
        consumer.assign(&self.list(topic, |_| Offset::Beginning)).expect("an assignment");
        let mut all = vec![Vec::new(); self.partitions(topic)];
        let (mut read, deadline) = (0, Instant::now() + REQUEST);
        while read < count && Instant::now() < deadline {
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                all[message.partition() as usize].push(message.payload().unwrap_or_default().to_vec());
                read += 1;
            }
        }
        all
    }

    /// Publishes a record again, as a foreign client.
    pub fn forge(&self, prefix: &str, record: &Record) {
        let topic = format!("{prefix}{}", record.topic);
        let (key, value) = (record.key.clone().unwrap_or_default(), record.value.clone().unwrap_or_default());
        let forged = BaseRecord::to(&topic).partition(record.partition).timestamp(record.at_ms);
        let producer = self.producer();
        assert!(producer.send(forged.key(&key).payload(&value)).is_ok(), "the record is not taken");
        producer.flush(REQUEST).expect("the record is delivered");
    }

    fn list(&self, topic: &str, offset: impl Fn(usize) -> Offset) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in 0..self.partitions(topic) {
            list.add_partition_offset(topic, partition as i32, offset(partition)).expect("a partition");
        }
        list
    }

    /// A reader of these topics from their beginnings; missing topics are left out.
    pub fn reader(&self, prefix: &str, topics: &[&'static str]) -> Reader {
        let consumer = self.consumer("outsider");
        let (mut list, mut names, mut topics_missing) = (TopicPartitionList::new(), BTreeMap::new(), 0);
        for topic in topics {
            let name = format!("{prefix}{topic}");
            let partitions = self.partitions(&name);
            topics_missing += usize::from(partitions == 0);
            for partition in 0..partitions {
                list.add_partition_offset(&name, partition as i32, Offset::Beginning).expect("a partition");
            }
            names.insert(name, *topic);
        }
        consumer.assign(&list).expect("an assignment");
        Reader { consumer, names, partitions: list.count(), topics_missing, records: Vec::new() }
    }
}

/// Continues reading as more becomes visible.
pub struct Reader {
    consumer: BaseConsumer,
    names: BTreeMap<String, &'static str>,
    partitions: usize,
    topics_missing: usize,
    pub records: Vec<Record>,
}

impl Reader {
    /// Whether all topics existed when it was created.
    pub fn has_topics(&self) -> bool {
        self.topics_missing == 0
    }

    /// Reads for this long. Returns how often it reached the end of a partition.
    pub fn read(&mut self, time: Duration) -> usize {
        let (until, mut ends) = (Instant::now() + time, 0);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.consumer.poll(left.min(Duration::from_millis(100))) {
                Some(Ok(message)) => {
                    let next = record(self.names[message.topic()], &message);
                    if next.at_ms != NO_T {
                        date_tombstones(&mut self.records, &next);
                    }
                    self.records.push(next);
                }
                Some(Err(KafkaError::PartitionEOF(_))) => ends += 1,
                // Errors are temporary, or show as a missing record.
                Some(Err(_)) | None => {}
            }
            if left.is_zero() {
                return ends;
            }
        }
    }

    /// Reads everything while nobody writes; `false`: it took too long.
    pub fn read_to_the_ends(&mut self, within: Duration) -> bool {
        let (deadline, mut ends) = (Instant::now() + within, 0);
        while ends < self.partitions {
            ends += self.read(Duration::from_millis(200));
            if Instant::now() > deadline {
                return false;
            }
        }
        true
    }
}

fn record(topic: &'static str, message: &impl Message) -> Record {
    let is_dead = topic == "dead-letters";
    let value = message.payload().map(<[u8]>::to_vec);
    let mut headers: Vec<(String, Vec<u8>)> = Vec::new();
    if let Some(all) = message.headers() {
        headers.extend(all.iter().map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec())));
    }
    let key = message.key().map(|key| String::from_utf8_lossy(key).into_owned()).unwrap_or_default();
    let offset = headers.iter().find(|(name, _)| name == "tailburn.offset").map(|(_, v)| String::from_utf8_lossy(v));
    let parsed = value.as_deref().map(|bytes| serde_json::from_slice(bytes).unwrap_or_default());
    Record {
        topic,
        partition: message.partition(),
        at_ms: if is_dead { 0 } else { at_of(parsed.as_ref()) },
        identity: if is_dead {
            offset.unwrap_or_default().into_owned()
        } else {
            identity(topic, &key, parsed.as_ref())
        },
        key: message.key().map(<[u8]>::to_vec),
        value,
        headers,
    }
}

/// The T in a record. Brokers stamp our records with the time at which they were written, and a tombstone has no T: it
/// gets the T of the next record of its partition, if there is one.
const NO_T: i64 = i64::MAX;

fn at_of(value: Option<&serde_json::Value>) -> i64 {
    let at = value.and_then(|value| value["at"].as_str()).and_then(|at| at.parse::<jiff::Timestamp>().ok());
    at.map_or(NO_T, jiff::Timestamp::as_millisecond)
}

/// Gives a record's T to the tombstones before it.
fn date_tombstones(records: &mut [Record], next: &Record) {
    let same_place = |r: &&mut Record| r.topic == next.topic && r.partition == next.partition;
    let undated = records.iter_mut().rev().filter(same_place).take_while(|r| r.at_ms == NO_T);
    undated.for_each(|tombstone| tombstone.at_ms = next.at_ms);
}

/// The client returns futures; this thread waits for them.
fn wait<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(future)
}
