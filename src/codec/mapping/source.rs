//! The source of a mapped field's value.

use super::super::field::{Field, Scalar};
use super::super::gather::Gathered;
use super::super::limits::FieldLimits;
use super::super::number::Number;
use super::super::numeric;
use super::super::tree::Node;
use super::bucket::Bucket;
use super::path::Path;
use crate::model::time::Ms;
use std::borrow::Cow;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Constant {
    Bool(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

/// The unit of an epoch time or a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl Source {
    pub fn has_unit(&self) -> bool {
        matches!(self, Source::Path(_, Some(_)))
    }

    /// The path of the value.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Source::Path(path, _) | Source::Bucket(path, _) => Some(path),
            Source::Constant(_) => None,
        }
    }

    pub fn constant(&self) -> Option<Scalar<'_>> {
        match self {
            Source::Constant(value) => Some(value.scalar()),
            _ => None,
        }
    }

    /// The value; absent (null) if the path leads nowhere.
    pub fn scalar<'a>(&'a self, root: &Node<'a>) -> Scalar<'a> {
        match self {
            Source::Constant(value) => value.scalar(),
            Source::Path(path, _) => path.find(root).map_or(Scalar::Null, Node::scalar),
            Source::Bucket(path, bucket) => path.find(root).map_or(Scalar::Null, |node| bucket.label(&node.scalar())),
        }
    }

    /// The value of a measure, in milliseconds if it has a unit.
    pub fn measure<'a>(&'a self, root: &Node<'a>) -> Scalar<'a> {
        let value = self.scalar(root);
        match self {
            Source::Path(_, Some(unit)) => unit.duration_ms(value),
            _ => value,
        }
    }

    /// Sets a field's value; false if nothing was found.
    pub fn give<'a>(&'a self, root: &Node<'a>, field: Field, out: &mut Gathered<'a>, limits: &FieldLimits) -> bool {
        if let Source::Path(path, None) = self {
            let Some(node) = path.find(root) else {
                out.set(field, Scalar::Null);
                return false;
            };
            node.give(field, out, limits);
            return *node != Node::Scalar(Scalar::Null);
        }
        let value = self.scalar(root);
        let found = value != Scalar::Null;
        out.set(
            field,
            match self {
                Source::Path(_, Some(unit)) if field == Field::Timestamp => unit.time(value),
                Source::Path(_, Some(unit)) => unit.duration_ms(value),
                _ => value,
            },
        );
        found
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

    /// An epoch time in this unit, floored to milliseconds. Whole numbers, decimals and texts of either are read
    /// exactly, as 64-bit nanoseconds are often written as text. Any other text needs no unit: it is a complete time.
    fn time<'a>(self, value: Scalar<'a>) -> Scalar<'a> {
        match &value {
            Scalar::Number(n) => self.time_of(n.text),
            Scalar::Text(text) if Number::scan(text).is_some_and(|n| n.text.len() == text.len()) => self.time_of(text),
            // A unit on a local time means that the user knows it is UTC.
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
            // For numbers with an exponent a double is exact enough.
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
