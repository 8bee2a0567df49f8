//! Reads the value of a number field, in any format: numbers in text are numbers; `-` or an empty text is absent,
//! because proxies write these when there was no answer.
//!
//! `Some(None)`: absent. `None`: the field cannot take the value.

use super::field::Scalar;

/// The number, if any; it may be infinite or NaN.
#[inline]
pub(super) fn double(value: &Scalar<'_>) -> Option<Option<f64>> {
    match value {
        Scalar::Number(n) => Some(Some(n.as_f64())),
        Scalar::Double(n) => Some(Some(*n)),
        Scalar::Long(n) => Some(Some(*n as f64)),
        Scalar::Null => Some(None),
        Scalar::Text(text) => in_text(text),
        Scalar::Bool(_) | Scalar::Time(_) | Scalar::NoMoment(..) | Scalar::Other => None,
    }
}

/// The number, if it is finite.
#[inline]
pub(super) fn finite(value: &Scalar<'_>) -> Option<Option<f64>> {
    double(value).filter(|number| number.is_none_or(f64::is_finite))
}

/// A number without a fraction, in any notation: `500`, `500.0`, `"500"`.
#[inline]
pub(super) fn integer(value: &Scalar<'_>) -> Option<Option<i64>> {
    match value {
        Scalar::Number(n) if n.is_integer() => n.as_i64().map(Some),
        Scalar::Long(n) => Some(Some(*n)),
        Scalar::Text(text) => match text.parse() {
            Ok(n) => Some(Some(n)),
            Err(_) => integral(in_text(text)?),
        },
        _ => integral(double(value)?),
    }
}

#[cold]
fn integral(number: Option<f64>) -> Option<Option<i64>> {
    // 2^63, the first double that is too large.
    const END: f64 = 9_223_372_036_854_775_808.0;
    match number {
        None => Some(None),
        Some(n) if n.fract() == 0.0 && (-END..END).contains(&n) => Some(Some(n as i64)),
        Some(_) => None,
    }
}

/// A number in decimal digits, with optional sign, fraction and exponent.
fn in_text(text: &str) -> Option<Option<f64>> {
    match text.trim_ascii() {
        "" | "-" => Some(None),
        number => number.parse().ok().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Scalar<'_> {
        Scalar::Text(text.into())
    }

    #[test]
    fn numbers_in_text_are_numbers_and_a_dash_is_none() {
        for (written, number) in [
            ("0.004", Some(Some(0.004))),
            ("60", Some(Some(60.0))),
            ("-3.5e2", Some(Some(-350.0))),
            ("007", Some(Some(7.0))),
            (" 12 ", Some(Some(12.0))),
            ("-", Some(None)),
            ("", Some(None)),
            ("  ", Some(None)),
            ("60.000, 0.001", None),
            ("60.000 : 0.001", None),
            ("12ms", None),
            ("1,5", None),
            ("--", None),
            ("0x10", None),
            ("1_000", None),
            ("inf", None),
            ("NaN", None),
            ("1e400", None),
        ] {
            assert_eq!(finite(&text(written)), number, "{written}");
        }
        assert_eq!(double(&text("Infinity")), Some(Some(f64::INFINITY)), "a weight reports `not_finite`");
    }

    #[test]
    fn an_integer_is_a_number_without_a_fraction() {
        let number = |written| Scalar::Number(crate::codec::number::Number::scan(written).expect("a number"));
        for (value, integer_of_it) in [
            (number("500"), Some(Some(500))),
            (number("500.0"), Some(Some(500))),
            (number("5e2"), Some(Some(500))),
            (number("500.5"), None),
            (number("9223372036854775807"), Some(Some(i64::MAX))),
            (number("9223372036854775808"), None),
            (number("1e400"), None),
            (text("500"), Some(Some(500))),
            (text("+500"), Some(Some(500))),
            (text("500.0"), Some(Some(500))),
            (text("-"), Some(None)),
            (text("OK"), None),
            (text("500 OK"), None),
            (Scalar::Double(502.0), Some(Some(502))),
            (Scalar::Double(f64::NAN), None),
            (Scalar::Double(9_223_372_036_854_775_808.0), None),
            (Scalar::Double(-9_223_372_036_854_775_808.0), Some(Some(i64::MIN))),
            (Scalar::Bool(true), None),
            (Scalar::Null, Some(None)),
        ] {
            assert_eq!(integer(&value), integer_of_it, "{value:?}");
        }
    }
}
