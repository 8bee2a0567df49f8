//! The log as tailburn needs it: partitions that are read in order, and transactions that publish
//! records together with the offsets that caused them.
//!
//! [`kafka`] and [`embedded`] implement it. The code above does not know which one it has.

pub mod embedded;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod numbering;

use crate::model::record::{RecordIn, RecordOut};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::ops::Range;
use std::time::Duration;

/// A partition that the pipeline reads. The input partitions of all topics share one numbering ([`numbering`]);
/// repartitioned verdicts and partials have topics of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    Input(u32),
    Repartition(u32),
    Partials(u32),
    /// What the instances tell one another about their input partitions. Every instance reads all of it, from
    /// the beginning: it is never assigned, committed, moved or paused.
    Sources,
}

/// The offset of the record to read next. (Never that of the last record read.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NextOffset(pub i64);

/// The last commit of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub next: NextOffset,
    pub metadata: String,
}

/// The id of a topic. The name is not enough: a topic that is deleted and created again has the same name, and other
/// records at the same offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId(pub [u8; 16]);

impl TopicId {
    /// Brokers before Kafka 2.8 have no ids, and the embedded log needs none. An unknown id equals every id.
    pub const UNKNOWN: TopicId = TopicId([0; 16]);

    /// Whether both are known, and they differ.
    pub fn contradicts(self, other: TopicId) -> bool {
        self != other && self != TopicId::UNKNOWN && other != TopicId::UNKNOWN
    }

    /// Reads a printed [`TopicId`].
    pub fn parse(text: &str) -> Option<TopicId> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(TopicId)
    }
}

impl std::fmt::Display for TopicId {
    /// In the form that Kafka's own tools use.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// The remedy if the offsets and the state of an application can no longer be used.
pub const START_OVER: &str = "To start over: stop all instances, set another application_id (state and internal topics \
                              will be new, the output topics continue), and start with `--from earliest` to count \
                              everything in the input again, which publishes it again, or with `--from TIME`";

/// A stream that we own from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    pub stream: Stream,
    /// The topic's id now.
    pub topic: TopicId,
    /// The topic's name and the partition, for people.
    pub name: String,
    /// Where reading starts: at the committed offset, or, if there is none, where the log decides.
    pub next: NextOffset,
    /// The offset of the oldest record that the log still has.
    pub log_start: NextOffset,
    pub committed: Option<Committed>,
}

/// What else happened during a poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogEvent {
    /// These are ours now. Nothing is read from them before the next poll: until then `seek` moves the start, and
    /// `pause` delays it.
    Assigned(Vec<Assignment>),
    /// We are a member of the group, and get nothing more than we own already (which may be nothing).
    Joined,
    /// These are given up at the next poll, and no more records of them come. Until then they can still be committed.
    Revoked(Vec<Stream>),
    /// Another instance may own these already: they can no longer be committed.
    Lost(Vec<Stream>),
    /// The end of the partition was reached: every record before this offset was passed on.
    End(Stream, NextOffset),
    /// A bounded partition has ended: no record will ever come after this offset.
    Finished(Stream, NextOffset),
}

/// How a commit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// Records and offsets are visible.
    Committed,
    /// Nothing is visible.
    Aborted,
}

/// Why the log cannot continue. Failures that may pass are retried inside the log and never seen here.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("{what}: {message}")]
    Refused { what: String, message: String },
    /// The input has more partitions than when the log was opened: it has to be opened again.
    #[error("{0}")]
    Grown(String),
    #[error("another instance has taken over: {0}")]
    Fenced(String),
    #[error("{0}")]
    Broken(String),
}

/// One worker's view of the log. The worker polls, sends and commits from one thread.
pub trait Log {
    /// Waits at most `wait` for records, passes them to `each` in order per stream, and returns what else happened.
    /// `each` may be called thousands of times per poll. All records that the sources had when the log was opened are
    /// passed on before the first stream is assigned. Soon after a topic of ours is deleted and created again, this
    /// returns [`LogError::Refused`].
    fn poll(&mut self, wait: Duration, each: &mut dyn FnMut(Stream, &RecordIn<'_>)) -> Result<Vec<LogEvent>, LogError>;

    /// Adds a record to the open transaction. Opens one if there is none.
    fn send(&mut self, record: &RecordOut) -> Result<(), LogError>;

    /// Publishes what was sent together with these offsets and their metadata, for every owned stream, also an
    /// unchanged one. After [`CommitOutcome::Aborted`] the same records may be sent once more: reading has not moved.
    /// After an error nothing is visible, or the outcome is unknown and the next start finds out.
    fn commit(&mut self, offsets: &[(Stream, NextOffset, String)]) -> Result<CommitOutcome, LogError>;

    /// Drops what was sent since the last commit. Every owned stream is read again from its committed offset.
    fn abort(&mut self) -> Result<(), LogError>;

    /// Reads a stream from `next` on.
    fn seek(&mut self, stream: Stream, next: NextOffset) -> Result<(), LogError>;

    /// Where a stream ended when records of it were fetched last; this asks nobody. `None`: not known, or it has no end.
    fn last_seen_end(&self, _stream: Stream) -> Option<NextOffset> {
        None
    }

    /// Where these streams end now, according to the brokers. `None`: brokers are out of reach, or were since the last
    /// call, so that this may be why no records came.
    fn ends(&mut self, streams: &[Stream]) -> Result<Option<Vec<NextOffset>>, LogError>;

    fn pause(&mut self, streams: &[Stream]) -> Result<(), LogError>;

    fn resume(&mut self, streams: &[Stream]) -> Result<(), LogError>;

    /// Where a partition of the changelog starts and ends. The end includes open transactions, because a transaction that
    /// was committed a moment ago may still look open.
    fn changelog_range(&mut self, partition: u32) -> Result<Range<NextOffset>, LogError>;

    /// Reads a partition of the changelog from `from` on, outside of the group.
    fn changelog(&mut self, partition: u32, from: NextOffset) -> Result<Box<dyn Changelog>, LogError>;

    /// Deletes the records before these offsets, because nobody will read them again. A failure is only logged.
    fn purge(&mut self, before: &[(Stream, NextOffset)]);
}

/// A reader of one partition of the changelog.
pub trait Changelog {
    /// Passes on what is there, and waits at most `wait` if there is nothing. `true`: everything up to the end at the
    /// time of this call has been read, and all transactions before it have ended.
    fn read(&mut self, wait: Duration, each: &mut dyn FnMut(&RecordIn<'_>)) -> Result<bool, LogError>;
}
