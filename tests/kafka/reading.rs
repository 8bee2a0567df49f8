//! Where reading starts, how streams are paused and moved, and how the end of a partition is reported.

use crate::broker_or_skip;
use crate::world::{PATIENCE, Worker, World};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};
use tailburn::log::kafka::StartFrom;
use tailburn::log::{Log, LogError, LogEvent, NextOffset, Stream};

const INPUT: Stream = Stream::Input(0);

#[test]
fn the_end_of_a_partition_is_reported_each_time_it_is_reached() {
    let world = World::new(broker_or_skip!(), "ends", 2);
    world.produce(0, &["a", "b"]);
    let mut worker = world.open("w");
    for end in [LogEvent::End(INPUT, NextOffset(2)), LogEvent::End(Stream::Input(1), NextOffset(0))] {
        worker.until("the ends are reported", |worker| worker.events.contains(&end));
    }
    assert_eq!(worker.values(), ["a", "b"]);
    world.produce(0, &["c"]);
    worker.until("the new end is reported", |worker| worker.events.contains(&LogEvent::End(INPUT, NextOffset(3))));
    assert_eq!(worker.values(), ["a", "b", "c"]);
}

#[test]
fn a_group_without_offsets_starts_where_the_settings_say() {
    let world = World::new(broker_or_skip!(), "start", 1);
    world.produce(0, &["old"]);
    std::thread::sleep(Duration::from_millis(20));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock after 1970");
    let now_ms = i64::try_from(now.as_millis()).expect("a clock before the year 292 million");
    std::thread::sleep(Duration::from_millis(20));
    world.produce(0, &["new"]);
    for (start_from, next) in [
        (StartFrom::Earliest, 0),
        (StartFrom::Latest, 2),
        (StartFrom::Time(now_ms), 1),
        (StartFrom::Time(now_ms + 3_600_000), 2),
    ] {
        let mut worker = Worker::open(&tailburn::log::kafka::KafkaSettings { start_from, ..world.settings("w") });
        let assigned = worker.as_mut().expect("the log opens").until_assigned();
        assert_eq!(assigned[0].next, NextOffset(next), "{start_from:?}");
        assert_eq!((assigned[0].log_start, &assigned[0].committed), (NextOffset(0), &None));
    }
}

#[test]
fn the_start_can_be_moved_between_the_assignment_and_the_next_poll() {
    let world = World::new(broker_or_skip!(), "begins-later", 1);
    world.produce(0, &["a", "b", "c"]);
    let mut worker = world.open("w");
    worker.until_assigned();
    assert!(worker.read.is_empty(), "records came before the partitions were assigned");
    worker.log.seek(INPUT, NextOffset(2)).expect("moved");
    worker.until("the end is reported", |worker| worker.events.contains(&LogEvent::End(INPUT, NextOffset(3))));
    assert_eq!(worker.values(), ["c"]);
}

#[test]
fn a_paused_stream_is_silent_and_continues_where_it_stopped() {
    let world = World::new(broker_or_skip!(), "paused", 2);
    world.produce(0, &["a", "b"]);
    world.produce(1, &["x"]);
    let mut worker = world.open("w");
    worker.until_assigned();
    worker.log.pause(&[INPUT]).expect("paused");
    worker.until("the other is read", |worker| worker.values() == ["x"]);
    silent_for(&mut worker, Duration::from_millis(600));
    worker.log.resume(&[INPUT]).expect("resumed");
    worker.until("the rest is read", |worker| worker.read.len() == 3);
    assert_eq!(worker.values(), ["x", "a", "b"]);

    worker.until("the end is reported", |worker| worker.events.contains(&LogEvent::End(INPUT, NextOffset(2))));
    worker.log.pause(&[INPUT]).expect("paused at the end");
    world.produce(0, &["c"]);
    silent_for(&mut worker, Duration::from_millis(600));
    worker.log.resume(&[INPUT]).expect("resumed again");
    worker.until("the new one is read", |worker| worker.read.len() == 4);
    assert_eq!(worker.values(), ["x", "a", "b", "c"]);
}

#[test]
fn a_seek_moves_reading_in_both_directions_also_while_paused() {
    let world = World::new(broker_or_skip!(), "seeks", 1);
    world.produce(0, &["a", "b", "c", "d"]);
    let mut worker = world.open("w");
    worker.until("all are read", |worker| worker.read.len() == 4);
    for (paused, next, rest) in [(false, 1, ["b", "c", "d"].as_slice()), (true, 2, &["c", "d"]), (false, 3, &["d"])] {
        worker.read.clear();
        if paused {
            worker.log.pause(&[INPUT]).expect("paused");
        }
        worker.log.seek(INPUT, NextOffset(next)).expect("moved");
        if paused {
            silent_for(&mut worker, Duration::from_millis(300));
            worker.log.resume(&[INPUT]).expect("resumed");
        }
        worker.until("the rest is read", |worker| worker.read.len() >= rest.len());
        silent_for(&mut worker, Duration::from_millis(300));
        assert_eq!(worker.values(), rest, "from {next}, paused: {paused}");
    }
}

#[test]
fn a_log_that_lost_unread_records_is_refused() {
    let world = World::new(broker_or_skip!(), "lost", 1);
    world.produce(0, &["a", "b", "c"]);
    let mut worker = world.open("w");
    worker.until("all are read", |worker| worker.read.len() == 3);
    worker.log.commit(&[(INPUT, NextOffset(1), String::new())]).expect("an outcome");
    drop(worker);
    delete_before(&world.client().create().expect("an administrator"), &world.input, 2);
    let mut worker = world.open("w");
    let assigned = worker.until_assigned();
    assert_eq!((assigned[0].next, assigned[0].log_start), (NextOffset(1), NextOffset(2)));
    let deadline = Instant::now() + PATIENCE;
    let refusal = loop {
        assert!(Instant::now() < deadline, "no error came");
        if let Err(refusal) = worker.step() {
            break refusal;
        }
    };
    assert!(matches!(&refusal, LogError::Refused { what, .. } if what.starts_with(&world.input)), "{refusal}");
    assert!(worker.read.is_empty(), "records after the gap were read");
}

fn delete_before(admin: &AdminClient<DefaultClientContext>, topic: &str, offset: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(offset)).expect("a partition");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(admin.delete_records(&list, &AdminOptions::new())).expect("records are deleted");
}

fn silent_for(worker: &mut Worker, time: Duration) {
    let (before, until) = (worker.read.len(), Instant::now() + time);
    while Instant::now() < until {
        worker.step().expect("a poll");
    }
    assert_eq!(worker.read.len(), before, "records came: {:?}", worker.values());
}
