//! The shell around the core: it polls the log, feeds the tasks, commits, and only then acts.
//!
//! One worker is one thread with one view of the log and its tasks; nothing on the way of an event is
//! shared or locked. It knows neither files nor Kafka: the log is a trait.
//!
//! After a start it *replays*: every stream is read again from where the checkpoint says to where
//! the log was committed, and what comes of it is dropped, because it was published before. State is
//! a function of the log, so at the end of the replay it is the state at that commit.

mod idle;
mod parts;
mod raised;
mod replay;
mod rows_of;

use crate::codec::output::EncodeError;
use crate::log::{CommitOutcome, Log, LogError, LogEvent, NextOffset, Stream};
use crate::model::record::{RecordIn, RecordOut, Topic};
use crate::model::time::{HOUR_MS, MINUTE_MS, Ms};
use crate::operator::partial::Partial;
use crate::pipeline::checkpoint::{CheckpointError, Mark, RollupPlace};
use crate::pipeline::rollup::{KEY_GROUPS, RollupTask};
use crate::pipeline::route::Route;
use crate::pipeline::users::UsersTask;
use crate::state::{Batch, MemoryStore, Store};
use idle::Idleness;
use raised::Raised;
use replay::{Memo, Replay};
use rows_of::RowsOf;
use std::collections::BTreeMap;
use std::time::Duration;

/// Partitions further ahead of the slowest than this (in event time) are paused.
const MAX_SKEW_MS: Ms = 10 * MINUTE_MS;
/// Where one partition has read nothing yet, the others may bring so many verdicts to wait.
const WAITING_MAX: usize = 4_000_000;
/// With all partitions idle, T follows the wall clock in steps no longer than this.
const STRIDE_MS: Ms = 6 * HOUR_MS;

/// Why a worker stops.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("a partial cannot be {what}: {source}")]
    Partial { what: &'static str, source: postcard::Error },
    /// Nothing of the transaction is visible; a new worker goes on from the checkpoint.
    #[error("the transaction was aborted by the broker")]
    Aborted,
    /// The group gave our partitions away while we were not heard; a new worker joins it again.
    #[error("the group took {0} partitions away without waiting for them")]
    Lost(usize),
    /// Work is not shared yet. No fault of the configuration: a service manager may start us again.
    #[error(
        "another instance joined the group of this application id and took {0} partitions (of the input and of our \
         own topics): several instances are not supported yet; stop the other one, or give it an application_id and \
         an output.prefix of its own"
    )]
    PushedOut(usize),
    #[error("{0}")]
    Refused(String),
}

/// What one turn of the worker did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    pub records: u64,
    /// Every bounded input ended, and everything that follows from it is committed.
    pub is_finished: bool,
}

/// Sees what was committed: the HTTP board, the demo's screen, progress bars.
pub trait Observer {
    fn committed(&mut self, records: &[RecordOut]);
}

/// An observer that looks away.
pub struct Nobody;

impl Observer for Nobody {
    fn committed(&mut self, _records: &[RecordOut]) {}
}

/// One worker.
pub struct Worker<L> {
    pub log: L,
    pub route: Route,
    pub users: UsersTask,
    pub rollups: Vec<RollupTask>,
    partials: Vec<Partial>,
    outputs: Vec<RecordOut>,
    positions: BTreeMap<Stream, NextOffset>,
    /// The positions of the last commit.
    committed: BTreeMap<Stream, NextOffset>,
    /// Where each stream began for this application id.
    starts: BTreeMap<Stream, NextOffset>,
    unfinished: Vec<u32>,
    paused: Vec<Stream>,
    idleness: Option<Idleness>,
    raised: Raised,
    replay: Replay,
    /// What is durable, and the rows that memory has no room for.
    store: Box<dyn Store>,
    memory_limit_bytes: u64,
}

impl<L: Log> Worker<L> {
    /// A worker without state: everything begins with the log.
    pub fn new(log: L, route: Route, users: UsersTask, rollups: Vec<RollupTask>, inputs: u32) -> Worker<L> {
        Worker {
            partials: vec![Partial::default(); rollups.len()],
            log,
            route,
            users,
            rollups,
            outputs: Vec::new(),
            positions: BTreeMap::new(),
            committed: BTreeMap::new(),
            starts: BTreeMap::new(),
            unfinished: (0..inputs).collect(),
            paused: Vec::new(),
            idleness: None,
            raised: Raised::new(inputs as usize),
            replay: Replay::default(),
            store: Box::new(MemoryStore::default()),
            memory_limit_bytes: u64::MAX,
        }
    }

    /// Lets idle partitions be passed over, as unbounded input needs it.
    pub fn pass_over_idle(mut self, idle_timeout_ms: Ms, out_of_orderness_ms: Ms) -> Worker<L> {
        self.idleness = Some(Idleness::new(self.unfinished.len(), idle_timeout_ms, out_of_orderness_ms));
        self
    }

    /// Brings the tasks back to the checkpoint in `store`, if there is one.
    pub fn restore(
        mut self,
        store: Box<dyn Store>,
        identity: &str,
        limit_bytes: u64,
    ) -> Result<Worker<L>, WorkerError> {
        self.store = store;
        let store = self.store.as_ref();
        self.memory_limit_bytes = limit_bytes;
        if let Some(mark) = Mark::read(store)? {
            if mark.identity != identity {
                tracing::info!("the checkpoint was written with other definitions or by another build");
            }
            if mark.rollups.len() != self.rollups.len() || mark.users.sources.len() != self.unfinished.len() {
                return Err(WorkerError::Refused(format!(
                    "the state was written for {} input and {} rollup partitions, and now there are {} and {}: \
                     partition counts are fixed for the life of an application id; set them back, or choose a new \
                     application_id and state.dir",
                    mark.users.sources.len(),
                    mark.rollups.len(),
                    self.unfinished.len(),
                    self.rollups.len()
                )));
            }
            self.users.load(&mark.users, store, limit_bytes)?;
            for (rollup, of) in self.rollups.iter_mut().zip(&mark.rollups) {
                let groups_at_ms = vec![of.mark.at_ms; usize::from(KEY_GROUPS)];
                rollup.load(&groups_at_ms, &RowsOf { task: rollup.partition(), store })?;
                rollup.end_replay(&of.mark);
            }
            self.replay.mark = Some(mark);
        }
        Ok(self)
    }

    /// Polls once and closes what can be closed. Nothing is visible before [`Worker::commit`].
    /// `now_ms` is the wall clock.
    pub fn poll(&mut self, wait: Duration, now_ms: Ms) -> Result<Turn, WorkerError> {
        let mut turn = Turn::default();
        let mut failed = None;
        let Worker { log, route, users, rollups, outputs, positions, replay, raised, idleness, .. } = self;
        let is_replaying = replay.is_under_way();
        let events = log.poll(wait, &mut |stream, record| {
            if replay.is_past(stream, record.offset) {
                return;
            }
            turn.records += 1;
            positions.insert(stream, NextOffset(record.offset + 1));
            match stream {
                Stream::Input(source) => {
                    if let Some(idleness) = idleness {
                        idleness.heard(source);
                    }
                    if is_replaying {
                        raised.repeat(source, record.offset, users);
                    } else {
                        raised.note(source, record.offset, users);
                    }
                    outputs.extend(route.apply(source, record, users));
                }
                Stream::Partials(partition) => {
                    if let Err(e) = take_partial(rollups, partition, record) {
                        failed.get_or_insert(e);
                    }
                }
                Stream::Repartition(_) | Stream::Sources => {}
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        self.note(&events, now_ms)?;
        for rollup in &mut self.rollups {
            rollup.advance(&mut self.outputs)?;
        }
        if self.replay.is_under_way() {
            self.go_on_replaying()?;
        } else {
            self.pass_over(now_ms)?;
            self.close(now_ms)?;
        }
        self.balance()?;
        turn.is_finished = self.is_finished();
        Ok(turn)
    }

    fn note(&mut self, events: &[LogEvent], now_ms: Ms) -> Result<(), WorkerError> {
        for event in events {
            match event {
                // It will be said again: the log goes back to where the replay ends.
                // (And an end that is told now may be one that records behind the replay come before.)
                LogEvent::Finished(stream, _) | LogEvent::End(stream, _) if self.replay.is_target(*stream) => {}
                LogEvent::Finished(Stream::Input(source), next) => {
                    self.users.pass_over(*source);
                    self.unfinished.retain(|s| s != source);
                    self.positions.insert(Stream::Input(*source), *next);
                }
                LogEvent::Finished(..) => {}
                LogEvent::End(Stream::Input(source), end) => {
                    if let Some(idleness) = &mut self.idleness {
                        idleness.at_end(*source, *end, now_ms);
                    }
                }
                LogEvent::End(..) => {}
                LogEvent::Assigned(assignments) => {
                    self.take_up_all(assignments)?;
                }
                LogEvent::Lost(streams) => return Err(WorkerError::Lost(streams.len())),
                LogEvent::Revoked(streams) => {
                    return Err(WorkerError::PushedOut(streams.len()));
                }
            }
        }
        Ok(())
    }

    fn pass_over(&mut self, now_ms: Ms) -> Result<(), WorkerError> {
        let Some(idleness) = &mut self.idleness else { return Ok(()) };
        let asked = idleness.to_be_asked(now_ms);
        if !asked.is_empty() {
            let streams: Vec<Stream> = asked.iter().map(|source| Stream::Input(*source)).collect();
            let ends = self.log.ends(&streams)?;
            for (i, source) in asked.iter().enumerate() {
                idleness.answered(*source, ends.as_ref().and_then(|ends| ends.get(i).copied()), now_ms);
            }
        }
        for source in self.unfinished.iter().copied() {
            let is_idle = idleness.is_idle(source) && !self.paused.contains(&Stream::Input(source));
            if is_idle != self.users.watermark(source).is_passed_over() {
                if is_idle { self.users.pass_over(source) } else { self.users.take_up(source) }
            }
        }
        Ok(())
    }

    /// Closes every boundary that the watermarks allow; at the end of bounded input, all of them.
    fn close(&mut self, now_ms: Ms) -> Result<(), WorkerError> {
        let all_idle = || self.unfinished.iter().all(|s| self.users.watermark(*s).is_passed_over());
        let to_ms = match (&self.idleness, self.unfinished.is_empty()) {
            (_, true) => self.users.end_ms(),
            (Some(idleness), false) if all_idle() => {
                let stride = self.users.closed_ms().or(self.users.end_ms()).map(|ms| ms + STRIDE_MS);
                stride.map(|ms| ms.min(idleness.wall_clock_boundary(now_ms)))
            }
            _ => self.users.aligned_ms(),
        };
        to_ms.map_or(Ok(()), |to_ms| self.close_until(to_ms))
    }

    fn close_until(&mut self, to_ms: Ms) -> Result<(), WorkerError> {
        if self.users.closed_ms().is_none_or(|closed| closed < to_ms) {
            self.users.close_until(to_ms, &mut self.partials, self.store.as_ref())?;
        }
        Ok(())
    }

    /// Pauses partitions that are far ahead of the slowest, so that what waits stays bounded.
    fn balance(&mut self) -> Result<(), WorkerError> {
        if !self.has_all_streams() {
            return Ok(());
        }
        let largest = |source: &u32| self.users.watermark(*source).largest_ms();
        let holding = self.unfinished.iter().filter(|s| !self.users.watermark(**s).is_passed_over());
        let slowest = holding.map(largest).min().flatten();
        let crowded = slowest.is_none() && self.users.waiting() > WAITING_MAX;
        let ahead = |source: &u32| match (largest(source), slowest) {
            (Some(ms), Some(slowest)) => ms > slowest + MAX_SKEW_MS,
            (Some(_), None) => crowded,
            (None, _) => false,
        };
        let streams = self.unfinished.iter().filter(|s| ahead(s)).map(|s| Stream::Input(*s));
        // What is read again as far as it was committed is held back already.
        let pause: Vec<Stream> = streams.filter(|stream| !self.replay.has_arrived(*stream)).collect();
        if pause != self.paused {
            let is_due = |s: &&Stream| !pause.contains(s) && !self.replay.has_arrived(**s);
            let resume: Vec<Stream> = self.paused.iter().filter(is_due).copied().collect();
            self.log.resume(&resume)?;
            self.log.pause(&pause)?;
            self.paused = pause;
        }
        Ok(())
    }

    fn is_finished(&self) -> bool {
        let end = self.users.end_ms();
        // Where every event is excluded, none ever becomes visible: T does not begin.
        let has_no_t = self.users.closed_ms().is_none() && !self.replay.is_under_way();
        let closed = has_no_t || end.is_none() || self.users.closed_ms() == end;
        let rolled_up = end.is_none() || self.rollups.iter().all(|r| r.at_ms().is_none() || r.at_ms() == end);
        let flushed = self.partials.iter().all(|p| p.boundaries.is_empty()) && self.outputs.is_empty();
        self.unfinished.is_empty() && closed && rolled_up && flushed
    }

    /// Whether something waits to be published.
    pub fn has_news(&self) -> bool {
        let closed_ms = self.users.closed_ms();
        let partials = self.partials.iter().any(|p| !p.boundaries.is_empty() || Some(p.up_to_ms) == closed_ms);
        !self.replay.is_under_way() && (partials || !self.outputs.is_empty())
    }

    /// Still reading what was committed before.
    pub fn is_replaying(&self) -> bool {
        self.replay.is_under_way()
    }

    /// Every partition is ours and at its committed offset or beyond: there is something to commit.
    pub fn is_live(&self) -> bool {
        !self.replay.is_under_way() && self.has_all_streams()
    }

    /// Publishes partials and outputs together with the offsets they come from.
    pub fn commit(&mut self, observer: &mut dyn Observer) -> Result<(), WorkerError> {
        if self.replay.is_under_way() {
            return Ok(());
        }
        self.send_partials()?;
        for record in &self.outputs {
            self.log.send(record)?;
        }
        let offsets: Vec<(Stream, NextOffset, String)> =
            self.positions.iter().map(|(stream, next)| (*stream, *next, self.memo(*stream))).collect();
        match self.log.commit(&offsets)? {
            CommitOutcome::Committed => {
                observer.committed(&self.outputs);
                self.outputs.clear();
                self.committed.clone_from(&self.positions);
                Ok(())
            }
            CommitOutcome::Aborted => Err(WorkerError::Aborted),
        }
    }

    fn memo(&self, stream: Stream) -> String {
        let start = self.starts.get(&stream).map_or(0, |next| next.0);
        let raised = match stream {
            Stream::Input(source) => self.raised.of(source),
            _ => Vec::new(),
        };
        Memo { start, closed_ms: self.users.closed_ms(), raised }.to_text()
    }

    /// Whether nothing was read or closed since the last commit: a store never holds what is not
    /// committed.
    fn can_checkpoint(&self) -> bool {
        self.is_live() && self.committed == self.positions && !self.has_news()
    }

    /// Writes what changed since the last checkpoint, with where to read again, as one batch;
    /// `false`: this is not the moment, ask again after the next commit.
    pub fn checkpoint(&mut self, identity: &str) -> Result<bool, WorkerError> {
        if !self.can_checkpoint() {
            return Ok(false);
        }
        let mut batch = Batch::default();
        let next = |stream| self.positions.get(&stream).map_or(0, |next| next.0);
        let positions: Vec<i64> = (0..self.users.source_count() as u32).map(|s| next(Stream::Input(s))).collect();
        let partials: Vec<i64> = (0..self.rollups.len() as u32).map(|p| next(Stream::Partials(p))).collect();
        let users = self.users.save(&positions, &mut batch)?;
        let saved = self.rollups.iter_mut().zip(partials).map(|(rollup, next)| save(rollup, next, &mut batch));
        let rollups = saved.collect::<Result<_, _>>()?;
        for (source, again) in (0..).zip(&users.sources) {
            self.raised.forget_before(source, again.offset);
        }
        Mark { identity: identity.to_owned(), users, rollups }.write(&mut batch)?;
        self.store.write(&mut batch).map_err(CheckpointError::from)?;
        self.store.flush().map_err(CheckpointError::from)?;
        self.users.evict(self.memory_limit_bytes);
        Ok(true)
    }

    fn send_partials(&mut self) -> Result<(), WorkerError> {
        let Some(closed_ms) = self.users.closed_ms() else { return Ok(()) };
        for (partition, partial) in self.partials.iter_mut().enumerate() {
            if partial.boundaries.is_empty() && partial.up_to_ms < closed_ms {
                continue;
            }
            for part in parts::of(std::mem::take(partial))? {
                self.log.send(&RecordOut {
                    topic: Topic::Partials,
                    partition: partition as u32,
                    key: None,
                    value: Some(part),
                    headers: Vec::new(),
                    timestamp_ms: closed_ms,
                })?;
            }
        }
        Ok(())
    }
}

/// Writes all groups of a rollup task, and says where its partials are to be read again from.
fn save(rollup: &mut RollupTask, next: i64, batch: &mut Batch) -> Result<RollupPlace, CheckpointError> {
    let mut rows = Batch::default();
    for group in 0..KEY_GROUPS {
        rollup.save_group(group, &mut rows)?;
    }
    rows_of::write(rollup.partition(), rows, batch);
    Ok(RollupPlace { next_partial: rollup.read_again(next), mark: rollup.mark() })
}

fn take_partial(rollups: &mut [RollupTask], partition: u32, record: &RecordIn<'_>) -> Result<(), WorkerError> {
    let partial = postcard::from_bytes(record.value).map_err(|source| WorkerError::Partial { what: "read", source })?;
    if let Some(rollup) = rollups.get_mut(partition as usize) {
        rollup.apply(record.offset, partial);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
