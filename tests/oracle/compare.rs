//! Two lists of records, figure by figure: numbers to 1e-9, everything else exactly.
//!
//! Only fields of the reference are compared, so it may leave fields out; missing, additional or reordered records are
//! differences, too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value};

use crate::input::read_lines;

const TOLERANCE: f64 = 1e-9;
/// The error that the contract allows for figures of very many users.
const SKETCH_TOLERANCE: f64 = 0.01;
/// How many differences of each field are shown.
const SHOWN: usize = 4;

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Status,
    Alert,
    User,
    Canary,
    DeadLetter,
}

impl Kind {
    fn identity(self, record: &Value) -> String {
        let fields: &[&str] = match self {
            Self::Status => &["at", "slo", "scope", "tenant", "group"],
            Self::Alert => &["at", "slo", "scope", "tenant", "group", "severity", "id", "seq"],
            Self::User => &["at", "slo", "tenant", "user"],
            Self::Canary => &["at", "slo", "candidate"],
            Self::DeadLetter => &["partition", "offset"],
        };
        let text = |f: &&str| record.get(*f).map(|v| v.as_str().map_or(v.to_string(), str::to_owned));
        fields.iter().map(|f| text(f).unwrap_or_default()).collect::<Vec<_>>().join(" ")
    }
}

pub fn read_records(path: &Path) -> Vec<Value> {
    let parse = |line: &Vec<u8>| serde_json::from_slice(line).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    read_lines(path).iter().filter(|l| !l.is_empty()).map(parse).collect()
}

#[derive(Default)]
pub struct Differences {
    pub count: usize,
    lines: Vec<String>,
    by_field: BTreeMap<String, usize>,
}

impl Differences {
    fn note(&mut self, identity: &str, path: &str, text: String) {
        self.count += 1;
        let of_field = self.by_field.entry(without_indices(path)).or_default();
        *of_field += 1;
        if *of_field <= SHOWN {
            self.lines.push(format!("  [{identity}] {path}: {text}"));
        }
    }

    pub fn report(&self, title: &str) -> String {
        let fields: Vec<String> = self.by_field.iter().map(|(f, n)| format!("{f} x{n}")).collect();
        format!("{title}: {} differences ({})\n{}", self.count, fields.join(", "), self.lines.join("\n"))
    }
}

fn without_indices(path: &str) -> String {
    path.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// `ignored` names top-level fields, or nested ones as `windows.latency_ms`.
pub fn compare(kind: Kind, reference: &[Value], candidate: &[Value], ignored: &[&str]) -> Differences {
    let mut differences = Differences::default();
    let ignored: BTreeSet<&str> = ignored.iter().copied().collect();
    let identities = |records: &[Value]| records.iter().map(|r| kind.identity(r)).collect::<Vec<_>>();
    let (wanted, found) = (identities(reference), identities(candidate));
    let by_identity: BTreeMap<&String, &Value> = found.iter().zip(candidate).collect();
    for (identity, record) in wanted.iter().zip(reference) {
        match by_identity.get(identity) {
            Some(other) => Pair { identity, ignored: &ignored, differences: &mut differences }.value("", record, other),
            None => differences.note(identity, "record", "missing".to_owned()),
        }
    }
    let expected: BTreeSet<&String> = wanted.iter().collect();
    for identity in found.iter().filter(|i| !expected.contains(i)) {
        differences.note(identity, "record", "not expected".to_owned());
    }
    if differences.count == 0
        && let Some((a, b)) = wanted.iter().zip(&found).find(|(a, b)| a != b)
    {
        differences.note(a, "order", format!("[{b}] stands in its place"));
    }
    if differences.count == 0 && wanted.len() != found.len() {
        differences.note("", "records", format!("{} wanted, {} found", wanted.len(), found.len()));
    }
    differences
}

struct Pair<'a> {
    identity: &'a str,
    ignored: &'a BTreeSet<&'a str>,
    differences: &'a mut Differences,
}

impl Pair<'_> {
    fn value(&mut self, path: &str, a: &Value, b: &Value) {
        match (a, b) {
            (Value::Object(a), Value::Object(b)) => self.object(path, a, b),
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                for (index, (a, b)) in a.iter().zip(b).enumerate() {
                    self.value(&format!("{path}[{index}]"), a, b);
                }
            }
            (Value::Array(a), Value::Array(b)) if a.iter().any(Value::is_object) => {
                let text = format!("{} entries wanted, {} found, the last of them {:?}", a.len(), b.len(), b.last());
                self.differences.note(self.identity, path, text.chars().take(300).collect());
            }
            (Value::Number(_), Value::Number(_)) if near(a, b, TOLERANCE) => {}
            (Value::Number(_), Value::Number(_)) if path.contains(".latency_ms.") && near_latency(a, b) => {}
            (a, b) if a == b => {}
            (a, b) => self.differences.note(self.identity, path, format!("{a} wanted, {b} found")),
        }
    }

    fn object(&mut self, path: &str, a: &Map<String, Value>, b: &Map<String, Value>) {
        let sketched = a.contains_key("_sketched");
        for (name, value) in a.iter().filter(|(name, _)| !name.starts_with('_')) {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            if self.ignored.contains(without_brackets(&path).as_str()) {
                continue;
            }
            match b.get(name) {
                Some(other) if sketched && is_quantile(name) && near_error_ratio(name, value, other) => {}
                Some(other) => self.value(&path, value, other),
                None => self.differences.note(self.identity, &path, format!("{value} wanted, nothing found")),
            }
        }
        // A group is a map with the user's own names, so additional entries are a difference.
        if path == "group" && a.len() != b.len() {
            self.differences.note(self.identity, path, format!("{a:?} wanted, {b:?} found"));
        }
    }
}

fn without_brackets(path: &str) -> String {
    let mut depth = 0;
    let outside = |c: &char| {
        depth += i32::from(*c == '[');
        let keep = depth == 0;
        depth -= i32::from(*c == ']');
        keep
    };
    path.chars().filter(outside).collect()
}

fn near(a: &Value, b: &Value, tolerance: f64) -> bool {
    let (Some(a), Some(b)) = (a.as_f64(), b.as_f64()) else { return false };
    (a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1.0)
}

fn near_latency(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_f64(), b.as_f64()) else { return false };
    (a - b).abs() <= SKETCH_TOLERANCE * a.abs() + TOLERANCE
}

fn is_quantile(name: &str) -> bool {
    name.starts_with("sli_") || name == "worst_1pct_error_mean"
}

fn near_error_ratio(name: &str, a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_f64(), b.as_f64()) else { return false };
    let (a, b) = if name.starts_with("sli_") { (1.0 - a, 1.0 - b) } else { (a, b) };
    (a - b).abs() <= SKETCH_TOLERANCE * a.abs() + TOLERANCE
}

#[test]
fn differences_of_every_kind_are_seen() {
    let record = |at: &str, sli: f64| serde_json::json!({"at": at, "windows": [{"sli": sli, "latency_ms": {}}]});
    let reference = [record("1", 0.5), record("2", 0.25)];
    let count = |candidate: &[Value], ignored: &[&str]| compare(Kind::Status, &reference, candidate, ignored).count;
    assert_eq!(count(&[record("1", 0.5 + 1e-12), record("2", 0.25)], &[]), 0);
    assert_eq!(count(&[record("1", 0.5 + 1e-8), record("2", 0.25)], &[]), 1);
    assert_eq!(count(&[record("1", 0.6), record("2", 0.25)], &["windows.sli"]), 0);
    assert_eq!(count(&[record("2", 0.25), record("1", 0.5)], &[]), 1);
    assert_eq!(count(&[record("1", 0.5)], &[]), 1);
    assert_eq!(count(&[record("1", 0.5), record("2", 0.25), record("3", 1.0)], &[]), 1);
    let bare = [serde_json::json!({"at": "1"}), record("2", 0.25)];
    assert_eq!(count(&bare, &[]), 1);
}
