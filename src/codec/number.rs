//! Numbers in JSON: the grammar, and the nearest double.

/// Powers of ten that a double holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];
/// Integers up to here are doubles exactly.
const EXACT_INTEGER: u64 = 1 << 53;

/// A number: its text, and what one pass over it showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number<'a> {
    pub text: &'a str,
    /// All digits as one integer, if there are at most 18 and no exponent.
    digits: Option<u64>,
    fraction_digits: u32,
    is_integer: bool,
}

impl<'a> Number<'a> {
    /// The number at the start of `text`, if there is one.
    #[inline]
    pub fn scan(text: &'a str) -> Option<Number<'a>> {
        let bytes = text.as_bytes();
        let mut at = usize::from(bytes.first() == Some(&b'-'));
        let mut digits = 0u64;
        let from = at;
        at = scan_digits(bytes, at, &mut digits);
        let mut count = at - from;
        if count == 0 || (count > 1 && bytes[from] == b'0') {
            return None;
        }
        let mut fraction_digits = 0;
        let mut is_integer = true;
        if bytes.get(at) == Some(&b'.') {
            let from = at + 1;
            at = scan_digits(bytes, from, &mut digits);
            fraction_digits = at - from;
            if fraction_digits == 0 {
                return None;
            }
            count += fraction_digits;
            is_integer = false;
        }
        let mut plain = true;
        if let Some(b'e' | b'E') = bytes.get(at) {
            at = exponent_end(bytes, at + 1)?;
            (is_integer, plain) = (false, false);
        }
        let digits = (plain && count <= 18).then_some(digits);
        Some(Number { text: &text[..at], digits, fraction_digits: fraction_digits as u32, is_integer })
    }

    /// The nearest double; infinite if the number is too large.
    #[inline]
    pub fn as_f64(&self) -> f64 {
        match self.digits {
            // One correctly rounded operation on two exact operands is correctly rounded.
            Some(digits) if digits <= EXACT_INTEGER => {
                let value = digits as f64 / EXACT_POWERS[self.fraction_digits as usize];
                if self.is_negative() { -value } else { value }
            }
            _ => self.slow_f64(),
        }
    }

    /// The integer, if the number is written as one and fits.
    #[inline]
    pub fn as_i64(&self) -> Option<i64> {
        match self.digits {
            Some(digits) if self.is_integer => Some(if self.is_negative() { -(digits as i64) } else { digits as i64 }),
            _ if self.is_integer => self.text.parse().ok(),
            _ => None,
        }
    }

    /// Whether it is written without a fraction and without an exponent.
    #[inline]
    pub fn is_integer(&self) -> bool {
        self.is_integer
    }

    /// The integer, or the nearest one of 64 bits; `None` if it is not written as an integer.
    #[inline]
    pub fn as_integer_saturating(&self) -> Option<i64> {
        let nearest = if self.is_negative() { i64::MIN } else { i64::MAX };
        self.is_integer.then(|| self.as_i64().unwrap_or(nearest))
    }

    #[inline]
    pub fn is_finite(&self) -> bool {
        self.digits.is_some() || self.slow_f64().is_finite()
    }

    #[inline]
    fn is_negative(&self) -> bool {
        self.text.as_bytes().first() == Some(&b'-')
    }

    #[cold]
    fn slow_f64(&self) -> f64 {
        // Rust can parse every JSON number; one past the largest double becomes infinite.
        self.text.parse().unwrap_or(f64::NAN)
    }
}

#[inline]
fn scan_digits(bytes: &[u8], from: usize, digits: &mut u64) -> usize {
    let mut at = from;
    while let Some(d @ 0..=9) = bytes.get(at).map(|b| b.wrapping_sub(b'0')) {
        // Wraps past 19 digits, but then the result is not used.
        *digits = digits.wrapping_mul(10).wrapping_add(u64::from(d));
        at += 1;
    }
    at
}

fn exponent_end(bytes: &[u8], from: usize) -> Option<usize> {
    let from = from + usize::from(matches!(bytes.get(from), Some(b'+' | b'-')));
    let len = bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    (len > 0).then_some(from + len)
}
