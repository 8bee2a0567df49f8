//! Exact weighted quantiles of latencies over the windows of a status.
//!
//! Every latency of the run has a rank; a window is a Fenwick tree of weights by rank, from which expired slices are
//! subtracted. No sketch, no rounding: the program may differ by the error that the contract allows for a sketch.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::windows::Axis;

const QUANTILES: [(&str, i128); 3] = [("p50", 500), ("p95", 950), ("p99", 990)];

/// A latency of the run, by its place among all distinct ones.
pub type Rank = u32;

pub struct Latencies {
    of_slice: BTreeMap<usize, Vec<(Rank, i64)>>,
    windows: Vec<Window>,
}

struct Window {
    first_slice: usize,
    weights: Vec<i64>,
    total: i64,
}

impl Latencies {
    pub fn new(windows: usize, ranks: usize) -> Self {
        let window = || Window { first_slice: 0, weights: vec![0; ranks + 1], total: 0 };
        Self { of_slice: BTreeMap::new(), windows: (0..windows).map(|_| window()).collect() }
    }

    pub fn see(&mut self, slice: usize, rank: Rank, weight_micros: i64) {
        self.of_slice.entry(slice).or_default().push((rank, weight_micros));
        for window in self.windows.iter_mut().filter(|w| slice >= w.first_slice) {
            window.add(rank, weight_micros);
        }
    }

    /// The quantiles of each window, which now starts at the given time.
    pub fn quantiles(&mut self, axis: Axis, starts_ms: &[i64], latencies_ms: &[f64]) -> Vec<Value> {
        for (window, start_ms) in self.windows.iter_mut().zip(starts_ms) {
            let first_slice = axis.slice(*start_ms).max(window.first_slice);
            for (rank, weight) in self.of_slice.range(window.first_slice..first_slice).flat_map(|(_, of)| of) {
                window.add(*rank, -weight);
            }
            window.first_slice = first_slice;
        }
        let fields = |window: &Window| {
            let of = |(name, per_mille): (&str, i128)| {
                (name.to_owned(), json!(window.rank_at(per_mille).map(|rank| latencies_ms[rank])))
            };
            QUANTILES.into_iter().map(of).collect::<serde_json::Map<_, _>>()
        };
        self.windows.iter().map(|w| Value::Object(fields(w))).collect()
    }
}

impl Window {
    fn add(&mut self, rank: Rank, weight: i64) {
        self.total += weight;
        let mut node = rank as usize + 1;
        while node < self.weights.len() {
            self.weights[node] += weight;
            node += node & node.wrapping_neg();
        }
    }

    /// The first rank at which the weight so far exceeds that share of all weight.
    fn rank_at(&self, per_mille: i128) -> Option<usize> {
        if self.total == 0 {
            return None;
        }
        let exceeds = |weight: i64| i128::from(weight) * 1_000 > i128::from(self.total) * per_mille;
        let (mut before, mut below) = (0, 0);
        let mut step = self.weights.len().next_power_of_two();
        while step > 0 {
            if before + step < self.weights.len() && !exceeds(below + self.weights[before + step]) {
                before += step;
                below += self.weights[before];
            }
            step /= 2;
        }
        Some(before)
    }
}

#[test]
fn a_quantile_is_the_first_value_at_which_the_weight_exceeds_its_share() {
    let latencies = [1.0, 2.0, 3.0, 4.0];
    let axis = Axis::new(0, 100_000);
    let mut of = Latencies::new(2, latencies.len());
    for (slice, rank, weight) in [(0, 0, 5), (1, 1, 1), (2, 3, 1), (3, 2, 3)] {
        of.see(slice, rank, weight);
    }
    let p50 = |of: &mut Latencies, starts: [i64; 2]| -> Vec<Value> {
        of.quantiles(axis, &starts, &latencies).iter().map(|q| q["p50"].clone()).collect()
    };
    // Half of ten is five; the first value reaches it but does not exceed it.
    assert_eq!(p50(&mut of, [0, 10_000]), [json!(2.0), json!(3.0)]);
    assert_eq!(p50(&mut of, [20_000, 90_000]), [json!(3.0), Value::Null]);
}
