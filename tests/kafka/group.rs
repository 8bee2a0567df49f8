//! Two workers of one application share the partitions, and hand them over without a gap.

use crate::broker::Broker;
use crate::broker_or_skip;
use crate::world::{PATIENCE, Worker, World, at, status};
use std::collections::BTreeMap;
use std::time::Instant;
use tailburn::log::{CommitOutcome, Log, LogEvent, NextOffset, Stream};
use tailburn::model::record::Topic;

const RECORDS: i64 = 20;

#[test]
fn partitions_move_with_what_their_owner_committed_at_the_last_moment() {
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

/// Polls both until streams moved; the first commits them when it hears that they go.
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
fn a_broker_that_dies_and_returns_is_waited_for() {
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
