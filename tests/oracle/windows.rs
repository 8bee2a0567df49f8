//! A key's events by 10-second slice of event time, and the sums of any window.
//!
//! Every window starts at a multiple of 10 s, so a window is a suffix of the slices: a Fenwick tree gives its sum
//! without a running total that could drift.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::time::{PANE_MS, floor_to, window_start};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub good_micros: i64,
    pub bad_micros: i64,
    pub good: i64,
    pub bad: i64,
    pub unclassified: i64,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.good_micros += other.good_micros;
        self.bad_micros += other.bad_micros;
        self.good += other.good;
        self.bad += other.bad;
        self.unclassified += other.unclassified;
    }

    pub fn events(&self) -> i64 {
        self.good + self.bad
    }

    pub fn weight_micros(&self) -> i64 {
        self.good_micros + self.bad_micros
    }
}

/// The slices of a run: all keys count them from the same origin.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    origin_ms: i64,
    pub slices: usize,
}

impl Axis {
    pub fn new(first_ms: i64, last_ms: i64) -> Self {
        let origin_ms = floor_to(first_ms, PANE_MS);
        Self { origin_ms, slices: ((last_ms - origin_ms) / PANE_MS) as usize + 1 }
    }

    pub fn start_ms(&self, slice: usize) -> i64 {
        self.origin_ms + slice as i64 * PANE_MS
    }

    /// The slice of a time; a time before the origin is in the first slice, because there is nothing before it.
    pub fn slice(&self, time_ms: i64) -> usize {
        ((time_ms - self.origin_ms).max(0) / PANE_MS) as usize
    }
}

/// Sums over suffixes of the slices.
pub struct Suffixes<T> {
    nodes: Vec<T>,
}

pub trait Addable: Copy + Default {
    fn plus(&mut self, other: &Self);
}

impl Addable for Sums {
    fn plus(&mut self, other: &Self) {
        self.add(other);
    }
}

impl Addable for i64 {
    fn plus(&mut self, other: &Self) {
        *self += other;
    }
}

impl<T: Addable> Suffixes<T> {
    pub fn new(axis: Axis) -> Self {
        Self::of(axis.slices)
    }

    pub fn of(slices: usize) -> Self {
        Self { nodes: vec![T::default(); slices + 1] }
    }

    pub fn add(&mut self, slice: usize, value: &T) {
        let mut node = slice + 1;
        while node > 0 {
            self.nodes[node].plus(value);
            node &= node - 1;
        }
    }

    /// The sum of `slice` and all slices after it.
    pub fn from(&self, slice: usize) -> T {
        let mut sum = T::default();
        let mut node = slice + 1;
        while node < self.nodes.len() {
            sum.plus(&self.nodes[node]);
            node += node & node.wrapping_neg();
        }
        sum
    }
}

/// The sums of one key. Results since its last event are cached, because most boundaries bring nothing new.
pub struct History {
    pub axis: Axis,
    sums: Suffixes<Sums>,
    asked: RefCell<BTreeMap<usize, Sums>>,
}

impl History {
    const ASKED_MAX: usize = 256;

    pub fn new(axis: Axis) -> Self {
        Self { axis, sums: Suffixes::new(axis), asked: RefCell::default() }
    }

    pub fn add(&mut self, slice: usize, value: &Sums) {
        self.sums.add(slice, value);
        self.asked.get_mut().clear();
    }

    pub fn window(&self, at_ms: i64, window_ms: i64) -> Sums {
        self.since(window_start(at_ms, window_ms))
    }

    /// Of the times `[start, end)`, which are whole slices.
    pub fn between(&self, start_ms: i64, end_ms: i64) -> Sums {
        if end_ms == i64::MAX {
            return self.since(start_ms);
        }
        let (since, later) = (self.since(start_ms), self.since(end_ms));
        Sums {
            good_micros: since.good_micros - later.good_micros,
            bad_micros: since.bad_micros - later.bad_micros,
            good: since.good - later.good,
            bad: since.bad - later.bad,
            unclassified: since.unclassified - later.unclassified,
        }
    }

    pub fn since(&self, start_ms: i64) -> Sums {
        // Behind the last slice there is nothing.
        if start_ms > self.axis.start_ms(self.axis.slices - 1) {
            return Sums::default();
        }
        let start = self.axis.slice(start_ms);
        let mut asked = self.asked.borrow_mut();
        if asked.len() > Self::ASKED_MAX {
            asked.clear();
        }
        *asked.entry(start).or_insert_with(|| self.sums.from(start))
    }
}

#[test]
fn a_suffix_holds_its_own_slice_and_all_later_ones() {
    let axis = Axis::new(5_000, 300_000);
    let mut suffixes = Suffixes::<i64>::new(axis);
    let values: Vec<i64> = (0..axis.slices as i64).map(|i| (i * 37) % 11).collect();
    for (slice, value) in values.iter().enumerate() {
        suffixes.add(slice, value);
    }
    for slice in 0..=axis.slices {
        assert_eq!(suffixes.from(slice), values[slice..].iter().sum::<i64>());
    }
}
