//! The figures of a worker's tasks, for metrics.

use super::Tasks;
use crate::log::{NextOffset, Stream};
use crate::state::Usage;
use crate::worker::Figures;
use crate::worker::inputs::{self, InputFigures, PartitionFigures, Volume};
use crate::worker::sources::Progress;
use crate::worker::task_runner::{AnyTask, Phase};
use std::collections::BTreeMap;

impl Tasks {
    pub fn take_volumes(&mut self) -> Vec<(Stream, Volume)> {
        self.volumes.take()
    }

    /// Our input partitions; `end`: where the log saw one end.
    pub fn input_figures(&self, end: &dyn Fn(u32) -> Option<NextOffset>) -> Vec<InputFigures> {
        let of_source = |source: u32| {
            let progress = self.sources.progress(source);
            InputFigures {
                source,
                lag: inputs::lag(self.position(source), self.sources.reported_end(source), end(source)),
                watermark_ms: progress.watermark_ms,
                is_idle: progress.is_idle,
            }
        };
        self.ours().into_iter().map(of_source).collect()
    }

    /// The progress of all input partitions, of all instances.
    pub fn partition_figures(&self, end: &dyn Fn(u32) -> Option<NextOffset>) -> Vec<PartitionFigures> {
        let ours: BTreeMap<u32, Option<u64>> =
            self.input_figures(end).into_iter().map(|figures| (figures.source, figures.lag)).collect();
        let of_source = |source: u32| {
            let Progress { watermark_ms, has_read, is_at_end, is_idle } = self.sources.progress(source);
            let lag = ours.get(&source).copied().flatten();
            let is_ours = ours.contains_key(&source);
            PartitionFigures { source, watermark_ms, has_read, is_at_end, is_idle, is_ours, lag }
        };
        (0..self.sources.count()).map(of_source).collect()
    }

    pub fn figures(&self) -> Figures {
        let mut counts = self.intake.as_ref().map(|intake| intake.counts).unwrap_or_default();
        if self.intake.is_none() {
            counts.add(&self.counts_before);
            self.users.values().for_each(|runner| counts.add(&runner.task.task.counts));
        }
        let mut phases = [0; 3];
        let of = |phase: &Phase| match phase {
            Phase::Restoring(_) => 0,
            Phase::Replaying(_) | Phase::Undecided(_) => 1,
            Phase::Live => 2,
        };
        self.all().for_each(|task| phases[of(task.phase())] += 1);
        Figures {
            counts,
            dead_letters: self.route.stats.dead_letter_counts(),
            unreadable: self.route.stats.unreadable_counts(),
            rows: self.users.values().map(|runner| runner.task.task.rows()).sum(),
            keys: self.rollups.values().map(|runner| runner.task.task.keys()).sum(),
            evaluated_ms: self.rollups.values().filter_map(|runner| runner.task.task.at_ms()).min(),
            phases,
            inputs: self.inputs.len(),
            changelog_bytes: self.changelog_bytes,
            checkpointed_ms: self.all().filter_map(AnyTask::checkpointed_ms).min(),
            remaining: self.all().map(AnyTask::remaining).sum(),
            stores: self.all().map(AnyTask::usage).fold(Usage::default(), Usage::and),
        }
    }
}
