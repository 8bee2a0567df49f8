//! The cost of the signals over users: the fit of the tail and the sums of the dispersion of a million users, and what a quiet
//! key stores for them.
#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use tailburn::definition;
use tailburn::model::key::Scope;
use tailburn::model::ratio::Ratio;
use tailburn::model::slo::Slo;
use tailburn::model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Ms, PANE_MS};
use tailburn::operator::detection::aggregate_delta;
use tailburn::operator::distribution::{Distribution, DistributionBuilder, Limits, UserSums};
use tailburn::operator::key_definition::{Boundary, KeyIdentity};
use tailburn::operator::key_state::{KeyOutput, KeyState};
use tailburn::operator::partial::{Counts, KeyStep, PaneDelta};
use tailburn::operator::signal::dispersion::DispersionSums;
use tailburn::operator::window::Layout;

const USERS: u64 = 1_000_000;
const START_MS: Ms = 1_780_012_800_000 / DAY_MS * DAY_MS;
const LIMITS: Limits = Limits { min_events: 5, objective: Ratio { num: 99, den: 100 } };

/// A number in [0, 1) that looks random, from two others.
fn unit(a: u64, b: u64) -> f64 {
    let mut z = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 30).wrapping_mul(0x94d0_49bb_1331_11eb);
    z = (z ^ z >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((z ^ z >> 32) >> 11) as f64 / (1u64 << 53) as f64
}

/// A user's events and bad ones.
fn counts(user: u64, rate: f64, is_busy: bool) -> (u64, u64) {
    let few = 1.0 - libm::log(1.0 - unit(user, 1)) * 4.0;
    let events = if is_busy { 20.0 + 180.0 * unit(user, 1) } else { few } as u64;
    (events, (0..events).filter(|event| unit(user, 100 + event) < rate).count() as u64)
}

fn distribution(users: u64, rate: impl Fn(u64) -> f64, is_busy: bool) -> Distribution {
    let mut builder = DistributionBuilder::default();
    for user in 0..users {
        let (events, bad_events) = counts(user, rate(user), is_busy);
        let micros = |events: u64| u128::from(events) * 1_000_000;
        let sums = UserSums { events, bad_events, good: micros(events - bad_events), bad: micros(bad_events) };
        builder.add(&sums, bad_events, &LIMITS, || ("t", "u"));
    }
    builder.finish()
}

fn estimate(c: &mut Criterion) {
    let tail = |user: u64| if user.is_multiple_of(50) { 0.5 } else { 0.002 };
    let differing = |user: u64| 0.2 * unit(user, 2) * unit(user, 3);
    for (name, distribution) in [
        ("2 % of users 50 %, few events", distribution(USERS, tail, false)),
        ("2 % of users 50 %, 20 to 200 events", distribution(USERS, tail, true)),
        ("users who all differ, few events", distribution(USERS, differing, false)),
        ("users who all differ, 20 to 200 events", distribution(USERS, differing, true)),
        ("200 users, few events", distribution(200, tail, false)),
    ] {
        let name = format!("figures with the estimate, a million users: {name}");
        c.bench_function(&name, |b| b.iter(|| black_box(&distribution).figures(HOUR_MS, START_MS, &LIMITS)));
        let name = name.replace("with", "without");
        c.bench_function(&name, |b| b.iter(|| black_box(&distribution).figures(HOUR_MS, START_MS + PANE_MS, &LIMITS)));
    }
}

fn dispersion(c: &mut Criterion) {
    let users: Vec<(u64, u64)> = (0..USERS).map(|user| counts(user, 0.002, false)).collect();
    c.bench_function("dispersion of a million users", |b| {
        b.iter(|| {
            let mut sums = DispersionSums::default();
            for (events, bad) in black_box(&users) {
                if *bad == 0 {
                    sums.add_perfect(*events, 1);
                } else {
                    sums.add(*events, *bad, || ("t", "u"));
                }
            }
            sums.figures()
        });
    });
}

fn slo(annotations: &str) -> Slo {
    let text = format!(
        "apiVersion: openslo/v1\nkind: SLO\nmetadata:\n  name: s\n  annotations: {{{annotations}}}\nspec:\n  service: s\n  \
         indicator:\n    metadata: {{name: i}}\n    spec:\n      ratioMetric:\n        counter: true\n        \
         good: {{metricSource: {{type: tailburn, spec: {{filter: 'status < 500'}}}}}}\n        \
         total: {{metricSource: {{type: tailburn, spec: {{filter: 'true'}}}}}}\n  \
         timeWindow: [{{duration: 28d, isRolling: true}}]\n  budgetingMethod: Occurrences\n  \
         objectives: [{{displayName: s, target: 0.99}}]\n"
    );
    definition::parse(&[("slo.yaml".to_owned(), text)]).expect("the SLO is well-formed").slos.remove(0)
}

/// What a key stores after two days with an event a minute of a thousand users, none of them bad.
fn stored(slo: &Slo) -> usize {
    let layout = Layout::of(slo);
    let identity = KeyIdentity::of(slo, &layout, Scope::Aggregate);
    let mut state = KeyState::new(slo, &layout, &Scope::Aggregate);
    let distribution = distribution(1_000, |_| 0.0, false);
    for minute in 1..=2 * DAY_MS / MINUTE_MS {
        let at_ms = START_MS + minute * MINUTE_MS;
        let starts = layout.starts_at(at_ms);
        let boundary = Boundary::without_statuses(at_ms, &starts);
        let definition = identity.definition(slo, &layout);
        let counts = Counts { events: 1, good: 1_000_000, ..Counts::default() };
        let delta = aggregate_delta(vec![PaneDelta { start_ms: at_ms - PANE_MS, counts, ..PaneDelta::default() }]);
        let step = KeyStep {
            slo: 0,
            scope: Scope::Aggregate,
            window_ms: HOUR_MS,
            distribution: distribution.clone(),
            cube: Vec::new(),
            worst: Vec::new(),
            failing: Vec::new(),
        };
        state.advance(&definition, &boundary);
        state.apply(&definition, &boundary, &[&delta]);
        state.evaluate(&definition, &boundary, &[&step], &mut KeyOutput::default());
    }
    postcard::to_stdvec(&state).expect("a key can be packed").len()
}

fn quiet_key(_: &mut Criterion) {
    let off = "tailburn.dev/budget-rule: 'off', tailburn.dev/tail-alerts: 'off', tailburn.dev/cohorts: 'off'";
    let on = "tailburn.dev/forecast-alerts: ticket, tailburn.dev/canary: release";
    let (without, with) = (stored(&slo(off)), stored(&slo(on)));
    println!("a quiet key stores {without} B with the signals off, {with} B with all on (goal: at most 1,000 B more)");
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = quiet_key, estimate, dispersion
}
criterion_main!(benches);
