//! The hourly points of each key, for 400 days or as far as there is room for them.
//!
//! Above the memory's limit the oldest day of all keys goes to a store, if there is one. Without one it is dropped at
//! once for all keys, so that what is there begins at one day, and answers can say so.

use super::points::{self, Point, day_of};
use super::saved_days::SavedDays;
use crate::model::time::{DAY_MS, HOUR_MS, Ms};
use crate::state::{Store, StoreError};
use std::collections::BTreeMap;

const DAYS_KEPT: i64 = 400;
/// What an entry of a day costs beside its points.
const DAY_OVERHEAD: usize = 48;

pub struct History {
    by_key: BTreeMap<Box<str>, Series>,
    keys_max: usize,
    bytes_max: usize,
    bytes: usize,
    saved: Option<SavedDays>,
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
        let by_key = BTreeMap::new();
        History { by_key, keys_max, bytes_max, bytes: 0, saved: None, from_day: i64::MIN, has_dropped: false }
    }

    /// What finds no room in memory goes to this store, which is empty.
    pub fn save_in(&mut self, store: Box<dyn Store + Send>) {
        self.saved = Some(SavedDays::new(store));
    }

    pub fn put(&mut self, key: &str, point: Point) {
        let day = day_of(point.at.0);
        if day < self.from_day || !self.by_key.contains_key(key) && self.by_key.len() >= self.keys_max {
            return;
        }
        let series = self.by_key.entry(key.into()).or_default();
        match self.saved.as_mut().filter(|saved| saved.last_day().is_some_and(|last| day <= last)) {
            Some(saved) => {
                let added = amend(saved, key, day, point);
                self.kept(added);
            }
            None => {
                let added = series.put(point);
                self.bytes = self.bytes.saturating_add_signed(added);
            }
        }
        if day - DAYS_KEPT > self.from_day {
            self.drop_before(day - DAYS_KEPT);
        }
        while self.bytes > self.bytes_max && self.make_room() {}
    }

    fn make_room(&mut self) -> bool {
        let days = || self.by_key.values().filter_map(|series| series.days.first_key_value().map(|(day, _)| *day));
        let Some(oldest) = days().min() else { return false };
        match self.saved.is_some() {
            true => self.save(oldest),
            false => self.drop_before(oldest + 1),
        }
        true
    }

    /// Moves a day of all keys to the store.
    fn save(&mut self, day: i64) {
        let History { by_key, saved, bytes, .. } = self;
        let Some(store) = saved else { return };
        let mut outcome = Ok(());
        for (key, series) in by_key {
            let Some(points) = series.days.remove(&day) else { continue };
            *bytes -= points.len() + DAY_OVERHEAD;
            outcome = outcome.and_then(|()| store.put(key, day, &points));
        }
        let outcome = outcome.and_then(|()| store.flush());
        self.kept(outcome);
    }

    /// A store that fails is given up: what is in memory goes on, and answers say where it begins.
    fn kept(&mut self, outcome: Result<(), StoreError>) {
        let Err(error) = outcome else { return };
        tracing::warn!("older hours are not shown any more, because their store failed: {error}");
        let first = self.by_key.values().filter_map(|series| series.days.first_key_value().map(|(day, _)| *day)).min();
        self.from_day = first.unwrap_or(self.from_day);
        self.has_dropped = true;
        self.saved = None;
    }

    fn drop_before(&mut self, day: i64) {
        self.from_day = day;
        for series in self.by_key.values_mut() {
            let kept = series.days.split_off(&day);
            let gone = std::mem::replace(&mut series.days, kept);
            self.has_dropped |= !gone.is_empty();
            self.bytes -= gone.values().map(|bytes| bytes.len() + DAY_OVERHEAD).sum::<usize>();
        }
        if let Some(saved) = &mut self.saved {
            let dropped = saved.drop_before(day);
            self.has_dropped |= matches!(dropped, Ok(true));
            self.kept(dropped.map(|_| ()));
        }
    }

    /// The points of a key with `from_ms` <= at < `to_ms`, by time.
    pub fn points(&self, key: &str, from_ms: Ms, to_ms: Ms) -> Vec<Point> {
        let Some(series) = self.by_key.get(key) else { return Vec::new() };
        if from_ms >= to_ms {
            return Vec::new();
        }
        let wanted = day_of(from_ms)..=day_of(to_ms);
        let saved = self.saved.as_ref().map_or(Ok(Vec::new()), |saved| saved.points(key, &wanted));
        let mut all = saved.unwrap_or_else(|error| {
            tracing::warn!("older hours of {key} cannot be read: {error}");
            Vec::new()
        });
        all.extend(series.days.range(wanted).flat_map(|(day, bytes)| points::read(*day, bytes)));
        all.retain(|point| (from_ms..to_ms).contains(&point.at.0));
        all
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
            let mut all = with(points::read(day, bytes), point);
            *bytes = written(&all);
            if self.last.as_ref().is_some_and(|last| day_of(last.at.0) == day) {
                self.last = all.pop();
            }
        }
        (bytes.len() + overhead) as isize - before as isize
    }
}

/// The points of a day with one more, or another one for its hour.
fn with(mut day: Vec<Point>, point: Point) -> Vec<Point> {
    match day.binary_search_by_key(&point.at, |p| p.at) {
        Ok(at) => day[at] = point,
        Err(at) => day.insert(at, point),
    }
    day
}

fn written(day: &[Point]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (i, point) in day.iter().enumerate() {
        points::append(&mut bytes, i.checked_sub(1).map(|i| &day[i]), point);
    }
    bytes
}

/// Writes a point to a day that is in the store.
fn amend(saved: &mut SavedDays, key: &str, day: i64, point: Point) -> Result<(), StoreError> {
    let all = with(saved.day(key, day)?, point);
    saved.put(key, day, &written(&all))?;
    saved.flush()
}

#[cfg(test)]
mod tests {
    use super::super::points::tests::point;
    use super::*;
    use crate::state::{Batch, EachRow, MemoryStore, Usage};

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

    fn two_months(history: &mut History) {
        for hour in 0..24 * 60 {
            history.put("a", point(hour, hour as f64, 0.0));
            history.put("b", point(hour, 1.0, hour as f64 / 3.0));
        }
    }

    #[test]
    fn with_a_store_nothing_is_lost_and_memory_is_bounded() {
        let (mut large, mut small) = (History::new(2, YEAR), History::new(2, 2_000));
        small.save_in(Box::new(MemoryStore::new()));
        two_months(&mut large);
        two_months(&mut small);
        assert!(small.bytes() <= 2_000);
        assert_eq!(small.begins_ms(), None);
        for (from, to) in [(0, 24 * 60), (100, 130), (24 * 59, 24 * 60), (24 * 60, 24 * 70)] {
            for key in ["a", "b", "nobody"] {
                let [expected, found] = [&large, &small].map(|h| h.points(key, from * HOUR_MS, to * HOUR_MS));
                assert_eq!(found, expected, "{key} {from} to {to}");
            }
        }
        assert_eq!(small.spark("b", 24 * 30 * HOUR_MS, 48), large.spark("b", 24 * 30 * HOUR_MS, 48));
    }

    #[test]
    fn what_is_read_again_stands_once_in_the_store_and_days_go_with_their_age() {
        let mut history = History::new(2, 2_000);
        history.save_in(Box::new(MemoryStore::new()));
        two_months(&mut history);
        two_months(&mut history);
        assert_eq!(history.points("a", 0, Ms::MAX / 2).len(), 24 * 60);
        history.put("a", point(5, 77.0, 0.0));
        assert_eq!(history.points("a", 5 * HOUR_MS, 6 * HOUR_MS)[0].good, 77.0);
        history.put("a", point(24 * 430, 1.0, 0.0));
        assert_eq!(history.points("a", 0, Ms::MAX / 2)[0].at.0, 30 * DAY_MS);
        assert_eq!(history.begins_ms(), Some(30 * DAY_MS));
    }

    /// A store whose disk is full.
    struct Full;

    impl Store for Full {
        fn get(&self, _: &[u8], _: &mut Vec<u8>) -> Result<bool, StoreError> {
            Ok(false)
        }

        fn multi_get(&self, _: &[&[u8]], _: &mut dyn FnMut(usize, Option<&[u8]>)) -> Result<(), StoreError> {
            Ok(())
        }

        fn scan(&self, _: &[u8], _: &mut EachRow<'_>) -> Result<(), StoreError> {
            Ok(())
        }

        fn write(&mut self, _: &mut Batch) -> Result<(), StoreError> {
            Err(StoreError::Io { dir: "/history".into(), message: "no space left".to_owned() })
        }

        fn flush(&mut self) -> Result<(), StoreError> {
            Ok(())
        }

        fn usage(&self) -> Result<Usage, StoreError> {
            Ok(Usage::default())
        }
    }

    #[test]
    fn a_store_that_fails_is_given_up_and_what_is_in_memory_goes_on() {
        let mut history = History::new(2, 2_000);
        history.save_in(Box::new(Full));
        two_months(&mut history);
        assert!(history.bytes() <= 2_000);
        let first = history.points("a", 0, Ms::MAX / 2)[0].at.0;
        assert_eq!(history.begins_ms(), Some(first));
        assert_eq!(history.points("a", 24 * 59 * HOUR_MS, Ms::MAX / 2).len(), 24);
    }
}
