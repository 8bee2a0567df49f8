//! A rollup task in a worker: what the worker does with it, and what it has not sent yet.

use crate::model::record::RecordOut;
use crate::model::time::Ms;
use crate::operator::admission::Decision;
use crate::operator::watermark::Watermark;
use crate::pipeline::checkpoint::{CheckpointError, Mark, ReplayStart, TaskMark};
use crate::pipeline::rollup::RollupTask;
use crate::state::keys::{Prefix, groups_of_range};
use crate::state::{Batch, Store};
use crate::worker::task_runner::Task;
use crate::worker::{WorkerError, decisions};

/// A rollup task and what it has not sent yet.
pub struct Rollup {
    pub task: RollupTask,
    pub out: Vec<RecordOut>,
    /// Decisions on keys that users tasks do not know yet.
    pub decided: Vec<Decision>,
}

impl Rollup {
    /// What was decided since the last commit.
    pub fn publish_decisions(&mut self, out: &mut Vec<RecordOut>) -> Result<(), WorkerError> {
        // A new definition must not see decisions made under one that is gone.
        self.task.take_forgotten().iter().for_each(|forgotten| decisions::tombstones_of(forgotten, out));
        self.decided.drain(..).try_for_each(|decision| decisions::records_of(&decision, out))
    }
}

impl Task for Rollup {
    const GROUPS: u16 = RollupTask::KEY_GROUPS;

    fn prefixes(group: u16) -> Vec<Vec<u8>> {
        groups_of_range(group, Self::GROUPS).map(|group| Prefix::Keys { group }.to_bytes()).collect()
    }

    fn at_ms(&self) -> Option<Ms> {
        self.task.at_ms()
    }

    fn read_again(&self, next: i64) -> ReplayStart {
        ReplayStart { offset: self.task.read_again(next), watermark: Watermark::default() }
    }

    fn save_group(&mut self, group: u16, _store: &dyn Store, batch: &mut Batch) -> Result<(), CheckpointError> {
        self.task.save_group(group, batch)
    }

    fn mark(&self) -> TaskMark {
        TaskMark::Rollup(self.task.mark())
    }

    fn load(&mut self, mark: &Mark, store: &dyn Store, _limit_bytes: u64) -> Result<(), CheckpointError> {
        let groups_at: Vec<Option<Ms>> = mark.groups.iter().map(|group| group.at_ms).collect();
        match &mark.task {
            TaskMark::Rollup(of) => self.task.load(&groups_at, of, store),
            TaskMark::Users(_) => Ok(()),
        }
    }

    fn close(&mut self, _store: &dyn Store, published_ms: Option<Option<Ms>>) -> Result<(), WorkerError> {
        self.task.advance(&mut self.out)?;
        if published_ms.is_some() {
            self.out.clear();
            self.task.take_decisions();
        }
        Ok(())
    }

    fn end_replay(&mut self, mark: Option<&Mark>) {
        if let Some(TaskMark::Rollup(of)) = mark.map(|mark| &mark.task) {
            self.task.end_replay(of);
        }
    }

    fn has_news(&self) -> bool {
        !self.out.is_empty() || !self.decided.is_empty() || self.task.has_decided()
    }

    fn evict(&mut self, _limit_bytes: u64) {}
}
