//! When records arrive: a Poisson process under a daily and weekly rhythm.
//!
//! Every region wakes at its own hour; weekends are quieter. Gaps are drawn in expected events and then walked through
//! minutes of constant rate. An arrival is always computed completely before it is returned, so the times do not depend
//! on how often the caller asks.

use super::random::{Draws, Purpose};
use super::settings::{RateStep, Volume};
use super::traits::REGIONS;
use crate::model::time::{DAY_MS, MINUTE_MS, Ms};

const MINUTES_A_WEEK: usize = 7 * 24 * 60;
/// The epoch was a Thursday; the week here starts on Monday.
const EPOCH_MS_INTO_WEEK: Ms = 3 * DAY_MS;
const WEEKEND: f64 = 0.7;
/// The busiest hour of each region, in UTC.
const PEAK_HOURS: [f64; REGIONS.len()] = [13.0, 19.0, 5.0, 17.0];

/// The rate of each region by minute of the week; 1 on average over the week and over the crowd.
#[derive(Clone, Debug)]
pub struct Rhythm {
    /// By minute: the sum over regions.
    total: Vec<f64>,
    regions: Vec<[f64; REGIONS.len()]>,
}

impl Rhythm {
    pub fn new(diurnal: f64, shares: [f64; REGIONS.len()]) -> Rhythm {
        let mean_day = (5.0 + 2.0 * WEEKEND) / 7.0;
        let regions: Vec<_> = (0..MINUTES_A_WEEK)
            .map(|minute| {
                let day = if diurnal > 0.0 && minute >= 5 * 24 * 60 { WEEKEND } else { 1.0 };
                let level = if diurnal > 0.0 { day / mean_day } else { 1.0 };
                let hour = (minute % (24 * 60)) as f64 / 60.0;
                let mut rates = [0.0; REGIONS.len()];
                for (r, rate) in rates.iter_mut().enumerate() {
                    let phase = 2.0 * std::f64::consts::PI * (hour - PEAK_HOURS[r]) / 24.0;
                    *rate = shares[r] * level * (1.0 + diurnal * libm::cos(phase));
                }
                rates
            })
            .collect();
        Rhythm { total: regions.iter().map(|r| r.iter().sum()).collect(), regions }
    }

    #[inline]
    fn at(&self, time_ms: Ms) -> f64 {
        self.total[minute_of_week(time_ms)]
    }

    /// The region of an arrival at this time.
    #[inline]
    pub fn region(&self, time_ms: Ms, draws: &mut Draws) -> usize {
        draws.weighted(&self.regions[minute_of_week(time_ms)])
    }

    /// The integral of the rhythm, in ms.
    fn integral(&self, from_ms: Ms, until_ms: Ms) -> f64 {
        let mut sum = 0.0;
        let mut t = from_ms;
        while t < until_ms {
            let end = next_minute(t).min(until_ms);
            sum += self.at(t) * (end - t) as f64;
            t = end;
        }
        sum
    }
}

#[inline]
fn minute_of_week(time_ms: Ms) -> usize {
    ((time_ms + EPOCH_MS_INTO_WEEK).rem_euclid(7 * DAY_MS) / MINUTE_MS) as usize
}

const fn next_minute(time_ms: Ms) -> Ms {
    time_ms - time_ms.rem_euclid(MINUTE_MS) + MINUTE_MS
}

/// The arrival process.
#[derive(Clone, Debug)]
pub struct Arrivals {
    seed: u64,
    drawn: u64,
    now_ms: Ms,
    /// Time within the current ms, so that rates above 1/ms keep their average.
    fraction: f64,
    mode: Mode,
}

#[derive(Clone, Debug)]
enum Mode {
    /// Uniform order statistics: `left` arrivals in the rest of the integral.
    Counted {
        left: u64,
        integral_left: f64,
        until_ms: Ms,
    },
    Endless {
        steps: Vec<RateStep>,
    },
}

impl Arrivals {
    pub fn new(seed: u64, from_ms: Ms, volume: &Volume, rhythm: &Rhythm) -> Arrivals {
        let mode = match volume {
            Volume::Total { events, until_ms } => {
                Mode::Counted { left: *events, integral_left: rhythm.integral(from_ms, *until_ms), until_ms: *until_ms }
            }
            Volume::Rates(steps) => Mode::Endless { steps: steps.clone() },
        };
        Arrivals { seed, drawn: 0, now_ms: from_ms, fraction: 0.0, mode }
    }

    /// The next arrival; `None` after the last one.
    pub fn next(&mut self, rhythm: &Rhythm) -> Option<Ms> {
        let exponential = Draws::at(self.seed, Purpose::Arrival, self.drawn).exponential();
        let (gap, until_ms) = match &mut self.mode {
            Mode::Counted { left: 0, .. } => return None,
            Mode::Counted { left, integral_left, until_ms } => {
                let gap = *integral_left * -libm::expm1(-exponential / *left as f64);
                *left -= 1;
                *integral_left -= gap;
                (gap, Some(*until_ms))
            }
            Mode::Endless { .. } => (exponential, None),
        };
        self.drawn += 1;
        self.walk(gap, until_ms, rhythm);
        Some(self.now_ms)
    }

    /// Moves on until `gap` of the integral is used up; never to `until_ms` itself.
    fn walk(&mut self, mut gap: f64, until_ms: Option<Ms>, rhythm: &Rhythm) {
        loop {
            let (rate, end_ms) = self.piece(until_ms, rhythm);
            let room_ms = (end_ms - self.now_ms) as f64 - self.fraction;
            let needed_ms = if rate > 0.0 { gap / rate } else { f64::INFINITY };
            if needed_ms < room_ms {
                let moved = self.fraction + needed_ms;
                self.now_ms += moved as Ms;
                self.fraction = moved - libm::floor(moved);
                return;
            }
            if until_ms == Some(end_ms) {
                // Only rounding leads here; the last arrivals stay inside the period.
                (self.now_ms, self.fraction) = (end_ms - 1, 0.0);
                return;
            }
            gap -= rate * room_ms;
            (self.now_ms, self.fraction) = (end_ms, 0.0);
        }
    }

    /// The rate now (per ms, in the unit of the gap) and the moment up to which it stays.
    fn piece(&self, until_ms: Option<Ms>, rhythm: &Rhythm) -> (f64, Ms) {
        let shape = rhythm.at(self.now_ms);
        let minute_ms = next_minute(self.now_ms);
        match &self.mode {
            Mode::Counted { .. } => (shape, until_ms.map_or(minute_ms, |u| u.min(minute_ms))),
            Mode::Endless { steps } => {
                let begun = steps.partition_point(|s| s.from_ms <= self.now_ms);
                let rate = begun.checked_sub(1).map_or(0.0, |i| steps[i].events_per_s);
                let next_step_ms = steps.get(begun).map_or(minute_ms, |s| s.from_ms);
                (shape * rate / 1_000.0, minute_ms.min(next_step_ms))
            }
        }
    }
}
