//! Sparse DDSketch: logarithmic bins with integer weights that add and subtract exactly.
//!
//! Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
//! guarantees", VLDB 2019. The mapping is the one of `sketches-ddsketch` (floor of the logarithm
//! to base gamma) with `libm` in place of the platform's logarithm, so that every machine puts a
//! value into the same bin. The bins are not collapsed: they can be subtracted when a slice expires.

use std::sync::OnceLock;

/// Relative accuracy of every value read back.
pub const RELATIVE_ACCURACY: f64 = 0.01;
/// The bin of values that are zero or below.
pub const ZERO_BIN: i16 = i16::MIN;
/// Bins outside this range are clamped: about 1e-12 to 1e12 at 1 %, far beyond any latency in milliseconds.
const BIN_LIMIT: f64 = 1_400.0;

struct Mapping {
    gamma: f64,
    gamma_ln: f64,
}

fn mapping() -> &'static Mapping {
    static MAPPING: OnceLock<Mapping> = OnceLock::new();
    MAPPING.get_or_init(|| {
        let gamma = sketches_ddsketch::Config::new(RELATIVE_ACCURACY, 2_048, 1.0e-9).gamma;
        Mapping { gamma, gamma_ln: libm::log(gamma) }
    })
}

/// The bin of a value.
#[inline]
pub fn bin_of(value: f64) -> i16 {
    if value <= 0.0 {
        return ZERO_BIN;
    }
    libm::floor(libm::log(value) / mapping().gamma_ln).clamp(-BIN_LIMIT, BIN_LIMIT) as i16
}

/// The value that stands for a bin, within [`RELATIVE_ACCURACY`] of every value in it.
pub fn value_of(bin: i16) -> f64 {
    if bin == ZERO_BIN {
        return 0.0;
    }
    let m = mapping();
    libm::exp(f64::from(bin) * m.gamma_ln) * (2.0 * m.gamma / (1.0 + m.gamma))
}

/// Bins in ascending order with their weights.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sketch {
    bins: Vec<(i16, u64)>,
}

impl Sketch {
    /// Builds a sketch from bins in any order; equal bins are added up.
    pub fn from_unsorted(mut bins: Vec<(i16, u64)>) -> Sketch {
        bins.sort_unstable_by_key(|(bin, _)| *bin);
        bins.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 = kept.1.saturating_add(next.1);
            }
            same
        });
        Sketch { bins }
    }

    /// Builds a sketch from bins in ascending order, each once.
    pub fn from_sorted(bins: Vec<(i16, u64)>) -> Sketch {
        debug_assert!(bins.is_sorted_by(|a, b| a.0 < b.0), "bins ascend");
        Sketch { bins }
    }

    pub fn is_empty(&self) -> bool {
        self.bins.is_empty()
    }

    pub fn bins(&self) -> &[(i16, u64)] {
        &self.bins
    }

    pub fn add(&mut self, other: &Sketch) {
        self.combine(other, u64::saturating_add);
    }

    /// Subtracts what was added before.
    pub fn subtract(&mut self, other: &Sketch) {
        self.combine(other, u64::saturating_sub);
        self.bins.retain(|(_, weight)| *weight > 0);
    }

    fn combine(&mut self, other: &Sketch, with: fn(u64, u64) -> u64) {
        let mut at = 0;
        let mut missing = 0;
        for &(bin, weight) in &other.bins {
            // Mostly the wanted bin is the next one; only otherwise a search is needed.
            let near = self.bins[at..].iter().take(4).take_while(|(b, _)| *b < bin).count();
            at += near;
            if near == 4 {
                at += self.bins[at..].partition_point(|(b, _)| *b < bin);
            }
            match self.bins.get_mut(at) {
                Some(own) if own.0 == bin => own.1 = with(own.1, weight),
                _ => missing += 1,
            }
        }
        if missing > 0 {
            self.insert_missing(other, missing, with);
        }
    }

    fn insert_missing(&mut self, other: &Sketch, missing: usize, with: fn(u64, u64) -> u64) {
        let mut merged = Vec::with_capacity(self.bins.len() + missing);
        let mut own = self.bins.iter().copied().peekable();
        for &(bin, weight) in &other.bins {
            while let Some(next) = own.next_if(|(b, _)| *b < bin) {
                merged.push(next);
            }
            match own.next_if(|(b, _)| *b == bin) {
                Some(same) => merged.push(same),
                None => merged.push((bin, with(0, weight))),
            }
        }
        merged.extend(own);
        self.bins = merged;
    }

    pub fn total(&self) -> u128 {
        self.bins.iter().map(|(_, w)| u128::from(*w)).sum()
    }

    /// The value at the quantile `per_mille / 1000`: the first bin at which the weight so far exceeds
    /// that share of all weight (the 0-based rank `floor(q n)` of the contract where weights are 1).
    pub fn quantile(&self, per_mille: u128) -> Option<f64> {
        let total = self.total();
        let mut below: u128 = 0;
        for &(bin, weight) in &self.bins {
            below += u128::from(weight);
            if below * 1_000 > total * per_mille {
                return Some(value_of(bin));
            }
        }
        self.bins.last().map(|(bin, _)| value_of(*bin))
    }
}

/// Up to this many weights are kept as a list; more get an array of bins.
const GATHERED_SINGLY: usize = 512;
/// The bins of [`bin_of`], that of zero first.
const BINS: usize = 2 * BIN_LIMIT as usize + 2;

/// Weights collected for a sketch: a list while they are few, then an array of all bins.
#[derive(Clone, Debug, Default)]
pub struct SketchBuilder {
    few: Vec<(i16, u64)>,
    all: Option<Box<[u64]>>,
}

impl SketchBuilder {
    #[inline]
    pub fn add(&mut self, bin: i16, weight: u64) {
        match &mut self.all {
            Some(all) => add_at(all, bin, weight),
            None if self.few.len() < GATHERED_SINGLY => self.few.push((bin, weight)),
            None => self.spread(bin, weight),
        }
    }

    #[cold]
    fn spread(&mut self, bin: i16, weight: u64) {
        let mut all = vec![0; BINS].into_boxed_slice();
        self.few.drain(..).for_each(|(bin, weight)| add_at(&mut all, bin, weight));
        add_at(&mut all, bin, weight);
        self.all = Some(all);
    }

    pub fn into_sketch(self) -> Sketch {
        let Some(all) = self.all else { return Sketch::from_unsorted(self.few) };
        let filled = all.iter().enumerate().filter(|(_, weight)| **weight > 0);
        Sketch { bins: filled.map(|(at, weight)| (bin_at(at), *weight)).collect() }
    }
}

#[inline]
fn add_at(all: &mut [u64], bin: i16, weight: u64) {
    let at = if bin == ZERO_BIN { 0 } else { (i32::from(bin) + BIN_LIMIT as i32 + 1) as usize };
    if let Some(sum) = all.get_mut(at) {
        *sum = sum.saturating_add(weight);
    }
}

fn bin_at(at: usize) -> i16 {
    if at == 0 { ZERO_BIN } else { (at as i32 - 1 - BIN_LIMIT as i32) as i16 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[f64]) -> Sketch {
        Sketch::from_unsorted(values.iter().map(|v| (bin_of(*v), 1)).collect())
    }

    #[test]
    fn an_empty_sketch_has_no_quantile_and_zero_is_exact() {
        assert_eq!(Sketch::default().quantile(500), None);
        assert_eq!(of(&[0.0, 0.0]).quantile(990), Some(0.0));
    }

    /// Few or many, zeros and extremes among them: the same sketch.
    #[test]
    fn gathering_is_the_same_as_sorting() {
        for count in [0, 1, GATHERED_SINGLY, GATHERED_SINGLY + 1, 4_000] {
            let values = (0..count).map(|i| [0.0, 1e-300, 1e300, i as f64, 1.0 / (i as f64 + 1.0)][i % 5]);
            let bins: Vec<(i16, u64)> = values.map(|v| (bin_of(v), 3)).collect();
            let mut gathering = SketchBuilder::default();
            bins.iter().for_each(|(bin, weight)| gathering.add(*bin, *weight));
            assert_eq!(gathering.into_sketch(), Sketch::from_unsorted(bins), "{count}");
        }
    }

    proptest! {
        #[test]
        fn values_come_back_within_the_accuracy(v in 1e-6f64..1e9) {
            let back = value_of(bin_of(v));
            prop_assert!((back - v).abs() <= RELATIVE_ACCURACY * v * 1.000_001, "{v} came back as {back}");
        }

        #[test]
        fn bins_are_those_of_the_library(v in 1e-6f64..1e9) {
            let library = sketches_ddsketch::Config::new(RELATIVE_ACCURACY, 2_048, 1.0e-9);
            // At the very edge of a bin two logarithms may differ in the last bit.
            prop_assert!((library.key(v) - i32::from(bin_of(v))).abs() <= 1);
            prop_assert!((library.value(library.key(v)) - value_of(bin_of(v))).abs() <= 0.021 * v);
        }

        #[test]
        fn subtracting_what_was_added_changes_nothing(
            a in prop::collection::vec(1e-3f64..1e5, 0..60),
            b in prop::collection::vec(1e-3f64..1e5, 0..60),
        ) {
            let mut sum = of(&a);
            sum.add(&of(&b));
            prop_assert_eq!(sum.total(), (a.len() + b.len()) as u128);
            sum.subtract(&of(&b));
            prop_assert_eq!(sum, of(&a));
        }

        #[test]
        fn quantiles_are_within_the_accuracy_of_the_exact_rank(
            mut values in prop::collection::vec(1e-3f64..1e5, 1..200), per_mille in 0u128..1000,
        ) {
            let got = of(&values).quantile(per_mille).unwrap_or(f64::NAN);
            values.sort_by(f64::total_cmp);
            let rank = ((values.len() as u128 * per_mille / 1_000) as usize).min(values.len() - 1);
            let exact = values[rank];
            prop_assert!((got - exact).abs() <= RELATIVE_ACCURACY * exact * 1.000_001, "{got} for {exact}");
        }
    }
}
