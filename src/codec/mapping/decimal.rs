//! Decimal numbers, read exactly: in doubles 1767607209.0 - 1767607200.3 is not 8.7.

use super::super::field::Scalar;
use super::super::numeric;
use std::io::Write as _;

/// Of a fraction this many digits are kept; the others are cut.
const DIGITS: u32 = 9;
pub(super) const BILLION: i128 = 1_000_000_000;

/// The number in billionths; `None` if the text is no plain decimal (it has an exponent, or is too long).
pub(super) fn billionths(text: &str) -> Option<i128> {
    let (is_negative, text) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut number: i128 = 0;
    for digit in whole.bytes() {
        number = number.checked_mul(10)?.checked_add(of_digit(digit)?)?;
    }
    let mut kept = 0;
    for digit in fraction.bytes() {
        let digit = of_digit(digit)?;
        if kept < DIGITS {
            number = number.checked_mul(10)?.checked_add(digit)?;
            kept += 1;
        }
    }
    let number = number.checked_mul(10i128.pow(DIGITS - kept))?;
    Some(if is_negative { -number } else { number })
}

fn of_digit(byte: u8) -> Option<i128> {
    byte.is_ascii_digit().then(|| i128::from(byte - b'0'))
}

/// The shortest decimal that means this double, in billionths.
pub(super) fn billionths_of(number: f64) -> Option<i128> {
    // 17 digits, a sign, a point and an exponent of 3 digits fit.
    let mut text = [0u8; 40];
    let mut rest = &mut text[..];
    write!(rest, "{number:?}").ok()?;
    let left = rest.len();
    let written = std::str::from_utf8(&text[..text.len() - left]).ok()?;
    billionths(written).or_else(|| nearest(number))
}

/// With an exponent a double is exact enough.
fn nearest(number: f64) -> Option<i128> {
    let scaled = number * 1e9;
    (scaled.abs() < 1e37).then(|| scaled.round_ties_even() as i128)
}

/// A number of a record in billionths. `Some(None)`: absent. `None`: it is no number, or too large.
pub(super) fn of(value: &Scalar<'_>) -> Option<Option<i128>> {
    let exact = match value {
        Scalar::Number(n) => billionths(n.text),
        Scalar::Text(text) => billionths(text.trim_ascii()),
        Scalar::Long(n) | Scalar::NoMoment(_, n) => Some(i128::from(*n) * BILLION),
        Scalar::Double(n) => billionths_of(*n),
        _ => None,
    };
    match exact {
        Some(number) => Some(Some(number)),
        None => match numeric::finite(value)? {
            Some(number) => nearest(number).map(Some),
            None => Some(None),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_and_fractions_are_cut_after_nine_digits() {
        for (text, number) in [
            ("8.7", Some(8_700_000_000)),
            ("-0.5", Some(-500_000_000)),
            ("+7", Some(7_000_000_000)),
            ("0.1234567899", Some(123_456_789)),
            ("1767607209.0", Some(1_767_607_209_000_000_000)),
            (".5", Some(500_000_000)),
            ("5.", Some(5_000_000_000)),
            ("1e9", None),
            ("", None),
            ("-", None),
            (".", None),
            ("1.5x", None),
            ("12 3", None),
            ("99999999999999999999999999999999999999", None),
        ] {
            assert_eq!(billionths(text), number, "{text}");
        }
    }

    #[test]
    fn binary_numbers_are_the_decimals_that_they_print_as() {
        assert_eq!(billionths_of(1_767_607_200.3), Some(1_767_607_200_300_000_000));
        assert_eq!(billionths_of(-0.02), Some(-20_000_000));
        assert_eq!(billionths_of(1e-7), Some(100));
        assert_eq!(billionths_of(f64::NAN), None);
        assert_eq!(billionths_of(1e300), None);
    }

    #[test]
    fn what_is_no_number_is_told_from_what_is_absent() {
        assert_eq!(of(&Scalar::Null), Some(None));
        assert_eq!(of(&Scalar::Text("-".into())), Some(None));
        assert_eq!(of(&Scalar::Text(" 1.5 ".into())), Some(Some(1_500_000_000)));
        assert_eq!(of(&Scalar::Text("1.5e0".into())), Some(Some(1_500_000_000)));
        assert_eq!(of(&Scalar::Text("soon".into())), None);
        assert_eq!(of(&Scalar::Bool(true)), None);
        assert_eq!(of(&Scalar::Long(2)), Some(Some(2_000_000_000)));
    }
}
