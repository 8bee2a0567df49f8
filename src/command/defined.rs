//! The definitions in force, as the API shows them.

use crate::model::calendar::Calendar;
use crate::model::duration::print;
use crate::model::key::key_text;
use crate::model::slo::{Criterion, Indicator, Rule, RuleKind, Slo, TenantAlerts, ThresholdOp};
use crate::model::time::{Moment, Ms};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Name and document of each SLO.
pub fn defined(slos: &[Slo]) -> Vec<(String, Vec<u8>)> {
    slos.iter().map(|slo| (slo.name.clone(), document(slo).to_string().into_bytes())).collect()
}

/// One definition, resolved.
pub fn document(slo: &Slo) -> Value {
    let documentation = &slo.documentation;
    let tenant_objectives: serde_json::Map<String, Value> =
        slo.tenant_objectives.iter().map(|(tenant, o)| (tenant.clone(), json!(o.as_f64()))).collect();
    json!({
        "slo": slo.name,
        "display_name": slo.display_name,
        "objective_name": slo.objective_name,
        "service": slo.service,
        "labels": slo.labels,
        "description": documentation.description,
        "owner": documentation.owner,
        "escalation": documentation.escalation,
        "why": documentation.why,
        "how_measured": documentation.how_measured,
        "accepted_variation": documentation.accepted_variation,
        "review_by": documentation.review_by,
        "runbook": documentation.runbook,
        "dashboard": documentation.dashboard,
        "definition_hash": slo.definition_hash,
        "filters_hash": slo.filters_hash,
        "key": key_text(&slo.name, &crate::model::key::Scope::Aggregate),
        "objective": slo.objective.as_f64(),
        "tenant_objectives": tenant_objectives,
        "period": slo.period.name(),
        "calendar": slo.period.calendar().map(calendar),
        "sla": slo.sla.as_ref().map(|sla| json!({
            "objective": sla.objective.map(|objective| objective.as_f64()),
            "tenants": sla.tenants.iter().map(|(t, o)| (t, o.as_f64())).collect::<BTreeMap<_, _>>(),
            "period": sla.calendar.name(),
            "calendar": calendar(&sla.calendar),
        })),
        "policy": slo.policy.iter().map(|step| json!({"remaining": step.remaining, "action": step.action})).collect::<Vec<_>>(),
        "budgeting_method": slo.method.as_str(),
        "indicator": indicator(&slo.indicator),
        "journey": slo.journey().map(|journey| json!({
            "timeout": print(journey.timeout_ms),
            "by": journey.by,
            "within": journey.within_ms.map(print),
            "steps": journey.steps.iter().zip(&slo.steps).map(|(step, filter)| json!({
                "name": step.name,
                "filter": filter.to_string(),
                "retries": step.retries,
            })).collect::<Vec<_>>(),
        })),
        "group_by": slo.group_by,
        "rules": slo.all_rules().map(|(kind, rule)| of_rule(kind, &rule)).collect::<Vec<_>>(),
        "tenant_alerts": match slo.tenant_alerts {
            TenantAlerts::Off => "off",
            TenantAlerts::UpTo(severity) => severity.as_str(),
        },
        "user_windows": slo.user_windows_ms.iter().map(|ms| print(*ms)).collect::<Vec<_>>(),
        "min_user_events": slo.min_user_events,
        "min_events": slo.min_events,
        "low_traffic_guard": slo.low_traffic_guard,
        "single_user_guard": slo.single_user_guard,
        "cohorts": slo.cohorts,
        "canary": slo.canary.as_ref().map(|canary| json!({
            "attribute": canary.attribute,
            "candidate": canary.tracks.as_ref().map(|tracks| &tracks.candidate),
            "baseline": canary.tracks.as_ref().map(|tracks| &tracks.baseline),
            "max_burn": canary.max_burn.map(|burn| burn.as_f64()),
        })),
        "no_data_after": print(slo.no_data_after_ms),
        "allowed_lateness": print(slo.allowed_lateness_ms),
    })
}

fn calendar(calendar: &Calendar) -> Value {
    json!({"start_time": civil(calendar.start_civil_ms), "time_zone": calendar.zone})
}

/// A civil time, as it is written in a definition.
fn civil(ms: Ms) -> String {
    Moment(ms).to_string().get(..19).unwrap_or_default().replace('T', " ")
}

fn indicator(indicator: &Indicator) -> Value {
    let total = indicator.total.as_ref().map(ToString::to_string);
    let mut shown = json!({"name": indicator.name, "total": total, "good": null, "bad": null, "threshold": null});
    match &indicator.criterion {
        Criterion::Good(filter) => shown["good"] = json!(filter.to_string()),
        Criterion::Bad(filter) => shown["bad"] = json!(filter.to_string()),
        Criterion::Threshold { value, op, threshold } => {
            let op = match op {
                ThresholdOp::Lte => "<=",
                ThresholdOp::Gte => ">=",
                ThresholdOp::Lt => "<",
                ThresholdOp::Gt => ">",
            };
            shown["threshold"] = json!({"value": value.to_string(), "op": op, "target": threshold});
        }
    }
    shown
}

fn of_rule(kind: RuleKind, rule: &Rule) -> Value {
    json!({
        "rule": kind.name(rule),
        "severity": rule.severity.as_str(),
        "long_window": print(rule.long_ms),
        "short_window": rule.short_ms.map(print),
        "factor": rule.factor.as_f64(),
    })
}
