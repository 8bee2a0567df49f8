//! The tasks of a worker: what the group gave it, without the log.

use super::decisions::{self, Decisions, Heard};
use super::inputs::{self, InputFigures, Volume, Volumes};
use super::known::Known;
use super::offset_metadata::{self, OffsetMetadata};
use super::partial_codec;
use super::sources::{IdlePolicy, Sources};
use super::task_runner::{Phase, Task, TaskConfig, TaskRunner};
use super::user_overlap::Samples;
use super::{Figures, Observer, Stores, TaskId, WorkerError};
use crate::fault::{self, Place};
use crate::log::{Assignment, Log, NextOffset, Stream};
use crate::model::record::{RecordIn, RecordOut, rollup_partition};
use crate::model::slo::Slo;
use crate::model::time::{Ms, Now, boundary_behind};
use crate::operator::admission::Decision;
use crate::operator::partial::Partial;
use crate::operator::watermark::Watermark;
use crate::pipeline::checkpoint::{CheckpointError, Mark, ReplayStart, TaskMark};
use crate::pipeline::intake::{Intake, IntakeSource, Spread};
use crate::pipeline::key_ref::KEY_GROUPS;
use crate::pipeline::rollup::{RollupSettings, RollupTask, slo_ids};
use crate::pipeline::route::Route;
use crate::pipeline::users::{UsersCounts, UsersSettings, UsersTask};
use crate::state::keys::{Prefix, groups_of_range};
use crate::state::{Batch, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a worker's tasks are made of. It is the same in all instances of an application id.
pub struct Setup {
    pub slos: Arc<Vec<Slo>>,
    /// How many input partitions there are in all.
    pub inputs: u32,
    pub keyed_by_user: bool,
    /// How users are spread; with `keyed_by_user` there is a users task an input partition.
    pub spread: Spread,
    pub rollups: u32,
    pub users: UsersSettings,
    pub rollup: RollupSettings,
    pub patience: IdlePolicy,
    /// `false`: no partition is ever idle.
    pub passes_over: bool,
    /// The build and the definitions: checkpoints carry it.
    pub identity: String,
    pub checkpoint_interval_ms: Ms,
    /// A key group's deltas may weigh as much before it is written anew; [`super::DELTAS_MIN_BYTES`].
    pub deltas_min_bytes: u64,
    /// Memory for the rows of all users tasks of this worker.
    pub memory_limit_bytes: u64,
}

impl Setup {
    /// How many users tasks there are in all.
    pub fn users_tasks(&self) -> u32 {
        if self.keyed_by_user { self.inputs } else { self.spread.partitions }
    }
}

/// An input partition whose verdicts leave in blocks.
struct Input {
    source: IntakeSource,
    position: NextOffset,
    start: i64,
}

/// A users task and what it has not sent yet.
pub struct Users {
    pub task: UsersTask,
    partials: Vec<Partial>,
    nothing: Partial,
}

/// A rollup task and what it has not sent yet.
pub struct Rollup {
    pub task: RollupTask,
    out: Vec<RecordOut>,
    /// Decisions on keys that users tasks do not know yet.
    decided: Vec<Decision>,
    /// It was restored, and the observer does not know yet what it had published.
    is_restored: bool,
}

/// After a restore, the statuses of this many keys are shown: as many as the board holds.
const RESTORED_MAX: usize = 20_000;

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

/// Everything of one transaction.
pub struct Transaction {
    pub records: Vec<RecordOut>,
    /// The first so many records are outputs; the others are internal.
    pub outputs: usize,
    /// The first record of the changelog.
    pub changelog_from: usize,
    pub offsets: Vec<(Stream, NextOffset, String)>,
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
        known.is_some_and(|known| known < self.task.source_count())
    }

    fn evict(&mut self, limit_bytes: u64) {
        self.task.evict(limit_bytes);
    }

    fn waits_for_decision(&self) -> bool {
        self.task.waits_for_decision()
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
        // Also without a checkpoint: then all of its state came from the log.
        self.is_restored = true;
    }

    fn evict(&mut self, _limit_bytes: u64) {}
}

impl Tasks {
    pub fn new(setup: Setup, stores: Box<dyn Stores>, route: Route) -> Tasks {
        let intake = (!setup.keyed_by_user)
            .then(|| Intake::new(Arc::clone(&setup.slos), setup.spread.clone(), setup.users.out_of_orderness_ms));
        Tasks {
            sources: Sources::new(setup.inputs, setup.patience, setup.passes_over),
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

    /// Takes one record.
    #[inline]
    pub fn take(&mut self, stream: Stream, record: &RecordIn<'_>) -> Result<(), WorkerError> {
        self.volumes.count(stream, record.value.len());
        match stream {
            Stream::Input(number) if self.intake.is_some() => self.take_input(number, record),
            Stream::Input(number) => self.take_keyed(number, record),
            Stream::Repartition(number) => {
                let Some(unit) = self.users.get_mut(&number).filter(|unit| !unit.is_restoring()) else {
                    return Ok(());
                };
                unit.before(record.offset)?;
                if unit.is_restoring() {
                    return Ok(());
                }
                let taken = unit.task.task.apply_block(record.offset, record.value);
                taken.map_err(|error| WorkerError::of_block(unit.id, record.offset, error))?;
                unit.behind(record.offset)
            }
            Stream::Partials(number) => {
                let Some(unit) = self.rollups.get_mut(&number).filter(|unit| !unit.is_restoring()) else {
                    return Ok(());
                };
                unit.before(record.offset)?;
                let taken = unit.task.task.apply(record.offset, partial_codec::read(record.value)?);
                taken.map_err(|why| WorkerError::SequenceError { task: unit.id, offset: record.offset, why })?;
                unit.behind(record.offset)
            }
            Stream::Sources => {
                let ours = (&self.inputs, &self.users, self.setup.keyed_by_user);
                let is_ours = |n: u32| if ours.2 { ours.1.contains_key(&n) } else { ours.0.contains_key(&n) };
                let key = record.key.unwrap_or_default();
                self.known.heard(record.timestamp_ms);
                if Decisions::is_one(key) {
                    let heard = self.decisions.hear(key, record.value)?;
                    heard.iter().for_each(|heard| self.learn(heard));
                } else if !self.samples.hear(key, record.value) && !self.known.hear(key, record.value)? {
                    self.sources.hear(record, is_ours);
                }
                Ok(())
            }
        }
    }

    #[inline]
    fn take_input(&mut self, number: u32, record: &RecordIn<'_>) -> Result<(), WorkerError> {
        let (Some(intake), Some(input)) = (&mut self.intake, self.inputs.get_mut(&number)) else { return Ok(()) };
        self.sources.heard(number);
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
        let Some(unit) = self.users.get_mut(&number).filter(|unit| !unit.is_restoring()) else { return Ok(()) };
        self.sources.heard(number);
        unit.before(record.offset)?;
        if unit.is_restoring() {
            return Ok(());
        }
        let is_live = unit.is_live();
        if !is_live && let Some((_, to_ms, is_incomplete)) = unit.decisions_until(record.offset) {
            unit.task.task.raise_to(0, to_ms, is_incomplete);
        }
        let task = &mut unit.task.task;
        let dead_letter = self.route.apply(number, record, |outcome| task.apply(0, record.offset, outcome));
        if is_live {
            self.dead_letters.extend(dead_letter.map(|record| (number, record)));
        }
        unit.behind(record.offset)
    }

    /// Takes up a stream; `true`: it is to be held back.
    pub fn take_up<L: Log>(&mut self, log: &mut L, assignment: &Assignment) -> Result<bool, WorkerError> {
        let is_heard = matches!(assignment.stream, Stream::Input(number) if self.sources.is_heard(number));
        self.known.take_up(assignment, is_heard)?;
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
        if assignment.committed.is_some() && ours.as_ref().is_none_or(|(_, memo)| memo.watermark.is_none()) {
            return Err(WorkerError::Refused(format!(
                "input partition {number}: the group's offset was not committed by tailburn, or with another \
                 input.keyed_by_user, which is fixed for the life of an application id. Choose another application_id"
            )));
        }
        let mut watermark = ours.as_ref().and_then(|(_, memo)| memo.watermark).unwrap_or_default();
        if self.known.was_added(number)
            && let Some(at_ms) = self.sources.at_ms(|other| self.known.has_input(other))
        {
            // T has advanced this far without it, so older events are late, as after an idle time.
            watermark.raise_to(at_ms, false);
        }
        let told = ours.as_ref().map(|(next, memo)| memo.told(*next, self.setup.spread.partitions));
        let input = Input {
            source: intake.source(watermark, &told.unwrap_or_default()),
            position: assignment.next,
            start: ours.map_or(assignment.next.0, |(_, memo)| memo.start),
        };
        self.sources.forget(number);
        self.inputs.insert(number, input);
        Ok(false)
    }

    fn making<'a>(setup: &'a Setup, id: TaskId) -> TaskConfig<'a> {
        TaskConfig {
            id,
            changelog: id.changelog(setup.users_tasks()),
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
        self.decisions.tell(&mut users);
        let task = Users { task: users, partials: vec![nothing.clone(); setup.rollups as usize], nothing };
        let making = Tasks::making(setup, TaskId::Users(number));
        let (mut unit, is_held) = TaskRunner::take_up(log, self.stores.as_mut(), &making, assignment, task)?;
        if self.setup.keyed_by_user {
            self.sources.forget(number);
        } else if !unit.is_live() {
            // The replay contains nothing of these.
            let new = (0..self.setup.inputs).filter(|source| !self.known.has_input(*source));
            new.for_each(|source| unit.task.task.pass_over(source));
        }
        self.users.insert(number, unit);
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
        let task = Rollup {
            task: RollupTask::new(&setup.slos, settings),
            out: Vec::new(),
            decided: Vec::new(),
            is_restored: false,
        };
        let making = Tasks::making(setup, TaskId::Rollup(number));
        let (unit, is_held) = TaskRunner::take_up(log, self.stores.as_mut(), &making, assignment, task)?;
        self.rollups.insert(number, unit);
        Ok(is_held)
    }

    fn share_memory(&mut self) {
        let limit_bytes = self.setup.memory_limit_bytes / (self.users.len().max(1) as u64);
        self.users.values_mut().for_each(|unit| unit.set_limit(limit_bytes));
    }

    pub fn is_restoring(&self) -> bool {
        self.users.values().any(TaskRunner::is_restoring) || self.rollups.values().any(TaskRunner::is_restoring)
    }

    /// Continues the restore. Returns the streams that can be read now, and from where.
    pub fn go_on_restoring(&mut self, steady_ms: Ms) -> Result<Vec<(Stream, NextOffset)>, WorkerError> {
        let identity = &self.setup.identity;
        let mut ready = Vec::new();
        for unit in self.users.values_mut() {
            ready.extend(unit.go_on_restoring(identity, steady_ms)?.map(|from| (unit.stream, from)));
        }
        for unit in self.rollups.values_mut() {
            ready.extend(unit.go_on_restoring(identity, steady_ms)?.map(|from| (unit.stream, from)));
        }
        Ok(ready)
    }

    pub fn at_end(&mut self, source: u32, end: NextOffset, steady_ms: Ms) {
        self.sources.at_end(source, end, steady_ms);
        self.caught_up(source);
    }

    fn caught_up(&mut self, source: u32) {
        match self.inputs.get_mut(&source) {
            Some(input) => input.source.watermark.caught_up(),
            None => {
                if let Some(unit) = self.users.get_mut(&source).filter(|_| self.setup.keyed_by_user) {
                    unit.task.task.caught_up();
                }
            }
        }
    }

    pub fn ended(&mut self, source: u32, end: NextOffset) {
        self.sources.ended(source);
        if let Some(input) = self.inputs.get_mut(&source) {
            input.position = end;
        }
    }

    pub fn to_be_asked(&self, steady_ms: Ms) -> Vec<u32> {
        self.sources.to_be_asked(steady_ms)
    }

    pub fn answered(&mut self, source: u32, end: Option<NextOffset>, steady_ms: Ms) {
        self.sources.answered(source, end, steady_ms);
    }

    /// Our input partitions.
    fn ours(&self) -> Vec<u32> {
        if self.setup.keyed_by_user {
            self.users.iter().filter(|(_, unit)| unit.is_live()).map(|(number, _)| *number).collect()
        } else {
            self.inputs.keys().copied().collect()
        }
    }

    fn position(&self, source: u32) -> NextOffset {
        match self.inputs.get(&source) {
            Some(input) => input.position,
            None => self.users.get(&source).map_or(NextOffset(0), |unit| unit.position),
        }
    }

    fn watermark(&self, source: u32) -> Watermark {
        match self.inputs.get(&source) {
            Some(input) => input.source.watermark,
            None => self.users.get(&source).map(|unit| *unit.task.task.watermark(0)).unwrap_or_default(),
        }
    }

    /// Decides which of our partitions are passed over.
    pub fn decide(&mut self, paused: &[Stream], now: Now) {
        let ours = self.ours();
        for source in ours.iter().copied() {
            if self.sources.is_read_to(source, self.position(source), now.steady_ms) {
                self.caught_up(source);
            }
            self.note(source, paused.contains(&Stream::Input(source)), now.steady_ms);
        }
        for raise in self.sources.decide(&ours, now) {
            self.raise(raise.source, raise.to_ms, raise.is_incomplete);
            self.note(raise.source, false, now.steady_ms);
        }
        if self.sources.have_all_ended() {
            self.raise_to_the_end(&ours);
        }
    }

    fn note(&mut self, source: u32, is_held: bool, steady_ms: Ms) {
        let watermark = self.watermark(source);
        let watermark_ms = watermark.at_ms(self.setup.users.out_of_orderness_ms);
        self.sources.note(source, watermark_ms, watermark.largest_ms().is_some(), is_held, steady_ms);
    }

    fn raise(&mut self, source: u32, to_ms: Ms, is_incomplete: bool) {
        fault::point(Place::PassingOver);
        match self.inputs.get_mut(&source) {
            Some(input) => input.source.watermark.raise_to(to_ms, is_incomplete),
            None => {
                if let Some(unit) = self.users.get_mut(&source) {
                    unit.task.task.raise_to(0, to_ms, is_incomplete);
                    unit.decided(to_ms, is_incomplete);
                }
            }
        }
    }

    /// The boundary behind the last event of our input partitions.
    fn end_ms(&self, ours: &[u32]) -> Option<Ms> {
        ours.iter().filter_map(|source| self.watermark(*source).largest_ms()).max().map(boundary_behind)
    }

    /// All input is bounded and ended: T goes on to the boundary behind the last event.
    fn raise_to_the_end(&mut self, ours: &[u32]) {
        let Some(end_ms) = self.end_ms(ours) else { return };
        let out_of_orderness_ms = self.setup.users.out_of_orderness_ms;
        for source in ours {
            if self.watermark(*source).at_ms(out_of_orderness_ms).is_none_or(|w| w < end_ms) {
                self.raise(*source, end_ms, false);
            }
        }
    }

    /// Closes every boundary that can be closed.
    pub fn close(&mut self) -> Result<(), WorkerError> {
        self.users.values_mut().try_for_each(TaskRunner::close)?;
        self.rollups.values_mut().try_for_each(TaskRunner::close)?;
        let mut is_decided = false;
        for unit in self.rollups.values_mut().filter(|unit| unit.is_live()) {
            for decision in unit.task.task.take_decisions() {
                // Our own users tasks need not wait for the log: their records leave in the same transaction.
                self.users.values_mut().for_each(|users| users.task.task.learn(&decision, true));
                unit.task.decided.push(decision);
                is_decided = true;
            }
        }
        if is_decided { self.users.values_mut().try_for_each(TaskRunner::close) } else { Ok(()) }
    }

    fn learn(&mut self, heard: &Heard) {
        for unit in self.users.values_mut() {
            match heard {
                Heard::Decided(decision, is_last) => unit.task.task.learn(decision, *is_last),
                Heard::Forgotten(set) => unit.task.task.forget_decisions(*set),
            }
        }
    }

    /// Input partitions that are far ahead of the slowest.
    pub fn far_ahead(&self) -> Vec<Stream> {
        let ours = self.ours().into_iter().map(|source| (source, self.watermark(source).largest_ms()));
        self.sources.far_ahead(ours).into_iter().map(Stream::Input).collect()
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
        self.users.values().all(TaskRunner::is_live) && self.rollups.values().all(TaskRunner::is_live)
    }

    /// Whether something waits to be published.
    pub fn has_news(&self) -> bool {
        let of_users = |unit: &TaskRunner<Users>| {
            let closed_ms = unit.task.task.closed_ms();
            unit.is_live() && unit.task.partials.iter().any(|p| partial_codec::is_news(p, closed_ms))
        };
        let out_of_orderness_ms = self.setup.users.out_of_orderness_ms;
        !self.dead_letters.is_empty()
            || self.inputs.values().any(|input| input.source.has_news(out_of_orderness_ms))
            || self.users.values().any(of_users)
            || self.rollups.values().any(|unit| unit.is_live() && unit.task.has_news())
            || self.sources.has_news(&self.ours())
    }

    /// The bounded input is read, and everything that follows from it is published.
    pub fn is_finished(&self) -> bool {
        if !self.sources.have_all_ended() || self.sources.count() == 0 || self.has_news() {
            return false;
        }
        let end_ms = self.end_ms(&self.ours());
        let is_closed = self.users.values().all(|unit| unit.task.task.closed_ms() == end_ms);
        is_closed && self.rollups.values().all(|unit| unit.task.task.is_at(end_ms))
    }

    /// Writes a checkpoint of all that changed with the next commit.
    pub fn checkpoint_all(&mut self) {
        self.users.values_mut().for_each(|unit| unit.ledger.hurry());
        self.rollups.values_mut().for_each(|unit| unit.ledger.hurry());
    }

    /// The same for the tasks of some streams.
    pub fn checkpoint_of(&mut self, streams: &[Stream]) {
        let is_one = |stream: &Stream| streams.contains(stream);
        self.users.values_mut().filter(|unit| is_one(&unit.stream)).for_each(|unit| unit.ledger.hurry());
        self.rollups.values_mut().filter(|unit| is_one(&unit.stream)).for_each(|unit| unit.ledger.hurry());
    }

    /// Everything that the next transaction holds.
    pub fn pack(&mut self, steady_ms: Ms) -> Result<Transaction, WorkerError> {
        if !self.dead_letters.is_empty() {
            fault::point(Place::DeadLetter);
        }
        let mut records: Vec<RecordOut> = self.dead_letters.drain(..).map(|(_, record)| record).collect();
        for unit in self.rollups.values_mut().filter(|unit| unit.is_live()) {
            records.append(&mut unit.task.out);
        }
        let outputs = records.len();
        if let Some(intake) = &mut self.intake {
            for (number, input) in &mut self.inputs {
                intake.flush(*number, &mut input.source, input.position.0, &mut records)?;
            }
            intake.forget_texts();
        }
        for unit in self.users.values_mut().filter(|unit| unit.is_live()) {
            unit.task.say(&mut records)?;
        }
        for unit in self.rollups.values_mut().filter(|unit| unit.is_live()) {
            unit.task.tell_decisions(&mut records)?;
        }
        let ours = self.ours();
        self.sources.news(&ours, &mut records)?;
        self.known.news(&mut records);
        if self.setup.keyed_by_user {
            self.check_keys(&ours, &mut records)?;
        }
        let changelog_from = records.len();
        for unit in self.users.values_mut() {
            unit.checkpoint(&self.setup.identity, steady_ms, &mut records)?;
        }
        for unit in self.rollups.values_mut() {
            unit.checkpoint(&self.setup.identity, steady_ms, &mut records)?;
        }
        let bytes = records[changelog_from..].iter().map(|r| r.value.as_ref().map_or(0, Vec::len) as u64).sum::<u64>();
        self.changelog_bytes += bytes;
        Ok(Transaction { records, outputs, changelog_from, offsets: self.offsets() })
    }

    fn check_keys(&mut self, ours: &[u32], out: &mut Vec<RecordOut>) -> Result<(), WorkerError> {
        for source in ours {
            if let Some(unit) = self.users.get(source) {
                self.samples.note(*source, unit.task.task.sample());
            }
        }
        self.samples.check()?;
        self.samples.news(ours, out)
    }

    fn offsets(&self) -> Vec<(Stream, NextOffset, String)> {
        let of_input = |(number, input): (&u32, &Input)| {
            let memo = OffsetMetadata {
                start: input.start,
                watermark: Some(input.source.watermark),
                ..OffsetMetadata::default()
            };
            let stream = Stream::Input(*number);
            let memo = memo.with_told(input.position, input.source.told()).with_topic(self.known.topic(stream));
            (stream, input.position, memo.to_text())
        };
        let users = self.users.values().map(TaskRunner::offset);
        self.inputs.iter().map(of_input).chain(users).chain(self.rollups.values().map(TaskRunner::offset)).collect()
    }

    /// The commit succeeded.
    pub fn committed<L: Log>(&mut self, log: &mut L) -> Result<(), WorkerError> {
        for unit in self.users.values_mut() {
            unit.committed(log)?;
        }
        for unit in self.rollups.values_mut() {
            unit.committed(log)?;
        }
        Ok(())
    }

    pub fn flush(&mut self) -> Result<(), WorkerError> {
        self.users.values_mut().try_for_each(TaskRunner::flush_now)?;
        self.rollups.values_mut().try_for_each(TaskRunner::flush_now)
    }

    /// Shows the observer what restored tasks had published.
    pub fn restored(&mut self, observer: &mut dyn Observer) -> Result<(), WorkerError> {
        for unit in self.rollups.values_mut().filter(|unit| unit.is_live()) {
            if std::mem::take(&mut unit.task.is_restored) {
                unit.task.task.published(RESTORED_MAX, &mut |record| observer.restored(&record))?;
            }
        }
        Ok(())
    }

    pub fn rollup_partitions(&self) -> BTreeSet<u32> {
        self.rollups.keys().copied().collect()
    }

    /// Whether a key belongs to the rollup tasks among these streams.
    pub fn is_of(&self, streams: &[Stream]) -> impl Fn(&str) -> bool + use<> {
        let gone = self.rollups.iter().filter(|(_, unit)| streams.contains(&unit.stream));
        let (gone, of): (BTreeSet<u32>, u32) = (gone.map(|(number, _)| *number).collect(), self.setup.rollups);
        move |key| gone.contains(&rollup_partition(key, of))
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
        let gone = self.users.values().filter(|unit| streams.contains(&unit.stream));
        gone.for_each(|unit| self.counts_before.add(&unit.task.task.counts));
        self.users.retain(|_, unit| !streams.contains(&unit.stream));
        self.rollups.retain(|_, unit| !streams.contains(&unit.stream));
        self.share_memory();
    }

    /// Below these offsets nothing will be read again.
    pub fn not_read_again(&self) -> Vec<(Stream, NextOffset)> {
        let users = self.users.values().filter(|_| !self.setup.keyed_by_user).filter_map(TaskRunner::not_read_again);
        users.chain(self.rollups.values().filter_map(TaskRunner::not_read_again)).collect()
    }

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

    pub fn figures(&self) -> Figures {
        let mut counts = self.intake.as_ref().map(|intake| intake.counts).unwrap_or_default();
        if self.intake.is_none() {
            counts.add(&self.counts_before);
            self.users.values().for_each(|unit| counts.add(&unit.task.task.counts));
        }
        let mut phases = [0; 3];
        let of = |phase: &Phase| match phase {
            Phase::Restoring(_) => 0,
            Phase::Replaying(_) | Phase::Undecided(_) => 1,
            Phase::Live => 2,
        };
        self.users.values().for_each(|unit| phases[of(&unit.phase)] += 1);
        self.rollups.values().for_each(|unit| phases[of(&unit.phase)] += 1);
        let users = self.users.values().map(|unit| unit.ledger.since_ms());
        Figures {
            counts,
            dead_letters: self.route.stats.dead_letter_counts(),
            unreadable: self.route.stats.unreadable_counts(),
            rows: self.users.values().map(|unit| unit.task.task.rows()).sum(),
            keys: self.rollups.values().map(|unit| unit.task.task.keys()).sum(),
            evaluated_ms: self.rollups.values().filter_map(|unit| unit.task.task.at_ms()).min(),
            phases,
            inputs: self.inputs.len(),
            changelog_bytes: self.changelog_bytes,
            checkpointed_ms: users.chain(self.rollups.values().map(|unit| unit.ledger.since_ms())).flatten().min(),
        }
    }
}

impl Users {
    /// What was closed since the last commit, one partial a rollup partition that has news.
    fn say(&mut self, out: &mut Vec<RecordOut>) -> Result<(), WorkerError> {
        partial_codec::say(&mut self.partials, &self.nothing, self.task.closed_ms(), out)
    }
}

impl Rollup {
    fn has_news(&self) -> bool {
        !self.out.is_empty() || !self.decided.is_empty() || self.task.has_decided()
    }

    /// What was decided since the last commit.
    fn tell_decisions(&mut self, out: &mut Vec<RecordOut>) -> Result<(), WorkerError> {
        // A new definition must not see decisions made under one that is gone.
        self.task.take_forgotten().iter().for_each(|forgotten| decisions::tombstones_of(forgotten, out));
        self.decided.drain(..).try_for_each(|decision| decisions::records_of(&decision, out))
    }
}
