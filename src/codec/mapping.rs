//! The configured mapping: fills the outcome's fields from records with other names.
//!
//! A target is a field, `attributes.NAME` or `measures.NAME`; its source is a path, a constant or a bucket. A mapped
//! field is read only from its source, and is absent if the path leads nowhere. Unmapped fields are read by their own
//! names: `attributes.tier` adds to the record's own `attributes`, while a mapping of `attributes` as a whole replaces
//! them first.
//!
//! Each rule notes whether it found a value: a misspelt path is not an error, but it finds nothing in any record, and
//! the user must be warned.

mod bucket;
mod near;
mod path;
mod source;
mod spec;

pub use super::found::{Found, bit};
pub use path::Path;

use super::field::{Field, Scalar};
use super::gather::Gathered;
use super::limits::FieldLimits;
use super::tree::Node;
use crate::model::suggest::{closest, one_of};
use serde::Deserialize;
use source::Source;
use spec::Wrong;
use std::borrow::Cow;
use std::fmt;

/// Why an entry of a mapping cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{target}: {problem}")]
pub struct MappingError {
    /// The entry's field, as written.
    pub target: String,
    pub problem: String,
    pub remedy: Option<String>,
}

/// All mistakes in a mapping.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct MappingErrors(pub Vec<MappingError>);

impl fmt::Display for MappingErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            let end = if i > 0 { "\n" } else { "" };
            let remedy = error.remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default();
            write!(f, "{end}{error}{remedy}")?;
        }
        Ok(())
    }
}

/// All rules, ordered by the names of their targets; empty if records have our own field names.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "serde_json::Map<String, serde_json::Value>")]
pub struct Mapping {
    rules: Vec<(Target, Source)>,
    /// Fields that are not read by their own name ([`Field::bit`]).
    mapped: u32,
}

#[derive(Clone, Debug, PartialEq)]
enum Target {
    Field(Field),
    Attribute(String),
    Measure(String),
}

impl Mapping {
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The targets and their paths; constants have none.
    pub fn sources(&self) -> impl Iterator<Item = (String, Option<&Path>)> {
        self.rules.iter().map(|(target, source)| (target.to_string(), source.path()))
    }

    /// Reads a record's tree: unmapped fields by their names first, then rule by rule.
    pub(super) fn apply<'a>(&'a self, root: &Node<'a>, limits: &FieldLimits) -> Gathered<'a> {
        let mut out = Gathered::new();
        for field in Field::ALL.into_iter().filter(|f| self.mapped & f.bit() == 0) {
            if let Some(node) = root.member(field.name()) {
                node.give(field, &mut out, limits);
            }
        }
        let mut all = 0;
        for (index, (target, source)) in self.rules.iter().enumerate() {
            let found = match target {
                Target::Field(field) => source.give(root, *field, &mut out, limits),
                Target::Attribute(name) => {
                    let value = source.scalar(root);
                    let found = value != Scalar::Null;
                    out.attribute(Cow::Borrowed(name), value, limits);
                    found
                }
                Target::Measure(name) => {
                    let value = source.measure(root);
                    let found = value != Scalar::Null;
                    out.measure(Cow::Borrowed(name), value, limits);
                    found
                }
            };
            all |= if found { bit(index) } else { 0 };
        }
        out.found = Some(all);
        out
    }

    /// For each rule whose path leads nowhere in a record, an existing path that may be meant.
    #[cold]
    pub(super) fn near(&self, root: &Node<'_>) -> Vec<Option<String>> {
        let there = near::paths(root);
        let near = |source: &Source| {
            let path = source.path().filter(|path| path.find(root).is_none())?;
            near::nearest(path, &there)
        };
        self.rules.iter().map(|(_, source)| near(source)).collect()
    }
}

impl TryFrom<serde_json::Map<String, serde_json::Value>> for Mapping {
    type Error = MappingErrors;

    fn try_from(entries: serde_json::Map<String, serde_json::Value>) -> Result<Self, MappingErrors> {
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        let (mut mapping, mut errors) = (Mapping::default(), Vec::new());
        for (name, value) in &entries {
            match rule(name, value) {
                Ok(rule) => mapping.rules.push(rule),
                Err((problem, remedy)) => errors.push(MappingError { target: name.clone(), problem, remedy }),
            }
        }
        if !errors.is_empty() {
            return Err(MappingErrors(errors));
        }
        for (target, _) in &mapping.rules {
            mapping.mapped |= if let Target::Field(field) = target { field.bit() } else { 0 };
        }
        // A whole map comes before the names that add to it.
        mapping.rules.sort_by_key(|(target, _)| !matches!(target, Target::Field(_)));
        Ok(mapping)
    }
}

fn rule(name: &str, value: &serde_json::Value) -> Result<(Target, Source), Wrong> {
    let target = Target::parse(name)?;
    let source = spec::source(value)?;
    if source.has_unit() && !target.takes_unit() {
        let problem = "`unit` belongs to `timestamp`, `latency_ms` and measures whose name ends in `_ms`";
        return Err((problem.to_owned(), None));
    }
    if let Some(value) = source.constant() {
        target.check_constant(value)?;
    }
    Ok((target, source))
}

impl Target {
    fn parse(name: &str) -> Result<Target, Wrong> {
        if let Some(field) = Field::by_name(name) {
            return Ok(Target::Field(field));
        }
        match name.split_once('.') {
            Some(("attributes", attribute)) if !attribute.is_empty() => Ok(Target::Attribute(attribute.to_owned())),
            Some(("measures", measure)) if !measure.is_empty() => Ok(Target::Measure(measure.to_owned())),
            _ => Err(("is not a field to map to".to_owned(), Some(meant(name)))),
        }
    }

    /// Whether this is a time; for other values a unit makes no sense.
    fn takes_unit(&self) -> bool {
        match self {
            Target::Field(field) => matches!(field, Field::Timestamp | Field::LatencyMs),
            Target::Measure(name) => name.ends_with("_ms"),
            Target::Attribute(_) => false,
        }
    }

    /// A constant of the wrong type would be absent in every record, so it is refused at the start.
    fn check_constant(&self, value: Scalar<'_>) -> Result<(), Wrong> {
        let (fits, expects) = match self {
            Target::Field(field) => (Gathered::takes(*field, value), field.expects()),
            Target::Measure(_) => (matches!(value, Scalar::Long(_) | Scalar::Double(_)), "a number"),
            Target::Attribute(_) => (true, ""),
        };
        if fits { Ok(()) } else { Err((format!("`const` must be {expects}"), None)) }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Field(field) => f.write_str(field.name()),
            Target::Attribute(name) => write!(f, "attributes.{name}"),
            Target::Measure(name) => write!(f, "measures.{name}"),
        }
    }
}

/// The target that a misspelt name may mean.
fn meant(name: &str) -> String {
    let fields = Field::ALL.map(Field::name);
    if let Some((map, rest)) = name.split_once('.').filter(|(_, rest)| !rest.is_empty()) {
        let map = closest(map, ["attributes", "measures"]).unwrap_or("attributes");
        return format!("did you mean `{map}.{rest}`?");
    }
    match closest(name, fields) {
        Some(field) => format!("did you mean `{field}`?"),
        None => format!(
            "use one of {}, `attributes.NAME` (here `attributes.{}`) or `measures.NAME`",
            one_of(fields),
            name.trim_end_matches('.')
        ),
    }
}

#[cfg(test)]
mod tests;
