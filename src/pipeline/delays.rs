//! The delay between an event's time and its arrival, separately for bad events and others.
//!
//! A server that stamps the start of a request but logs it at the end reports timeouts long after their time, and all
//! other requests at once. Then only failures are late: too late for a short window to see them together with good
//! events, or too late to count at all.

use crate::model::time::{Ms, SECOND_MS};

/// From this delay on, this module calls an event late.
pub const LONG_MS: Ms = 16 * SECOND_MS;
/// The number of late bad events needed for a conclusion.
const BAD_MIN: u64 = 3;

/// The delays of one kind of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Came {
    pub events: u64,
    pub long_after: u64,
    pub longest_ms: Ms,
}

/// A delay is measured against the largest event time of the partition so far.
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

    /// Whether bad events are late far more often than others.
    pub fn are_of_the_bad(&self) -> bool {
        let (bad, other) = (self.bad, self.other);
        let is_much = bad.long_after >= BAD_MIN && bad.long_after * 10 >= bad.events;
        // bad.long_after / bad.events > 5 * other.long_after / other.events, in integers.
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
    fn late_failures_among_punctual_events_are_found() {
        let late = 300 * SECOND_MS;
        let delays = of(&[late, late, late + 1, 0, 0], &[0; 100]);
        assert!(delays.are_of_the_bad());
        assert_eq!(delays.bad, Came { events: 5, long_after: 3, longest_ms: late + 1 });
        assert!(of(&[late; 20], &[late, 0, 0, 0, 0, 0, 0, 0, 0, 0]).are_of_the_bad());
    }

    #[test]
    fn delays_that_are_rare_short_or_equal_for_all_events_are_not_blamed_on_failures() {
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
