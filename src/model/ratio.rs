//! Exact fractions: objectives and burn-rate factors are written as decimals, and a rule's condition is compared in
//! integers (contract, section 6).

use std::cmp::Ordering;

/// A non-negative fraction `num / den`, `den > 0`, in lowest terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Ratio {
    pub num: u64,
    pub den: u64,
}

impl Ratio {
    pub const ZERO: Ratio = Ratio { num: 0, den: 1 };

    /// `num / den` in lowest terms; `None` if `den` is 0.
    pub fn new(num: u64, den: u64) -> Option<Ratio> {
        if den == 0 {
            return None;
        }
        let d = gcd(num, den);
        Some(Ratio { num: num / d, den: den / d })
    }

    /// Parses a plain decimal (`0.999`, `14.4`, `1e-4`) exactly. `None` for anything else, for negative numbers, and
    /// for more digits than a fraction of 64 bits can represent exactly.
    pub fn parse(text: &str) -> Option<Ratio> {
        let text = text.trim();
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let digits: String = [whole, fraction].concat();
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let scale = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
        let num: u64 = digits.parse().ok()?;
        if scale >= 0 {
            Ratio::new(num.checked_mul(10u64.checked_pow(scale as u32)?)?, 1)
        } else {
            Ratio::new(num, 10u64.checked_pow(scale.unsigned_abs())?)
        }
    }

    /// The exact fraction of the shortest decimal that reads back as `value`.
    pub fn from_f64(value: f64) -> Option<Ratio> {
        if value.is_finite() && value >= 0.0 { Ratio::parse(&format!("{value:?}")) } else { None }
    }

    pub fn as_f64(self) -> f64 {
        self.num as f64 / self.den as f64
    }

    /// `1 - self`; `None` if that is negative.
    pub fn complement(self) -> Option<Ratio> {
        Ratio::new(self.den.checked_sub(self.num)?, self.den)
    }

    pub fn checked_mul(self, other: Ratio) -> Option<Ratio> {
        let a = Ratio::new(self.num, other.den)?;
        let b = Ratio::new(other.num, self.den)?;
        Ratio::new(a.num.checked_mul(b.num)?, a.den.checked_mul(b.den)?)
    }

    /// Compares `part / whole` with this fraction without dividing: `part * den` with `num * whole`.
    #[inline]
    pub fn compare_share(self, part: u128, whole: u128) -> Ordering {
        Threshold { num: u128::from(self.num), den: u128::from(self.den) }.compare_share(part, whole)
    }
}

/// A product of two fractions that may exceed 64 bits: the threshold of a rule's error ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    num: u128,
    den: u128,
}

impl Threshold {
    pub fn product(a: Ratio, b: Ratio) -> Threshold {
        let multiply = |a: u64, b: u64| u128::from(a) * u128::from(b);
        Threshold { num: multiply(a.num, b.num), den: multiply(a.den, b.den) }
    }

    /// Compares `part / whole` with this fraction, exactly at any size.
    #[inline]
    pub fn compare_share(self, part: u128, whole: u128) -> Ordering {
        match (part.checked_mul(self.den), whole.checked_mul(self.num)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => wide_product(part, self.den).cmp(&wide_product(whole, self.num)),
        }
    }
}

/// The 256 bits of a product: the upper half, then the lower.
fn wide_product(a: u128, b: u128) -> (u128, u128) {
    const LOW: u128 = u64::MAX as u128;
    let ((a1, a0), (b1, b0)) = ((a >> 64, a & LOW), (b >> 64, b & LOW));
    let (low, high) = (a0 * b0, a1 * b1);
    let (middle, carries) = (a1 * b0).overflowing_add(a0 * b1);
    let (low, overflows) = low.overflowing_add(middle << 64);
    (high + (middle >> 64) + (u128::from(carries) << 64) + u128::from(overflows), low)
}

const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    if a == 0 { 1 } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_decimals_exactly() {
        assert_eq!(Ratio::parse("0.999"), Ratio::new(999, 1000));
        assert_eq!(Ratio::parse("14.4"), Ratio::new(72, 5));
        assert_eq!(Ratio::parse("1e-4"), Ratio::new(1, 10_000));
        assert_eq!(Ratio::parse("1.5E2"), Ratio::new(150, 1));
        for bad in ["", ".", "-1", "abc", "1.2.3", "0.99999999999999999999999"] {
            assert_eq!(Ratio::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_shortest_decimal_of_a_double_is_taken() {
        assert_eq!(Ratio::from_f64(0.999), Ratio::new(999, 1000));
        assert_eq!(Ratio::from_f64(1e-7), Ratio::new(1, 10_000_000));
        assert_eq!(Ratio::from_f64(f64::NAN), None);
    }

    #[test]
    fn compares_beyond_128_bits_to_the_last_digit() {
        assert_eq!(Ratio::parse("0.99999999999999999999"), None, "more than 64 bits hold: refused, never rounded");
        let allowed = Ratio { num: 3, den: u64::MAX };
        let threshold = Threshold::product(Ratio { num: u64::MAX - 2, den: u64::MAX - 4 }, allowed);
        // threshold = 3 (m - 2) / (m (m - 4)) with m = 2^64 - 1: of whole = m (m - 4), part = 3 (m - 2) is equal to it.
        let m = u128::from(u64::MAX);
        for (part, order) in [(-1, Ordering::Less), (0, Ordering::Equal), (1, Ordering::Greater)] {
            let part = (3 * (m - 2)).wrapping_add_signed(part);
            assert_eq!(threshold.compare_share(part, m * (m - 4)), order, "{part}");
        }
        assert_eq!(wide_product(u128::MAX, u128::MAX), (u128::MAX - 1, 1));
        assert_eq!(wide_product(1 << 100, 1 << 60), (1 << 32, 0));
    }

    #[test]
    fn compares_without_rounding() {
        let third = Ratio { num: 1, den: 3 };
        assert_eq!(third.compare_share(1, 3), Ordering::Equal);
        assert_eq!(third.compare_share(333_333_333_334, 1_000_000_000_000), Ordering::Greater);
        assert_eq!(third.compare_share(333_333_333_333, 1_000_000_000_000), Ordering::Less);
    }
}
