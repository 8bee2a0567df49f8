//! The output records, with the fields of the contract (section 8) in its order.
//!
//! Fields of later features exist already and are null until their feature is built. `schemas/*.avsc` describe the same
//! records; a test keeps both equal.

use super::time::Moment;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub type Labels = BTreeMap<String, String>;

/// `slo-status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SloStatus {
    pub slo: String,
    pub definition_hash: String,
    pub service: String,
    pub display_name: String,
    pub labels: Labels,
    pub scope: String,
    pub tenant: Option<String>,
    pub group: Labels,
    pub at: Moment,
    pub state: String,
    pub flags: Vec<String>,
    pub objective: f64,
    pub budgeting_method: String,
    pub compliance_window: String,
    pub budget_remaining: Option<f64>,
    pub budget_spent_of_period: Option<f64>,
    pub budget: Budget,
    pub policy: Option<Policy>,
    pub sla: Option<Sla>,
    pub windows: Vec<WindowStatus>,
    pub users: Vec<UserWindow>,
    pub alerts: Vec<RuleStatus>,
    pub forecast: Option<Forecast>,
    pub counts: Counts,
    pub period: Option<Period>,
    pub previous: Option<Previous>,
    pub components: Vec<Component>,
    pub journey: Option<Journey>,
    pub gauge: Option<Gauge>,
    pub failures: Vec<Failure>,
    pub maintenance: Option<String>,
}

/// A calendar period (later).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Period {
    pub start: Moment,
    pub end: Moment,
    pub elapsed: f64,
}

/// The calendar period before, of an SLO or of an agreement (later).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Previous {
    pub start: Moment,
    pub end: Moment,
    pub good: Option<f64>,
    pub bad: Option<f64>,
    pub sli: Option<f64>,
    pub budget_remaining: Option<f64>,
    pub is_final: bool,
}

/// A component of a composite SLO (later).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Component {
    pub name: String,
    pub objective: f64,
    pub weight: f64,
    pub sli: Option<f64>,
    pub burn: Option<f64>,
    pub budget_remaining: Option<f64>,
}

/// The attempts of a journey SLO (later).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Journey {
    pub attempts: u64,
    pub abandoned: u64,
    pub stray: u64,
    pub steps: Vec<JourneyStep>,
    pub compound: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JourneyStep {
    pub name: String,
    pub entered: u64,
    pub failed: u64,
    pub abandoned: u64,
}

/// The value of a gauge SLO (later).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gauge {
    pub value: Option<f64>,
    pub op: String,
    pub target: f64,
    pub is_met: Option<bool>,
    pub baseline: Option<f64>,
    pub progress: Option<f64>,
    pub trend_per_day: Option<f64>,
    pub expected_at: Option<Moment>,
}

/// Bad events by dependency and type of error (later).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    pub dependency: String,
    pub error_type: String,
    pub bad_1h: f64,
    pub bad_period: f64,
    pub share_1h: Option<f64>,
    pub share_period: Option<f64>,
}

/// `slo-history`: the part of a status that is kept, one record a key at every full hour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SloHistory {
    pub slo: String,
    pub definition_hash: String,
    pub scope: String,
    pub tenant: Option<String>,
    pub group: Labels,
    pub at: Moment,
    pub state: String,
    /// Of the 1h window, weighted.
    pub good: f64,
    pub bad: f64,
    /// Of the compliance window.
    pub sli: Option<f64>,
    pub budget_remaining: Option<f64>,
    pub budget_spent_of_period: Option<f64>,
    /// Of the 1d user window.
    pub users: Option<u64>,
    pub users_below: Option<u64>,
    pub worst_1pct_error_mean_estimate: Option<f64>,
}

/// The error budget of the compliance window, in weighted events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    pub allowed_bad: Option<f64>,
    pub spent_bad: Option<f64>,
    pub remaining_bad: Option<f64>,
    /// What is left of the compliance window's budget as minutes of a total outage.
    pub remaining_minutes: Option<f64>,
}

/// The error-budget policy (later).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    pub action: String,
    pub since: Moment,
    pub reason: String,
}

/// The service-level agreement beside the objective (later).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sla {
    pub objective: f64,
    pub period: String,
    pub start: Moment,
    pub end: Moment,
    pub good: f64,
    pub bad: f64,
    pub sli: Option<f64>,
    pub budget_remaining: Option<f64>,
    pub at_risk: bool,
    pub is_missed: bool,
    pub previous: Option<Previous>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowStatus {
    pub window: String,
    pub start: Moment,
    /// `None`: the SLO is about a value, and counts nothing.
    pub good: Option<f64>,
    pub bad: Option<f64>,
    pub sli: Option<f64>,
    pub burn: Option<f64>,
    pub coverage: f64,
    pub latency_ms: Latency,
}

/// Quantiles of `latency_ms` over good and bad events, within 1 % (DDSketch).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
}

/// The distribution over users in one window, at its last step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserWindow {
    pub window: String,
    pub at: Moment,
    pub users: u64,
    pub users_too_few: u64,
    pub below_objective: u64,
    pub below_share: Option<f64>,
    pub below_expected: Option<f64>,
    pub sli_p50: Option<f64>,
    pub sli_worst_10pct: Option<f64>,
    pub sli_worst_1pct: Option<f64>,
    pub sli_worst_0_1pct: Option<f64>,
    pub sli_worst_1pct_estimate: Option<f64>,
    pub worst_1pct_error_mean: Option<f64>,
    pub worst_1pct_error_mean_estimate: Option<f64>,
    pub dispersion: Option<Dispersion>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dispersion {
    pub z: Option<f64>,
    pub z_without_largest: Option<f64>,
    pub rho: Option<f64>,
    pub verdict: String,
}

/// One rule in a status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleStatus {
    pub rule: String,
    pub severity: String,
    pub state: String,
    pub since: Option<Moment>,
    pub held_back_by: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    pub exhaustion_p10: Option<Moment>,
    pub exhaustion_p50: Option<Moment>,
    pub exhaustion_p90: Option<Moment>,
}

/// Unweighted events of the key since `counts_since`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub accepted: u64,
    pub unclassified: u64,
    pub late: u64,
    pub maintenance: u64,
    pub counts_since: Moment,
}

/// `burn-alerts`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BurnAlert {
    pub id: String,
    pub dedup_key: String,
    pub seq: u64,
    pub state: String,
    pub severity: String,
    pub slo: String,
    pub definition_hash: String,
    pub service: String,
    pub display_name: String,
    pub labels: Labels,
    pub scope: String,
    pub tenant: Option<String>,
    pub group: Labels,
    pub at: Moment,
    pub started_at: Moment,
    pub ended_at: Option<Moment>,
    pub resolved_reason: Option<String>,
    pub data: String,
    pub rules: Vec<AlertRule>,
    pub sli: Option<f64>,
    pub budget_remaining: Option<f64>,
    pub budget_spent_since_start: Option<f64>,
    pub exhaustion_at: Option<Moment>,
    pub affected_users: Option<u64>,
    pub users_active: Option<u64>,
    pub cohort: Option<AlertCohort>,
    pub title: String,
    pub summary: String,
    pub owner: Option<String>,
    pub runbook_url: Option<String>,
    pub dashboard_url: Option<String>,
    pub exemplars: Vec<Exemplar>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertRule {
    pub rule: String,
    pub long_window: Option<String>,
    pub short_window: Option<String>,
    pub factor: Option<f64>,
    pub burn_long: Option<f64>,
    pub burn_short: Option<f64>,
    pub since: Moment,
    pub onset: Option<Moment>,
    pub lowered_by: Vec<String>,
}

/// The cohort that leads an alert: its attribute values and the id of its event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertCohort {
    pub id: String,
    pub cohort: Vec<AttributeValue>,
    pub risk_ratio: Option<f64>,
    pub bad_share: Option<f64>,
}

/// A bad event as an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exemplar {
    pub trace_id: Option<String>,
    pub at: Moment,
    pub operation: Option<String>,
    pub status: Option<i64>,
    pub dependency: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttributeValue {
    pub attribute: String,
    pub value: String,
}

/// `tail-cohorts`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TailCohort {
    pub id: String,
    pub seq: u64,
    pub state: String,
    pub kind: String,
    pub slo: String,
    pub definition_hash: String,
    pub service: String,
    pub scope: String,
    pub tenant: Option<String>,
    pub group: Labels,
    pub window: String,
    pub at: Moment,
    pub started_at: Moment,
    pub rank: Option<u64>,
    pub cohort: Vec<AttributeValue>,
    pub users_in_tail: Option<u64>,
    pub users: Option<u64>,
    pub tail_total: Option<u64>,
    pub users_total: Option<u64>,
    pub risk_ratio: Option<f64>,
    pub risk_ratio_low: Option<f64>,
    pub risk_ratio_high: Option<f64>,
    pub bad: Option<f64>,
    pub bad_share: Option<f64>,
    pub budget_burnt: Option<f64>,
    pub p_adjusted: Option<f64>,
    pub same_as: Option<String>,
    pub sample_users: Vec<String>,
    pub alert_id: Option<String>,
    pub summary: String,
}

/// `user-status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserStatus {
    pub slo: String,
    pub tenant: String,
    pub user: String,
    pub window: String,
    pub at: Moment,
    pub good: f64,
    pub bad: f64,
    pub sli: f64,
    pub sli_low: f64,
    pub rank: u64,
    pub first_bad: Option<Moment>,
    pub last_bad: Option<Moment>,
    pub attributes: Labels,
}

/// `canary-verdicts`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CanaryVerdict {
    pub slo: String,
    pub tenant: Option<String>,
    pub attribute: String,
    pub candidate: String,
    /// `None`: all older values together.
    pub baseline: Option<String>,
    pub verdict: String,
    pub reason: String,
    pub e_value: Option<f64>,
    pub requests_candidate: u64,
    pub requests_baseline: u64,
    pub bad_candidate: f64,
    pub bad_baseline: f64,
    pub sli_candidate: Option<f64>,
    pub sli_baseline: Option<f64>,
    pub burn_candidate: Option<f64>,
    pub burn_baseline: Option<f64>,
    pub started_at: Moment,
    pub at: Moment,
}

/// A dead letter in a file. In Kafka the original record is published, with headers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    pub topic: String,
    pub partition: u32,
    pub offset: i64,
    pub key: Option<String>,
    pub value_base64: String,
    pub headers: Labels,
    pub reason: String,
}
