//! The parts of a log that do not use the group: the sources topic that every instance reads, the changelog, and purging.

use crate::broker_or_skip;
use crate::world::{PATIENCE, Worker, World, at, status, text};
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::time::{Duration, Instant};
use tailburn::log::{Changelog, CommitOutcome, Log, LogError, LogEvent, NextOffset, Stream};
use tailburn::model::record::{RecordOut, Topic};

const INPUT: Stream = Stream::Input(0);

fn sources(value: &str) -> RecordOut {
    RecordOut { topic: Topic::Sources, ..status(value) }
}

fn changelog(partition: u32, value: Option<&[u8]>) -> RecordOut {
    RecordOut { topic: Topic::Changelog, partition, value: value.map(<[u8]>::to_vec), ..status("") }
}

/// A worker that owns its input.
fn ready<B: std::ops::Deref<Target = crate::broker::Broker>>(world: &World<B>, name: &str) -> Worker {
    let mut worker = world.open(name);
    worker.until_assigned();
    worker
}

fn commit(worker: &mut Worker, records: &[RecordOut]) {
    records.iter().for_each(|record| worker.log.send(record).expect("sent"));
    assert_eq!(worker.log.commit(&[at(INPUT, 0)]).expect("an outcome"), CommitOutcome::Committed);
}

fn sources_of(worker: &Worker) -> Vec<&str> {
    let of_sources = worker.read.iter().filter(|(stream, _, _)| *stream == Stream::Sources);
    of_sources.map(|(_, _, value)| value.as_str()).collect()
}

#[test]
fn every_log_is_told_all_sources_from_the_beginning_and_when_it_has_them() {
    let world = World::new(broker_or_skip!(), "sources", 1);
    let mut first = ready(&world, "first");
    commit(&mut first, &[sources("a"), sources("b")]);
    first.log.send(&sources("dropped")).expect("sent");
    first.log.abort().expect("aborted");

    let mut second = world.open("second");
    for worker in [&mut first, &mut second] {
        worker.until("the sources are told", |worker| sources_of(worker).len() == 2);
        assert_eq!(sources_of(worker), ["a", "b"]);
    }
    second.until("their end is told", |worker| {
        worker.events.iter().any(|event| matches!(event, LogEvent::End(Stream::Sources, NextOffset(3..))))
    });
    // The input may have moved to the second meanwhile, or be about to.
    let committed = |worker: &mut Worker| {
        worker.log.send(&sources("c")).expect("sent");
        let is_committed = matches!(worker.log.commit(&[at(INPUT, 0)]), Ok(CommitOutcome::Committed));
        if !is_committed {
            worker.log.abort().expect("aborted");
        }
        is_committed
    };
    let deadline = Instant::now() + PATIENCE;
    while ![&mut first, &mut second].into_iter().any(committed) {
        assert!(Instant::now() < deadline, "nobody has the input: {:?} / {:?}", first.events, second.events);
        for worker in [&mut first, &mut second] {
            worker.step().expect("it polls");
        }
    }
    drop(second);
    first.until("the next one is told", |worker| sources_of(worker).len() == 3);
    assert_eq!(sources_of(&first), ["a", "b", "c"]);
    let never_assigned = first.events.iter().all(|event| match event {
        LogEvent::Assigned(all) => all.iter().all(|a| a.stream != Stream::Sources),
        _ => true,
    });
    assert!(never_assigned, "{:?}", first.events);
}

/// All records up to the end, as offset and value.
fn read_all(changelog: &mut dyn Changelog) -> Vec<(i64, String)> {
    let (mut read, deadline) = (Vec::new(), Instant::now() + PATIENCE);
    let wait = Duration::from_millis(100);
    while !changelog.read(wait, &mut |r| read.push((r.offset, text(r.value)))).expect("it is read") {
        assert!(Instant::now() < deadline, "the end is not told; read: {read:?}");
    }
    read
}

fn owned(read: &[(i64, &str)]) -> Vec<(i64, String)> {
    read.iter().map(|(offset, value)| (*offset, (*value).to_owned())).collect()
}

#[test]
fn a_changelog_is_read_from_an_offset_to_its_end_without_what_was_aborted() {
    let world = World::new(broker_or_skip!(), "changelog", 1);
    let mut worker = ready(&world, "w");
    assert_eq!(worker.log.changelog_range(3).expect("a range"), NextOffset(0)..NextOffset(0));
    let mut empty = worker.log.changelog(3, NextOffset(0)).expect("a reader");
    assert_eq!(read_all(empty.as_mut()), []);

    commit(&mut worker, &[changelog(3, Some(b"a")), changelog(3, Some(b"b")), changelog(2, Some(b"other"))]);
    worker.log.send(&changelog(3, Some(b"aborted"))).expect("sent");
    worker.log.abort().expect("aborted");
    commit(&mut worker, &[changelog(3, None), changelog(3, Some(b"c"))]);
    let mut reader = worker.log.changelog(3, NextOffset(0)).expect("a reader");
    let read = read_all(reader.as_mut());
    let values: Vec<&str> = read.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(values, ["a", "b", "", "c"], "a tombstone is empty");
    let range = worker.log.changelog_range(3).expect("a range");
    assert_eq!(range, NextOffset(0)..NextOffset(read[3].0 + 2), "a marker stands behind the last record");
    assert_eq!(read_all(empty.as_mut()), read, "a reader that was at the end goes on");
    assert_eq!(read_all(reader.as_mut()), [], "and is there at once where nothing came");

    let mut from_one = worker.log.changelog(3, NextOffset(1)).expect("a reader");
    assert_eq!(read_all(from_one.as_mut()), read[1..]);
    let mut from_end = worker.log.changelog(3, range.end).expect("a reader");
    assert_eq!(read_all(from_end.as_mut()), []);
    commit(&mut worker, &[changelog(3, Some(b"d"))]);
    assert_eq!(read_all(from_end.as_mut()), owned(&[(range.end.0, "d")]));
}

#[test]
fn a_changelog_is_not_read_while_a_transaction_of_it_is_open() {
    let world = World::new(broker_or_skip!(), "open-changelog", 1);
    let mut worker = ready(&world, "w");
    commit(&mut worker, &[changelog(0, Some(b"a"))]);
    worker.log.send(&changelog(0, Some(b"b"))).expect("sent");
    // The producer holds it back for a moment.
    let deadline = Instant::now() + PATIENCE;
    while worker.log.changelog_range(0).expect("a range").end != NextOffset(3) {
        assert!(Instant::now() < deadline, "the open transaction is not in the range");
    }
    let mut reader = worker.log.changelog(0, NextOffset(0)).expect("a reader");
    let (mut read, until) = (Vec::new(), Instant::now() + Duration::from_millis(800));
    while Instant::now() < until {
        let wait = Duration::from_millis(50);
        let is_all = reader.read(wait, &mut |r| read.push(text(r.value))).expect("it is read");
        assert!(!is_all, "the open transaction was passed over; read: {read:?}");
    }
    assert_eq!(read, ["a"]);
    commit(&mut worker, &[]);
    assert_eq!(read_all(reader.as_mut()), owned(&[(2, "b")]));
}

#[test]
fn an_offset_that_a_changelog_does_not_hold_is_refused_with_a_remedy() {
    let world = World::new(broker_or_skip!(), "no-changelog", 1);
    let mut worker = ready(&world, "w");
    let mut reader = worker.log.changelog(0, NextOffset(100)).expect("a reader");
    let deadline = Instant::now() + PATIENCE;
    let refusal = loop {
        assert!(Instant::now() < deadline, "nothing was refused");
        if let Err(refusal) = reader.read(Duration::from_millis(100), &mut |_| {}) {
            break refusal;
        }
    };
    let LogError::Refused { what, message } = &refusal else { panic!("{refusal}") };
    assert_eq!(what, "no-changelog.internal.no-changelog.changelog [0]");
    assert!(message.contains("offset 100") && message.contains("empty state directory"), "{message}");
    assert!(matches!(worker.log.changelog_range(4), Err(LogError::Broken(_))), "there are four partitions");
}

#[test]
fn what_was_read_is_purged() {
    let world = World::new(broker_or_skip!(), "purge", 1);
    world.produce(0, &["a", "b"]);
    let mut worker = ready(&world, "w");
    let of = |topic, partition| RecordOut { topic, partition, ..status("x") };
    commit(&mut worker, &[of(Topic::Partials, 1), of(Topic::Partials, 1), of(Topic::Repartition, 0)]);
    worker.log.purge(&[
        (Stream::Partials(1), NextOffset(2)),
        (Stream::Repartition(0), NextOffset(1)),
        (INPUT, NextOffset(1)),
        // An offset after the end: this only leaves a line in the log.
        (Stream::Partials(0), NextOffset(50)),
    ]);
    let outsider: BaseConsumer = world.client().create().expect("a consumer");
    let start = |topic: &str, partition| outsider.fetch_watermarks(topic, partition, PATIENCE).expect("ends").0;
    let deadline = Instant::now() + PATIENCE;
    let moved = [("purge.internal.purge.partials", 1, 2), ("purge.internal.purge.repartition", 0, 1)];
    while moved.iter().any(|(topic, partition, begin)| start(topic, *partition) != *begin) {
        assert!(Instant::now() < deadline, "the logs do not begin later");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(start("purge.internal.purge.partials", 0), 0);
    assert_eq!(start(&world.input, 0), 0, "an input is not ours to purge");
}

#[test]
#[ignore = "a measurement of some seconds"]
fn throughput_of_a_changelog() {
    let world = World::new(broker_or_skip!(), "restore", 1);
    let mut worker = ready(&world, "w");
    let mut random = 1_u64;
    let mut block = || {
        let bytes = (0..256 * 1024 / 8).flat_map(|_| {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            random.to_le_bytes()
        });
        bytes.collect::<Vec<u8>>()
    };
    let blocks: Vec<_> = (0..16).map(|_| changelog(0, Some(&block()))).collect();
    for _ in 0..100 {
        commit(&mut worker, &blocks);
    }
    let mut reader = worker.log.changelog(0, NextOffset(0)).expect("a reader");
    let (started, mut bytes) = (Instant::now(), 0);
    while !reader.read(Duration::from_millis(100), &mut |r| bytes += r.value.len()).expect("it is read") {}
    let seconds = started.elapsed().as_secs_f64();
    println!("changelog: {} MB in {seconds:.2} s, {:.0} MB/s", bytes / 1_000_000, bytes as f64 / 1e6 / seconds);
    assert_eq!(bytes, 1600 * 256 * 1024);
}
