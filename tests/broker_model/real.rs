//! The same requests to a real broker, and its visible state.

use crate::broker::{Denied, Place};
use crate::group::{MemberId, Offset};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientContext, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tailburn::log::Stream;

const PATIENCE: Duration = Duration::from_secs(30);
pub const PARTITIONS: u32 = 2;

/// The part of a partition that clients can see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    pub start: i64,
    pub stable_end: i64,
    pub end: i64,
    /// Committed records and their offsets.
    pub records: Vec<(i64, String)>,
}

/// The error of the last record, if it was not delivered.
#[derive(Clone, Default)]
struct Deliveries(Arc<Mutex<Option<RDKafkaErrorCode>>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        if let Err((error, _)) = result {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = error.rdkafka_error_code();
        }
    }
}

/// A present or former holder of a transactional id.
pub struct Handle {
    producer: BaseProducer<Deliveries>,
    deliveries: Deliveries,
    /// The client library has an open transaction.
    is_begun: bool,
}

pub struct Real {
    bootstrap: String,
    /// The prefix of the topics' names.
    name: String,
    plain: BaseProducer,
    committed_only: BaseConsumer,
    everything: BaseConsumer,
    pub members: BTreeMap<MemberId, BaseConsumer>,
}

fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("log_level", "0");
    config
}

fn reader(bootstrap: &str, group: &str, isolation: &str) -> BaseConsumer {
    let mut config = client(bootstrap);
    config.set("group.id", group).set("isolation.level", isolation).set("enable.auto.commit", "false");
    // A broker delays the answer to a fetch without records, and the next request waits for that answer.
    config.set("fetch.wait.max.ms", "10");
    config.set("enable.partition.eof", "true").create().expect("a consumer")
}

/// The broker's refusal, as the model names it.
fn denied(code: Option<RDKafkaErrorCode>, what: &str) -> Denied {
    match code {
        Some(
            RDKafkaErrorCode::Fenced
            | RDKafkaErrorCode::ProducerFenced
            | RDKafkaErrorCode::InvalidProducerEpoch
            // After the first fencing error the library reports only this for the producer.
            | RDKafkaErrorCode::Fatal,
        ) => Denied::Fenced,
        Some(
            RDKafkaErrorCode::IllegalGeneration
            | RDKafkaErrorCode::UnknownMemberId
            | RDKafkaErrorCode::FencedInstanceId,
        ) => Denied::Stale,
        other => panic!("{what}: {other:?}"),
    }
}

fn of_transaction(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        KafkaError::Transaction(error) if error.is_fatal() => Some(RDKafkaErrorCode::Fatal),
        other => other.rdkafka_error_code(),
    }
}

impl Handle {
    fn begin(&mut self) -> Result<(), Denied> {
        if !self.is_begun {
            self.producer.begin_transaction().map_err(|e| denied(of_transaction(&e), "begin"))?;
            self.is_begun = true;
        }
        Ok(())
    }

    pub fn end(&mut self, is_commit: bool) -> Result<(), Denied> {
        let ended = match is_commit {
            true => self.producer.commit_transaction(PATIENCE),
            false => self.producer.abort_transaction(PATIENCE),
        };
        self.is_begun = ended.is_err() && self.is_begun;
        ended.map_err(|e| denied(of_transaction(&e), "end"))
    }

    pub fn has_begun(&self) -> bool {
        self.is_begun
    }
}

impl Real {
    pub fn new(bootstrap: &str, seed: u64) -> Real {
        let name = format!("model-{seed}-{}", std::process::id());
        let real = Real {
            bootstrap: bootstrap.to_owned(),
            plain: client(bootstrap).create().expect("a producer"),
            committed_only: reader(bootstrap, &name, "read_committed"),
            everything: reader(bootstrap, &name, "read_uncommitted"),
            members: BTreeMap::new(),
            name,
        };
        let names = ["in", "out"].map(|of| format!("{}-{of}", real.name));
        let topics = names.each_ref().map(|name| NewTopic::new(name, PARTITIONS as i32, TopicReplication::Fixed(1)));
        let made = wait(real.admin().create_topics(&topics, &AdminOptions::new())).expect("an answer");
        assert!(made.iter().all(Result::is_ok), "{made:?}");
        real
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        client(&self.bootstrap).create().expect("an administrator")
    }

    fn at(&self, place: Place) -> (String, i32) {
        match place {
            Place::Input(partition) => (format!("{}-in", self.name), partition as i32),
            Place::Output(_, partition) => (format!("{}-out", self.name), partition as i32),
        }
    }

    /// Takes a transactional id.
    pub fn init(&self, producer: &str, timeout_ms: u32) -> Handle {
        let deliveries = Deliveries::default();
        let mut config = client(&self.bootstrap);
        config.set("transactional.id", format!("{}-{producer}", self.name)).set("linger.ms", "0");
        config.set("transaction.timeout.ms", timeout_ms.to_string());
        let made: BaseProducer<Deliveries> = config.create_with_context(deliveries.clone()).expect("a producer");
        made.init_transactions(PATIENCE).expect("the id is taken");
        Handle { producer: made, deliveries, is_begun: false }
    }

    pub fn send(&self, handle: &mut Handle, place: Place, value: &str) -> Result<(), Denied> {
        handle.begin()?;
        let (topic, partition) = self.at(place);
        let record = BaseRecord::<(), str>::to(&topic).partition(partition).payload(value);
        if let Err((error, _)) = handle.producer.send(record) {
            return Err(denied(error.rdkafka_error_code(), "send"));
        }
        handle.producer.flush(PATIENCE).expect("an answer");
        let failed = handle.deliveries.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        failed.map_or(Ok(()), |code| match code {
            // Records that were queued when the library learnt that it was fenced.
            RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight => Err(Denied::Fenced),
            code => Err(denied(Some(code), "delivery")),
        })
    }

    pub fn append(&self, place: Place, value: &str) {
        let (topic, partition) = self.at(place);
        let record = BaseRecord::<(), str>::to(&topic).partition(partition).payload(value);
        assert!(self.plain.send(record).is_ok(), "the client refused a record");
        self.plain.flush(PATIENCE).expect("delivered");
    }

    pub fn send_offsets(
        &self,
        handle: &mut Handle,
        member: &ConsumerGroupMetadata,
        offsets: &[Offset],
    ) -> Result<(), Denied> {
        handle.begin()?;
        let mut list = TopicPartitionList::new();
        for (stream, next, metadata) in offsets {
            let (topic, partition) = self.at((*stream).into());
            let mut element = list.add_partition(&topic, partition);
            element.set_offset(rdkafka::Offset::Offset(next.0)).expect("an offset");
            element.set_metadata(metadata);
        }
        let sent = handle.producer.send_offsets_to_transaction(&list, member, PATIENCE);
        sent.map_err(|e| denied(of_transaction(&e), "offsets"))
    }

    pub fn delete_before(&self, place: Place, offset: i64) {
        let (topic, partition) = self.at(place);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&topic, partition, rdkafka::Offset::Offset(offset)).expect("an offset");
        let deleted = wait(self.admin().delete_records(&list, &AdminOptions::new())).expect("an answer");
        let failed = deleted.elements().iter().find_map(|element| element.error().err());
        assert!(failed.is_none(), "{failed:?}");
    }

    pub fn join(&mut self, member: MemberId) {
        let mut config = client(&self.bootstrap);
        config.set("group.id", &self.name).set("enable.auto.commit", "false");
        config.set("partition.assignment.strategy", "cooperative-sticky");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        consumer.subscribe(&[&format!("{}-in", self.name)]).expect("subscribed");
        self.members.insert(member, consumer);
        self.settle_group();
    }

    pub fn leave(&mut self, member: MemberId) {
        self.members.remove(&member);
        self.settle_group();
    }

    /// Waits until the group has assigned all partitions, and the assignment has not changed for a while.
    fn settle_group(&self) {
        let (began, mut calm_since) = (Instant::now(), Instant::now());
        let mut last = BTreeMap::new();
        while !self.members.is_empty() && calm_since.elapsed() < Duration::from_millis(1_500) {
            assert!(began.elapsed() < PATIENCE, "the group does not settle: {last:?}");
            for consumer in self.members.values() {
                // Polls for the sake of the group; the records do not matter.
                let _ = consumer.poll(Duration::from_millis(20));
            }
            let now: BTreeMap<MemberId, usize> =
                self.owned().into_iter().map(|(id, owned)| (id, owned.len())).collect();
            let least = PARTITIONS as usize / self.members.len();
            let is_dealt = now.values().sum::<usize>() == PARTITIONS as usize && now.values().all(|n| *n >= least);
            if now != last || !is_dealt {
                calm_since = Instant::now();
            }
            last = now;
        }
    }

    pub fn owned(&self) -> BTreeMap<MemberId, Vec<Stream>> {
        let of = |consumer: &BaseConsumer| {
            let assignment = consumer.assignment().expect("an assignment");
            assignment.elements().iter().map(|e| Stream::Input(e.partition() as u32)).collect()
        };
        self.members.iter().map(|(member, consumer)| (*member, of(consumer))).collect()
    }

    /// The identity and generation that a member sends with commits now.
    pub fn metadata(&self, member: MemberId) -> ConsumerGroupMetadata {
        self.members[&member].group_metadata().expect("metadata")
    }

    /// The committed offset of an input partition; outer `None`: the brokers make clients wait for the end of a
    /// transaction.
    pub fn committed_of(&self, partition: u32) -> Option<Option<(i64, String)>> {
        let (topic, partition) = self.at(Place::Input(partition));
        let mut list = TopicPartitionList::new();
        list.add_partition(&topic, partition);
        match self.committed_only.committed_offsets(list, Duration::from_millis(400)) {
            Ok(found) => {
                let element = found.find_partition(&topic, partition).expect("an answer");
                assert!(element.error().is_ok(), "{:?}", element.error());
                Some(match element.offset() {
                    rdkafka::Offset::Offset(next) => Some((next, element.metadata().to_owned())),
                    _ => None,
                })
            }
            Err(KafkaError::MetadataFetch(
                RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::UnstableOffsetCommit,
            )) => None,
            Err(error) => panic!("committed offsets: {error}"),
        }
    }

    /// The end of the partition, open transactions included.
    pub fn end(&self, place: Place) -> i64 {
        let (topic, partition) = self.at(place);
        self.everything.fetch_watermarks(&topic, partition, PATIENCE).expect("ends").1
    }

    pub fn view(&self, place: Place) -> View {
        let (topic, partition) = self.at(place);
        let ends = |consumer: &BaseConsumer| consumer.fetch_watermarks(&topic, partition, PATIENCE).expect("ends");
        let ((start, stable_end), (_, end)) = (ends(&self.committed_only), ends(&self.everything));
        View { start, stable_end, end, records: self.records(&topic, partition).expect("records") }
    }

    fn records(&self, topic: &str, partition: i32) -> KafkaResult<Vec<(i64, String)>> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, rdkafka::Offset::Beginning)?;
        self.committed_only.assign(&list)?;
        let (mut records, deadline) = (Vec::new(), Instant::now() + PATIENCE);
        loop {
            assert!(Instant::now() < deadline, "{topic} [{partition}] cannot be read to its end");
            match self.committed_only.poll(Duration::from_millis(100)) {
                None => {}
                Some(Ok(message)) => {
                    let value = String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned();
                    records.push((message.offset(), value));
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(records),
                Some(Err(error)) => return Err(error),
            }
        }
    }
}

/// The client returns futures; this thread waits for them.
fn wait<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(future)
}
