//! The transactional producer: records out, and the offsets that caused them, as one.
//!
//! A transaction opens with the first record (or with the commit). Errors fall in four classes:
//! the same call again, abort, fenced, broken. After a commit whose course was disturbed the
//! producer is replaced: a request that is still under way could end a later transaction.

use super::group::log_line;
use super::refusal::{self, is_incurable};
use super::settings::{KafkaSettings, TRANSACTION_TIMEOUT};
use super::trouble::Trouble;
use crate::log::{CommitOutcome, LogError};
use crate::model::record::{RecordOut, Topic};
use rdkafka::bindings as sys;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A call is tried again within this; the broker gives a transaction up after as long.
const CALL_BOUND: Duration = TRANSACTION_TIMEOUT;
/// The first contact: a new cluster creates its transaction log, a dead predecessor times out.
const INIT_BOUND: Duration = Duration::from_secs(60);
/// The same, for who only asks.
const TRY_BOUND: Duration = Duration::from_secs(20);
/// One wait for deliveries, between two looks at the reports.
const SLICE: Duration = Duration::from_millis(50);
/// Events of the client that are served in one go.
const EVENTS_PER_WAIT: u32 = 64;
/// A commit that took longer may have left a request behind.
const SLOW_COMMIT: Duration = Duration::from_secs(5);

pub struct Publisher {
    producer: BaseProducer<PublishContext>,
    config: ClientConfig,
    /// By the discriminant of [`Topic`].
    names: Vec<(Topic, String)>,
    /// Since when a transaction is open.
    open: Option<Instant>,
    /// The open transaction can only be aborted.
    doomed: bool,
    settings: KafkaSettings,
}

/// Sees what the producer is told outside of any call.
struct PublishContext {
    disturbed: AtomicBool,
    trouble: Trouble,
    /// The first record of the open transaction that was not delivered: its topic, and why.
    failed: Mutex<Option<(String, RDKafkaErrorCode)>>,
}

impl PublishContext {
    fn new(settings: &KafkaSettings) -> PublishContext {
        PublishContext { disturbed: AtomicBool::default(), trouble: Trouble::new(settings), failed: Mutex::default() }
    }

    fn failed(&self) -> MutexGuard<'_, Option<(String, RDKafkaErrorCode)>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for PublishContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.disturbed.store(true, Ordering::Relaxed);
        self.trouble.note(&error, reason);
        tracing::warn!(target: "tailburn::kafka", %error, reason, "the producer reports");
    }
}

impl ProducerContext for PublishContext {
    type DeliveryOpaque = ();

    /// Only failures are reported; librdkafka then lets the transaction be aborted only.
    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, record)) = result {
            tracing::debug!(target: "tailburn::kafka", %error, "a record was not delivered; its transaction is aborted");
            let failure = error.rdkafka_error_code().map(|code| (record.topic().to_owned(), code));
            // The others of its batch, and those behind it, fail because of the first.
            let mut failed = self.failed();
            if failed.as_ref().is_none_or(|(_, code)| !is_incurable(*code)) {
                *failed = failure.or_else(|| failed.take());
            }
        }
    }
}

impl Publisher {
    /// Connects, and ends what an earlier holder of the transactional id left open.
    pub fn open(settings: &KafkaSettings) -> Result<Publisher, LogError> {
        let config = settings.producer();
        let names = Topic::OUTPUTS.into_iter().chain(Topic::INTERNAL);
        Ok(Publisher {
            producer: connect(settings, &config, INIT_BOUND)?,
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
        let deadline = Instant::now() + CALL_BOUND;
        let mut outgoing = outgoing(name, record)?;
        loop {
            let Err((error, again)) = self.producer.send(outgoing) else { return Ok(()) };
            match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) if Instant::now() < deadline => {
                    outgoing = again;
                    self.wait_for_deliveries(SLICE);
                }
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => return Err(too_large(name, record)),
                // The transaction failed already (a record was not delivered): this one goes with it.
                Some(RDKafkaErrorCode::State) => {
                    self.doomed = true;
                    return Ok(());
                }
                _ => return Err(self.given_up("a record was not accepted", &error)),
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

    /// Publishes what was sent, which nothing that was read has caused.
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
        let outcome = self.publish(offsets, started + CALL_BOUND);
        self.refusal()?;
        let outcome = outcome?;
        let disturbed = self.producer.client().context().disturbed.load(Ordering::Relaxed);
        if outcome == CommitOutcome::Aborted {
            // librdkafka would number its records on, with holes for those that the abort purged.
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
        // First the offsets: they travel beside the records, and a failed transaction shows at once.
        let sent = match offsets {
            None => true,
            Some((offsets, group)) => self.again("send the offsets", deadline, |producer, left| {
                producer.send_offsets_to_transaction(offsets, group, left)
            })?,
        };
        while sent && !self.wait_for_deliveries(SLICE) && Instant::now() < deadline {
            if self.producer.client().fatal_error().is_some() {
                break;
            }
        }
        // Where a record was not delivered, a commit would fail, and leave open whether it counts.
        if !sent || self.producer.client().context().failed().is_some() {
            self.abort()?;
            return Ok(CommitOutcome::Aborted);
        }
        if !self.again("commit", deadline, |producer, left| producer.commit_transaction(left))? {
            // It was asked for, and the brokers may have heard: librdkafka can abort by taking a new epoch,
            // which says nothing of a transaction that had been decided before.
            self.abort()?;
            return Err(LogError::Broken("a commit failed, and whether it counts is not known".to_owned()));
        }
        self.open = None;
        Ok(CommitOutcome::Committed)
    }

    /// Drops what was sent since the last commit.
    pub fn abort(&mut self) -> Result<(), LogError> {
        if self.open.is_none() {
            return Ok(());
        }
        let deadline = Instant::now() + CALL_BOUND;
        loop {
            // Aborting purges what is under way, and waits until those reports were looked at:
            // they are looked at between short calls.
            match self.producer.abort_transaction(SLICE) {
                Ok(()) => break,
                Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {
                    self.producer.poll(Duration::ZERO);
                }
                Err(error) => return Err(self.given_up("abort", &error)),
            }
        }
        self.open = None;
        self.doomed = false;
        Ok(())
    }

    /// An error where the brokers refused a record for a reason that waiting does not cure: sending it again,
    /// by this producer or another one, would never end.
    fn refusal(&self) -> Result<(), LogError> {
        let failed = self.producer.client().context().failed().clone();
        match failed.filter(|(_, code)| is_incurable(*code)) {
            None => Ok(()),
            Some((topic, code)) => Err(refusal::of_record(&self.settings, &topic, code)),
        }
    }

    fn begin(&mut self) -> Result<(), LogError> {
        if self.open.is_none() {
            *self.producer.client().context().failed() = None;
            self.producer.begin_transaction().map_err(|e| self.given_up("begin a transaction", &e))?;
            self.open = Some(Instant::now());
        }
        Ok(())
    }

    /// Makes a call until it succeeds (`true`), the transaction has to be aborted (`false`), or it
    /// is given up.
    fn again(
        &self,
        what: &str,
        deadline: Instant,
        call: impl Fn(&BaseProducer<PublishContext>, Duration) -> KafkaResult<()>,
    ) -> Result<bool, LogError> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match call(&self.producer, left.max(SLICE)) {
                Ok(()) => return Ok(true),
                Err(KafkaError::Transaction(error)) if is_incurable(error.code()) => {
                    return Err(refusal::of_transaction(&self.settings, what, error.code()));
                }
                Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => {
                    tracing::warn!(target: "tailburn::kafka", %error, what, "the transaction is aborted");
                    return Ok(false);
                }
                Err(KafkaError::Transaction(error)) if error.is_retriable() && !left.is_zero() => {
                    self.producer.poll(Duration::ZERO);
                }
                Err(error) => return Err(self.given_up(what, &error)),
            }
        }
    }

    /// Returns `true` at once when all records are delivered, else `false` after `most`. Serves what
    /// the client has to say, so that it does not pile up.
    #[expect(unsafe_code, reason = "the client library's flush sleeps in slices of 100 ms")]
    fn wait_for_deliveries(&self, most: Duration) -> bool {
        let most_ms = i32::try_from(most.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the client is alive. The client library's own `flush` polls in slices of 100 ms
        // that never end early; successes are not reported here, so librdkafka's wait is exact.
        // (`in_flight_count` is not: it counts log lines and errors among the records.)
        let flushed = unsafe { sys::rd_kafka_flush(self.producer.client().native_ptr(), most_ms) };
        for _ in 0..EVENTS_PER_WAIT {
            if self.producer.in_flight_count() == 0 {
                break;
            }
            self.producer.poll(Duration::ZERO);
        }
        flushed == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
    }

    /// A new producer with the same id: its epoch shuts out whatever the old one left under way.
    fn renew(&mut self, why: &str) -> Result<(), LogError> {
        tracing::info!(target: "tailburn::kafka", why, "replacing the producer");
        self.producer = connect(&self.settings, &self.config, INIT_BOUND)?;
        Ok(())
    }

    fn given_up(&self, what: &str, error: &KafkaError) -> LogError {
        let fatal = self.producer.client().fatal_error();
        let code = fatal.as_ref().map(|(code, _)| *code).or_else(|| error.rdkafka_error_code());
        let message = fatal.map_or_else(|| format!("{what}: {error}"), |(_, why)| format!("{what}: {why}"));
        // The brokers shut a transaction out that they gave up, as they do a second holder of its id.
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

/// Whether we may have transactions, tried with an id that no worker has: a worker's own would be shut out by it. Nothing
/// is published; the brokers forget the id after `transactional.id.expiration.ms`.
pub fn try_transactions(settings: &KafkaSettings) -> Result<(), LogError> {
    let transactional_id = format!("{}check", settings.transactional_prefix());
    let config = KafkaSettings { transactional_id, ..settings.clone() }.producer();
    match connect(settings, &config, TRY_BOUND) {
        // Somebody else checks, too.
        Ok(_) | Err(LogError::Fenced(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn connect(
    settings: &KafkaSettings,
    config: &ClientConfig,
    bound: Duration,
) -> Result<BaseProducer<PublishContext>, LogError> {
    let refused =
        |error: KafkaError| LogError::Refused { what: "kafka.properties".to_owned(), message: error.to_string() };
    let producer: BaseProducer<PublishContext> =
        config.create_with_context(PublishContext::new(settings)).map_err(refused)?;
    let deadline = Instant::now() + bound;
    loop {
        match producer.init_transactions(Duration::from_secs(5)) {
            Ok(()) => return Ok(producer),
            Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {
                producer.poll(Duration::ZERO);
            }
            Err(error) => {
                let of_right = error.rdkafka_error_code().and_then(|code| refusal::of_right(settings, code));
                let cause = of_right.or_else(|| producer.client().context().trouble.cause());
                return Err(cause.unwrap_or_else(|| {
                    LogError::Broken(format!(
                        "no transactions with the brokers at {}: {error}",
                        config.get("bootstrap.servers").unwrap_or("(none named)")
                    ))
                }));
            }
        }
    }
}

fn outgoing<'a>(topic: &'a str, record: &'a RecordOut) -> Result<BaseRecord<'a, [u8], [u8]>, LogError> {
    let partition = i32::try_from(record.partition).map_err(|e| LogError::Broken(format!("{topic}: {e}")))?;
    // Without a time of its own: T is in the record. Our topics are stamped by the brokers, and where one of them
    // is not, T would be judged by limits that are meant for clocks.
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

fn is_fenced(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Fenced
            | RDKafkaErrorCode::ProducerFenced
            | RDKafkaErrorCode::InvalidProducerEpoch
            | RDKafkaErrorCode::FencedInstanceId
    )
}
