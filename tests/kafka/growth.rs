//! Input topics get more partitions, and the list of input topics changes: a partition keeps its number for good, and
//! records that were written before the change was noticed are read, too.

use crate::broker::Broker;
use crate::broker_or_skip;
use crate::created_again::{Admin, CONFIGURATION, LEFT, published, world};
use crate::pipeline::{PARTITIONS, await_committed, preload};
use crate::recovery::{Place, Running};
use crate::world::{PATIENCE, World, text};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tailburn::log::kafka::KafkaSettings;
use tailburn::log::kafka::topics::TopicAdmin;

/// Records that were written before the new partitions were noticed are read, too.
#[test]
fn partitions_that_are_added_are_read_from_their_beginning() {
    let world = world(broker_or_skip!(), "w-grown");
    let place = Place::with(&world, "grown", "");
    let (mut running, _) = place.start();
    preload(&world.client(), &world.input, 1_000, 50);
    await_committed(&world, "grown", 1_000, || {});
    let admin = Admin::new(&world);
    admin.grow(&world.input, PARTITIONS + 2);
    let began = Instant::now();
    for partition in 0..PARTITIONS as i32 + 2 {
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let line = format!(r#"{{"tenant":"t0","user":"u{partition}","timestamp":{now_ms},"status":503}}"#);
        world.produce(partition, &[&line, &line]);
    }
    let consumer: BaseConsumer = world.client().set("group.id", "grown").create().expect("a consumer");
    let is_read = |partition: i32| {
        let mut list = TopicPartitionList::new();
        list.add_partition(&world.input, partition);
        let committed = consumer.committed_offsets(list, PATIENCE).expect("the committed offsets");
        committed.elements().iter().all(|e| e.offset() == Offset::Offset(2))
    };
    let mut is_noticed = false;
    while !(PARTITIONS as i32..PARTITIONS as i32 + 2).all(is_read) {
        assert!(running.is_alive(), "it ended: {}", place.log());
        is_noticed |= place.log().contains("has 6 partitions now, and had 4: opening it anew");
        assert!(is_noticed || began.elapsed() < Duration::from_secs(30), "not noticed within 30 s: {}", place.log());
        assert!(began.elapsed() < Duration::from_secs(90), "not read: {}", place.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    println!("read after {:.1?}", began.elapsed());
    // After a kill it replays the log, and T must reach the same boundary again.
    running.kill();
    let (running, _) = place.start();
    assert_eq!(running.stop(), Some(0), "{}", place.log());
    let settings = KafkaSettings { group_id: "grown".to_owned(), prefix: "grown.".to_owned(), ..world.settings("w") };
    let admin = TopicAdmin::open(&settings).expect("an administrator");
    assert_eq!(admin.partitions("grown.dead-letters").expect("a look"), Some(PARTITIONS + 2), "{}", place.log());
}

/// With more partitions the producers would send users to other partitions, and their figures would be split.
#[test]
fn partitions_that_are_added_to_an_input_keyed_by_user_end_run() {
    let world = world(broker_or_skip!(), "w-keyed-grown");
    let input = format!("input: {{topics: [{}], keyed_by_user: true}}\n", world.input);
    let place = Place::with(&world, "keyed-grown", &input);
    let (running, _) = place.start();
    preload(&world.client(), &world.input, 1_000, 50);
    await_committed(&world, "keyed-grown", 1_000, || {});
    Admin::new(&world).grow(&world.input, PARTITIONS + 1);
    assert_eq!(running.end(Duration::from_secs(30)), CONFIGURATION, "{}", place.log());
    for _ in 0..2 {
        let log = place.log();
        let last = log.lines().next_back().unwrap_or_default();
        assert!(last.contains("keyed by user") && last.contains("another application_id"), "{log}");
        assert_eq!(place.spawn(&[]).end(LEFT), CONFIGURATION, "{}", place.log());
    }
}

/// A broker learns of a new topic a moment after its creation.
fn await_topic(world: &World<Arc<Broker>>, topic: &str) {
    let (topics, deadline) =
        (TopicAdmin::open(&world.settings("w")).expect("an administrator"), Instant::now() + PATIENCE);
    while topics.partitions(topic).expect("a look").is_none() {
        assert!(Instant::now() < deadline, "{topic} is not there");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One application on several topics: the events written to them, and the counts that it publishes.
struct Fed {
    world: World<Arc<Broker>>,
    id: &'static str,
    events: u64,
}

const AGGREGATE: &str = "availability|aggregate";
/// It takes seconds to notice a new partition, and then all instances wait for each other.
const COUNTED: Duration = Duration::from_secs(120);

impl Fed {
    fn produce(&self, topic: &str, partition: u32, value: &str) {
        let producer: BaseProducer =
            self.world.client().set("enable.idempotence", "true").create().expect("a producer");
        let record = BaseRecord::<str, str>::to(topic).partition(partition as i32).payload(value);
        producer.send(record).map_err(|(error, _)| error).expect("the record is queued");
        producer.flush(PATIENCE).expect("the record is delivered");
    }

    /// Writes an event and an invalid record to each partition.
    fn feed(&mut self, topics: &[(&str, u32)]) {
        for (topic, partitions) in topics {
            for partition in 0..*partitions {
                let now_ms = jiff::Timestamp::now().as_millisecond();
                let line =
                    format!(r#"{{"tenant":"t0","user":"u","timestamp":{now_ms},"operation":"checkout","status":200}}"#);
                self.produce(topic, partition, &line);
                self.produce(topic, partition, "no outcome");
                self.events += 1;
            }
        }
    }

    /// How many events the aggregate key has counted.
    fn counted(&self) -> u64 {
        let mut counted = 0;
        self.world.each_record(&format!("{}.slo-status", self.id), |key, value| {
            if key == AGGREGATE {
                let status: serde_json::Value = serde_json::from_slice(value.unwrap_or_default()).expect("a status");
                counted = status["counts"]["accepted"].as_u64().expect("a count");
            }
        });
        counted
    }

    fn await_counted(&self, places: &[&Place], running: &mut [Running]) {
        let deadline = Instant::now() + COUNTED;
        let logs = || places.iter().map(|place| place.log()).collect::<Vec<_>>().join("\n---\n");
        loop {
            let counted = self.counted();
            assert!(counted <= self.events, "{counted} of {} events: {}", self.events, logs());
            if counted == self.events {
                return;
            }
            assert!(running.iter_mut().all(Running::is_alive), "it ended: {}", logs());
            assert!(Instant::now() < deadline, "{counted} of {} events: {}", self.events, logs());
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// By the partition of the dead letters, which is the number of the input partition: the name of the input partition,
    /// and the number of its dead letters.
    fn dead_letters(&self) -> BTreeMap<i32, (String, u32)> {
        let mut found: BTreeMap<i32, (String, u32)> = BTreeMap::new();
        self.world.each_message(&format!("{}.dead-letters", self.id), |message| {
            let headers = message.headers().expect("headers");
            let header = |name: &str| {
                let found = headers.iter().find(|header| header.key == name).expect("the header");
                text(found.value.unwrap_or_default())
            };
            let name = format!("{} [{}]", header("tailburn.topic"), header("tailburn.partition"));
            let (whose, count) = found.entry(message.partition()).or_insert((name.clone(), 0));
            assert_eq!(*whose, name, "the number was another partition's");
            *count += 1;
        });
        found
    }
}

/// Partitions are added to the first topic while two instances read it, then to both topics at once, and then to the
/// first one while the instances are stopped and the list of topics is reversed and gets a third one. Each event is
/// counted once, and each number keeps its partition.
#[test]
fn any_input_topic_may_grow() {
    let (first, second, third) = ("w-any-grown-outcomes", "w-any-grown-second", "w-any-grown-third");
    let world = world(broker_or_skip!(), "w-any-grown");
    let admin = Admin::new(&world);
    [second, third].iter().for_each(|topic| admin.create_with(topic, 2));
    [second, third].iter().for_each(|topic| await_topic(&world, topic));
    let more = |topics: &str| {
        format!(
            "input: {{topics: [{topics}], idle_timeout: 2s}}\n\
             output: {{prefix: any-grown., status_interval: 10s}}\n\
             partitions: {{users: 2, rollup: 2}}\n"
        )
    };
    let mut fed = Fed { world, id: "any-grown", events: 0 };
    let places = [0, 1].map(|_| Place::with(&fed.world, "any-grown", &more(&format!("{first}, {second}"))));
    let both = [&places[0], &places[1]];
    let mut running = places.each_ref().map(|place| place.start_beside().0);
    fed.feed(&[(first, 4), (second, 2)]);
    fed.await_counted(&both, &mut running);

    admin.grow(first, 5);
    fed.feed(&[(first, 5), (second, 2)]);
    fed.await_counted(&both, &mut running);
    let numbers = fed.dead_letters();
    assert_eq!(numbers.len(), 7);
    assert_eq!(numbers[&6], (format!("{first} [4]"), 1), "it has the next free number");

    admin.grow(second, 3);
    admin.grow(first, 6);
    fed.feed(&[(first, 6), (second, 3)]);
    fed.await_counted(&both, &mut running);

    running.into_iter().zip(&places).for_each(|(one, place)| assert_eq!(one.stop(), Some(0), "{}", place.log()));
    admin.grow(first, 7);
    fed.feed(&[(first, 7), (second, 3), (third, 2)]);
    let places =
        places.map(|place| place.with_settings(&format!("{first}, {second}"), &format!("{third}, {second}, {first}")));
    let both = [&places[0], &places[1]];
    let mut running = places.each_ref().map(|place| place.start_beside().0);
    fed.await_counted(&both, &mut running);
    // After a kill they replay the log, and T must reach the same boundary again.
    running.into_iter().for_each(Running::kill);
    let mut running = places.each_ref().map(|place| place.start_beside().0);
    fed.feed(&[(first, 7), (second, 3), (third, 2)]);
    fed.await_counted(&both, &mut running);
    running.into_iter().zip(&places).for_each(|(one, place)| assert_eq!(one.stop(), Some(0), "{}", place.log()));

    let dead_letters = fed.dead_letters();
    assert_eq!(dead_letters.len(), 12, "each has a partition of its own: {dead_letters:?}");
    assert_eq!(dead_letters.values().map(|(_, count)| u64::from(*count)).sum::<u64>(), fed.events);
    let was = numbers.iter().all(|(number, (name, _))| dead_letters[number].0 == *name);
    assert!(was, "{numbers:?} {dead_letters:?}");
    assert_eq!(fed.counted(), fed.events);
}

/// Events of the removed topic stay in the figures.
#[test]
fn a_topic_that_is_removed_from_the_list_is_refused_until_it_is_put_back() {
    let world = world(broker_or_skip!(), "w-left");
    let admin = Admin::new(&world);
    admin.create_with("w-left-second", 1);
    await_topic(&world, "w-left-second");
    let place = Place::with(&world, "left", &format!("input: {{topics: [{}, w-left-second]}}\n", world.input));
    let (running, _) = place.start();
    preload(&world.client(), &world.input, 1_000, 50);
    await_committed(&world, "left", 1_000, || {});
    assert_eq!(running.stop(), Some(0), "{}", place.log());
    let was = published(&world, "left");
    let place = place.with_settings(", w-left-second", "");
    assert_eq!(place.spawn(&[]).end(LEFT), CONFIGURATION, "{}", place.log());
    let log = place.log();
    let last = log.lines().next_back().unwrap_or_default();
    assert!(last.contains("w-left-second was in this list") && last.contains("Put it back"), "{log}");
    assert_eq!(published(&world, "left"), was, "{log}");
    let place = place.with_settings(&world.input, &format!("{}, w-left-second", world.input));
    let (running, _) = place.start();
    assert_eq!(running.stop(), Some(0), "{}", place.log());
}
