//! One event, placed by hand: what random faults meet rarely, or what must end a worker with the right advice.

use crate::broker::{Broker, Place};
use crate::compare::compare_outputs;
use crate::reference::Reference;
use crate::scenario::{LAST_MS, OUT_OF_ORDERNESS_MS};
use crate::stage::{Process, Stage};
use crate::store::Directory;
use crate::traffic::{self, OUTAGE_MS};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tailburn::board::{Board, Update};
use tailburn::log::Stream;
use tailburn::model::record::{Topic, rollup_partition};
use tailburn::model::time::{HOUR_MS, MINUTE_MS, Ms, Now, PANE_MS, SECOND_MS, floor_to};

/// The last boundary: what comes behind the last event is not known yet.
fn end_ms() -> Ms {
    floor_to(LAST_MS - OUT_OF_ORDERNESS_MS, PANE_MS)
}

#[test]
fn input_that_is_said_to_be_keyed_by_user_and_is_not_is_refused() {
    for workers in [1, 2] {
        let stage = Stage::empty(true);
        let on_two = stage.scenario.arrivals.iter().filter(|arrival| arrival.partition < 2).cloned();
        stage.arrive(&on_two.collect::<Vec<_>>());
        let directories = [Directory::default(), Directory::default()];
        let start = |at: usize| stage.start(&directories[at], &format!("tailburn-{at}"));
        let mut alive: Vec<_> = (0..workers).map(start).collect();
        alive.iter_mut().for_each(|process| stage.join(process));
        // The partitions of one user belong to different workers, if there are two.
        for (at, stream) in stage.scenario.streams().into_iter().enumerate() {
            stage.assign(&alive[at % workers], &[stream]);
        }
        let mut turns = (0..20_000).map(|turn| stage.turn(&mut alive[turn % workers]));
        let error = turns.find_map(Result::err).expect("the input is not keyed by user").to_string();
        assert!(error.contains("input.keyed_by_user: a user's events are on input partitions 0 and 1"), "{error}");
    }
}

/// A topic has other records at the offsets of the one that had its name, and state is of the old one.
#[test]
fn a_topic_that_was_created_again_and_offsets_that_are_gone_are_refused() {
    let input = Stream::Input(1);
    let created_again = |broker: &mut Broker| {
        broker.created_again.insert(input);
    };
    let with_its_offsets = |broker: &mut Broker| {
        broker.created_again.insert(input);
        broker.group.forget(|stream| stream == input);
    };
    let expired = |broker: &mut Broker| broker.group.forget(|_| true);
    let of_a_task = |broker: &mut Broker| broker.group.forget(|stream| stream == Stream::Repartition(2));
    type Loss<'a> = (&'a dyn Fn(&mut Broker), &'a str);
    let cases: [Loss<'_>; 4] = [
        (&created_again, "created again"),
        (&with_its_offsets, "created again"),
        (&expired, "has no offset of it, and it had one"),
        (&of_a_task, "has no offset of it, and it had one"),
    ];
    for (happens, says) in cases {
        for is_lost in [false, true] {
            let (stage, directory) = (Stage::empty(false), Directory::default());
            stage.arrive(&stage.scenario.arrivals[..200]);
            let mut first = stage.start(&directory, "tailburn");
            stage.turns(&mut first, 60);
            drop(first);
            happens(&mut stage.world.borrow_mut().broker);
            if is_lost {
                directory.lose();
            }
            let was = stage.written();
            let mut second = stage.start(&directory, "tailburn");
            let error = (0..10).find_map(|_| stage.poll(&mut second).err()).expect(says).to_string();
            assert!(error.contains(says) && error.contains("another application_id"), "{error}");
            assert_eq!(stage.written(), was, "nothing is written before it is said");
        }
    }
}

/// Who has nothing is not ready before the group said that it is so, and who has something not before it is restored.
#[test]
fn a_worker_is_ready_once_it_is_assigned_and_restored() {
    let (stage, directory) = (Stage::full(false), Directory::default());
    let mut first = stage.start(&directory, "tailburn");
    stage.join(&mut first);
    assert!(!first.worker.is_ready(), "the group has said nothing");
    stage.turns(&mut first, 60);
    assert!(first.worker.is_ready());
    drop(first);
    directory.lose();

    let mut second = stage.start(&directory, "tailburn");
    while second.worker.figures().phases == [0; 3] {
        assert!(!second.worker.is_ready(), "it has nothing yet");
        stage.poll(&mut second).expect("a poll");
    }
    assert!(!second.worker.is_ready(), "the state is not restored");
    stage.turns(&mut second, 100);
    assert!(second.worker.is_ready());

    let other = Directory::default();
    let mut third = stage.start(&other, "other");
    stage.join(&mut third);
    stage.assign(&second, &stage.scenario.streams());
    assert!(!third.worker.is_ready(), "the group has said nothing");
    stage.turns(&mut third, 1);
    assert!(third.worker.is_ready(), "others have it all");
}

#[test]
fn a_changelog_without_the_checkpoint_is_waited_for_and_then_refused() {
    let (stage, directory) = (Stage::full(false), Directory::default());
    let mut first = stage.start(&directory, "tailburn");
    stage.turns(&mut first, 300);
    drop(first);
    directory.lose();
    let world = &stage.world;
    let changelogs: Vec<Place> =
        world.borrow().broker.places().filter(|place| matches!(place, Place::Output(Topic::Changelog, _))).collect();
    changelogs.into_iter().for_each(|place| world.borrow_mut().broker.lose(place));

    // The clock that measures has been running for long, and the other one is set while it waits.
    let mut second = stage.start(&directory, "tailburn");
    while second.worker.figures().phases[0] == 0 {
        stage.poll(&mut second).expect("it may become visible yet");
    }
    let began = world.borrow().now();
    let mut polled = |waited_ms: Ms, set_ms: Ms| {
        let now = Now { wall_ms: began.wall_ms + waited_ms + set_ms, steady_ms: began.steady_ms + waited_ms };
        second.worker.poll(Duration::ZERO, now).map(|_| ())
    };
    for (waited_ms, set_ms) in [(0, 0), (1, HOUR_MS), (30 * SECOND_MS, 0), (59 * SECOND_MS, -HOUR_MS)] {
        polled(waited_ms, set_ms).expect("it may become visible yet");
    }
    let error = polled(61 * SECOND_MS, 0).expect_err("nothing true can be told").to_string();
    assert!(error.contains("cannot be restored from the changelog: it ends before the checkpoint"), "{error}");
}

/// The input gets a fourth partition while its workers live, or die, with a checkpoint or without one.
#[test]
fn a_partition_that_is_added_is_read_from_its_beginning_and_what_was_published_stands() {
    let cases = [(4, HOUR_MS, false), (8, HOUR_MS, false), (30, HOUR_MS, false), (30, SECOND_MS, false)];
    for (before, checkpoint_ms, is_graceful) in cases.into_iter().chain([(30, HOUR_MS, true)]) {
        let (mut stage, directory) = (Stage::empty(false), Directory::default());
        stage.scenario.checkpoint_ms = checkpoint_ms;
        let arrivals = stage.scenario.arrivals.clone();
        let (half, rest) = arrivals.split_at(arrivals.len() / 2);
        stage.arrive(half);
        let mut first = stage.start(&directory, "tailburn");
        stage.turns(&mut first, before);
        if is_graceful {
            first.worker.checkpoint_all();
            stage.turns(&mut first, 1);
        }
        assert!(before < 30 || first.worker.figures().evaluated_ms.is_some(), "nothing was published");
        stage.kill(first, &directory);
        let added = stage.add_input();
        let of_first = arrivals.iter().filter(|arrival| arrival.partition == 0).take(100);
        let fourth: Vec<_> = of_first.map(|arrival| arrival.on(3)).chain([traffic::last(3, LAST_MS)]).collect();
        stage.arrive(rest);
        stage.arrive(&fourth);

        for turns in [5, 40] {
            let mut next = stage.start(&directory, "tailburn");
            stage.turns(&mut next, turns);
            stage.kill(next, &directory);
        }
        let mut last = stage.start(&directory, "tailburn");
        let is_at_end = |process: &Process| process.worker.figures().evaluated_ms == Some(end_ms());
        for _ in 0..2_000 {
            if is_at_end(&last) {
                break;
            }
            stage.turns(&mut last, 1);
        }
        assert!(is_at_end(&last), "{before} turns before");
        stage.turns(&mut last, 20);
        let world = stage.world.borrow();
        let broker = &world.broker;
        let compared = Reference::of(&stage.scenario, broker).and_then(|all| compare_outputs(&world, &all));
        let records = compared.unwrap_or_else(|why| panic!("{before} turns before: {why}")).records;
        assert!(records > 100, "{before} turns before: {records} records");
        let read = broker.group.committed(added).map(|committed| committed.next.0);
        let end = broker.partition(added.into()).end();
        assert_eq!(read, Some(end), "{before} turns before: it is read from its beginning to its end");
    }
}

/// Every key has one status of a boundary, whoever published it.
fn assert_is_published_once(stage: &Stage) {
    let mut seen = BTreeSet::new();
    for (key, value, at_ms) in stage.published(Topic::SloStatus) {
        assert!(seen.insert((key.clone(), at_ms)), "{key} has two statuses of {at_ms}: {value:?}");
    }
    assert!(seen.len() > 100, "{} statuses", seen.len());
}

/// Keys of statuses, and ids of alerts that fire.
#[derive(Debug, Default, PartialEq)]
struct Shown {
    keys: BTreeMap<String, usize>,
    firing: BTreeSet<String>,
}

impl Shown {
    /// What the records say.
    fn published(stage: &Stage) -> Shown {
        let keys: BTreeSet<String> = stage.published(Topic::SloStatus).into_iter().map(|(key, ..)| key).collect();
        let mut shown = Shown::default();
        for key in keys {
            *shown.keys.entry(key.split('|').next().expect("an SLO").to_owned()).or_default() += 1;
        }
        for (_, value, _) in stage.published(Topic::BurnAlerts) {
            let alert = json(&value.expect("an alert is never deleted"));
            let id = alert["id"].as_str().expect("an id").to_owned();
            match alert["state"].as_str() {
                Some("resolved") => drop(shown.firing.remove(&id)),
                _ => drop(shown.firing.insert(id)),
            }
        }
        shown
    }

    /// What the metrics of a process say: the board, as it reads the topics from their beginning, for the keys of these
    /// rollup partitions.
    fn in_metrics(stage: &Stage, of: &BTreeSet<u32>) -> Shown {
        let board = Board::default();
        for topic in Topic::OUTPUTS {
            let records = stage.published(topic);
            board.publish(records.into_iter().filter_map(|(key, value, _)| Update::of(topic, key, value)));
        }
        let is_ours = |key: &str| of.contains(&rollup_partition(key, stage.scenario.rollups));
        let id = |alert: &[u8]| json(alert)["id"].as_str().expect("an id").to_owned();
        let firing = board.firing_of(is_ours).iter().map(|alert| id(alert)).collect();
        Shown { keys: board.keys_of(is_ours), firing }
    }
}

fn json(bytes: &[u8]) -> serde_json::Value {
    serde_json::from_slice(bytes).expect("JSON")
}

/// Killed in the outage, with a checkpoint or before the first one. The page that fires must not look resolved.
#[test]
fn after_a_kill_in_an_outage_the_metrics_have_all_keys_and_the_firing_alerts() {
    for (has_checkpoint, is_lost) in [(false, false), (true, false), (true, true)] {
        let (mut stage, directory) = (Stage::empty(false), Directory::default());
        // None is due by itself.
        stage.scenario.checkpoint_ms = HOUR_MS;
        let arrivals = &stage.scenario.arrivals;
        stage.arrive(&arrivals[..arrivals.partition_point(|arrival| arrival.at_ms < OUTAGE_MS.end - 5 * MINUTE_MS)]);
        let mut first = stage.start(&directory, "tailburn");
        stage.turns(&mut first, 60);
        if has_checkpoint {
            first.worker.checkpoint_all();
            stage.turns(&mut first, 1);
        }
        stage.kill(first, &directory);
        if is_lost {
            directory.lose();
        }
        let published = Shown::published(&stage);
        let keys: usize = published.keys.values().sum();
        assert!(keys >= 4 && !published.firing.is_empty(), "{published:?}");

        let mut second = stage.start(&directory, "tailburn");
        for _ in 0..100 {
            if !second.worker.is_ready() {
                stage.poll(&mut second).expect("a poll");
            }
        }
        assert!(second.worker.is_ready());
        let shown = Shown::in_metrics(&stage, &second.worker.rollup_partitions());
        assert_eq!(shown, published, "a checkpoint: {has_checkpoint}, lost: {is_lost}");
        // It goes on with the same episodes: nothing of them is published again.
        stage.turns(&mut second, 60);
        assert_is_published_once(&stage);
        assert_eq!(Shown::published(&stage).firing, published.firing);
    }
}
