//! A definition as a flat list of fields: what people compare.

use crate::command::defined::document;
use crate::model::duration::print;
use crate::model::slo::{Slo, Unit};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Fields that no reader needs to see: they follow from the others.
const FOLLOW: [&str; 4] = ["slo", "key", "definition_hash", "filters_hash"];

/// By dotted name; a rule is a field by its name.
pub fn fields(slo: &Slo) -> BTreeMap<String, String> {
    let mut document = document(slo);
    document["resolve_after"] = json!(slo.resolve_after_ms.map(print));
    let rules = document["rules"].take();
    let mut all = BTreeMap::new();
    for rule in rules.as_array().into_iter().flatten() {
        let name = format!("rules.{}", rule["rule"].as_str().unwrap_or_default());
        all.insert(name, format!("{} at factor {}", shown(&rule["severity"]), shown(&rule["factor"])));
    }
    flatten("", &document, &mut all);
    flatten("", &of_kind(slo), &mut all);
    all
}

/// What an SLO of a kind of its own says beside that.
fn of_kind(slo: &Slo) -> Value {
    let slices = slo.method.slicing().map(|slicing| {
        json!({
            "length": print(slicing.slice_ms),
            "target": slicing.target.as_f64(),
            "min_events": slicing.min_events,
        })
    });
    let mut fields = json!({"slices": slices, "budget_rule": slo.budget_rule, "count": null});
    match &slo.unit {
        // The document has the steps of a journey.
        Unit::Events | Unit::Journey(_) => {}
        Unit::Users { .. } => fields["count"] = json!("users"),
        Unit::Gauge(spec) => {
            fields["gauge"] = json!({
                "aggregate": spec.aggregate.as_str(),
                "op": spec.op.as_str(),
                "target": spec.target,
                "baseline": spec.baseline,
            });
        }
        Unit::Composite(components) => {
            let parts = components.iter().map(|part| {
                let (weight, objective) = (part.weight, part.objective.as_f64());
                (part.name.clone(), json!({"weight": weight, "objective": objective}))
            });
            fields["components"] = Value::Object(parts.collect());
        }
    }
    fields
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn flatten(name: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields.iter().filter(|(field, _)| !FOLLOW.contains(&field.as_str())) {
                let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                flatten(&name, value, into);
            }
        }
        Value::Null => {}
        value => drop(into.insert(name.to_owned(), shown(value))),
    }
}
