//! Inputs that nobody means to send, by the hundred thousand: mutated SLOs, configurations, expressions,
//! JSON, Avro, access logs, archives and HTTP requests. Nothing may abort or hang, memory stays bounded,
//! and what was accepted and the dead letters add up to what was given.
//!
//! Every run of the tests tries a few thousand; `ops/fuzz` tries as many as it is told. Inputs are tried
//! in batches, each in a process of its own, so that an abort is seen and the rest goes on. The seed, the
//! batch and the number in it make an input, so that each can be made again.
#![expect(clippy::expect_used, reason = "a test that cannot go on has to fail")]
#![expect(clippy::disallowed_methods, reason = "hangs are measured in real time, and variables say what to try")]
#![expect(clippy::disallowed_types, reason = "a map that the Avro library takes as a value")]

mod chance;
mod kinds;

use chance::Chance;
use kinds::{Bench, Came, KINDS};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const BATCH: u64 = 1_000;
/// Requests take a connection each.
const BATCH_HTTP: u64 = 100;
/// More processor time than this for one input is a hang.
const CPU_MAX: Duration = Duration::from_secs(2);
/// After so long a process that is at the same input is ended.
const PATIENCE: Duration = Duration::from_secs(60);
const RSS_MAX_KB: u64 = 512 * 1_024;
/// What a run of the tests tries.
const INPUTS: u64 = 4_000;

fn number(name: &str, or: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(or)
}

fn size_of(batch: u64) -> u64 {
    if kind_of(batch) == "http" { BATCH_HTTP } else { BATCH }
}

fn kind_of(batch: u64) -> &'static str {
    KINDS[(batch % KINDS.len() as u64) as usize]
}

/// What was found, by kind.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Found {
    inputs: u64,
    given: u64,
    accepted: u64,
    dead: u64,
    refused: u64,
    slowest_ms: u64,
    rss_kb: u64,
    /// In words, with what makes the input again.
    faults: Vec<String>,
}

impl Found {
    fn add(&mut self, more: Found) {
        self.inputs += more.inputs;
        self.given += more.given;
        self.accepted += more.accepted;
        self.dead += more.dead;
        self.refused += more.refused;
        self.slowest_ms = self.slowest_ms.max(more.slowest_ms);
        self.rss_kb = self.rss_kb.max(more.rss_kb);
        self.faults.extend(more.faults);
    }
}

/// Where a run stands, to go on from.
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Run {
    seed: u64,
    next_batch: u64,
    inputs: u64,
    found: BTreeMap<String, Found>,
}

#[test]
fn nothing_aborts_or_hangs_and_every_record_is_accounted_for() {
    let (seed, inputs) = (number("TAILBURN_FUZZ_SEED", 1), number("TAILBURN_FUZZ_INPUTS", INPUTS));
    let state = std::env::var("TAILBURN_FUZZ_STATE").ok().map(PathBuf::from);
    let before = state.as_ref().and_then(|path| serde_json::from_slice(&fs::read(path).ok()?).ok());
    let mut run = before.filter(|run: &Run| run.seed == seed).unwrap_or(Run { seed, ..Run::default() });
    let dir = tempfile::tempdir().expect("a directory");
    #[expect(clippy::print_stderr, reason = "a run of an hour says where it stands")]
    while run.inputs < inputs {
        let batch = run.next_batch;
        let found = whole_batch(seed, batch, dir.path());
        run.inputs += found.inputs;
        run.next_batch += 1;
        run.found.entry(kind_of(batch).to_owned()).or_default().add(found);
        if let Some(path) = &state {
            let text = serde_json::to_vec(&run).expect("JSON");
            fs::write(path, text).expect("the state is written");
            let faults: usize = run.found.values().map(|f| f.faults.len()).sum();
            eprint!("\r{} of {inputs} inputs, {faults} faults ", run.inputs);
        }
    }
    let table = table(&run);
    let faults: Vec<&String> = run.found.values().flat_map(|f| &f.faults).collect();
    #[expect(clippy::print_stderr, reason = "the result of a run")]
    {
        eprintln!("\n{table}");
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

fn table(run: &Run) -> String {
    let mut text = format!(
        "{:<12}{:>10}{:>10}{:>10}{:>10}{:>10}{:>12}{:>9}{:>8}\n",
        "kind", "inputs", "refused", "records", "accepted", "dead", "slowest ms", "RSS MB", "faults"
    );
    for (kind, f) in &run.found {
        text.push_str(&format!(
            "{kind:<12}{:>10}{:>10}{:>10}{:>10}{:>10}{:>12}{:>9}{:>8}\n",
            f.inputs,
            f.refused,
            f.given,
            f.accepted,
            f.dead,
            f.slowest_ms,
            f.rss_kb / 1_024,
            f.faults.len()
        ));
    }
    text + &format!("seed {}, {} inputs\n", run.seed, run.inputs)
}

/// A batch, in as many processes as it takes to come to its end.
fn whole_batch(seed: u64, batch: u64, dir: &Path) -> Found {
    let mut found = Found::default();
    let mut from = 0;
    while from < size_of(batch) {
        let (more, next) = in_a_process(seed, batch, from, dir);
        found.add(more);
        from = next;
    }
    found
}

fn in_a_process(seed: u64, batch: u64, from: u64, dir: &Path) -> (Found, u64) {
    let (at, result, said) = (dir.join("at"), dir.join("result"), dir.join("said"));
    fs::write(&at, from.to_le_bytes()).expect("a file");
    let _ = fs::remove_file(&result);
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["one_batch", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env("TAILBURN_FUZZ_BATCH", format!("{seed} {batch} {from}"))
        .env("TAILBURN_FUZZ_DIR", dir)
        .stdout(Stdio::null())
        .stderr(File::create(&said).expect("a file"))
        .spawn()
        .expect("this program starts");
    let case = || fs::read(&at).ok().and_then(|b| Some(u64::from_le_bytes(b.try_into().ok()?))).unwrap_or(from);
    let (mut last, mut since) = (from, Instant::now());
    let ended = loop {
        if let Some(status) = child.try_wait().expect("its status") {
            break status.success().then_some(()).ok_or_else(|| format!("ended with {status}"));
        }
        if case() != last {
            (last, since) = (case(), Instant::now());
        } else if since.elapsed() > PATIENCE {
            child.kill().expect("it is ended");
            child.wait().expect("its status");
            break Err(format!("was at it for {} s", PATIENCE.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    match ended {
        Ok(()) => {
            let found = serde_json::from_slice(&fs::read(&result).expect("its result")).expect("its result");
            (found, size_of(batch))
        }
        Err(why) => {
            let last = case();
            let said = fs::read_to_string(&said).unwrap_or_default();
            let line = said.lines().find(|l| l.contains("panicked") || l.contains("overflow")).unwrap_or_default();
            let fault = format!("{}: {why} {line} ({seed} {batch} {last})", kind_of(batch));
            let found = Found { inputs: last + 1 - from, faults: vec![fault], ..Found::default() };
            (found, last + 1)
        }
    }
}

/// The part of the child: tries its batch, and says after each input where it is.
#[test]
#[ignore = "a process of the test above"]
fn one_batch() {
    let Ok(batch) = std::env::var("TAILBURN_FUZZ_BATCH") else { return };
    let numbers: Vec<u64> = batch.split(' ').map(|n| n.parse().expect("a number")).collect();
    let [seed, batch, from] = numbers[..] else { panic!("seed, batch and first input") };
    let dir = PathBuf::from(std::env::var("TAILBURN_FUZZ_DIR").expect("a directory"));
    tailburn::telemetry::abort_on_panic();
    let at = File::options().write(true).create(true).truncate(false).open(dir.join("at")).expect("a file");
    let bench = Bench::new(kind_of(batch), &dir);
    let mut found = Found::default();
    for case in from..size_of(batch) {
        at.write_at(&case.to_le_bytes(), 0).expect("written");
        let input = bench.input(&mut Chance::of(seed, batch, case));
        if let Ok(path) = std::env::var("TAILBURN_FUZZ_DUMP") {
            fs::write(path, &input).expect("written");
        }
        let (closes, started) = (case % 512 == 7, Instant::now());
        let came = bench.judge(&input, closes);
        let mut took = started.elapsed();
        if took > CPU_MAX {
            // Others may have had the processor: what counts is its time.
            let before = cpu();
            bench.judge(&input, closes);
            took = cpu() - before;
        }
        note(&mut found, &came, took, (seed, batch, case));
    }
    found.rss_kb = peak_rss_kb();
    if found.rss_kb > RSS_MAX_KB {
        found.faults.push(format!("{}: {} KB of memory ({seed} {batch})", kind_of(batch), found.rss_kb));
    }
    let mut file = File::create(dir.join("result")).expect("a file");
    file.write_all(&serde_json::to_vec(&found).expect("JSON")).expect("written");
}

fn note(found: &mut Found, came: &Came, took: Duration, (seed, batch, case): (u64, u64, u64)) {
    let mut fault = |what: String| found.faults.push(format!("{}: {what} ({seed} {batch} {case})", kind_of(batch)));
    if came.accepted + came.dead != came.given {
        fault(format!("{} records, {} accepted and {} dead letters", came.given, came.accepted, came.dead));
    }
    if took > CPU_MAX {
        fault(format!("{} ms", took.as_millis()));
    }
    found.inputs += 1;
    found.given += came.given;
    found.accepted += came.accepted;
    found.dead += came.dead;
    found.refused += u64::from(came.refused);
    found.slowest_ms = found.slowest_ms.max(took.as_millis() as u64);
}

/// Processor time of this process. Ticks are of 10 ms on every Linux.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind = stat.rsplit(") ").next().unwrap_or_default();
    let ticks: u64 = behind.split(' ').skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn peak_rss_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}
