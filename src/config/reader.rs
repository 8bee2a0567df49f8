//! Takes typed values from the merged tree, one key at a time.
//!
//! Keys that are left at the end are unknown. So keys, types and defaults are listed only in one place (`read`).

use super::convert::{chosen, described, duration_of, flag, json_of, json_of_node, list, name_of, number_json, scalar};
use super::error::{Origin, Problem};
use super::secret;
use super::{size, structure, yaml};
use crate::model::duration;
use crate::model::suggest::closest;
use crate::model::time::Ms;
use config::{Map, Value, ValueKind};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One key for `config show`.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: String,
    /// As written in a file; secrets redacted.
    pub value: serde_json::Value,
    pub origin: Origin,
    /// For a mapping that other modules parse: where each item was set.
    pub items: Vec<(String, Origin)>,
}

impl Entry {
    fn new(key: impl Into<String>, value: serde_json::Value, origin: Origin) -> Entry {
        Entry { key: key.into(), value, origin, items: Vec::new() }
    }

    /// The entry; where a preset and the user both set its items, or only a preset, one entry for each item, in order.
    pub fn told_apart(&self) -> Vec<Entry> {
        let is_preset = |(_, origin): &(String, Origin)| matches!(origin, Origin::Preset { .. });
        let Some(map) = self.value.as_object().filter(|_| self.items.iter().any(is_preset)) else {
            return vec![self.clone()];
        };
        let of = |name: &String| self.items.iter().find(|(item, _)| item == name).map(|(_, origin)| origin.clone());
        let sorted: BTreeMap<&String, &serde_json::Value> = map.iter().collect();
        let entry = |(name, value): (&String, &serde_json::Value)| {
            Entry::new(format!("{}.{name}", self.key), value.clone(), of(name).unwrap_or_else(|| self.origin.clone()))
        };
        sorted.into_iter().map(entry).collect()
    }

    /// Where this key, or an item of its mapping, was set; of what is below an item, the place of the nearest.
    pub(super) fn origin_of(&self, key: &str) -> Option<&Origin> {
        let name = key.strip_prefix(&self.key)?;
        let mut below = name.strip_prefix('.');
        while let Some(name) = below {
            if let Some((_, origin)) = self.items.iter().find(|(item, _)| item == name) {
                return Some(origin);
            }
            below = name.rsplit_once('.').map(|(above, _)| above);
        }
        (name.is_empty() || name.starts_with('.')).then_some(&self.origin)
    }
}

pub struct Reader<'a> {
    tree: Map<String, Value>,
    base: PathBuf,
    environment: &'a [(String, String)],
    problems: Vec<Problem>,
    entries: Vec<Entry>,
}

impl<'a> Reader<'a> {
    pub fn new(
        tree: Result<Map<String, Value>, config::ConfigError>,
        base: PathBuf,
        environment: &'a [(String, String)],
        mut problems: Vec<Problem>,
    ) -> Reader<'a> {
        let tree = tree.unwrap_or_else(|e| {
            problems.push(Problem::new("", format!("the layers do not merge: {e}"), ""));
            Map::new()
        });
        Reader { tree, base, environment, problems, entries: Vec::new() }
    }

    /// The entries and all problems; unread keys are problems, too.
    pub fn finish(mut self) -> (Vec<Entry>, Vec<Problem>) {
        let mut left = Vec::new();
        leaves(&std::mem::take(&mut self.tree), "", &mut left);
        // The crate's maps have no order; errors are shown in the file's order.
        left.sort_by_key(|l| (line_of(&l.origin), l.key.clone()));
        // `http:` with nothing below it sets nothing, and is not a mistake.
        left.retain(|l| !(l.empty && self.is_section(&l.key)));
        let more = left.len().saturating_sub(UNKNOWN_MAX);
        for Left { key, origin, .. } in left.into_iter().take(UNKNOWN_MAX) {
            let problem = self.unknown(&key).at(origin);
            self.problems.push(problem);
        }
        if more > 0 {
            let message = format!("{more} more keys are unknown");
            self.problems.push(Problem::new("", message, "Correct those above first."));
        }
        (self.entries, self.problems)
    }

    /// The key that was read last.
    pub(super) fn last_entry(&mut self) -> Option<&mut Entry> {
        self.entries.last_mut()
    }

    fn is_section(&self, key: &str) -> bool {
        self.entries.iter().any(|e| e.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
    }

    fn unknown(&self, key: &str) -> Problem {
        let known = || self.entries.iter().map(|e| e.key.as_str());
        if self.is_section(key) {
            return Problem::new(
                key,
                "is a section, not a value",
                format!("Write its keys below it: {}", below(key, known())),
            );
        }
        let leaf = key.rsplit('.').next().unwrap_or(key);
        let same_leaf = known().find(|k| k.rsplit('.').next() == Some(leaf));
        let remedy = match same_leaf.or_else(|| closest(key, known().chain(sections(known())))) {
            Some(meant) => format!("Did you mean `{meant}`?"),
            None => "`tailburn config show` lists every key.".to_owned(),
        };
        Problem::new(key, "unknown key", remedy)
    }

    /// Whether a layer has a value for the key; does not read it.
    pub fn is_set(&self, key: &str) -> bool {
        let mut at = &self.tree;
        let mut parts = key.split('.').peekable();
        while let Some(value) = parts.next().and_then(|part| at.get(part)) {
            match &value.kind {
                ValueKind::Table(inner) => at = inner,
                _ => return parts.peek().is_none() && !is_null(value),
            }
        }
        false
    }

    pub fn text(&mut self, key: &str, default: &str) -> String {
        self.read(key, default.to_owned(), |v| json!(v), scalar)
    }

    /// Null means `None`, in every layer.
    pub fn nullable_text(&mut self, key: &str, default: Option<&str>) -> Option<String> {
        let shown = key.to_owned();
        let default = default.map(str::to_owned);
        let show = move |v: &Option<String>| json!(v.as_deref().map(|v| secret::redact(&shown, v)));
        self.nullable(key, default, show, scalar)
    }

    /// As `nullable_text`, with `${ENV}` references resolved.
    pub fn nullable_secret(&mut self, key: &str) -> Option<String> {
        let written = self.nullable_text(key, None)?;
        let origin = self.origin(key);
        self.expanded(key, &written, &origin)
    }

    pub fn flag(&mut self, key: &str, default: bool) -> bool {
        self.read(key, default, |v| json!(v), flag)
    }

    /// `shown` is what `config show` prints for an unset key.
    pub fn optional_flag(&mut self, key: &str, shown: bool) -> Option<bool> {
        self.nullable(key, None, |v| json!(v.unwrap_or(shown)), flag)
    }

    pub fn number<T>(&mut self, key: &str, default: T) -> T
    where
        T: Copy + TryFrom<i64> + std::fmt::Display,
    {
        self.read(
            key,
            default,
            |v| number_json(&v.to_string()),
            |kind| {
                let number = match kind {
                    ValueKind::I64(i) => Some(*i),
                    ValueKind::String(s) => s.trim().parse().ok(),
                    _ => None,
                };
                let number = number.ok_or_else(|| format!("{} is not a whole number", described(kind)))?;
                T::try_from(number).map_err(|_| format!("{number} is out of range"))
            },
        )
    }

    pub fn duration(&mut self, key: &str, default_ms: Ms) -> Ms {
        self.read(key, default_ms, |v| json!(duration::print(*v)), duration_of)
    }

    pub fn nullable_duration(&mut self, key: &str) -> Option<Ms> {
        self.nullable(key, None, |v| json!(v.map(duration::print)), duration_of)
    }

    pub fn size(&mut self, key: &str, default_bytes: u64) -> u64 {
        self.read(
            key,
            default_bytes,
            |v| json!(size::print(*v)),
            |kind| {
                let text = scalar(kind)?;
                size::parse(&text)
                    .ok_or_else(|| format!("`{text}` is not a size: write a number and a unit, as in 512MiB"))
            },
        )
    }

    pub fn choice<T: Copy + PartialEq>(&mut self, key: &str, choices: &[(&str, T)], default: T) -> T {
        self.read(key, default, |v| json!(name_of(choices, v)), |kind| chosen(choices, kind))
    }

    /// `shown` is the text of `config show` for an unset key.
    pub fn optional_choice<T: Copy + PartialEq>(&mut self, key: &str, choices: &[(&str, T)], shown: T) -> Option<T> {
        let show = |v: &Option<T>| json!(name_of(choices, &v.unwrap_or(shown)));
        self.nullable(key, None, show, |kind| chosen(choices, kind))
    }

    pub fn nullable_choice<T: Copy + PartialEq>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let show = |v: &Option<T>| json!(v.and_then(|v| name_of(choices, &v)));
        self.nullable(key, None, show, |kind| chosen(choices, kind))
    }

    pub fn texts(&mut self, key: &str, default: &[&str]) -> Vec<String> {
        let default = default.iter().map(|s| (*s).to_owned()).collect();
        self.read(key, default, |v| json!(v), list)
    }

    pub fn path(&mut self, key: &str, default: &str) -> PathBuf {
        let text = self.text(key, default);
        self.resolved(&text)
    }

    pub fn paths(&mut self, key: &str, default: &[&str]) -> Vec<PathBuf> {
        self.texts(key, default).iter().map(|t| self.resolved(t)).collect()
    }

    pub fn nullable_path(&mut self, key: &str) -> Option<PathBuf> {
        self.nullable_text(key, None).map(|t| self.resolved(&t))
    }

    fn resolved(&self, text: &str) -> PathBuf {
        self.base.join(Path::new(text))
    }

    /// A mapping that other modules parse: its keys in order, its values unchanged.
    pub(super) fn json_map(&mut self, key: &str) -> serde_json::Value {
        let items = self.items(key);
        let map = self.read(key, json!({}), Clone::clone, |kind| match kind {
            ValueKind::Table(_) => Ok(structure::with_structures(json_of(kind), &items)),
            ValueKind::String(text) => match yaml::parse(text).map(|p| p.node) {
                Ok(node @ yaml::Node::Map(_)) => Ok(json_of_node(&node)),
                Ok(yaml::Node::Null) => Ok(json!({})),
                _ => Err(format!("`{text}` is not a mapping")),
            },
            other => Err(format!("{} is not a mapping", described(other))),
        });
        if let Some(entry) = self.entries.last_mut().filter(|entry| entry.key == key) {
            entry.items = items;
        }
        map
    }

    /// A mapping or list that other modules parse, with secrets as they are written: `${ENV}` is resolved by who needs
    /// it. Names of files (`.._file`) are relative to the configuration.
    pub fn structure(&mut self, key: &str, default: serde_json::Value) -> serde_json::Value {
        let is_list = default.is_array();
        let taken = self.take(key).filter(|value| !is_null(value));
        let Some(value) = taken else {
            self.entries.push(Entry::new(key, default.clone(), Origin::Default));
            return default;
        };
        let (origin, mut items) = (origin_within(&value), Vec::new());
        structure::items(&value, "", &mut items);
        let read = structure::written(&value).filter(|json| if is_list { json.is_array() } else { json.is_object() });
        let json = read.unwrap_or_else(|| {
            let wanted = if is_list { "list" } else { "mapping" };
            let message = format!("{} is not a {wanted}", described(&value.kind));
            self.problems.push(Problem::new(key, message, "").at(origin.clone()));
            default
        });
        let json = structure::with_paths(json, &|text| self.resolved(text).display().to_string());
        self.entries.push(Entry { key: key.to_owned(), value: structure::shown(key, &json), origin, items });
        json
    }

    /// Where the items of a mapping were set; does not read it.
    fn items(&self, key: &str) -> Vec<(String, Origin)> {
        let mut at = &self.tree;
        for part in key.split('.') {
            match at.get(part).map(|value| &value.kind) {
                Some(ValueKind::Table(inner)) => at = inner,
                _ => return Vec::new(),
            }
        }
        BTreeMap::from_iter(at).into_iter().map(|(name, value)| (name.clone(), origin_within(value))).collect()
    }

    /// A mapping of names to text; numbers and booleans become text, references are resolved.
    pub fn properties(&mut self, key: &str, defaults: &[(&str, &str)]) -> BTreeMap<String, String> {
        let mut properties: BTreeMap<String, (String, Origin)> =
            defaults.iter().map(|(k, v)| ((*k).to_owned(), ((*v).to_owned(), Origin::Default))).collect();
        match self.take(key) {
            Some(Value { kind: ValueKind::Table(table), .. }) => {
                // In the order of names, so that problems always have the same order.
                for (name, value) in BTreeMap::from_iter(table) {
                    self.property(key, name, &value, &mut properties);
                }
            }
            Some(other) if other.kind != ValueKind::Nil => {
                let message = format!("{} is not a mapping of properties", described(&other.kind));
                self.problems.push(Problem::new(key, message, "").at(Origin::decode(other.origin())));
            }
            _ => {}
        }
        let mut resolved = BTreeMap::new();
        for (name, (written, origin)) in properties {
            let key = format!("{key}.{name}");
            let value = json!(secret::redact(&key, &written));
            self.entries.push(Entry::new(key.clone(), value, origin.clone()));
            if let Some(value) = self.expanded(&key, &written, &origin) {
                resolved.insert(name, value);
            }
        }
        resolved
    }

    fn property(&mut self, key: &str, name: String, value: &Value, into: &mut BTreeMap<String, (String, Origin)>) {
        let origin = Origin::decode(value.origin());
        match scalar(&value.kind) {
            Ok(text) => drop(into.insert(name, (text, origin))),
            // Null removes a property, also a default.
            Err(_) if value.kind == ValueKind::Nil => drop(into.remove(&name)),
            Err(message) => {
                let remedy = "Write a property's full name as one key, as in `sasl.mechanism: PLAIN`.";
                self.problems.push(Problem::new(format!("{key}.{name}"), message, remedy).at(origin));
            }
        }
    }

    /// Values of the environment are literal: `${..}` works in the file and in `--set`.
    fn expanded(&mut self, key: &str, written: &str, origin: &Origin) -> Option<String> {
        if matches!(origin, Origin::Env { .. }) {
            return Some(written.to_owned());
        }
        let environment = self.environment;
        let lookup = |name: &str| environment.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        match secret::expand(written, lookup) {
            Ok(value) => Some(value),
            Err(secret::UnknownVariable(name)) => {
                let message = format!("refers to ${{{name}}}, which is not in the environment");
                self.problems.push(
                    Problem::new(key, message, format!("Set {name}, or write $${{ for a literal ${{."))
                        .at(origin.clone()),
                );
                None
            }
        }
    }

    fn origin(&self, key: &str) -> Origin {
        self.entries.iter().find(|e| e.key == key).map(|e| e.origin.clone()).unwrap_or_default()
    }

    fn nullable<T>(
        &mut self,
        key: &str,
        default: Option<T>,
        show: impl Fn(&Option<T>) -> serde_json::Value,
        parse: impl Fn(&ValueKind) -> Result<T, String>,
    ) -> Option<T> {
        match self.take(key) {
            None => {
                self.entries.push(Entry::new(key, show(&default), Origin::Default));
                default
            }
            Some(value) if is_null(&value) => {
                let origin = Origin::decode(value.origin());
                self.entries.push(Entry::new(key, show(&None), origin));
                None
            }
            Some(value) => self.parsed(key, value, default, show, |kind| parse(kind).map(Some)),
        }
    }

    /// An absent key, and one without a value, has its default.
    fn read<T>(
        &mut self,
        key: &str,
        default: T,
        show: impl Fn(&T) -> serde_json::Value,
        parse: impl Fn(&ValueKind) -> Result<T, String>,
    ) -> T {
        match self.take(key) {
            Some(value) if value.kind != ValueKind::Nil => self.parsed(key, value, default, show, parse),
            _ => {
                self.entries.push(Entry::new(key, show(&default), Origin::Default));
                default
            }
        }
    }

    fn parsed<T>(
        &mut self,
        key: &str,
        value: Value,
        default: T,
        show: impl Fn(&T) -> serde_json::Value,
        parse: impl Fn(&ValueKind) -> Result<T, String>,
    ) -> T {
        let mut origin = Origin::decode(value.origin());
        if let ValueKind::Table(table) = &value.kind
            && origin == Origin::Default
        {
            // The merge gives a table no origin of its own.
            origin = table.values().map(|v| Origin::decode(v.origin())).min_by_key(line_of).unwrap_or_default();
        }
        let result = parse(&value.kind);
        let (parsed, problem) = match result {
            Ok(parsed) => (parsed, None),
            Err(message) => (default, Some(message)),
        };
        self.entries.push(Entry::new(key, show(&parsed), origin.clone()));
        self.problems.extend(problem.map(|message| Problem::new(key, message, "").at(origin)));
        parsed
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        take(&mut self.tree, key)
    }
}

fn take(tree: &mut Map<String, Value>, key: &str) -> Option<Value> {
    let Some((section, rest)) = key.split_once('.') else { return tree.remove(key) };
    match &mut tree.get_mut(section)?.kind {
        ValueKind::Table(inner) => take(inner, rest),
        _ => None,
    }
}

/// How many unknown keys are reported, each with a suggestion.
const UNKNOWN_MAX: usize = 50;

/// An unknown key.
struct Left {
    key: String,
    origin: Origin,
    empty: bool,
}

/// The keys left in the tree. An empty section is not a key.
fn leaves(tree: &Map<String, Value>, prefix: &str, into: &mut Vec<Left>) {
    for (name, value) in BTreeMap::from_iter(tree) {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match &value.kind {
            ValueKind::Table(inner) => leaves(inner, &key, into),
            kind => into.push(Left { key, origin: Origin::decode(value.origin()), empty: *kind == ValueKind::Nil }),
        }
    }
}

fn line_of(origin: &Origin) -> u64 {
    match origin {
        Origin::File { line } => *line,
        _ => u64::MAX,
    }
}

fn sections<'k>(known: impl Iterator<Item = &'k str>) -> impl Iterator<Item = &'k str> {
    known.filter_map(|k| k.split_once('.').map(|(section, _)| section))
}

fn below<'k>(section: &str, known: impl Iterator<Item = &'k str>) -> String {
    let prefix = format!("{section}.");
    known.filter_map(|k| k.strip_prefix(&prefix)).collect::<Vec<_>>().join(", ")
}

/// Values of the environment and of `--set` are text: there `null` and the empty text mean null.
fn is_null(value: &Value) -> bool {
    match &value.kind {
        ValueKind::Nil => true,
        ValueKind::String(text) => {
            matches!(Origin::decode(value.origin()), Origin::Env { .. } | Origin::Set)
                && matches!(text.trim(), "" | "null" | "~")
        }
        _ => false,
    }
}

/// Where a value was set; the merge loses the place of a mapping, so the first item's is used.
pub(super) fn origin_within(value: &Value) -> Origin {
    match (Origin::decode(value.origin()), &value.kind) {
        (Origin::Default, ValueKind::Table(inner)) => {
            // The crate's maps have no order.
            let within = BTreeMap::from_iter(inner).into_values().map(origin_within);
            within.min_by_key(line_of).unwrap_or_default()
        }
        (Origin::Default, ValueKind::Array(items)) => {
            items.iter().map(origin_within).min_by_key(line_of).unwrap_or_default()
        }
        (origin, _) => origin,
    }
}
