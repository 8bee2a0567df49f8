//! Converts a value of any layer to the type of its key. An error explains itself in words that can follow the key's
//! name.

use super::yaml;
use crate::model::duration;
use crate::model::time::Ms;
use config::{Value, ValueKind};
use serde_json::json;
use std::collections::BTreeMap;

pub fn scalar(kind: &ValueKind) -> Result<String, String> {
    match kind {
        ValueKind::String(s) => Ok(s.clone()),
        ValueKind::Boolean(b) => Ok(b.to_string()),
        ValueKind::I64(i) => Ok(i.to_string()),
        ValueKind::Float(f) => Ok(f.to_string()),
        other => Err(format!("{} is not text", described(other))),
    }
}

pub fn duration_of(kind: &ValueKind) -> Result<Ms, String> {
    duration::parse(&scalar(kind)?).map_err(|e| e.to_string())
}

/// A list; a single text counts as a list of one, and text layers may write `a,b` or `[a, b]`.
pub fn list(kind: &ValueKind) -> Result<Vec<String>, String> {
    match kind {
        ValueKind::Array(items) => items.iter().map(|i| scalar(&i.kind)).collect(),
        ValueKind::String(text) if text.trim_start().starts_with('[') => match yaml::parse(text).map(|p| p.node) {
            Ok(yaml::Node::List(items)) => items
                .iter()
                .map(|i| match json_of_node(&i.node) {
                    serde_json::Value::String(s) => Ok(s),
                    other => Ok(other.to_string()),
                })
                .collect(),
            _ => Err(format!("`{text}` is not a list")),
        },
        ValueKind::String(text) => Ok(text.split(',').map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()).collect()),
        other => Err(format!("{} is not a list", described(other))),
    }
}

pub fn flag(kind: &ValueKind) -> Result<bool, String> {
    match kind {
        ValueKind::Boolean(b) => Ok(*b),
        ValueKind::String(s) if s == "true" => Ok(true),
        ValueKind::String(s) if s == "false" => Ok(false),
        other => Err(format!("{} is neither true nor false", described(other))),
    }
}

pub fn chosen<T: Copy>(choices: &[(&str, T)], kind: &ValueKind) -> Result<T, String> {
    let text = scalar(kind)?;
    let names: Vec<&str> = choices.iter().map(|(n, _)| *n).collect();
    choices
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, value)| *value)
        .ok_or_else(|| format!("`{text}` is not one of {}", names.join(", ")))
}

pub fn name_of<'c, T: PartialEq>(choices: &[(&'c str, T)], value: &T) -> Option<&'c str> {
    choices.iter().find(|(_, v)| v == value).map(|(name, _)| *name)
}

pub fn number_json(text: &str) -> serde_json::Value {
    text.parse::<i64>().map_or_else(|_| json!(text), |n| json!(n))
}

pub fn described(kind: &ValueKind) -> String {
    match kind {
        ValueKind::Nil => "null".to_owned(),
        ValueKind::Table(_) => "a mapping".to_owned(),
        ValueKind::Array(_) => "a list".to_owned(),
        other => format!("`{other}`"),
    }
}

pub fn json_of(kind: &ValueKind) -> serde_json::Value {
    match kind {
        ValueKind::Nil => serde_json::Value::Null,
        ValueKind::Boolean(b) => json!(b),
        ValueKind::I64(i) => json!(i),
        ValueKind::I128(i) => json!(i.to_string()),
        ValueKind::U64(u) => json!(u),
        ValueKind::U128(u) => json!(u.to_string()),
        ValueKind::Float(f) => json!(f),
        ValueKind::String(s) => json!(s),
        ValueKind::Array(items) => items.iter().map(|i| json_of(&i.kind)).collect(),
        ValueKind::Table(table) => {
            let sorted: BTreeMap<&String, &Value> = table.iter().collect();
            sorted.into_iter().map(|(k, v)| (k.clone(), json_of(&v.kind))).collect()
        }
    }
}

pub fn json_of_node(node: &yaml::Node) -> serde_json::Value {
    match node {
        yaml::Node::Null => serde_json::Value::Null,
        yaml::Node::Bool(b) => json!(b),
        yaml::Node::Int(i) => json!(i),
        yaml::Node::Float(f) => json!(f),
        yaml::Node::Text(t) => json!(t),
        yaml::Node::List(items) => items.iter().map(|i| json_of_node(&i.node)).collect(),
        yaml::Node::Map(pairs) => {
            let sorted: BTreeMap<&String, &yaml::Node> = pairs.iter().map(|(k, _, v)| (k, &v.node)).collect();
            sorted.into_iter().map(|(k, v)| (k.clone(), json_of_node(v))).collect()
        }
    }
}
