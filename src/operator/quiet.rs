//! When a key may change without new events: earlier boundaries need not be evaluated (contract, section 3).
//!
//! A boundary too many costs time, one too few changes what is published; the tests of
//! `pipeline::rollup` compare with evaluating every one.

use super::alert::GIVE_UP_AFTER_MS;
use super::burn_rate::RuleState;
use super::cohort_tracker::Cohorts;
use super::key_definition::{Boundary, KeyDefinition};
use super::key_state::KeyState;
use super::key_view::KeyView;
use super::policy::PolicyState;
use super::signal::budget::BudgetBank;
use super::sla::{self, SlaFlags};
use super::tail_episode::Tail;
use crate::model::output::AlertCohort;
use crate::model::time::{HOUR_MS, MINUTE_MS, Ms, PANE_MS, boundary_behind, ceil_to, floor_to, slice_ms};

/// After the end of the year 9999.
const NEVER_MS: Ms = 1_000_000_000 * HOUR_MS;

/// The parts of a key that may change without new events and without output.
#[derive(PartialEq)]
pub struct QuietFingerprint {
    rules: Vec<RuleState>,
    cohorts: Cohorts,
    leading_cohort: Option<AlertCohort>,
    budget: Option<BudgetBank>,
    has_open_canaries: bool,
    tails: Vec<Tail>,
    sla: Option<SlaFlags>,
    policy: Option<PolicyState>,
    /// Two bits a user window: whether it had its first step, and whether that step found users.
    users: u32,
}

impl KeyState {
    /// Compared from boundary to boundary: if it is equal and there was no output, only time passed.
    pub fn quiet_fingerprint(&self) -> QuietFingerprint {
        let (rules, cohorts) = (self.rules.clone(), self.cohorts.clone());
        let bits =
            (0..self.users.len()).map(|i| u32::from(self.users[i].is_some()) | u32::from(self.has_users(i)) << 1);
        let users = bits.fold(0, |all, two| all << 2 | two);
        let (leading_cohort, budget) = (self.leading_cohort.clone(), self.budget.as_deref().copied());
        let (has_open_canaries, tails) = (self.has_open_canaries(), self.tails.clone());
        let (sla, policy) = (self.sla.as_ref().map(|sla| sla.flags), self.policy.clone());
        QuietFingerprint { rules, cohorts, leading_cohort, budget, has_open_canaries, tails, sla, policy, users }
    }

    fn has_users(&self, window: usize) -> bool {
        self.users[window].as_ref().is_some_and(|users| users.has_any)
    }

    /// The next boundary at which the key may change, unless it gets events before. Only valid after a boundary at
    /// which only time passed.
    pub fn quiet_until_ms(&self, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>) -> Ms {
        let next_ms = boundary.at_ms + PANE_MS;
        if !self.exists() {
            return next_ms;
        }
        let at_least = |ms: Ms| ceil_to(ms, PANE_MS);
        let multiple = |of_ms: Ms| at_least(floor_to(boundary.at_ms, of_ms) + of_ms);
        let next_hour_ms = multiple(HOUR_MS);
        let mut until_ms = if next_hour_ms <= self.told_hourly_until_ms() { next_hour_ms } else { NEVER_MS };
        let mut not_beyond = |ms: Ms| {
            if ms > boundary.at_ms {
                until_ms = until_ms.min(ms);
            }
        };
        if self.has_news {
            not_beyond(multiple(boundary.status_interval_ms));
        }
        self.windows.next_expiry_ms(definition.layout).into_iter().for_each(&mut not_beyond);
        if let Some(change_ms) = self.units.as_deref().and_then(|units| units.next_change_ms(definition)) {
            not_beyond(at_least(change_ms));
        }
        if let Some(spans) = boundary.starts.spans {
            not_beyond(spans.current.end_ms);
            not_beyond(spans.current.end_ms + PANE_MS);
            if self.windows.previous().is_some() {
                not_beyond(self.view(definition, boundary).final_ms(spans.previous));
            }
        }
        if let (Some(sla), Some(spans)) = (&self.sla, boundary.starts.sla) {
            not_beyond(spans.current.end_ms);
            not_beyond(spans.current.end_ms + PANE_MS);
            if sla.has_to_be_asked(self.view(definition, boundary)) {
                not_beyond(multiple(sla::ASKED_EVERY_MS));
            }
        }
        for (rule, spec) in self.rules.iter().zip(definition.specs) {
            rule.deadlines(spec, self.first_ms()).into_iter().flatten().map(at_least).for_each(&mut not_beyond);
        }
        if let (Some(bank), Some(units)) = (&self.budget, definition.budget) {
            let day_events = self.windows.sum(definition.layout.day).counts.events;
            bank.deadlines(boundary.at_ms, day_events, units).into_iter().flatten().for_each(&mut not_beyond);
        }
        if let Some(deadline_ms) = self.failing_users.as_ref().and_then(|users| users.deadline_ms()) {
            not_beyond(deadline_ms);
        }
        if self.has_open_canaries() {
            not_beyond(multiple(MINUTE_MS));
        }
        if let Some(last_ms) = self.last_ms() {
            not_beyond(boundary_behind(last_ms + definition.slo.no_data_after_ms));
            not_beyond(boundary_behind(last_ms + GIVE_UP_AFTER_MS));
        }
        for (window, window_ms) in definition.slo.user_windows_ms.iter().enumerate() {
            let is_empty = self.users.get(window).is_some_and(Option::is_some) && !self.has_users(window);
            let has_bad = self.events.as_ref().is_some_and(|events| events.bad_in(boundary.at_ms, *window_ms) > 0);
            if !is_empty || has_bad || !self.cohorts.is_empty() || self.tails.iter().any(Tail::is_active) {
                not_beyond(multiple(slice_ms(*window_ms)));
            }
        }
        self.view(definition, boundary).spends_before_ms(until_ms)
    }
}

impl KeyView<'_> {
    /// The first boundary before `until_ms` at which more of the budget counts as spent than now, or else
    /// `until_ms`.
    fn spends_before_ms(self, until_ms: Ms) -> Ms {
        let at_ms = self.boundary.at_ms;
        let level = |at_ms: Ms| (self.spent_at(at_ms), self.action_at(at_ms));
        let now = level(at_ms);
        let (mut same_ms, mut more_ms) = (at_ms, until_ms);
        if level(until_ms - PANE_MS) == now {
            return until_ms;
        }
        while more_ms - same_ms > PANE_MS {
            let middle_ms = floor_to((same_ms + more_ms) / 2, PANE_MS);
            if level(middle_ms) == now { same_ms = middle_ms } else { more_ms = middle_ms }
        }
        more_ms
    }
}
