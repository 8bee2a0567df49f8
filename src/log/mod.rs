//! The log as tailburn needs it: partitions to read in order, and one transaction that publishes
//! records together with the offsets that caused them.
//!
//! [`kafka`] is one implementation, [`embedded`] the other; nothing above knows which one it has.

pub mod embedded;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod numbering;

use crate::model::record::{RecordIn, RecordOut};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::ops::Range;
use std::time::Duration;

/// What the pipeline reads from. The input partitions of all topics have numbers ([`numbering`]); repartitioned
/// verdicts and partials have topics of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    Input(u32),
    Repartition(u32),
    Partials(u32),
    /// What the instances tell one another of their input partitions. Everybody reads all of it, from
    /// its beginning: it is never assigned, committed, sought or paused.
    Sources,
}

/// The offset of the record to be read next. (Never "the last one read": one meaning only.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NextOffset(pub i64);

/// What the log remembers for a stream from an earlier commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub next: NextOffset,
    pub metadata: String,
}

/// Which topic a stream is read from. Its name does not say so: a topic that is deleted and made anew has the
/// name again, and other records at the same offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId(pub [u8; 16]);

impl TopicId {
    /// Brokers before Kafka 2.8 have no ids, and the embedded log needs none: then nothing is compared.
    pub const UNKNOWN: TopicId = TopicId([0; 16]);

    /// Whether both are known and not the same.
    pub fn contradicts(self, other: TopicId) -> bool {
        self != other && self != TopicId::UNKNOWN && other != TopicId::UNKNOWN
    }

    /// As [`TopicId`] prints it; `None`: it is none.
    pub fn parse(text: &str) -> Option<TopicId> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(TopicId)
    }
}

impl std::fmt::Display for TopicId {
    /// As Kafka's own tools print it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// What helps where the offsets of an application, and its state, are of no use any more.
pub const BEGIN_ANEW: &str = "Begin anew: stop all instances, set another application_id (its state and internal topics \
                              are made anew; the output topics go on), and start with `--from earliest` to count all \
                              that the input holds again, which publishes it again, or with `--from TIME`";

/// A stream that is now ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    pub stream: Stream,
    /// The topic as it is now.
    pub topic: TopicId,
    /// The topic's name and the partition, as a person knows them.
    pub name: String,
    /// Where reading goes on: at the committed offset, else where the log begins for us.
    pub next: NextOffset,
    /// The oldest record that the log still has.
    pub log_start: NextOffset,
    pub committed: Option<Committed>,
}

/// What happened to the assignment, or at the end of a partition, while polling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogEvent {
    /// Now ours. Nothing of them is read before the next poll: until then `seek` moves where
    /// reading begins, and `pause` holds it back.
    Assigned(Vec<Assignment>),
    /// The group counts us in, and has nothing for us beside what is ours already; often nothing at all.
    Joined,
    /// To be given up at the next poll, and silent from now on: until then a commit still counts.
    Revoked(Vec<Stream>),
    /// Somebody else has them already: nothing may be committed for them.
    Lost(Vec<Stream>),
    /// Every record up to the end of the partition was handed over.
    End(Stream, NextOffset),
    /// A bounded partition ended for good: nothing will ever come after this offset.
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

/// Why the log cannot go on. A retriable failure is retried inside and never seen here.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("{what}: {message}")]
    Refused { what: String, message: String },
    /// The input has more partitions than when the log was opened: another one is to be opened.
    #[error("{0}")]
    Grown(String),
    #[error("another instance has taken over: {0}")]
    Fenced(String),
    #[error("{0}")]
    Broken(String),
}

/// One worker's view of the log: it polls, sends and commits from one thread.
pub trait Log {
    /// Waits at most `wait` for records and hands what is there to `each`, in order per stream, then
    /// returns what else happened. `each` may be called many times per poll (thousands). What the sources
    /// held when the log was opened is handed over before the first stream is assigned. An error that is
    /// [`LogError::Refused`] comes soon after a topic of ours was made anew.
    fn poll(&mut self, wait: Duration, each: &mut dyn FnMut(Stream, &RecordIn<'_>)) -> Result<Vec<LogEvent>, LogError>;

    /// Adds a record to the open transaction (and opens one where there is none).
    fn send(&mut self, record: &RecordOut) -> Result<(), LogError>;

    /// Publishes what was sent together with these offsets (every owned stream, also unchanged ones)
    /// and their metadata. After [`CommitOutcome::Aborted`] the same may be sent once more: where the
    /// streams are read is as before. An error leaves nothing visible, or the outcome unknown to be
    /// found out at the next start.
    fn commit(&mut self, offsets: &[(Stream, NextOffset, String)]) -> Result<CommitOutcome, LogError>;

    /// Drops what was sent since the last commit; every owned stream goes back to its committed offset.
    fn abort(&mut self) -> Result<(), LogError>;

    /// Reads a stream from `next` on.
    fn seek(&mut self, stream: Stream, next: NextOffset) -> Result<(), LogError>;

    /// Where the logs of these streams end now, as the brokers say. `None`: they are out of reach,
    /// or were since the last question, so that a silence until now may have been theirs.
    fn ends(&mut self, streams: &[Stream]) -> Result<Option<Vec<NextOffset>>, LogError>;

    fn pause(&mut self, streams: &[Stream]) -> Result<(), LogError>;

    fn resume(&mut self, streams: &[Stream]) -> Result<(), LogError>;

    /// Where a partition of the changelog begins and ends. The end is behind what is in transactions:
    /// what was committed a moment ago may still look as if it were.
    fn changelog_range(&mut self, partition: u32) -> Result<Range<NextOffset>, LogError>;

    /// Reads a partition of the changelog from `from` on, beside the group.
    fn changelog(&mut self, partition: u32, from: NextOffset) -> Result<Box<dyn Changelog>, LogError>;

    /// Lets the records before these offsets go: nobody will read them again. Best effort.
    fn purge(&mut self, before: &[(Stream, NextOffset)]);
}

/// One partition of the changelog, being read.
pub trait Changelog {
    /// Hands over what is there, and waits at most `wait` where there is nothing. `true`: everything
    /// up to the end as it was at this call is read, and the transactions before it have ended.
    fn read(&mut self, wait: Duration, each: &mut dyn FnMut(&RecordIn<'_>)) -> Result<bool, LogError>;
}
