//! Records and offsets become visible together, or not at all.

use crate::broker_or_skip;
use crate::world::{Seen, World, at, status};
use tailburn::log::{CommitOutcome, Committed, Log, LogError, LogEvent, NextOffset, Stream};
use tailburn::model::record::{RecordOut, Topic};

const INPUT: Stream = Stream::Input(0);

#[test]
fn records_are_visible_as_they_were_sent() {
    let world = World::new(broker_or_skip!(), "roundtrip", 1);
    world.produce(0, &["a", "b"]);
    let mut worker = world.open("w");
    worker.until("both are read", |worker| worker.read.len() == 2);
    let before_ms = jiff::Timestamp::now().as_millisecond() - 60_000;
    let full = RecordOut {
        topic: Topic::SloStatus,
        partition: 1,
        key: Some(b"checkout|aggregate".to_vec()),
        value: Some(vec![0, 159, 146, 150]),
        headers: vec![("tailburn.reason".to_owned(), b"no_tenant".to_vec()), ("empty".to_owned(), Vec::new())],
        timestamp_ms: 1_780_000_060_000,
    };
    let tombstone = RecordOut { value: None, headers: Vec::new(), ..full.clone() };
    worker.log.send(&full).expect("sent");
    worker.log.send(&tombstone).expect("sent");
    assert!(world.visible(Topic::SloStatus).is_empty(), "an open transaction is visible");
    assert_eq!(worker.log.commit(&[at(INPUT, 2)]).expect("an outcome"), CommitOutcome::Committed);
    let seen = |record: &RecordOut| Seen {
        partition: 1,
        key: record.key.clone(),
        value: record.value.clone(),
        headers: record.headers.clone(),
        timestamp_ms: None,
    };
    let mut visible = world.visible(Topic::SloStatus);
    for seen in &mut visible {
        let written_ms = seen.timestamp_ms.take();
        assert!(written_ms.is_some_and(|ms| (before_ms..).contains(&ms)), "stamped {written_ms:?}, not by the broker");
    }
    assert_eq!(visible, [seen(&full), seen(&tombstone)]);
}

#[test]
fn after_an_abort_nothing_is_visible_and_the_records_come_again() {
    let world = World::new(broker_or_skip!(), "abort", 1);
    world.produce(0, &["a", "b", "c"]);
    let mut worker = world.open("w");
    worker.until("all are read", |worker| worker.read.len() == 3);
    worker.log.commit(&[at(INPUT, 1)]).expect("an outcome");
    worker.log.send(&status("dropped")).expect("sent");
    worker.log.abort().expect("aborted");
    worker.read.clear();
    worker.until("the uncommitted ones are read again", |worker| worker.read.len() == 2);
    assert_eq!(worker.values(), ["b", "c"]);
    worker.log.send(&status("kept")).expect("sent");
    worker.log.commit(&[at(INPUT, 3)]).expect("an outcome");
    assert_eq!(world.visible_values(Topic::SloStatus), ["kept"]);
}

#[test]
fn a_successor_continues_from_the_committed_offset_and_its_metadata() {
    let world = World::new(broker_or_skip!(), "metadata", 1);
    world.produce(0, &["a", "b", "c"]);
    let mut first = world.open("w");
    first.until("all are read", |worker| worker.read.len() == 3);
    let metadata = "checkpoint=17;digest=é|\"".to_owned();
    first.log.commit(&[(INPUT, NextOffset(2), metadata.clone())]).expect("an outcome");
    drop(first);
    let mut second = world.open("w");
    let assigned = second.until_assigned();
    let input = assigned.iter().find(|a| a.stream == INPUT).expect("the input is assigned");
    assert_eq!(input.committed, Some(Committed { next: NextOffset(2), metadata }));
    assert_eq!((input.next, input.log_start), (NextOffset(2), NextOffset(0)));
    second.until("the rest is read", |worker| !worker.read.is_empty());
    assert_eq!(second.values(), ["c"]);
}

#[test]
fn a_second_user_of_the_transactional_id_fences_the_first() {
    let world = World::new(broker_or_skip!(), "fencing", 1);
    world.produce(0, &["a"]);
    let mut first = world.open("w");
    first.until("it is read", |worker| worker.read.len() == 1);
    first.log.send(&status("of the first")).expect("sent");
    let mut second = world.open("w");
    let fenced = first.log.commit(&[at(INPUT, 1)]);
    assert!(matches!(fenced, Err(LogError::Fenced(_))), "the first got {fenced:?}");
    drop(first);
    second.until("it is read again", |worker| worker.read.len() == 1);
    second.log.send(&status("of the second")).expect("sent");
    second.log.commit(&[at(INPUT, 1)]).expect("an outcome");
    assert_eq!(world.visible_values(Topic::SloStatus), ["of the second"]);
}

#[test]
fn an_open_transaction_of_a_dead_predecessor_is_not_waited_for() {
    let world = World::new(broker_or_skip!(), "predecessor", 1);
    world.produce(0, &["a"]);
    let mut first = world.open_impatient("w");
    first.until("it is read", |worker| worker.read.len() == 1);
    first.log.send(&status("never committed")).expect("sent");
    // Like a killed process, it neither aborts nor closes.
    #[expect(clippy::mem_forget, reason = "a killed process drops nothing")]
    std::mem::forget(first);
    let mut second = world.open("w");
    second.until("it is read again", |worker| worker.read.len() == 1);
    second.log.send(&status("committed")).expect("sent");
    second.log.commit(&[at(INPUT, 1)]).expect("an outcome");
    assert_eq!(world.visible_values(Topic::SloStatus), ["committed"]);
}

#[test]
fn a_partial_is_read_by_the_worker_that_sent_it() {
    let world = World::new(broker_or_skip!(), "partials", 1);
    world.produce(0, &["a"]);
    let mut worker = world.open("w");
    worker.until("it is read", |worker| worker.read.len() == 1);
    worker.log.send(&RecordOut { topic: Topic::Partials, partition: 1, ..status("a partial") }).expect("sent");
    worker.log.commit(&[at(INPUT, 1)]).expect("an outcome");
    worker.until("the partial is read", |worker| worker.read.len() == 2);
    assert_eq!(worker.read[1], (Stream::Partials(1), 0, "a partial".to_owned()));
    // The marker at the end of the transaction has its own offset.
    worker
        .until("the end is told", |worker| worker.events.contains(&LogEvent::End(Stream::Partials(1), NextOffset(2))));
}

#[test]
fn a_commit_for_a_stream_that_is_not_ours_is_an_error() {
    let world = World::new(broker_or_skip!(), "ownership", 1);
    let mut worker = world.open("w");
    worker.until_assigned();
    assert!(matches!(worker.log.commit(&[at(Stream::Input(7), 0)]), Err(LogError::Broken(_))));
    assert!(matches!(worker.log.commit(&[]), Err(LogError::Broken(_))));
}
