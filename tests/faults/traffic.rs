//! The input: generated traffic with incidents and invalid records, and at the end of each partition events that move T
//! past everything before them.

use crate::dice::Dice;
use crate::stage::program;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use tailburn::model::time::{HOUR_MS, MINUTE_MS, Moment, PANE_MS};

pub const INPUTS: usize = 4;
/// The default out-of-orderness of partitions.
const OUT_OF_ORDERNESS_MS: i64 = 5_000;

/// The kind of traffic of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A little of everything in real input.
    Usual,
    /// Far more disorder, lateness, duplicates and dead letters, and hostile records.
    Hostile,
    /// Nothing at all on the last partition.
    OneSilent,
    /// A few records that are larger than topics take by default.
    Huge,
}

/// One record of the input.
#[derive(Clone, Debug)]
pub struct Line {
    pub bytes: Vec<u8>,
    /// Why it is refused from Kafka, if a file cannot contain it or would accept it.
    pub refused: Option<&'static str>,
}

pub struct Traffic {
    /// By partition.
    pub lines: Vec<Vec<Line>>,
    /// The T that a live run reaches: the smallest watermark at the end.
    pub told_to_ms: i64,
}

impl Traffic {
    /// Traffic of this many past hours, ended by flushing events.
    pub fn generate(dir: &Path, kind: Kind, seed: u64, hours: u64) -> Traffic {
        // Brokers may delete records by the age of their T, so it must not be too old.
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let from_ms = now_ms - now_ms.rem_euclid(HOUR_MS) - 30 * HOUR_MS;
        run_generator(dir, kind, seed, hours, from_ms);
        let mut lines: Vec<Vec<Line>> = (0..INPUTS).map(|n| read(&dir.join(format!("traffic/p{n}.jsonl")))).collect();
        if kind == Kind::OneSilent {
            lines[INPUTS - 1].clear();
        }
        let mut dice = Dice::of(seed, "hurtful");
        let hurtful = match kind {
            Kind::Hostile => hurtful(from_ms, now_ms, &mut dice),
            Kind::Huge => vec![long(from_ms, 2_000_000, &mut dice), long(from_ms, 9_000_000, &mut dice)],
            Kind::Usual | Kind::OneSilent => Vec::new(),
        };
        for hurtful in hurtful {
            let partition = &mut lines[dice.index(INPUTS)];
            let at = dice.index(partition.len());
            partition.insert(at, hurtful);
        }
        // After every late arrival's time, and after the last step of the hour.
        let flush_ms = from_ms + hours as i64 * HOUR_MS + 10 * MINUTE_MS;
        let spoken = lines.iter_mut().filter(|lines| !lines.is_empty());
        spoken.for_each(|lines| lines.extend([0, 20_000].map(|more_ms| flush(flush_ms + more_ms))));
        let told_to_ms = flush_ms + 20_000 - OUT_OF_ORDERNESS_MS;
        Traffic { lines, told_to_ms: told_to_ms - told_to_ms.rem_euclid(PANE_MS) }
    }

    pub fn records(&self) -> usize {
        self.lines.iter().map(Vec::len).sum()
    }

    /// The files of a backtest. A blank line is skipped there, and counts as one.
    pub fn write(&self, dir: &Path) {
        for (n, lines) in self.lines.iter().enumerate() {
            let mut bytes = Vec::new();
            for line in lines {
                if line.refused.is_none() {
                    bytes.extend_from_slice(&line.bytes);
                }
                bytes.push(b'\n');
            }
            fs::write(dir.join(format!("p{n}.jsonl")), bytes).expect("the input of the backtest");
        }
    }
}

fn run_generator(dir: &Path, kind: Kind, seed: u64, hours: u64, from_ms: i64) {
    let (from, seed) = (Moment(from_ms).to_string(), seed.to_string());
    let (duration, events) = (format!("{hours}h"), (hours * 10_000).to_string());
    let inputs = INPUTS.to_string();
    let mut args: Vec<&str> = vec!["generate", "--seed", &seed, "--from", &from, "--duration", &duration];
    args.extend(["--events", &events, "--users", "600", "--tenants", "3", "--partitions", &inputs]);
    args.extend(["--profile", "dirty", "--incident", "outage@1h+20m:rate=0.4"]);
    args.extend(["--incident", "cohort@1h30m+1h:integration=sdk,region=ap:rate=0.3"]);
    args.extend(["--incident", "user@2h+30m:rate=0.9", "--out", "traffic", "--slo", "slo.yaml", "--quiet"]);
    if kind == Kind::Hostile {
        args.extend(["--late", "0.1", "--too-late", "0.02", "--malformed", "0.02", "--duplicates", "0.05"]);
        args.extend(["--without-user", "0.1", "--without-status", "0.05"]);
    }
    let mut command = Command::new(program());
    command.args(&args).current_dir(dir).env_clear().stdin(Stdio::null());
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn read(path: &Path) -> Vec<Line> {
    let text = fs::read_to_string(path).expect("traffic");
    text.lines().map(|line| Line { bytes: line.as_bytes().to_vec(), refused: None }).collect()
}

/// It moves the watermark but does not count: the SLO excludes heartbeats.
fn flush(at_ms: i64) -> Line {
    sound(format!(r#"{{"tenant":"acme","timestamp":{at_ms},"operation":"heartbeat","status":200}}"#))
}

fn sound(text: String) -> Line {
    Line { bytes: text.into_bytes(), refused: None }
}

/// Hostile records. The backtest defines their result, unless a file cannot contain them.
fn hurtful(from_ms: i64, now_ms: i64, dice: &mut Dice) -> Vec<Line> {
    let of_time = |time: &str| format!(r#"{{"tenant":"acme","user":"u1","timestamp":{time},"status":503}}"#);
    let soon_ms = now_ms + 3_650 * 24 * HOUR_MS;
    let mut all: Vec<Line> = ["0", "-1", "-9223372036854775808", "1e300", "\"\"", "null", "946684799999", "[1]"]
        .into_iter()
        .map(|time| sound(of_time(time)))
        .collect();
    // Records of files have no timestamp, so they are never in the future.
    all.push(Line { bytes: of_time(&soon_ms.to_string()).into_bytes(), refused: Some("in_the_future") });
    all.push(Line { bytes: Vec::new(), refused: Some("not_decodable") });
    all.push(Line { bytes: b"{\"tenant\":\n".to_vec(), refused: Some("not_decodable") });
    all.push(sound("[".repeat(200_000)));
    all.push(sound(format!(r#"{{"tenant":"acme","timestamp":{from_ms},"attributes":{}}}"#, "{\"a\":".repeat(50_000))));
    all.push(sound(format!(r#"{{"tenant":"acme","timestamp":{from_ms},"status":1{}}}"#, "0".repeat(100_000))));
    // As large as a topic accepts by default.
    all.push(long(from_ms, 900_000, dice));
    all.push(Line { bytes: vec![0xff, 0xfe, 0x00, 0x80, 0xc3, 0x28], refused: None });
    all.push(Line { bytes: b"Obj\x01\x04\x14avro.codec".to_vec(), refused: None });
    // An unknown tenant in an unknown format.
    all.push(sound(format!(r#"{{"tenant":"nobody|knows=me","user":"u1","timestamp":{from_ms},"status":500}}"#)));
    all.push(sound(format!(r#"{{"schema":"v99","payload":{{"tenant":"acme","timestamp":{from_ms}}}}}"#)));
    all.push(sound(of_time(&format!("{from_ms},\"weight\":1e-300"))));
    all.push(sound(of_time(&format!("{from_ms},\"latency_ms\":1e999"))));
    all
}

/// An incompressible trace id of this many bytes.
fn long(from_ms: i64, bytes: usize, dice: &mut Dice) -> Line {
    let mut trace: String = std::iter::repeat_with(|| char::from(dice.between(33, 126) as u8)).take(bytes).collect();
    trace.retain(|c| c != '"' && c != '\\');
    sound(format!(r#"{{"tenant":"acme","timestamp":{from_ms},"trace_id":"{trace}"}}"#))
}
