//! The log on Kafka: one consumer and one transactional producer, on one thread.
//!
//! A rebalance takes two polls: the first tells the worker, the second gives the group its answer.
//! In between the worker commits what it gives up, or says where to begin in what it got. Errors
//! that the brokers' clients can overcome are overcome here, within a bound; the others end the log.
//! It neither decodes a record nor decides when to commit.
#![expect(clippy::disallowed_methods, reason = "requests to brokers have deadlines, and waits between tries")]

mod feed;
mod fetch;
mod group;
pub mod peek;
mod publish;
mod settings;
mod streams;
pub mod topics;

pub use feed::Feed;
pub use settings::{KafkaSettings, StartFrom};
pub use streams::Streams;

use super::{Assignment, Changelog, CommitOutcome, Committed, Log, LogError, LogEvent, NextOffset, Stream};
use crate::model::record::{RecordIn, RecordOut};
use fetch::{Fetcher, Message};
use group::{GroupContext, Report};
use publish::Publisher;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

/// While there are no records the group's events are looked at this often.
const EVENT_INTERVAL: Duration = Duration::from_millis(20);
/// One request for offsets.
const REQUEST: Duration = Duration::from_secs(5);
/// A question that may as well be asked again later.
const QUESTION: Duration = Duration::from_secs(1);
/// Requests are repeated within this: a coordinator may be moving, a transaction of the former
/// owner may have to time out before its offsets are known.
const REQUEST_BOUND: Duration = Duration::from_secs(60);

/// One worker's view of the topics.
pub struct KafkaLog {
    publisher: Publisher,
    fetcher: Fetcher,
    streams: Streams,
    start_from: StartFrom,
    /// What is ours, and the offset to go back to after an abort.
    owned: BTreeMap<Stream, NextOffset>,
    owed: Option<Answer>,
    paused: Vec<Stream>,
    /// Brokers were out of reach since ends were asked for the last time.
    disturbed: bool,
}

/// What the group waits for, given at the next poll.
enum Answer {
    /// With the offsets to begin at.
    Assign(BTreeMap<Stream, NextOffset>),
    Unassign(Vec<Stream>),
}

impl KafkaLog {
    /// Connects, ends what an earlier holder of the transactional id left open, and joins the group.
    pub fn open(settings: &KafkaSettings) -> Result<KafkaLog, LogError> {
        settings.validate()?;
        let streams = topics::TopicAdmin::open(settings)?.streams(settings)?;
        let publisher = Publisher::open(settings)?;
        let consumer: BaseConsumer<GroupContext> = settings
            .consumer()
            .create_with_context(GroupContext::default())
            .map_err(|e| LogError::Refused { what: "kafka.properties".to_owned(), message: e.to_string() })?;
        let names: Vec<&str> = streams.topics().collect();
        consumer.subscribe(&names).map_err(|e| broken("subscribe", &e))?;
        Ok(KafkaLog {
            publisher,
            fetcher: Fetcher::new(consumer)?,
            streams,
            start_from: settings.start_from,
            owned: BTreeMap::new(),
            owed: None,
            paused: Vec::new(),
            disturbed: false,
        })
    }

    /// Which partition of which topic each stream is.
    pub fn streams(&self) -> &Streams {
        &self.streams
    }

    /// Tells the worker what the group decided, and notes the answer that is owed.
    fn group_events(&mut self) -> Result<Vec<LogEvent>, LogError> {
        let consumer = self.fetcher.consumer()?;
        match consumer.poll(Duration::ZERO) {
            None => {}
            Some(Ok(_)) => return Err(LogError::Broken("a record came outside of its queue".to_owned())),
            Some(Err(error)) => {
                report_client_error(consumer, &error)?;
                self.disturbed = true;
            }
        }
        let mut events = Vec::new();
        for report in consumer.context().take() {
            events.extend(self.hear(report)?);
        }
        Ok(events)
    }

    fn hear(&mut self, report: Report) -> Result<Option<LogEvent>, LogError> {
        match report {
            Report::Assign(partitions) => {
                let assigned = self.look_up(&partitions)?;
                self.owned.extend(assigned.iter().map(|a| (a.stream, a.next)));
                self.owed = Some(Answer::Assign(assigned.iter().map(|a| (a.stream, a.next)).collect()));
                Ok((!assigned.is_empty()).then_some(LogEvent::Assigned(assigned)))
            }
            Report::Revoke(partitions) => {
                let streams = self.numbered(&partitions)?;
                self.owed = Some(Answer::Unassign(streams.clone()));
                Ok((!streams.is_empty()).then_some(LogEvent::Revoked(streams)))
            }
            Report::Lost(partitions) => {
                let streams = self.numbered(&partitions)?;
                self.owed = Some(Answer::Unassign(streams.clone()));
                self.answer()?;
                Ok(Some(LogEvent::Lost(streams)))
            }
        }
    }

    /// Gives the group the answer that it waits for.
    fn answer(&mut self) -> Result<(), LogError> {
        match self.owed.take() {
            None => Ok(()),
            Some(Answer::Assign(begins)) => {
                let list = self.list(begins.iter().map(|(stream, next)| (*stream, Some(*next))))?;
                for begin in list.elements() {
                    self.fetcher.forward(begin.topic(), begin.partition())?;
                }
                self.fetcher.consumer()?.incremental_assign(&list).map_err(|e| broken("take partitions", &e))?;
                let held_back: Vec<Stream> = begins.into_keys().filter(|s| self.paused.contains(s)).collect();
                self.pause(&held_back)
            }
            Some(Answer::Unassign(streams)) => {
                self.owned.retain(|stream, _| !streams.contains(stream));
                self.paused.retain(|stream| !streams.contains(stream));
                let list = self.list(streams.into_iter().map(|stream| (stream, None)))?;
                for given_up in list.elements() {
                    self.fetcher.forget(given_up.topic(), given_up.partition());
                }
                self.fetcher.consumer()?.incremental_unassign(&list).map_err(|e| broken("give partitions up", &e))
            }
        }
    }

    /// Where to begin in partitions that are new to us.
    fn look_up(&self, partitions: &[(String, i32)]) -> Result<Vec<Assignment>, LogError> {
        let streams = self.numbered(partitions)?;
        if streams.is_empty() {
            return Ok(Vec::new());
        }
        let consumer = self.fetcher.consumer()?;
        let list = || self.list(streams.iter().map(|stream| (*stream, None)));
        let committed = repeated("look the committed offsets up", || Ok(consumer.committed_offsets(list()?, REQUEST)?))
            .map_err(|e| undecided(&e))?;
        let starts = self.offsets_at(Offset::Beginning, list()?)?;
        let begins = match self.start_from {
            StartFrom::Earliest => starts.clone(),
            StartFrom::Latest => self.offsets_at(Offset::End, list()?)?,
            StartFrom::Time(ms) => self.offsets_at(Offset::Offset(ms), list()?)?,
        };
        let mut assigned = Vec::with_capacity(streams.len());
        for element in committed.elements() {
            element.error().map_err(|e| broken("look the committed offsets up", &e))?;
            let stream = self.number(element.topic(), element.partition())?;
            let committed = match element.offset() {
                Offset::Offset(next) => {
                    Some(Committed { next: NextOffset(next), metadata: element.metadata().to_owned() })
                }
                _ => None,
            };
            let log_start = known(&starts, stream)?;
            let next = committed.as_ref().map_or_else(|| known(&begins, stream), |committed| Ok(committed.next))?;
            assigned.push(Assignment { stream, next, log_start, committed });
        }
        assigned.sort_by_key(|assignment| assignment.stream);
        Ok(assigned)
    }

    /// The offsets of the first records at a place (an end of the log, or a time), stream by stream.
    fn offsets_at(&self, place: Offset, list: TopicPartitionList) -> Result<BTreeMap<Stream, NextOffset>, LogError> {
        let consumer = self.fetcher.consumer()?;
        let found = repeated("look offsets up", || {
            let mut places = list.clone();
            places.set_all_offsets(place)?;
            Ok(consumer.offsets_for_times(places, REQUEST)?)
        })?;
        let mut offsets = BTreeMap::new();
        for element in found.elements() {
            element.error().map_err(|e| broken("look offsets up", &e))?;
            let stream = self.number(element.topic(), element.partition())?;
            let next = match element.offset() {
                Offset::Offset(next) => next,
                // No record is that young: begin at the end.
                _ => {
                    let ends = repeated("look an end up", || {
                        Ok(consumer.fetch_watermarks(element.topic(), element.partition(), REQUEST)?)
                    })?;
                    ends.1
                }
            };
            offsets.insert(stream, NextOffset(next));
        }
        Ok(offsets)
    }

    fn number(&self, topic: &str, partition: i32) -> Result<Stream, LogError> {
        self.streams.stream(topic, partition).ok_or_else(|| LogError::Refused {
            what: topic.to_owned(),
            message: format!(
                "partition {partition} was not there when tailburn started, and every figure depends on the \
                 partition counts: stop all instances, then start them again"
            ),
        })
    }

    fn numbered(&self, partitions: &[(String, i32)]) -> Result<Vec<Stream>, LogError> {
        let mut streams = partitions
            .iter()
            .map(|(topic, partition)| self.number(topic, *partition))
            .collect::<Result<Vec<_>, _>>()?;
        streams.sort_unstable();
        Ok(streams)
    }

    fn list(
        &self,
        streams: impl IntoIterator<Item = (Stream, Option<NextOffset>)>,
    ) -> Result<TopicPartitionList, LogError> {
        let mut list = TopicPartitionList::new();
        for (stream, next) in streams {
            let (topic, partition) = self.source(stream)?;
            let mut element = list.add_partition(topic, partition);
            if let Some(NextOffset(next)) = next {
                element.set_offset(Offset::Offset(next)).map_err(|e| broken("name an offset", &e))?;
            }
        }
        Ok(list)
    }

    fn source(&self, stream: Stream) -> Result<(&str, i32), LogError> {
        self.streams.source(stream).ok_or_else(|| LogError::Broken(format!("there is no stream {stream:?}")))
    }

    /// Back to the committed offsets, as an aborted transaction wants it.
    fn rewind(&mut self) -> Result<(), LogError> {
        let back: Vec<(Stream, NextOffset)> = self.owned.iter().map(|(stream, next)| (*stream, *next)).collect();
        for (stream, next) in back {
            self.seek(stream, next)?;
        }
        Ok(())
    }

    fn seek_native(&self, stream: Stream, next: NextOffset) -> Result<(), LogError> {
        let consumer = self.fetcher.consumer()?;
        let deadline = Instant::now() + REQUEST_BOUND;
        loop {
            let list = self.list([(stream, Some(next))])?;
            let outcome = consumer
                .seek_partitions(list, REQUEST)
                .and_then(|list| list.elements().iter().try_for_each(|element| element.error()));
            match outcome {
                Ok(()) => return Ok(()),
                // The partition was assigned a moment ago and its fetcher has not started.
                Err(_) if Instant::now() < deadline && !consumer.assignment_lost() => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(broken("seek", &error)),
            }
        }
    }

    /// Drops what is open, gives the group its answer and leaves it.
    fn leave(&mut self) {
        if let Err(error) = self.publisher.abort() {
            tracing::warn!(target: "tailburn::kafka", %error, "the open transaction is left to its timeout");
        }
        if let Err(error) = self.answer() {
            tracing::debug!(target: "tailburn::kafka", %error, "the group had no use for the last answer");
        }
        self.fetcher.close(answer_while_closing);
    }
}

impl Log for KafkaLog {
    fn poll(&mut self, wait: Duration, each: &mut dyn FnMut(Stream, &RecordIn<'_>)) -> Result<Vec<LogEvent>, LogError> {
        self.answer()?;
        let deadline = Instant::now() + wait;
        loop {
            let events = self.group_events()?;
            if !events.is_empty() {
                return Ok(events);
            }
            // An empty assignment is no event, yet the group waits for its answer.
            self.answer()?;
            let left = deadline.saturating_duration_since(Instant::now());
            let mut batch = Handed::new(&self.streams, each);
            let count = self.fetcher.take(left.min(EVENT_INTERVAL), |message| batch.hand(message))?;
            let ends = batch.finish()?;
            if count > 0 || left.is_zero() {
                return Ok(ends);
            }
        }
    }

    fn send(&mut self, record: &RecordOut) -> Result<(), LogError> {
        self.publisher.send(record)
    }

    fn commit(&mut self, offsets: &[(Stream, NextOffset, String)]) -> Result<CommitOutcome, LogError> {
        let consumer = self.fetcher.consumer()?;
        let mut list = TopicPartitionList::new();
        for (stream, NextOffset(next), metadata) in offsets {
            if !self.owned.contains_key(stream) {
                return Err(LogError::Broken(format!("a commit for {stream:?}, which is not ours")));
            }
            let (topic, partition) = self.source(*stream)?;
            let mut element = list.add_partition(topic, partition);
            element.set_offset(Offset::Offset(*next)).map_err(|e| broken("name an offset", &e))?;
            element.set_metadata(metadata);
        }
        if offsets.is_empty() {
            // Without an offset the brokers would not look whether this member still is one.
            return Err(LogError::Broken("a commit without an offset".to_owned()));
        }
        let group = consumer.group_metadata().ok_or_else(|| LogError::Broken("no group metadata".to_owned()))?;
        let outcome = if consumer.assignment_lost() {
            self.publisher.abort()?;
            CommitOutcome::Aborted
        } else {
            self.publisher.commit(&list, &group)?
        };
        match outcome {
            CommitOutcome::Committed => self.owned.extend(offsets.iter().map(|(stream, next, _)| (*stream, *next))),
            CommitOutcome::Aborted => self.rewind()?,
        }
        Ok(outcome)
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.publisher.abort()?;
        self.rewind()
    }

    fn seek(&mut self, stream: Stream, next: NextOffset) -> Result<(), LogError> {
        match &mut self.owed {
            Some(Answer::Assign(begins)) if begins.contains_key(&stream) => {
                begins.insert(stream, next);
                Ok(())
            }
            // Nothing of it will be read again.
            Some(Answer::Unassign(streams)) if streams.contains(&stream) => Ok(()),
            _ => self.seek_native(stream, next),
        }
    }

    fn ends(&mut self, streams: &[Stream]) -> Result<Option<Vec<NextOffset>>, LogError> {
        let mut ends = Vec::with_capacity(streams.len());
        for stream in streams {
            let (topic, partition) = self.source(*stream)?;
            match self.fetcher.consumer()?.fetch_watermarks(topic, partition, QUESTION) {
                Ok((_, end)) => ends.push(NextOffset(end)),
                Err(error) => {
                    tracing::warn!(target: "tailburn::kafka", topic, partition, %error, "the end cannot be asked for");
                    self.disturbed = true;
                    return Ok(None);
                }
            }
        }
        let was_disturbed = std::mem::take(&mut self.disturbed);
        Ok((!was_disturbed).then_some(ends))
    }

    fn pause(&mut self, streams: &[Stream]) -> Result<(), LogError> {
        self.paused.retain(|stream| !streams.contains(stream));
        self.paused.extend(streams);
        let begun: Vec<Stream> = streams.iter().copied().filter(|stream| !self.awaits_assignment(*stream)).collect();
        let list = self.list(begun.into_iter().map(|stream| (stream, None)))?;
        self.fetcher.consumer()?.pause(&list).map_err(|e| broken("pause", &e))
    }

    fn resume(&mut self, streams: &[Stream]) -> Result<(), LogError> {
        self.paused.retain(|stream| !streams.contains(stream));
        let begun: Vec<Stream> = streams.iter().copied().filter(|stream| !self.awaits_assignment(*stream)).collect();
        let list = self.list(begun.into_iter().map(|stream| (stream, None)))?;
        self.fetcher.consumer()?.resume(&list).map_err(|e| broken("resume", &e))
    }

    fn changelog_range(&mut self, _partition: u32) -> Result<Range<NextOffset>, LogError> {
        Err(LogError::Broken("no changelog yet".to_owned()))
    }

    fn changelog(&mut self, _partition: u32, _from: NextOffset) -> Result<Box<dyn Changelog>, LogError> {
        Err(LogError::Broken("no changelog yet".to_owned()))
    }

    fn purge(&mut self, _before: &[(Stream, NextOffset)]) {}
}

impl KafkaLog {
    fn awaits_assignment(&self, stream: Stream) -> bool {
        matches!(&self.owed, Some(Answer::Assign(begins)) if begins.contains_key(&stream))
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        self.leave();
    }
}

/// One batch on its way to the worker.
struct Handed<'a, 'b> {
    streams: &'a Streams,
    each: &'a mut (dyn FnMut(Stream, &RecordIn<'_>) + 'b),
    /// Records of a partition come in runs: its stream is looked up once a run.
    run: Option<(usize, i32, Stream)>,
    ends: Vec<(Stream, NextOffset)>,
    fault: Option<LogError>,
}

impl<'a, 'b> Handed<'a, 'b> {
    fn new(streams: &'a Streams, each: &'a mut (dyn FnMut(Stream, &RecordIn<'_>) + 'b)) -> Handed<'a, 'b> {
        Handed { streams, each, run: None, ends: Vec::new(), fault: None }
    }

    fn hand(&mut self, message: &Message<'_>) {
        let Some(stream) = self.stream(message) else { return };
        match message.error() {
            None => self.hand_record(stream, message),
            Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF) => {
                self.ends.push((stream, NextOffset(message.offset())));
            }
            Some(code) => self.note_fault(code, message),
        }
    }

    #[inline]
    fn hand_record(&mut self, stream: Stream, message: &Message<'_>) {
        if !self.ends.is_empty() {
            // The end has moved on since.
            self.ends.retain(|(ended, _)| *ended != stream);
        }
        let partition = u32::try_from(message.partition()).unwrap_or(0);
        let record = RecordIn {
            partition,
            offset: message.offset(),
            key: message.key(),
            value: message.value(),
            timestamp_ms: message.timestamp_ms(),
            headers: message,
        };
        (self.each)(stream, &record);
    }

    #[inline]
    fn stream(&mut self, message: &Message<'_>) -> Option<Stream> {
        if let Some((topic, partition, stream)) = self.run
            && topic == message.topic_id()
            && partition == message.partition()
        {
            return Some(stream);
        }
        let stream = self.streams.stream(message.topic(), message.partition());
        match stream {
            Some(stream) => self.run = Some((message.topic_id(), message.partition(), stream)),
            None => self.note_unknown(message),
        }
        stream
    }

    fn note_unknown(&mut self, message: &Message<'_>) {
        let what = format!("{} [{}]", message.topic(), message.partition());
        self.fault.get_or_insert(LogError::Broken(format!("a record of {what}, which is none of ours")));
    }

    fn note_fault(&mut self, code: RDKafkaRespErr, message: &Message<'_>) {
        let what = format!("{} [{}]", message.topic(), message.partition());
        let why = message.error_text();
        let fault = match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET => LogError::Refused {
                what,
                message: format!(
                    "the log does not hold the offset to go on from (offset {}: {why}). Records that tailburn had not \
                     read were deleted, or the topic was made anew: lengthen its retention, and start with a new \
                     application_id or state directory",
                    message.offset()
                ),
            },
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED
            | RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
            | RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION
            | RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC => LogError::Refused { what, message: why },
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__BAD_MSG | RDKafkaRespErr::RD_KAFKA_RESP_ERR__BAD_COMPRESSION => {
                LogError::Broken(format!("{what}: an unreadable record at offset {}: {why}", message.offset()))
            }
            _ => {
                tracing::warn!(target: "tailburn::kafka", partition = what, reason = why, "reading is disturbed");
                return;
            }
        };
        self.fault.get_or_insert(fault);
    }

    fn finish(self) -> Result<Vec<LogEvent>, LogError> {
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok(self.ends.into_iter().map(|(stream, next)| LogEvent::End(stream, next)).collect()),
        }
    }
}

/// The answers that let a closing consumer go.
fn answer_while_closing(consumer: &BaseConsumer<GroupContext>) {
    for report in consumer.context().take() {
        if let Err(error) = consumer.unassign() {
            tracing::debug!(target: "tailburn::kafka", %error, ?report, "while closing");
        }
    }
}

/// Only a fatal error ends the log: librdkafka goes on trying on all others.
fn report_client_error(consumer: &BaseConsumer<GroupContext>, error: &KafkaError) -> Result<(), LogError> {
    let Some((code, why)) = consumer.client().fatal_error() else { return Ok(()) };
    match code {
        RDKafkaErrorCode::FencedInstanceId => Err(LogError::Fenced(why)),
        _ => Err(LogError::Broken(format!("the consumer: {error}: {why}"))),
    }
}

/// Asks again while the answer is an error that passes.
fn repeated<T>(what: &str, request: impl Fn() -> Result<T, RequestError>) -> Result<T, LogError> {
    let deadline = Instant::now() + REQUEST_BOUND;
    loop {
        match request() {
            Ok(answer) => return Ok(answer),
            Err(RequestError::Ours(error)) => return Err(error),
            Err(RequestError::Theirs(error)) if Instant::now() >= deadline => return Err(broken(what, &error)),
            Err(RequestError::Theirs(error)) => {
                tracing::warn!(target: "tailburn::kafka", %error, what, "asking again");
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

/// Whose fault it is that a request has no answer.
enum RequestError {
    Ours(LogError),
    Theirs(KafkaError),
}

impl From<LogError> for RequestError {
    fn from(error: LogError) -> RequestError {
        RequestError::Ours(error)
    }
}

impl From<KafkaError> for RequestError {
    fn from(error: KafkaError) -> RequestError {
        RequestError::Theirs(error)
    }
}

fn known(offsets: &BTreeMap<Stream, NextOffset>, stream: Stream) -> Result<NextOffset, LogError> {
    offsets.get(&stream).copied().ok_or_else(|| LogError::Broken(format!("no offset was found for {stream:?}")))
}

/// A coordinator that answers everything but this holds offsets of a transaction without an end.
fn undecided(error: &LogError) -> LogError {
    LogError::Broken(format!(
        "{error} (if the broker is well otherwise, a transaction of this group may have lost its end: \
         `kafka-transactions.sh find-hanging` tells)"
    ))
}

fn broken(what: &str, error: &KafkaError) -> LogError {
    LogError::Broken(format!("{what}: {error}"))
}
