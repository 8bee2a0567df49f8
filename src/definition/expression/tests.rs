use super::*;
use crate::model::outcome::{Outcome, WEIGHT_ONE};
use proptest::prelude::*;
use std::borrow::Cow;

/// cel-go's result for each expression and event; made by `tests/cel/make`.
const TABLE: &str = include_str!("../../../tests/cel/table.jsonl");
const EVENTS: &str = include_str!("../../../tests/cel/events.jsonl");

#[derive(serde::Deserialize)]
struct Row {
    filter: String,
    taken: bool,
    /// The events for which the expression compares NaN.
    #[serde(default)]
    nan: Vec<usize>,
    #[serde(default)]
    verdicts: Vec<String>,
}

fn table() -> Vec<Row> {
    TABLE.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
}

fn events() -> Vec<Outcome<'static>> {
    EVENTS.lines().map(|line| event(&serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}")))).collect()
}

fn event(line: &serde_json::Value) -> Outcome<'static> {
    let text = |name: &str| line[name].as_str().filter(|text| name != "user" || !text.is_empty());
    let owned = |name: &str| text(name).map(|text| Cow::Owned(text.to_owned()));
    let entries = |name: &str| line[name].as_object().into_iter().flatten();
    let weight = line["weight"].as_f64().map_or(WEIGHT_ONE, |weight| (weight * WEIGHT_ONE as f64).round() as u64);
    Outcome {
        tenant: owned("tenant").unwrap_or_default(),
        user: owned("user"),
        timestamp_ms: line["timestamp"].as_i64().unwrap_or_default(),
        operation: owned("operation"),
        dependency: owned("dependency"),
        error_type: owned("error_type"),
        trace_id: owned("trace_id"),
        event_id: owned("event_id"),
        journey: owned("journey"),
        step: owned("step"),
        status: line["status"].as_i64(),
        latency_ms: line["latency_ms"].as_f64(),
        measures: entries("measures").filter_map(|(k, v)| Some((k.clone().into(), v.as_f64()?))).collect(),
        attributes: entries("attributes")
            .filter_map(|(k, v)| Some((k.clone().into(), v.as_str()?.to_owned().into())))
            .collect(),
        weight_micros: weight,
    }
}

/// The verdict; it stays the same after the filter is printed and parsed again.
#[track_caller]
fn check_filter(source: &str, outcome: &Outcome<'_>) -> Option<bool> {
    let filter = compile_filter(source).unwrap_or_else(|e| panic!("{source}: {e} {:?}", e.character));
    let verdict = filter.eval(outcome);
    let printed = filter.to_string();
    let again = compile_filter(&printed).unwrap_or_else(|e| panic!("{source} printed as {printed}: {e}"));
    assert_eq!(again.eval(outcome), verdict, "{source} printed as {printed}");
    assert_eq!(again.to_string(), printed);
    assert_eq!(filter.deciding(outcome).eval(outcome).is_err(), verdict.is_none(), "{source}");
    verdict
}

#[test]
fn decides_as_cel_go_does() {
    let events = events();
    let (mut taken, mut wrong) = (0, Vec::new());
    for row in table().into_iter().filter(|row| row.taken) {
        taken += 1;
        assert_eq!(row.verdicts.len(), events.len(), "{}: cel-go refuses it", row.filter);
        for (i, (outcome, theirs)) in events.iter().zip(&row.verdicts).enumerate() {
            let ours =
                check_filter(&row.filter, outcome).map_or("unclassified".to_owned(), |verdict| verdict.to_string());
            let expected = if row.nan.contains(&i) { "unclassified" } else { theirs };
            if ours != expected {
                wrong.push(format!("{} over event {i}: {ours}, and cel-go says {theirs}", row.filter));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(taken >= 200, "{taken} expressions");
}

#[test]
fn refuses_what_it_does_not_take_with_a_place_and_a_remedy() {
    let mut wrong = Vec::new();
    for row in table().into_iter().filter(|row| !row.taken) {
        match compile_filter(&row.filter) {
            Ok(filter) => wrong.push(format!("{} compiled to {filter}", row.filter)),
            Err(e) if e.remedy.as_ref().is_none_or(String::is_empty) => {
                wrong.push(format!("{}: no remedy: {e}", row.filter))
            }
            Err(e) if e.character.is_none() => wrong.push(format!("{}: no place: {e}", row.filter)),
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn outcome() -> Outcome<'static> {
    Outcome {
        tenant: "acme".into(),
        operation: Some("checkout".into()),
        status: Some(503),
        latency_ms: Some(250.5),
        measures: [("ttft_ms".into(), 80.0)].into_iter().collect(),
        attributes: [("tier".into(), "pro".into()), ("a.b".into(), "7".into())].into_iter().collect(),
        weight_micros: 2_500_000,
        ..Outcome::default()
    }
}

/// Our additions to CEL: bare field names in has(), and whole maps.
#[test]
fn asks_for_a_field_by_its_bare_name() {
    let (full, empty) = (outcome(), Outcome::default());
    for (source, of_full, of_empty) in [
        ("has(status)", true, false),
        ("has(user)", false, false),
        ("has(tenant)", true, true),
        ("has(timestamp)", true, true),
        ("has(attributes)", true, false),
        ("has(measures)", true, false),
        ("'attributes' in outcome", true, false),
        ("has(attributes['a.b'])", true, false),
        ("has(outcome['status'])", true, false),
        ("has(attributes) && attributes.tier == 'pro'", true, false),
        ("has(outcome.attributes.tier)", true, false),
        ("'tier' in outcome.attributes", true, false),
    ] {
        assert_eq!(check_filter(source, &full), Some(of_full), "{source}");
        assert_eq!(check_filter(source, &empty), Some(of_empty), "{source}");
    }
}

fn int_source(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        4 => Just("status".to_owned()),
        1 => Just("outcome.status".to_owned()),
        3 => (-3i64..4).prop_map(|i| i.to_string()),
        2 => prop_oneof![Just(200i64), Just(500), Just(i64::MAX), Just(i64::MIN + 1)].prop_map(|i| i.to_string()),
        1 => Just("size(attributes)".to_owned()),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let (int, double, text) = (int_source(depth - 1), double_source(depth - 1), text_source(depth - 1));
    prop_oneof![
        3 => leaf,
        3 => (int.clone(), prop_oneof![Just("+"), Just("-"), Just("*"), Just("/"), Just("%")], int.clone())
            .prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        1 => int.clone().prop_map(|a| format!("-({a})")),
        1 => (bool_source(depth - 1), int.clone(), int).prop_map(|(c, a, b)| format!("({c} ? {a} : {b})")),
        1 => text.clone().prop_map(|t| format!("size({t})")),
        1 => double.prop_map(|d| format!("int({d})")),
        1 => text.prop_map(|t| format!("int({t})")),
        1 => time_source(depth - 1).prop_map(|t| format!("int({t})")),
        1 => (time_source(depth - 1), part_of_time(), prop_oneof![Just(""), Just("'Europe/Berlin'"), Just("'-00:30'"), Just("user")])
            .prop_map(|(t, part, zone)| format!("({t}).{part}({zone})")),
        1 => span_source(depth - 1).prop_map(|s| format!("({s}).getMinutes()")),
    ]
    .boxed()
}

fn part_of_time() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("getHours"), Just("getDayOfWeek"), Just("getDayOfYear"), Just("getMonth"), Just("getDate")]
}

fn time_source(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        3 => Just("timestamp".to_owned()),
        1 => Just("timestamp('2026-03-29T02:30:00.250+02:00')".to_owned()),
        1 => Just("timestamp(0)".to_owned()),
        1 => Just("timestamp(user)".to_owned()),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let (time, span) = (time_source(depth - 1), span_source(depth - 1));
    prop_oneof![
        3 => leaf,
        2 => (time.clone(), prop_oneof![Just("+"), Just("-")], span).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        1 => (bool_source(depth - 1), time.clone(), time).prop_map(|(c, a, b)| format!("({c} ? {a} : {b})")),
        1 => int_source(depth - 1).prop_map(|i| format!("timestamp(0 + {i})")),
    ]
    .boxed()
}

fn span_source(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        2 => Just("duration('1h30m')".to_owned()),
        1 => Just("duration('-0.001s')".to_owned()),
        1 => Just("duration(attributes.tier)".to_owned()),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let (time, span) = (time_source(depth - 1), span_source(depth - 1));
    prop_oneof![
        3 => leaf,
        2 => (time.clone(), time).prop_map(|(a, b)| format!("({a} - {b})")),
        1 => (span.clone(), prop_oneof![Just("+"), Just("-")], span.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        1 => (bool_source(depth - 1), span.clone(), span).prop_map(|(c, a, b)| format!("({c} ? {a} : {b})")),
    ]
    .boxed()
}

fn double_source(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        4 => Just("latency_ms".to_owned()),
        1 => Just("weight".to_owned()),
        2 => Just("measures.quality".to_owned()),
        2 => Just("measures['ttft ms']".to_owned()),
        3 => prop_oneof![Just(0.0), Just(-0.5), Just(2.0), Just(300.0), Just(1e308)].prop_map(|d: f64| format!("{d:?}")),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let double = double_source(depth - 1);
    prop_oneof![
        3 => leaf,
        3 => (double.clone(), prop_oneof![Just("+"), Just("-"), Just("*"), Just("/")], double.clone())
            .prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        1 => double.clone().prop_map(|a| format!("-({a})")),
        1 => (bool_source(depth - 1), double.clone(), double).prop_map(|(c, a, b)| format!("({c} ? {a} : {b})")),
        1 => int_source(depth - 1).prop_map(|i| format!("double({i})")),
        1 => text_source(depth - 1).prop_map(|t| format!("double({t})")),
    ]
    .boxed()
}

fn text_source(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        3 => Just("operation".to_owned()),
        1 => Just("user".to_owned()),
        1 => Just("tenant".to_owned()),
        3 => Just("attributes.tier".to_owned()),
        2 => Just("attributes['a.b']".to_owned()),
        3 => prop_oneof![Just("''"), Just("'a'"), Just("'ab'"), Just("'7'"), Just("'é\\'\\n'")].prop_map(str::to_owned),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let text = text_source(depth - 1);
    prop_oneof![
        5 => leaf,
        1 => (text.clone(), text.clone()).prop_map(|(a, b)| format!("({a} + {b})")),
        1 => bool_source(depth - 1).prop_map(|c| format!("string({c})")),
        1 => int_source(depth - 1).prop_map(|i| format!("string({i})")),
        1 => time_source(depth - 1).prop_map(|t| format!("string({t})")),
        1 => (bool_source(depth - 1), text.clone(), text).prop_map(|(c, a, b)| format!("({c} ? {a} : {b})")),
    ]
    .boxed()
}

fn bool_source(depth: u32) -> BoxedStrategy<String> {
    let presence = prop_oneof![
        Just("has(user)"),
        Just("has(outcome.latency_ms)"),
        Just("'status' in outcome"),
        Just("has(attributes.tier)"),
        Just("has(attributes['a.b'])"),
        Just("'quality' in measures"),
    ];
    let leaf = prop_oneof![
        4 => presence.prop_map(str::to_owned),
        1 => any::<bool>().prop_map(|b| b.to_string()),
        4 => (int_source(0), compared(), int_source(0)).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        4 => (double_source(0), compared(), double_source(0)).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        4 => (text_source(0), compared(), text_source(0)).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let (int, double, text) = (int_source(depth - 1), double_source(depth - 1), text_source(depth - 1));
    let condition = bool_source(depth - 1);
    let (time, span) = (time_source(depth - 1), span_source(depth - 1));
    prop_oneof![
        2 => leaf,
        6 => (condition.clone(), prop_oneof![Just("&&"), Just("||")], condition.clone())
            .prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        2 => condition.clone().prop_map(|a| format!("!({a})")),
        1 => (condition.clone(), prop_oneof![Just("=="), Just("!=")], condition.clone())
            .prop_map(|(a, op, b)| format!("(({a}) {op} ({b}))")),
        1 => (condition.clone(), condition.clone(), condition).prop_map(|(c, a, b)| format!("({c} ? {a} : {b})")),
        2 => (int.clone(), compared(), int.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        2 => (int.clone(), compared(), double.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        2 => (double.clone(), compared(), int.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        2 => (double.clone(), compared(), double.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        2 => (text.clone(), compared(), text.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        1 => (time.clone(), compared(), time).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        1 => (span.clone(), compared(), span).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        1 => (int, prop_oneof![Just("[]"), Just("[1, 500]"), Just("[2.0, 200.0]")]).prop_map(|(a, l)| format!("({a} in {l})")),
        1 => (double, prop_oneof![Just("[300.0]"), Just("[2, 0.0]")]).prop_map(|(a, l)| format!("({a} in {l})")),
        1 => (text.clone(), prop_oneof![Just("['a', '7']"), Just("['']")]).prop_map(|(a, l)| format!("({a} in {l})")),
        2 => (text.clone(), prop_oneof![Just("startsWith"), Just("endsWith"), Just("contains")], text.clone())
            .prop_map(|(a, f, b)| format!("({a}).{f}({b})")),
        1 => (text, prop_oneof![Just("'^a.?$'"), Just("r'\\d'")]).prop_map(|(a, r)| format!("({a}).matches({r})")),
    ]
    .boxed()
}

fn compared() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("=="), Just("!="), Just("<"), Just("<="), Just(">"), Just(">=")]
}

fn any_text() -> impl Strategy<Value = Cow<'static, str>> {
    prop_oneof![Just("a"), Just("ab"), Just("7"), Just("-0.5"), Just("é'\n"), Just("")].prop_map(Cow::Borrowed)
}

fn any_double() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(-0.5), Just(2.0), Just(300.0), Just(1e19), -1e3..1e3]
}

prop_compose! {
    fn any_outcome()(
        tenant in any_text(),
        user in proptest::option::of(any_text()),
        operation in proptest::option::of(any_text()),
        status in proptest::option::of(prop_oneof![Just(0i64), Just(200), Just(500), Just(i64::MAX), -3i64..4]),
        latency_ms in proptest::option::of(any_double()),
        timestamp_ms in 0i64..3,
        quality in proptest::option::of(any_double()),
        ttft in proptest::option::of(any_double()),
        tier in proptest::option::of(any_text()),
        dotted in proptest::option::of(any_text()),
        weight_micros in prop_oneof![Just(1_000_000u64), Just(1), Just(2_500_000)],
    ) -> Outcome<'static> {
        Outcome {
            tenant, user, operation, status, latency_ms, timestamp_ms, weight_micros,
            measures: quality.map(|q| ("quality".into(), q)).into_iter().chain(ttft.map(|t| ("ttft ms".into(), t))).collect(),
            attributes: tier.map(|t| ("tier".into(), t)).into_iter().chain(dotted.map(|t| ("a.b".into(), t))).collect(),
            ..Outcome::default()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_filter_that_was_printed_means_the_same(
        source in bool_source(3),
        outcomes in proptest::collection::vec(any_outcome(), 4),
    ) {
        for outcome in &outcomes {
            check_filter(&source, outcome);
        }
    }

    #[test]
    fn a_number_that_was_printed_is_the_same(source in double_source(3), outcome in any_outcome()) {
        let value = compile_number(&source).unwrap_or_else(|e| panic!("{source}: {e}"));
        let again = compile_number(&value.to_string()).unwrap_or_else(|e| panic!("{source} as {value}: {e}"));
        prop_assert_eq!(value.eval(&outcome).map(f64::to_bits), again.eval(&outcome).map(f64::to_bits), "{}", source);
    }

    #[test]
    fn no_text_makes_the_compiler_panic(parts in proptest::collection::vec(
        prop_oneof![
            Just("status"), Just("has"), Just("("), Just(")"), Just("["), Just("]"), Just("'a'"), Just("'"), Just("."),
            Just("&&"), Just("!"), Just("in"), Just("1"), Just("0x"), Just("1u"), Just("?"), Just(":"), Just("{"),
            Just("}"), Just("all"), Just(","), Just("outcome"), Just("measures"), Just("\\"), Just("é"), Just("`"),
            Just("-"), Just("1e"), Just("r'"), Just("\""), Just("=="), Just("not"), Just("//"), Just("\n"), Just("operation.matches('"),
        ], 0..12), glue in prop_oneof![Just(" "), Just("")]) {
        let source = parts.join(glue);
        if let Err(e) = compile_filter(&source) {
            prop_assert!(!e.message.is_empty());
        }
    }
}

#[track_caller]
fn refused(source: &str) -> (String, Option<u32>) {
    match compile_filter(source) {
        Ok(filter) => panic!("{source} compiled to {filter}"),
        Err(e) => (format!("{e} ({})", e.remedy.clone().unwrap_or_default()), e.character),
    }
}

#[test]
fn refuses_what_could_never_decide_and_says_where_and_why() {
    for (source, character, words) in [
        ("statsu < 500", 1, "did you mean `status`?"),
        ("status_code < 500", 1, "did you mean `status`?"),
        ("status < 500 && tier == 'pro'", 17, "attributes['tier']"),
        ("outcome.tier == 'pro'", 9, "attributes['tier']"),
        ("status < '500'", 8, "cannot compare a whole number with a text"),
        ("attributes.sampled == true", 20, "write 'true' or 'false' in quotes"),
        ("status", 1, "must be true or false"),
        ("latency_ms / 2 < 3.0", 12, "2.0, or double(status)"),
        ("latency_ms % 2.0 < 3.0", 12, "for whole numbers only"),
        ("user == null", 9, "has(status)"),
        ("operation.matches('(')", 19, "a `(` is never closed"),
        ("operation.startWith('a')", 11, "did you mean `startsWith`?"),
        ("['a'].exists(x, x == operation)", 7, "there is no function `exists`"),
        ("status in [500, 'a']", 17, "write it without quotes"),
        ("operation in ['a', 5]", 20, "write it in quotes"),
        ("attributes.a.b == 'x'", 14, "attributes['a.b']"),
        ("attributes[operation] == 'x'", 12, "quoted text"),
        ("status <", 9, "the expression ends where a value is expected"),
        ("status == 1u", 11, "leave the `u` out"),
        ("[1, 2] == [1]", 1, "a list can only follow `in`"),
        ("status && true", 1, "a condition is expected here"),
        ("true ? 1 : 2.0", 6, "must be of one type"),
        ("", 0, "the expression is empty"),
        ("user == '\\w'", 10, "write a raw text, as in r'\\w'"),
        ("!'tier' in attributes", 1, "!('tier' in attributes)"),
        ("true ? false ? true : true : false", 14, "a ? (b ? c : d) : e"),
        ("status = 200", 8, "write `==`"),
        ("operation =~ 'a'", 11, "matches(r'...')"),
        ("true and false", 6, "write `&&`"),
        ("true or false", 6, "write `||`"),
        ("not true", 5, "write `!` in front"),
        ("true # why", 6, "a comment begins with `//`"),
        ("attributes.?tier.orValue('x') == 'x'", 12, "ask first"),
        ("attributes.in == 'x'", 12, "write attributes['in']"),
        ("attributes.x-y == '1'", 13, "attributes.`a-b`"),
        ("timestamp < 1767225600000", 11, "write timestamp('2026-01-01T00:00:00Z')"),
        ("timestamp > 1767225600", 11, "write timestamp('2026-01-01T00:00:00Z')"),
        ("timestamp < '2026-01-01'", 11, "write timestamp(...) around the text"),
        ("timestamp < timestamp('2026-01-01')", 23, "no time as RFC 3339 has it"),
        ("timestamp.getHours('europe/berlin') > 8", 20, "did you mean 'Europe/Berlin'?"),
        ("timestamp.getHours('Local') > 8", 20, "the machine that happens to run this"),
        ("timestamp.getHours('Mars/Base') > 8", 20, "there is no time zone `Mars/Base`"),
        ("timestamp - 60 < timestamp", 11, "duration('90s')"),
        ("duration('1d') > duration('1h')", 10, "a day is 24h"),
        ("int(duration('1h')) > 5", 1, "write .getSeconds()"),
        ("string(latency_ms) == '1'", 1, "compare it as a number"),
        ("timestamp.getMilliseconds() > 5", 11, "write getSeconds()"),
        ("timestamp.getHuors() > 5", 11, "did you mean `getHours`?"),
        ("(status < 500 && true", 22, "the `(` at character 1 is never closed"),
        ("200 <= status < 300", 15, "200 <= status && status < 300"),
        ("operation.matches('(?=a)')", 19, "does not look ahead or behind"),
    ] {
        let (message, at) = refused(source);
        assert!(message.contains(words), "{source}: {message}");
        assert_eq!(at.unwrap_or(0), character, "{source}: {message}");
    }
}

#[test]
fn a_value_must_be_a_number() {
    assert!(compile_number("operation").is_err_and(|e| e.message.contains("must be a number")));
    assert_eq!(compile_number("status").ok().and_then(|value| value.eval(&outcome())), Some(503.0));
    assert_eq!(compile_number("0.0 / 0.0").ok().and_then(|value| value.eval(&outcome())), None);
}

#[test]
fn explains_what_was_absent_and_what_decided() {
    let o = outcome();
    let explain = |source: &str| -> (String, String) {
        let filter = compile_filter(source).unwrap_or_else(|e| panic!("{source}: {e}"));
        let reason = filter.eval_explain(&o).map_or_else(|fault| fault.to_string(), |verdict| verdict.to_string());
        (reason, filter.deciding(&o).to_string())
    };
    for (source, reason, deciding) in [
        ("user == 'u'", "user is absent", "user == 'u'"),
        ("status > 0 && !user.startsWith('u')", "user is absent", "!user.startsWith('u')"),
        ("!(status < 500)", "true", "status < 500"),
        ("status > 0 && attributes.region == 'eu'", "attributes['region'] is absent", "attributes['region'] == 'eu'"),
        ("measures.quality > 0.5 || user == 'u'", "measures['quality'] is absent", "measures['quality'] > 0.5"),
        ("status / 0 == 1", "it divides by zero", "status / 0 == 1"),
        ("operation == 'checkout' && status < 500", "false", "status < 500"),
        ("status < 500 || (latency_ms < 300 && has(status))", "true", "latency_ms < 300 && has(status)"),
        ("has(user) ? user == 'u' : status > 500", "true", "status > 500"),
    ] {
        assert_eq!(explain(source), (reason.to_owned(), deciding.to_owned()), "{source}");
    }
}

#[test]
fn tells_which_optional_fields_are_read_unguarded() {
    let reads = |source: &str| -> Vec<String> {
        let filter = compile_filter(source).unwrap_or_else(|e| panic!("{source}: {e}"));
        filter.unguarded_reads().iter().map(ToString::to_string).collect()
    };
    assert_eq!(reads("status < 500 && tenant != 'bot'"), ["status"]);
    assert_eq!(reads("has(status) && status < 500"), Vec::<String>::new());
    assert_eq!(
        reads("'tier' in attributes && attributes.tier == 'pro' && attributes.region == 'eu'"),
        ["attributes['region']"]
    );
    assert_eq!(
        reads("measures.a / latency_ms > 1.0 ? size(operation) > 3 : weight > 1.0"),
        ["operation", "latency_ms", "measures['a']"]
    );
}

/// A thread with half of the smallest stack that any of our threads has.
fn on_a_small_stack(check: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(1 << 20).spawn_scoped(scope, check);
        assert!(thread.is_ok_and(|thread| thread.join().is_ok()));
    });
}

#[test]
fn what_is_as_deep_as_can_be_fits_half_of_a_small_stack() {
    let deep = ast::MAX_DEPTH as usize;
    let nested = |open: &str, close: &str| format!("{}true{}", open.repeat(deep - 1), close.repeat(deep - 1));
    let chain = |start: &str, link: &str, links: usize, end: &str| format!("{start}{}{end}", link.repeat(links));
    on_a_small_stack(|| {
        for source in [
            nested("(", ")"),
            nested("!(", ")"),
            format!("{}true{}", "(true && (false || ".repeat(29), "))".repeat(29)),
            chain("status", " + 1", deep - 2, " > 0"),
            chain("status", " * 1", deep - 2, " > 0"),
            chain("timestamp", " + duration('1s')", deep - 3, " > timestamp(0)"),
            chain("operation", " + 'a'", deep - 2, " > ''"),
            chain("", "true ? true : ", deep - 1, "false"),
            format!("{}status{} > 0", "-(".repeat(deep - 3), ")".repeat(deep - 3)),
            format!("operation.matches('{}a{}')", "(".repeat(50), ")*".repeat(50)),
            vec!["status == 1"; 2_000].join(" || "),
            format!("status in [{}]", "500, ".repeat(9_000)),
            format!("'{}' == operation", "?([{".repeat(10_000)),
        ] {
            check_filter(&source, &outcome());
        }
    });
}

#[test]
fn what_is_too_long_or_too_deep_is_refused_with_the_limit() {
    let too_deep = "nested more than 60 deep";
    on_a_small_stack(|| {
        for (source, words) in [
            (format!("status{} > 0", " + 1".repeat(5_675)), too_deep),
            (format!("operation{}", ".startsWith('a')".repeat(4_000)), too_deep),
            (format!("attributes{} == 'x'", ".a".repeat(22_000)), too_deep),
            (format!("attributes{} == 'x'", "['a']".repeat(10_000)), too_deep),
            (format!("{}true{}", "(".repeat(20_000), ")".repeat(20_000)), too_deep),
            (format!("{}true", "!(".repeat(20_000)), too_deep),
            (format!("{}1", "[".repeat(20_000)), too_deep),
            (format!("{}1", "size(".repeat(10_000)), too_deep),
            ("true ? true : ".repeat(4_000), too_deep),
            (format!("status == 1{}", " && true".repeat(8_000)), "more than 10000 parts"),
            (format!("status in [{}]", "1,".repeat(20_000)), "more than 10000 parts"),
            (format!("status == 1{}", " && true".repeat(400_000)), "65536 are the most"),
            (format!("operation{}", ".startsWith(\"a\")".repeat(10_000)), "65536 are the most"),
            (format!("operation.matches('{}')", "(".repeat(1_000)), "groups are nested more than 50 deep"),
            (format!("operation.matches('{}')", "[^a]{1000}".repeat(1_000)), "the pattern is too large"),
        ] {
            let (message, _) = refused(&source);
            assert!(message.contains(words), "{}: {}", &source[..40], &message[..message.len().min(300)]);
        }
    });
}
