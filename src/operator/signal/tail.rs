//! The users' true error rates behind what each of them happened to see: a mixture whose maximum likelihood is found without
//! assuming a shape (Kiefer and Wolfowitz, Annals of Mathematical Statistics 27, 1956; Laird, JASA 73, 1978).
//!
//! With a handful of events a user, the worst percentile of the observed SLIs says more about chance than about service.
//! The mixture's percentile does not: it explains all users together by as few distinct rates as fit.

use std::collections::BTreeMap;

const RATES: usize = 40;
/// The smallest rate that is told apart from none.
const RATE_MIN: f64 = 1e-6;
const ROUNDS_MAX: usize = 300;
/// Rounds with fixed rates come first: rates that move too early do not find the rare bad ones.
const ROUNDS_FIXED: usize = 60;
const SETTLED: f64 = 1e-9;
/// Of how many of the users the tail is.
const TAIL: f64 = 0.01;

/// How many users had so many events, so many of them bad.
pub type Users = BTreeMap<(u64, u64), u64>;

/// The tail of the mixture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tail {
    /// The SLI that 1 % of the users are served below.
    pub sli: f64,
    /// The mean error rate of these users.
    pub error_mean: f64,
}

/// `None` without users.
pub fn estimate(users: &Users) -> Option<Tail> {
    let total: u64 = users.values().sum();
    (total > 0).then(|| Mixture::fit(users, total as f64).tail())
}

struct Mixture {
    rates: Vec<f64>,
    weights: Vec<f64>,
}

impl Mixture {
    fn fit(users: &Users, total: f64) -> Mixture {
        let step = -libm::log(RATE_MIN) / (RATES - 1) as f64;
        let rates = (0..RATES).map(|k| libm::exp(libm::log(RATE_MIN) + step * k as f64).min(1.0)).collect();
        let mut mixture = Mixture { rates, weights: vec![1.0 / RATES as f64; RATES] };
        let mut likelihoods = mixture.likelihoods(users);
        for round in 0..ROUNDS_MAX {
            let moved = mixture.improve(users, total, &likelihoods, round >= ROUNDS_FIXED);
            if round >= ROUNDS_FIXED {
                likelihoods = mixture.likelihoods(users);
            }
            if moved < SETTLED {
                break;
            }
        }
        mixture
    }

    /// By (events, bad events), and by rate: how likely that is, up to a factor that is the same for all rates.
    fn likelihoods(&self, users: &Users) -> Vec<f64> {
        let logs: Vec<(f64, f64)> =
            self.rates.iter().map(|rate| (libm::log(*rate), libm::log1p(-rate.min(1.0 - 1e-12)))).collect();
        let mut all = Vec::with_capacity(users.len() * self.rates.len());
        for (events, bad) in users.keys() {
            let of = |(bad_log, good_log): &(f64, f64)| *bad as f64 * bad_log + (events - bad) as f64 * good_log;
            let best = logs.iter().map(of).fold(f64::NEG_INFINITY, f64::max);
            all.extend(logs.iter().map(|log| libm::exp(of(log) - best)));
        }
        all
    }

    /// One round of expectation and maximisation. How much the weights moved.
    fn improve(&mut self, users: &Users, total: f64, likelihoods: &[f64], moves_rates: bool) -> f64 {
        let rates = self.rates.len();
        let (mut weights, mut bad, mut events) = (vec![0.0; rates], vec![0.0; rates], vec![0.0; rates]);
        for ((pair, count), likelihood) in users.iter().zip(likelihoods.chunks_exact(rates)) {
            let sum: f64 = self.weights.iter().zip(likelihood).map(|(weight, l)| weight * l).sum();
            if sum <= 0.0 {
                continue;
            }
            for k in 0..rates {
                let share = self.weights[k] * likelihood[k] / sum * *count as f64;
                weights[k] += share;
                bad[k] += share * pair.1 as f64;
                events[k] += share * pair.0 as f64;
            }
        }
        let mut moved: f64 = 0.0;
        for k in 0..rates {
            let weight = weights[k] / total;
            moved = moved.max((weight - self.weights[k]).abs());
            self.weights[k] = weight;
            if moves_rates && events[k] > 0.0 {
                self.rates[k] = (bad[k] / events[k]).clamp(RATE_MIN, 1.0);
            }
        }
        moved
    }

    fn tail(&self) -> Tail {
        let mut parts: Vec<(f64, f64)> = self.rates.iter().copied().zip(self.weights.iter().copied()).collect();
        parts.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (mut left, mut errors, mut rate_at) = (TAIL, 0.0, 0.0);
        for (rate, weight) in parts {
            let taken = weight.min(left);
            errors += taken * rate;
            left -= taken;
            if taken > 0.0 {
                rate_at = rate;
            }
            if left <= 0.0 {
                break;
            }
        }
        let none = |rate: f64| if rate <= RATE_MIN { 0.0 } else { rate };
        Tail { sli: 1.0 - none(rate_at), error_mean: none(errors / TAIL) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dice(u64);

    impl Dice {
        fn unit(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ (z >> 31)) as f64 / u64::MAX as f64
        }
    }

    /// Users with 2 to 41 events; every hundredth of `hundredths` has the other rate.
    fn users(rate: f64, other: f64, share: f64) -> Users {
        let mut dice = Dice(7);
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
        assert!((tail.sli - 0.9).abs() < 0.03, "{tail:?}");
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
