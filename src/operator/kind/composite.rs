//! A composite SLO by Occurrences: the weighted mean of the burn rates of its components (contract, section 11).
//!
//! Sums are integers, figures from them are doubles, added up in the order of the document. The events of the composite
//! itself, each once, are in the windows of its key; here are those of each component. A component's event is an event of
//! the composite too, so nothing leaves a window here that does not leave one there.

use super::super::key_definition::{Boundary, KeyDefinition};
use super::super::key_view::{KeyView, allowed_share, burn_of, sli_of};
use super::super::partial::{Counts, PaneDelta};
use super::super::status::coverage_of;
use super::super::window::Windows;
use crate::model::output::Component as Published;
use crate::model::slo::Component;
use crate::model::time::Ms;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    /// By component: its own windows.
    parts: Vec<Windows>,
    /// By window: the sums over all components, and the burn rate of the composite; as of the last boundary.
    windows: Vec<(Counts, Option<f64>)>,
    previous: (Counts, Option<f64>),
    all_bad: u128,
    firsts: Firsts,
}

/// The pane of the first event of each component: the coverage of a component is its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Firsts(Vec<Option<Ms>>);

impl Firsts {
    pub fn note(&mut self, pane: &PaneDelta) {
        self.0.resize(self.0.len().max(pane.parts.len()), None);
        for (first_ms, _) in self.0.iter_mut().zip(&pane.parts).filter(|(_, counts)| counts.events > 0) {
            *first_ms = Some(first_ms.map_or(pane.start_ms, |ms| ms.min(pane.start_ms)));
        }
    }

    pub fn of(&self, part: usize) -> Option<Ms> {
        self.0.get(part).copied().flatten()
    }
}

impl Parts {
    pub fn new(definition: &super::super::window::Layout, components: usize) -> Parts {
        Parts {
            parts: vec![Windows::new(definition); components],
            windows: vec![(Counts::default(), None); definition.windows_ms.len()],
            ..Parts::default()
        }
    }

    pub fn counts(&self, window: usize) -> &Counts {
        &self.windows[window].0
    }

    pub fn burn(&self, window: usize) -> Option<f64> {
        self.windows[window].1
    }

    pub fn previous(&self) -> &Counts {
        &self.previous.0
    }

    pub fn previous_burn(&self) -> Option<f64> {
        self.previous.1
    }

    pub fn all_bad(&self) -> u128 {
        self.all_bad
    }

    pub fn advance(&mut self, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>) {
        self.parts.iter_mut().for_each(|part| part.advance(definition.layout, boundary.starts));
    }

    pub fn add(&mut self, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>, pane: &PaneDelta) {
        self.firsts.note(pane);
        for (part, counts) in self.parts.iter_mut().zip(&pane.parts).filter(|(_, counts)| counts.events > 0) {
            let pane = PaneDelta { start_ms: pane.start_ms, counts: *counts, ..PaneDelta::default() };
            part.add(definition.layout, boundary.starts, &pane);
            self.all_bad += counts.bad;
        }
    }

    pub fn settle(&mut self, definition: &KeyDefinition<'_>) {
        for (window, figures) in self.windows.iter_mut().enumerate() {
            let counts = || self.parts.iter().map(|part| &part.sum(window).counts);
            *figures = (added_up(counts()), burn(definition, counts()));
        }
        let none = Counts::default();
        let previous = || self.parts.iter().map(|part| part.previous().unwrap_or(&none));
        self.previous = (added_up(previous()), burn(definition, previous()));
    }

    /// The same events in the windows of another definition with the same components.
    pub fn relaid(&self, from: &KeyDefinition<'_>, to: &KeyDefinition<'_>, at_ms: Ms) -> Parts {
        let relaid = |part: &Windows| part.relaid(from.layout, to.layout, at_ms);
        let mut made = Parts::new(to.layout, 0);
        made.parts = self.parts.iter().map(relaid).collect();
        made.firsts = self.firsts.clone();
        made
    }

    /// The stored events of the components, ascending by slices, for slices of time.
    pub fn panes(&self, from: &KeyDefinition<'_>, at_ms: Ms) -> Vec<PaneDelta> {
        let mut panes: BTreeMap<Ms, Vec<Counts>> = BTreeMap::new();
        for (number, part) in self.parts.iter().enumerate() {
            for pane in part.panes_since(from.layout, Ms::MIN, at_ms) {
                let parts = panes.entry(pane.start_ms).or_insert_with(|| vec![Counts::default(); self.parts.len()]);
                parts[number] = pane.counts;
            }
        }
        panes.into_iter().map(|(start_ms, parts)| PaneDelta { start_ms, parts, ..PaneDelta::default() }).collect()
    }

    /// Where the events of each component begin.
    pub fn firsts(&self) -> &Firsts {
        &self.firsts
    }

    pub fn begin(&mut self, firsts: Firsts) {
        self.firsts = firsts;
    }

    /// `components[]` of a status, over the compliance window.
    pub fn published(&self, view: KeyView<'_>) -> Vec<Published> {
        let components = view.definition.slo.components().iter().zip(&self.parts).enumerate();
        let window = view.definition.layout.compliance;
        components
            .map(|(number, (component, part))| {
                figures_of(view, component, self.firsts.of(number), &part.sum(window).counts)
            })
            .collect()
    }
}

/// The figures of one component over the compliance window.
pub fn figures_of(view: KeyView<'_>, component: &Component, first_ms: Option<Ms>, counts: &Counts) -> Published {
    let definition = view.definition;
    let objective = definition.slo.objective_of_part(component, definition.scope);
    let burn = burn_of(counts, objective);
    let start_ms = view.start_ms(definition.layout.compliance);
    let covered = || coverage_of(view.boundary.at_ms, first_ms, start_ms) * view.elapsed();
    let spent_part = if view.boundary.starts.spans.is_some() { covered() } else { 1.0 };
    Published {
        name: component.name.clone(),
        objective: objective.as_f64(),
        weight: component.weight,
        sli: sli_of(counts),
        burn,
        budget_remaining: burn.map(|burn| 1.0 - burn * spent_part),
    }
}

fn added_up<'a>(parts: impl Iterator<Item = &'a Counts>) -> Counts {
    parts.fold(Counts::default(), |mut all, part| {
        all.add(part);
        all
    })
}

/// The weighted mean of the components' burn rates, over those that have events; `None`: none has.
fn burn<'a>(definition: &KeyDefinition<'_>, parts: impl Iterator<Item = &'a Counts>) -> Option<f64> {
    let slo = definition.slo;
    let (mut sum, mut weights) = (0.0, 0.0);
    for (component, counts) in slo.components().iter().zip(parts) {
        if let Some(burn) = burn_of(counts, slo.objective_of_part(component, definition.scope)) {
            sum += component.weight * burn;
            weights += component.weight;
        }
    }
    (weights > 0.0).then(|| sum / weights)
}

/// The SLI that burns a budget so fast.
pub fn sli_from(burn: f64, view: KeyView<'_>) -> f64 {
    1.0 - burn * allowed_share(view.definition.objective)
}
