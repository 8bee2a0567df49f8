//! What changes between two sets of definitions, field by field, and what that does to what is known.

use super::fields::fields;
use crate::command::Printer;
use crate::model::applied::AppliedDefinition;
use crate::model::slo::Slo;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A definition of one SLO, as far as changes of it are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub definition_hash: String,
    pub filters_hash: String,
    /// Text by dotted name.
    pub fields: BTreeMap<String, String>,
}

/// Definitions by the names of their SLOs.
pub type Versions = BTreeMap<String, Version>;

impl Version {
    pub fn of(slo: &Slo) -> Version {
        Version {
            definition_hash: slo.definition_hash.clone(),
            filters_hash: slo.filters_hash.clone(),
            fields: fields(slo),
        }
    }

    /// `None`: the SLO was removed.
    pub fn applied(record: &AppliedDefinition) -> Option<Version> {
        Some(Version {
            definition_hash: record.definition_hash.clone()?,
            filters_hash: record.filters_hash.clone().unwrap_or_default(),
            fields: record.fields.clone(),
        })
    }
}

pub fn versions(slos: &[Slo]) -> Versions {
    slos.iter().map(|slo| (slo.name.clone(), Version::of(slo))).collect()
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    pub slo: String,
    #[serde(flatten)]
    pub what: What,
    /// In words.
    pub effects: Vec<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum What {
    Added,
    Removed,
    Changed { fields: Vec<FieldChange> },
}

impl What {
    pub const fn name(&self) -> &'static str {
        match self {
            What::Added => AppliedDefinition::ADDED,
            What::Removed => AppliedDefinition::REMOVED,
            What::Changed { .. } => AppliedDefinition::CHANGED,
        }
    }
}

/// A field, by its dotted name; null where it was not, or is not any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    pub field: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

impl FieldChange {
    pub fn in_words(&self) -> String {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
        format!("{}: {} -> {}", self.field, shown(&self.before), shown(&self.after))
    }
}

/// By name of the SLO.
pub fn changes(before: &Versions, after: &Versions) -> Vec<Change> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names.into_iter().filter_map(|name| change(name, before.get(name), after.get(name))).collect()
}

fn change(name: &str, before: Option<&Version>, after: Option<&Version>) -> Option<Change> {
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
fn effects(before: &Version, after: &Version) -> Vec<&'static str> {
    let filters = before.filters_hash != after.filters_hash;
    let groups = !filters && before.fields.get("group_by") != after.fields.get("group_by");
    let counts = if filters { "it counts anew: its filters are others" } else { "it keeps its counts" };
    let alerts = "its open alerts resolve with `definition_changed`";
    [Some(counts), groups.then_some("its groups begin anew"), Some(alerts)].into_iter().flatten().collect()
}

/// Never empty where the hashes differ: a change that no field shows is shown by the hashes.
pub fn field_changes(before: &Version, after: &Version) -> Vec<FieldChange> {
    let names: BTreeSet<&String> = before.fields.keys().chain(after.fields.keys()).collect();
    let change = |name: &String| {
        let (before, after) = (before.fields.get(name).cloned(), after.fields.get(name).cloned());
        (before != after).then(|| FieldChange { field: name.clone(), before, after })
    };
    let mut changes: Vec<FieldChange> = names.into_iter().filter_map(change).collect();
    if changes.is_empty() && before.definition_hash != after.definition_hash {
        let (before, after) = (Some(before.definition_hash.clone()), Some(after.definition_hash.clone()));
        changes.push(FieldChange { field: "definition_hash".to_owned(), before, after });
    }
    changes
}

impl Change {
    /// For people, on standard output.
    pub fn print(&self, out: &mut Printer) -> std::io::Result<()> {
        out.heading(&self.slo)?;
        what_lines(&self.what).iter().try_for_each(|line| out.line(line))?;
        self.effects.iter().try_for_each(|effect| out.notice(effect))
    }
}

/// The same as text, for an error.
pub fn text(changes: &[Change]) -> String {
    let lines = changes.iter().flat_map(|change| {
        let effects = change.effects.iter().map(|effect| format!("  ! {effect}"));
        std::iter::once(change.slo.clone()).chain(what_lines(&change.what)).chain(effects)
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn what_lines(what: &What) -> Vec<String> {
    match what {
        What::Added => vec!["  is new".to_owned()],
        What::Removed => vec!["  is gone".to_owned()],
        What::Changed { fields } => fields.iter().map(|field| format!("  {}", field.in_words())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(hash: &str, fields: &[(&str, &str)]) -> Version {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Version { definition_hash: hash.to_owned(), filters_hash: "f".to_owned(), fields }
    }

    #[test]
    fn a_change_that_no_field_shows_is_shown_by_its_hashes() {
        let (before, after) = (version("a", &[("objective", "0.9")]), version("b", &[("objective", "0.9")]));
        let shown: Vec<String> = field_changes(&before, &after).iter().map(FieldChange::in_words).collect();
        assert_eq!(shown, ["definition_hash: a -> b"]);
        assert_eq!(field_changes(&before, &before), []);
        let other = version("b", &[("objective", "0.95"), ("owner", "ann")]);
        let shown: Vec<String> = field_changes(&before, &other).iter().map(FieldChange::in_words).collect();
        assert_eq!(shown, ["objective: 0.9 -> 0.95", "owner: none -> ann"]);
    }

    #[test]
    fn what_comes_and_goes_is_a_change_too() {
        let (a, b) = (version("a", &[]), version("b", &[]));
        let of = |names: &[(&str, &Version)]| -> Versions {
            names.iter().map(|(name, version)| ((*name).to_owned(), (*version).clone())).collect()
        };
        let changes = changes(&of(&[("x", &a), ("y", &a), ("z", &a)]), &of(&[("w", &b), ("y", &b), ("z", &a)]));
        let told: Vec<_> = changes.iter().map(|change| (change.slo.as_str(), change.what.name())).collect();
        assert_eq!(told, [("w", "added"), ("x", "removed"), ("y", "changed")]);
    }
}
