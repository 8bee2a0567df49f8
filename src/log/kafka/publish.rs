//! The transactional producer: it publishes records together with the offsets that caused them.
//!
//! A transaction starts with its first record (or with the commit). After an error there are four choices: repeat the
//! call, abort, report that we are fenced, or end. After a disturbed commit the producer is replaced, because a request that is still on
//! its way could end a later transaction.

mod connect;
pub(super) mod context;

pub use connect::try_transactions;

use super::error_codes::{is_fenced, is_permanent};
use super::settings::{KafkaSettings, TRANSACTION_TIMEOUT};
use super::{client_config, refusal};
use crate::log::{CommitOutcome, LogError};
use crate::model::record::{RecordOut, Topic};
use connect::{INIT_TIMEOUT, connect};
use context::PublishContext;
use rdkafka::TopicPartitionList;
use rdkafka::bindings as sys;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaRespErr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A call is repeated for this long. Then the broker aborts the transaction anyway.
const CALL_TIMEOUT: Duration = TRANSACTION_TIMEOUT;
/// How long to wait for deliveries before looking at the producer's events again.
const SLICE: Duration = Duration::from_millis(50);
/// How many events of the producer are taken at a time.
const EVENTS_PER_WAIT: u32 = 64;
/// A commit that took longer may have left a request on its way.
const SLOW_COMMIT: Duration = Duration::from_secs(5);

pub struct Publisher {
    producer: BaseProducer<PublishContext>,
    config: ClientConfig,
    /// The name of each topic on the brokers.
    names: Vec<(Topic, String)>,
    /// When the open transaction started.
    open: Option<Instant>,
    /// A record was not delivered: the open transaction can only be aborted.
    doomed: bool,
    settings: KafkaSettings,
}

impl Publisher {
    /// Connects, and aborts what an earlier user of the transactional id left open.
    pub fn open(settings: &KafkaSettings) -> Result<Publisher, LogError> {
        let config = client_config::producer(settings);
        let names = Topic::OUTPUTS.into_iter().chain(Topic::INTERNAL);
        Ok(Publisher {
            producer: connect(settings, &config, INIT_TIMEOUT)?,
            config,
            names: names.map(|topic| (topic, settings.topic_name(topic))).collect(),
            open: None,
            doomed: false,
            settings: settings.clone(),
        })
    }

    pub fn send(&mut self, record: &RecordOut) -> Result<(), LogError> {
        self.begin()?;
        if self.doomed {
            return Ok(());
        }
        let name = self.names.iter().find(|(topic, _)| *topic == record.topic).map(|(_, name)| name.as_str());
        let name = name.ok_or_else(|| LogError::Broken(format!("no topic for {:?}", record.topic)))?;
        let deadline = Instant::now() + CALL_TIMEOUT;
        let mut outgoing = outgoing(name, record)?;
        loop {
            let Err((error, again)) = self.producer.send(outgoing) else { return Ok(()) };
            match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) if Instant::now() < deadline => {
                    outgoing = again;
                    self.wait_for_deliveries(SLICE);
                }
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => return Err(too_large(name, record)),
                // The transaction has failed already (a record was not delivered), and this record goes with it.
                Some(RDKafkaErrorCode::State) => {
                    self.doomed = true;
                    return Ok(());
                }
                _ => return Err(self.failure("a record was not accepted", &error)),
            }
        }
    }

    /// Publishes what was sent together with the offsets.
    pub fn commit(
        &mut self,
        offsets: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
    ) -> Result<CommitOutcome, LogError> {
        self.end(Some((offsets, group)))
    }

    /// Publishes what was sent without offsets: no record that was read has caused it.
    pub fn commit_alone(&mut self) -> Result<CommitOutcome, LogError> {
        self.end(None)
    }

    fn end(
        &mut self,
        offsets: Option<(&TopicPartitionList, &ConsumerGroupMetadata)>,
    ) -> Result<CommitOutcome, LogError> {
        self.begin()?;
        if self.doomed {
            self.abort()?;
            self.refusal()?;
            self.renew("a record was not delivered")?;
            return Ok(CommitOutcome::Aborted);
        }
        let started = Instant::now();
        self.producer.client().context().disturbed.store(false, Ordering::Relaxed);
        let outcome = self.publish(offsets, started + CALL_TIMEOUT);
        self.refusal()?;
        let outcome = outcome?;
        let disturbed = self.producer.client().context().disturbed.load(Ordering::Relaxed);
        if outcome == CommitOutcome::Aborted {
            // librdkafka would continue its sequence numbers, with gaps for the records that the abort dropped.
            self.renew("a transaction was aborted")?;
        } else if disturbed || started.elapsed() > SLOW_COMMIT {
            self.renew("a commit was disturbed")?;
        }
        Ok(outcome)
    }

    fn publish(
        &mut self,
        offsets: Option<(&TopicPartitionList, &ConsumerGroupMetadata)>,
        deadline: Instant,
    ) -> Result<CommitOutcome, LogError> {
        // The offsets come first: they are sent while records are delivered, and a failed transaction shows at once.
        let sent = match offsets {
            None => true,
            Some((offsets, group)) => self.retry("send the offsets", deadline, |producer, left| {
                producer.send_offsets_to_transaction(offsets, group, left)
            })?,
        };
        while sent && !self.wait_for_deliveries(SLICE) && Instant::now() < deadline {
            if self.producer.client().fatal_error().is_some() {
                break;
            }
        }
        // If a record was not delivered, a commit would fail, and its outcome would be unknown.
        if !sent || self.producer.client().context().failed().is_some() {
            self.abort()?;
            return Ok(CommitOutcome::Aborted);
        }
        if !self.retry("commit", deadline, |producer, left| producer.commit_transaction(left))? {
            // The brokers may have received the commit. librdkafka can abort with a new epoch, which does not undo a
            // transaction that was committed before.
            self.abort()?;
            return Err(LogError::Broken("a commit failed, and its outcome is not known".to_owned()));
        }
        self.open = None;
        Ok(CommitOutcome::Committed)
    }

    /// Drops what was sent since the last commit.
    pub fn abort(&mut self) -> Result<(), LogError> {
        if self.open.is_none() {
            return Ok(());
        }
        let deadline = Instant::now() + CALL_TIMEOUT;
        loop {
            // Aborting drops the queued records, and waits until their delivery reports are taken. So the calls are
            // short, and reports are taken between them.
            match self.producer.abort_transaction(SLICE) {
                Ok(()) => break,
                Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {
                    self.producer.poll(Duration::ZERO);
                }
                Err(error) => return Err(self.failure("abort", &error)),
            }
        }
        self.open = None;
        self.doomed = false;
        Ok(())
    }

    /// Fails if the brokers refused a record for a permanent reason: this or another producer would send it again for
    /// ever.
    fn refusal(&self) -> Result<(), LogError> {
        let failed = self.producer.client().context().failed().clone();
        match failed.filter(|(_, code)| is_permanent(*code)) {
            None => Ok(()),
            Some((topic, code)) => Err(refusal::of_record(&self.settings, &topic, code)),
        }
    }

    fn begin(&mut self) -> Result<(), LogError> {
        if self.open.is_none() {
            *self.producer.client().context().failed() = None;
            self.producer.begin_transaction().map_err(|e| self.failure("begin a transaction", &e))?;
            self.open = Some(Instant::now());
        }
        Ok(())
    }

    /// Repeats a call until it succeeds (`true`), the transaction has to be aborted (`false`), or it fails.
    fn retry(
        &self,
        what: &str,
        deadline: Instant,
        call: impl Fn(&BaseProducer<PublishContext>, Duration) -> KafkaResult<()>,
    ) -> Result<bool, LogError> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match call(&self.producer, left.max(SLICE)) {
                Ok(()) => return Ok(true),
                Err(KafkaError::Transaction(error)) if is_permanent(error.code()) => {
                    return Err(refusal::of_transaction(&self.settings, what, error.code()));
                }
                Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => {
                    tracing::warn!(target: "tailburn::kafka", %error, what, "the transaction is aborted");
                    return Ok(false);
                }
                Err(KafkaError::Transaction(error)) if error.is_retriable() && !left.is_zero() => {
                    self.producer.poll(Duration::ZERO);
                }
                Err(error) => return Err(self.failure(what, &error)),
            }
        }
    }

    /// Returns `true` as soon as all records are delivered, or `false` after `most`. It also takes the producer's events,
    /// so that they do not pile up.
    #[expect(unsafe_code, reason = "the client library's flush sleeps in slices of 100 ms")]
    fn wait_for_deliveries(&self, most: Duration) -> bool {
        let most_ms = i32::try_from(most.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the client is alive. The client library's own `flush` polls in slices of 100 ms that never end early.
        // Successes are not reported here, so librdkafka's wait is exact. (`in_flight_count` is not: it also counts log
        // lines and errors.)
        let flushed = unsafe { sys::rd_kafka_flush(self.producer.client().native_ptr(), most_ms) };
        for _ in 0..EVENTS_PER_WAIT {
            if self.producer.in_flight_count() == 0 {
                break;
            }
            self.producer.poll(Duration::ZERO);
        }
        flushed == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
    }

    /// Replaces the producer by one with the same id: the new epoch fences whatever the old one has still on its way.
    fn renew(&mut self, why: &str) -> Result<(), LogError> {
        tracing::info!(target: "tailburn::kafka", why, "replacing the producer");
        self.producer = connect(&self.settings, &self.config, INIT_TIMEOUT)?;
        Ok(())
    }

    fn failure(&self, what: &str, error: &KafkaError) -> LogError {
        let fatal = self.producer.client().fatal_error();
        let code = fatal.as_ref().map(|(code, _)| *code).or_else(|| error.rdkafka_error_code());
        let message = fatal.map_or_else(|| format!("{what}: {error}"), |(_, why)| format!("{what}: {why}"));
        // The brokers fence a producer whose transaction timed out, and also one whose id somebody else uses.
        let overdue = self.open.is_some_and(|since| since.elapsed() >= TRANSACTION_TIMEOUT);
        match code {
            Some(code) if is_fenced(code) && overdue => LogError::Broken(format!(
                "{message} (the transaction was open for longer than transaction.timeout.ms, or another instance took over)"
            )),
            Some(code) if is_fenced(code) => LogError::Fenced(message),
            _ => LogError::Broken(message),
        }
    }
}

fn outgoing<'a>(topic: &'a str, record: &'a RecordOut) -> Result<BaseRecord<'a, [u8], [u8]>, LogError> {
    let partition = i32::try_from(record.partition).map_err(|e| LogError::Broken(format!("{topic}: {e}")))?;
    // Without a timestamp: T is in the record, and the brokers stamp records of our topics. If a topic is set up
    // otherwise, the broker would compare T to limits that are meant for clocks.
    let mut outgoing = BaseRecord::to(topic).partition(partition);
    outgoing.key = record.key.as_deref();
    outgoing.payload = record.value.as_deref();
    if !record.headers.is_empty() {
        let headers = OwnedHeaders::new_with_capacity(record.headers.len());
        let add = |all: OwnedHeaders, (key, value): &(String, Vec<u8>)| all.insert(Header { key, value: Some(value) });
        outgoing.headers = Some(record.headers.iter().fold(headers, add));
    }
    Ok(outgoing)
}

fn too_large(topic: &str, record: &RecordOut) -> LogError {
    let bytes = record.value.as_ref().map_or(0, Vec::len);
    LogError::Refused {
        what: topic.to_owned(),
        message: format!(
            "a record of {bytes} bytes is over message.max.bytes: raise it in kafka.properties and on the topic"
        ),
    }
}
