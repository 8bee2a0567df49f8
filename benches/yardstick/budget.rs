//! The rule `budget` beside the workbook's rules: pages a month on healthy traffic, and seconds until a page on traffic that
//! is not. Traffic is drawn as counts a boundary.

use crate::START_MS;
use crate::dice::Dice;
use std::collections::BTreeMap;
use tailburn::definition;
use tailburn::model::key::Scope;
use tailburn::model::slo::Slo;
use tailburn::model::time::{MINUTE_MS, Ms, PANE_MS};
use tailburn::operator::detection::aggregate_delta;
use tailburn::operator::key_definition::{Boundary, KeyIdentity};
use tailburn::operator::key_state::{KeyOutput, KeyState};
use tailburn::operator::partial::{BadUser, Counts, KeyDelta, PaneDelta};
use tailburn::operator::window::Layout;

/// `annotations` come on top.
pub fn slo(annotations: &str) -> Slo {
    let text = "apiVersion: openslo/v1\nkind: SLO\nmetadata:\n  name: s\n  annotations: {tailburn.dev/cohorts: 'off'ANNOTATIONS}\n\
                spec:\n  service: s\n  indicator:\n    metadata: {name: i}\n    spec:\n      ratioMetric:\n        \
                counter: true\n        good: {metricSource: {type: tailburn, spec: {filter: 'status < 500'}}}\n        \
                total: {metricSource: {type: tailburn, spec: {filter: 'true'}}}\n  \
                timeWindow: [{duration: 28d, isRolling: true}]\n  budgetingMethod: Occurrences\n  \
                objectives: [{displayName: s, target: 0.999}]\n";
    let mut parsed = definition::parse(&[("slo.yaml".to_owned(), text.replace("ANNOTATIONS", annotations))])
        .unwrap_or_else(|e| panic!("{e:?}"));
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
        Key { slo, layout, identity, state: KeyState::new(slo, layout, &Scope::Aggregate), pages: BTreeMap::new() }
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
pub fn delta(pane_ms: Ms, events: u64, bad: u64, users: u64) -> KeyDelta {
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

/// The median of delays; `None` is longer than all.
pub fn median(mut all: Vec<Option<i64>>) -> Option<i64> {
    all.sort_by_key(|delay| delay.unwrap_or(i64::MAX));
    all[all.len() / 2]
}

const RATES: [(f64, &str); 4] = [(10.0 / 3_600.0, "10/h"), (100.0 / 3_600.0, "100/h"), (1.0, "1/s"), (30.0, "30/s")];

pub fn budget(days: i64, seeds: u64) {
    let slo = slo("");
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
