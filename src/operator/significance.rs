//! Tail probabilities, with `libm` only: published figures must not depend on the platform's mathematics (contract,
//! section 10), so libraries that call it are ruled out.

/// `P[Poisson(mean) >= x]`, summed from `x` upwards so that small tails keep their digits.
///
/// Knuth, "The Art of Computer Programming" 2, section 3.4.1, gives the density; the terms fall by `mean / k`, so the
/// sum ends when they no longer matter.
pub fn poisson_at_least(x: u64, mean: f64) -> f64 {
    if x == 0 {
        return 1.0;
    }
    if mean <= 0.0 {
        return 0.0;
    }
    let k = x as f64;
    if k <= mean {
        // The lower side has fewer terms.
        return 1.0 - poisson_below(x, mean);
    }
    let mut term = libm::exp(k * libm::log(mean) - mean - libm::lgamma(k + 1.0));
    let mut sum = 0.0;
    let mut at = k;
    while term > sum * 1e-17 {
        sum += term;
        at += 1.0;
        term *= mean / at;
        if term == 0.0 {
            break;
        }
    }
    sum.min(1.0)
}

/// `P[Poisson(mean) < x]` for `x <= mean`, summed from `x - 1` downwards.
fn poisson_below(x: u64, mean: f64) -> f64 {
    let mut at = (x - 1) as f64;
    let mut term = libm::exp(at * libm::log(mean) - mean - libm::lgamma(at + 1.0));
    let mut sum = 0.0;
    while term > sum * 1e-17 {
        sum += term;
        if at < 1.0 {
            break;
        }
        term *= at / mean;
        at -= 1.0;
    }
    sum.min(1.0)
}

/// `P[Binomial(n, p) >= x]`, summed over the shorter side.
pub fn binomial_at_least(x: u64, n: u64, p: f64) -> f64 {
    if x == 0 {
        return 1.0;
    }
    if x > n || p <= 0.0 {
        return 0.0;
    }
    if p >= 1.0 {
        return 1.0;
    }
    if x as f64 > n as f64 * p {
        binomial_sum(x, n, p, true).min(1.0)
    } else {
        (1.0 - binomial_sum(x - 1, n, p, false)).max(0.0)
    }
}

/// Adds up the binomial density from `from` upwards or downwards until the terms no longer matter.
fn binomial_sum(from: u64, n: u64, p: f64, upwards: bool) -> f64 {
    let (k, total) = (from as f64, n as f64);
    let log_choose = libm::lgamma(total + 1.0) - libm::lgamma(k + 1.0) - libm::lgamma(total - k + 1.0);
    let mut term = libm::exp(log_choose + k * libm::log(p) + (total - k) * libm::log1p(-p));
    let odds = p / (1.0 - p);
    let mut sum = 0.0;
    let mut at = k;
    while term > sum * 1e-17 {
        sum += term;
        if upwards {
            if at >= total {
                break;
            }
            term *= (total - at) / (at + 1.0) * odds;
            at += 1.0;
        } else {
            if at < 1.0 {
                break;
            }
            term *= at / (total - at + 1.0) / odds;
            at -= 1.0;
        }
    }
    sum
}

/// Wilson's lower 95 % bound of a share (Wilson 1927): shown for single users.
pub fn wilson_low(good: f64, events: f64) -> f64 {
    if events <= 0.0 {
        return 0.0;
    }
    const Z: f64 = 1.959_963_984_540_054;
    let share = good / events;
    let z2 = Z * Z;
    let middle = share + z2 / (2.0 * events);
    let spread = Z * libm::sqrt(share * (1.0 - share) / events + z2 / (4.0 * events * events));
    ((middle - spread) / (1.0 + z2 / events)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of minimum bad counts at the guard's level, from the SLO literature the guard is built on.
    #[test]
    fn the_low_traffic_guard_asks_for_the_known_minimum_counts() {
        for (mean, minimum) in [(0.01, 2), (0.06, 3), (0.1, 4), (0.6, 6), (1.0, 7), (6.0, 18)] {
            let first = (0..100).find(|x| poisson_at_least(*x, mean) < 1e-4);
            assert_eq!(first, Some(minimum), "mean {mean}");
        }
    }

    #[test]
    fn tails_agree_with_an_independent_library() {
        use statrs::distribution::{Binomial, DiscreteCDF, Poisson};
        for mean in [0.003, 0.4, 3.0, 47.0, 3_000.0] {
            let library = Poisson::new(mean).expect("a valid mean");
            for x in [1u64, 2, 5, 40, 60, 2_900, 3_200] {
                let (ours, theirs) = (poisson_at_least(x, mean), library.sf(x - 1));
                assert!((ours - theirs).abs() <= 1e-9 + 1e-6 * theirs, "P[Poisson({mean}) >= {x}]: {ours} {theirs}");
            }
        }
        for (n, p) in [(5u64, 0.2), (100, 0.001), (1_000, 0.03), (50_000, 0.5)] {
            let library = Binomial::new(p, n).expect("valid parameters");
            for x in [1u64, 2, 4, 30, 45, 25_100] {
                let (ours, theirs) = (binomial_at_least(x, n, p), library.sf(x - 1));
                assert!((ours - theirs).abs() <= 1e-8 + 1e-6 * theirs, "P[B({n},{p}) >= {x}]: {ours} {theirs}");
            }
        }
    }

    #[test]
    fn wilsons_bound_is_below_the_share_and_knows_how_little_one_event_says() {
        assert!((wilson_low(1.0, 1.0) - 0.206_549_314_3).abs() < 1e-9);
        assert!(wilson_low(999.0, 1_000.0) < 0.999);
        assert_eq!(wilson_low(0.0, 0.0), 0.0);
    }
}
