//! An SLO, ready to be evaluated: references resolved, defaults filled in, filters compiled.
//!
//! `definition` makes these from OpenSLO documents; the operators only read them.

use super::calendar::Calendar;
use super::expr::{Filter, NumberExpr};
use super::key::Scope;
use super::maintenance::Maintenances;
use super::period::{Method, Period};
use super::ratio::Ratio;
use super::time::{DAY_MS, HOUR_MS, MINUTE_MS, Ms, ceil_to, slice_ms};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most user windows of an SLO.
pub const USER_WINDOWS_MAX: usize = 16;

/// How severe an alert is; also the cap of alerts in scope `tenant`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Severity {
    Info,
    Ticket,
    Page,
}

impl Severity {
    /// In the order in which alerts are published: page, ticket, info.
    pub const ORDER: [Severity; 3] = [Severity::Page, Severity::Ticket, Severity::Info];

    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Page => "page",
            Severity::Ticket => "ticket",
            Severity::Info => "info",
        }
    }

    pub fn parse(text: &str) -> Option<Severity> {
        Severity::ORDER.into_iter().find(|s| s.as_str() == text)
    }
}

/// How a threshold metric compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ThresholdOp {
    Lte,
    Gte,
    Lt,
    Gt,
}

impl ThresholdOp {
    /// As in OpenSLO.
    pub const fn as_str(self) -> &'static str {
        match self {
            ThresholdOp::Lte => "lte",
            ThresholdOp::Gte => "gte",
            ThresholdOp::Lt => "lt",
            ThresholdOp::Gt => "gt",
        }
    }

    pub fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            ThresholdOp::Lte => value <= threshold,
            ThresholdOp::Gte => value >= threshold,
            ThresholdOp::Lt => value < threshold,
            ThresholdOp::Gt => value > threshold,
        }
    }
}

/// Decides whether a counted event is good.
#[derive(Clone, Debug)]
pub enum Criterion {
    /// Good if the filter is true.
    Good(Filter),
    /// Bad if the filter is true.
    Bad(Filter),
    /// Good if `value op threshold`.
    Threshold { value: NumberExpr, op: ThresholdOp, threshold: f64 },
}

/// Which events count, and which of them are good.
#[derive(Clone, Debug)]
pub struct Indicator {
    pub name: String,
    /// `None` counts every event.
    pub total: Option<Filter>,
    pub criterion: Criterion,
}

/// One of the indicators of a composite; its filters stand in [`Slo::indicators`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// `name:displayName`.
    pub name: String,
    pub weight: f64,
    pub objective: Ratio,
    pub method: Method,
}

/// How the values of a gauge become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Aggregate {
    Last,
    Mean,
    Min,
    Max,
}

impl Aggregate {
    pub const ALL: [Aggregate; 4] = [Aggregate::Last, Aggregate::Mean, Aggregate::Min, Aggregate::Max];

    /// As in a definition.
    pub const fn as_str(self) -> &'static str {
        match self {
            Aggregate::Last => "last",
            Aggregate::Mean => "mean",
            Aggregate::Min => "min",
            Aggregate::Max => "max",
        }
    }
}

/// A value and what it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GaugeSpec {
    pub aggregate: Aggregate,
    pub op: ThresholdOp,
    pub target: f64,
    /// Where the goal started from (annotation `goal`).
    pub baseline: Option<f64>,
}

impl GaugeSpec {
    pub fn is_met(&self, value: f64) -> bool {
        self.op.holds(value, self.target)
    }
}

/// What the windows of an SLO count, before time is cut into slices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Unit {
    /// Events, each good or bad.
    #[default]
    Events,
    /// The events of several indicators, in the order of the document.
    Composite(Vec<Component>),
    /// Nothing: the SLO is about a value.
    Gauge(GaugeSpec),
    /// Users, each once; `by_bad`: those with a bad event are bad, and else those with a good one good.
    Users { by_bad: bool },
    /// Attempts of users at several steps, one after the other.
    Journey(Journey),
}

/// The steps of a journey (contract, section 11). Which events are of a step, [`Slo::steps`] says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journey {
    /// An attempt that is not over this long after its first event ends.
    pub timeout_ms: Ms,
    /// In their order.
    pub steps: Vec<JourneyStep>,
    /// The text that the events of one attempt share, as `trace_id`; `None`: an attempt is of all events of its user.
    #[serde(default)]
    pub by: Option<String>,
    /// A good attempt that took longer, from the start of its first event to the end of its last, is bad.
    #[serde(default)]
    pub within_ms: Option<Ms>,
}

/// One step of a journey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JourneyStep {
    pub name: String,
    /// So many bad events of the step do not end an attempt.
    pub retries: u32,
}

/// A burn-rate rule. `short_ms` is `None` for a rule with a single window.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rule {
    pub long_ms: Ms,
    pub short_ms: Option<Ms>,
    pub factor: Ratio,
    /// The severity written in the rule, before guards and caps.
    pub severity: Severity,
}

impl Rule {
    /// `1h/5m`, or `1h` for a single window.
    pub fn name(&self) -> String {
        let long = super::duration::print(self.long_ms);
        match self.short_ms {
            Some(short) => format!("{long}/{}", super::duration::print(short)),
            None => long,
        }
    }

    /// The window whose evidence resolves the rule: the short one. For a rule with a single window, a twelfth of it, in
    /// whole slices and at least a minute.
    pub fn evidence_ms(&self) -> Ms {
        self.short_ms.unwrap_or_else(|| {
            let twelfth_ms = ceil_to(self.long_ms, 12) / 12;
            ceil_to(twelfth_ms, slice_ms(twelfth_ms)).max(MINUTE_MS)
        })
    }
}

/// What a rule asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleKind {
    /// The burn rates of its two windows.
    BurnRate,
    /// How fast the budget is spent, and whether that is chance (contract, section 12).
    Budget,
    /// Whether the aggregate is fine and the tail of its users is not (contract, section 12).
    Tail,
    /// Whether the budget will be gone soon (contract, section 12).
    Exhaustion,
    /// Whether the agreement of a customer is missed, or will be (contract, section 11).
    Sla,
}

impl RuleKind {
    /// The rule `budget`, with the windows and the factor by which its guards ask.
    fn budget() -> Rule {
        let factor = Ratio { num: 2, den: 1 };
        Rule { long_ms: HOUR_MS, short_ms: Some(5 * MINUTE_MS), factor, severity: Severity::Page }
    }

    /// The rule of a user window: the worst users must fail at ten times the allowed rate.
    fn tail(long_ms: Ms, severity: Severity) -> Rule {
        Rule { long_ms, short_ms: None, factor: Ratio { num: 10, den: 1 }, severity }
    }

    /// The rule `exhaustion`: those who are hit are those of the last three days.
    fn exhaustion(severity: Severity) -> Rule {
        Rule { long_ms: 3 * DAY_MS, short_ms: None, factor: Ratio { num: 1, den: 1 }, severity }
    }

    /// The rule `sla`: it has no windows, and the one here is for what has to be remembered.
    fn sla() -> Rule {
        Rule { long_ms: HOUR_MS, short_ms: None, factor: Ratio { num: 1, den: 1 }, severity: Severity::Ticket }
    }

    /// Whether it asks about what the aggregate burns, and guards hold it back.
    pub const fn asks_guards(self) -> bool {
        matches!(self, RuleKind::BurnRate | RuleKind::Budget)
    }

    /// As in records.
    pub fn name(self, rule: &Rule) -> String {
        match self {
            RuleKind::Exhaustion => "exhaustion".to_owned(),
            RuleKind::Tail => format!("tail-{}", rule.name()),
            RuleKind::BurnRate => rule.name(),
            RuleKind::Budget => "budget".to_owned(),
            RuleKind::Sla => "sla".to_owned(),
        }
    }
}

/// Severity cap of alerts in scope `tenant`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum TenantAlerts {
    Off,
    UpTo(Severity),
}

/// How versions that are being rolled out are told from older ones (annotation `canary`).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Canary {
    pub attribute: String,
    /// `None`: a value is a candidate while it is new.
    pub tracks: Option<Tracks>,
    /// A candidate that burns faster fails.
    pub max_burn: Option<Ratio>,
}

/// Two values that are compared.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tracks {
    pub candidate: String,
    pub baseline: String,
}

impl Canary {
    /// Whether events with this value of the attribute are of either side.
    pub fn asks_for(&self, value: &str) -> bool {
        self.tracks.as_ref().is_none_or(|tracks| tracks.candidate == value || tracks.baseline == value)
    }

    pub fn is_candidate(&self, value: &str, is_new: bool) -> bool {
        self.tracks.as_ref().map_or(is_new, |tracks| tracks.candidate == value)
    }

    /// Whether a test by the other one goes on by this one.
    pub fn goes_on_from(&self, other: &Canary) -> bool {
        (&self.attribute, &self.tracks) == (&other.attribute, &other.tracks)
    }
}

/// A service-level agreement: a second objective over the same events, in the periods of a calendar (contract, section 11).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sla {
    /// `None`: only the tenants below have one.
    pub objective: Option<Ratio>,
    pub tenants: BTreeMap<String, Ratio>,
    pub calendar: Calendar,
}

/// What is to be done while so much of the budget is left (annotation `policy`).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PolicyStep {
    /// The share of the budget that must be spent: 1 minus what is written.
    pub spent: Ratio,
    /// As written: the step holds while at most so much is left.
    pub remaining: String,
    pub action: String,
}

/// Documentation that travels with an SLO and its alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Documentation {
    pub description: Option<String>,
    pub owner: Option<String>,
    pub escalation: Option<String>,
    pub why: Option<String>,
    pub how_measured: Option<String>,
    pub accepted_variation: Option<String>,
    pub review_by: Option<String>,
    pub runbook: Option<String>,
    pub dashboard: Option<String>,
}

/// One SLO (one objective of a document).
#[derive(Clone, Debug)]
pub struct Slo {
    /// The name in outputs: `name`, or `name:displayName` if a document has several objectives.
    pub name: String,
    pub display_name: String,
    /// The objective's own name, if the document has several.
    pub objective_name: Option<String>,
    pub service: String,
    pub labels: BTreeMap<String, String>,
    pub documentation: Documentation,
    pub indicator: Indicator,
    pub unit: Unit,
    /// Of a composite: those of its components.
    pub indicators: Vec<Indicator>,
    /// Of a journey: which events are of each step. An event is of the first one that it passes.
    pub steps: Vec<Filter>,
    /// In [0, 1); compared exactly.
    pub objective: Ratio,
    pub tenant_objectives: BTreeMap<String, Ratio>,
    /// What the error budget is for.
    pub period: Period,
    /// What good and bad are counted in.
    pub method: Method,
    /// Attributes of the scope `group`, or fields of the outcome, by name; empty: no such scope.
    pub group_by: Vec<String>,
    pub tenant_alerts: TenantAlerts,
    /// Ascending, without repeats.
    pub user_windows_ms: Vec<Ms>,
    /// In the order of section 6 (or as the user wrote them).
    pub rules: Vec<Rule>,
    pub min_events: u64,
    pub low_traffic_guard: bool,
    pub single_user_guard: bool,
    pub budget_rule: bool,
    /// Whether to look for cohorts.
    pub cohorts: bool,
    pub canary: Option<Canary>,
    pub sla: Option<Sla>,
    /// The step that is reached last is first.
    pub policy: Vec<PolicyStep>,
    /// The severity of the rules about tails; `None`: they are off.
    pub tail_alerts: Option<Severity>,
    /// The severity of the rule `exhaustion`; `None`: it is off.
    pub forecast_alerts: Option<Severity>,
    /// `None`: max(short window, 15 m), rule by rule.
    pub resolve_after_ms: Option<Ms>,
    pub no_data_after_ms: Ms,
    pub min_user_events: u64,
    pub allowed_lateness_ms: Ms,
    /// Of the configuration: no part of the definition.
    pub maintenance: Maintenances,
    /// SHA-256 (hex) of the canonical JSON of the SLO after references, defaults and overrides.
    pub definition_hash: String,
    /// SHA-256 (hex) of the filters only: window state belongs to this hash.
    pub filters_hash: String,
}

impl Slo {
    /// The fields of an outcome that `group_by` may name besides attributes.
    pub const GROUP_FIELDS: [&'static str; 3] = ["dependency", "error_type", "operation"];

    /// The objective in a scope: a tenant may have its own.
    pub fn objective_of(&self, scope: &Scope) -> Ratio {
        match scope {
            Scope::Tenant(t) => self.tenant_objectives.get(t).copied().unwrap_or(self.objective),
            _ => self.objective,
        }
    }

    /// All rules in the order of `alerts[]`: those of burn rates, then those of signals that are on.
    pub fn all_rules(&self) -> impl Iterator<Item = (RuleKind, Rule)> {
        let of_burn_rates = self.rules.iter().map(|rule| (RuleKind::BurnRate, rule.clone()));
        let budget = self.has_budget_rule().then(|| (RuleKind::Budget, RuleKind::budget()));
        let exhaustion = self.forecast_alerts.map(|severity| (RuleKind::Exhaustion, RuleKind::exhaustion(severity)));
        let sla = self.sla.as_ref().map(|_| (RuleKind::Sla, RuleKind::sla()));
        of_burn_rates.chain(budget).chain(self.tail_rules()).chain(exhaustion).chain(sla)
    }

    /// The rules of the keys of a scope, in the same order.
    pub fn rules_of(&self, scope: &Scope) -> impl Iterator<Item = (RuleKind, Rule)> {
        let is_agreed = !scope.is_group() && self.sla_of(scope).is_some();
        self.all_rules().filter(move |(kind, _)| *kind != RuleKind::Sla || is_agreed)
    }

    /// The objective of the agreement in a scope.
    pub fn sla_of(&self, scope: &Scope) -> Option<Ratio> {
        let sla = self.sla.as_ref()?;
        match scope {
            Scope::Tenant(tenant) => sla.tenants.get(tenant).copied().or(sla.objective),
            _ => sla.objective,
        }
    }

    /// The rules `tail-1h` and `tail-1d`, of the user windows that the SLO has.
    fn tail_rules(&self) -> impl Iterator<Item = (RuleKind, Rule)> {
        let has = |window_ms: &Ms| self.user_windows_ms.contains(window_ms);
        let windows = [HOUR_MS, DAY_MS].into_iter().filter(move |window_ms| has(window_ms));
        self.tail_alerts.into_iter().flat_map(move |severity| {
            windows.clone().map(move |window_ms| (RuleKind::Tail, RuleKind::tail(window_ms, severity)))
        })
    }

    /// The rule `budget` counts events, so it is only there where they are what the SLO counts.
    pub fn has_budget_rule(&self) -> bool {
        self.budget_rule && self.counts_events()
    }

    /// Whether the unit of windows and budgets is the event.
    pub fn counts_events(&self) -> bool {
        self.method == Method::Occurrences && self.unit == Unit::Events
    }

    /// Whether windows count users, each once.
    pub fn counts_users(&self) -> bool {
        matches!(self.unit, Unit::Users { .. })
    }

    /// The components of a composite.
    pub fn components(&self) -> &[Component] {
        match &self.unit {
            Unit::Composite(components) => components,
            Unit::Events | Unit::Gauge(_) | Unit::Users { .. } | Unit::Journey(_) => &[],
        }
    }

    pub fn gauge(&self) -> Option<&GaugeSpec> {
        match &self.unit {
            Unit::Gauge(spec) => Some(spec),
            Unit::Events | Unit::Composite(_) | Unit::Users { .. } | Unit::Journey(_) => None,
        }
    }

    /// The steps of a journey, and its time-out.
    pub fn journey(&self) -> Option<&Journey> {
        match &self.unit {
            Unit::Journey(journey) => Some(journey),
            Unit::Events | Unit::Composite(_) | Unit::Gauge(_) | Unit::Users { .. } => None,
        }
    }

    /// The value itself is what the SLO is about: it has no budget, rules or users.
    pub fn is_value(&self) -> bool {
        self.gauge().is_some() && self.method == Method::Occurrences
    }

    /// The objective of a component in a scope.
    pub fn objective_of_part(&self, component: &Component, scope: &Scope) -> Ratio {
        match scope {
            Scope::Tenant(tenant) => self.tenant_objectives.get(tenant).copied().unwrap_or(component.objective),
            _ => component.objective,
        }
    }

    /// Whether the guards about chance and single users are asked: they count events, so not where slices are counted.
    pub fn asks_chance(&self) -> bool {
        self.method.slicing().is_none() && !self.counts_users()
    }

    /// The slice length for counting users by the slice of their last event.
    pub fn seen_slice_ms(&self) -> Ms {
        self.all_rules().map(|(_, rule)| slice_ms(rule.long_ms)).min().unwrap_or(MINUTE_MS)
    }

    /// How long the condition must have been false, on evidence, before a rule resolves.
    pub fn resolve_after_ms(&self, rule: &Rule) -> Ms {
        self.resolve_after_ms.unwrap_or_else(|| rule.evidence_ms().max(15 * MINUTE_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::duration::{parse, print};

    #[test]
    fn the_evidence_of_a_single_window_is_a_twelfth_of_it_in_whole_slices() {
        let windows = [("10m", "1m"), ("15m", "80s"), ("30m", "150s"), ("1h", "5m"), ("2h", "10m"), ("12h", "1h")];
        let long = [("1d", "2h"), ("25h", "125m"), ("3d", "6h"), ("150h", "13h"), ("28d", "56h"), ("5m", "1m")];
        for (window, evidence) in windows.into_iter().chain(long) {
            let long_ms = parse(window).expect("a duration");
            let rule = |short_ms| Rule { long_ms, short_ms, factor: Ratio::ZERO, severity: Severity::Page };
            assert_eq!(print(rule(None).evidence_ms()), evidence, "{window}");
            assert_eq!(rule(Some(70_000)).evidence_ms(), 70_000, "what is written is not touched");
        }
    }
}
