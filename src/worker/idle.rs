//! Which input partitions are idle: they are read to the end, and no record came for a while.
//!
//! The time of the steady clock ([`crate::model::time::Now`]) is passed in; this module reads no clock.

use crate::log::NextOffset;
use crate::model::time::{Ms, PANE_MS};

/// The silences of all partitions.
pub struct Idleness {
    /// `None` while records arrive.
    silences: Vec<Option<Silence>>,
    timeout_ms: Ms,
}

/// A partition that is read to its end.
#[derive(Clone, Copy)]
struct Silence {
    since_ms: Ms,
    end: NextOffset,
    /// The brokers said lately that this is still the end.
    is_confirmed: bool,
    ask_at_ms: Ms,
}

impl Silence {
    fn begin(&mut self, steady_ms: Ms, ask_at_ms: Ms) {
        (self.since_ms, self.ask_at_ms, self.is_confirmed) = (steady_ms, ask_at_ms, false);
    }
}

/// How often the brokers are asked about an idle partition, because it is idle only as long as they confirm it.
const CONFIRMED_FOR_MS: Ms = PANE_MS;
/// How often the brokers are asked again while they do not answer.
const ASK_AGAIN_MS: Ms = 1_000;

impl Idleness {
    pub fn new(partitions: usize, timeout_ms: Ms) -> Idleness {
        Idleness { silences: vec![None; partitions], timeout_ms }
    }

    /// A record arrived.
    #[inline]
    pub fn record_arrived(&mut self, partition: u32) {
        if let Some(silence) = self.silences.get_mut(partition as usize) {
            *silence = None;
        }
    }

    /// The partition is read to its end.
    pub fn at_end(&mut self, partition: u32, end: NextOffset, steady_ms: Ms) {
        if let Some(silence) = self.silences.get_mut(partition as usize) {
            let again = silence.filter(|s| s.end == end);
            let ask_at_ms = steady_ms + self.timeout_ms;
            *silence = again.or(Some(Silence { since_ms: steady_ms, end, is_confirmed: false, ask_at_ms }));
        }
    }

    /// The partitions that seem to be silent long enough: the brokers must be asked whether no record came.
    pub fn to_be_asked(&self, steady_ms: Ms) -> Vec<u32> {
        let is_due = |s: &Option<Silence>| s.is_some_and(|s| steady_ms >= s.ask_at_ms);
        (0..).zip(&self.silences).filter(|(_, s)| is_due(s)).map(|(partition, _)| partition).collect()
    }

    /// The brokers' answer about a partition's end. `None`: they are, or were, unreachable. Then the partition was perhaps
    /// not silent at all, and its silence starts now.
    pub fn answered(&mut self, partition: u32, end: Option<NextOffset>, steady_ms: Ms) {
        let Some(Some(silence)) = self.silences.get_mut(partition as usize) else { return };
        match end {
            Some(end) if end == silence.end => {
                let idle_at_ms = silence.since_ms + self.timeout_ms;
                silence.is_confirmed = steady_ms >= idle_at_ms;
                silence.ask_at_ms = if silence.is_confirmed { steady_ms + CONFIRMED_FOR_MS } else { idle_at_ms };
            }
            // Records came; they will be polled soon.
            Some(_) => silence.begin(steady_ms, steady_ms + self.timeout_ms),
            None => silence.begin(steady_ms, steady_ms + ASK_AGAIN_MS),
        }
    }

    /// Whether to pass over a partition now.
    pub fn is_idle(&self, partition: u32) -> bool {
        let silence = self.silences.get(partition as usize).copied().flatten();
        silence.is_some_and(|s| s.is_confirmed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: NextOffset = NextOffset(7);

    #[test]
    fn a_partition_is_idle_once_it_was_at_its_end_for_the_timeout_without_a_record() {
        let mut idleness = Idleness::new(2, 30_000);
        idleness.at_end(1, END, 1_000);
        idleness.at_end(1, END, 20_000);
        assert!(idleness.to_be_asked(30_999).is_empty());
        assert_eq!(idleness.to_be_asked(31_000), [1]);
        assert!(!idleness.is_idle(1), "nobody confirmed it");
        idleness.answered(1, Some(END), 31_000);
        assert!(idleness.is_idle(1) && !idleness.is_idle(0));
        idleness.record_arrived(1);
        assert!(!idleness.is_idle(1), "it is not known to be at its end again");
    }

    #[test]
    fn a_partition_with_records_not_yet_polled_is_not_idle() {
        let mut idleness = Idleness::new(1, 30_000);
        idleness.at_end(0, END, 0);
        idleness.answered(0, Some(NextOffset(8)), 30_000);
        assert!(!idleness.is_idle(0));
    }

    #[test]
    fn while_the_brokers_are_unreachable_nothing_is_idle_and_silences_start_again_after_it() {
        let mut idleness = Idleness::new(1, 30_000);
        idleness.at_end(0, END, 0);
        idleness.answered(0, None, 30_000);
        assert!(idleness.to_be_asked(30_500).is_empty());
        assert_eq!(idleness.to_be_asked(31_000), [0]);
        idleness.answered(0, None, 45_000);
        idleness.answered(0, Some(END), 46_000);
        assert!(!idleness.is_idle(0), "it is known to be silent for one second only");
        assert!(idleness.to_be_asked(74_999).is_empty());
        idleness.answered(0, Some(END), 75_000);
        assert!(idleness.is_idle(0));
        idleness.answered(0, None, 85_000);
        assert!(!idleness.is_idle(0), "the brokers no longer confirm it");
    }
}
