//! The compiled decoder against apache-avro, other writers' schemas, framing, and hostile bytes.

use super::*;
use crate::codec::field::Field;
use crate::codec::{Decoder, Fault, Format, InputSettings, Mapping};
use crate::model::outcome::Outcome;
use crate::model::record::{NoHeaders, RecordIn};
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;

mod container;
mod framings;
mod names;
mod values;

pub(super) const T: i64 = 1_780_074_045_845;

pub(super) fn record(value: &[u8]) -> RecordIn<'_> {
    RecordIn { partition: 0, offset: 0, key: None, value, timestamp_ms: None, headers: &NoHeaders }
}

pub(super) fn decoder(schemas: AvroSchemas) -> Decoder {
    let settings = InputSettings { format: Format::Avro, avro_schemas: Some(schemas), ..InputSettings::default() };
    Decoder::new(settings).unwrap()
}

pub(super) fn of(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"r","fields":[{fields}]}}"#)
}

fn written(schema: &str, value: Value) -> Vec<u8> {
    let schema = Schema::parse_str(schema).unwrap();
    GenericDatumWriter::builder(&schema).build().unwrap().write_value_to_vec(value).unwrap()
}

fn value_record(fields: &[(&str, Value)]) -> Value {
    Value::Record(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

fn some(index: u32, value: Value) -> Value {
    Value::Union(index, Box::new(value))
}

/// The bytes of a long (zigzag, seven bits a byte).
pub(super) fn long(n: i64) -> Vec<u8> {
    let mut rest = (n << 1 ^ n >> 63) as u64;
    let mut bytes = Vec::new();
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}

/// Bytes or a text, after their length.
pub(super) fn sized(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    [long(bytes.as_ref().len() as i64), bytes.as_ref().to_vec()].concat()
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn map(pairs: &[(&str, Value)]) -> Value {
    Value::Map(pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

/// Attributes by name: apache-avro writes a map in any order.
fn attributes(outcome: &Outcome<'_>) -> String {
    let mut pairs: Vec<String> = outcome.attributes.iter().map(|(n, v)| format!("{n}={v}")).collect();
    pairs.sort();
    pairs.join(" ")
}

#[test]
fn the_schema_of_record_names_and_documents_every_field() {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA_OF_RECORD).unwrap();
    let fields = schema["fields"].as_array().unwrap();
    let names: Vec<&str> = fields.iter().filter_map(|field| field["name"].as_str()).collect();
    assert_eq!(names, Field::ALL.map(Field::name));
    for field in fields {
        let optional = !["tenant", "timestamp"].contains(&field["name"].as_str().unwrap());
        assert_eq!(field.get("default").is_some(), optional, "{}", field["name"]);
        assert!(field["doc"].as_str().is_some_and(|doc| doc.len() > 10), "{}", field["name"]);
    }
    assert!(AvroSchemas::of_record_schema().is_ok());
}

#[test]
fn reads_what_other_writers_wrote() {
    let schema = of(r#"
        {"name":"kind","type":{"type":"enum","name":"k","symbols":["a","b"]}},
        {"name":"timestamp","type":["null",{"type":"long","logicalType":"timestamp-micros"}]},
        {"name":"extra","type":{"type":"array","items":{"type":"map","values":["null","bytes","k"]}}},
        {"name":"tenant","type":"k"},
        {"name":"user","type":[{"type":"string","logicalType":"uuid"},"null"]},
        {"name":"status","type":["string","long"]},
        {"name":"latency_ms","type":"float"},
        {"name":"weight","type":"int"},
        {"name":"digest","type":{"type":"fixed","name":"f","size":3}},
        {"name":"measures","type":["null",{"type":"map","values":["long","double","null"]}]},
        {"name":"attributes","type":{"type":"map","values":["null","string","boolean","int","double","k"]}}"#);
    let extra = Value::Array(vec![
        map(&[("x", some(1, Value::Bytes(vec![1, 2, 3]))), ("y", some(0, Value::Null))]),
        map(&[("z", some(2, Value::Enum(1, "b".to_owned())))]),
    ]);
    let uuid = "936da01f-9abd-4d9d-80c7-02af85c822a8";
    let datum = written(
        &schema,
        value_record(&[
            ("kind", Value::Enum(0, "a".to_owned())),
            ("timestamp", some(1, Value::TimestampMicros(T * 1_000 + 999))),
            ("extra", extra),
            ("tenant", Value::Enum(1, "b".to_owned())),
            ("user", some(0, Value::Uuid(apache_avro::Uuid::parse_str(uuid).unwrap()))),
            ("status", some(0, text("503"))),
            ("latency_ms", Value::Float(0.5)),
            ("weight", Value::Int(3)),
            ("digest", Value::Fixed(3, vec![9, 9, 9])),
            ("measures", some(1, map(&[("m", some(0, Value::Long(7))), ("gone", some(2, Value::Null))]))),
            (
                "attributes",
                map(&[
                    ("absent", some(0, Value::Null)),
                    ("text", some(1, text("t"))),
                    ("yes", some(2, Value::Boolean(true))),
                    ("int", some(3, Value::Int(-4))),
                    ("double", some(4, Value::Double(1.0))),
                    ("enum", some(5, Value::Enum(0, "a".to_owned()))),
                ]),
            ),
        ]),
    );
    let decoder = decoder(AvroSchemas::raw(&schema).unwrap());
    let outcome = decoder.decode(&record(&datum)).unwrap();
    assert_eq!((&*outcome.tenant, outcome.user.as_deref(), outcome.timestamp_ms), ("b", Some(uuid), T));
    assert_eq!((outcome.status, outcome.latency_ms, outcome.weight_micros), (Some(503), Some(0.5), 3_000_000));
    assert_eq!((outcome.measures.len(), outcome.measure("m")), (1, Some(7.0)));
    assert_eq!(attributes(&outcome), "double=1.0 enum=a int=-4 text=t yes=true");
}

#[test]
fn times_are_floored_whatever_their_unit() {
    for (logical, value, ms) in [
        ("timestamp-millis", T, Some(T)),
        ("timestamp-micros", T * 1_000 + 999, Some(T)),
        ("timestamp-nanos", T * 1_000_000 + 999_999, Some(T)),
        ("local-timestamp-millis", T, None),
    ] {
        let schema = of(&format!(
            r#"{{"name":"tenant","type":"string"}},{{"name":"timestamp","type":{{"type":"long","logicalType":"{logical}"}}}}"#
        ));
        let plain = schema.replace(&format!(r#","logicalType":"{logical}""#), "");
        let datum = written(&plain, value_record(&[("tenant", text("a")), ("timestamp", Value::Long(value))]));
        let decoder = decoder(AvroSchemas::raw(&schema).unwrap());
        assert_eq!(decoder.decode(&record(&datum)).ok().map(|o| o.timestamp_ms), ms, "{logical}");
    }
}

#[test]
fn optional_values_that_are_not_finite_or_of_a_wrong_type_are_absent_and_counted() {
    let schema = of(r#"
        {"name":"tenant","type":"string"},
        {"name":"timestamp","type":{"type":"long","logicalType":"timestamp-millis"}},
        {"name":"latency_ms","type":["null","double","string"]},
        {"name":"attributes","type":["null",{"type":"map","values":["double","bytes"]}]}"#);
    let decoder = decoder(AvroSchemas::raw(&schema).unwrap());
    let with = |latency: Value, attributes: Value| {
        let fields = [
            ("tenant", text("a")),
            ("timestamp", Value::TimestampMillis(T)),
            ("latency_ms", latency),
            ("attributes", attributes),
        ];
        let datum = written(&schema, value_record(&fields));
        let (outcome, faults) = decoder.examine(&record(&datum)).unwrap();
        (outcome.latency_ms, outcome.attributes.len(), faults.iter().map(Fault::field).collect::<Vec<_>>())
    };
    let null = || some(0, Value::Null);
    assert_eq!(with(null(), null()), (None, 0, vec![]));
    let one = |value| some(1, map(&[("a", value)]));
    assert_eq!(with(some(1, Value::Double(5.0)), one(some(0, Value::Double(5.0)))), (Some(5.0), 1, vec![]));
    for n in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(with(some(1, Value::Double(n)), null()), (None, 0, vec![Field::LatencyMs]));
        assert_eq!(with(null(), one(some(0, Value::Double(n)))), (None, 0, vec![Field::Attributes]));
    }
    assert_eq!(with(some(2, text("5")), null()), (Some(5.0), 0, vec![]));
    assert_eq!(with(some(2, text("fast")), null()), (None, 0, vec![Field::LatencyMs]));
    // Bytes are text.
    assert_eq!(with(null(), one(some(1, Value::Bytes(b"b".to_vec())))), (None, 1, vec![]));
}

#[test]
fn framed_records_name_their_schema_by_its_number() {
    let time = r#"{"name":"timestamp","type":{"type":"long","logicalType":"timestamp-millis"}}"#;
    let tenant = r#"{"name":"tenant","type":"string"}"#;
    let directory = tempfile::tempdir().unwrap();
    let schemas = [of(&format!("{tenant},{time}")), of(&format!("{time},{tenant}"))];
    std::fs::write(directory.path().join("7.avsc"), &schemas[0]).unwrap();
    std::fs::write(directory.path().join("70000.avsc"), &schemas[1]).unwrap();
    std::fs::write(directory.path().join("notes.txt"), "not a schema").unwrap();
    let decoder = decoder(AvroSchemas::open(directory.path()).unwrap());
    let value = value_record(&[("timestamp", Value::TimestampMillis(T)), ("tenant", text("a"))]);
    let framed = |number: u32, datum: Vec<u8>| [vec![0], number.to_be_bytes().to_vec(), datum].concat();
    let reversed = value_record(&[("tenant", text("a")), ("timestamp", Value::TimestampMillis(T))]);
    for bytes in [framed(7, written(&schemas[0], reversed.clone())), framed(70_000, written(&schemas[1], value))] {
        assert_eq!(decoder.decode(&record(&bytes)).map(|o| o.timestamp_ms), Ok(T));
    }
    let unknown = framed(8, written(&schemas[0], reversed));
    let rejected = decoder.decode(&record(&unknown)).unwrap_err();
    assert_eq!(rejected.reason, Rejection::NotDecodable);
    let detail = "the prefix of its datum (Confluent) names the schema with number 8, and there is no 8.avsc in \
                  input.avro_schema";
    assert_eq!(rejected.detail, detail);
}

#[test]
fn schemas_that_cannot_be_outcomes_are_named() {
    for (schema, problem) in [
        ("{", "the schema is not JSON: "),
        ("\"string\"", "the schema is not a record"),
        (r#"{"type":"record","name":"r"}"#, "not an Avro schema: the schema (record) has no `fields`"),
        (
            r#"{"type":"record","name":"r","fields":[{"type":"int"}]}"#,
            "the schema has a field without a name (number 1)",
        ),
        (r#"{"type":"record","name":"r","fields":[{"name":"a"}]}"#, "the type of `a` is missing"),
        (
            r#"{"type":"record","name":"r","fields":[{"name":"a","type":["null",7]}]}"#,
            "the type of `a`[1] is not a type",
        ),
        (r#"{"type":"record","name":"r","fields":[{"name":"a","type":"gone"}]}"#, "the type `gone`, which it does not"),
        (
            r#"{"type":"record","name":"r","fields":[{"name":"a","type":{"type":"fixed","name":"f","size":-1}}]}"#,
            "size",
        ),
    ] {
        let error = AvroSchemas::raw(schema).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "\"int\"").unwrap();
    let error = AvroSchemas::open(file.path()).unwrap_err().to_string();
    assert!(error.contains(&file.path().display().to_string()) && error.contains("is not a record"), "{error}");
    assert_eq!(error.matches("is not a record").count(), 1, "{error}");
    let empty = tempfile::tempdir().unwrap();
    let error = AvroSchemas::open(empty.path()).unwrap_err().to_string();
    assert!(error.contains("has no schema in it"), "{error}");
}

#[test]
fn bombs_end_as_dead_letters() {
    let huge = |mut bytes: Vec<u8>| {
        bytes.extend([0xff; 8]);
        bytes.push(0x01);
        bytes.push(0);
        bytes
    };
    let nulls = of(r#"{"name":"x","type":{"type":"array","items":"null"}},{"name":"tenant","type":"string"}"#);
    let list = of(r#"{"name":"x","type":["null","r"]},{"name":"tenant","type":"string"}"#);
    let doubling: String = (1..40)
        .map(|i| format!(r#",{{"name":"x{i}","type":{{"type":"record","name":"d{i}","fields":[{{"name":"a","type":"d{0}"}},{{"name":"b","type":"d{0}"}}]}}}}"#, i - 1))
        .collect();
    let doubling = of(&format!(r#"{{"name":"x0","type":{{"type":"record","name":"d0","fields":[]}}}}{doubling}"#));
    for (schema, datum) in [
        (of(r#"{"name":"tenant","type":"string"}"#), huge(Vec::new())),
        (of(r#"{"name":"x","type":"bytes"}"#), huge(Vec::new())),
        (of(r#"{"name":"attributes","type":{"type":"map","values":"string"}}"#), huge(Vec::new())),
        (of(r#"{"name":"attributes","type":{"type":"map","values":"null"}}"#), huge(Vec::new())),
        (nulls, huge(Vec::new())),
        (list, vec![2; 1_000_000]),
        (doubling, Vec::new()),
        (of(r#"{"name":"tenant","type":"string"}"#), vec![0xff; 11]),
        (of(r#"{"name":"tenant","type":"string"}"#), vec![2, b'a', 0]),
        (of(r#"{"name":"tenant","type":"string"}"#), vec![1]),
        (of(r#"{"name":"x","type":["null"]}"#), vec![2]),
    ] {
        for mapping in ["{}", r#"{"operation":"y"}"#] {
            let mapping: Mapping = serde_json::from_str(mapping).unwrap();
            let avro_schemas = Some(AvroSchemas::raw(&schema).unwrap());
            let settings = InputSettings { format: Format::Avro, avro_schemas, mapping, ..InputSettings::default() };
            let decoder = Decoder::new(settings).unwrap();
            let reason = decoder.decode(&record(&datum)).unwrap_err().reason;
            assert_eq!(reason, Rejection::NotDecodable, "{schema:.200}");
        }
    }
}

#[test]
fn a_mapping_finds_its_way_in_avro_too() {
    let schema = of(r#"
        {"name":"tenant","type":"string"},
        {"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}},
        {"name":"spans","type":{"type":"array","items":{"type":"record","name":"s","fields":[{"name":"name","type":"string"}]}}}"#);
    let span = |name: &str| value_record(&[("name", text(name))]);
    let value = value_record(&[
        ("tenant", text("a")),
        ("at", Value::TimestampMicros(T * 1_000)),
        ("spans", Value::Array(vec![span("x"), span("pay")])),
    ]);
    let datum = written(&schema, value);
    let mapping = serde_json::from_str(r#"{"timestamp":"at","operation":"spans[1].name"}"#).unwrap();
    let avro_schemas = Some(AvroSchemas::raw(&schema).unwrap());
    let settings = InputSettings { format: Format::Avro, avro_schemas, mapping, ..InputSettings::default() };
    let decoder = Decoder::new(settings).unwrap();
    let outcome = decoder.decode(&record(&datum)).unwrap();
    assert_eq!((outcome.timestamp_ms, outcome.operation.as_deref()), (T, Some("pay")));
}

fn optional(text: Option<String>) -> Value {
    text.map_or(some(0, Value::Null), |text| some(1, Value::String(text)))
}

proptest! {
    #[test]
    fn reads_the_schema_of_record_as_apache_avro_does(
        texts in prop::array::uniform8(prop::option::of("[ -~é]{0,20}")),
        status in prop::option::of(any::<i32>()),
        latency in prop::option::of(-1e9f64..1e9),
        measures in prop::collection::hash_map("[a-z]{1,8}", -1e9f64..1e9, 0..5),
        attributes_in in prop::collection::hash_map("[a-z]{1,8}", ".{0,8}", 0..5),
        weight in 1e-6f64..1e6,
    ) {
        let schema = Schema::parse_str(SCHEMA_OF_RECORD).unwrap();
        let value = value_record(&[
            ("tenant", text("acme")),
            ("user", optional(texts[0].clone())),
            ("timestamp", Value::TimestampMillis(T)),
            ("operation", optional(texts[1].clone())),
            ("dependency", optional(texts[2].clone())),
            ("error_type", optional(texts[3].clone())),
            ("trace_id", optional(texts[4].clone())),
            ("event_id", optional(texts[5].clone())),
            ("journey", optional(texts[6].clone())),
            ("step", optional(texts[7].clone())),
            ("status", status.map_or(some(0, Value::Null), |n| some(1, Value::Int(n)))),
            ("latency_ms", latency.map_or(some(0, Value::Null), |n| some(1, Value::Double(n)))),
            ("measures", Value::Map(measures.iter().map(|(n, v)| (n.clone(), Value::Double(*v))).collect())),
            ("attributes", Value::Map(attributes_in.iter().map(|(n, v)| (n.clone(), text(v))).collect())),
            ("weight", Value::Double(weight)),
        ]);
        let datum = written(SCHEMA_OF_RECORD, value.clone());
        let read = GenericDatumReader::builder(&schema).build().unwrap().read_value(&mut &datum[..]).unwrap();
        prop_assert_eq!(read, value);
        let decoder = decoder(AvroSchemas::of_record_schema().unwrap());
        let record = record(&datum);
        let outcome = decoder.decode(&record).unwrap();
        let o = &outcome;
        // An empty user id names nobody.
        let mut texts = texts;
        texts[0] = texts[0].take().filter(|id| !id.is_empty());
        let decoded = [&o.user, &o.operation, &o.dependency, &o.error_type, &o.trace_id, &o.event_id, &o.journey, &o.step];
        prop_assert_eq!(decoded.map(|t| t.as_ref().map(|t| t.to_string())), texts);
        prop_assert_eq!((&*o.tenant, o.status, o.latency_ms), ("acme", status.map(i64::from), latency));
        prop_assert_eq!(o.measures.len(), measures.len());
        prop_assert!(o.measures.iter().all(|(n, v)| measures.get(&**n) == Some(v)));
        prop_assert_eq!(o.attributes.len(), attributes_in.len());
        prop_assert!(o.attributes.iter().all(|(n, v)| attributes_in.get(&**n).is_some_and(|w| w == v)));
        prop_assert_eq!(o.weight_micros, (weight * 1e6).round_ties_even() as u64);
    }

    #[test]
    fn never_panics_on_bytes(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let decoder = decoder(AvroSchemas::of_record_schema().unwrap());
        let _ = decoder.decode(&record(&bytes));
        let schemas = AvroSchemas::of_record_schema().unwrap();
        let tree = parse_tree(&record(&bytes), &schemas).is_ok();
        let gathered = gather(&record(&bytes), &schemas, &FieldLimits::default()).is_ok();
        prop_assert_eq!(tree, gathered);
    }
}
