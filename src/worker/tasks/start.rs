//! Tasks start: their streams were assigned, and their state is restored.

use super::{Input, Rollup, Tasks, Users, all_mut};
use crate::log::{Assignment, Log, NextOffset, Stream};
use crate::model::time::Ms;
use crate::operator::partial::Partial;
use crate::pipeline::rollup::{RollupSettings, RollupTask, slo_ids};
use crate::pipeline::users::UsersTask;
use crate::worker::task_runner::{AnyTask, TaskConfig, TaskRunner};
use crate::worker::{Setup, TaskId, WorkerError, offset_metadata};
use std::sync::Arc;

impl Tasks {
    /// Starts what belongs to a stream; `true`: the stream has to be paused until it is restored.
    pub fn take_up<L: Log>(&mut self, log: &mut L, assignment: &Assignment) -> Result<bool, WorkerError> {
        let is_reported = matches!(assignment.stream, Stream::Input(number) if self.sources.is_reported(number));
        self.known.take_up(assignment, is_reported)?;
        match assignment.stream {
            Stream::Input(number) if self.intake.is_some() => self.take_up_input(number, assignment),
            Stream::Input(number) | Stream::Repartition(number) => self.take_up_users(log, number, assignment),
            Stream::Partials(number) => self.take_up_rollup(log, number, assignment),
            Stream::Sources => Ok(false),
        }
    }

    fn take_up_input(&mut self, number: u32, assignment: &Assignment) -> Result<bool, WorkerError> {
        let Some(intake) = &self.intake else { return Ok(false) };
        let ours = offset_metadata::of_ours(assignment);
        if assignment.committed.is_some() && ours.as_ref().is_none_or(|(_, metadata)| metadata.watermark.is_none()) {
            return Err(WorkerError::Refused(format!(
                "input partition {number}: the group's offset was not committed by tailburn, or with another \
                 input.keyed_by_user, which is fixed for the life of an application id. Choose another application_id"
            )));
        }
        let mut watermark = ours.as_ref().and_then(|(_, metadata)| metadata.watermark).unwrap_or_default();
        if self.known.was_added(number)
            && let Some(at_ms) = self.sources.at_ms(|other| self.known.has_input(other))
        {
            // T has advanced this far without it, so older events are late, as after an idle time.
            watermark.raise_to(at_ms, false);
        }
        let block_ends = ours.as_ref().map(|(next, metadata)| metadata.block_ends(*next, self.setup.spread.partitions));
        let input = Input {
            source: intake.source(watermark, &block_ends.unwrap_or_default()),
            position: assignment.next,
            start: ours.map_or(assignment.next.0, |(_, metadata)| metadata.start),
        };
        self.sources.forget(number);
        self.inputs.insert(number, input);
        Ok(false)
    }

    fn config<'a>(setup: &'a Setup, id: TaskId) -> TaskConfig<'a> {
        TaskConfig {
            id,
            changelog_partition: id.changelog(setup.users_tasks()),
            identity: &setup.identity,
            checkpoint_interval_ms: setup.checkpoint_interval_ms,
            deltas_min_bytes: setup.deltas_min_bytes,
            limit_bytes: setup.memory_limit_bytes / u64::from(setup.users_tasks().max(1)),
        }
    }

    fn take_up_users<L: Log>(
        &mut self,
        log: &mut L,
        number: u32,
        assignment: &Assignment,
    ) -> Result<bool, WorkerError> {
        let setup = &self.setup;
        let sources = if setup.keyed_by_user { 1 } else { setup.inputs as usize };
        let nothing = Partial { users_task: number, slos: slo_ids(&setup.slos), ..Partial::default() };
        let mut users = UsersTask::new(Arc::clone(&setup.slos), sources, setup.users).asking();
        self.decisions.pass_to(&mut users);
        let partials = vec![nothing.clone(); setup.rollups as usize];
        let task = Users { task: users, partials, nothing, has_new_sources: false };
        let config = Tasks::config(setup, TaskId::Users(number));
        let (mut runner, is_held) = TaskRunner::take_up(log, self.stores.as_mut(), &config, assignment, task)?;
        if self.setup.keyed_by_user {
            self.sources.forget(number);
        } else if runner.is_live() {
            if (0..self.setup.inputs).any(|source| self.known.came_later(source)) {
                // Without a checkpoint the next owner would take it that these were not waited for.
                runner.hurry();
            }
        } else {
            // The replay contains nothing of these; or, as there is no checkpoint yet, they were added to a task that had
            // published without them.
            let is_first = runner.has_no_checkpoint();
            let is_new = |source: &u32| !self.known.has_input(*source) || is_first && self.known.came_later(*source);
            for source in (0..self.setup.inputs).filter(is_new) {
                runner.task.task.pass_over(source);
                runner.task.has_new_sources = true;
            }
        }
        self.users.insert(number, runner);
        self.share_memory();
        Ok(is_held)
    }

    fn take_up_rollup<L: Log>(
        &mut self,
        log: &mut L,
        number: u32,
        assignment: &Assignment,
    ) -> Result<bool, WorkerError> {
        let setup = &self.setup;
        let settings = RollupSettings { partition: number, users_tasks: setup.users_tasks(), ..setup.rollup.clone() };
        let task = Rollup { task: RollupTask::new(&setup.slos, settings), out: Vec::new(), decided: Vec::new() };
        let config = Tasks::config(setup, TaskId::Rollup(number));
        let (runner, is_held) = TaskRunner::take_up(log, self.stores.as_mut(), &config, assignment, task)?;
        self.rollups.insert(number, runner);
        Ok(is_held)
    }

    pub(super) fn share_memory(&mut self) {
        let limit_bytes = self.setup.memory_limit_bytes / (self.users.len().max(1) as u64);
        self.users.values_mut().for_each(|runner| runner.set_limit(limit_bytes));
    }

    /// Continues the restore. Returns the streams that can be read now, and from where.
    pub fn go_on_restoring(&mut self, steady_ms: Ms) -> Result<Vec<(Stream, NextOffset)>, WorkerError> {
        let identity = &self.setup.identity;
        let mut ready = Vec::new();
        for task in all_mut(&mut self.users, &mut self.rollups) {
            ready.extend(task.go_on_restoring(identity, steady_ms)?.map(|from| (task.stream(), from)));
        }
        Ok(ready)
    }
}
