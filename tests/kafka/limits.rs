//! Limits of the brokers on timestamps, sizes and the age of records; and starts at a time.

use crate::broker::Broker;
use crate::broker_or_skip;
use crate::pipeline::{PARTITIONS, await_committed, preload};
use crate::recovery::Place;
use crate::story::{INPUTS, Story, Visible};
use crate::world::{PATIENCE, Worker, World};
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tailburn::log::kafka::topics::{Cleanup, PartitionCounts, TopicAdmin, plan};
use tailburn::log::kafka::{KafkaSettings, StartFrom};
use tailburn::log::{Assignment, NextOffset, Stream};
use tailburn::model::record::Topic;
use tailburn::model::time::{HOUR_MS, MINUTE_MS};

const CONFIGURATION: Option<i32> = Some(78);
/// Long enough for a busy machine.
const SOON: Duration = Duration::from_secs(90);

/// Sets all settings of a topic that are not the brokers' defaults.
fn alter(world: &World<Arc<Broker>>, topic: &str, settings: &[(&str, &str)]) {
    let client: AdminClient<DefaultClientContext> = world.client().create().expect("an administrator");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let all = settings.iter().fold(AlterConfig::new(ResourceSpecifier::Topic(topic)), |all, (k, v)| all.set(k, v));
    let altered = runtime.block_on(client.alter_configs([&all], &AdminOptions::new())).expect("an answer");
    altered.into_iter().for_each(|outcome| drop(outcome.expect("it is altered")));
    // The broker learns of it from the controller.
    let admin = TopicAdmin::open(&world.settings("admin")).expect("an administrator");
    let deadline = Instant::now() + PATIENCE;
    let is_there = |found: &BTreeMap<String, String>| {
        settings.iter().all(|(name, value)| found.get(*name).is_some_and(|found| found == value))
    };
    while !is_there(&admin.configured(topic).expect("its settings")) {
        assert!(Instant::now() < deadline, "{topic} is not altered");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The topics that an application would create.
fn make_topics(world: &World<Arc<Broker>>, id: &str) {
    let settings = KafkaSettings { group_id: id.to_owned(), prefix: format!("{id}."), ..world.settings("admin") };
    let plans = plan(&settings, PartitionCounts { input: PARTITIONS, users: 8, rollup: 4 });
    TopicAdmin::open(&settings).expect("an administrator").create_missing(&plans, 1).expect("topics");
}

/// Starts the program with altered topics; returns the exit code and the last line of its log.
fn ended(world: &World<Arc<Broker>>, id: &str, topic: &str, settings: &[(&str, &str)]) -> (Option<i32>, String) {
    make_topics(world, id);
    alter(world, &format!("{id}.{topic}"), settings);
    let place = Place::with(world, id, "");
    let running = place.spawn(&[]);
    preload(&world.client(), &world.input, 1_000, 50);
    let code = running.end(SOON);
    let log = place.log();
    (code, log.lines().next_back().unwrap_or_default().to_owned())
}

/// Retrying would not help, so the program ends and names the topic, the limit and the setting.
#[test]
fn a_record_that_the_broker_will_never_take_ends_run() {
    let world = World::new(broker_or_skip!(), "refusing", PARTITIONS);
    let compact = ("cleanup.policy", "compact");
    let (code, last) = ended(&world, "too-small", "slo-status", &[compact, ("max.message.bytes", "100")]);
    assert_eq!(code, CONFIGURATION, "{last}");
    assert!(last.contains("too-small.slo-status") && last.contains("max.message.bytes=100"), "{last}");
    // A producer's clock that is an hour behind looks like this.
    let limits = [compact, ("message.timestamp.type", "CreateTime"), ("message.timestamp.before.max.ms", "0")];
    let (code, last) = ended(&world, "too-old", "slo-status", &limits);
    assert_eq!(code, CONFIGURATION, "{last}");
    let is_said = ["too-old.slo-status", "message.timestamp.before.max.ms=0", "LogAppendTime"];
    assert!(is_said.iter().all(|text| last.contains(text)), "{last}");
}

/// Without compaction the latest status of a key would be deleted after the retention.
#[test]
fn a_compacted_topic_that_is_not_is_an_error_and_other_differences_are_warnings() {
    let world = World::new(broker_or_skip!(), "differing", PARTITIONS);
    let policy = [("cleanup.policy", "delete"), ("retention.ms", "3600000")];
    let (code, last) = ended(&world, "not-compacted", "slo-status", &policy);
    assert_eq!(code, CONFIGURATION, "{last}");
    assert!(last.contains("not-compacted.slo-status") && last.contains("cleanup.policy=delete"), "{last}");

    make_topics(&world, "warned");
    alter(&world, "warned.burn-alerts", &[("retention.ms", "3600000"), ("max.message.bytes", "16777216")]);
    alter(&world, "warned.user-status", &[("cleanup.policy", "compact"), ("min.compaction.lag.ms", "5")]);
    let place = Place::with(&world, "warned", "");
    let (running, _) = place.start();
    assert_eq!(running.stop(), Some(0), "{}", place.log());
    let log = place.log();
    for difference in [
        "warned.burn-alerts: has retention.ms=3600000, not 34560000000",
        "warned.burn-alerts: has message.timestamp.type=CreateTime, not LogAppendTime",
        "warned.user-status: has min.compaction.lag.ms=5, not 0",
    ] {
        assert!(log.contains(difference), "{difference}: {log}");
    }
    assert!(!log.contains("warned.slo-status"), "{log}");
}

/// Traffic two days ahead of the clock, and traffic of long ago, on topics that accept neither as a producer's timestamp.
#[test]
fn a_t_that_the_limits_are_not_made_for_is_published() {
    let world = World::new(broker_or_skip!(), "far", PARTITIONS);
    make_topics(&world, "far-app");
    // As an older build created it, with the producer's timestamps.
    let limits = [("message.timestamp.before.max.ms", "60000"), ("message.timestamp.after.max.ms", "60000")];
    alter(&world, "far-app.burn-alerts", &limits);
    alter(&world, "far-app.slo-status", &[&limits[..], &[("cleanup.policy", "compact")]].concat());
    let place = Place::with(&world, "far-app", "");
    let (running, _) = place.start();
    preload(&world.client(), &world.input, 1_000, 50);
    await_committed(&world, "far-app", 1_000, || {});
    assert_eq!(running.stop(), Some(0), "{}", place.log());
    assert!(!place.log().contains("aborted"), "{}", place.log());
}

/// The topic of dead letters has a retention of its own, not the brokers' default, counted from when they were written.
#[test]
fn all_our_topics_are_stamped_by_the_brokers_and_dead_letters_have_a_retention() {
    let world = World::new(broker_or_skip!(), "stamped", PARTITIONS);
    let settings = world.settings("admin");
    let admin = TopicAdmin::open(&settings).expect("an administrator");
    for plan in plan(&settings, PartitionCounts { input: PARTITIONS, users: 2, rollup: 2 }) {
        let found = admin.configured(&plan.name).expect("its settings");
        assert_eq!(found["message.timestamp.type"], "LogAppendTime", "{}", plan.name);
        if plan.ours == Some(Topic::DeadLetters) {
            assert_eq!(plan.cleanup, Cleanup::Delete { retention_ms: Some(30 * 24 * HOUR_MS) });
            assert_eq!(found["retention.ms"], (30 * 24 * HOUR_MS).to_string());
        }
    }
}

fn await_dead_letter(story: &Story, value: &str) {
    let deadline = Instant::now() + SOON;
    let is_there = |record: &Visible| record.value.as_deref() == Some(value);
    while story.visible("dead-letters", INPUTS).iter().filter(|record| is_there(record)).count() < INPUTS as usize {
        assert!(Instant::now() < deadline, "no dead letter {value}\n{}", story.log());
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Output about events of long ago counts as young, because it was just written: it survives the brokers' checks for old
/// records.
#[test]
fn what_catching_up_writes_outlives_the_checks_of_retention() {
    let properties = [
        "log.retention.check.interval.ms=1000",
        "log.initial.task.delay.ms=1000",
        "log.segment.delete.delay.ms=100",
        "log.roll.ms=3000",
        // Compacted topics may be compacted meanwhile, so only the latest record of each key must stay.
        "log.cleaner.backoff.ms=500",
        // The default for topics without their own retention, as that of dead letters once was.
        "log.retention.hours=1",
    ];
    let Some(broker) = Broker::start_with_properties(&properties) else { return };
    let settings = "input: {topics: [ancient-outcomes], idle_timeout: 1h}\n";
    let story = Story::since(24 * 500, Arc::new(broker), "ancient", "28d", settings);
    let running = story.run();
    // Records written after the segments' maximum age roll the segments; then at least two checks must pass.
    story.feed(3, Duration::from_secs(4));
    story.feed_beyond(10 * MINUTE_MS);
    story.assert_told_to_the_end(2 * SOON);
    std::thread::sleep(Duration::from_secs(4));
    story.feed_dead_letters();
    let expected = story.lines("dead-letters").len();
    assert!(expected > 0);
    await_dead_letter(&story, "no outcome");
    std::thread::sleep(Duration::from_secs(4));
    story.assert_same_but_compacted();
    story.assert_history();
    let found = story.visible("dead-letters", INPUTS).len();
    assert_eq!(found, expected + INPUTS as usize, "dead letters are missing");
    assert_eq!(running.stop(), Some(0), "{}", story.log());
}

/// Records of past times in transactions. Transaction markers have the time of the clock, and aborted records have times,
/// too, but reading must start at neither.
#[test]
fn a_beginning_by_time_is_the_first_record_that_fits() {
    let world = World::new(broker_or_skip!(), "by-time", 1);
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let hours_ago = |hours: i64| now_ms - hours * HOUR_MS;
    let mut config = world.client();
    config.set("transactional.id", "by-time-producer");
    let producer: BaseProducer = config.create().expect("a producer");
    producer.init_transactions(PATIENCE).expect("transactions");
    let transaction = |hours: &[i64], is_kept: bool| {
        producer.begin_transaction().expect("it begins");
        for ago in hours {
            let value = format!("{ago}h");
            let record = BaseRecord::<str, str>::to(&world.input).partition(0).payload(&value);
            producer.send(record.timestamp(hours_ago(*ago))).map_err(|(error, _)| error).expect("sent");
        }
        producer.flush(PATIENCE).expect("flushed");
        if is_kept { producer.commit_transaction(PATIENCE) } else { producer.abort_transaction(PATIENCE) }
            .expect("ended");
    };
    // Offsets 0, 1, marker 2; aborted 3, 4, marker 5; 6, 7, marker 8.
    transaction(&[50, 40], true);
    transaction(&[30, 20], false);
    transaction(&[28, 10], true);
    for (hours, next) in [(60, 0), (45, 1), (35, 6), (29, 6), (15, 7), (5, 9)] {
        let start_from = StartFrom::Time(hours_ago(hours));
        let settings = KafkaSettings { start_from, group_id: format!("by-time-{hours}"), ..world.settings("w") };
        let assigned = assigned(&settings);
        let assigned = assigned.iter().find(|a| a.stream == Stream::Input(0)).expect("the input");
        assert_eq!(assigned.next, NextOffset(next), "{hours} hours ago");
    }
}

fn assigned(settings: &KafkaSettings) -> Vec<Assignment> {
    let plans = plan(settings, PartitionCounts { input: 1, users: 2, rollup: 2 });
    TopicAdmin::open(settings).expect("an administrator").create_missing(&plans, 1).expect("topics");
    Worker::open(settings).expect("the log opens").until_assigned()
}
