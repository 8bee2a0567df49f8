//! One value of a source: where it comes from, when it is absent, and what is made of it.

use super::super::field::Scalar;
use super::super::found::Found;
use super::super::numeric;
use super::super::tree::Node;
use super::change::{Change, equals};
use super::constant::Constant;
use super::difference::Difference;
use super::place::Place;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Value {
    pub from: From,
    pub per: Option<Per>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum From {
    Constant(Constant),
    /// A value that is one of `absent_if` is absent, before anything is made of it.
    Path {
        place: Place,
        absent_if: Vec<Constant>,
        change: Change,
    },
    Difference(Difference),
}

/// A divisor: `per: {path: tokens, less: 1}` divides by `tokens - 1`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Per {
    pub place: Place,
    pub less: f64,
}

impl Value {
    /// Whether the value of one path is passed on as it is.
    pub fn plain_path(&self) -> Option<&Place> {
        match &self.from {
            From::Path { place, absent_if, change: Change::Kept } if absent_if.is_empty() && self.per.is_none() => {
                Some(place)
            }
            _ => None,
        }
    }

    pub fn places(&self) -> impl Iterator<Item = &Place> {
        let (first, second) = match &self.from {
            From::Constant(_) => (None, None),
            From::Path { place, .. } => (Some(place), None),
            From::Difference(difference) => (Some(&difference.from), Some(&difference.to)),
        };
        first.into_iter().chain(second).chain(self.per.as_ref().map(|per| &per.place))
    }

    pub fn places_mut(&mut self) -> impl Iterator<Item = &mut Place> {
        let (first, second) = match &mut self.from {
            From::Constant(_) => (None, None),
            From::Path { place, .. } => (Some(place), None),
            From::Difference(difference) => (Some(&mut difference.from), Some(&mut difference.to)),
        };
        first.into_iter().chain(second).chain(self.per.as_mut().map(|per| &mut per.place))
    }

    /// The value; null if it is absent.
    #[inline]
    pub fn scalar<'a>(&'a self, root: &Node<'a>, found: &mut Found) -> Scalar<'a> {
        let value = match &self.from {
            From::Constant(constant) => constant.scalar(),
            From::Path { place, absent_if, change } => {
                let value = place.scalar(root, found);
                if absent_if.iter().any(|constant| equals(&value, constant)) {
                    return Scalar::Null;
                }
                change.of(value)
            }
            From::Difference(difference) => difference.scalar(root, found),
        };
        match &self.per {
            Some(per) => per.divide(value, root, found),
            None => value,
        }
    }
}

impl Per {
    /// The quotient; null where the divisor is absent or below 1. A divisor that is no number is given back as the value
    /// that cannot be read.
    fn divide<'a>(&self, value: Scalar<'a>, root: &Node<'a>, found: &mut Found) -> Scalar<'a> {
        let divisor = self.place.scalar(root, found);
        let dividend = match numeric::double(&value) {
            Some(Some(dividend)) => dividend,
            Some(None) => return Scalar::Null,
            None => return value,
        };
        match numeric::finite(&divisor) {
            Some(Some(number)) if number - self.less >= 1.0 => Scalar::Double(dividend / (number - self.less)),
            Some(_) => Scalar::Null,
            None => divisor,
        }
    }
}
