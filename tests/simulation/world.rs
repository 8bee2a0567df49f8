//! The state that all processes of a simulation share: the brokers, the time, the faults, and the order of reads.

use crate::broker::Broker;
use crate::dice::Dice;
use crate::faults::{Fault, Faults};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use tailburn::log::Stream;
use tailburn::model::time::{Ms, Now};

pub struct World {
    pub broker: Broker,
    pub faults: Faults,
    /// Randomness that is not a fault, such as the order in which partitions are read.
    pub reading: Dice,
    /// The error of the machine's wall clock.
    pub clock_error_ms: Ms,
    pub silent_until_ms: Ms,
    /// Input partitions that return no records until then, although they have some.
    pub stalled: BTreeMap<Stream, Ms>,
    /// How long input partitions waited for their readers.
    pub waits: Waits,
    /// The most records of a partition in one poll.
    pub batch: u64,
    pub violations: Vec<String>,
    pub tally: Tally,
}

/// By input partition: the first offset that nobody has read yet, and the longest time that a record waited until it was
/// read for the first time. Readers are slow if polls are rare and small, and nobody reads while a task is restored.
#[derive(Default)]
pub struct Waits(BTreeMap<u32, (i64, Ms)>);

impl Waits {
    /// A record was read, perhaps again.
    pub fn read(&mut self, source: u32, offset: i64, arrived_ms: Ms, now_ms: Ms) {
        let (next, longest_ms) = self.0.entry(source).or_default();
        if offset >= *next {
            *next = offset + 1;
            *longest_ms = now_ms.saturating_sub(arrived_ms).max(*longest_ms);
        }
    }

    /// Whether a record of the partition waited this long.
    pub fn reached(&self, source: u32, ms: Ms) -> bool {
        self.0.get(&source).is_some_and(|(_, longest_ms)| *longest_ms >= ms)
    }
}

/// Counts of what happened in a run, to check that enough happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub turns: u64,
    pub workers: u64,
    pub crashes: u64,
    pub commits: u64,
    pub aborts: u64,
    pub flushes: u64,
    pub replayed: u64,
    /// Reads of rows that were not in memory.
    pub cold_reads: u64,
    pub restores: u64,
    pub restored: u64,
    pub wiped: u64,
    pub revoked: u64,
    pub expelled: u64,
    pub moved: u64,
    pub purges: u64,
    /// Blocks of the changelog that were replaced by a new image.
    pub replaced: u64,
    pub compacted: u64,
}

impl World {
    pub fn now_ms(&self) -> Ms {
        self.broker.now_ms
    }

    /// The time of the machine's clocks. Only the wall clock can be wrong.
    pub fn now(&self) -> Now {
        Now { wall_ms: self.broker.now_ms + self.clock_error_ms, steady_ms: self.broker.now_ms }
    }

    pub fn is_silent(&self) -> bool {
        self.now_ms() < self.silent_until_ms
    }

    pub fn is_stalled(&self, stream: Stream) -> bool {
        self.stalled.get(&stream).is_some_and(|until_ms| self.now_ms() < *until_ms)
    }

    pub fn violated(&mut self, rule: String) {
        self.violations.push(rule);
    }
}

pub type Shared = Rc<RefCell<World>>;

/// Whether a process is alive. A dead process has no effect on the world any more.
#[derive(Clone, Default)]
pub struct Life(Rc<Cell<bool>>);

impl Life {
    pub fn is_over(&self) -> bool {
        self.0.get()
    }

    pub fn end(&self) {
        self.0.set(true);
    }

    /// Whether the process dies here (or is dead already).
    pub fn dies(&self, faults: &mut Faults, fault: Fault) -> bool {
        if !self.is_over() && faults.strikes(fault) {
            self.end();
        }
        self.is_over()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_read_again_did_not_wait_until_then() {
        let mut waits = Waits::default();
        waits.read(1, 7, 1_000, 3_000);
        waits.read(1, 7, 1_000, 90_000);
        assert!(waits.reached(1, 2_000) && !waits.reached(1, 2_001) && !waits.reached(0, 0));
        waits.read(1, 8, 1_000, 90_000);
        assert!(waits.reached(1, 89_000));
    }
}
