//! The objectives that are compared.

use crate::model::ratio::Ratio;
use std::cmp::Ordering;

/// Objectives as people choose them, ascending.
const LADDER: [&str; 17] = [
    "0.5", "0.75", "0.8", "0.9", "0.95", "0.98", "0.99", "0.995", "0.998", "0.999", "0.9995", "0.9998", "0.9999",
    "0.99995", "0.99998", "0.99999", "0.999999",
];
/// So many of them at or below what was seen, and above it.
const BELOW: usize = 4;
const ABOVE: usize = 2;
/// An objective that allows fewer bad events than this in the whole recording cannot be judged by it.
const ALLOWED_MIN: u128 = 5;

/// The objectives around what was seen, and the draft's own; ascending.
pub fn around(own: Ratio, good: u64, bad: u64) -> Vec<Ratio> {
    let (good, events) = (u128::from(good), u128::from(good) + u128::from(bad));
    let ladder: Vec<Ratio> = LADDER.iter().filter_map(|text| Ratio::parse(text)).collect();
    let met = ladder.iter().filter(|objective| objective.compare_share(good, events) != Ordering::Less).count();
    let allows = |objective: &Ratio| {
        objective
            .complement()
            .is_some_and(|share| u128::from(share.num) * events >= ALLOWED_MIN * u128::from(share.den))
    };
    let can_judge = ladder.iter().filter(|objective| allows(objective)).count().max(1);
    let to = (met + ABOVE).min(can_judge).min(ladder.len());
    let from = met.min(to).saturating_sub(BELOW);
    let mut chosen: Vec<Ratio> = ladder[from..to].to_vec();
    if !chosen.contains(&own) {
        chosen.push(own);
        chosen.sort_by(|a, b| b.compare_share(u128::from(a.num), u128::from(a.den)));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(own: &str, good: u64, bad: u64) -> Vec<f64> {
        around(Ratio::parse(own).expect("a ratio"), good, bad).into_iter().map(Ratio::as_f64).collect()
    }

    #[test]
    fn objectives_lie_around_what_was_seen() {
        assert_eq!(told("0.999", 999_300, 700), [0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998]);
        assert_eq!(
            told("0.97", 985, 15),
            [0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995],
            "1,000 events cannot judge 99.8 %"
        );
        assert_eq!(told("0.99", 0, 1_000), [0.5, 0.75, 0.99], "all bad");
        // Without a bad event: the strictest that 100,000 events can judge.
        assert_eq!(told("0.999", 100_000, 0), [0.999, 0.9995, 0.9998, 0.9999, 0.99995]);
    }
}
