//! The topics of one test on the shared broker, as an independent client sees them.

use crate::broker::Broker;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::{Duration, Instant};
use tailburn::log::kafka::topics::{Cleanup, PartitionCounts, TopicAdmin, TopicPlan, plan};
use tailburn::log::kafka::{KafkaLog, KafkaSettings, Listener, StartFrom};
use tailburn::log::numbering::Numbering;
use tailburn::log::{Assignment, Log, LogError, LogEvent, NextOffset, Stream};
use tailburn::model::record::{RecordOut, Topic};

/// Nothing on loopback takes this long.
pub const PATIENCE: Duration = Duration::from_secs(90);

pub struct World<B> {
    pub broker: B,
    pub name: &'static str,
    pub input: String,
}

/// A record as an independent client with `read_committed` sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub partition: i32,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub timestamp_ms: Option<i64>,
}

/// A group's committed offsets of a topic, by partition. A broker whose coordinators are still loading returns an error,
/// and the offsets a moment later.
pub fn committed(of_group: &BaseConsumer, topic: &str, partitions: u32) -> Result<Vec<Option<i64>>, KafkaError> {
    let mut list = TopicPartitionList::new();
    list.add_partition_range(topic, 0, partitions as i32 - 1);
    let found = of_group.committed_offsets(list, PATIENCE)?;
    let offset = |offset| if let Offset::Offset(next) = offset { Some(next) } else { None };
    Ok(found.elements().iter().map(|element| offset(element.offset())).collect())
}

impl<B: Deref<Target = Broker>> World<B> {
    /// An input topic with this many partitions, and our topics with two each (the changelog has four, the sources one).
    pub fn new(broker: B, name: &'static str, input_partitions: u32) -> World<B> {
        log_where_asked();
        let world = World { broker, name, input: format!("{name}-outcomes") };
        let settings = world.settings("admin");
        let mut plans = plan(&settings, PartitionCounts { input: input_partitions, users: 2, rollup: 2 });
        plans.push(TopicPlan {
            name: world.input.clone(),
            partitions: input_partitions,
            cleanup: Cleanup::Delete { retention_ms: None },
            ours: None,
        });
        let admin = TopicAdmin::open(&settings).expect("an administrator");
        admin.create_missing(&plans, 1).expect("topics are created");
        world
    }

    pub fn settings(&self, worker: &str) -> KafkaSettings {
        KafkaSettings {
            properties: BTreeMap::from([("bootstrap.servers".to_owned(), self.broker.bootstrap().to_owned())]),
            group_id: self.name.to_owned(),
            transactional_id: format!("{}-{worker}", self.name),
            input_topics: vec![self.input.clone()],
            prefix: format!("{}.", self.name),
            start_from: StartFrom::Earliest,
            keyed_by_user: false,
            makes_topics: true,
            controls_definitions: false,
            listener: Listener::default(),
        }
    }

    pub fn open(&self, worker: &str) -> Worker {
        Worker::open(&self.settings(worker)).expect("the log opens")
    }

    /// A log whose member is expelled from the group soon after it stops polling.
    pub fn open_impatient(&self, worker: &str) -> Worker {
        let mut settings = self.settings(worker);
        for (name, value) in
            [("session.timeout.ms", "2000"), ("heartbeat.interval.ms", "500"), ("max.poll.interval.ms", "2000")]
        {
            settings.properties.insert(name.to_owned(), value.to_owned());
        }
        Worker::open(&settings).expect("the log opens")
    }

    /// Writes records to the input, as a foreign producer.
    pub fn produce(&self, partition: i32, values: &[&str]) {
        // A request that is repeated on a busy machine must not write a record twice.
        let producer: BaseProducer = self.client().set("enable.idempotence", "true").create().expect("a producer");
        for value in values {
            let headers = OwnedHeaders::new().insert(Header { key: "origin", value: Some("test") });
            let record = BaseRecord::to(&self.input).partition(partition).key("k").payload(*value).headers(headers);
            producer.send(record).map_err(|(error, _)| error).expect("the record is queued");
        }
        producer.flush(PATIENCE).expect("the records are delivered");
    }

    /// All visible records of one of our topics, in order per partition.
    pub fn visible(&self, topic: Topic) -> Vec<Seen> {
        let consumer: BaseConsumer = self
            .client()
            .set("group.id", "outsider")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .create()
            .expect("a consumer");
        let mut list = TopicPartitionList::new();
        for partition in 0..2 {
            let name = self.settings("outsider").topic_name(topic);
            list.add_partition_offset(&name, partition, Offset::Beginning).expect("a partition");
        }
        consumer.assign(&list).expect("an assignment");
        let (mut seen, mut ends, deadline) = (Vec::new(), 0, Instant::now() + PATIENCE);
        while ends < 2 {
            assert!(Instant::now() < deadline, "{topic:?} could not be read to its ends");
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => seen.push(Seen {
                    partition: message.partition(),
                    key: message.key().map(<[u8]>::to_vec),
                    value: message.payload().map(<[u8]>::to_vec),
                    headers: message.headers().map_or_else(Vec::new, |headers| {
                        headers.iter().map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec())).collect()
                    }),
                    timestamp_ms: message.timestamp().to_millis(),
                }),
                Some(Err(KafkaError::PartitionEOF(_))) => ends += 1,
                Some(Err(error)) => panic!("{topic:?}: {error}"),
                None => {}
            }
        }
        seen
    }

    /// The values visible on one of our topics.
    pub fn visible_values(&self, topic: Topic) -> Vec<String> {
        self.visible(topic).into_iter().map(|seen| text(&seen.value.unwrap_or_default())).collect()
    }

    /// Key and value of all visible records of any topic, in order per partition.
    pub fn each_record(&self, topic: &str, mut each: impl FnMut(&str, Option<&[u8]>)) {
        self.each_message(topic, |message| {
            each(&text(message.key().unwrap_or_default()), message.payload());
        });
    }

    pub fn each_message(&self, topic: &str, mut each: impl FnMut(&BorrowedMessage<'_>)) {
        let mut config = self.client();
        config.set("group.id", "outsider").set("isolation.level", "read_committed");
        config.set("enable.auto.commit", "false").set("enable.partition.eof", "true");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).expect("metadata");
        let partitions = metadata.topics()[0].partitions().len();
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions as i32 {
            list.add_partition_offset(topic, partition, Offset::Beginning).expect("a partition");
        }
        consumer.assign(&list).expect("an assignment");
        let mut ends = 0;
        while ends < partitions {
            match consumer.poll(PATIENCE) {
                Some(Ok(message)) => each(&message),
                Some(Err(KafkaError::PartitionEOF(_))) => ends += 1,
                other => panic!("{topic} could not be read: {other:?}"),
            }
        }
    }

    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.broker.bootstrap());
        config
    }
}

/// A log, and the records and events that it returned.
pub struct Worker {
    pub log: KafkaLog,
    /// Values with stream and offset, in the order of arrival, without the claims of the log itself.
    pub read: Vec<(Stream, i64, String)>,
    pub events: Vec<LogEvent>,
}

impl Worker {
    pub fn open(settings: &KafkaSettings) -> Result<Worker, LogError> {
        Ok(Worker { log: KafkaLog::open(settings)?, read: Vec::new(), events: Vec::new() })
    }

    /// Polls once.
    pub fn step(&mut self) -> Result<Vec<LogEvent>, LogError> {
        let read = &mut self.read;
        let events = self.log.poll(Duration::from_millis(50), &mut |stream, record| {
            let is_claim =
                stream == Stream::Sources && Numbering::default().apply(record.key.unwrap_or_default(), record.value);
            if !is_claim {
                read.push((stream, record.offset, text(record.value)));
            }
        })?;
        self.events.extend(events.iter().cloned());
        Ok(events)
    }

    /// Polls until a condition holds.
    pub fn until(&mut self, what: &str, holds: impl Fn(&Worker) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < deadline, "timed out waiting until {what}; events: {:?}", self.events);
            self.step().unwrap_or_else(|error| panic!("until {what}: {error}"));
        }
    }

    /// Polls until an event comes; returns it and the others of that poll.
    pub fn until_event(&mut self, what: &str, is_it: impl Fn(&LogEvent) -> bool) -> Vec<LogEvent> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "timed out waiting for {what}; events: {:?}", self.events);
            let events = self.step().unwrap_or_else(|error| panic!("waiting for {what}: {error}"));
            if events.iter().any(&is_it) {
                return events;
            }
        }
    }

    /// All streams that the first event with an assignment contains.
    pub fn until_assigned(&mut self) -> Vec<Assignment> {
        let events = self.until_event("an assignment", |event| matches!(event, LogEvent::Assigned(_)));
        events.into_iter().find_map(|e| if let LogEvent::Assigned(all) = e { Some(all) } else { None }).expect("it")
    }

    pub fn values(&self) -> Vec<&str> {
        self.read.iter().map(|(_, _, value)| value.as_str()).collect()
    }
}

/// `TAILBURN_LOG=tailburn=debug` shows the log lines of tailburn and librdkafka (with `--nocapture`, because they come from
/// other threads than the test's).
fn log_where_asked() {
    if let Ok(filter) = std::env::var("TAILBURN_LOG") {
        // Fails if another test of this process was first.
        drop(tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init());
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A plain record for partition 0 of the status topic.
pub fn status(value: &str) -> RecordOut {
    RecordOut {
        topic: Topic::SloStatus,
        partition: 0,
        key: Some(b"key".to_vec()),
        value: Some(value.as_bytes().to_vec()),
        headers: Vec::new(),
        timestamp_ms: 1_780_000_000_000,
    }
}

pub fn at(stream: Stream, next: i64) -> (Stream, NextOffset, String) {
    (stream, NextOffset(next), String::new())
}
