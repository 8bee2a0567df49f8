//! Mappings and lists that other modules parse: their values as written, where each was set, and what may be shown.

use super::convert::{json_of, json_of_node};
use super::error::Origin;
use super::reader::origin_within;
use super::{secret, yaml};
use config::{Value, ValueKind};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// The value as JSON; the environment and `--set` have text, which is YAML. `None`: it cannot be read.
pub fn written(value: &Value) -> Option<Json> {
    match &value.kind {
        ValueKind::String(text) => yaml::parse(text).ok().map(|placed| json_of_node(&placed.node)),
        _ => Some(literal(value)),
    }
}

/// What the environment holds is literal: `${` in it is no reference.
fn literal(value: &Value) -> Json {
    match &value.kind {
        ValueKind::String(text) if matches!(Origin::decode(value.origin()), Origin::Env { .. }) => {
            Json::String(text.replace("${", "$${"))
        }
        ValueKind::Array(items) => items.iter().map(literal).collect(),
        ValueKind::Table(table) => {
            let sorted: BTreeMap<&String, &Value> = table.iter().collect();
            sorted.into_iter().map(|(name, value)| (name.clone(), literal(value))).collect()
        }
        kind => json_of(kind),
    }
}

/// The entries of a mapping. The environment and `--set` have text: a list or a mapping in it is one.
pub fn with_structures(mut map: Json, items: &[(String, Origin)]) -> Json {
    let is_text_layer = |name: &str| {
        items.iter().any(|(item, origin)| item == name && matches!(origin, Origin::Env { .. } | Origin::Set))
    };
    for (name, value) in map.as_object_mut().into_iter().flatten() {
        let text = value.as_str().filter(|text| text.starts_with(['[', '{']) && is_text_layer(name));
        if let Some(placed) = text.and_then(|text| yaml::parse(text).ok()) {
            *value = json_of_node(&placed.node);
        }
    }
    map
}

/// Where each part was set, by its dotted name; items of lists have numbers from 0.
pub fn items(value: &Value, name: &str, into: &mut Vec<(String, Origin)>) {
    let mut below = |part: &str, value: &Value| {
        let name = if name.is_empty() { part.to_owned() } else { format!("{name}.{part}") };
        into.push((name.clone(), origin_within(value)));
        items(value, &name, into);
    };
    match &value.kind {
        ValueKind::Table(table) => BTreeMap::from_iter(table).into_iter().for_each(|(part, value)| below(part, value)),
        ValueKind::Array(all) => all.iter().enumerate().for_each(|(i, value)| below(&i.to_string(), value)),
        _ => {}
    }
}

/// Resolves the names of files.
pub fn with_paths(json: Json, resolve: &dyn Fn(&str) -> String) -> Json {
    let of_pair = |(name, value): (String, Json)| match value {
        Json::String(text) if name.ends_with("_file") => (name, Json::String(resolve(&text))),
        value => (name, with_paths(value, resolve)),
    };
    match json {
        Json::Object(pairs) => pairs.into_iter().map(of_pair).collect(),
        Json::Array(items) => items.into_iter().map(|item| with_paths(item, resolve)).collect(),
        leaf => leaf,
    }
}

/// Without secrets; `key` names the value.
pub fn shown(key: &str, json: &Json) -> Json {
    match json {
        Json::Object(pairs) => pairs.iter().map(|(name, value)| (name.clone(), shown(name, value))).collect(),
        Json::Array(items) => items.iter().map(|item| shown(key, item)).collect(),
        Json::String(text) => Json::String(secret::redact(key, text)),
        Json::Number(number) if secret::is_secret(key) => Json::String(secret::redact(key, &number.to_string())),
        leaf => leaf.clone(),
    }
}
