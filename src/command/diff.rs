//! `diff`: what a change of SLO documents does, field by field, before it is in force.

use super::assemble;
use super::defined::document;
use super::{Exit, Global, Outcome, Printer};
use crate::model::duration::print;
use crate::model::slo::Slo;
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;

/// Say what a change of SLOs does: field by field, and what becomes of counts and alerts
///
/// Compares two sets of documents after references, defaults and overrides, so that two ways to write the same SLO do not
/// differ. Exit codes: 0 nothing changed, 1 something did.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tailburn diff --before slos --after new-slos
  git worktree add /tmp/main main && tailburn diff --before /tmp/main/slos --after slos    # in a pull request
  tailburn diff --before slos/checkout.yaml --after checkout.yaml --json")]
pub struct DiffArgs {
    /// The documents in force: a file or a directory; may be repeated
    #[arg(long, value_name = "FILE|DIR", required = true)]
    pub before: Vec<PathBuf>,

    /// The documents to come
    #[arg(long, value_name = "FILE|DIR", required = true)]
    pub after: Vec<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Fields that no reader needs to see: they follow from the others.
const FOLLOW: [&str; 4] = ["slo", "key", "definition_hash", "filters_hash"];

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Change {
    slo: String,
    #[serde(flatten)]
    what: What,
    /// In words.
    effects: Vec<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
enum What {
    Added,
    Removed,
    Changed { fields: Vec<FieldChange> },
}

/// A field, by its dotted name; null where it was not, or is not any more.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct FieldChange {
    field: String,
    before: Value,
    after: Value,
}

pub fn run(global: &Global, args: &DiffArgs) -> Outcome {
    let mut settings = global.load()?.settings;
    // It is no part of a definition, and may name SLOs that only one side has.
    settings.maintenance = Value::Null;
    let load = |paths: &[PathBuf]| assemble::definitions_of(&settings, paths).map(|definitions| definitions.slos);
    let changes = changes(&load(&args.before)?, &load(&args.after)?);
    let mut out = Printer::stdout();
    if args.json {
        out.json(&json!(changes))?;
    } else {
        told(&mut out, &changes)?;
    }
    out.flush()?;
    Ok(if changes.is_empty() { Exit::Done } else { Exit::Findings }.into())
}

fn told(out: &mut Printer, changes: &[Change]) -> std::io::Result<()> {
    if changes.is_empty() {
        return out.tick("no SLO changes");
    }
    for Change { slo, what, effects } in changes {
        out.heading(slo)?;
        match what {
            What::Added => out.line("  is new")?,
            What::Removed => out.line("  is gone")?,
            What::Changed { fields } => {
                for FieldChange { field, before, after } in fields {
                    out.line(&format!("  {field}: {} -> {}", shown(before), shown(after)))?;
                }
            }
        }
        effects.iter().try_for_each(|effect| out.notice(effect))?;
    }
    Ok(())
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// By name of the SLO.
fn changes(before: &[Slo], after: &[Slo]) -> Vec<Change> {
    let by_name =
        |slos: &'_ [Slo]| -> BTreeMap<String, Slo> { slos.iter().map(|slo| (slo.name.clone(), slo.clone())).collect() };
    let (before, after) = (by_name(before), by_name(after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names.into_iter().filter_map(|name| change(name, before.get(name), after.get(name))).collect()
}

fn change(name: &str, before: Option<&Slo>, after: Option<&Slo>) -> Option<Change> {
    let slo = name.to_owned();
    match (before, after) {
        (Some(before), Some(after)) if before.definition_hash == after.definition_hash => None,
        (Some(before), Some(after)) => {
            let what = What::Changed { fields: field_changes(before, after) };
            Some(Change { slo, what, effects: effects(before, after) })
        }
        (Some(_), None) => {
            let effects = vec!["its open alerts resolve with `removed`, and its statuses get tombstones"];
            Some(Change { slo, what: What::Removed, effects })
        }
        (None, Some(_)) => Some(Change { slo, what: What::Added, effects: vec!["it counts from its first event on"] }),
        (None, None) => None,
    }
}

/// What the new definition does to what is known (contract, section 2).
fn effects(before: &Slo, after: &Slo) -> Vec<&'static str> {
    let filters = before.filters_hash != after.filters_hash;
    let groups = !filters && before.group_by != after.group_by;
    let counts = if filters { "it counts anew: its filters are others" } else { "it keeps its counts" };
    let alerts = "its open alerts resolve with `definition_changed`";
    [Some(counts), groups.then_some("its groups begin anew"), Some(alerts)].into_iter().flatten().collect()
}

fn field_changes(before: &Slo, after: &Slo) -> Vec<FieldChange> {
    let (before, after) = (fields(before), fields(after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let of = |fields: &BTreeMap<String, Value>, name: &String| fields.get(name).cloned().unwrap_or(Value::Null);
    let change = |name: &String| {
        let (before, after) = (of(&before, name), of(&after, name));
        (before != after).then(|| FieldChange { field: name.clone(), before, after })
    };
    names.into_iter().filter_map(change).collect()
}

/// By dotted name; a rule is a field by its name.
fn fields(slo: &Slo) -> BTreeMap<String, Value> {
    let mut document = document(slo);
    document["resolve_after"] = json!(slo.resolve_after_ms.map(print));
    let rules = document["rules"].take();
    let mut all = BTreeMap::new();
    for rule in rules.as_array().into_iter().flatten() {
        let name = format!("rules.{}", rule["rule"].as_str().unwrap_or_default());
        all.insert(name, json!(format!("{} at factor {}", shown(&rule["severity"]), shown(&rule["factor"]))));
    }
    flatten("", &document, &mut all);
    all
}

fn flatten(name: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields.iter().filter(|(field, _)| !FOLLOW.contains(&field.as_str())) {
                let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                flatten(&name, value, into);
            }
        }
        Value::Null => {}
        value => drop(into.insert(name.to_owned(), value.clone())),
    }
}
