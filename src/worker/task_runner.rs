//! A task with everything that belongs to it: its stream, its store, its position in the changelog.
//!
//! After its assignment it goes through [`Phase`]s: restoring, replaying, live. Only a live task publishes anything; for
//! the others every commit repeats the offset and the metadata that were found.

use super::changelog_writer::ChangelogWriter;
use super::errors::{damaged, of, useless};
use super::offset_metadata::{self, OffsetMetadata};
use super::restore::{self, Hint, Restore, Start};
use super::{Stores, TaskId, WorkerError};
use crate::fault::{self, Place};
use crate::log::{Assignment, Log, LogError, NextOffset, Stream, TopicId};
use crate::model::record::RecordOut;
use crate::model::time::{Moment, Ms};
use crate::pipeline::checkpoint::{CheckpointError, Mark, ReplayStart, TaskMark};
use crate::state::{Batch, Store, Usage};

/// What a runner needs from its task.
pub trait Task {
    const GROUPS: u16;

    /// The prefixes of a group's rows in the store.
    fn prefixes(group: u16) -> Vec<Vec<u8>>;
    /// The last boundary that is closed, or evaluated.
    fn at_ms(&self) -> Option<Ms>;
    fn read_again(&self, next: i64) -> ReplayStart;
    fn save_group(&mut self, group: u16, store: &dyn Store, batch: &mut Batch) -> Result<(), CheckpointError>;
    fn mark(&self) -> TaskMark;
    fn load(&mut self, mark: &Mark, store: &dyn Store, limit_bytes: u64) -> Result<(), CheckpointError>;
    /// Closes what can be closed. With `published_ms` the stream is read again: no more is closed than was published,
    /// and what comes of it is dropped. (A partition without a record held the others back, or a decision was waited for;
    /// neither is in the log that is read again.)
    fn close(&mut self, store: &dyn Store, published_ms: Option<Option<Ms>>) -> Result<(), WorkerError>;
    fn end_replay(&mut self, mark: Option<&Mark>);
    /// The replay has reached the last commit. `true`: the task has sources that the checkpoint does not know, and waits for
    /// them from now on; a checkpoint must contain them before anything else is published.
    fn begin_live(&mut self, _mark: Option<&Mark>) -> bool {
        false
    }
    fn evict(&mut self, limit_bytes: u64);
    /// Whether something waits to be published.
    fn has_news(&self) -> bool;
    /// It must receive a decision before it can close its next boundary.
    fn waits_for_decision(&self) -> bool {
        false
    }
}

/// How far a task is.
pub enum Phase {
    Restoring(Box<Restore>),
    /// Its stream is being read again up to here.
    Replaying(NextOffset),
    /// The stream was read again up to here, and a decision that was known when this was published has not been read
    /// yet: the sources topic may be behind.
    Undecided(NextOffset),
    Live,
}

/// A watermark override: before the record at this offset, whichever that will be, the watermark is at least this.
/// `true`: there were records that were not waited for.
pub type Decision = (i64, Ms, bool);

/// Returns the beginning and the end of a partition of the changelog.
pub type RangeOf<'a> = &'a mut dyn FnMut(u32) -> Result<Hint, LogError>;

/// What a worker does with all of its tasks, of either kind.
pub trait AnyTask {
    fn stream(&self) -> Stream;
    fn phase(&self) -> &Phase;

    fn is_live(&self) -> bool {
        matches!(self.phase(), Phase::Live)
    }

    fn is_restoring(&self) -> bool {
        matches!(self.phase(), Phase::Restoring(_) | Phase::Undecided(_))
    }

    /// Continues the restore, or the wait for decisions. Returns the offset to read from once that is done.
    fn go_on_restoring(&mut self, identity: &str, steady_ms: Ms) -> Result<Option<NextOffset>, WorkerError>;
    /// Closes every boundary that can be closed.
    fn close(&mut self) -> Result<(), WorkerError>;
    fn has_news(&self) -> bool;
    /// Writes a checkpoint of all that changed with the next commit.
    fn hurry(&mut self);
    /// Writes what is due of the checkpoint; to be called once all that the task publishes is taken.
    fn checkpoint(&mut self, identity: &str, steady_ms: Ms, out: &mut Vec<RecordOut>) -> Result<(), WorkerError>;
    /// Offset and metadata of the stream for the commit.
    fn offset(&self) -> (Stream, NextOffset, String);
    /// The commit succeeded: the store may have what it published.
    fn committed(&mut self, range_of: RangeOf<'_>) -> Result<(), WorkerError>;
    /// When the current round of checkpoints began.
    fn checkpointed_ms(&self) -> Option<Ms>;
    /// Everything before this is in the checkpoint.
    fn not_read_again(&self) -> Option<(Stream, NextOffset)>;
    /// Records to be read before it is live: of the changelog while it is restored, of its stream while it replays.
    fn remaining(&self) -> u64;
    /// Nothing where the store cannot say.
    fn usage(&self) -> Usage;
    /// Makes the store durable, on the way out.
    fn flush_now(&mut self) -> Result<(), WorkerError>;
}

pub struct TaskRunner<T> {
    pub id: TaskId,
    pub task: T,
    pub stream: Stream,
    pub position: NextOffset,
    pub phase: Phase,
    pub store: Box<dyn Store>,
    pub changelog: ChangelogWriter,
    /// Overrides for the task's own input partition, as far back as a replay may start.
    pub raised: Vec<Decision>,
    /// There are overrides since the last checkpoint.
    is_decided: bool,
    /// The group's offset and metadata, as they were found.
    found: Option<(NextOffset, String)>,
    topic: TopicId,
    start: i64,
    log_start: NextOffset,
    replayed_from: i64,
    published_ms: Option<Ms>,
    mark: Option<Mark>,
    /// Another build, or one with other definitions, wrote the checkpoint.
    is_of_others: bool,
    /// Rows that go to the store once the commit succeeded.
    batch: Batch,
    /// Position and boundary of the last checkpoint: if neither has moved, nothing is written.
    marked: Option<(NextOffset, Option<Ms>)>,
    limit_bytes: u64,
}

/// The settings of a runner.
pub struct TaskConfig<'a> {
    pub id: TaskId,
    pub changelog_partition: u32,
    pub identity: &'a str,
    pub checkpoint_interval_ms: Ms,
    pub deltas_min_bytes: u64,
    pub limit_bytes: u64,
}

impl<T: Task> TaskRunner<T> {
    /// Starts a newly assigned task. `true`: its stream must stay paused until [`TaskRunner::go_on_restoring`] returns an
    /// offset.
    pub fn take_up<L: Log>(
        log: &mut L,
        stores: &mut dyn Stores,
        config: &TaskConfig<'_>,
        assignment: &Assignment,
        task: T,
    ) -> Result<(TaskRunner<T>, bool), WorkerError> {
        TaskRunner::started(log, stores, config, assignment, task).map_err(|e| damaged(config.id, e))
    }

    fn started<L: Log>(
        log: &mut L,
        stores: &mut dyn Stores,
        config: &TaskConfig<'_>,
        assignment: &Assignment,
        task: T,
    ) -> Result<(TaskRunner<T>, bool), WorkerError> {
        let store = opened(stores, config.id)?;
        let ours = offset_metadata::of_ours(assignment);
        let start = ours.as_ref().map_or(assignment.next.0, |(_, metadata)| metadata.start);
        let mut runner = TaskRunner {
            id: config.id,
            task,
            stream: assignment.stream,
            position: NextOffset(start),
            phase: Phase::Live,
            store,
            changelog: ChangelogWriter::new(
                config.changelog_partition,
                T::GROUPS,
                start,
                config.checkpoint_interval_ms,
                config.deltas_min_bytes,
            ),
            raised: Vec::new(),
            is_decided: false,
            found: assignment.committed.as_ref().map(|c| (c.next, c.metadata.clone())),
            topic: assignment.topic,
            start,
            log_start: assignment.log_start,
            replayed_from: start,
            published_ms: ours.as_ref().and_then(|(_, metadata)| metadata.at_ms),
            mark: None,
            is_of_others: false,
            batch: Batch::new(),
            marked: None,
            limit_bytes: config.limit_bytes,
        };
        let Some((next, metadata)) = ours else {
            return runner.start_new(assignment).map(|runner| (runner, false));
        };
        runner.phase = Phase::Replaying(next);
        let range = log.changelog_range(config.changelog_partition)?;
        runner.restore(log, stores, config, metadata.sequence, range)?;
        if matches!(runner.phase, Phase::Restoring(_)) {
            return Ok((runner, true));
        }
        let from = runner.replay_from(next, config.identity)?;
        log.seek(runner.stream, from)?;
        runner.finish_where_due()?;
        let is_held = runner.is_restoring();
        Ok((runner, is_held))
    }

    fn start_new(self, assignment: &Assignment) -> Result<TaskRunner<T>, WorkerError> {
        if assignment.committed.is_some() {
            return Err(self.refused(
                "the group has an offset that tailburn did not commit: it was set by hand, or by another program. Choose \
                 an application_id of its own",
            ));
        }
        if Mark::read(self.store.as_ref())?.is_some() {
            return Err(self.refused(
                "state.dir has state of it, and neither the group nor the internal topics know of any: they were deleted, \
                 or state.dir is another application's. Move state.dir away to start over, or name another one",
            ));
        }
        Ok(self)
    }

    fn restore<L: Log>(
        &mut self,
        log: &mut L,
        stores: &mut dyn Stores,
        config: &TaskConfig<'_>,
        sequence: u64,
        range: Hint,
    ) -> Result<(), WorkerError> {
        if sequence == 0 {
            if Mark::read(self.store.as_ref())?.is_some() {
                self.wipe(stores)?;
            }
            return Ok(());
        }
        let start = restore::start(self.store.as_ref(), sequence, &range).map_err(|e| of(self.id, e))?;
        let from = match start {
            Start::Warm(mark) => {
                let hint = restore::hint(self.store.as_ref())?;
                if hint.is_some_and(|hint| range.start > hint.start || range.end < hint.end) {
                    tracing::warn!(task = %self.id, "the changelog was truncated or created again: writing it again");
                    self.changelog.rewrite();
                }
                tracing::debug!(task = %self.id, sequence, "the local store is warm");
                return self.loaded(mark);
            }
            Start::From(from, mark) => Some((from, mark)),
            Start::Cold => {
                self.wipe(stores)?;
                None
            }
        };
        let whole = from.is_none();
        tracing::info!(task = %self.id, sequence, whole, "restoring from the changelog");
        let Phase::Replaying(next) = self.phase else { return Ok(()) };
        self.position = next;
        let interval_ms = config.checkpoint_interval_ms;
        let restore = Restore::begin(log, self.id, config.changelog_partition, sequence, from, range, interval_ms)?;
        self.phase = Phase::Restoring(Box::new(restore));
        Ok(())
    }

    fn wipe(&mut self, stores: &mut dyn Stores) -> Result<(), WorkerError> {
        self.store = Box::new(crate::state::MemoryStore::default());
        stores.wipe(self.id)?;
        self.store = stores.open(self.id)?;
        Ok(())
    }

    /// The rows are in the store: loads them into memory.
    fn loaded(&mut self, mut mark: Mark) -> Result<(), WorkerError> {
        self.changelog.resume(&mark);
        self.raised = std::mem::take(&mut mark.raised);
        self.forget_decisions();
        mark.raised.clone_from(&self.raised);
        self.task.load(&mark, self.store.as_ref(), self.limit_bytes).map_err(|e| of(self.id, e))?;
        self.mark = Some(mark);
        Ok(())
    }

    /// Where the stream is read again from.
    fn replay_from(&mut self, next: NextOffset, identity: &str) -> Result<NextOffset, WorkerError> {
        let log_start = self.log_start;
        let from = self.mark.as_ref().and_then(Mark::again).map_or(self.start, |again| again.offset);
        if from > next.0 {
            return Err(self.refused(&format!(
                "the state is at offset {from}, and the group's committed offset is {}: the group was reset. Set the \
                 offset back, or start over with another application_id",
                next.0
            )));
        }
        if from < log_start.0 && from < next.0 {
            return Err(self.refused(&format!(
                "the state needs the log from offset {from} on, and it begins at {}: retention has passed it. Put the \
                 state directory back, or start over with another application_id",
                log_start.0
            )));
        }
        if let Some(mark) = &self.mark
            && mark.identity != identity
            && mark.at_ms() < self.published_ms
        {
            return Err(self.refused(&format!(
                "the checkpoint was written by another build, with other definitions or other settings (build, definitions \
                 and settings were {}, and are {identity}), and boundaries behind it were published by them: start that \
                 build with those once more and stop it gracefully (SIGTERM), which checkpoints, then start this one",
                mark.identity
            )));
        }
        // This build, with these definitions, must write all of the state before it publishes anything. Otherwise the
        // next start would find boundaries that the writers of the checkpoint did not publish.
        self.is_of_others = self.mark.as_ref().is_some_and(|mark| mark.identity != identity);
        self.position = NextOffset(from);
        self.replayed_from = from;
        Ok(NextOffset(from))
    }

    fn refused(&self, why: &str) -> WorkerError {
        WorkerError::Refused(format!("{}: {why}", self.id))
    }

    /// Call it before a record is taken.
    #[inline]
    pub fn before_record(&mut self, offset: i64) -> Result<(), WorkerError> {
        match self.phase {
            Phase::Replaying(target) if offset >= target.0 => self.finish(),
            _ => Ok(()),
        }
    }

    /// Call it after a record was taken.
    #[inline]
    pub fn after_record(&mut self, offset: i64) -> Result<(), WorkerError> {
        self.position = NextOffset(offset + 1);
        match self.phase {
            Phase::Live => Ok(()),
            _ => self.finish_where_due(),
        }
    }

    fn finish_where_due(&mut self) -> Result<(), WorkerError> {
        match self.phase {
            Phase::Replaying(target) if self.position >= target => self.finish(),
            _ => Ok(()),
        }
    }

    /// The stream was read again up to the committed offset: the state is that of the last commit.
    fn finish(&mut self) -> Result<(), WorkerError> {
        fault::point(Place::Replaying);
        let Phase::Replaying(target) = self.phase else { return Ok(()) };
        self.position = target;
        self.task.end_replay(self.mark.as_ref());
        self.go_live(target)
    }

    fn go_live(&mut self, target: NextOffset) -> Result<(), WorkerError> {
        self.task.close(self.store.as_ref(), Some(self.published_ms))?;
        if self.task.at_ms() < self.published_ms && self.task.waits_for_decision() {
            if !matches!(self.phase, Phase::Undecided(_)) {
                tracing::info!(task = %self.id, "waits for a decision on groups or tenants, made before, that is on its way");
            }
            self.phase = Phase::Undecided(target);
            return Ok(());
        }
        let mark = self.mark.take();
        if self.task.at_ms() != self.published_ms {
            return Err(WorkerError::Diverged {
                task: self.id,
                published: self.published_ms,
                found: self.task.at_ms(),
            });
        }
        let is_of_others = std::mem::take(&mut self.is_of_others);
        if self.task.begin_live(mark.as_ref()) || is_of_others {
            self.changelog.hurry();
        }
        self.phase = Phase::Live;
        let at = self.published_ms.map(Moment);
        tracing::debug!(task = %self.id, from = self.replayed_from, to = target.0, at = ?at, "live");
        fault::point(Place::Live);
        Ok(())
    }

    /// Adds a watermark override for the task's own input partition, from the next record on.
    pub fn decided(&mut self, raised_ms: Ms, is_incomplete: bool) {
        let next = self.position.0;
        self.raised.retain(|(at, ..)| *at != next);
        self.raised.push((next, raised_ms, is_incomplete));
        self.is_decided = true;
    }

    /// The overrides that apply before the record at `offset`.
    pub fn decisions_until(&self, offset: i64) -> Option<Decision> {
        self.raised.iter().rev().find(|(at, ..)| *at <= offset).copied()
    }

    /// Nothing has moved since all groups were written.
    fn is_as_marked(&self, here: (NextOffset, Option<Ms>)) -> bool {
        self.marked == Some(here) && !self.changelog.is_rewriting()
    }

    fn forget_decisions(&mut self) {
        let Some(from) = self.changelog.groups.iter().map(|g| g.again.offset).min() else { return };
        // The last override at or before the start of the replay is part of the first record's watermark already.
        self.raised.retain(|(at, ..)| *at >= from);
    }

    fn flush(&mut self, range_of: RangeOf<'_>) -> Result<(), WorkerError> {
        fault::point(Place::BeforeFlush);
        // Later records come after this end.
        let range = range_of(self.changelog.partition)?;
        let start = restore::hint(self.store.as_ref())?.map_or(range.start, |hint| hint.start.max(range.start));
        let mut batch = Batch::new();
        restore::put_hint(&(start..range.end), &mut batch);
        self.store.write(&mut batch)?;
        Ok(self.store.flush_soon()?)
    }

    /// Nobody has written a checkpoint of it yet: all of its stream is read again.
    pub fn has_no_checkpoint(&self) -> bool {
        matches!(self.phase, Phase::Replaying(_)) && self.mark.is_none()
    }

    pub fn set_limit(&mut self, limit_bytes: u64) {
        self.limit_bytes = limit_bytes;
    }
}

impl<T: Task> AnyTask for TaskRunner<T> {
    fn stream(&self) -> Stream {
        self.stream
    }

    fn phase(&self) -> &Phase {
        &self.phase
    }

    fn go_on_restoring(&mut self, identity: &str, steady_ms: Ms) -> Result<Option<NextOffset>, WorkerError> {
        if let Phase::Undecided(target) = self.phase {
            self.go_live(target)?;
            return Ok(self.is_live().then_some(target));
        }
        let Phase::Restoring(restore) = &mut self.phase else { return Ok(None) };
        let restored = restore.go_on(self.store.as_mut(), &T::prefixes, steady_ms).map_err(|e| damaged(self.id, e))?;
        let Some(mark) = restored else { return Ok(None) };
        let next = self.position;
        self.phase = Phase::Replaying(next);
        self.loaded(mark)?;
        let from = self.replay_from(next, identity)?;
        self.finish_where_due()?;
        Ok(Some(from))
    }

    fn close(&mut self) -> Result<(), WorkerError> {
        if self.is_restoring() {
            return Ok(());
        }
        let published_ms = (!self.is_live()).then_some(self.published_ms);
        self.task.close(self.store.as_ref(), published_ms).map_err(|e| useless(self.id, e))
    }

    fn has_news(&self) -> bool {
        self.is_live() && self.task.has_news()
    }

    fn hurry(&mut self) {
        self.changelog.hurry();
    }

    fn checkpoint(&mut self, identity: &str, steady_ms: Ms, out: &mut Vec<RecordOut>) -> Result<(), WorkerError> {
        if !self.is_live() {
            return Ok(());
        }
        let due = self.changelog.due(steady_ms);
        let here = (self.position, self.task.at_ms());
        if !self.is_decided && (due.is_empty() || self.is_as_marked(here)) {
            return Ok(());
        }
        let again = self.task.read_again(self.position.0);
        for group in due {
            let mut rows = Batch::new();
            self.task.save_group(group, self.store.as_ref(), &mut rows)?;
            self.changelog
                .write_group(group, &mut rows, &T::prefixes(group), self.store.as_ref(), out)
                .map_err(|e| damaged(self.id, e))?;
            rows.sorted().for_each(|(key, value)| self.batch.set(key, value));
            if let Some(mark) = self.changelog.groups.get_mut(usize::from(group)) {
                (mark.at_ms, mark.again) = (here.1, again);
            }
        }
        self.changelog.sequence += 1;
        let mark = Mark {
            identity: identity.to_owned(),
            sequence: self.changelog.sequence,
            groups: self.changelog.groups.clone(),
            raised: self.raised.clone(),
            task: self.task.mark(),
        };
        self.changelog.write_mark(&mark, out)?;
        mark.write(&mut self.batch)?;
        // Not earlier: overrides since the last checkpoint must be recorded once, whatever came of them.
        self.forget_decisions();
        self.is_decided = false;
        let is_all_here = self.changelog.groups.iter().all(|g| g.at_ms == here.1 && g.again.offset == again.offset);
        self.marked = is_all_here.then_some(here);
        Ok(())
    }

    fn remaining(&self) -> u64 {
        match &self.phase {
            Phase::Restoring(restore) => restore.remaining(),
            Phase::Replaying(target) => (target.0 - self.position.0).max(0).unsigned_abs(),
            Phase::Undecided(_) | Phase::Live => 0,
        }
    }

    fn usage(&self) -> Usage {
        self.store.usage().unwrap_or_default()
    }

    fn offset(&self) -> (Stream, NextOffset, String) {
        if let (false, Some((next, metadata))) = (self.is_live(), &self.found) {
            return (self.stream, *next, metadata.clone());
        }
        let metadata = OffsetMetadata {
            start: self.start,
            at_ms: self.task.at_ms(),
            sequence: self.changelog.sequence,
            ..OffsetMetadata::default()
        };
        (self.stream, self.position, metadata.with_topic(self.topic).to_text())
    }

    fn committed(&mut self, range_of: RangeOf<'_>) -> Result<(), WorkerError> {
        if !self.batch.is_empty() {
            self.store.write(&mut self.batch).map_err(|e| useless(self.id, e.into()))?;
            fault::point(Place::BetweenStores);
        }
        if self.is_live() && std::mem::take(&mut self.changelog.is_round) {
            self.flush(range_of).map_err(|e| damaged(self.id, e))?;
            self.task.evict(self.limit_bytes);
        }
        Ok(())
    }

    fn checkpointed_ms(&self) -> Option<Ms> {
        self.changelog.since_ms()
    }

    fn not_read_again(&self) -> Option<(Stream, NextOffset)> {
        let from = self.changelog.groups.iter().map(|g| g.again.offset).min()?;
        (self.is_live() && from > self.start).then_some((self.stream, NextOffset(from)))
    }

    fn flush_now(&mut self) -> Result<(), WorkerError> {
        self.store.flush().map_err(|e| damaged(self.id, e.into()))
    }
}

fn opened(stores: &mut dyn Stores, task: TaskId) -> Result<Box<dyn Store>, WorkerError> {
    match stores.open(task) {
        Ok(store) => Ok(store),
        Err(error) if error.is_corruption() => {
            tracing::warn!(%task, %error, "the local store is damaged: rebuilding it from the changelog");
            stores.wipe(task)?;
            Ok(stores.open(task)?)
        }
        Err(error) => Err(error.into()),
    }
}
