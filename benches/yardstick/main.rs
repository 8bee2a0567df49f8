//! The yardsticks of the signals: how often they are wrong on healthy traffic, and how long they take on traffic that is
//! not. `ops/yardstick/budget` and `ops/yardstick/canary` run them.
//!
//! Traffic is drawn as counts a boundary, seeded, and given to the same operators that `run` uses.

use std::collections::BTreeMap;
use tailburn::definition;
use tailburn::model::key::Scope;
use tailburn::model::ratio::Ratio;
use tailburn::model::slo::{Canary, Slo};
use tailburn::model::time::{DAY_MS, MINUTE_MS, Ms, PANE_MS};
use tailburn::operator::detection::aggregate_delta;
use tailburn::operator::key_definition::{Boundary, KeyIdentity};
use tailburn::operator::key_state::{KeyOutput, KeyState};
use tailburn::operator::partial::{BadUser, Counts, KeyDelta, PaneDelta};
use tailburn::operator::signal::canary::{Canaries, Limits, ValueDelta};
use tailburn::operator::window::Layout;

/// A full day, as a boundary.
const START_MS: Ms = 1_780_012_800_000 / DAY_MS * DAY_MS;

struct Dice(u64);

impl Dice {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.unit()
    }

    /// Knuth's method for few, the normal approximation for many.
    fn poisson(&mut self, mean: f64) -> u64 {
        if mean > 50.0 {
            let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.unit()));
            let normal = radius * libm::cos(std::f64::consts::TAU * self.unit());
            return libm::round((mean + libm::sqrt(mean) * normal).max(0.0)) as u64;
        }
        let (limit, mut product, mut count) = (libm::exp(-mean), self.unit(), 0);
        while product > limit {
            product *= self.unit();
            count += 1;
        }
        count
    }

    fn binomial(&mut self, events: u64, share: f64) -> u64 {
        if share >= 1.0 {
            return events;
        }
        if events > 60 && share < 0.1 {
            return self.poisson(events as f64 * share).min(events);
        }
        (0..events).filter(|_| self.unit() < share).count() as u64
    }
}

fn slo() -> Slo {
    let text = "apiVersion: openslo/v1\nkind: SLO\nmetadata:\n  name: s\n  annotations: {tailburn.dev/cohorts: 'off'}\n\
                spec:\n  service: s\n  indicator:\n    metadata: {name: i}\n    spec:\n      ratioMetric:\n        \
                counter: true\n        good: {metricSource: {type: tailburn, spec: {filter: 'status < 500'}}}\n        \
                total: {metricSource: {type: tailburn, spec: {filter: 'true'}}}\n  \
                timeWindow: [{duration: 28d, isRolling: true}]\n  budgetingMethod: Occurrences\n  \
                objectives: [{displayName: s, target: 0.999}]\n";
    let mut parsed = definition::parse(&[("slo.yaml".to_owned(), text.to_owned())]).unwrap_or_else(|e| panic!("{e:?}"));
    parsed.slos.remove(0)
}

/// One key and the times at which its rules began to page.
struct Key<'a> {
    slo: &'a Slo,
    layout: &'a Layout,
    identity: KeyIdentity,
    state: KeyState,
    pages: BTreeMap<&'static str, Vec<Ms>>,
}

impl<'a> Key<'a> {
    fn new(slo: &'a Slo, layout: &'a Layout) -> Key<'a> {
        let identity = KeyIdentity::of(slo, layout, Scope::Aggregate);
        Key { slo, layout, identity, state: KeyState::new(slo, layout), pages: BTreeMap::new() }
    }

    fn step(&mut self, at_ms: Ms, events: u64, bad: u64, users: u64) {
        let starts = self.layout.starts_at(at_ms);
        let boundary = Boundary::without_statuses(at_ms, &starts);
        let definition = self.identity.definition(self.slo, self.layout);
        let delta = (events > 0).then(|| delta(at_ms - PANE_MS, events, bad, users));
        let mut out = KeyOutput::default();
        self.state.advance(&definition, &boundary);
        self.state.apply(&definition, &boundary, &delta.iter().collect::<Vec<_>>());
        self.state.evaluate(&definition, &boundary, &[], &mut out);
        for (rule, spec) in self.state.rules.iter().zip(definition.specs) {
            let pages = rule.firing_since_ms == Some(at_ms) && rule.severity(spec, None).as_str() == "page";
            if pages {
                let name = if spec.name() == "budget" { "budget" } else { "workbook" };
                self.pages.entry(name).or_default().push(at_ms);
            }
        }
    }

    fn pages(&self, rule: &str) -> &[Ms] {
        self.pages.get(rule).map_or(&[], |pages| pages)
    }
}

/// The bad events of a pane are of so many users, others in each pane; 0: all are of one and the same.
fn delta(pane_ms: Ms, events: u64, bad: u64, users: u64) -> KeyDelta {
    let (is_one, users) = (users == 0, users.max(1));
    let micros = |events: u64| u128::from(events) * 1_000_000;
    let counts = Counts { events, bad_events: bad, good: micros(events - bad), bad: micros(bad), ..Counts::default() };
    let user = |user: u64| BadUser {
        bad_events: bad / users + u64::from(user < bad % users),
        hash: if is_one {
            1
        } else {
            (pane_ms as u64).wrapping_mul(31).wrapping_add(user).wrapping_mul(0x9e37_79b9_7f4a_7c15) % 4_096
        },
        user: format!("u{user}").into(),
        tenant: "t".into(),
    };
    let bad_users: Vec<BadUser> = (0..users.min(64)).map(user).filter(|user| user.bad_events > 0).collect();
    KeyDelta {
        seen: vec![(pane_ms / MINUTE_MS * MINUTE_MS, 1_000)],
        bad_users: if bad_users.is_empty() { Vec::new() } else { vec![(pane_ms, bad_users)] },
        ..aggregate_delta(vec![PaneDelta { start_ms: pane_ms, counts, ..PaneDelta::default() }])
    }
}

/// What healthy traffic is like.
#[derive(Clone, Copy, Debug)]
enum Noise {
    Even,
    ShortBlips,
    LongBlips,
    Diurnal,
    Retries,
    OneUser,
}

const NOISES: [(Noise, &str); 6] = [
    (Noise::Even, "iid"),
    (Noise::ShortBlips, "one blip of 30-180 s a day"),
    (Noise::LongBlips, "one blip of 5-15 min a week"),
    (Noise::Diurnal, "diurnal, 8:1"),
    (Noise::Retries, "failures in bursts of 3"),
    (Noise::OneUser, "one user fails always, 1 % of traffic"),
];

/// Pages of a month on traffic that keeps its objective: half the allowed errors, and the noise.
fn healthy(slo: &Slo, layout: &Layout, noise: Noise, per_second: f64, days: i64, seed: u64) -> [usize; 2] {
    let (mut key, mut dice) = (Key::new(slo, layout), Dice(seed));
    let (mut blip, mut next_day) = (0..0, 0);
    for boundary in 1..=days * 8_640 {
        let at_ms = START_MS + boundary * PANE_MS;
        if boundary / 8_640 >= next_day {
            let (every, from_s, to_s) = match noise {
                Noise::LongBlips => (7, 300.0, 900.0),
                _ => (1, 30.0, 180.0),
            };
            let from = next_day * 8_640 + dice.between(0.0, 8_500.0 * every as f64) as i64;
            blip = from..from + (dice.between(from_s, to_s) / 10.0) as i64;
            next_day += every;
        }
        let wave = 1.0 + 0.78 * libm::sin(boundary as f64 / 8_640.0 * std::f64::consts::TAU);
        let rate = if matches!(noise, Noise::Diurnal) { per_second * wave } else { per_second };
        let events = dice.poisson(rate * 10.0);
        let has_blips = matches!(noise, Noise::ShortBlips | Noise::LongBlips);
        let share = match noise {
            // A blip of minutes spends as much of the budget as the short one does.
            Noise::ShortBlips if blip.contains(&boundary) => 0.3,
            Noise::LongBlips if blip.contains(&boundary) => 0.02,
            Noise::Retries => 0.0005 / 3.0,
            _ if has_blips => 0.0003,
            _ => 0.0005,
        };
        let mut bad = dice.binomial(events, share);
        let mut users = bad.max(1);
        if matches!(noise, Noise::Retries) {
            bad = (bad * 3).min(events);
        }
        if matches!(noise, Noise::OneUser) {
            let of_one = dice.binomial(events, 0.01);
            (bad, users) = (of_one.min(events), 0);
        }
        key.step(at_ms, events, bad, users);
    }
    ["workbook", "budget"].map(|rule| key.pages(rule).len())
}

/// Seconds from the onset until the first page, after two healthy days; `None`: none within two days.
fn delay(slo: &Slo, layout: &Layout, share: f64, per_second: f64, seed: u64) -> [Option<i64>; 2] {
    let (mut key, mut dice) = (Key::new(slo, layout), Dice(seed));
    let onset = 2 * 8_640 + (dice.unit() * 360.0) as i64;
    for boundary in 1..=onset + 2 * 8_640 {
        let events = dice.poisson(per_second * 10.0);
        let bad = dice.binomial(events, if boundary > onset { share } else { 0.0001 });
        key.step(START_MS + boundary * PANE_MS, events, bad, bad.max(1));
        if ["workbook", "budget"].iter().all(|rule| !key.pages(rule).is_empty()) {
            break;
        }
    }
    let onset_ms = START_MS + onset * PANE_MS;
    ["workbook", "budget"]
        .map(|rule| key.pages(rule).iter().find(|at| **at > onset_ms).map(|at| (at - onset_ms) / 1_000))
}

fn median(mut all: Vec<Option<i64>>) -> Option<i64> {
    all.sort_by_key(|delay| delay.unwrap_or(i64::MAX));
    all[all.len() / 2]
}

const RATES: [(f64, &str); 4] = [(10.0 / 3_600.0, "10/h"), (100.0 / 3_600.0, "100/h"), (1.0, "1/s"), (30.0, "30/s")];

fn budget(days: i64, seeds: u64) {
    let slo = slo();
    let layout = Layout::of(&slo);
    println!(
        "Pages a month of a healthy SLO (99.9 % over 28 d; {days} days, {seeds} seeds): workbook's pages | budget"
    );
    println!("{:<40}{:>18}{:>18}{:>18}{:>18}  goal", "", "10/h", "100/h", "1/s", "30/s");
    for (noise, name) in NOISES {
        let of_rate = |(rate, _): &(f64, &str)| {
            let pages: Vec<[usize; 2]> =
                (0..seeds).map(|seed| healthy(&slo, &layout, noise, *rate, days, 1_000 + seed)).collect();
            let months = seeds as f64 * days as f64 / 30.0;
            let mean = |at: usize| pages.iter().map(|pages| pages[at]).sum::<usize>() as f64 / months;
            format!("{:.2} | {:.2}", mean(0), mean(1))
        };
        let cells: Vec<String> = RATES.iter().map(of_rate).collect();
        let goal = if matches!(noise, Noise::OneUser) { "0" } else { "<= 0.1, or the workbook's" };
        println!("{name:<40}{:>18}{:>18}{:>18}{:>18}  {goal}", cells[0], cells[1], cells[2], cells[3]);
    }
    println!("\nSeconds until the page (median of {seeds} seeds, none within two days: never): workbook | budget");
    println!("{:<40}{:>18}{:>18}{:>18}{:>18}  goal", "errors", "10/h", "100/h", "1/s", "30/s");
    for share in [0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3, 1.0] {
        let of_rate = |(rate, _): &(f64, &str)| {
            let delays: Vec<[Option<i64>; 2]> =
                (0..seeds).map(|seed| delay(&slo, &layout, share, *rate, 2_000 + seed)).collect();
            let word = |at: usize| {
                median(delays.iter().map(|delay| delay[at]).collect()).map_or("never".to_owned(), |s| s.to_string())
            };
            format!("{} | {}", word(0), word(1))
        };
        let cells: Vec<String> = RATES.iter().map(of_rate).collect();
        let goal = if share == 0.01 { "30/s: budget <= 1200, 4 to 11 x sooner" } else { "budget <= 1.05 x" };
        let name = format!("{} %", share * 100.0);
        println!("{name:<40}{:>18}{:>18}{:>18}{:>18}  {goal}", cells[0], cells[1], cells[2], cells[3]);
    }
}

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

fn canary(rollouts: u64) {
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

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let number = |at: usize, default: u64| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    match arguments.first().map(String::as_str) {
        Some("budget") => budget(number(1, 30) as i64, number(2, 5)),
        Some("canary") => canary(number(1, 10_000)),
        _ => println!("which yardstick: budget [DAYS [SEEDS]], or canary [ROLLOUTS]"),
    }
}
