//! The hourly points of each key, for 400 days or as far as the memory for them goes.
//!
//! Above the limit the oldest day of all keys is dropped at once, so that what is there begins at one day for all, and
//! answers can say so.

use super::points::{self, Point, day_of};
use crate::model::time::{DAY_MS, HOUR_MS, Ms};
use std::collections::BTreeMap;

const DAYS_KEPT: i64 = 400;
/// What an entry of a day costs beside its points.
const DAY_OVERHEAD: usize = 48;

pub struct History {
    by_key: BTreeMap<Box<str>, Series>,
    keys_max: usize,
    bytes_max: usize,
    bytes: usize,
    /// Days before this one were dropped.
    from_day: i64,
    has_dropped: bool,
}

#[derive(Default)]
struct Series {
    days: BTreeMap<i64, Vec<u8>>,
    last: Option<Point>,
}

impl History {
    pub fn new(keys_max: usize, bytes_max: usize) -> History {
        History { by_key: BTreeMap::new(), keys_max, bytes_max, bytes: 0, from_day: i64::MIN, has_dropped: false }
    }

    pub fn put(&mut self, key: &str, point: Point) {
        let day = day_of(point.at.0);
        if day < self.from_day || !self.by_key.contains_key(key) && self.by_key.len() >= self.keys_max {
            return;
        }
        let series = self.by_key.entry(key.into()).or_default();
        let added = series.put(point);
        self.bytes = self.bytes.saturating_add_signed(added);
        if day - DAYS_KEPT > self.from_day {
            self.drop_before(day - DAYS_KEPT);
        }
        while self.bytes > self.bytes_max && self.drop_oldest_day() {}
    }

    fn drop_oldest_day(&mut self) -> bool {
        let days = || self.by_key.values().filter_map(|series| series.days.first_key_value().map(|(day, _)| *day));
        let Some(oldest) = days().min() else { return false };
        self.drop_before(oldest + 1);
        true
    }

    fn drop_before(&mut self, day: i64) {
        self.from_day = day;
        for series in self.by_key.values_mut() {
            let kept = series.days.split_off(&day);
            let gone = std::mem::replace(&mut series.days, kept);
            self.has_dropped |= !gone.is_empty();
            self.bytes -= gone.values().map(|bytes| bytes.len() + DAY_OVERHEAD).sum::<usize>();
        }
    }

    /// The points of a key with `from_ms` <= at < `to_ms`, by time.
    pub fn points(&self, key: &str, from_ms: Ms, to_ms: Ms) -> Vec<Point> {
        let Some(series) = self.by_key.get(key) else { return Vec::new() };
        if from_ms >= to_ms {
            return Vec::new();
        }
        let days = series.days.range(day_of(from_ms)..=day_of(to_ms));
        let points = days.flat_map(|(day, bytes)| points::read(*day, bytes));
        points.filter(|point| (from_ms..to_ms).contains(&point.at.0)).collect()
    }

    /// The SLI of each of the last `hours` hours before `at_ms`, the newest last; null where there is none.
    pub fn spark(&self, key: &str, at_ms: Ms, hours: usize) -> Vec<Option<f64>> {
        let last = at_ms.div_euclid(HOUR_MS);
        let first = last + 1 - hours as i64;
        let mut spark = vec![None; hours];
        for point in self.points(key, first * HOUR_MS, last * HOUR_MS + 1) {
            if let Some(slot) = spark.get_mut((point.at.0.div_euclid(HOUR_MS) - first) as usize) {
                *slot = point.hourly_sli();
            }
        }
        spark
    }

    /// The first day that is kept, where older ones were dropped.
    pub fn begins_ms(&self) -> Option<Ms> {
        self.has_dropped.then_some(self.from_day.saturating_mul(DAY_MS))
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn keys(&self) -> usize {
        self.by_key.len()
    }
}

impl Series {
    /// Returns by how many bytes it grew.
    fn put(&mut self, point: Point) -> isize {
        let day = day_of(point.at.0);
        let is_new = self.last.as_ref().is_none_or(|last| last.at < point.at);
        let overhead = if self.days.contains_key(&day) { 0 } else { DAY_OVERHEAD };
        let bytes = self.days.entry(day).or_default();
        let before = bytes.len();
        if is_new {
            let in_day = self.last.as_ref().filter(|last| day_of(last.at.0) == day);
            points::append(bytes, in_day, &point);
            self.last = Some(point);
        } else {
            // Read again, or late: the day is written anew.
            let mut all = points::read(day, bytes);
            match all.binary_search_by_key(&point.at, |p| p.at) {
                Ok(at) => all[at] = point,
                Err(at) => all.insert(at, point),
            }
            bytes.clear();
            for (i, point) in all.iter().enumerate() {
                points::append(bytes, i.checked_sub(1).map(|i| &all[i]), point);
            }
            if self.last.as_ref().is_some_and(|last| day_of(last.at.0) == day) {
                self.last = all.pop();
            }
        }
        (bytes.len() + overhead) as isize - before as isize
    }
}

#[cfg(test)]
mod tests {
    use super::super::points::tests::point;
    use super::*;

    const YEAR: usize = 1 << 30;

    #[test]
    fn points_come_back_by_time_and_a_spark_has_a_slot_an_hour() {
        let mut history = History::new(10, YEAR);
        for hour in [100, 101, 103] {
            history.put("a", point(hour, 3.0, 1.0));
        }
        assert_eq!(history.points("a", 101 * HOUR_MS, 200 * HOUR_MS).len(), 2);
        assert_eq!(history.points("b", 0, 200 * HOUR_MS), []);
        assert_eq!(history.spark("a", 103 * HOUR_MS + 5, 4), [Some(0.75), Some(0.75), None, Some(0.75)]);
    }

    #[test]
    fn a_point_that_is_read_again_stands_once_and_the_later_one_counts() {
        let mut history = History::new(10, YEAR);
        for (hour, good) in [(5, 1.0), (6, 2.0), (5, 7.0), (7, 4.0), (30, 5.0), (6, 9.0)] {
            history.put("a", point(hour, good, 0.0));
        }
        let good: Vec<f64> = history.points("a", 0, 100 * HOUR_MS).iter().map(|p| p.good).collect();
        assert_eq!(good, [7.0, 9.0, 4.0, 5.0]);
        history.put("a", point(31, 6.0, 0.0));
        assert_eq!(history.points("a", 0, 100 * HOUR_MS).len(), 5);
    }

    #[test]
    fn what_is_too_old_or_too_much_goes_by_whole_days() {
        let mut history = History::new(2, YEAR);
        history.put("a", point(0, 1.0, 0.0));
        history.put("b", point(24 * 200, 1.0, 0.0));
        history.put("c", point(24 * 200, 1.0, 0.0));
        assert_eq!(history.keys(), 2, "there is room for two");
        history.put("a", point(24 * 401, 1.0, 0.0));
        assert_eq!(history.points("a", 0, Ms::MAX / 2).len(), 1);
        assert_eq!(history.begins_ms(), Some(DAY_MS));

        let mut small = History::new(2, 2_000);
        for hour in 0..24 * 60 {
            small.put("a", point(hour, hour as f64, 0.0));
            small.put("b", point(hour, 1.0, hour as f64 / 3.0));
        }
        assert!(small.bytes() <= 2_000);
        let first = small.points("a", 0, Ms::MAX / 2)[0].at.0;
        assert_eq!(first, small.points("b", 0, Ms::MAX / 2)[0].at.0);
        assert_eq!(Some(first), small.begins_ms());
    }
}
