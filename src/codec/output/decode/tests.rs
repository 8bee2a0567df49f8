use super::super::{Encoder, OutputFormat};
use super::*;
use crate::model::output::UserStatus;

fn user() -> UserStatus {
    UserStatus {
        slo: "checkout".into(),
        tenant: "acme".into(),
        user: "u1".into(),
        window: "1d".into(),
        at: Moment(1_780_074_060_007),
        good: 1.0,
        bad: 3.5,
        sli: 0.2,
        sli_low: 0.1,
        rank: 1,
        first_bad: None,
        last_bad: Some(Moment(-1)),
        attributes: [("tier".to_owned(), "pro".to_owned()), ("region".to_owned(), "eu".to_owned())].into(),
    }
}

const AS_JSON: &str = r#"{"slo":"checkout","tenant":"acme","user":"u1","window":"1d","at":"2026-05-29T17:01:00.007Z","good":1.0,"bad":3.5,"sli":0.2,"sli_low":0.1,"rank":1,"first_bad":null,"last_bad":"1969-12-31T23:59:59.999Z","attributes":{"region":"eu","tier":"pro"}}"#;

fn encode(format: OutputFormat) -> Vec<u8> {
    Encoder::new(format).expect("valid schemas").encode(&user()).expect("fits its schema")
}

fn decode(topic: Topic, bytes: &[u8]) -> Result<String, DecodeError> {
    Decoder::new().expect("valid schemas").decode(topic, bytes).map(|v| v.to_string())
}

#[test]
fn reads_json_bare_avro_and_framed_avro_alike() {
    let bare = encode(OutputFormat::AvroRaw);
    let framed = [&[0u8, 0, 0, 1, 44][..], &bare].concat();
    assert_eq!(String::from_utf8_lossy(&encode(OutputFormat::Json)), AS_JSON);
    for bytes in [encode(OutputFormat::Json), bare, framed] {
        assert_eq!(decode(Topic::UserStatus, &bytes).as_deref(), Ok(AS_JSON));
    }
}

#[test]
fn says_of_each_decoder_why_it_failed() {
    let error = decode(Topic::UserStatus, b"\x01garbage").expect_err("is garbage").to_string();
    assert!(error.starts_with("no decoder reads this value (8 bytes, beginning with 01 67 61"), "{error}");
    assert!(error.contains("json: expected value at line 1"), "{error}");
    assert!(error.contains("; avro behind a registry frame: the first byte is 0x01, not 0x00"), "{error}");
    assert!(error.contains("; bare avro: schemas/user-status.avsc does not fit: "), "{error}");
}

#[test]
fn refuses_every_truncation_of_an_avro_value() {
    let bytes = encode(OutputFormat::AvroRaw);
    for end in 0..bytes.len() {
        assert!(decode(Topic::UserStatus, &bytes[..end]).is_err(), "{end} of {} bytes", bytes.len());
    }
}

#[test]
fn refuses_bytes_behind_an_avro_value() {
    let longer = [&encode(OutputFormat::AvroRaw)[..], b"x"].concat();
    let error = decode(Topic::UserStatus, &longer).expect_err("has a byte too many").to_string();
    assert!(error.contains("1 bytes are left over"), "{error}");
}

#[test]
fn refuses_internal_topics_and_json_that_is_no_record() {
    assert_eq!(decode(Topic::Partials, b"{}"), Err(DecodeError::Internal("internal.partials")));
    assert!(decode(Topic::UserStatus, b"17").expect_err("a number").to_string().contains("json: not an object"));
}
