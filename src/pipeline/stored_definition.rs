//! Definitions as checkpoints hold them.

use crate::model::expr::{Condition, Filter};
use crate::model::maintenance::Maintenances;
use crate::model::period::{Method, Period};
use crate::model::ratio::Ratio;
use crate::model::slo::{
    Canary, Criterion, Documentation, Indicator, PolicyStep, Rule, Severity, Sla, Slo, TenantAlerts, Unit,
};
use crate::model::time::Ms;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A definition as checkpoints hold it: all that evaluates a key. The filters are not in it, for what they
/// decided has been counted; their hash says which counts are meant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredDefinition {
    name: String,
    display_name: String,
    objective_name: Option<String>,
    service: String,
    labels: BTreeMap<String, String>,
    documentation: Documentation,
    objective: Ratio,
    tenant_objectives: BTreeMap<String, Ratio>,
    period: Period,
    method: Method,
    group_by: Vec<String>,
    tenant_alerts: TenantAlerts,
    user_windows_ms: Vec<Ms>,
    rules: Vec<Rule>,
    min_events: u64,
    /// The guards low traffic and single user, the budget rule, cohorts.
    switches: [bool; 4],
    resolve_after_ms: Option<Ms>,
    no_data_after_ms: Ms,
    min_user_events: u64,
    allowed_lateness_ms: Ms,
    definition_hash: String,
    filters_hash: String,
    #[serde(default)]
    canary: Option<Canary>,
    #[serde(default)]
    tail_alerts: Option<Severity>,
    #[serde(default)]
    forecast_alerts: Option<Severity>,
    #[serde(default)]
    sla: Option<Sla>,
    #[serde(default)]
    policy: Vec<PolicyStep>,
    #[serde(default)]
    unit: Unit,
}

impl StoredDefinition {
    pub fn of(slo: &Slo) -> StoredDefinition {
        StoredDefinition {
            name: slo.name.clone(),
            display_name: slo.display_name.clone(),
            objective_name: slo.objective_name.clone(),
            service: slo.service.clone(),
            labels: slo.labels.clone(),
            documentation: slo.documentation.clone(),
            objective: slo.objective,
            tenant_objectives: slo.tenant_objectives.clone(),
            period: slo.period.clone(),
            method: slo.method,
            group_by: slo.group_by.clone(),
            tenant_alerts: slo.tenant_alerts,
            user_windows_ms: slo.user_windows_ms.clone(),
            rules: slo.rules.clone(),
            min_events: slo.min_events,
            switches: [slo.low_traffic_guard, slo.single_user_guard, slo.budget_rule, slo.cohorts],
            resolve_after_ms: slo.resolve_after_ms,
            no_data_after_ms: slo.no_data_after_ms,
            min_user_events: slo.min_user_events,
            allowed_lateness_ms: slo.allowed_lateness_ms,
            definition_hash: slo.definition_hash.clone(),
            filters_hash: slo.filters_hash.clone(),
            canary: slo.canary.clone(),
            tail_alerts: slo.tail_alerts,
            forecast_alerts: slo.forecast_alerts,
            sla: slo.sla.clone(),
            policy: slo.policy.clone(),
            unit: slo.unit.clone(),
        }
    }

    pub fn is(&self, name: &str, definition_hash: &str) -> bool {
        self.name == name && self.definition_hash == definition_hash
    }

    /// The definition, to end its keys with. No event is classified by it.
    pub fn into_slo(self) -> Slo {
        let nothing_is_asked = Criterion::Good(Filter::new("", Condition::Literal(true)));
        let [low_traffic_guard, single_user_guard, budget_rule, cohorts] = self.switches;
        Slo {
            name: self.name,
            display_name: self.display_name,
            objective_name: self.objective_name,
            service: self.service,
            labels: self.labels,
            documentation: self.documentation,
            indicator: Indicator { name: String::new(), total: None, criterion: nothing_is_asked },
            unit: self.unit,
            indicators: Vec::new(),
            steps: Vec::new(),
            objective: self.objective,
            tenant_objectives: self.tenant_objectives,
            period: self.period,
            method: self.method,
            group_by: self.group_by,
            tenant_alerts: self.tenant_alerts,
            user_windows_ms: self.user_windows_ms,
            rules: self.rules,
            min_events: self.min_events,
            low_traffic_guard,
            single_user_guard,
            budget_rule,
            cohorts,
            canary: self.canary,
            tail_alerts: self.tail_alerts,
            forecast_alerts: self.forecast_alerts,
            sla: self.sla,
            policy: self.policy,
            resolve_after_ms: self.resolve_after_ms,
            no_data_after_ms: self.no_data_after_ms,
            min_user_events: self.min_user_events,
            allowed_lateness_ms: self.allowed_lateness_ms,
            maintenance: Maintenances::default(),
            definition_hash: self.definition_hash,
            filters_hash: self.filters_hash,
        }
    }
}
