//! How long after their time events come, the bad ones and the others.
//!
//! A server that stamps the start of a request and writes its line at the end tells of a request that
//! timed out long after its time, and of all others at once. Then failures alone are late: too late
//! for a short window to see them beside what is good, or too late to count at all.

use crate::model::time::{Ms, SECOND_MS};

/// An event that comes so long after its time is late by what this module asks.
pub const LONG_MS: Ms = 16 * SECOND_MS;
/// So many bad events are needed to say something.
const BAD_MIN: u64 = 3;

/// Of one kind of events: how many there are, and how many of them came long after their time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Came {
    pub events: u64,
    pub long_after: u64,
    pub longest_ms: Ms,
}

/// Delays are held against the largest time that their partition has had so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delays {
    pub bad: Came,
    pub other: Came,
}

impl Delays {
    #[inline]
    pub fn note(&mut self, delay_ms: Ms, is_bad: bool) {
        let came = if is_bad { &mut self.bad } else { &mut self.other };
        came.events += 1;
        came.long_after += u64::from(delay_ms >= LONG_MS);
        came.longest_ms = came.longest_ms.max(delay_ms);
    }

    /// Whether bad events come late far more often than others do.
    pub fn are_of_the_bad(&self) -> bool {
        let (bad, other) = (self.bad, self.other);
        let is_much = bad.long_after >= BAD_MIN && bad.long_after * 10 >= bad.events;
        // long_after / events > 5 * the same of the others, in integers.
        is_much
            && bad.long_after as u128 * u128::from(other.events) > 5 * other.long_after as u128 * u128::from(bad.events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bad: &[Ms], other: &[Ms]) -> Delays {
        let mut delays = Delays::default();
        bad.iter().for_each(|ms| delays.note(*ms, true));
        other.iter().for_each(|ms| delays.note(*ms, false));
        delays
    }

    #[test]
    fn failures_that_alone_come_late_are_seen() {
        let late = 300 * SECOND_MS;
        let delays = of(&[late, late, late + 1, 0, 0], &[0; 100]);
        assert!(delays.are_of_the_bad());
        assert_eq!(delays.bad, Came { events: 5, long_after: 3, longest_ms: late + 1 });
        assert!(of(&[late; 20], &[late, 0, 0, 0, 0, 0, 0, 0, 0, 0]).are_of_the_bad());
    }

    #[test]
    fn what_comes_late_whatever_it_is_is_not_of_the_failures() {
        let late = 300 * SECOND_MS;
        for (bad, other) in [
            (vec![late; 2], vec![0; 100]),
            (vec![late; 20], vec![late; 20]),
            (vec![15 * SECOND_MS; 20], vec![0; 100]),
            ([vec![late; 3], vec![0; 100]].concat(), vec![0; 100]),
            (vec![late; 20], vec![]),
            (vec![], vec![0; 100]),
        ] {
            assert!(!of(&bad, &other).are_of_the_bad(), "{bad:?} {other:?}");
        }
    }
}
