//! The target of a mapping: a field, an attribute or a measure.

use super::super::field::{Field, Scalar};
use super::super::gather::Gathered;
use super::super::limits::FieldLimits;
use super::super::{numeric, rfc3339};
use super::spec::Wrong;
use crate::model::suggest::{closest, one_of};
use std::borrow::Cow;
use std::fmt;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Target {
    Field(Field),
    Attribute(String),
    Measure(String),
}

/// What a value is for a target, in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gives {
    Value,
    /// Null or empty.
    Nothing,
    /// The target cannot take it.
    Unreadable,
}

impl Target {
    pub fn parse(name: &str) -> Result<Target, Wrong> {
        if let Some(field) = Field::by_name(name) {
            return Ok(Target::Field(field));
        }
        match name.split_once('.') {
            Some(("attributes", attribute)) if !attribute.is_empty() => Ok(Target::Attribute(attribute.to_owned())),
            Some(("measures", measure)) if !measure.is_empty() => Ok(Target::Measure(measure.to_owned())),
            _ => Err(("is not a field to map to".to_owned(), Some(meant(name)))),
        }
    }

    pub fn is_time(&self) -> bool {
        *self == Target::Field(Field::Timestamp)
    }

    /// Whether its values are durations in milliseconds.
    pub fn is_duration(&self) -> bool {
        match self {
            Target::Field(field) => *field == Field::LatencyMs,
            Target::Measure(name) => name.ends_with("_ms"),
            Target::Attribute(_) => false,
        }
    }

    /// Whether its values are numbers that may be divided.
    pub fn is_number(&self) -> bool {
        matches!(self, Target::Field(Field::LatencyMs | Field::Weight) | Target::Measure(_))
    }

    /// Whether it is `attributes` or `measures` as a whole.
    pub fn is_map(&self) -> bool {
        matches!(self, Target::Field(Field::Attributes | Field::Measures))
    }

    /// A constant of the wrong type would be absent in every record, so it is refused at the start.
    pub fn check_constant(&self, key: &str, value: Scalar<'_>) -> Result<(), Wrong> {
        let (fits, expects) = match self {
            Target::Field(field) => (Gathered::takes(*field, value), field.expects()),
            Target::Measure(_) => (matches!(value, Scalar::Long(_) | Scalar::Double(_)), "a number"),
            Target::Attribute(_) => (true, ""),
        };
        if fits { Ok(()) } else { Err((format!("`{key}` must be {expects}"), None)) }
    }

    /// Sets the target; null clears it.
    #[inline]
    pub fn put<'a>(&'a self, value: Scalar<'a>, out: &mut Gathered<'a>, limits: &FieldLimits) {
        match self {
            Target::Field(field) => out.set(*field, value),
            Target::Attribute(name) => out.attribute(Cow::Borrowed(name), value, limits),
            Target::Measure(name) => out.measure(Cow::Borrowed(name), value, limits),
        }
    }

    /// Whether a value counts as one in a list: it must not be empty, and the target must be able to take it.
    pub fn gives(&self, value: &Scalar<'_>) -> Gives {
        let of_number = |read: Option<Option<()>>| match read {
            Some(Some(())) => Gives::Value,
            Some(None) => Gives::Nothing,
            None => Gives::Unreadable,
        };
        match (self, value) {
            (_, Scalar::Null) => Gives::Nothing,
            (_, Scalar::Text(text)) if text.is_empty() => Gives::Nothing,
            (Target::Field(Field::Timestamp), _) => of_number(is_time(value).then_some(Some(()))),
            (Target::Field(Field::Status), _) => of_number(numeric::integer(value).map(|n| n.map(drop))),
            (Target::Field(Field::LatencyMs | Field::Weight) | Target::Measure(_), _) => {
                of_number(numeric::finite(value).map(|n| n.map(drop)))
            }
            (Target::Field(_), Scalar::Text(_) | Scalar::Long(_)) => Gives::Value,
            (Target::Field(_), Scalar::Number(n)) if n.is_integer() => Gives::Value,
            (Target::Field(_), _) => Gives::Unreadable,
            (Target::Attribute(_), Scalar::Number(n)) if !n.is_finite() => Gives::Unreadable,
            (Target::Attribute(_), Scalar::Double(n)) if !n.is_finite() => Gives::Unreadable,
            (Target::Attribute(_), Scalar::NoMoment(..) | Scalar::Other) => Gives::Unreadable,
            (Target::Attribute(_), _) => Gives::Value,
        }
    }
}

/// Whether `timestamp` takes the value.
fn is_time(value: &Scalar<'_>) -> bool {
    match value {
        Scalar::Number(n) => n.is_integer(),
        Scalar::Long(_) | Scalar::Time(_) => true,
        Scalar::Text(text) => rfc3339::parse(text).is_some(),
        _ => false,
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
