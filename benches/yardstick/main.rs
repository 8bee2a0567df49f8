//! The yardsticks of the signals: how often they are wrong on healthy traffic, and how long they take on traffic that is
//! not. The scripts of `ops/yardstick` run them.
//!
//! Traffic is drawn, seeded, and given to the same operators or tasks that `run` uses.

#![expect(clippy::expect_used, reason = "a yardstick that cannot be set up has nothing to measure")]

mod budget;
mod canary;
mod dice;
mod dispersion;
mod forecast;
mod stream;
mod tails;
mod worst;

use tailburn::model::time::{DAY_MS, Ms};

/// A full day, as a boundary.
const START_MS: Ms = 1_780_012_800_000 / DAY_MS * DAY_MS;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let number = |at: usize, default: u64| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    match arguments.first().map(String::as_str) {
        Some("budget") => budget::budget(number(1, 30) as i64, number(2, 5)),
        Some("canary") => canary::canary(number(1, 10_000)),
        Some("tails") => tails::tails(number(1, 10), number(2, 7) as i64),
        Some("worst-1pct") => worst::worst(number(1, 5), number(2, 50_000)),
        Some("random-or-systemic") => dispersion::dispersion(number(1, 3) as i64, number(2, 2)),
        Some("forecast") => forecast::forecast(number(1, 40)),
        _ => println!("which yardstick: budget, canary, tails, worst-1pct, random-or-systemic or forecast"),
    }
}
