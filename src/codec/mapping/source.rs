//! Where a mapped field's value comes from, and how the configuration writes it.

use super::super::field::{Field, Scalar};
use super::super::gather::Gathered;
use super::super::tree::Node;
use super::super::{FieldLimits, json::Number, numeric};
use super::Path;
use super::bucket::{Bucket, BucketSpec};
use crate::model::time::Ms;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use std::borrow::Cow;

/// A source as the configuration writes it: a path, or exactly one of `path`, `const`, `bucket`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spec(SpecFields);

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpecFields {
    path: Option<String>,
    r#const: Option<Constant>,
    bucket: Option<BucketSpec>,
    unit: Option<Unit>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum Constant {
    Bool(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

/// What an epoch time or a duration counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Unit {
    S,
    Ms,
    Us,
    Ns,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Source {
    Path(Path, Option<Unit>),
    Constant(Constant),
    Bucket(Path, Bucket),
}

impl<'de> Deserialize<'de> for Spec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PathOrFields;
        impl<'de> Visitor<'de> for PathOrFields {
            type Value = Spec;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a path, {path: .., unit: ..}, {const: ..} or {bucket: {path: .., by: month}}")
            }

            fn visit_str<E: de::Error>(self, path: &str) -> Result<Spec, E> {
                Ok(Spec(SpecFields { path: Some(path.to_owned()), ..SpecFields::default() }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Spec, A::Error> {
                SpecFields::deserialize(de::value::MapAccessDeserializer::new(map)).map(Spec)
            }
        }
        deserializer.deserialize_any(PathOrFields)
    }
}

impl TryFrom<Spec> for Source {
    type Error = String;

    fn try_from(Spec(spec): Spec) -> Result<Self, String> {
        match spec {
            SpecFields { path: Some(path), r#const: None, bucket: None, unit } => {
                Ok(Source::Path(Path::parse(&path)?, unit))
            }
            SpecFields { path: None, r#const: Some(value), bucket: None, unit: None } => Ok(Source::Constant(value)),
            SpecFields { path: None, r#const: None, bucket: Some(bucket), unit: None } => {
                let (path, bucket) = bucket.compile()?;
                Ok(Source::Bucket(path, bucket))
            }
            _ => Err("write a path, or one of `path` (with `unit`), `const` and `bucket`".to_owned()),
        }
    }
}

impl Source {
    pub fn has_unit(&self) -> bool {
        matches!(self, Source::Path(_, Some(_)))
    }

    pub fn constant(&self) -> Option<Scalar<'_>> {
        match self {
            Source::Constant(value) => Some(value.scalar()),
            _ => None,
        }
    }

    /// The value, absent (null) where the path leads nowhere.
    pub fn scalar<'a>(&'a self, root: &Node<'a>) -> Scalar<'a> {
        match self {
            Source::Constant(value) => value.scalar(),
            Source::Path(path, _) => path.find(root).map_or(Scalar::Null, Node::scalar),
            Source::Bucket(path, bucket) => path.find(root).map_or(Scalar::Null, |node| bucket.label(&node.scalar())),
        }
    }

    /// The value of a measure, in milliseconds where it has a unit.
    pub fn measure<'a>(&'a self, root: &Node<'a>) -> Scalar<'a> {
        let value = self.scalar(root);
        match self {
            Source::Path(_, Some(unit)) => unit.duration_ms(value),
            _ => value,
        }
    }

    pub fn give<'a>(&'a self, root: &Node<'a>, field: Field, out: &mut Gathered<'a>, limits: &FieldLimits) {
        match self {
            Source::Path(path, None) => match path.find(root) {
                Some(node) => node.give(field, out, limits),
                None => out.set(field, Scalar::Null),
            },
            Source::Path(_, Some(unit)) => {
                let value = self.scalar(root);
                let value = if field == Field::Timestamp { unit.time(value) } else { unit.duration_ms(value) };
                out.set(field, value);
            }
            _ => out.set(field, self.scalar(root)),
        }
    }
}

impl Constant {
    fn scalar(&self) -> Scalar<'_> {
        match self {
            Constant::Bool(b) => Scalar::Bool(*b),
            Constant::Integer(n) => Scalar::Long(*n),
            Constant::Number(n) => Scalar::Double(*n),
            Constant::Text(text) => Scalar::Text(Cow::Borrowed(text)),
        }
    }
}

impl Unit {
    /// Units in a second, as a power of ten.
    const fn digits(self) -> u32 {
        match self {
            Unit::S => 0,
            Unit::Ms => 3,
            Unit::Us => 6,
            Unit::Ns => 9,
        }
    }

    /// An epoch time in this unit, floored to milliseconds. Whole numbers, decimals and texts of
    /// either are read exactly, as 64-bit nanoseconds are often written as text. Any other text has no
    /// unit: it says itself what it is.
    fn time<'a>(self, value: Scalar<'a>) -> Scalar<'a> {
        match &value {
            Scalar::Number(n) => self.time_of(n.text),
            Scalar::Text(text) if Number::scan(text).is_some_and(|n| n.text.len() == text.len()) => self.time_of(text),
            // Who names the unit of a local time knows that it is UTC.
            Scalar::Long(n) | Scalar::NoMoment(_, n) => self.time_of(&n.to_string()),
            Scalar::Double(n) => self.time_of(&format!("{n:?}")),
            Scalar::Null | Scalar::Time(_) | Scalar::Text(_) => return value,
            _ => None,
        }
        .map_or(Scalar::Other, Scalar::Time)
    }

    fn time_of(self, decimal: &str) -> Option<Ms> {
        let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
        if fraction.contains(['e', 'E']) || whole.contains(['e', 'E']) {
            // A double is exact enough for what is written with an exponent.
            let ms = decimal.parse::<f64>().ok()? * libm::pow(10.0, 3.0 - f64::from(self.digits()));
            return ms.is_finite().then(|| ms.floor() as Ms);
        }
        let kept = &fraction[..fraction.len().min(9)];
        let scaled: i128 = [whole, kept].concat().parse().ok()?;
        let divisor = 10i128.pow(kept.len() as u32 + self.digits());
        Ms::try_from(scaled.checked_mul(1_000)?.div_euclid(divisor)).ok()
    }

    fn duration_ms<'a>(self, value: Scalar<'a>) -> Scalar<'a> {
        let n = match numeric::double(&value) {
            Some(Some(n)) => n,
            Some(None) => return Scalar::Null,
            None => return value,
        };
        Scalar::Double(match self {
            Unit::S => n * 1e3,
            Unit::Ms => n,
            Unit::Us => n / 1e3,
            Unit::Ns => n / 1e6,
        })
    }
}
