//! The rule `budget` of section 12, in steps of one boundary: no shortcut through quiet times, no state but what the
//! text names.

use crate::ratio::Ratio;
use crate::slo::Rule;
use crate::time::{DAY_MS, MINUTE_MS};
use crate::windows::History;

const MULTIPLES: [i128; 6] = [4, 8, 16, 50, 200, 900];
/// Sums are in ten-thousandths of `1 / (denominator of b * 1 d)` of an event, so that all of them are integers.
const PARTS: i128 = 10_000;

/// Events of one boundary or minute.
#[derive(Clone, Copy, Default)]
pub struct Seen {
    pub events: i64,
    pub bad: i64,
}

impl Seen {
    pub fn add(&mut self, more: Seen) {
        self.events += more.events;
        self.bad += more.bad;
    }
}

pub struct Budget {
    allowed: Ratio,
    period_ms: i64,
    /// What became visible at the boundary that is evaluated next.
    pub now: Seen,
    minute: Seen,
    s0: i128,
    s1: i128,
    logs: [f64; 6],
    /// The last boundary at which both sums were 0.
    zero_ms: i64,
    /// The last boundary at which the 5m window held events and burnt at 1 or more.
    hot_ms: Option<i64>,
    condition: bool,
}

impl Budget {
    pub fn new(allowed: Ratio, period_ms: i64, at_ms: i64) -> Self {
        Self {
            allowed,
            period_ms,
            now: Seen::default(),
            minute: Seen::default(),
            s0: 0,
            s1: 0,
            logs: [0.0; 6],
            zero_ms: at_ms - 10_000,
            hot_ms: None,
            condition: false,
        }
    }

    fn events(&self, number: i128) -> i128 {
        number * PARTS * self.allowed.den * i128::from(DAY_MS)
    }

    /// `number * b * n`.
    fn allowed(&self, number: i128, events: i64) -> i128 {
        number * PARTS * self.allowed.num * i128::from(events) * i128::from(DAY_MS)
    }

    /// So many ten-thousandths of B.
    fn of_budget(&self, parts: i128, day: i64) -> i128 {
        parts * self.allowed.num * i128::from(day) * i128::from(self.period_ms)
    }

    pub fn step(&mut self, history: &History, first_ms: Option<i64>, at_ms: i64) {
        let seen = std::mem::take(&mut self.now);
        let five = history.window(at_ms, 5 * MINUTE_MS);
        if five.events() > 0 && !self.is_below_one(&five) {
            self.hot_ms = Some(at_ms);
        }
        self.condition = false;
        if first_ms.is_none_or(|first_ms| at_ms - first_ms < DAY_MS) {
            self.zero_ms = at_ms;
            return;
        }
        let day = history.window(at_ms, DAY_MS).events();
        let s0 = self.s0 + self.events(seen.bad.into()) - self.allowed(2, seen.events);
        self.s0 = s0.max(0).min(self.of_budget(300, day));
        self.minute.add(seen);
        if at_ms % MINUTE_MS == 0 {
            let Seen { events, bad } = std::mem::take(&mut self.minute);
            let counted = self.events(bad.into()).min(self.allowed(10, events));
            self.s1 = (self.s1 + counted - self.allowed(2, events)).max(0).min(self.of_budget(45, day));
        }
        if self.s0 == 0 && self.s1 == 0 {
            self.zero_ms = at_ms;
        }
        let evidence = self.evidence(seen);
        let spends = self.s0 >= self.of_budget(200, day) || self.s1 >= self.of_budget(30, day);
        self.condition = spends && evidence >= 259_200.0;
    }

    fn evidence(&mut self, seen: Seen) -> f64 {
        let b = self.allowed.as_f64();
        let (mut sum, mut count) = (0.0, 0.0);
        for (log, m) in self.logs.iter_mut().zip(MULTIPLES) {
            if m * self.allowed.num >= self.allowed.den {
                continue;
            }
            let q = m as f64 * b;
            let (x, good) = (seen.bad as f64, (seen.events - seen.bad) as f64);
            let next =
                libm::log(1.0 + libm::exp(*log)) + x * libm::log(m as f64) + good * libm::log((1.0 - q) / (1.0 - b));
            *log = next.clamp(-700.0, 60.0);
            sum += libm::exp(*log);
            count += 1.0;
        }
        if count > 0.0 { sum / count } else { 0.0 }
    }

    fn is_below_one(&self, window: &crate::windows::Sums) -> bool {
        self.allowed.num * i128::from(window.weight_micros()) > i128::from(window.bad_micros) * self.allowed.den
    }

    pub fn condition(&self) -> bool {
        self.condition
    }

    pub fn onset_ms(&self) -> i64 {
        self.zero_ms
    }

    /// Whether the evidence of the last quarter of an hour says that it is over.
    pub fn is_over(&self, history: &History, at_ms: i64) -> bool {
        let five = history.window(at_ms, 5 * MINUTE_MS);
        five.events() > 0 && self.hot_ms.is_none_or(|hot_ms| hot_ms < at_ms - 15 * MINUTE_MS)
    }

    pub fn reset(&mut self, at_ms: i64) {
        (self.s0, self.s1, self.logs) = (0, 0, [0.0; 6]);
        self.zero_ms = at_ms;
    }
}

/// The rule as it stands behind the burn rules.
pub fn rule() -> Rule {
    Rule {
        long_ms: 60 * MINUTE_MS,
        short_ms: Some(5 * MINUTE_MS),
        factor: Ratio::new(2, 1),
        severity: crate::slo::Severity::Page,
        is_budget: true,
        is_sla: false,
    }
}
