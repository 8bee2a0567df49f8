//! What the tasks publish, and the transaction that contains all of it with the offsets it follows from.

use super::{Input, Tasks, all_mut};
use crate::fault::{self, Place};
use crate::log::{Log, NextOffset, Stream};
use crate::model::record::RecordOut;
use crate::model::time::Ms;
use crate::worker::WorkerError;
use crate::worker::offset_metadata::OffsetMetadata;
use crate::worker::task_runner::AnyTask;

/// Everything of one transaction.
pub struct Transaction {
    pub records: Vec<RecordOut>,
    /// The first so many records are outputs; the others are internal.
    pub outputs: usize,
    /// The first record of the changelog.
    pub changelog_from: usize,
    pub offsets: Vec<(Stream, NextOffset, String)>,
}

impl Tasks {
    /// Whether something waits to be published.
    pub fn has_news(&self) -> bool {
        let out_of_orderness_ms = self.setup.users.out_of_orderness_ms;
        !self.dead_letters.is_empty()
            || self.inputs.values().any(|input| input.source.has_news(out_of_orderness_ms))
            || self.all().any(AnyTask::has_news)
            || self.sources.has_news(&self.ours())
    }

    /// Writes a checkpoint of all that changed with the next commit.
    pub fn checkpoint_all(&mut self) {
        all_mut(&mut self.users, &mut self.rollups).for_each(AnyTask::hurry);
    }

    /// The same for the tasks of some streams.
    pub fn checkpoint_of(&mut self, streams: &[Stream]) {
        let all = all_mut(&mut self.users, &mut self.rollups);
        all.filter(|task| streams.contains(&task.stream())).for_each(AnyTask::hurry);
    }

    /// Takes everything that waits to be published.
    pub fn transaction(&mut self, steady_ms: Ms) -> Result<Transaction, WorkerError> {
        if !self.dead_letters.is_empty() {
            fault::point(Place::DeadLetter);
        }
        let mut records: Vec<RecordOut> = self.dead_letters.drain(..).map(|(_, record)| record).collect();
        for runner in self.rollups.values_mut().filter(|runner| runner.is_live()) {
            records.append(&mut runner.task.out);
        }
        let outputs = records.len();
        if let Some(intake) = &mut self.intake {
            for (number, input) in &mut self.inputs {
                intake.flush(*number, &mut input.source, input.position.0, &mut records)?;
            }
            intake.forget_texts();
        }
        for runner in self.users.values_mut().filter(|runner| runner.is_live()) {
            runner.task.publish(&mut records)?;
        }
        for runner in self.rollups.values_mut().filter(|runner| runner.is_live()) {
            runner.task.publish_decisions(&mut records)?;
        }
        let ours = self.ours();
        self.sources.news(&ours, &mut records)?;
        self.known.news(&mut records);
        if self.setup.keyed_by_user {
            self.check_keys(&ours, &mut records)?;
        }
        let changelog_from = records.len();
        for task in all_mut(&mut self.users, &mut self.rollups) {
            task.checkpoint(&self.setup.identity, steady_ms, &mut records)?;
        }
        let bytes = records[changelog_from..].iter().map(|r| r.value.as_ref().map_or(0, Vec::len) as u64).sum::<u64>();
        self.changelog_bytes += bytes;
        Ok(Transaction { records, outputs, changelog_from, offsets: self.offsets() })
    }

    fn check_keys(&mut self, ours: &[u32], out: &mut Vec<RecordOut>) -> Result<(), WorkerError> {
        for source in ours {
            if let Some(runner) = self.users.get(source) {
                self.samples.note(*source, runner.task.task.sample());
            }
        }
        self.samples.check()?;
        self.samples.news(ours, out)
    }

    fn offsets(&self) -> Vec<(Stream, NextOffset, String)> {
        let of_input = |(number, input): (&u32, &Input)| {
            let metadata = OffsetMetadata {
                start: input.start,
                watermark: Some(input.source.watermark),
                ..OffsetMetadata::default()
            };
            let stream = Stream::Input(*number);
            let metadata = metadata
                .with_block_ends(input.position, input.source.block_ends())
                .with_topic(self.known.topic(stream));
            (stream, input.position, metadata.to_text())
        };
        self.inputs.iter().map(of_input).chain(self.all().map(AnyTask::offset)).collect()
    }

    /// The commit succeeded.
    pub fn committed<L: Log>(&mut self, log: &mut L) -> Result<(), WorkerError> {
        let range_of = &mut |partition| log.changelog_range(partition);
        all_mut(&mut self.users, &mut self.rollups).try_for_each(|task| task.committed(range_of))
    }

    pub fn flush(&mut self) -> Result<(), WorkerError> {
        all_mut(&mut self.users, &mut self.rollups).try_for_each(AnyTask::flush_now)
    }

    /// Below these offsets nothing will be read again.
    pub fn not_read_again(&self) -> Vec<(Stream, NextOffset)> {
        // The input is not ours to delete.
        let is_ours = |(stream, _): &(Stream, NextOffset)| !matches!(stream, Stream::Input(_));
        self.all().filter_map(AnyTask::not_read_again).filter(is_ours).collect()
    }
}
