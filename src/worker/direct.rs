//! The direct worker: one users task reads all input partitions itself, and nothing outlives the
//! process. Backtests and the demo run on it.
//!
//! Tasks, partials and rollups are those of [`super::Worker`]; what lies between route and users there
//! (blocks), and between users and rollups (the bytes of partials), does not change a figure, and what makes a
//! task come back has nobody to serve here.

use super::{Figures, MAX_SKEW_MS, Observer, TaskId, WorkerError, partial_codec};
use crate::log::{CommitOutcome, Log, LogEvent, NextOffset, Stream};
use crate::model::outcome::Outcome;
use crate::model::record::RecordOut;
use crate::model::time::Ms;
use crate::operator::partial::Partial;
use crate::pipeline::clients::Clients;
use crate::pipeline::rollup::RollupTask;
use crate::pipeline::route::Route;
use crate::pipeline::seen::Seen;
use crate::pipeline::users::UsersTask;
use crate::state::MemoryStore;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Where one partition has read nothing yet, the others may bring so many verdicts to wait.
const WAITING_MAX: usize = 4_000_000;
/// So much is said of boundaries (keys, leaves of cubes, users) before it is evaluated, and so many bytes are
/// decided before they are written: a few sparse records may move T by months.
const SAID_MAX: usize = 16_384;
const OUTPUT_BYTES_MAX: usize = 4 << 20;

/// Changes outcomes before they are counted, as if they had been recorded so.
pub trait Overlay {
    /// `None`: the outcome stays as it is.
    fn change<'a>(&mut self, outcome: &Outcome<'a>) -> Option<Outcome<'a>>;
}

/// What one poll did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PollSummary {
    pub records: u64,
    /// Every input ended, and everything that follows from it is committed.
    pub is_finished: bool,
}

/// A worker without a memory of its own.
pub struct DirectWorker<L> {
    pub log: L,
    pub route: Route,
    pub users: UsersTask,
    pub rollups: Vec<RollupTask>,
    partials: Vec<Partial>,
    /// What the rollups hear at the next poll, with the number of their partition.
    visible: Vec<(u32, Partial)>,
    /// How many partials they heard so far.
    heard: i64,
    outputs: Vec<RecordOut>,
    positions: BTreeMap<Stream, NextOffset>,
    unfinished: Vec<u32>,
    paused: Vec<Stream>,
    /// What was read is not closed, evaluated and written yet: nothing more is read until it is.
    is_behind: bool,
    /// What the outcomes look like.
    pub seen: Seen,
    /// Who sent them, where somebody asks.
    pub clients: Option<Clients>,
    /// What is laid over the recorded outcomes, where somebody asks.
    pub overlay: Option<Box<dyn Overlay>>,
    /// Every row is in memory.
    store: MemoryStore,
}

impl<L: Log> DirectWorker<L> {
    pub fn new(log: L, route: Route, users: UsersTask, rollups: Vec<RollupTask>, inputs: u32) -> DirectWorker<L> {
        DirectWorker {
            partials: vec![Partial::default(); rollups.len()],
            log,
            route,
            users,
            rollups,
            visible: Vec::new(),
            heard: 0,
            outputs: Vec::new(),
            positions: BTreeMap::new(),
            unfinished: (0..inputs).collect(),
            paused: Vec::new(),
            is_behind: false,
            seen: Seen::default(),
            clients: None,
            overlay: None,
            store: MemoryStore::default(),
        }
    }

    /// Polls once and closes what can be closed. Nothing is visible before [`DirectWorker::commit`].
    pub fn poll(&mut self, wait: Duration) -> Result<PollSummary, WorkerError> {
        let mut turn = PollSummary { records: self.tell_rollups()?, ..PollSummary::default() };
        let DirectWorker { log, route, users, outputs, positions, seen, clients, overlay, .. } = self;
        let events = log.poll(wait, &mut |stream, record| {
            turn.records += 1;
            positions.insert(stream, NextOffset(record.offset + 1));
            match stream {
                Stream::Input(source) => {
                    let dead_letter = route.apply(source, record, |outcome| {
                        let changed = overlay.as_mut().and_then(|overlay| overlay.change(outcome));
                        let outcome = changed.as_ref().unwrap_or(outcome);
                        let unclassified = users.counts.unclassified;
                        users.apply(source, record.offset, outcome);
                        if let Some(clients) = clients {
                            clients.note(outcome);
                        }
                        if seen.is_due(users.counts.unclassified > unclassified) {
                            seen.look(users.slos().map(|(slo, _)| slo), source, record, outcome);
                        }
                    });
                    outputs.extend(dead_letter);
                }
                Stream::Partials(_) | Stream::Repartition(_) | Stream::Sources => {}
            }
        })?;
        self.note(&events)?;
        self.is_behind = !self.evaluate()? || !self.close()?;
        self.balance()?;
        turn.is_finished = self.is_finished();
        Ok(turn)
    }

    fn note(&mut self, events: &[LogEvent]) -> Result<(), WorkerError> {
        for event in events {
            match event {
                LogEvent::Finished(Stream::Input(source), next) => {
                    self.users.pass_over(*source);
                    self.unfinished.retain(|s| s != source);
                    self.positions.insert(Stream::Input(*source), *next);
                }
                LogEvent::Assigned(assignments) => {
                    self.positions.extend(assignments.iter().map(|a| (a.stream, a.next)));
                }
                LogEvent::Lost(streams) | LogEvent::Revoked(streams) => return Err(WorkerError::Lost(streams.len())),
                LogEvent::Joined | LogEvent::End(..) | LogEvent::Finished(..) => {}
            }
        }
        Ok(())
    }

    /// Evaluates boundary by boundary, and at each key by key, all tasks together: what leaves is sorted by
    /// T and key over all of them. `false`: there is more, and what was decided is to be written first.
    fn evaluate(&mut self) -> Result<bool, WorkerError> {
        let mut bytes = 0;
        while let Some(at_ms) = self.rollups.iter().filter_map(RollupTask::next_ms).min() {
            while let Some(rollup) = next_of(&mut self.rollups, at_ms) {
                let before = self.outputs.len();
                rollup.step_next(&mut self.outputs)?;
                bytes += self.outputs[before..].iter().filter_map(|r| r.value.as_ref()).map(Vec::len).sum::<usize>();
                if bytes > OUTPUT_BYTES_MAX {
                    return Ok(false);
                }
            }
            for rollup in &mut self.rollups {
                rollup.advance_until(at_ms, &mut self.outputs)?;
            }
        }
        for rollup in &mut self.rollups {
            rollup.advance(&mut self.outputs)?;
        }
        Ok(true)
    }

    /// Closes the boundaries that the watermarks allow; at the end of the input, all of them. `false`:
    /// there are more, and what was said is to be evaluated first.
    fn close(&mut self) -> Result<bool, WorkerError> {
        let to_ms = if self.unfinished.is_empty() { self.users.end_ms() } else { self.users.aligned_ms() };
        let Some(to_ms) = to_ms else { return Ok(true) };
        if self.unfinished.is_empty() {
            self.rollups.iter_mut().for_each(|rollup| rollup.end_at(to_ms));
        }
        if self.users.closed_ms().is_none_or(|closed| closed < to_ms) {
            self.users.close_some(to_ms, &mut self.partials, &self.store, SAID_MAX)?;
        }
        Ok(self.users.closed_ms().is_none_or(|closed| closed >= to_ms))
    }

    /// Pauses partitions that are far ahead of the slowest, so that what waits stays bounded; all of them
    /// while there is something to be written first.
    fn balance(&mut self) -> Result<(), WorkerError> {
        let largest = |source: &u32| self.users.watermark(*source).largest_ms();
        let slowest = self.unfinished.iter().map(largest).min().flatten();
        let crowded = slowest.is_none() && self.users.waiting() > WAITING_MAX;
        let ahead = |source: &u32| match (largest(source), slowest) {
            _ if self.is_behind => true,
            (Some(ms), Some(slowest)) => ms > slowest + MAX_SKEW_MS,
            (Some(_), None) => crowded,
            (None, _) => false,
        };
        let pause: Vec<Stream> = self.unfinished.iter().filter(|s| ahead(s)).map(|s| Stream::Input(*s)).collect();
        if pause != self.paused {
            let resume: Vec<Stream> = self.paused.iter().filter(|s| !pause.contains(s)).copied().collect();
            self.log.resume(&resume)?;
            self.log.pause(&pause)?;
            self.paused = pause;
        }
        Ok(())
    }

    pub fn figures(&self) -> Figures {
        Figures {
            counts: self.users.counts,
            dead_letters: self.route.stats.dead_letter_counts(),
            unreadable: self.route.stats.unreadable_counts(),
            rows: self.users.rows(),
            keys: self.rollups.iter().map(RollupTask::keys).sum(),
            evaluated_ms: self.rollups.iter().filter_map(RollupTask::at_ms).min(),
            phases: [0, 0, 1 + self.rollups.len()],
            inputs: self.positions.len(),
            ..Figures::default()
        }
    }

    fn is_finished(&self) -> bool {
        let end = self.users.end_ms();
        // Where every event is excluded, none ever becomes visible: T does not begin.
        let closed = end.is_none() || self.users.closed_ms().is_none() || self.users.closed_ms() == end;
        let rolled_up = end.is_none() || self.rollups.iter().all(|r| r.is_at(end));
        let flushed = self.partials.iter().all(|p| p.boundaries.is_empty()) && self.outputs.is_empty();
        self.unfinished.is_empty() && closed && rolled_up && flushed
    }

    /// Publishes partials and outputs.
    pub fn commit(&mut self, observer: &mut dyn Observer) -> Result<(), WorkerError> {
        let closed_ms = self.users.closed_ms();
        self.visible.extend(partial_codec::news_of(&mut self.partials, &Partial::default(), closed_ms));
        for record in &self.outputs {
            self.log.send(record)?;
        }
        let offsets: Vec<(Stream, NextOffset, String)> =
            self.positions.iter().map(|(stream, next)| (*stream, *next, String::new())).collect();
        match self.log.commit(&offsets)? {
            CommitOutcome::Committed => {
                observer.committed(&self.outputs);
                self.outputs.clear();
                Ok(())
            }
            CommitOutcome::Aborted => Err(WorkerError::Aborted(1)),
        }
    }

    /// Tells the rollups what the last commit published, and returns how many partials that is.
    fn tell_rollups(&mut self) -> Result<u64, WorkerError> {
        let visible = std::mem::take(&mut self.visible);
        let told = visible.len() as u64;
        for (partition, partial) in visible {
            let (task, offset) = (TaskId::Rollup(partition), self.heard);
            self.heard += 1;
            if let Some(rollup) = self.rollups.get_mut(partition as usize) {
                rollup.apply(offset, partial).map_err(|why| WorkerError::SequenceError { task, offset, why })?;
            }
        }
        Ok(told)
    }
}

/// The task whose key comes first of those that have not taken their step at a boundary.
fn next_of(rollups: &mut [RollupTask], at_ms: Ms) -> Option<&mut RollupTask> {
    let mut first: Option<(Arc<str>, usize)> = None;
    for (i, rollup) in rollups.iter_mut().enumerate().filter(|(_, rollup)| rollup.next_ms() == Some(at_ms)) {
        if let Some(key) = rollup.next_key()
            && first.as_ref().is_none_or(|(first, _)| key < first)
        {
            first = Some((Arc::clone(key), i));
        }
    }
    rollups.get_mut(first?.1)
}

#[cfg(test)]
mod tests;
