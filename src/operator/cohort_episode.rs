//! Cohorts of one key over time: each is an episode with numbered records, like an alert.
//!
//! An episode opens after 2 steps of its user window in a row that find the cohort, and closes after 3 in a row that do
//! not. A step without a cube (fewer than 5 users below) finds nothing. `cohort` decides what counts as found; this
//! module only writes the records. `tail_degraded` is not published yet: its estimate does not exist yet.

use super::alert;
use super::cohort::{Attributes, Found, Kind, merge_leaves, search};
use super::key_state::{KeyFacts, KeyOutput, KeyState, Moments};
use super::partial::{KeyStep, LEAVES, Leaf, SampleUser, cap_leaves};
use super::status::{name_of, scope_fields, weight_of};
use crate::model::duration;
use crate::model::output::{AlertCohort, AttributeValue, TailCohort};
use crate::model::time::{Moment, Ms, slice_ms};
use serde::{Deserialize, Serialize};

const OPENS_AFTER_STEPS: u8 = 2;
const CLOSES_AFTER_STEPS: u8 = 3;
const SUMMARY_CHARS: usize = 200;

/// A cohort that the last steps found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tracked {
    kind: Kind,
    window_ms: Ms,
    /// As seen by the last step that found it.
    found: Found,
    /// Consecutive steps that found it; consecutive steps that did not.
    hits: u8,
    misses: u8,
    open: Option<Open>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Open {
    id: String,
    started_ms: Ms,
    seq: u64,
    told: Told,
}

/// Content of an episode's last record; a material change brings the next one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Told {
    users_in_tail: u64,
    rank: u64,
    alert_id: Option<String>,
}

/// A record of an episode; the sample of users is added when ids are published.
#[derive(Debug)]
pub struct CohortRecord {
    pub record: TailCohort,
    pub sample: Vec<SampleUser>,
}

/// Looks for cohorts at the steps of this boundary, and publishes changes. It runs after the rules and before the
/// alerts, so that a new alert can name the cohort.
pub fn step(key: &mut KeyState, facts: &KeyFacts<'_>, now: &Moments<'_>, steps: &[&KeyStep], out: &mut KeyOutput) {
    if !facts.slo.cohorts {
        return;
    }
    let alert = alert::firing(key, facts, now);
    let events_window_ms = alert.as_ref().map(|a| nearest(&facts.slo.user_windows_ms, a.window_ms));
    for window_ms in facts.slo.user_windows_ms.iter().copied().filter(|w| now.at_ms % slice_ms(*w) == 0) {
        let cubes = steps.iter().filter(|s| s.window_ms == window_ms).flat_map(|s| &s.cube);
        let mut leaves = merge_leaves(cubes);
        cap_leaves(&mut leaves, LEAVES);
        key.cohorts.look(Kind::Users, window_ms, &leaves);
        let looks_at_events = events_window_ms == Some(window_ms);
        key.cohorts.look(Kind::Events, window_ms, if looks_at_events { &leaves } else { &[] });
    }
    tell(key, facts, now, alert.map(|a| a.id), out);
    key.leading_cohort = key.cohorts.leading(events_window_ms.is_some());
}

/// Ends the episodes of windows that are no longer examined; of all windows if the key is forgotten.
pub fn close_where(
    key: &mut KeyState,
    facts: &KeyFacts<'_>,
    now: &Moments<'_>,
    ends: &dyn Fn(Ms) -> bool,
    out: &mut KeyOutput,
) {
    let mut ended = false;
    for tracked in key.cohorts.tracked.iter_mut().filter(|tracked| ends(tracked.window_ms)) {
        tracked.misses = CLOSES_AFTER_STEPS;
        ended = true;
    }
    if ended {
        tell(key, facts, now, None, out);
        key.leading_cohort = None;
    }
}

/// All cohorts of one key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cohorts {
    tracked: Vec<Tracked>,
}

impl Cohorts {
    /// No cohort was found, and none is open.
    pub fn is_empty(&self) -> bool {
        self.tracked.is_empty()
    }

    fn look(&mut self, kind: Kind, window_ms: Ms, leaves: &[Leaf]) {
        let is_open = |t: &&Tracked| t.kind == kind && t.window_ms == window_ms && t.open.is_some();
        let known: Vec<&Attributes> = self.tracked.iter().filter(is_open).map(|t| &t.found.attributes).collect();
        let found = search(leaves, kind, &known);
        self.see(kind, window_ms, found);
    }

    /// Counts a step of one window: the cohorts it found, and those it no longer found.
    fn see(&mut self, kind: Kind, window_ms: Ms, found: Vec<Found>) {
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
    fn leading(&self, burns: bool) -> Option<AlertCohort> {
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

/// Opens, updates and closes episodes; records leave in the order of their ids.
fn tell(key: &mut KeyState, facts: &KeyFacts<'_>, now: &Moments<'_>, alert_id: Option<String>, out: &mut KeyOutput) {
    let mut cohorts = std::mem::take(&mut key.cohorts);
    for tracked in &mut cohorts.tracked {
        if let Some(state) = tracked.next_state(facts, now, alert_id.as_deref()) {
            out.cohorts.extend(tracked.record(key, facts, now, state, alert_id.clone()));
        }
    }
    cohorts.tracked.retain(|t| t.misses < CLOSES_AFTER_STEPS);
    out.cohorts.sort_by(|a, b| a.record.id.cmp(&b.record.id));
    key.cohorts = cohorts;
}

impl Tracked {
    /// The record that is due: `open`, `update`, `closed` or none.
    fn next_state(&mut self, facts: &KeyFacts<'_>, now: &Moments<'_>, alert_id: Option<&str>) -> Option<&'static str> {
        match &self.open {
            None if self.hits >= OPENS_AFTER_STEPS => {
                let id = self.id(facts, now);
                self.open = Some(Open { id, started_ms: now.at_ms, seq: 0, told: Told::default() });
                Some("open")
            }
            None => None,
            Some(_) if self.misses >= CLOSES_AFTER_STEPS => Some("closed"),
            Some(open) => {
                let doubled = self.found.users_in_tail >= 2 * open.told.users_in_tail;
                let new_alert = alert_id.is_some() && alert_id != open.told.alert_id.as_deref();
                (doubled || self.found.rank != open.told.rank || new_alert).then_some("update")
            }
        }
    }

    fn id(&self, facts: &KeyFacts<'_>, now: &Moments<'_>) -> String {
        let window = duration::print(self.window_ms);
        let parts = [facts.key_text, &self.words(), self.kind.as_str(), &window, &now.at_ms.to_string()];
        alert::short_hash(&parts.join("|"))
    }

    fn words(&self) -> String {
        let pairs: Vec<String> = self.found.attributes.iter().map(|(n, v)| format!("{n}={v}")).collect();
        pairs.join(",")
    }

    fn record(
        &mut self,
        key: &KeyState,
        facts: &KeyFacts<'_>,
        now: &Moments<'_>,
        state: &str,
        alert_id: Option<String>,
    ) -> Option<CohortRecord> {
        let summary = self.summary(facts, state);
        let found = &self.found;
        let open = self.open.as_mut()?;
        open.seq += 1;
        open.told = Told { users_in_tail: found.users_in_tail, rank: found.rank, alert_id: alert_id.clone() };
        let (tenant, group) = scope_fields(facts);
        let events = key.windows.sum(facts.layout.compliance).counts.total();
        let allowed = (1.0 - facts.objective.as_f64()) * weight_of(events);
        let record = TailCohort {
            id: open.id.clone(),
            seq: open.seq,
            state: state.to_owned(),
            kind: self.kind.as_str().to_owned(),
            slo: facts.slo.name.clone(),
            definition_hash: facts.slo.definition_hash.clone(),
            service: facts.slo.service.clone(),
            scope: facts.scope.kind().to_owned(),
            tenant,
            group,
            window: duration::print(self.window_ms),
            at: Moment(now.at_ms),
            started_at: Moment(open.started_ms),
            rank: Some(found.rank),
            cohort: values_of(found),
            users_in_tail: Some(found.users_in_tail),
            users: Some(found.users),
            tail_total: Some(found.tail_total),
            users_total: Some(found.users_total),
            risk_ratio: Some(found.risk.ratio),
            risk_ratio_low: Some(found.risk.low),
            risk_ratio_high: Some(found.risk.high),
            bad: Some(weight_of(found.bad)),
            bad_share: bad_share(found),
            budget_burnt: (allowed > 0.0).then(|| weight_of(found.bad) / allowed),
            p_adjusted: Some(found.p_adjusted),
            same_as: None,
            sample_users: Vec::new(),
            alert_id,
            summary,
        };
        Some(CohortRecord { record, sample: found.sample.clone() })
    }

    /// At most 200 characters: where, who, how many, how much worse.
    fn summary(&self, facts: &KeyFacts<'_>, state: &str) -> String {
        let f = &self.found;
        let (name, window) = (name_of(facts), duration::print(self.window_ms));
        let what = match self.kind {
            Kind::Users => "more often badly served",
            Kind::Events => "more bad events",
        };
        let verb = if state == "closed" { "no longer stands out; it had" } else { "stands out:" };
        let text = format!(
            "{name}: {} {verb} {} of {} users below the objective in {window}, {:.1}x {what} than others",
            self.words(),
            f.users_in_tail,
            f.users,
            f.risk.ratio,
        );
        if text.chars().count() <= SUMMARY_CHARS {
            return text;
        }
        text.chars().take(SUMMARY_CHARS - 1).chain(std::iter::once('…')).collect()
    }
}

fn values_of(found: &Found) -> Vec<AttributeValue> {
    let pair =
        |(attribute, value): &(String, String)| AttributeValue { attribute: attribute.clone(), value: value.clone() };
    found.attributes.iter().map(pair).collect()
}

/// The cohort's share of the bad events of all users with enough events.
fn bad_share(found: &Found) -> Option<f64> {
    (found.bad_total > 0).then(|| found.bad as f64 / found.bad_total as f64)
}

/// The user window whose length is nearest to another window's, by ratio; of two, the shorter.
fn nearest(user_windows_ms: &[Ms], window_ms: Ms) -> Ms {
    let distance = |w: &Ms| (w.max(&window_ms) * 1_000) / w.min(&window_ms).max(&1);
    user_windows_ms.iter().copied().min_by_key(distance).unwrap_or(window_ms)
}

#[cfg(test)]
mod tests;
