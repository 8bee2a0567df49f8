//! The delay from the end of a pane to its status and its alerts, in real time, with and without checkpoints. Not run by
//! default: `ops/bench/latency`.

use crate::broker::Broker;
use crate::broker_or_skip;
use crate::pipeline::{PARTITIONS, from_env};
use crate::recovery::Place;
use crate::world::World;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Message, Offset, TopicPartitionList};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tailburn::model::record::partition_of;
use tailburn::model::time::PANE_MS;

const USERS: u64 = 100_000;
const TENANTS: u64 = 40;
const OUT_OF_ORDERNESS_MS: i64 = 5_000;
const COMMIT_MS: i64 = 200;

#[test]
#[ignore = "a measurement of some minutes"]
fn how_long_an_alert_takes() {
    let (rate, seconds) = (from_env("BENCH_RATE", 5_000), from_env("BENCH_SECONDS", 480));
    println!(
        "{rate} outcomes/s, {USERS} users; in an outcome's worst case its alert is there after pane {} s + out_of_orderness {} s + \
         3 commits {:.1} s behind it: {:.1} s behind the pane's end",
        PANE_MS / 1_000,
        OUT_OF_ORDERNESS_MS / 1_000,
        (3 * COMMIT_MS) as f64 / 1_000.0,
        (OUT_OF_ORDERNESS_MS + 3 * COMMIT_MS) as f64 / 1_000.0
    );
    for (name, interval) in [("latency-checkpointed", "30s"), ("latency-quiet", "10h")] {
        let world = World::new(broker_or_skip!(), name, PARTITIONS);
        let id = &format!("{name}-app");
        let more = format!(
            "output: {{prefix: \"{id}.\", status_interval: 10s, tenant_status_interval: 10s}}\n\
             input: {{topics: [{}], out_of_orderness: {OUT_OF_ORDERNESS_MS}ms}}\n\
             state: {{checkpoint_interval: {interval}, commit_interval: {COMMIT_MS}ms}}\n",
            world.input
        );
        let place = Place::with(&world, id, &more);
        let (running, _) = place.start();
        let stop = AtomicBool::new(false);
        let (mut statuses, mut alerts) = std::thread::scope(|scope| {
            scope.spawn(|| feed(&world, rate, &stop));
            let seen = watch(&world, id, Duration::from_secs(seconds));
            stop.store(true, Ordering::Relaxed);
            seen
        });
        running.kill();
        assert!(!statuses.is_empty(), "nothing was published");
        println!("checkpoint_interval {interval}: behind the end of the pane");
        print("  slo-status", &mut statuses);
        print("  burn-alerts", &mut alerts);
    }
}

fn print(what: &str, delays_ms: &mut [i64]) {
    delays_ms.sort_unstable();
    let at = |share: f64| delays_ms[((delays_ms.len() - 1) as f64 * share) as usize] as f64 / 1_000.0;
    if delays_ms.is_empty() {
        println!("{what}: none");
        return;
    }
    println!(
        "{what:<14} {:>6} records: p50 {:.2} s, p99 {:.2} s, most {:.2} s",
        delays_ms.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock");
    i64::try_from(now.as_millis()).expect("a time")
}

/// A page needs figures of five minutes.
const WARM_S: u64 = 310;
/// The delay between the outages of two tenants, and the length of an outage.
const APART_S: u64 = 3;
const OUTAGE_S: u64 = 90;

/// Outcomes with the present time. Once pages are possible, every tenant has an outage, one after the other.
fn feed(world: &World<Arc<Broker>>, rate: u64, stop: &AtomicBool) {
    let mut config = world.client();
    config.set("linger.ms", "5").set("compression.type", "lz4");
    let producer: BaseProducer = config.create().expect("a producer");
    let (began, mut seed, mut sent) = (Instant::now(), 7_u64, 0);
    while !stop.load(Ordering::Relaxed) {
        let due = (began.elapsed().as_secs_f64() * rate as f64) as u64;
        for _ in sent..due {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let dice = seed >> 33;
            let (number, second) = (dice % USERS, began.elapsed().as_secs());
            let (user, tenant) = (format!("u{number}"), number % TENANTS);
            let begins = WARM_S + APART_S * tenant;
            let status = if (begins..begins + OUTAGE_S).contains(&second) { 503 } else { 200 };
            let value = format!(
                r#"{{"tenant":"t{tenant}","user":"{user}","timestamp":{},"operation":"checkout","status":{status},"latency_ms":{}}}"#,
                now_ms(),
                20 + dice % 400
            );
            let partition = partition_of(user.as_bytes(), PARTITIONS) as i32;
            let record = BaseRecord::to(&world.input).partition(partition).key(&user).payload(&value);
            producer.send(record).map_err(|(error, _)| error).expect("it is queued");
        }
        sent = due.max(sent);
        producer.poll(Duration::from_millis(5));
    }
    producer.flush(Duration::from_secs(10)).expect("the records are delivered");
}

/// The delays of a topic's records after their T.
fn watch(world: &World<Arc<Broker>>, id: &str, time: Duration) -> (Vec<i64>, Vec<i64>) {
    let mut config = world.client();
    config.set("group.id", "watcher").set("isolation.level", "read_committed").set("fetch.wait.max.ms", "5");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let topics = ["slo-status", "burn-alerts"].map(|topic| format!("{id}.{topic}"));
    let mut list = TopicPartitionList::new();
    for topic in &topics {
        for partition in 0..4 {
            list.add_partition_offset(topic, partition, Offset::Beginning).expect("a partition");
        }
    }
    consumer.assign(&list).expect("an assignment");
    let (mut statuses, mut alerts, until) = (Vec::new(), Vec::new(), Instant::now() + time);
    while Instant::now() < until {
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(20)) else { continue };
        let delay_ms = now_ms() - message.timestamp().to_millis().expect("its T");
        if message.topic() == topics[0] { &mut statuses } else { &mut alerts }.push(delay_ms);
    }
    (statuses, alerts)
}
