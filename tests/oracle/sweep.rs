//! Measures the delay from guards: total outages of one to fifty users, from one request in minutes to hundreds a
//! second.
//!
//! Each outage is a separate tenant, so that one run has them all; the SLO exists with and without guards. An outage is
//! `fresh` if nothing was good before it, otherwise it follows a healthy time.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::agreement::{assert_agree, backtest};
use crate::input::Format;
use crate::replay::{Outputs, replay};
use crate::slo;
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS, PANE_MS, floor_to};
use crate::traffic::Dice;

const START_MS: i64 = 1_772_409_600_000 + 3_000;
const SLOS: &str = include_str!("slos/sweep.yaml");
const RATES: [f64; 6] = [0.003, 0.01, 0.03, 0.1, 0.3, 1.0];
const HIGH_RATES: [f64; 4] = [3.0, 10.0, 100.0, 300.0];

#[derive(Clone, Debug)]
struct Outage {
    per_second: f64,
    users: i64,
    /// Without it, events have no user.
    named: bool,
    healthy_ms: i64,
    down_ms: i64,
}

impl Outage {
    fn tenant(&self) -> String {
        let Self { per_second, users, named, healthy_ms, .. } = self;
        format!("{users} users {per_second} a second named {named} healthy {}m", healthy_ms / MINUTE_MS)
    }

    /// (time, user, failed), evenly spaced with some jitter; every user gets its turn.
    fn events(&self, dice: &mut Dice) -> Vec<(i64, i64, bool)> {
        let gap_ms = 1_000.0 / self.per_second;
        let count = ((self.healthy_ms + self.down_ms) as f64 / gap_ms) as i64;
        let time = |n: i64, dice: &mut Dice| START_MS + (n as f64 * gap_ms + dice.unit() * gap_ms / 2.0) as i64;
        let mut events: Vec<_> = (0..count).map(|n| (time(n, dice), n % self.users)).collect();
        events.sort_unstable();
        events.into_iter().map(|(time_ms, user)| (time_ms, user, time_ms >= START_MS + self.healthy_ms)).collect()
    }
}

fn outages(rates: &[f64], down_ms: i64, healthy_ms: i64) -> Vec<Outage> {
    let mut outages = Vec::new();
    for per_second in rates.iter().copied() {
        for (users, named) in [(1, true), (2, true), (5, true), (50, true), (50, false)] {
            for healthy_ms in [0, healthy_ms] {
                outages.push(Outage { per_second, users, named, healthy_ms, down_ms });
            }
        }
    }
    outages
}

/// The lines of all outages by time, plus another event every minute so that time continues after them.
fn lines(outages: &[Outage], until_ms: i64, mut timed: Vec<(i64, String)>) -> Vec<String> {
    let mut dice = Dice::new(7);
    for outage in outages {
        let tenant = outage.tenant();
        for (time_ms, user, failed) in outage.events(&mut dice) {
            let status = if failed { 503 } else { 200 };
            let user = outage.named.then(|| format!("u{user}"));
            timed.push((time_ms, line(&tenant, user, time_ms, status)));
        }
    }
    let minutes = (START_MS..START_MS + until_ms).step_by(MINUTE_MS as usize);
    timed.extend(minutes.map(|t| (t, line("keeper", Some("k".to_owned()), t, 200))));
    timed.sort();
    timed.into_iter().map(|(_, line)| line).collect()
}

fn line(tenant: &str, user: Option<String>, time_ms: i64, status: i64) -> String {
    json!({"tenant": tenant, "user": user, "timestamp": time_ms, "status": status}).to_string()
}

/// Runs both implementations over the outages; they must agree.
fn run_both(directory: &Path, lines: Vec<String>) -> Outputs {
    let (slos, inputs) = written(directory, lines);
    let program = backtest(&slos, &inputs, Format::JsonLines, &directory.join("out"));
    let loaded = slo::load(&slos).expect("the SLOs");
    let oracle = replay(&loaded, &inputs, Format::JsonLines);
    assert_agree(&oracle, &program);
    oracle
}

fn run_oracle(directory: &Path, lines: Vec<String>) -> Outputs {
    let (slos, inputs) = written(directory, lines);
    replay(&slo::load(&slos).expect("the SLOs"), &inputs, Format::JsonLines)
}

fn written(directory: &Path, lines: Vec<String>) -> (std::path::PathBuf, Vec<std::path::PathBuf>) {
    let slos = directory.join("slos");
    std::fs::create_dir_all(&slos).expect("a directory for the SLOs");
    std::fs::write(slos.join("sweep.yaml"), SLOS).expect("the SLOs are written");
    (slos, crate::traffic::write_lines(directory, &[lines]))
}

/// The T of the first page of each (SLO, tenant).
fn first_pages(alerts: &[Value]) -> BTreeMap<(&str, &str), i64> {
    let mut pages = BTreeMap::new();
    for alert in alerts.iter().filter(|a| a["severity"] == "page" && a["state"] == "firing") {
        let key = (alert["slo"].as_str().unwrap_or_default(), alert["tenant"].as_str().unwrap_or_default());
        let at: jiff::Timestamp = alert["at"].as_str().and_then(|t| t.parse().ok()).expect("an alert says when");
        pages.entry(key).or_insert(at.as_millisecond());
    }
    pages
}

/// The first boundary at which `bad` failures of two users (or of the only one) are visible.
fn boundary_of_bad(outage: &Outage, events: &[(i64, i64, bool)], bad: usize) -> Option<i64> {
    let mut users = std::collections::BTreeSet::new();
    let two = if outage.users == 1 { 1 } else { 2 };
    let failures = events.iter().filter(|(_, _, failed)| *failed).enumerate();
    let mut enough = failures.filter(|(number, (_, user, _))| {
        users.insert(*user);
        number + 1 >= bad && users.len() >= two
    });
    enough.next().map(|(_, (time_ms, _, _))| floor_to(*time_ms, PANE_MS) + PANE_MS)
}

/// The outage's failures that are visible at `at_ms`.
fn bad_at(events: &[(i64, i64, bool)], at_ms: i64) -> usize {
    events.iter().filter(|(time_ms, _, failed)| *failed && *time_ms < at_ms).count()
}

fn assert_guards_cost_little(outages: &[Outage], outputs: &Outputs) {
    let pages = first_pages(&outputs.alerts);
    let mut dice = Dice::new(7);
    let mut paged = 0;
    for outage in outages {
        let (tenant, events) = (outage.tenant(), outage.events(&mut dice));
        let page = |slo: &str| pages.get(&(slo, tenant.as_str())).copied();
        let Some(without_ms) = page("unguarded") else {
            assert_eq!(page("guarded"), None, "{tenant}");
            continue;
        };
        // A fresh outage needs three failures; after a healthy time it must outweigh its worst user and chance among
        // the healthy events: at most twice the failures plus three.
        let needed = if outage.healthy_ms == 0 { 3 } else { 2 * bad_at(&events, without_ms) + 3 };
        let Some(enough_ms) = boundary_of_bad(outage, &events, needed) else { continue };
        let limit_ms = without_ms.max(enough_ms);
        assert!(page("guarded").is_some_and(|at_ms| at_ms <= limit_ms), "{tenant}: {:?} > {limit_ms}", page("guarded"));
        paged += 1;
    }
    assert!(paged * 10 >= outages.len() * 8, "only {paged} of {} outages are long enough to tell", outages.len());
}

fn sweep() -> (Vec<Outage>, Vec<String>) {
    let outages = outages(&RATES, 40 * MINUTE_MS, 70 * MINUTE_MS);
    let lines = lines(&outages, 2 * HOUR_MS, Vec::new());
    (outages, lines)
}

#[test]
fn the_oracle_pages_a_total_outage_no_later_for_its_guards() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (outages, lines) = sweep();
    assert_guards_cost_little(&outages, &run_oracle(directory.path(), lines));
}

#[test]
fn the_program_pages_a_total_outage_no_later_for_its_guards() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (outages, lines) = sweep();
    assert_guards_cost_little(&outages, &run_both(directory.path(), lines));
}

#[test]
#[ignore = "millions of events: for a release build"]
fn high_rates_page_no_later_for_their_guards() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let outages = outages(&HIGH_RATES, 7 * MINUTE_MS, 10 * MINUTE_MS);
    let lines = lines(&outages, HOUR_MS, Vec::new());
    let outputs = match std::env::var_os("TAILBURN_ORACLE_ALONE") {
        Some(_) => run_oracle(directory.path(), lines),
        None => run_both(directory.path(), lines),
    };
    assert_guards_cost_little(&outages, &outputs);
}

/// Outages that end in silence; one tenant comes back healthy after two hours.
fn silence() -> Vec<String> {
    let mut outages = Vec::new();
    for per_second in [0.02, 1.0] {
        for users in [1, 2, 50] {
            let (healthy_ms, down_ms) = (70 * MINUTE_MS, 30 * MINUTE_MS);
            outages.push(Outage { per_second, users, named: true, healthy_ms, down_ms });
        }
    }
    let back = outages[5].tenant();
    let again_ms = START_MS + 100 * MINUTE_MS + 2 * HOUR_MS;
    let again = (again_ms..again_ms + HOUR_MS).step_by(10_000).map(|t| (t, line(&back, None, t, 200)));
    lines(&outages, 27 * HOUR_MS, again.collect())
}

fn assert_silence_resolves_nothing(outputs: &Outputs) {
    let end_ms = START_MS + 100 * MINUTE_MS;
    let (mut ended, mut recovered, mut stale) = (0, 0, 0);
    for alert in outputs.alerts.iter().filter(|a| a["scope"] == "tenant" && a["tenant"] != "keeper") {
        let at: jiff::Timestamp = alert["at"].as_str().and_then(|t| t.parse().ok()).expect("an alert says when");
        let silent_ms = at.as_millisecond() - end_ms;
        stale += i32::from(alert["data"] == "stale" && alert["state"] == "update");
        match alert["resolved_reason"].as_str() {
            Some("no_data") => {
                assert!(silent_ms > DAY_MS - MINUTE_MS, "{alert}");
                ended += 1;
            }
            Some("recovered") => {
                // Evidence came back after two hours, and a quarter of an hour of it is needed.
                assert!(silent_ms >= 2 * HOUR_MS + 15 * MINUTE_MS, "{alert}");
                recovered += 1;
            }
            // A page may resolve in both cases; a ticket may become a page while there are failures.
            other => assert!(other.is_none_or(|reason| reason == "raised") && (silent_ms <= 0 || other.is_none())),
        }
    }
    assert!(ended >= 10 && recovered >= 2 && stale >= 10, "{ended} ended, {recovered} recovered, {stale} stale");
}

#[test]
fn in_the_oracle_silence_during_an_outage_resolves_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    assert_silence_resolves_nothing(&run_oracle(directory.path(), silence()));
}

#[test]
fn in_the_program_silence_during_an_outage_resolves_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    assert_silence_resolves_nothing(&run_both(directory.path(), silence()));
}
