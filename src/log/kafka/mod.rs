//! The log on Kafka: one consumer and one transactional producer, on one thread.
//!
//! A rebalance takes two polls: the first tells the worker, the second carries it out ([`assignment`]). Errors that
//! may pass are retried here for a limited time; all others end the log. Outside of the group there is a reader for the
//! sources, and one for each changelog partition that is asked for. It neither decodes a record nor decides when to
//! commit.
#![expect(clippy::disallowed_methods, reason = "requests to brokers have deadlines, and waits between tries")]

mod assignment;
mod changelog;
mod claims;
mod client_config;
mod client_log;
mod commit;
mod connection;
mod consumer;
mod dispatch;
mod error_codes;
mod errors;
mod feed;
mod fetch;
pub mod follow;
mod group;
mod log_ends;
mod message;
mod native;
pub mod news;
mod note;
pub mod observer;
mod operations;
mod partitions;
pub mod peek;
mod publish;
mod purge;
mod reader;
mod refusal;
mod retry;
pub mod rights;
mod seen_end;
mod settings;
mod sources;
mod start_offsets;
mod streams;
pub mod topics;
mod watch;

pub use client_config::try_clients;
pub use connection::{ConnectionStatus, Listener};
pub use feed::Feed;
pub use note::{write_note, write_notes};
pub use publish::try_transactions;
pub use settings::{KafkaSettings, StartFrom};
pub use streams::Streams;

use super::{Changelog, CommitOutcome, Log, LogError, LogEvent, NextOffset, Stream};
use crate::model::record::{RecordIn, RecordOut, Topic};
use changelog::ChangelogReader;
use consumer::GroupConsumer;
use log_ends::Ends;
use publish::Publisher;
use purge::Purger;
use retry::{REQUEST_TIMEOUT, retry};
use sources::SourcesReader;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};
use topics::admin::TopicAdmin;
use watch::Watch;

/// While there are no records, the group's events are looked at this often.
const EVENT_INTERVAL: Duration = Duration::from_millis(20);

/// One worker's view of the topics.
pub struct KafkaLog {
    publisher: Publisher,
    consumer: GroupConsumer,
    sources: SourcesReader,
    /// When the sources have to be read to the end that they had at first. `None`: they are.
    sources_deadline: Option<Instant>,
    watch: Watch,
    ends: Arc<Ends>,
    purger: Purger,
    settings: KafkaSettings,
}

impl KafkaLog {
    /// Connects, aborts what an earlier user of the transactional id left open, and joins the group.
    pub fn open(settings: &KafkaSettings) -> Result<KafkaLog, LogError> {
        settings.validate()?;
        let admin = TopicAdmin::open(settings)?;
        // A missing topic or right is reported before the producer connects, because that fences an earlier one.
        claims::open_topics(&admin, settings)?;
        admin.check_rights(settings)?;
        let mut publisher = Publisher::open(settings)?;
        let ends = Arc::new(Ends::open(settings)?);
        let streams = claims::agreed(&admin, settings, &mut publisher, &ends)?;
        drop(admin);
        let watch = Watch::start(settings, streams.opened().clone())?;
        let (sources, _) = streams.source(Stream::Sources).unwrap_or_default();
        let sources = SourcesReader::open(settings, sources)?;
        Ok(KafkaLog {
            publisher,
            consumer: GroupConsumer::join(settings, streams)?,
            sources,
            sources_deadline: Some(Instant::now() + sources::READ_TIMEOUT),
            watch,
            ends,
            purger: Purger::default(),
            settings: settings.clone(),
        })
    }

    /// Which partition of which topic each stream is.
    pub fn streams(&self) -> &Streams {
        self.consumer.streams()
    }

    /// What the group decided. A worker that takes streams over has to know the sources first, so until then it is told
    /// nothing.
    fn group_events(&mut self) -> Result<Vec<LogEvent>, LogError> {
        self.consumer.poll()?;
        match self.sources_deadline {
            None => self.consumer.rebalance(),
            Some(deadline) if Instant::now() < deadline => Ok(Vec::new()),
            Some(_) => Err(sources::unread()),
        }
    }

    fn changelog_partition(&self, partition: u32) -> Result<(String, i32), LogError> {
        let count = self.streams().users_partitions() + self.streams().partials_partitions();
        let topic = self.settings.topic_name(Topic::Changelog);
        match Some(partition).filter(|p| *p < count).and_then(|number| i32::try_from(number).ok()) {
            Some(number) => Ok((topic, number)),
            None => Err(LogError::Broken(format!("{topic} has no partition {partition}"))),
        }
    }
}

impl Log for KafkaLog {
    fn poll(&mut self, wait: Duration, each: &mut dyn FnMut(Stream, &RecordIn<'_>)) -> Result<Vec<LogEvent>, LogError> {
        self.watch.check(self.consumer.streams())?;
        self.consumer.apply_change()?;
        let deadline = Instant::now() + wait;
        loop {
            let events = self.group_events()?;
            if !events.is_empty() {
                return Ok(events);
            }
            // A rebalance that takes nothing away is no event for the worker, but the group waits for it.
            self.consumer.apply_change()?;
            let sources = self.sources.take(each)?;
            let left = deadline.saturating_duration_since(Instant::now());
            let wait = if sources.count > 0 { Duration::ZERO } else { left.min(EVENT_INTERVAL) };
            let (count, mut ends) = self.consumer.take(wait, each)?;
            if sources.end.is_some() {
                self.sources_deadline = None;
            }
            ends.extend(sources.end.map(|end| LogEvent::End(Stream::Sources, end)));
            if count + sources.count > 0 || left.is_zero() || !ends.is_empty() {
                return Ok(ends);
            }
        }
    }

    fn send(&mut self, record: &RecordOut) -> Result<(), LogError> {
        self.publisher.send(record)
    }

    fn commit(&mut self, offsets: &[(Stream, NextOffset, String)]) -> Result<CommitOutcome, LogError> {
        // If a topic has grown, what was read is still right: it is committed before the log is closed.
        if let Err(error @ LogError::Refused { .. }) = self.watch.check(self.consumer.streams()) {
            return Err(error);
        }
        commit::commit(&mut self.publisher, &mut self.consumer, offsets)
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.publisher.abort()?;
        self.consumer.rewind()
    }

    fn seek(&mut self, stream: Stream, next: NextOffset) -> Result<(), LogError> {
        self.consumer.seek(stream, next)
    }

    fn last_seen_end(&self, stream: Stream) -> Option<NextOffset> {
        self.consumer.last_seen_end(stream)
    }

    fn ends(&mut self, streams: &[Stream]) -> Result<Option<Vec<NextOffset>>, LogError> {
        self.consumer.ends(streams)
    }

    fn pause(&mut self, streams: &[Stream]) -> Result<(), LogError> {
        self.consumer.pause(streams)
    }

    fn resume(&mut self, streams: &[Stream]) -> Result<(), LogError> {
        self.consumer.resume(streams)
    }

    /// The end includes open transactions, some of which their writer may have committed already. A [`Changelog`]
    /// reports that it is read only when it has reached that end.
    fn changelog_range(&mut self, partition: u32) -> Result<Range<NextOffset>, LogError> {
        let (topic, partition) = self.changelog_partition(partition)?;
        let find = || Ok(self.ends.of(&topic, partition, REQUEST_TIMEOUT)?);
        retry(&self.settings, "find the range of the changelog", find)
    }

    fn changelog(&mut self, partition: u32, from: NextOffset) -> Result<Box<dyn Changelog>, LogError> {
        let (topic, partition) = self.changelog_partition(partition)?;
        Ok(Box::new(ChangelogReader::open(&self.settings, Arc::clone(&self.ends), (&topic, partition), from)?))
    }

    fn purge(&mut self, before: &[(Stream, NextOffset)]) {
        let ours = before.iter().filter(|(stream, _)| matches!(stream, Stream::Repartition(_) | Stream::Partials(_)));
        let cut = |(stream, NextOffset(next)): &(Stream, NextOffset)| {
            let (topic, partition) = self.consumer.streams().source(*stream)?;
            Some(((topic.to_owned(), partition), *next))
        };
        let cuts: Vec<_> = ours.filter_map(cut).collect();
        if !cuts.is_empty() {
            self.purger.request(&self.settings, cuts);
        }
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        if let Err(error) = self.publisher.abort() {
            tracing::warn!(target: "tailburn::kafka", %error, "the open transaction is left to its timeout");
        }
        self.consumer.leave();
    }
}
