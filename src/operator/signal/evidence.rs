//! What users saw, as evidence of the rates behind it: how likely each number of bad events is at a rate.

use std::collections::BTreeMap;

/// How many users had so many events, so many of them bad.
pub type Users = BTreeMap<(u64, u64), u64>;

/// Rates that are told apart.
pub(super) const RATES: usize = LOW + HIGH;
/// The smallest rate that is told apart from none.
pub(super) const RATE_MIN: f64 = 1e-5;
/// Below this rates grow by a factor, above by steps that are as well told apart everywhere.
const RATE_LOW: f64 = 1e-3;
const LOW: usize = 8;
const HIGH: usize = 64;
/// A rate of 1 would make a single good event impossible, and its logarithm no number.
const GOOD_MIN: f64 = 1e-12;

/// By piece of evidence: how likely it is at one rate, beside its likeliest rate of the grid.
pub(super) type Column = Vec<f64>;

/// Ascending, up to 1.
pub(super) fn grid() -> [f64; RATES] {
    let growth = libm::log(RATE_LOW / RATE_MIN) / LOW as f64;
    let from = libm::asin(libm::sqrt(RATE_LOW));
    let step = (std::f64::consts::FRAC_PI_2 - from) / (HIGH - 1) as f64;
    std::array::from_fn(|at| match at.checked_sub(LOW) {
        None => RATE_MIN * libm::exp(growth * at as f64),
        // The root of a rate that is scattered by chance scatters alike at all rates (Anscombe, Biometrika 35, 1948).
        Some(at) => {
            let sine = libm::sin(from + step * at as f64);
            (sine * sine).min(1.0)
        }
    })
}

/// Pairs of events and bad ones.
pub(super) struct Evidence {
    pairs: Vec<(f64, f64)>,
    /// The share of the users with each pair.
    pub shares: Vec<f64>,
    /// The logarithm that the others are beside.
    best: Vec<f64>,
    pub users: f64,
}

impl Evidence {
    pub fn of(users: &Users) -> Evidence {
        let total = users.values().sum::<u64>() as f64;
        let counted = || users.iter().filter(|(_, count)| **count > 0);
        let pairs: Vec<(f64, f64)> = counted().map(|((events, bad), _)| (*events as f64, *bad as f64)).collect();
        let shares = counted().map(|(_, count)| *count as f64 / total).collect();
        let logs = grid().map(logs);
        let best = |(events, bad): &(f64, f64)| {
            let of_rates = logs.iter().map(|(bad_log, good_log)| bad * bad_log + (events - bad) * good_log);
            of_rates.fold(f64::NEG_INFINITY, f64::max)
        };
        let best = pairs.iter().map(best).collect();
        Evidence { pairs, shares, best, users: total }
    }

    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    pub fn column(&self, rate: f64) -> Column {
        let (bad_log, good_log) = logs(rate);
        let of =
            |((events, bad), best): (&(f64, f64), &f64)| libm::exp(bad * bad_log + (events - bad) * good_log - best);
        self.pairs.iter().zip(&self.best).map(of).collect()
    }

    /// By piece of evidence, how much it asks for what makes it likelier.
    pub fn pull(&self, density: &[f64]) -> Vec<f64> {
        self.shares.iter().zip(density).map(|(share, density)| share / density).collect()
    }

    /// The mean over users.
    pub fn log_likelihood(&self, density: &[f64]) -> f64 {
        self.shares.iter().zip(density).map(|(share, density)| share * libm::log(*density)).sum()
    }
}

/// The logarithms of a rate and of its complement.
fn logs(rate: f64) -> (f64, f64) {
    (libm::log(rate), libm::log1p(-rate.min(1.0 - GOOD_MIN)))
}
