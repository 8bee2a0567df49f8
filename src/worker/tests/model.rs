//! A model of the brokers that outlives its workers: partitions, transactions, a group that a test moves
//! about by hand, and state directories that stay behind.

use crate::log::{
    Assignment, Changelog, CommitOutcome, Committed, Log, LogError, LogEvent, NextOffset, Stream, TopicId,
};
use crate::model::record::{NoHeaders, RecordIn, RecordOut, Topic};
use crate::state::{Batch, EachRow, MemoryStore, Store, StoreError, Usage};
use crate::worker::{Stores, TaskId};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

type KeyValue = (Option<Vec<u8>>, Vec<u8>);

/// What the brokers keep.
#[derive(Default)]
pub struct Durable {
    pub inputs: Vec<Vec<Vec<u8>>>,
    pub internal: BTreeMap<(Topic, u32), Vec<KeyValue>>,
    pub outputs: Vec<RecordOut>,
    pub committed: BTreeMap<Stream, Committed>,
    /// Below these offsets nothing is left.
    pub purged: BTreeMap<Stream, i64>,
    pub changelog_bytes: usize,
    /// Where they have an id.
    pub topics: BTreeMap<Stream, TopicId>,
}

pub type Brokers = Rc<RefCell<Durable>>;

impl Durable {
    fn len(&self, stream: Stream) -> i64 {
        let len = match stream {
            Stream::Input(number) => self.inputs.get(number as usize).map_or(0, Vec::len),
            other => place(other).and_then(|place| self.internal.get(&place)).map_or(0, Vec::len),
        };
        len as i64
    }

    fn record(&self, stream: Stream, offset: i64) -> Option<KeyValue> {
        match stream {
            Stream::Input(number) => Some((None, self.inputs.get(number as usize)?.get(offset as usize)?.clone())),
            other => self.internal.get(&place(other)?)?.get(offset as usize).cloned(),
        }
    }

    /// Every record of the changelog is deleted.
    pub fn lose_changelog(&mut self) {
        let changelogs = self.internal.iter_mut().filter(|((topic, _), _)| *topic == Topic::Changelog);
        changelogs.flat_map(|(_, log)| log).for_each(|record| *record = (None, Vec::new()));
    }

    /// The oldest changelog record that compaction would leave, by partition and key.
    pub fn compact(&mut self) {
        for ((topic, _), log) in &mut self.internal {
            if *topic == Topic::Changelog {
                let newest: BTreeMap<Vec<u8>, usize> =
                    log.iter().enumerate().filter_map(|(i, (key, _))| Some((key.clone()?, i))).collect();
                for (i, (key, value)) in log.iter_mut().enumerate() {
                    if key.as_ref().is_some_and(|key| newest.get(key) != Some(&i)) {
                        // A hole: offsets stay.
                        (*key, *value) = (None, Vec::new());
                    }
                }
            }
        }
    }
}

fn place(stream: Stream) -> Option<(Topic, u32)> {
    match stream {
        Stream::Input(_) => None,
        Stream::Repartition(number) => Some((Topic::Repartition, number)),
        Stream::Partials(number) => Some((Topic::Partials, number)),
        Stream::Sources => Some((Topic::Sources, 0)),
    }
}

/// One worker's view of them.
pub struct TestLog {
    brokers: Brokers,
    next: BTreeMap<Stream, i64>,
    events: VecDeque<LogEvent>,
    revoked: Vec<Stream>,
    paused: BTreeSet<Stream>,
    sent: Vec<RecordOut>,
    sources_next: i64,
    /// Records handed over of a partition at a poll.
    pub batch: usize,
    /// So many of the next commits are aborted.
    pub aborts: u32,
    /// Inputs end, and for good.
    pub is_bounded: bool,
}

impl TestLog {
    pub fn open(brokers: &Brokers, batch: usize) -> TestLog {
        TestLog {
            brokers: Rc::clone(brokers),
            next: BTreeMap::new(),
            events: VecDeque::new(),
            revoked: Vec::new(),
            paused: BTreeSet::new(),
            sent: Vec::new(),
            sources_next: 0,
            batch,
            aborts: 0,
            is_bounded: false,
        }
    }

    pub fn owned(&self) -> Vec<Stream> {
        self.next.keys().copied().collect()
    }

    pub fn assign(&mut self, streams: &[Stream]) {
        let brokers = self.brokers.borrow();
        let assignments = streams.iter().map(|stream| {
            let committed = brokers.committed.get(stream).cloned();
            let next = committed.as_ref().map_or(NextOffset(0), |c| c.next);
            self.next.insert(*stream, next.0);
            let log_start = NextOffset(brokers.purged.get(stream).copied().unwrap_or(0));
            let topic = brokers.topics.get(stream).copied().unwrap_or_default();
            Assignment { stream: *stream, topic, name: format!("{stream:?}"), next, log_start, committed }
        });
        let assignments: Vec<Assignment> = assignments.collect();
        self.events.push_back(LogEvent::Assigned(assignments));
    }

    pub fn join_with_nothing(&mut self) {
        self.events.push_back(LogEvent::Joined);
    }

    pub fn revoke(&mut self, streams: &[Stream]) {
        self.revoked.extend(streams);
        self.events.push_back(LogEvent::Revoked(streams.to_vec()));
    }
}

fn hand(each: &mut dyn FnMut(Stream, &RecordIn<'_>), stream: Stream, offset: i64, (key, value): &KeyValue) {
    let key = key.as_deref();
    each(stream, &RecordIn { partition: 0, offset, key, value, timestamp_ms: None, headers: &NoHeaders });
}

impl Log for TestLog {
    fn poll(&mut self, _: Duration, each: &mut dyn FnMut(Stream, &RecordIn<'_>)) -> Result<Vec<LogEvent>, LogError> {
        let brokers = Rc::clone(&self.brokers);
        let brokers = brokers.borrow();
        while let Some(record) = brokers.record(Stream::Sources, self.sources_next) {
            hand(each, Stream::Sources, self.sources_next, &record);
            self.sources_next += 1;
        }
        if let Some(event) = self.events.pop_front() {
            return Ok(vec![event]);
        }
        for stream in std::mem::take(&mut self.revoked) {
            self.next.remove(&stream);
            self.paused.remove(&stream);
        }
        let mut events = Vec::new();
        for (stream, next) in self.next.iter_mut().filter(|(s, _)| !self.paused.contains(s)) {
            let end = brokers.len(*stream).min(*next + self.batch as i64);
            assert!(
                *next >= brokers.purged.get(stream).copied().unwrap_or(0),
                "{stream:?} is read where it was purged"
            );
            for offset in *next..end {
                hand(each, *stream, offset, &brokers.record(*stream, offset).expect("a record"));
            }
            *next = end;
            if matches!(stream, Stream::Input(_)) && end == brokers.len(*stream) {
                let event = if self.is_bounded { LogEvent::Finished } else { LogEvent::End };
                events.push(event(*stream, NextOffset(end)));
            }
        }
        Ok(events)
    }

    fn send(&mut self, record: &RecordOut) -> Result<(), LogError> {
        self.sent.push(record.clone());
        Ok(())
    }

    fn commit(&mut self, offsets: &[(Stream, NextOffset, String)]) -> Result<CommitOutcome, LogError> {
        let sent = std::mem::take(&mut self.sent);
        if self.aborts > 0 {
            self.aborts -= 1;
            return Ok(CommitOutcome::Aborted);
        }
        let mut brokers = self.brokers.borrow_mut();
        for record in sent {
            if Topic::INTERNAL.contains(&record.topic) {
                if record.topic == Topic::Changelog {
                    brokers.changelog_bytes += record.value.as_ref().map_or(0, Vec::len);
                }
                let log = brokers.internal.entry((record.topic, record.partition)).or_default();
                log.push((record.key, record.value.unwrap_or_default()));
            } else {
                brokers.outputs.push(record);
            }
        }
        for (stream, next, metadata) in offsets {
            assert!(self.next.contains_key(stream), "an offset of {stream:?}, which is not ours");
            let before = brokers.committed.get(stream).map_or(NextOffset(0), |c| c.next);
            assert!(before <= *next, "{stream:?} goes back from {before:?} to {next:?}");
            assert!(metadata.len() <= 4_096, "{metadata}");
            brokers.committed.insert(*stream, Committed { next: *next, metadata: metadata.clone() });
        }
        Ok(CommitOutcome::Committed)
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.sent.clear();
        Ok(())
    }

    fn ends(&mut self, streams: &[Stream]) -> Result<Option<Vec<NextOffset>>, LogError> {
        let brokers = self.brokers.borrow();
        Ok(Some(streams.iter().map(|stream| NextOffset(brokers.len(*stream))).collect()))
    }

    fn seek(&mut self, stream: Stream, next: NextOffset) -> Result<(), LogError> {
        assert!(self.next.insert(stream, next.0).is_some(), "{stream:?} is not ours");
        Ok(())
    }

    fn pause(&mut self, streams: &[Stream]) -> Result<(), LogError> {
        self.paused.extend(streams);
        Ok(())
    }

    fn resume(&mut self, streams: &[Stream]) -> Result<(), LogError> {
        self.paused.retain(|s| !streams.contains(s));
        Ok(())
    }

    fn changelog_range(&mut self, partition: u32) -> Result<Range<NextOffset>, LogError> {
        let brokers = self.brokers.borrow();
        let end = brokers.internal.get(&(Topic::Changelog, partition)).map_or(0, Vec::len);
        Ok(NextOffset(0)..NextOffset(end as i64))
    }

    fn changelog(&mut self, partition: u32, from: NextOffset) -> Result<Box<dyn Changelog>, LogError> {
        Ok(Box::new(Reader { brokers: Rc::clone(&self.brokers), partition, next: from.0 as usize, batch: self.batch }))
    }

    fn purge(&mut self, before: &[(Stream, NextOffset)]) {
        let mut brokers = self.brokers.borrow_mut();
        for (stream, next) in before {
            brokers.purged.insert(*stream, next.0);
        }
    }
}

struct Reader {
    brokers: Brokers,
    partition: u32,
    next: usize,
    batch: usize,
}

impl Changelog for Reader {
    fn read(&mut self, _: Duration, each: &mut dyn FnMut(&RecordIn<'_>)) -> Result<bool, LogError> {
        let brokers = self.brokers.borrow();
        let Some(log) = brokers.internal.get(&(Topic::Changelog, self.partition)) else { return Ok(true) };
        for _ in 0..self.batch {
            let Some((key, value)) = log.get(self.next) else { return Ok(true) };
            let offset = self.next as i64;
            self.next += 1;
            if let Some(key) = key {
                let headers = &NoHeaders;
                each(&RecordIn { partition: 0, offset, key: Some(key), value, timestamp_ms: None, headers });
            }
        }
        Ok(false)
    }
}

/// A store that outlives its worker, as a directory does. What was not flushed is lost in a crash.
#[derive(Clone, Default)]
pub struct SharedStore(Rc<RefCell<Rows>>);

#[derive(Default)]
struct Rows {
    now: MemoryStore,
    /// Written since the last flush.
    loose: Vec<Batch>,
    flushed: MemoryStore,
}

impl SharedStore {
    /// The process died: `kept` of the batches since the last flush are on disk all the same.
    fn crash(&self, kept: usize) {
        let rows = &mut *self.0.borrow_mut();
        for mut batch in std::mem::take(&mut rows.loose).into_iter().take(kept) {
            rows.flushed.write(&mut batch).expect("written");
        }
        let mut all = Batch::new();
        rows.flushed
            .scan(&[], &mut |key, value| {
                all.put(key, value);
                std::ops::ControlFlow::Continue(())
            })
            .expect("a scan");
        rows.now = MemoryStore::default();
        rows.now.write(&mut all).expect("written");
    }
}

impl Store for SharedStore {
    fn get(&self, key: &[u8], into: &mut Vec<u8>) -> Result<bool, StoreError> {
        self.0.borrow().now.get(key, into)
    }

    fn multi_get(&self, keys: &[&[u8]], each: &mut dyn FnMut(usize, Option<&[u8]>)) -> Result<(), StoreError> {
        self.0.borrow().now.multi_get(keys, each)
    }

    fn scan(&self, prefix: &[u8], each: &mut EachRow<'_>) -> Result<(), StoreError> {
        self.0.borrow().now.scan(prefix, each)
    }

    fn write(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        let rows = &mut *self.0.borrow_mut();
        rows.loose.push(batch.clone());
        rows.now.write(batch)
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        let rows = &mut *self.0.borrow_mut();
        rows.loose.drain(..).try_for_each(|mut batch| rows.flushed.write(&mut batch))
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        self.0.borrow().now.usage()
    }
}

/// A state directory.
#[derive(Clone, Default)]
pub struct Directory {
    stores: Rc<RefCell<BTreeMap<TaskId, SharedStore>>>,
}

impl Directory {
    /// Everything is gone.
    pub fn lose(&self) {
        self.stores.borrow_mut().clear();
    }

    /// The process died; `kept` says how many of the batches that were not flushed are there.
    pub fn crash(&self, kept: &mut dyn FnMut() -> usize) {
        self.stores.borrow().values().for_each(|store| store.crash(kept()));
    }
}

impl Stores for Directory {
    fn open(&mut self, task: TaskId) -> Result<Box<dyn Store>, StoreError> {
        Ok(Box::new(self.stores.borrow_mut().entry(task).or_default().clone()))
    }

    fn wipe(&mut self, task: TaskId) -> Result<(), StoreError> {
        self.stores.borrow_mut().remove(&task);
        Ok(())
    }
}
