//! Timeslices and RatioTimeslices: the unit is a slice of time, good or bad as a whole, or good by its share (OpenSLO v1,
//! `budgetingMethod`; contract, section 11).
//!
//! All slices that a window or the calendar's period before can hold are kept, so that a late event counts in its slice.
//! That is about 60 bytes a slice with events: 40,320 of them for slices of a minute over 28 days. A boundary costs what
//! changed: slices that end, slices that leave a window, and late events.

use super::super::key_definition::{Boundary, KeyDefinition};
use super::super::key_view::KeyView;
use super::super::partial::{Counts, PaneDelta};
use super::composite::{Firsts, figures_of};
use super::drop_before;
use super::gauge::GaugeSum;
use crate::model::calendar::Span;
use crate::model::output::Component as Published;
use crate::model::period::{Method, Slicing};
use crate::model::slo::Slo;
use crate::model::time::{Ms, ceil_to, leaves_window_ms};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// A good slice, in the unit of the sums: SLIs of slices are rounded to 1e-9.
pub const WHOLE: u128 = 1_000_000_000;

/// The events of a slice, weights in micro-weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct SliceSum {
    events: u64,
    good: u128,
    bad: u128,
}

/// Of an SLO its events, of a composite those of each component.
type Sums = SmallVec<[SliceSum; 1]>;

/// The slices of a key and what each window has of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Slices {
    /// By the start of the slice over its length.
    slices: BTreeMap<i64, Sums>,
    /// Of a gauge: the values of each slice.
    gauges: BTreeMap<i64, GaugeSum>,
    /// By window of the layout.
    windows: Vec<WindowOf>,
    /// The calendar's period before.
    previous: WindowOf,
    /// Every slice that ends at or before this boundary is complete and counted.
    settled_ms: Ms,
    all_bad: u128,
    firsts: Firsts,
}

/// A window: where it begins, and the complete slices that begin in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct WindowOf {
    start_ms: Ms,
    /// Where it ends, if that is not T.
    end_ms: Option<Ms>,
    counts: Counts,
}

impl WindowOf {
    fn has(&self, begin_ms: Ms) -> bool {
        begin_ms >= self.start_ms && self.end_ms.is_none_or(|end_ms| begin_ms < end_ms)
    }
}

impl Slices {
    pub fn new(windows: usize) -> Slices {
        Slices { windows: vec![WindowOf::default(); windows], ..Slices::default() }
    }

    pub fn counts(&self, window: usize) -> &Counts {
        &self.windows[window].counts
    }

    pub fn previous(&self) -> &Counts {
        &self.previous.counts
    }

    pub fn all_bad(&self) -> u128 {
        self.all_bad
    }

    /// The events and values of each slice, as if they came at its start, for another definition.
    pub fn panes(&self, from: &KeyDefinition<'_>) -> Vec<PaneDelta> {
        let Some(slicing) = from.slo.method.slicing() else { return Vec::new() };
        let counts = |sum: &SliceSum| Counts { events: sum.events, good: sum.good, bad: sum.bad, ..Counts::default() };
        let pane = |(number, sums): (&i64, &Sums)| PaneDelta {
            start_ms: number * slicing.slice_ms,
            counts: sums.first().map(counts).unwrap_or_default(),
            parts: if from.slo.components().is_empty() { Vec::new() } else { sums.iter().map(counts).collect() },
            gauge: self.gauges.get(number).copied(),
            ..PaneDelta::default()
        };
        self.slices.iter().map(pane).collect()
    }

    /// Where the events of each component begin.
    pub fn firsts(&self) -> &Firsts {
        &self.firsts
    }

    pub fn begin(&mut self, firsts: Firsts) {
        self.firsts = firsts;
    }

    /// The events of another definition's slices of the same length; [`Slices::settle`] counts them anew.
    pub fn take_over(&mut self, from: Slices) {
        self.slices = from.slices;
        self.gauges = from.gauges;
        self.firsts = from.firsts;
        self.all_bad = 0;
    }

    pub fn add(&mut self, definition: &KeyDefinition<'_>, pane: &PaneDelta) {
        let Some(slicing) = definition.slo.method.slicing() else { return };
        self.firsts.note(pane);
        let number = pane.start_ms.div_euclid(slicing.slice_ms);
        let sums = self.slices.entry(number).or_default();
        let values = self.gauges.get(&number);
        let before = value(definition.slo, sums, values);
        let parts = if pane.parts.is_empty() { std::slice::from_ref(&pane.counts) } else { &pane.parts };
        sums.resize(parts.len().max(sums.len()), SliceSum::default());
        sums.iter_mut().zip(parts).for_each(|(sum, counts)| sum.add(counts));
        if let Some(more) = &pane.gauge {
            self.gauges.entry(number).and_modify(|sum| sum.add(more)).or_insert(*more);
        }
        let after = value(definition.slo, sums, self.gauges.get(&number));
        let begin_ms = number * slicing.slice_ms;
        if begin_ms + slicing.slice_ms <= self.settled_ms && before != after {
            self.count(begin_ms, before.as_ref(), Sign::Minus);
            self.count(begin_ms, after.as_ref(), Sign::Plus);
        }
    }

    pub fn settle(&mut self, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>) {
        let Some(slicing) = definition.slo.method.slicing() else { return };
        let slo = definition.slo;
        for (window, start_ms) in boundary.starts.windows_ms.iter().enumerate() {
            if window != definition.layout.compliance || boundary.starts.spans.is_none() {
                self.move_start(window, *start_ms, slo, slicing);
            }
        }
        if let Some(spans) = boundary.starts.spans {
            self.move_period(definition.layout.compliance, spans.current, spans.previous, slo, slicing);
        }
        self.complete(boundary.at_ms, slo, slicing);
        self.forget(slicing);
    }

    /// Counts the slices that ended since the last boundary.
    fn complete(&mut self, at_ms: Ms, slo: &Slo, slicing: &Slicing) {
        let from = self.settled_ms.div_euclid(slicing.slice_ms);
        self.settled_ms = at_ms;
        let ended = self.slices.range(from..at_ms.div_euclid(slicing.slice_ms));
        let ended: Vec<(i64, Option<Value>)> =
            ended.map(|(number, sums)| (*number, value(slo, sums, self.gauges.get(number)))).collect();
        for (number, value) in ended {
            self.count(number * slicing.slice_ms, value.as_ref(), Sign::Plus);
        }
    }

    /// Adds a slice to every window that it begins in, or takes it away.
    fn count(&mut self, begin_ms: Ms, value: Option<&Value>, sign: Sign) {
        let Some(value) = value else { return };
        for window in self.windows.iter_mut().chain([&mut self.previous]).filter(|window| window.has(begin_ms)) {
            value.add_to(&mut window.counts, sign);
        }
        match sign {
            Sign::Plus => self.all_bad += value.bad(),
            Sign::Minus => self.all_bad = self.all_bad.saturating_sub(value.bad()),
        }
    }

    /// Moves a window's start: complete slices before it are taken away.
    fn move_start(&mut self, window: usize, start_ms: Ms, slo: &Slo, slicing: &Slicing) {
        let of = &mut self.windows[window];
        let before_ms = std::mem::replace(&mut of.start_ms, start_ms);
        if before_ms >= start_ms || of.counts.events == 0 {
            return;
        }
        let settled = self.settled_ms.div_euclid(slicing.slice_ms);
        let (from, to) = (first_from(before_ms, slicing), first_from(start_ms, slicing).min(settled));
        for (number, sums) in self.slices.range(from..to.max(from)) {
            if let Some(value) = value(slo, sums, self.gauges.get(number)) {
                value.add_to(&mut of.counts, Sign::Minus);
            }
        }
    }

    /// Where another period of the calendar began, both are counted anew.
    fn move_period(&mut self, window: usize, current: Span, previous: Span, slo: &Slo, slicing: &Slicing) {
        let is_same = |of: &WindowOf, span: Span| of.start_ms == span.start_ms;
        if is_same(&self.windows[window], current) && is_same(&self.previous, previous) {
            return;
        }
        let new =
            |span: Span| WindowOf { start_ms: span.start_ms, end_ms: Some(span.end_ms), counts: Counts::default() };
        let (mut now, mut before) = (new(current), new(previous));
        let settled = self.settled_ms.div_euclid(slicing.slice_ms);
        let from = first_from(previous.start_ms, slicing);
        for (number, sums) in self.slices.range(from..settled.max(from)) {
            let begin_ms = number * slicing.slice_ms;
            let Some(value) = value(slo, sums, self.gauges.get(number)) else { continue };
            for of in [&mut now, &mut before].into_iter().filter(|of| of.has(begin_ms)) {
                value.add_to(&mut of.counts, Sign::Plus);
            }
        }
        self.windows[window] = now;
        self.previous = before;
    }

    /// Drops the slices before every window.
    fn forget(&mut self, slicing: &Slicing) {
        let starts = self.windows.iter().map(|window| window.start_ms);
        let previous = self.previous.end_ms.map(|_| self.previous.start_ms);
        let Some(keep_from_ms) = starts.chain(previous).min() else { return };
        let keep_from = first_from(keep_from_ms, slicing);
        drop_before(&mut self.slices, keep_from);
        drop_before(&mut self.gauges, keep_from);
    }

    /// `components[]` of a status, over the complete slices of the compliance window. Read slice by slice: a status is rare.
    pub fn published(&self, view: KeyView<'_>) -> Vec<Published> {
        let slo = view.definition.slo;
        let (Some(slicing), window) = (slo.method.slicing(), &self.windows[view.definition.layout.compliance]) else {
            return Vec::new();
        };
        let settled = self.settled_ms.div_euclid(slicing.slice_ms);
        let from = first_from(window.start_ms, slicing);
        let of_part = |part: usize, component| {
            let mut counts = Counts::default();
            for (_, sums) in self.slices.range(from..settled.max(from)) {
                let value = sums.get(part).and_then(|sum| value_of(component_method(slo, part), sum));
                value.iter().for_each(|value| value.add_to(&mut counts, Sign::Plus));
            }
            figures_of(view, component, self.firsts.of(part), &counts)
        };
        slo.components().iter().enumerate().map(|(part, component)| of_part(part, component)).collect()
    }

    /// A slice ends, or leaves a window.
    pub fn next_change_ms(&self, definition: &KeyDefinition<'_>) -> Option<Ms> {
        let slicing = definition.slo.method.slicing()?;
        let open = self.slices.range(self.settled_ms.div_euclid(slicing.slice_ms)..).next();
        let ends_ms = open.map(|(number, _)| (number + 1) * slicing.slice_ms);
        let leaves_ms = |(window, of): (usize, &WindowOf)| {
            if of.counts.events == 0 || of.end_ms.is_some() {
                return None;
            }
            let (number, _) = self.slices.range(first_from(of.start_ms, slicing)..).next()?;
            let window_ms = definition.layout.windows_ms[window];
            Some(leaves_window_ms(number * slicing.slice_ms, window_ms))
        };
        self.windows.iter().enumerate().filter_map(leaves_ms).chain(ends_ms).min()
    }
}

fn component_method(slo: &Slo, part: usize) -> &Method {
    slo.components().get(part).map_or(&slo.method, |component| &component.method)
}

/// The number of the first slice that begins at or after a time.
fn first_from(start_ms: Ms, slicing: &Slicing) -> i64 {
    ceil_to(start_ms, slicing.slice_ms).div_euclid(slicing.slice_ms)
}

#[derive(Clone, Copy)]
enum Sign {
    Plus,
    Minus,
}

/// What a complete slice counts as: how much of it is good, out of [`WHOLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Value {
    good: u128,
}

impl Value {
    fn bad(self) -> u128 {
        WHOLE - self.good
    }

    fn add_to(self, counts: &mut Counts, sign: Sign) {
        let bad = self.bad();
        let one = Counts { events: 1, bad_events: u64::from(bad == WHOLE), good: self.good, bad, ..Counts::default() };
        match sign {
            Sign::Plus => counts.add(&one),
            Sign::Minus => counts.subtract(&one),
        }
    }
}

impl SliceSum {
    fn add(&mut self, counts: &Counts) {
        self.events += counts.events;
        self.good += counts.good;
        self.bad += counts.bad;
    }
}

/// `None`: the slice has too few events, and counts for neither. A slice of a composite is bad if it is for one component,
/// or by shares the weighted mean of them.
fn value(slo: &Slo, sums: &[SliceSum], values: Option<&GaugeSum>) -> Option<Value> {
    if let (Some(spec), Some(slicing)) = (slo.gauge(), slo.method.slicing()) {
        let has_enough = sums.first()?.events >= slicing.min_events.max(1);
        let value = values.filter(|_| has_enough)?.value(spec.aggregate);
        return Some(Value { good: if spec.is_met(value) { WHOLE } else { 0 } });
    }
    let components = slo.components();
    if components.is_empty() {
        return value_of(&slo.method, sums.first()?);
    }
    let values =
        components.iter().zip(sums).filter_map(|(part, sum)| Some((part.weight, value_of(&part.method, sum)?)));
    let values: SmallVec<[(f64, Value); 8]> = values.collect();
    if values.is_empty() {
        return None;
    }
    let Method::RatioTimeslices(_) = slo.method else {
        return values.iter().map(|(_, value)| *value).min_by_key(|value| value.good);
    };
    let weights: f64 = values.iter().map(|(weight, _)| weight).sum();
    let lost: f64 = values.iter().map(|(weight, value)| weight * (1.0 - value.good as f64 / WHOLE as f64)).sum();
    let good = libm::rint((1.0 - lost / weights) * WHOLE as f64);
    Some(Value { good: (good.max(0.0) as u128).min(WHOLE) })
}

fn value_of(method: &Method, sum: &SliceSum) -> Option<Value> {
    let slicing = method.slicing()?;
    let total = sum.good + sum.bad;
    if sum.events < slicing.min_events.max(1) || total == 0 {
        return None;
    }
    let good = match method {
        Method::RatioTimeslices(_) => rounded_share(sum.good, total),
        _ if slicing.target.compare_share(sum.good, total) != Ordering::Less => WHOLE,
        _ => 0,
    };
    Some(Value { good })
}

/// `part / all` in units of 1e-9, half to even.
fn rounded_share(part: u128, all: u128) -> u128 {
    let scaled = part * WHOLE;
    let (floor, twice_left) = (scaled / all, scaled % all * 2);
    match twice_left.cmp(&all) {
        Ordering::Less => floor,
        Ordering::Equal => floor + floor % 2,
        Ordering::Greater => floor + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shares_are_rounded_half_to_even() {
        let cases = [(0, 7, 0), (7, 7, WHOLE), (1, 3, 333_333_333), (2, 3, 666_666_667)];
        for (part, all, rounded) in cases {
            assert_eq!(rounded_share(part, all), rounded, "{part} / {all}");
        }
        // Halves of 1e-9: 0.5, 1.5 and 2.5 of them.
        let all = 2 * WHOLE;
        assert_eq!([1, 3, 5].map(|part| rounded_share(part, all)), [0, 2, 2]);
    }

    proptest! {
        #[test]
        fn a_rounded_share_is_the_nearest(part in 0u128..1_000_000_000_000, more in 0u128..1_000_000_000_000) {
            let all = part + more + 1;
            let rounded = rounded_share(part, all);
            prop_assert!(rounded <= WHOLE);
            prop_assert!((rounded * all).abs_diff(part * WHOLE) * 2 <= all);
        }
    }
}
