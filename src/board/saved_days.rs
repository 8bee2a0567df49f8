//! Days of hourly points in a store, for those that find no room in memory.
//!
//! It is a cache of the topic: it begins empty with the process. A row is the points of one key and day, and the day
//! stands first in its key, so that a day is written and deleted in one sweep.

use super::points::{self, Point};
use crate::state::{Batch, Store, StoreError};
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Rows are written and deleted in batches of about this size.
const BATCH_BYTES: usize = 4 << 20;

pub struct SavedDays {
    store: Mutex<Box<dyn Store + Send>>,
    /// Those that are there, if any.
    days: Option<RangeInclusive<i64>>,
    batch: Batch,
}

/// Days sort as their numbers do.
fn prefix(day: i64) -> [u8; 8] {
    (day ^ i64::MIN).to_be_bytes()
}

fn row(day: i64, key: &str) -> Vec<u8> {
    [&prefix(day), key.as_bytes()].concat()
}

impl SavedDays {
    /// `store`: an empty one.
    pub fn new(store: Box<dyn Store + Send>) -> SavedDays {
        SavedDays { store: Mutex::new(store), days: None, batch: Batch::new() }
    }

    // A panic aborts the process, so the lock cannot be poisoned.
    fn store(&self) -> MutexGuard<'_, Box<dyn Store + Send>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last day that is here.
    pub fn last_day(&self) -> Option<i64> {
        self.days.as_ref().map(|days| *days.end())
    }

    /// Takes the points of a key and day; they are readable after [`SavedDays::flush`].
    pub fn put(&mut self, key: &str, day: i64, bytes: &[u8]) -> Result<(), StoreError> {
        self.batch.put(&row(day, key), bytes);
        self.days = Some(match &self.days {
            Some(days) => day.min(*days.start())..=day.max(*days.end()),
            None => day..=day,
        });
        if self.batch.bytes() >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    pub fn flush(&mut self) -> Result<(), StoreError> {
        let store = self.store.get_mut().unwrap_or_else(PoisonError::into_inner);
        store.write(&mut self.batch)
    }

    /// The points of a key and day.
    pub fn day(&self, key: &str, day: i64) -> Result<Vec<Point>, StoreError> {
        let mut bytes = Vec::new();
        self.store().get(&row(day, key), &mut bytes)?;
        Ok(points::read(day, &bytes))
    }

    /// The points of a key, by time.
    pub fn points(&self, key: &str, wanted: &RangeInclusive<i64>) -> Result<Vec<Point>, StoreError> {
        let Some(days) = &self.days else { return Ok(Vec::new()) };
        let all: Vec<i64> = (*wanted.start().max(days.start())..=*wanted.end().min(days.end())).collect();
        let rows: Vec<Vec<u8>> = all.iter().map(|day| row(*day, key)).collect();
        let rows: Vec<&[u8]> = rows.iter().map(Vec::as_slice).collect();
        let mut found = Vec::new();
        self.store().multi_get(&rows, &mut |n, bytes| {
            found.extend(bytes.into_iter().flat_map(|bytes| points::read(all[n], bytes)));
        })?;
        Ok(found)
    }

    /// Deletes the days before this one; returns whether there were any.
    pub fn drop_before(&mut self, day: i64) -> Result<bool, StoreError> {
        let Some(days) = self.days.clone().filter(|days| *days.start() < day) else { return Ok(false) };
        for old in *days.start()..day.min(*days.end() + 1) {
            self.delete(old)?;
        }
        self.days = (day <= *days.end()).then(|| day..=*days.end());
        Ok(true)
    }

    fn delete(&mut self, day: i64) -> Result<(), StoreError> {
        let SavedDays { store, batch, .. } = self;
        let store = store.get_mut().unwrap_or_else(PoisonError::into_inner);
        store.write(batch)?;
        store.scan(&prefix(day), &mut |key, _| {
            batch.delete(key);
            ControlFlow::Continue(())
        })?;
        store.write(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::super::points::tests::point;
    use super::*;
    use crate::state::MemoryStore;

    fn bytes(hour: i64) -> Vec<u8> {
        let mut bytes = Vec::new();
        points::append(&mut bytes, None, &point(hour, hour as f64, 0.0));
        bytes
    }

    #[test]
    fn days_are_read_by_key_and_deleted_by_age() {
        let mut saved = SavedDays::new(Box::new(MemoryStore::new()));
        assert_eq!(saved.points("a", &(0..=9)).expect("readable"), []);
        for day in [-1, 0, 1, 2] {
            for key in ["a", "a|b"] {
                saved.put(key, day, &bytes(day * 24 + 3)).expect("written");
            }
        }
        saved.flush().expect("written");
        let hours = |saved: &SavedDays, key: &str| {
            let points = saved.points(key, &(-9..=9)).expect("readable");
            points.iter().map(|point| point.good as i64).collect::<Vec<_>>()
        };
        assert_eq!((hours(&saved, "a"), hours(&saved, "nobody")), (vec![-21, 3, 27, 51], Vec::new()));
        assert_eq!(saved.day("a|b", 1).expect("readable").len(), 1);
        assert!(saved.drop_before(1).expect("deleted") && !saved.drop_before(1).expect("nothing"));
        assert_eq!((hours(&saved, "a"), hours(&saved, "a|b")), (vec![27, 51], vec![27, 51]));
        assert!(saved.drop_before(100).expect("deleted"));
        assert_eq!((hours(&saved, "a"), saved.last_day()), (Vec::new(), None));
    }
}
