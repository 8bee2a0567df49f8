//! The log inside one process: input partitions, partials that become visible with the commit, and a
//! sink for output records. Backtests, the demo, tests and simulations use it.
//!
//! It stores nothing on disk, and loses nothing while the process lives: a producer waits while its
//! partition is full.

use super::{Assignment, Changelog, CommitOutcome, Log, LogError, LogEvent, NextOffset, Stream, TopicId};
use crate::model::record::{NoHeaders, RecordIn, RecordOut, Topic};
use crate::model::time::Ms;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many records are read from one partition before the next one.
const BATCH: usize = 1_024;

/// Whether a source has more records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceState {
    More,
    /// None now, but more may come.
    Waiting,
    /// None will ever come.
    Finished,
}

/// An input partition.
pub trait Source {
    /// Passes on at most `max` records in order.
    fn read(&mut self, max: usize, each: &mut dyn FnMut(&RecordIn<'_>)) -> Result<SourceState, LogError>;

    /// Waits at most this long for a record, after there was none.
    fn wait(&mut self, _at_most: Duration) {}
}

/// Takes the output records of a commit, all at once.
pub trait Sink {
    fn commit(&mut self, records: Vec<RecordOut>) -> Result<(), LogError>;
}

/// Keeps no output: an observer keeps what somebody needs of it.
pub struct Nowhere;

impl Sink for Nowhere {
    fn commit(&mut self, _records: Vec<RecordOut>) -> Result<(), LogError> {
        Ok(())
    }
}

struct Input {
    source: Box<dyn Source>,
    next: NextOffset,
    state: SourceState,
    is_paused: bool,
}

/// The embedded log.
pub struct EmbeddedLog<S> {
    inputs: Vec<Input>,
    partials: Vec<Internal>,
    sent: Vec<RecordOut>,
    sink: S,
    is_assigned: bool,
}

#[derive(Default)]
struct Internal {
    visible: VecDeque<Vec<u8>>,
    next: i64,
}

impl<S: Sink> EmbeddedLog<S> {
    pub fn new(sources: Vec<Box<dyn Source>>, partials: u32, sink: S) -> EmbeddedLog<S> {
        let input = |source| Input { source, next: NextOffset(0), state: SourceState::More, is_paused: false };
        EmbeddedLog {
            inputs: sources.into_iter().map(input).collect(),
            partials: (0..partials).map(|_| Internal::default()).collect(),
            sent: Vec::new(),
            sink,
            is_assigned: false,
        }
    }

    pub fn sink(&self) -> &S {
        &self.sink
    }

    pub fn into_sink(self) -> S {
        self.sink
    }

    fn streams(&self) -> Vec<Stream> {
        let inputs = (0..self.inputs.len() as u32).map(Stream::Input);
        inputs.chain((0..self.partials.len() as u32).map(Stream::Partials)).collect()
    }

    fn read_partials(&mut self, each: &mut dyn FnMut(Stream, &RecordIn<'_>)) -> bool {
        let mut any = false;
        for (stream, partition) in (0..).map(Stream::Partials).zip(&mut self.partials) {
            while let Some(value) = partition.visible.pop_front() {
                any = true;
                each(stream, &record(0, partition.next, &value, None));
                partition.next += 1;
            }
        }
        any
    }

    fn read_inputs(
        &mut self,
        each: &mut dyn FnMut(Stream, &RecordIn<'_>),
        events: &mut Vec<LogEvent>,
    ) -> Result<bool, LogError> {
        let mut any = false;
        for (index, input) in self.inputs.iter_mut().enumerate() {
            if input.is_paused || input.state == SourceState::Finished {
                continue;
            }
            let stream = Stream::Input(index as u32);
            let before = input.next;
            let state = input.source.read(BATCH, &mut |record| {
                input.next = NextOffset(record.offset + 1);
                each(stream, record);
            })?;
            any |= input.next != before || state == SourceState::Finished;
            match state {
                SourceState::Finished => events.push(LogEvent::Finished(stream, input.next)),
                SourceState::Waiting if input.state == SourceState::More => {
                    events.push(LogEvent::End(stream, input.next));
                }
                _ => {}
            }
            input.state = state;
        }
        Ok(any)
    }
}

fn record<'a>(partition: u32, offset: i64, value: &'a [u8], timestamp_ms: Option<Ms>) -> RecordIn<'a> {
    RecordIn { partition, offset, key: None, value, timestamp_ms, headers: &NoHeaders }
}

impl<S: Sink> Log for EmbeddedLog<S> {
    fn poll(&mut self, wait: Duration, each: &mut dyn FnMut(Stream, &RecordIn<'_>)) -> Result<Vec<LogEvent>, LogError> {
        let mut events = Vec::new();
        if !self.is_assigned {
            self.is_assigned = true;
            let ours = |stream| Assignment {
                stream,
                topic: TopicId::UNKNOWN,
                name: format!("{stream:?}"),
                next: NextOffset(0),
                log_start: NextOffset(0),
                committed: None,
            };
            return Ok(vec![LogEvent::Assigned(self.streams().into_iter().map(ours).collect())]);
        }
        let any_partials = self.read_partials(each);
        let any_input = self.read_inputs(each, &mut events)?;
        if !any_partials
            && !any_input
            && !wait.is_zero()
            && let Some(input) = self.inputs.iter_mut().find(|i| i.state == SourceState::Waiting && !i.is_paused)
        {
            input.source.wait(wait);
        }
        Ok(events)
    }

    fn send(&mut self, record: &RecordOut) -> Result<(), LogError> {
        self.sent.push(record.clone());
        Ok(())
    }

    fn commit(&mut self, _offsets: &[(Stream, NextOffset, String)]) -> Result<CommitOutcome, LogError> {
        let mut outputs = Vec::with_capacity(self.sent.len());
        for record in std::mem::take(&mut self.sent) {
            match (record.topic, self.partials.get_mut(record.partition as usize)) {
                (Topic::Partials, Some(partition)) => partition.visible.extend(record.value),
                (Topic::Partials, None) => {
                    return Err(LogError::Broken(format!("there is no partials partition {}", record.partition)));
                }
                (Topic::Repartition | Topic::Changelog | Topic::Sources, _) => {}
                _ => outputs.push(record),
            }
        }
        self.sink.commit(outputs)?;
        Ok(CommitOutcome::Committed)
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.sent.clear();
        Ok(())
    }

    fn seek(&mut self, stream: Stream, _next: NextOffset) -> Result<(), LogError> {
        Err(LogError::Broken(format!("{stream:?} of the embedded log cannot be read again")))
    }

    /// An input's known end is where reading has come to. Internal partitions end after what is visible.
    fn ends(&mut self, streams: &[Stream]) -> Result<Option<Vec<NextOffset>>, LogError> {
        let internal =
            |partition: Option<&Internal>| NextOffset(partition.map_or(0, |p| p.next + p.visible.len() as i64));
        let end = |stream: &Stream| match stream {
            Stream::Input(index) => self.inputs.get(*index as usize).map_or(NextOffset(0), |input| input.next),
            Stream::Partials(index) => internal(self.partials.get(*index as usize)),
            Stream::Repartition(_) | Stream::Sources => NextOffset(0),
        };
        Ok(Some(streams.iter().map(end).collect()))
    }

    fn pause(&mut self, streams: &[Stream]) -> Result<(), LogError> {
        self.set_paused(streams, true);
        Ok(())
    }

    fn resume(&mut self, streams: &[Stream]) -> Result<(), LogError> {
        self.set_paused(streams, false);
        Ok(())
    }

    /// There is no changelog.
    fn changelog_range(&mut self, _partition: u32) -> Result<Range<NextOffset>, LogError> {
        Ok(NextOffset(0)..NextOffset(0))
    }

    fn changelog(&mut self, partition: u32, _from: NextOffset) -> Result<Box<dyn Changelog>, LogError> {
        Err(no_changelog(partition))
    }

    fn purge(&mut self, _before: &[(Stream, NextOffset)]) {}
}

fn no_changelog(partition: u32) -> LogError {
    LogError::Broken(format!("the embedded log has no changelog (partition {partition})"))
}

impl<S> EmbeddedLog<S> {
    fn set_paused(&mut self, streams: &[Stream], is_paused: bool) {
        for stream in streams {
            if let Stream::Input(index) = stream
                && let Some(input) = self.inputs.get_mut(*index as usize)
            {
                input.is_paused = is_paused;
            }
        }
    }
}

/// A record in a queue.
#[derive(Clone, Debug)]
struct Queued {
    value: Vec<u8>,
    timestamp_ms: Option<Ms>,
}

#[derive(Default)]
struct QueueState {
    records: VecDeque<Queued>,
    is_closed: bool,
}

#[derive(Default)]
struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        // A panic aborts the process, so a poisoned queue is never seen.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The producing end of an in-process partition.
#[derive(Clone)]
pub struct Producer {
    queue: Arc<Queue>,
    capacity: usize,
}

impl Producer {
    /// Appends a record. Waits while the partition is full. `false`: there is no reader any more.
    pub fn send(&self, value: Vec<u8>, timestamp_ms: Option<Ms>) -> bool {
        let mut state = self.queue.lock();
        while state.records.len() >= self.capacity && !state.is_closed {
            state = self.queue.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_closed {
            return false;
        }
        state.records.push_back(Queued { value, timestamp_ms });
        self.queue.changed.notify_all();
        true
    }

    /// Ends the partition after the records that were sent.
    pub fn close(&self) {
        self.queue.lock().is_closed = true;
        self.queue.changed.notify_all();
    }
}

/// The reading end of an in-process partition.
pub struct QueueSource {
    queue: Arc<Queue>,
    partition: u32,
    next: i64,
}

impl Drop for QueueSource {
    fn drop(&mut self) {
        self.queue.lock().is_closed = true;
        self.queue.changed.notify_all();
    }
}

/// An in-process partition that holds at most `capacity` unread records.
pub fn queue(partition: u32, capacity: usize) -> (Producer, QueueSource) {
    let queue = Arc::new(Queue::default());
    (Producer { queue: Arc::clone(&queue), capacity: capacity.max(1) }, QueueSource { queue, partition, next: 0 })
}

impl Source for QueueSource {
    fn read(&mut self, max: usize, each: &mut dyn FnMut(&RecordIn<'_>)) -> Result<SourceState, LogError> {
        let (batch, state) = {
            let mut queue = self.queue.lock();
            let count = queue.records.len().min(max);
            let batch: Vec<Queued> = queue.records.drain(..count).collect();
            let state = match (queue.records.is_empty(), queue.is_closed) {
                (false, _) => SourceState::More,
                (true, true) => SourceState::Finished,
                (true, false) => SourceState::Waiting,
            };
            self.queue.changed.notify_all();
            (batch, state)
        };
        for queued in batch {
            each(&record(self.partition, self.next, &queued.value, queued.timestamp_ms));
            self.next += 1;
        }
        Ok(state)
    }

    fn wait(&mut self, at_most: Duration) {
        let state = self.queue.lock();
        if state.records.is_empty() && !state.is_closed {
            let _ = self.queue.changed.wait_timeout(state, at_most).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Collected(Vec<RecordOut>);

    impl Sink for Collected {
        fn commit(&mut self, records: Vec<RecordOut>) -> Result<(), LogError> {
            self.0.extend(records);
            Ok(())
        }
    }

    fn out(topic: Topic, value: &[u8]) -> RecordOut {
        RecordOut { topic, partition: 0, key: None, value: Some(value.to_vec()), headers: Vec::new(), timestamp_ms: 0 }
    }

    #[test]
    fn nothing_is_visible_before_the_commit_and_nothing_after_an_abort() {
        let mut log = EmbeddedLog::new(Vec::new(), 1, Collected::default());
        let read = |log: &mut EmbeddedLog<Collected>| {
            let mut seen = Vec::new();
            log.poll(Duration::ZERO, &mut |_, record| seen.push(record.value.to_vec())).expect("a poll");
            seen
        };
        log.send(&out(Topic::Partials, b"dropped")).expect("sent");
        log.abort().expect("aborted");
        log.send(&out(Topic::Partials, b"kept")).expect("sent");
        log.send(&out(Topic::SloStatus, b"status")).expect("sent");
        assert!(read(&mut log).is_empty());
        log.commit(&[]).expect("committed");
        assert_eq!(read(&mut log), [b"kept".to_vec()]);
        assert_eq!(log.into_sink().0, [out(Topic::SloStatus, b"status")]);
    }

    #[test]
    fn a_full_partition_makes_its_producer_wait_and_loses_nothing() {
        let (producer, source) = queue(0, 3);
        let sender = std::thread::spawn(move || {
            (0..10_000u32).for_each(|i| assert!(producer.send(i.to_le_bytes().to_vec(), None)));
            producer.close();
        });
        let mut log = EmbeddedLog::new(vec![Box::new(source)], 0, Collected::default());
        let mut seen = Vec::new();
        loop {
            let wait = Duration::from_millis(50);
            let events = log.poll(wait, &mut |_, record| seen.push((record.offset, record.value.to_vec())));
            if events.expect("a poll").iter().any(|e| matches!(e, LogEvent::Finished(..))) {
                break;
            }
        }
        sender.join().expect("the producer ends");
        let sent: Vec<_> = (0..10_000u32).map(|i| (i64::from(i), i.to_le_bytes().to_vec())).collect();
        assert_eq!(seen, sent);
    }
}
