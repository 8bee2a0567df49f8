//! Exact decimal fractions, so that no comparison of section 6 uses floating point.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    pub num: i128,
    pub den: i128,
}

impl Ratio {
    pub fn new(num: i128, den: i128) -> Self {
        assert!(den != 0, "a ratio needs a denominator");
        let divisor = gcd(num.abs(), den.abs()).max(1) * den.signum();
        Self { num: num / divisor, den: den / divisor }
    }

    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits: i128 = format!("{whole}{fraction}").parse().map_err(|e| format!("{text:?} is no decimal: {e}"))?;
        Ok(Self::new(digits, 10i128.pow(fraction.len() as u32)))
    }

    /// The decimal that this double is printed as.
    pub fn of_double(number: f64) -> Result<Self, String> {
        Self::parse(&format!("{number:?}"))
    }

    pub fn one_minus(self) -> Self {
        Self::new(self.den - self.num, self.den)
    }

    pub fn times(self, other: Self) -> Self {
        Self::new(self.num * other.num, self.den * other.den)
    }

    pub fn as_f64(self) -> f64 {
        self.num as f64 / self.den as f64
    }

    pub fn exceeds(self, other: Self) -> bool {
        self.num * other.den > other.num * self.den
    }

    /// Whether `part / whole` exceeds this ratio.
    pub fn exceeded_by(self, part: i128, whole: i128) -> bool {
        part * self.den > self.num * whole
    }
}

fn gcd(a: i128, b: i128) -> i128 {
    if b == 0 { a } else { gcd(b, a % b) }
}
