//! A users task in a worker: what the worker does with it, and what it has not sent yet.

use crate::fault::{self, Place};
use crate::model::record::RecordOut;
use crate::model::time::Ms;
use crate::operator::partial::Partial;
use crate::pipeline::checkpoint::{CheckpointError, Mark, ReplayStart, TaskMark};
use crate::pipeline::key_ref::KEY_GROUPS;
use crate::pipeline::users::UsersTask;
use crate::state::keys::{Prefix, groups_of_range};
use crate::state::{Batch, Store};
use crate::worker::task_runner::Task;
use crate::worker::{WorkerError, partial_codec};

/// A users task and what it has not sent yet.
pub struct Users {
    pub task: UsersTask,
    /// One a rollup partition.
    pub partials: Vec<Partial>,
    /// A partial that is empty.
    pub nothing: Partial,
    /// Sources are passed over until the replay has ended, because what was published did not wait for them.
    pub has_new_sources: bool,
}

impl Users {
    /// What was closed since the last commit, one partial a rollup partition that has news.
    pub fn publish(&mut self, out: &mut Vec<RecordOut>) -> Result<(), WorkerError> {
        partial_codec::records_of(&mut self.partials, &self.nothing, self.task.closed_ms(), out)
    }
}

impl Task for Users {
    const GROUPS: u16 = KEY_GROUPS;

    fn prefixes(group: u16) -> Vec<Vec<u8>> {
        groups_of_range(group, Self::GROUPS).map(|group| Prefix::Users { group }.to_bytes()).collect()
    }

    fn at_ms(&self) -> Option<Ms> {
        self.task.closed_ms()
    }

    fn read_again(&self, next: i64) -> ReplayStart {
        self.task.read_again(next)
    }

    fn save_group(&mut self, group: u16, store: &dyn Store, batch: &mut Batch) -> Result<(), CheckpointError> {
        self.task.save_group(group, store, batch)
    }

    fn mark(&self) -> TaskMark {
        TaskMark::Users(self.task.mark())
    }

    fn load(&mut self, mark: &Mark, store: &dyn Store, limit_bytes: u64) -> Result<(), CheckpointError> {
        if let TaskMark::Users(of) = &mark.task {
            self.task.load(&mark.groups, of, store, limit_bytes)?;
            // These sources were added since. During the replay they hold nothing back until their first record.
            (of.sources.len()..self.task.source_count()).for_each(|source| self.task.pass_over(source as u32));
        }
        self.task.begin_replay(mark.again().map(|again| again.watermark).unwrap_or_default());
        Ok(())
    }

    fn close(&mut self, store: &dyn Store, published_ms: Option<Option<Ms>>) -> Result<(), WorkerError> {
        let is_dropped = published_ms.is_some();
        let to_ms =
            self.task.aligned_ms().and_then(|to_ms| published_ms.map_or(Some(to_ms), |ms| Some(ms?.min(to_ms))));
        if let Some(to_ms) = to_ms.filter(|to| self.task.closed_ms().is_none_or(|at| at < *to)) {
            fault::point(Place::Closing);
            self.task.close_until(to_ms, &mut self.partials, store)?;
        }
        if is_dropped {
            // They were published already; the next ones follow them.
            self.partials.fill(Partial { from_ms: self.task.closed_ms(), ..self.nothing.clone() });
        }
        Ok(())
    }

    fn end_replay(&mut self, mark: Option<&Mark>) {
        let of = mark.and_then(|mark| match &mark.task {
            TaskMark::Users(of) => Some(of),
            TaskMark::Rollup(_) => None,
        });
        self.task.end_replay(of);
        // The last override may be for the next record, which the replay did not reach.
        if let Some((_, to_ms, is_incomplete)) = mark.and_then(|mark| mark.raised.last()) {
            self.task.raise_to(0, *to_ms, *is_incomplete);
        }
    }

    fn begin_live(&mut self, mark: Option<&Mark>) -> bool {
        (0..self.task.source_count()).for_each(|source| self.task.take_up(source as u32));
        // Earlier owners, perhaps with other definitions, may have asked for other sets.
        self.task.ask_again();
        let known =
            mark.and_then(|mark| if let TaskMark::Users(of) = &mark.task { Some(of.sources.len()) } else { None });
        known.map_or(self.has_new_sources, |known| known < self.task.source_count())
    }

    fn has_news(&self) -> bool {
        let closed_ms = self.task.closed_ms();
        self.partials.iter().any(|partial| partial_codec::is_news(partial, closed_ms))
    }

    fn evict(&mut self, limit_bytes: u64) {
        self.task.evict(limit_bytes);
    }

    fn waits_for_decision(&self) -> bool {
        self.task.waits_for_decision()
    }
}
