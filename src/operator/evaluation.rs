//! A key's step at a boundary, once its events were added: rules, cohorts, alerts and the status, in this order and from
//! the same sums.

use super::alert::{self, GIVE_UP_AFTER_MS};
use super::burn_rate::{self, Evidence};
use super::cohort_episode;
use super::episode::Resolved;
use super::failing_users;
use super::forecast_step;
use super::key_definition::{Boundary, KeyDefinition};
use super::key_state::{KeyOutput, KeyState};
use super::key_view::KeyView;
use super::partial::KeyStep;
use super::policy;
use super::sla;
use super::tail_episode;
use crate::model::key::Scope;
use crate::model::slo::Slo;
use crate::model::time::{DAY_MS, HOUR_MS, Ms};

impl KeyView<'_> {
    /// Nothing of the key counts any more: its compliance window is empty, or its last event lies before the calendar's
    /// previous period.
    fn is_forgotten(self) -> bool {
        match self.boundary.starts.spans {
            // Slices that are not complete are no reason to forget the key.
            None => self.event_counts(self.definition.layout.compliance).events == 0,
            Some(spans) => self.key.last_ms().is_none_or(|last_ms| last_ms < spans.previous.start_ms),
        }
    }

    /// A calendar's period ends at this boundary, or the figures of the one before become final.
    fn ends_a_period(self) -> bool {
        let Some(spans) = self.boundary.starts.spans else { return false };
        let at_ms = self.boundary.at_ms;
        let becomes_final = self.key.windows.previous().is_some() && self.final_ms(spans.previous) == at_ms;
        spans.current.end_ms == at_ms || becomes_final
    }
}

/// The retention of the history topic.
const TOLD_HOURLY_FOR_MS: Ms = 400 * DAY_MS;

impl KeyState {
    /// Ends every alert of the old definition, and the cohorts that the next one, if any, does not look for.
    pub fn end(
        &mut self,
        definition: &KeyDefinition<'_>,
        boundary: &Boundary<'_>,
        why: Resolved,
        next: Option<&Slo>,
        out: &mut KeyOutput,
    ) {
        alert::close_all(self, definition, boundary, why, &mut out.alerts);
        let goes_on = |window_ms: Ms| next.is_some_and(|n| n.cohorts && n.user_windows_ms.contains(&window_ms));
        cohort_episode::close_where(self, definition, boundary, &|window_ms| !goes_on(window_ms), out);
        tail_episode::close_where(self, definition, boundary, &|_| true, out);
        failing_users::close_all(self, definition, boundary, out);
    }

    /// Decides everything that is due at the boundary; `steps` are the user figures of its steps.
    pub fn evaluate(
        &mut self,
        definition: &KeyDefinition<'_>,
        boundary: &Boundary<'_>,
        steps: &[&KeyStep],
        out: &mut KeyOutput,
    ) {
        if !self.exists() {
            return;
        }
        let is_aggregate = matches!(definition.scope, Scope::Aggregate);
        if !is_aggregate && self.view(definition, boundary).is_forgotten() {
            alert::close_all(self, definition, boundary, Resolved::NoData, &mut out.alerts);
            cohort_episode::close_where(self, definition, boundary, &|_| true, out);
            tail_episode::close_where(self, definition, boundary, &|_| true, out);
            failing_users::close_all(self, definition, boundary, out);
            out.is_gone = true;
            return;
        }
        self.step_rules(definition, boundary);
        cohort_episode::step(self, definition, boundary, steps, out);
        tail_episode::step(self, definition, boundary, steps, out);
        failing_users::step(self, definition, boundary, steps, out);
        forecast_step::step(self, definition, boundary);
        sla::step(self, definition, boundary);
        policy::step(self, definition, boundary);
        alert::step(self, definition, boundary, &mut out.alerts);
        self.end_canary_minute(definition, boundary, out);
        let state = self.view(definition, boundary).state();
        // A key that begins to exist does not change its state.
        let changed = self.state_before.replace(state).map_or(is_aggregate, |before| before != state);
        if changed || !out.alerts.is_empty() || self.is_due(definition, boundary) {
            out.status = Some(self.view(definition, boundary).status(state));
            self.has_news = false;
        }
    }

    fn is_due(&self, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>) -> bool {
        if self.view(definition, boundary).ends_a_period() {
            return true;
        }
        let is_full_hour = boundary.at_ms % HOUR_MS == 0 && boundary.at_ms <= self.told_hourly_until_ms();
        boundary.is_last || is_full_hour || (self.has_news && boundary.at_ms % boundary.status_interval_ms == 0)
    }

    /// An aggregate key is never forgotten. But a single record of the year 9999 in a bounded input must not cause 70
    /// million empty statuses: hourly statuses end when the history's retention is over.
    pub(super) fn told_hourly_until_ms(&self) -> Ms {
        self.last_ms().unwrap_or(0).max(self.since_ms()) + TOLD_HOURLY_FOR_MS
    }

    fn step_rules(&mut self, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>) {
        self.forget_users(definition, boundary);
        let evidence = Evidence {
            at_ms: boundary.at_ms,
            first_ms: self.first_ms(),
            windows: &self.windows,
            units: self.units.as_deref(),
            seen: &self.seen,
            // Windows are numbered in ascending order of length.
            longest: definition.specs.iter().filter(|spec| spec.kind.asks_guards()).map(|spec| spec.long).max(),
            bad_users: &self.bad_users,
            window_starts_ms: &boundary.starts.windows_ms,
            budget: self.budget_evidence(definition, boundary),
            is_given_up: self.is_silent(boundary.at_ms, GIVE_UP_AFTER_MS),
        };
        let fired = self.budget_fires(definition);
        burn_rate::step_rules(&mut self.rules, definition.slo, definition.objective, definition.specs, &evidence);
        let fires = self.budget_fires(definition);
        if let Some(bank) = self.budget.as_deref_mut().filter(|_| fires != fired) {
            if fires { bank.fired(boundary.at_ms) } else { bank.reset(boundary.at_ms) }
        }
    }

    /// Forgets users whose last event is before the longest window that needs them.
    fn forget_users(&mut self, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>) {
        let Some(kept) = definition.users_kept(boundary) else { return };
        if let Some(from_ms) = kept.seen_from_ms {
            self.seen.forget_before(from_ms);
            self.bad_seen.forget_before(from_ms);
        }
        self.bad_users.keep(&kept);
    }
}
