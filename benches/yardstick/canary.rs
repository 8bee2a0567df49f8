//! Canary verdicts beside a z-test that is read every minute and five failed checks of 99 %.

use crate::START_MS;
use crate::budget::median;
use crate::dice::Dice;
use tailburn::model::ratio::Ratio;
use tailburn::model::slo::Canary;
use tailburn::model::time::{DAY_MS, MINUTE_MS};
use tailburn::operator::signal::canary::{Canaries, Limits, ValueDelta};

/// What three ways to judge a rollout say of it: minutes until a rollback, if there is one.
struct Rollout {
    e_process: Option<i64>,
    z_test: Option<i64>,
    five_checks: Option<i64>,
    passes: Option<i64>,
}

/// A canary of 5 events a second beside 95, for two hours; in half of the runs both sides share an incident.
fn rollout(candidate: f64, baseline: f64, seed: u64) -> Rollout {
    let mut dice = Dice(seed);
    let canary = Canary { attribute: "release".to_owned(), tracks: None, max_burn: None };
    let limits = Limits { allowed: Ratio { num: 1, den: 1_000 }, max_burn: None };
    let mut all = Canaries::default();
    let old = ValueDelta { value: "v1".into(), events: 1, ..ValueDelta::default() };
    all.add(START_MS - DAY_MS, &[old], &canary);
    all.end_minute(START_MS - DAY_MS, &canary, limits);
    let incident = dice.between(0.0, 110.0) as i64;
    let has_incident = seed.is_multiple_of(2);
    let drift = dice.between(0.0, std::f64::consts::TAU);
    let mut told = Rollout { e_process: None, z_test: None, five_checks: None, passes: None };
    let (mut sums, mut failed_checks) = ([0u64; 4], 0);
    for minute in 1..=120i64 {
        let wave = 1.0 + 0.5 * libm::sin(drift + minute as f64 / 60.0);
        let is_down = has_incident && (incident..incident + 8).contains(&minute);
        let rate = |own: f64| if is_down { own + 0.2 } else { own };
        let (n_c, n_b) = (dice.poisson(300.0 * wave), dice.poisson(5_700.0 * wave));
        let (x_c, x_b) = (dice.binomial(n_c, rate(candidate)), dice.binomial(n_b, rate(baseline)));
        let users = |from: u64, bad: u64| (0..bad).map(|i| from + minute as u64 * 100_000 + i).collect();
        let value = |value: &str, events, bad, users| ValueDelta {
            value: value.into(),
            events,
            bad,
            nameless_bad: 0,
            bad_users: users,
        };
        let at_ms = START_MS + minute * MINUTE_MS;
        let deltas = [value("v1", n_b, x_b, users(1 << 40, x_b)), value("v2", n_c, x_c, users(0, x_c))];
        all.add(at_ms, &deltas, &canary);
        all.end_minute(at_ms, &canary, limits);
        let verdict = all.trial("v2").map_or("", |trial| trial.outcome.verdict());
        if verdict == "fail" {
            told.e_process.get_or_insert(minute);
        }
        if verdict == "pass" {
            told.passes.get_or_insert(minute);
        }
        for (sum, more) in sums.iter_mut().zip([n_c, x_c, n_b, x_b]) {
            *sum += more;
        }
        let [n_c_all, x_c_all, n_b_all, x_b_all] = sums.map(|sum| sum as f64);
        let pooled = (x_c_all + x_b_all) / (n_c_all + n_b_all);
        let spread = libm::sqrt(pooled * (1.0 - pooled) * (1.0 / n_c_all + 1.0 / n_b_all));
        if spread > 0.0 && (x_c_all / n_c_all - x_b_all / n_b_all) / spread > 2.326 {
            told.z_test.get_or_insert(minute);
        }
        // Five checks a minute apart, each asking whether 99 % of the canary's events were good.
        failed_checks += i64::from(n_c > 0 && (n_c - x_c) as f64 / (n_c as f64) < 0.99);
        if failed_checks >= 5 {
            told.five_checks.get_or_insert(minute);
        }
    }
    told
}

pub fn canary(rollouts: u64) {
    println!(
        "A canary of 5 events a second beside 95, two hours, an incident of both sides in half of the runs; {rollouts} rollouts"
    );
    println!(
        "{:<34}{:>12}{:>16}{:>16}{:>10}  goal",
        "errors: baseline, candidate", "e-process", "z, peeking", "5 x 99 %", "passes"
    );
    for (baseline, candidate) in
        [(0.001, 0.001), (0.01, 0.01), (0.001, 0.00125), (0.001, 0.005), (0.001, 0.01), (0.01, 0.03)]
    {
        let is_worse = candidate > 1.3 * baseline;
        let runs = if is_worse { rollouts / 10 } else { rollouts };
        let told: Vec<Rollout> = (0..runs).map(|seed| rollout(candidate, baseline, 77 + seed)).collect();
        let cell = |of: &dyn Fn(&Rollout) -> Option<i64>| {
            let found: Vec<i64> = told.iter().filter_map(of).collect();
            let share = 100.0 * found.len() as f64 / told.len() as f64;
            match median(
                found
                    .iter()
                    .map(|minute| Some(*minute))
                    .collect::<Vec<_>>()
                    .into_iter()
                    .chain(found.is_empty().then_some(None))
                    .collect(),
            ) {
                Some(minute) if is_worse => format!("{share:.0} % {minute} m"),
                _ => format!("{share:.2} %"),
            }
        };
        let goal = match (is_worse, candidate >= 0.01 && baseline < 0.01) {
            (false, _) => "rollbacks <= 1 %",
            (true, true) => "e-process within 2 m",
            (true, false) if baseline < 0.01 => "e-process within 5 m",
            (true, false) => "e-process sooner than z without its false ones",
        };
        println!(
            "{:<34}{:>12}{:>16}{:>16}{:>10}  {goal}",
            format!("{} %, {} %", baseline * 100.0, candidate * 100.0),
            cell(&|r| r.e_process),
            cell(&|r| r.z_test),
            cell(&|r| r.five_checks),
            cell(&|r| r.passes),
        );
    }
}
