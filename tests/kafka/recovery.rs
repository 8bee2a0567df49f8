//! The time of a restart after SIGKILL, with the old store and with an empty disk, compared with a reader that discards
//! the same bytes. Not run by default: `ops/bench/recovery`.

use crate::broker::Broker;
use crate::broker_or_skip;
use crate::pipeline::{PARTITIONS, SLO, await_committed, from_env, preload};
use crate::world::{PATIENCE, World};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The longest time of a checkpoint of everything; the store is durable a moment later.
const UNTIL_CHECKPOINTED: Duration = Duration::from_secs(25);
/// The group expels a killed member after two seconds.
const UNTIL_MISSED: Duration = Duration::from_secs(4);

#[test]
#[ignore = "a measurement of some minutes"]
fn how_long_a_restart_takes() {
    let rounds = from_env("BENCH_ROUNDS", 3);
    for (name, users, records) in [("restart-10k", 10_000, 2_000_000), ("restart-1m", 1_000_000, 3_000_000)] {
        let world = World::new(broker_or_skip!(), name, PARTITIONS);
        let records = from_env("BENCH_RECORDS", records);
        let input_bytes = preload(&world.client(), &world.input, records, users);
        let id = &format!("{name}-app");
        let place = Place::new(&world, id);
        let (running, _) = place.start();
        await_committed(&world, id, records, || {});
        std::thread::sleep(UNTIL_CHECKPOINTED);
        let changelog_bytes = running.metric("tailburn_changelog_written_bytes_total");
        running.kill();
        println!(
            "{users} users, {records} outcomes: input {:.1} MB, changelog written {:.1} MB, store {:.1} MB",
            mb(input_bytes as f64),
            mb(changelog_bytes),
            mb(disk_bytes(&place.dir.path().join("tailburn-state")) as f64)
        );
        let (count, bytes, time) = read_changelog(&world, id);
        println!(
            "  reading the changelog alone: {count} records, {:.1} MB, {:.2} s",
            mb(bytes as f64),
            time.as_secs_f64()
        );
        for empty in [false, true] {
            let times: Vec<Times> = (0..rounds).map(|_| place.restarted(empty)).collect();
            let word = if empty { "empty disk" } else { "warm store" };
            println!("  {word}: {}", times.iter().map(Times::to_string).collect::<Vec<_>>().join("; "));
        }
    }
}

fn mb(bytes: f64) -> f64 {
    bytes / 1e6
}

/// From the start of the process.
pub struct Times {
    /// The group assigned its partitions.
    assigned: Duration,
    live: Duration,
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (assigned, live) = (self.assigned.as_secs_f64(), self.live.as_secs_f64());
        write!(f, "live after {live:.2} s ({:.2} s from its partitions on)", live - assigned)
    }
}

/// The place where a program runs: its directory and configuration.
pub struct Place {
    pub dir: TempDir,
}

impl Place {
    fn new(world: &World<Arc<Broker>>, id: &str) -> Place {
        let more = "state: {checkpoint_interval: 10s}\n";
        Place::with(world, id, more)
    }

    /// A separate application, because the world's own topics are for other tests.
    pub fn with(world: &World<Arc<Broker>>, id: &str, more: &str) -> Place {
        let dir = TempDir::new().expect("a directory");
        fs::write(dir.path().join("slo.yaml"), SLO).expect("an SLO");
        let mut config = format!(
            "application_id: {id}\n\
             slos: [slo.yaml]\n\
             kafka: {{properties: {{bootstrap.servers: \"{}\", session.timeout.ms: \"2000\", heartbeat.interval.ms: \"500\"}}}}\n\
             http: {{listen: \"127.0.0.1:0\"}}\n\
             privacy: {{user_ids: plain}}\n{more}",
            world.broker.bootstrap(),
        );
        for (key, usual) in [("input", format!("topics: [{}]", world.input)), ("output", format!("prefix: \"{id}.\""))]
        {
            if !more.contains(&format!("{key}:")) {
                config.push_str(&format!("{key}: {{{usual}}}\n"));
            }
        }
        fs::write(dir.path().join("tailburn.yaml"), config).expect("a configuration");
        Place { dir }
    }

    /// Replaces a part of the configuration.
    pub fn with_settings(self, from: &str, to: &str) -> Place {
        let path = self.dir.path().join("tailburn.yaml");
        let config = fs::read_to_string(&path).expect("a configuration");
        assert!(config.contains(from), "{config}");
        fs::write(&path, config.replacen(from, to, 1)).expect("a configuration");
        self
    }

    /// Starts the program.
    pub fn spawn(&self, more: &[&str]) -> Running {
        let log = fs::File::create(self.dir.path().join("run.log")).expect("a log file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tailburn"));
        command.args(["run", "-v"]).args(more).env_clear().current_dir(self.dir.path());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        Running { child: child.expect("the program starts"), address: String::new() }
    }

    /// Starts the program; returns it once it is live, and how long that took.
    pub fn start(&self) -> (Running, Times) {
        let (running, times) = self.start_beside();
        let log = self.log();
        let is_assigned = log.contains("task=") || log.contains("the group has no offset; starting at");
        assert!(is_assigned, "ready before the group gave it anything: {log}");
        (running, times)
    }

    /// The same, but other instances may own all partitions.
    pub fn start_beside(&self) -> (Running, Times) {
        let began = Instant::now();
        let mut running = self.spawn(&[]);
        let mut assigned = None;
        loop {
            assert!(began.elapsed() < Duration::from_secs(300), "it is not live: {}", self.log());
            assert!(running.child.try_wait().expect("its status").is_none(), "{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
            if running.address.is_empty() {
                let log = self.log();
                let Some((_, rest)) = log.split_once("http://") else { continue };
                rest.split(' ').next().unwrap_or_default().clone_into(&mut running.address);
            }
            let answer = running.get("/readyz");
            if assigned.is_none() && self.log().contains("task=") {
                assigned = Some(began.elapsed());
            }
            if answer.starts_with("HTTP/1.1 200") {
                let live = began.elapsed();
                return (running, Times { assigned: assigned.unwrap_or(live), live });
            }
        }
    }

    /// `serve` with the same configuration, once it is ready.
    pub fn serve(&self) -> Running {
        let log = fs::File::create(self.dir.path().join("run.log")).expect("a log file");
        let both = log.try_clone().expect("the same file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tailburn"));
        command.arg("serve").env_clear().current_dir(self.dir.path());
        let child = command.stdin(Stdio::null()).stdout(log).stderr(both).spawn().expect("the program starts");
        let (mut running, deadline) = (Running { child, address: String::new() }, Instant::now() + PATIENCE);
        while !running.get("/readyz").starts_with("HTTP/1.1 200") {
            assert!(running.is_alive() && Instant::now() < deadline, "it is not ready: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
            if let Some((_, rest)) = self.log().split_once("http://") {
                rest.split('/').next().unwrap_or_default().clone_into(&mut running.address);
            }
        }
        running
    }

    fn restarted(&self, empty: bool) -> Times {
        std::thread::sleep(UNTIL_MISSED);
        if empty {
            fs::remove_dir_all(self.dir.path().join("tailburn-state")).expect("the state is gone");
        }
        let (running, times) = self.start();
        running.kill();
        times
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("run.log")).unwrap_or_default()
    }
}

pub struct Running {
    child: Child,
    address: String,
}

impl Running {
    pub fn get(&self, path: &str) -> String {
        // The server only answers requests that name its own address.
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        let mut answer = String::new();
        let asked = TcpStream::connect(&self.address).and_then(|mut stream| {
            stream.write_all(request.as_bytes())?;
            stream.read_to_string(&mut answer)
        });
        asked.map_or_else(|_| String::new(), |_| answer)
    }

    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("its status").is_none()
    }

    pub fn metric(&self, name: &str) -> f64 {
        let all = self.get("/metrics");
        let of_it = all.lines().filter(|line| line.split([' ', '{']).next() == Some(name));
        of_it.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    pub fn kill(mut self) {
        self.child.kill().expect("it is killed");
        self.child.wait().expect("it ended");
    }

    /// Asks it to stop, and returns its exit code.
    pub fn stop(self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
        self.end(PATIENCE)
    }

    /// Waits for its end; returns its exit code (`None`: it does not end) and the last answer of `/readyz`.
    pub fn end_watched(mut self, place: &Place, within: Duration) -> (Option<i32>, String) {
        let (deadline, mut last) = (Instant::now() + within, String::new());
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("its status") {
                return (status.code(), last);
            }
            if let Some((_, rest)) = place.log().split_once("http://") {
                rest.split(' ').next().unwrap_or_default().clone_into(&mut self.address);
                let answer = self.get("/readyz");
                last = if answer.is_empty() { last } else { answer };
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        (None, last)
    }

    /// Waits for its end, and returns its exit code; `None`: it does not end.
    pub fn end(mut self, within: Duration) -> Option<i32> {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("its status") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the whole changelog, and discards it.
fn read_changelog(world: &World<Arc<Broker>>, id: &str) -> (u64, usize, Duration) {
    let mut config = world.client();
    config.set("group.id", "changelog-reader").set("isolation.level", "read_committed");
    config.set("enable.partition.eof", "true").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let topic = format!("{id}.internal.{id}.changelog");
    let metadata = consumer.fetch_metadata(Some(&topic), PATIENCE).expect("metadata");
    let partitions = metadata.topics()[0].partitions().len();
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions as i32 {
        list.add_partition_offset(&topic, partition, Offset::Beginning).expect("a partition");
    }
    let began = Instant::now();
    consumer.assign(&list).expect("an assignment");
    let (mut ends, mut count, mut bytes) = (0, 0, 0);
    while ends < partitions {
        match consumer.poll(PATIENCE) {
            Some(Ok(message)) => (count, bytes) = (count + 1, bytes + message.payload().map_or(0, <[u8]>::len)),
            Some(Err(KafkaError::PartitionEOF(_))) => ends += 1,
            other => panic!("the changelog could not be read: {other:?}"),
        }
    }
    (count, bytes, began.elapsed())
}

fn disk_bytes(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|e| if e.path().is_dir() { disk_bytes(&e.path()) } else { e.metadata().map_or(0, |m| m.len()) }).sum()
}
