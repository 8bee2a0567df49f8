//! Traffic in files, its backtest, and the program on a real broker that is fed the same traffic: file n goes to
//! partition n.

use crate::broker::Broker;
use crate::world::PATIENCE;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tailburn::log::kafka::topics::{Cleanup, TopicAdmin, TopicPlan};
use tailburn::log::kafka::{KafkaSettings, Listener, StartFrom};
use tailburn::model::time::{HOUR_MS, Moment};
use tempfile::TempDir;

pub const INPUTS: u32 = 3;
pub const ROLLUPS: u32 = 2;
/// The topics whose records a backtest writes, too.
pub const COMPARED: [&str; 4] = ["slo-status", "burn-alerts", "tail-cohorts", "user-status"];
/// The compacted ones: brokers keep only the latest record of each key for long.
const COMPACTED: [&str; 2] = ["slo-status", "user-status"];

pub struct Story {
    dir: TempDir,
    broker: Arc<Broker>,
    name: &'static str,
    /// The values in order, by topic and the identity of a record.
    pub expected: Values,
}

/// By topic and identity: the values in order.
pub type Values = BTreeMap<&'static str, BTreeMap<String, Vec<String>>>;

/// A record as an independent client with `read_committed` sees it.
pub struct Visible {
    pub partition: i32,
    pub key: String,
    pub value: Option<String>,
    pub headers: BTreeMap<String, String>,
    pub timestamp_ms: i64,
}

impl Story {
    /// Generates the traffic, runs the backtest, and creates the input topic. The traffic began thirty hours ago.
    pub fn new(broker: Arc<Broker>, name: &'static str, compliance_window: &str, settings: &str) -> Story {
        Story::since(30, broker, name, compliance_window, settings)
    }

    /// The same, with traffic that began this many hours ago.
    pub fn since(
        hours: i64,
        broker: Arc<Broker>,
        name: &'static str,
        compliance_window: &str,
        settings: &str,
    ) -> Story {
        let dir = TempDir::new().expect("a directory");
        let hour = |ms: i64| ms - ms.rem_euclid(HOUR_MS);
        let from = Moment(hour(now_ms()) - hours * HOUR_MS).to_string();
        let mut story = Story { dir, broker, name, expected: Values::new() };
        let mut generate = vec![
            "generate",
            "--from",
            &from,
            "--seed",
            "7",
            "--duration",
            "3h",
            "--events",
            "30000",
            "--users",
            "300",
            "--tenants",
            "3",
            "--partitions",
            "3",
            "--profile",
            "dirty",
            "--incident",
            "outage@1h+20m:rate=0.4",
            "--incident",
            "user@2h+30m:rate=0.9",
            "--out",
            "traffic",
            "--slo",
            "slo.yaml",
        ];
        if settings.contains("keyed_by_user: true") {
            generate.push("--keyed");
        }
        story.program(&generate);
        let slo = fs::read_to_string(story.path().join("slo.yaml")).expect("an SLO");
        fs::write(story.path().join("slo.yaml"), slo.replace("28d", compliance_window)).expect("an SLO");
        let config = format!(
            "application_id: {name}\n\
             slos: [slo.yaml]\n\
             kafka: {{properties: {{bootstrap.servers: \"{}\", session.timeout.ms: \"2000\", heartbeat.interval.ms: \"500\"}}}}\n\
             output: {{prefix: \"{name}.\"}}\n\
             partitions: {{rollup: {ROLLUPS}}}\n\
             http: {{listen: null}}\n\
             privacy: {{user_ids: plain}}\n",
            story.broker.bootstrap(),
        );
        fs::write(story.path().join("tailburn.yaml"), config + settings).expect("a configuration");
        story.program(&[
            "backtest",
            "--input",
            "traffic/p0.jsonl",
            "--input",
            "traffic/p1.jsonl",
            "--input",
            "traffic/p2.jsonl",
            "--out",
            "result",
        ]);
        story.expected =
            COMPARED.into_iter().map(|topic| (topic, by_identity(story.told(topic).into_iter()))).collect();
        story.make_input();
        story
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn input(&self) -> String {
        format!("{}-outcomes", self.name)
    }

    /// Lines of a file that the backtest wrote.
    pub fn lines(&self, topic: &str) -> Vec<String> {
        let path = self.path().join(format!("result/{topic}.jsonl"));
        fs::read_to_string(&path).expect("a result").lines().map(str::to_owned).collect()
    }

    /// The records of the backtest that a live run publishes, too. At its last T a backtest writes a status of every key;
    /// a live run does not know which T is the last.
    fn told(&self, topic: &str) -> Vec<String> {
        let at = |line: &String| {
            let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
            value["at"].as_str().expect("a time").to_owned()
        };
        let mut lines = self.lines(topic);
        if topic == "slo-status"
            && let Some(last) = lines.iter().map(at).max()
        {
            lines.retain(|line| at(line) != last);
        }
        lines
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tailburn"));
        command.args(args).current_dir(self.path()).env_clear().stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    fn program(&self, args: &[&str]) {
        let output = self.command(args).stderr(Stdio::piped()).output().expect("the program starts");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn make_input(&self) {
        let settings = KafkaSettings {
            properties: BTreeMap::from([("bootstrap.servers".to_owned(), self.broker.bootstrap().to_owned())]),
            group_id: self.name.to_owned(),
            transactional_id: self.name.to_owned(),
            input_topics: vec![self.input()],
            prefix: String::new(),
            start_from: StartFrom::Earliest,
            keyed_by_user: false,
            makes_topics: true,
            controls_definitions: false,
            listener: Listener::default(),
        };
        let cleanup = Cleanup::Delete { retention_ms: None };
        let topic = TopicPlan { name: self.input(), partitions: INPUTS, cleanup, ours: None };
        TopicAdmin::open(&settings).expect("an administrator").create_missing(&[topic], 1).expect("the input topic");
    }

    /// Feeds the traffic in this many slices of event time, with a pause after each. A record that is late in its file is
    /// equally late here.
    pub fn feed(&self, slices: usize, pause: Duration) {
        let producer: BaseProducer = self.client().set("enable.idempotence", "true").create().expect("a producer");
        let files: Vec<Vec<String>> = (0..INPUTS).map(|n| self.traffic(n)).collect();
        for slice in 0..slices {
            for (partition, lines) in files.iter().enumerate() {
                let range = lines.len() * slice / slices..lines.len() * (slice + 1) / slices;
                for line in &lines[range] {
                    send(&producer, &self.input(), partition as i32, line);
                }
            }
            producer.flush(PATIENCE).expect("the records are delivered");
            std::thread::sleep(pause);
        }
    }

    /// Sends the last records of the first partition's users again, with the present time, to the second partition.
    pub fn feed_astray(&self) {
        let producer: BaseProducer = self.client().create().expect("a producer");
        for line in self.traffic(0).iter().rev().take(500) {
            let Ok(mut outcome) = serde_json::from_str::<Value>(line) else { continue };
            if outcome.get("timestamp").is_some_and(Value::is_i64) {
                outcome["timestamp"] = Value::from(now_ms());
                send(&producer, &self.input(), 1, &outcome.to_string());
            }
        }
        producer.flush(PATIENCE).expect("the records are delivered");
    }

    /// Sends an outcome to each partition that is this much later than all traffic, so that T reaches the traffic's end.
    pub fn feed_beyond(&self, ms: i64) {
        let producer: BaseProducer = self.client().create().expect("a producer");
        let outcome = |line: &String| serde_json::from_str::<Value>(line).ok().filter(|o| o["timestamp"].is_i64());
        let all: Vec<Vec<Value>> = (0..INPUTS).map(|n| self.traffic(n).iter().filter_map(outcome).collect()).collect();
        let latest_ms = all.iter().flatten().filter_map(|o| o["timestamp"].as_i64()).max().expect("an outcome");
        for (partition, outcomes) in all.iter().enumerate() {
            let mut outcome = outcomes.last().expect("an outcome").clone();
            outcome["timestamp"] = Value::from(latest_ms + ms);
            send(&producer, &self.input(), partition as i32, &outcome.to_string());
        }
        producer.flush(PATIENCE).expect("the records are delivered");
    }

    /// Sends an invalid record to each partition.
    pub fn feed_dead_letters(&self) {
        let producer: BaseProducer = self.client().create().expect("a producer");
        (0..INPUTS).for_each(|partition| send(&producer, &self.input(), partition as i32, "no outcome"));
        producer.flush(PATIENCE).expect("the records are delivered");
    }

    /// Replaces a part of the configuration.
    pub fn reconfigure(&self, from: &str, to: &str) {
        let path = self.path().join("tailburn.yaml");
        let config = fs::read_to_string(&path).expect("a configuration");
        assert!(config.contains(from), "{config}");
        fs::write(&path, config.replacen(from, to, 1)).expect("a configuration");
    }

    fn traffic(&self, n: u32) -> Vec<String> {
        let path = self.path().join(format!("traffic/p{n}.jsonl"));
        fs::read_to_string(path).expect("traffic").lines().map(str::to_owned).collect()
    }

    /// Starts `tailburn run`.
    pub fn run(&self) -> Running {
        let log = fs::File::options().create(true).append(true).open(self.path().join("run.log")).expect("a log file");
        Running { child: self.command(&["run"]).stderr(log).spawn().expect("the program starts") }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path().join("run.log")).unwrap_or_default()
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.broker.bootstrap());
        config
    }

    /// All visible records of one of our topics, in order per partition.
    pub fn visible(&self, topic: &str, partitions: u32) -> Vec<Visible> {
        let mut config = self.client();
        config.set("group.id", "outsider").set("isolation.level", "read_committed");
        config.set("enable.auto.commit", "false").set("enable.partition.eof", "true");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let name = format!("{}.{topic}", self.name);
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(&name, partition as i32, Offset::Beginning).expect("a partition");
        }
        consumer.assign(&list).expect("an assignment");
        let (mut seen, mut ends, deadline) = (Vec::new(), 0, Instant::now() + PATIENCE);
        while ends < partitions {
            assert!(Instant::now() < deadline, "{name} could not be read to its ends");
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => seen.push(Visible::of(&message)),
                Some(Err(KafkaError::PartitionEOF(_))) => ends += 1,
                Some(Err(error)) => panic!("{name}: {error}\n{}", self.log()),
                None => {}
            }
        }
        seen
    }

    /// Waits until as many records are visible as the backtest wrote; `false`: it took too long.
    pub fn is_told(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        let count = |topic: &'static str| self.visible(topic, ROLLUPS).iter().filter(|r| r.value.is_some()).count();
        let is_there = |topic| count(topic) >= self.expected[topic].values().map(Vec::len).sum();
        while !COMPARED.into_iter().all(is_there) {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(300));
        }
        true
    }

    /// Checks that the program published the records of the backtest, in the same order, and none of them again after
    /// that.
    pub fn assert_same(&self) {
        COMPARED.into_iter().for_each(|topic| self.assert_same_in(topic));
    }

    fn assert_same_in(&self, topic: &'static str) {
        let records = self.visible(topic, ROLLUPS);
        let published = by_identity(records.into_iter().filter_map(|r| r.value));
        for (identity, values) in &self.expected[topic] {
            let live = published.get(identity).map_or(&[][..], Vec::as_slice);
            for (i, value) in values.iter().enumerate() {
                assert_eq!(live.get(i), Some(value), "{topic}, {identity}, record {i}\n{}", self.log());
            }
        }
        self.assert_ascending(topic, &published);
    }

    fn assert_ascending(&self, topic: &str, published: &BTreeMap<String, Vec<String>>) {
        for (identity, values) in published {
            let places: Vec<(String, u64)> = values.iter().map(|value| place(value)).collect();
            let is_ascending = places.is_sorted_by(|a, b| a < b);
            assert!(is_ascending, "{topic}, {identity}: a record came twice or too late\n{}", self.log());
        }
    }

    /// Waits until the last records of the backtest, or newer ones of their keys, are visible. Brokers may have compacted
    /// topics meanwhile. If records are still missing at the end, they are named.
    pub fn assert_told_to_the_end(&self, within: Duration) {
        let deadline = Instant::now() + within;
        loop {
            let missing = self.missing_at_the_end();
            if missing.is_empty() {
                return;
            }
            let more = missing.len();
            let first = missing.iter().take(5).cloned().collect::<Vec<_>>().join("\n");
            assert!(Instant::now() < deadline, "{more} values are not there, such as\n{first}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// The last values of the backtest for which neither they nor newer values of their keys are visible.
    fn missing_at_the_end(&self) -> Vec<String> {
        let of_topic = |topic: &&'static str| {
            let visible = self.visible(topic, ROLLUPS);
            let last = self.expected[topic].values().filter_map(|values| values.last());
            last.filter(|last| !is_reached(&visible, last)).map(|last| format!("{topic}: {last}")).collect::<Vec<_>>()
        };
        COMPARED.iter().flat_map(of_topic).collect()
    }

    /// The same as [`Story::assert_same`], but compacted topics may have been compacted: they must have the latest record
    /// of each key, and no record that the backtest did not write.
    pub fn assert_same_but_compacted(&self) {
        for topic in COMPARED {
            if !COMPACTED.contains(&topic) {
                self.assert_same_in(topic);
                continue;
            }
            let visible = self.visible(topic, ROLLUPS);
            let published = by_identity(visible.iter().filter_map(|r| r.value.clone()));
            for (identity, values) in &self.expected[topic] {
                let last = values.last().expect("a value");
                assert!(is_reached(&visible, last), "{topic}, {identity}: the latest is gone\n{}", self.log());
                let live = published.get(identity).into_iter().flatten();
                for value in live.filter(|value| place(value) <= place(last)) {
                    assert!(values.contains(value), "{topic}, {identity}: not in the backtest: {value}");
                }
            }
            self.assert_ascending(topic, &published);
        }
    }

    /// Checks that each status of a full hour has a record in the history.
    pub fn assert_history(&self) {
        let hour = |value: &String| {
            let (at, _) = place(value);
            at.get(13..).is_some_and(|rest| rest.starts_with(":00:00.000Z")).then(|| (identity(value), at))
        };
        let found: BTreeSet<_> =
            self.visible("slo-history", ROLLUPS).into_iter().filter_map(|r| hour(&r.value?)).collect();
        let wanted: BTreeSet<_> = self.expected["slo-status"].values().flatten().filter_map(hour).collect();
        assert!(!wanted.is_empty());
        let missing: Vec<_> = wanted.difference(&found).collect();
        assert!(missing.is_empty(), "no history of {missing:?}\n{}", self.log());
    }
}

impl Visible {
    fn of(message: &impl Message) -> Visible {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut headers = BTreeMap::new();
        if let Some(all) = message.headers() {
            headers.extend(all.iter().map(|h| (h.key.to_owned(), text(h.value.unwrap_or_default()))));
        }
        Visible {
            partition: message.partition(),
            key: message.key().map(text).unwrap_or_default(),
            value: message.payload().map(text),
            headers,
            timestamp_ms: message.timestamp().to_millis().expect("a timestamp"),
        }
    }
}

/// `tailburn run` as a process. It does not outlive the test.
pub struct Running {
    child: Child,
}

impl Running {
    pub fn kill(mut self) {
        self.child.kill().expect("it is killed");
        self.child.wait().expect("it ended");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill").success());
    }

    /// Asks it to stop, and returns its exit code.
    pub fn stop(self) -> Option<i32> {
        self.signal("-TERM");
        self.end(PATIENCE)
    }

    /// Waits for its end, and returns its exit code.
    pub fn end(mut self, within: Duration) -> Option<i32> {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("its status") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it does not stop");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send(producer: &BaseProducer, topic: &str, partition: i32, line: &str) {
    let mut record = BaseRecord::<(), str>::to(topic).partition(partition).payload(line);
    while let Err((_, again)) = producer.send(record) {
        producer.poll(Duration::from_millis(5));
        record = again;
    }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Values by identity, each in order.
fn by_identity(values: impl Iterator<Item = String>) -> BTreeMap<String, Vec<String>> {
    let mut sorted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for value in values {
        sorted.entry(identity(&value)).or_default().push(value);
    }
    sorted
}

fn identity(value: &str) -> String {
    let record: Value = serde_json::from_str(value).expect("JSON");
    let fields = ["slo", "scope", "tenant", "group", "user"];
    fields.iter().map(|name| record.get(*name).map_or_else(String::new, Value::to_string)).collect::<Vec<_>>().join("|")
}

/// Whether this value is visible, or something newer of its key.
fn is_reached(visible: &[Visible], value: &str) -> bool {
    let (key, at) = (key(value), place(value));
    let of_it = visible.iter().filter(|record| record.key == key);
    of_it.into_iter().any(|record| record.value.as_ref().is_none_or(|value| place(value) >= at))
}

/// The key under which a value was published. (No name in this traffic needs encoding.)
fn key(value: &str) -> String {
    let record: Value = serde_json::from_str(value).expect("JSON");
    let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default();
    let of_group = |(name, value): (&String, &Value)| format!("{name}={}", value.as_str().unwrap_or_default());
    let slo = text("slo");
    let group = record.get("group").and_then(Value::as_object).filter(|group| !group.is_empty());
    match (group, text("tenant"), text("user")) {
        (Some(group), ..) => format!("{slo}|group|{}", group.iter().map(of_group).collect::<Vec<_>>().join(",")),
        (None, "", _) => format!("{slo}|aggregate"),
        (None, tenant, "") => format!("{slo}|tenant|{tenant}"),
        (None, tenant, user) => format!("{slo}|{tenant}|{user}"),
    }
}

/// The position of a record among those of its identity: T, then id and number if it has them.
fn place(value: &str) -> (String, u64) {
    let record: Value = serde_json::from_str(value).expect("JSON");
    let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default();
    let severity = ["page", "ticket", "info"].iter().position(|s| *s == text("severity")).unwrap_or_default();
    (format!("{} {severity} {}", text("at"), text("id")), record.get("seq").and_then(Value::as_u64).unwrap_or_default())
}
