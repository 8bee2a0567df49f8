//! A two-by-two table and what it says: risk ratio, likelihood ratio and p-value. `libm` only.
//!
//! The risk ratio is MacroBase's (Bailis et al., SIGMOD 2017), its interval Katz's (1978), the
//! likelihood ratio that of Kulldorff's scan statistic for Bernoulli trials (1997).

/// `z` of a two-sided 95 % interval.
pub(super) const Z: f64 = 1.959_963_984_540_054;

/// Units and how many of them are outliers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    pub units: f64,
    pub outliers: f64,
}

impl Tally {
    pub fn rate(self) -> f64 {
        if self.units > 0.0 { self.outliers / self.units } else { 0.0 }
    }

    pub fn without(self, part: Tally) -> Tally {
        Tally { units: self.units - part.units, outliers: self.outliers - part.outliers }
    }

    pub fn add(&mut self, part: Tally) {
        self.units += part.units;
        self.outliers += part.outliers;
    }

    /// The log-likelihood of the outliers at their own rate.
    fn log_likelihood(self) -> f64 {
        let term = |count: f64| if count > 0.0 { count * libm::log(count / self.units) } else { 0.0 };
        term(self.outliers) + term(self.units - self.outliers)
    }
}

/// A risk ratio with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Risk {
    pub ratio: f64,
    pub low: f64,
    pub high: f64,
}

/// How much more often the units inside are outliers than those outside; `spread` widens the interval
/// for units that are not independent (1.0: they are). `None` where nobody is inside or outside.
///
/// Where no outlier is outside (or inside) the ratio would be infinite (or 0), which no JSON number
/// says: half a unit is added to each cell then (Haldane 1956), which keeps the ratio finite.
pub fn risk_ratio(inside: Tally, outside: Tally, spread: f64) -> Option<Risk> {
    if inside.units <= 0.0 || outside.units <= 0.0 {
        return None;
    }
    let needs_correction = inside.outliers <= 0.0 || outside.outliers <= 0.0;
    let half = if needs_correction { 0.5 } else { 0.0 };
    let corrected = |t: Tally| Tally { units: t.units + 2.0 * half, outliers: t.outliers + half };
    let (a, b) = (corrected(inside), corrected(outside));
    let ratio = a.rate() / b.rate();
    let variance = 1.0 / a.outliers - 1.0 / a.units + 1.0 / b.outliers - 1.0 / b.units;
    let width = libm::exp(Z * spread * libm::sqrt(variance.max(0.0)));
    Some(Risk { ratio, low: ratio / width, high: ratio * width })
}

/// The logarithm of how much likelier the outliers of `all` are with a higher rate in `part` than with
/// one rate; 0 where the rate of `part` is not higher than that of the others.
pub fn log_likelihood_ratio(part: Tally, all: Tally) -> f64 {
    let rest = all.without(part);
    if part.units <= 0.0 || rest.units <= 0.0 || part.rate() <= rest.rate() {
        return 0.0;
    }
    (part.log_likelihood() + rest.log_likelihood() - all.log_likelihood()).max(0.0)
}

/// How likely chance gives `part` so many outliers: Fisher's exact test where an expected count is
/// below 5, else the G-test.
pub fn p_value(part: Tally, all: Tally, log_ratio: f64) -> f64 {
    let rest = all.without(part);
    let good = all.units - all.outliers;
    let smallest = part.units.min(rest.units) * all.outliers.min(good) / all.units;
    if smallest < 5.0 {
        hypergeometric_at_least(part, all)
    } else {
        // G = 2 LLR, chi-square with one degree of freedom.
        libm::erfc(libm::sqrt(log_ratio))
    }
}

/// `P[X >= part.outliers]` where `part.units` are drawn from `all` without replacement.
fn hypergeometric_at_least(part: Tally, all: Tally) -> f64 {
    let (n, c) = (part.units, part.outliers);
    let others = all.units - all.outliers;
    let log_term = log_choose(all.outliers, c) + log_choose(others, n - c) - log_choose(all.units, n);
    let mut term = libm::exp(log_term);
    let mut sum = 0.0;
    let mut at = c;
    while term > sum * 1e-17 {
        sum += term;
        if at >= n || at >= all.outliers {
            break;
        }
        term *= (all.outliers - at) * (n - at) / ((at + 1.0) * (others - n + at + 1.0));
        at += 1.0;
    }
    sum.min(1.0)
}

fn log_choose(n: f64, k: f64) -> f64 {
    libm::lgamma(n + 1.0) - libm::lgamma(k + 1.0) - libm::lgamma(n - k + 1.0)
}

/// Replaces p-values (ascending) by those adjusted for `tests` tests (Benjamini and Hochberg 1995).
pub fn adjust(ascending: &mut [f64], tests: usize) {
    let mut smallest = 1.0f64;
    for (i, p) in ascending.iter_mut().enumerate().rev() {
        smallest = smallest.min(*p * tests as f64 / (i + 1) as f64);
        *p = smallest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(units: f64, outliers: f64) -> Tally {
        Tally { units, outliers }
    }

    #[test]
    fn risk_ratios_are_those_of_the_published_vectors() {
        for (ai, ao, inliers, outliers, ratio) in
            [(10.0, 10.0, 100.0, 100.0, 1.0), (10.0, 10.0, 1_000.0, 100.0, 6.0), (10.0, 99.0, 1_000.0, 100.0, 900.08)]
        {
            let all = tally(inliers + outliers, outliers);
            let inside = tally(ai + ao, ao);
            let risk = risk_ratio(inside, all.without(inside), 1.0).expect("both sides have units");
            assert!((risk.ratio - ratio).abs() < 0.005, "{risk:?} for {ratio}");
            assert!(risk.low < ratio && ratio < risk.high);
        }
    }

    #[test]
    fn without_outliers_outside_the_ratio_is_finite_and_cautious() {
        let risk = risk_ratio(tally(10.0, 10.0), tally(990.0, 0.0), 1.0).expect("both sides have units");
        assert!(risk.ratio.is_finite() && risk.low > 10.0 && risk.low < risk.ratio, "{risk:?}");
        assert_eq!(risk_ratio(tally(10.0, 1.0), tally(0.0, 0.0), 1.0), None);
    }

    #[test]
    fn small_tables_are_tested_exactly() {
        // 8 of 8 drawn from 20 with 10 marked: C(10,8) / C(20,8) = 45 / 125970.
        let p = p_value(tally(8.0, 8.0), tally(20.0, 10.0), 0.0);
        assert!((p - 45.0 / 125_970.0).abs() < 1e-12, "{p}");
        // The tea-tasting table: 3 of 4 right, 16/70 + 1/70.
        let tea = p_value(tally(4.0, 3.0), tally(8.0, 4.0), 0.0);
        assert!((tea - 17.0 / 70.0).abs() < 1e-12, "{tea}");
    }

    #[test]
    fn large_tables_take_the_g_test() {
        let (part, all) = (tally(100.0, 60.0), tally(200.0, 100.0));
        let llr = log_likelihood_ratio(part, all);
        // G = 2 (120 ln 1.2 + 80 ln 0.8).
        let g = 2.0 * (120.0 * libm::log(1.2) + 80.0 * libm::log(0.8));
        assert!((2.0 * llr - g).abs() < 1e-9);
        assert!((p_value(part, all, llr) - 0.004_583).abs() < 1e-4);
        assert_eq!(log_likelihood_ratio(tally(100.0, 40.0), all), 0.0);
    }

    #[test]
    fn adjusted_p_values_count_every_test_and_keep_their_order() {
        let mut p = [0.001, 0.01, 0.011, 0.9];
        adjust(&mut p, 10);
        let expected = [0.01, 0.11 / 3.0, 0.11 / 3.0, 1.0];
        p.iter().zip(expected).for_each(|(got, want)| assert!((got - want).abs() < 1e-12, "{got} {want}"));
    }
}
