//! A key as seen at a boundary: its state, its definition, and what follows from both. Everything that reads a key takes
//! this; only what changes one takes the state itself.

use super::key_definition::{Boundary, KeyDefinition};
use super::key_state::KeyState;
use super::kind::Units;
use super::kind::composite::sli_from;
use super::kind::slices::WHOLE;
use super::partial::Counts;
use crate::model::ratio::Ratio;
use crate::model::time::{Ms, window_start};

#[derive(Clone, Copy)]
pub struct KeyView<'a> {
    pub key: &'a KeyState,
    pub definition: &'a KeyDefinition<'a>,
    pub boundary: &'a Boundary<'a>,
}

impl KeyState {
    pub fn view<'a>(&'a self, definition: &'a KeyDefinition<'a>, boundary: &'a Boundary<'a>) -> KeyView<'a> {
        KeyView { key: self, definition, boundary }
    }
}

impl<'a> KeyView<'a> {
    /// What is good and bad in a window of the layout, in the unit of the SLO.
    pub fn counts(self, window: usize) -> &'a Counts {
        self.key.units.as_deref().map_or_else(|| self.event_counts(window), |units| units.counts(window))
    }

    /// The same of events, whatever the SLO counts.
    pub fn event_counts(self, window: usize) -> &'a Counts {
        &self.key.windows.sum(window).counts
    }

    /// All that was bad since the key began, in the unit of the SLO.
    pub fn all_bad(self) -> u128 {
        self.key.units.as_deref().map_or(self.key.all_bad, Units::all_bad)
    }

    /// A sum of [`KeyView::counts`] as published.
    pub fn amount(self, sum: u128) -> f64 {
        match self.key.units.as_deref() {
            None => weight_of(sum),
            Some(Units::Slices(_)) => sum as f64 / WHOLE as f64,
            Some(Units::Parts(_) | Units::Values(_) | Units::Attempts(_)) => weight_of(sum),
            Some(Units::Users(_)) => sum as f64,
        }
    }

    /// What is good and bad in the compliance window.
    pub fn compliance(self) -> &'a Counts {
        self.counts(self.definition.layout.compliance)
    }

    /// The burn rate over a window; `None` without events.
    pub fn burn(self, window: usize) -> Option<f64> {
        let own = self.key.units.as_deref().and_then(|units| units.own_burn(window));
        own.unwrap_or_else(|| burn_of(self.counts(window), self.definition.objective))
    }

    /// The share that is good in a window; `None`: it is empty.
    pub fn sli(self, window: usize) -> Option<f64> {
        match self.key.units.as_deref().and_then(|units| units.own_burn(window)) {
            Some(burn) => burn.map(|burn| sli_from(burn, self)),
            None => sli_of(self.counts(window)),
        }
    }

    /// Of a composite: the burn rate over the compliance window, which is compared in doubles.
    pub fn composite_burn(self) -> Option<f64> {
        self.key.units.as_deref()?.own_burn(self.definition.layout.compliance)?
    }

    /// The burn rate over the compliance window.
    pub fn compliance_burn(self) -> Option<f64> {
        self.burn(self.definition.layout.compliance)
    }

    pub fn start_ms(self, window: usize) -> Ms {
        self.boundary.starts.windows_ms[window]
    }

    /// The part of the period that the compliance window has reached, as lengths: it began so long ago, and so long is all
    /// of it. A rolling window is always all of its period.
    pub fn reached(self, at_ms: Ms) -> Reached {
        if let Some(spans) = &self.boundary.starts.spans {
            return Reached { start_ms: spans.current.start_ms, length_ms: spans.current.length_ms() };
        }
        let start_ms = window_start(at_ms, self.definition.slo.period.nominal_ms());
        Reached { start_ms, length_ms: at_ms - start_ms }
    }

    /// No event for as long as the definition calls no data.
    pub fn is_stale(self) -> bool {
        self.key.is_silent(self.boundary.at_ms, self.definition.slo.no_data_after_ms)
    }
}

/// A period, as far as T has come in it.
#[derive(Clone, Copy, Debug)]
pub struct Reached {
    pub start_ms: Ms,
    pub length_ms: Ms,
}

/// `good / (good + bad)`; without events null, never 1 or 0.
pub fn sli_of(counts: &Counts) -> Option<f64> {
    (counts.total() > 0).then(|| counts.good as f64 / counts.total() as f64)
}

/// `(bad / (good + bad)) / (1 - objective)` (Site Reliability Workbook, chapter 5).
pub fn burn_of(counts: &Counts, objective: Ratio) -> Option<f64> {
    (counts.total() > 0).then(|| (counts.bad as f64 / counts.total() as f64) / allowed_share(objective))
}

/// `1 - objective`, from the decimal as written: in doubles `1 - 0.99` is not `0.01`.
pub fn allowed_share(objective: Ratio) -> f64 {
    objective.complement().unwrap_or(Ratio::ZERO).as_f64()
}

/// Micro-weights as published.
pub fn weight_of(micros: u128) -> f64 {
    micros as f64 / 1e6
}
