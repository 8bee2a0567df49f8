//! Dead letters: the output for a record that is not an outcome (contract, sections 1 and 8).
//!
//! In Kafka the original record is published with its key, value and headers, plus four headers with the reason and the
//! origin. A file gets one object per record.

use super::Rejected;
use crate::model::output::{DeadLetter, Labels};
use crate::model::record::{Damage, RecordIn, RecordOut, Topic};
use crate::model::time::Ms;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub const REASON: &str = "tailburn.reason";
pub const TOPIC: &str = "tailburn.topic";
pub const PARTITION: &str = "tailburn.partition";
pub const OFFSET: &str = "tailburn.offset";
/// The full length of a value that was cut.
pub const CUT: &str = Damage::CUT_FROM_BYTES;

/// Values are cut to this length: a record too large for the topic would block everything.
const VALUE_MAX_BYTES: usize = 12 << 20;

/// The original record, with the reason. `partition` is that of the dead-letter topic; `timestamp_ms` is used if the
/// record has no timestamp.
///
/// Headers of ours that the record already has (it was a dead letter before) are replaced.
pub fn for_kafka(
    record: &RecordIn<'_>,
    topic: &str,
    rejected: &Rejected,
    partition: u32,
    timestamp_ms: Ms,
) -> RecordOut {
    let mut headers = Vec::new();
    record.headers.for_each(&mut |name, value| {
        if ![REASON, TOPIC, PARTITION, OFFSET, CUT].contains(&name) {
            headers.push((name.to_owned(), value.to_vec()));
        }
    });
    for (name, value) in [
        (REASON, rejected.reason.as_str().to_owned()),
        (TOPIC, topic.to_owned()),
        (PARTITION, record.partition.to_string()),
        (OFFSET, record.offset.to_string()),
    ] {
        headers.push((name.to_owned(), value.into_bytes()));
    }
    let kept = &record.value[..record.value.len().min(VALUE_MAX_BYTES)];
    if kept.len() < record.value.len() {
        headers.push((CUT.to_owned(), record.value.len().to_string().into_bytes()));
    }
    RecordOut {
        topic: Topic::DeadLetters,
        partition,
        key: record.key.map(<[u8]>::to_vec),
        value: Some(kept.to_vec()),
        headers,
        timestamp_ms: record.timestamp_ms.unwrap_or(timestamp_ms),
    }
}

/// The line of `dead-letters.jsonl`: `topic` is the file's name, the offset the number of the line.
///
/// There are headers only for damaged input ([`Damage`]). Keys and headers that are not UTF-8 get replacement
/// characters; records of files have neither.
pub fn for_file(record: &RecordIn<'_>, topic: &str, rejected: &Rejected) -> DeadLetter {
    let mut headers = Labels::new();
    record.headers.for_each(&mut |name, value| {
        headers.insert(name.to_owned(), String::from_utf8_lossy(value).into_owned());
    });
    let kept = &record.value[..record.value.len().min(VALUE_MAX_BYTES)];
    if kept.len() < record.value.len() {
        // If the value was cut before, the original length is given.
        headers.entry(CUT.to_owned()).or_insert_with(|| record.value.len().to_string());
    }
    DeadLetter {
        topic: topic.to_owned(),
        partition: record.partition,
        offset: record.offset,
        key: record.key.map(|key| String::from_utf8_lossy(key).into_owned()),
        value_base64: STANDARD.encode(kept),
        headers,
        reason: rejected.reason.as_str().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::outcome::Rejection;
    use crate::model::record::{Headers, NoHeaders};

    struct TwoHeaders;

    impl Headers for TwoHeaders {
        fn for_each(&self, each: &mut dyn FnMut(&str, &[u8])) {
            each("trace", b"\x00\xff");
            each(REASON, b"an older one");
        }
    }

    fn rejected() -> Rejected {
        Rejected { reason: Rejection::NoTenant, detail: String::new(), looks_like: None }
    }

    #[test]
    fn the_record_leaves_as_it_came_with_four_headers_more() {
        let record = RecordIn {
            partition: 3,
            offset: 41,
            key: Some(b"k\xff"),
            value: b"\x00bad",
            timestamp_ms: Some(7),
            headers: &TwoHeaders,
        };
        let out = for_kafka(&record, "outcomes", &rejected(), 1, 9);
        assert_eq!((out.topic, out.partition, out.timestamp_ms), (Topic::DeadLetters, 1, 7));
        assert_eq!((out.key.as_deref(), out.value.as_deref()), (Some(&b"k\xff"[..]), Some(&b"\x00bad"[..])));
        let expected: [(&str, &[u8]); 5] = [
            ("trace", b"\x00\xff"),
            ("tailburn.reason", b"no_tenant"),
            ("tailburn.topic", b"outcomes"),
            ("tailburn.partition", b"3"),
            ("tailburn.offset", b"41"),
        ];
        let headers: Vec<(&str, &[u8])> = out.headers.iter().map(|(n, v)| (n.as_str(), v.as_slice())).collect();
        assert_eq!(headers, expected);
    }

    #[test]
    fn a_value_that_no_topic_takes_is_cut_and_says_so() {
        let value = vec![b'x'; VALUE_MAX_BYTES + 1];
        let record =
            RecordIn { partition: 0, offset: 0, key: None, value: &value, timestamp_ms: None, headers: &NoHeaders };
        let out = for_kafka(&record, "outcomes", &rejected(), 0, 0);
        assert_eq!(out.value.map(|kept| kept.len()), Some(VALUE_MAX_BYTES));
        let cut = out.headers.iter().find(|(name, _)| name == CUT).map(|(_, value)| value.clone());
        assert_eq!(cut, Some(value.len().to_string().into_bytes()));
    }

    #[test]
    fn a_file_gets_one_object_in_the_contracts_order() {
        let value = br#""not an object""#;
        let record =
            RecordIn { partition: 2, offset: 1_373, key: None, value, timestamp_ms: None, headers: &NoHeaders };
        let line = serde_json::to_string(&for_file(&record, "p2.jsonl", &rejected())).unwrap();
        let expected = r#"{"topic":"p2.jsonl","partition":2,"offset":1373,"key":null,"value_base64":"Im5vdCBhbiBvYmplY3Qi","headers":{},"reason":"no_tenant"}"#;
        assert_eq!(line, expected);
    }

    #[test]
    fn a_file_says_what_is_damaged_and_from_what_it_was_cut() {
        let damage = Damage { detail: "broken".to_owned(), records: 7, block: Some(3), cut_from_bytes: None };
        let of = |value: &[u8], damage: &Damage| {
            let record = RecordIn { partition: 0, offset: 5, key: None, value, timestamp_ms: None, headers: damage };
            for_file(&record, "o.avro", &rejected())
        };
        let line = of(b"rest", &damage);
        let headers: Vec<_> = line.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(headers, [("tailburn.block", "3"), ("tailburn.detail", "broken"), ("tailburn.records", "7")]);
        let large = vec![b'x'; VALUE_MAX_BYTES + 1];
        let cut = of(&large, &damage);
        assert_eq!(STANDARD.decode(&cut.value_base64).map(|kept| kept.len()), Ok(VALUE_MAX_BYTES));
        assert_eq!(cut.headers.get(CUT), Some(&large.len().to_string()));
        // A value that was cut before keeps its original length.
        let cut_before = Damage { cut_from_bytes: Some(99_000_000), block: None, ..damage };
        assert_eq!(of(&large, &cut_before).headers.get(CUT).map(String::as_str), Some("99000000"));
    }
}
