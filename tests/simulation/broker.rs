//! A model of the parts of Kafka on which exactly-once depends: partitions, transactions with the epochs of their
//! producers, markers that reach partitions one by one, and a group whose offsets are committed in transactions.
//!
//! Delayed requests are modelled, because a delayed commit can end a later transaction of the same epoch. Compaction
//! and the deletion of records are modelled, too; replication, leaders and retention are not.

use crate::group::{Group, MemberId, Offset};
use crate::partition::{Partition, Record, TransactionId};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use tailburn::log::{NextOffset, Stream, TopicId};
use tailburn::model::record::Topic;
use tailburn::model::time::Ms;

/// The brokers abort a transaction that is open for this long.
pub const TRANSACTION_TIMEOUT_MS: Ms = 30_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Input(u32),
    Output(Topic, u32),
}

impl From<Stream> for Place {
    fn from(stream: Stream) -> Place {
        match stream {
            Stream::Input(partition) => Place::Input(partition),
            Stream::Repartition(partition) => Place::Output(Topic::Repartition, partition),
            Stream::Partials(partition) => Place::Output(Topic::Partials, partition),
            Stream::Sources => Place::Output(Topic::Sources, 0),
        }
    }
}

/// Why the brokers refuse a request of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The transactional id has a newer epoch.
    Fenced,
    /// The offsets come from a former member or generation.
    Stale,
}

#[derive(Default)]
struct Producer {
    epoch: u32,
    open: Option<Open>,
}

struct Open {
    id: TransactionId,
    since_ms: Ms,
    places: BTreeSet<Place>,
    offsets: Vec<Offset>,
}

/// A marker that a partition has not received yet.
struct Owed {
    at_tick: u64,
    producer: String,
    transaction: TransactionId,
    is_commit: bool,
    target: Target,
}

enum Target {
    Place(Place),
    Offsets(Vec<Offset>),
}

/// A request that has not arrived yet.
struct Delayed {
    at_tick: u64,
    request: Request,
}

enum Request {
    Commit { producer: String, epoch: u32 },
    DeleteBefore(Place, i64),
}

pub struct Broker {
    partitions: BTreeMap<Place, Partition>,
    producers: BTreeMap<String, Producer>,
    transactions: TransactionId,
    owed: Vec<Owed>,
    delayed: Vec<Delayed>,
    tick: u64,
    pub now_ms: Ms,
    pub group: Group,
    /// Streams whose topic was deleted and created again, so that it has another id.
    pub created_again: BTreeSet<Stream>,
    pub violations: Vec<String>,
}

impl Broker {
    pub fn new(partitions: BTreeMap<Place, Partition>, streams: Vec<Stream>) -> Broker {
        Broker {
            partitions,
            producers: BTreeMap::new(),
            transactions: 0,
            owed: Vec::new(),
            delayed: Vec::new(),
            tick: 0,
            now_ms: 0,
            group: Group::new(streams),
            created_again: BTreeSet::new(),
            violations: Vec::new(),
        }
    }

    /// The topic id of a stream.
    pub fn topic(&self, stream: Stream) -> TopicId {
        let kind: u8 = match stream {
            Stream::Input(_) => 1,
            Stream::Repartition(_) => 2,
            Stream::Partials(_) => 3,
            Stream::Sources => 4,
        };
        TopicId([if self.created_again.contains(&stream) { 16 + kind } else { kind }; 16])
    }

    pub fn partition(&self, place: Place) -> &Partition {
        self.partitions.get(&place).unwrap_or_else(|| panic!("there is no {place:?}"))
    }

    fn partition_mut(&mut self, place: Place) -> &mut Partition {
        self.partitions.get_mut(&place).unwrap_or_else(|| panic!("there is no {place:?}"))
    }

    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.partitions.keys().copied()
    }

    /// Appends a record of a foreign producer, outside any transaction.
    pub fn append(&mut self, place: Place, record: Record) {
        self.partition_mut(place).append(Rc::new(record), None);
    }

    /// Appends a transaction of a foreign producer, without offsets.
    pub fn append_transaction(&mut self, place: Place, records: Vec<Record>, is_commit: bool) {
        let id = self.next_transaction();
        let partition = self.partition_mut(place);
        records.into_iter().for_each(|record| partition.append(Rc::new(record), Some(id)));
        partition.mark(id, is_commit);
    }

    fn next_transaction(&mut self) -> TransactionId {
        self.transactions += 1;
        self.transactions
    }

    /// A producer takes a transactional id: the open transaction of an earlier holder is aborted, and the holder fenced.
    pub fn init(&mut self, producer: &str) -> u32 {
        self.deliver_markers(|owed| owed.producer == producer);
        self.abort_open(producer);
        let state = self.producers.entry(producer.to_owned()).or_default();
        state.epoch += 1;
        state.epoch
    }

    fn abort_open(&mut self, producer: &str) {
        if let Some(open) = self.producers.get_mut(producer).and_then(|state| state.open.take()) {
            self.finish(producer, open, false, 0);
        }
    }

    /// The open transaction of a producer; begins one if there is none.
    fn open(&mut self, producer: &str, epoch: u32) -> Result<&mut Open, Denied> {
        if self.epoch(producer) != Some(epoch) {
            return Err(Denied::Fenced);
        }
        if self.producers.get(producer).is_some_and(|state| state.open.is_none()) {
            // The coordinator does not begin a transaction before all markers of the last one are written.
            self.deliver_markers(|owed| owed.producer == producer);
        }
        let (id, since_ms) = (self.transactions + 1, self.now_ms);
        let state = self.producers.get_mut(producer).ok_or(Denied::Fenced)?;
        if state.open.is_none() {
            self.transactions = id;
        }
        Ok(state.open.get_or_insert_with(|| Open { id, since_ms, places: BTreeSet::new(), offsets: Vec::new() }))
    }

    pub fn epoch(&self, producer: &str) -> Option<u32> {
        self.producers.get(producer).map(|state| state.epoch)
    }

    pub fn send(&mut self, producer: &str, epoch: u32, place: Place, record: Record) -> Result<(), Denied> {
        let open = self.open(producer, epoch)?;
        open.places.insert(place);
        let id = open.id;
        self.partition_mut(place).append(Rc::new(record), Some(id));
        Ok(())
    }

    pub fn send_offsets(
        &mut self,
        producer: &str,
        epoch: u32,
        member: MemberId,
        offsets: &[Offset],
    ) -> Result<(), Denied> {
        let is_member = self.group.accepts(member);
        for (stream, ..) in offsets.iter().filter(|_| is_member) {
            if self.group.owner(*stream) != Some(member) {
                self.violations.push(format!("{member} commits {stream:?}, which it does not own"));
            }
        }
        let open = self.open(producer, epoch)?;
        if !is_member {
            return Err(Denied::Stale);
        }
        open.offsets.extend_from_slice(offsets);
        Ok(())
    }

    /// Ends the open transaction, if there is one; its markers arrive within `late` ticks.
    pub fn end(&mut self, producer: &str, epoch: u32, is_commit: bool, late: u64) -> Result<(), Denied> {
        let state = self.producers.get_mut(producer).filter(|state| state.epoch == epoch).ok_or(Denied::Fenced)?;
        if let Some(open) = state.open.take() {
            self.finish(producer, open, is_commit, late);
        }
        Ok(())
    }

    /// Delays a request to commit. When it arrives, it ends the transaction then open in that epoch, whichever it is.
    pub fn end_later(&mut self, producer: &str, epoch: u32, ticks: u64) {
        let request = Request::Commit { producer: producer.to_owned(), epoch };
        self.delayed.push(Delayed { at_tick: self.tick + ticks, request });
    }

    /// Deletes records, after this many ticks.
    pub fn delete_before(&mut self, place: Place, offset: i64, ticks: u64) {
        let request = Request::DeleteBefore(place, offset);
        self.delayed.push(Delayed { at_tick: self.tick + ticks, request });
        if ticks == 0 {
            self.arrive();
        }
    }

    /// A topic gets one more partition.
    pub fn add(&mut self, place: Place) {
        self.partitions.insert(place, Partition::default());
    }

    /// All records of a partition are gone.
    pub fn lose(&mut self, place: Place) {
        self.partition_mut(place).lose();
    }

    pub fn compact(&mut self, place: Place, to: i64, drops_tombstones: bool) -> usize {
        self.partition_mut(place).compact(to, drops_tombstones)
    }

    /// The coordinator aborts the open transaction, and fences its producer.
    pub fn time_out(&mut self, producer: &str) {
        self.abort_open(producer);
        if let Some(state) = self.producers.get_mut(producer) {
            state.epoch += 1;
        }
    }

    fn finish(&mut self, producer: &str, open: Open, is_commit: bool, late: u64) {
        let places = open.places.into_iter().map(Target::Place);
        let targets = std::iter::once(Target::Offsets(open.offsets)).chain(places);
        for (index, target) in (0..).zip(targets) {
            let at_tick = self.tick + if late == 0 { 0 } else { index % late + 1 };
            let producer = producer.to_owned();
            self.owed.push(Owed { at_tick, producer, transaction: open.id, is_commit, target });
        }
        let tick = self.tick;
        self.deliver_markers(|owed| owed.at_tick <= tick);
    }

    fn deliver_markers(&mut self, which: impl Fn(&Owed) -> bool) {
        let (due, rest) = std::mem::take(&mut self.owed).into_iter().partition(|owed| which(owed));
        self.owed = rest;
        for Owed { transaction, is_commit, target, .. } in due {
            match target {
                Target::Place(place) => self.partition_mut(place).mark(transaction, is_commit),
                Target::Offsets(offsets) if is_commit => {
                    let back = self.group.apply(offsets);
                    self.violations.extend(back.iter().map(|s| format!("the committed offset of {s:?} went back")));
                }
                Target::Offsets(_) => {}
            }
        }
    }

    /// A little time passes, and the markers and requests that are due arrive.
    pub fn tick(&mut self) {
        self.tick += 1;
        let tick = self.tick;
        self.deliver_markers(|owed| owed.at_tick <= tick);
        self.arrive();
        let limit_ms = self.now_ms - TRANSACTION_TIMEOUT_MS;
        let is_overdue = |state: &Producer| state.open.as_ref().is_some_and(|open| open.since_ms < limit_ms);
        let overdue = self.producers.iter().filter(|(_, state)| is_overdue(state)).map(|(name, _)| name.clone());
        overdue.collect::<Vec<_>>().iter().for_each(|producer| self.time_out(producer));
    }

    /// Executes the delayed requests that are due.
    fn arrive(&mut self) {
        let tick = self.tick;
        let (due, rest) = std::mem::take(&mut self.delayed).into_iter().partition(|delayed| delayed.at_tick <= tick);
        self.delayed = rest;
        for Delayed { request, .. } in due {
            match request {
                // Has no effect if another producer has taken the id meanwhile.
                Request::Commit { producer, epoch } => drop(self.end(&producer, epoch, true, 0)),
                Request::DeleteBefore(place, offset) => self.partition_mut(place).delete_before(offset),
            }
        }
    }

    /// Whether the committed offsets of the streams may be returned. While one of them is part of a transaction that has
    /// not ended, the caller must wait.
    pub fn is_stable(&self, streams: &[Stream]) -> bool {
        let is_one = |offsets: &[Offset]| offsets.iter().any(|(stream, ..)| streams.contains(stream));
        let is_open = self.producers.values().filter_map(|p| p.open.as_ref()).any(|open| is_one(&open.offsets));
        !is_open && !self.owed.iter().any(|owed| matches!(&owed.target, Target::Offsets(offsets) if is_one(offsets)))
    }

    /// The committed offset of a stream, even if its marker has not arrived yet and nobody can see it.
    pub fn committed_for_sure(&self, stream: Stream) -> Option<(NextOffset, String)> {
        let owed = self.owed.iter().rev().filter(|owed| owed.is_commit).find_map(|owed| match &owed.target {
            Target::Offsets(offsets) => offsets.iter().find(|(of, ..)| *of == stream),
            Target::Place(_) => None,
        });
        let owed = owed.map(|(_, next, metadata)| (*next, metadata.clone()));
        owed.or_else(|| self.group.committed(stream).map(|c| (c.next, c.metadata.clone())))
    }

    /// Whether no marker or request is outstanding, and no transaction is open.
    pub fn is_calm(&self) -> bool {
        self.owed.is_empty() && self.delayed.is_empty() && self.producers.values().all(|p| p.open.is_none())
    }

    /// Delivers all outstanding markers.
    pub fn settle(&mut self) {
        self.deliver_markers(|_| true);
    }
}
