//! Cohorts of one key over time: each is an episode with numbered records, like an alert.
//!
//! `cohort` decides what counts as found, and `cohort_tracker` when an episode opens and closes; this module only writes
//! the records. A step without a cube (fewer than 5 users below) finds nothing.

use super::alert;
use super::cohort::causes::Events;
use super::cohort::{Attributes, Kind, explains, leaves_of};
use super::cohort_tracker::{CLOSES_AFTER_STEPS, CohortRecord, Open, Told, Tracked, bad_share, repeated, values_of};
use super::event_table;
use super::key_definition::{Boundary, KeyDefinition};
use super::key_state::{KeyOutput, KeyState};
use super::key_view::{KeyView, weight_of};
use super::partial::{KeyStep, LEAVES, Leaf, cap_leaves};
use crate::model::duration;
use crate::model::output::TailCohort;
use crate::model::time::{Moment, Ms, slice_ms};
use std::collections::BTreeSet;

/// Looks for cohorts at the steps of this boundary, and publishes changes. It runs after the rules and before the
/// alerts, so that a new alert can name the cohort.
pub fn step(
    key: &mut KeyState,
    definition: &KeyDefinition<'_>,
    boundary: &Boundary<'_>,
    steps: &[&KeyStep],
    out: &mut KeyOutput,
) {
    if !definition.slo.cohorts {
        return;
    }
    let alert = alert::firing(key.view(definition, boundary));
    for window_ms in definition.slo.user_windows_ms.iter().copied().filter(|w| boundary.at_ms % slice_ms(*w) == 0) {
        let of_window = || steps.iter().filter(|s| s.window_ms == window_ms).flat_map(|s| &s.cube);
        for kind in [Kind::Users, Kind::Events] {
            let begin = if kind == Kind::Events && event_table::is_kept_for(definition.scope) {
                look_at_events(key, boundary.at_ms, window_ms, of_window())
            } else {
                let mut leaves = leaves_of(kind, of_window());
                cap_leaves(&mut leaves, LEAVES);
                key.cohorts.look(kind, window_ms, &leaves);
                key.cohorts.unexplained(kind, window_ms, |open, other| explains(&leaves, kind, open, other))
            };
            for at in begin {
                let episode = key.cohorts.tracked[at].begin(key.view(definition, boundary));
                key.cohorts.tracked[at].open = Some(episode);
            }
        }
    }
    tell(key, definition, boundary, alert.map(|a| a.id), out);
    key.leading_cohort = key.cohorts.leading();
}

/// A step of the search in the key's table of events; returns the entries whose episode begins.
fn look_at_events<'a>(
    key: &mut KeyState,
    at_ms: Ms,
    window_ms: Ms,
    cube: impl Iterator<Item = &'a Leaf>,
) -> Vec<usize> {
    let Some(table) = key.events.as_deref() else {
        key.cohorts.see(Kind::Events, window_ms, Vec::new());
        return Vec::new();
    };
    let events = Events::of(table, at_ms, window_ms);
    key.cohorts.see(Kind::Events, window_ms, events.search(cube));
    key.cohorts.unexplained(Kind::Events, window_ms, |open, other| events.explains(open, other))
}

/// Ends the episodes of windows that are no longer examined; of all windows if the key is forgotten.
pub fn close_where(
    key: &mut KeyState,
    definition: &KeyDefinition<'_>,
    boundary: &Boundary<'_>,
    ends: &dyn Fn(Ms) -> bool,
    out: &mut KeyOutput,
) {
    let mut ended = false;
    for tracked in key.cohorts.tracked.iter_mut().filter(|tracked| ends(tracked.window_ms)) {
        tracked.misses = CLOSES_AFTER_STEPS;
        tracked.is_open = false;
        ended = true;
    }
    if ended {
        tell(key, definition, boundary, None, out);
        key.leading_cohort = None;
    }
}

/// Opens, updates and closes episodes; records leave in the order of their ids.
fn tell(
    key: &mut KeyState,
    definition: &KeyDefinition<'_>,
    boundary: &Boundary<'_>,
    alert_id: Option<String>,
    out: &mut KeyOutput,
) {
    let mut cohorts = std::mem::take(&mut key.cohorts);
    let view = key.view(definition, boundary);
    let episodes: BTreeSet<Attributes> = cohorts.episodes().cloned().collect();
    let shown = |attributes: &Attributes| match cohorts.show(attributes) {
        (Some(shown), is_open) => Some((shown, is_open)),
        (None, _) => None,
    };
    let shown: Vec<(usize, bool)> = episodes.iter().filter_map(shown).collect();
    cohorts.rank();
    for (shown, is_open) in shown {
        let tracked = &mut cohorts.tracked[shown];
        let same_as = repeated(&tracked.found.attributes, definition.scope, boundary.of_aggregate);
        let now = Told { alert_id: alert_id.clone(), same_as: same_as.map(|open| open.id.clone()), ..tracked.now() };
        if let Some(state) = tracked.next_state(is_open, &now) {
            out.cohorts.extend(tracked.record(view, state, now));
        }
        if !is_open {
            tracked.open = None;
        }
    }
    cohorts.forget();
    out.cohorts.sort_by(|a, b| a.record.id.cmp(&b.record.id));
    key.cohorts = cohorts;
}

impl Tracked {
    /// The record that is due: `open`, `update`, `closed` or none.
    fn next_state(&self, is_open: bool, now: &Told) -> Option<&'static str> {
        let open = self.open.as_ref()?;
        if !is_open {
            return Some("closed");
        }
        if open.seq == 0 {
            return Some("open");
        }
        let doubled = now.users_in_tail >= 2 * open.told.users_in_tail.max(1);
        let new_alert = now.alert_id.is_some() && now.alert_id != open.told.alert_id;
        let new_cause = now.same_as.is_some() && now.same_as != open.told.same_as;
        (doubled || now.rank != open.told.rank || new_alert || new_cause).then_some("update")
    }

    fn now(&self) -> Told {
        Told { users_in_tail: self.found.users_in_tail, rank: self.found.rank, ..Told::default() }
    }

    fn begin(&self, view: KeyView<'_>) -> Open {
        Open { id: self.id(view), started_ms: view.boundary.at_ms, seq: 0, told: Told::default() }
    }

    fn id(&self, view: KeyView<'_>) -> String {
        let window = duration::print(self.window_ms);
        let at = view.boundary.at_ms.to_string();
        let parts = [view.definition.key_text, &self.words(), self.kind.as_str(), &window, &at];
        alert::short_hash(&parts.join("|"))
    }

    fn words(&self) -> String {
        let pairs: Vec<String> = self.found.attributes.iter().map(|(n, v)| format!("{n}={v}")).collect();
        pairs.join(",")
    }

    fn record(&mut self, view: KeyView<'_>, state: &str, mut now: Told) -> Option<CohortRecord> {
        let summary = self.summary(view.definition, state);
        let found = &self.found;
        let open = self.open.as_mut()?;
        open.seq += 1;
        if state == "closed" {
            // Both may end at once.
            now.same_as = now.same_as.or_else(|| open.told.same_as.take());
        }
        open.told = now;
        let (tenant, group) = view.definition.scope_fields();
        let events = view.event_counts(view.definition.layout.compliance).total();
        let allowed = (1.0 - view.definition.objective.as_f64()) * weight_of(events);
        let record = TailCohort {
            id: open.id.clone(),
            seq: open.seq,
            state: state.to_owned(),
            kind: self.kind.as_str().to_owned(),
            slo: view.definition.slo.name.clone(),
            definition_hash: view.definition.slo.definition_hash.clone(),
            service: view.definition.slo.service.clone(),
            scope: view.definition.scope.kind().to_owned(),
            tenant,
            group,
            window: duration::print(self.window_ms),
            at: Moment(view.boundary.at_ms),
            started_at: Moment(open.started_ms),
            rank: Some(found.rank),
            cohort: values_of(&found.attributes),
            users_in_tail: Some(found.users_in_tail),
            // How many users an operation has is not counted.
            users: (found.users > 0).then_some(found.users),
            tail_total: Some(found.tail_total),
            users_total: Some(found.users_total),
            risk_ratio: Some(found.risk.ratio),
            risk_ratio_low: Some(found.risk.low),
            risk_ratio_high: Some(found.risk.high),
            bad: Some(weight_of(found.bad)),
            bad_share: bad_share(found),
            budget_burnt: (allowed > 0.0).then(|| weight_of(found.bad) / allowed),
            p_adjusted: Some(found.p_adjusted),
            same_as: open.told.same_as.clone(),
            sample_users: Vec::new(),
            alert_id: open.told.alert_id.clone(),
            summary,
        };
        Some(CohortRecord { record, sample: found.sample.clone() })
    }

    /// At most 200 characters: where, who, how many, how much worse.
    fn summary(&self, definition: &KeyDefinition<'_>, state: &str) -> String {
        let f = &self.found;
        let (name, window) = (definition.name_in_words(), duration::print(self.window_ms));
        let verb = if state == "closed" { "no longer stands out; it had" } else { "stands out:" };
        let what = match self.kind {
            Kind::Users => format!(
                "{} of {} users below the objective in {window}, {:.1}x more often badly served than others",
                f.users_in_tail, f.users, f.risk.ratio
            ),
            Kind::Events => format!(
                "{} of {} events bad in {window}, {:.1}x as many as to be expected; users: {}",
                f.bad_events, f.events, f.risk.ratio, f.users_in_tail
            ),
        };
        let text = format!("{name}: {} {verb} {what}", self.words());
        alert::shortened(text)
    }
}
