//! Lines of a file to outcomes or dead letters: section 1 of the contract, for files.
//!
//! It knows JSON lines and access logs, plain or gzipped. Numbers past the largest double, names over their
//! size limits and de-duplication are not modelled.

use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use serde_json::{Map, Value, json};

const YEAR_2000_MS: i64 = 946_684_800_000;
const YEAR_10000_MS: i64 = 253_402_300_800_000;
const OPTIONAL_TEXTS: [&str; 7] = ["operation", "dependency", "error_type", "trace_id", "event_id", "journey", "step"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    JsonLines,
    AccessLog,
}

#[derive(Debug)]
pub struct Outcome {
    pub tenant: String,
    pub user: Option<String>,
    pub time_ms: i64,
    pub weight_micros: i64,
    /// All present fields, as the filters see them.
    pub fields: Map<String, Value>,
}

pub fn read_lines(path: &Path) -> Vec<Vec<u8>> {
    let raw = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let bytes = if raw.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        flate2::read::MultiGzDecoder::new(&raw[..]).read_to_end(&mut plain).expect("a gzip file");
        plain
    } else {
        raw
    };
    let mut lines: Vec<Vec<u8>> = bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    for line in &mut lines {
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    if lines.last().is_some_and(Vec::is_empty) {
        lines.pop();
    }
    lines
}

pub fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

pub fn dead_letter(topic: &str, partition: usize, offset: usize, line: &[u8], reason: &str) -> Value {
    let value = base64::engine::general_purpose::STANDARD.encode(line);
    json!({"topic": topic, "partition": partition, "offset": offset, "key": null, "value_base64": value,
           "headers": {}, "reason": reason})
}

/// The outcome of a line, or the reason of its dead letter.
pub fn decode(line: &[u8], format: Format) -> Result<Outcome, &'static str> {
    let text = String::from_utf8_lossy(line);
    let record = match format {
        Format::JsonLines => serde_json::from_str(&whole_pairs(text.trim_start_matches('\u{feff}'))).ok(),
        Format::AccessLog => access_log_record(&text),
    };
    let Some(Value::Object(record)) = record else { return Err("not_decodable") };
    let get = |name: &str| record.get(name).unwrap_or(&Value::Null);
    let time_ms = timestamp(get("timestamp")).ok_or("not_decodable")?;
    let weight = number(get("weight")).ok_or("not_decodable")?.unwrap_or(1.0);
    let full = |name: &str| text_of(get(name)).flatten().filter(|text| !text.is_empty());
    let (tenant, user) = (full("tenant").ok_or("no_tenant")?, full("user"));
    let time_ms = time_ms.ok_or("no_timestamp")?;
    if time_ms < YEAR_2000_MS {
        return Err("before_2000");
    }
    if !weight.is_finite() {
        return Err("not_finite");
    }
    if !(1e-6..=1e6).contains(&weight) {
        return Err("weight_out_of_range");
    }
    if tenant.len() > 256 || user.as_ref().is_some_and(|user| user.len() > 1_024) {
        return Err("too_long");
    }
    let mut fields = optional_fields(&record);
    fields.insert("tenant".into(), json!(tenant));
    fields.insert("timestamp".into(), json!(time_ms));
    fields.extend(user.as_ref().map(|user| ("user".into(), json!(user))));
    let weight_micros = (weight * 1e6).round_ties_even() as i64;
    Ok(Outcome { tenant, user, time_ms, weight_micros, fields })
}

/// The readable optional fields; the others are absent.
fn optional_fields(record: &Map<String, Value>) -> Map<String, Value> {
    let mut fields = Map::new();
    for (name, value) in record {
        let readable = match name.as_str() {
            text if OPTIONAL_TEXTS.contains(&text) => short(text_of(value)).map(Value::from),
            "status" => integer(value).map(Value::from),
            "latency_ms" => number(value).flatten().filter(|n| n.is_finite()).map(Value::from),
            _ => None,
        };
        fields.extend(readable.map(|readable| (name.clone(), readable)));
    }
    let measures = entries(record, "measures", |v| Some(number(v)??).filter(|n| n.is_finite()).map(Value::from));
    let attributes = entries(record, "attributes", |v| short(attribute(v)).map(Value::from));
    fields.insert("measures".into(), Value::Object(measures));
    fields.insert("attributes".into(), Value::Object(attributes));
    fields
}

/// The readable entries of a map, at most 64.
fn entries(record: &Map<String, Value>, name: &str, read: impl Fn(&Value) -> Option<Value>) -> Map<String, Value> {
    let of = |map: &Map<String, Value>| map.iter().filter_map(|(k, v)| Some((k.clone(), read(v)?))).take(64).collect();
    record.get(name).and_then(Value::as_object).map(of).unwrap_or_default()
}

/// A text; the digits of an integer. The outer `None`: it cannot be read; the inner one: it is absent.
fn text_of(value: &Value) -> Option<Option<String>> {
    match value {
        Value::Null => Some(None),
        Value::String(text) => Some(Some(text.clone())),
        Value::Number(n) if !n.is_f64() => Some(Some(n.to_string())),
        _ => None,
    }
}

fn attribute(value: &Value) -> Option<Option<String>> {
    match value {
        Value::Number(_) | Value::Bool(_) => Some(Some(value.to_string())),
        other => text_of(other),
    }
}

fn short(text: Option<Option<String>>) -> Option<String> {
    text.flatten().filter(|text| text.len() <= 1_024)
}

/// A number, also in text; `-` and an empty text are absent.
fn number(value: &Value) -> Option<Option<f64>> {
    match value {
        Value::Null => Some(None),
        Value::Number(n) => Some(n.as_f64()),
        Value::String(text) if matches!(text.trim(), "" | "-") => Some(None),
        Value::String(text) => text.trim().parse().ok().map(Some),
        _ => None,
    }
}

fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| number(value)??.to_string().parse().ok())
}

fn timestamp(value: &Value) -> Option<Option<i64>> {
    let time_ms = match value {
        Value::Null => return Some(None),
        Value::String(text) => {
            let time: jiff::Timestamp = text.parse().ok()?;
            i64::try_from(time.as_nanosecond().div_euclid(1_000_000)).ok()?
        }
        other => other.as_i64()?,
    };
    (time_ms < YEAR_10000_MS).then_some(Some(time_ms))
}

/// The text with `\ufffd` for each escape of half a surrogate pair, which serde_json refuses.
fn whole_pairs(text: &str) -> String {
    let unit = |at: usize| {
        let digits = text.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        u32::from_str_radix(digits, 16).ok()
    };
    let (mut whole, mut at) = (String::new(), 0);
    while let Some(next) = text[at..].chars().next() {
        let (piece, length) = match unit(at) {
            Some(0xD800..0xDC00) if matches!(unit(at + 6), Some(0xDC00..0xE000)) => (&text[at..at + 12], 12),
            Some(0xD800..0xE000) => ("\\ufffd", 6),
            Some(_) => (&text[at..at + 6], 6),
            // An escaped backslash does not start another escape.
            None if text[at..].starts_with("\\\\") => ("\\\\", 2),
            None => (&text[at..at + next.len_utf8()], next.len_utf8()),
        };
        whole.push_str(piece);
        at += length;
    }
    whole
}

/// `host ident user [time] "request" status size ...`
fn access_log_record(line: &str) -> Option<Value> {
    let (front, time_ms, rest) = line.match_indices(" [").find_map(|(at, _)| {
        let (time, rest) = line[at + 2..].split_once("] \"")?;
        let time_ms = jiff::fmt::strtime::parse("%d/%b/%Y:%H:%M:%S %z", time).ok()?.to_timestamp().ok()?;
        (time.len() == 26).then_some((&line[..at], time_ms.as_millisecond(), rest))
    })?;
    let [address, ident, user] = front.splitn(3, ' ').collect::<Vec<_>>()[..] else { return None };
    if address.contains(',') || ident != "-" || user.starts_with("- ") || user.ends_with(" -") || !is_offset(line, rest)
    {
        return None;
    }
    let request_end = (0..rest.len()).find(|i| rest.as_bytes()[*i] == b'"' && !rest[..*i].ends_with('\\'))?;
    let mut tail = rest[request_end + 1..].split_whitespace();
    let (status, size) = (tail.next()?, tail.next()?);
    let mut record = json!({"tenant": "default", "user": peer(address), "timestamp": time_ms, "attributes": {}});
    record["status"] = status.parse::<i64>().ok().filter(|s| (100..600).contains(s)).into();
    if user != "-" {
        record["attributes"]["auth_user"] = Value::from(user);
    }
    let request: Vec<&str> = rest[..request_end].split_whitespace().collect();
    if let [method, target, ..] = request[..]
        && method != "-"
    {
        record["operation"] = Value::from(method);
        let path = target.split(['?', '#']).next().unwrap_or_default();
        let path = path
            .split_once("://")
            .map_or(path.to_owned(), |(_, rest)| format!("/{}", rest.split_once('/').map_or("", |(_, path)| path)));
        record["attributes"]["path"] = Value::from(path);
    }
    let mut rest = &rest[request_end + 1..];
    for name in ["referer", "user_agent"] {
        let Some((value, after)) = quoted(rest) else { break };
        rest = after;
        record["attributes"][name] = Value::from(if value == "-" { "" } else { value });
    }
    if let Ok(bytes) = size.parse::<u64>() {
        record["measures"] = json!({"bytes": bytes});
    }
    Some(record)
}

/// Whether the two digits before the time's closing bracket are quarters of an hour.
fn is_offset(line: &str, behind: &str) -> bool {
    let minutes = line[..line.len() - behind.len() - 3].chars().rev().take(2).collect::<String>();
    matches!(minutes.as_str(), "00" | "51" | "03" | "54")
}

/// The client as a user; a value that names no peer gives no user.
fn peer(host: &str) -> Option<String> {
    if matches!(host, "" | "-" | "unix" | "unix:" | "None" | "@") || host.starts_with('/') {
        return None;
    }
    let address = |text: &str| text.trim_matches(['[', ']']).parse::<std::net::IpAddr>().ok();
    let without_port = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map(|(name, _)| name);
    match address(host).or_else(|| address(without_port?)) {
        Some(found) => Some(found.to_canonical().to_string()),
        None => Some(without_port.unwrap_or(host).to_owned()),
    }
}

/// The next quoted text, and the rest; a quote after a backslash is part of the text.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let (_, text) = text.split_once('"')?;
    let mut escaped = false;
    let end = text.find(|c: char| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    Some((&text[..end], &text[end + 1..]))
}
