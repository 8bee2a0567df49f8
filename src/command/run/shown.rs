//! What a process shows of its workers: the keys of their tasks in the metrics, and their input partitions.
//!
//! The board has the keys of all instances, but a metric that several of them have would be counted several times. If a
//! worker ends and is started again, its keys stay until the new one is ready: an alert that goes on must not disappear
//! for some seconds.

use crate::board::Board;
use crate::command::processor::{Holder, Place, Told};
use crate::model::record::rollup_partition;
use crate::model::time::Ms;
use crate::telemetry::{HeldBack, InputSample, Inputs};
use crate::worker::{Figures, PartitionFigures};
use std::collections::{BTreeMap, BTreeSet};
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
    told: Mutex<Told>,
}

impl Shown {
    pub fn new(board: Arc<Board>, inputs: Arc<Inputs>, workers: u32, rollups: u32) -> Shown {
        let by_worker = Mutex::new(vec![Rollups::default(); workers as usize]);
        Shown { board, inputs, rollups, by_worker, told: Mutex::default() }
    }

    fn change(&self, change: impl FnOnce(&mut Told)) {
        change(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub fn told(&self) -> Told {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the figures of all workers.
    pub fn tell(&self, figures: &Figures) {
        self.change(|told| told.figures = Some(figures.clone()));
    }

    /// Takes the age of a worker's oldest checkpoint, if it has tasks; returns that of all workers.
    pub fn checkpointed(&self, worker: u32, age_ms: Option<Ms>) -> Ms {
        let mut oldest_ms = 0;
        self.change(|told| {
            match age_ms {
                Some(age_ms) => told.checkpoint_age_ms.insert(worker, age_ms),
                None => told.checkpoint_age_ms.remove(&worker),
            };
            oldest_ms = told.checkpoint_age_ms.values().copied().max().unwrap_or(0);
        });
        oldest_ms
    }

    /// Takes the progress of all input partitions, as a worker knows it: best of its own.
    pub fn progressed(&self, partitions: Vec<(Place, PartitionFigures)>, now_ms: Ms) {
        self.change(|told| {
            for (place, figures) in partitions {
                let known = told.partitions.get(&place);
                // A worker beside this one may own it, and knows better.
                if figures.is_ours
                    || known.is_none_or(|known| !known.is_ours || known.watermark_ms < figures.watermark_ms)
                {
                    told.partitions.insert(place, figures);
                }
            }
            let slowest = slowest(&told.partitions).cloned();
            if told.held_back.as_ref().map(|(place, _)| place) != slowest.as_ref() {
                told.held_back = slowest.map(|place| (place, now_ms));
            }
            self.inputs.hold(told.who_holds_back().map(|holder| held_back(&holder)));
        });
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
        own.before.clear();
    }

    /// Whether this process evaluates a key.
    pub fn is_ours(&self, key: &str) -> bool {
        let partition = rollup_partition(key, self.rollups);
        let by_worker = self.by_worker.lock().unwrap_or_else(PoisonError::into_inner);
        by_worker.iter().any(|worker| worker.now.contains(&partition) || worker.before.contains(&partition))
    }

    /// A worker ended, and is started again: nobody knows the lag of its partitions, or who reads them.
    pub fn ended(&self, worker: u32) {
        self.inputs.set(worker, Vec::new());
        self.checkpointed(worker, None);
        let mut by_worker = self.by_worker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = by_worker.get_mut(worker as usize) {
            own.before.append(&mut own.now);
        }
    }
}

fn held_back(holder: &Holder<'_>) -> HeldBack {
    let (topic, partition) = holder.place.clone();
    HeldBack { topic, partition, reason: holder.reason(), behind_ms: holder.behind_ms, since_ms: holder.since_ms }
}

/// The partition that T waits for, if it waits for one more than for others.
fn slowest(partitions: &BTreeMap<Place, PartitionFigures>) -> Option<&Place> {
    let holding = || partitions.iter().filter(|(_, figures)| !figures.is_idle);
    let (place, slowest) = holding().min_by_key(|(_, figures)| figures.watermark_ms)?;
    let is_behind = partitions.values().any(|figures| figures.watermark_ms > slowest.watermark_ms);
    is_behind.then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLLUPS: u32 = 4;

    fn shown() -> Shown {
        Shown::new(Arc::default(), Arc::default(), 2, ROLLUPS)
    }

    /// The rollup partitions whose keys are shown.
    fn partitions(shown: &Shown) -> BTreeSet<u32> {
        let keys = (0..200).map(|n| format!("slo{n}|aggregate"));
        keys.filter(|key| shown.is_ours(key)).map(|key| rollup_partition(&key, ROLLUPS)).collect()
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

    #[test]
    fn what_workers_told_last_is_what_is_shown() {
        let shown = shown();
        shown.tell(&Figures { keys: 7, ..Figures::default() });
        assert_eq!(shown.checkpointed(1, Some(30)), 30);
        assert_eq!(shown.checkpointed(0, Some(5)), 30, "the other worker's is older");
        shown.ended(1);
        assert_eq!(shown.checkpointed(0, Some(6)), 6, "who ended has none");
        let told = shown.told();
        assert_eq!(told.figures.map(|figures| figures.keys), Some(7));
        assert_eq!(told.checkpoint_age_ms, BTreeMap::from([(0, 6)]));
        assert_eq!(shown.board.fill().keys, 0, "the board is fed by others");
    }

    fn partition(number: u32, watermark_ms: Option<Ms>, is_idle: bool) -> (Place, PartitionFigures) {
        let (has_read, is_at_end, is_ours, lag) = (watermark_ms.is_some(), false, true, None);
        let figures = PartitionFigures { source: number, watermark_ms, has_read, is_at_end, is_idle, is_ours, lag };
        (("t".to_owned(), number), figures)
    }

    #[test]
    fn what_holds_time_back_is_the_slowest_that_is_not_passed_over_since_it_became_that() {
        let shown = shown();
        let held_back = |at_ms: Ms, watermarks: [Option<Ms>; 3]| {
            let of = |(n, watermark_ms): (u32, Option<Ms>)| partition(n, watermark_ms, n == 2);
            shown.progressed((0..).zip(watermarks).map(of).collect(), at_ms);
            shown.told().held_back.map(|((_, number), since_ms)| (number, since_ms))
        };
        assert_eq!(held_back(1, [Some(50), Some(60), Some(10)]), Some((0, 1)), "the third is idle");
        let text = shown.inputs.text();
        let line = r#"tailburn_held_back_seconds{topic="t",partition="0",reason="not_read_yet"} 0.01"#;
        assert!(text.lines().any(|found| found == line), "{text}");
        assert_eq!(held_back(2, [Some(55), Some(60), Some(10)]), Some((0, 1)));
        assert_eq!(held_back(3, [Some(70), Some(60), Some(10)]), Some((1, 3)));
        assert_eq!(held_back(4, [Some(70), None, Some(10)]), Some((1, 3)), "nothing was read from it since");
        assert_eq!(held_back(5, [Some(70), Some(70), Some(10)]), None, "both are as far");
        assert!(!shown.inputs.text().contains("tailburn_held_back"), "{}", shown.inputs.text());
    }
}
