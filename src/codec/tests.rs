//! One row per rule of the contract's section 1.

use super::*;
use crate::model::record::NoHeaders;
use std::borrow::Cow;

const T: Ms = 1_780_074_045_845;

fn decoder(settings: InputSettings) -> Decoder {
    Decoder::new(settings).unwrap()
}

fn record(value: &[u8]) -> RecordIn<'_> {
    RecordIn { partition: 0, offset: 0, key: None, value, timestamp_ms: None, headers: &NoHeaders }
}

/// A record with a tenant and a time; `more` has further members.
fn with(more: &str) -> String {
    format!(r#"{{"tenant":"acme","timestamp":{T},{more}}}"#)
}

fn rejection(decoder: &Decoder, value: &str) -> Option<Rejection> {
    decoder.decode(&record(value.as_bytes())).err().map(|r| r.reason)
}

/// Decodes JSON with default settings and shows one part of the outcome and the unreadable fields, or the reason.
fn shown(value: &str, show: impl Fn(&Outcome<'_>) -> String) -> String {
    let decoder = decoder(InputSettings::default());
    match decoder.examine(&record(value.as_bytes())) {
        Ok((outcome, faults)) => {
            let mut fields: Vec<_> = faults.iter().map(Fault::field).collect();
            fields.dedup();
            fields.iter().fold(show(&outcome), |shown, field| format!("{shown} {}", field.name()))
        }
        Err(rejected) => rejected.reason.to_string(),
    }
}

#[test]
fn reads_every_field() {
    let text = format!(
        r#" {{ "tenant" : "acme", "user":"u\u00e9\n1", "timestamp":{T}, "operation":"pay", "dependency":"bank",
        "error_type":"timeout", "trace_id":"t1", "event_id":"e1", "journey":"buy", "step":"pay", "status":503,
        "latency_ms":12.5, "measures":{{"ttft_ms":3,"tokens":-1e3}}, "unknown":{{"a":[1,{{"b":null}}]}},
        "attributes":{{"tier":"pro","seats":1.50,"beta":true,"gone":null}}, "weight":2.5 }} "#
    );
    let decoder = decoder(InputSettings::default());
    let outcome = decoder.decode(&record(text.as_bytes())).unwrap();
    let some = |text: &'static str| Some(Cow::Borrowed(text));
    let expected = Outcome {
        tenant: "acme".into(),
        user: some("ué\n1"),
        timestamp_ms: T,
        operation: some("pay"),
        dependency: some("bank"),
        error_type: some("timeout"),
        trace_id: some("t1"),
        event_id: some("e1"),
        journey: some("buy"),
        step: some("pay"),
        status: Some(503),
        latency_ms: Some(12.5),
        measures: [("ttft_ms".into(), 3.0), ("tokens".into(), -1000.0)].into_iter().collect(),
        attributes: [("tier", "pro"), ("seats", "1.50"), ("beta", "true")]
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        weight_micros: 2_500_000,
    };
    assert_eq!(outcome, expected);
}

#[test]
fn texts_without_escapes_are_borrowed() {
    let decoder = decoder(InputSettings::default());
    let text = with(r#""user":"u1","attributes":{"tier":"pro","n":7}"#);
    let outcome = decoder.decode(&record(text.as_bytes())).unwrap();
    assert!(matches!((&outcome.tenant, &outcome.user), (Cow::Borrowed(_), Some(Cow::Borrowed(_)))));
    let borrowed =
        |(name, value): &(Cow<'_, str>, Cow<'_, str>)| matches!((name, value), (Cow::Borrowed(_), Cow::Borrowed(_)));
    assert!(outcome.attributes.iter().all(borrowed));
}

#[test]
fn what_is_no_json_object_of_the_right_types_is_not_decodable() {
    let deep = |n: usize| with(&format!(r#""x":{}{}"#, "[".repeat(n), "]".repeat(n)));
    let deeper = |n: usize| with(&format!(r#""x":{}1{}"#, r#"{"a":[[],"#.repeat(n), "]}".repeat(n)));
    let good = [
        with(r#""x":1"#),
        deep(127),
        deep(128),
        deep(100_000),
        deeper(50_000),
        with(r#""status":null,"user":null,"attributes":null,"measures":null"#),
    ];
    let bad = [
        "".to_owned(),
        " ".to_owned(),
        "\"text\"".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "{".to_owned(),
        "{}x".to_owned(),
        with(r#""x":1"#) + "{}",
        with(r#""x":1,"#),
        with(r#""x" 1"#),
        with(r#""x":"#),
        with(r#""x":[1,]"#),
        with(r#""x":[1 2]"#),
        with(r#""x":{"a":1,}"#),
        with(r#""x":tru"#),
        with(r#""x":01"#),
        with(r#""x":1."#),
        with(r#""x":.5"#),
        with(r#""x":+1"#),
        with(r#""x":-"#),
        with(r#""x":1e"#),
        with(r#""x":NaN"#),
        with(r#""x":-Infinity"#),
        with(r#""x":'a'"#),
        with(r#""x":"\q""#),
        with(r#""x":"\u12g4""#),
        with("\"x\":\"a\tb\""),
        with(r#""x":"#) + "\"a",
        deep(100_000) + "]",
        deep(100_000).replace("]}", "}}"),
        deeper(1_000).replace("1]", "1}"),
        with(r#""x":"\ud80""#),
        with(r#""x":"\ud800\u12""#),
        with(r#""x":1"#).replace(',', ";"),
        with(r#""weight":"heavy""#),
        with(r#""weight":true"#),
        with(r#""weight":[1]"#),
        with(r#""weight":"1 kg""#),
        with(r#""timestamp":1780074045845.0"#),
        with(r#""timestamp":1.78e12"#),
        with(r#""timestamp":"yesterday""#),
        with(r#""timestamp":"""#),
        with(r#""timestamp":"1780074045845""#),
        with(r#""timestamp":"-""#),
        with(r#""timestamp":"2026-05-29T17:00:48""#),
        with(r#""timestamp":"2026-05-29T24:00:00Z""#),
        with(r#""timestamp":true"#),
        with(r#""timestamp":{}"#),
        with(r#""timestamp":253402300800000"#),
        with(r#""timestamp":99999999999999999999999999"#),
    ];
    let decoder = decoder(InputSettings::default());
    for text in &good {
        assert_eq!(rejection(&decoder, text), None, "{text}");
    }
    for text in &bad {
        assert_eq!(rejection(&decoder, text), Some(Rejection::NotDecodable), "{}", &text[..text.len().min(200)]);
    }
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let decoder = decoder(InputSettings::default());
    let mark = "\u{feff}";
    for text in [format!("{mark}{}", with(r#""x":1"#)), format!(" {mark} {}", with(r#""x":1"#))] {
        assert_eq!(rejection(&decoder, &text), None, "{text}");
    }
    for text in [format!("{mark}{mark}{}", with(r#""x":1"#)), format!("{{{mark}}}"), mark.to_owned()] {
        assert_eq!(rejection(&decoder, &text), Some(Rejection::NotDecodable), "{text}");
    }
}

#[test]
fn bytes_that_are_no_text_become_replacement_characters_wherever_they_stand() {
    let mapping: Mapping = serde_json::from_str(r#"{"operation": "op", "attributes.deep": "x[1].y"}"#).unwrap();
    let decoders = [InputSettings::default(), InputSettings { mapping, ..InputSettings::default() }].map(decoder);
    for (more, user) in [
        (br#""user":"u\ud83d""#.as_slice(), "u\u{fffd}"),
        (br#""user":"\ud83d\ud83d\ude00!""#, "\u{fffd}\u{1f600}!"),
        (br#""user":"\ud83dA\udc00\u0042""#, "\u{fffd}A\u{fffd}B"),
        (br#""user":"\ud83d\u0041""#, "\u{fffd}A"),
        (br#""user":"\udc00\ud83d\n""#, "\u{fffd}\u{fffd}\n"),
        (b"\"user\":\"u\xff\"", "u\u{fffd}"),
        (b"\"user\":\"\xc3(\xe2\x82\"", "\u{fffd}(\u{fffd}"),
        (br#""user":"u","message":"half \ud83d","ctx":{"ua":["x","\udc00"],"\ud800":1}"#, "u"),
        (b"\"user\":\"u\",\"agent\":\"Mozilla \xe4\xff\",\"k\xfe\":[\"\x80\"]", "u"),
    ] {
        let value = [format!(r#"{{"tenant":"acme","timestamp":{T},"status":503,"#).as_bytes(), more, b"}"].concat();
        for decoder in &decoders {
            let (outcome, faults) = decoder.examine(&record(&value)).unwrap();
            assert_eq!((outcome.user.as_deref(), outcome.status), (Some(user), Some(503)));
            assert_eq!(faults, []);
        }
    }
    // The message is complete for such a record, too.
    let value = [with(r#""status":"O\ud800K""#).trim_end_matches('}').as_bytes(), b",\"a\":\"\xff\"}"].concat();
    let (_, faults) = decoders[0].examine(&record(&value)).unwrap();
    assert_eq!(faults[0].to_string(), "`status` must be an integer, and is \"O\u{fffd}K\"");
}

#[test]
fn each_reason_holds_where_the_contract_says() {
    use Rejection::*;
    let at = |tenant: &str, rest: &str| format!(r#"{{{tenant}{rest}}}"#);
    let long = |n: usize| "x".repeat(n);
    for (text, reason) in [
        (at("", r#""timestamp":1"#), Some(NoTenant)),
        (at(r#""tenant":"""#, r#","timestamp":1"#), Some(NoTenant)),
        (at(r#""tenant":null"#, r#","timestamp":1"#), Some(NoTenant)),
        (at(r#""tenant":"a""#, ""), Some(NoTimestamp)),
        (at(r#""tenant":"a""#, r#","timestamp":null"#), Some(NoTimestamp)),
        (at(r#""tenant":"a""#, r#","timestamp":0"#), Some(Before2000)),
        (at(r#""tenant":"a""#, r#","timestamp":-99999999999999999999"#), Some(Before2000)),
        (at(r#""tenant":"a""#, r#","timestamp":946684799999"#), Some(Before2000)),
        (at(r#""tenant":"a""#, r#","timestamp":"1999-12-31T23:59:59.9999Z""#), Some(Before2000)),
        (at(r#""tenant":"a""#, r#","timestamp":946684800000"#), None),
        (at(r#""tenant":"a""#, r#","timestamp":"9999-12-31T23:59:59.999Z""#), None),
        (with(r#""weight":1e999"#), Some(NotFinite)),
        (with(r#""weight":"NaN""#), Some(NotFinite)),
        (with(r#""weight":"-inf""#), Some(NotFinite)),
        (with(r#""weight":"0""#), Some(WeightOutOfRange)),
        (with(r#""weight":"-""#), None),
        (with(r#""weight":"""#), None),
        (with(r#""weight":"2.5""#), None),
        (at(r#""tenant":{"id":"acme"}"#, r#","timestamp":1"#), Some(NoTenant)),
        (at(r#""tenant":1.5"#, r#","timestamp":1"#), Some(NoTenant)),
        (at(r#""tenant":true"#, r#","timestamp":"x""#), Some(NotDecodable)),
        (with(r#""x":1e999"#), None),
        (with(r#""weight":-1"#), Some(WeightOutOfRange)),
        (with(r#""weight":0"#), Some(WeightOutOfRange)),
        (with(r#""weight":0.00000099999"#), Some(WeightOutOfRange)),
        (with(r#""weight":1000000.0000001"#), Some(WeightOutOfRange)),
        (with(r#""weight":1e-6"#), None),
        (with(r#""weight":1e6"#), None),
        (with(&format!(r#""tenant":"{}""#, long(257))), Some(TooLong)),
        (with(&format!(r#""tenant":"{}""#, long(256))), None),
        (with(&format!(r#""user":"{}""#, long(1025))), Some(TooLong)),
        (with(&format!(r#""user":"{}""#, long(1024))), None),
        (with(&format!(r#""unknown":"{}""#, long(100_000))), None),
    ] {
        let decoder = decoder(InputSettings::default());
        assert_eq!(rejection(&decoder, &text), reason, "{}", &text[..text.len().min(200)]);
    }
}

#[test]
fn the_first_reason_in_the_contracts_order_wins() {
    use Rejection::*;
    // Each row corrects the mistake of the row above.
    let long = "x".repeat(2_000);
    let rest = |w: &str| format!(r#""status":"x","weight":{w},"user":"{long}""#);
    for (text, reason) in [
        (format!(r#"{{"timestamp":"x",{}}}"#, rest("1e999")), NotDecodable),
        (format!(r#"{{"timestamp":0,{}}}"#, rest("{}")), NotDecodable),
        (format!(r#"{{"timestamp":0,{}}}"#, rest("1e999")), NoTenant),
        (format!(r#"{{"tenant":"a",{}}}"#, rest("1e999")), NoTimestamp),
        (format!(r#"{{"tenant":"a","timestamp":0,{}}}"#, rest("1e999")), Before2000),
        (format!(r#"{{"tenant":"a","timestamp":{},{}}}"#, T + 1, rest("1e999")), InTheFuture),
        (format!(r#"{{"tenant":"a","timestamp":{T},{}}}"#, rest("1e999")), NotFinite),
        (format!(r#"{{"tenant":"a","timestamp":{T},{}}}"#, rest("0")), WeightOutOfRange),
        (format!(r#"{{"tenant":"a","timestamp":{T},{}}}"#, rest("1")), TooLong),
    ] {
        let decoder = decoder(InputSettings { max_future_skew_ms: Some(0), ..InputSettings::default() });
        let record = RecordIn { timestamp_ms: Some(T), ..record(text.as_bytes()) };
        assert_eq!(decoder.decode(&record).unwrap_err().reason, reason, "{text:.80}");
    }
}

#[test]
fn the_future_begins_past_the_records_own_timestamp_and_the_skew() {
    let settings = InputSettings { max_future_skew_ms: Some(30_000), ..InputSettings::default() };
    let decoder = decoder(settings);
    let text = with(r#""status":200"#);
    for (log_ms, reason) in [
        (Some(T - 30_000), None),
        (Some(T - 30_001), Some(Rejection::InTheFuture)),
        (Some(i64::MIN), Some(Rejection::InTheFuture)),
        (Some(i64::MAX), None),
        (None, None),
    ] {
        let record = RecordIn { timestamp_ms: log_ms, ..record(text.as_bytes()) };
        assert_eq!(decoder.decode(&record).err().map(|r| r.reason), reason, "{log_ms:?}");
    }
    let micros = format!(r#"{{"tenant":"a","timestamp":{T}000}}"#);
    let record = RecordIn { timestamp_ms: Some(T), ..record(micros.as_bytes()) };
    assert_eq!(decoder.decode(&record).unwrap_err().reason, Rejection::InTheFuture);
}

#[test]
fn the_last_of_several_members_of_one_name_counts() {
    let attributes =
        |o: &Outcome<'_>| format!("{:?}", o.attributes.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>());
    for (more, expected) in [
        (r#""attributes":{"a":"1","b":"2","a":"3"}"#, r#"["a=3", "b=2"]"#),
        (r#""attributes":{"a":"1","a":null}"#, "[]"),
        (r#""attributes":{"a":{},"a":"1"}"#, r#"["a=1"]"#),
        (r#""attributes":{"a":"1","a":[]}"#, "[] attributes"),
        (r#""attributes":{"a":[],"a":null}"#, "[]"),
        (r#""attributes":{"a":[]},"attributes":{"b":"1"}"#, r#"["b=1"]"#),
        (r#""attributes":{"a":"1"},"attributes":null"#, "[]"),
        (r#""attributes":{"a":1e999},"attributes":{"a":1}"#, r#"["a=1"]"#),
        (r#""attributes":1,"attributes":{"b":"1"}"#, r#"["b=1"]"#),
        (r#""attributes":{"b":"1"},"attributes":1"#, "[] attributes"),
        (r#""status":"x","status":1,"\u0073tatus":"200""#, "[]"),
        (r#""status":1,"status":"x""#, "[] status"),
        (r#""weight":"x","weight":1,"timestamp":"x","timestamp":1780074045845"#, "[]"),
        (r#""timestamp":null"#, "no_timestamp"),
    ] {
        assert_eq!(shown(&with(more), attributes), expected, "{more}");
    }
    assert_eq!(shown(&with(r#""status":1,"status":"-5""#), |o| format!("{:?}", o.status)), "Some(-5)");
    assert_eq!(shown(&with(r#""status":1,"status":{}"#), |o| format!("{:?}", o.status)), "None status");
}

#[test]
fn names_over_the_limit_of_a_map_are_left_out_and_counted() {
    let attributes = |n: usize| {
        let members: Vec<String> = (0..n).map(|i| format!(r#""a{i}":"v","a{i}":"w","n{i}":null"#)).collect();
        with(&format!(r#""attributes":{{{}}}"#, members.join(",")))
    };
    let last = |o: &Outcome<'_>| format!("{} {:?}", o.attributes.len(), o.attribute("a63"));
    assert_eq!(shown(&attributes(64), last), "64 Some(\"w\")");
    assert_eq!(shown(&attributes(65), last), "64 Some(\"w\") attributes");
    let measures: Vec<String> = (0..70).map(|i| format!(r#""m{i}":{i}"#)).collect();
    let text = with(&format!(r#""measures":{{{}}}"#, measures.join(",")));
    assert_eq!(shown(&text, |o| o.measures.len().to_string()), "64 measures");
}

#[test]
fn an_optional_value_that_cannot_be_taken_is_absent_and_counted_and_the_event_stays() {
    let long = |n: usize| "x".repeat(n);
    let show = |o: &Outcome<'_>| {
        let texts =
            [&o.user, &o.operation, &o.dependency, &o.error_type, &o.trace_id, &o.event_id, &o.journey, &o.step];
        let mut all: Vec<String> = texts.iter().filter_map(|t| t.as_ref().map(|t| format!("{t:.5}"))).collect();
        all.extend(o.status.map(|n| n.to_string()));
        all.extend(o.latency_ms.map(|n| n.to_string()));
        all.extend(o.measures.iter().map(|(name, n)| format!("{name:.5}={n}")));
        all.extend(o.attributes.iter().map(|(name, text)| format!("{name:.5}={text:.5}")));
        all.join(" ")
    };
    for (more, expected) in [
        // Texts take integers.
        (r#""user":184467"#.to_owned(), "18446"),
        (r#""user":-1,"trace_id":99999999999999999999999,"event_id":0"#.to_owned(), "-1 99999 0"),
        (r#""user":1.5"#.to_owned(), " user"),
        (r#""user":1e3"#.to_owned(), " user"),
        (r#""user":{"id":1},"operation":["pay"],"step":"s""#.to_owned(), "s user operation"),
        (r#""trace_id":true,"journey":false"#.to_owned(), " trace_id journey"),
        (r#""user":"","operation":"""#.to_owned(), ""),
        // Integers are integral numbers.
        (r#""status":500.0"#.to_owned(), "500"),
        (r#""status":5.0e2"#.to_owned(), "500"),
        (r#""status":"500""#.to_owned(), "500"),
        (r#""status":"500.0""#.to_owned(), "500"),
        (r#""status":" 200 ""#.to_owned(), "200"),
        (r#""status":"OK""#.to_owned(), " status"),
        (r#""status":"200 OK""#.to_owned(), " status"),
        (r#""status":200.5"#.to_owned(), " status"),
        (r#""status":true"#.to_owned(), " status"),
        (r#""status":[200]"#.to_owned(), " status"),
        (r#""status":9223372036854775808"#.to_owned(), " status"),
        (r#""status":"-""#.to_owned(), ""),
        (r#""status":"""#.to_owned(), ""),
        // Numbers take numeric text, and the ways in which proxies write nothing.
        (r#""latency_ms":"0.004""#.to_owned(), "0.004"),
        (r#""latency_ms":"-""#.to_owned(), ""),
        (r#""latency_ms":"""#.to_owned(), ""),
        (r#""latency_ms":"60.000, 0.001""#.to_owned(), " latency_ms"),
        (r#""latency_ms":true"#.to_owned(), " latency_ms"),
        (r#""latency_ms":1e999"#.to_owned(), " latency_ms"),
        (r#""latency_ms":"NaN""#.to_owned(), " latency_ms"),
        (r#""latency_ms":"-Infinity""#.to_owned(), " latency_ms"),
        (r#""measures":{"a":"1.5","b":"-","c":"","d":"x","e":true,"f":1e999,"g":2}"#.to_owned(), "a=1.5 g=2 measures"),
        (r#""measures":[1]"#.to_owned(), " measures"),
        (r#""measures":"-""#.to_owned(), " measures"),
        (
            r#""attributes":{"a":{},"b":[],"c":1e999,"d":"-","e":"","f":false,"g":1.50}"#.to_owned(),
            "d=- e= f=false g=1.50 attributes",
        ),
        (r#""attributes":["a"]"#.to_owned(), " attributes"),
        // Over a size limit.
        (format!(r#""operation":"{}","step":"{}""#, long(1_024), long(1_025)), "xxxxx step"),
        (format!(r#""trace_id":"{}","error_type":"{}""#, long(70_000), long(1_025)), " error_type trace_id"),
        (format!(r#""attributes":{{"a":"{}","b":"{}"}}"#, long(1_024), long(1_025)), "a=xxxxx attributes"),
        (format!(r#""attributes":{{"{}":"1","{}":"2"}}"#, long(256), long(257)), "xxxxx=1 attributes"),
        (format!(r#""measures":{{"{}":1,"{}":2}}"#, long(256), long(257)), "xxxxx=1 measures"),
        (format!(r#""attributes":{{"{}":null}}"#, long(257)), ""),
        (format!(r#""unknown":"{}""#, long(100_000)), ""),
    ] {
        assert_eq!(shown(&with(&more), show), expected, "{more:.200}");
    }
}

#[test]
fn weights_round_half_even_to_a_millionth() {
    for (weight, micros) in [
        ("1", "1000000"),
        ("0.0000015", "2"),
        ("0.0000025", "2"),
        ("0.00000251", "3"),
        ("1e-6", "1"),
        ("0.000001", "1"),
        ("1e6", "1000000000000"),
        ("0.1", "100000"),
        ("33.3333333", "33333333"),
        ("null", "1000000"),
    ] {
        let text = with(&format!(r#""weight":{weight}"#));
        assert_eq!(shown(&text, |o| o.weight_micros.to_string()), micros, "{weight}");
    }
}

#[test]
fn a_configured_tenant_fills_in_for_an_absent_or_empty_one() {
    let decoder = decoder(InputSettings { default_tenant: Some("house".into()), ..InputSettings::default() });
    for (tenant, expected) in [("", "house"), (r#""tenant":"","#, "house"), (r#""tenant":"a","#, "a")] {
        let text = format!(r#"{{{tenant}"timestamp":{T}}}"#);
        assert_eq!(decoder.decode(&record(text.as_bytes())).unwrap().tenant, expected);
    }
    assert!(Decoder::new(InputSettings { default_tenant: Some(String::new()), ..InputSettings::default() }).is_err());
}

#[test]
fn a_rejection_says_what_and_where() {
    let decoder = decoder(InputSettings::default());
    for (text, detail) in [
        (with(r#""weight":[]"#), "`weight` must be a number, and is an object, a list or bytes"),
        ("{\"a\":tru}".to_owned(), "not a JSON object: expected a value at byte 5"),
        (with(r#""weight":1e999"#), "`weight` is inf"),
        (
            with(r#""timestamp":1780074045.845"#),
            "`timestamp` must be a time: epoch milliseconds as an integer, or RFC 3339 text, and is 1780074045.845; it \
             looks like seconds since 1970: write `timestamp: {path: ..., unit: s}` in input.mapping",
        ),
        (
            with(r#""timestamp":"2026-05-29T17:00:48""#),
            "`timestamp` must be a time: epoch milliseconds as an integer, or RFC 3339 text, and is \
             \"2026-05-29T17:00:48\"; it has no offset from UTC: have it written with `Z` or `+02:00`",
        ),
        (
            with(&format!(r#""timestamp":"{}""#, "x".repeat(100))),
            &format!(
                "`timestamp` must be a time: epoch milliseconds as an integer, or RFC 3339 text, and is \"{}...\"",
                "x".repeat(60)
            ),
        ),
    ] {
        assert_eq!(decoder.decode(&record(text.as_bytes())).unwrap_err().detail, detail);
    }
}

/// `latency_ms` is added to a time that is a request's start, in every format.
#[test]
fn the_latency_is_added_to_the_start_of_a_request() {
    let decoder = |settings| Decoder::new(InputSettings { timestamp_is: TimestampIs::Start, ..settings }).unwrap();
    let json = decoder(InputSettings::default());
    let start_ms = 1_780_074_045_845;
    for (latency, at_ms) in [
        (r#","latency_ms":300000"#, start_ms + 300_000),
        (r#","latency_ms":"0.9""#, start_ms),
        (r#","latency_ms":15.567"#, start_ms + 15),
        (r#","latency_ms":-5"#, start_ms),
        (r#","latency_ms":"-""#, start_ms),
        (r#","latency_ms":"60.0, 0.1""#, start_ms),
        ("", start_ms),
    ] {
        let text = format!(r#"{{"tenant":"a","timestamp":{start_ms}{latency}}}"#);
        let at = json.decode(&record(text.as_bytes())).map(|outcome| outcome.timestamp_ms);
        assert_eq!(at, Ok(at_ms), "{text}");
    }
    let mapping = serde_json::from_str(r#"{"latency_ms": {"path": "took", "unit": "s"}}"#).unwrap();
    let mapped = decoder(InputSettings { mapping, ..InputSettings::default() });
    let text = format!(r#"{{"tenant":"a","timestamp":{start_ms},"took":2}}"#);
    assert_eq!(mapped.decode(&record(text.as_bytes())).unwrap().timestamp_ms, start_ms + 2_000);
    let clf = decoder(InputSettings { format: Format::Clf, ..InputSettings::default() });
    let line = br#"h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 504 0 "-" "-" 300.004"#;
    assert_eq!(clf.decode(&record(line)).unwrap().timestamp_ms, 1_431_857_103_000 + 300_004);
    // A time far in the future cannot be written.
    let ages = format!(r#"{{"tenant":"a","timestamp":{start_ms},"latency_ms":1e300}}"#);
    assert_eq!(json.decode(&record(ages.as_bytes())).unwrap_err().reason, Rejection::NotDecodable);
}

/// The end of a request must not lie after the record's time.
#[test]
fn the_end_of_a_request_may_be_in_the_future() {
    let settings = InputSettings {
        timestamp_is: TimestampIs::Start,
        max_future_skew_ms: Some(30_000),
        ..InputSettings::default()
    };
    let decoder = Decoder::new(settings).unwrap();
    let text = r#"{"tenant":"a","timestamp":1780074045845,"latency_ms":30001}"#;
    let at = |ms| RecordIn { timestamp_ms: Some(ms), ..record(text.as_bytes()) };
    assert_eq!(decoder.decode(&at(1_780_074_045_845)).unwrap_err().reason, Rejection::InTheFuture);
    assert!(decoder.decode(&at(1_780_074_045_846)).is_ok());
}
