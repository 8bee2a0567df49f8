//! The two hashes of an SLO, over canonical JSON: keys sorted, no spaces.
//!
//! `definition_hash` covers the whole resolved SLO, `filters_hash` only what the counts depend on. The names here are
//! part of the state's identity: renaming one would drop every window.

use crate::model::hex;
use crate::model::period::{Method, Slicing};
use crate::model::ratio::Ratio;
use crate::model::slo::{Component, Criterion, Indicator, Severity, Slo, TenantAlerts, ThresholdOp, Unit};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

pub(super) fn filters_hash(slo: &Slo) -> String {
    sha256_hex(&canonical(&filters(slo)))
}

pub(super) fn definition_hash(slo: &Slo) -> String {
    sha256_hex(&canonical(&definition(slo)))
}

fn filters(slo: &Slo) -> Value {
    match slo.unit {
        Unit::Events => filters_of(&slo.indicator),
        Unit::Users { .. } => json!({"users": filters_of(&slo.indicator)}),
        Unit::Gauge(_) => json!({"gauge": filters_of(&slo.indicator)}),
        Unit::Composite(_) => slo.indicators.iter().map(filters_of).collect(),
        Unit::Journey(ref journey) => {
            let steps = journey.steps.iter().zip(&slo.steps);
            json!({
                "steps": steps.map(|(step, filter)| json!([step.name, filter.source(), step.retries])).collect::<Vec<_>>(),
                "timeout_ms": journey.timeout_ms,
                "by": journey.by,
                "within_ms": journey.within_ms,
                "attempts": filters_of(&slo.indicator),
            })
        }
    }
}

fn filters_of(indicator: &Indicator) -> Value {
    let total = indicator.total.as_ref().map(|filter| filter.source());
    let criterion = match &indicator.criterion {
        Criterion::Good(filter) => json!({"good": filter.source()}),
        Criterion::Bad(filter) => json!({"bad": filter.source()}),
        Criterion::Threshold { value, op, threshold } => {
            json!({"value": value.source(), "op": op_name(*op), "threshold": threshold})
        }
    };
    json!({"total": total, "criterion": criterion})
}

/// The values that determine an SLO's keys.
fn keys(slo: &Slo) -> Value {
    match filters(slo) {
        Value::Object(mut keys) => {
            keys.insert("group_by".to_owned(), json!(slo.group_by));
            Value::Object(keys)
        }
        several => json!({"components": several, "group_by": slo.group_by}),
    }
}

fn definition(slo: &Slo) -> Value {
    let d = &slo.documentation;
    let mut definition = json!({
        "name": slo.name,
        "display_name": slo.display_name,
        "service": slo.service,
        "labels": slo.labels,
        "description": d.description,
        "owner": d.owner,
        "escalation": d.escalation,
        "why": d.why,
        "how_measured": d.how_measured,
        "accepted_variation": d.accepted_variation,
        "review_by": d.review_by,
        "runbook": d.runbook,
        "dashboard": d.dashboard,
        "indicator": slo.indicator.name,
        "filters": keys(slo),
        "objective": fraction(slo.objective),
        "tenant_objectives": slo.tenant_objectives.iter().map(|(t, o)| (t, fraction(*o))).collect::<BTreeMap<_, _>>(),
        "compliance_window_ms": slo.period.nominal_ms(),
        "tenant_alerts": match slo.tenant_alerts {
            TenantAlerts::Off => "off",
            TenantAlerts::UpTo(severity) => severity.as_str(),
        },
        "user_windows_ms": slo.user_windows_ms,
        "rules": slo.rules.iter().map(|rule| json!({
            "long_ms": rule.long_ms,
            "short_ms": rule.short_ms,
            "factor": fraction(rule.factor),
            "severity": rule.severity.as_str(),
        })).collect::<Vec<_>>(),
        "min_events": slo.min_events,
        "low_traffic_guard": slo.low_traffic_guard,
        "single_user_guard": slo.single_user_guard,
        "budget_rule": slo.budget_rule,
        "cohorts": slo.cohorts,
        "resolve_after_ms": slo.resolve_after_ms,
        "no_data_after_ms": slo.no_data_after_ms,
        "min_user_events": slo.min_user_events,
        "allowed_lateness_ms": slo.allowed_lateness_ms,
    });
    // Only where it is not the default, so that the other definitions keep their hash.
    if slo.tail_alerts != Some(Severity::Ticket) {
        definition["tail_alerts"] = json!(slo.tail_alerts.map_or("off", Severity::as_str));
    }
    if let Unit::Gauge(spec) = &slo.unit {
        definition["gauge"] = json!([spec.aggregate.as_str(), spec.op.as_str(), spec.target, spec.baseline]);
    }
    if let Unit::Composite(components) = &slo.unit {
        let part = |part: &Component| json!([part.name, part.weight, fraction(part.objective), slicing(&part.method)]);
        definition["components"] = components.iter().map(part).collect();
    }
    if let Some(slicing) = slo.method.slicing() {
        definition["budgeting_method"] = slicing_of(slo.method.as_str(), slicing);
    }
    if let Some(calendar) = slo.period.calendar() {
        definition["calendar"] = json!({
            "duration": calendar.name(),
            "start_civil_ms": calendar.start_civil_ms,
            "zone": calendar.zone,
        });
    }
    if let Some(sla) = &slo.sla {
        definition["sla"] = json!({
            "objective": sla.objective.map(fraction),
            "tenants": sla.tenants.iter().map(|(t, o)| (t, fraction(*o))).collect::<BTreeMap<_, _>>(),
            "duration": sla.calendar.name(),
            "start_civil_ms": sla.calendar.start_civil_ms,
            "zone": sla.calendar.zone,
        });
    }
    if !slo.policy.is_empty() {
        definition["policy"] = slo.policy.iter().map(|step| json!([fraction(step.spent), step.action])).collect();
    }
    if let Some(severity) = slo.forecast_alerts {
        definition["forecast_alerts"] = json!(severity.as_str());
    }
    if let Some(canary) = &slo.canary {
        definition["canary"] = json!({
            "attribute": canary.attribute,
            "tracks": canary.tracks.as_ref().map(|tracks| [&tracks.candidate, &tracks.baseline]),
            "max_burn": canary.max_burn.map(fraction),
        });
    }
    definition
}

fn slicing(method: &Method) -> Option<Value> {
    Some(slicing_of(method.as_str(), method.slicing()?))
}

fn slicing_of(name: &str, slicing: &Slicing) -> Value {
    json!({
        "name": name,
        "slice_ms": slicing.slice_ms,
        "target": fraction(slicing.target),
        "min_events": slicing.min_events,
    })
}

fn fraction(ratio: Ratio) -> String {
    format!("{}/{}", ratio.num, ratio.den)
}

const fn op_name(op: ThresholdOp) -> &'static str {
    match op {
        ThresholdOp::Lte => "lte",
        ThresholdOp::Gte => "gte",
        ThresholdOp::Lt => "lt",
        ThresholdOp::Gt => "gt",
    }
}

/// JSON with sorted keys and without spaces.
fn canonical(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                let entries: BTreeMap<&String, &Value> = map.iter().collect();
                Value::Object(entries.into_iter().map(|(k, v)| (k.clone(), sorted(v))).collect())
            }
            Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
            other => other.clone(),
        }
    }
    sorted(value).to_string()
}

fn sha256_hex(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_json_has_sorted_keys_and_no_spaces() {
        let value = json!({"b": [1, {"z": null, "a": "x y"}], "a": true});
        assert_eq!(canonical(&value), r#"{"a":true,"b":[1,{"a":"x y","z":null}]}"#);
    }

    #[test]
    fn hashes_as_everyone_does() {
        assert_eq!(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
