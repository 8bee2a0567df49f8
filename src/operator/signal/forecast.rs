//! When the error budget will be gone: the recent hours are drawn again and again, with the traffic that the hour of the day
//! usually has, while old failures leave the window and give budget back.
//!
//! A bootstrap over hours (Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7, 1979) in which
//! an hour counts half as much for every twelve hours of its age. Recent hours are few and resemble their neighbours, so each
//! future has a level of its own, too, as far off as their mean may be. Numbers come from a counter: the same key and
//! boundary give the same forecast everywhere.

use crate::model::time::{DAY_MS, HOUR_MS, Ms};
use serde::{Deserialize, Serialize};

/// Futures that are drawn.
const PATHS: usize = 64;
/// Hours that are drawn from.
pub const RECENT_HOURS: usize = 48;
const HALF_LIFE_HOURS: f64 = 12.0;
/// What neighbouring hours have in common is seen in the means of so many.
const BLOCK_MS: Ms = 3 * HOUR_MS;
/// However alike neighbours are, a block tells something of its own.
const CORRELATION_MAX: f64 = 0.9;
/// Drawn hours are looked up in so many places, each as likely as the others.
const PLACES: usize = 256;
/// The rule `exhaustion` asks about this long.
const WARNS_AHEAD_MS: Ms = 3 * DAY_MS;

/// What is good and bad in a span of time, in micro-weights.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Span {
    pub start_ms: Ms,
    pub bad: f64,
    pub total: f64,
}

/// What a forecast is made of.
#[derive(Debug)]
pub struct Past<'a> {
    pub at_ms: Ms,
    pub seed: u64,
    /// `1 - objective`.
    pub allowed: f64,
    pub period_ms: Ms,
    /// The share of the compliance window in which the key has existed, and how much an hour adds to it.
    pub coverage: f64,
    pub coverage_an_hour: f64,
    /// The slices of the compliance window, ascending.
    pub slices: &'a [Span],
    /// Whole hours, ascending; hours without events may be missing.
    pub hours: &'a [Span],
}

/// When the budget will be gone in 10, 50 and 90 % of the futures; `None`: not within the period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    pub p10_ms: Option<Ms>,
    pub p50_ms: Option<Ms>,
    pub p90_ms: Option<Ms>,
    /// In how many percent of the futures it is gone within three days.
    pub soon_percent: u8,
}

impl Forecast {
    pub fn of(past: &Past<'_>) -> Forecast {
        let hours = (past.period_ms / HOUR_MS).max(1) as usize;
        let window = past.slices.iter().fold(Span::default(), |all, slice| all.plus(*slice));
        if window.is_gone(past.allowed, past.coverage) {
            let now = Some(past.at_ms);
            return Forecast { p10_ms: now, p50_ms: now, p90_ms: now, soon_percent: 100 };
        }
        let recent = past.recent();
        let (kept, draws, levels) = (past.kept(window, hours), draws(&recent), past.levels(spread(&recent)));
        let highest = levels.iter().copied().fold(0.0, f64::max);
        let could_go = draws.iter().any(|ratio| ratio * highest > past.allowed);
        if !could_go && !kept.iter().any(|(span, coverage)| span.is_gone(past.allowed, *coverage)) {
            return Forecast::default();
        }
        let traffic = past.traffic(hours);
        let after = |(path, level)| past.gone_after((path, level), &kept, &traffic, &draws);
        let mut gone: Vec<usize> = levels.into_iter().enumerate().map(after).collect();
        gone.sort_unstable();
        let at = |share: usize| {
            let after = gone[(PATHS * share).div_ceil(100) - 1];
            (after < hours).then_some(past.at_ms + (after as Ms + 1) * HOUR_MS)
        };
        let soon = gone.iter().filter(|after| (**after as Ms + 1) * HOUR_MS <= WARNS_AHEAD_MS).count();
        Forecast { p10_ms: at(10), p50_ms: at(50), p90_ms: at(90), soon_percent: (soon * 100 / PATHS) as u8 }
    }
}

impl Span {
    fn plus(self, other: Span) -> Span {
        Span { start_ms: self.start_ms, bad: self.bad + other.bad, total: self.total + other.total }
    }

    /// Whether this is all of a period's budget.
    fn is_gone(&self, allowed: f64, coverage: f64) -> bool {
        self.total > 0.0 && self.bad * coverage >= allowed * self.total
    }
}

impl Past<'_> {
    /// For each hour to come: what of today's window is still in it then, and the coverage.
    fn kept(&self, window: Span, hours: usize) -> Vec<(Span, f64)> {
        let mut left = window;
        let mut leaving = self.slices.iter().peekable();
        let after = |hour: usize| {
            let start_ms = self.at_ms + (hour as Ms + 1) * HOUR_MS - self.period_ms;
            while let Some(gone) = leaving.next_if(|slice| slice.start_ms < start_ms) {
                (left.bad, left.total) = ((left.bad - gone.bad).max(0.0), (left.total - gone.total).max(0.0));
            }
            (left, (self.coverage + (hour as f64 + 1.0) * self.coverage_an_hour).min(1.0))
        };
        (0..hours).map(after).collect()
    }

    /// Recent hours with events, ascending.
    fn recent(&self) -> Vec<Recent> {
        let from_ms = self.at_ms - RECENT_HOURS as Ms * HOUR_MS;
        let recent = self.hours.iter().filter(|hour| hour.start_ms >= from_ms && hour.total > 0.0);
        let weighed = |hour: &Span| {
            let age = (self.at_ms - HOUR_MS - hour.start_ms) as f64 / HOUR_MS as f64;
            let weight = libm::exp2(-age / HALF_LIFE_HOURS);
            Recent { block: hour.start_ms.div_euclid(BLOCK_MS), weight, ratio: hour.bad / hour.total }
        };
        recent.map(weighed).collect()
    }

    /// By path, what its error ratios are multiplied by: lognormal around 1.
    fn levels(&self, spread: f64) -> [f64; PATHS] {
        let unit = |path: usize, of: u32| {
            let number = number(self.seed, path as u64, u64::from(u32::MAX - of));
            ((number >> 11) as f64 + 0.5) / (1u64 << 53) as f64
        };
        // Box and Muller's method (Annals of Mathematical Statistics 29, 1958).
        let normal = |path: usize| {
            let radius = libm::sqrt(-2.0 * libm::log(unit(path, 0)));
            radius * libm::cos(std::f64::consts::TAU * unit(path, 1))
        };
        std::array::from_fn(|path| libm::exp(spread * normal(path)))
    }

    /// For each hour to come the usual traffic of its hour of the day; of an hour of the day that was never seen, the mean.
    fn traffic(&self, hours: usize) -> Vec<f64> {
        let of_day = |ms: Ms| (ms.rem_euclid(DAY_MS) / HOUR_MS) as usize;
        let (mut sums, mut counts) = ([0.0; 24], [0.0; 24]);
        for hour in self.hours {
            sums[of_day(hour.start_ms)] += hour.total;
            counts[of_day(hour.start_ms)] += 1.0;
        }
        let mean = sums.iter().sum::<f64>() / counts.iter().sum::<f64>().max(1.0);
        let usual: [f64; 24] = std::array::from_fn(|h| if counts[h] > 0.0 { sums[h] / counts[h] } else { mean });
        (0..hours).map(|hour| usual[of_day(self.at_ms + hour as Ms * HOUR_MS)]).collect()
    }

    /// After how many hours the budget of one future is gone; their number: not within the period.
    fn gone_after(
        &self,
        (path, level): (usize, f64),
        kept: &[(Span, f64)],
        traffic: &[f64],
        draws: &[f64; PLACES],
    ) -> usize {
        let mut future = Span::default();
        for (hour, ((span, coverage), total)) in kept.iter().zip(traffic).enumerate() {
            let place = number(self.seed, path as u64, hour as u64) as usize % PLACES;
            let ratio = (draws[place] * level).min(1.0);
            future = future.plus(Span { start_ms: 0, bad: total * ratio, total: *total });
            if span.plus(future).is_gone(self.allowed, *coverage) {
                return hour;
            }
        }
        kept.len()
    }
}

/// An hour that is drawn from.
struct Recent {
    block: Ms,
    weight: f64,
    ratio: f64,
}

/// The error ratios of recent hours, each as often as it counts.
fn draws(recent: &[Recent]) -> [f64; PLACES] {
    let all: f64 = recent.iter().map(|hour| hour.weight).sum();
    let mut draws = [0.0; PLACES];
    let (mut before, mut place) = (0.0, 0);
    for hour in recent {
        before += hour.weight;
        while place < PLACES && (place as f64 + 0.5) * all <= before * PLACES as f64 {
            draws[place] = hour.ratio;
            place += 1;
        }
    }
    draws
}

/// How far off the mean of recent hours may be: the standard deviation of its logarithm, from the means of blocks of hours.
/// Blocks of unequal weight count as fewer (Kish, "Survey sampling", 1965), and so do blocks like their neighbours (Bayley and
/// Hammersley, Supplement to the Journal of the Royal Statistical Society 8, 1946).
fn spread(recent: &[Recent]) -> f64 {
    let of_block = |hours: &[Recent]| {
        let weight: f64 = hours.iter().map(|hour| hour.weight).sum();
        (weight, hours.iter().map(|hour| hour.weight * hour.ratio).sum::<f64>() / weight)
    };
    let blocks: Vec<(f64, f64)> = recent.chunk_by(|a, b| a.block == b.block).map(of_block).collect();
    let (all, squares) = blocks.iter().fold((0.0, 0.0), |(all, squares), (w, _)| (all + w, squares + w * w));
    let mean = blocks.iter().map(|(weight, ratio)| weight * ratio).sum::<f64>() / all;
    let variance = blocks.iter().map(|(weight, ratio)| weight * (ratio - mean) * (ratio - mean)).sum::<f64>() / all;
    if mean.is_nan() || mean <= 0.0 || variance <= 0.0 {
        return 0.0;
    }
    let pair = |(sum, pairs): (f64, f64), (a, b): (&(f64, f64), &(f64, f64))| {
        let weight = libm::sqrt(a.0 * b.0);
        (sum + weight * (a.1 - mean) * (b.1 - mean), pairs + weight)
    };
    let (together, pairs) = blocks.iter().zip(blocks.iter().skip(1)).fold((0.0, 0.0), pair);
    let alike = if pairs > 0.0 { (together / pairs / variance).clamp(0.0, CORRELATION_MAX) } else { 0.0 };
    // Of one block nothing follows about how blocks differ.
    let effective = (all * all / squares).max(1.5);
    let of_mean = variance / (effective - 1.0) * (1.0 + alike) / (1.0 - alike);
    libm::sqrt(libm::log1p(of_mean / (mean * mean)))
}

/// A number that follows from a counter (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
fn number(seed: u64, path: u64, hour: u64) -> u64 {
    let mut z = seed ^ (path << 32 | hour).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_MS: Ms = 1_780_000_000_000 - 1_780_000_000_000 % DAY_MS;
    const PERIOD_MS: Ms = 28 * DAY_MS;
    const ALLOWED: f64 = 0.001;

    /// 28 days of 1,000 events an hour; `ratio` says how many of an hour's are bad, by its age in hours.
    fn spans(ratio: impl Fn(i64) -> f64, length_ms: Ms) -> Vec<Span> {
        let of_hour = |age: i64| ratio(age) * 1_000.0;
        let starts = (0..PERIOD_MS / length_ms).map(|i| AT_MS - PERIOD_MS + i * length_ms);
        let hours = length_ms / HOUR_MS;
        let span = |start_ms: Ms| {
            let oldest = (AT_MS - start_ms) / HOUR_MS;
            let bad = (0..hours).map(|h| of_hour(oldest - h)).sum();
            Span { start_ms, bad, total: 1_000.0 * hours as f64 }
        };
        starts.map(span).collect()
    }

    fn forecast(ratio: impl Fn(i64) -> f64 + Copy) -> Forecast {
        let (slices, hours) = (spans(ratio, 6 * HOUR_MS), spans(ratio, HOUR_MS));
        let hours = &hours[hours.len() - 72..];
        let slices = &slices[..];
        let (coverage, coverage_an_hour, seed) = (1.0, 0.0, 7);
        Forecast::of(&Past {
            at_ms: AT_MS,
            seed,
            allowed: ALLOWED,
            period_ms: PERIOD_MS,
            coverage,
            coverage_an_hour,
            slices,
            hours,
        })
    }

    #[test]
    fn a_steady_burn_runs_out_when_the_line_says_so() {
        // At four times the allowed rate for two days: 2/28 * 4 = 29 % are gone; the rest goes at 4/28 a day.
        let after = |ms: Option<Ms>| (ms.expect("within the period") - AT_MS) as f64 / DAY_MS as f64;
        let f = forecast(|age| if age <= 48 { 4.0 * ALLOWED } else { 0.0 });
        let line = (1.0 - 8.0 / 28.0) / (4.0 / 28.0);
        assert!((after(f.p50_ms) - line).abs() < 0.2, "{f:?}: the line says {line}");
        assert!(after(f.p10_ms) <= after(f.p50_ms) && after(f.p50_ms) <= after(f.p90_ms));
        assert_eq!(f.soon_percent, 0);
    }

    #[test]
    fn budget_comes_back_when_old_failures_leave_the_window() {
        // 90 % went in one day four weeks ago; since then at the allowed rate, which by a line would be the end.
        let f = forecast(|age| if age > 648 { 25.0 * ALLOWED } else { 0.1 * ALLOWED });
        assert_eq!(f, Forecast::default());
    }

    #[test]
    fn hours_that_differ_give_a_range_and_old_ones_count_less() {
        let f = forecast(|age| if age <= 48 && age % 4 == 0 { 24.0 * ALLOWED } else { 0.0 });
        let (Some(p10), Some(p90)) = (f.p10_ms, f.p90_ms) else { panic!("{f:?}") };
        assert!(p90 - p10 >= 6 * HOUR_MS, "{f:?}");
        let over = forecast(|age| if (36..=48).contains(&age) { 12.0 * ALLOWED } else { 0.0 });
        let now = forecast(|age| if age <= 12 { 12.0 * ALLOWED } else { 0.0 });
        assert!(over.p50_ms.is_none_or(|over| now.p50_ms.is_some_and(|now| now < over)), "{over:?} {now:?}");
    }

    #[test]
    fn hours_like_their_neighbours_say_less_than_others() {
        // Half of the hours burn eight times as fast as is allowed, the others not at all.
        let range = |f: Forecast| f.p90_ms.unwrap_or(AT_MS + PERIOD_MS) - f.p10_ms.unwrap_or(AT_MS + PERIOD_MS);
        let burns = |is_on: bool| f64::from(u8::from(is_on)) * 8.0 * ALLOWED;
        let by_turns = forecast(|age| burns(age <= 72 && age % 2 == 0));
        let by_halves = forecast(|age| burns(age <= 72 && age / 12 % 2 == 0));
        assert!(range(by_halves) > 3 * range(by_turns), "{by_halves:?} {by_turns:?}");
    }

    #[test]
    fn a_budget_that_is_gone_is_gone_now_and_a_quiet_key_has_no_forecast() {
        assert_eq!(forecast(|_| 2.0 * ALLOWED).p50_ms, Some(AT_MS));
        assert_eq!(forecast(|_| 0.0), Forecast::default());
    }
}
