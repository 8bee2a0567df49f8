//! The dispersion of a key's users in a window, by brute force from the contract's section 12; cohorts are off, so that no
//! verdict is `systemic`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::users::UserIndex;

/// A user's events in the window, and the minutes with a bad one.
#[derive(Default)]
pub struct Minutes {
    pub events: i64,
    pub bad: BTreeSet<i64>,
}

/// The mean rho of hours that were random.
#[derive(Clone, Copy, Default)]
pub struct Trailing {
    values: u32,
    mean: f64,
}

impl Trailing {
    fn known(self) -> f64 {
        if self.values >= 24 { self.mean } else { 0.0 }
    }

    fn add(&mut self, rho: f64) {
        if self.values < 168 {
            self.mean = (self.mean * f64::from(self.values) + rho) / f64::from(self.values + 1);
            self.values += 1;
        } else {
            self.mean += (rho - self.mean) / 168.0;
        }
    }
}

/// z and rho, null where a denominator is 0.
fn figures(users: &[(f64, f64)]) -> (Option<f64>, Option<f64>) {
    let sum = |of: &dyn Fn(f64, f64) -> f64| users.iter().map(|(n, x)| of(*n, *x)).sum::<f64>();
    let (n, x) = (sum(&|n, _| n), sum(&|_, x| x));
    let (nn, xx, xn) = (sum(&|n, _| n * n), sum(&|_, x| x * x), sum(&|n, x| n * x));
    if n == 0.0 || x == 0.0 || x == n || nn <= n {
        return (None, None);
    }
    let p = x / n;
    let s = (xx - 2.0 * p * xn + p * p * nn) / (p * (1.0 - p));
    (Some((s - n) / (2.0 * (nn - n)).sqrt()), Some((s - n) / (nn - n)))
}

/// `dispersion{}` of an entry of `users[]`. Users are numbered in the order of their bytes.
pub fn dispersion(users: &BTreeMap<UserIndex, Minutes>, at_ms: i64, trailing: &mut Trailing) -> Value {
    let all: Vec<(f64, f64)> = users.values().map(|u| (u.events as f64, u.bad.len() as f64)).collect();
    let largest = (0..all.len()).max_by(|a, b| all[*a].1.total_cmp(&all[*b].1).then(b.cmp(a)));
    let rest: Vec<(f64, f64)> = (0..all.len()).filter(|i| Some(*i) != largest).map(|i| all[i]).collect();
    let ((z, _), (z_without_largest, rho)) = (figures(&all), figures(&rest));
    let exceeds = |z: Option<f64>| z.is_some_and(|z| z > 4.0);
    let bad_minutes: f64 = all.iter().map(|(_, x)| x).sum();
    let verdict = if all.len() < 100 || bad_minutes < 10.0 {
        "insufficient"
    } else if exceeds(z) && !exceeds(z_without_largest) {
        "single_user"
    } else if exceeds(z_without_largest) && rho.is_some_and(|rho| rho > 3.0 * trailing.known()) {
        "unexplained"
    } else {
        "random"
    };
    if let (0, "random", Some(rho)) = (at_ms % 3_600_000, verdict, rho) {
        trailing.add(rho);
    }
    json!({"z": z, "z_without_largest": z_without_largest, "rho": rho, "verdict": verdict})
}
