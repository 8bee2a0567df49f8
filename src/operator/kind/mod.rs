//! What an SLO counts where that is not events (contract, section 11), one file a kind.
//!
//! Whatever the kind, a key keeps the windows of its events ([`super::window::Windows`]): latencies, exemplars, users and
//! the first and last time are theirs. Its unit stands beside them in [`Units`], with the same windows; burn rates, budgets
//! and rules read the unit, through [`super::key_view::KeyView`] and [`super::burn_rate::Evidence`].

pub mod slices;

use super::key_definition::{Boundary, KeyDefinition};
use super::partial::{Counts, PaneDelta};
use super::window::Layout;
use crate::model::period::Method;
use crate::model::slo::Slo;
use crate::model::time::Ms;
use serde::{Deserialize, Serialize};
use slices::Slices;

/// The unit of a key, in its windows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Units {
    Slices(Slices),
}

impl Units {
    /// `None`: the SLO counts events.
    pub fn of(slo: &Slo, layout: &Layout) -> Option<Box<Units>> {
        match slo.method {
            Method::Occurrences => None,
            Method::Timeslices(_) | Method::RatioTimeslices(_) => {
                Some(Box::new(Units::Slices(Slices::new(layout.windows_ms.len()))))
            }
        }
    }

    /// What is good and bad in a window, and how many units it holds.
    pub fn counts(&self, window: usize) -> &Counts {
        match self {
            Units::Slices(slices) => slices.counts(window),
        }
    }

    /// Of the calendar's period before.
    pub fn previous(&self) -> &Counts {
        match self {
            Units::Slices(slices) => slices.previous(),
        }
    }

    /// All that was bad since the key began.
    pub fn all_bad(&self) -> u128 {
        match self {
            Units::Slices(slices) => slices.all_bad(),
        }
    }

    /// Adds the events that became visible in one pane.
    pub fn add(&mut self, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>, pane: &PaneDelta) {
        match self {
            Units::Slices(slices) => slices.add(definition, boundary, pane),
        }
    }

    /// Moves to the boundary, once all events of it were added.
    pub fn settle(&mut self, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>) {
        match self {
            Units::Slices(slices) => slices.settle(definition, boundary),
        }
    }

    /// The next boundary at which a window changes without new events.
    pub fn next_change_ms(&self, definition: &KeyDefinition<'_>) -> Option<Ms> {
        match self {
            Units::Slices(slices) => slices.next_change_ms(definition),
        }
    }

    /// The same events under another definition, at a boundary. `None`: the kind is another one, and `panes` are all that is
    /// known.
    pub fn redefined(
        known: Option<Box<Units>>,
        from: &KeyDefinition<'_>,
        to: &KeyDefinition<'_>,
        boundary: &Boundary<'_>,
        panes: impl FnOnce() -> Vec<PaneDelta>,
    ) -> Option<Box<Units>> {
        let mut units = Units::of(to.slo, to.layout)?;
        let is_same = from.slo.method.slicing().map(|s| s.slice_ms) == to.slo.method.slicing().map(|s| s.slice_ms);
        match (&mut *units, known.filter(|_| is_same).map(|known| *known)) {
            (Units::Slices(new), Some(Units::Slices(old))) => new.take_over(old),
            (units, None) => panes().iter().for_each(|pane| units.add(to, boundary, pane)),
        }
        units.settle(to, boundary);
        Some(units)
    }
}
