//! The log of a process: `tailburn::log::Log` over the model of the brokers, with the manners of the
//! one over Kafka. A rebalance takes two polls, a failed commit goes back to the committed offsets, a
//! producer is renewed after a disturbed commit, and leaving drops what is open.

use crate::broker::{Denied, Place, TRANSACTION_TIMEOUT_MS};
use crate::faults::Fault;
use crate::group::MemberId;
use crate::partition::{Batch, Record};
use crate::world::{Life, Shared, World};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;
use tailburn::log::{Assignment, CommitOutcome, Log, LogError, LogEvent, NextOffset, Stream};
use tailburn::model::record::{Headers, RecordIn, RecordOut};
use tailburn::model::time::Ms;

/// A member that is not heard for so long is expelled.
const SESSION_MS: Ms = 10_000;

/// The brokers' default of `offset.metadata.max.bytes`.
const METADATA_MAX: usize = 4_096;

pub struct SimLog {
    world: Shared,
    life: Life,
    producer: String,
    epoch: u32,
    member: Option<MemberId>,
    generation: u32,
    /// Polls until the group has given former members up and lets a new one in.
    waits: u64,
    /// Assignments that are still to come.
    pieces: Vec<Vec<Stream>>,
    /// What is ours, and the offset to go back to after an abort.
    owned: BTreeMap<Stream, NextOffset>,
    /// Assigned, to be read from the next poll on.
    owed: BTreeMap<Stream, i64>,
    positions: BTreeMap<Stream, i64>,
    told_end: BTreeMap<Stream, i64>,
    paused: BTreeSet<Stream>,
    unsent: Vec<RecordOut>,
    /// The open transaction can only be aborted.
    is_doomed: bool,
    is_disturbed: bool,
}

fn broken(what: &str) -> LogError {
    LogError::Broken(what.to_owned())
}

fn dead<T>() -> Result<T, LogError> {
    Err(broken("the process died"))
}

impl SimLog {
    /// Takes the transactional id up; the group is joined with the first polls.
    pub fn open(world: &Shared, life: &Life, producer: &str) -> SimLog {
        let mut inside = world.borrow_mut();
        let epoch = inside.broker.init(producer);
        let waits = if inside.broker.group.is_empty() { 0 } else { inside.reading.below(20) };
        drop(inside);
        SimLog {
            world: Rc::clone(world),
            life: life.clone(),
            producer: producer.to_owned(),
            epoch,
            member: None,
            generation: 0,
            waits,
            pieces: Vec::new(),
            owned: BTreeMap::new(),
            owed: BTreeMap::new(),
            positions: BTreeMap::new(),
            told_end: BTreeMap::new(),
            paused: BTreeSet::new(),
            unsent: Vec::new(),
            is_doomed: false,
            is_disturbed: false,
        }
    }

    /// Whether everything that may be read was read.
    pub fn is_at_ends(&self) -> bool {
        let world = self.world.borrow();
        let is_at_end =
            |(stream, next): (&Stream, &i64)| world.broker.partition((*stream).into()).stable_end() == *next;
        self.owed.is_empty() && self.positions.iter().all(is_at_end)
    }

    fn die_or(&self, world: &mut World, fault: Fault) -> Result<(), LogError> {
        if self.life.dies(&mut world.faults, fault) { dead() } else { Ok(()) }
    }

    /// What the group has to say; `None`: nothing, so that there may be records.
    fn group_events(&mut self, world: &mut World) -> Option<Vec<LogEvent>> {
        let Some(member) = self.member else {
            if self.waits > 0 {
                self.waits -= 1;
                return Some(Vec::new());
            }
            // Whoever was a member before has no session any more.
            world.broker.group.expel_all();
            self.join(world);
            return Some(Vec::new());
        };
        let Some(ours) = world.broker.group.assigned(member) else {
            let lost: Vec<Stream> = std::mem::take(&mut self.owned).into_keys().collect();
            (self.positions, self.owed, self.pieces) = Default::default();
            self.member = None;
            return Some(vec![LogEvent::Lost(lost)]);
        };
        if world.broker.group.generation != self.generation {
            // Another member came or went. What is new comes as it does at the beginning.
            self.generation = world.broker.group.generation;
            let gone: Vec<Stream> = self.owned.keys().filter(|stream| !ours.contains(stream)).copied().collect();
            let new: Vec<Stream> = ours.iter().filter(|stream| !self.owned.contains_key(stream)).copied().collect();
            self.pieces = vec![new];
            self.owned.retain(|stream, _| !gone.contains(stream));
            self.positions.retain(|stream, _| !gone.contains(stream));
            return Some(vec![LogEvent::Revoked(gone)]);
        }
        let piece = self.pieces.pop()?;
        Some(vec![LogEvent::Assigned(self.take(world, &piece))])
    }

    fn join(&mut self, world: &mut World) {
        let member = world.broker.group.join();
        self.member = Some(member);
        self.generation = world.broker.group.generation;
        let mut streams: Vec<Stream> = world.broker.group.assigned(member).into_iter().flatten().copied().collect();
        if world.faults.strikes(Fault::AssignedInPieces) {
            world.reading.shuffle(&mut streams);
            let size = 1 + world.reading.below(streams.len() as u64) as usize;
            self.pieces = streams.chunks(size).map(<[Stream]>::to_vec).collect();
        } else {
            self.pieces = vec![streams];
        }
    }

    fn take(&mut self, world: &mut World, streams: &[Stream]) -> Vec<Assignment> {
        world.broker.settle_offsets();
        let mut assignments = Vec::new();
        for stream in streams.iter().copied() {
            let log_start = NextOffset(world.broker.partition(stream.into()).start());
            let committed = world.broker.group.committed(stream).cloned();
            let next = committed.as_ref().map_or(log_start, |committed| committed.next);
            self.owned.insert(stream, next);
            self.owed.insert(stream, next.0);
            assignments.push(Assignment { stream, next, log_start, committed });
        }
        assignments.sort_by_key(|assignment| assignment.stream);
        assignments
    }

    /// Some of what there is, from some of the partitions, in any order.
    fn fetch(&mut self, world: &mut World) -> (Vec<(Stream, Batch)>, Vec<LogEvent>) {
        let (mut batches, mut events) = (Vec::new(), Vec::new());
        let mut streams: Vec<Stream> = self.positions.keys().filter(|s| !self.paused.contains(s)).copied().collect();
        world.reading.shuffle(&mut streams);
        for stream in streams {
            if world.reading.one_in(4) {
                continue;
            }
            let most = 1 + world.reading.below(world.batch) as usize;
            let partition = world.broker.partition(stream.into());
            let (batch, next) = partition.read(self.positions[&stream], most);
            self.positions.insert(stream, next);
            batches.push((stream, batch));
            if next == partition.stable_end() && self.told_end.insert(stream, next) != Some(next) {
                events.push(LogEvent::End(stream, NextOffset(next)));
            }
        }
        (batches, events)
    }

    /// Hands what was sent so far to the brokers.
    fn deliver(&mut self, world: &mut World) -> Result<(), LogError> {
        for out in std::mem::take(&mut self.unsent) {
            let RecordOut { topic, partition, key, value, headers, timestamp_ms } = out;
            let record = Record { key, value, headers, timestamp_ms };
            let place = Place::Output(topic, partition);
            world.broker.send(&self.producer, self.epoch, place, record).map_err(denied)?;
        }
        Ok(())
    }

    fn drop_transaction(&mut self, world: &mut World) -> Result<CommitOutcome, LogError> {
        self.unsent.clear();
        self.is_doomed = false;
        world.broker.end(&self.producer, self.epoch, false, 0).map_err(denied)?;
        for (stream, next) in &self.owned {
            self.positions.insert(*stream, next.0);
            self.told_end.remove(stream);
        }
        Ok(CommitOutcome::Aborted)
    }

    /// Brokers that are silent are waited for, as long as a transaction may be open.
    fn wait_for_brokers(&mut self, world: &mut World) -> Result<(), LogError> {
        if !world.is_silent() {
            return Ok(());
        }
        self.is_disturbed = true;
        let back_ms = world.silent_until_ms;
        if back_ms - world.now_ms() >= TRANSACTION_TIMEOUT_MS {
            world.broker.now_ms += TRANSACTION_TIMEOUT_MS;
            return Err(broken("the brokers do not answer"));
        }
        world.broker.now_ms = back_ms;
        Ok(())
    }

    fn check_offsets(&self, world: &mut World, offsets: &[(Stream, NextOffset, String)]) {
        let named: BTreeSet<Stream> = offsets.iter().map(|(stream, ..)| *stream).collect();
        let owned: BTreeSet<Stream> = self.owned.keys().copied().collect();
        if named != owned || named.len() != offsets.len() {
            world.violated(format!("a commit names {named:?}, and {owned:?} are owned"));
        }
        if let Some((stream, _, metadata)) = offsets.iter().find(|(.., metadata)| metadata.len() > METADATA_MAX) {
            world.violated(format!("the note of {stream:?} has {} bytes", metadata.len()));
        }
    }

    fn publish(
        &mut self,
        world: &mut World,
        offsets: &[(Stream, NextOffset, String)],
    ) -> Result<CommitOutcome, LogError> {
        self.die_or(world, Fault::CrashBeforeCommit)?;
        self.wait_for_brokers(world)?;
        if world.faults.strikes(Fault::TimedOut) {
            world.broker.time_out(&self.producer);
        }
        if world.faults.strikes(Fault::Fenced) {
            world.broker.init(&self.producer);
        }
        if world.faults.strikes(Fault::LostUnnoticed) {
            world.broker.group.expel_all();
        }
        self.deliver(world)?;
        // Time goes by between records and offsets: something that was on its way may come now.
        world.broker.tick();
        let member = (self.member.unwrap_or_default(), self.generation);
        match world.broker.send_offsets(&self.producer, self.epoch, member, offsets) {
            Ok(()) => {}
            Err(Denied::Stale) => return self.drop_transaction(world),
            Err(Denied::Fenced) => return Err(denied(Denied::Fenced)),
        }
        if self.is_doomed || world.faults.strikes(Fault::Aborted) {
            return self.drop_transaction(world);
        }
        self.die_or(world, Fault::CrashBeforeEnd)?;
        self.end(world)?;
        Ok(CommitOutcome::Committed)
    }

    fn end(&mut self, world: &mut World) -> Result<(), LogError> {
        if world.faults.strikes(Fault::EndLost) {
            return Err(broken("the commit was lost"));
        }
        if world.faults.strikes(Fault::EndDelayed) {
            let ticks = world.faults.size(1, 12) as u64;
            world.broker.end_later(&self.producer, self.epoch, ticks);
            return Err(broken("the commit is on its way"));
        }
        let late = if world.faults.strikes(Fault::MarkersLate) { world.faults.size(1, 8) as u64 } else { 0 };
        world.broker.end(&self.producer, self.epoch, true, late).map_err(denied)?;
        self.die_or(world, Fault::CrashAfterEnd)?;
        if world.faults.strikes(Fault::EndReplyLost) {
            return Err(broken("the reply to the commit was lost"));
        }
        if world.faults.strikes(Fault::EndRepeated) {
            let ticks = world.faults.size(1, 60) as u64;
            world.broker.end_later(&self.producer, self.epoch, ticks);
            self.epoch = world.broker.init(&self.producer);
        }
        Ok(())
    }

    fn leave(&mut self) {
        let world = &mut *self.world.borrow_mut();
        // A process that leaves has its last word, if the brokers hear it and know it still.
        if !world.is_silent() && world.broker.epoch(&self.producer) == Some(self.epoch) && world.reading.one_in(2) {
            let _ = world.broker.end(&self.producer, self.epoch, false, 0);
        }
        if let Some(member) = self.member {
            world.broker.group.leave(member);
        }
    }
}

fn denied(denied: Denied) -> LogError {
    match denied {
        Denied::Fenced => LogError::Fenced("another holder of the transactional id".to_owned()),
        Denied::Stale => broken("the group knows this member no more"),
    }
}

impl Drop for SimLog {
    fn drop(&mut self) {
        if !self.life.is_over() {
            self.leave();
        }
    }
}

impl Log for SimLog {
    fn poll(&mut self, _: Duration, each: &mut dyn FnMut(Stream, &RecordIn<'_>)) -> Result<Vec<LogEvent>, LogError> {
        let shared = Rc::clone(&self.world);
        let mut world = shared.borrow_mut();
        self.die_or(&mut world, Fault::CrashBeforePoll)?;
        if world.faults.strikes(Fault::PollBroken) {
            return Err(broken("the consumer failed"));
        }
        world.broker.tick();
        if world.faults.strikes(Fault::BrokerSilent) {
            let silence_ms = world.faults.size(1_000, 50_000);
            world.silent_until_ms = world.now_ms() + silence_ms;
            if silence_ms > SESSION_MS && world.faults.coin() {
                world.broker.group.expel_all();
            }
        }
        if world.is_silent() {
            self.is_disturbed = true;
            return Ok(Vec::new());
        }
        for (stream, next) in std::mem::take(&mut self.owed) {
            self.positions.insert(stream, next);
            self.told_end.remove(&stream);
        }
        if !self.owned.is_empty() && world.faults.strikes(Fault::LostAtPoll) {
            world.broker.group.expel_all();
        }
        if let Some(events) = self.group_events(&mut world) {
            return Ok(events);
        }
        let (batches, ends) = self.fetch(&mut world);
        drop(world);
        for (stream, batch) in batches {
            hand_over(stream, &batch, each);
        }
        self.die_or(&mut self.world.borrow_mut(), Fault::CrashAfterPoll)?;
        Ok(ends)
    }

    fn send(&mut self, record: &RecordOut) -> Result<(), LogError> {
        let shared = Rc::clone(&self.world);
        let world = &mut *shared.borrow_mut();
        self.unsent.push(record.clone());
        // Records leave when the client likes: some are there before the rest is sent.
        if world.reading.one_in(8) && !world.is_silent() {
            self.deliver(world)?;
            world.broker.tick();
        }
        self.is_doomed |= world.faults.strikes(Fault::RecordNotDelivered);
        self.die_or(world, Fault::CrashAtSend)
    }

    fn commit(&mut self, offsets: &[(Stream, NextOffset, String)]) -> Result<CommitOutcome, LogError> {
        let shared = Rc::clone(&self.world);
        let world = &mut *shared.borrow_mut();
        if self.life.is_over() {
            return dead();
        }
        if let Some((stream, ..)) = offsets.iter().find(|(stream, ..)| !self.owned.contains_key(stream)) {
            return Err(LogError::Broken(format!("a commit for {stream:?}, which is not ours")));
        }
        if offsets.is_empty() {
            return Err(broken("a commit without an offset"));
        }
        self.check_offsets(world, offsets);
        let outcome = self.publish(world, offsets)?;
        if outcome == CommitOutcome::Committed {
            world.tally.commits += 1;
            self.owned.extend(offsets.iter().map(|(stream, next, _)| (*stream, *next)));
        }
        Ok(outcome)
    }

    fn abort(&mut self) -> Result<(), LogError> {
        let shared = Rc::clone(&self.world);
        self.drop_transaction(&mut shared.borrow_mut()).map(|_| ())
    }

    fn seek(&mut self, stream: Stream, next: NextOffset) -> Result<(), LogError> {
        self.die_or(&mut self.world.borrow_mut(), Fault::CrashAtSeek)?;
        let place = if self.owed.contains_key(&stream) { &mut self.owed } else { &mut self.positions };
        match place.get_mut(&stream) {
            Some(position) => *position = next.0,
            None => return Err(LogError::Broken(format!("{stream:?} is not ours to seek in"))),
        }
        self.told_end.remove(&stream);
        Ok(())
    }

    fn ends(&mut self, streams: &[Stream]) -> Result<Option<Vec<NextOffset>>, LogError> {
        let world = self.world.borrow();
        if world.is_silent() {
            self.is_disturbed = true;
            return Ok(None);
        }
        let end = |stream: &Stream| NextOffset(world.broker.partition((*stream).into()).stable_end());
        let ends = streams.iter().map(end).collect();
        Ok((!std::mem::take(&mut self.is_disturbed)).then_some(ends))
    }

    fn pause(&mut self, streams: &[Stream]) -> Result<(), LogError> {
        self.paused.extend(streams);
        Ok(())
    }

    fn resume(&mut self, streams: &[Stream]) -> Result<(), LogError> {
        self.paused.retain(|stream| !streams.contains(stream));
        Ok(())
    }
}

impl Headers for Record {
    fn for_each(&self, each: &mut dyn FnMut(&str, &[u8])) {
        self.headers.iter().for_each(|(name, value)| each(name, value));
    }
}

/// Hands records over as the log does.
pub fn hand_over(stream: Stream, batch: &[(i64, Rc<Record>)], each: &mut dyn FnMut(Stream, &RecordIn<'_>)) {
    let (Stream::Input(partition) | Stream::Partials(partition)) = stream;
    for (offset, record) in batch {
        let value = record.value.as_deref().unwrap_or_default();
        let timestamp_ms = Some(record.timestamp_ms);
        let (key, headers) = (record.key.as_deref(), &**record);
        each(stream, &RecordIn { partition, offset: *offset, key, value, timestamp_ms, headers });
    }
}
