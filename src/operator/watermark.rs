//! Watermarks: the progress of event time in one input partition, and in all of them (contract, section 3).

use crate::model::time::{Ms, PANE_MS, floor_to};

/// The watermark of one source: the largest event time read so far minus the out-of-orderness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Watermark {
    largest_ms: Option<Ms>,
    /// A source that is passed over (ended or idle) holds nothing back: its watermark rises with T until its next
    /// record.
    passed_over: bool,
    raised_ms: Option<Ms>,
    /// It was raised although unread records existed, so the output is incomplete.
    is_incomplete: bool,
}

impl Watermark {
    /// The watermark before the next record of the source; `None` before the first record.
    pub fn at_ms(&self, out_of_orderness_ms: Ms) -> Option<Ms> {
        let read = self.largest_ms.map(|t| t - out_of_orderness_ms);
        match (read, self.raised_ms) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        }
    }

    /// A record that is not a dead letter was read.
    pub fn observe(&mut self, time_ms: Ms) {
        self.largest_ms = Some(self.largest_ms.map_or(time_ms, |t| t.max(time_ms)));
    }

    pub fn largest_ms(&self) -> Option<Ms> {
        self.largest_ms
    }

    pub fn pass_over(&mut self) {
        self.passed_over = true;
    }

    pub fn is_passed_over(&self) -> bool {
        self.passed_over
    }

    /// T advanced to `at_ms` without this source.
    pub fn raise(&mut self, at_ms: Ms) {
        if self.passed_over {
            self.raised_ms = Some(self.raised_ms.map_or(at_ms, |r| r.max(at_ms)));
        }
    }

    /// T advances to `at_ms` without this source, idle or not. `is_incomplete`: it has unread records, but the wait for
    /// them is over.
    pub fn raise_to(&mut self, at_ms: Ms, is_incomplete: bool) {
        self.raised_ms = Some(self.raised_ms.map_or(at_ms, |r| r.max(at_ms)));
        self.is_incomplete = is_incomplete;
    }

    /// All its records have been read.
    pub fn caught_up(&mut self) {
        self.is_incomplete = false;
    }

    pub fn is_incomplete(&self) -> bool {
        self.is_incomplete
    }

    /// How far T advanced without this source.
    pub fn raised_ms(&self) -> Option<Ms> {
        self.raised_ms
    }

    /// A new record arrived after a pause.
    pub fn take_up(&mut self) {
        self.passed_over = false;
    }
}

/// The smallest watermark, rounded down, of the sources that are not passed over. `None` if one of them has read
/// nothing yet, or if all are passed over.
pub fn aligned_boundary(sources: impl Iterator<Item = Watermark>, out_of_orderness_ms: Ms) -> Option<Ms> {
    let mut smallest: Option<Ms> = None;
    for source in sources.filter(|s| !s.is_passed_over()) {
        let w = source.at_ms(out_of_orderness_ms)?;
        smallest = Some(smallest.map_or(w, |s| s.min(w)));
    }
    smallest.map(|w| floor_to(w, PANE_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(times: &[Ms]) -> Watermark {
        let mut w = Watermark::default();
        times.iter().for_each(|t| w.observe(*t));
        w
    }

    #[test]
    fn the_smallest_watermark_rules_and_a_silent_source_holds_everything_back() {
        let sources = [read(&[47_000, 12_000]), read(&[38_500])];
        assert_eq!(aligned_boundary(sources.into_iter(), 5_000), Some(30_000));
        assert_eq!(aligned_boundary([read(&[47_000]), Watermark::default()].into_iter(), 5_000), None);
    }

    #[test]
    fn a_source_that_is_passed_over_holds_nothing_back_and_rises_with_t() {
        let mut idle = Watermark::default();
        idle.pass_over();
        idle.raise(40_000);
        assert_eq!(aligned_boundary([read(&[47_000]), idle].into_iter(), 5_000), Some(40_000));
        idle.take_up();
        assert_eq!(idle.at_ms(5_000), Some(40_000));
    }
}
