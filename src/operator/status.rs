//! The status of a key: every published figure of an SLO, from the same sums that the alerts use.

use super::burn_rate::{alerts_are_off, severity_cap};
use super::distribution::latency_of;
use super::key_state::{KeyFacts, KeyState, Moments};
use super::partial::Counts;
use crate::model::duration;
use crate::model::key::{OTHER, Scope};
use crate::model::output::{Budget, Counts as CountFields, Labels, RuleStatus, SloHistory, SloStatus, WindowStatus};
use crate::model::ratio::{Ratio, Threshold};
use crate::model::time::{MINUTE_MS, Moment, Ms, window_start};
use std::cmp::Ordering;

/// Micro-weights as published.
pub fn weight_of(micros: u128) -> f64 {
    micros as f64 / 1e6
}

/// `good / (good + bad)`; without events null, never 1 or 0.
pub fn sli_of(counts: &Counts) -> Option<f64> {
    (counts.total() > 0).then(|| counts.good as f64 / counts.total() as f64)
}

/// `(bad / (good + bad)) / (1 - objective)` (Site Reliability Workbook, chapter 5).
pub fn burn_of(counts: &Counts, objective: Ratio) -> Option<f64> {
    (counts.total() > 0).then(|| (counts.bad as f64 / counts.total() as f64) / allowed_share(objective))
}

/// `1 - objective`, from the decimal as written: in doubles `1 - 0.99` is not `0.01`.
pub fn allowed_share(objective: Ratio) -> f64 {
    objective.complement().unwrap_or(Ratio::ZERO).as_f64()
}

/// The share of a window in which the key has existed; 0 before its first event.
pub fn coverage_of(at_ms: Ms, first_ms: Option<Ms>, start_ms: Ms) -> f64 {
    first_ms.map_or(0.0, |first_ms| ((at_ms - first_ms) as f64 / (at_ms - start_ms) as f64).min(1.0))
}

/// The state of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum State {
    NoData,
    Breached,
    AtRisk,
    Ok,
}

impl State {
    pub const fn as_str(self) -> &'static str {
        match self {
            State::NoData => "no_data",
            State::Breached => "breached",
            State::AtRisk => "at_risk",
            State::Ok => "ok",
        }
    }
}

/// The share of the period's budget that is spent: burn times coverage.
fn spent_of_period(key: &KeyState, facts: &KeyFacts<'_>, at_ms: Ms) -> Option<f64> {
    let burn = burn_of(&key.windows.sum(facts.layout.compliance).counts, facts.objective)?;
    Some(burn * compliance_coverage(key, facts, at_ms))
}

fn compliance_coverage(key: &KeyState, facts: &KeyFacts<'_>, at_ms: Ms) -> f64 {
    coverage_of(at_ms, key.first_ms(), window_start(at_ms, facts.slo.compliance_window_ms))
}

/// Whether at least `share` of the period's budget is spent: `burn * coverage >= share`, compared in
/// integers, because a total outage spends exactly all of it.
fn has_spent(key: &KeyState, facts: &KeyFacts<'_>, at_ms: Ms, share: Ratio) -> bool {
    let counts = &key.windows.sum(facts.layout.compliance).counts;
    let Some(first_ms) = key.first_ms().filter(|_| counts.total() > 0) else { return false };
    let window_ms = at_ms - window_start(at_ms, facts.slo.compliance_window_ms);
    let covered_ms = (at_ms - first_ms).min(window_ms);
    // Sums of micro-weights stay far below 2^88, so that a length of time fits on top of them.
    let bad = counts.bad.saturating_mul(covered_ms.unsigned_abs().into());
    let all = counts.total().saturating_mul(window_ms.unsigned_abs().into());
    let allowed = Threshold::product(share, facts.objective.complement().unwrap_or(Ratio::ZERO));
    allowed.compare_share(bad, all) != Ordering::Less
}

/// The level of spent budget, as far as a state depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    Little,
    Much,
    All,
}

/// The budget spent at a boundary, from the sums as they are now. While the sums stay, it only grows, because coverage
/// grows.
pub fn spent_at(key: &KeyState, facts: &KeyFacts<'_>, at_ms: Ms) -> Spent {
    let spent = |num, den| has_spent(key, facts, at_ms, Ratio { num, den });
    match () {
        () if spent(1, 1) => Spent::All,
        () if spent(3, 4) => Spent::Much,
        () => Spent::Little,
    }
}

/// The state at this boundary, after the rules took their step.
pub fn state_of(key: &KeyState, facts: &KeyFacts<'_>, now: &Moments<'_>) -> State {
    if key.is_silent(now.at_ms, facts.slo.no_data_after_ms) {
        return State::NoData;
    }
    let fires = key.episodes.iter().any(Option::is_some);
    match spent_at(key, facts, now.at_ms) {
        Spent::All => State::Breached,
        Spent::Much => State::AtRisk,
        Spent::Little if fires => State::AtRisk,
        Spent::Little => State::Ok,
    }
}

/// Tenant and group as in every record.
pub fn scope_fields(facts: &KeyFacts<'_>) -> (Option<String>, Labels) {
    match facts.scope {
        Scope::Aggregate => (None, Labels::new()),
        Scope::Tenant(tenant) => (Some(tenant.clone()), Labels::new()),
        Scope::Group(pairs) => (None, pairs.iter().cloned().collect()),
        Scope::OtherGroups => (None, facts.slo.group_by.iter().map(|name| (name.clone(), OTHER.to_owned())).collect()),
    }
}

/// The SLO and its scope in words.
pub fn name_of(facts: &KeyFacts<'_>) -> String {
    let display_name = &facts.slo.display_name;
    let name = match &facts.slo.objective_name {
        // Objectives of one document share its name.
        Some(objective) => format!("{display_name} ({objective})"),
        None => display_name.clone(),
    };
    match facts.scope {
        Scope::Aggregate => name,
        Scope::Tenant(tenant) => format!("{name} for {tenant}"),
        Scope::OtherGroups => format!("{name} for all other groups"),
        Scope::Group(pairs) => {
            let pairs: Vec<String> = pairs.iter().map(|(n, v)| format!("{n}={v}")).collect();
            format!("{name} for {}", pairs.join(","))
        }
    }
}

/// Builds the status.
pub fn status_of(key: &KeyState, facts: &KeyFacts<'_>, now: &Moments<'_>, state: State) -> SloStatus {
    let slo = facts.slo;
    let (tenant, group) = scope_fields(facts);
    let burn = burn_of(&key.windows.sum(facts.layout.compliance).counts, facts.objective);
    SloStatus {
        slo: slo.name.clone(),
        definition_hash: slo.definition_hash.clone(),
        service: slo.service.clone(),
        display_name: slo.display_name.clone(),
        labels: slo.labels.clone(),
        scope: facts.scope.kind().to_owned(),
        tenant,
        group,
        at: Moment(now.at_ms),
        state: state.as_str().to_owned(),
        flags: flags(key, facts, now),
        objective: facts.objective.as_f64(),
        budgeting_method: "Occurrences".to_owned(),
        compliance_window: duration::print(slo.compliance_window_ms),
        budget_remaining: burn.map(|b| 1.0 - b),
        budget_spent_of_period: spent_of_period(key, facts, now.at_ms),
        budget: budget(key, facts, burn),
        policy: None,
        sla: None,
        windows: (0..facts.layout.windows_ms.len()).map(|w| window_fields(key, facts, now, w)).collect(),
        users: key.user_windows().collect(),
        alerts: rule_fields(key, facts),
        forecast: None,
        counts: CountFields {
            accepted: key.accepted,
            unclassified: key.unclassified,
            late: key.late,
            maintenance: 0,
            counts_since: Moment(key.since_ms()),
        },
        period: None,
        previous: None,
        components: Vec::new(),
        journey: None,
        gauge: None,
        failures: Vec::new(),
        maintenance: None,
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
        good: hour.map_or(0.0, |w| w.good),
        bad: hour.map_or(0.0, |w| w.bad),
        sli: compliance.and_then(|w| w.sli),
        budget_remaining: status.budget_remaining,
        budget_spent_of_period: status.budget_spent_of_period,
        users: day.map(|users| users.users),
        users_below: day.map(|users| users.below_objective),
        worst_1pct_error_mean_estimate: day.and_then(|users| users.worst_1pct_error_mean_estimate),
    }
}

fn flags(key: &KeyState, facts: &KeyFacts<'_>, now: &Moments<'_>) -> Vec<String> {
    let unclassified = key.unclassified_hour.sum;
    let events = key.windows.sum(facts.layout.hour).counts.events;
    let all = [
        (compliance_coverage(key, facts, now.at_ms) < 1.0, "warming_up"),
        (unclassified * 100 > events + unclassified, "degraded_data"),
        (now.is_incomplete, "incomplete"),
        (key.tenants_overflow, "tenants_overflow"),
        (now.groups_overflow, "groups_overflow"),
    ];
    all.iter().filter(|(set, _)| *set).map(|(_, name)| (*name).to_owned()).collect()
}

fn budget(key: &KeyState, facts: &KeyFacts<'_>, burn: Option<f64>) -> Budget {
    let compliance = &key.windows.sum(facts.layout.compliance).counts;
    let share = allowed_share(facts.objective);
    let allowed = share * weight_of(compliance.total());
    let spent = weight_of(compliance.bad);
    let outage_minutes = share * facts.slo.compliance_window_ms as f64 / MINUTE_MS as f64;
    Budget {
        allowed_bad: Some(allowed),
        spent_bad: Some(spent),
        remaining_bad: Some(allowed - spent),
        remaining_minutes: burn.map(|b| (1.0 - b) * outage_minutes),
    }
}

fn window_fields(key: &KeyState, facts: &KeyFacts<'_>, now: &Moments<'_>, window: usize) -> WindowStatus {
    let sum = key.windows.sum(window);
    let start_ms = now.starts.windows_ms[window];
    WindowStatus {
        window: duration::print(facts.layout.windows_ms[window]),
        start: Moment(start_ms),
        good: weight_of(sum.counts.good),
        bad: weight_of(sum.counts.bad),
        sli: sli_of(&sum.counts),
        burn: burn_of(&sum.counts, facts.objective),
        coverage: coverage_of(now.at_ms, key.first_ms(), start_ms),
        latency_ms: latency_of(&key.windows.latency(facts.layout, window)),
    }
}

fn rule_fields(key: &KeyState, facts: &KeyFacts<'_>) -> Vec<RuleStatus> {
    let is_tenant = matches!(facts.scope, Scope::Tenant(_));
    let off = alerts_are_off(facts.slo, is_tenant);
    let cap = severity_cap(facts.slo, is_tenant);
    let of_rule = |(i, state): (usize, &super::burn_rate::RuleState)| RuleStatus {
        rule: facts.slo.rules[i].name(),
        severity: if off { "off" } else { state.severity(&facts.specs[i], cap).as_str() }.to_owned(),
        state: if state.firing_since_ms.is_some() { "firing" } else { "inactive" }.to_owned(),
        since: state.firing_since_ms.map(Moment),
        held_back_by: state.held_back.names(),
    };
    key.rules.iter().enumerate().map(of_rule).collect()
}
