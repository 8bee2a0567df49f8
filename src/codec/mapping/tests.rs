//! The mapping: its configuration, and its effect on records.

use super::*;
use crate::codec::{Decoder, InputSettings};
use crate::model::outcome::Outcome;
use crate::model::record::{NoHeaders, RecordIn};

const T: &str = r#""tenant":"own","timestamp":1780074045845"#;

fn mapping(yaml: &str) -> Result<Mapping, String> {
    let entries: serde_json::Map<String, serde_json::Value> = serde_saphyr::from_str(yaml).unwrap();
    Mapping::try_from(entries).map_err(|e| e.to_string())
}

/// Decodes one record through a mapping and shows one part of the outcome, or the reason.
fn shown(yaml: &str, json: &str, show: impl Fn(&Outcome<'_>) -> String) -> String {
    let mapping = mapping(yaml).unwrap();
    let decoder = Decoder::new(InputSettings { mapping, ..InputSettings::default() }).unwrap();
    let value = json.as_bytes();
    let record = RecordIn { partition: 0, offset: 0, key: None, value, timestamp_ms: None, headers: &NoHeaders };
    match decoder.examine(&record) {
        Ok((outcome, faults)) => {
            let shown = show(&outcome);
            faults.iter().fold(shown, |shown, fault| format!("{shown} without {}", fault.field().name()))
        }
        Err(rejected) => rejected.reason.to_string(),
    }
}

fn attributes(outcome: &Outcome<'_>) -> String {
    outcome.attributes.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn takes_a_record_of_another_shape_to_the_fields() {
    let yaml = r#"
        tenant: resource.tenant.id
        user: {path: 'attributes."enduser.id"'}
        timestamp: {path: 'spans[1].end_ns', unit: ns}
        operation: spans[1].'http.route'
        status: {path: 'spans[1]."http.status"'}
        latency_ms: {path: 'spans[1].took_s', unit: s}
        weight: {const: 2}
        measures: numbers
        attributes: {path: labels}
        attributes.source: {const: otel}
        attributes.beta: {const: true}
        attributes.signup: {bucket: {path: user.signup, by: month}}
        attributes.seats: {bucket: {path: user.seats, edges: [1, 10, 100]}}
    "#;
    let json = r#"{
        "resource":{"tenant":{"id":"acme"}}, "attributes":{"enduser.id":"u1"},
        "spans":[{}, {"end_ns":"1780074045845999999","http.route":"/pay","http.status":"503","took_s":0.25}],
        "numbers":{"tokens":7}, "labels":{"tier":"pro","n":1},
        "user":{"signup":"2026-05-29","seats":10}
    }"#;
    let decoder = Decoder::new(InputSettings { mapping: mapping(yaml).unwrap(), ..InputSettings::default() }).unwrap();
    let value = json.as_bytes();
    let record = RecordIn { partition: 0, offset: 0, key: None, value, timestamp_ms: None, headers: &NoHeaders };
    let outcome = decoder.decode(&record).unwrap();
    assert_eq!((&*outcome.tenant, outcome.user.as_deref()), ("acme", Some("u1")));
    assert_eq!((outcome.timestamp_ms, outcome.status), (1_780_074_045_845, Some(503)));
    assert_eq!((outcome.operation.as_deref(), outcome.latency_ms), (Some("/pay"), Some(250.0)));
    assert_eq!((outcome.weight_micros, outcome.measure("tokens")), (2_000_000, Some(7.0)));
    assert_eq!(attributes(&outcome), "tier=pro n=1 beta=true seats=10..100 signup=2026-05 source=otel");
}

#[test]
fn what_is_not_mapped_stays_where_its_own_name_says() {
    let record = format!(r#"{{{T},"operation":"own","attributes":{{"tier":"own","x":"1"}},"plan":"gold"}}"#);
    assert_eq!(shown("attributes.tier: plan", &record, attributes), "tier=gold x=1");
    assert_eq!(shown("operation: plan", &record, |o| format!("{} {:?}", o.tenant, o.operation)), "own Some(\"gold\")");
}

#[test]
fn a_path_that_leads_nowhere_leaves_the_field_absent() {
    let record = format!(r#"{{{T},"operation":"own","attributes":{{"tier":"own"}},"a":[1],"gone":null}}"#);
    for path in ["nothing", "a.b", "a[1]", "a[0].b", "tenant.id", "gone", "gone.x"] {
        assert_eq!(shown(&format!("operation: {path}"), &record, |o| format!("{:?}", o.operation)), "None", "{path}");
        assert_eq!(shown(&format!("attributes.tier: {path}"), &record, attributes), "", "{path}");
        assert_eq!(shown(&format!("tenant: {path}"), &record, |_| String::new()), "no_tenant", "{path}");
        assert_eq!(
            shown(&format!("timestamp: {{path: '{path}', unit: s}}"), &record, |_| String::new()),
            "no_timestamp"
        );
    }
}

#[test]
fn mapped_values_keep_the_fields_rules() {
    let record = format!(
        r#"{{{T},"num":1.5,"text":"a","object":{{"a":{{}}}},"huge":1e999,"neg":-1,"dash":"-","time":"2026-05-29T17:00Z"}}"#
    );
    for (yaml, reason) in [
        ("user: num", "accepted without user"),
        ("user: neg", "accepted"),
        ("status: num", "accepted without status"),
        ("status: dash", "accepted"),
        ("timestamp: num", "not_decodable"),
        ("timestamp: {path: text, unit: s}", "not_decodable"),
        ("timestamp: {path: object, unit: s}", "not_decodable"),
        ("timestamp: {path: num, unit: s}", "before_2000"),
        ("timestamp: {path: huge, unit: s}", "not_decodable"),
        ("timestamp: {path: time, unit: s}", "accepted"),
        ("attributes.a: object", "accepted without attributes"),
        ("attributes: object", "accepted without attributes"),
        ("measures.a: text", "accepted without measures"),
        ("measures.a: huge", "accepted without measures"),
        ("measures.a: dash", "accepted"),
        ("latency_ms: text", "accepted without latency_ms"),
        ("latency_ms: {path: text, unit: s}", "accepted without latency_ms"),
        ("latency_ms: {path: dash, unit: s}", "accepted"),
        ("latency_ms: {path: huge, unit: us}", "accepted without latency_ms"),
        ("weight: text", "not_decodable"),
        ("weight: neg", "weight_out_of_range"),
        ("attributes.a: {bucket: {path: text, by: month}}", "accepted without attributes"),
        ("attributes.a: {bucket: {path: text, edges: [1]}}", "accepted without attributes"),
    ] {
        assert_eq!(shown(yaml, &record, |_| "accepted".to_owned()), reason, "{yaml}");
    }
}

#[test]
fn epoch_times_in_other_units_are_floored_to_milliseconds() {
    for (unit, written, ms) in [
        ("s", "1780074045", 1_780_074_045_000i64),
        ("s", "1780074045.8459", 1_780_074_045_845),
        ("s", "\"1780074045.8459\"", 1_780_074_045_845),
        ("s", "1.780074045e9", 1_780_074_045_000),
        ("ms", "1780074045845.9", 1_780_074_045_845),
        ("us", "1780074045845999", 1_780_074_045_845),
        ("ns", "1780074045845999999", 1_780_074_045_845),
    ] {
        let yaml = format!("timestamp: {{path: at, unit: {unit}}}");
        let record = format!(r#"{{"tenant":"a","at":{written}}}"#);
        assert_eq!(shown(&yaml, &record, |o| o.timestamp_ms.to_string()), ms.to_string(), "{written} {unit}");
    }
}

#[test]
fn durations_in_other_units_are_milliseconds_also_in_text() {
    for (unit, written, latency) in [
        ("s", "\"0.004\"", "Some(4.0)"),
        ("s", "0.004", "Some(4.0)"),
        ("s", "60", "Some(60000.0)"),
        ("ms", "\"12.5\"", "Some(12.5)"),
        ("us", "\"12500\"", "Some(12.5)"),
        ("ns", "12500000", "Some(12.5)"),
        ("s", "\"-\"", "None"),
        ("s", "\"\"", "None"),
        ("s", "null", "None"),
        ("s", "\"60.000, 0.001\"", "None without latency_ms"),
        ("s", "1e308", "None without latency_ms"),
        ("s", "true", "None without latency_ms"),
    ] {
        let yaml = format!("latency_ms: {{path: took, unit: {unit}}}");
        let record = format!(r#"{{{T},"took":{written}}}"#);
        assert_eq!(shown(&yaml, &record, |o| format!("{:?}", o.latency_ms)), latency, "{written} {unit}");
    }
}

#[test]
fn buckets_are_half_open_and_cover_everything() {
    let yaml = "attributes.b: {bucket: {path: 'n', edges: [0.5, 10, 100]}}";
    for (n, label) in [
        ("\"7\"", "0.5..10"),
        ("-5", "<0.5"),
        ("0.5", "0.5..10"),
        ("9.99", "0.5..10"),
        ("10", "10..100"),
        ("1e9", "100+"),
    ] {
        assert_eq!(shown(yaml, &format!(r#"{{{T},"n":{n}}}"#), attributes), format!("b={label}"));
    }
    assert_eq!(shown(yaml, &format!(r#"{{{T},"n":"-"}}"#), attributes), "");
    let yaml = "attributes.b: {bucket: {path: at, by: month}}";
    for at in ["1780074045845", "\"2026-05-29T17:00:45Z\"", "\"2026-06-01T01:00:00+02:00\"", "\"2026-05-31\""] {
        assert_eq!(shown(yaml, &format!(r#"{{{T},"at":{at}}}"#), attributes), "b=2026-05", "{at}");
    }
    assert_eq!(shown(yaml, &format!(r#"{{{T},"at":null}}"#), attributes), "");
}

#[test]
fn mistakes_in_the_configuration_are_named() {
    for (yaml, problem) in [
        ("tenat: a", "tenat: is not a field to map to; did you mean `tenant`?"),
        ("latency: a", "latency: is not a field to map to; use one of tenant, user, timestamp"),
        ("latency_s: a", "latency_s: is not a field to map to; did you mean `latency_ms`?"),
        ("region: a", "`attributes.NAME` (here `attributes.region`)"),
        ("attributes.: a", "attributes.: is not a field to map to"),
        ("attribute.x: a", "did you mean `attributes.x`?"),
        ("measure.ttft_ms: a", "did you mean `measures.ttft_ms`?"),
        ("labels.x: a", "did you mean `attributes.x`?"),
        ("user: a..b", "user: `a..b` is not a path: a name is missing"),
        ("user: ''", "user: `` is not a path: a name is missing"),
        ("user: a[x]", "`[` and `]` must contain the number of an item"),
        ("user: a[1", "`[` without `]`"),
        ("user: '\"a'", "a quote without its end"),
        ("user: '\"a\"b'", "after a quoted name or an index comes a dot"),
        ("user: {path: a, const: b}", "user: has more than one source; write a path, or one of"),
        ("user: {const: b, unit: s}", "user: has more than one source"),
        ("user: {}", "user: does not say where the value comes from; write a path, or one of"),
        ("user: {path: null}", "user: does not say where the value comes from"),
        ("user: {pth: a}", "user: unknown key `pth`; did you mean `path`?"),
        ("user: {field: a}", "user: unknown key `field`; use path, unit, const, bucket"),
        ("user: {path: 5}", "user: 5 is not a path; write names with dots between them"),
        (
            "user: {path: a, unit: s}",
            "user: `unit` belongs to `timestamp`, `latency_ms` and measures whose name ends in `_ms`",
        ),
        ("measures.tokens: {path: a, unit: s}", "measures whose name ends in `_ms`"),
        ("attributes.wait_ms: {path: a, unit: s}", "measures whose name ends in `_ms`"),
        ("timestamp: {path: a, unit: m}", "timestamp: \"m\" is not a unit; use one of s, ms, us, ns"),
        ("user: {const: 1.5}", "user: `const` must be text or an integer"),
        ("user: {const: [1]}", "user: [1] is not a constant"),
        ("measures.a: {const: b}", "measures.a: `const` must be a number"),
        ("attributes.a: {bucket: {by: month}}", "attributes.a: `bucket` has no `path`"),
        ("attributes.a: {bucket: {path: b}}", "`bucket` takes one of `by` and `edges`; write `by: month` or"),
        ("attributes.a: {bucket: {path: b, by: month, edges: [1]}}", "`bucket` takes one of `by` and `edges`"),
        ("attributes.a: {bucket: {path: b, edges: []}}", "`edges` is empty"),
        ("attributes.a: {bucket: {path: b, edges: [a]}}", "`edges` must be a list of numbers"),
        ("attributes.a: {bucket: {path: b, edges: [2, 1]}}", "`edges` must be finite and ascend"),
        ("attributes.a: {bucket: {path: b, by: year}}", "\"year\" is not a bucket; `by` takes `month`"),
        ("attributes.a: {bucket: {path: b, egdes: [1]}}", "unknown key `egdes`; did you mean `edges`?"),
        ("user: 5", "user: 5 is not a path; write a path, or one of"),
        ("user: null", "user: null is not a path"),
    ] {
        let error = mapping(yaml).expect_err(yaml);
        assert!(error.contains(problem), "{yaml}: {error}");
    }
    let both = mapping("{zone: a, user: {}}").expect_err("two mistakes");
    assert_eq!(both.lines().map(|line| line.split(':').next().unwrap()).collect::<Vec<_>>(), ["user", "zone"]);
}

#[test]
fn paths_print_as_they_parse() {
    for text in ["a", "a.b[0].c", "\"a.b\".c", "a.'x\"y'", "a[3][4]", "a.\"\""] {
        let path = Path::parse(text).unwrap();
        assert_eq!(path.to_string(), text);
    }
    assert_eq!(
        Path::parse("a['b']"),
        Err("`a['b']` is not a path: `[` and `]` must contain the number of an item".into())
    );
}

#[test]
fn measures_of_time_take_a_unit() {
    for (unit, written, ms) in [
        ("s", "0.25", "Some(250.0)"),
        ("s", "2", "Some(2000.0)"),
        ("us", "1500", "Some(1.5)"),
        ("ns", "1500000", "Some(1.5)"),
        ("ms", "7.5", "Some(7.5)"),
        ("s", "\"0.004\"", "Some(4.0)"),
        ("s", "null", "None"),
    ] {
        let yaml = format!("measures.ttft_ms: {{path: first_token, unit: {unit}}}");
        let record = format!("{{{T},\"first_token\":{written}}}");
        assert_eq!(shown(&yaml, &record, |o| format!("{:?}", o.measure("ttft_ms"))), ms, "{written} {unit}");
    }
    let latency = format!("{{{T},\"took\":\"0.004\"}}");
    assert_eq!(shown("latency_ms: {path: took, unit: s}", &latency, |o| format!("{:?}", o.latency_ms)), "Some(4.0)");
}
