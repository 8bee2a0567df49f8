//! The cost of decoding a record: `cargo bench --no-default-features --bench decode`.
//!
//! `json` is compared with serde_json and sonic-rs, which read the same record into borrowed texts with fewer checks
//! (no rules, no limits); the hand-written pass must beat them to be kept.
#![expect(clippy::expect_used, reason = "a benchmark that cannot read must not go on")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use std::borrow::Cow;
use std::hint::black_box;
use std::marker::PhantomData;
use tailburn::codec::{Decoder, Format, InputSettings, Mapping};
use tailburn::model::record::{NoHeaders, RecordIn};

const JSON: &str = r#"{"tenant":"acme-corp","user":"user-184467","timestamp":1780074045845,"operation":"checkout","status":200,"latency_ms":15.567,"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","attributes":{"tier":"pro","region":"eu-west-1","integration":"rest","release":"2026.11.3"}}"#;
const SHORT_JSON: &str = r#"{"tenant":"t1","user":"u74","timestamp":1780074045845,"operation":"pay","status":200,"latency_ms":15.567,"attributes":{"tier":"pro","region":"eu","integration":"rest","release":"r2"}}"#;
const TEXT_TIME_JSON: &str = r#"{"tenant":"t1","user":"u74","timestamp":"2026-05-29T17:00:45.845Z","operation":"pay","status":200,"latency_ms":15.567,"attributes":{"tier":"pro","region":"eu","integration":"rest","release":"r2"}}"#;
const CLF: &str = r#"192.0.2.17 - - [17/May/2015:10:05:03 +0000] "GET /images/search.png?q=1 HTTP/1.1" 200 203023 "https://example.com/start" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36""#;
const MAPPING: &str = r#"{"user": "user", "attributes.plan": "attributes.tier", "operation": "operation"}"#;

/// An outcome as a struct for the peers.
#[derive(Deserialize)]
struct Peer<'a> {
    #[serde(borrow)]
    tenant: Cow<'a, str>,
    #[serde(borrow)]
    user: Option<Cow<'a, str>>,
    timestamp: i64,
    #[serde(borrow)]
    operation: Option<Cow<'a, str>>,
    #[serde(borrow)]
    trace_id: Option<Cow<'a, str>>,
    status: Option<i64>,
    latency_ms: Option<f64>,
    #[serde(borrow)]
    attributes: Attributes<'a>,
}

struct Attributes<'a>(smallvec::SmallVec<[(&'a str, &'a str); 8]>);

impl<'de: 'a, 'a> Deserialize<'de> for Attributes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<'a>(PhantomData<&'a str>);
        impl<'de: 'a, 'a> Visitor<'de> for Pairs<'a> {
            type Value = Attributes<'a>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Attributes<'a>, A::Error> {
                let mut pairs = smallvec::SmallVec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Attributes(pairs))
            }
        }
        deserializer.deserialize_map(Pairs(PhantomData))
    }
}

impl Peer<'_> {
    fn sum(&self) -> usize {
        let texts = self.tenant.len() + self.user.as_ref().map_or(0, |u| u.len()) + self.attributes.0.len();
        let more = self.operation.as_ref().map_or(0, |t| t.len()) + self.trace_id.as_ref().map_or(0, |t| t.len());
        texts
            + more
            + self.timestamp as usize
            + self.status.map_or(0, |s| s as usize)
            + self.latency_ms.map_or(0, |l| l as usize)
    }
}

fn decoder(format: Format, mapping: &str) -> Decoder {
    let mapping: Mapping = serde_json::from_str(mapping).expect("the mapping is well-formed");
    Decoder::new(InputSettings { format, mapping, ..InputSettings::default() }).expect("the settings are well-formed")
}

fn avro() -> Vec<u8> {
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.push((text.len() * 2) as u8);
        bytes.extend_from_slice(text.as_bytes());
    };
    let mut bytes = Vec::new();
    text(&mut bytes, "acme-corp");
    bytes.push(2);
    text(&mut bytes, "user-184467");
    let mut zigzag = 1_780_074_045_845u64 << 1;
    while zigzag >= 0x80 {
        bytes.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    bytes.push(zigzag as u8);
    bytes.push(2);
    text(&mut bytes, "checkout");
    bytes.extend([0, 0]);
    bytes.push(2);
    text(&mut bytes, "4bf92f3577b34da6a3ce929d0e0e4736");
    bytes.extend([0, 0, 0]);
    bytes.extend([2, 0x90, 0x03, 2]);
    bytes.extend(15.567f64.to_le_bytes());
    bytes.extend([0, 8]);
    for (name, value) in [("tier", "pro"), ("region", "eu-west-1"), ("integration", "rest"), ("release", "2026.11.3")] {
        text(&mut bytes, name);
        text(&mut bytes, value);
    }
    bytes.push(0);
    bytes.extend(1f64.to_le_bytes());
    bytes
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    let avro = avro();
    for (name, format, mapping, value) in [
        ("json", Format::Json, "{}", JSON.as_bytes()),
        ("json_short", Format::Json, "{}", SHORT_JSON.as_bytes()),
        ("json_text_time", Format::Json, "{}", TEXT_TIME_JSON.as_bytes()),
        ("json_mapped", Format::Json, MAPPING, JSON.as_bytes()),
        ("avro", Format::Avro, "{}", &avro[..]),
        ("clf", Format::Clf, "{}", CLF.as_bytes()),
    ] {
        let decoder = decoder(format, mapping);
        let record = RecordIn { partition: 0, offset: 0, key: None, value, timestamp_ms: None, headers: &NoHeaders };
        assert!(decoder.decode(&record).is_ok(), "{name}: the record decodes");
        group.throughput(Throughput::Bytes(value.len() as u64));
        group.bench_function(name, |b| b.iter(|| decoder.decode(black_box(&record)).is_ok_and(|o| o.timestamp_ms > 0)));
    }
    group.throughput(Throughput::Bytes(JSON.len() as u64));
    group.bench_function("json_peer_serde_json", |b| {
        b.iter(|| serde_json::from_slice::<Peer<'_>>(black_box(JSON.as_bytes())).map_or(0, |peer| peer.sum()));
    });
    group.bench_function("json_peer_sonic_rs", |b| {
        b.iter(|| sonic_rs::from_slice::<Peer<'_>>(black_box(JSON.as_bytes())).map_or(0, |peer| peer.sum()));
    });
    group.bench_function("json_rejected", |b| {
        let decoder = decoder(Format::Json, "{}");
        let value = JSON.replace("1780074045845", "\"yesterday\"");
        let record = RecordIn {
            partition: 0,
            offset: 0,
            key: None,
            value: value.as_bytes(),
            timestamp_ms: None,
            headers: &NoHeaders,
        };
        b.iter_batched(|| record, |record| decoder.decode(&record).is_err(), BatchSize::SmallInput);
    });
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
