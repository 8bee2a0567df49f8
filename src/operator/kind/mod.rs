//! What an SLO counts where that is not events (contract, section 11), one file a kind.
//!
//! Whatever the kind, a key keeps the windows of its events ([`super::window::Windows`]): latencies, exemplars, users and
//! the first and last time are theirs. Its unit stands beside them in [`Units`], with the same windows; burn rates, budgets
//! and rules read the unit, through [`super::key_view::KeyView`] and [`super::burn_rate::Evidence`].

pub mod attempts;
pub mod composite;
pub mod distinct;
pub mod gauge;
pub mod journey;
pub mod slices;

use super::key_definition::{Boundary, KeyDefinition};
use super::partial::{Counts, KeyDelta, PaneDelta};
use super::window::Layout;
use crate::model::period::Method;
use crate::model::slo::{Slo, Unit};
use crate::model::time::Ms;
use attempts::Attempts;
use composite::Parts;
use distinct::Distinct;
use gauge::Gauges;
use serde::{Deserialize, Serialize};
use slices::Slices;
use std::collections::BTreeMap;

/// The unit of a key, in its windows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Units {
    Slices(Slices),
    Parts(Parts),
    Values(Gauges),
    Users(Distinct),
    Attempts(Attempts),
}

/// A value has no counts.
const NOTHING: Counts = Counts { events: 0, bad_events: 0, anonymous: 0, anonymous_bad: 0, good: 0, bad: 0 };

impl Units {
    /// `None`: the SLO counts events.
    pub fn of(slo: &Slo, layout: &Layout) -> Option<Box<Units>> {
        let units = match (slo.method, &slo.unit) {
            (Method::Occurrences, Unit::Events) => return None,
            (Method::Occurrences, Unit::Composite(components)) => Units::Parts(Parts::new(layout, components.len())),
            (Method::Occurrences, Unit::Users { .. }) => Units::Users(Distinct::new(layout.windows_ms.len())),
            (Method::Occurrences, Unit::Gauge(_)) => Units::Values(Gauges::default()),
            (Method::Occurrences, Unit::Journey(journey)) => {
                Units::Attempts(Attempts::new(layout, journey.steps.len()))
            }
            (Method::Timeslices(_) | Method::RatioTimeslices(_), _) => {
                Units::Slices(Slices::new(layout.windows_ms.len()))
            }
        };
        Some(Box::new(units))
    }

    /// What is good and bad in a window, and how many units it holds.
    pub fn counts(&self, window: usize) -> &Counts {
        match self {
            Units::Slices(slices) => slices.counts(window),
            Units::Parts(parts) => parts.counts(window),
            Units::Values(_) => &NOTHING,
            Units::Users(users) => users.counts(window),
            Units::Attempts(attempts) => attempts.counts(window),
        }
    }

    /// Of the calendar's period before.
    pub fn previous(&self) -> &Counts {
        match self {
            Units::Slices(slices) => slices.previous(),
            Units::Parts(parts) => parts.previous(),
            Units::Attempts(attempts) => attempts.previous().unwrap_or(&NOTHING),
            Units::Users(users) => users.previous().unwrap_or(&NOTHING),
            Units::Values(_) => &NOTHING,
        }
    }

    /// All that was bad since the key began.
    pub fn all_bad(&self) -> u128 {
        match self {
            Units::Slices(slices) => slices.all_bad(),
            Units::Parts(parts) => parts.all_bad(),
            Units::Attempts(attempts) => attempts.all_bad(),
            // What left a window is not counted on.
            Units::Values(_) | Units::Users(_) => 0,
        }
    }

    /// Moves to a boundary, before events are added at it.
    pub fn advance(&mut self, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>) {
        match self {
            // They move once all events are added: a slice ends at the boundary.
            Units::Slices(_) | Units::Values(_) => {}
            Units::Users(users) => users.advance(definition, boundary),
            Units::Parts(parts) => parts.advance(definition, boundary),
            Units::Attempts(attempts) => attempts.advance(definition, boundary),
        }
    }

    /// The burn rate of a window, where it does not follow from its counts.
    pub fn own_burn(&self, window: usize) -> Option<Option<f64>> {
        match self {
            Units::Slices(_) | Units::Values(_) | Units::Users(_) | Units::Attempts(_) => None,
            Units::Parts(parts) => Some(parts.burn(window)),
        }
    }

    /// Adds the events that became visible in one pane.
    pub fn add(&mut self, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>, pane: &PaneDelta) {
        match self {
            Units::Slices(slices) => slices.add(definition, pane),
            Units::Parts(parts) => parts.add(definition, boundary, pane),
            Units::Values(gauges) => gauges.add(definition, pane),
            // They come from the users tasks, see below.
            Units::Users(_) | Units::Attempts(_) => {}
        }
    }

    /// Takes what the users tasks alone can tell: of users, and of attempts.
    pub fn add_told(&mut self, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>, deltas: &[&KeyDelta]) {
        match self {
            Units::Users(users) => users.add(deltas, definition.slo.unit == Unit::Users { by_bad: true }),
            Units::Attempts(attempts) => {
                attempts.add(definition, boundary, deltas.iter().filter_map(|delta| delta.attempts.as_deref()));
            }
            Units::Slices(_) | Units::Parts(_) | Units::Values(_) => {}
        }
    }

    /// Users by their last attempt, and those with the most bad ones: what the guards of a journey ask.
    pub const fn attempts(&self) -> Option<&Attempts> {
        match self {
            Units::Attempts(attempts) => Some(attempts),
            Units::Slices(_) | Units::Parts(_) | Units::Values(_) | Units::Users(_) => None,
        }
    }

    /// Moves to the boundary, once all events of it were added.
    pub fn settle(&mut self, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>) {
        match self {
            Units::Slices(slices) => slices.settle(definition, boundary),
            Units::Parts(parts) => parts.settle(definition),
            Units::Values(gauges) => gauges.settle(definition, boundary),
            Units::Users(users) => users.settle(definition.slo.unit == Unit::Users { by_bad: true }),
            Units::Attempts(_) => {}
        }
    }

    /// The next boundary at which a window changes without new events.
    pub fn next_change_ms(&self, definition: &KeyDefinition<'_>) -> Option<Ms> {
        match self {
            Units::Slices(slices) => slices.next_change_ms(definition),
            // Their events leave windows when those of the key do.
            Units::Parts(_) | Units::Values(_) => None,
            Units::Users(users) => users.next_change_ms(definition),
            Units::Attempts(attempts) => attempts.next_change_ms(definition),
        }
    }

    /// The same events under another definition, at a boundary. `panes` are those of the key: all that is known of an SLO
    /// that counts single events, and more than its slices know.
    pub fn redefined(
        known: Option<Box<Units>>,
        from: &KeyDefinition<'_>,
        to: &KeyDefinition<'_>,
        boundary: &Boundary<'_>,
        panes: impl FnOnce() -> Vec<PaneDelta>,
    ) -> Option<Box<Units>> {
        let mut units = Units::of(to.slo, to.layout)?;
        let is_same = from.slo.method.slicing().map(|s| s.slice_ms) == to.slo.method.slicing().map(|s| s.slice_ms);
        match (&mut *units, known.map(|known| *known)) {
            (Units::Slices(new), Some(Units::Slices(old))) if is_same => new.take_over(old),
            (Units::Parts(new), Some(Units::Parts(old))) => *new = old.relaid(from, to, boundary.at_ms),
            (Units::Values(new), Some(Units::Values(old))) => *new = old,
            (Units::Users(new), Some(Units::Users(old))) => *new = old.relaid(from, to, boundary),
            (Units::Attempts(new), Some(Units::Attempts(old))) => *new = old.relaid(from, to, boundary.at_ms),
            (units, known) => {
                units.advance(to, boundary);
                let mut add = |pane: &PaneDelta| units.add(to, boundary, pane);
                match &known {
                    Some(Units::Slices(old)) if to.slo.unit != Unit::Events => old.panes(from).iter().for_each(add),
                    Some(Units::Parts(old)) => old.panes(from, boundary.at_ms).iter().for_each(add),
                    Some(Units::Values(old)) => {
                        panes().iter().for_each(&mut add);
                        old.panes(from, to, boundary.at_ms).iter().for_each(add);
                    }
                    _ => panes().iter().for_each(add),
                }
                units.keep_firsts(known.as_ref());
            }
        }
        units.advance(to, boundary);
        units.settle(to, boundary);
        Some(units)
    }

    /// Where the events of each component begin is known better than by slices.
    fn keep_firsts(&mut self, known: Option<&Units>) {
        let firsts = match known {
            Some(Units::Slices(old)) => old.firsts(),
            Some(Units::Parts(old)) => old.firsts(),
            _ => return,
        };
        match self {
            Units::Slices(new) => new.begin(firsts.clone()),
            Units::Parts(new) => new.begin(firsts.clone()),
            Units::Values(_) | Units::Users(_) | Units::Attempts(_) => {}
        }
    }
}

/// Drops what lies before a key: nothing, at most boundaries.
fn drop_before<V>(of: &mut BTreeMap<i64, V>, from: i64) {
    while of.first_key_value().is_some_and(|(at, _)| *at < from) {
        of.pop_first();
    }
}
