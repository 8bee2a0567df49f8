//! The program as a black box under faults: it runs as processes against a real broker, is killed and paused, and loses
//! its disk, its broker and its neighbours; its output is compared record by record with an undisturbed backtest of the
//! same input.
//!
//! `ops/faults` plays the scenarios of [`scenarios`]; every run of the tests plays a short one.
#![cfg(feature = "kafka")]
#![expect(clippy::expect_used, reason = "a test that cannot go on has to fail")]
#![expect(clippy::disallowed_methods, reason = "faults strike in real time, and variables say which")]

mod answers;
mod autopsy;
#[allow(dead_code, reason = "shared with the tests of the log")]
#[path = "../kafka/broker.rs"]
mod broker;
mod compare;
mod dice;
mod feeder;
mod fleet;
mod options;
mod outsider;
mod play;
mod report;
mod scenarios;
mod stage;
mod strikes;
mod traffic;

use broker::Broker;
use options::Options;
use play::{Outcome, play, play_or_complain};

/// The number of instances in the short scenario.
const INSTANCES: usize = 2;

#[test]
fn about_ten_kills_change_nothing() {
    let Some(broker) = Broker::shared() else { return };
    let scenario = scenarios::named("short").expect("the short scenario");
    let options = Options { scenario: None, seed: seed(), kills: 10, minutes: None, instances: INSTANCES };
    eprintln!("seed {}", options.seed);
    let outcome = play(scenario, &options, &broker);
    let is_well = outcome.is_well();
    let table = report::table(&[outcome]);
    eprintln!("{table}");
    assert!(is_well, "{table}");
}

/// A different one in each run of the tests.
fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
    now.as_millis() as u64
}

#[test]
#[ignore = "minutes to hours: ops/faults plays them"]
fn scenarios_by_name() {
    let options = Options::from_env();
    let Some(broker) = Broker::shared() else { return };
    let chosen = scenarios::ALL.iter().filter(|s| options.scenario.as_deref().is_none_or(|name| name == s.name));
    let outcomes: Vec<Outcome> = chosen.map(|scenario| play_or_complain(scenario, &options, &broker)).collect();
    println!("\nseed {}, {} instances\n\n{}", options.seed, options.instances, report::table(&outcomes));
    assert!(!outcomes.is_empty(), "no scenario is named {:?}; there are:\n{}", options.scenario, report::list());
    assert!(outcomes.iter().all(Outcome::is_well), "not all is well");
}

/// Shows that the comparison can find mistakes.
#[test]
#[ignore = "half a minute: ops/faults --self-check"]
fn what_was_forged_is_seen() {
    let Some(broker) = Broker::shared() else { return };
    let options = Options { instances: 1, ..Options::from_env() };
    let outcome = play(&scenarios::FORGED, &options, &broker);
    let verdict = &outcome.verdict;
    assert_eq!((verdict.lost, verdict.doubled, verdict.torn), (0, 1, 0), "{verdict}");
}

#[test]
#[ignore = "prints the scenarios"]
fn list() {
    print!("{}", report::list());
}
