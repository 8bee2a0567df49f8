//! Windows of one key: slices of integer sums, and one running sum per window.
//!
//! Counts are invertible, so a window costs an addition when events become visible and a subtraction
//! when a slice expires, whatever its length. Windows with the same slice length share their slices
//! (a *tier*).

use super::calendar_sums::CalendarSums;
use super::exemplars::keep_smallest;
use super::partial::{Counts, PaneDelta};
use super::sketch::{Sketch, SketchBuilder};
use super::tier::{SliceRef, Tier};
use crate::model::calendar::{Calendar, Spans};
use crate::model::duration;
use crate::model::output::Exemplar;
use crate::model::period::Period;
use crate::model::slo::Slo;
use crate::model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Ms, PANE_MS, floor_to, leaves_window_ms, slice_ms, window_start};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The windows of every status, besides those of the SLO's rules and its compliance window.
const STATUS_WINDOWS_MS: [Ms; 7] =
    [5 * MINUTE_MS, 30 * MINUTE_MS, HOUR_MS, 2 * HOUR_MS, 6 * HOUR_MS, DAY_MS, 3 * DAY_MS];

/// The windows of an SLO's keys. One per SLO, shared by its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Ascending, distinct; behind them the nominal length of a calendar's periods.
    pub windows_ms: Vec<Ms>,
    /// The period of the compliance window, and its index.
    period: Period,
    pub compliance: usize,
    /// The indices of windows that are asked for by length.
    pub five_minutes: usize,
    pub hour: usize,
    pub day: usize,
    pub three_days: usize,
    /// Of an SLO with an agreement: the last 7 days, and the calendar of its periods.
    pub week: Option<usize>,
    sla: Option<Calendar>,
    /// The windows of a status, in its order: by length, a calendar's period last, or in place of the window that has its
    /// name.
    pub in_status: Vec<usize>,
    /// Slice lengths, ascending, distinct.
    tiers_ms: Vec<Ms>,
    /// The longest window of each tier: its slices are kept that long.
    tier_keeps_ms: Vec<Ms>,
    /// The tiers whose slices keep exemplars: an alert shows those of a rule's long window.
    tier_has_exemplars: Vec<bool>,
    /// The tier of each window.
    tier_of: Vec<usize>,
}

impl Layout {
    pub fn of(slo: &Slo) -> Layout {
        let mut windows_ms = STATUS_WINDOWS_MS.to_vec();
        if slo.period.calendar().is_none() {
            windows_ms.push(slo.period.nominal_ms());
        }
        for rule in &slo.rules {
            windows_ms.push(rule.long_ms);
            windows_ms.push(rule.evidence_ms());
        }
        let is_week_shown = windows_ms.contains(&(7 * DAY_MS));
        windows_ms.extend(slo.sla.as_ref().map(|_| 7 * DAY_MS));
        windows_ms.sort_unstable();
        windows_ms.dedup();
        // A calendar's period is counted pane by pane, and has slices for forecasts and for the next definition.
        windows_ms.extend(slo.period.calendar().map(|calendar| calendar.nominal_ms()));
        let mut tiers_ms: Vec<Ms> = windows_ms.iter().map(|w| slice_ms(*w)).collect();
        tiers_ms.sort_unstable();
        tiers_ms.dedup();
        let tier_of: Vec<usize> =
            windows_ms.iter().map(|w| tiers_ms.iter().position(|s| *s == slice_ms(*w)).unwrap_or(0)).collect();
        let keeps = |tier: usize| windows_ms.iter().zip(&tier_of).filter(|(_, t)| **t == tier).map(|(w, _)| *w).max();
        let tier_keeps_ms = (0..tiers_ms.len()).map(|tier| keeps(tier).unwrap_or(0)).collect();
        let index = |ms: Ms| windows_ms.iter().position(|w| *w == ms).unwrap_or(0);
        let compliance = match slo.period.calendar() {
            Some(_) => windows_ms.len() - 1,
            None => index(slo.period.nominal_ms()),
        };
        let (five_minutes, hour, day) = (index(5 * MINUTE_MS), index(HOUR_MS), index(DAY_MS));
        let three_days = index(3 * DAY_MS);
        let week = slo.sla.as_ref().map(|_| index(7 * DAY_MS));
        let has_exemplars =
            |slice: &Ms| *slice == slice_ms(HOUR_MS) || slo.all_rules().any(|(_, r)| slice_ms(r.long_ms) == *slice);
        let tier_has_exemplars = tiers_ms.iter().map(has_exemplars).collect();
        let made = Layout {
            windows_ms,
            period: slo.period.clone(),
            compliance,
            five_minutes,
            hour,
            day,
            three_days,
            week,
            sla: slo.sla.as_ref().map(|sla| sla.calendar.clone()),
            in_status: Vec::new(),
            tiers_ms,
            tier_keeps_ms,
            tier_has_exemplars,
            tier_of,
        };
        let in_status = made.order(week.filter(|_| !is_week_shown));
        Layout { in_status, ..made }
    }

    /// The tier of a window, and the length of its slices.
    fn tier(&self, window: usize) -> (usize, Ms) {
        let tier = self.tier_of[window];
        (tier, self.tiers_ms[tier])
    }

    pub fn index_of(&self, window_ms: Ms) -> Option<usize> {
        self.windows_ms.iter().position(|w| *w == window_ms)
    }

    fn start_ms(&self, window: usize, at_ms: Ms, spans: Option<Spans>) -> Ms {
        match spans {
            Some(spans) if window == self.compliance => spans.current.start_ms,
            _ => window_start(at_ms, self.windows_ms[window]),
        }
    }

    /// As in records: `1h`.
    pub fn name_of(&self, window: usize) -> String {
        if window == self.compliance { self.period.name() } else { duration::print(self.windows_ms[window]) }
    }

    /// See [`Layout::in_status`]; `hidden` is a window that no status shows.
    fn order(&self, hidden: Option<usize>) -> Vec<usize> {
        let is_shown = |window: &usize| Some(*window) != hidden;
        let all = (0..self.windows_ms.len()).filter(is_shown);
        if self.period.calendar().is_none() {
            return all.collect();
        }
        let name = self.period.name();
        let others = all.filter(|window| *window != self.compliance);
        match others.clone().find(|window| self.name_of(*window) == name) {
            Some(same) => others.map(|window| if window == same { self.compliance } else { window }).collect(),
            None => others.chain([self.compliance]).collect(),
        }
    }

    /// The starts of all windows at a boundary; computed once per boundary, not once per key.
    pub fn starts_at(&self, at_ms: Ms) -> Starts {
        self.starts_after(&Starts::default(), at_ms)
    }

    /// The same, where those of a boundary shortly before are known.
    pub fn starts_after(&self, before: &Starts, at_ms: Ms) -> Starts {
        let calendar = self.period.calendar();
        let spans_of = |calendar: &Calendar, known: Option<Spans>| match known {
            Some(spans) if spans.current.has_boundary(at_ms) => spans,
            _ => calendar.spans_at(at_ms),
        };
        let spans = calendar.map(|calendar| spans_of(calendar, before.spans));
        Starts {
            windows_ms: (0..self.windows_ms.len()).map(|window| self.start_ms(window, at_ms, spans)).collect(),
            tiers_ms: self.tier_keeps_ms.iter().map(|w| window_start(at_ms, *w)).collect(),
            spans,
            sla: self.sla.as_ref().map(|calendar| spans_of(calendar, before.sla)),
        }
    }

    /// Whether the compliance windows of both are the same.
    pub fn has_period_of(&self, other: &Layout) -> bool {
        self.period == other.period
    }

    /// Whether a window is a calendar's period.
    pub fn is_calendar(&self, window: usize) -> bool {
        window == self.compliance && self.period.calendar().is_some()
    }
}

/// The starts of windows and tiers at one boundary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Starts {
    pub windows_ms: Vec<Ms>,
    tiers_ms: Vec<Ms>,
    /// Of a calendar: its period at the boundary, and the one before.
    pub spans: Option<Spans>,
    /// Likewise of the agreement.
    pub sla: Option<Spans>,
}

/// The running sum of one window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WindowSum {
    start_ms: Ms,
    pub counts: Counts,
}

/// All windows of one key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Windows {
    tiers: Vec<Tier>,
    sums: Vec<WindowSum>,
    /// Where the compliance window is a calendar's period: what it has beside its sum. Boxed: few SLOs have one.
    #[serde(default)]
    calendar: Option<Box<CalendarSums>>,
}

impl Windows {
    pub fn new(layout: &Layout) -> Windows {
        Windows {
            tiers: vec![Tier::default(); layout.tiers_ms.len()],
            sums: vec![WindowSum::default(); layout.windows_ms.len()],
            calendar: layout.period.calendar().map(|_| Box::default()),
        }
    }

    /// The calendar period before, where the key had an event in it.
    pub fn previous(&self) -> Option<&Counts> {
        self.calendar.as_ref().and_then(|calendar| calendar.periods.previous.as_ref())
    }

    pub fn sum(&self, window: usize) -> &WindowSum {
        &self.sums[window]
    }

    /// Moves every window to its start at a later boundary: slices before it are subtracted.
    pub fn advance(&mut self, layout: &Layout, starts: &Starts) {
        if let (Some(calendar), Some(spans)) = (&mut self.calendar, &starts.spans) {
            let sum = &mut self.sums[layout.compliance];
            calendar.advance(spans, &mut sum.counts);
            sum.start_ms = spans.current.start_ms;
        }
        for (window, sum) in self.sums.iter_mut().enumerate() {
            let start_ms = starts.windows_ms[window];
            if sum.start_ms == start_ms {
                continue;
            }
            let before_ms = std::mem::replace(&mut sum.start_ms, start_ms);
            if sum.counts.events > 0 {
                let (tier, slice_ms) = layout.tier(window);
                let leave = self.tiers[tier].slices_from(before_ms.div_euclid(slice_ms));
                leave.take_while(|s| s.number * slice_ms < start_ms).for_each(|s| sum.counts.subtract(&s.counts()));
            }
        }
        for ((tier, keep_from_ms), slice_ms) in self.tiers.iter_mut().zip(&starts.tiers_ms).zip(&layout.tiers_ms) {
            tier.drop_before(keep_from_ms.div_euclid(*slice_ms));
        }
    }

    /// Adds what became visible in one pane of event time. The windows must be at the same boundary.
    pub fn add(&mut self, layout: &Layout, starts: &Starts, pane: &PaneDelta) {
        if let (Some(calendar), Some(spans)) = (&mut self.calendar, &starts.spans) {
            calendar.add(spans, pane);
        }
        for (index, tier) in self.tiers.iter_mut().enumerate() {
            if pane.start_ms >= starts.tiers_ms[index] {
                let number = pane.start_ms.div_euclid(layout.tiers_ms[index]);
                tier.add(number, pane, layout.tier_has_exemplars[index]);
            }
        }
        self.sums.iter_mut().filter(|s| pane.start_ms >= s.start_ms).for_each(|sum| sum.counts.add(&pane.counts));
    }

    /// The first boundary at which a slice with events leaves a window; `None`: all are empty.
    pub fn next_expiry_ms(&self, layout: &Layout) -> Option<Ms> {
        let of_window = |(window, sum): (usize, &WindowSum)| {
            if sum.counts.events == 0 || layout.is_calendar(window) {
                return None;
            }
            let oldest_ms = self.window_slices(layout, window).next().map(|s| s.number * layout.tier(window).1)?;
            Some(leaves_window_ms(oldest_ms, layout.windows_ms[window]))
        };
        self.sums.iter().enumerate().filter_map(of_window).min()
    }

    /// The same events in another window layout, as far back as the stored slices reach. Both are at the boundary
    /// `at_ms`.
    pub fn relaid(&self, from: &Layout, to: &Layout, at_ms: Ms) -> Windows {
        let starts = to.starts_at(at_ms);
        let tiers: Vec<Tier> = (0..to.tiers_ms.len()).map(|tier| self.retiered(from, to, tier, at_ms)).collect();
        let sum = |(window, start_ms): (usize, &Ms)| {
            let (tier, slice_ms) = to.tier(window);
            let mut sum = WindowSum { start_ms: *start_ms, ..WindowSum::default() };
            if !to.is_calendar(window) {
                let slices = tiers[tier].slices_from(start_ms.div_euclid(slice_ms));
                slices.for_each(|slice| sum.counts.add(&slice.counts()));
            }
            sum
        };
        let sums = starts.windows_ms.iter().enumerate().map(sum).collect();
        let mut made = Windows { tiers, sums, calendar: None };
        if let Some(spans) = &starts.spans {
            made.calendar = Some(Box::default());
            self.relay_calendar(&mut made, from, to, spans, at_ms);
        }
        made
    }

    /// Fills a calendar's sums: from those of the same calendar, or else from the slices at hand.
    fn relay_calendar(&self, made: &mut Windows, from: &Layout, to: &Layout, spans: &Spans, at_ms: Ms) {
        if from.period == to.period && self.calendar.is_some() {
            made.calendar.clone_from(&self.calendar);
            made.sums[to.compliance].clone_from(&self.sums[from.compliance]);
            return;
        }
        let Some(calendar) = &mut made.calendar else { return };
        let sum = &mut made.sums[to.compliance];
        calendar.advance(spans, &mut sum.counts);
        for pane in self.panes_since(from, spans.previous.start_ms, at_ms) {
            calendar.add(spans, &pane);
            if pane.start_ms >= sum.start_ms {
                sum.counts.add(&pane.counts);
            }
        }
    }

    /// The stored events in slices of another length: from finer or equal slices as far back as they reach, before that
    /// from coarser ones. A coarser slice counts at its start, without what finer ones hold of it, so its events leave a
    /// window up to one coarser slice too early, never too late; and a window that was there before stays exact.
    fn retiered(&self, from: &Layout, to: &Layout, tier: usize, at_ms: Ms) -> Tier {
        let (slice_ms, has_exemplars) = (to.tiers_ms[tier], to.tier_has_exemplars[tier]);
        let needed_ms = window_start(at_ms, to.tier_keeps_ms[tier]);
        let mut made = Tier::default();
        for pane in self.sliced_since(from, slice_ms, needed_ms, at_ms) {
            made.add(pane.start_ms.div_euclid(slice_ms), &pane, has_exemplars);
        }
        made
    }

    /// The stored events since `needed_ms`, ascending by slices, the finest that reach so far back.
    pub fn panes_since(&self, from: &Layout, needed_ms: Ms, at_ms: Ms) -> Vec<PaneDelta> {
        self.sliced_since(from, PANE_MS, needed_ms, at_ms)
    }

    /// The same by slices of about this length; see [`Windows::retiered`].
    fn sliced_since(&self, from: &Layout, slice_ms: Ms, needed_ms: Ms, at_ms: Ms) -> Vec<PaneDelta> {
        // Tiers are in ascending order; longer slices reach further back.
        let (finer, coarser): (Vec<usize>, Vec<usize>) =
            (0..from.tiers_ms.len()).partition(|tier| from.tiers_ms[*tier] <= slice_ms);
        let mut until_ms = Ms::MAX;
        let mut panes: Vec<PaneDelta> = Vec::new();
        for old in finer.into_iter().rev().chain(coarser) {
            let of_ms = from.tiers_ms[old];
            let reach_ms = window_start(at_ms, from.tier_keeps_ms[old]);
            if reach_ms >= until_ms || until_ms <= needed_ms {
                continue;
            }
            let slices = self.tiers[old].slices_from(reach_ms.div_euclid(of_ms));
            let older = slices.take_while(|slice| slice.number.saturating_mul(of_ms) < until_ms);
            let older = older.map(|slice| without(slice.to_pane(slice.number * of_ms), &panes, until_ms, of_ms));
            let older: Vec<PaneDelta> = older.collect();
            panes.extend(older);
            until_ms = reach_ms;
        }
        panes.sort_by_key(|pane| pane.start_ms);
        panes
    }

    fn window_slices(&self, layout: &Layout, window: usize) -> impl Iterator<Item = SliceRef<'_>> {
        let (tier, slice_ms) = layout.tier(window);
        self.tiers[tier].slices_from(self.sums[window].start_ms.div_euclid(slice_ms))
    }

    /// Start and counts of each slice of a window, ascending.
    pub fn slices_of(&self, layout: &Layout, window: usize) -> impl Iterator<Item = (Ms, Counts)> {
        let slice_ms = layout.tier(window).1;
        self.window_slices(layout, window).map(move |slice| (slice.number * slice_ms, slice.counts()))
    }

    /// The latencies of a window, added up from its slices.
    pub fn latency(&self, layout: &Layout, window: usize) -> Sketch {
        if let Some(calendar) = self.calendar.as_ref().filter(|_| layout.is_calendar(window)) {
            return calendar.latency.clone();
        }
        let mut all = SketchBuilder::default();
        self.window_slices(layout, window).for_each(|slice| slice.gather_latency(&mut all));
        all.into_sketch()
    }

    /// The bad events with the smallest hash in the long window of a rule.
    pub fn exemplars(&self, layout: &Layout, window: usize) -> Vec<Exemplar> {
        let mut kept = Vec::new();
        self.window_slices(layout, window).for_each(|slice| keep_smallest(&mut kept, &slice.exemplars()));
        kept.into_iter().map(|(_, exemplar)| exemplar).collect()
    }
}

/// The latest boundaries' counts of unclassified events within one hour, in slices of a minute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HourCount {
    minutes: VecDeque<(Ms, u64)>,
    pub sum: u64,
}

impl HourCount {
    pub fn advance(&mut self, at_ms: Ms) {
        let start_ms = window_start(at_ms, HOUR_MS);
        while let Some((_, count)) = self.minutes.front().filter(|(minute, _)| *minute < start_ms) {
            self.sum -= count;
            self.minutes.pop_front();
        }
    }

    pub fn add(&mut self, at_ms: Ms, time_ms: Ms, count: u64) {
        if time_ms < window_start(at_ms, HOUR_MS) {
            return;
        }
        let minute = floor_to(time_ms, MINUTE_MS);
        let at = self.minutes.partition_point(|(m, _)| *m < minute);
        match self.minutes.get_mut(at) {
            Some(entry) if entry.0 == minute => entry.1 += count,
            _ => self.minutes.insert(at, (minute, count)),
        }
        self.sum += count;
    }
}

/// A slice of this length without what others hold of it from `until_ms` on.
fn without(mut slice: PaneDelta, others: &[PaneDelta], until_ms: Ms, of_ms: Ms) -> PaneDelta {
    let end_ms = slice.start_ms.saturating_add(of_ms);
    if end_ms > until_ms {
        for other in others.iter().filter(|other| (until_ms..end_ms).contains(&other.start_ms)) {
            slice.counts.subtract(&other.counts);
            slice.latency.subtract(&other.latency);
        }
        slice.exemplars.retain(|(_, exemplar)| exemplar.at.0 < until_ms);
    }
    slice
}
