//! The hand-written pass against serde_json: same texts accepted, same values read.

use super::*;
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

/// The tree as serde_json would have read it.
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

/// What serde_json says of a text: `None` where only its range of numbers speaks against it.
fn oracle(text: &[u8]) -> Option<Result<Value, ()>> {
    match serde_json::from_slice::<Value>(text) {
        Ok(value @ Value::Object(_)) => Some(Ok(value)),
        Ok(_) => Some(Err(())),
        Err(e) if e.to_string().starts_with("number out of range") => None,
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

/// Records most of which are nearly outcomes.
fn any_record() -> impl Strategy<Value = Value> {
    prop::collection::vec((any_name(), any_value()), 0..8).prop_map(|members| {
        let mut record = Map::new();
        record.insert("tenant".to_owned(), json!("acme"));
        record.insert("timestamp".to_owned(), json!(1_780_074_045_845i64));
        record.extend(members);
        Value::Object(record)
    })
}

fn text_of(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// What the contract makes of a record, read from serde_json's tree: as slow and plain as can be.
fn expected<'a>(record: &Value) -> Result<Outcome<'a>, Rejection> {
    let get = |name: &str| record.get(name).filter(|value| !value.is_null());
    let text = |name: &str| get(name).map(|v| text_of(v).ok_or(Rejection::NotDecodable)).transpose();
    let number = |v: &Value| v.as_f64().filter(|_| v.is_number()).ok_or(Rejection::NotDecodable);
    let map = |name: &str| match get(name) {
        None => Ok(Vec::new()),
        Some(Value::Object(map)) => Ok(map.iter().filter(|(_, v)| !v.is_null()).collect()),
        Some(_) => Err(Rejection::NotDecodable),
    };
    let status = |v: &Value| match v {
        Value::String(s) => s.parse().map_err(|_| Rejection::NotDecodable),
        _ => v.as_i64().ok_or(Rejection::NotDecodable),
    };
    let time = |v: &Value| match v {
        Value::String(s) if s.len() >= 20 && s.as_bytes()[10] == b'T' => {
            s.parse::<jiff::Timestamp>().map(|t| t.as_millisecond()).map_err(|_| Rejection::NotDecodable)
        }
        _ => v.as_i64().filter(|t| *t <= 253_402_300_799_999).ok_or(Rejection::NotDecodable),
    };
    let attribute = |(name, v): (&String, &Value)| match v {
        Value::Array(_) | Value::Object(_) => Err(Rejection::NotDecodable),
        Value::String(s) => Ok((name.clone().into(), s.clone().into())),
        other => Ok((name.clone().into(), other.to_string().into())),
    };
    let owned = |text: Option<String>| text.map(std::borrow::Cow::Owned);
    let weight = get("weight").map(number).transpose()?;
    let outcome = Outcome {
        tenant: text("tenant")?.unwrap_or_default().into(),
        user: owned(text("user")?.filter(|id| !id.is_empty())),
        timestamp_ms: 0,
        operation: owned(text("operation")?),
        dependency: owned(text("dependency")?),
        error_type: owned(text("error_type")?),
        trace_id: owned(text("trace_id")?),
        event_id: owned(text("event_id")?),
        journey: owned(text("journey")?),
        step: owned(text("step")?),
        status: get("status").map(status).transpose()?,
        latency_ms: get("latency_ms").map(number).transpose()?,
        measures: map("measures")?
            .into_iter()
            .map(|(n, v)| Ok((n.clone().into(), number(v)?)))
            .collect::<Result<_, _>>()?,
        attributes: map("attributes")?.into_iter().map(attribute).collect::<Result<_, _>>()?,
        weight_micros: 0,
    };
    let timestamp_ms = get("timestamp").map(time).transpose()?;
    if outcome.tenant.is_empty() {
        return Err(Rejection::NoTenant);
    }
    let timestamp_ms = timestamp_ms.ok_or(Rejection::NoTimestamp)?;
    if timestamp_ms < 946_684_800_000 {
        return Err(Rejection::Before2000);
    }
    let weight = weight.unwrap_or(1.0);
    if !(1e-6..=1e6).contains(&weight) {
        return Err(Rejection::WeightOutOfRange);
    }
    Ok(Outcome { timestamp_ms, weight_micros: (weight * 1e6).round_ties_even() as u64, ..outcome })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn reads_records_as_the_contract_does(value in any_record(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let decoder = decoder();
        let decoded = decoder.decode(&record(text.as_bytes())).map_err(|rejected| rejected.reason);
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
        let Some(oracle) = oracle(&text) else { return Ok(()) };
        let shown = String::from_utf8_lossy(&text);
        match (parse_tree(&text), oracle) {
            (Ok(tree), Ok(value)) => prop_assert_eq!(as_value(&tree), value, "{}", shown),
            (Err(_), Err(())) => {}
            (tree, oracle) => prop_assert!(false, "{tree:?} but {oracle:?} of {shown}"),
        }
        prop_assert_eq!(gather(&text, &mut Gathered::new(), &FieldLimits::default()).is_ok(), parse_tree(&text).is_ok());
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
