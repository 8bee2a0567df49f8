//! The users' true error rates behind what each of them happened to see.
//!
//! With a handful of events a user, the worst percentile of the observed SLIs says more about chance than about service.
//! The percentile of the mixture that explains all users together does not.

use super::evidence::{Evidence, RATE_MIN, Users};
use super::mixture::{Shares, fit};

/// Of how many of the users the tail is.
const TAIL: f64 = 0.01;
/// Numbers below this count as they are, others by sixteenths of an octave.
const EXACT: u64 = 32;

/// A number in the middle of its sixteenth of an octave: the fit's cost follows how many numbers differ.
pub const fn rough(number: u64) -> u64 {
    if number < EXACT {
        return number;
    }
    let shift = number.ilog2() - 4;
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

/// `None` without users.
pub fn estimate(users: &Users) -> Option<Tail> {
    let total: u64 = users.values().sum();
    if total > 0 && users.iter().all(|((_, bad), count)| *bad == 0 || *count == 0) {
        return Some(Tail::NONE);
    }
    (total > 0).then(|| tail_of(&fit(&Evidence::of(users))))
}

/// Rates ascend.
fn tail_of(shares: &Shares) -> Tail {
    let (mut left, mut errors, mut rate_at) = (TAIL, 0.0, 0.0);
    for (rate, weight) in shares.iter().rev() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::random::Random;

    /// Users with 2 to 41 events; a share of them has the other rate.
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

    fn assert_near(tail: Tail, rate: f64, most: f64) {
        assert!((1.0 - tail.sli - rate).abs() < most && (tail.error_mean - rate).abs() < most, "{tail:?} for {rate}");
    }

    #[test]
    fn chance_alone_makes_no_tail() {
        for rate in [0.001, 0.033, 0.1] {
            assert_near(estimate(&users(rate, rate, 0.0)).expect("users"), rate, 0.01);
        }
    }

    #[test]
    fn a_tail_of_two_percent_is_found() {
        assert_near(estimate(&users(0.001, 0.5, 0.02)).expect("users"), 0.5, 0.04);
        assert_near(estimate(&users(0.01, 0.1, 0.02)).expect("users"), 0.1, 0.02);
        assert_near(estimate(&users(0.002, 1.0, 0.02)).expect("users"), 1.0, 1e-9);
    }

    #[test]
    fn users_who_all_differ_are_not_forced_into_classes() {
        let (mut dice, mut users) = (Random(9), Users::new());
        for _ in 0..50_000 {
            // Uniform between 0 and 0.2: the worst percentile is 0.198.
            let (rate, events) = (0.2 * dice.unit(), 5 + dice.below(30));
            let bad = (0..events).filter(|_| dice.unit() < rate).count() as u64;
            *users.entry((events, bad)).or_default() += 1;
        }
        assert_near(estimate(&users).expect("users"), 0.199, 0.03);
    }

    #[test]
    fn nothing_works_for_anybody() {
        for users in
            [Users::from([((1, 1), 3)]), Users::from([((40, 40), 900), ((7, 7), 100), ((100_000, 100_000), 1)])]
        {
            assert_near(estimate(&users).expect("users"), 1.0, 1e-3);
        }
    }

    #[test]
    fn users_with_very_many_events_are_explained_wherever_their_rates_are() {
        for (events, rate) in [(10_000, 0.5), (10_000, 0.03), (5_000_000, 0.37), (5_000_000, 0.9)] {
            let bad = (events as f64 * rate) as u64;
            assert_near(estimate(&Users::from([((events, bad), 2)])).expect("users"), rate, 0.03);
            let some = estimate(&Users::from([((events, bad), 20), ((events, events / 500), 980)])).expect("users");
            assert_near(some, rate, 0.03);
        }
    }

    #[test]
    fn nobody_and_nothing_bad() {
        assert_eq!(estimate(&Users::new()), None);
        assert_eq!(estimate(&Users::from([((100, 0), 1_000)])), Some(Tail { sli: 1.0, error_mean: 0.0 }));
    }
}
