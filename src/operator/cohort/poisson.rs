//! Counts beside what was expected of them: likelihood ratio, p-value and risk ratio. `libm` only.
//!
//! The likelihood ratio is that of Kulldorff's scan statistic for Poisson counts (1997).

use super::risk::{Risk, Z};

/// Bad events, and how many were expected. The expected ones of a whole need not add up to its bad ones: only their
/// proportions count.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Count {
    pub bad: f64,
    pub expected: f64,
}

impl Count {
    pub fn add(&mut self, part: Count) {
        self.bad += part.bad;
        self.expected += part.expected;
    }

    /// The rest; sums of floating-point numbers may leave a trifle below 0.
    pub fn without(self, part: Count) -> Count {
        Count { bad: (self.bad - part.bad).max(0.0), expected: (self.expected - part.expected).max(0.0) }
    }

    /// Bad events per expected one.
    pub fn ratio(self) -> f64 {
        if self.expected > 0.0 { self.bad / self.expected } else { 0.0 }
    }
}

/// The logarithm of how much likelier the counts are if `part` has a rate of its own; 0 where it is not higher.
pub fn log_likelihood_ratio(part: Count, all: Count) -> f64 {
    let rest = all.without(part);
    if part.expected <= 0.0 || rest.expected <= 0.0 || part.ratio() <= rest.ratio() {
        return 0.0;
    }
    let overall = all.ratio();
    let term = |count: Count| if count.bad > 0.0 { count.bad * libm::log(count.ratio() / overall) } else { 0.0 };
    (term(part) + term(rest)).max(0.0)
}

/// How likely chance gives `part` so many of the bad events: an exact test where few are expected, else the G-test.
pub fn p_value(part: Count, all: Count, log_ratio: f64) -> f64 {
    let share = part.expected / all.expected;
    if all.bad * share < 5.0 {
        binomial_at_least(part.bad, all.bad, share)
    } else {
        // G = 2 LLR, chi-square with one degree of freedom.
        libm::erfc(libm::sqrt(log_ratio))
    }
}

/// `P[X >= k]` of `n` trials with this chance each.
fn binomial_at_least(k: f64, n: f64, chance: f64) -> f64 {
    if k <= 0.0 || chance >= 1.0 {
        return 1.0;
    }
    if chance <= 0.0 {
        return 0.0;
    }
    let choose = libm::lgamma(n + 1.0) - libm::lgamma(k + 1.0) - libm::lgamma((n - k).max(0.0) + 1.0);
    let mut term = libm::exp(choose + k * libm::log(chance) + (n - k) * libm::log1p(-chance));
    let (mut sum, mut at) = (0.0, k);
    while term > sum * 1e-17 {
        sum += term;
        if at >= n {
            break;
        }
        term *= (n - at) / (at + 1.0) * chance / (1.0 - chance);
        at += 1.0;
    }
    sum.min(1.0)
}

/// How much more bad events there are inside than outside, each beside what is expected; `spread` widens the interval for
/// events that are not independent. `None` where nothing is expected on one side.
pub fn risk_ratio(inside: Count, outside: Count, spread: f64) -> Option<Risk> {
    if inside.expected <= 0.0 || outside.expected <= 0.0 {
        return None;
    }
    // Half an event on each side where one has none, which keeps the ratio finite (Haldane 1956).
    let half = if inside.bad <= 0.0 || outside.bad <= 0.0 { 0.5 } else { 0.0 };
    let (a, b) = (inside.bad + half, outside.bad + half);
    let ratio = (a / inside.expected) / (b / outside.expected);
    let width = libm::exp(Z * spread * libm::sqrt(1.0 / a + 1.0 / b));
    Some(Risk { ratio, low: ratio / width, high: ratio * width })
}

/// The risk ratio with the strata held fixed: pairs of inside and outside (Mantel and Haenszel 1959, for rates). `None`
/// where no stratum has both.
pub fn stratified_ratio(strata: &[(Count, Count)]) -> Option<f64> {
    let of = |(above, below): (f64, f64), (inside, outside): &(Count, Count)| {
        let both = inside.expected + outside.expected;
        if inside.expected <= 0.0 || outside.expected <= 0.0 {
            return (above, below);
        }
        (above + inside.bad * outside.expected / both, below + outside.bad * inside.expected / both)
    };
    let (above, below) = strata.iter().fold((0.0, 0.0), of);
    match (above > 0.0, below > 0.0) {
        (_, true) => Some(above / below),
        (true, false) => Some(f64::MAX),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(bad: f64, expected: f64) -> Count {
        Count { bad, expected }
    }

    #[test]
    fn the_likelihood_ratio_is_that_of_two_rates_against_one() {
        let llr = log_likelihood_ratio(count(30.0, 10.0), count(100.0, 100.0));
        let by_hand = 30.0 * libm::log(3.0) + 70.0 * libm::log(70.0 / 90.0);
        assert!((llr - by_hand).abs() < 1e-9, "{llr}");
        // Only proportions count.
        assert!((log_likelihood_ratio(count(30.0, 1.0), count(100.0, 10.0)) - by_hand).abs() < 1e-9);
        assert_eq!(log_likelihood_ratio(count(5.0, 10.0), count(100.0, 100.0)), 0.0);
    }

    #[test]
    fn small_counts_are_tested_exactly() {
        // 2 of 4 or more with a chance of 1/2: (6 + 4 + 1) / 16.
        let p = p_value(count(2.0, 1.0), count(4.0, 2.0), 0.0);
        assert!((p - 11.0 / 16.0).abs() < 1e-12, "{p}");
        assert!((p_value(count(4.0, 1.0), count(4.0, 4.0), 0.0) - 1.0 / 256.0).abs() < 1e-12);
    }

    #[test]
    fn a_ratio_within_strata_is_not_that_of_their_sizes() {
        // Both sides fail alike in each stratum; inside has more of the stratum that fails.
        let strata = [(count(90.0, 9.0), count(10.0, 1.0)), (count(1.0, 1.0), count(9.0, 9.0))];
        let ratio = stratified_ratio(&strata).expect("both sides");
        assert!((ratio - 1.0).abs() < 1e-12, "{ratio}");
        let (inside, outside) = (count(91.0, 10.0), count(19.0, 10.0));
        assert!(risk_ratio(inside, outside, 1.0).expect("both sides").low > 2.0, "which the plain ratio does not see");
        assert_eq!(stratified_ratio(&[(count(1.0, 1.0), count(0.0, 0.0))]), None);
    }
}
