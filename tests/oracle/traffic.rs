//! Small seeded traffic with planted incidents, to compare the brute force with the program.
//!
//! It contains everything with a special rule in the contract: disorder, late and too late events, weights, events
//! without a user, absent fields, undecodable lines, tenants that fall silent, outages in which nothing arrives.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS};

/// Monday 2026-03-02T00:00:00Z, plus a little more than half a pane, so that nothing starts on a boundary.
pub const START_MS: i64 = 1_772_409_600_000 + 3 * HOUR_MS + 6_417;
const PARTITIONS: usize = 3;

/// A splitmix64 stream: the same traffic for a seed on every machine.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5851_F42D_4C95_7F2D)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    pub fn below(&mut self, end: i64) -> i64 {
        (self.next() % end as u64) as i64
    }
}

#[derive(Clone, Copy)]
pub enum Who {
    All,
    Tenant(&'static str),
    Region(&'static str),
    User(usize),
}

/// Requests of `who` fail with probability `share`; a share above 1 means that there are no requests.
#[derive(Clone, Copy)]
pub struct Incident {
    pub from_min: i64,
    pub to_min: i64,
    pub who: Who,
    pub share: f64,
}

pub const ABSENT: f64 = 2.0;

pub struct Plan {
    pub seed: u64,
    pub start_ms: i64,
    pub duration_ms: i64,
    pub per_hour: f64,
    pub users: usize,
    pub tenants: &'static [&'static str],
    pub base: f64,
    pub incidents: Vec<Incident>,
    /// Events have the attributes `release` and `track`, some of which fail more often.
    pub has_releases: bool,
}

fn incident(from_min: i64, to_min: i64, who: Who, share: f64) -> Incident {
    Incident { from_min, to_min, who, share }
}

/// Users are dealt to the tenants in turns; the last tenant is rare, and its name needs every escape.
const TENANTS: [&str; 12] =
    ["acme", "acme", "acme", "beta", "acme", "beta", "solo", "acme", "gone", "acme", "beta", "a|b,c=d%e"];

/// 26 hours: with a period of 7 d every default rule fires and resolves within them.
pub fn day(seed: u64) -> Plan {
    let incidents = vec![
        incident(170, 195, Who::All, 1.0),
        incident(300, 345, Who::Region("eu"), 0.3),
        incident(420, 440, Who::All, 1.0),
        incident(426, 475, Who::All, ABSENT),
        incident(560, 700, Who::User(0), 1.0),
        incident(640, 700, Who::Tenant("acme"), 0.35),
        incident(800, 840, Who::Tenant("gone"), 0.8),
        incident(840, 1560, Who::Tenant("gone"), ABSENT),
        incident(900, 1180, Who::All, 0.02),
    ];
    Plan {
        seed,
        start_ms: START_MS,
        duration_ms: 26 * HOUR_MS,
        per_hour: 1_300.0,
        users: 160,
        tenants: &TENANTS,
        base: 0.0003,
        incidents,
        has_releases: false,
    }
}

/// Four days and a half: the default rules of 28 d fire and resolve; a tenant's alert goes stale and ends without data;
/// with a period of one day its key is forgotten and comes back.
pub fn four_days(seed: u64) -> Plan {
    let day = 24 * 60;
    let incidents = vec![
        incident(300, 330, Who::All, 1.0),
        incident(day + 120, day + 300, Who::Tenant("acme"), 0.1),
        incident(day + 600, day + 640, Who::Tenant("gone"), 1.0),
        incident(day + 640, 3 * day, Who::Tenant("gone"), ABSENT),
        incident(2 * day + 1080, 3 * day + 60, Who::All, 0.03),
        incident(3 * day + 300, 3 * day + 360, Who::User(0), 1.0),
    ];
    Plan {
        seed,
        start_ms: START_MS,
        duration_ms: 4 * DAY_MS + 12 * HOUR_MS,
        per_hour: 240.0,
        users: 90,
        tenants: &TENANTS,
        base: 0.0002,
        incidents,
        has_releases: false,
    }
}

pub const DAY_SLOS: [(&str, &str); 3] = [
    ("a.yaml", include_str!("slos/week.yaml")),
    ("b.yaml", include_str!("slos/own-rules.yaml")),
    ("c.yaml", include_str!("slos/latency.yaml")),
];

pub const FOUR_DAY_SLOS: [(&str, &str); 2] =
    [("a.yaml", include_str!("slos/month.yaml")), ("b.yaml", include_str!("slos/one-day.yaml"))];

/// Writes the SLOs and the partitions; the second partition is compressed.
pub fn write(directory: &Path, plan: &Plan, slos: &[(&str, &str)]) -> (PathBuf, Vec<PathBuf>) {
    (write_slos(directory, slos), write_lines(directory, &plan.lines()))
}

pub fn write_slos(directory: &Path, slos: &[(&str, &str)]) -> PathBuf {
    let slo_directory = directory.join("slos");
    std::fs::create_dir_all(&slo_directory).expect("a directory for the SLOs");
    for (name, text) in slos {
        std::fs::write(slo_directory.join(name), text).expect("an SLO is written");
    }
    slo_directory
}

pub fn write_lines(directory: &Path, partitions: &[Vec<String>]) -> Vec<PathBuf> {
    let write = |(partition, lines): (usize, &Vec<String>)| {
        let bytes = lines.iter().map(|l| format!("{l}\n")).collect::<String>().into_bytes();
        let packed = partition == 1;
        let path = directory.join(format!("p{partition}.jsonl{}", if packed { ".gz" } else { "" }));
        std::fs::write(&path, if packed { gzip(&bytes) } else { bytes }).expect("a partition is written");
        path
    };
    partitions.iter().enumerate().map(write).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory does not fail")
}

impl Plan {
    /// The lines of each partition, in the order of their arrival.
    pub fn lines(&self) -> Vec<Vec<String>> {
        let mut dice = Dice::new(self.seed);
        let mut partitions: Vec<Vec<(i64, String)>> = vec![Vec::new(); PARTITIONS];
        let mut time_ms = self.start_ms;
        let step_ms = HOUR_MS as f64 / self.per_hour;
        while time_ms < self.start_ms + self.duration_ms {
            time_ms += (-libm::log(1.0 - dice.unit()) * step_ms) as i64 + 1;
            let user = self.user(&mut dice);
            let Some(line) = self.event(&mut dice, user, time_ms) else { continue };
            let arrival_ms = time_ms + delay_ms(&mut dice);
            // Most events of a region go to its own partition, so that watermarks differ.
            let partition = if dice.chance(0.6) { user % PARTITIONS } else { dice.below(PARTITIONS as i64) as usize };
            partitions[partition].push((arrival_ms, line));
            if dice.chance(0.002) {
                partitions[partition].push((arrival_ms + 1, junk(&mut dice, time_ms)));
            }
        }
        partitions.iter_mut().for_each(|lines| lines.sort_by_key(|(arrival_ms, _)| *arrival_ms));
        partitions.into_iter().map(|lines| lines.into_iter().map(|(_, line)| line).collect()).collect()
    }

    /// Few users send much.
    fn user(&self, dice: &mut Dice) -> usize {
        let skewed = dice.unit() * dice.unit();
        (skewed * self.users as f64) as usize
    }

    fn share(&self, user: usize, time_ms: i64) -> f64 {
        let minute = (time_ms - self.start_ms) / MINUTE_MS;
        let hit = |i: &&Incident| {
            let concerned = match i.who {
                Who::All => true,
                Who::Tenant(tenant) => self.tenant(user) == tenant,
                Who::Region(name) => region(user) == name,
                Who::User(one) => user == one,
            };
            concerned && (i.from_min..i.to_min).contains(&minute)
        };
        self.incidents.iter().filter(hit).map(|i| i.share).fold(self.base, f64::max)
    }

    fn tenant(&self, user: usize) -> &'static str {
        self.tenants[user % self.tenants.len()]
    }

    fn event(&self, dice: &mut Dice, user: usize, time_ms: i64) -> Option<String> {
        let share = self.share(user, time_ms);
        if share >= ABSENT {
            return None;
        }
        let release = self.has_releases.then(|| release(user, (time_ms - self.start_ms) / MINUTE_MS));
        let share = release.as_ref().map_or(share, |release| share.max(release.share));
        let failed = dice.chance(share);
        let status = if failed { 500 + dice.below(4) } else { [200, 200, 204, 404][dice.below(4) as usize] };
        let latency_ms = if failed { 2_000.0 } else { 20.0 } * (0.5 + dice.unit() * dice.unit() * 12.0);
        let operation = ["pay", "read", "write", "heartbeat"][dice.below(4) as usize];
        let mut record = json!({
            "tenant": self.tenant(user), "user": format!("u{user}"), "timestamp": written_time(dice, time_ms),
            "operation": operation, "status": status, "latency_ms": (latency_ms * 1e3).round() / 1e3,
            "attributes": {"region": region(user), "tier": tier(user), "beta": user.is_multiple_of(5)},
        });
        for (name, value) in release.iter().flat_map(|release| [("release", release.name), ("track", release.track)]) {
            if !value.is_empty() {
                record["attributes"][name] = json!(value);
            }
        }
        vary(dice, &mut record);
        Some(smudged(record.to_string(), time_ms))
    }
}

/// What an event was served by, and how often that fails.
struct Release {
    name: &'static str,
    track: &'static str,
    share: f64,
}

fn release(user: usize, minute: i64) -> Release {
    let (name, of_release) = match minute {
        _ if user % 11 == 5 => ("", 0.0),
        300.. if user % 4 == 1 => ("v2", 0.0),
        1_500.. if user % 4 == 2 => ("v3", 0.0),
        1_620.. if user % 4 == 3 => ("v4", 0.09),
        1_700.. if user == 4 => ("v5", 0.8),
        _ => ("v1", 0.0),
    };
    let (track, of_track) = match minute {
        100..700 if user.is_multiple_of(3) => ("canary", 0.0),
        800..1_000 if user.is_multiple_of(3) => ("canary", 0.08),
        _ if user % 13 == 7 => ("other", 0.0),
        _ => ("stable", 0.0),
    };
    Release { name, track, share: f64::max(of_release, of_track) }
}

fn region(user: usize) -> &'static str {
    ["eu", "us", "ap"][user / 3 % 3]
}

fn tier(user: usize) -> &'static str {
    ["free", "pro"][user % 2]
}

/// Integers, and texts in several zones and of several precisions.
fn written_time(dice: &mut Dice, time_ms: i64) -> Value {
    let time = jiff::Timestamp::from_millisecond(time_ms).expect("a time of today");
    match dice.below(12) {
        0 => json!(format!("{time:.3}")),
        1 => json!(format!("{time:.6}").replace('Z', "+00:00")),
        // How java.time prints a full second with a zone, and log4j any time.
        3 => json!(format!("{time:.3}").replace('.', ",").replace('Z', "+0000")),
        4 => json!(format!("{time:.3}[Europe/Berlin]")),
        2 => {
            let there = jiff::Timestamp::from_millisecond(time_ms + 90 * MINUTE_MS).expect("a time of today");
            json!(format!("{there:.3}").replace('Z', "+01:30"))
        }
        _ => json!(time_ms),
    }
}

/// Special events: no user, a weight, an absent field, a number as text.
fn vary(dice: &mut Dice, record: &mut Value) {
    let Some(fields) = record.as_object_mut() else { return };
    if dice.chance(0.03) {
        fields.remove("user");
    }
    if dice.chance(0.06) {
        let weight = [json!(0.333333), json!(2.5), json!(10), json!(0.0000017)][dice.below(4) as usize].clone();
        fields.insert("weight".into(), weight);
    }
    match dice.below(200) {
        0 => drop(fields.remove("status")),
        1 => drop(fields.insert("status".into(), Value::Null)),
        2 => drop(fields.remove("operation")),
        3 | 4 => drop(fields.insert("status".into(), json!(fields["status"].to_string()))),
        5 => drop(fields.insert("attributes".into(), json!({"tier": null}))),
        6 => drop(fields.remove("attributes")),
        7 => drop(fields.remove("latency_ms")),
        8 => drop(fields.insert("unheard_of".into(), json!({"of": [1, 2]}))),
        odd => {
            if let Some((name, value)) = ODDITIES.get(odd as usize - 9) {
                fields.insert((*name).into(), serde_json::from_str(value).expect("JSON"));
            }
        }
    }
}

/// Optional values of real producers: some are readable, some make the field absent.
const ODDITIES: [(&str, &str); 20] = [
    ("latency_ms", r#""-""#),
    ("latency_ms", r#""""#),
    ("latency_ms", r#""60.000, 0.001""#),
    ("latency_ms", r#""31.5""#),
    ("latency_ms", "true"),
    ("status", "500.0"),
    ("status", r#""502.0""#),
    ("status", r#""OK""#),
    ("status", r#""-""#),
    ("status", "[503]"),
    ("user", "184467"),
    ("user", r#"{"id": "u1"}"#),
    ("user", "1.5"),
    ("user", r#""""#),
    ("operation", "12"),
    ("operation", r#"["pay"]"#),
    ("trace_id", "false"),
    ("attributes", r#"{"region": {"name": "eu"}, "tier": "pro", "beta": 1.5}"#),
    ("attributes", r#"["eu"]"#),
    ("measures", r#"{"tokens": "12", "quality": "-", "ttft_ms": "soon"}"#),
];

/// Bytes without meaning: a byte order mark, half an emoji. It uses no randomness.
fn smudged(line: String, time_ms: i64) -> String {
    match time_ms % 800 {
        0 => format!("\u{feff}{line}"),
        1 => line.replacen('{', r#"{"note":"half \ud83d","more":["\udc00\\"],"#, 1),
        2 => line.replacen(r#""user":"u"#, r#""user":"\ud83d\ud83d\ude00u"#, 1),
        _ => line,
    }
}

/// Mostly a second, sometimes minutes (late), seldom more than the allowed lateness.
pub fn delay_ms(dice: &mut Dice) -> i64 {
    match dice.below(1_000) {
        0..=2 => 61 * MINUTE_MS + dice.below(2 * HOUR_MS),
        3..=8 => 6 * MINUTE_MS + dice.below(45 * MINUTE_MS),
        9..=40 => 5 * SECOND_MS + dice.below(MINUTE_MS),
        _ => dice.below(4 * SECOND_MS),
    }
}

/// Lines that are not outcomes: one of every reason possible in a file, and blank ones.
fn junk(dice: &mut Dice, time_ms: i64) -> String {
    let line = match dice.below(14) {
        0 => return String::new(),
        1 => return "  \t ".to_owned(),
        2 => return "{\"tenant\": \"acme\", ".to_owned(),
        3 => json!("a text"),
        4 => json!({"user": "u1", "timestamp": time_ms, "status": 500}),
        5 => json!({"tenant": "", "timestamp": time_ms, "status": 500}),
        6 => json!({"tenant": "acme", "user": "u1", "status": 500}),
        7 => json!({"tenant": "acme", "timestamp": "yesterday", "status": 500}),
        8 => json!({"tenant": "acme", "timestamp": 946_684_799_999i64, "status": 500}),
        9 => json!({"tenant": "acme", "timestamp": time_ms, "status": 500, "weight": -1}),
        10 => json!({"tenant": "acme", "timestamp": time_ms, "status": 500, "weight": 1_000_001}),
        11 => json!({"tenant": "acme", "timestamp": time_ms, "status": 500, "weight": "heavy"}),
        12 => json!({"tenant": null, "timestamp": null}),
        _ => json!({"tenant": {"id": 7}, "timestamp": time_ms, "status": 500}),
    };
    line.to_string()
}
