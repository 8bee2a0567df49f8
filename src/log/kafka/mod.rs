//! The log on Kafka: one consumer and one transactional producer, on one thread.
//!
//! A rebalance takes two polls: the first tells the worker, the second gives the group its answer.
//! In between the worker commits what it gives up, or says where to begin in what it got. Errors
//! that the brokers' clients can overcome are overcome here, within a bound; the others end the log.
//! Beside the group there is a reader of the sources, and one of each changelog that is asked for.
//! It neither decodes a record nor decides when to commit.
#![expect(clippy::disallowed_methods, reason = "requests to brokers have deadlines, and waits between tries")]

mod ask;
mod claims;
mod feed;
mod fetch;
mod group;
mod handed;
pub mod peek;
mod principal;
mod publish;
mod purge;
mod reader;
mod refusal;
pub mod rights;
mod said;
mod settings;
mod streams;
mod topic_ids;
pub mod topics;
mod trouble;
mod watch;

pub use feed::Feed;
pub use publish::try_transactions;
pub use settings::{KafkaSettings, StartFrom};
pub use streams::Streams;
pub use trouble::{Listener, Told};

use super::{
    Assignment, BEGIN_ANEW, Changelog, CommitOutcome, Committed, Log, LogError, LogEvent, NextOffset, Stream, TopicId,
};
use crate::model::record::{RecordIn, RecordOut, Topic};
use crate::model::time::{Moment, Ms};
use fetch::Fetcher;
use group::{GroupContext, Report};
use handed::{Handed, Position};
use publish::Publisher;
use purge::Purger;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use reader::{ChangelogReader, Ends, SourcesReader};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};
use topic_ids::Described;
use watch::{Change, Watch};

/// While there are no records the group's events are looked at this often.
const EVENT_INTERVAL: Duration = Duration::from_millis(20);
/// One request for offsets.
const REQUEST: Duration = Duration::from_secs(5);
/// A question that may as well be asked again later.
const QUESTION: Duration = Duration::from_secs(1);
/// The sources are read before the first stream is taken up. A topic that cannot be read holds all up.
const SOURCES_BOUND: Duration = Duration::from_secs(60);
/// Requests are repeated within this: a coordinator may be moving, a transaction of the former
/// owner may have to time out before its offsets are known.
const REQUEST_BOUND: Duration = Duration::from_secs(60);

/// One worker's view of the topics.
pub struct KafkaLog {
    publisher: Publisher,
    fetcher: Fetcher,
    sources: SourcesReader,
    /// Until when the sources have to be read to the end that they had at first; `None`: they are.
    sources_due: Option<Instant>,
    watch: Watch,
    ends: Arc<Ends>,
    purger: Purger,
    streams: Streams,
    settings: KafkaSettings,
    /// What is ours. A stream that is revoked is so until the group has its answer.
    owned: BTreeMap<Stream, Position>,
    owed: Option<Answer>,
    paused: Vec<Stream>,
    /// Ours, held back since they were given to us, and not fetched yet: where they begin.
    deferred: BTreeMap<Stream, NextOffset>,
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
        let admin = topics::TopicAdmin::open(settings)?;
        admin.identify(settings)?;
        admin.check_rights(settings)?;
        let mut publisher = Publisher::open(settings)?;
        let ends = Arc::new(Ends::open(settings)?);
        let streams = claims::agreed(&admin, settings, &mut publisher, &ends)?;
        drop(admin);
        let watch = Watch::begin(settings, streams.ids().clone())?;
        let consumer: BaseConsumer<GroupContext> = settings
            .consumer()
            .create_with_context(GroupContext::new(settings))
            .map_err(|e| LogError::Refused { what: "kafka.properties".to_owned(), message: e.to_string() })?;
        let (sources, _) = streams.source(Stream::Sources).unwrap_or_default();
        let sources = SourcesReader::open(settings, sources)?;
        let names: Vec<&str> = streams.shared_topics().collect();
        consumer.subscribe(&names).map_err(|e| broken("subscribe", &e))?;
        Ok(KafkaLog {
            publisher,
            fetcher: Fetcher::new(consumer)?,
            sources,
            sources_due: Some(Instant::now() + SOURCES_BOUND),
            watch,
            ends,
            purger: Purger::default(),
            streams,
            settings: settings.clone(),
            owned: BTreeMap::new(),
            owed: None,
            paused: Vec::new(),
            deferred: BTreeMap::new(),
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
                if let Some(refused) =
                    error.rdkafka_error_code().and_then(|code| refusal::of_right(&self.settings, code))
                {
                    return Err(refused);
                }
                report_client_error(consumer, &error)?;
                self.disturbed = true;
            }
        }
        let mut events = Vec::new();
        if let Some(due) = self.sources_due {
            // Who takes streams up has to know what was committed of them.
            return if Instant::now() < due { Ok(events) } else { Err(unread_sources()) };
        }
        for report in consumer.context().take() {
            events.extend(self.hear(report)?);
        }
        Ok(events)
    }

    fn hear(&mut self, report: Report) -> Result<Option<LogEvent>, LogError> {
        // The group goes on without an answer only where it lost us: what it asked before still holds.
        self.answer()?;
        match report {
            Report::Assign(partitions) => {
                let assigned = self.look_up(&partitions)?;
                self.owned.extend(assigned.iter().map(|a| (a.stream, Position::at(a.next))));
                self.owed = Some(Answer::Assign(assigned.iter().map(|a| (a.stream, a.next)).collect()));
                Ok(Some(if assigned.is_empty() { LogEvent::Joined } else { LogEvent::Assigned(assigned) }))
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
                // Who had nothing has lost nothing.
                Ok((!streams.is_empty()).then_some(LogEvent::Lost(streams)))
            }
        }
    }

    /// Gives the group the answer that it waits for.
    fn answer(&mut self) -> Result<(), LogError> {
        match self.owed.take() {
            None => Ok(()),
            Some(Answer::Assign(begins)) => {
                // What is held back is not fetched at all before it is wanted: fetched, paused and then sought,
                // a partition may go on behind records that nobody took.
                let (held_back, begun) = begins.into_iter().partition(|(stream, _)| self.paused.contains(stream));
                self.deferred.extend::<BTreeMap<Stream, NextOffset>>(held_back);
                self.begin(&begun)?;
                self.go_on_where_we_are(|stream| !begun.contains_key(&stream))
            }
            Some(Answer::Unassign(streams)) => {
                let begun: Vec<Stream> =
                    streams.iter().copied().filter(|stream| self.deferred.remove(stream).is_none()).collect();
                self.release(&begun)?;
                self.owned.retain(|stream, _| !streams.contains(stream));
                self.paused.retain(|stream| !streams.contains(stream));
                let list = self.list(begun.into_iter().map(|stream| (stream, None)))?;
                for given_up in list.elements() {
                    self.fetcher.forget(given_up.topic(), given_up.partition());
                }
                self.fetcher.consumer()?.incremental_unassign(&list).map_err(|e| broken("give partitions up", &e))?;
                self.go_on_where_we_are(|_| true)
            }
        }
    }

    /// Says once more where our streams are to be read on.
    ///
    /// librdkafka holds partitions back while the group changes, and goes on behind what it believes to be
    /// taken: but for the end of a transaction it believes so also where it drops the records in front of
    /// it, because they were fetched before (`rd_kafka_op_handle_std` does not look at versions, and
    /// `rd_kafka_toppar_pause_resume` trusts it). Nothing is handed over between its going on and this.
    fn go_on_where_we_are(&self, is_concerned: impl Fn(Stream) -> bool) -> Result<(), LogError> {
        let begun =
            self.owned.iter().filter(|(stream, _)| is_concerned(**stream) && !self.deferred.contains_key(stream));
        begun.into_iter().try_for_each(|(stream, position)| self.seek_native(*stream, position.read))
    }

    /// librdkafka remembers a pause beyond the assignment: the partition would be silent when it returns.
    fn release(&self, streams: &[Stream]) -> Result<(), LogError> {
        let held_back = streams.iter().filter(|stream| self.paused.contains(stream));
        let list = self.list(held_back.map(|stream| (*stream, None)))?;
        self.fetcher.consumer()?.resume(&list).map_err(|e| broken("resume", &e))
    }

    /// Begins to fetch partitions that the group gave us.
    fn begin(&mut self, begins: &BTreeMap<Stream, NextOffset>) -> Result<(), LogError> {
        let list = self.list(begins.iter().map(|(stream, next)| (*stream, Some(*next))))?;
        for begin in list.elements() {
            self.fetcher.forward(begin.topic(), begin.partition())?;
        }
        self.fetcher.consumer()?.incremental_assign(&list).map_err(|e| broken("take partitions", &e))
    }

    /// Where to begin in partitions that are new to us.
    fn look_up(&self, partitions: &[(String, i32)]) -> Result<Vec<Assignment>, LogError> {
        let streams = self.numbered(partitions)?;
        if streams.is_empty() {
            return Ok(Vec::new());
        }
        let consumer = self.fetcher.consumer()?;
        let list = || self.list(streams.iter().map(|stream| (*stream, None)));
        let committed = repeated(&self.settings, "look the committed offsets up", || {
            Ok(consumer.committed_offsets(list()?, REQUEST)?)
        })
        .map_err(|e| undecided(&e))?;
        let starts = self.offsets_at(Offset::Beginning, list()?)?;
        // What our own tasks wrote is read from its first record on: another instance may have begun. So is what
        // was added to a topic, which was written before anybody noticed.
        let begins = |stream: &Stream| matches!(stream, Stream::Input(_)) && !self.streams.is_added(*stream);
        let is_new = |stream: &Stream| begins(stream) && !has_offset(&committed, self, *stream);
        let new: Vec<Stream> = streams.iter().copied().filter(is_new).collect();
        let begins = self.begin_at(&new)?;
        let ids = self.topic_ids(&streams)?;
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
            let begin = begins.get(&stream).copied().unwrap_or(log_start);
            let next = committed.as_ref().map_or(begin, |committed| committed.next);
            let topic = ids.get(element.topic()).copied().unwrap_or_default();
            let name = format!("{} [{}]", element.topic(), element.partition());
            assigned.push(Assignment { stream, topic, name, next, log_start, committed });
        }
        assigned.sort_by_key(|assignment| assignment.stream);
        Ok(assigned)
    }

    /// Where to begin in inputs that the group has no offset of.
    fn begin_at(&self, new: &[Stream]) -> Result<BTreeMap<Stream, NextOffset>, LogError> {
        let list = self.list(new.iter().map(|stream| (*stream, None)))?;
        let begins = match self.settings.start_from {
            _ if new.is_empty() => return Ok(BTreeMap::new()),
            StartFrom::Earliest => self.offsets_at(Offset::Beginning, list)?,
            StartFrom::Latest => self.offsets_at(Offset::End, list)?,
            StartFrom::Time(ms) => return self.begin_at_time(ms, list),
        };
        for (stream, NextOffset(next)) in &begins {
            let (topic, partition) = self.source(*stream)?;
            tracing::info!("{topic} [{partition}]: the group has no offset; starting at offset {next}");
        }
        Ok(begins)
    }

    /// At the first record that is not before a time. What the brokers find may be no record: the end of a
    /// transaction is stamped with the clock, whatever times its records have, and what was aborted has times
    /// too. No record in front of what they find is that young.
    fn begin_at_time(&self, ms: Ms, list: TopicPartitionList) -> Result<BTreeMap<Stream, NextOffset>, LogError> {
        let mut begins = self.offsets_at(Offset::Offset(ms), list)?;
        for (stream, next) in &mut begins {
            let (topic, partition) = self.source(*stream)?;
            let found = reader::first_since(&self.settings, (topic, partition), *next, ms)?;
            *next = found.next;
            let (at, next) = (Moment(ms), found.next.0);
            match found.timestamp_ms.map(Moment) {
                Some(time) => tracing::info!(
                    "{topic} [{partition}]: the group has no offset; starting at offset {next}, whose record is of {time}"
                ),
                None => tracing::info!(
                    "{topic} [{partition}]: the group has no offset; starting at its end, offset {next}: no record is of \
                     {at} or later"
                ),
            }
        }
        Ok(begins)
    }

    /// What the topics of some streams are now: the offsets that were just looked up are theirs, or of what was
    /// there before.
    #[expect(unsafe_code, reason = "the client library has no call for it")]
    fn topic_ids(&self, streams: &[Stream]) -> Result<BTreeMap<String, TopicId>, LogError> {
        let names = streams.iter().map(|stream| Ok(self.source(*stream)?.0.to_owned()));
        // The brokers are to be asked for each once.
        let names: Vec<String> = names.collect::<Result<BTreeSet<String>, LogError>>()?.into_iter().collect();
        let client = self.fetcher.consumer()?.client().native_ptr();
        let deadline = Instant::now() + REQUEST_BOUND;
        let found = loop {
            // SAFETY: the consumer is alive as long as we are.
            match unsafe { topic_ids::describe(client, &names, REQUEST) } {
                Ok(found) => break found,
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(error) => {
                    tracing::warn!(target: "tailburn::kafka", %error, "asking again");
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        };
        let is_opened = |(name, described): (String, Described)| match described {
            Described::There { id, .. } if id.contradicts(self.streams.topic_id(&name)) => {
                Err(made_anew(&name, self.streams.topic_id(&name), id))
            }
            Described::There { id, .. } => Ok((name, id)),
            Described::Absent => Err(gone(&name)),
            Described::Refused(code) => Err(refusal::of_topic(&self.settings, &name, code)),
        };
        found.into_iter().map(is_opened).collect()
    }

    /// Nothing is read or published of topics that are no longer what they were.
    #[inline]
    fn look_at_topics(&self) -> Result<(), LogError> {
        match self.watch.change() {
            None => Ok(()),
            Some(Change::MadeAnew { topic, was, now }) => Err(made_anew(&topic, was, now)),
            Some(Change::Grown { topic, was, now }) => Err(self.grown(&topic, was, now)),
            Some(Change::Refused { what, message }) => Err(LogError::Refused { what, message }),
        }
    }

    /// Partitions were added. Those of the input are taken up, but for where they are the users' homes.
    fn grown(&self, topic: &str, was: u32, now: u32) -> LogError {
        let is_input = self.streams.is_input(topic);
        if is_input && !self.settings.keyed_by_user {
            return LogError::Grown(format!("{topic} has {now} partitions now, and had {was}: opening it anew"));
        }
        let why = if is_input {
            keyed_and_grown()
        } else {
            "the tasks are as many as its partitions were, and would not find their state".to_owned()
        };
        LogError::Refused {
            what: topic.to_owned(),
            message: format!("has {now} partitions now, and had {was} when tailburn started: {why}. {BEGIN_ANEW}"),
        }
    }

    /// The offsets of the first records at a place (an end of the log, or a time), stream by stream.
    fn offsets_at(&self, place: Offset, list: TopicPartitionList) -> Result<BTreeMap<Stream, NextOffset>, LogError> {
        let consumer = self.fetcher.consumer()?;
        let found = repeated(&self.settings, "look offsets up", || {
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
                    let ends = repeated(&self.settings, "look an end up", || {
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
        let was = self.streams.ids().get(topic).map_or(0, |(_, partitions)| *partitions);
        let now = u32::try_from(partition).map_or(0, |partition| partition + 1);
        self.streams.stream(topic, partition).ok_or_else(|| self.grown(topic, was, now))
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
        let back: Vec<(Stream, NextOffset)> = self.owned.iter().map(|(stream, at)| (*stream, at.committed)).collect();
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
        self.look_at_topics()?;
        self.answer()?;
        let deadline = Instant::now() + wait;
        loop {
            let events = self.group_events()?;
            if !events.is_empty() {
                return Ok(events);
            }
            // Giving up nothing is no event, yet the group waits for its answer.
            self.answer()?;
            let told = self.sources.take(each)?;
            let left = deadline.saturating_duration_since(Instant::now());
            let wait = if told.count > 0 { Duration::ZERO } else { left.min(EVENT_INTERVAL) };
            let mut batch = Handed::new(&self.streams, &mut self.owned, each);
            let count = self.fetcher.take(wait, |message| batch.hand(message))?;
            let mut ends = batch.finish()?;
            if told.end.is_some() {
                self.sources_due = None;
            }
            ends.extend(told.end.map(|end| LogEvent::End(Stream::Sources, end)));
            if count + told.count > 0 || left.is_zero() || !ends.is_empty() {
                return Ok(ends);
            }
        }
    }

    fn send(&mut self, record: &RecordOut) -> Result<(), LogError> {
        self.publisher.send(record)
    }

    fn commit(&mut self, offsets: &[(Stream, NextOffset, String)]) -> Result<CommitOutcome, LogError> {
        // With more partitions than before what was read is as true as ever, and said before the log is closed.
        if let Err(error @ LogError::Refused { .. }) = self.look_at_topics() {
            return Err(error);
        }
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
        // Asked afterwards: who is a member now was one when the metadata was made. If the group has
        // moved on since, the brokers refuse these offsets.
        if !group::is_member(consumer) {
            self.publisher.abort()?;
            return Ok(CommitOutcome::Aborted);
        }
        let outcome = self.publisher.commit(&list, &group)?;
        if outcome == CommitOutcome::Committed {
            for (stream, next, _) in offsets {
                if let Some(position) = self.owned.get_mut(stream) {
                    position.committed = *next;
                }
            }
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
            }
            // Nothing of it will be read again.
            Some(Answer::Unassign(streams)) if streams.contains(&stream) => {}
            _ if self.deferred.contains_key(&stream) => {
                self.deferred.insert(stream, next);
            }
            _ => self.seek_native(stream, next)?,
        }
        if let Some(position) = self.owned.get_mut(&stream) {
            position.read = next;
        }
        Ok(())
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
        let list = self.list(begun.iter().map(|stream| (*stream, None)))?;
        self.fetcher.consumer()?.resume(&list).map_err(|e| broken("resume", &e))?;
        self.go_on_where_we_are(|stream| begun.contains(&stream))?;
        let wanted = |stream: &Stream| Some((*stream, self.deferred.remove(stream)?));
        let begins: BTreeMap<Stream, NextOffset> = streams.iter().filter_map(wanted).collect();
        if begins.is_empty() { Ok(()) } else { self.begin(&begins) }
    }

    /// The end is behind what is still in transactions: one that its writer has committed may be among
    /// them. A [`Changelog`] says that it is read only where it has come that far.
    fn changelog_range(&mut self, partition: u32) -> Result<Range<NextOffset>, LogError> {
        let (topic, partition) = self.changelog_partition(partition)?;
        repeated(&self.settings, "look the changelog's ends up", || Ok(self.ends.of(&topic, partition, REQUEST)?))
    }

    fn changelog(&mut self, partition: u32, from: NextOffset) -> Result<Box<dyn Changelog>, LogError> {
        let (topic, partition) = self.changelog_partition(partition)?;
        Ok(Box::new(ChangelogReader::open(&self.settings, Arc::clone(&self.ends), (&topic, partition), from)?))
    }

    fn purge(&mut self, before: &[(Stream, NextOffset)]) {
        let ours = before.iter().filter(|(stream, _)| matches!(stream, Stream::Repartition(_) | Stream::Partials(_)));
        let cuts: Vec<_> = ours
            .filter_map(|(stream, NextOffset(next))| {
                let (topic, partition) = self.streams.source(*stream)?;
                Some(((topic.to_owned(), partition), *next))
            })
            .collect();
        if !cuts.is_empty() {
            self.purger.ask(&self.settings, cuts);
        }
    }
}

impl KafkaLog {
    fn changelog_partition(&self, partition: u32) -> Result<(String, i32), LogError> {
        let number =
            Some(partition).filter(|p| *p < self.streams.users_partitions() + self.streams.partials_partitions());
        let topic = self.settings.topic_name(Topic::Changelog);
        match number.and_then(|number| i32::try_from(number).ok()) {
            Some(number) => Ok((topic, number)),
            None => Err(LogError::Broken(format!("{topic} has no partition {partition}"))),
        }
    }

    fn awaits_assignment(&self, stream: Stream) -> bool {
        self.deferred.contains_key(&stream)
            || matches!(&self.owed, Some(Answer::Assign(begins)) if begins.contains_key(&stream))
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        self.leave();
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
fn repeated<T>(
    settings: &KafkaSettings,
    what: &str,
    request: impl Fn() -> Result<T, RequestError>,
) -> Result<T, LogError> {
    let deadline = Instant::now() + REQUEST_BOUND;
    loop {
        match request() {
            Ok(answer) => return Ok(answer),
            Err(RequestError::Ours(error)) => return Err(error),
            Err(RequestError::Theirs(error)) => {
                // Waiting gives nobody a right.
                if let Some(refused) = error.rdkafka_error_code().and_then(|code| refusal::of_right(settings, code)) {
                    return Err(refused);
                }
                if Instant::now() >= deadline {
                    return Err(broken(what, &error));
                }
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

fn unread_sources() -> LogError {
    LogError::Broken(format!("the topic of the sources could not be read to its end within {SOURCES_BOUND:?}{HANGING}"))
}

fn made_anew(topic: &str, was: TopicId, now: TopicId) -> LogError {
    LogError::Refused {
        what: topic.to_owned(),
        message: format!(
            "was deleted and made anew (its id was {was} and is {now}): the offsets to go on from say nothing of what is \
             in it now. {BEGIN_ANEW}"
        ),
    }
}

/// Why partitions cannot be added to an input that is keyed by user.
pub(crate) fn keyed_and_grown() -> String {
    "the input is keyed by user (input.keyed_by_user), and with more partitions most users are on another one than before, \
     so their figures would be split between two tasks"
        .to_owned()
}

fn gone(topic: &str) -> LogError {
    LogError::Refused {
        what: topic.to_owned(),
        message: format!("is gone: it was deleted. Where it is made anew: {BEGIN_ANEW}"),
    }
}

fn has_offset(committed: &TopicPartitionList, log: &KafkaLog, stream: Stream) -> bool {
    let of_it = log.source(stream).ok().and_then(|(topic, partition)| committed.find_partition(topic, partition));
    of_it.is_some_and(|element| matches!(element.offset(), Offset::Offset(_)))
}

fn known(offsets: &BTreeMap<Stream, NextOffset>, stream: Stream) -> Result<NextOffset, LogError> {
    offsets.get(&stream).copied().ok_or_else(|| LogError::Broken(format!("no offset was found for {stream:?}")))
}

/// What readers of committed records wait for in vain (ops/decisions/0004).
const HANGING: &str = " (if the broker is well otherwise, a transaction of this group may have lost its end: \
                       `kafka-transactions.sh find-hanging` tells)";

/// A coordinator that answers everything but this holds offsets of a transaction without an end.
fn undecided(error: &LogError) -> LogError {
    LogError::Broken(format!("{error}{HANGING}"))
}

fn broken(what: &str, error: &KafkaError) -> LogError {
    LogError::Broken(format!("{what}: {error}"))
}
