//! The shell around the core: it polls the log, feeds the tasks, commits, and only then acts.
//!
//! A worker is one thread with its own view of the log and the tasks that the group assigned to it. Nothing on an event's
//! path is shared or locked. The worker knows neither files nor Kafka: the log is a trait.
//!
//! - An *input partition* that is not keyed by user has no state except its watermark, which is stored beside its
//!   committed offset. Its verdicts leave in blocks.
//! - A *users task* and a *rollup task* each read one stream, and their state is a function of that stream. The state is
//!   written to the changelog key group by key group, in the transactions of the commits ([`changelog_writer`]), and to a
//!   local store after they succeeded.
//! - A newly assigned task is *restored* from its store or the changelog ([`restore`]). Then it *replays* its stream up to
//!   the committed offset and drops what comes of it, because that was published before ([`task_runner`]). Then it is live.
//!
//! [`direct`] is a smaller worker for input that is read once and whose state is not kept: backtest and demo.

mod changelog_writer;
mod decisions;
pub mod direct;
mod errors;
mod idle;
pub mod inputs;
mod known;
mod offset_metadata;
mod partial_codec;
mod restore;
mod setup;
mod sources;
mod task_runner;
mod tasks;
mod user_overlap;

use crate::codec::output::EncodeError;
use crate::fault::{self, Place};
use crate::log::{Assignment, CommitOutcome, Log, LogError, LogEvent, Stream};
use crate::model::record::RecordOut;
use crate::model::time::{MINUTE_MS, Ms, Now};
use crate::pipeline::block::BlockError;
use crate::pipeline::checkpoint::CheckpointError;
use crate::pipeline::input_stats::{DeadLetterCounts, UnreadableCounts};
use crate::pipeline::sequence::SequenceError;
use crate::pipeline::users::UsersCounts;
use crate::state::versions::{DecodeError, VERSION};
use crate::state::{Store, StoreError, Usage};
pub use changelog_writer::DELTAS_MIN_BYTES;
pub use inputs::{InputFigures, PartitionFigures, Volume};
pub use offset_metadata::OffsetMetadata;
pub use partial_codec::read as read_partial;
pub use setup::Setup;
pub use sources::IdlePolicy;
use std::collections::BTreeSet;
use std::time::Duration;
pub use tasks::Tasks;
use tasks::Transaction;

/// Partitions further ahead of the slowest than this (in event time) are paused.
const MAX_SKEW_MS: Ms = 10 * MINUTE_MS;
/// A transaction that was aborted is sent again this often, before a new worker begins.
const RESENDS: u32 = 3;

/// A task with state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskId {
    Users(u32),
    Rollup(u32),
}

impl TaskId {
    /// The task's changelog partition, given the number of users tasks.
    pub const fn changelog(self, users: u32) -> u32 {
        match self {
            TaskId::Users(number) => number,
            TaskId::Rollup(number) => users + number,
        }
    }
}

impl std::fmt::Display for TaskId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TaskId::Users(number) => write!(f, "users-{number}"),
            TaskId::Rollup(number) => write!(f, "rollup-{number}"),
        }
    }
}

/// The local stores, one a task.
pub trait Stores {
    /// Opens a task's store; a new one is empty.
    fn open(&mut self, task: TaskId) -> Result<Box<dyn Store>, StoreError>;

    /// Deletes a task's store, damaged or not. Nobody has it open.
    fn wipe(&mut self, task: TaskId) -> Result<(), StoreError>;
}

/// Why a worker stops.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Block(#[from] BlockError),
    #[error("a record between tasks cannot be written: {0}")]
    Write(postcard::Error),
    #[error("a partial cannot be read: {0}")]
    Partial(#[from] DecodeError),
    /// Nothing of the transaction is visible; a new worker goes on from the checkpoint.
    #[error("the transaction was aborted by the brokers, {0} times in a row")]
    Aborted(u32),
    /// The group gave our partitions to others because our heartbeats did not arrive; a new worker joins it again.
    #[error("the group took {0} partitions away without waiting for them")]
    Lost(usize),
    /// The local store is of no use; it is deleted, and a new worker restores from the changelog.
    #[error("the local state of {task} is of no use ({why}); it is rebuilt from the changelog")]
    Useless { task: TaskId, why: String },
    /// Another instance reads partitions of the input that were added; a new worker knows of them too.
    #[error("{0}")]
    Grown(String),
    /// A bug: to continue would publish figures that contradict published ones.
    #[error(
        "{task} came to {found:?} where it had published up to {published:?}: this is a bug, and nothing is published"
    )]
    Diverged { task: TaskId, published: Option<Ms>, found: Option<Ms> },
    /// A bug in tailburn or in a client library: the log repeats or leaves out a record.
    #[error("the record at offset {offset} of {task}'s stream {why}: this is a bug, and nothing is published")]
    SequenceError { task: TaskId, offset: i64, why: SequenceError },
    #[error(
        "a partial has version {found}, and this build reads versions up to {VERSION}: another build wrote it; start that \
         one, let it read everything, and stop it gracefully (SIGTERM)"
    )]
    PartialVersion { found: u8 },
    #[error("{0}")]
    Refused(String),
}

impl WorkerError {
    fn of_block(task: TaskId, offset: i64, error: BlockError) -> WorkerError {
        match error {
            BlockError::SequenceError(why) => WorkerError::SequenceError { task, offset, why },
            BlockError::UnknownSource(_) => WorkerError::Grown(error.to_string()),
            other => other.into(),
        }
    }
}

impl From<StoreError> for WorkerError {
    fn from(error: StoreError) -> WorkerError {
        WorkerError::Checkpoint(error.into())
    }
}

/// A worker's figures, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub counts: UsersCounts,
    pub dead_letters: DeadLetterCounts,
    pub unreadable: UnreadableCounts,
    /// Rows of users in memory, and keys of rollup tasks.
    pub rows: usize,
    pub keys: usize,
    /// The last boundary that all rollup tasks have evaluated.
    pub evaluated_ms: Option<Ms>,
    /// Tasks that are being restored, that replay, and that are live.
    pub phases: [usize; 3],
    /// Input partitions.
    pub inputs: usize,
    pub changelog_bytes: u64,
    /// When the oldest key group was written, by the steady clock.
    pub checkpointed_ms: Option<Ms>,
    /// Records that tasks have to read before they are live.
    pub remaining: u64,
    /// The size of the local stores.
    pub stores: Usage,
}

impl Figures {
    /// The counters: they are kept when a worker ends.
    pub fn counters(&self) -> Figures {
        Figures {
            counts: self.counts,
            dead_letters: self.dead_letters,
            unreadable: self.unreadable,
            changelog_bytes: self.changelog_bytes,
            ..Figures::default()
        }
    }

    /// Adds the figures of another worker.
    pub fn add(&mut self, other: &Figures) {
        self.counts.add(&other.counts);
        self.dead_letters.iter_mut().zip(&other.dead_letters).for_each(|(own, more)| *own += more);
        self.unreadable.iter_mut().zip(&other.unreadable).for_each(|(own, more)| *own += more);
        self.rows += other.rows;
        self.keys += other.keys;
        self.evaluated_ms = match (self.evaluated_ms, other.evaluated_ms) {
            (Some(own), Some(more)) => Some(own.min(more)),
            (own, more) => own.or(more),
        };
        self.phases.iter_mut().zip(other.phases).for_each(|(own, more)| *own += more);
        self.inputs += other.inputs;
        self.changelog_bytes += other.changelog_bytes;
        self.checkpointed_ms = match (self.checkpointed_ms, other.checkpointed_ms) {
            (Some(own), Some(more)) => Some(own.min(more)),
            (own, more) => own.or(more),
        };
        self.remaining += other.remaining;
        self.stores = self.stores.and(other.stores);
    }
}

/// Sees what was committed: the HTTP board, the demo's screen, progress bars.
pub trait Observer {
    fn committed(&mut self, records: &[RecordOut]);
}

/// An observer that does nothing.
pub struct Nobody;

impl Observer for Nobody {
    fn committed(&mut self, _records: &[RecordOut]) {}
}

/// One worker.
pub struct Worker<L> {
    pub log: L,
    pub tasks: Tasks,
    /// To be given up at the next poll.
    leaving: Vec<Stream>,
    paused: Vec<Stream>,
    purged_ms: Ms,
    /// The group has assigned our partitions, even if there are none.
    has_joined: bool,
    /// Transactions that were aborted since somebody asked.
    aborted: u64,
}

/// Records that nobody will read again are let go this often.
const PURGE_INTERVAL_MS: Ms = 30_000;

impl<L: Log> Worker<L> {
    pub fn new(log: L, tasks: Tasks) -> Worker<L> {
        let (leaving, paused) = (Vec::new(), Vec::new());
        Worker { log, tasks, leaving, paused, purged_ms: 0, has_joined: false, aborted: 0 }
    }

    /// Polls once and closes what can be closed; returns how many records it read. Nothing is visible before
    /// [`Worker::commit`], which has to be called next where [`Worker::is_leaving`].
    pub fn poll(&mut self, wait: Duration, now: Now) -> Result<u64, WorkerError> {
        if self.is_leaving() {
            // What was not committed is dropped with the partitions.
            self.let_go();
        }
        let mut records = 0;
        let mut failed = None;
        let tasks = &mut self.tasks;
        let wait = if tasks.is_restoring() { Duration::ZERO } else { wait };
        let events = self.log.poll(wait, &mut |stream, record| {
            records += 1;
            if let Err(error) = tasks.take(stream, record) {
                failed.get_or_insert(error);
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        self.note(&events, now.steady_ms)?;
        self.go_on_restoring(now.steady_ms)?;
        self.decide(now)?;
        self.tasks.close()?;
        self.balance()?;
        Ok(records)
    }

    fn note(&mut self, events: &[LogEvent], steady_ms: Ms) -> Result<(), WorkerError> {
        for event in events {
            match event {
                LogEvent::Assigned(assignments) => {
                    self.has_joined = true;
                    self.take_up_all(assignments)?;
                }
                LogEvent::Joined => self.has_joined = true,
                LogEvent::Revoked(streams) => self.leaving.extend(streams),
                LogEvent::Lost(streams) => return Err(WorkerError::Lost(streams.len())),
                LogEvent::End(Stream::Input(source), end) => self.tasks.at_end(*source, *end, steady_ms),
                // Only bounded input is finished, and the direct worker reads that.
                LogEvent::End(..) | LogEvent::Finished(..) => {}
            }
        }
        Ok(())
    }

    fn take_up_all(&mut self, assignments: &[Assignment]) -> Result<(), WorkerError> {
        fault::point(Place::Assigned);
        for assignment in assignments {
            if self.tasks.take_up(&mut self.log, assignment)? {
                self.log.pause(&[assignment.stream])?;
            }
        }
        Ok(())
    }

    /// Continues the restore of tasks that are not restored yet.
    fn go_on_restoring(&mut self, steady_ms: Ms) -> Result<(), WorkerError> {
        if !self.tasks.is_restoring() {
            return Ok(());
        }
        let ready = self.tasks.go_on_restoring(steady_ms)?;
        for (stream, from) in &ready {
            self.log.seek(*stream, *from)?;
            self.log.resume(&[*stream])?;
        }
        Ok(())
    }

    /// Decides what depends on clocks: which partitions are idle.
    fn decide(&mut self, now: Now) -> Result<(), WorkerError> {
        let asked = self.tasks.to_be_asked(now.steady_ms);
        if !asked.is_empty() {
            let streams: Vec<Stream> = asked.iter().map(|source| Stream::Input(*source)).collect();
            let ends = self.log.ends(&streams)?;
            for (i, source) in asked.iter().enumerate() {
                self.tasks.answered(*source, ends.as_ref().and_then(|ends| ends.get(i).copied()), now.steady_ms);
            }
        }
        self.tasks.decide(&self.paused, now);
        Ok(())
    }

    /// Pauses partitions that are far ahead of the slowest, so that what waits stays bounded.
    fn balance(&mut self) -> Result<(), WorkerError> {
        let pause = self.tasks.far_ahead();
        if pause != self.paused {
            let resume: Vec<Stream> = self.paused.iter().filter(|s| !pause.contains(s)).copied().collect();
            let resume: Vec<Stream> = resume.into_iter().filter(|s| self.tasks.has(*s)).collect();
            self.log.resume(&resume)?;
            self.log.pause(&pause)?;
            self.paused = pause;
        }
        Ok(())
    }

    /// Streams were revoked: the next commit is the last one for them.
    pub fn is_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Whether there is something to publish.
    pub fn has_news(&self) -> bool {
        self.tasks.has_news()
    }

    /// All our tasks have reached their committed offsets.
    pub fn is_live(&self) -> bool {
        self.tasks.is_live()
    }

    /// The group has assigned our partitions, and all of them are live. (Without the first condition a new instance, which owns
    /// nothing yet, would call itself ready.)
    pub fn is_ready(&self) -> bool {
        self.has_joined && self.is_live()
    }

    pub fn figures(&self) -> Figures {
        self.tasks.figures()
    }

    /// Our input partitions.
    pub fn inputs(&self) -> Vec<InputFigures> {
        self.tasks.input_figures(&|source| self.log.last_seen_end(Stream::Input(source)))
    }

    /// All input partitions, as far as their progress is known here.
    pub fn partitions(&self) -> Vec<PartitionFigures> {
        self.tasks.partition_figures(&|source| self.log.last_seen_end(Stream::Input(source)))
    }

    /// The partitions of our rollup tasks.
    pub fn rollup_partitions(&self) -> BTreeSet<u32> {
        self.tasks.rollup_partitions()
    }

    /// What was read since this was asked before.
    pub fn take_volumes(&mut self) -> Vec<(Stream, Volume)> {
        self.tasks.take_volumes()
    }

    /// Writes a checkpoint of all that changed, in the next commit.
    pub fn checkpoint_all(&mut self) {
        fault::point(Place::Leaving);
        self.tasks.checkpoint_all();
    }

    /// Makes the stores durable, on the way out.
    pub fn flush(&mut self) -> Result<(), WorkerError> {
        self.tasks.flush()
    }

    /// Aborted transactions since the last call, including those that were sent again.
    pub fn take_aborted(&mut self) -> u64 {
        std::mem::take(&mut self.aborted)
    }

    /// Publishes the output of the tasks together with the offsets that caused it, and the checkpoints that are due at
    /// `steady_ms` (of [`Now`]; no figure depends on it).
    pub fn commit(&mut self, observer: &mut dyn Observer, steady_ms: Ms) -> Result<(), WorkerError> {
        fault::point(Place::BeforeSend);
        if self.is_leaving() {
            fault::point(Place::Leaving);
            self.tasks.checkpoint_of(&self.leaving);
        }
        if self.tasks.own_nothing() {
            self.let_go();
            return Ok(());
        }
        let transaction = self.tasks.transaction(steady_ms)?;
        self.publish(&transaction)?;
        fault::point(Place::AfterCommit);
        observer.committed(&transaction.records[..transaction.outputs]);
        self.tasks.committed(&mut self.log)?;
        self.let_go();
        self.purge(steady_ms);
        Ok(())
    }

    fn publish(&mut self, transaction: &Transaction) -> Result<(), WorkerError> {
        for _ in 0..=RESENDS {
            for (at, record) in transaction.records.iter().enumerate() {
                if at == transaction.changelog_from {
                    fault::point(Place::BetweenSends);
                }
                self.log.send(record)?;
            }
            fault::point(Place::BeforeCommit);
            if self.log.commit(&transaction.offsets)? == CommitOutcome::Committed {
                return Ok(());
            }
            // The group has a new generation, or a record was not delivered. The records are still right as long as the
            // partitions are ours, which the brokers check.
            fault::point(Place::Resending);
            self.aborted += 1;
            tracing::info!("the transaction was aborted: sending it once more");
        }
        Err(WorkerError::Aborted(RESENDS + 1))
    }

    /// Closes the tasks of revoked streams; the group gets its answer at the next poll.
    fn let_go(&mut self) {
        if self.leaving.is_empty() {
            return;
        }
        let leaving = std::mem::take(&mut self.leaving);
        self.paused.retain(|stream| !leaving.contains(stream));
        self.tasks.let_go(&leaving);
        fault::point(Place::GivenUp);
    }

    fn purge(&mut self, steady_ms: Ms) {
        if steady_ms - self.purged_ms < PURGE_INTERVAL_MS {
            return;
        }
        self.purged_ms = steady_ms;
        let before = self.tasks.not_read_again();
        if !before.is_empty() {
            fault::point(Place::Purging);
            self.log.purge(&before);
        }
    }
}
