//! Restores a task's store, from its local content or from the changelog, to the checkpoint that the committed offset
//! names.
//!
//! Blocks are put into the store as they are read; a new generation replaces the group's rows. The restore is complete
//! once the mark with the right sequence number was read, because that mark was written in the transaction of the
//! committed offset. The current end of the partition is no criterion, because the markers of a transaction reach its
//! partitions one by one.

use super::changelog_writer::{self, Entry};
use super::{TaskId, WorkerError, errors};
use crate::fault::{self, Place};
use crate::log::{Changelog, Log, LogError, NextOffset};
use crate::model::record::RecordIn;
use crate::model::time::Ms;
use crate::pipeline::checkpoint::{CheckpointError, Mark};
use crate::state::keys::{Key, Meta};
use crate::state::{Batch, Store, StoreError};
use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::time::Duration;

/// The minimum time to wait for the mark of a committed transaction to become visible.
const PATIENCE_MS: Ms = 60_000;

/// How much of a local store can be used.
pub enum Start {
    /// All of it: nothing has to be restored.
    Warm(Mark),
    /// It is at an older checkpoint: the changelog must be read from this offset on.
    From(NextOffset, Mark),
    /// None of it: the changelog must be read from its beginning.
    Cold,
}

/// The beginning and the end of the changelog when a store was last flushed.
pub type Hint = Range<NextOffset>;

fn hint_key() -> Vec<u8> {
    Key::Meta(Meta::ChangelogRange).to_bytes()
}

/// Notes in the store that all later records of the changelog are after `range`.
pub fn put_hint(range: &Hint, batch: &mut Batch) {
    batch.put(&hint_key(), &[range.start.0.to_be_bytes(), range.end.0.to_be_bytes()].concat());
}

pub fn hint(store: &dyn Store) -> Result<Option<Hint>, StoreError> {
    let mut value = Vec::new();
    if !store.get(&hint_key(), &mut value)? {
        return Ok(None);
    }
    let offset = |at: usize| value.get(at..at + 8).and_then(|b| b.try_into().ok()).map(i64::from_be_bytes);
    Ok(offset(0).zip(offset(8)).map(|(start, end)| NextOffset(start)..NextOffset(end)))
}

/// How much of a store can be used to reach the checkpoint `sequence`, if the changelog has the records in `range`.
pub fn start(store: &dyn Store, sequence: u64, range: &Hint) -> Result<Start, CheckpointError> {
    let Some(mark) = Mark::read(store)? else { return Ok(Start::Cold) };
    if mark.sequence == sequence {
        return Ok(Start::Warm(mark));
    }
    let hint = hint(store)?.filter(|hint| range.start <= hint.end && hint.end <= range.end);
    Ok(match hint {
        Some(hint) if mark.sequence < sequence => Start::From(hint.end, mark),
        _ => Start::Cold,
    })
}

/// The restore of one task's store.
pub struct Restore {
    task: TaskId,
    reader: Box<dyn Changelog>,
    target: u64,
    /// The checkpoint that the store had before, if its rows are kept.
    had: Option<Mark>,
    reached: Option<Mark>,
    /// By group: the generation that is being applied, and how many of its blocks are applied.
    applied: BTreeMap<u16, (u32, u32)>,
    range: Hint,
    /// Up to where the changelog was read.
    position: NextOffset,
    waiting_since_ms: Option<Ms>,
    patience_ms: Ms,
}

impl Restore {
    pub fn begin<L: Log>(
        log: &mut L,
        task: TaskId,
        partition: u32,
        target: u64,
        from: Option<(NextOffset, Mark)>,
        range: Hint,
        checkpoint_interval_ms: Ms,
    ) -> Result<Restore, LogError> {
        let position = from.as_ref().map_or(range.start, |(from, _)| *from);
        let reader = log.changelog(partition, position)?;
        let had = from.map(|(_, mark)| mark);
        let applied = BTreeMap::new();
        // Every task is written once per interval. So an instance that gives up a restore has written the tasks that it
        // has to the changelog before it exits, and another instance may have the missing one.
        let patience_ms = PATIENCE_MS.max(2 * checkpoint_interval_ms);
        let waiting_since_ms = None;
        Ok(Restore {
            task,
            reader,
            target,
            had,
            reached: None,
            applied,
            range,
            position,
            waiting_since_ms,
            patience_ms,
        })
    }

    /// Offsets up to the end that the changelog had at the start. (Compaction leaves gaps: at most so many records.)
    pub fn remaining(&self) -> u64 {
        (self.range.end.0 - self.position.0).max(0).unsigned_abs()
    }

    /// Applies the records that can be read now. Returns the mark once the store is at it.
    pub fn go_on(
        &mut self,
        store: &mut dyn Store,
        prefixes: &dyn Fn(u16) -> Vec<Vec<u8>>,
        steady_ms: Ms,
    ) -> Result<Option<Mark>, WorkerError> {
        let mut failed = None;
        let Restore { reader, task, target, had, reached, applied, position, .. } = self;
        let mut taking = Taking { task: *task, target: *target, had, reached, applied, prefixes, store };
        let is_at_end = reader.read(Duration::from_millis(5), &mut |record| {
            *position = NextOffset(record.offset + 1);
            if failed.is_none() {
                failed = taking.take(record).err();
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        match self.reached.take() {
            Some(mark) => self.finish(mark, store).map(Some),
            None if is_at_end => self.wait(steady_ms).map(|()| None),
            None => Ok(None),
        }
    }

    fn wait(&mut self, steady_ms: Ms) -> Result<(), WorkerError> {
        let since_ms = *self.waiting_since_ms.get_or_insert(steady_ms);
        if steady_ms - since_ms < self.patience_ms {
            return Ok(());
        }
        Err(self.incomplete("it ends before the checkpoint that was committed last"))
    }

    fn finish(&mut self, mark: Mark, store: &mut dyn Store) -> Result<Mark, WorkerError> {
        for (group, said) in (0..).zip(&mark.groups) {
            let had = self.had.as_ref().and_then(|had| had.groups.get(usize::from(group)));
            let had = had.filter(|had| had.generation == said.generation).map_or(0, |had| had.blocks);
            let applied = self.applied.get(&group).filter(|(generation, _)| *generation == said.generation);
            if had + applied.map_or(0, |(_, blocks)| *blocks) != said.blocks {
                return Err(self.incomplete("blocks of it are missing"));
            }
        }
        let mut batch = Batch::new();
        mark.write(&mut batch)?;
        put_hint(&self.range, &mut batch);
        store.write(&mut batch)?;
        store.flush()?;
        Ok(mark)
    }

    fn incomplete(&self, why: &str) -> WorkerError {
        let task = self.task;
        if self.had.is_some() {
            return WorkerError::Useless { task, why: format!("the changelog does not go on from it: {why}") };
        }
        WorkerError::Refused(format!(
            "the state of {task} cannot be restored from the changelog: {why}. It was truncated, or the topic was created again. \
             Start the instance whose state.dir has this task: it writes its store back to the changelog. If several \
             instances have tasks, start them one at a time, alone: each runs until it needs a task that only another \
             instance has, and by then it has written its own tasks back. Or start over with another application_id and \
             output.prefix"
        ))
    }
}

/// Applies the records of the changelog to the store.
struct Taking<'a> {
    task: TaskId,
    target: u64,
    had: &'a Option<Mark>,
    reached: &'a mut Option<Mark>,
    applied: &'a mut BTreeMap<u16, (u32, u32)>,
    prefixes: &'a dyn Fn(u16) -> Vec<Vec<u8>>,
    store: &'a mut dyn Store,
}

impl Taking<'_> {
    fn take(&mut self, record: &RecordIn<'_>) -> Result<(), WorkerError> {
        if self.reached.is_some() {
            return Ok(());
        }
        match changelog_writer::read(record.key.unwrap_or_default(), record.value) {
            None => Err(self.useless(format!("the record at offset {} was not written by tailburn", record.offset))),
            Some(Entry::Tombstone) => Ok(()),
            Some(Entry::Mark(bytes)) => self.take_mark(bytes),
            Some(Entry::Block { group, generation, sequence, rows, .. }) => {
                if self.had.as_ref().is_some_and(|had| sequence <= had.sequence) || sequence > self.target {
                    return Ok(());
                }
                self.take_block(group, generation, rows)
            }
        }
    }

    fn take_mark(&mut self, bytes: &[u8]) -> Result<(), WorkerError> {
        let mark = Mark::from_bytes(bytes).map_err(|error| match error {
            CheckpointError::Read(error) => self.useless(format!("a checkpoint in it cannot be read: {error}")),
            other => errors::of(self.task, other),
        })?;
        match mark.sequence.cmp(&self.target) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => *self.reached = Some(mark),
            std::cmp::Ordering::Greater => {
                return Err(WorkerError::Refused(format!(
                    "the changelog of {} is at checkpoint {}, but the group's committed offset names {}: the group's \
                     offsets were set back by hand. Set them to their old values, or start over with another \
                     application_id",
                    self.task, mark.sequence, self.target
                )));
            }
        }
        Ok(())
    }

    fn take_block(&mut self, group: u16, generation: u32, rows: &[u8]) -> Result<(), WorkerError> {
        let had = self.had.as_ref().and_then(|had| had.groups.get(usize::from(group))).map(|had| had.generation);
        let current = self.applied.get(&group).map(|(generation, _)| *generation).or(had);
        if current.is_some_and(|current| generation < current) {
            // An older image that compaction has not removed yet.
            return Ok(());
        }
        let mut batch = Batch::new();
        if current != Some(generation) {
            for prefix in (self.prefixes)(group) {
                self.store.scan(&prefix, &mut |key, _| {
                    batch.delete(key);
                    ControlFlow::Continue(())
                })?;
            }
        }
        if !changelog_writer::unpack(rows, &mut batch) {
            return Err(self.useless("one of its blocks is truncated".to_owned()));
        }
        self.store.write(&mut batch)?;
        fault::point(Place::Restoring);
        let blocks = self.applied.get(&group).filter(|(g, _)| *g == generation).map_or(0, |(_, blocks)| *blocks);
        self.applied.insert(group, (generation, blocks + 1));
        Ok(())
    }

    fn useless(&self, why: String) -> WorkerError {
        WorkerError::Refused(format!("the changelog of {} cannot be used: {why}", self.task))
    }
}

#[cfg(test)]
mod tests;
