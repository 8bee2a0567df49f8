//! A difference of two values: `{from: start, to: end, unit: s}` is `end - start`.

use super::super::field::Scalar;
use super::super::found::Found;
use super::super::rfc3339;
use super::super::tree::Node;
use super::decimal;
use super::place::Place;
use super::unit::Unit;
use crate::model::time::Ms;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Difference {
    pub from: Place,
    pub to: Place,
    /// Of both; the result is in milliseconds. `None`: the numbers as they are.
    pub unit: Option<Unit>,
    /// Whether the result is in milliseconds, so that two times have a difference.
    pub of_times: bool,
}

/// One side: a number in billionths, or a time.
enum Side {
    Number(i128),
    Time(Ms),
}

impl Difference {
    /// The difference; null where a side is absent or the result is negative; a side that is neither a number nor a time
    /// is given back as it is, as the value that cannot be read.
    pub fn scalar<'a>(&self, root: &Node<'a>, found: &mut Found) -> Scalar<'a> {
        let (from, to) = (self.from.scalar(root, found), self.to.scalar(root, found));
        match (self.side(&from), self.side(&to)) {
            (None, _) => from,
            (_, None) => to,
            (Some(None), _) | (_, Some(None)) => Scalar::Null,
            (Some(Some(from)), Some(Some(to))) => self.between(&from, &to),
        }
    }

    fn between<'a>(&self, from: &Side, to: &Side) -> Scalar<'a> {
        let difference = match (from, to) {
            (Side::Number(from), Side::Number(to)) => to.checked_sub(*from).map(|billionths| match self.unit {
                Some(unit) => unit.billionths_as_ms(billionths),
                None => billionths as f64 / 1e9,
            }),
            (Side::Time(from), Side::Time(to)) => to.checked_sub(*from).map(|ms| ms as f64),
            // A number and a time have no difference.
            _ => None,
        };
        match difference {
            Some(difference) if difference < 0.0 => Scalar::Null,
            Some(difference) => Scalar::Double(difference),
            None => Scalar::Other,
        }
    }

    /// `Some(None)`: absent. `None`: it cannot be read.
    fn side(&self, value: &Scalar<'_>) -> Option<Option<Side>> {
        let time = match value {
            Scalar::Time(t) if self.of_times => Some(*t),
            Scalar::Text(text) if self.of_times => rfc3339::parse(text),
            _ => None,
        };
        match time {
            Some(t) => Some(Some(Side::Time(t))),
            None => decimal::of(value).map(|number| number.map(Side::Number)),
        }
    }
}
