//! One application over several starts and stops, with state on disk: it is fed traffic of known times, and its output
//! is read.

use crate::broker::Broker;
use crate::recovery::{Place, Running};
use crate::world::{PATIENCE, World, committed};
use rdkafka::consumer::BaseConsumer;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tailburn::model::time::{HOUR_MS, Moment, SECOND_MS, floor_to};

/// One event per second. All fail from the outage on, and the program stops in the middle of it.
pub const OUTAGE_S: i64 = 90 * 60;
pub const STOP_S: i64 = 2 * 3_600;
/// The traffic after a start: up to a boundary at which every key has a status, plus the events that move T there.
pub const GOES_ON_S: i64 = 15 * 60;
pub const BEHIND_S: i64 = 15;
pub const SOON: Duration = Duration::from_secs(120);

/// One application over several starts and stops.
pub struct Life {
    pub world: World<Arc<Broker>>,
    pub place: Place,
    /// The part of the configuration that all instances share.
    pub more: String,
    pub id: &'static str,
    pub start_ms: i64,
    pub fed_s: i64,
    pub tenants: i64,
}

/// By key: the latest value, `None` for a tombstone.
pub type Latest = BTreeMap<String, Option<Value>>;

impl Life {
    /// An application that has read nothing yet. `partitions`: the number of users tasks and of rollup tasks.
    pub fn new(broker: Arc<Broker>, id: &'static str, partitions: [u32; 2], tenants: i64) -> Life {
        let world = World::new(broker, Box::leak(format!("w-{id}").into_boxed_str()), 1);
        let [users, rollup] = partitions;
        let more = format!(
            "input: {{topics: [{}], idle_timeout: 1h}}\noutput: {{prefix: {id}.}}\n\
             partitions: {{users: {users}, rollup: {rollup}}}\ndefinitions: {{control: false}}\n",
            world.input
        );
        let place = Place::with(&world, id, &more);
        // The stop is at a step of the longest windows, whatever the time of day, so that all figures after it are new,
        // even those of a new window.
        let ago_ms = jiff::Timestamp::now().as_millisecond() - 3 * HOUR_MS;
        let start_ms = floor_to(ago_ms, 6 * HOUR_MS) - STOP_S * SECOND_MS;
        Life { world, place, more, id, start_ms, fed_s: 0, tenants }
    }

    /// Runs into the outage, and stops gracefully.
    pub fn begin(broker: Arc<Broker>, id: &'static str, documents: &str) -> Life {
        let mut life = Life::new(broker, id, [2, 1], 3);
        life.go_on(documents, STOP_S);
        assert!(life.open().len() >= 6, "aggregate, tenants and groups fire: {:?}", life.open());
        life
    }

    /// Starts with these definitions, feeds traffic up to a time, and stops.
    pub fn go_on(&mut self, documents: &str, to_s: i64) {
        self.define(documents);
        let (mut running, _) = self.place.start();
        self.feed(to_s);
        let at = self.at(to_s - BEHIND_S - (to_s - BEHIND_S) % 60);
        let is_told = |life: &Life| {
            life.is_read() && life.latest("slo-status").values().flatten().any(|s| s["at"].as_str() >= Some(&at))
        };
        self.wait(&mut running, &format!("a status of {at}"), is_told);
        assert_eq!(running.stop(), Some(0), "{}", self.place.log());
    }

    pub fn define(&self, documents: &str) {
        fs::write(self.place.dir.path().join("slo.yaml"), documents).expect("an SLO");
    }

    pub fn wait(&self, running: &mut Running, what: &str, is_so: impl Fn(&Life) -> bool) {
        let deadline = Instant::now() + SOON;
        while !is_so(self) {
            assert!(running.is_alive() && Instant::now() < deadline, "no {what}: {}", self.place.log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    pub fn at(&self, second: i64) -> String {
        Moment(self.start_ms + second * 1_000).to_string()
    }

    pub fn line(&self, second: i64) -> String {
        let fails = second > OUTAGE_S;
        format!(
            r#"{{"tenant":"t{}","user":"u{}","timestamp":{},"operation":"checkout","status":{},"latency_ms":{},"attributes":{{"region":"{}","tier":"{}"}}}}"#,
            second % self.tenants,
            second % 60,
            self.start_ms + second * 1_000,
            if fails { 503 } else { 200 },
            if fails { 900 } else { 100 },
            ["eu", "us"][(second % 2) as usize],
            ["pro", "free"][(second / 7 % 2) as usize],
        )
    }

    pub fn feed(&mut self, to_s: i64) {
        let producer: BaseProducer =
            self.world.client().set("enable.idempotence", "true").set("linger.ms", "20").create().expect("a producer");
        for second in self.fed_s..to_s {
            let line = self.line(second);
            let record = BaseRecord::<str, str>::to(&self.world.input).partition(0).payload(&line);
            producer.send(record).map_err(|(error, _)| error).expect("the record is queued");
        }
        producer.flush(PATIENCE).expect("the records are delivered");
        self.fed_s = to_s;
    }

    /// Whether all traffic so far is read and committed.
    pub fn is_read(&self) -> bool {
        let consumer: BaseConsumer = self.world.client().set("group.id", self.id).create().expect("a consumer");
        committed(&consumer, &self.world.input, 1).is_ok_and(|all| all == [Some(self.fed_s)])
    }

    pub fn latest(&self, topic: &str) -> Latest {
        let mut latest = Latest::new();
        self.world.each_record(&format!("{}.{topic}", self.id), |key, value| {
            latest.insert(key.to_owned(), value.map(|value| serde_json::from_slice(value).expect("JSON")));
        });
        latest
    }

    pub fn alerts(&self) -> Vec<Value> {
        let mut alerts = Vec::new();
        self.world.each_record(&format!("{}.burn-alerts", self.id), |_, value| {
            alerts.extend(value.map(|value| serde_json::from_slice::<Value>(value).expect("JSON")));
        });
        alerts
    }

    /// The last record of each alert without an end, by id.
    pub fn open(&self) -> BTreeMap<String, Value> {
        let mut open = BTreeMap::new();
        for alert in self.alerts() {
            let id = alert["id"].as_str().expect("an id").to_owned();
            match alert["state"].as_str() {
                Some("resolved") => assert!(open.remove(&id).is_some(), "{id} was not open"),
                _ => drop(open.insert(id, alert)),
            }
        }
        open
    }
}

/// The key of a status.
pub fn identity(status: &Value) -> String {
    format!("{}|{}|{}|{}", status["slo"], status["scope"], status["tenant"], status["group"])
}
