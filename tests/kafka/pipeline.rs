//! The cost of `tailburn run` on a real broker, compared with a reader that discards the same records. Not run by
//! default: `ops/bench/pipeline`.

use crate::broker::Broker;
use crate::broker_or_skip;
use crate::world::{PATIENCE, World, committed};
use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tailburn::log::kafka::KafkaLog;
use tailburn::log::{Log, LogEvent};
use tailburn::model::record::partition_of;

pub const PARTITIONS: u32 = 4;
const USERS: u64 = 100_000;
const SPAN_MS: u64 = 30 * 60 * 1_000;
pub const SLO: &str = include_str!("../fixtures/availability.yaml");

/// The cost of one run.
#[derive(Clone, Copy, Debug)]
struct Cost {
    wall_s: f64,
    cpu_s: f64,
    broker_cpu_s: f64,
    peak_mb: f64,
}

pub fn from_env(name: &str, or: u64) -> u64 {
    std::env::var(name).ok().map_or(or, |text| text.parse().expect("a number"))
}

#[test]
#[ignore = "a measurement of some minutes"]
fn throughput_of_the_pipeline() {
    let records = from_env("BENCH_RECORDS", 5_000_000);
    let rounds = from_env("BENCH_ROUNDS", 3);
    let world = World::new(broker_or_skip!(), "pipeline", PARTITIONS);
    let began = Instant::now();
    let bytes = preload(&world.client(), &world.input, records, USERS);
    eprintln!("{records} records of {} bytes, preloaded in {:.0?}", bytes / records, began.elapsed());
    let (mut reading, mut running) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        reading.push(read_only(&world, round, records));
        print("reading only", records, *reading.last().expect("a cost"));
        running.push(run(&world, round, records));
        print("tailburn run", records, *running.last().expect("a cost"));
    }
    print("median: reading only", records, median(&reading));
    print("median: tailburn run", records, median(&running));
}

fn print(what: &str, records: u64, cost: Cost) {
    let millions = records as f64 / 1e6;
    let peak = if cost.peak_mb.is_nan() { String::new() } else { format!(", peak {:.0} MB", cost.peak_mb) };
    println!(
        "{what:<22} {:6.2} CPU s a million, broker {:5.2}, wall {:6.1} s ({:.0} records/s){peak}",
        cost.cpu_s / millions,
        cost.broker_cpu_s / millions,
        cost.wall_s,
        records as f64 / cost.wall_s,
    );
}

fn median(costs: &[Cost]) -> Cost {
    let of = |figure: fn(&Cost) -> f64| {
        let mut figures: Vec<f64> = costs.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    Cost {
        wall_s: of(|c| c.wall_s),
        cpu_s: of(|c| c.cpu_s),
        broker_cpu_s: of(|c| c.broker_cpu_s),
        peak_mb: of(|c| c.peak_mb),
    }
}

/// Half an hour of traffic that ended an hour ago, keyed by user, in order of time.
pub fn preload(client: &ClientConfig, topic: &str, records: u64, users: u64) -> u64 {
    let mut config = client.clone();
    config.set("compression.type", "lz4").set("linger.ms", "20").set("batch.size", "1000000");
    config.set("queue.buffering.max.messages", "2000000").set("delivery.report.only.error", "true");
    let producer: BaseProducer = config.create().expect("a producer");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_millis() as u64;
    let from_ms = now - SPAN_MS - 3_600_000;
    let (mut seed, mut bytes) = (1_u64, 0);
    for n in 0..records {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let dice = seed >> 33;
        // A user belongs to one tenant.
        let number = dice % users;
        let user = format!("u{number:07}");
        let value = format!(
            r#"{{"tenant":"t{}","user":"{user}","timestamp":{},"operation":"checkout","status":{},"latency_ms":{}.{},"trace_id":"{seed:016x}","attributes":{{"region":"{}","tier":"{}"}}}}"#,
            number % 7,
            from_ms + n * SPAN_MS / records,
            if dice % 2_000 == 0 { 503 } else { 200 },
            20 + dice % 400,
            dice % 10,
            ["eu", "us", "ap"][(dice % 3) as usize],
            ["pro", "free"][(dice % 2) as usize],
        );
        bytes += value.len() as u64;
        let partition = partition_of(user.as_bytes(), PARTITIONS) as i32;
        let mut record = BaseRecord::to(topic).partition(partition).key(&user).payload(&value);
        while let Err((_, again)) = producer.send(record) {
            producer.poll(Duration::from_millis(5));
            record = again;
        }
        if n % 1_024 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(PATIENCE).expect("the records are delivered");
    bytes
}

fn read_only(world: &World<Arc<Broker>>, round: u64, records: u64) -> Cost {
    let mut settings = world.settings("reader");
    settings.group_id = format!("pipeline-reader-{round}");
    let broker = cpu_s(&world.broker.pid());
    let (before, began) = (cpu_s("self"), Instant::now());
    let mut log = KafkaLog::open(&settings).expect("the log opens");
    let is_assigned = |events: &[LogEvent]| events.iter().any(|e| matches!(e, LogEvent::Assigned(_)));
    while !is_assigned(&log.poll(Duration::from_millis(10), &mut |_, _| {}).expect("a poll")) {}
    let mut read = 0;
    while read < records {
        log.poll(Duration::from_millis(100), &mut |_, _| read += 1).expect("a poll");
    }
    Cost {
        wall_s: began.elapsed().as_secs_f64(),
        cpu_s: cpu_s("self") - before,
        broker_cpu_s: cpu_s(&world.broker.pid()) - broker,
        // This process also wrote the input.
        peak_mb: f64::NAN,
    }
}

fn run(world: &World<Arc<Broker>>, round: u64, records: u64) -> Cost {
    let dir = tempfile::tempdir().expect("a directory");
    let id = format!("pipeline-{round}");
    fs::write(dir.path().join("slo.yaml"), SLO).expect("an SLO");
    fs::write(dir.path().join("tailburn.yaml"), configuration(world, &id)).expect("a configuration");
    let log = fs::File::create(dir.path().join("run.log")).expect("a log file");
    let broker = cpu_s(&world.broker.pid());
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_tailburn"))
        .arg("run")
        .env_clear()
        .envs(std::env::vars().filter(|(k, _)| k.starts_with("MALLOC_") || k.starts_with("LD_")))
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("the program starts");
    let pid = child.id().to_string();
    await_committed(world, &id, records, || {
        let has_ended = child.try_wait().expect("its status").is_some();
        assert!(!has_ended, "{}", fs::read_to_string(dir.path().join("run.log")).unwrap_or_default());
    });
    let cost = Cost {
        wall_s: began.elapsed().as_secs_f64(),
        cpu_s: cpu_s(&pid),
        broker_cpu_s: cpu_s(&world.broker.pid()) - broker,
        peak_mb: peak_mb(&pid),
    };
    child.kill().expect("it is killed");
    child.wait().expect("it ended");
    cost
}

/// All settings have their defaults, except those that two programs on one machine must not share, and the properties
/// for librdkafka in `BENCH_PROPERTIES` (`, name: "value"` ...).
fn configuration(world: &World<Arc<Broker>>, id: &str) -> String {
    let properties = std::env::var("BENCH_PROPERTIES").unwrap_or_default();
    format!(
        "application_id: {id}\n\
         slos: [slo.yaml]\n\
         kafka: {{properties: {{bootstrap.servers: \"{}\"{properties}}}}}\n\
         input: {{topics: [{}]}}\n\
         output: {{prefix: \"{id}.\"}}\n\
         http: {{listen: \"127.0.0.1:0\"}}\n\
         privacy: {{user_ids: plain}}\n",
        world.broker.bootstrap(),
        world.input
    )
}

/// Waits until the application committed all records.
pub fn await_committed(world: &World<Arc<Broker>>, id: &str, records: u64, mut look: impl FnMut()) {
    let consumer: BaseConsumer = world.client().set("group.id", id).create().expect("a consumer");
    let deadline = Instant::now() + Duration::from_secs(600);
    loop {
        let committed = committed(&consumer, &world.input, PARTITIONS);
        if committed.as_ref().is_ok_and(|all| all.iter().flatten().sum::<i64>() as u64 >= records) {
            return;
        }
        assert!(Instant::now() < deadline, "{committed:?}");
        look();
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// User and system time of a process, in seconds.
pub fn cpu_s(pid: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process's statistics");
    let fields: Vec<&str> = text.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks = |i: usize| fields[i].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / 100.0
}

fn peak_mb(pid: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process's status");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1_024.0
}
