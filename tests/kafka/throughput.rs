//! The cost of reading and committing on a real broker. Not run by default:
//! `cargo test --release --test kafka -- --ignored --nocapture throughput`.

use crate::broker_or_skip;
use crate::world::{PATIENCE, World, at, status};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message};
use std::time::{Duration, Instant};
use tailburn::log::kafka::KafkaLog;
use tailburn::log::{CommitOutcome, Log, LogEvent, Stream};

const RECORDS: u64 = 1_000_000;
const PARTITIONS: u32 = 4;
const ROUNDS: u32 = 3;

/// The times of one run: wall time, CPU time of this thread, CPU time of the whole process.
struct Times {
    wall: Instant,
    thread_ns: u64,
    process_ms: u64,
}

impl Times {
    fn start() -> Times {
        Times { wall: Instant::now(), thread_ns: thread_ns(), process_ms: process_ms() }
    }

    fn print(&self, what: &str, records: u64) {
        let wall_ns = self.wall.elapsed().as_nanos() / u128::from(records);
        let thread_ns = (thread_ns() - self.thread_ns) / records;
        let process_ns = (process_ms() - self.process_ms) * 1_000_000 / records;
        println!("{what:<28} wall {wall_ns:>5} ns  thread {thread_ns:>5} ns  process {process_ns:>5} ns a record");
    }
}

fn thread_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("the scheduler's statistics");
    text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("a number")
}

fn process_ms() -> u64 {
    let text = std::fs::read_to_string("/proc/self/stat").expect("the process's statistics");
    let fields: Vec<&str> = text.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks = |i: usize| fields[i].parse::<u64>().expect("a number");
    (ticks(11) + ticks(12)) * 10
}

#[test]
#[ignore = "a measurement of about a minute"]
fn throughput_of_reading() {
    let world = World::new(broker_or_skip!(), "throughput", PARTITIONS);
    preload(&world.client(), &world.input);
    for round in 0..ROUNDS {
        for crcs in ["true", "false"] {
            let mut settings = world.settings("w");
            settings.group_id = format!("throughput-{round}-{crcs}");
            settings.properties.insert("check.crcs".to_owned(), crcs.to_owned());
            let mut log = KafkaLog::open(&settings).expect("the log opens");
            read_all(&mut log, &format!("log, check.crcs={crcs}"));
            one_by_one(&world.client(), &world.input, crcs);
        }
    }
}

fn read_all(log: &mut KafkaLog, what: &str) {
    while !log.poll(Duration::from_millis(10), &mut |_, _| {}).expect("a poll").iter().any(is_assigned) {}
    let (mut records, mut bytes, times) = (0_u64, 0, Times::start());
    while records < RECORDS {
        log.poll(Duration::from_millis(100), &mut |_, record| {
            records += 1;
            bytes += record.value.len();
        })
        .expect("a poll");
    }
    times.print(what, records);
    assert_eq!((records, bytes), (RECORDS, 180 * 1_000_000));
}

fn is_assigned(event: &LogEvent) -> bool {
    matches!(event, LogEvent::Assigned(_))
}

/// The client library's own way, for comparison.
fn one_by_one(client: &ClientConfig, topic: &str, crcs: &str) {
    let consumer: BaseConsumer = client
        .clone()
        .set("group.id", "one-by-one")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("fetch.queue.backoff.ms", "2")
        .set("queued.min.messages", "1000000")
        .set("max.partition.fetch.bytes", "4194304")
        .set("check.crcs", crcs)
        .create()
        .expect("a consumer");
    let mut list = rdkafka::TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(topic, partition.try_into().expect("a partition"), rdkafka::Offset::Beginning)
            .expect("a partition");
    }
    let times = Times::start();
    consumer.assign(&list).expect("an assignment");
    let (mut records, mut bytes) = (0_u64, 0);
    while records < RECORDS {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            let message = message.expect("a record");
            records += 1;
            bytes += message.payload().map_or(0, <[u8]>::len);
        }
    }
    times.print(&format!("BaseConsumer, check.crcs={crcs}"), records);
    assert_eq!(bytes, 180 * 1_000_000);
}

fn preload(client: &ClientConfig, topic: &str) {
    let producer: BaseProducer = client
        .clone()
        .set("compression.type", "lz4")
        .set("linger.ms", "20")
        .set("batch.size", "1000000")
        .set("queue.buffering.max.messages", "2000000")
        .create()
        .expect("a producer");
    for n in 0..RECORDS {
        let value = format!("{n:0>60}{:0>60}{:0>60}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n ^ 0x5555);
        let partition = i32::try_from(n % u64::from(PARTITIONS)).expect("a partition");
        let mut record = BaseRecord::<(), str>::to(topic).partition(partition).payload(&value);
        while let Err((_, again)) = producer.send(record) {
            producer.poll(Duration::from_millis(5));
            record = again;
        }
        if n % 1024 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(PATIENCE).expect("the records are delivered");
}

#[test]
#[ignore = "a measurement of half a minute"]
fn latency_of_commits() {
    let world = World::new(broker_or_skip!(), "commits", 1);
    let mut worker = world.open("w");
    worker.until_assigned();
    for (what, interval_ms, commits) in [("every 200 ms", 200, 60), ("back to back", 0, 200)] {
        let mut latencies: Vec<Duration> = (0..commits)
            .map(|n| {
                let due = Instant::now() + Duration::from_millis(interval_ms);
                while Instant::now() < due {
                    worker.step().expect("a poll");
                }
                for _ in 0..20 {
                    worker.log.send(&status("a status of some length")).expect("sent");
                }
                let started = Instant::now();
                let outcome = worker.log.commit(&[at(Stream::Input(0), n)]).expect("an outcome");
                assert_eq!(outcome, CommitOutcome::Committed);
                started.elapsed()
            })
            .collect();
        latencies.sort_unstable();
        let quantile = |share: usize| latencies[latencies.len() * share / 100];
        println!("commit {what}: p50 {:?}, p90 {:?}, p99 {:?}", quantile(50), quantile(90), quantile(99));
    }
}
