//! A deterministic simulation of workers: one thread, no clock, all randomness from a seed, and every fault in the table
//! of [`faults`], at any step. All that the workers of a run publish must equal the output of the core for the same log,
//! byte for byte and in order. `tests/broker_model` compares the model of the brokers with real ones. [`by_hand`] has tests
//! without faults that place one event themselves.
//!
//! `TAILBURN_SIM_SEED=N` replays a seed and reports what happened; `TAILBURN_SIM_SEEDS=FROM..TO` runs many, with the
//! ignored test `many_seeds`, and chooses those of the test of changed definitions.
#![expect(clippy::expect_used, reason = "a test that cannot go on has to fail")]
#![expect(
    clippy::disallowed_methods,
    reason = "seeds are chosen by environment variables, and a long run says its pace"
)]

mod backtest;
mod broker;
mod broker_tests;
mod by_hand;
mod change;
mod compare;
mod dice;
mod documents;
mod faults;
mod group;
mod inputs;
mod log;
mod partition;
mod reached;
mod reference;
mod report;
mod run;
mod scenario;
mod stage;
mod store;
mod traffic;
mod world;

use report::{Totals, run_seed, run_seeds};
use scenario::Scenario;
use std::ops::Range;
use std::time::Instant;

/// The seeds of every test run.
const SEEDS: Range<u64> = 0..140;

fn from_environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// The seeds in `TAILBURN_SIM_SEEDS`, or these.
fn range_from_environment(otherwise: Range<u64>) -> Range<u64> {
    let Some(range) = from_environment("TAILBURN_SIM_SEEDS") else { return otherwise };
    let (from, to) = range.split_once("..").expect("TAILBURN_SIM_SEEDS=FROM..TO");
    from.parse().expect("a number")..to.parse().expect("a number")
}

#[test]
fn what_is_published_does_not_depend_on_what_goes_wrong() {
    if let Some(seed) = from_environment("TAILBURN_SIM_SEED") {
        let seed = seed.parse().expect("TAILBURN_SIM_SEED is a number");
        match run_seed(seed) {
            Ok(success) => println!("{}", report::tell(&Scenario::of(seed), &success)),
            Err(report) => panic!("{report}"),
        }
        return;
    }
    let totals = run_seeds(SEEDS);
    println!("{totals}");
    let unseen: Vec<&str> = totals.never_taken().collect();
    assert!(unseen.is_empty(), "no seed has met {unseen:?}");
    assert!(totals.has_seen_enough(), "the seeds do too little: {totals}");
}

#[test]
#[ignore = "as long as one likes: TAILBURN_SIM_SEEDS=FROM..TO"]
fn many_seeds() {
    let Range { start: from, end: to } = range_from_environment(0..5_000);
    let began = Instant::now();
    let totals = run_seeds(from..to);
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    println!("{totals}\n{:.0} seeds a minute", (to - from) as f64 / minutes);
}

/// All state is in the log: state directories are lost often, and the output must still be right.
#[test]
fn a_directory_that_is_lost_after_silences_changes_nothing() {
    for seed in 1_000..1_020 {
        if let Err(report) = report::run_scenario(&Scenario::of(seed).losing_directories()) {
            panic!("with directories that are lost often, {report}");
        }
    }
}

/// A new rule, objective, window, label, filter or `group-by`, a removed and an added SLO: all processes stop, and start
/// with the changed definitions. Everything that the change does not touch is as if the new definitions had always been
/// there.
#[test]
fn a_definition_that_changes_in_the_middle_keeps_its_counts() {
    let mut totals = change::Checked::default();
    for seed in range_from_environment(2_000..2_200) {
        match report::run_scenario(&Scenario::of(seed).changing()) {
            Ok(success) => totals.add(&success.changed),
            Err(report) => panic!("with definitions that change, {report}"),
        }
    }
    println!("{totals:?}");
    let is_whole = from_environment("TAILBURN_SIM_SEEDS").is_none();
    assert!(!is_whole || totals.has_seen_enough(), "the seeds do too little: {totals:?}");
}

#[test]
fn a_seed_decides_everything() {
    for seed in [3, 17, 40] {
        let scenario = Scenario::of(seed);
        let first = run::run(&scenario, scenario.faults_max).map(|s| (s.tally, s.taken)).map_err(|f| f.what);
        let second = run::run(&Scenario::of(seed), scenario.faults_max).map(|s| (s.tally, s.taken)).map_err(|f| f.what);
        assert_eq!(first, second, "seed {seed}");
    }
}

/// A simulation that does nothing must not pass: the totals of no seed are not enough.
#[test]
fn a_run_that_does_nothing_is_no_success() {
    assert!(!Totals::default().has_seen_enough());
}
