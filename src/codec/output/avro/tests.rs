use super::*;
use crate::model::time::Moment;
use std::collections::BTreeMap;

#[derive(serde::Serialize)]
struct Sample {
    count: u64,
    name: &'static str,
    share: Option<f64>,
    at: Moment,
    labels: BTreeMap<&'static str, &'static str>,
}

const SAMPLE: &str = r#"{"type": "record", "name": "Sample", "fields": [
    {"name": "count", "type": "long"},
    {"name": "name", "type": "string"},
    {"name": "share", "type": ["null", "double"]},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "labels", "type": {"type": "map", "values": "string"}}]}"#;

fn sample() -> Sample {
    Sample { count: 27, name: "foo", share: Some(0.5), at: Moment(1), labels: [("b", "2"), ("a", "1")].into() }
}

/// Writes under the sample's schema after one change to its text.
fn write_under(from: &str, to: &str, record: &Sample) -> Result<Vec<u8>, String> {
    let text = SAMPLE.replacen(from, to, 1);
    let schema = Schema::parse_str(&text).expect("a valid schema");
    let mut out = Vec::new();
    write(&schema, record, &mut out).map(|()| out).map_err(|e| e.to_string())
}

#[test]
fn writes_the_bytes_of_the_specification() {
    let expected = [
        &[54u8][..],                      // 27
        &[6, b'f', b'o', b'o'],           // length 3
        &[2, 0, 0, 0, 0, 0, 0, 0xe0, 63], // the second variant, 0.5
        &[0xd0, 0x0f],                    // 1,000 microseconds
        &[4, 2, b'a', 2, b'1', 2, b'b', 2, b'2', 0],
    ];
    assert_eq!(write_under("", "", &sample()), Ok(expected.concat()));
}

#[test]
fn writes_absent_values_and_empty_maps() {
    let empty = Sample { count: 0, name: "", share: None, at: Moment(-1), labels: BTreeMap::new() };
    assert_eq!(write_under("", "", &empty), Ok(vec![0, 0, 0, 0xcf, 0x0f, 0]));
}

#[test]
fn writes_longs_of_every_length() {
    for (value, bytes) in [
        (-1i64, vec![1u8]),
        (63, vec![126]),
        (64, vec![0x80, 1]),
        (i64::MAX, vec![0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        (i64::MIN, vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
    ] {
        let mut out = Vec::new();
        write_long(&mut out, value);
        assert_eq!(out, bytes, "{value}");
    }
}

#[test]
fn refuses_a_record_that_differs_from_its_schema() {
    for (from, to, message) in [
        (
            r#""count", "type": "long""#,
            r#""count", "type": "string""#,
            "field `count`: the schema expects String, the record holds an integer",
        ),
        (
            r#"["null", "double"]"#,
            r#""double""#,
            "field `share`: the schema expects Double, the record holds a value that may be absent",
        ),
        (
            r#"["null", "double"]"#,
            r#"["double", "null"]"#,
            "field `share`: the schema expects Union, the record holds a value that may be absent",
        ),
        (r#""name": "count""#, r#""name": "counts""#, "the record's field `count` is where the schema has `counts`"),
        (r#"{"name": "count", "type": "long"},"#, "", "the record's field `count` is where the schema has `name`"),
        (
            r#""fields": ["#,
            r#""fields": [{"name": "id", "type": "string"},"#,
            "the record's field `count` is where the schema has `id`",
        ),
    ] {
        assert_eq!(write_under(from, to, &sample()).err().as_deref(), Some(message));
    }
}

#[test]
fn refuses_a_record_that_is_longer_or_shorter_than_its_schema() {
    let labels = r#",
    {"name": "labels", "type": {"type": "map", "values": "string"}}]}"#;
    let shorter = write_under(labels, "]}", &sample());
    assert_eq!(shorter, Err("the record's field `labels` is where the schema has no more fields".into()));
    let end = r#""values": "string"}}]}"#;
    let longer = write_under(end, r#""values": "string"}}, {"name": "more", "type": "long"}]}"#, &sample());
    assert_eq!(longer, Err("the record ends before the schema's field `more`".into()));
}

#[test]
fn refuses_figures_that_avro_or_readers_cannot_hold() {
    let too_large = write_under("", "", &Sample { count: u64::MAX, ..sample() });
    assert_eq!(too_large, Err("field `count`: 18446744073709551615 is more than an Avro long can hold".into()));
    let not_finite = write_under("", "", &Sample { share: Some(f64::NAN), ..sample() });
    assert_eq!(not_finite, Err("field `share`: NaN is not a finite number: an absent figure is null".into()));
}
