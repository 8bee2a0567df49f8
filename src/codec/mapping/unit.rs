//! Units of epoch times and durations.

use super::super::field::Scalar;
use super::super::number::Number;
use super::super::numeric;
use super::decimal::{self, BILLION};
use crate::model::time::Ms;

/// The unit of an epoch time or a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    S,
    Ms,
    Us,
    Ns,
}

impl Unit {
    /// How many of it are a second.
    const fn per_second(self) -> i128 {
        match self {
            Unit::S => 1,
            Unit::Ms => 1_000,
            Unit::Us => 1_000_000,
            Unit::Ns => 1_000_000_000,
        }
    }

    /// An epoch time in this unit, floored to milliseconds. Whole numbers, decimals and texts of either are read
    /// exactly, as 64-bit nanoseconds are often written as text. Any other text needs no unit: it is a complete time.
    pub fn time<'a>(self, value: Scalar<'a>) -> Scalar<'a> {
        match &value {
            Scalar::Text(text) if Number::scan(text).is_none_or(|n| n.text.len() != text.len()) => return value,
            Scalar::Null | Scalar::Time(_) => return value,
            // A unit on a local time means that the user knows it is UTC.
            Scalar::Number(_) | Scalar::Text(_) | Scalar::Long(_) | Scalar::NoMoment(..) | Scalar::Double(_) => {}
            Scalar::Bool(_) | Scalar::Other => return Scalar::Other,
        }
        let ms = decimal::of(&value).flatten().and_then(|billionths| self.floor_ms(billionths));
        ms.map_or(Scalar::Other, Scalar::Time)
    }

    fn floor_ms(self, billionths: i128) -> Option<Ms> {
        Ms::try_from(billionths.checked_mul(1_000)?.div_euclid(BILLION * self.per_second())).ok()
    }

    /// A duration in this unit, in milliseconds.
    pub fn duration_ms(self, value: Scalar<'_>) -> Scalar<'_> {
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

    /// A duration in billionths of this unit, in milliseconds: one division of two exact numbers, where they are below
    /// 2^53.
    pub fn billionths_as_ms(self, billionths: i128) -> f64 {
        billionths as f64
            / match self {
                Unit::S => 1e6,
                Unit::Ms => 1e9,
                Unit::Us => 1e12,
                Unit::Ns => 1e15,
            }
    }
}
