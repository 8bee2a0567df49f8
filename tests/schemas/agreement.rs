//! The Avro form of a record and its JSON form are the same record, field by field.

use crate::samples::{self, Sample};
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use serde_json::Value as Json;
use tailburn::codec::output::{Encoder, OutputFormat, OutputSchema};

fn encoder(format: OutputFormat) -> Encoder {
    Encoder::new(format).unwrap_or_else(|e| panic!("{e}"))
}

fn as_json(sample: &Sample) -> Json {
    serde_json::from_slice(&sample.encode(&encoder(OutputFormat::Json))).expect("what is written as JSON is JSON")
}

/// The record as the Avro library reads it with the file of `schemas/`.
fn as_avro(sample: &Sample) -> Avro {
    let bytes = sample.encode(&encoder(OutputFormat::AvroRaw));
    let schema = schema_of(sample.schema);
    let reader = GenericDatumReader::builder(&schema).build().expect("a schema without open references");
    let mut rest = &bytes[..];
    let value = reader.read_value(&mut rest).unwrap_or_else(|e| panic!("{:?}: {e}", sample.schema));
    assert!(rest.is_empty(), "{:?}: {} bytes are left over", sample.schema, rest.len());
    value
}

fn schema_of(schema: OutputSchema) -> Schema {
    let file = crate::schemas_dir().join(format!("{}.avsc", schema.name()));
    Schema::parse_str(&crate::read(&file)).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// Fails with the path of the first different field.
fn assert_same(path: &str, avro: &Avro, json: &Json) {
    match (avro, json) {
        (Avro::Union(0, inner), Json::Null) if **inner == Avro::Null => {}
        (Avro::Union(1, inner), _) if !json.is_null() => assert_same(path, inner, json),
        (Avro::Boolean(a), Json::Bool(b)) => assert_eq!(a, b, "{path}"),
        (Avro::Long(a), Json::Number(b)) => assert_eq!(Some(*a), b.as_i64(), "{path}"),
        (Avro::Double(a), Json::Number(b)) => {
            assert!(b.is_f64(), "{path}: {b} is not printed as a double");
            assert_eq!(Some(a.to_bits()), b.as_f64().map(f64::to_bits), "{path}: {a} and {b}");
        }
        (Avro::String(a), Json::String(b)) => assert_eq!(a, b, "{path}"),
        (Avro::TimestampMicros(a), Json::String(b)) => {
            let time: jiff::Timestamp = b.parse().unwrap_or_else(|e| panic!("{path}: {b}: {e}"));
            assert_eq!(*a, time.as_microsecond(), "{path}");
            assert!(b.len() == "2026-05-29T17:01:00.000Z".len() && b.ends_with('Z'), "{path}: {b}");
        }
        (Avro::Array(a), Json::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{path}");
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                assert_same(&format!("{path}[{i}]"), a, b);
            }
        }
        (Avro::Map(a), Json::Object(b)) => {
            assert_eq!(a.len(), b.len(), "{path}");
            for (name, b) in b {
                assert_same(&format!("{path}{{{name}}}"), &a[name], b);
            }
        }
        (Avro::Record(a), Json::Object(b)) => {
            let avro_names: Vec<&String> = a.iter().map(|(name, _)| name).collect();
            assert_eq!(avro_names, b.keys().collect::<Vec<_>>(), "{path}: names and order of the fields");
            for ((name, a), b) in a.iter().zip(b.values()) {
                assert_same(&format!("{path}.{name}"), a, b);
            }
        }
        _ => panic!("{path}: Avro has {avro:?}, JSON has {json}"),
    }
}

/// The paths at which a value is absent: null, an empty list or an empty map.
fn absences(path: &str, json: &Json, found: &mut Vec<String>) {
    match json {
        Json::Null => found.push(path.to_owned()),
        Json::Array(items) if items.is_empty() => found.push(path.to_owned()),
        Json::Object(fields) if fields.is_empty() => found.push(path.to_owned()),
        // A list's first entry is the full one.
        Json::Array(items) => absences(&format!("{path}[]"), &items[0], found),
        Json::Object(fields) => fields.iter().for_each(|(name, v)| absences(&format!("{path}.{name}"), v, found)),
        _ => {}
    }
}

#[test]
fn avro_and_json_are_the_same_record() {
    let samples = samples::all();
    for schema in OutputSchema::ALL {
        assert_eq!(samples.iter().filter(|s| s.schema == schema).count(), 2, "{schema:?}: a full and an empty one");
    }
    for sample in &samples {
        let path = format!("{} ({})", sample.schema.name(), if sample.full { "full" } else { "empty" });
        assert_same(&path, &as_avro(sample), &as_json(sample));
    }
}

#[test]
fn full_samples_leave_no_field_out() {
    for sample in samples::all().iter().filter(|s| s.full) {
        let mut found = Vec::new();
        absences(sample.schema.name(), &as_json(sample), &mut found);
        assert_eq!(found, Vec::<String>::new());
    }
}

#[test]
fn empty_samples_leave_out_all_that_may_be_absent() {
    for sample in samples::all().iter().filter(|s| !s.full) {
        let json = as_json(sample);
        let Schema::Record(record) = schema_of(sample.schema) else { panic!("{:?} is a record", sample.schema) };
        for field in &record.fields {
            let value = &json[&field.name];
            match &field.schema {
                Schema::Union(_) => assert!(value.is_null(), "{:?}: {}", sample.schema, field.name),
                Schema::Array(_) | Schema::Map(_) => {
                    assert!(value == &serde_json::json!([]) || value == &serde_json::json!({}), "{}", field.name);
                }
                _ => assert!(!value.is_null(), "{:?}: {}", sample.schema, field.name),
            }
        }
    }
}

#[test]
fn equal_records_become_equal_bytes() {
    for format in [OutputFormat::Json, OutputFormat::AvroRaw] {
        for (one, other) in samples::all().iter().zip(&samples::all()) {
            assert_eq!(one.encode(&encoder(format)), other.encode(&encoder(format)), "{:?}", one.schema);
        }
    }
}
