//! Turns values of our topics, in any format, into JSON, for `tap`.
//!
//! The decoders are tried in turn; if none can read a value, the error has the reason of each. Avro is read with the
//! schemas of this build: a value written with another version of its schema is refused or looks wrong, because a bare
//! datum does not name its schema.

use super::schema::{OutputSchema, ParsedSchemas, SchemaError};
use crate::model::record::Topic;
use crate::model::time::Moment;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;

/// A decoder, and why it could not read the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub decoder: &'static str,
    pub why: String,
}

/// Why a value could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("`{0}` is internal to tailburn: its values have no public schema")]
    Internal(&'static str),
    #[error("no decoder reads this value ({length} bytes, beginning with {beginning}): {}", Attempts(.attempts))]
    Undecodable { length: usize, beginning: String, attempts: Vec<Attempt> },
}

struct Attempts<'a>(&'a [Attempt]);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, attempt) in self.0.iter().enumerate() {
            let separator = if i > 0 { "; " } else { "" };
            write!(f, "{separator}{}: {}", attempt.decoder, attempt.why)?;
        }
        Ok(())
    }
}

type Reading<'a> = &'a dyn Fn() -> Result<Json, String>;

/// Reads values of our topics. Schemas are parsed once, at creation.
pub struct Decoder {
    schemas: ParsedSchemas,
}

impl Decoder {
    pub fn new() -> Result<Self, SchemaError> {
        Ok(Decoder { schemas: ParsedSchemas::parse()? })
    }

    /// The value as JSON, with the field order of its schema and times as RFC 3339 UTC.
    pub fn decode(&self, topic: Topic, bytes: &[u8]) -> Result<Json, DecodeError> {
        let schema = OutputSchema::of(topic).ok_or(DecodeError::Internal(topic.name()))?;
        let decoders: [(&'static str, Reading<'_>); 3] = [
            ("json", &|| read_json(bytes)),
            ("avro behind a registry frame", &|| self.read_avro(schema, unframe(bytes)?)),
            ("bare avro", &|| self.read_avro(schema, bytes)),
        ];
        let mut attempts = Vec::with_capacity(decoders.len());
        for (decoder, read) in decoders {
            match read() {
                Ok(value) => return Ok(value),
                Err(why) => attempts.push(Attempt { decoder, why }),
            }
        }
        Err(DecodeError::Undecodable { length: bytes.len(), beginning: beginning_of(bytes), attempts })
    }

    fn read_avro(&self, schema: OutputSchema, bytes: &[u8]) -> Result<Json, String> {
        let named = |e: apache_avro::Error| format!("schemas/{}.avsc does not fit: {e}", schema.name());
        let mut input = Input { rest: bytes, overrun: false };
        let reader = GenericDatumReader::builder(self.schemas.get(schema)).build().map_err(named)?;
        let value = reader.read_value(&mut input).map_err(named)?;
        if input.overrun {
            return Err(format!("schemas/{}.avsc does not fit: the value ends too early", schema.name()));
        }
        if !input.rest.is_empty() {
            let left = input.rest.len();
            return Err(format!("schemas/{}.avsc does not fit: {left} bytes are left over", schema.name()));
        }
        json_of(value)
    }
}

fn read_json(bytes: &[u8]) -> Result<Json, String> {
    match serde_json::from_slice(bytes) {
        Ok(object @ Json::Object(_)) => Ok(object),
        Ok(_) => Err("not an object".to_owned()),
        Err(e) => Err(e.to_string()),
    }
}

/// The payload after a schema registry's frame: a zero byte and a schema id of four bytes.
fn unframe(bytes: &[u8]) -> Result<&[u8], String> {
    match bytes {
        [0, _, _, _, _, payload @ ..] => Ok(payload),
        [0, ..] => Err("the frame ends within its schema id".to_owned()),
        [first, ..] => Err(format!("the first byte is {first:#04x}, not 0x00")),
        [] => Err("the value is empty".to_owned()),
    }
}

/// The library reads some truncated values as null; this detects that it read past the end.
struct Input<'a> {
    rest: &'a [u8],
    overrun: bool,
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.overrun |= self.rest.is_empty() && !buffer.is_empty();
        self.rest.read(buffer)
    }
}

fn json_of(value: Avro) -> Result<Json, String> {
    match value {
        Avro::Null => Ok(Json::Null),
        Avro::Boolean(v) => Ok(Json::Bool(v)),
        Avro::Int(v) => Ok(v.into()),
        Avro::Long(v) => Ok(v.into()),
        // JSON has no NaN and infinity; `from` gives null.
        Avro::Double(v) => Ok(v.into()),
        Avro::String(v) => Ok(Json::String(v)),
        Avro::TimestampMicros(micros) => Ok(Json::String(Moment(micros.div_euclid(1_000)).to_string())),
        Avro::Union(_, inner) => json_of(*inner),
        Avro::Array(items) => items.into_iter().map(json_of).collect::<Result<_, _>>().map(Json::Array),
        Avro::Map(entries) => {
            // Sorted, because the library's map is a hash map and output must be deterministic.
            let sorted: BTreeMap<String, Avro> = entries.into_iter().collect();
            object_of(sorted)
        }
        Avro::Record(fields) => object_of(fields),
        other => Err(format!("{:?} has no place in an output record", apache_avro::schema::SchemaKind::from(&other))),
    }
}

fn object_of(entries: impl IntoIterator<Item = (String, Avro)>) -> Result<Json, String> {
    entries.into_iter().map(|(name, value)| Ok((name, json_of(value)?))).collect::<Result<_, _>>().map(Json::Object)
}

/// The first bytes in hexadecimal, for a message.
fn beginning_of(bytes: &[u8]) -> String {
    let shown: Vec<String> = bytes.iter().take(16).map(|b| format!("{b:02x}")).collect();
    match shown.is_empty() {
        true => "nothing".to_owned(),
        false => shown.join(" "),
    }
}

#[cfg(test)]
mod tests;
