//! Decodes records, selects and prints them, from any source.

use super::seen::Seen;
use super::select::{Select, key_of};
use super::{TapArgs, kind};
use crate::codec::output::{Decoder, OutputSchema};
use crate::model::record::Topic;
use crate::model::time::{Moment, Ms};
use base64::Engine as _;
use serde_json::{Map, Value, json};
use std::fmt;
use std::io::{ErrorKind, Write};
use std::ops::ControlFlow;

/// The place of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    #[cfg_attr(not(any(feature = "kafka", test)), expect(dead_code, reason = "only the Kafka reader makes it"))]
    Kafka {
        partition: i32,
        offset: i64,
        timestamp_ms: Option<Ms>,
    },
    Line {
        file: String,
        number: u64,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Kafka { partition, offset, .. } => write!(f, "partition {partition}, offset {offset}"),
            Place::Line { file, number } => write!(f, "{file}:{number}"),
        }
    }
}

/// A record as read. `value` is `None` for a tombstone.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    pub place: Place,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Vec<(&'a str, &'a [u8])>,
}

/// Whether to go on reading.
pub type Flow = ControlFlow<()>;

pub struct Printer<O, E> {
    topic: Topic,
    select: Select,
    decoder: Decoder,
    limit: u64,
    pretty: bool,
    envelope: bool,
    out: O,
    messages: E,
    printed: u64,
    undecodable: u64,
    /// What was skipped as long as nothing was printed.
    seen: Seen,
    /// Whether the notice about records of another kind was given.
    is_odd_told: bool,
}

impl<O: Write, E: Write> Printer<O, E> {
    pub fn new(topic: Topic, args: &TapArgs, out: O, messages: E) -> anyhow::Result<Self> {
        Ok(Printer {
            topic,
            select: args.select.clone(),
            decoder: Decoder::new()?,
            limit: args.limit.unwrap_or(u64::MAX),
            pretty: args.pretty,
            envelope: args.envelope,
            out,
            messages,
            printed: 0,
            undecodable: 0,
            seen: Seen::of(&args.select),
            is_odd_told: false,
        })
    }

    /// Takes the next record. Stops at the limit, and when nobody reads the output any more.
    pub fn take(&mut self, found: &Found<'_>) -> std::io::Result<Flow> {
        if self.printed >= self.limit {
            return Ok(Flow::Break(()));
        }
        let Some(bytes) = found.value else {
            return self.take_tombstone(found);
        };
        match self.decode(found, bytes) {
            Ok(value) => self.take_value(found, value),
            Err(why) => {
                self.undecodable += 1;
                self.tell(&format!("{} at {}: {why}", self.topic.name(), found.place))?;
                Ok(Flow::Continue(()))
            }
        }
    }

    /// A note for people, on standard error.
    pub fn tell(&mut self, message: &str) -> std::io::Result<()> {
        writeln!(self.messages, "tap: {message}")
    }

    /// At the end, explains why none of the records was printed.
    pub fn explain(&mut self) -> std::io::Result<()> {
        match self.seen.explanation() {
            Some(why) if self.printed == 0 => self.tell(&why),
            _ => Ok(()),
        }
    }

    /// The number of records decoded so far.
    pub const fn records(&self) -> u64 {
        self.seen.records
    }

    /// Ends the output and returns how many records could not be decoded.
    pub fn finish(mut self) -> std::io::Result<u64> {
        match self.out.flush() {
            Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(e),
            _ => Ok(self.undecodable),
        }
    }

    fn decode(&self, found: &Found<'_>, bytes: &[u8]) -> Result<Value, String> {
        match (self.topic, &found.place) {
            // In Kafka a dead letter is the original record, which has no schema of ours.
            (Topic::DeadLetters, Place::Kafka { .. }) => Ok(dead_letter(found, bytes)),
            _ => self.decoder.decode(self.topic, bytes).map_err(|e| e.to_string()),
        }
    }

    fn take_value(&mut self, found: &Found<'_>, value: Value) -> std::io::Result<Flow> {
        self.seen.records += 1;
        self.check_kind(&found.place, &value)?;
        let key = match found.key {
            Some(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            None => key_of(self.topic, &value),
        };
        if !self.select.passes(self.topic, key.as_deref(), &value) {
            if self.printed == 0 {
                self.seen.note(self.topic, key.as_deref(), &value);
            }
            return Ok(Flow::Continue(()));
        }
        let value = if self.envelope { enveloped(&found.place, key, value) } else { value };
        self.print(&value)
    }

    /// A file may hold the records of another topic (an error), or no records of ours at all (a notice).
    fn check_kind(&mut self, place: &Place, value: &Value) -> std::io::Result<()> {
        let Place::Line { file, number } = place else { return Ok(()) };
        if self.is_odd_told || kind::fits(self.topic, value) {
            return Ok(());
        }
        let asked = self.topic.name();
        match kind::of(value) {
            // The lines printed before were right, so a file that mixes topics is read to its end.
            Some(other) if self.seen.records == 1 => {
                let message = format!(
                    "{file}:{number} is a record of {0}, not of {asked}: `tailburn tap {0} --file {file}` prints it",
                    other.name()
                );
                Err(std::io::Error::new(ErrorKind::InvalidInput, message))
            }
            _ => {
                self.is_odd_told = true;
                self.tell(&format!("{file}:{number} lacks fields that records of {asked} have: is it the right file?"))
            }
        }
    }

    fn take_tombstone(&mut self, found: &Found<'_>) -> std::io::Result<Flow> {
        let key = found.key.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        if !self.select.passes_tombstone(key.as_deref()) {
            return Ok(Flow::Continue(()));
        }
        if self.envelope {
            return self.print(&enveloped(&found.place, key, Value::Null));
        }
        self.tell(&format!("tombstone of {} at {}", key.unwrap_or_else(|| "no key".into()), found.place))?;
        Ok(Flow::Continue(()))
    }

    fn print(&mut self, value: &Value) -> std::io::Result<Flow> {
        // One write a record: printing through `Display` would write token by token.
        let text = if self.pretty { format!("{value:#}\n") } else { format!("{value}\n") };
        match self.out.write_all(text.as_bytes()) {
            // A reader that stops early (`| head`) is not a failure.
            Err(e) if e.kind() == ErrorKind::BrokenPipe => return Ok(Flow::Break(())),
            other => other?,
        }
        self.printed += 1;
        Ok(if self.printed >= self.limit { Flow::Break(()) } else { Flow::Continue(()) })
    }
}

fn enveloped(place: &Place, key: Option<String>, value: Value) -> Value {
    match place {
        Place::Kafka { partition, offset, timestamp_ms } => json!({
            "key": key,
            "partition": partition,
            "offset": offset,
            "timestamp": timestamp_ms.map(|ms| Moment(ms).to_string()),
            "value": value,
        }),
        Place::Line { file, number } => json!({"key": key, "file": file, "line": number, "value": value}),
    }
}

/// A dead letter of the topic in the form that files have, with the value also as text if it is text.
fn dead_letter(found: &Found<'_>, bytes: &[u8]) -> Value {
    const OURS: &str = "tailburn.";
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let ours = |name: &str| {
        let header = found.headers.iter().find(|(n, _)| n.strip_prefix(OURS) == Some(name));
        header.map(|(_, value)| text(value))
    };
    let number = |name: &str| ours(name).and_then(|v| v.parse::<i64>().ok());
    let foreign = found.headers.iter().filter(|(name, _)| !name.starts_with(OURS));
    let headers: Map<String, Value> = foreign.map(|(n, v)| ((*n).to_owned(), Value::String(text(v)))).collect();
    json!({
        "topic": ours("topic"),
        "partition": number("partition"),
        "offset": number("offset"),
        "key": found.key.map(text),
        "value_base64": base64::engine::general_purpose::STANDARD.encode(bytes),
        "headers": headers,
        "reason": ours("reason"),
        "value": std::str::from_utf8(bytes).ok(),
    })
}

/// Only topics with a schema reach a printer.
const _: () = {
    let mut i = 0;
    while i < Topic::OUTPUTS.len() {
        assert!(OutputSchema::of(Topic::OUTPUTS[i]).is_some());
        i += 1;
    }
};

#[cfg(test)]
pub(super) mod tests;
