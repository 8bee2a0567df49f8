//! Hostile and broken inputs, by the hundred thousand: mutated SLOs, configurations, expressions, JSON, Avro, access
//! logs, archives and HTTP requests. Nothing may abort or hang, memory stays bounded, and accepted records and dead
//! letters add up to the input.
//!
//! Every run of the tests tries a few thousand; `ops/fuzz` tries the given number. Each batch of inputs runs in its own
//! process, so that an abort is detected and the rest continues. Seed, batch and number within the batch determine an
//! input, so each can be reproduced.
#![expect(clippy::expect_used, reason = "a test that cannot go on has to fail")]
#![expect(clippy::disallowed_methods, reason = "hangs are measured in real time, and variables say what to try")]
#![expect(clippy::disallowed_types, reason = "a map that the Avro library takes as a value")]

mod chance;
mod kinds;
mod packed;
mod runner;

use runner::{Found, PATIENCE, Runner, kind_of, number, size_of};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The inputs of a normal test run: a batch of each kind.
const INPUTS: u64 = 3_750;

/// The position of a run, to resume it.
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Run {
    seed: u64,
    next_batch: u64,
    inputs: u64,
    found: BTreeMap<String, Found>,
}

impl Run {
    /// The position at which an earlier run of the seed ended, or the beginning.
    fn read(seed: u64, path: Option<&Path>) -> Run {
        let Some(path) = path.filter(|path| path.exists()) else { return Run { seed, ..Run::default() } };
        let text = fs::read(path).expect("the state is read");
        let run: Run = serde_json::from_slice(&text).expect("the state of an earlier run");
        assert_eq!(run.seed, seed, "{}: of another seed", path.display());
        run
    }

    /// The state is always complete, whatever stops the run.
    fn write(&self, path: &Path) {
        let part = path.with_extension("part");
        fs::write(&part, serde_json::to_vec(self).expect("JSON")).expect("the state is written");
        fs::rename(&part, path).expect("the state is written");
    }
}

#[test]
fn nothing_aborts_or_hangs_and_every_record_is_accounted_for() {
    let (seed, inputs) = (number("TAILBURN_FUZZ_SEED", 1), number("TAILBURN_FUZZ_INPUTS", INPUTS));
    let state = std::env::var("TAILBURN_FUZZ_STATE").ok().map(PathBuf::from);
    let mut run = Run::read(seed, state.as_deref());
    let runner = Runner::new();
    #[expect(clippy::print_stderr, reason = "a run of an hour says where it stands")]
    while run.inputs < inputs {
        let batch = run.next_batch;
        let found = runner.batch(seed, batch);
        run.inputs += found.inputs;
        run.next_batch += 1;
        run.found.entry(kind_of(batch).to_owned()).or_default().add(found);
        if let Some(path) = &state {
            run.write(path);
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

#[test]
#[ignore = "a process of the tests beside it"]
fn one_batch() {
    runner::one_batch();
}

/// The result of a batch of access logs with an injected fault at its fourth input.
fn found_with(fault: &str, patience: Duration) -> Found {
    let batch = (0..).find(|batch| kind_of(*batch) == "access-log").expect("a kind");
    let found = Runner::with(&format!("{fault} 3"), patience).batch(7, batch);
    assert_eq!(found.inputs, size_of(batch), "{fault}: those behind it are tried all the same: {found:?}");
    found
}

#[test]
fn a_process_that_ends_early_is_a_fault_at_its_input() {
    for (fault, says) in
        [("abort", "signal: 6"), ("panic", "panicked at tests/fuzz/runner.rs"), ("recursion", "overflow")]
    {
        let found = found_with(fault, PATIENCE);
        let [said] = &found.faults[..] else { panic!("{fault}: one fault: {found:?}") };
        assert!(said.contains(says) && said.ends_with("(7 5 3)"), "{said}");
    }
}

#[test]
fn two_seconds_of_processor_time_are_a_hang_and_two_of_waiting_are_none() {
    let slow = found_with("slow", PATIENCE).faults;
    assert!(slow.len() == 1 && slow[0].starts_with("access-log: 2") && slow[0].ends_with("ms (7 5 3)"), "{slow:?}");
    let forever = found_with("forever", Duration::from_secs(3)).faults;
    assert!(forever.len() == 1 && forever[0].ends_with("came to no end  (7 5 3)"), "{forever:?}");
    let waits = found_with("sleep", PATIENCE).faults;
    assert!(waits.is_empty(), "{waits:?}");
}

#[test]
fn a_record_that_is_lost_and_memory_without_bounds_are_faults() {
    let lost = found_with("lost", PATIENCE).faults;
    assert!(lost.len() == 1 && lost[0].contains(" dead letters (7 5 3)"), "{lost:?}");
    let memory = found_with("memory", PATIENCE).faults;
    assert!(memory.len() == 1 && memory[0].contains("KB of memory"), "{memory:?}");
}

#[test]
fn a_run_goes_on_where_it_was_stopped() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("fuzz-7.json");
    assert_eq!(Run::read(7, Some(&path)).next_batch, 0, "nothing is there yet");
    let found = Found { inputs: 500, faults: vec!["one".to_owned()], ..Found::default() };
    let run = Run { seed: 7, next_batch: 3, inputs: 1_500, found: BTreeMap::from([("cel".to_owned(), found)]) };
    run.write(&path);
    let again = Run::read(7, Some(&path));
    assert_eq!((again.next_batch, again.inputs, again.found["cel"].faults.len()), (3, 1_500, 1));
}
