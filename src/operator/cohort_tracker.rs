//! Which cohorts of a key were found at the last steps, and which of them are open.
//!
//! A cohort is open for a user window and a kind after 2 steps in a row that find it, until 3 in a row that do not. All
//! windows and kinds that have the same cohort open share one episode, and so does a cohort that another one explains.

use super::cohort::{Attributes, Found, Kind, search};
use super::key_definition::OpenCohort;
use super::partial::{Leaf, SampleUser};
use crate::model::key::Scope;
use crate::model::output::{AlertCohort, AttributeValue, TailCohort};
use crate::model::time::Ms;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

pub const OPENS_AFTER_STEPS: u8 = 2;
pub const CLOSES_AFTER_STEPS: u8 = 3;

/// A cohort that the last steps found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tracked {
    pub kind: Kind,
    pub window_ms: Ms,
    /// As seen by the last step that found it.
    pub found: Found,
    /// Consecutive steps that found it; consecutive steps that did not.
    pub hits: u8,
    pub misses: u8,
    /// The episode of the cohort, in the entry that its records show.
    pub open: Option<Open>,
    /// The cohort is open for this window and kind.
    #[serde(default)]
    pub is_open: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Open {
    pub id: String,
    pub started_ms: Ms,
    pub seq: u64,
    pub told: Told,
}

/// Content of an episode's last record; a material change brings the next one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Told {
    pub users_in_tail: u64,
    pub rank: u64,
    pub alert_id: Option<String>,
    /// The cohort of the aggregate that it repeats.
    #[serde(default)]
    pub same_as: Option<String>,
}

/// A record of an episode; the sample of users is added when ids are published.
#[derive(Debug)]
pub struct CohortRecord {
    pub record: TailCohort,
    pub sample: Vec<SampleUser>,
}

/// All cohorts of one key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cohorts {
    pub tracked: Vec<Tracked>,
}

impl Cohorts {
    /// No cohort was found, and none is open.
    pub fn is_empty(&self) -> bool {
        self.tracked.is_empty()
    }

    pub fn look(&mut self, kind: Kind, window_ms: Ms, leaves: &[Leaf]) {
        let is_open = |t: &&Tracked| t.kind == kind && t.window_ms == window_ms && t.open.is_some();
        let known: Vec<&Attributes> = self.tracked.iter().filter(is_open).map(|t| &t.found.attributes).collect();
        let found = search(leaves, kind, &known);
        self.see(kind, window_ms, found);
    }

    /// Counts a step of one window: the cohorts it found, and those it no longer found.
    pub fn see(&mut self, kind: Kind, window_ms: Ms, found: Vec<Found>) {
        for tracked in self.tracked.iter_mut().filter(|t| t.kind == kind && t.window_ms == window_ms) {
            // State of version 6 says only which have an episode.
            tracked.is_open |= tracked.open.is_some();
            tracked.hits = 0;
            tracked.misses = tracked.misses.saturating_add(1);
        }
        let is_same =
            |t: &Tracked, f: &Found| t.kind == kind && t.window_ms == window_ms && t.found.attributes == f.attributes;
        for found in found {
            match self.tracked.iter_mut().find(|t| is_same(t, &found)) {
                // The number of misses shows the hits before this step: there was one step between.
                Some(tracked) => {
                    tracked.hits = if tracked.misses == 1 { OPENS_AFTER_STEPS } else { 1 };
                    tracked.misses = 0;
                    tracked.is_open |= tracked.hits >= OPENS_AFTER_STEPS;
                    tracked.found = found;
                }
                None => {
                    let (hits, misses, open, is_open) = (1, 0, None, false);
                    self.tracked.push(Tracked { kind, window_ms, found, hits, misses, open, is_open });
                }
            }
        }
        self.tracked.iter_mut().filter(|t| t.misses >= CLOSES_AFTER_STEPS).for_each(|t| t.is_open = false);
        self.forget();
    }

    /// A cohort that was found once, but not at the next step, was chance.
    pub fn forget(&mut self) {
        self.tracked.retain(|t| t.is_open || t.open.is_some() || t.misses == 0);
    }

    /// The entries of a window and kind, just examined, whose cohort is open and has no episode yet, nor one that
    /// explains it.
    pub fn unexplained(
        &self,
        kind: Kind,
        window_ms: Ms,
        explains: impl Fn(&Attributes, &Attributes) -> bool,
    ) -> Vec<usize> {
        let mut episodes: Vec<&Attributes> = self.episodes().collect();
        let mut begin = Vec::new();
        for (at, tracked) in self.tracked.iter().enumerate() {
            let attributes = &tracked.found.attributes;
            let is_asked =
                tracked.is_open && tracked.misses == 0 && (tracked.kind, tracked.window_ms) == (kind, window_ms);
            if is_asked && !episodes.iter().any(|of| *of == attributes || explains(of, attributes)) {
                episodes.push(attributes);
                begin.push(at);
            }
        }
        begin
    }

    /// The cohorts with an episode.
    pub fn episodes(&self) -> impl Iterator<Item = &Attributes> {
        self.tracked.iter().filter(|t| t.open.is_some()).map(|t| &t.found.attributes)
    }

    /// Moves the episode of a cohort to the entry that its next record shows: that of the shortest window, users first.
    /// `None`: it is not open any more, and its episode ends; it stays where it was.
    pub fn show(&mut self, attributes: &Attributes) -> (Option<usize>, bool) {
        let of = |t: &Tracked| t.found.attributes == *attributes;
        let from = self.tracked.iter().position(|t| of(t) && t.open.is_some());
        let open = self.tracked.iter().enumerate().filter(|(_, t)| of(t) && t.is_open);
        let to = open.min_by_key(|(_, t)| (t.window_ms, t.kind != Kind::Users)).map(|(at, _)| at);
        if let (Some(from), Some(to)) = (from, to) {
            let episode = self.tracked[from].open.take();
            self.tracked[to].open = episode;
        }
        (to.or(from), to.is_some())
    }

    /// Whether a cohort of the window is open.
    pub fn is_open(&self, window_ms: Ms) -> bool {
        self.tracked.iter().any(|tracked| tracked.window_ms == window_ms && tracked.is_open_here())
    }

    /// Orders the episodes of each window by the budget they burnt, which is by their bad events: all have one budget.
    pub fn rank(&mut self) {
        let goes_on = |tracked: &Tracked| tracked.is_open && tracked.open.is_some();
        let mut shown: Vec<usize> = (0..self.tracked.len()).filter(|at| goes_on(&self.tracked[*at])).collect();
        shown.sort_by(|a, b| self.tracked[*a].burns_more(&self.tracked[*b]));
        let mut told: Vec<(Ms, u64)> = Vec::new();
        for at in shown {
            let window_ms = self.tracked[at].window_ms;
            let of_window = told.iter().position(|(ms, _)| *ms == window_ms).unwrap_or_else(|| {
                told.push((window_ms, 0));
                told.len() - 1
            });
            told[of_window].1 += 1;
            self.tracked[at].found.rank = told[of_window].1;
        }
    }

    /// The attributes of the open cohort of a window that burnt the most budget in it.
    pub fn leading_of(&self, window_ms: Ms) -> Option<Attributes> {
        let has_episode = |t: &&Tracked| self.episodes().any(|attributes| *attributes == t.found.attributes);
        let open = self.tracked.iter().filter(|t| t.window_ms == window_ms && t.is_open_here()).filter(has_episode);
        open.min_by(|a, b| a.burns_more(b)).map(|tracked| tracked.found.attributes.clone())
    }

    /// The open cohort to name first: of those shown in the shortest window, the one that burnt the most budget.
    pub fn leading(&self) -> Option<AlertCohort> {
        let shown = self.tracked.iter().filter_map(|t| t.open.as_ref().map(|open| (t, open)));
        let (tracked, open) = shown.min_by(|(a, _), (b, _)| a.window_ms.cmp(&b.window_ms).then(a.burns_more(b)))?;
        Some(AlertCohort {
            id: open.id.clone(),
            cohort: values_of(&tracked.found.attributes),
            risk_ratio: Some(tracked.found.risk.ratio),
            bad_share: bad_share(&tracked.found),
        })
    }

    /// The cohorts with an episode, by attributes.
    pub fn open_cohorts(&self) -> Vec<OpenCohort> {
        let open = |t: &Tracked| {
            let open = t.open.as_ref()?;
            Some(OpenCohort { attributes: t.found.attributes.clone(), id: open.id.clone() })
        };
        let mut all: Vec<OpenCohort> = self.tracked.iter().filter_map(open).collect();
        all.sort_by(|a, b| a.attributes.cmp(&b.attributes));
        all
    }
}

impl Tracked {
    fn is_open_here(&self) -> bool {
        self.is_open || self.open.is_some()
    }

    /// What burnt more budget comes first.
    fn burns_more(&self, other: &Tracked) -> Ordering {
        other.found.bad.cmp(&self.found.bad).then_with(|| self.found.attributes.cmp(&other.found.attributes))
    }
}

/// The cohort among those of the aggregate that one of a group repeats. What the group has of its own anyway
/// (`region=eu` in the group of that region) makes no difference.
pub fn repeated<'a>(own: &Attributes, scope: &Scope, of_aggregate: &'a [OpenCohort]) -> Option<&'a OpenCohort> {
    let fixed: &[(String, String)] = if let Scope::Group(pairs) = scope { pairs } else { &[] };
    let rest = |attributes: &Attributes| -> Attributes {
        attributes.iter().filter(|pair| !fixed.contains(pair)).cloned().collect()
    };
    let is_it = |open: &&OpenCohort| !rest(own).is_empty() && rest(&open.attributes) == rest(own);
    let exactly = of_aggregate.iter().find(|open| open.attributes == *own);
    exactly.or_else(|| of_aggregate.iter().find(is_it))
}

pub fn values_of(attributes: &Attributes) -> Vec<AttributeValue> {
    let pair =
        |(attribute, value): &(String, String)| AttributeValue { attribute: attribute.clone(), value: value.clone() };
    attributes.iter().map(pair).collect()
}

/// The cohort's share of the bad events of all users with enough events.
pub fn bad_share(found: &Found) -> Option<f64> {
    (found.bad_total > 0).then(|| found.bad as f64 / found.bad_total as f64)
}

#[cfg(test)]
mod tests;
