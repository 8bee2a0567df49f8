//! Lines of a file to outcomes or dead letters: section 1 of the contract, for files.
//!
//! It knows JSON lines and access logs, plain or gzipped. Size limits and de-duplication are not modelled.

use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use serde_json::{Map, Value, json};

const YEAR_2000_MS: i64 = 946_684_800_000;
const TEXTS: [&str; 9] =
    ["tenant", "user", "operation", "dependency", "error_type", "trace_id", "event_id", "journey", "step"];

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
    /// Every field that is there, as the filters see it.
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
    let record = match format {
        Format::JsonLines => serde_json::from_slice(line).ok(),
        Format::AccessLog => access_log_record(&String::from_utf8_lossy(line)),
    };
    let Some(Value::Object(record)) = record else { return Err("not_decodable") };
    let (fields, time_ms) = typed_fields(&record).ok_or("not_decodable")?;
    let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    let tenant = text("tenant").filter(|t| !t.is_empty()).ok_or("no_tenant")?;
    let time_ms = time_ms.ok_or("no_timestamp")?;
    if time_ms < YEAR_2000_MS {
        return Err("before_2000");
    }
    let weight = fields.get("weight").and_then(Value::as_f64).unwrap_or(1.0);
    if !(1e-6..=1e6).contains(&weight) {
        return Err("weight_out_of_range");
    }
    let weight_micros = (weight * 1e6).round_ties_even() as i64;
    Ok(Outcome { tenant, user: text("user").filter(|u| !u.is_empty()), time_ms, weight_micros, fields })
}

/// The fields with their types checked, nulls left out; `None` where one has the wrong type.
fn typed_fields(record: &Map<String, Value>) -> Option<(Map<String, Value>, Option<i64>)> {
    let mut fields = Map::new();
    let mut time_ms = None;
    for (name, value) in record.iter().filter(|(_, v)| !v.is_null()) {
        let typed = match name.as_str() {
            text if TEXTS.contains(&text) => Value::from(value.as_str()?),
            "status" => Value::from(status(value)?),
            "latency_ms" | "weight" => Value::from(value.as_f64()?),
            "timestamp" => {
                time_ms = Some(timestamp(value)?);
                Value::from(time_ms)
            }
            "measures" => Value::Object(measures(value.as_object()?)?),
            "attributes" => Value::Object(attributes(value.as_object()?)?),
            _ => continue,
        };
        fields.insert(name.clone(), typed);
    }
    for map in ["attributes", "measures"] {
        fields.entry(map).or_insert_with(|| json!({}));
    }
    Some((fields, time_ms))
}

fn status(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn timestamp(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let time: jiff::Timestamp = value.as_str()?.parse().ok()?;
        i64::try_from(time.as_nanosecond().div_euclid(1_000_000)).ok()
    })
}

fn measures(map: &Map<String, Value>) -> Option<Map<String, Value>> {
    let present = map.iter().filter(|(_, v)| !v.is_null());
    present.map(|(k, v)| Some((k.clone(), Value::from(v.as_f64()?)))).collect()
}

fn attributes(map: &Map<String, Value>) -> Option<Map<String, Value>> {
    let present = map.iter().filter(|(_, v)| !v.is_null());
    let text = |v: &Value| match v {
        Value::String(s) => Some(s.clone()),
        Value::Number(_) | Value::Bool(_) => Some(v.to_string()),
        _ => None,
    };
    present.map(|(k, v)| Some((k.clone(), Value::from(text(v)?)))).collect()
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

/// Whether the two digits in front of the bracket that closes the time are quarters of an hour.
fn is_offset(line: &str, behind: &str) -> bool {
    let minutes = line[..line.len() - behind.len() - 3].chars().rev().take(2).collect::<String>();
    matches!(minutes.as_str(), "00" | "51" | "03" | "54")
}

/// A client as a user; what names no peer is none.
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

/// The next text in quotes, and what follows it; a backslash before a quote makes it part of the text.
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
