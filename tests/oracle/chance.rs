//! Tails of the binomial distribution, term by term from the most likely one outwards.
//!
//! Deliberately slow and simple, without tables.

/// P[Binomial(n, p) > k].
pub fn binomial_above(k: i64, n: i64, p: f64) -> f64 {
    if k >= n || p <= 0.0 {
        return 0.0;
    }
    if k < 0 || p >= 1.0 {
        return 1.0;
    }
    // The ratios of neighbouring terms are exact, and the sum normalizes them, so no factorial is needed.
    let mode = (((n + 1) as f64 * p) as i64).clamp(0, n);
    let odds = p / (1.0 - p);
    let (mut above, mut all) = (0.0, 0.0);
    let mut count = |x: i64, term: f64| {
        all += term;
        above += if x > k { term } else { 0.0 };
    };
    let mut term = 1.0;
    for x in mode..=n {
        count(x, term);
        term *= (n - x) as f64 / (x + 1) as f64 * odds;
    }
    term = 1.0;
    for x in (0..mode).rev() {
        term *= (x + 1) as f64 / (n - x) as f64 / odds;
        count(x, term);
    }
    above / all
}

#[test]
fn the_binomial_tail_is_the_sum_of_its_terms() {
    let by_hand = 1.0 - 0.9f64.powi(4) - 4.0 * 0.1 * 0.9f64.powi(3);
    assert!((binomial_above(1, 4, 0.1) - by_hand).abs() < 1e-15);
    assert_eq!(binomial_above(4, 4, 0.1), 0.0);
    assert!((binomial_above(500, 1_001, 0.5) - 0.5).abs() < 1e-13);
}
