//! The tasks of a worker: what the group gave it, without the log.

mod figures;
mod progress;
mod rollup;
mod start;
mod transaction;
mod users;

use super::decisions::{Decisions, Received};
use super::inputs::Volumes;
use super::known::Known;
use super::partial_codec;
use super::setup::Setup;
use super::sources::Sources;
use super::task_runner::{AnyTask, TaskRunner};
use super::user_overlap::Samples;
use super::{Stores, WorkerError};
use crate::log::{NextOffset, Stream};
use crate::model::record::{RecordIn, RecordOut};
use crate::pipeline::intake::{Intake, IntakeSource};
use crate::pipeline::route::Route;
use crate::pipeline::users::UsersCounts;
pub use rollup::Rollup;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
pub use transaction::Transaction;
pub use users::Users;

/// An input partition whose verdicts leave in blocks.
struct Input {
    source: IntakeSource,
    position: NextOffset,
    start: i64,
}

/// The tasks of a worker.
pub struct Tasks {
    setup: Setup,
    stores: Box<dyn Stores>,
    pub route: Route,
    intake: Option<Intake>,
    sources: Sources,
    samples: Samples,
    known: Known,
    decisions: Decisions,
    inputs: BTreeMap<u32, Input>,
    users: BTreeMap<u32, TaskRunner<Users>>,
    rollups: BTreeMap<u32, TaskRunner<Rollup>>,
    /// Counts of users tasks that moved away.
    counts_before: UsersCounts,
    /// With their input partition, in the order in which they were read.
    dead_letters: Vec<(u32, RecordOut)>,
    changelog_bytes: u64,
    volumes: Volumes,
}

/// All tasks: users tasks, then rollup tasks.
fn all_mut<'a>(
    users: &'a mut BTreeMap<u32, TaskRunner<Users>>,
    rollups: &'a mut BTreeMap<u32, TaskRunner<Rollup>>,
) -> impl Iterator<Item = &'a mut dyn AnyTask> {
    let users = users.values_mut().map(|task| task as &mut dyn AnyTask);
    users.chain(rollups.values_mut().map(|task| task as &mut dyn AnyTask))
}

impl Tasks {
    fn all(&self) -> impl Iterator<Item = &dyn AnyTask> {
        let users = self.users.values().map(|task| task as &dyn AnyTask);
        users.chain(self.rollups.values().map(|task| task as &dyn AnyTask))
    }

    pub fn new(setup: Setup, stores: Box<dyn Stores>, route: Route) -> Tasks {
        let intake = (!setup.keyed_by_user)
            .then(|| Intake::new(Arc::clone(&setup.slos), setup.spread.clone(), setup.users.out_of_orderness_ms));
        Tasks {
            sources: Sources::new(setup.inputs, setup.patience),
            intake,
            known: Known::new(setup.inputs),
            volumes: Volumes::new(setup.inputs),
            decisions: Decisions::default(),
            setup,
            stores,
            route,
            inputs: BTreeMap::new(),
            users: BTreeMap::new(),
            rollups: BTreeMap::new(),
            samples: Samples::default(),
            counts_before: UsersCounts::default(),
            dead_letters: Vec::new(),
            changelog_bytes: 0,
        }
    }

    /// Takes a record.
    #[inline]
    pub fn take(&mut self, stream: Stream, record: &RecordIn<'_>) -> Result<(), WorkerError> {
        self.volumes.count(stream, record.value.len());
        match stream {
            Stream::Input(number) if self.intake.is_some() => self.take_input(number, record),
            Stream::Input(number) => self.take_keyed(number, record),
            Stream::Repartition(number) => {
                let Some(runner) = self.users.get_mut(&number).filter(|runner| !runner.is_restoring()) else {
                    return Ok(());
                };
                runner.before_record(record.offset)?;
                if runner.is_restoring() {
                    return Ok(());
                }
                let taken = runner.task.task.apply_block(record.offset, record.value);
                taken.map_err(|error| WorkerError::of_block(runner.id, record.offset, error))?;
                runner.after_record(record.offset)
            }
            Stream::Partials(number) => {
                let Some(runner) = self.rollups.get_mut(&number).filter(|runner| !runner.is_restoring()) else {
                    return Ok(());
                };
                runner.before_record(record.offset)?;
                let taken = runner.task.task.apply(record.offset, partial_codec::read(record.value)?);
                taken.map_err(|why| WorkerError::SequenceError { task: runner.id, offset: record.offset, why })?;
                runner.after_record(record.offset)
            }
            Stream::Sources => {
                let ours = (&self.inputs, &self.users, self.setup.keyed_by_user);
                let is_ours = |n: u32| if ours.2 { ours.1.contains_key(&n) } else { ours.0.contains_key(&n) };
                let key = record.key.unwrap_or_default();
                self.known.note_time(record.timestamp_ms);
                if Decisions::is_one(key) {
                    let received = self.decisions.receive(key, record.value)?;
                    received.iter().for_each(|received| self.learn(received));
                } else if !self.samples.receive(key, record.value) && !self.known.receive(key, record.value)? {
                    self.sources.receive(record, is_ours);
                }
                Ok(())
            }
        }
    }

    #[inline]
    fn take_input(&mut self, number: u32, record: &RecordIn<'_>) -> Result<(), WorkerError> {
        let (Some(intake), Some(input)) = (&mut self.intake, self.inputs.get_mut(&number)) else { return Ok(()) };
        self.sources.record_arrived(number);
        input.position = NextOffset(record.offset + 1);
        let mut failed = None;
        let dead_letter = self.route.apply(number, record, |outcome| {
            if let Err(error) = intake.apply(number, &mut input.source, record.offset, outcome) {
                failed = Some(error);
            }
        });
        self.dead_letters.extend(dead_letter.map(|record| (number, record)));
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    #[inline]
    fn take_keyed(&mut self, number: u32, record: &RecordIn<'_>) -> Result<(), WorkerError> {
        // Records that were in flight when the stream was paused are delivered again.
        let Some(runner) = self.users.get_mut(&number).filter(|runner| !runner.is_restoring()) else { return Ok(()) };
        self.sources.record_arrived(number);
        runner.before_record(record.offset)?;
        if runner.is_restoring() {
            return Ok(());
        }
        let is_live = runner.is_live();
        if !is_live && let Some((_, to_ms, is_incomplete)) = runner.decisions_until(record.offset) {
            runner.task.task.raise_to(0, to_ms, is_incomplete);
        }
        let task = &mut runner.task.task;
        let dead_letter = self.route.apply(number, record, |outcome| task.apply(0, record.offset, outcome));
        if is_live {
            self.dead_letters.extend(dead_letter.map(|record| (number, record)));
        }
        runner.after_record(record.offset)
    }

    pub fn is_restoring(&self) -> bool {
        self.all().any(AnyTask::is_restoring)
    }

    /// Closes every boundary that can be closed.
    pub fn close(&mut self) -> Result<(), WorkerError> {
        all_mut(&mut self.users, &mut self.rollups).try_for_each(AnyTask::close)?;
        let mut is_decided = false;
        for runner in self.rollups.values_mut().filter(|runner| runner.is_live()) {
            for decision in runner.task.task.take_decisions() {
                // Our own users tasks need not wait for the log: their records leave in the same transaction.
                self.users.values_mut().for_each(|users| users.task.task.learn(&decision, true));
                runner.task.decided.push(decision);
                is_decided = true;
            }
        }
        if is_decided { self.users.values_mut().try_for_each(AnyTask::close) } else { Ok(()) }
    }

    fn learn(&mut self, received: &Received) {
        for runner in self.users.values_mut() {
            match received {
                Received::Decided(decision, is_last) => runner.task.task.learn(decision, *is_last),
                Received::Forgotten(set) => runner.task.task.forget_decisions(*set),
            }
        }
    }

    pub fn has(&self, stream: Stream) -> bool {
        match stream {
            Stream::Input(number) => self.inputs.contains_key(&number) || self.users.contains_key(&number),
            Stream::Repartition(number) => self.users.contains_key(&number),
            Stream::Partials(number) => self.rollups.contains_key(&number),
            Stream::Sources => false,
        }
    }

    pub fn own_nothing(&self) -> bool {
        self.inputs.is_empty() && self.users.is_empty() && self.rollups.is_empty()
    }

    pub fn is_live(&self) -> bool {
        self.all().all(AnyTask::is_live)
    }

    pub fn rollup_partitions(&self) -> BTreeSet<u32> {
        self.rollups.keys().copied().collect()
    }

    /// Closes what belongs to streams that are given up.
    pub fn let_go(&mut self, streams: &[Stream]) {
        for stream in streams {
            self.known.let_go(*stream);
            if let Stream::Input(number) = stream {
                self.inputs.remove(number);
                self.sources.forget(*number);
                // Its new owner reads again what was not committed.
                self.dead_letters.retain(|(of, _)| of != number);
            }
        }
        let gone = self.users.values().filter(|runner| streams.contains(&runner.stream));
        gone.for_each(|runner| self.counts_before.add(&runner.task.task.counts));
        self.users.retain(|_, runner| !streams.contains(&runner.stream));
        self.rollups.retain(|_, runner| !streams.contains(&runner.stream));
        self.share_memory();
    }
}
