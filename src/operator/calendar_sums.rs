//! What a key has of a calendar's periods (contract, section 11): no event leaves a period before it ends, and late events of
//! the period before go on counting there.
//!
//! Periods are remembered by their number and not by their instants: time zones change, and a later build may know another
//! instant for the same period.

use super::partial::{Counts, PaneDelta};
use super::sketch::Sketch;
use crate::model::calendar::Spans;
use serde::{Deserialize, Serialize};

/// Which period is counted, and what the one before had.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Periods {
    /// `None` before the key's first boundary.
    current_k: Option<i64>,
    /// The counts of the period before, where the key had an event in it.
    pub previous: Option<Counts>,
}

impl Periods {
    /// Moves on to a boundary's period; `counts` are those of the present one. Returns whether another one began.
    pub fn advance(&mut self, spans: &Spans, counts: &mut Counts) -> bool {
        if self.current_k == Some(spans.current_k) {
            return false;
        }
        let ended_k = self.current_k.replace(spans.current_k);
        let ended = std::mem::take(counts);
        self.previous = (ended_k == Some(spans.previous_k) && ended.events > 0).then_some(ended);
        true
    }

    /// Adds a pane that is older than the present period.
    pub fn add_late(&mut self, spans: &Spans, pane: &PaneDelta) {
        if spans.previous.has_event(pane.start_ms) {
            self.previous.get_or_insert_default().add(&pane.counts);
        }
    }
}

/// What a compliance window by a calendar has beside its sum.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CalendarSums {
    pub periods: Periods,
    /// The latencies of the present period.
    pub latency: Sketch,
}

impl CalendarSums {
    pub fn advance(&mut self, spans: &Spans, counts: &mut Counts) {
        if self.periods.advance(spans, counts) {
            self.latency = Sketch::default();
        }
    }

    /// Adds what became visible in one pane, beside the sum of the present period.
    pub fn add(&mut self, spans: &Spans, pane: &PaneDelta) {
        if pane.start_ms >= spans.current.start_ms {
            self.latency.add(&pane.latency);
        } else {
            self.periods.add_late(spans, pane);
        }
    }
}
