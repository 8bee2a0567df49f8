//! YAML text -> a tree in which every key and every value knows its line and column.
//!
//! A scalar keeps its text as written besides its type: an annotation `off` or a label `1.10` is text for us, whatever
//! YAML makes of it.

use super::error::DefinitionError;
use crate::model::yaml_fault::{self, YamlFault};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

/// Line and column where a key or a value starts, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub line: u64,
    pub column: u64,
}

#[derive(Debug)]
pub struct Node {
    pub place: Place,
    pub value: Value,
}

#[derive(Debug)]
pub enum Value {
    Null,
    Bool(bool, String),
    Number(f64, String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug)]
pub struct Entry {
    pub key: String,
    pub place: Place,
    pub node: Node,
}

impl Value {
    pub const fn kind(&self) -> &'static str {
        match self {
            Value::Null => "empty",
            Value::Bool(..) => "true or false",
            Value::Number(..) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// Every document of a file; empty ones are skipped. Each item of a top-level list is one document, as in a JSON file.
pub fn parse(file: &str, text: &str) -> Result<Vec<Node>, Box<DefinitionError>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let documents: Vec<Spanned<Raw>> =
        serde_saphyr::from_multiple_with_options(text, yaml_fault::options()).map_err(|e| {
            let fault = YamlFault::of(&e);
            Box::new(DefinitionError {
                file: file.to_owned(),
                line: fault.line,
                column: fault.column,
                key: String::new(),
                message: format!("this is not valid YAML: {}", fault.message),
                remedy: Some(fault.remedy.to_owned()),
            })
        })?;
    let mut nodes = Vec::with_capacity(documents.len());
    for document in documents {
        match node(document, text) {
            Node { value: Value::List(items), .. } => nodes.extend(items),
            Node { value: Value::Null, .. } => {}
            document => nodes.push(document),
        }
    }
    Ok(nodes)
}

/// A value as serde sees it.
enum Raw {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

fn node(raw: Spanned<Raw>, source: &str) -> Node {
    let written = || as_written(&raw.defined, source);
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Bool(b) => Value::Bool(b, written().unwrap_or_else(|| b.to_string())),
        Raw::Number(n) => Value::Number(n, written().unwrap_or_else(|| n.to_string())),
        Raw::Text(text) => Value::Text(text),
        Raw::List(items) => Value::List(items.into_iter().map(|item| node(item, source)).collect()),
        Raw::Map(entries) => Value::Map(entries.into_iter().map(|(key, value)| entry(key, value, source)).collect()),
    };
    Node { place: place(&raw.referenced), value }
}

fn entry(key: Spanned<String>, value: Spanned<Raw>, source: &str) -> Entry {
    Entry { place: place(&key.referenced), key: key.value, node: node(value, source) }
}

fn place(location: &Location) -> Place {
    Place { line: location.line(), column: location.column() }
}

/// The scalar's characters in the source.
fn as_written(location: &Location, source: &str) -> Option<String> {
    let start = usize::try_from(location.span().byte_offset()?).ok()?;
    let len = usize::try_from(location.span().byte_len()?).ok()?;
    let text = source.get(start..start.checked_add(len)?)?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Number(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Number(value as f64))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Number(value as f64))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
