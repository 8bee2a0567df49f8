//! What a process shows of its workers over HTTP: the keys of their tasks, and their input partitions.
//!
//! If a worker ends and is started again, its keys stay on the board until the new one is ready: an alert that goes on
//! must not disappear for some seconds. Then the keys of tasks that this process no longer has are removed.

use crate::http::Board;
use crate::model::record::rollup_partition;
use crate::telemetry::{InputSample, Inputs};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The rollup partitions of one worker.
#[derive(Clone, Default)]
struct Rollups {
    now: BTreeSet<u32>,
    /// Those of workers that it replaces, until it is ready.
    before: BTreeSet<u32>,
}

pub struct Shown {
    pub board: Arc<Board>,
    pub inputs: Arc<Inputs>,
    /// The number of all rollup partitions.
    rollups: u32,
    by_worker: Mutex<Vec<Rollups>>,
}

impl Shown {
    pub fn new(board: Arc<Board>, inputs: Arc<Inputs>, workers: u32, rollups: u32) -> Shown {
        let by_worker = Mutex::new(vec![Rollups::default(); workers as usize]);
        Shown { board, inputs, rollups, by_worker }
    }

    /// Takes what a worker has now.
    pub fn report(&self, worker: u32, inputs: Vec<InputSample>, rollups: BTreeSet<u32>, is_ready: bool) {
        self.inputs.set(worker, inputs);
        let mut by_worker = self.by_worker.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(own) = by_worker.get_mut(worker as usize) else { return };
        own.now = rollups;
        if !is_ready || own.before.is_empty() {
            return;
        }
        let mut gone = std::mem::take(&mut own.before);
        gone.retain(|partition| by_worker.iter().all(|worker| !worker.now.contains(partition)));
        self.board.retain(|key| !gone.contains(&rollup_partition(key, self.rollups)));
    }

    /// A worker ended, and is started again: nobody knows the lag of its partitions, or who reads them.
    pub fn ended(&self, worker: u32) {
        self.inputs.set(worker, Vec::new());
        let mut by_worker = self.by_worker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = by_worker.get_mut(worker as usize) {
            own.before.append(&mut own.now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Update;

    const ROLLUPS: u32 = 4;

    /// A process with a key of every rollup partition on its board.
    fn shown() -> Shown {
        let shown = Shown::new(Arc::default(), Arc::default(), 2, ROLLUPS);
        let slos = (0..200).map(|n| format!("slo{n}"));
        let status = |slo: String| Update::Status { key: format!("{slo}|aggregate"), json: b"{}".to_vec() };
        shown.board.publish(slos.map(status));
        shown
    }

    /// The rollup partitions whose keys are shown.
    fn partitions(shown: &Shown) -> BTreeSet<u32> {
        let key = |slo: &String| rollup_partition(&format!("{slo}|aggregate"), ROLLUPS);
        shown.board.keys().keys().map(key).collect()
    }

    fn input() -> InputSample {
        InputSample { topic: "t".to_owned(), partition: 0, lag: Some(7), watermark_ms: Some(1_000), is_idle: false }
    }

    #[test]
    fn a_worker_that_comes_back_with_fewer_tasks_shows_only_theirs_once_it_is_ready() {
        let shown = shown();
        shown.report(0, vec![input()], BTreeSet::from([0, 1, 2]), true);
        shown.report(1, Vec::new(), BTreeSet::from([3]), true);
        assert_eq!(partitions(&shown), BTreeSet::from([0, 1, 2, 3]));
        shown.ended(0);
        shown.report(0, vec![input()], BTreeSet::from([1]), false);
        assert_eq!(partitions(&shown), BTreeSet::from([0, 1, 2, 3]), "it is not ready yet");
        // The other worker of the process got one of its tasks.
        shown.report(1, Vec::new(), BTreeSet::from([2, 3]), true);
        shown.report(0, vec![input()], BTreeSet::from([1]), true);
        assert_eq!(partitions(&shown), BTreeSet::from([1, 2, 3]));
    }

    #[test]
    fn a_worker_that_ends_twice_before_it_is_ready_forgets_nothing() {
        let shown = shown();
        shown.report(0, Vec::new(), BTreeSet::from([0, 1, 2, 3]), true);
        shown.ended(0);
        shown.report(0, Vec::new(), BTreeSet::from([0]), false);
        shown.ended(0);
        shown.report(0, Vec::new(), BTreeSet::new(), true);
        assert_eq!(partitions(&shown), BTreeSet::new());
    }

    #[test]
    fn a_worker_that_ended_has_no_lag_and_no_watermark() {
        let shown = shown();
        shown.report(0, vec![input()], BTreeSet::new(), true);
        assert!(shown.inputs.text().contains("tailburn_input_lag_records{topic=\"t\",partition=\"0\"} 7"));
        shown.ended(0);
        assert_eq!(shown.inputs.text(), "");
    }
}
