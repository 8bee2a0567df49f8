//! Reads values from a YAML tree and always knows the current file and key.
//!
//! A value of the wrong kind is reported and read as absent, so the rest of the document is still checked. Only scalars
//! are converted silently, to text.

use super::error::{DefinitionError, Notice, NoticeLevel, Report};
use super::yaml::{Entry, Node, Place, Value};
use crate::model::suggest::{closest, one_of};

/// A value, with its file and its key.
#[derive(Clone)]
pub(super) struct Cursor<'d> {
    pub file: &'d str,
    pub key: String,
    /// Position of the key, if there is one; else of the value.
    pub place: Place,
    pub node: &'d Node,
}

impl<'d> Cursor<'d> {
    pub fn root(file: &'d str, node: &'d Node) -> Cursor<'d> {
        Cursor { file, key: String::new(), place: node.place, node }
    }

    pub fn error(&self, report: &mut Report, message: impl Into<String>, remedy: impl Into<String>) {
        let remedy = remedy.into();
        report.errors.push(DefinitionError {
            file: self.file.to_owned(),
            line: Some(self.place.line),
            column: Some(self.place.column),
            key: self.key.clone(),
            message: message.into(),
            remedy: (!remedy.is_empty()).then_some(remedy),
        });
    }

    pub fn notice(&self, report: &mut Report, level: NoticeLevel, message: impl Into<String>) {
        report.notices.push(Notice {
            level,
            file: self.file.to_owned(),
            line: self.place.line,
            key: self.key.clone(),
            message: message.into(),
        });
    }

    /// Reports what was written, and how to write what is expected.
    fn wrong_kind(&self, report: &mut Report, wanted: &str) {
        let written = match &self.node.value {
            Value::Bool(_, text) | Value::Number(_, text) | Value::Text(text) => format!(" (`{}`)", shortened(text)),
            _ => String::new(),
        };
        let key = self.key.rsplit('.').next().unwrap_or_default();
        let remedy = match wanted {
            "true or false" => format!("write {key}: true or {key}: false"),
            "a list" => format!("write each item behind a dash, or in brackets: {key}: [...]"),
            "a mapping" => "write its keys below it, each with a colon".to_owned(),
            "a finite number" => format!("write {key}: and digits"),
            _ => String::new(),
        };
        self.error(report, format!("{wanted} is expected here, not {}{written}", self.node.value.kind()), remedy);
    }

    /// A text; a number or boolean becomes its text as written.
    pub fn text(&self, report: &mut Report) -> Option<&'d str> {
        match &self.node.value {
            Value::Text(text) | Value::Bool(_, text) | Value::Number(_, text) => Some(text),
            _ => {
                self.wrong_kind(report, "a text");
                None
            }
        }
    }

    /// A text that is not empty.
    pub fn name(&self, report: &mut Report) -> Option<&'d str> {
        let text = self.text(report)?;
        if text.trim().is_empty() || text.len() > MAX_NAME_BYTES || text.chars().any(char::is_control) {
            self.error(
                report,
                format!("a name must have 1 to {MAX_NAME_BYTES} bytes and no control characters"),
                "use lower-case letters, digits and hyphens, as in checkout-availability",
            );
            return None;
        }
        Some(text)
    }

    /// A number, with or without quotes.
    pub fn number(&self, report: &mut Report) -> Option<f64> {
        match &self.node.value {
            Value::Number(n, _) if n.is_finite() => Some(*n),
            Value::Text(text) => {
                let is_plain =
                    text.trim().bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
                let number = text.trim().parse::<f64>().ok().filter(|n| is_plain && n.is_finite());
                if number.is_none() {
                    self.error(
                        report,
                        format!("a number is expected here, not `{}`", shortened(text)),
                        number_remedy(text),
                    );
                }
                number
            }
            _ => {
                self.wrong_kind(report, "a finite number");
                None
            }
        }
    }

    pub fn bool(&self, report: &mut Report) -> Option<bool> {
        match &self.node.value {
            Value::Bool(b, _) => Some(*b),
            _ => {
                self.wrong_kind(report, "true or false");
                None
            }
        }
    }

    pub fn list(&self, report: &mut Report) -> Vec<Cursor<'d>> {
        let Value::List(items) = &self.node.value else {
            self.wrong_kind(report, "a list");
            return Vec::new();
        };
        let cursor = |(i, node): (usize, &'d Node)| Cursor {
            file: self.file,
            key: format!("{}[{i}]", self.key),
            place: node.place,
            node,
        };
        items.iter().enumerate().map(cursor).collect()
    }

    /// The entries of a mapping whose keys are free.
    pub fn entries(&self, report: &mut Report) -> Vec<(&'d str, Cursor<'d>)> {
        let Value::Map(entries) = &self.node.value else {
            self.wrong_kind(report, "a mapping");
            return Vec::new();
        };
        entries.iter().map(|entry| (entry.key.as_str(), self.child(entry))).collect()
    }

    /// The entries of a mapping with these keys and no others.
    pub fn fields(&self, report: &mut Report, known: &[&str]) -> Option<Fields<'d>> {
        let Value::Map(entries) = &self.node.value else {
            self.wrong_kind(report, "a mapping");
            return None;
        };
        let unknown: Vec<&Entry> = entries.iter().filter(|entry| !known.contains(&entry.key.as_str())).collect();
        for entry in unknown.iter().take(UNKNOWN_MAX) {
            let remedy = match closest(&entry.key, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the keys here are {}", one_of(known.iter().copied())),
            };
            self.child(entry).error(report, format!("there is no key `{}` here", entry.key), remedy);
        }
        if let Some(next) = unknown.get(UNKNOWN_MAX) {
            let more = format!("{} more keys that are not known", unknown.len() - UNKNOWN_MAX);
            self.child(next).error(report, more, "correct those above first");
        }
        Some(Fields { at: self.clone(), entries, unknown })
    }

    /// A key of a mapping, read before the mapping is checked.
    pub fn child_named(&self, key: &str) -> Option<Cursor<'d>> {
        let Value::Map(entries) = &self.node.value else { return None };
        let entry = entries.iter().find(|entry| entry.key == key && !matches!(entry.node.value, Value::Null))?;
        Some(self.child(entry))
    }

    fn child(&self, entry: &'d Entry) -> Cursor<'d> {
        let separator = if self.key.is_empty() { "" } else { "." };
        let key = format!("{}{separator}{}", self.key, entry.key);
        Cursor { file: self.file, key, place: entry.place, node: &entry.node }
    }
}

/// The part of a value that an error shows.
pub(super) fn shortened(text: &str) -> String {
    let mut letters = text.trim().chars();
    let shown: String = letters.by_ref().take(60).collect();
    if letters.next().is_some() { format!("{shown}...") } else { shown }
}

fn number_remedy(text: &str) -> &'static str {
    if text.contains(',') {
        "write a point for the decimals, as in 0.999"
    } else if text.contains('%') {
        "write targetPercent: 99.9, without the sign, or target: 0.999"
    } else {
        "write digits, as in 0.999"
    }
}

/// Long enough for every name people give; a Kafka key that is built from it stays short.
const MAX_NAME_BYTES: usize = 200;

/// How many unknown keys of a mapping are reported, each with a suggestion.
const UNKNOWN_MAX: usize = 20;

/// A mapping whose keys were checked.
#[derive(Clone)]
pub(super) struct Fields<'d> {
    pub at: Cursor<'d>,
    entries: &'d [Entry],
    unknown: Vec<&'d Entry>,
}

impl<'d> Fields<'d> {
    /// The value of a key; a key without a value counts as absent.
    pub fn get(&self, key: &str) -> Option<Cursor<'d>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        (!matches!(entry.node.value, Value::Null)).then(|| self.at.child(entry))
    }

    /// A key that was merely misspelt is not reported a second time, as missing.
    pub fn require(&self, report: &mut Report, key: &str, remedy: &str) -> Option<Cursor<'d>> {
        let found = self.get(key);
        let misspelt = || self.unknown.iter().take(UNKNOWN_MAX).any(|entry| closest(&entry.key, [key]).is_some());
        if found.is_none() && !misspelt() {
            self.at.error(report, format!("`{key}` is missing"), remedy);
        }
        found
    }

    /// Reports each of these keys if present: OpenSLO defines it, but tailburn does not support it yet.
    pub fn not_supported(&self, report: &mut Report, keys: &[(&str, &str)]) -> bool {
        let mut found = false;
        for (key, remedy) in keys {
            if let Some(cursor) = self.get(key) {
                cursor.error(report, format!("`{key}` is not supported yet"), *remedy);
                found = true;
            }
        }
        found
    }
}
