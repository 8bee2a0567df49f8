//! What failed, by dependency and type of error, and events in a maintenance: section 11.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::input::Outcome;
use crate::replay::Key;
use crate::slo::Slo;
use crate::status::compliance_start;
use crate::time::{HOUR_MS, window_start};

const PAIRS: usize = 64;
const OTHER: &str = "__other__";

/// Dependency and type of error.
pub type Pair = (String, String);

pub fn pair_of(outcome: &Outcome) -> Pair {
    let text = |name: &str| outcome.fields.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
    (text("dependency"), text("error_type"))
}

/// The bad events of a key: time and weight, by pair.
#[derive(Default)]
pub struct Failures {
    admitted: BTreeMap<Pair, Vec<(i64, i64)>>,
    other: Vec<(i64, i64)>,
}

impl Failures {
    /// The events of a boundary come in the order of their pairs.
    pub fn see(&mut self, pair: &Pair, time_ms: i64, weight_micros: i64) {
        let is_full = self.admitted.len() >= PAIRS;
        let of = match self.admitted.get_mut(pair) {
            Some(known) => known,
            None if is_full => &mut self.other,
            None => self.admitted.entry(pair.clone()).or_default(),
        };
        of.push((time_ms, weight_micros));
    }
}

fn since(events: &[(i64, i64)], start_ms: i64) -> i64 {
    events.iter().filter(|(time_ms, _)| *time_ms >= start_ms).map(|(_, weight)| weight).sum()
}

pub fn failures(slo: &Slo, key: &Key, at_ms: i64) -> Value {
    if slo.gauge().is_some() && slo.slicing.is_none() {
        return json!([]);
    }
    let (hour_ms, period_ms) = (window_start(at_ms, HOUR_MS), compliance_start(slo, at_ms));
    let other = ((OTHER.to_owned(), OTHER.to_owned()), &key.failures.other);
    let all = key.failures.admitted.iter().map(|(pair, events)| (pair.clone(), events)).chain([other]);
    let mut ranked: Vec<(i64, i64, Pair)> = all
        .map(|(pair, events)| (-since(events, hour_ms), -since(events, period_ms), pair))
        .filter(|(hour, period, _)| *hour != 0 || *period != 0)
        .collect();
    ranked.sort();
    let sum = |of: fn(&(i64, i64, Pair)) -> i64| ranked.iter().map(of).sum::<i64>();
    let (hour, period) = (sum(|r| r.0), sum(|r| r.1));
    let share = |part: i64, all: i64| (all != 0).then(|| part as f64 / all as f64);
    let entry = |(of_hour, of_period, (dependency, error_type)): &(i64, i64, Pair)| {
        json!({"dependency": dependency, "error_type": error_type, "bad_1h": -*of_hour as f64 / 1e6,
               "bad_period": -*of_period as f64 / 1e6, "share_1h": share(*of_hour, hour),
               "share_period": share(*of_period, period)})
    };
    ranked.iter().take(5).map(entry).collect()
}

/// A maintenance: its name, the tenants that it is for (none: all), and what it covers.
#[derive(Clone, Debug)]
pub struct Maintenance {
    pub name: &'static str,
    pub tenants: &'static [&'static str],
    pub spans: Vec<(i64, i64)>,
}

impl Maintenance {
    fn covers(&self, time_ms: i64) -> bool {
        self.spans.iter().any(|(start_ms, end_ms)| *start_ms <= time_ms && time_ms < *end_ms)
    }

    pub fn excludes(&self, outcome: &Outcome) -> bool {
        (self.tenants.is_empty() || self.tenants.contains(&outcome.tenant.as_str())) && self.covers(outcome.time_ms)
    }
}

/// The name in a status.
pub fn maintenance(slo: &Slo, key: &Key, at_ms: i64) -> Value {
    let is_for = |entry: &&Maintenance| {
        entry.tenants.is_empty() || key.tenant.as_deref().is_some_and(|t| entry.tenants.contains(&t))
    };
    json!(slo.maintenance.iter().filter(is_for).find(|entry| entry.covers(at_ms)).map(|entry| entry.name))
}

mod tests {
    use serde_json::{Value, json};

    use crate::agreement::{assert_agree, backtest_with};
    use crate::failures::Maintenance;
    use crate::input::Format;
    use crate::replay::replay;
    use crate::slo;
    use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS};
    use crate::traffic::{self, Dice, Incident, Plan, Who};

    const SLOS: [(&str, &str); 3] = [
        ("a.yaml", include_str!("slos/promises/day.yaml")),
        ("b.yaml", include_str!("slos/own-rules.yaml")),
        ("c.yaml", include_str!("slos/week.yaml")),
    ];

    /// Thirty hours with failures of many dependencies.
    fn lines(seed: u64) -> Vec<Vec<String>> {
        let incident = |from_min, to_min, who, share| Incident { from_min, to_min, who, share };
        let plan = Plan {
            seed,
            start_ms: traffic::START_MS,
            duration_ms: DAY_MS + 6 * HOUR_MS,
            per_hour: 500.0,
            users: 90,
            tenants: &["acme", "beta", "acme", "solo", "acme"],
            base: 0.01,
            incidents: vec![
                incident(200, 260, Who::All, 0.6),
                incident(700, 900, Who::Region("eu"), 0.5),
                incident(1_300, 1_330, Who::All, 1.0),
            ],
            has_releases: false,
        };
        let mut dice = Dice::new(seed ^ 0xfa11);
        let mut named = |line: &String| {
            let Ok(Value::Object(mut record)) = serde_json::from_str::<Value>(line) else { return line.clone() };
            // Few are frequent.
            let mut name = |letter: char, of: i64| {
                let skewed = dice.unit() * dice.unit();
                let number = (skewed * of as f64) as i64;
                if number == 1 { Value::Null } else { json!(format!("{letter}{number}")) }
            };
            record.insert("dependency".to_owned(), name('d', 14));
            record.insert("error_type".to_owned(), name('e', 11));
            Value::Object(record).to_string()
        };
        plan.lines().iter().map(|lines| lines.iter().map(&mut named).collect()).collect()
    }

    /// 2026-03-02, the day on which the traffic begins at 03:00.
    const DAY: i64 = 1_772_409_600_000;

    const CONFIGURATION: &str = "
maintenance:
  - name: upgrade of all
    slos: [by-day]
    start: 2026-03-02T09:00:07.250Z
    end: 2026-03-02T10:31:00Z
  - {name: acme moves, tenants: [acme], dtstart: 2026-03-01 05:00:00, duration: 75m, rrule: FREQ=DAILY, time_zone: Europe/Berlin}
  - {name: second, slos: [by-day], start: 2026-03-02T10:00:00Z, end: '2026-03-02T12:00:00+01:00'}
";

    #[test]
    fn the_program_agrees_on_failures_and_maintenance() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let slos = traffic::write_slos(directory.path(), &SLOS);
        let inputs = traffic::write_lines(directory.path(), &lines(5));
        let configuration = directory.path().join("tailburn.yaml");
        std::fs::write(&configuration, CONFIGURATION).expect("a configuration");
        let more = ["--config", configuration.to_str().expect("a name")];
        let program = backtest_with(&slos, &inputs, Format::JsonLines, &directory.path().join("out"), &more);
        let mut loaded = slo::load(&slos).expect("the SLOs");
        let entry = |name, tenants, spans| Maintenance { name, tenants, spans };
        // 05:00 in Berlin is 04:00 in March.
        let daily = (0..3).map(|day| DAY + day * DAY_MS + 4 * HOUR_MS).map(|ms| (ms, ms + 75 * MINUTE_MS)).collect();
        let acme = entry("acme moves", &["acme"][..], daily);
        for slo in &mut loaded {
            slo.maintenance = vec![acme.clone()];
            if slo.name == "by-day" {
                let upgrade = (DAY + 9 * HOUR_MS + 7_250, DAY + 10 * HOUR_MS + 31 * MINUTE_MS);
                slo.maintenance.insert(0, entry("upgrade of all", &[], vec![upgrade]));
                slo.maintenance.push(entry("second", &[], vec![(DAY + 10 * HOUR_MS, DAY + 11 * HOUR_MS)]));
            }
        }
        let oracle = replay(&loaded, &inputs, Format::JsonLines);
        assert_agree(&oracle, &program);
        let count = |has: &dyn Fn(&Value) -> bool| oracle.statuses.iter().filter(|s| has(s)).count();
        for name in ["upgrade of all", "acme moves", "second"] {
            assert!(count(&|s| s["maintenance"] == name) > 2, "no status in {name}");
        }
        assert!(count(&|s| s["counts"]["maintenance"].as_i64() > Some(100)) > 20, "little was excluded");
        let is_other = |f: &Value| f["dependency"] == "__other__";
        assert!(count(&|s| s["failures"].as_array().is_some_and(|all| all.iter().any(is_other))) > 20, "no others");
        assert!(count(&|s| s["failures"].as_array().is_some_and(|all| all.len() == 5)) > 100, "few failures");
    }
}
