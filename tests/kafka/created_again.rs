//! An input is a topic, not a topic's name. If the topic was deleted and created again, or if the group's offsets are
//! gone while the state exists, nothing is read or published, and a message says what to do.

use crate::broker::Broker;
use crate::broker_or_skip;
use crate::pipeline::{PARTITIONS, await_committed, from_env, preload};
use crate::recovery::Place;
use crate::world::{PATIENCE, World};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub const CONFIGURATION: Option<i32> = Some(78);
/// The change is noticed within 10 s; then the program leaves its group.
const NOTICED: Duration = Duration::from_secs(10);
pub const LEFT: Duration = Duration::from_secs(20);

/// The administration of topics.
pub struct Admin {
    client: AdminClient<DefaultClientContext>,
    runtime: tokio::runtime::Runtime,
}

impl Admin {
    pub fn new(world: &World<Arc<Broker>>) -> Admin {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        Admin { client: world.client().create().expect("an administrator"), runtime }
    }

    pub fn delete(&self, topics: &[&str]) {
        let deleted = self.runtime.block_on(self.client.delete_topics(topics, &AdminOptions::new()));
        deleted.expect("an answer").into_iter().for_each(|outcome| drop(outcome.expect("it is deleted")));
    }

    pub fn create(&self, topic: &str) {
        self.create_with(topic, PARTITIONS);
    }

    pub fn create_with(&self, topic: &str, partitions: u32) {
        let deadline = Instant::now() + PATIENCE;
        let wanted = NewTopic::new(topic, partitions as i32, TopicReplication::Fixed(1));
        loop {
            let made = self.runtime.block_on(self.client.create_topics([&wanted], &AdminOptions::new()));
            if made.expect("an answer").iter().all(Result::is_ok) {
                return;
            }
            assert!(Instant::now() < deadline, "{topic} cannot be made");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn grow(&self, topic: &str, partitions: u32) {
        let wanted = NewPartitions::new(topic, partitions as usize);
        let grown = self.runtime.block_on(self.client.create_partitions([&wanted], &AdminOptions::new()));
        grown.expect("an answer").into_iter().for_each(|outcome| drop(outcome.expect("it has more")));
    }

    fn delete_group(&self, group: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let deleted = self.runtime.block_on(self.client.delete_groups(&[group], &AdminOptions::new()));
            if deleted.expect("an answer").iter().all(Result::is_ok) {
                return;
            }
            assert!(Instant::now() < deadline, "group {group} cannot be deleted");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

pub fn world(broker: Arc<Broker>, name: &str) -> World<Arc<Broker>> {
    World::new(broker, Box::leak(name.to_owned().into_boxed_str()), PARTITIONS)
}

/// The number of status records that a reader of committed records sees.
pub fn published(world: &World<Arc<Broker>>, id: &str) -> usize {
    let mut config = world.client();
    config.set("group.id", "outsider").set("isolation.level", "read_committed");
    config.set("enable.auto.commit", "false").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    for partition in 0..4 {
        list.add_partition_offset(&format!("{id}.slo-status"), partition, Offset::Beginning).expect("a partition");
    }
    consumer.assign(&list).expect("an assignment");
    let (mut ends, mut count) = (0, 0);
    while ends < 4 {
        match consumer.poll(PATIENCE) {
            Some(Ok(_)) => count += 1,
            Some(Err(KafkaError::PartitionEOF(_))) => ends += 1,
            other => panic!("the status could not be read: {other:?}"),
        }
    }
    count
}

/// More rounds of each pause: `CREATED_AGAIN_ROUNDS`.
#[test]
fn created_again_while_it_is_read() {
    let broker = broker_or_skip!();
    for round in 0..from_env("CREATED_AGAIN_ROUNDS", 1) {
        for pause_ms in [0, 200, 1_000, 3_000] {
            let id = &format!("anew-{pause_ms}-{round}");
            let world = world(Arc::clone(&broker), &format!("w-{id}"));
            let place = Place::with(&world, id, "");
            let (running, _) = place.start();
            preload(&world.client(), &world.input, 1_000, 50);
            await_committed(&world, id, 1_000, || {});
            let admin = Admin::new(&world);
            admin.delete(&[&world.input]);
            std::thread::sleep(Duration::from_millis(pause_ms));
            admin.create(&world.input);
            let began = Instant::now();
            preload(&world.client(), &world.input, 3_000, 50);
            assert_eq!(running.end(LEFT), CONFIGURATION, "pause {pause_ms} ms: {}", place.log());
            let log = place.log();
            let last = log.lines().next_back().unwrap_or_default().to_owned();
            println!("pause {pause_ms} ms, round {round}: ended after {:.1?}: {last}", began.elapsed());
            assert!(began.elapsed() < NOTICED + Duration::from_secs(5), "{log}");
            assert!(last.contains(&world.input) && last.contains("created again"), "{log}");
            assert!(last.contains("another application_id"), "{log}");
            // After a restart it reports the same before it reads anything.
            let was = published(&world, id);
            assert_eq!(place.spawn(&[]).end(LEFT), CONFIGURATION, "{}", place.log());
            assert!(
                place.log().lines().next_back().is_some_and(|last| last.contains("created again")),
                "{}",
                place.log()
            );
            assert_eq!(published(&world, id), was, "{}", place.log());
        }
    }
}

#[test]
fn created_again_while_it_is_stopped() {
    let world = world(broker_or_skip!(), "w-anew-stopped");
    let place = Place::with(&world, "anew-stopped", "");
    let (running, _) = place.start();
    preload(&world.client(), &world.input, 1_000, 50);
    await_committed(&world, "anew-stopped", 1_000, || {});
    assert_eq!(running.stop(), Some(0), "{}", place.log());
    let admin = Admin::new(&world);
    admin.delete(&[&world.input]);
    admin.create(&world.input);
    preload(&world.client(), &world.input, 3_000, 50);
    let was = published(&world, "anew-stopped");
    for _ in 0..2 {
        assert_eq!(place.spawn(&[]).end(LEFT), CONFIGURATION, "{}", place.log());
        let log = place.log();
        let last = log.lines().next_back().unwrap_or_default();
        assert!(last.contains(&world.input) && last.contains("created again"), "{log}");
    }
    assert_eq!(published(&world, "anew-stopped"), was, "{}", place.log());
}

/// The offsets are gone, as after offsets.retention.minutes without an instance. The remedy in the message works: the same
/// state.dir and another application id.
#[test]
fn offsets_that_are_gone_and_the_remedy() {
    let world = world(broker_or_skip!(), "w-gone");
    for state_is_lost in [false, true] {
        let id = &format!("gone-{state_is_lost}");
        let place = Place::with(&world, id, "");
        let (running, _) = place.start();
        preload(&world.client(), &world.input, 1_000, 50);
        await_committed(&world, id, 1_000, || {});
        assert_eq!(running.stop(), Some(0), "{}", place.log());
        Admin::new(&world).delete_group(id);
        if state_is_lost {
            std::fs::remove_dir_all(place.dir.path().join("tailburn-state")).expect("the state is gone");
        }
        let was = published(&world, id);
        let refused = place.spawn(&[]);
        assert_eq!(refused.end(LEFT), CONFIGURATION, "{}", place.log());
        let log = place.log();
        let last = log.lines().next_back().unwrap_or_default();
        assert!(last.contains("has no offset of it, and it had one") && last.contains("application_id"), "{log}");
        assert_eq!(published(&world, id), was, "{log}");

        let config = place.dir.path().join("tailburn.yaml");
        let text = std::fs::read_to_string(&config).expect("a configuration");
        let anew = text.replacen(&format!("application_id: {id}"), &format!("application_id: {id}-2"), 1);
        std::fs::write(&config, anew).expect("a configuration");
        let (running, _) = place.start();
        await_committed(&world, &format!("{id}-2"), 1_000, || {});
        let deadline = Instant::now() + PATIENCE;
        while published(&world, id) <= was {
            assert!(Instant::now() < deadline, "the output topics do not go on: {}", place.log());
            std::thread::sleep(Duration::from_millis(200));
        }
        assert_eq!(running.stop(), Some(0), "{}", place.log());
    }
}
