//! Logical types (uuids, decimals, entries), and values that are skipped.

use super::*;

fn with(field: &str) -> String {
    of(&format!(
        r#"{{"name":"tenant","type":"string"}},{{"name":"timestamp","type":{{"type":"long","logicalType":"timestamp-millis"}}}},{field}"#
    ))
}

fn front() -> Vec<u8> {
    [sized("acme"), long(T)].concat()
}

#[test]
fn uuids_bytes_and_decimals_are_texts_and_numbers() {
    let uuid = [0x93, 0x6d, 0xa0, 0x1f, 0x9a, 0xbd, 0x4d, 0x9d, 0x80, 0xc7, 0x02, 0xaf, 0x85, 0xc8, 0x22, 0xa8];
    let schema = with(
        r#"{"name":"user","type":["null",{"type":"fixed","name":"u","size":16,"logicalType":"uuid"}]},
           {"name":"operation","type":"bytes"},
           {"name":"dependency","type":"bytes"},
           {"name":"status","type":{"type":"bytes","logicalType":"decimal","precision":3}},
           {"name":"trace_id","type":{"type":"fixed","name":"d","size":9,"logicalType":"decimal","precision":20,"scale":0}},
           {"name":"attributes","type":{"type":"map","values":["u",{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}]}}"#,
    );
    let big = [1, 0, 0, 0, 0, 0, 0, 0, 0];
    let attributes =
        [long(2), sized("id"), long(0), uuid.to_vec(), sized("price"), long(1), sized([0x04, 0xd2]), long(0)];
    let datum = [
        front(),
        long(1),
        uuid.to_vec(),
        sized("pay"),
        sized(b"a\xffb"),
        sized([0x01, 0xf7]),
        big.to_vec(),
        attributes.concat(),
    ]
    .concat();
    let decoder = decoder(AvroSchemas::raw(&schema).unwrap());
    let record = record(&datum);
    let outcome = decoder.decode(&record).unwrap();
    let id = "936da01f-9abd-4d9d-80c7-02af85c822a8";
    assert_eq!(
        (outcome.user.as_deref(), outcome.operation.as_deref(), outcome.status),
        (Some(id), Some("pay"), Some(503))
    );
    assert_eq!(outcome.dependency.as_deref(), Some("a\u{fffd}b"));
    assert_eq!(outcome.trace_id.as_deref(), Some("18446744073709551616"));
    assert_eq!(attributes_of(&outcome), format!("id={id} price=12.34"));
}

fn attributes_of(outcome: &Outcome<'_>) -> String {
    super::attributes(outcome)
}

#[test]
fn decimals_and_numeric_bytes_are_measures() {
    let schema = with(
        r#"{"name":"latency_ms","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":3}},
           {"name":"weight","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":1}},
           {"name":"measures","type":{"type":"map","values":{"type":"fixed","name":"d","size":4,"logicalType":"decimal","precision":9,"scale":1}}}"#,
    );
    let datum = [front(), sized([0x04, 0xd2]), sized([5]), long(1), sized("m"), vec![0xff, 0xff, 0xff, 0xf1], long(0)];
    let decoder = decoder(AvroSchemas::raw(&schema).unwrap());
    let datum = datum.concat();
    let record = record(&datum);
    let outcome = decoder.decode(&record).unwrap();
    assert_eq!((outcome.latency_ms, outcome.weight_micros, outcome.measure("m")), (Some(1.234), 500_000, Some(-1.5)));
}

#[test]
fn a_decimal_has_its_bucket() {
    let schema = with(r#"{"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}}"#);
    let mapping = serde_json::from_str(r#"{"attributes.band":{"bucket":{"path":"price","edges":[0,10,20]}}}"#).unwrap();
    let avro_schemas = Some(AvroSchemas::raw(&schema).unwrap());
    let settings = InputSettings { format: Format::Avro, avro_schemas, mapping, ..InputSettings::default() };
    let decoder = Decoder::new(settings).unwrap();
    for (unscaled, label) in [(&[0x04, 0xd2][..], "10..20"), (&[0x03, 0xe7], "0..10"), (&[0x07, 0xd0], "20+")] {
        let datum = [front(), sized(unscaled)].concat();
        assert_eq!(decoder.decode(&record(&datum)).unwrap().attribute("band"), Some(label));
    }
}

#[test]
fn an_array_of_keys_and_values_is_a_map() {
    let entry = r#"{"type":"record","name":"e","fields":[{"name":"key","type":"string"},{"name":"value","type":["null","string","int"]}]}"#;
    let turned =
        r#"{"type":"record","name":"t","fields":[{"name":"value","type":"double"},{"name":"key","type":"int"}]}"#;
    let schema = with(&format!(
        r#"{{"name":"attributes","type":["null",{{"type":"array","items":{entry}}}]}},{{"name":"measures","type":{{"type":"array","items":{turned}}}}}"#
    ));
    let entries = [
        long(3),
        [sized("tier"), long(1), sized("pro")].concat(),
        [sized("none"), long(0)].concat(),
        [sized("n"), long(2), long(-4)].concat(),
        long(0),
    ];
    let measures = [long(1), 2.5f64.to_le_bytes().to_vec(), long(7), long(0)];
    let datum = [front(), long(1), entries.concat(), measures.concat()].concat();
    let decoder = decoder(AvroSchemas::raw(&schema).unwrap());
    let record = record(&datum);
    let outcome = decoder.decode(&record).unwrap();
    assert_eq!((attributes_of(&outcome).as_str(), outcome.measure("7")), ("n=-4 tier=pro", Some(2.5)));
    let mapping: Mapping = serde_json::from_str(r#"{"operation":"attributes.tier","user":"attributes.n"}"#).unwrap();
    let avro_schemas = Some(AvroSchemas::raw(&schema).unwrap());
    let settings = InputSettings { format: Format::Avro, avro_schemas, mapping, ..InputSettings::default() };
    let mapped = Decoder::new(settings).unwrap();
    assert_eq!(mapped.decode(&record).unwrap().operation.as_deref(), Some("pro"));
}

#[test]
fn a_timestamp_that_is_no_time_says_what_it_is_and_what_to_do() {
    let decimal = r#"{"type":"bytes","logicalType":"decimal","precision":18,"scale":6}"#;
    for (kind, value, what, mapped) in [
        (
            r#"{"type":"long","logicalType":"local-timestamp-micros"}"#,
            long(T * 1_000 + 7),
            "a local-timestamp-micros",
            Some(("us", T)),
        ),
        (
            r#"{"type":"long","logicalType":"local-timestamp-millis"}"#,
            long(T),
            "a local-timestamp-millis",
            Some(("ms", T)),
        ),
        (r#"{"type":"int","logicalType":"date"}"#, long(20_000), "a date", None),
        ("\"double\"", 1.5e9f64.to_le_bytes().to_vec(), "a double", Some(("s", 1_500_000_000_000))),
        ("\"float\"", 1.5e9f32.to_le_bytes().to_vec(), "a float, too coarse for a time", None),
        (decimal, sized((T * 1_000 + 123).to_be_bytes()), "a decimal with 6 digits after the point", Some(("s", T))),
    ] {
        for union in [false, true] {
            let of_union = format!(r#"["null",{kind}]"#);
            let of_field = if union { of_union.as_str() } else { kind };
            let schema =
                of(&format!(r#"{{"name":"timestamp","type":{of_field}}},{{"name":"tenant","type":"string"}}"#));
            let branch = if union { long(1) } else { Vec::new() };
            let datum = [branch, value.clone(), sized("acme")].concat();
            let plain = decoder(AvroSchemas::raw(&schema).unwrap());
            let rejected = plain.decode(&record(&datum)).unwrap_err();
            assert_eq!(rejected.reason, Rejection::NotDecodable);
            assert!(rejected.detail.starts_with(&format!("`timestamp` is {what}")), "{}", rejected.detail);
            assert!(rejected.detail.contains("timestamp-millis"), "{}", rejected.detail);
            let Some((unit, ms)) = mapped else {
                assert!(!rejected.detail.contains("input.mapping"), "{}", rejected.detail);
                continue;
            };
            assert!(rejected.detail.ends_with(&format!("unit: {unit}}}` in input.mapping")), "{}", rejected.detail);
            let mapped = |mapping: &str| {
                let mapping = serde_json::from_str(mapping).unwrap();
                let avro_schemas = Some(AvroSchemas::raw(&schema).unwrap());
                let settings =
                    InputSettings { format: Format::Avro, avro_schemas, mapping, ..InputSettings::default() };
                Decoder::new(settings).unwrap().decode(&record(&datum)).map(|o| o.timestamp_ms)
            };
            assert_eq!(mapped(&format!(r#"{{"timestamp":{{"path":"timestamp","unit":"{unit}"}}}}"#)), Ok(ms), "{kind}");
            // A local time without a unit in the mapping is not a time.
            let problem = mapped(r#"{"timestamp":"timestamp"}"#).unwrap_err();
            assert!(
                problem.reason == Rejection::NotDecodable && problem.detail.contains("in input.mapping"),
                "{problem:?}"
            );
            if union {
                let datum = [long(0), sized("acme")].concat();
                assert_eq!(plain.decode(&record(&datum)).unwrap_err().reason, Rejection::NoTimestamp);
            }
        }
    }
}

#[test]
fn what_nobody_reads_is_not_looked_into() {
    for (field, value) in [
        (r#"{"name":"x","type":"string"}"#, sized(b"Mozilla \xe9\xff")),
        (
            r#"{"name":"x","type":{"type":"map","values":"string"}}"#,
            [long(1), sized(b"\xff"), sized(b"\xfe"), long(0)].concat(),
        ),
        (r#"{"name":"x","type":"boolean"}"#, vec![2]),
        (r#"{"name":"x","type":"int"}"#, long(1 << 40)),
        (r#"{"name":"x","type":{"type":"enum","name":"e","symbols":["a"]}}"#, long(3)),
        (r#"{"name":"x","type":{"type":"array","items":"int"}}"#, [long(-2), long(2), vec![0, 0], long(0)].concat()),
    ] {
        for mapping in ["{}", r#"{"operation":"y"}"#] {
            let settings = InputSettings {
                format: Format::Avro,
                avro_schemas: Some(AvroSchemas::raw(&with(field)).unwrap()),
                mapping: serde_json::from_str(mapping).unwrap(),
                ..InputSettings::default()
            };
            let datum = [front(), value.clone()].concat();
            let decoded = Decoder::new(settings).unwrap().decode(&record(&datum)).map(|o| o.timestamp_ms);
            assert_eq!(decoded, Ok(T), "{field} {mapping}");
        }
    }
}

#[test]
fn what_nobody_reads_may_be_nested_as_deep_as_its_bytes_allow() {
    // Each cause has a union, a record and a text after the nested one, so skipping has to remember every level.
    let causes = r#"{"name":"cause","type":["null",{"type":"record","name":"C","fields":[{"name":"why","type":["null","C"]},{"name":"text","type":"string"}]}]}"#;
    let lists = r#"{"name":"list","type":{"type":"record","name":"L","fields":[{"name":"l","type":{"type":"array","items":"L"}}]}}"#;
    for depth in [31, 64, 1_000, 200_000] {
        let chain = [vec![2; depth], vec![0], b"\x02x".repeat(depth)].concat();
        let nested = [vec![2; depth], vec![0; depth + 1]].concat();
        for (field, value) in [(causes, chain), (lists, nested)] {
            for mapping in ["{}", r#"{"operation":"y"}"#] {
                let settings = InputSettings {
                    format: Format::Avro,
                    avro_schemas: Some(AvroSchemas::raw(&with(field)).unwrap()),
                    mapping: serde_json::from_str(mapping).unwrap(),
                    ..InputSettings::default()
                };
                let datum = [front(), value.clone()].concat();
                let decoded = Decoder::new(settings).unwrap().decode(&record(&datum)).map(|o| o.timestamp_ms);
                assert_eq!(decoded, Ok(T), "{depth} {mapping}");
            }
        }
    }
}
