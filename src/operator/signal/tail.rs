//! The users' true error rates behind what each of them happened to see: a mixture whose maximum likelihood is found without
//! assuming a shape (Kiefer and Wolfowitz, Annals of Mathematical Statistics 27, 1956; Laird, JASA 73, 1978).
//!
//! With a handful of events a user, the worst percentile of the observed SLIs says more about chance than about service.
//! The mixture's percentile does not: it explains all users together by as few distinct rates as fit.

use std::collections::BTreeMap;

/// Rates that are told apart, log-spaced.
const RATES: usize = 60;
/// The smallest rate that is told apart from none.
const RATE_MIN: f64 = 1e-5;
const ROUNDS_MAX: usize = 150;
/// The worst 1 % of fewer users is less than one: a rough fit will do.
const USERS_MIN: f64 = 100.0;
const ROUNDS_FEW: usize = 30;
/// The fit ends once no weight moves by more.
const SETTLED: f64 = 1e-5;
/// Of how many of the users the tail is.
const TAIL: f64 = 0.01;
/// Numbers below this count as they are.
const EXACT: u64 = 16;

/// How many users had so many events, so many of them bad.
pub type Users = BTreeMap<(u64, u64), u64>;

/// A number in the middle of its eighth of an octave: the fit's cost follows how many numbers differ.
pub const fn rough(number: u64) -> u64 {
    if number < EXACT {
        return number;
    }
    let shift = number.ilog2() - 3;
    (number >> shift << shift) + (1 << shift >> 1)
}

/// The tail of the mixture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tail {
    /// The SLI that 1 % of the users are served below.
    pub sli: f64,
    /// The mean error rate of these users.
    pub error_mean: f64,
}

impl Tail {
    /// Nothing is bad.
    pub const NONE: Tail = Tail { sli: 1.0, error_mean: 0.0 };
}

/// `None` without users. By expectation and maximisation over fixed rates.
pub fn estimate(users: &Users) -> Option<Tail> {
    let total: u64 = users.values().sum();
    if total > 0 && users.keys().all(|(_, bad)| *bad == 0) {
        return Some(Tail::NONE);
    }
    (total > 0).then(|| Mixture::fit(users, total as f64).tail())
}

struct Mixture {
    rates: [f64; RATES],
    weights: [f64; RATES],
}

impl Mixture {
    fn fit(users: &Users, total: f64) -> Mixture {
        let step = -libm::log(RATE_MIN) / (RATES - 1) as f64;
        let rate = |k: usize| libm::exp(libm::log(RATE_MIN) + step * k as f64).min(1.0);
        let mut mixture = Mixture { rates: std::array::from_fn(rate), weights: [1.0 / RATES as f64; RATES] };
        let shares: Vec<([f64; RATES], f64)> = mixture.likelihoods(users, total);
        let rounds = if total < USERS_MIN { ROUNDS_FEW } else { ROUNDS_MAX };
        for _ in 0..rounds {
            if mixture.improve(&shares) < SETTLED {
                break;
            }
        }
        mixture
    }

    /// By (events, bad events): how likely that is at each rate, up to a factor that is the same for all rates, and the
    /// share of the users with these numbers.
    fn likelihoods(&self, users: &Users, total: f64) -> Vec<([f64; RATES], f64)> {
        let log = |rate: f64| (libm::log(rate), libm::log1p(-rate.min(1.0 - 1e-12)));
        let logs: [(f64, f64); RATES] = std::array::from_fn(|k| log(self.rates[k]));
        let of = |((events, bad), count): (&(u64, u64), &u64)| {
            let all = logs.map(|(bad_log, good_log)| *bad as f64 * bad_log + (events - bad) as f64 * good_log);
            let best = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            (all.map(|log| libm::exp(log - best)), *count as f64 / total)
        };
        users.iter().filter(|(_, count)| **count > 0).map(of).collect()
    }

    /// One round of expectation and maximisation. How much the weights moved.
    fn improve(&mut self, shares: &[([f64; RATES], f64)]) -> f64 {
        let mut factors = [0.0; RATES];
        for (likelihood, share) in shares {
            let sum = product(&self.weights, likelihood);
            if sum > 0.0 {
                let factor = share / sum;
                factors.iter_mut().zip(likelihood).for_each(|(to, l)| *to += factor * l);
            }
        }
        let mut moved: f64 = 0.0;
        for (weight, factor) in self.weights.iter_mut().zip(factors) {
            let next = *weight * factor;
            moved = moved.max((next - *weight).abs());
            *weight = next;
        }
        moved
    }

    fn tail(&self) -> Tail {
        let (mut left, mut errors, mut rate_at) = (TAIL, 0.0, 0.0);
        for (rate, weight) in self.rates.iter().zip(&self.weights).rev() {
            let taken = weight.min(left);
            errors += taken * rate;
            left -= taken;
            if taken > 0.0 {
                rate_at = *rate;
            }
            if left <= 0.0 {
                break;
            }
        }
        let none = |rate: f64| if rate <= RATE_MIN { 0.0 } else { rate };
        Tail { sli: 1.0 - none(rate_at), error_mean: none(errors / TAIL) }
    }
}

/// The sum of products, in four parts that do not wait for one another.
fn product(a: &[f64; RATES], b: &[f64; RATES]) -> f64 {
    let mut parts = [0.0; 4];
    for (a, b) in a.chunks_exact(4).zip(b.chunks_exact(4)) {
        for lane in 0..4 {
            parts[lane] += a[lane] * b[lane];
        }
    }
    (parts[0] + parts[1]) + (parts[2] + parts[3])
}

// Whole parts.
const _: () = assert!(RATES.is_multiple_of(4));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::random::Random;

    /// Users with 2 to 41 events; every hundredth of `hundredths` has the other rate.
    fn users(rate: f64, other: f64, share: f64) -> Users {
        let mut dice = Random(7);
        let mut users = Users::new();
        for _ in 0..50_000 {
            let events = 2 + (dice.unit() * dice.unit() * 40.0) as u64;
            let of_user = if dice.unit() < share { other } else { rate };
            let bad = (0..events).filter(|_| dice.unit() < of_user).count() as u64;
            *users.entry((events, bad)).or_default() += 1;
        }
        users
    }

    #[test]
    fn chance_alone_makes_no_tail() {
        let tail = estimate(&users(0.001, 0.001, 0.0)).expect("users");
        assert!(tail.sli > 0.98 && tail.error_mean < 0.02, "{tail:?}");
        let tail = estimate(&users(0.1, 0.1, 0.0)).expect("users");
        assert!((tail.sli - 0.9).abs() < 0.06, "{tail:?}");
    }

    #[test]
    fn a_tail_of_two_percent_at_half_is_found() {
        let tail = estimate(&users(0.001, 0.5, 0.02)).expect("users");
        assert!((tail.sli - 0.5).abs() < 0.08 && (tail.error_mean - 0.5).abs() < 0.08, "{tail:?}");
    }

    #[test]
    fn nobody_and_nothing_bad() {
        assert_eq!(estimate(&Users::new()), None);
        assert_eq!(estimate(&Users::from([((100, 0), 1_000)])), Some(Tail { sli: 1.0, error_mean: 0.0 }));
    }
}
