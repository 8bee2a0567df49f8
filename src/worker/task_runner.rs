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
use crate::log::{Assignment, Log, NextOffset, Stream, TopicId};
use crate::model::record::RecordOut;
use crate::model::time::{Moment, Ms};
use crate::pipeline::checkpoint::{CheckpointError, Mark, ReplayStart, TaskMark};
use crate::state::{Batch, Store};

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
    /// and what comes of it is dropped. (A partition without a record yet held the others back, or a decision was waited
    /// for, and the log that is read again does not say so.)
    fn close(&mut self, store: &dyn Store, published_ms: Option<Option<Ms>>) -> Result<(), WorkerError>;
    fn end_replay(&mut self, mark: Option<&Mark>);
    /// The replay has reached the last commit. `true`: the task has sources that the checkpoint does not know, and waits for
    /// them from now on; a checkpoint must say so before anything else is published.
    fn begin_live(&mut self, _mark: Option<&Mark>) -> bool {
        false
    }
    fn evict(&mut self, limit_bytes: u64);
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

pub struct TaskRunner<T> {
    pub id: TaskId,
    pub task: T,
    pub stream: Stream,
    pub position: NextOffset,
    pub phase: Phase,
    pub store: Box<dyn Store>,
    pub ledger: ChangelogWriter,
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
    pub changelog: u32,
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
        making: &TaskConfig<'_>,
        assignment: &Assignment,
        task: T,
    ) -> Result<(TaskRunner<T>, bool), WorkerError> {
        TaskRunner::made(log, stores, making, assignment, task).map_err(|e| damaged(making.id, e))
    }

    fn made<L: Log>(
        log: &mut L,
        stores: &mut dyn Stores,
        making: &TaskConfig<'_>,
        assignment: &Assignment,
        task: T,
    ) -> Result<(TaskRunner<T>, bool), WorkerError> {
        let store = opened(stores, making.id)?;
        let ours = offset_metadata::of_ours(assignment);
        let start = ours.as_ref().map_or(assignment.next.0, |(_, memo)| memo.start);
        let mut unit = TaskRunner {
            id: making.id,
            task,
            stream: assignment.stream,
            position: NextOffset(start),
            phase: Phase::Live,
            store,
            ledger: ChangelogWriter::new(
                making.changelog,
                T::GROUPS,
                start,
                making.checkpoint_interval_ms,
                making.deltas_min_bytes,
            ),
            raised: Vec::new(),
            is_decided: false,
            found: assignment.committed.as_ref().map(|c| (c.next, c.metadata.clone())),
            topic: assignment.topic,
            start,
            log_start: assignment.log_start,
            replayed_from: start,
            published_ms: ours.as_ref().and_then(|(_, memo)| memo.at_ms),
            mark: None,
            is_of_others: false,
            batch: Batch::new(),
            marked: None,
            limit_bytes: making.limit_bytes,
        };
        let Some((next, memo)) = ours else {
            return unit.begin_anew(assignment).map(|unit| (unit, false));
        };
        unit.phase = Phase::Replaying(next);
        let range = log.changelog_range(making.changelog)?;
        unit.restore(log, stores, making, memo.sequence, range)?;
        if matches!(unit.phase, Phase::Restoring(_)) {
            return Ok((unit, true));
        }
        let from = unit.replay_from(next, making.identity)?;
        log.seek(unit.stream, from)?;
        unit.finish_where_due()?;
        let is_held = unit.is_restoring();
        Ok((unit, is_held))
    }

    fn begin_anew(self, assignment: &Assignment) -> Result<TaskRunner<T>, WorkerError> {
        if assignment.committed.is_some() {
            return Err(self.refused(
                "the group has an offset that tailburn did not commit: it was set by hand, or by another program. Choose \
                 an application_id of its own",
            ));
        }
        if Mark::read(self.store.as_ref())?.is_some() {
            return Err(self.refused(
                "state.dir has state of it, and neither the group nor the internal topics know of any: they were deleted, \
                 or state.dir is another application's. Move state.dir away to begin anew, or name another one",
            ));
        }
        Ok(self)
    }

    fn restore<L: Log>(
        &mut self,
        log: &mut L,
        stores: &mut dyn Stores,
        making: &TaskConfig<'_>,
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
                    tracing::warn!(task = %self.id, "the changelog was truncated or made anew: writing it again");
                    self.ledger.rewrite();
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
        let interval_ms = making.checkpoint_interval_ms;
        let restore = Restore::begin(log, self.id, making.changelog, sequence, from, range, interval_ms)?;
        self.phase = Phase::Restoring(Box::new(restore));
        Ok(())
    }

    fn wipe(&mut self, stores: &mut dyn Stores) -> Result<(), WorkerError> {
        self.store = Box::new(crate::state::MemoryStore::default());
        stores.wipe(self.id)?;
        self.store = stores.open(self.id)?;
        Ok(())
    }

    /// Continues the restore, or the wait for decisions. Returns the offset to read from once that is done.
    pub fn go_on_restoring(&mut self, identity: &str, steady_ms: Ms) -> Result<Option<NextOffset>, WorkerError> {
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

    /// The rows are in the store: loads them into memory.
    fn loaded(&mut self, mut mark: Mark) -> Result<(), WorkerError> {
        self.ledger.resume(&mark);
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
                 offset back, or begin anew with another application_id",
                next.0
            )));
        }
        if from < log_start.0 && from < next.0 {
            return Err(self.refused(&format!(
                "the state needs the log from offset {from} on, and it begins at {}: retention has passed it. Put the \
                 state directory back, or begin anew with another application_id",
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
    pub fn before(&mut self, offset: i64) -> Result<(), WorkerError> {
        match self.phase {
            Phase::Replaying(target) if offset >= target.0 => self.finish(),
            _ => Ok(()),
        }
    }

    /// Call it after a record was taken.
    #[inline]
    pub fn behind(&mut self, offset: i64) -> Result<(), WorkerError> {
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
            self.ledger.hurry();
        }
        self.phase = Phase::Live;
        let at = self.published_ms.map(Moment);
        tracing::debug!(task = %self.id, from = self.replayed_from, to = target.0, at = ?at, "live");
        fault::point(Place::Live);
        Ok(())
    }

    pub fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live)
    }

    pub fn is_restoring(&self) -> bool {
        matches!(self.phase, Phase::Restoring(_) | Phase::Undecided(_))
    }

    pub fn close(&mut self) -> Result<(), WorkerError> {
        if self.is_restoring() {
            return Ok(());
        }
        let published_ms = (!self.is_live()).then_some(self.published_ms);
        self.task.close(self.store.as_ref(), published_ms).map_err(|e| useless(self.id, e))
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

    /// Writes what is due of the checkpoint; to be called once all that the task has to say is taken.
    pub fn checkpoint(&mut self, identity: &str, steady_ms: Ms, out: &mut Vec<RecordOut>) -> Result<(), WorkerError> {
        if !self.is_live() {
            return Ok(());
        }
        let due = self.ledger.due(steady_ms);
        let here = (self.position, self.task.at_ms());
        if !self.is_decided && (due.is_empty() || self.is_as_marked(here)) {
            return Ok(());
        }
        let again = self.task.read_again(self.position.0);
        for group in due {
            let mut rows = Batch::new();
            self.task.save_group(group, self.store.as_ref(), &mut rows)?;
            self.ledger
                .write_group(group, &mut rows, &T::prefixes(group), self.store.as_ref(), out)
                .map_err(|e| damaged(self.id, e))?;
            rows.sorted().for_each(|(key, value)| self.batch.set(key, value));
            if let Some(mark) = self.ledger.groups.get_mut(usize::from(group)) {
                (mark.at_ms, mark.again) = (here.1, again);
            }
        }
        self.ledger.sequence += 1;
        let mark = Mark {
            identity: identity.to_owned(),
            sequence: self.ledger.sequence,
            groups: self.ledger.groups.clone(),
            raised: self.raised.clone(),
            task: self.task.mark(),
        };
        self.ledger.write_mark(&mark, out)?;
        mark.write(&mut self.batch)?;
        // Not earlier: overrides since the last checkpoint must be recorded once, whatever came of them.
        self.forget_decisions();
        self.is_decided = false;
        let is_all_here = self.ledger.groups.iter().all(|g| g.at_ms == here.1 && g.again.offset == again.offset);
        self.marked = is_all_here.then_some(here);
        Ok(())
    }

    /// Nothing has moved since all groups were written.
    fn is_as_marked(&self, here: (NextOffset, Option<Ms>)) -> bool {
        self.marked == Some(here) && !self.ledger.is_rewriting()
    }

    fn forget_decisions(&mut self) {
        let Some(from) = self.ledger.groups.iter().map(|g| g.again.offset).min() else { return };
        // The last override at or before the start of the replay is part of the first record's watermark already.
        self.raised.retain(|(at, ..)| *at >= from);
    }

    /// The commit succeeded: the store may have what it published.
    pub fn committed<L: Log>(&mut self, log: &mut L) -> Result<(), WorkerError> {
        if !self.batch.is_empty() {
            self.store.write(&mut self.batch).map_err(|e| useless(self.id, e.into()))?;
            fault::point(Place::BetweenStores);
        }
        if self.is_live() && std::mem::take(&mut self.ledger.is_round) {
            self.flush(log).map_err(|e| damaged(self.id, e))?;
            self.task.evict(self.limit_bytes);
        }
        Ok(())
    }

    fn flush<L: Log>(&mut self, log: &mut L) -> Result<(), WorkerError> {
        fault::point(Place::BeforeFlush);
        // Later records come after this end.
        let range = log.changelog_range(self.ledger.partition)?;
        let start = restore::hint(self.store.as_ref())?.map_or(range.start, |hint| hint.start.max(range.start));
        let mut batch = Batch::new();
        restore::put_hint(&(start..range.end), &mut batch);
        self.store.write(&mut batch)?;
        Ok(self.store.flush_soon()?)
    }

    /// Offset and metadata of the stream for the commit.
    pub fn offset(&self) -> (Stream, NextOffset, String) {
        if let (false, Some((next, metadata))) = (self.is_live(), &self.found) {
            return (self.stream, *next, metadata.clone());
        }
        let memo = OffsetMetadata {
            start: self.start,
            at_ms: self.task.at_ms(),
            sequence: self.ledger.sequence,
            ..OffsetMetadata::default()
        };
        (self.stream, self.position, memo.with_topic(self.topic).to_text())
    }

    /// Everything before this is in the checkpoint.
    pub fn not_read_again(&self) -> Option<(Stream, NextOffset)> {
        let from = self.ledger.groups.iter().map(|g| g.again.offset).min()?;
        (self.is_live() && from > self.start).then_some((self.stream, NextOffset(from)))
    }

    /// Makes the store durable, on the way out.
    pub fn flush_now(&mut self) -> Result<(), WorkerError> {
        self.store.flush().map_err(|e| damaged(self.id, e.into()))
    }

    pub fn set_limit(&mut self, limit_bytes: u64) {
        self.limit_bytes = limit_bytes;
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
