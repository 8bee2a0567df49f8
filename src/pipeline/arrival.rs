//! The arrival of a record in its input partition. Watermark, lateness, boundary and verdicts depend on the partition's
//! order; they are decided here and nowhere else, for a users task that reads the input itself and for the intake that
//! sends verdicts on in blocks.

use crate::model::outcome::Outcome;
use crate::model::slo::Slo;
use crate::model::time::{Ms, visible_boundary};
use crate::operator::classify::{Extra, Verdict, classify};
use crate::operator::watermark::Watermark;

/// What the order of an input partition says of one record.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub time_ms: Ms,
    /// The partition's watermark before the record.
    pub met: Watermark,
    /// The same as a time; `None` before the first record.
    pub watermark_ms: Option<Ms>,
    /// The boundary at which the event becomes visible.
    pub boundary_ms: Ms,
    /// How far the event is behind the watermark; 0: it is not late.
    pub late_by_ms: Ms,
}

impl Arrival {
    /// Moves the watermark by a record of this time.
    pub fn observe(watermark: &mut Watermark, time_ms: Ms, out_of_orderness_ms: Ms) -> Arrival {
        let met = *watermark;
        let watermark_ms = met.at_ms(out_of_orderness_ms);
        watermark.take_up();
        watermark.observe(time_ms);
        Arrival {
            time_ms,
            met,
            watermark_ms,
            boundary_ms: visible_boundary(time_ms, watermark_ms),
            late_by_ms: watermark_ms.map_or(0, |watermark_ms| (watermark_ms - time_ms).max(0)),
        }
    }

    pub const fn is_late(&self) -> bool {
        self.late_by_ms > 0
    }

    /// The verdict of an SLO, what the event says beyond it, and whether it still counts: an event that is later than the SLO allows is dropped, unless it
    /// is excluded anyway.
    #[inline]
    pub fn judge(&self, slo: &Slo, outcome: &Outcome<'_>) -> (Verdict, Extra, bool) {
        let (verdict, extra) = classify(slo, outcome);
        (verdict, extra, verdict == Verdict::Excluded || self.late_by_ms <= slo.allowed_lateness_ms)
    }

    /// How long after the partition's largest time the event came.
    pub fn behind_ms(&self) -> Ms {
        self.met.largest_ms().map_or(0, |largest_ms| (largest_ms - self.time_ms).max(0))
    }
}
