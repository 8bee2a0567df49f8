//! The configured mapping: fills the outcome's fields from records with other names.
//!
//! A target is a field, `attributes.NAME` or `measures.NAME`; its source is a value or a list of values, of which the
//! first that the target can take and that is not empty counts. A value is a path, a constant, a bucket or a
//! difference of two paths, and may be divided. A mapped field is read only from its source, and is absent if that
//! gives nothing. Unmapped fields are read by their own names: `attributes.tier` adds to the record's own `attributes`,
//! while a mapping of `attributes` as a whole replaces them first.
//!
//! Each path notes whether it had a value: a misspelt path is not an error, but it finds nothing in any record, and
//! the user must be warned. So is one whose field was taken by its own name.

mod bucket;
mod change;
mod constant;
mod decimal;
mod difference;
mod expression;
mod near;
mod path;
mod place;
mod source;
mod spec;
mod target;
mod unit;
mod value;
mod wanted;

pub use super::found::Found;
pub use path::Path;
pub(super) use wanted::Wanted;

use super::field::{Field, Scalar};
use super::gather::Gathered;
use super::limits::FieldLimits;
use super::tree::Node;
use serde::Deserialize;
use source::Source;
use spec::Wrong;
use std::fmt;
use target::Target;

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
    wanted: Wanted,
}

/// A path of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedPlace<'m> {
    /// The field that it is for, such as `attributes.tier`.
    pub target: String,
    pub path: &'m Path,
    /// Its bit in [`Found`]; 0 past the 128th path.
    pub bit: u128,
}

impl Mapping {
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Every path, in the order of the targets; constants have none.
    pub fn places(&self) -> impl Iterator<Item = MappedPlace<'_>> {
        self.rules.iter().flat_map(|(target, source)| {
            source.places().map(|place| MappedPlace { target: target.to_string(), path: &place.path, bit: place.bit })
        })
    }

    /// Reads a record's tree: unmapped fields by their names first, then rule by rule.
    pub(super) fn apply<'a>(&'a self, root: &Node<'a>, limits: &FieldLimits) -> Gathered<'a> {
        let mut out = Gathered::new();
        let mut found = Found::default();
        for field in Field::ALL.into_iter().filter(|f| self.mapped & f.bit() == 0) {
            if let Some(node) = root.member(field.name()) {
                found.own |= if matches!(node, Node::Scalar(Scalar::Null)) { 0 } else { field.bit() };
                node.give(field, &mut out, limits);
            }
        }
        for (target, source) in &self.rules {
            source.give(root, target, &mut out, limits, &mut found);
        }
        out.found = Some(found);
        out
    }

    /// For each path that leads nowhere in a record, in the order of [`Self::places`], an existing path that may be
    /// meant.
    #[cold]
    pub(super) fn near(&self, root: &Node<'_>) -> Vec<Option<String>> {
        let there = near::paths(root);
        let near = |path: &Path| if path.find(root).is_none() { near::nearest(path, &there) } else { None };
        self.places().map(|place| near(place.path)).collect()
    }

    /// What is read of a record.
    pub(super) const fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Notes what is read of a record: the paths, and what is not mapped by its own name.
    fn note_wanted(&mut self) {
        let mut wanted = Wanted::default();
        self.places().for_each(|place| wanted.add(place.path));
        let own = Field::ALL.into_iter().filter(|field| self.mapped & field.bit() == 0);
        own.for_each(|field| wanted.add_name(field.name()));
        self.wanted = wanted;
    }

    /// Gives each path its bit.
    fn number(&mut self) {
        let places = self.rules.iter_mut().flat_map(|(_, source)| source.places_mut());
        places.enumerate().for_each(|(index, place)| place.bit = Found::bit(index));
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
        mapping.number();
        mapping.note_wanted();
        Ok(mapping)
    }
}

fn rule(name: &str, value: &serde_json::Value) -> Result<(Target, Source), Wrong> {
    let target = Target::parse(name)?;
    let source = spec::source(value, &target)?;
    Ok((target, source))
}

#[cfg(test)]
mod tests;
