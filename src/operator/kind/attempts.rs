//! What a key of a journey counts: attempts by outcome, in the windows of the key, and where they ended.

use super::super::burn_rate::{BadUsers, LastSeen};
use super::super::key_definition::{Boundary, KeyDefinition};
use super::super::key_view::KeyView;
use super::super::partial::{AttemptNews, Counts, PaneDelta, add_pane};
use super::super::sketch::{Sketch, SketchBuilder, ZERO_BIN, bin_of};
use super::super::window::{Layout, Windows};
use super::journey::{Decided, Outcome};
use crate::model::output::{Journey as Published, JourneyStep};
use crate::model::slo::Journey;
use crate::model::time::Ms;
use serde::{Deserialize, Serialize};

/// The attempts of a key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Attempts {
    /// Good and bad ones.
    all: Windows,
    /// By step: those that ended there, as [`note`] counts them; last, what is stray.
    steps: Vec<Windows>,
    /// Users by the slice of their last attempt that is good or bad.
    seen: LastSeen,
    bad_users: BadUsers,
    all_bad: u128,
}

/// Adds an attempt to its pane. Of a step: `events` ended there, `bad_events` of them failed, `anonymous` were abandoned.
pub fn note<O>(pane: &mut PaneDelta, journey: &Journey, decided: &Decided<O>, weight_micros: u64) {
    let steps = &mut pane.parts;
    steps.resize(journey.steps.len() + 1, Counts::default());
    let is_bad = decided.outcome == Outcome::Bad;
    let step = decided.step as usize;
    if step < journey.steps.len() {
        steps[step].events += 1;
        steps[step].bad_events += u64::from(is_bad);
        steps[step].anonymous += u64::from(decided.outcome == Outcome::Abandoned);
    }
    if let (Some(_), Some(took_ms)) = (&journey.by, decided.took_ms) {
        let mut sketch = SketchBuilder::default();
        sketch.add(if took_ms > 0 { bin_of(took_ms as f64) } else { ZERO_BIN }, weight_micros);
        pane.latency.add(&sketch.into_sketch());
    }
    let weight = u128::from(weight_micros);
    match decided.outcome {
        Outcome::Good => pane.counts.good += weight,
        Outcome::Bad => pane.counts.bad += weight,
        Outcome::Abandoned => return,
    }
    pane.counts.events += 1;
    pane.counts.bad_events += u64::from(is_bad);
}

/// Adds a stray event to its pane.
pub fn note_stray(pane: &mut PaneDelta, journey: &Journey) {
    pane.parts.resize(journey.steps.len() + 1, Counts::default());
    pane.parts[journey.steps.len()].events += 1;
}

impl Attempts {
    pub fn new(layout: &Layout, steps: usize) -> Attempts {
        let windows = Windows::new(layout);
        Attempts { steps: vec![windows.clone(); steps + 1], all: windows, ..Attempts::default() }
    }

    pub fn counts(&self, window: usize) -> &Counts {
        &self.all.sum(window).counts
    }

    /// How long attempts took.
    pub fn latency(&self, layout: &Layout, window: usize) -> Sketch {
        self.all.latency(layout, window)
    }

    pub fn previous(&self) -> Option<&Counts> {
        self.all.previous()
    }

    pub const fn all_bad(&self) -> u128 {
        self.all_bad
    }

    pub const fn seen(&self) -> &LastSeen {
        &self.seen
    }

    pub const fn bad_users(&self) -> &BadUsers {
        &self.bad_users
    }

    fn windows(&mut self) -> impl Iterator<Item = &mut Windows> {
        std::iter::once(&mut self.all).chain(&mut self.steps)
    }

    pub fn advance(&mut self, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>) {
        self.windows().for_each(|windows| windows.advance(definition.layout, boundary.starts));
        self.forget_users(definition, boundary);
    }

    /// Takes what all users tasks tell of a boundary.
    pub fn add<'a>(
        &mut self,
        definition: &KeyDefinition<'_>,
        boundary: &Boundary<'_>,
        news: impl Iterator<Item = &'a AttemptNews>,
    ) {
        let mut panes: Vec<PaneDelta> = Vec::new();
        for of_task in news {
            of_task.panes.iter().for_each(|pane| add_pane(&mut panes, pane));
            of_task.seen.iter().for_each(|(slice_ms, change)| self.seen.add(*slice_ms, *change));
            of_task.bad_users.iter().for_each(|(pane_ms, users)| self.bad_users.add(*pane_ms, users));
        }
        for mut pane in panes {
            self.all_bad += pane.counts.bad;
            let steps = std::mem::take(&mut pane.parts);
            if pane.counts.events > 0 {
                self.all.add(definition.layout, boundary.starts, &pane);
            }
            for (windows, counts) in self.steps.iter_mut().zip(steps).filter(|(_, counts)| counts.events > 0) {
                let of_step = PaneDelta { start_ms: pane.start_ms, counts, ..PaneDelta::default() };
                windows.add(definition.layout, boundary.starts, &of_step);
            }
        }
    }

    /// As [`super::super::key_state::KeyState`] does with users by their events.
    fn forget_users(&mut self, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>) {
        let Some(kept) = definition.users_kept(boundary) else { return };
        if let Some(from_ms) = kept.seen_from_ms {
            self.seen.forget_before(from_ms);
        }
        self.bad_users.keep(&kept);
    }

    /// The next boundary at which an attempt leaves a window.
    pub fn next_change_ms(&self, definition: &KeyDefinition<'_>) -> Option<Ms> {
        let windows = std::iter::once(&self.all).chain(&self.steps);
        windows.filter_map(|windows| windows.next_expiry_ms(definition.layout)).min()
    }

    /// The same attempts in the windows of another definition with the same steps.
    pub fn relaid(self, from: &KeyDefinition<'_>, to: &KeyDefinition<'_>, at_ms: Ms) -> Attempts {
        let relaid = |windows: &Windows| windows.relaid(from.layout, to.layout, at_ms);
        let (all, steps) = (relaid(&self.all), self.steps.iter().map(relaid).collect());
        let mut seen = self.seen;
        seen.reslice(to.slo.seen_slice_ms());
        Attempts { all, steps, seen, ..self }
    }

    /// `journey{}` of a status, over the compliance window.
    pub fn published(&self, view: KeyView<'_>, journey: &Journey) -> Published {
        let window = view.definition.layout.compliance;
        let counts = |windows: &Windows| windows.sum(window).counts;
        let all = counts(&self.all);
        let ended: Vec<Counts> = self.steps.iter().map(counts).collect();
        let (stray, ended) = ended.split_last().map_or((0, &[][..]), |(stray, ended)| (stray.events, ended));
        // Those that are good ended behind the last step.
        let mut entered = all.events - all.bad_events;
        let mut steps = Vec::with_capacity(ended.len());
        let mut compound = Some(1.0);
        for (step, of) in journey.steps.iter().zip(ended).rev() {
            entered += of.events;
            steps.push(JourneyStep {
                name: step.name.clone(),
                entered,
                failed: of.bad_events,
                abandoned: of.anonymous,
            });
        }
        steps.reverse();
        for step in &steps {
            let passed = (step.entered > 0).then(|| 1.0 - step.failed as f64 / step.entered as f64);
            compound = compound.zip(passed).map(|(so_far, passed): (f64, f64)| so_far * passed);
        }
        let abandoned = ended.iter().map(|of| of.anonymous).sum::<u64>();
        Published { attempts: all.events + abandoned, abandoned, stray, steps, compound }
    }
}
