//! Every field of a schema needs a description, a default, and one meaning per name.

use serde_json::Value;
use std::collections::BTreeMap;
use tailburn::codec::output::OutputSchema;

/// Every output schema by its file's name.
fn outputs() -> BTreeMap<&'static str, Value> {
    let parse = |schema: OutputSchema| {
        let file = crate::schemas_dir().join(format!("{}.avsc", schema.name()));
        (schema.name(), serde_json::from_str(&crate::read(&file)).expect("a schema is JSON"))
    };
    OutputSchema::ALL.into_iter().map(parse).collect()
}

/// Calls `each` with every record of a schema, the outermost first.
fn records<'a>(schema: &'a Value, each: &mut dyn FnMut(&'a Value)) {
    match schema {
        Value::Array(variants) => variants.iter().for_each(|v| records(v, each)),
        Value::Object(object) => {
            if schema["type"] == "record" {
                each(schema);
                schema["fields"].as_array().into_iter().flatten().for_each(|f| records(&f["type"], each));
            } else {
                object.get("items").into_iter().chain(object.get("values")).for_each(|inner| records(inner, each));
            }
        }
        _ => {}
    }
}

fn fields(schema: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    records(schema, &mut |record| {
        for field in record["fields"].as_array().into_iter().flatten() {
            found.push((format!("{}.{}", record["name"], field["name"]), field));
        }
    });
    found
}

fn is_text(doc: &Value) -> bool {
    doc.as_str().is_some_and(|text| text.trim().len() > 5 && text.ends_with('.'))
}

#[test]
fn the_files_are_what_the_build_embeds() {
    for schema in OutputSchema::ALL {
        let file = crate::schemas_dir().join(format!("{}.avsc", schema.name()));
        assert_eq!(crate::read(&file), schema.text(), "{}", file.display());
    }
}

#[test]
fn every_record_and_every_field_has_a_doc() {
    for (name, schema) in &outputs() {
        records(schema, &mut |record| assert!(is_text(&record["doc"]), "{name}: record {}", record["name"]));
        let fields = fields(schema);
        assert!(fields.len() > 5, "{name}");
        for (path, field) in fields {
            assert!(is_text(&field["doc"]), "{name}: {path}: {}", field["doc"]);
        }
    }
}

#[test]
fn every_field_has_a_default_and_absence_is_the_first_variant() {
    for (name, schema) in &outputs() {
        for (path, field) in fields(schema) {
            let default = field.get("default").unwrap_or_else(|| panic!("{name}: {path} has no default"));
            if let Some(variants) = field["type"].as_array() {
                assert_eq!((variants.len(), &variants[0]), (2, &Value::from("null")), "{name}: {path}");
                assert!(default.is_null(), "{name}: {path}");
            }
        }
    }
}

#[test]
fn every_time_is_in_microseconds() {
    for (name, schema) in &outputs() {
        for (path, field) in fields(schema) {
            let inner = field["type"].get(1).unwrap_or(&field["type"]);
            let is_time = inner["logicalType"] == "timestamp-micros";
            let last = field["name"].as_str().unwrap_or_default();
            let reads_as_time = ["at", "since", "onset", "start", "end", "counts_since", "first_bad", "last_bad"]
                .contains(&last)
                || last.ends_with("_at")
                || last.starts_with("exhaustion_");
            assert_eq!(is_time, reads_as_time, "{name}: {path}");
        }
    }
}

#[test]
fn the_namespace_is_ours_and_a_name_means_one_record_in_all_files() {
    let outputs = outputs();
    let mut seen: BTreeMap<String, &Value> = BTreeMap::new();
    for (name, schema) in &outputs {
        assert_eq!(schema["namespace"], "dev.tailburn", "{name}");
        records(schema, &mut |record| {
            let first = *seen.entry(record["name"].to_string()).or_insert(record);
            assert_eq!(first, record, "{name}: {} differs from another file's", record["name"]);
        });
    }
    assert!(seen.len() > 15, "{:?}", seen.keys());
}
