//! Gauges: the SLO is about a value, not about shares of events (contract, section 11).
//!
//! A sum of values is an integer: values in units of 1e-6, half to even, times micro-weights. Sums, the smallest, the
//! largest and the last value of two sets of events follow from those of each, whatever their order.

use super::super::key_definition::{Boundary, KeyDefinition};
use super::super::key_view::KeyView;
use super::super::partial::PaneDelta;
use super::drop_before;
use crate::model::output::Gauge as Published;
use crate::model::slo::{Aggregate, GaugeSpec};
use crate::model::time::{DAY_MS, Moment, Ms, PANE_MS, ceil_to, floor_to, slice_ms};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Values are cut off here, so that sums stay exact.
const LARGEST: f64 = 1e15;
/// A trend needs so many days.
const DAYS_MIN: usize = 3;
/// The end of the year 9999.
const LAST_MS: f64 = 253_402_300_799_999.0;

/// The values of a set of events, one at least.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GaugeSum {
    /// The time and value of the event with the largest of both.
    last: (Ms, f64),
    smallest: f64,
    largest: f64,
    /// Values times weights, in units of 1e-12.
    sum: i128,
    /// In micro-weights.
    weight: u128,
}

impl GaugeSum {
    pub fn of(time_ms: Ms, value: f64, weight_micros: u64) -> GaugeSum {
        // Zero has one form, so that equal values are equal bytes.
        let value = value.clamp(-LARGEST, LARGEST) + 0.0;
        GaugeSum {
            last: (time_ms, value),
            smallest: value,
            largest: value,
            sum: libm::rint(value * 1e6) as i128 * i128::from(weight_micros),
            weight: weight_micros.into(),
        }
    }

    pub fn add(&mut self, other: &GaugeSum) {
        let is_later = other.last.0.cmp(&self.last.0).then(other.last.1.total_cmp(&self.last.1)).is_gt();
        if is_later {
            self.last = other.last;
        }
        self.smallest = self.smallest.min(other.smallest);
        self.largest = self.largest.max(other.largest);
        self.sum += other.sum;
        self.weight += other.weight;
    }

    pub fn value(&self, aggregate: Aggregate) -> f64 {
        match aggregate {
            Aggregate::Last => self.last.1,
            Aggregate::Mean => self.sum as f64 / self.weight as f64 / 1e6,
            Aggregate::Min => self.smallest,
            Aggregate::Max => self.largest,
        }
    }
}

/// Adds a sum to one that may be empty.
pub fn add_to(all: &mut Option<GaugeSum>, more: &GaugeSum) {
    match all {
        Some(all) => all.add(more),
        None => *all = Some(*more),
    }
}

/// The values of a key, as far back as its compliance window and the period before reach.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gauges {
    /// By the start of the slice of the compliance window; of a calendar's period by pane.
    slices: BTreeMap<Ms, GaugeSum>,
    /// By the start of the UTC day.
    days: BTreeMap<Ms, GaugeSum>,
}

/// The length of the slices in which values are kept.
fn values_slice_ms(definition: &KeyDefinition<'_>) -> Ms {
    let period = &definition.slo.period;
    // A calendar's period may begin at any pane.
    if period.calendar().is_some() { PANE_MS } else { slice_ms(period.nominal_ms()) }
}

impl Gauges {
    pub fn add(&mut self, definition: &KeyDefinition<'_>, pane: &PaneDelta) {
        let Some(gauge) = &pane.gauge else { return };
        let slice_ms = values_slice_ms(definition);
        self.slices.entry(floor_to(pane.start_ms, slice_ms)).and_modify(|sum| sum.add(gauge)).or_insert(*gauge);
        self.days.entry(floor_to(pane.start_ms, DAY_MS)).and_modify(|sum| sum.add(gauge)).or_insert(*gauge);
    }

    pub fn settle(&mut self, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>) {
        let start_ms = boundary.starts.windows_ms[definition.layout.compliance];
        drop_before(&mut self.slices, start_ms);
        drop_before(&mut self.days, ceil_to(start_ms, DAY_MS));
        self.merge_old(definition, boundary);
    }

    /// Of a calendar's period, panes to which no late event can come are merged into the first of them.
    fn merge_old(&mut self, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>) {
        if boundary.starts.spans.is_none() || boundary.at_ms % DAY_MS != 0 {
            return;
        }
        let old_ms = boundary.at_ms - definition.slo.allowed_lateness_ms - DAY_MS;
        let mut old = std::mem::take(&mut self.slices);
        self.slices = old.split_off(&old_ms);
        if let Some((first_ms, first)) = old.pop_first() {
            let all = old.into_values().fold(first, |mut all, sum| {
                all.add(&sum);
                all
            });
            self.slices.insert(first_ms, all);
        }
    }

    /// The values at hand for slices of time, without counts of events: none where they are kept in longer slices, because
    /// a slice of time would be judged by values of others.
    pub fn panes(&self, from: &KeyDefinition<'_>, to: &KeyDefinition<'_>, at_ms: Ms) -> Vec<PaneDelta> {
        let longest_ms = to.slo.method.slicing().map_or(0, |slicing| slicing.slice_ms);
        if values_slice_ms(from) > longest_ms {
            return Vec::new();
        }
        // Older ones of a calendar's period were merged.
        let merged_ms = floor_to(at_ms, DAY_MS) - from.slo.allowed_lateness_ms - DAY_MS;
        let from_ms = if from.slo.period.calendar().is_some() { merged_ms } else { Ms::MIN };
        let pane = |(start_ms, sum): (&Ms, &GaugeSum)| PaneDelta {
            start_ms: *start_ms,
            gauge: Some(*sum),
            ..PaneDelta::default()
        };
        self.slices.range(from_ms..).map(pane).collect()
    }

    /// The value of the compliance window; `None`: it is empty.
    fn value(&self, aggregate: Aggregate) -> Option<f64> {
        let mut all = None;
        self.slices.values().for_each(|sum| add_to(&mut all, sum));
        all.map(|all| all.value(aggregate))
    }

    /// The least-squares slope through the values of whole days, a day.
    fn trend(&self, aggregate: Aggregate, start_ms: Ms, at_ms: Ms) -> Option<f64> {
        let whole = self.days.range(start_ms..).filter(|(day_ms, _)| **day_ms + DAY_MS <= at_ms);
        let points: Vec<(f64, f64)> =
            whole.map(|(day_ms, sum)| ((day_ms / DAY_MS) as f64, sum.value(aggregate))).collect();
        slope(&points)
    }
}

/// Ordinary least squares (Gauss 1809): the covariance over the variance of x.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    if points.len() < DAYS_MIN {
        return None;
    }
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
    let covariance: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let variance: f64 = points.iter().map(|(x, _)| (x - mean_x) * (x - mean_x)).sum();
    Some(covariance / variance)
}

/// Whether the value of the compliance window meets the goal; `None`: the window is empty.
pub fn is_met(gauges: &Gauges, spec: &GaugeSpec) -> Option<bool> {
    gauges.value(spec.aggregate).map(|value| spec.is_met(value))
}

/// As in a status.
pub fn published(view: KeyView<'_>, gauges: &Gauges, spec: &GaugeSpec) -> Published {
    let (at_ms, start_ms) = (view.boundary.at_ms, view.start_ms(view.definition.layout.compliance));
    let value = gauges.value(spec.aggregate);
    let is_met = value.map(|value| spec.is_met(value));
    let trend = gauges.trend(spec.aggregate, start_ms, at_ms);
    let progress = |baseline: f64| Some((value? - baseline) / (spec.target - baseline)).filter(|p| p.is_finite());
    let expected_at = || {
        let days = (spec.target - value?) / trend?;
        let expected_ms = at_ms as f64 + days * DAY_MS as f64;
        (is_met == Some(false) && days > 0.0 && expected_ms <= LAST_MS).then_some(Moment(expected_ms as Ms))
    };
    Published {
        value,
        op: spec.op.as_str().to_owned(),
        target: spec.target,
        is_met,
        baseline: spec.baseline,
        progress: spec.baseline.and_then(progress),
        trend_per_day: trend,
        expected_at: expected_at(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_straight_line_has_its_slope() {
        let line: Vec<(f64, f64)> = [3.0, 4.0, 7.0, 9.0].map(|x| (x, 2.5 * x - 1.0)).to_vec();
        assert!(slope(&line).is_some_and(|slope| (slope - 2.5).abs() < 1e-12));
        assert_eq!(slope(&line[..2]), None, "two days are too few");
    }

    proptest! {
        #[test]
        fn values_merge_in_any_order(events in prop::collection::vec((0i64..50, -1e6f64..1e6, 1u64..9), 1..40), cut in 0usize..40) {
            let of = |events: &[(i64, f64, u64)]| {
                let mut all = None;
                events.iter().for_each(|(time, value, weight)| add_to(&mut all, &GaugeSum::of(*time, *value, *weight)));
                all
            };
            let (front, back) = events.split_at(cut.min(events.len()));
            let mut merged = of(back);
            of(front).iter().for_each(|sum| add_to(&mut merged, sum));
            prop_assert_eq!(merged, of(&events));
            let last = events.iter().map(|(time, value, _)| (*time, *value)).max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
            prop_assert_eq!(merged.map(|sum| sum.value(Aggregate::Last)), last.map(|(_, value)| value));
        }
    }
}
