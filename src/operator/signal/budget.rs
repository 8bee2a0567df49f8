//! The detector of the rule `budget`: two capped sums of how much faster than allowed the budget is spent, and evidence
//! that this is no chance (contract, section 12).
//!
//! The sums are CUSUM statistics (Page, "Continuous Inspection Schemes", Biometrika 41, 1954) in units of the budget; the
//! evidence is a mixture of likelihood ratios whose memory is bounded as in Shiryaev and Roberts' procedure, so that its mean
//! exceeds a level about once in that many ticks by chance (Shin, Ramdas and Rinaldo, "E-detectors", 2023).

use crate::model::ratio::Ratio;
use crate::model::time::{DAY_MS, MINUTE_MS, Ms, PANE_MS, floor_to};
use crate::operator::partial::Counts;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// Error rates that are looked for, in multiples of the allowed one.
const MULTIPLES: [u32; 6] = [4, 8, 16, 50, 200, 900];
/// The evidence that is asked for: by chance it is reached about once in 30 days of panes.
const EVIDENCE: f64 = 259_200.0;
const LOG_MIN: f64 = -700.0;
const LOG_MAX: f64 = 60.0;
/// Sums are kept in ten-thousandths, so that every threshold and cap is an integer.
const PARTS: u128 = 10_000;
const FAST_FIRES: u128 = 200;
const FAST_CAP: u128 = 300;
const MINUTE_FIRES: u128 = 30;
const MINUTE_CAP: u128 = 45;

/// Unweighted events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub events: u64,
    pub bad: u64,
}

impl Seen {
    pub fn add(&mut self, other: Seen) {
        self.events += other.events;
        self.bad += other.bad;
    }
}

/// A key is warm after a day, because its budget is estimated from the events of the last one.
pub const WARM_AFTER_MS: Ms = DAY_MS;
/// It is over when the 5m window has not burnt for so long.
const CALM_FOR_MS: Ms = 15 * MINUTE_MS;

/// A key's budget in the unit of the sums, which is chosen so that all of them are integers.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetUnits {
    /// `1 - objective`.
    allowed: Ratio,
    /// One bad event.
    event: u128,
    /// What one event allows.
    allowed_event: u128,
    /// A ten-thousandth of the period's budget, for each event of the last day.
    part: u128,
    odds: [Option<Odds>; MULTIPLES.len()],
}

/// What an event says of an error rate that is looked for, as logarithms of likelihood ratios.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Odds {
    bad: f64,
    good: f64,
}

impl BudgetUnits {
    pub fn of(objective: Ratio, period_ms: Ms) -> BudgetUnits {
        let allowed = objective.complement().unwrap_or(Ratio::ZERO);
        // Most periods are whole days; without this, sums of long decimals would need more than 128 bits.
        let days = Ratio::new(period_ms.unsigned_abs(), DAY_MS.unsigned_abs()).unwrap_or(Ratio::ZERO);
        let allowed_event = u128::from(allowed.num) * u128::from(days.den);
        let odds = |multiple: u32| {
            let is_rate = u128::from(multiple) * u128::from(allowed.num) < u128::from(allowed.den);
            let (allowed, multiple) = (allowed.as_f64(), f64::from(multiple));
            let good = libm::log((1.0 - multiple * allowed) / (1.0 - allowed));
            is_rate.then(|| Odds { bad: libm::log(multiple), good })
        };
        BudgetUnits {
            allowed,
            event: PARTS * u128::from(allowed.den) * u128::from(days.den),
            allowed_event: PARTS * allowed_event,
            part: u128::from(allowed.num) * u128::from(days.num),
            odds: MULTIPLES.map(odds),
        }
    }

    fn events(&self, bad: u64) -> u128 {
        self.event.saturating_mul(bad.into())
    }

    /// What so many events allow, `times` over.
    fn allowed(&self, times: u128, events: u64) -> u128 {
        (times * self.allowed_event).saturating_mul(events.into())
    }

    /// So many ten-thousandths of the period's budget.
    fn parts_of_budget(&self, parts: u128, day_events: u64) -> u128 {
        (parts * self.part).saturating_mul(day_events.into())
    }

    /// Whether a window burns its budget at 1 or faster; by weight, as burn rates are.
    pub fn burns_at_one(&self, window: &Counts) -> bool {
        self.allowed.compare_share(window.bad, window.total()) != Ordering::Less
    }
}

/// What the rule is told at a boundary.
#[derive(Clone, Copy, Debug, Default)]
pub struct BudgetEvidence {
    /// The budget is spent too fast, and that is no chance.
    pub burns: bool,
    /// There is evidence that it is over.
    pub is_over: bool,
}

/// The state of the rule between boundaries.
///
/// It changes only at boundaries with events and at the full minute behind them: boundaries at which nothing becomes
/// visible can be skipped, and how many were is asked of the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BudgetBank {
    fast: u128,
    by_minute: u128,
    /// Since the last full minute.
    minute: Seen,
    logs: [f64; MULTIPLES.len()],
    /// The boundary that `logs` are of; `None`: the key is not warm.
    logs_at_ms: Option<Ms>,
    /// The first boundary since which a sum has been above 0.
    spends_since_ms: Option<Ms>,
    /// When it fired last: the last boundary at which both sums were 0.
    onset_ms: Option<Ms>,
    /// The 5m window burns at 1 or faster; if not, since when.
    is_hot: bool,
    calm_since_ms: Ms,
}

impl BudgetBank {
    /// A bank that knows nothing of the boundaries before this one.
    pub fn new(at_ms: Ms, first_ms: Option<Ms>) -> BudgetBank {
        let was_warm = first_ms.is_some_and(|first_ms| first_ms + WARM_AFTER_MS < at_ms);
        BudgetBank { logs_at_ms: was_warm.then_some(at_ms - PANE_MS), ..BudgetBank::default() }
    }

    /// Whether the 5m window burns at this boundary.
    pub fn note_burn(&mut self, at_ms: Ms, is_hot: bool) {
        if self.is_hot && !is_hot {
            self.calm_since_ms = at_ms;
        }
        self.is_hot = is_hot;
    }

    /// The key is warm at this boundary; it may have been before, since its first event was a day old.
    /// (A late event can make a key older at once, but not its past.)
    pub fn warm_up(&mut self, at_ms: Ms, first_before_ms: Option<Ms>) {
        let warm_ms = first_before_ms.map_or(at_ms, |first_ms| at_ms.min(first_ms + WARM_AFTER_MS));
        self.logs_at_ms.get_or_insert(warm_ms - PANE_MS);
    }

    /// Adds what became visible at a boundary of a warm key.
    pub fn add(&mut self, at_ms: Ms, seen: Seen, day_events: u64, units: &BudgetUnits) {
        let cap = units.parts_of_budget(FAST_CAP, day_events);
        self.fast = step(self.fast, units.events(seen.bad), units.allowed(2, seen.events), cap);
        self.minute.add(seen);
        if at_ms % MINUTE_MS == 0 {
            self.end_minute(day_events, units);
        }
        if seen.events > 0 {
            let ticks = self.ticks_at(at_ms);
            for (log, odds) in self.logs.iter_mut().zip(&units.odds) {
                let change = odds.map_or(0.0, |odds| odds.of(seen));
                *log = (grown(*log, ticks) + change).clamp(LOG_MIN, LOG_MAX);
            }
            self.logs_at_ms = Some(at_ms);
        }
        if self.fast == 0 && self.by_minute == 0 {
            self.spends_since_ms = None;
        } else {
            self.spends_since_ms.get_or_insert(at_ms);
        }
    }

    fn end_minute(&mut self, day_events: u64, units: &BudgetUnits) {
        let Seen { events, bad } = std::mem::take(&mut self.minute);
        let spent = units.events(bad).min(units.allowed(10, events));
        let cap = units.parts_of_budget(MINUTE_CAP, day_events);
        self.by_minute = step(self.by_minute, spent, units.allowed(2, events), cap);
    }

    /// Boundaries since the one that the logarithms are of.
    fn ticks_at(&self, at_ms: Ms) -> f64 {
        self.logs_at_ms.map_or(0.0, |logs_at_ms| ((at_ms - logs_at_ms) / PANE_MS) as f64)
    }

    /// The budget is spent too fast, and that is no chance.
    pub fn burns(&self, at_ms: Ms, day_events: u64, units: &BudgetUnits) -> bool {
        self.logs_at_ms.is_some() && self.spends(day_events, units) && self.evidence_at(at_ms, units) >= EVIDENCE
    }

    fn spends(&self, day_events: u64, units: &BudgetUnits) -> bool {
        self.fast >= units.parts_of_budget(FAST_FIRES, day_events)
            || self.by_minute >= units.parts_of_budget(MINUTE_FIRES, day_events)
    }

    /// The mean of the evidence; 0 where no error rate is so much larger than the allowed one.
    fn evidence_at(&self, at_ms: Ms, units: &BudgetUnits) -> f64 {
        let asked = self.logs.iter().zip(&units.odds).filter(|(_, odds)| odds.is_some());
        let (sum, count) = asked.fold((0.0, 0), |(sum, count), (log, _)| (sum + libm::exp(*log), count + 1));
        // Each boundary without an event adds 1 to every `exp(log)`.
        if count == 0 { 0.0 } else { sum / f64::from(count) + self.ticks_at(at_ms) }
    }

    /// The 5m window has not burnt for long enough.
    pub fn is_calm(&self, at_ms: Ms) -> bool {
        !self.is_hot && at_ms - self.calm_since_ms >= CALM_FOR_MS
    }

    /// The rule fires from this boundary on.
    pub fn fired(&mut self, at_ms: Ms) {
        self.onset_ms = Some(self.spends_since_ms.map_or(at_ms, |since_ms| since_ms - PANE_MS));
    }

    pub fn onset_ms(&self) -> Option<Ms> {
        self.onset_ms
    }

    /// The rule has ended at this boundary: sums and evidence start over.
    pub fn reset(&mut self, at_ms: Ms) {
        (self.fast, self.by_minute, self.spends_since_ms) = (0, 0, None);
        self.logs = [0.0; MULTIPLES.len()];
        self.logs_at_ms = self.logs_at_ms.map(|_| at_ms);
    }

    /// The boundaries at which something changes without new events.
    pub fn deadlines(&self, at_ms: Ms, day_events: u64, units: &BudgetUnits) -> [Option<Ms>; 3] {
        let is_open = self.minute != Seen::default() || self.by_minute > units.parts_of_budget(MINUTE_CAP, day_events);
        let missing = EVIDENCE - self.evidence_at(at_ms, units);
        let grows = self.logs_at_ms.is_some() && missing > 0.0 && self.spends(day_events, units);
        // Rounding must not make it a boundary late.
        let ticks = (missing - 1e-6).max(1.0) as Ms;
        [
            is_open.then(|| floor_to(at_ms, MINUTE_MS) + MINUTE_MS),
            grows.then(|| at_ms + ticks * PANE_MS),
            (!self.is_hot).then(|| self.calm_since_ms + CALM_FOR_MS),
        ]
    }
}

fn step(sum: u128, spent: u128, allowed: u128, cap: u128) -> u128 {
    sum.saturating_add(spent).saturating_sub(allowed).min(cap)
}

impl Odds {
    fn of(self, seen: Seen) -> f64 {
        seen.bad as f64 * self.bad + (seen.events - seen.bad) as f64 * self.good
    }
}

/// `L = ln(1 + exp(L))`, so many times.
fn grown(log: f64, ticks: f64) -> f64 {
    // Of 1 and less than half the distance to the next double, the sum is 1.
    if ticks == 1.0 && log < -37.0 { 0.0 } else { libm::log(ticks + libm::exp(log)) }
}

#[cfg(test)]
mod tests;
