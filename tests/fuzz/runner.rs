//! Runs a batch of inputs in a watched process: an abort, a hang, too much memory or a lost record is a fault, and the
//! inputs after it are still tried.

use super::chance::Chance;
use super::kinds::{Bench, Came, KINDS};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const BATCH: u64 = 500;
/// One connection per request; one input in fifteen is a request.
const BATCH_HTTP: u64 = 250;
/// More processor time than this for one input is a hang.
const CPU_MAX: Duration = Duration::from_secs(2);
/// A process is ended after this much processor time at one input. If it uses none, after a multiple of it in wall
/// time, because a busy machine gives it little.
pub const PATIENCE: Duration = Duration::from_secs(10);
const WAITS: u32 = 30;
const RSS_MAX_KB: u64 = 512 * 1_024;

pub fn number(name: &str, or: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(or)
}

pub fn size_of(batch: u64) -> u64 {
    if kind_of(batch) == "http" { BATCH_HTTP } else { BATCH }
}

pub fn kind_of(batch: u64) -> &'static str {
    KINDS[(batch % KINDS.len() as u64) as usize]
}

/// The faults found, by kind.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Found {
    pub inputs: u64,
    pub given: u64,
    pub accepted: u64,
    pub dead: u64,
    pub refused: u64,
    pub slowest_ms: u64,
    pub rss_kb: u64,
    /// In words, with the numbers that reproduce the input.
    pub faults: Vec<String>,
}

impl Found {
    pub fn add(&mut self, more: Found) {
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

/// Runs batches.
pub struct Runner {
    dir: tempfile::TempDir,
    patience: Duration,
    /// An injected fault at an input, to test the runner.
    planted: Option<String>,
}

impl Runner {
    pub fn new() -> Runner {
        Runner { dir: tempfile::tempdir().expect("a directory"), patience: PATIENCE, planted: None }
    }

    pub fn with(fault: &str, patience: Duration) -> Runner {
        Runner { patience, planted: Some(fault.to_owned()), ..Runner::new() }
    }

    /// Runs a batch, in as many processes as needed.
    pub fn batch(&self, seed: u64, batch: u64) -> Found {
        let mut found = Found::default();
        let mut from = 0;
        while from < size_of(batch) {
            let (more, next) = self.in_a_process(seed, batch, from);
            found.add(more);
            from = next;
        }
        found
    }

    fn in_a_process(&self, seed: u64, batch: u64, from: u64) -> (Found, u64) {
        let path = |name: &str| self.dir.path().join(name);
        let (at, result, said) = (path("at"), path("result"), path("said"));
        fs::write(&at, from.to_le_bytes()).expect("a file");
        let _ = fs::remove_file(&result);
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["one_batch", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .env("TAILBURN_FUZZ_BATCH", format!("{seed} {batch} {from}"))
            .env("TAILBURN_FUZZ_DIR", self.dir.path())
            .env("TAILBURN_FUZZ_PLANTED", self.planted.as_deref().unwrap_or_default())
            .stdout(Stdio::null())
            .stderr(File::create(&said).expect("a file"))
            .spawn()
            .expect("this program starts");
        let child_pid = child.id().to_string();
        let case = || fs::read(&at).ok().and_then(|b| Some(u64::from_le_bytes(b.try_into().ok()?))).unwrap_or(from);
        let used = || cpu(&child_pid);
        // The current input, the processor time at its start, and when the process last used any.
        let (mut last, mut began, mut seen, mut since) = (from, used(), used(), Instant::now());
        let ended = loop {
            if let Some(status) = child.try_wait().expect("its status") {
                break status.success().then_some(()).ok_or_else(|| format!("ended with {status}"));
            }
            let now = used();
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
            if case() != last {
                (last, began, since) = (case(), now, Instant::now());
            } else if now.saturating_sub(began) > self.patience || since.elapsed() > WAITS * self.patience {
                child.kill().expect("it is ended");
                child.wait().expect("its status");
                break Err("came to no end".to_owned());
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
}

/// An injected fault at one input: `KIND INPUT`.
struct Planted {
    kind: String,
    case: u64,
}

impl Planted {
    fn read() -> Option<Planted> {
        let text = std::env::var("TAILBURN_FUZZ_PLANTED").ok()?;
        let (kind, case) = text.split_once(' ')?;
        Some(Planted { kind: kind.to_owned(), case: case.parse().ok()? })
    }

    fn happens(&self, came: &mut Came) {
        match self.kind.as_str() {
            "abort" => std::process::abort(),
            "panic" => panic!("planted"),
            "recursion" => drop(deeper(&[0; 1_024])),
            "forever" => loop {
                std::hint::black_box(());
            },
            "slow" => {
                let until = cpu("self") + CPU_MAX + Duration::from_millis(200);
                while cpu("self") < until {
                    std::hint::black_box((0..10_000u64).fold(0, |a, b| a ^ b));
                }
            }
            "sleep" => std::thread::sleep(CPU_MAX + Duration::from_millis(200)),
            "memory" => drop(std::hint::black_box(vec![1u8; (RSS_MAX_KB as usize + 1) * 1_024])),
            "lost" => came.given += 1,
            other => panic!("{other}: no such fault"),
        }
    }
}

#[expect(unconditional_recursion, reason = "a stack that overflows")]
fn deeper(bytes: &[u8; 1_024]) -> u64 {
    let more = std::hint::black_box(bytes.map(|b| b.wrapping_add(1)));
    deeper(&more) + u64::from(more[0])
}

/// The child process: tries its batch, and reports its position after each input.
pub fn one_batch() {
    let Ok(batch) = std::env::var("TAILBURN_FUZZ_BATCH") else { return };
    let numbers: Vec<u64> = batch.split(' ').map(|n| n.parse().expect("a number")).collect();
    let [seed, batch, from] = numbers[..] else { panic!("seed, batch and first input") };
    let dir = PathBuf::from(std::env::var("TAILBURN_FUZZ_DIR").expect("a directory"));
    tailburn::telemetry::abort_on_panic();
    let at = File::options().write(true).create(true).truncate(false).open(dir.join("at")).expect("a file");
    let (bench, planted) = (Bench::new(kind_of(batch), &dir), Planted::read());
    let mut found = Found::default();
    for case in from..size_of(batch) {
        at.write_at(&case.to_le_bytes(), 0).expect("written");
        let input = bench.input(&mut Chance::of(seed, batch, case));
        if let Ok(path) = std::env::var("TAILBURN_FUZZ_DUMP") {
            fs::write(path, &input).expect("written");
        }
        let judge = || {
            let mut came = bench.judge(&input, case % 512 == 7);
            planted.iter().filter(|planted| planted.case == case).for_each(|planted| planted.happens(&mut came));
            came
        };
        let started = Instant::now();
        let came = judge();
        let mut took = started.elapsed();
        if took > CPU_MAX {
            // Other processes may have used the processor, so only its own time counts.
            let before = cpu("self");
            judge();
            took = cpu("self") - before;
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

/// Processor time of a process. Ticks are of 10 ms on every Linux.
fn cpu(process: &str) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let behind = stat.rsplit(") ").next().unwrap_or_default();
    let ticks: u64 = behind.split(' ').skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn peak_rss_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}
