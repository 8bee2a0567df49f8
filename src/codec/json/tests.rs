//! The hand-written pass against serde_json: same texts accepted, same values read.

use super::*;
use crate::codec::number::Number;
use crate::codec::{Decoder, InputSettings};
use crate::model::outcome::{Outcome, Rejection};
use crate::model::record::{NoHeaders, RecordIn};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn record(value: &[u8]) -> RecordIn<'_> {
    RecordIn { partition: 0, offset: 0, key: None, value, timestamp_ms: None, headers: &NoHeaders }
}

fn decoder() -> Decoder {
    Decoder::new(InputSettings::default()).unwrap()
}

/// The tree as serde_json would read it.
fn as_value(node: &Node<'_>) -> Value {
    match node {
        Node::Object(members) => {
            Value::Object(members.iter().map(|(name, node)| (name.to_string(), as_value(node))).collect())
        }
        Node::Array(items) => Value::Array(items.iter().map(as_value).collect()),
        Node::Scalar(Scalar::Null) => Value::Null,
        Node::Scalar(Scalar::Bool(b)) => json!(b),
        Node::Scalar(Scalar::Text(text)) => json!(text),
        Node::Scalar(Scalar::Number(n)) => match (n.as_i64(), n.text.parse::<u64>()) {
            (Some(i), _) => json!(i),
            (None, Ok(above_i64)) => json!(above_i64),
            (None, Err(_)) => json!(n.as_f64()),
        },
        Node::Scalar(other) => panic!("no JSON value: {other:?}"),
    }
}

/// serde_json's verdict on a text; `None` if it objects only to a number's range or to half a surrogate pair.
fn oracle(text: &str) -> Option<Result<Value, ()>> {
    match serde_json::from_str::<Value>(text) {
        Ok(value @ Value::Object(_)) => Some(Ok(value)),
        Ok(_) => Some(Err(())),
        Err(e) if e.to_string().starts_with("number out of range") => None,
        Err(_) if text.contains("\\ud") || text.contains("\\uD") => None,
        Err(_) => Some(Err(())),
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(|b| json!(b)),
        any::<i64>().prop_map(|n| json!(n)),
        (-1_000i64..1_000).prop_map(|n| json!(n)),
        any::<f64>().prop_map(|n| json!(n)),
        (0u32..1_000_000).prop_map(|n| json!(f64::from(n) / 1_000.0)),
        any::<String>().prop_map(|s| json!(s)),
        prop::sample::select(vec!["-", "", "500", "500.0", "OK", "0.004", "60.0, 0.001", "NaN", "1e999", " 7 "])
            .prop_map(|s| json!(s)),
        "[a-z0-9]{0,12}".prop_map(|s| json!(s)),
        Just(json!("2026-05-29T17:00:48.581Z")),
        Just(json!(1_780_074_045_845i64)),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((any_name(), inner), 0..5).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

fn any_name() -> impl Strategy<Value = String> {
    let known = prop::sample::select(Field::ALL.map(Field::name).to_vec()).prop_map(str::to_owned);
    prop_oneof![6 => known, 1 => any::<String>(), 1 => "[a-z_]{1,8}"]
}

/// Records, most of them nearly outcomes.
fn any_record() -> impl Strategy<Value = Value> {
    prop::collection::vec((any_name(), any_value()), 0..8).prop_map(|members| {
        let mut record = Map::new();
        record.insert("tenant".to_owned(), json!("acme"));
        record.insert("timestamp".to_owned(), json!(1_780_074_045_845i64));
        record.extend(members);
        Value::Object(record)
    })
}

/// The result for a value: the value, nothing, or a fault.
type Read<T> = Result<Option<T>, ()>;

fn text_of(value: &Value) -> Read<String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Number(n) if n.is_i64() || n.is_u64() => Ok(Some(n.to_string())),
        _ => Err(()),
    }
}

fn number_of(value: &Value) -> Read<f64> {
    match value {
        Value::Null => Ok(None),
        Value::Number(n) => Ok(n.as_f64()),
        Value::String(text) if matches!(text.trim_ascii(), "" | "-") => Ok(None),
        Value::String(text) => text.trim_ascii().parse().map(Some).map_err(drop),
        _ => Err(()),
    }
}

fn integer_of(value: &Value) -> Read<i64> {
    match (value.as_i64(), number_of(value)?) {
        (Some(n), _) => Ok(Some(n)),
        (None, None) => Ok(None),
        (None, Some(n)) if n.fract() == 0.0 && n.abs() < 9e18 => Ok(Some(n as i64)),
        _ => Err(()),
    }
}

fn finite_of(value: &Value) -> Read<f64> {
    number_of(value).and_then(|n| if n.is_none_or(f64::is_finite) { Ok(n) } else { Err(()) })
}

fn attribute_of(value: &Value) -> Read<String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Number(_) | Value::Bool(_) => Ok(Some(value.to_string())),
        _ => Err(()),
    }
}

fn map_of<T>(value: &Value, of: impl Fn(&Value) -> Read<T>) -> (Vec<(String, T)>, bool) {
    let Value::Object(map) = value else { return (Vec::new(), !value.is_null()) };
    let read: Vec<(&String, Read<T>)> = map.iter().map(|(name, value)| (name, of(value))).collect();
    let is_odd = read.iter().any(|(_, read)| read.is_err());
    (read.into_iter().filter_map(|(name, read)| Some((name.clone(), read.ok()??))).collect(), is_odd)
}

fn time_of(value: &Value) -> Read<i64> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.len() >= 20 && text.as_bytes()[10] == b'T' => {
            text.parse::<jiff::Timestamp>().map(|t| Some(t.as_millisecond())).map_err(drop)
        }
        _ => value.as_i64().filter(|t| *t <= 253_402_300_799_999).map(Some).ok_or(()),
    }
}

/// The outcome by the contract, from serde_json's tree, with the unreadable fields: deliberately slow and simple.
fn expected<'a>(record: &Value) -> Result<(Outcome<'a>, Vec<Field>), Rejection> {
    let get = |field: Field| record.get(field.name()).unwrap_or(&Value::Null);
    let timestamp_ms = time_of(get(Field::Timestamp)).map_err(|()| Rejection::NotDecodable)?;
    let weight = number_of(get(Field::Weight)).map_err(|()| Rejection::NotDecodable)?;
    let mut odd = Vec::new();
    let mut note = |field: Field, is_odd: bool| odd.extend(is_odd.then_some(field));
    let mut text = |field: Field| {
        let read = text_of(get(field));
        note(field, read.is_err());
        read.ok().flatten().map(std::borrow::Cow::Owned)
    };
    let mut outcome = Outcome {
        tenant: text(Field::Tenant).unwrap_or_default(),
        user: text(Field::User).filter(|id| !id.is_empty()),
        operation: text(Field::Operation),
        dependency: text(Field::Dependency),
        error_type: text(Field::ErrorType),
        trace_id: text(Field::TraceId),
        event_id: text(Field::EventId),
        journey: text(Field::Journey),
        step: text(Field::Step),
        ..Outcome::default()
    };
    let (status, latency) = (integer_of(get(Field::Status)), finite_of(get(Field::LatencyMs)));
    let (measures, odd_measures) = map_of(get(Field::Measures), finite_of);
    let (attributes, odd_attributes) = map_of(get(Field::Attributes), attribute_of);
    note(Field::Status, status.is_err());
    note(Field::LatencyMs, latency.is_err());
    note(Field::Measures, odd_measures);
    note(Field::Attributes, odd_attributes);
    outcome.status = status.ok().flatten();
    outcome.latency_ms = latency.ok().flatten();
    outcome.measures = measures.into_iter().map(|(name, n)| (name.into(), n)).collect();
    outcome.attributes = attributes.into_iter().map(|(name, text)| (name.into(), text.into())).collect();
    if outcome.tenant.is_empty() {
        return Err(Rejection::NoTenant);
    }
    outcome.timestamp_ms = timestamp_ms.ok_or(Rejection::NoTimestamp)?;
    if outcome.timestamp_ms < 946_684_800_000 {
        return Err(Rejection::Before2000);
    }
    let weight = weight.unwrap_or(1.0);
    if !weight.is_finite() {
        return Err(Rejection::NotFinite);
    }
    if !(1e-6..=1e6).contains(&weight) {
        return Err(Rejection::WeightOutOfRange);
    }
    outcome.weight_micros = (weight * 1e6).round_ties_even() as u64;
    Ok((outcome, odd))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn reads_records_as_the_contract_does(value in any_record(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let decoder = decoder();
        let examined = decoder.examine(&record(text.as_bytes())).map_err(|rejected| rejected.reason);
        let decoded = examined.map(|(outcome, faults)| {
            let mut odd: Vec<Field> = faults.iter().map(crate::codec::Fault::field).collect();
            odd.sort();
            odd.dedup();
            (outcome, odd)
        });
        prop_assert_eq!(decoded, expected(&value), "{}", text);
    }

    #[test]
    fn accepts_the_texts_that_serde_json_accepts(
        value in any_record(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0u8..3, prop::sample::select(b"{}[]\":,0123456789-+.eEtfn\\u \n\x00\x1f\x80\xffdD8c".to_vec())), 0..4),
    ) {
        let mut text = serde_json::to_vec(&value).unwrap();
        for (at, kind, byte) in edits {
            let at = at.index(text.len());
            match kind {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ if text.len() > 1 => drop(text.remove(at)),
                _ => {}
            }
        }
        let shown = String::from_utf8_lossy(&text);
        let Some(oracle) = oracle(&shown) else { return Ok(()) };
        match (parse_tree(&shown), oracle) {
            (Ok(tree), Ok(value)) => prop_assert_eq!(as_value(&tree), value, "{}", shown),
            (Err(_), Err(())) => {}
            (tree, oracle) => prop_assert!(false, "{tree:?} but {oracle:?} of {shown}"),
        }
        prop_assert_eq!(gather(&text, &mut Gathered::new(), &FieldLimits::default()).is_ok(), parse_tree(&shown).is_ok());
        let nested = shown.trim_ascii_start();
        if nested.starts_with(['{', '[']) {
            let mut peer = serde_json::Deserializer::from_str(nested).into_iter::<serde::de::IgnoredAny>();
            let is_value = peer.next().is_some_and(|first| first.is_ok());
            prop_assert_eq!(Cursor::new(nested).skip_value().is_ok(), is_value, "{}", nested);
        }
    }

    #[test]
    fn never_panics_on_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decoder().decode(&record(&bytes));
        let mut object = b"{\"tenant\":".to_vec();
        object.extend(&bytes);
        let _ = decoder().decode(&record(&object));
    }

    #[test]
    fn reads_numbers_as_the_nearest_double(text in r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?") {
        let number = Number::scan(&text).unwrap();
        prop_assert_eq!(number.text, &text);
        prop_assert_eq!(number.as_f64().to_bits(), text.parse::<f64>().unwrap().to_bits());
        prop_assert_eq!(number.as_i64(), text.parse::<i64>().ok());
    }
}
