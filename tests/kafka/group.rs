//! Two workers of one application share the partitions, and hand them over without a gap.

use crate::broker::Broker;
use crate::broker_or_skip;
use crate::world::{PATIENCE, Worker, World, at, status, text};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tailburn::log::kafka::{KafkaLog, KafkaSettings};
use tailburn::log::{CommitOutcome, Log, LogError, LogEvent, NextOffset, Stream};
use tailburn::model::record::{RecordOut, Topic};

const RECORDS: i64 = 20;

#[test]
fn partitions_move_with_the_last_commit_of_their_owner() {
    let world = World::new(broker_or_skip!(), "rebalance", 4);
    let values: Vec<String> = (0..RECORDS).map(|n| n.to_string()).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    for partition in 0..4 {
        world.produce(partition, &values);
    }
    let mut first = world.open("first");
    first.until("all are read", |worker| worker.read.len() == 4 * values.len());

    let mut second = world.open("second");
    let (revoked, assigned) = hand_over(&mut first, &mut second);
    assert_eq!(revoked, assigned.keys().copied().collect::<Vec<_>>());
    assert!(!revoked.is_empty(), "nothing moved");
    for (stream, next) in &assigned {
        let expected = if matches!(stream, Stream::Input(_)) { RECORDS } else { 0 };
        assert_eq!(*next, NextOffset(expected), "{stream:?} was committed before it moved");
    }
    assert!(second.read.is_empty(), "records were read twice: {:?}", second.read);

    drop(second);
    let back = first.until_assigned();
    assert_eq!(back.iter().map(|a| a.stream).collect::<Vec<_>>(), revoked);
}

/// Polls both until streams moved; the first commits them when they are revoked.
fn hand_over(first: &mut Worker, second: &mut Worker) -> (Vec<Stream>, BTreeMap<Stream, NextOffset>) {
    let (mut revoked, mut assigned) = (Vec::new(), BTreeMap::new());
    let deadline = Instant::now() + PATIENCE;
    while revoked.is_empty() || assigned.is_empty() {
        assert!(Instant::now() < deadline, "nothing moved: {:?} / {:?}", first.events, second.events);
        for event in first.step().expect("the first polls") {
            let LogEvent::Revoked(streams) = event else { continue };
            let offset = |stream: &Stream| if matches!(stream, Stream::Input(_)) { RECORDS } else { 0 };
            let offsets: Vec<_> = streams.iter().map(|stream| at(*stream, offset(stream))).collect();
            first.log.send(&status("handed over")).expect("sent");
            assert_eq!(first.log.commit(&offsets).expect("an outcome"), CommitOutcome::Committed);
            revoked.extend(streams);
        }
        for event in second.step().expect("the second polls") {
            if let LogEvent::Assigned(all) = event {
                assigned.extend(all.iter().map(|a| (a.stream, a.next)));
            }
        }
    }
    (revoked, assigned)
}

#[test]
fn a_worker_that_was_away_too_long_loses_its_streams_and_commits_nothing() {
    let world = World::new(broker_or_skip!(), "away", 1);
    world.produce(0, &["a"]);
    let mut first = world.open_impatient("first");
    first.until("it is read", |worker| worker.read.len() == 1);
    let mut second = world.open("second");
    second.until("the second has it", |worker| worker.read.len() == 1);
    first.log.send(&status("too late")).expect("sent");
    second.log.send(&status("in time")).expect("sent");
    second.log.commit(&[at(Stream::Input(0), 1)]).expect("an outcome");

    let outcome = first.log.commit(&[at(Stream::Input(0), 1)]).expect("an outcome");
    assert_eq!(outcome, CommitOutcome::Aborted);
    first.until_event("the loss", |event| matches!(event, LogEvent::Lost(_)));
    assert_eq!(world.visible_values(Topic::SloStatus), ["in time"]);
}

#[test]
fn a_broker_that_is_killed_and_restarted_is_waited_for() {
    let Some(broker) = Broker::start_apart() else { return };
    let world = World::new(&broker, "outage", 1);
    world.produce(0, &["a"]);
    let mut worker = world.open("w");
    worker.until("it is read", |worker| worker.read.len() == 1);
    worker.log.send(&status("before")).expect("sent");
    worker.log.commit(&[at(Stream::Input(0), 1)]).expect("an outcome");
    broker.kill();
    for _ in 0..20 {
        worker.step().expect("an outage is no error");
    }
    broker.restart();
    world.produce(0, &["b"]);
    worker.until("the next one is read", |worker| worker.read.len() >= 2);
    assert_eq!(worker.values(), ["a", "b"]);
    worker.log.send(&status("after")).expect("sent");
    worker.log.commit(&[at(Stream::Input(0), 2)]).expect("an outcome");
    assert_eq!(world.visible_values(Topic::SloStatus), ["before", "after"]);
}

/// A topic without compaction, so that all copies stay visible.
const COPIES: Topic = Topic::SloHistory;

/// What a member on its own thread has done so far.
#[derive(Default)]
struct Done {
    stop: AtomicBool,
    records: AtomicU64,
    commits: AtomicU64,
    aborted: AtomicU64,
}

/// The course of a test: what members read, and how they commit.
#[derive(Clone, Copy)]
struct Course {
    /// The time between two commits of a member.
    pause: Duration,
    /// The time between two polls, in which records wait and the group may change.
    busy: Duration,
    times: u32,
    /// Each record is in its own transaction, so a transaction marker follows it.
    is_transactional: bool,
}

impl Course {
    fn partitions(self) -> u32 {
        if self.is_transactional { FED_PARTITIONS } else { 4 }
    }

    /// The offset of the n-th record of a partition.
    fn offset(self, n: i64) -> i64 {
        if self.is_transactional { 2 * n } else { n }
    }

    /// The offset of the first record at or after an offset.
    fn first_from(self, offset: i64) -> i64 {
        if self.is_transactional { offset + offset % 2 } else { offset }
    }
}

/// A member that copies its inputs to a topic, each record in the transaction of its offset.
struct Member {
    course: Course,
    log: KafkaLog,
    done: Arc<Done>,
    /// Our streams, with the next offset to read.
    owned: BTreeMap<Stream, i64>,
    /// Revoked; they are committed once more.
    leaving: Vec<Stream>,
    copies: Vec<RecordOut>,
}

impl Member {
    fn begin(settings: KafkaSettings, course: Course) -> (Arc<Done>, JoinHandle<Result<(), LogError>>) {
        let done = Arc::new(Done::default());
        let theirs = Arc::clone(&done);
        let thread = thread::spawn(move || {
            let log = KafkaLog::open(&settings)?;
            let (owned, leaving, copies) = (BTreeMap::new(), Vec::new(), Vec::new());
            Member { course, log, done: theirs, owned, leaving, copies }.run()
        });
        (done, thread)
    }

    fn run(mut self) -> Result<(), LogError> {
        let mut committed = Instant::now();
        while !self.done.stop.load(Ordering::Relaxed) {
            self.poll()?;
            thread::sleep(self.course.busy);
            if committed.elapsed() >= self.course.pause || !self.leaving.is_empty() {
                self.commit()?;
                committed = Instant::now();
            }
        }
        self.commit()
    }

    fn poll(&mut self) -> Result<(), LogError> {
        let (owned, copies, leaving, course) = (&mut self.owned, &mut self.copies, &self.leaving, self.course);
        assert!(leaving.is_empty(), "revoked streams were committed before the next poll");
        let events = self.log.poll(Duration::from_millis(5), &mut |stream, record| {
            // All instances read it, because the numbers of the input partitions are claimed there.
            if stream == Stream::Sources {
                return;
            }
            let next = owned.get_mut(&stream);
            let next = next.unwrap_or_else(|| panic!("a record of {stream:?}, which is not ours: {}", record.offset));
            assert_eq!(record.offset, course.first_from(*next), "{stream:?}");
            *next = record.offset + 1;
            let copy = format!("{} {} {}", record.partition, record.offset, text(record.value));
            copies.push(RecordOut { topic: COPIES, ..status(&copy) });
        })?;
        for event in events {
            match event {
                LogEvent::Assigned(all) => self.owned.extend(all.iter().map(|a| (a.stream, a.next.0))),
                LogEvent::Revoked(streams) => self.leaving = streams,
                LogEvent::Lost(streams) => panic!("nobody was away, and {streams:?} are lost"),
                LogEvent::Joined | LogEvent::End(..) | LogEvent::Finished(..) => {}
            }
        }
        Ok(())
    }

    /// Commits; tries again with the same records while the commit is aborted because the group changes.
    fn commit(&mut self) -> Result<(), LogError> {
        let offsets: Vec<_> = self.owned.iter().map(|(stream, next)| at(*stream, *next)).collect();
        for _ in 0..20 {
            if offsets.is_empty() {
                break;
            }
            self.copies.iter().try_for_each(|copy| self.log.send(copy))?;
            self.done.commits.fetch_add(1, Ordering::Relaxed);
            if self.log.commit(&offsets)? == CommitOutcome::Committed {
                self.done.records.fetch_add(self.copies.len() as u64, Ordering::Relaxed);
                self.copies.clear();
                break;
            }
            self.done.aborted.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(2));
        }
        assert!(self.copies.is_empty(), "aborted again and again");
        let leaving = std::mem::take(&mut self.leaving);
        self.owned.retain(|stream, _| !leaving.contains(stream));
        Ok(())
    }
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Ends a member; returns the number of its commits, and how many of them were aborted.
fn stop(done: &Done, thread: JoinHandle<Result<(), LogError>>) -> (u64, u64) {
    done.stop.store(true, Ordering::Relaxed);
    thread.join().expect("a member panicked").expect("a member's log ended");
    (done.commits.load(Ordering::Relaxed), done.aborted.load(Ordering::Relaxed))
}

/// Of the topic that is read where each record is in a transaction of its own.
const FED_PARTITIONS: u32 = 2;
const FED: Topic = Topic::SloHistory;

/// Of an application whose topic is the input of the members.
fn feed_settings(world: &World<Arc<Broker>>) -> KafkaSettings {
    let feed = World { broker: Arc::clone(&world.broker), name: "small-feed", input: "small-feed-outcomes".to_owned() };
    KafkaSettings { input_topics: vec![feed.input.clone()], ..feed.settings("w") }
}

/// The same, as another application that publishes what is read here: each record of a partition in a
/// transaction of its own.
fn feed_one_by_one(world: &World<Arc<Broker>>, stop: &AtomicBool) -> i64 {
    let mut writer = Worker::open(&feed_settings(world)).expect("the log opens");
    writer.until_assigned();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            return n;
        }
        if n % 200 == 0 {
            writer.step().expect("a poll");
        }
        for partition in 0..FED_PARTITIONS {
            let record = RecordOut { topic: FED, partition, ..status(&n.to_string()) };
            writer.log.send(&record).expect("sent");
        }
        let outcome = writer.log.commit(&[at(Stream::Input(0), 0)]).expect("an outcome");
        assert_eq!(outcome, CommitOutcome::Committed);
    }
    0
}

/// Writes to all partitions until it must stop; returns the number of records in each.
fn feed(world: &World<Arc<Broker>>, course: Course, stop: &AtomicBool) -> i64 {
    if course.is_transactional {
        return feed_one_by_one(world, stop);
    }
    for round in 0.. {
        if stop.load(Ordering::Relaxed) {
            return round * 10;
        }
        let values: Vec<String> = (round * 10..round * 10 + 10).map(|n| n.to_string()).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        (0..4).for_each(|partition| world.produce(partition, &values));
    }
    0
}

/// Stops the feeder however the test ends, because the scope waits for it.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Records flow while a second member joins and leaves.
fn come_and_go(world: &World<Arc<Broker>>, course: Course) {
    let (fed, (mut commits, mut aborted)) = (AtomicBool::new(false), (0, 0));
    let each = thread::scope(|scope| {
        let _ends = Ends(&fed);
        let feeding = scope.spawn(|| feed(world, course, &fed));
        let (first, first_thread) = Member::begin(world.settings("first"), course);
        wait_until("the first commits", || first.records.load(Ordering::Relaxed) > 0);
        for _ in 0..course.times {
            let (second, second_thread) = Member::begin(world.settings("second"), course);
            wait_until("the second commits", || second.records.load(Ordering::Relaxed) > 100);
            let both = stop(&second, second_thread);
            (commits, aborted) = (commits + both.0, aborted + both.1);
            let so_far = first.records.load(Ordering::Relaxed);
            wait_until("the first goes on", || first.records.load(Ordering::Relaxed) > so_far + 200);
        }
        fed.store(true, Ordering::Relaxed);
        let each = feeding.join().expect("it is fed");
        let (last, last_thread) = Member::begin(world.settings("second"), course);
        // At the end the owner of each partition commits its last record.
        let last_of = |partition| format!("{partition} {} {}", course.offset(each - 1), each - 1);
        let all = (0..course.partitions()).map(last_of).collect::<Vec<_>>();
        wait_until("all is committed", || {
            let seen = world.visible_values(COPIES);
            all.iter().all(|value| seen.contains(value))
        });
        for (done, thread) in [(last, last_thread), (first, first_thread)] {
            let of_one = stop(&done, thread);
            (commits, aborted) = (commits + of_one.0, aborted + of_one.1);
        }
        each
    });
    println!("{commits} commits, {aborted} of them aborted; {each} records in each partition");
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for value in world.visible_values(COPIES) {
        *seen.entry(value).or_default() += 1;
    }
    let wrong: Vec<_> = seen.iter().filter(|(_, count)| **count != 1).collect();
    assert!(wrong.is_empty(), "committed more than once: {wrong:?}");
    for partition in 0..course.partitions() {
        let gaps: Vec<_> =
            (0..each).filter(|n| !seen.contains_key(&format!("{partition} {} {n}", course.offset(*n)))).collect();
        assert!(gaps.is_empty(), "never committed of partition {partition}: {gaps:?}");
    }
    assert_eq!(seen.len() as i64, i64::from(course.partitions()) * each);
}

#[test]
fn every_record_is_committed_once_while_a_member_comes_and_goes() {
    let world = World::new(broker_or_skip!(), "come-and-go", 4);
    come_and_go(
        &world,
        Course { pause: Duration::from_millis(30), busy: Duration::ZERO, times: 2, is_transactional: false },
    );
}

/// Transaction markers are between the records, and the client library must count their offsets, too.
#[test]
fn no_record_of_many_small_transactions_is_lost_while_a_member_comes_and_goes() {
    let feed = World::new(broker_or_skip!(), "small-feed", 1);
    let mut world = World::new(Arc::clone(&feed.broker), "small-transactions", 1);
    world.input = feed_settings(&world).topic_name(FED);
    come_and_go(
        &world,
        Course { pause: Duration::ZERO, busy: Duration::from_millis(300), times: 2, is_transactional: true },
    );
}

/// The group's generation changes after a member takes its metadata for a commit, and before the brokers check it.
#[test]
fn a_commit_of_an_old_generation_is_aborted_and_can_be_repeated() {
    let world = World::new(broker_or_skip!(), "outrun", 4);
    come_and_go(&world, Course { pause: Duration::ZERO, busy: Duration::ZERO, times: 5, is_transactional: false });
}

#[test]
fn a_stream_that_was_paused_when_it_was_revoked_is_read_when_it_comes_back() {
    let world = World::new(broker_or_skip!(), "paused-away", 2);
    world.produce(0, &["a"]);
    world.produce(1, &["b"]);
    let mut first = world.open("first");
    first.until("both are read", |worker| worker.read.len() == 2);
    let inputs = [Stream::Input(0), Stream::Input(1)];
    first.log.commit(&inputs.map(|stream| at(stream, 1))).expect("an outcome");
    first.log.pause(&inputs).expect("paused");
    let mut second = world.open("second");
    let (revoked, _) = hand_over_as_it_is(&mut first, &mut second);
    drop(second);
    first.read.clear();
    first.until_event("they return", |event| matches!(event, LogEvent::Assigned(_)));
    world.produce(0, &["c"]);
    world.produce(1, &["d"]);
    let returned: Vec<_> = inputs.into_iter().filter(|stream| revoked.contains(stream)).collect();
    assert!(!returned.is_empty(), "no input moved: {revoked:?}");
    first.until("what returned is read", |worker| worker.read.len() == returned.len());
    assert!(first.read.iter().all(|(stream, offset, _)| returned.contains(stream) && *offset == 1), "{:?}", first.read);
}

/// Polls both until streams moved.
fn hand_over_as_it_is(first: &mut Worker, second: &mut Worker) -> (Vec<Stream>, Vec<Stream>) {
    let (mut revoked, mut assigned) = (Vec::new(), Vec::new());
    let deadline = Instant::now() + PATIENCE;
    while revoked.is_empty() || assigned.is_empty() {
        assert!(Instant::now() < deadline, "nothing moved: {:?} / {:?}", first.events, second.events);
        for event in first.step().expect("the first polls") {
            if let LogEvent::Revoked(streams) = event {
                revoked.extend(streams);
            }
        }
        for event in second.step().expect("the second polls") {
            if let LogEvent::Assigned(all) = event {
                assigned.extend(all.iter().map(|a| a.stream));
            }
        }
    }
    (revoked, assigned)
}
