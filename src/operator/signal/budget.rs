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
mod tests {
    use super::*;
    use crate::model::time::HOUR_MS;
    use proptest::prelude::*;

    const START_MS: Ms = 1_780_000_000_000 / MINUTE_MS * MINUTE_MS;

    fn units(objective: &str) -> BudgetUnits {
        BudgetUnits::of(Ratio::parse(objective).expect("a ratio"), 28 * DAY_MS)
    }

    fn warm() -> BudgetBank {
        BudgetBank::new(START_MS + PANE_MS, Some(START_MS - 2 * DAY_MS))
    }

    /// Boundaries after the start until it burns.
    fn burns_after(mut each: impl FnMut(i64) -> Seen, units: &BudgetUnits, day_events: u64, most: i64) -> Option<i64> {
        let mut bank = warm();
        (1..=most).find(|boundary| {
            bank.add(START_MS + boundary * PANE_MS, each(*boundary), day_events, units);
            bank.burns(START_MS + boundary * PANE_MS, day_events, units)
        })
    }

    /// 99.9 % at 30 events a second: 2 % of the budget at 10 times the allowed rate, and at an outage.
    #[test]
    fn it_fires_once_two_percent_of_the_budget_are_spent_above_twice_the_rate() {
        let events = 300;
        let (units, day_events) = (units("0.999"), events * 8_640);
        // An outage: 2 % of 0.001 * 28 d of events are 48.4 s of them.
        assert_eq!(burns_after(|_| Seen { events, bad: events }, &units, day_events, 100), Some(5));
        // Ten times the rate: 3 bad ones a boundary, of which 0.6 are allowed twice over.
        let slow = burns_after(|_| Seen { events, bad: 3 }, &units, day_events, 2_000).expect("it fires");
        let by_sum = (0.02 * 0.001 * (day_events * 28) as f64 / 2.4).ceil() as i64;
        let by_minute = (0.003 * 0.001 * (day_events * 28) as f64 / 14.4).ceil() as i64 * 6;
        assert_eq!(slow, by_sum.min(by_minute));
        assert_eq!(burns_after(|_| Seen { events, bad: 0 }, &units, day_events, 10_000), None);
    }

    #[test]
    fn a_short_burst_counts_a_minute_as_ten_times_the_rate_at_most() {
        let (units, day_events) = (units("0.99"), 100 * 8_640);
        let mut bank = warm();
        for boundary in 1..=6 {
            bank.add(START_MS + boundary * PANE_MS, Seen { events: 100, bad: 100 }, day_events, &units);
        }
        // 600 events: 60 of the bad ones count, 12 are allowed.
        assert_eq!(bank.by_minute, (48 * units.event).min(units.parts_of_budget(MINUTE_CAP, day_events)));
    }

    #[test]
    fn sums_are_capped_and_fall_back_to_nothing_and_the_onset_is_when_they_left_it() {
        let (units, day_events) = (units("0.9"), 10 * 8_640);
        let mut bank = warm();
        let mut at_ms = START_MS;
        let mut go_on = |bank: &mut BudgetBank, bad, boundaries| {
            for _ in 0..boundaries {
                at_ms += PANE_MS;
                bank.add(at_ms, Seen { events: 10, bad }, day_events, &units);
            }
            at_ms
        };
        let quiet_ms = go_on(&mut bank, 0, 6);
        let full_ms = go_on(&mut bank, 10, 2_000);
        assert_eq!(bank.fast, units.parts_of_budget(FAST_CAP, day_events));
        bank.fired(full_ms);
        assert_eq!(bank.onset_ms(), Some(quiet_ms));
        go_on(&mut bank, 0, 4_000);
        assert_eq!((bank.fast, bank.by_minute, bank.spends_since_ms), (0, 0, None));
        assert_eq!(bank.onset_ms(), Some(quiet_ms), "of the last time that it fired");
    }

    #[test]
    fn error_rates_of_one_and_above_are_not_looked_for() {
        // b = 1/4 and 1/50: 4 b and 50 b are exactly 1.
        let asked = |objective| units(objective).odds.iter().flatten().count();
        assert_eq!((asked("0.75"), asked("0.98"), asked("0.981"), asked("0.999")), (0, 3, 4, 6));
        assert_eq!(burns_after(|_| Seen { events: 9, bad: 9 }, &units("0.75"), 1_000, 5_000), None);
    }

    #[test]
    fn a_late_event_makes_a_key_older_but_not_its_past() {
        let mut bank = BudgetBank::new(START_MS, None);
        bank.warm_up(START_MS + HOUR_MS, Some(START_MS - HOUR_MS));
        assert_eq!(bank.logs_at_ms, Some(START_MS + HOUR_MS - PANE_MS));
        let mut bank = BudgetBank::new(START_MS, None);
        bank.warm_up(START_MS + HOUR_MS, Some(START_MS - DAY_MS));
        assert_eq!(bank.logs_at_ms, Some(START_MS - PANE_MS), "it was warm before, and nothing happened");
    }

    proptest! {
        /// With and without the boundaries at which nothing becomes visible, but for those that it asks for.
        #[test]
        fn quiet_boundaries_can_be_skipped(
            events in prop::collection::vec((1i64..400, 0u64..30, 0u64..30, any::<bool>()), 1..40),
            objective in prop::sample::select(vec!["0.9", "0.99", "0.999", "0.99995"]),
        ) {
            let (units, mut at, mut day_events) = (units(objective), 0, 500);
            let (mut every, mut skipping, mut due) = (warm(), warm(), 1);
            for (gap, good, bad, is_bad) in events {
                for boundary in at + 1..=at + gap {
                    let at_ms = START_MS + boundary * PANE_MS;
                    let is_last = boundary == at + gap;
                    let bad = if is_bad { bad } else { 0 };
                    let seen = if is_last { Seen { events: good + bad, bad } } else { Seen::default() };
                    if boundary % 360 == 1 {
                        // Events leave the window of a day.
                        day_events /= 2;
                        due = boundary;
                    }
                    day_events += seen.events;
                    every.add(at_ms, seen, day_events, &units);
                    let burns = every.burns(at_ms, day_events, &units);
                    if is_last || boundary >= due {
                        let before = skipping;
                        skipping.add(at_ms, seen, day_events, &units);
                        prop_assert_eq!(skipping.burns(at_ms, day_events, &units), burns, "at {}", boundary);
                        let is_calm = !is_last && before == skipping;
                        let next = skipping.deadlines(at_ms, day_events, &units).into_iter().flatten();
                        let next = next.filter(|ms| *ms > at_ms).min().unwrap_or(Ms::MAX);
                        due = if is_calm { (next - START_MS) / PANE_MS } else { boundary + 1 };
                    } else {
                        prop_assert_eq!(skipping.burns(at_ms, day_events, &units), burns, "skipped {}", boundary);
                    }
                }
                at += gap;
            }
            prop_assert_eq!(every, skipping);
        }
    }
}
