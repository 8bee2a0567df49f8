//! The cost of exactly-once: the same worker on the same input, with and without transactions. Not run by default:
//! `ops/bench/delivery`.

use crate::broker::Broker;
use crate::broker_or_skip;
use crate::pipeline::{PARTITIONS, SLO, cpu_s, from_env, preload};
use crate::world::World;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tailburn::codec::output::OutputFormat;
use tailburn::command::{assemble, decoder};
use tailburn::config::{self, Sources, UserIds};
use tailburn::log::kafka::KafkaLog;
use tailburn::log::kafka::topics::{PartitionCounts, TopicAdmin, plan};
use tailburn::log::{Changelog, CommitOutcome, Log, LogError, LogEvent, NextOffset, Stream};
use tailburn::model::record::{RecordIn, RecordOut, Topic};
use tailburn::model::time::Now;
use tailburn::pipeline::route::{DeadLetterForm, Route, SourceName};
use tailburn::state::{MemoryStore, Store, StoreError};
use tailburn::worker::{Nobody, Stores, TaskId, Tasks, Worker};

const COMMIT: Duration = Duration::from_millis(200);

/// The log with a producer without transactions: records are visible when they are sent, and the input's position is an
/// ordinary record. After a crash records are published twice.
struct AtLeastOnce {
    log: KafkaLog,
    producer: BaseProducer,
    names: BTreeMap<&'static str, String>,
}

impl Log for AtLeastOnce {
    fn poll(&mut self, wait: Duration, each: &mut dyn FnMut(Stream, &RecordIn<'_>)) -> Result<Vec<LogEvent>, LogError> {
        self.log.poll(wait, each)
    }

    fn send(&mut self, record: &RecordOut) -> Result<(), LogError> {
        let mut outgoing = BaseRecord::<[u8], [u8]>::to(&self.names[record.topic.name()]);
        outgoing = outgoing.partition(record.partition as i32).timestamp(record.timestamp_ms);
        outgoing.key = record.key.as_deref();
        outgoing.payload = record.value.as_deref();
        while let Err((_, again)) = self.producer.send(outgoing) {
            self.producer.poll(Duration::from_millis(5));
            outgoing = again;
        }
        Ok(())
    }

    fn commit(&mut self, offsets: &[(Stream, NextOffset, String)]) -> Result<CommitOutcome, LogError> {
        let offsets = format!("{offsets:?}");
        let record = BaseRecord::<[u8], [u8]>::to(&self.names[Topic::Sources.name()]).partition(0);
        let sent = self.producer.send(record.key(b"offsets").payload(offsets.as_bytes()));
        sent.map_err(|(error, _)| LogError::Broken(error.to_string()))?;
        self.producer.flush(Duration::from_secs(10)).map_err(|error| LogError::Broken(error.to_string()))?;
        Ok(CommitOutcome::Committed)
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.log.abort()
    }

    fn seek(&mut self, stream: Stream, next: NextOffset) -> Result<(), LogError> {
        self.log.seek(stream, next)
    }

    fn ends(&mut self, streams: &[Stream]) -> Result<Option<Vec<NextOffset>>, LogError> {
        self.log.ends(streams)
    }

    fn pause(&mut self, streams: &[Stream]) -> Result<(), LogError> {
        self.log.pause(streams)
    }

    fn resume(&mut self, streams: &[Stream]) -> Result<(), LogError> {
        self.log.resume(streams)
    }

    fn changelog_range(&mut self, partition: u32) -> Result<Range<NextOffset>, LogError> {
        self.log.changelog_range(partition)
    }

    fn changelog(&mut self, partition: u32, from: NextOffset) -> Result<Box<dyn Changelog>, LogError> {
        self.log.changelog(partition, from)
    }

    fn purge(&mut self, before: &[(Stream, NextOffset)]) {
        self.log.purge(before);
    }
}

struct InMemory;

impl Stores for InMemory {
    fn open(&mut self, _task: TaskId) -> Result<Box<dyn Store>, StoreError> {
        Ok(Box::new(MemoryStore::default()))
    }

    fn wipe(&mut self, _task: TaskId) -> Result<(), StoreError> {
        Ok(())
    }
}

#[test]
#[ignore = "a measurement of some minutes"]
fn what_exactly_once_costs() {
    let (records, rounds) = (from_env("BENCH_RECORDS", 3_000_000), from_env("BENCH_ROUNDS", 3));
    let world = World::new(broker_or_skip!(), "delivery", PARTITIONS);
    preload(&world.client(), &world.input, records, 100_000);
    let mut ratios = Vec::new();
    for round in 0..rounds {
        let [once, more] = [true, false].map(|is_exactly_once| run(&world, round, records, is_exactly_once));
        println!(
            "round {round}: exactly once {once:.0} records/s, at least once {more:.0} records/s: {:.3}",
            once / more
        );
        ratios.push(once / more);
    }
    ratios.sort_by(f64::total_cmp);
    println!("exactly once beside at least once, median: {:.3}", ratios[ratios.len() / 2]);
}

/// Reads the input from its beginning to its end; returns the records per second.
fn run(world: &World<Arc<Broker>>, round: u64, records: u64, is_exactly_once: bool) -> f64 {
    let id = format!("delivery-{}-{round}", if is_exactly_once { "eos" } else { "alo" });
    let mut settings = world.settings(&id);
    (settings.group_id, settings.prefix) = (id.clone(), format!("{id}."));
    let counts = PartitionCounts { input: PARTITIONS, users: 8, rollup: 4 };
    let admin = TopicAdmin::open(&settings).expect("an administrator");
    admin.create_missing(&plan(&settings, counts), 1).expect("topics are created");
    let log = KafkaLog::open(&settings).expect("the log opens");
    if is_exactly_once {
        return turn(Worker::new(log, tasks(world, &id)), records);
    }
    let mut config = world.client();
    config.set("enable.idempotence", "true").set("linger.ms", "5").set("compression.type", "lz4");
    config.set("message.max.bytes", "16777216").set("batch.size", "1000000").set("delivery.report.only.error", "true");
    let names = Topic::OUTPUTS.into_iter().chain(Topic::INTERNAL).map(|t| (t.name(), settings.topic_name(t))).collect();
    let log = AtLeastOnce { log, producer: config.create().expect("a producer"), names };
    turn(Worker::new(log, tasks(world, &id)), records)
}

fn tasks(world: &World<Arc<Broker>>, id: &str) -> Tasks {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("slo.yaml"), SLO).expect("an SLO");
    let file = dir.path().join("tailburn.yaml");
    let config = format!(
        "application_id: {id}\nslos: [slo.yaml]\ninput: {{topics: [{}]}}\nprivacy: {{user_ids: plain}}\n",
        world.input
    );
    std::fs::write(&file, config).expect("a configuration");
    let settings = config::load(&Sources { file: Some(file), ..Sources::default() }).expect("a configuration").settings;
    let slos = Arc::new(assemble::definitions(&settings.slos).expect("definitions").slos);
    let ids = assemble::user_ids(&settings, UserIds::Plain).expect("user ids");
    let setup = assemble::setup(&settings, &slos, PARTITIONS, ids, OutputFormat::Json, id.to_owned()).expect("a setup");
    let names = (0..PARTITIONS).map(|partition| SourceName { topic: world.input.clone(), partition }).collect();
    let decoder = decoder::of_records(&settings).expect("a decoder");
    let route = Route::new(decoder, names, DeadLetterForm::Record { partitions: PARTITIONS });
    Tasks::new(setup, Box::new(InMemory), route)
}

fn turn<L: Log>(mut worker: Worker<L>, records: u64) -> f64 {
    let begin = Instant::now();
    let ms = || begin.elapsed().as_millis() as i64;
    // Time is measured from the first record on, because joining the group takes a while.
    let (mut started, mut committed, cpu) = (None, Instant::now(), cpu_s("self"));
    loop {
        let read = worker.poll(Duration::from_millis(20), Now { wall_ms: ms(), steady_ms: ms() }).expect("a turn");
        if read > 0 {
            started.get_or_insert_with(Instant::now);
        }
        if worker.is_leaving() || committed.elapsed() >= COMMIT {
            worker.commit(&mut Nobody, ms()).expect("a commit");
            committed = Instant::now();
            if worker.figures().counts.outcomes >= records && !worker.has_news() {
                break;
            }
        }
        assert!(begin.elapsed() < Duration::from_secs(600), "it takes too long");
    }
    let seconds = started.map_or(1.0, |started| started.elapsed().as_secs_f64());
    println!("    {seconds:.1} s, {:.2} CPU s a million", (cpu_s("self") - cpu) / (records as f64 / 1e6));
    records as f64 / seconds
}
