//! Counts the late records of one source, and finds the record that made them late.
//!
//! A watermark follows the largest event time, so one record whose clock is ahead makes all records after it late. A
//! person who sees only the number of late records would look in the wrong place. This module remembers the record to
//! blame, at the cost of one comparison per record.

use crate::model::time::Ms;

/// A record with a larger event time than all records before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leap {
    pub offset: i64,
    pub time_ms: Ms,
    /// The largest time before it; `None` for the first record.
    pub from_ms: Option<Ms>,
    /// The number of records that are late or dropped only because of it, and how many of them are dropped.
    pub late: u64,
    pub dropped: u64,
}

impl Leap {
    /// How far it is ahead of the largest time before it.
    pub fn length_ms(&self) -> Ms {
        self.from_ms.map_or(0, |from_ms| self.time_ms - from_ms)
    }
}

/// How late a record is, and what is allowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Late {
    /// How far it is behind the watermark.
    pub by_ms: Ms,
    pub out_of_orderness_ms: Ms,
    /// The smallest allowed lateness of all SLOs.
    pub allowed_ms: Ms,
}

/// The lateness of a source's records.
#[derive(Clone, Debug, Default)]
pub struct Lateness {
    /// Records that became events.
    pub events: u64,
    /// Late, but dropped by no SLO.
    pub late: u64,
    /// Too late for at least one SLO.
    pub dropped: u64,
    /// Of the late records that were not dropped: how far the worst was behind the largest time before it.
    pub furthest_behind_ms: Ms,
    previous_ms: Option<Ms>,
    /// Records that are older than the record before them.
    falls: u64,
    /// The record with the largest time.
    furthest_ahead: Option<Leap>,
    /// The longest leap so far, and the one that made most records late.
    longest: Option<Leap>,
    worst: Option<Leap>,
}

impl Lateness {
    /// A record that is not late; `largest_ms` is the largest time before it.
    #[inline]
    pub(super) fn in_time(&mut self, offset: i64, time_ms: Ms, largest_ms: Option<Ms>) {
        self.next(time_ms);
        if largest_ms.is_none_or(|largest_ms| time_ms > largest_ms) {
            let leap = Leap { offset, time_ms, from_ms: largest_ms, late: 0, dropped: 0 };
            if self.longest.is_none_or(|longest| leap.length_ms() > longest.length_ms()) {
                self.leap(leap);
            }
            self.furthest_ahead = Some(leap);
        }
    }

    #[inline]
    fn next(&mut self, time_ms: Ms) {
        self.events += 1;
        self.falls += u64::from(self.previous_ms.is_some_and(|previous_ms| time_ms < previous_ms));
        self.previous_ms = Some(time_ms);
    }

    /// Whether most records are older than the one before: the input is sorted from newest to oldest.
    pub fn is_reversed(&self) -> bool {
        self.falls * 2 > self.events
    }

    #[cold]
    fn leap(&mut self, leap: Leap) {
        self.worst = self.worst();
        self.longest = Some(leap);
    }

    #[cold]
    pub(super) fn late(&mut self, time_ms: Ms, largest_ms: Option<Ms>, late: Late) {
        self.next(time_ms);
        let is_dropped = late.by_ms > late.allowed_ms;
        if is_dropped {
            self.dropped += 1;
        } else {
            self.late += 1;
            let behind_ms = largest_ms.map_or(0, |largest_ms| largest_ms - time_ms);
            self.furthest_behind_ms = self.furthest_behind_ms.max(behind_ms);
        }
        let allowed_ms = late.out_of_orderness_ms + if is_dropped { late.allowed_ms } else { 0 };
        // Whether the record would have been in time without the leap.
        let by = |leap: &&mut Leap| leap.from_ms.is_some_and(|from_ms| time_ms + allowed_ms >= from_ms);
        if let Some(leap) = self.longest.as_mut().filter(by) {
            leap.late += 1;
            leap.dropped += u64::from(is_dropped);
        }
    }

    /// The leap that made most records late.
    fn worst(&self) -> Option<Leap> {
        self.longest.into_iter().chain(self.worst).max_by_key(|leap| leap.late)
    }

    /// The leap that made at least half of the late records late.
    pub fn to_blame(&self) -> Option<Leap> {
        self.worst().filter(|leap| leap.late > 0 && leap.late * 2 >= self.late + self.dropped)
    }

    /// The record with the largest time.
    pub fn furthest_ahead(&self) -> Option<Leap> {
        self.furthest_ahead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Ms = 1_000;
    const HOUR: Ms = 3_600 * SECOND;

    /// Counts records with these times as a users task does, with 5 s out-of-orderness and 1 h allowed lateness.
    fn read(times_ms: impl IntoIterator<Item = Ms>) -> Lateness {
        let mut lateness = Lateness::default();
        let mut largest_ms: Option<Ms> = None;
        for (offset, time_ms) in (0..).zip(times_ms) {
            let by_ms = largest_ms.map_or(0, |l| l - 5 * SECOND - time_ms);
            if by_ms > 0 {
                let late = Late { by_ms, out_of_orderness_ms: 5 * SECOND, allowed_ms: HOUR };
                lateness.late(time_ms, largest_ms, late);
            } else {
                lateness.in_time(offset, time_ms, largest_ms);
            }
            largest_ms = largest_ms.max(Some(time_ms));
        }
        lateness
    }

    #[test]
    fn one_clock_a_day_ahead_is_found_even_if_a_later_record_is_further_ahead() {
        let times = (0..300).map(|i| i * 2 * SECOND).chain([24 * HOUR]).chain((301..3_600).map(|i| i * 2 * SECOND));
        let lateness = read(times.chain([24 * HOUR + SECOND]));
        let leap = lateness.to_blame().expect("a leap");
        assert_eq!((leap.offset, leap.time_ms, leap.from_ms), (300, 24 * HOUR, Some(598 * SECOND)));
        assert_eq!((lateness.late, lateness.dropped, leap.dropped), (0, 3_299, 3_299));
        assert_eq!(lateness.furthest_ahead().map(|leap| leap.offset), Some(3_600));
    }

    #[test]
    fn the_newest_first_blames_no_leap() {
        let lateness = read((0..3_000).rev().map(|i| i * 10 * SECOND));
        assert_eq!((lateness.to_blame(), lateness.is_reversed()), (None, true));
        assert_eq!(lateness.furthest_ahead().map(|leap| leap.offset), Some(0));
        // 360 records besides the newest are within an hour and five seconds of it.
        assert_eq!((lateness.late, lateness.dropped), (360, 2_639));
    }

    #[test]
    fn a_gap_at_night_is_not_blamed_for_an_older_file_after_it() {
        let day = |from: Ms| (0..1_000).map(move |i| from + i * SECOND);
        let lateness = read(day(100 * HOUR).chain(day(110 * HOUR)).chain(day(0)));
        assert_eq!((lateness.dropped, lateness.to_blame()), (1_000, None));
        assert_eq!(lateness.furthest_ahead().map(|leap| leap.offset), Some(1_999));
    }

    #[test]
    fn the_out_of_orderness_that_would_have_been_enough_is_known() {
        let lateness = read([0, 10 * SECOND, 2 * SECOND, 60 * SECOND, 23 * SECOND, 61 * SECOND]);
        assert_eq!((lateness.late, lateness.dropped, lateness.furthest_behind_ms), (2, 0, 37 * SECOND));
        assert_eq!((lateness.events, lateness.is_reversed()), (6, false));
    }

    #[test]
    fn a_longer_leap_does_not_hide_the_leap_that_made_most_records_late() {
        let first = (0..100).map(|i| i * SECOND).chain([2 * HOUR]).chain((0..50).map(|i| 100 * SECOND + i * SECOND));
        let lateness = read(first.chain([50 * HOUR]));
        assert_eq!(lateness.to_blame().map(|leap| (leap.offset, leap.dropped)), Some((100, 50)));
    }
}
