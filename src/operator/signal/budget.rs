//! The detector of the rule `budget`: two capped sums of how much faster than allowed the budget is spent, and evidence
//! that this is no chance (contract, section 12).
//!
//! The sums are CUSUM statistics (Page, "Continuous Inspection Schemes", Biometrika 41, 1954) in units of the budget; the
//! evidence is a mixture of likelihood ratios whose memory is bounded as in Shiryaev and Roberts' procedure, so that its mean
//! exceeds a level about once in that many ticks by chance (Shin, Ramdas and Rinaldo, "E-detectors", 2023).

use crate::model::ratio::Ratio;
use crate::model::time::{DAY_MS, MINUTE_MS, Ms};
use serde::{Deserialize, Serialize};

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

/// What a key's budget is, for the bank.
#[derive(Clone, Copy, Debug)]
pub struct BudgetScale {
    /// `1 - objective`.
    pub allowed: Ratio,
    /// Events of the last day.
    pub day_events: u64,
    /// The nominal period.
    pub period_ms: Ms,
}

impl BudgetScale {
    /// One bad event. The unit of the sums is `1 / (PARTS * allowed.den * DAY_MS)` of an event.
    fn event(self) -> u128 {
        PARTS * u128::from(self.allowed.den) * u128::from(DAY_MS.unsigned_abs())
    }

    /// What `events` events may spend.
    fn allowed_of(self, events: u64) -> u128 {
        PARTS * u128::from(self.allowed.num) * u128::from(DAY_MS.unsigned_abs()) * u128::from(events)
    }

    /// So many ten-thousandths of the period's budget.
    fn parts_of_budget(self, parts: u128) -> u128 {
        let day = u128::from(self.allowed.num) * u128::from(self.day_events);
        parts * day * u128::from(self.period_ms.unsigned_abs())
    }
}

/// The state of the rule between boundaries.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BudgetBank {
    fast: u128,
    by_minute: u128,
    minute: Seen,
    logs: [f64; MULTIPLES.len()],
    /// The last boundary at which both sums were 0.
    onset_ms: Option<Ms>,
}

impl BudgetBank {
    /// Adds what became visible at a boundary. Nothing accumulates before the key is a day old.
    pub fn add(&mut self, at_ms: Ms, seen: Seen, scale: BudgetScale, is_warm: bool) {
        if !is_warm {
            *self = BudgetBank { onset_ms: Some(at_ms), ..BudgetBank::default() };
            return;
        }
        let spent = u128::from(seen.bad) * scale.event();
        self.fast = step(self.fast, spent, 2 * scale.allowed_of(seen.events), scale.parts_of_budget(FAST_CAP));
        self.minute.add(seen);
        if at_ms % MINUTE_MS == 0 {
            self.end_minute(scale);
        }
        for (log, multiple) in self.logs.iter_mut().zip(MULTIPLES) {
            *log = evidence(*log, seen, scale.allowed.as_f64(), f64::from(multiple));
        }
        if self.fast == 0 && self.by_minute == 0 {
            self.onset_ms = Some(at_ms);
        }
    }

    fn end_minute(&mut self, scale: BudgetScale) {
        let Seen { events, bad } = std::mem::take(&mut self.minute);
        let spent = (u128::from(bad) * scale.event()).min(10 * scale.allowed_of(events));
        self.by_minute = step(self.by_minute, spent, 2 * scale.allowed_of(events), scale.parts_of_budget(MINUTE_CAP));
    }

    /// The budget is spent too fast, and that is no chance.
    pub fn burns(&self, scale: BudgetScale) -> bool {
        let spends =
            self.fast >= scale.parts_of_budget(FAST_FIRES) || self.by_minute >= scale.parts_of_budget(MINUTE_FIRES);
        spends && scale.day_events > 0 && self.mean_evidence(scale.allowed.as_f64()) >= EVIDENCE
    }

    fn mean_evidence(&self, allowed: f64) -> f64 {
        let asked = self.logs.iter().zip(MULTIPLES).filter(|(_, multiple)| f64::from(*multiple) * allowed < 1.0);
        let (sum, count) = asked.fold((0.0, 0), |(sum, count), (log, _)| (sum + libm::exp(*log), count + 1));
        if count == 0 { 0.0 } else { sum / f64::from(count) }
    }

    pub fn onset_ms(&self) -> Option<Ms> {
        self.onset_ms
    }

    /// The rule has ended: sums and evidence start over.
    pub fn reset(&mut self) {
        (self.fast, self.by_minute, self.logs) = (0, 0, [0.0; MULTIPLES.len()]);
    }

    /// No sum has anything: without events nothing changes.
    pub fn is_at_rest(&self) -> bool {
        self.fast == 0 && self.by_minute == 0 && self.minute == Seen::default()
    }
}

fn step(sum: u128, spent: u128, allowed: u128, cap: u128) -> u128 {
    (sum + spent).saturating_sub(allowed).min(cap)
}

/// `ln(1 + exp(L)) + x ln m + (n - x) ln((1 - q) / (1 - b))`, with `q = m b`.
fn evidence(log: f64, seen: Seen, allowed: f64, multiple: f64) -> f64 {
    let looked_for = multiple * allowed;
    if looked_for >= 1.0 {
        return log;
    }
    let (bad, good) = (seen.bad as f64, (seen.events - seen.bad) as f64);
    let good_ratio = libm::log((1.0 - looked_for) / (1.0 - allowed));
    let next = libm::log(1.0 + libm::exp(log)) + bad * libm::log(multiple) + good * good_ratio;
    next.clamp(LOG_MIN, LOG_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::{HOUR_MS, PANE_MS};

    const START_MS: Ms = 1_780_000_000_000 / MINUTE_MS * MINUTE_MS;

    fn scale(objective: &str, day_events: u64) -> BudgetScale {
        let objective = Ratio::parse(objective).expect("a ratio");
        BudgetScale { allowed: objective.complement().expect("below 1"), day_events, period_ms: 28 * DAY_MS }
    }

    /// Boundaries after the start until it burns.
    fn burns_after(mut each: impl FnMut(i64) -> Seen, scale: BudgetScale, most: i64) -> Option<i64> {
        let mut bank = BudgetBank::default();
        (1..=most).find(|boundary| {
            bank.add(START_MS + boundary * PANE_MS, each(*boundary), scale, true);
            bank.burns(scale)
        })
    }

    /// 99.9 % at 30 events a second: 2 % of the budget at 10 times the allowed rate, and at an outage.
    #[test]
    fn it_fires_once_two_percent_of_the_budget_are_spent_above_twice_the_rate() {
        let events = 300;
        let scale = scale("0.999", events * 8_640);
        // An outage: 2 % of 0.001 * 28 d of events are 48.4 s of them.
        assert_eq!(burns_after(|_| Seen { events, bad: events }, scale, 100), Some(5));
        // Ten times the rate: 3 bad ones a boundary, of which 0.6 are allowed twice over.
        let slow = burns_after(|_| Seen { events, bad: 3 }, scale, 2_000).expect("it fires");
        let by_sum = (0.02 * 0.001 * (events * 8_640 * 28) as f64 / 2.4).ceil() as i64;
        let by_minute = (0.003 * 0.001 * (events * 8_640 * 28) as f64 / 14.4).ceil() as i64 * 6;
        assert_eq!(slow, by_sum.min(by_minute));
        assert_eq!(burns_after(|_| Seen { events, bad: 0 }, scale, 10_000), None);
    }

    #[test]
    fn a_short_burst_counts_a_minute_as_ten_times_the_rate_at_most() {
        let scale = scale("0.99", 100 * 8_640);
        let mut bank = BudgetBank::default();
        for boundary in 1..=6 {
            bank.add(START_MS + boundary * PANE_MS, Seen { events: 100, bad: 100 }, scale, true);
        }
        // 600 events: 60 of the bad ones count, 12 are allowed.
        assert_eq!(bank.by_minute, (48 * scale.event()).min(scale.parts_of_budget(MINUTE_CAP)));
    }

    #[test]
    fn sums_are_capped_and_fall_back_to_nothing() {
        let scale = scale("0.9", 10 * 8_640);
        let mut bank = BudgetBank::default();
        let mut at_ms = START_MS;
        let mut go_on = |bank: &mut BudgetBank, bad, boundaries| {
            for _ in 0..boundaries {
                at_ms += PANE_MS;
                bank.add(at_ms, Seen { events: 10, bad }, scale, true);
            }
            at_ms
        };
        let quiet_ms = go_on(&mut bank, 0, 6);
        assert_eq!(bank.onset_ms(), Some(quiet_ms));
        go_on(&mut bank, 10, 2_000);
        assert_eq!((bank.fast, bank.by_minute), (scale.parts_of_budget(300), 0), "900 x 0.1 is no rate; 10 x is all");
        assert_eq!(bank.onset_ms(), Some(quiet_ms), "since then");
        let end_ms = go_on(&mut bank, 0, 4_000);
        assert_eq!((bank.fast, bank.onset_ms()), (0, Some(end_ms)));
        assert!(bank.is_at_rest());
    }

    #[test]
    fn a_key_of_less_than_a_day_accumulates_nothing() {
        let scale = scale("0.999", 1_000);
        let mut bank = BudgetBank::default();
        bank.add(START_MS + HOUR_MS, Seen { events: 100, bad: 100 }, scale, false);
        assert!(bank.is_at_rest() && !bank.burns(scale));
    }
}
