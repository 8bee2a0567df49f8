//! The mapping of the configuration: takes any other record to the outcome's fields.
//!
//! A target is a field, `attributes.NAME` or `measures.NAME`; its source is a path, a constant or a
//! bucket. A mapped field is read from its source alone, and is absent where the path leads nowhere.
//! What is not mapped stays where its own name says: `attributes.tier` adds to the record's own
//! `attributes`, and a mapping of `attributes` as a whole replaces them first.

mod bucket;
mod path;
mod source;

pub use path::Path;

use super::FieldLimits;
use super::field::{Field, Scalar};
use super::gather::Gathered;
use super::tree::Node;
use serde::Deserialize;
use source::{Source, Spec};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Why a mapping cannot be used; each names the target it stands at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    #[error("`{0}` is not a field to map to: use one of {fields}, attributes.NAME or measures.NAME", fields = field_names())]
    UnknownTarget(String),
    #[error("{target}: {problem}")]
    Source { target: String, problem: String },
}

/// All rules, in the order of their targets' names; empty where records have the fields' own names.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "BTreeMap<String, Spec>")]
pub struct Mapping {
    rules: Vec<(Target, Source)>,
    /// Fields that are not read under their own name ([`Field::bit`]).
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

    /// Reads a record's tree: unmapped fields by their names first, then rule by rule.
    pub(super) fn apply<'a>(&'a self, root: &Node<'a>, limits: &FieldLimits) -> Gathered<'a> {
        let mut out = Gathered::new();
        for field in Field::ALL.into_iter().filter(|f| self.mapped & f.bit() == 0) {
            if let Some(node) = root.member(field.name()) {
                node.give(field, &mut out, limits);
            }
        }
        for (target, source) in &self.rules {
            match target {
                Target::Field(field) => source.give(root, *field, &mut out, limits),
                Target::Attribute(name) => out.attribute(Cow::Borrowed(name), source.scalar(root), limits),
                Target::Measure(name) => out.measure(Cow::Borrowed(name), source.measure(root), limits),
            }
        }
        out
    }
}

impl TryFrom<BTreeMap<String, Spec>> for Mapping {
    type Error = MappingError;

    fn try_from(specs: BTreeMap<String, Spec>) -> Result<Self, MappingError> {
        let mut mapping = Mapping::default();
        for (name, spec) in specs {
            let target = Target::parse(&name)?;
            let source = target.source(spec).map_err(|problem| MappingError::Source { target: name, problem })?;
            if let Target::Field(field) = target {
                mapping.mapped |= field.bit();
            }
            mapping.rules.push((target, source));
        }
        // A whole map before the names that add to it.
        mapping.rules.sort_by_key(|(target, _)| !matches!(target, Target::Field(_)));
        Ok(mapping)
    }
}

impl Target {
    fn parse(name: &str) -> Result<Target, MappingError> {
        if let Some(field) = Field::by_name(name) {
            return Ok(Target::Field(field));
        }
        match name.split_once('.') {
            Some(("attributes", attribute)) if !attribute.is_empty() => Ok(Target::Attribute(attribute.to_owned())),
            Some(("measures", measure)) if !measure.is_empty() => Ok(Target::Measure(measure.to_owned())),
            _ => Err(MappingError::UnknownTarget(name.to_owned())),
        }
    }

    /// Whether this is a time: what else has a unit is not known.
    fn takes_unit(&self) -> bool {
        match self {
            Target::Field(field) => matches!(field, Field::Timestamp | Field::LatencyMs),
            Target::Measure(name) => name.ends_with("_ms"),
            Target::Attribute(_) => false,
        }
    }

    fn source(&self, spec: Spec) -> Result<Source, String> {
        let source = Source::try_from(spec)?;
        if source.has_unit() && !self.takes_unit() {
            return Err("`unit` belongs to `timestamp`, `latency_ms` and measures whose name ends in `_ms`".to_owned());
        }
        if let Some(value) = source.constant() {
            self.check_constant(value)?;
        }
        Ok(source)
    }

    /// A constant of the wrong type would reject every record: said once, at the start.
    fn check_constant(&self, value: Scalar<'_>) -> Result<(), String> {
        let (fits, expects) = match self {
            Target::Field(field) => (Gathered::takes(*field, value), field.expects()),
            Target::Measure(_) => (matches!(value, Scalar::Long(_) | Scalar::Double(_)), "a number"),
            Target::Attribute(_) => (true, ""),
        };
        if fits { Ok(()) } else { Err(format!("`const` must be {expects}")) }
    }
}

fn field_names() -> String {
    Field::ALL.map(Field::name).join(", ")
}

#[cfg(test)]
mod tests;
