//! Which cohorts of a key were found at the last steps, and which of them are open.
//!
//! An episode opens after 2 steps of its user window in a row that find the cohort, and closes after 3 in a row that do
//! not.

use super::cohort::{Attributes, Found, Kind, search};
use super::partial::{Leaf, SampleUser};
use crate::model::output::{AlertCohort, AttributeValue, TailCohort};
use crate::model::time::Ms;
use serde::{Deserialize, Serialize};

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
    pub open: Option<Open>,
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
                    tracked.found = found;
                }
                None => self.tracked.push(Tracked { kind, window_ms, found, hits: 1, misses: 0, open: None }),
            }
        }
        // A cohort that was found once, but not at the next step, was chance.
        self.tracked.retain(|t| t.open.is_some() || t.misses == 0);
    }

    /// The open cohort to name first: by events while the budget burns, else by users; from the smallest window, with
    /// the best rank.
    pub fn leading(&self, burns: bool) -> Option<AlertCohort> {
        let open = self.tracked.iter().filter_map(|t| t.open.as_ref().map(|open| (t, open)));
        let kept = open.filter(|(t, _)| burns || t.kind == Kind::Users);
        let order = |(t, open): &(&Tracked, &Open)| (t.kind, t.window_ms, t.misses, t.found.rank, open.id.clone());
        let (tracked, open) = kept.min_by_key(order)?;
        Some(AlertCohort {
            id: open.id.clone(),
            cohort: values_of(&tracked.found),
            risk_ratio: Some(tracked.found.risk.ratio),
            bad_share: bad_share(&tracked.found),
        })
    }
}

pub fn values_of(found: &Found) -> Vec<AttributeValue> {
    let pair =
        |(attribute, value): &(String, String)| AttributeValue { attribute: attribute.clone(), value: value.clone() };
    found.attributes.iter().map(pair).collect()
}

/// The cohort's share of the bad events of all users with enough events.
pub fn bad_share(found: &Found) -> Option<f64> {
    (found.bad_total > 0).then(|| found.bad as f64 / found.bad_total as f64)
}

#[cfg(test)]
mod tests;
