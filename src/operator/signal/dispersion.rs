//! Whether bad minutes fall on users as chance would have it, or on some of them: Tarone's test of overdispersion ("Testing
//! the goodness of fit of the binomial distribution", Biometrika 66, 1979) over five sums of users (contract, section 12).
//!
//! The sums are integers, so they come out the same in any order and with any number of users tasks.

use crate::model::time::{DAY_MS, Ms};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// Longer user windows have no dispersion.
pub const WINDOW_MS_MAX: Ms = DAY_MS;
/// With fewer users, or fewer bad minutes, nothing is said.
const USERS_MIN: u64 = 100;
const BAD_MINUTES_MIN: u64 = 10;

/// A user as the sums see one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserMinutes {
    pub events: u64,
    /// Minutes with a bad event.
    pub bad_minutes: u64,
    pub tenant: Box<str>,
    pub user: Box<str>,
}

impl UserMinutes {
    /// The largest first; of several, the one with the smallest tenant and user.
    fn order(&self, other: &UserMinutes) -> Ordering {
        let most = other.bad_minutes.cmp(&self.bad_minutes);
        most.then_with(|| (&self.tenant, &self.user).cmp(&(&other.tenant, &other.user)))
    }
}

/// MinuteSums over the users with events in a window; `n` is a user's events, `x` the minutes with a bad one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct MinuteSums {
    users: u64,
    n: u128,
    x: u128,
    nn: u128,
    xx: u128,
    xn: u128,
}

impl MinuteSums {
    fn of(events: u64, bad_minutes: u64) -> MinuteSums {
        let (n, x) = (u128::from(events), u128::from(bad_minutes));
        MinuteSums { users: 1, n, x, nn: n * n, xx: x * x, xn: x * n }
    }

    fn add(&mut self, other: MinuteSums) {
        self.users += other.users;
        self.n += other.n;
        self.x += other.x;
        self.nn += other.nn;
        self.xx += other.xx;
        self.xn += other.xn;
    }

    fn without(self, other: MinuteSums) -> MinuteSums {
        MinuteSums {
            users: self.users - other.users,
            n: self.n - other.n,
            x: self.x - other.x,
            nn: self.nn - other.nn,
            xx: self.xx - other.xx,
            xn: self.xn - other.xn,
        }
    }

    /// `S - N`, `None` where everything or nothing is bad.
    fn excess(self) -> Option<f64> {
        if self.n == 0 {
            return None;
        }
        let p = self.x as f64 / self.n as f64;
        let spread = p * (1.0 - p);
        let s = (self.xx as f64 - 2.0 * p * self.xn as f64 + p * p * self.nn as f64) / spread;
        (spread > 0.0).then_some(s - self.n as f64)
    }

    fn pairs(self) -> Option<f64> {
        (self.nn > self.n).then(|| (self.nn - self.n) as f64)
    }

    fn z(self) -> Option<f64> {
        Some(self.excess()? / libm::sqrt(2.0 * self.pairs()?))
    }

    fn rho(self) -> Option<f64> {
        Some(self.excess()? / self.pairs()?)
    }
}

/// The sums of a key and window, and the user with the most bad minutes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DispersionSums {
    sums: MinuteSums,
    largest: Option<UserMinutes>,
}

impl DispersionSums {
    /// Users without a bad minute need no name: `count` of them with so many events each.
    pub fn add_perfect(&mut self, events: u64, count: u64) {
        let (n, count) = (u128::from(events), u128::from(count));
        self.sums.users += count as u64;
        self.sums.n += n * count;
        self.sums.nn += n * n * count;
    }

    /// A user with a bad minute; `name` gives tenant and user, and is asked only where they may count.
    pub fn add<'a>(&mut self, events: u64, bad_minutes: u64, name: impl FnOnce() -> (&'a str, &'a str)) {
        self.sums.add(MinuteSums::of(events, bad_minutes));
        if self.largest.as_ref().is_none_or(|largest| bad_minutes >= largest.bad_minutes) {
            let (tenant, user) = name();
            self.offer(UserMinutes { events, bad_minutes, tenant: tenant.into(), user: user.into() });
        }
    }

    pub fn merge(&mut self, other: &DispersionSums) {
        self.sums.add(other.sums);
        other.largest.iter().cloned().for_each(|user| self.offer(user));
    }

    fn offer(&mut self, user: UserMinutes) {
        if self.largest.as_ref().is_none_or(|largest| user.order(largest) == Ordering::Less) {
            self.largest = Some(user);
        }
    }

    fn without_largest(&self) -> MinuteSums {
        let largest = self.largest.as_ref().map(|user| MinuteSums::of(user.events, user.bad_minutes));
        self.sums.without(largest.unwrap_or_default())
    }

    pub fn figures(&self) -> DispersionFigures {
        let rest = self.without_largest();
        DispersionFigures {
            z: self.sums.z(),
            z_without_largest: rest.z(),
            rho: rest.rho(),
            is_sufficient: self.sums.users >= USERS_MIN && self.sums.x >= u128::from(BAD_MINUTES_MIN),
        }
    }
}

/// What is published of a window, besides the verdict.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DispersionFigures {
    pub z: Option<f64>,
    pub z_without_largest: Option<f64>,
    pub rho: Option<f64>,
    pub is_sufficient: bool,
}

/// How dispersed a key's users are at quiet hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrailingRho {
    hours: u32,
    mean: f64,
}

const WEEK_HOURS: u32 = 168;
const KNOWN_AFTER_HOURS: u32 = 24;

impl TrailingRho {
    /// Takes the rho of a full hour whose verdict was `random`.
    pub fn add(&mut self, rho: f64) {
        self.hours = (self.hours + 1).min(WEEK_HOURS);
        self.mean += (rho - self.mean) / f64::from(self.hours);
    }

    /// 0 before a day of hours is known.
    pub fn get(&self) -> f64 {
        if self.hours < KNOWN_AFTER_HOURS { 0.0 } else { self.mean }
    }
}

/// Why users are served badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    Insufficient,
    SingleUser,
    Random,
    Systemic,
    Unexplained,
}

const SIGNIFICANT_Z: f64 = 4.0;
const ABOVE_TRAILING: f64 = 3.0;

impl Verdict {
    pub fn of(figures: &DispersionFigures, trailing: f64, has_cohort: bool) -> Verdict {
        let exceeds = |z: Option<f64>| z.is_some_and(|z| z > SIGNIFICANT_Z);
        if !figures.is_sufficient {
            return Verdict::Insufficient;
        }
        if !exceeds(figures.z_without_largest) {
            return if exceeds(figures.z) { Verdict::SingleUser } else { Verdict::Random };
        }
        if figures.rho.is_none_or(|rho| rho <= ABOVE_TRAILING * trailing) {
            return Verdict::Random;
        }
        if has_cohort { Verdict::Systemic } else { Verdict::Unexplained }
    }

    /// Whether a published verdict says that some users are served badly, and not by chance.
    pub fn is_tail(published: &str) -> bool {
        [Verdict::Systemic, Verdict::Unexplained].iter().any(|verdict| verdict.as_str() == published)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Insufficient => "insufficient",
            Verdict::SingleUser => "single_user",
            Verdict::Random => "random",
            Verdict::Systemic => "systemic",
            Verdict::Unexplained => "unexplained",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: usize, events: u64, bad_minutes: u64) -> UserMinutes {
        UserMinutes { events, bad_minutes, tenant: "t".into(), user: format!("u{name:05}").into() }
    }

    fn add(to: &mut DispersionSums, user: &UserMinutes) {
        to.add(user.events, user.bad_minutes, || (&user.tenant, &user.user));
    }

    /// A user `i` of `users`, with its bad minutes.
    fn all(users: usize, bad_minutes: impl Fn(usize) -> u64) -> DispersionSums {
        let mut all = DispersionSums::default();
        (0..users).for_each(|i| add(&mut all, &user(i, 10, bad_minutes(i))));
        all
    }

    #[test]
    fn evenly_spread_minutes_are_random_and_those_of_a_few_are_not() {
        // One in a hundred events is bad, of ever another user.
        let even = all(1_000, |i| u64::from(i % 10 == 0)).figures();
        assert_eq!(Verdict::of(&even, 0.0, false), Verdict::Random, "{even:?}");
        let few = all(1_000, |i| if i < 10 { 10 } else { 0 }).figures();
        assert_eq!(Verdict::of(&few, 0.0, true), Verdict::Systemic, "{few:?}");
        assert_eq!(Verdict::of(&few, 0.0, false), Verdict::Unexplained);
        assert_eq!(Verdict::of(&few, 1.0, true), Verdict::Random, "as always");
        let one = all(1_000, |i| if i == 7 { 10 } else { 0 });
        assert_eq!(Verdict::of(&one.figures(), 0.0, true), Verdict::SingleUser, "{one:?}");
        assert_eq!(one.largest.map(|user| user.user), Some("u00007".into()));
    }

    /// By hand: two users with 2 events, one of them with a bad minute. p = 1/4, S = (1 - 2/4 * 2 + 8/16) / (3/16) = 8/3.
    #[test]
    fn figures_are_those_of_the_formula() {
        let mut two = DispersionSums::default();
        add(&mut two, &user(1, 2, 1));
        two.add_perfect(2, 1);
        let figures = two.figures();
        let excess = 8.0 / 3.0 - 4.0;
        assert!((figures.z.expect("z") - excess / 8f64.sqrt()).abs() < 1e-12);
        assert_eq!((figures.z_without_largest, figures.rho), (None, None), "nothing is bad without it");
        assert_eq!(Verdict::of(&figures, 0.0, true), Verdict::Insufficient);
        assert_eq!(DispersionSums::default().figures().z, None);
    }

    #[test]
    fn parts_add_up_in_any_order_and_ties_go_to_the_smallest_name() {
        let users: Vec<UserMinutes> = (0..50).map(|i| user(i, 3 + i as u64 % 7, i as u64 % 4)).collect();
        let sum = |parts: &[&[UserMinutes]]| {
            let mut whole = DispersionSums::default();
            for part in parts {
                let mut one = DispersionSums::default();
                part.iter().for_each(|user| add(&mut one, user));
                whole.merge(&one);
            }
            whole
        };
        let whole = sum(&[&users]);
        assert_eq!(sum(&[&users[30..], &users[..11], &users[11..30]]), whole);
        assert_eq!(whole.largest.map(|user| user.user), Some("u00003".into()));
    }

    #[test]
    fn the_trailing_mean_is_known_after_a_day_and_moves_slowly_after_a_week() {
        let mut trailing = TrailingRho::default();
        (0..23).for_each(|_| trailing.add(0.5));
        assert_eq!(trailing.get(), 0.0);
        trailing.add(0.5);
        assert!((trailing.get() - 0.5).abs() < 1e-12);
        (0..200).for_each(|_| trailing.add(0.5));
        trailing.add(0.5 + 168.0);
        assert!((trailing.get() - 1.5).abs() < 1e-9);
    }
}
