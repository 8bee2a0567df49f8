//! What an example's events mean, counted from the contract's words: when an event becomes visible, which ones a window
//! holds, what a budget is.

use serde_json::Value;

pub const MINUTE: i64 = 60_000;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

/// What somebody who reads the document says of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Is {
    Good,
    Bad,
    /// Does not count.
    Out,
    /// Counts, and nobody can say as what.
    Unknown,
}

impl Is {
    pub fn good(good: bool) -> Is {
        if good { Is::Good } else { Is::Bad }
    }
}

/// What a window counts: an event, or a slice of time. Good and bad in millionths (of slices with shares: billionths).
#[derive(Clone, Debug)]
pub struct Unit {
    pub time: i64,
    pub visible: i64,
    pub good: u128,
    pub bad: u128,
    pub who: Option<String>,
}

/// An event that arrived in time.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub event: Value,
    pub time: i64,
    pub visible: i64,
    pub is_late: bool,
}

pub fn floor(t: i64, step: i64) -> i64 {
    t.div_euclid(step) * step
}

/// The events that are not dropped, in the order of the file, and the last boundary.
pub fn arrivals(text: &str, lateness: i64) -> (Vec<Arrived>, i64) {
    let mut furthest: Option<i64> = None;
    let mut arrived = Vec::new();
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).expect("JSON");
        let time = event["timestamp"].as_i64().expect("a time");
        let watermark = furthest.map(|t| t - 5_000);
        furthest = Some(furthest.map_or(time, |t| t.max(time)));
        if watermark.is_some_and(|w| time < w - lateness) {
            continue;
        }
        let visible = floor(watermark.map_or(time, |w| w.max(time)), 10_000) + 10_000;
        arrived.push(Arrived { event, time, visible, is_late: watermark.is_some_and(|w| time < w) });
    }
    let end = floor(arrived.iter().map(|a| a.time).max().expect("events"), 10_000) + 10_000;
    (arrived, end)
}

/// The events as units.
pub fn events(arrived: &[Arrived], is: impl Fn(&Value) -> Is) -> Vec<Unit> {
    let unit = |a: &Arrived| {
        let weight = (a.event["weight"].as_f64().unwrap_or(1.0) * 1e6).round() as u128;
        let (good, bad) = match is(&a.event) {
            Is::Good => (weight, 0),
            Is::Bad => (0, weight),
            Is::Out | Is::Unknown => return None,
        };
        let user = a.event["user"].as_str();
        let who = user.map(|user| format!("{}/{user}", a.event["tenant"].as_str().expect("a tenant")));
        Some(Unit { time: a.time, visible: a.visible, good, bad, who })
    };
    arrived.iter().filter_map(unit).collect()
}

/// Slices of time as units: `judge` gets the good and bad events of a slice, and says how good it is (a share, in
/// billionths), or that it does not count.
pub fn slices(events: &[Unit], length: i64, judge: impl Fn(&[&Unit]) -> Option<u128>) -> Vec<Unit> {
    let mut starts: Vec<i64> = events.iter().map(|e| floor(e.time, length)).collect();
    starts.sort_unstable();
    starts.dedup();
    let slice = |start: i64| {
        let inside: Vec<&Unit> = events.iter().filter(|e| floor(e.time, length) == start).collect();
        let good = judge(&inside)?;
        Some(Unit { time: start, visible: start + length, good, bad: 1_000_000_000 - good, who: None })
    };
    starts.into_iter().filter_map(slice).collect()
}

/// Where a rolling window begins.
pub fn start(t: i64, window: i64) -> i64 {
    let slice = match window {
        w if w <= 10 * MINUTE => 10_000,
        w if w <= 2 * HOUR => MINUTE,
        w if w <= 12 * HOUR => 5 * MINUTE,
        w if w <= 3 * DAY => HOUR,
        w if w <= 31 * DAY => 6 * HOUR,
        _ => DAY,
    };
    floor(t - window + slice - 1, slice)
}

/// The units of a window at a boundary.
pub fn within(units: &[Unit], from: i64, t: i64) -> Vec<&Unit> {
    units.iter().filter(|u| u.visible <= t && (from..t).contains(&u.time)).collect()
}

pub fn sums(units: &[&Unit]) -> (u128, u128) {
    units.iter().fold((0, 0), |(good, bad), unit| (good + unit.good, bad + unit.bad))
}
