//! The current schemas read everything that any earlier version wrote (BACKWARD_TRANSITIVE).
//!
//! `frozen/vN/` holds each schema as it was released, with samples written by that version, in
//! hexadecimal. A released version is never changed. A changed schema is frozen as a new version:
//! `FREEZE=v2 cargo test --test schemas -- --ignored freezes_the_current_version`.

use crate::samples;
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use apache_avro::types::Value as Avro;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tailburn::codec::output::{Encoder, OutputFormat, OutputSchema};

fn frozen_dir() -> PathBuf {
    PathBuf::from("tests/schemas/frozen")
}

/// The frozen versions, the oldest first.
fn versions() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(frozen_dir()).expect("frozen versions exist");
    let mut found: Vec<(u32, PathBuf)> = entries
        .map(|entry| entry.expect("is listed").path())
        .map(|path| {
            let number = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_prefix('v'));
            (number.and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{}: not vN", path.display())), path)
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

/// Each frozen output schema: its place, the frozen version and the current one.
fn frozen() -> Vec<(PathBuf, Value, OutputSchema)> {
    let mut all = Vec::new();
    for version in versions() {
        for schema in OutputSchema::ALL {
            let file = version.join(format!("{}.avsc", schema.name()));
            if file.exists() {
                let text = crate::read(&file);
                all.push((file, serde_json::from_str(&text).expect("a schema is JSON"), schema));
            }
        }
    }
    assert!(all.len() >= OutputSchema::ALL.len(), "the first version has every schema");
    all
}

fn current(schema: OutputSchema) -> Value {
    serde_json::from_str(schema.text()).expect("a schema is JSON")
}

/// Why a reader with `new` could not read everything written with `old`, or would misread it.
fn incompatibility(old: &Value, new: &Value) -> Option<String> {
    let parse = |schema: &Value| Schema::parse(schema).map_err(|e| e.to_string());
    let (old_schema, new_schema) = match (parse(old), parse(new)) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(e), _) | (_, Err(e)) => return Some(e),
    };
    match SchemaCompatibility::can_read(&old_schema, &new_schema) {
        // "Partly" means only some of the values, which is not enough.
        Ok(Compatibility::Full) => reinterpreted(old, new),
        Ok(Compatibility::Partial) => Some("only some of the values can be read".to_owned()),
        Err(e) => Some(e.to_string()),
    }
}

/// A field whose integer would mean another time: Avro's schema resolution does not check that.
fn reinterpreted(old: &Value, new: &Value) -> Option<String> {
    let (old, new) = (logical_types(old), logical_types(new));
    old.iter()
        .find(|(field, before)| new.get(*field).is_some_and(|after| after != *before))
        .map(|(field, before)| format!("{field} was {before:?} and is {:?}", new[field]))
}

/// The logical type (or none) of each field, by record and name.
fn logical_types(schema: &Value) -> BTreeMap<String, Option<String>> {
    fn logical_type(node: &Value) -> Option<String> {
        match node {
            Value::Array(variants) => variants.iter().find_map(logical_type),
            _ => node["logicalType"].as_str().map(str::to_owned),
        }
    }
    fn walk(node: &Value, found: &mut BTreeMap<String, Option<String>>) {
        match node {
            Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
            Value::Object(object) => {
                for field in node["fields"].as_array().into_iter().flatten() {
                    found.insert(format!("{}.{}", node["name"], field["name"]), logical_type(&field["type"]));
                }
                object.values().for_each(|value| walk(value, found));
            }
            _ => {}
        }
    }
    let mut found = BTreeMap::new();
    walk(schema, &mut found);
    found
}

/// A schema without its documentation, which may change freely.
fn undocumented(schema: &Value) -> Value {
    match schema {
        Value::Object(object) => {
            object.iter().filter(|(name, _)| *name != "doc").map(|(n, v)| (n.clone(), undocumented(v))).collect()
        }
        Value::Array(items) => items.iter().map(undocumented).collect(),
        other => other.clone(),
    }
}

#[test]
fn the_current_schemas_read_every_frozen_version() {
    for (file, old, schema) in frozen() {
        assert_eq!(incompatibility(&old, &current(schema)), None, "{}", file.display());
    }
}

#[test]
fn the_newest_frozen_version_is_the_current_one() {
    for schema in OutputSchema::ALL {
        let newest = frozen().into_iter().rfind(|(_, _, s)| *s == schema).expect("was frozen once");
        let same = undocumented(&newest.1) == undocumented(&current(schema));
        assert!(same, "schemas/{}.avsc has changed since {}: freeze a new version", schema.name(), newest.0.display());
    }
}

#[test]
fn values_of_every_frozen_version_are_read_with_the_figures_they_had() {
    for (file, old, schema) in frozen() {
        let (old, new) = (Schema::parse(&old).expect("valid"), schema.parse().expect("valid"));
        let lines = crate::read(&file.with_extension("hex"));
        assert_eq!(lines.lines().count(), 2, "{}: a full and an empty sample", file.display());
        for line in lines.lines() {
            let bytes = from_hex(line);
            let then = GenericDatumReader::builder(&old).build().and_then(|r| r.read_value(&mut &bytes[..]));
            let reader = GenericDatumReader::builder(&old).reader_schema(&new).build();
            let now = reader.and_then(|r| r.read_value(&mut &bytes[..]));
            let (then, now) = (by_name(then.expect("reads its own")), by_name(now.expect("reads the older")));
            let kept = then.iter().filter(|(name, _)| now.contains_key(*name));
            for (name, value) in kept {
                // Nested records may gain fields, so only the known ones are compared.
                // What was always there may be absent now; then it is the second of a union.
                let now = match &now[name] {
                    Avro::Union(1, now) if !matches!(value, Avro::Union(..)) => now,
                    now => now,
                };
                if !matches!(value, Avro::Record(_) | Avro::Array(_) | Avro::Union(1, _)) {
                    assert_eq!(value, now, "{}: {name}", file.display());
                }
            }
        }
    }
}

fn by_name(value: Avro) -> BTreeMap<String, Avro> {
    match value {
        Avro::Record(fields) => fields.into_iter().collect(),
        other => panic!("{other:?} is no record"),
    }
}

fn from_hex(line: &str) -> Vec<u8> {
    let digits = line.as_bytes().chunks(2);
    digits.map(|d| u8::from_str_radix(std::str::from_utf8(d).expect("text"), 16).expect("hexadecimal")).collect()
}

/// The user-status schema after a change to its fields.
fn changed(change: impl FnOnce(&mut Vec<Value>)) -> Value {
    let mut schema = current(OutputSchema::UserStatus);
    change(schema["fields"].as_array_mut().expect("a record has fields"));
    schema
}

fn index_of(fields: &[Value], name: &str) -> usize {
    fields.iter().position(|f| f["name"] == name).expect("a field of user-status")
}

fn retyped(name: &str, schema: Value, default: Value) -> Value {
    changed(|fields| {
        let i = index_of(fields, name);
        fields[i]["type"] = schema;
        fields[i]["default"] = default;
    })
}

#[test]
fn changes_that_would_break_readers_are_caught() {
    let millis = json!({"type": "long", "logicalType": "timestamp-millis"});
    for (what, new, said) in [
        ("a field without a default", changed(|f| f.push(json!({"name": "new", "type": "string"}))), "new"),
        ("a number that becomes text", retyped("rank", json!("string"), json!("")), "rank"),
        ("a double that becomes a long", retyped("good", json!("long"), json!(0)), "good"),
        ("absence that is taken away", retyped("last_bad", json!("long"), json!(0)), "only some"),
        ("another unit of time", retyped("at", millis.clone(), json!(0)), "timestamp-millis"),
        (
            "another unit of an optional time",
            retyped("last_bad", json!(["null", millis]), Value::Null),
            "timestamp-millis",
        ),
        (
            "a list that becomes a map's value",
            retyped("attributes", json!({"type": "array", "items": "string"}), json!([])),
            "attributes",
        ),
    ] {
        let caught = incompatibility(&current(OutputSchema::UserStatus), &new);
        assert!(caught.as_ref().is_some_and(|why| why.contains(said)), "{what}: {caught:?}");
    }
}

#[test]
fn a_renamed_record_is_caught() {
    let mut renamed = current(OutputSchema::UserStatus);
    renamed["name"] = json!("UserState");
    assert!(incompatibility(&current(OutputSchema::UserStatus), &renamed).is_some());
}

#[test]
fn changes_that_readers_get_over_are_let_through() {
    for (what, new) in [
        ("a field with a default", changed(|f| f.push(json!({"name": "new", "type": "string", "default": ""})))),
        ("a field taken away", changed(|f| drop(f.remove(3)))),
        ("fields in another order", changed(|f| f.swap(0, 5))),
        ("a long that becomes a double", retyped("rank", json!("double"), json!(0.0))),
        ("a value that may now be absent", retyped("sli", json!(["null", "double"]), Value::Null)),
        ("another text", changed(|f| f[0]["doc"] = json!("Another text."))),
    ] {
        assert_eq!(incompatibility(&current(OutputSchema::UserStatus), &new), None, "{what}");
    }
}

/// Not a check: it writes a version. `FREEZE` names it; a version that exists is not touched.
#[test]
#[ignore = "writes tests/schemas/frozen/$FREEZE"]
fn freezes_the_current_version() {
    let version = std::env::var("FREEZE").expect("FREEZE=vN names the version to write");
    let dir = frozen_dir().join(&version);
    std::fs::create_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let encoder = Encoder::new(OutputFormat::AvroRaw).expect("valid schemas");
    for schema in OutputSchema::ALL {
        let samples: String = samples::all()
            .iter()
            .filter(|sample| sample.schema == schema)
            .map(|sample| sample.encode(&encoder).iter().map(|b| format!("{b:02x}")).collect::<String>() + "\n")
            .collect();
        let file = dir.join(schema.name());
        std::fs::write(file.with_extension("avsc"), schema.text()).expect("is written");
        std::fs::write(file.with_extension("hex"), samples).expect("is written");
    }
}
