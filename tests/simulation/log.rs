//! The log of a process: `tailburn::log::Log` over the model of the brokers. It behaves like the one over Kafka: a
//! rebalance takes two polls, a producer is renewed after a disturbed commit, and leaving drops the open transaction.

use crate::broker::{Denied, Place, TRANSACTION_TIMEOUT_MS};
use crate::faults::Fault;
use crate::group::MemberId;
use crate::partition::{Batch, Record};
use crate::world::{Life, Shared, World};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;
use tailburn::log::{Assignment, Changelog, CommitOutcome, Log, LogError, LogEvent, NextOffset, Stream};
use tailburn::model::record::{Headers, RecordIn, RecordOut, Topic};
use tailburn::model::time::{MINUTE_MS, Ms};

/// The brokers' default of `offset.metadata.max.bytes`.
const METADATA_MAX: usize = 4_096;

pub struct SimLog {
    world: Shared,
    life: Life,
    producer: String,
    epoch: u32,
    pub member: Option<MemberId>,
    /// The group has not assigned anything to this member yet, not even nothing.
    is_new: bool,
    /// Our streams, including revoked ones until the group has our answer.
    owned: BTreeSet<Stream>,
    /// Revoked; given up at the next poll.
    leaving: Vec<Stream>,
    /// Assigned; read from the next poll on.
    owed: BTreeMap<Stream, i64>,
    positions: BTreeMap<Stream, i64>,
    sources_next: i64,
    has_read_sources: bool,
    reported_end: BTreeMap<Stream, i64>,
    paused: BTreeSet<Stream>,
    unsent: Vec<RecordOut>,
    /// The open transaction can only be aborted.
    is_doomed: bool,
    is_disturbed: bool,
    /// Until then this process and the brokers cannot reach each other.
    pub cut_until_ms: Ms,
}

fn broken(what: &str) -> LogError {
    LogError::Broken(what.to_owned())
}

fn dead<T>() -> Result<T, LogError> {
    Err(broken("the process died"))
}

fn changelog_place(partition: u32) -> Place {
    Place::Output(Topic::Changelog, partition)
}

impl SimLog {
    /// Takes the transactional id; the first poll joins the group.
    pub fn open(world: &Shared, life: &Life, producer: &str) -> SimLog {
        let epoch = world.borrow_mut().broker.init(producer);
        SimLog {
            world: Rc::clone(world),
            life: life.clone(),
            producer: producer.to_owned(),
            epoch,
            member: None,
            is_new: true,
            owned: BTreeSet::new(),
            leaving: Vec::new(),
            owed: BTreeMap::new(),
            positions: BTreeMap::new(),
            sources_next: 0,
            has_read_sources: false,
            reported_end: BTreeMap::new(),
            paused: BTreeSet::new(),
            unsent: Vec::new(),
            is_doomed: false,
            is_disturbed: false,
            cut_until_ms: Ms::MIN,
        }
    }

    /// Whether all committed records were read.
    pub fn is_at_ends(&self) -> bool {
        let world = self.world.borrow();
        let end = |stream: Stream| world.broker.partition(stream.into()).stable_end();
        let is_read = self.positions.iter().all(|(stream, next)| end(*stream) == *next);
        self.owed.is_empty() && is_read && self.sources_next == end(Stream::Sources)
    }

    fn die_or(&self, world: &mut World, fault: Fault) -> Result<(), LogError> {
        if self.life.dies(&mut world.faults, fault) { dead() } else { Ok(()) }
    }

    fn back_ms(&self, world: &World) -> Ms {
        world.silent_until_ms.max(self.cut_until_ms)
    }

    fn is_out_of_reach(&self, world: &World) -> bool {
        world.now_ms() < self.back_ms(world)
    }

    /// Answers the group: gives up revoked streams, and starts to read assigned ones.
    fn answer(&mut self, world: &mut World) -> Result<(), LogError> {
        if !self.leaving.is_empty() {
            self.die_or(world, Fault::CrashBeforeAnswer)?;
        }
        let leaving = std::mem::take(&mut self.leaving);
        self.owned.retain(|stream| !leaving.contains(stream));
        self.paused.retain(|stream| !leaving.contains(stream));
        self.owed.retain(|stream, _| !leaving.contains(stream));
        if let Some(member) = self.member {
            world.broker.group.release(member, &leaving);
        }
        for (stream, next) in std::mem::take(&mut self.owed) {
            self.positions.insert(stream, next);
            self.reported_end.remove(&stream);
        }
        Ok(())
    }

    /// The events of the group; `None` if there are none, so that this poll may return records.
    fn group_events(&mut self, world: &mut World) -> Option<Vec<LogEvent>> {
        let Some(member) = self.member else {
            self.member = Some(world.broker.group.join(world.now_ms()));
            self.is_new = true;
            return Some(Vec::new());
        };
        let Some((gives_up, mut takes)) = world.broker.group.asks(member) else {
            let lost: Vec<Stream> = std::mem::take(&mut self.owned).into_iter().collect();
            (self.positions, self.owed, self.leaving) = Default::default();
            self.member = None;
            return Some(if lost.is_empty() { Vec::new() } else { vec![LogEvent::Lost(lost)] });
        };
        if world.reading.one_in(2) {
            world.broker.group.catch_up(member);
        }
        if !gives_up.is_empty() {
            self.positions.retain(|stream, _| !gives_up.contains(stream));
            self.leaving.clone_from(&gives_up);
            world.tally.revoked += gives_up.len() as u64;
            return Some(vec![LogEvent::Revoked(gives_up)]);
        }
        if takes.is_empty() || !world.broker.is_stable(&takes) {
            return None;
        }
        if world.faults.strikes(Fault::AssignedInPieces) {
            world.reading.shuffle(&mut takes);
            takes.truncate(1 + world.reading.below(takes.len() as u64) as usize);
        }
        world.broker.group.take(member, &takes);
        Some(vec![LogEvent::Assigned(self.take(world, &takes))])
    }

    fn take(&mut self, world: &mut World, streams: &[Stream]) -> Vec<Assignment> {
        self.is_new = false;
        let mut assignments = Vec::new();
        for stream in streams.iter().copied() {
            let log_start = NextOffset(world.broker.partition(stream.into()).start());
            let committed = world.broker.group.committed(stream).cloned();
            let next = committed.as_ref().map_or(log_start, |committed| committed.next);
            self.owned.insert(stream);
            self.owed.insert(stream, next.0);
            let (topic, name) = (world.broker.topic(stream), format!("{stream:?}"));
            assignments.push(Assignment { stream, topic, name, next, log_start, committed });
        }
        assignments.sort_by_key(|assignment| assignment.stream);
        assignments
    }

    /// Some of the unread records, from some of the partitions, in any order.
    fn fetch(&mut self, world: &mut World) -> (Vec<(Stream, Batch)>, Vec<LogEvent>) {
        let (mut batches, mut events) = (Vec::new(), Vec::new());
        let mut streams: Vec<Stream> = self.positions.keys().filter(|s| !self.paused.contains(s)).copied().collect();
        world.reading.shuffle(&mut streams);
        for stream in streams {
            if world.reading.one_in(4) || world.is_stalled(stream) {
                continue;
            }
            let most = 1 + world.reading.below(world.batch) as usize;
            let from = self.positions[&stream];
            let partition = world.broker.partition(stream.into());
            let (start, end) = (partition.start(), partition.stable_end());
            let (batch, next) = partition.read(from, most);
            if from < start {
                world.violated(format!("{stream:?} is read at {from}, and begins at {start}"));
            }
            self.positions.insert(stream, next);
            if let Stream::Input(source) = stream {
                let now_ms = world.broker.now_ms;
                batch
                    .iter()
                    .for_each(|(offset, record)| world.waits.read(source, *offset, record.timestamp_ms, now_ms));
            }
            let has_more = !batch.is_empty() && next < end;
            if has_more && matches!(stream, Stream::Input(_)) && world.faults.strikes(Fault::InputStalled) {
                let ms = world.faults.size(MINUTE_MS / 2, 20 * MINUTE_MS);
                world.stalled.insert(stream, world.now_ms() + ms);
            }
            batches.push((stream, batch));
            if next == end && self.reported_end.insert(stream, next) != Some(next) {
                events.push(LogEvent::End(stream, NextOffset(next)));
            }
        }
        if !world.reading.one_in(3) {
            let most = 1 + world.reading.below(world.batch) as usize;
            let (batch, next) = world.broker.partition(Stream::Sources.into()).read(self.sources_next, most);
            self.sources_next = next;
            batches.push((Stream::Sources, batch));
        }
        (batches, events)
    }

    /// Delivers the records sent so far to the brokers.
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
        world.tally.aborts += 1;
        world.broker.end(&self.producer, self.epoch, false, 0).map_err(denied)?;
        Ok(CommitOutcome::Aborted)
    }

    /// Waits for brokers that do not answer, as long as a transaction may be open.
    fn wait_for_brokers(&mut self, world: &mut World) -> Result<(), LogError> {
        if !self.is_out_of_reach(world) {
            return Ok(());
        }
        self.is_disturbed = true;
        let back_ms = self.back_ms(world);
        if back_ms - world.now_ms() >= TRANSACTION_TIMEOUT_MS {
            world.broker.now_ms += TRANSACTION_TIMEOUT_MS;
            return Err(broken("the brokers do not answer"));
        }
        world.broker.now_ms = back_ms;
        if let Some(member) = self.member.filter(|_| back_ms == self.cut_until_ms)
            && world.broker.group.is_overdue(member, back_ms)
        {
            world.broker.group.expel(member);
        }
        Ok(())
    }

    fn check_offsets(&self, world: &mut World, offsets: &[(Stream, NextOffset, String)]) {
        let named: BTreeSet<Stream> = offsets.iter().map(|(stream, ..)| *stream).collect();
        let is_missing = |stream: &&Stream| !named.contains(stream) && !self.leaving.contains(stream);
        if self.owned.iter().any(|stream| is_missing(&stream)) || named.len() != offsets.len() {
            world.violated(format!("a commit names {named:?}, but {:?} are owned", self.owned));
        }
        if let Some((stream, _, metadata)) = offsets.iter().find(|(.., metadata)| metadata.len() > METADATA_MAX) {
            world.violated(format!("the metadata of {stream:?} has {} bytes", metadata.len()));
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
        if world.faults.strikes(Fault::LostUnnoticed)
            && let Some(member) = self.member
        {
            world.broker.group.expel(member);
        }
        self.deliver(world)?;
        // Time passes between records and offsets, so delayed requests may arrive now.
        world.broker.tick();
        match world.broker.send_offsets(&self.producer, self.epoch, self.member.unwrap_or_default(), offsets) {
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
            let ticks = world.faults.size(1, 40) as u64;
            world.broker.end_later(&self.producer, self.epoch, ticks);
            return Err(broken("the commit is on its way"));
        }
        let late = if world.faults.strikes(Fault::MarkersLate) { world.faults.size(1, 30) as u64 } else { 0 };
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
        let is_reachable = !self.is_out_of_reach(world);
        // A leaving process aborts its open transaction, if it can reach the brokers and is not fenced.
        if is_reachable && world.broker.epoch(&self.producer) == Some(self.epoch) && world.reading.one_in(2) {
            let _ = world.broker.end(&self.producer, self.epoch, false, 0);
        }
        if let Some(member) = self.member.filter(|_| is_reachable) {
            world.broker.group.expel(member);
        }
    }

    fn go_silent(&mut self, world: &mut World) {
        if world.faults.strikes(Fault::BrokerSilent) {
            let silence_ms = world.faults.size(1_000, 50_000);
            world.silent_until_ms = world.now_ms() + silence_ms;
            if silence_ms > crate::group::SESSION_MS && world.faults.coin() {
                world.broker.group.expel_all();
            }
        }
        if world.faults.strikes(Fault::CutOff) {
            self.cut_until_ms = world.now_ms() + world.faults.size(1_000, 60_000);
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
        self.go_silent(&mut world);
        if self.is_out_of_reach(&world) {
            self.is_disturbed = true;
            return Ok(Vec::new());
        }
        self.answer(&mut world)?;
        if let Some(member) = self.member.filter(|_| !self.owned.is_empty())
            && world.faults.strikes(Fault::LostAtPoll)
        {
            world.broker.group.expel(member);
        }
        if !std::mem::replace(&mut self.has_read_sources, true) {
            // The first poll returns all records of the sources topic, before any stream is assigned.
            let (batch, next) = world.broker.partition(Stream::Sources.into()).read(0, usize::MAX);
            self.sources_next = next;
            drop(world);
            hand_over(Stream::Sources, &batch, each);
            return Ok(Vec::new());
        }
        if let Some(events) = self.group_events(&mut world) {
            return Ok(events);
        }
        let (batches, mut events) = self.fetch(&mut world);
        if std::mem::take(&mut self.is_new) {
            events.push(LogEvent::Joined);
        }
        drop(world);
        for (stream, batch) in batches {
            hand_over(stream, &batch, each);
        }
        self.die_or(&mut self.world.borrow_mut(), Fault::CrashAfterPoll)?;
        Ok(events)
    }

    fn send(&mut self, record: &RecordOut) -> Result<(), LogError> {
        let shared = Rc::clone(&self.world);
        let world = &mut *shared.borrow_mut();
        self.unsent.push(record.clone());
        // A client sends records when it likes, so some arrive before the others are handed to it.
        if world.reading.one_in(8) && !self.is_out_of_reach(world) {
            self.deliver(world)?;
            world.broker.tick();
        }
        self.is_doomed |= world.faults.strikes(Fault::RecordNotDelivered);
        // The tombstones of the old image come before the blocks of the new one.
        if record.topic == Topic::Changelog && record.value.is_none() {
            world.tally.replaced += 1;
            self.die_or(world, Fault::CrashInImage)?;
        }
        self.die_or(world, Fault::CrashAtSend)
    }

    fn commit(&mut self, offsets: &[(Stream, NextOffset, String)]) -> Result<CommitOutcome, LogError> {
        let shared = Rc::clone(&self.world);
        let world = &mut *shared.borrow_mut();
        if self.life.is_over() {
            return dead();
        }
        if let Some((stream, ..)) = offsets.iter().find(|(stream, ..)| !self.owned.contains(stream)) {
            world.violated(format!("a commit for {stream:?}, which is not ours"));
            return Err(LogError::Broken(format!("a commit for {stream:?}, which is not ours")));
        }
        if offsets.is_empty() {
            world.violated("a commit without an offset".to_owned());
            return Err(broken("a commit without an offset"));
        }
        self.check_offsets(world, offsets);
        let outcome = self.publish(world, offsets)?;
        world.tally.commits += u64::from(outcome == CommitOutcome::Committed);
        Ok(outcome)
    }

    fn abort(&mut self) -> Result<(), LogError> {
        let shared = Rc::clone(&self.world);
        self.drop_transaction(&mut shared.borrow_mut()).map(|_| ())
    }

    fn seek(&mut self, stream: Stream, next: NextOffset) -> Result<(), LogError> {
        self.die_or(&mut self.world.borrow_mut(), Fault::CrashAtSeek)?;
        // A revoked stream is not read any more.
        if self.leaving.contains(&stream) {
            return Ok(());
        }
        let place = if self.owed.contains_key(&stream) { &mut self.owed } else { &mut self.positions };
        match place.get_mut(&stream) {
            Some(position) => *position = next.0,
            None => return Err(LogError::Refused { what: format!("{stream:?}"), message: "not ours".to_owned() }),
        }
        self.reported_end.remove(&stream);
        Ok(())
    }

    fn ends(&mut self, streams: &[Stream]) -> Result<Option<Vec<NextOffset>>, LogError> {
        let world = self.world.borrow();
        if self.is_out_of_reach(&world) {
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

    fn changelog_range(&mut self, partition: u32) -> Result<Range<NextOffset>, LogError> {
        let shared = Rc::clone(&self.world);
        let world = &mut *shared.borrow_mut();
        self.die_or(world, Fault::CrashAtRange)?;
        self.wait_for_brokers(world)?;
        let partition = world.broker.partition(changelog_place(partition));
        Ok(NextOffset(partition.start())..NextOffset(partition.end()))
    }

    fn changelog(&mut self, partition: u32, from: NextOffset) -> Result<Box<dyn Changelog>, LogError> {
        if self.life.is_over() {
            return dead();
        }
        self.world.borrow_mut().tally.restores += 1;
        let (world, life) = (Rc::clone(&self.world), self.life.clone());
        Ok(Box::new(Reader { world, life, place: changelog_place(partition), next: from.0 }))
    }

    fn purge(&mut self, before: &[(Stream, NextOffset)]) {
        let shared = Rc::clone(&self.world);
        let world = &mut *shared.borrow_mut();
        for (stream, next) in before {
            if self.life.dies(&mut world.faults, Fault::CrashAtPurge) {
                return;
            }
            if self.is_out_of_reach(world) || matches!(stream, Stream::Input(_) | Stream::Sources) {
                continue;
            }
            world.tally.purges += 1;
            let ticks = if world.faults.strikes(Fault::PurgeLate) { world.faults.size(1, 200) as u64 } else { 0 };
            world.broker.delete_before((*stream).into(), next.0, ticks);
        }
    }
}

/// Reads a partition of the changelog, without the group.
struct Reader {
    world: Shared,
    life: Life,
    place: Place,
    next: i64,
}

impl Changelog for Reader {
    fn read(&mut self, _: Duration, each: &mut dyn FnMut(&RecordIn<'_>)) -> Result<bool, LogError> {
        let shared = Rc::clone(&self.world);
        let mut guard = shared.borrow_mut();
        let world = &mut *guard;
        if self.life.dies(&mut world.faults, Fault::CrashInRestore) {
            return dead();
        }
        if world.faults.strikes(Fault::RestoreBroken) {
            return Err(broken("the changelog's reader failed"));
        }
        if world.is_silent() {
            return Ok(false);
        }
        let most = 1 + world.reading.below(world.batch.min(16)) as usize;
        let partition = world.broker.partition(self.place);
        let (batch, next) = partition.read(self.next, most);
        let is_at_end = next >= partition.end();
        self.next = next;
        world.tally.restored += batch.len() as u64;
        drop(guard);
        hand_over(Stream::Sources, &batch, &mut |_, record| each(record));
        Ok(is_at_end)
    }
}

impl Headers for Record {
    fn for_each(&self, each: &mut dyn FnMut(&str, &[u8])) {
        self.headers.iter().for_each(|(name, value)| each(name, value));
    }
}

/// Passes records on as the log does.
pub fn hand_over(stream: Stream, batch: &[(i64, Rc<Record>)], each: &mut dyn FnMut(Stream, &RecordIn<'_>)) {
    let partition = match stream {
        Stream::Input(partition) | Stream::Repartition(partition) | Stream::Partials(partition) => partition,
        Stream::Sources => 0,
    };
    for (offset, record) in batch {
        let value = record.value.as_deref().unwrap_or_default();
        let timestamp_ms = Some(record.timestamp_ms);
        let (key, headers) = (record.key.as_deref(), &**record);
        each(stream, &RecordIn { partition, offset: *offset, key, value, timestamp_ms, headers });
    }
}
