//! A group's offsets expire `offsets.retention.minutes` after its last instance left, but the state and the internal
//! topics still exist. A start at the beginning of the input would count everything twice, and a start at its end would
//! lose the records that came meanwhile. Therefore `run` refuses to start, and the remedy in its message works.

use crate::broker::Broker;
use crate::pipeline::{PARTITIONS, await_committed, preload};
use crate::recovery::Place;
use crate::world::{PATIENCE, World, committed};
use rdkafka::consumer::BaseConsumer;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

const CONFIGURATION: Option<i32> = Some(78);
/// The retention of a minute, plus the interval of the check, on a busy machine.
const EXPIRED: Duration = Duration::from_secs(120);

/// The group's offsets of the input, by partition.
fn offsets(world: &World<Arc<Broker>>, id: &str) -> Vec<Option<i64>> {
    let consumer: BaseConsumer = world.client().set("group.id", id).create().expect("a consumer");
    committed(&consumer, &world.input, PARTITIONS).expect("the committed offsets")
}

/// The first offsets that a start logs, by partition.
fn begins(world: &World<Arc<Broker>>, log: &str) -> Vec<Option<i64>> {
    let of = |partition: u32| {
        let said = format!("{} [{partition}]: the group has no offset; starting at ", world.input);
        let (_, rest) = log.split_once(&said)?;
        let (_, rest) = rest.split_once("offset ")?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    (0..PARTITIONS).map(of).collect()
}

#[test]
fn offsets_that_expired_are_told_and_the_remedy_loses_nothing() {
    let properties = ["offsets.retention.minutes=1", "offsets.retention.check.interval.ms=1000"];
    let Some(broker) = Broker::start_with_properties(&properties) else { return };
    let world = World::new(Arc::new(broker), "w-expired", PARTITIONS);
    let place = Place::with(&world, "expired", "");
    let (running, _) = place.start();
    preload(&world.client(), &world.input, 1_000, 50);
    await_committed(&world, "expired", 1_000, || {});
    assert_eq!(running.stop(), Some(0), "{}", place.log());
    let was = offsets(&world, "expired");
    // These records come while nothing runs.
    preload(&world.client(), &world.input, 200, 50);
    let deadline = Instant::now() + EXPIRED;
    while offsets(&world, "expired").iter().any(Option::is_some) {
        assert!(Instant::now() < deadline, "the offsets do not expire");
        std::thread::sleep(Duration::from_millis(500));
    }

    for _ in 0..2 {
        assert_eq!(place.spawn(&[]).end(PATIENCE), CONFIGURATION, "{}", place.log());
        let log = place.log();
        let last = log.lines().next_back().unwrap_or_default();
        assert!(last.contains("has no offset of it, and it had one") && last.contains("application_id"), "{log}");
        assert_eq!(offsets(&world, "expired"), vec![None; PARTITIONS as usize], "nothing was committed");
    }
    // The remedy of the message: another application_id, and a start at the time of the last commit, which it names.
    let log = place.log();
    let (_, rest) = log.split_once("The last commit was at ").expect("when the last commit was");
    let (time, _) = rest.split_once(". ").expect("a time");
    let config = place.dir.path().join("tailburn.yaml");
    let text = fs::read_to_string(&config).expect("a configuration");
    fs::write(&config, text.replacen("application_id: expired", "application_id: expired-2", 1)).expect("written");
    let running = place.spawn(&["--from", time]);
    await_committed(&world, "expired-2", 1_200, || {});
    assert_eq!(begins(&world, &place.log()), was, "it goes on where it was: {}", place.log());
    assert_eq!(running.stop(), Some(0), "{}", place.log());
}
