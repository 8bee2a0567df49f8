//! What a mapping makes of one value: its unit, its bucket, another value for it, its leading digits.

use super::super::field::Scalar;
use super::super::numeric;
use super::bucket::Bucket;
use super::constant::Constant;
use super::unit::Unit;
use std::borrow::Cow;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    Kept,
    /// An epoch time in a unit.
    Time(Unit),
    /// A duration in a unit, to milliseconds.
    Duration(Unit),
    Bucket(Bucket),
    /// `{success: 200, failure: 500}`; any other value is absent.
    Map(Vec<(String, Constant)>),
    /// This many leading digits; a value with fewer is absent.
    Digits(usize),
}

impl Change {
    pub fn of<'a>(&'a self, value: Scalar<'a>) -> Scalar<'a> {
        match self {
            Change::Kept => value,
            Change::Time(unit) => unit.time(value),
            Change::Duration(unit) => unit.duration_ms(value),
            Change::Bucket(bucket) => bucket.label(&value),
            Change::Map(pairs) => {
                let pair = pairs.iter().find(|(text, _)| reads(&value, text));
                pair.map_or(Scalar::Null, |(_, constant)| constant.scalar())
            }
            Change::Digits(count) => digits(value, *count),
        }
    }
}

/// Whether a value is this text, or a number or boolean that is written so.
pub(super) fn reads(value: &Scalar<'_>, text: &str) -> bool {
    match value {
        Scalar::Text(value) => value == text,
        Scalar::Bool(value) => text == if *value { "true" } else { "false" },
        Scalar::Number(value) => value.text == text || is_number(value.as_f64(), text),
        Scalar::Long(value) => text.parse() == Ok(*value),
        Scalar::Double(value) => is_number(*value, text),
        _ => false,
    }
}

fn is_number(value: f64, text: &str) -> bool {
    text.parse::<f64>().is_ok_and(|number| number == value)
}

/// Whether a value is this constant: numbers are compared as numbers, also in text (`0` is `0.0` and `"0"`).
pub(super) fn equals(value: &Scalar<'_>, constant: &Constant) -> bool {
    let is = |number: f64| numeric::double(value).flatten() == Some(number);
    match constant {
        Constant::Text(text) => reads(value, text),
        Constant::Bool(expected) => reads(value, if *expected { "true" } else { "false" }),
        Constant::Integer(number) => is(*number as f64),
        Constant::Number(number) => is(*number),
    }
}

fn digits(value: Scalar<'_>, count: usize) -> Scalar<'_> {
    let leading = |text: &str| text.len() >= count && text.as_bytes()[..count].iter().all(u8::is_ascii_digit);
    match value {
        Scalar::Text(Cow::Borrowed(text)) if leading(text) => Scalar::Text(Cow::Borrowed(&text[..count])),
        Scalar::Text(Cow::Owned(mut text)) if leading(&text) => {
            text.truncate(count);
            Scalar::Text(Cow::Owned(text))
        }
        Scalar::Number(number) if leading(number.text) => Scalar::Text(Cow::Borrowed(&number.text[..count])),
        Scalar::Long(number) => digits(Scalar::Text(Cow::Owned(number.to_string())), count),
        _ => Scalar::Null,
    }
}
