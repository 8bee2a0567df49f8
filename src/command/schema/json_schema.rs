//! Derives JSON Schema for the JSON form of a record from its Avro schema, so that both have one source.
//!
//! Unknown fields are allowed, because later versions add fields. It supports only the types in our schemas and refuses
//! others.

use anyhow::{Context as _, bail};
use serde_json::{Map, Value, json};

pub(super) fn parse(avro: &str) -> anyhow::Result<Value> {
    serde_json::from_str(avro).context("an embedded schema is not JSON")
}

/// Which fields a record must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Required {
    /// Output records: all, as absent values are null.
    All,
    /// Input records: those without a default.
    WithoutDefault,
}

/// The JSON Schema of a record's Avro schema, as text.
pub(super) fn print(avro: &str, required: Required) -> anyhow::Result<String> {
    let mut schema = json!({"$schema": "https://json-schema.org/draft/2020-12/schema"});
    let record = object_of(&parse(avro)?, required)?;
    if let (Some(target), Value::Object(fields)) = (schema.as_object_mut(), record) {
        target.extend(fields);
    }
    Ok(format!("{schema:#}\n"))
}

fn object_of(record: &Value, required: Required) -> anyhow::Result<Value> {
    let fields = record["fields"].as_array().context("a record without fields")?;
    let mut properties = Map::new();
    let mut names = Vec::with_capacity(fields.len());
    for field in fields {
        let name = field["name"].as_str().context("a field without a name")?;
        let mut property = type_of(&field["type"], required).with_context(|| format!("field `{name}`"))?;
        property["description"] = field["doc"].clone();
        properties.insert(name.to_owned(), property);
        if required == Required::All || field.get("default").is_none() {
            names.push(name);
        }
    }
    Ok(json!({
        "title": record["name"],
        "description": record["doc"],
        "type": "object",
        "properties": properties,
        "required": names,
    }))
}

fn type_of(avro: &Value, required: Required) -> anyhow::Result<Value> {
    if let Some([null, inner]) = avro.as_array().map(Vec::as_slice)
        && null == "null"
    {
        return Ok(json!({"anyOf": [{"type": "null"}, type_of(inner, required)?]}));
    }
    let name = avro.as_str().or_else(|| avro["type"].as_str()).context("a type without a name")?;
    Ok(match (name, avro["logicalType"].as_str()) {
        ("string", None) => json!({"type": "string"}),
        ("boolean", None) => json!({"type": "boolean"}),
        ("double", None) => json!({"type": "number"}),
        ("int" | "long", None) => json!({"type": "integer"}),
        ("long", Some("timestamp-micros")) => json!({"type": "string", "format": "date-time"}),
        // An outcome's time is an integer of epoch milliseconds, or RFC 3339 text.
        ("long", Some("timestamp-millis")) => json!({"type": ["integer", "string"]}),
        ("array", None) => json!({"type": "array", "items": type_of(&avro["items"], required)?}),
        ("map", None) => json!({"type": "object", "additionalProperties": type_of(&avro["values"], required)?}),
        ("record", None) => object_of(avro, required)?,
        _ => bail!("`{avro}` has no form in JSON Schema here"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::output::OutputSchema;

    #[test]
    fn translates_every_type_that_our_schemas_use() {
        let avro = r#"{"type": "record", "name": "R", "doc": "d", "fields": [
            {"name": "a", "doc": "x", "type": ["null", "double"]},
            {"name": "b", "doc": "y", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "c", "doc": "z", "type": {"type": "array", "items": {"type": "map", "values": "long"}}}]}"#;
        let schema = parse(&print(avro, Required::All).expect("is translated")).expect("is JSON");
        assert_eq!(schema["required"], json!(["a", "b", "c"]));
        assert_eq!(
            schema["properties"],
            json!({
                "a": {"anyOf": [{"type": "null"}, {"type": "number"}], "description": "x"},
                "b": {"type": "string", "format": "date-time", "description": "y"},
                "c": {"type": "array", "description": "z",
                      "items": {"type": "object", "additionalProperties": {"type": "integer"}}},
            })
        );
    }

    #[test]
    fn what_comes_in_may_leave_out_fields_with_a_default() {
        let avro = r#"{"type": "record", "name": "R", "fields": [
            {"name": "a", "type": "int", "default": 0},
            {"name": "b", "type": {"type": "long", "logicalType": "timestamp-millis"}}]}"#;
        let schema = parse(&print(avro, Required::WithoutDefault).expect("is translated")).expect("is JSON");
        assert_eq!(schema["required"], json!(["b"]));
        assert_eq!(schema["properties"]["a"]["type"], "integer");
        assert_eq!(schema["properties"]["b"]["type"], json!(["integer", "string"]));
    }

    #[test]
    fn translates_every_embedded_schema_and_refuses_foreign_types() {
        for schema in OutputSchema::ALL {
            assert!(print(schema.text(), Required::All).is_ok(), "{}", schema.name());
        }
        let foreign = r#"{"type": "record", "name": "R", "fields": [{"name": "a", "type": "bytes"}]}"#;
        assert_eq!(print(foreign, Required::All).err().map(|e| e.to_string()).as_deref(), Some("field `a`"));
    }
}
