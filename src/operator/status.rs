//! The status of a key: every published figure of an SLO, from the same sums that the alerts use.

use super::burn_rate::{RuleState, alerts_are_off};
use super::distribution::latency_of;
use super::forecast_step;
use super::key_state::State;
use super::key_view::{KeyView, Reached, allowed_share, burn_of, sli_of, weight_of};
use super::kind::Units;
use super::kind::composite::sli_from;
use super::kind::gauge::{self, Gauges};
use super::partial::Counts;
use super::sanity;
use super::sketch::Sketch;
use crate::model::calendar::Span;
use crate::model::key::Scope;
use crate::model::output::{
    self, Budget, Component, Counts as CountFields, Gauge, Period, Previous, RuleStatus, SloHistory, SloStatus,
    WindowStatus,
};
use crate::model::ratio::{Ratio, Threshold};
use crate::model::slo::{GaugeSpec, Journey, RuleKind};
use crate::model::time::{MINUTE_MS, Moment, Ms, PANE_MS, ceil_to};
use std::cmp::Ordering;

/// The share of a window in which the key has existed; 0 before its first event.
pub fn coverage_of(at_ms: Ms, first_ms: Option<Ms>, start_ms: Ms) -> f64 {
    first_ms.map_or(0.0, |first_ms| ((at_ms - first_ms) as f64 / (at_ms - start_ms) as f64).min(1.0))
}

/// The level of spent budget, as far as a state depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    Little,
    Much,
    All,
}

impl<'a> KeyView<'a> {
    /// The share of the period's budget that is spent: burn times coverage, and of a calendar's period times the part of it
    /// that is over.
    fn spent_of_period(self) -> Option<f64> {
        Some(self.compliance_burn()? * self.covered())
    }

    /// What is left of the budget: of a rolling window the part of what its events allow, of a calendar's period the part of
    /// all that it will allow.
    pub fn budget_remaining(self) -> Option<f64> {
        match self.boundary.starts.spans {
            None => self.compliance_burn().map(|burn| 1.0 - burn),
            Some(_) => self.spent_of_period().map(|spent| 1.0 - spent),
        }
    }

    /// The part of the period in which the key has existed so far.
    pub fn covered(self) -> f64 {
        self.compliance_coverage() * self.elapsed()
    }

    /// The part of the period that is over; of a rolling window all of it, always.
    pub fn elapsed(self) -> f64 {
        let spans = self.boundary.starts.spans;
        spans.map_or(1.0, |spans| spans.current.elapsed(self.boundary.at_ms))
    }

    /// The share of the period's budget that a window spent. The traffic of a period that is not over counts as if it went on
    /// alike.
    pub fn spent_in(self, window: usize) -> Option<f64> {
        let of_period = allowed_share(self.definition.objective) * self.compliance().total() as f64;
        (of_period > 0.0).then(|| self.counts(window).bad as f64 * self.covered() / of_period)
    }

    fn compliance_coverage(self) -> f64 {
        let at_ms = self.boundary.at_ms;
        coverage_of(at_ms, self.key.first_ms(), self.reached(at_ms).start_ms)
    }

    /// Whether at least `share` of the period's budget is spent: `burn * coverage >= share` (of a calendar's period times the
    /// part that is over), compared in integers, because a total outage spends exactly all of it.
    pub fn has_spent(self, at_ms: Ms, share: Ratio) -> bool {
        let counts = self.compliance();
        let Some(first_ms) = self.key.first_ms().filter(|_| counts.total() > 0) else { return false };
        let Reached { start_ms, length_ms } = self.reached(at_ms);
        let covered_ms = (at_ms - first_ms).min(at_ms - start_ms);
        if let Some(burn) = self.composite_burn() {
            return burn * (covered_ms as f64 / length_ms as f64) >= share.as_f64();
        }
        // Sums of micro-weights stay far below 2^88, so that a length of time fits on top of them.
        let bad = counts.bad.saturating_mul(covered_ms.unsigned_abs().into());
        let all = counts.total().saturating_mul(length_ms.unsigned_abs().into());
        let allowed = Threshold::product(share, self.definition.objective.complement().unwrap_or(Ratio::ZERO));
        allowed.compare_share(bad, all) != Ordering::Less
    }

    /// The budget spent at a boundary, from the sums as they are now. While the sums stay, it only grows, because coverage
    /// grows.
    pub fn spent_at(self, at_ms: Ms) -> Spent {
        let spent = |num, den| self.has_spent(at_ms, Ratio { num, den });
        match () {
            () if spent(1, 1) => Spent::All,
            () if spent(3, 4) => Spent::Much,
            () => Spent::Little,
        }
    }

    /// The state at this boundary, after the rules took their step.
    pub fn state(self) -> State {
        if self.is_stale() {
            return State::NoData;
        }
        if let Some(state) = self.state_of_value() {
            return state;
        }
        let fires = self.key.episodes.iter().any(Option::is_some);
        match self.spent_at(self.boundary.at_ms) {
            Spent::All => State::Breached,
            Spent::Much => State::AtRisk,
            Spent::Little if fires => State::AtRisk,
            Spent::Little => State::Ok,
        }
    }

    /// Builds the status.
    pub fn status(self, state: State) -> SloStatus {
        let KeyView { key, definition, boundary } = self;
        let slo = definition.slo;
        let (tenant, group) = definition.scope_fields();
        SloStatus {
            slo: slo.name.clone(),
            definition_hash: slo.definition_hash.clone(),
            service: slo.service.clone(),
            display_name: slo.display_name.clone(),
            labels: slo.labels.clone(),
            scope: definition.scope.kind().to_owned(),
            tenant,
            group,
            at: Moment(boundary.at_ms),
            state: state.as_str().to_owned(),
            flags: self.flags(),
            objective: definition.objective.as_f64(),
            budgeting_method: slo.method.as_str().to_owned(),
            compliance_window: slo.period.name(),
            budget_remaining: self.budget_remaining(),
            budget_spent_of_period: self.spent_of_period(),
            budget: self.budget(),
            policy: self.policy(),
            sla: self.sla(),
            windows: definition.layout.in_status.iter().map(|w| self.window(*w)).collect(),
            users: if slo.counts_users() { Vec::new() } else { key.user_windows().collect() },
            alerts: self.rules(),
            forecast: key.forecast.as_deref().map(forecast_step::published),
            counts: CountFields {
                accepted: key.accepted,
                unclassified: key.unclassified,
                late: key.late,
                maintenance: key.maintenance,
                counts_since: Moment(key.since_ms()),
            },
            period: self.period(),
            previous: self.previous(),
            components: self.components(),
            journey: self.journey(),
            gauge: self.gauge(),
            failures: if slo.is_value() { Vec::new() } else { self.failures() },
            maintenance: self.maintenance(),
        }
    }

    /// The name of the maintenance at this boundary.
    fn maintenance(self) -> Option<String> {
        let tenant = match self.definition.scope {
            Scope::Tenant(tenant) => Some(tenant.as_str()),
            _ => None,
        };
        self.definition.slo.maintenance.name_at(tenant, self.boundary.at_ms).map(str::to_owned)
    }

    fn flags(self) -> Vec<String> {
        let KeyView { key, definition, boundary } = self;
        let unclassified = key.unclassified_hour.sum;
        let events = self.event_counts(definition.layout.hour).events;
        let all = [
            (self.compliance_coverage() < 1.0, "warming_up"),
            (unclassified * 100 > events + unclassified, "degraded_data"),
            (boundary.is_incomplete, "incomplete"),
            (key.tenants_overflow, "tenants_overflow"),
            (boundary.groups_overflow, "groups_overflow"),
            (key.canaries.as_ref().is_some_and(|canaries| canaries.overflows), "canary_overflow"),
            (
                definition.slo.counts_events()
                    && sanity::is_never_bad(self.event_counts(definition.layout.compliance), definition.objective),
                "never_bad",
            ),
        ];
        all.iter().filter(|(set, _)| *set).map(|(_, name)| (*name).to_owned()).collect()
    }

    fn budget(self) -> Budget {
        if self.definition.slo.is_value() {
            return Budget::default();
        }
        let compliance = self.compliance();
        let share = allowed_share(self.definition.objective);
        // A calendar's budget is that of the whole period, at the traffic so far.
        let all = self.amount(compliance.total());
        let all = if self.boundary.starts.spans.is_some() && all > 0.0 { all / self.covered() } else { all };
        let (allowed, spent) = (share * all, self.amount(compliance.bad));
        let spans = self.boundary.starts.spans;
        let period_ms = spans.map_or(self.definition.slo.period.nominal_ms(), |spans| spans.current.length_ms());
        let outage_minutes = share * period_ms as f64 / MINUTE_MS as f64;
        Budget {
            allowed_bad: Some(allowed),
            spent_bad: Some(spent),
            remaining_bad: Some(allowed - spent),
            remaining_minutes: self.budget_remaining().map(|remaining| remaining * outage_minutes),
        }
    }

    fn period(self) -> Option<Period> {
        let current = self.boundary.starts.spans?.current;
        Some(Period { start: Moment(current.start_ms), end: Moment(current.end_ms), elapsed: self.elapsed() })
    }

    /// The calendar's period before, as at its end, with the events that came late.
    fn previous(self) -> Option<Previous> {
        let events = self.key.windows.previous()?;
        let counts = self.key.units.as_deref().map_or(events, Units::previous);
        let previous = self.previous_of(counts, self.boundary.starts.spans?.previous, self.definition.objective);
        let previous = Previous { good: self.counted(counts.good), bad: self.counted(counts.bad), ..previous };
        let Some(Units::Parts(parts)) = self.key.units.as_deref() else { return Some(previous) };
        let span = self.boundary.starts.spans?.previous;
        let coverage = coverage_of(span.end_ms, self.key.first_ms(), span.start_ms);
        let burn = parts.previous_burn();
        let budget_remaining = burn.map(|burn| 1.0 - burn * coverage);
        Some(Previous { sli: burn.map(|burn| sli_from(burn, self)), budget_remaining, ..previous })
    }

    /// As [`KeyView::amount`]; `None`: the SLO is about a value.
    fn counted(self, sum: u128) -> Option<f64> {
        (!self.definition.slo.is_value()).then(|| self.amount(sum))
    }

    /// Of an SLO about a value: its values, and what is asked of them.
    fn values(self) -> Option<(&'a Gauges, &'a GaugeSpec)> {
        match (self.key.units.as_deref(), self.definition.slo.gauge()) {
            (Some(Units::Values(gauges)), Some(spec)) => Some((gauges, spec)),
            _ => None,
        }
    }

    fn gauge(self) -> Option<Gauge> {
        self.values().map(|(gauges, spec)| gauge::published(self, gauges, spec))
    }

    /// The state of a value.
    fn state_of_value(self) -> Option<State> {
        let (gauges, spec) = self.values()?;
        Some(match gauge::is_met(gauges, spec) {
            None => State::NoData,
            Some(true) => State::Ok,
            Some(false) => State::Breached,
        })
    }

    fn components(self) -> Vec<Component> {
        match self.key.units.as_deref() {
            Some(Units::Parts(parts)) => parts.published(self),
            Some(Units::Slices(slices)) => slices.published(self),
            Some(Units::Values(_) | Units::Users(_) | Units::Attempts(_)) | None => Vec::new(),
        }
    }

    fn journey(self) -> Option<output::Journey> {
        let attempts = self.key.units.as_deref()?.attempts()?;
        Some(attempts.published(self, self.definition.slo.journey()?))
    }

    /// A period that is over, by events.
    pub fn previous_of(self, counts: &Counts, span: Span, objective: Ratio) -> Previous {
        let coverage = coverage_of(span.end_ms, self.key.first_ms(), span.start_ms);
        Previous {
            start: Moment(span.start_ms),
            end: Moment(span.end_ms),
            good: Some(weight_of(counts.good)),
            bad: Some(weight_of(counts.bad)),
            sli: sli_of(counts),
            budget_remaining: burn_of(counts, objective).map(|burn| 1.0 - burn * coverage),
            is_final: self.boundary.at_ms >= self.final_ms(span),
        }
    }

    /// The first boundary at which no event of a period can come any more.
    pub fn final_ms(self, span: Span) -> Ms {
        ceil_to(span.end_ms.saturating_add(self.definition.slo.allowed_lateness_ms), PANE_MS)
    }

    fn window(self, window: usize) -> WindowStatus {
        let (counts, start_ms) = (self.counts(window), self.start_ms(window));
        WindowStatus {
            window: self.definition.layout.name_of(window),
            start: Moment(start_ms),
            good: self.counted(counts.good),
            bad: self.counted(counts.bad),
            sli: self.sli(window),
            burn: self.burn(window),
            coverage: coverage_of(self.boundary.at_ms, self.key.first_ms(), start_ms),
            latency_ms: latency_of(&self.latency(window)),
        }
    }

    /// Of events; of attempts whose events share a text, of these: they are one request for who waits.
    fn latency(self, window: usize) -> Sketch {
        let layout = self.definition.layout;
        let attempts = self.key.units.as_deref().and_then(Units::attempts);
        match (attempts, self.definition.slo.journey()) {
            (Some(attempts), Some(Journey { by: Some(_), .. })) => attempts.latency(layout, window),
            _ => self.key.windows.latency(layout, window),
        }
    }

    fn rules(self) -> Vec<RuleStatus> {
        let definition = self.definition;
        let off = alerts_are_off(definition.slo, definition.is_tenant());
        let of_rule = |(i, state): (usize, &RuleState)| RuleStatus {
            rule: definition.specs[i].name(),
            severity: if off && definition.specs[i].kind != RuleKind::Sla {
                "off"
            } else {
                state.severity(&definition.specs[i], definition.cap).as_str()
            }
            .to_owned(),
            state: if state.firing_since_ms.is_some() { "firing" } else { "inactive" }.to_owned(),
            since: state.firing_since_ms.map(Moment),
            held_back_by: state.held_back.names(),
        };
        self.key.rules.iter().enumerate().map(of_rule).collect()
    }
}

/// The history record of a status at a full hour.
pub fn history_of(status: &SloStatus) -> SloHistory {
    let window = |name: &str| status.windows.iter().find(|w| w.window == name);
    let (hour, compliance) = (window("1h"), window(&status.compliance_window));
    let day = status.users.iter().find(|users| users.window == "1d");
    SloHistory {
        slo: status.slo.clone(),
        definition_hash: status.definition_hash.clone(),
        scope: status.scope.clone(),
        tenant: status.tenant.clone(),
        group: status.group.clone(),
        at: status.at,
        state: status.state.clone(),
        good: hour.and_then(|w| w.good).unwrap_or(0.0),
        bad: hour.and_then(|w| w.bad).unwrap_or(0.0),
        sli: compliance.and_then(|w| w.sli),
        budget_remaining: status.budget_remaining,
        budget_spent_of_period: status.budget_spent_of_period,
        users: day.map(|users| users.users),
        users_below: day.map(|users| users.below_objective),
        worst_1pct_error_mean_estimate: day.and_then(|users| users.worst_1pct_error_mean_estimate),
    }
}
