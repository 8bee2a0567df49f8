#![expect(clippy::disallowed_types, reason = "the interpreter's own values are such maps")]
use super::*;
use crate::model::outcome::Outcome;
use cel::{Context, Value};
use proptest::prelude::*;
use std::borrow::Cow;
use std::collections::HashMap;

/// What the `cel` crate's interpreter says about an expression over an outcome; `None` for an error.
fn interpreted(source: &str, outcome: &Outcome<'_>) -> Option<Value> {
    let (expr, _) = parse(source).unwrap_or_else(|e| panic!("{source}: {e}"));
    let mut all: HashMap<String, Value> = HashMap::new();
    let mut text = |name: &str, value: &Option<Cow<'_, str>>| {
        if let Some(value) = value {
            all.insert(name.to_owned(), value.to_string().into());
        }
    };
    text("tenant", &Some(outcome.tenant.clone()));
    text("user", &outcome.user);
    text("operation", &outcome.operation);
    text("dependency", &outcome.dependency);
    text("error_type", &outcome.error_type);
    text("trace_id", &outcome.trace_id);
    text("event_id", &outcome.event_id);
    text("journey", &outcome.journey);
    text("step", &outcome.step);
    all.insert("timestamp".to_owned(), Value::Int(outcome.timestamp_ms));
    all.insert("weight".to_owned(), Value::Float(outcome.weight_micros as f64 / 1e6));
    all.extend(outcome.status.map(|status| ("status".to_owned(), Value::Int(status))));
    all.extend(outcome.latency_ms.map(|latency| ("latency_ms".to_owned(), Value::Float(latency))));
    let measures: HashMap<String, Value> =
        outcome.measures.iter().map(|(name, value)| (name.to_string(), Value::Float(*value))).collect();
    let attributes: HashMap<String, Value> =
        outcome.attributes.iter().map(|(name, value)| (name.to_string(), value.to_string().into())).collect();
    let mut context = Context::default();
    all.clone().into_iter().for_each(|(name, value)| context.add_variable_from_value(name, value));
    context.add_variable_from_value("measures", measures);
    context.add_variable_from_value("attributes", attributes);
    context.add_variable_from_value("outcome", all);
    Value::resolve(&expr, &context).ok()
}

#[track_caller]
fn check_filter(source: &str, outcome: &Outcome<'_>) -> Option<bool> {
    let filter = compile_filter(source).unwrap_or_else(|e| panic!("{source}: {e} {:?}", e.character));
    let verdict = filter.eval(outcome);
    assert_eq!(verdict.map(Value::Bool), interpreted(source, outcome), "{source} over {outcome:?}");
    let printed = filter.to_string();
    let again = compile_filter(&printed).unwrap_or_else(|e| panic!("{source} printed as {printed}: {e}"));
    assert_eq!(again.eval(outcome), verdict, "{source} printed as {printed}");
    assert_eq!(again.to_string(), printed);
    assert_eq!(filter.deciding(outcome).eval(outcome).is_err(), verdict.is_none(), "{source}");
    verdict
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

#[test]
fn decides_as_the_interpreter_does() {
    let o = outcome();
    for (source, expected) in [
        ("status < 500", Some(false)),
        ("status >= 500 && operation == 'checkout'", Some(true)),
        ("latency_ms <= 300", Some(true)),
        ("300 > latency_ms", Some(true)),
        ("status == 503.0", Some(true)),
        ("user == 'u'", None),
        ("has(user)", Some(false)),
        ("has(status)", Some(true)),
        ("has(outcome.status)", Some(true)),
        ("outcome.status == 503", Some(true)),
        ("'user' in outcome", Some(false)),
        ("has(attributes.tier) && attributes.tier == 'pro'", Some(true)),
        ("has(attributes['a.b'])", Some(true)),
        ("attributes['a.b'] == '7'", Some(true)),
        ("double(attributes['a.b']) > 6.5", Some(true)),
        ("int(attributes['a.b']) == 7", Some(true)),
        ("int(attributes.tier) == 7", None),
        ("'region' in attributes", Some(false)),
        ("attributes.region == 'eu'", None),
        ("user == 'u' && status < 500", Some(false)),
        ("status < 500 && user == 'u'", Some(false)),
        ("user == 'u' || status >= 500", Some(true)),
        ("status >= 500 || user == 'u'", Some(true)),
        ("user == 'u' || status < 500", None),
        ("!(user == 'u')", None),
        ("has(user) ? user == 'u' : true", Some(true)),
        ("operation in ['checkout', 'pay']", Some(true)),
        ("status in [500, 502]", Some(false)),
        ("status in [503.0]", Some(true)),
        ("latency_ms in [1, 2]", Some(false)),
        ("status in []", Some(false)),
        ("user in []", None),
        ("operation.startsWith('check') && operation.endsWith('out') && operation.contains('eck')", Some(true)),
        ("operation.matches('^check.*$')", Some(true)),
        ("matches(operation, 'pay')", Some(false)),
        ("size(operation) == 8 && operation.size() == 8", Some(true)),
        ("size(attributes) == 2 && size(measures) == 1", Some(true)),
        ("status / 100 == 5 && status % 100 == 3", Some(true)),
        ("status / (status - 503) == 1", None),
        ("status + 9223372036854775807 > 0", None),
        ("measures.ttft_ms * 2.0 < 200.0", Some(true)),
        ("measures['inter_token_ms'] < 200.0", None),
        ("latency_ms / 0.0 > 1.0", Some(true)),
        ("0.0 / (latency_ms - latency_ms) > 1.0", None),
        ("weight == 2.5", Some(true)),
        ("tenant < 'b'", Some(true)),
        ("(status < 500) == (latency_ms > 300)", Some(true)),
        ("(status < 500 ? 'a' : 'b') == 'b'", Some(true)),
        ("-status < -500 && -latency_ms < 0", Some(true)),
        ("int(latency_ms) == 250", Some(true)),
        ("true", Some(true)),
    ] {
        assert_eq!(check_filter(source, &o), expected, "{source}");
    }
}

fn int_source(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        4 => Just("status".to_owned()),
        1 => Just("timestamp".to_owned()),
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
    fn any_filter_decides_as_the_interpreter_does(
        source in bool_source(3),
        outcomes in proptest::collection::vec(any_outcome(), 4),
    ) {
        for outcome in &outcomes {
            check_filter(&source, outcome);
        }
    }

    #[test]
    fn any_number_is_the_interpreters(source in double_source(3), outcome in any_outcome()) {
        let value = compile_number(&source).unwrap_or_else(|e| panic!("{source}: {e}"));
        let expected = match interpreted(&source, &outcome) {
            Some(Value::Float(f)) if !f.is_nan() => Some(f),
            _ => None,
        };
        prop_assert_eq!(value.eval(&outcome), expected, "{} over {:?}", source, outcome);
    }

    #[test]
    fn no_text_makes_the_compiler_panic(parts in proptest::collection::vec(
        prop_oneof![
            Just("status"), Just("has"), Just("("), Just(")"), Just("["), Just("]"), Just("'a'"), Just("'"), Just("."),
            Just("&&"), Just("!"), Just("in"), Just("1"), Just("0x"), Just("1u"), Just("?"), Just(":"), Just("{"),
            Just("}"), Just("all"), Just(","), Just("outcome"), Just("measures"), Just("\\"), Just("é"), Just("`"),
        ], 0..12)) {
        let source = parts.join(" ");
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
        ("status < 500 && tier == 'pro'", 17, "attributes['tier']"),
        ("outcome.tier == 'pro'", 8, "attributes['tier']"),
        ("status < '500'", 8, "cannot compare a whole number with a text"),
        ("attributes.sampled == true", 20, "write 'true' or 'false' in quotes"),
        ("status", 0, "must be true or false"),
        ("latency_ms / 2 < 3.0", 12, "2.0, or double(status)"),
        ("latency_ms % 2.0 < 3.0", 12, "for whole numbers only"),
        ("user == null", 9, "has(status)"),
        ("operation.matches('(')", 19, "no regular expression"),
        ("operation.startWith('a')", 20, "did you mean `startsWith`?"),
        ("['a'].exists(x, x == operation)", 13, "there is no function `exists`"),
        ("status in [500, 'a']", 8, "literals of the one type"),
        ("attributes.a.b == 'x'", 13, "attributes['a.b']"),
        ("attributes[operation] == 'x'", 11, "quoted text"),
        ("status <", 9, "no CEL expression"),
        ("status == 1u", 11, "leave the `u` out"),
        ("[1, 2] == [1]", 1, "behind `in`"),
        ("status && true", 1, "a condition is wanted here"),
        ("true ? 1 : 2.0", 6, "must be of one type"),
        ("", 0, "the expression is empty"),
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

#[test]
fn deep_nesting_is_refused_and_long_chains_are_not() {
    let nested = |depth: usize| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(check_filter(&nested(MAX_NESTING), &outcome()), Some(true));
    for source in [nested(MAX_NESTING + 1), nested(100_000), "true ? true : ".repeat(100_000)] {
        assert!(compile_filter(&source).is_err_and(|e| e.message.contains("nested more than")));
    }
    let chain = vec!["status == 1"; 200].join(" || ");
    assert_eq!(check_filter(&chain, &outcome()), Some(false));
}
