//! Compares the simulation's model of the brokers with real Kafka, because the simulation is only as good as its model.
//!
//! Random histories of producers, transactions, members and offsets are played to both. Their answers and all that
//! clients can see must be equal, offset by offset (transaction markers take an offset, too).
//!
//! Not played: delayed requests and markers that reach partitions one by one (a test cannot control when a broker does
//! this), and compaction (a broker does it rarely).
//!
//! `TAILBURN_MODEL_SEEDS=FROM..TO` plays other histories than the default ones.
#![cfg(feature = "kafka")]
#![expect(clippy::expect_used, reason = "a test that cannot go on has to fail")]
#![expect(clippy::disallowed_methods, reason = "brokers need time, and an environment variable names the histories")]

#[allow(dead_code, reason = "the simulation's own")]
#[path = "../simulation/broker.rs"]
mod broker;
#[allow(dead_code, reason = "the simulation's own")]
#[path = "../simulation/dice.rs"]
mod dice;
#[allow(dead_code, reason = "the simulation's own")]
#[path = "../simulation/group.rs"]
mod group;
mod history;
#[allow(dead_code, reason = "shared with the tests of the log")]
#[path = "../kafka/broker.rs"]
mod kafka;
#[allow(dead_code, reason = "the simulation's own")]
#[path = "../simulation/partition.rs"]
mod partition;
mod real;

use history::History;
use kafka::Broker;

const SEEDS: std::ops::Range<u64> = 0..3;
/// The number of operations in a history.
const LENGTH: usize = 100;

fn seeds() -> std::ops::Range<u64> {
    let Ok(range) = std::env::var("TAILBURN_MODEL_SEEDS") else { return SEEDS };
    let (from, to) = range.split_once("..").expect("TAILBURN_MODEL_SEEDS=FROM..TO");
    from.parse().expect("a number")..to.parse().expect("a number")
}

#[test]
fn the_model_answers_as_a_broker_does() {
    let Some(broker) = Broker::shared() else { return };
    let mut all = history::Seen::default();
    for seed in seeds() {
        let seen = History::play(seed, LENGTH, broker.bootstrap());
        println!("seed {seed}: {seen}");
        all.add(&seen);
    }
    println!("in all: {all}");
    let unseen: Vec<&str> = all.unseen().collect();
    assert!(unseen.is_empty(), "no history met {unseen:?}");
}
