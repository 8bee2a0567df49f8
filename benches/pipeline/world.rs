//! Traffic and tasks for the benches: JSON of about 180 bytes, users drawn evenly (the worst case for caches), one SLO
//! with all default windows, everything in one process, without output.

use std::sync::Arc;
use tailburn::codec::output::{Encoder, OutputFormat};
use tailburn::codec::{Decoder, InputSettings};
use tailburn::definition;
use tailburn::model::record::{NoHeaders, RecordIn, RecordOut};
use tailburn::model::slo::Slo;
use tailburn::model::time::{MINUTE_MS, Ms, PANE_MS};
use tailburn::operator::partial::Partial;
use tailburn::pipeline::pseudonym::UserIds;
use tailburn::pipeline::rollup::{RollupSettings, RollupTask, rollup_tasks};
use tailburn::pipeline::route::{DeadLetterForm, Route, SourceName};
use tailburn::pipeline::users::{UsersSettings, UsersTask};
use tailburn::state::MemoryStore;

/// Events in ten seconds of event time.
pub const PANE_EVENTS: u64 = 50_000;
/// The start of the traffic: a full hour, but not midnight.
pub const START_MS: Ms = 1_780_074_000_000;
const TENANTS: u64 = 50;
const OUT_OF_ORDERNESS_MS: Ms = 5_000;

const SLO: &str = "
apiVersion: openslo/v1
kind: SLO
metadata:
  name: checkout
spec:
  service: shop
  description: requests that do not fail
  indicator:
    metadata: {name: not-failed}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: tailburn, spec: {filter: 'status < 500'}}}
        total: {metricSource: {type: tailburn, spec: {filter: \"operation != 'write'\"}}}
  timeWindow: [{duration: 28d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: checkout, target: 0.999}]
";

/// One SLO without annotations.
pub fn slo() -> Slo {
    let parsed = definition::parse(&[("slo.yaml".to_owned(), SLO.to_owned())]);
    parsed.expect("the SLO is well-formed").slos.remove(0)
}

/// So many SLOs over the same events, which differ in what is good.
pub fn several(slos: usize) -> Vec<Slo> {
    let text = |number: usize| {
        let good = format!("status < {}", 500 + number);
        SLO.replace("status < 500", &good).replace("checkout", &format!("checkout-{number}"))
    };
    let files: Vec<(String, String)> = (0..slos).map(|number| (format!("slo-{number}.yaml"), text(number))).collect();
    definition::parse(&files).expect("the SLOs are well-formed").slos
}

/// Scatters numbers, in the same way on any machine.
pub fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (n ^ (n >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ (n >> 32)
}

const TIME_AT: usize = r#"{"tenant":"t00","user":"user-0000000","timestamp":"#.len();
const STATUS_AT: usize = TIME_AT + r#"1780074045845,"operation":"pay..","status":"#.len();

/// One line per user in a cache-unfriendly order; time and status are written into it at each use.
pub struct Traffic {
    lines: Vec<Vec<u8>>,
    events: u64,
}

impl Traffic {
    pub fn new(users: u64) -> Traffic {
        let mut order: Vec<u64> = (0..users).collect();
        order.sort_unstable_by_key(|user| mix(*user));
        Traffic { lines: order.into_iter().map(line).collect(), events: 0 }
    }

    /// The next record: a hundredth of them fail.
    pub fn next(&mut self) -> (i64, Ms, &[u8]) {
        let event = self.events;
        self.events += 1;
        let time_ms = START_MS + (event * PANE_MS as u64 / PANE_EVENTS) as Ms;
        let len = self.lines.len() as u64;
        let line = &mut self.lines[(event % len) as usize];
        let mut rest = time_ms as u64;
        for digit in line[TIME_AT..TIME_AT + 13].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        line[STATUS_AT] = if mix(event).is_multiple_of(100) { b'5' } else { b'2' };
        (event as i64, time_ms, line)
    }
}

fn line(user: u64) -> Vec<u8> {
    let pick = |of: [&'static str; 4], bits: u32| of[(mix(user) >> bits) as usize % 4];
    let latency = (mix(user ^ 77) % 900_000) as f64 / 1_000.0 + 0.5;
    format!(
        r#"{{"tenant":"t{:02}","user":"user-{user:07}","timestamp":1780074045845,"operation":"{}","status":200,"latency_ms":{latency:.3},"attributes":{{"tier":"{}","region":"{}","integration":"{}","release":"{}"}}}}"#,
        mix(user) % TENANTS,
        pick(["pay..", "read.", "cart.", "login"], 40),
        pick(["free", "pro", "team", "pro"], 8),
        pick(["eu", "us", "ap", "eu"], 12),
        pick(["rest", "sdk", "web", "ios"], 16),
        pick(["r1", "r2", "r1", "r2"], 20),
    )
    .into_bytes()
}

/// All tasks of one process and the records between them.
pub struct World {
    pub traffic: Traffic,
    pub route: Route,
    pub users: UsersTask,
    pub rollups: Vec<RollupTask>,
    pub partials: Vec<Partial>,
    store: MemoryStore,
    pub outputs: Vec<RecordOut>,
    pub bytes_out: usize,
}

impl World {
    pub fn new(users: u64, slos: Vec<Slo>) -> World {
        let slos = Arc::new(slos);
        let settings = RollupSettings {
            partition: 0,
            users_tasks: 1,
            status_interval_ms: MINUTE_MS,
            tenant_status_interval_ms: 5 * MINUTE_MS,
            user_ids: UserIds::Plain,
            encoder: Arc::new(Encoder::new(OutputFormat::Json).expect("the schemas are well-formed")),
        };
        let names = vec![SourceName { topic: "outcomes".to_owned(), partition: 0 }];
        let rows = UsersSettings {
            out_of_orderness_ms: OUT_OF_ORDERNESS_MS,
            groups_max: 1_000,
            tenants_max: 50_000,
            rollup_partitions: 1,
        };
        World {
            traffic: Traffic::new(users),
            route: Route::new(decoder(), names, DeadLetterForm::Line),
            users: UsersTask::new(Arc::clone(&slos), 1, rows),
            rollups: rollup_tasks(&slos, 1, &settings),
            partials: vec![Partial::default()],
            store: MemoryStore::default(),
            outputs: Vec::new(),
            bytes_out: 0,
        }
    }

    /// A world in which every user has had events, with its first hour's rows.
    pub fn warm(users: u64) -> World {
        World::warm_with(users, vec![slo()])
    }

    pub fn warm_with(users: u64, slos: Vec<Slo>) -> World {
        let mut world = World::new(users, slos);
        (0..2 * users / PANE_EVENTS + 12).for_each(|_| world.pane());
        world
    }

    /// Ten seconds of traffic, from bytes to bytes.
    pub fn pane(&mut self) {
        (0..PANE_EVENTS).for_each(|_| self.enqueue());
        self.close();
        self.roll_up();
    }

    /// One record: decodes and classifies it, and buffers it for its boundary.
    pub fn enqueue(&mut self) {
        let (offset, _, value) = self.traffic.next();
        let record = RecordIn { partition: 0, offset, key: None, value, timestamp_ms: None, headers: &NoHeaders };
        let users = &mut self.users;
        let dead_letter = self.route.apply(0, &record, |outcome| users.apply(0, record.offset, outcome));
        assert!(dead_letter.is_none(), "the record decodes");
    }

    /// Closes what the watermark allows.
    pub fn close(&mut self) {
        if let Some(to_ms) = self.users.aligned_ms() {
            self.close_until(to_ms);
        }
    }

    pub fn close_until(&mut self, to_ms: Ms) {
        self.users.close_until(to_ms, &mut self.partials, &self.store).expect("the store is read");
    }

    /// Encodes and decodes partials, and evaluates every key's boundary.
    pub fn roll_up(&mut self) {
        let next = Partial { from_ms: Some(self.partials[0].up_to_ms), ..Partial::default() };
        let partial = std::mem::replace(&mut self.partials[0], next);
        let bytes = postcard::to_stdvec(&partial).expect("a partial is written");
        let partial = postcard::from_bytes(&bytes).expect("a partial is read");
        self.rollups[0].apply(0, partial).expect("a boundary is closed once");
        self.rollups[0].advance(&mut self.outputs).expect("outputs are written");
        self.bytes_out += self.outputs.drain(..).filter_map(|o| o.value).map(|v| v.len()).sum::<usize>();
    }
}

pub fn decoder() -> Decoder {
    Decoder::new(InputSettings::default()).expect("the settings are well-formed")
}

/// CPU time of this thread so far, in nanoseconds: the machine may have other work.
pub fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0)
}
