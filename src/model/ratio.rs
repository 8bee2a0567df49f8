//! Exact fractions: objectives and burn-rate factors are decimals that people wrote, and a rule's
//! condition is compared in integers (contract, section 6).

use std::cmp::Ordering;

/// A non-negative fraction `num / den`, `den > 0`, in lowest terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ratio {
    pub num: u64,
    pub den: u64,
}

impl Ratio {
    pub const ZERO: Ratio = Ratio { num: 0, den: 1 };

    /// `num / den` in lowest terms; `None` where `den` is 0.
    pub fn new(num: u64, den: u64) -> Option<Ratio> {
        if den == 0 {
            return None;
        }
        let d = gcd(num, den);
        Some(Ratio { num: num / d, den: den / d })
    }

    /// Parses a plain decimal (`0.999`, `14.4`, `1e-4`) exactly. `None` for anything else, for
    /// negative numbers, and for more digits than an exact fraction of 64 bits holds.
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

    /// `1 - self`; `None` where that is negative.
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
        match (part.checked_mul(u128::from(self.den)), whole.checked_mul(u128::from(self.num))) {
            (Some(a), Some(b)) => a.cmp(&b),
            // 128 bits hold 10^38: sums of micro-weights times a 64-bit denominator do not get there
            // on real input, and where they would, the order of magnitude decides.
            (None, _) => (part as f64 * self.den as f64).total_cmp(&(whole as f64 * self.num as f64)),
            (_, None) => Ordering::Less,
        }
    }
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
    fn compares_without_rounding() {
        let third = Ratio { num: 1, den: 3 };
        assert_eq!(third.compare_share(1, 3), Ordering::Equal);
        assert_eq!(third.compare_share(333_333_333_334, 1_000_000_000_000), Ordering::Greater);
        assert_eq!(third.compare_share(333_333_333_333, 1_000_000_000_000), Ordering::Less);
    }
}
