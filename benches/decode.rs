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

/// A record of LiteLLM's proxy of some 4 KB, with messages and an answer that no field takes.
fn gateway_record() -> String {
    let text = "Say in one sentence what an error budget is, and give an example with numbers. ".repeat(18);
    format!(
        r#"{{"id":"chatcmpl-1","trace_id":"4bf92f35-77b3-4da6-a3ce-929d0e0e4736","litellm_call_id":"9d1c2b1e-5b1a-4b53-9a38-0d1c2b1e5b1a",
        "call_type":"acompletion","stream":true,"response_cost":0.0123,"status":"success","custom_llm_provider":"openai",
        "total_tokens":431,"prompt_tokens":380,"completion_tokens":51,"startTime":1767607200.123456,"endTime":1767607202.423456,
        "completionStartTime":1767607200.423456,"response_time":0.3,"model":"gpt-x","model_group":"chat","cache_hit":null,
        "metadata":{{"user_api_key_hash":"88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b","user_api_key_alias":"web",
        "user_api_key_team_id":"t-17","user_api_key_team_alias":"search","user_api_key_user_id":"default_user_id",
        "spend_logs_metadata":null,"requester_ip_address":"192.0.2.17","usage_object":{{"completion_tokens":51,"prompt_tokens":380}}}},
        "end_user":"user-184467","messages":[{{"role":"user","content":"{text}"}}],
        "response":{{"choices":[{{"finish_reason":"stop","index":0,"message":{{"content":"{text}","role":"assistant"}}}}]}},
        "error_str":null,"error_information":{{"error_code":"","error_class":"","llm_provider":"","traceback":"","error_message":"","normalized_error":null}},
        "model_parameters":{{"stream":true,"temperature":0.2}},"hidden_params":{{"model_id":"m-1","cache_key":null,"api_base":"https://llm.example.com","litellm_overhead_time_ms":2.1}}}}"#
    )
}

/// As many fields as the preset has, each from one path.
fn plain_mapping(fields: usize) -> serde_json::Map<String, serde_json::Value> {
    let texts = ["call_type", "model", "model_group", "end_user", "custom_llm_provider", "metadata.user_api_key_alias"];
    let numbers = ["response_cost", "total_tokens", "prompt_tokens", "completion_tokens", "response_time"];
    let pairs = [
        ("tenant", "metadata.user_api_key_team_alias"),
        ("user", "end_user"),
        ("operation", "call_type"),
        ("dependency", "custom_llm_provider"),
        ("trace_id", "trace_id"),
        ("event_id", "litellm_call_id"),
        ("error_type", "error_information.normalized_error"),
        ("status", "error_information.error_code"),
        ("latency_ms", "response_time"),
    ];
    let mut mapping = serde_json::Map::new();
    mapping.insert("timestamp".to_owned(), serde_json::json!({"path": "endTime", "unit": "s"}));
    mapping.extend(pairs.map(|(field, path)| (field.to_owned(), path.into())));
    mapping.extend(numbers.map(|path| (format!("measures.{path}"), path.into())));
    for at in 0..fields.saturating_sub(mapping.len()) {
        mapping.insert(format!("attributes.a{at}"), texts[at % texts.len()].into());
    }
    mapping
}

/// A preset must cost at most 1.3 times what a plain mapping of as many fields does.
fn gateway(c: &mut Criterion) {
    let mut group = c.benchmark_group("gateway");
    let text = gateway_record();
    let [(_, preset)] = tailburn::config::Preset::ALL;
    let preset = preset.content().mapping;
    let plain = plain_mapping(preset.len());
    assert_eq!(plain.len(), preset.len(), "as many fields");
    for (name, mapping) in [("plain", plain), ("preset", preset)] {
        let mapping = Mapping::try_from(mapping).expect("a mapping");
        let decoder = Decoder::new(InputSettings { mapping, ..InputSettings::default() }).expect("a decoder");
        let value = text.as_bytes();
        let record = RecordIn { partition: 0, offset: 0, key: None, value, timestamp_ms: None, headers: &NoHeaders };
        assert!(decoder.decode(&record).is_ok(), "{name}: the record decodes");
        group.throughput(Throughput::Bytes(value.len() as u64));
        group.bench_function(name, |b| b.iter(|| decoder.decode(black_box(&record)).is_ok_and(|o| o.timestamp_ms > 0)));
    }
    group.bench_function("peer_serde_json", |b| {
        b.iter(|| {
            serde_json::from_slice::<GatewayPeer<'_>>(black_box(text.as_bytes())).is_ok_and(|peer| peer.end_time > 0.0)
        });
    });
    group.finish();
}

/// The fields that the preset reads, as a struct for the peer.
#[derive(Deserialize)]
#[expect(dead_code, reason = "the peer keeps them, as the decoder does")]
struct GatewayPeer<'a> {
    #[serde(rename = "startTime")]
    start_time: f64,
    #[serde(rename = "endTime")]
    end_time: f64,
    #[serde(rename = "completionStartTime")]
    completion_start_time: f64,
    #[serde(borrow)]
    trace_id: Cow<'a, str>,
    #[serde(borrow)]
    litellm_call_id: Cow<'a, str>,
    #[serde(borrow)]
    call_type: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    model_group: Cow<'a, str>,
    #[serde(borrow)]
    custom_llm_provider: Cow<'a, str>,
    #[serde(borrow)]
    end_user: Cow<'a, str>,
    stream: Option<bool>,
    cache_hit: Option<bool>,
    response_cost: f64,
    total_tokens: i64,
    prompt_tokens: i64,
    completion_tokens: i64,
    #[serde(borrow)]
    metadata: GatewayMetadata<'a>,
    #[serde(borrow)]
    error_information: GatewayError<'a>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "the peer keeps them, as the decoder does")]
struct GatewayMetadata<'a> {
    #[serde(borrow)]
    user_api_key_alias: Cow<'a, str>,
    #[serde(borrow)]
    user_api_key_team_alias: Cow<'a, str>,
    #[serde(borrow)]
    user_api_key_user_id: Cow<'a, str>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "the peer keeps them, as the decoder does")]
struct GatewayError<'a> {
    #[serde(borrow)]
    error_code: Cow<'a, str>,
    #[serde(borrow)]
    error_class: Cow<'a, str>,
    #[serde(borrow)]
    normalized_error: Option<Cow<'a, str>>,
}

criterion_group!(benches, decode, gateway);
criterion_main!(benches);
