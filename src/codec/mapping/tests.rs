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
        ("user: {const: b, unit: s}", "user: `unit` belongs beside `path` or `from`"),
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
        ("user: []", "user: the list is empty; write a path, or one of"),
        ("user: [a, [b]]", "user: has a list inside a list; write one list"),
        ("user: [a, {pth: b}]", "user: unknown key `pth`; did you mean `path`?"),
        ("user: [a, {const: 1.5}]", "user: `const` must be text or an integer"),
        ("latency_ms: {from: a}", "latency_ms: `from` has no `to`; a difference is `to` less `from`"),
        ("latency_ms: {to: a}", "latency_ms: `to` has no `from`"),
        ("latency_ms: {from: a, to: b, path: c}", "latency_ms: has more than one source"),
        ("timestamp: {from: a, to: b, unit: s}", "timestamp: a difference is no time"),
        ("status: {from: a, to: b, unit: s}", "status: `unit` belongs to `timestamp`, `latency_ms` and measures"),
        ("latency_ms: {from: a, to: b, digits: 3}", "latency_ms: `digits` belongs beside `path`"),
        ("latency_ms: {from: a, to: b, absent_if: 0}", "latency_ms: `absent_if` belongs beside `path`"),
        ("latency_ms: {const: 1, per: {path: a}}", "latency_ms: `per` belongs beside `path` or `from`"),
        ("latency_ms: {path: a, per: {less: 1}}", "latency_ms: `per` has no `path`"),
        ("latency_ms: {path: a, per: 5}", "latency_ms: `per` is 5; write `per: {path: COUNT, less: 1}`"),
        ("latency_ms: {path: a, per: {path: b, les: 1}}", "latency_ms: unknown key `les`; did you mean `less`?"),
        ("latency_ms: {path: a, per: {path: b, less: x}}", "latency_ms: `less` must be a number, and is \"x\""),
        ("status: {path: a, per: {path: b}}", "status: `per` belongs to `latency_ms`, `weight` and measures"),
        ("status: {path: a, map: {}}", "status: `map` must say what values mean; write `map: {success: 200"),
        ("status: {path: a, map: {ok: fine}}", "status: `map.ok` must be an integer"),
        ("status: {path: a, map: {ok: null}}", "status: null is not a constant"),
        ("status: {path: a, digits: 0}", "status: `digits` must be a number from 1 to 18, and is 0"),
        ("status: {path: a, digits: 3, map: {ok: 1}}", "status: has `map` and `digits`; keep one of them"),
        ("user: {path: a, absent_if: {b: c}}", "is not a constant"),
        ("attributes: {path: a, digits: 3}", "attributes: `attributes` as a whole takes a path alone"),
        ("measures: [a, {from: b, to: c}]", "measures: `measures` as a whole takes a path alone"),
        (
            "latency_ms: endTime - startTime",
            "latency_ms: `endTime - startTime` is an expression, and a mapping takes a path; write the difference as `{from: startTime, to: endTime, unit: s}`",
        ),
        ("latency_ms: {path: '(a - b) / (c - 1)', unit: s}", "per: {path: COUNT, less: 1}}`"),
        ("measures.x: total / count", "write the quotient as `{path: total, per: {path: count}}`"),
        ("user: a.b || c", "write a list, of which the first value counts: `[a.b, c]`"),
        ("user: [d, a ?? b]", "`a ?? b` is an expression, and a mapping takes a path; write a list"),
        ("status: 'ok ? 200 : 500'", "map: {success: 200, failure: 500}}`"),
        ("user: coalesce(a.b)", "`coalesce(a.b)` is an expression, and a mapping takes a path; a mapping can take"),
        ("user: 5", "user: 5 is not a path; write a path, or one of"),
        (
            "user: n",
            "user: false is not a path; YAML reads y, n, yes, no, on and off as true and false: quote the name",
        ),
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

#[test]
fn a_name_with_spaces_or_signs_is_a_path_still() {
    let record = format!(r#"{{{T},"Request Time":"a","x-y":"b","k8s.io/name":"c","Time (ms)":"d","e - f":"g"}}"#);
    for (path, value) in
        [("Request Time", "a"), ("x-y", "b"), ("'\"k8s.io/name\"'", "c"), ("Time (ms)", "d"), ("'\"e - f\"'", "g")]
    {
        let operation = shown(&format!("operation: {path}"), &record, |o| format!("{:?}", o.operation));
        assert_eq!(operation, format!("Some(\"{value}\")"), "{path}");
    }
}

#[test]
fn of_a_list_the_first_value_counts_that_the_field_can_take() {
    let record = r#"{"org":"","team":"acme","at":null,"t":1780074045,"code":"refused","norm":"400_INVALID","count":0,
                     "state":"failure","who":"","other":"u2","m":{"a":1}}"#;
    let yaml = r#"
        tenant: [org, missing, team]
        timestamp: [at, {path: t, unit: s}]
        status: [code, {path: norm, digits: 3}, {path: state, map: {success: 200, failure: 500}}]
        user: [who, other]
        latency_ms: [missing, code, {path: count, absent_if: 0}, {const: 7}]
        measures: [code, m]
        measures.x: [code, count]
        attributes.who: [who, {const: nobody}]
        attributes.none: [who, missing]
        operation: [who, count]
    "#;
    let all = |o: &Outcome<'_>| {
        let fields = (&*o.tenant, o.timestamp_ms, o.status, o.user.as_deref(), o.latency_ms, o.operation.as_deref());
        format!("{fields:?} {:?} {:?} {}", o.measure("a"), o.measure("x"), attributes(o))
    };
    let expected =
        r#"("acme", 1780074045000, Some(400), Some("u2"), Some(7.0), Some("0")) Some(1.0) Some(0.0) who=nobody"#;
    assert_eq!(shown(yaml, record, all), expected);
    // What none of them can give is told by the first that could not be read.
    let record = format!(r#"{{{T},"a":null,"b":"soon","c":""}}"#);
    assert_eq!(shown("latency_ms: [a, b, c]", &record, |o| format!("{:?}", o.latency_ms)), "None without latency_ms");
    assert_eq!(shown("latency_ms: [a, c]", &record, |o| format!("{:?}", o.latency_ms)), "None");
    assert_eq!(shown("timestamp: [a, c]", &record, |_| String::new()), "no_timestamp");
    assert_eq!(shown("timestamp: [a, b]", &record, |_| String::new()), "not_decodable");
    assert_eq!(shown("attributes: [a, b]", &record, attributes), " without attributes");
}

#[test]
fn differences_are_exact_and_absent_where_negative() {
    for (from, to, unit, difference) in [
        ("1767607200.3", "1767607209.0", "s", "Some(8700.0)"),
        ("1767607200.0", "1767607200.02", "s", "Some(20.0)"),
        ("\"1767607200.1\"", "\"1767607200.1\"", "s", "Some(0.0)"),
        ("1767607209.0", "1767607200.3", "s", "None"),
        ("1767607200300", "1767607209000", "ms", "Some(8700.0)"),
        ("1767607200000001", "1767607200001501", "us", "Some(1.5)"),
        ("\"1767607200000000001\"", "\"1767607200001500001\"", "ns", "Some(1.5)"),
        ("1.7676072e9", "1767607209.0", "s", "Some(9000.0)"),
        ("\"2026-01-05T10:00:00.3Z\"", "\"2026-01-05T11:00:09+01:00\"", "s", "Some(8700.0)"),
        ("\"2026-01-05T10:00:00.3Z\"", "1767607209.0", "s", "None without latency_ms"),
        ("null", "1767607209.0", "s", "None"),
        ("1767607209.0", "\"\"", "s", "None"),
        ("true", "1767607209.0", "s", "None without latency_ms"),
        ("1", "\"soon\"", "s", "None without latency_ms"),
        ("1", "1e999", "s", "None without latency_ms"),
    ] {
        let record = format!("{{{T},\"a\":{from},\"b\":{to}}}");
        let yaml = format!("latency_ms: {{from: a, to: b, unit: {unit}}}");
        assert_eq!(shown(&yaml, &record, |o| format!("{:?}", o.latency_ms)), difference, "{from} {to} {unit}");
    }
    let record = format!("{{{T},\"a\":3,\"b\":10.5,\"c\":\"2026-01-05T10:00:00Z\"}}");
    assert_eq!(shown("measures.n: {from: a, to: b}", &record, |o| format!("{:?}", o.measure("n"))), "Some(7.5)");
    assert_eq!(shown("attributes.n: {from: a, to: b}", &record, attributes), "n=7.5");
    assert_eq!(shown("measures.n: {from: c, to: c}", &record, attributes), " without measures", "of times only in _ms");
}

#[test]
fn a_quotient_is_absent_where_its_divisor_is_below_one() {
    for (count, quotient) in [
        ("30", "Some(300.0)"),
        ("2", "Some(8700.0)"),
        ("1", "None"),
        ("0", "None"),
        ("null", "None"),
        ("\"\"", "None"),
        ("\"30\"", "Some(300.0)"),
        ("\"many\"", "None without measures"),
    ] {
        let record = format!("{{{T},\"a\":1767607200.3,\"b\":1767607209.0,\"count\":{count}}}");
        let yaml = "measures.inter_token_ms: {from: a, to: b, unit: s, per: {path: count, less: 1}}";
        assert_eq!(shown(yaml, &record, |o| format!("{:?}", o.measure("inter_token_ms"))), quotient, "{count}");
    }
    let record = format!("{{{T},\"cost\":0.5,\"count\":4,\"took\":2}}");
    let measure = |yaml: &str| shown(yaml, &record, |o| format!("{:?}", o.measure("c_ms")));
    assert_eq!(measure("measures.c_ms: {path: cost, per: count}"), "Some(0.125)");
    assert_eq!(measure("measures.c_ms: {path: took, unit: s, per: {path: count}}"), "Some(500.0)");
    assert_eq!(measure("measures.c_ms: {path: gone, per: count}"), "None");
    assert_eq!(measure("measures.c_ms: {path: cost, per: {path: count, less: 3.5}}"), "None");
}

#[test]
fn values_become_others_their_leading_digits_or_nothing() {
    let record = format!(
        r#"{{{T},"s":"success","f":"failure","x":"other","t":true,"z":0,"zz":"0","d":0.0,"e":"429_RATE_LIMIT","code":50012,"m":-500,
            "short":"42","user":"default_user_id"}}"#
    );
    let status = |yaml: &str| shown(&format!("status: {yaml}"), &record, |o| format!("{:?}", o.status));
    let success = "map: {success: 200, failure: 500, 'true': 1, 0: 7}";
    for (path, is) in
        [("s", "Some(200)"), ("f", "Some(500)"), ("x", "None"), ("t", "Some(1)"), ("z", "Some(7)"), ("gone", "None")]
    {
        assert_eq!(status(&format!("{{path: {path}, {success}}}")), is, "{path}");
    }
    for (path, is) in
        [("e", "Some(429)"), ("code", "Some(500)"), ("m", "None"), ("short", "None"), ("s", "None"), ("t", "None")]
    {
        assert_eq!(status(&format!("{{path: {path}, digits: 3}}")), is, "{path}");
    }
    for path in ["z", "zz", "d"] {
        assert_eq!(status(&format!("{{path: {path}, absent_if: 0}}")), "None", "{path}");
        assert_eq!(status(&format!("{{path: {path}, absent_if: 1}}")), "Some(0)", "{path}");
    }
    assert_eq!(status("{path: code, absent_if: [0, 50012]}"), "None");
    assert_eq!(status("{path: e, absent_if: 429_RATE_LIMIT, digits: 3}"), "None");
    assert_eq!(shown("user: {path: user, absent_if: default_user_id}", &record, |o| format!("{:?}", o.user)), "None");
    assert_eq!(shown("attributes.code: {path: e, digits: 3}", &record, attributes), "code=429");
    assert_eq!(shown("attributes.ok: {path: s, map: {success: true}}", &record, attributes), "ok=true");
    assert_eq!(shown("measures.n: {path: z, absent_if: 0}", &record, |o| format!("{:?}", o.measure("n"))), "None");
}

#[test]
fn what_no_path_reads_is_checked_all_the_same() {
    let yaml = "operation: a[1].b\nattributes: m\nattributes.x: m.deep.er\nuser: ['\"a.b\".c', m.y]";
    let record = |skipped: &str| {
        format!(
            "{{{T},\"skip\":{skipped},\"a\":[{skipped},{{\"z\":{skipped},\"b\":\"op\"}},3],\"m\":{{\"y\":\"me\",\"deep\":{{\"er\":\"x\"}}}}}}"
        )
    };
    let all = |o: &Outcome<'_>| format!("{:?} {:?} {}", o.operation, o.user, attributes(o));
    for skipped in ["1", "\"t\\u0041\"", "[1,{\"b\":[]}]", "{\"b\":{\"c\":null}}"] {
        let told = shown(yaml, &record(skipped), all);
        assert_eq!(told, "Some(\"op\") Some(\"me\") y=me x=x without attributes", "{skipped}");
    }
    for broken in ["01", "{\"b\":}", "[1,]", "tru", "\"open"] {
        assert_eq!(shown(yaml, &record(broken), all), "not_decodable", "{broken}");
    }
}
