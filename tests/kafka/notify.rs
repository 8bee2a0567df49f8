//! `notify` on a real broker: killed before it told a page, its successor tells it, once; silences come from their topic.

use crate::broker::Broker;
use crate::broker_or_skip;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tailburn::log::kafka::topics::{PartitionCounts, TopicAdmin, plan};
use tailburn::log::kafka::{KafkaSettings, Listener, StartFrom};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(90);

/// A receiver on the loopback that takes everything.
struct Receiver {
    address: String,
    got: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let got = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&got);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Some(body) = answer(stream) {
                    kept.lock().expect("the list").push(body);
                }
            }
        });
        Receiver { address, got }
    }

    /// `fired ID` and `ended ID`, in the order they were told.
    fn told(&self) -> Vec<String> {
        let got = self.got.lock().expect("the list");
        let changes = got.iter().flat_map(|event| event["data"]["changes"].as_array().cloned().unwrap_or_default());
        let text = |change: &Value, name: &str| change[name].as_str().unwrap_or_default().to_owned();
        changes.map(|change| format!("{} {}", text(&change, "what"), text(&change["record"], "id"))).collect()
    }

    fn until(&self, what: &str, holds: impl Fn(&[String]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(&self.told()) {
            assert!(Instant::now() < deadline, "{what}: {:?}", self.told());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn answer(mut stream: TcpStream) -> Option<Value> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    write!(stream, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()?;
    serde_json::from_slice(&body).ok()
}

struct Place {
    dir: TempDir,
    broker: Arc<Broker>,
    name: &'static str,
}

impl Place {
    fn new(broker: Arc<Broker>, name: &'static str, receiver: &Receiver, group_wait: &str) -> Place {
        let place = Place { dir: TempDir::new().expect("a directory"), broker, name };
        let settings = KafkaSettings {
            properties: BTreeMap::from([("bootstrap.servers".to_owned(), place.broker.bootstrap().to_owned())]),
            group_id: name.to_owned(),
            transactional_id: name.to_owned(),
            input_topics: vec![],
            prefix: format!("{name}."),
            start_from: StartFrom::Earliest,
            keyed_by_user: false,
            makes_topics: true,
            controls_definitions: false,
            listener: Listener::default(),
        };
        let counts = PartitionCounts { input: 1, users: 1, rollup: 2 };
        let plans = plan(&settings, counts);
        TopicAdmin::open(&settings).expect("an administrator").create_missing(&plans, 1).expect("topics");
        place.configure(receiver, group_wait);
        place
    }

    fn configure(&self, receiver: &Receiver, group_wait: &str) {
        let config = format!(
            "application_id: {name}\n\
             kafka: {{properties: {{bootstrap.servers: \"{servers}\", session.timeout.ms: \"6000\"}}}}\n\
             output: {{prefix: \"{name}.\"}}\n\
             notify:\n  receivers:\n    hook: {{type: webhook, url: \"http://{address}/\"}}\n  routes:\n    \
             - {{receiver: hook, group_wait: {group_wait}, group_interval: 1s}}\n",
            name = self.name,
            servers = self.broker.bootstrap(),
            address = receiver.address,
        );
        fs::write(self.dir.path().join("tailburn.yaml"), config).expect("a configuration");
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tailburn"));
        command.args(args).current_dir(self.dir.path()).env_clear().stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        let output = self.command(args).output().expect("the program starts");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    fn notify(&self) -> Running {
        let log = fs::File::create(self.dir.path().join("notify.log")).expect("a file");
        let child = self.command(&["notify"]).stderr(log).spawn().expect("it starts");
        Running(child)
    }

    /// Waits until the running one has partitions.
    fn until_it_reads(&self) {
        let deadline = Instant::now() + PATIENCE;
        let log = || fs::read_to_string(self.dir.path().join("notify.log")).unwrap_or_default();
        while !log().contains("a partition is ours") {
            assert!(Instant::now() < deadline, "{}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn publish(&self, partition: i32, key: &str, record: &Value) {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", self.broker.bootstrap())
            .set("enable.idempotence", "true")
            .create()
            .expect("a producer");
        let (topic, value) = (format!("{}.burn-alerts", self.name), record.to_string());
        let sent = producer.send(BaseRecord::to(&topic).partition(partition).key(key).payload(&value));
        assert!(sent.is_ok(), "a record is not accepted");
        producer.flush(PATIENCE).expect("the record is delivered");
    }
}

struct Running(Child);

impl Running {
    fn kill(mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it ends");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn alert(key: &str, severity: &str, state: &str, seq: u64) -> Value {
    let at = "2026-05-28T20:26:40.000Z";
    let ended = if state == "resolved" { json!(at) } else { Value::Null };
    json!({
        "id": format!("{key}-{severity}"), "dedup_key": format!("of-{key}-{severity}"), "seq": seq, "state": state,
        "severity": severity, "slo": key, "definition_hash": "d", "service": "checkout", "display_name": "", "labels": {},
        "scope": "aggregate", "tenant": null, "group": {}, "at": at, "started_at": at, "ended_at": ended,
        "resolved_reason": null, "data": "complete", "rules": [], "sli": 0.9, "budget_remaining": 0.5,
        "budget_spent_since_start": null, "exhaustion_at": null, "affected_users": 7, "users_active": 9, "cohort": null,
        "title": format!("{key} burns"), "summary": "it burns", "owner": null, "runbook_url": null, "dashboard_url": null,
        "exemplars": [],
    })
}

#[test]
fn a_page_survives_a_kill_before_it_was_told_and_is_told_once() {
    let broker = broker_or_skip!();
    let receiver = Receiver::start();
    let place = Place::new(broker, "notify-kill", &receiver, "10m");
    // The group would wait for ten minutes: it is killed while the page waits.
    let first = place.notify();
    place.until_it_reads();
    place.publish(0, "a|aggregate", &alert("a", "page", "firing", 1));
    std::thread::sleep(Duration::from_secs(3));
    first.kill();
    assert_eq!(receiver.told(), Vec::<String>::new());
    place.configure(&receiver, "1s");
    let second = place.notify();
    receiver.until("the page is told after the kill", |told| told == ["fired a-page"]);
    place.publish(1, "b|aggregate", &alert("b", "page", "firing", 1));
    receiver.until("the next one, too", |told| told.contains(&"fired b-page".to_owned()));
    // Its offsets are committed within a second or two; then it is killed again.
    std::thread::sleep(Duration::from_secs(4));
    second.kill();
    let _third = place.notify();
    place.publish(0, "a|aggregate", &alert("a", "page", "resolved", 2));
    receiver.until("the end is told by the third", |told| told.last().is_some_and(|last| last == "ended a-page"));
    assert_eq!(receiver.told(), ["fired a-page", "fired b-page", "ended a-page"], "nothing is told twice");
}

#[test]
fn a_silence_of_the_topic_holds_back_what_it_means() {
    let broker = broker_or_skip!();
    let receiver = Receiver::start();
    let place = Place::new(broker, "notify-silence", &receiver, "1s");
    place.run(&["silence", "add", "slo=a", "--for", "1h", "--by", "ann", "--why", "a move"]);
    let listed = place.run(&["silence", "list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    assert_eq!(listed[0]["matchers"], json!(["slo=a"]));
    let _running = place.notify();
    place.until_it_reads();
    place.publish(0, "a|aggregate", &alert("a", "page", "firing", 1));
    place.publish(0, "b|aggregate", &alert("b", "page", "firing", 1));
    receiver.until("the other is told", |told| told == ["fired b-page"]);
    let id = listed[0]["id"].as_str().expect("an id").to_owned();
    place.run(&["silence", "end", &id, "--by", "bob"]);
    receiver.until("what still fires is told", |told| told == ["fired b-page", "fired a-page"]);
}
