//! The examples of `ops/examples/slos`, each over its events, against a count that uses nothing of the program: here stands
//! in plain code what each document means.

mod count;
mod journey;
mod kinds;
mod rules;

use crate::program::Program;
use count::{Arrived, DAY, HOUR, Is, MINUTE, Unit, arrivals, events, floor, start, sums, within};
use rules::{Key, Rule, defaults, fired};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/examples")
}

/// What a backtest of one example wrote.
pub struct Ran {
    events: String,
    statuses: Vec<Value>,
    alerts: Vec<Value>,
    summary: String,
}

impl Ran {
    pub fn of(name: &str) -> Ran {
        let root = examples();
        let (slo, input) = (root.join(format!("slos/{name}.yaml")), root.join(format!("events/{name}.jsonl")));
        let program = Program::new();
        let args = ["backtest", "--out", "out", "--slos", &slo.display().to_string(), "--input"];
        let ran = program.run(&[&args[..], &[&input.display().to_string()]].concat());
        assert_eq!(ran.code, Some(0), "{name}: {}", ran.stderr);
        let read = |file: &str| -> Vec<Value> {
            let text = std::fs::read_to_string(program.path().join("out").join(file)).expect("a result");
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
        };
        Ran {
            events: std::fs::read_to_string(&input).expect("events"),
            statuses: read("slo-status.jsonl"),
            alerts: read("burn-alerts.jsonl"),
            summary: ran.stderr,
        }
    }

    pub fn arrivals(&self, lateness: i64) -> (Vec<Arrived>, i64) {
        arrivals(&self.events, lateness)
    }

    /// The last status of each key, by scope and by tenant or group.
    pub fn last(&self, slo: &str) -> BTreeMap<String, &Value> {
        let of_slo = self.statuses.iter().filter(|status| status["slo"] == slo);
        of_slo.map(|s| (format!("{} {}{}", s["scope"], s["tenant"], s["group"]), s)).collect()
    }

    pub fn aggregate(&self, slo: &str) -> &Value {
        self.statuses.iter().rfind(|s| s["slo"] == slo && s["scope"] == "aggregate").expect("a status")
    }

    /// (severity, rule, since) of all alerts of the aggregate.
    fn alerts(&self, slo: &str) -> BTreeSet<(&str, String, i64)> {
        let of_aggregate = self.alerts.iter().filter(|a| a["slo"] == slo && a["scope"] == "aggregate");
        let rules = of_aggregate.flat_map(|alert| {
            let severity = alert["severity"].as_str().expect("a severity");
            let rules = alert["rules"].as_array().expect("rules");
            rules
                .iter()
                .map(move |rule| (severity, rule["rule"].as_str().expect("a rule").to_owned(), ms(&rule["since"])))
        });
        rules.collect()
    }
}

/// A time of an output.
pub fn ms(time: &Value) -> i64 {
    let text = time.as_str().expect("a time");
    text.parse::<jiff::Timestamp>().expect("a time").as_millisecond()
}

pub fn near(said: &Value, expected: f64, what: &str) {
    let said = said.as_f64().unwrap_or_else(|| panic!("{what}: {said}, expected {expected}"));
    assert!((said - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{what}: {said}, expected {expected}");
}

/// An SLO of an example that counts events over a rolling window.
pub struct Plain {
    pub slo: &'static str,
    pub is: fn(&Value) -> Is,
    /// What of a million may be bad.
    pub allowed: u128,
    /// Tenants that have an objective of their own.
    pub tenants: &'static [(&'static str, u128)],
    pub window: i64,
    pub rules: Vec<Rule>,
    pub lateness: i64,
    pub min_events: usize,
    /// What fires in the aggregate besides rules of burn rates.
    pub others: &'static [&'static str],
}

impl Plain {
    /// Over 28 days, with the default rules.
    fn new(slo: &'static str, allowed: u128, is: fn(&Value) -> Is) -> Plain {
        let (rules, tenants, others) = (defaults(28), &[], &[]);
        Plain { slo, is, allowed, tenants, window: 28 * DAY, rules, lateness: HOUR, min_events: 0, others }
    }
}

fn is_op(e: &Value, operation: &str) -> bool {
    e["operation"] == operation
}

/// Of a status below 500; without one nobody knows.
fn by_status(e: &Value) -> Is {
    e["status"].as_i64().map_or(Is::Unknown, |status| Is::good(status < 500))
}

fn of_operation(e: &Value, operation: &str, is: impl Fn(&Value) -> Is) -> Is {
    if is_op(e, operation) { is(e) } else { Is::Out }
}

fn error(e: &Value) -> &str {
    e["error_type"].as_str().unwrap_or("")
}

/// Monday to Saturday from 8 to 20 h in Berlin, in the days of the example: two hours ahead of UTC from the night to
/// Sunday 29 March 2026 on, before that one.
fn shops_are_open(t: i64) -> bool {
    const SUMMER: i64 = 1_774_746_000_000;
    let local = t + if t >= SUMMER { 2 * HOUR } else { HOUR };
    // 1 January 1970 was a Thursday.
    let (weekday, hour) = ((local.div_euclid(DAY) + 4) % 7, local.rem_euclid(DAY) / HOUR);
    weekday != 0 && (8..20).contains(&hour)
}

fn searched(e: &Value, within_ms: f64) -> Is {
    match (is_op(e, "search"), e["status"].as_i64(), e["latency_ms"].as_f64()) {
        (true, Some(..500), Some(latency)) => Is::good(latency <= within_ms),
        _ => Is::Out,
    }
}

fn plain() -> Vec<Plain> {
    vec![
        Plain {
            tenants: &[("acme", 500)],
            ..Plain::new("checkout-availability", 1_000, |e| match e["attributes"]["synthetic"] == "true" {
                true => Is::Out,
                false => of_operation(e, "checkout", by_status),
            })
        },
        Plain::new("peak-hours", 5_000, |e| match shops_are_open(e["timestamp"].as_i64().expect("a time")) {
            true => of_operation(e, "order", by_status),
            false => Is::Out,
        }),
        Plain::new("search-latency:usual", 50_000, |e| searched(e, 300.0)),
        Plain::new("search-latency:patience", 5_000, |e| searched(e, 1_000.0)),
        Plain {
            window: 7 * DAY,
            lateness: 6 * HOUR,
            min_events: 20,
            rules: vec![
                Rule::new("1h/5m", HOUR, 5 * MINUTE, (7, 1), true),
                Rule::new("1d/2h", DAY, 2 * HOUR, (2, 1), false),
            ],
            ..Plain::new("assistant-first-token", 100_000, |e| {
                let tier = e["attributes"]["tier"].as_str();
                let first = e["measures"]["ttft_ms"].as_f64();
                match tier {
                    Some("pro" | "enterprise") => {
                        Is::good(error(e).is_empty() && first.is_some_and(|ms| ms <= 2_000.0))
                    }
                    _ => Is::Out,
                }
            })
        },
        Plain::new("sampled-traces", 20_000, |e| if e["status"].is_null() { Is::Out } else { by_status(e) }),
        Plain {
            lateness: 3 * DAY,
            ..Plain::new("mobile-sessions", 5_000, |e| match error(e) {
                "out_of_memory" => Is::Out,
                error => of_operation(e, "session", |_| Is::good(!["crash", "hang"].contains(&error))),
            })
        },
        Plain::new("rollout-canary", 10_000, |e| of_operation(e, "search", by_status)),
        Plain::new("payments-by-bank", 10_000, |e| match e["attributes"]["mode"] == "test" {
            true => Is::Out,
            false => of_operation(e, "pay", |e| Is::good(["", "declined", "insufficient_funds"].contains(&error(e)))),
        }),
        Plain {
            tenants: &[("acme", 1_000), ("initech", 50_000)],
            ..Plain::new("tenant-promises", 10_000, |e| if is_op(e, "health") { Is::Out } else { by_status(e) })
        },
        Plain {
            lateness: 7 * DAY,
            rules: vec![Rule::new("7d", 7 * DAY, 14 * HOUR, (3, 2), false)],
            ..Plain::new("assistant-quality", 100_000, |e| match e["measures"]["quality"].as_f64() {
                Some(quality) => of_operation(e, "review", |_| Is::good(quality >= 0.7)),
                None => Is::Out,
            })
        },
    ]
}

/// Whether an event is of a status' tenant or group.
fn is_of(event: &Value, status: &Value) -> bool {
    let of = |name: &String| match name.as_str() {
        "dependency" | "operation" | "error_type" => &event[name],
        _ => &event["attributes"][name],
    };
    let group = status["group"].as_object().expect("a group");
    (status["tenant"].is_null() || status["tenant"] == event["tenant"])
        && group.iter().all(|(name, value)| of(name).as_str().unwrap_or("-") == value)
}

/// The figures of the compliance window in a status, from its units.
pub fn compare_window(status: &Value, units: &[Unit], first: i64, allowed: u128, window: i64, one: f64, t: i64) {
    let what = format!("{} {} {}{}", status["slo"], status["scope"], status["tenant"], status["group"]);
    let from = start(t, window);
    let (good, bad) = sums(&within(units, from, t));
    let said = status["windows"].as_array().and_then(|windows| windows.last()).expect("the compliance window");
    near(&said["good"], good as f64 / one, &format!("{what}: good"));
    near(&said["bad"], bad as f64 / one, &format!("{what}: bad"));
    near(&said["sli"], good as f64 / (good + bad) as f64, &format!("{what}: sli"));
    let burn = bad as f64 / (good + bad) as f64 / (allowed as f64 / 1e6);
    let coverage = ((t - floor(first, 10_000)) as f64 / (t - from) as f64).min(1.0);
    near(&status["budget_remaining"], 1.0 - burn, &format!("{what}: budget"));
    near(&status["budget_spent_of_period"], burn * coverage, &format!("{what}: spent"));
}

impl Plain {
    fn compare(&self) {
        let document = self.slo.split(':').next().expect("a name");
        let ran = Ran::of(document);
        let (arrived, t) = ran.arrivals(self.lateness);
        let dropped = format!("and {} too late and dropped", ran.events.lines().count() - arrived.len());
        assert!(ran.summary.contains(&dropped), "{dropped}: {}", ran.summary);
        let keys = ran.last(self.slo);
        for status in keys.values() {
            let own: Vec<Arrived> = arrived.iter().filter(|a| is_of(&a.event, status)).cloned().collect();
            let units = events(&own, self.is);
            assert_eq!(ms(&status["at"]), t, "{}", self.slo);
            let own_allowed = self.tenants.iter().find(|(tenant, _)| status["tenant"] == *tenant);
            let allowed = own_allowed.map_or(self.allowed, |(_, allowed)| *allowed);
            let Some(first) = units.iter().map(|unit| unit.time).min() else { continue };
            compare_window(status, &units, first, allowed, self.window, 1e6, t);
            let count = |is: Is| own.iter().filter(|a| (self.is)(&a.event) == is).count();
            assert_eq!(status["counts"]["accepted"], count(Is::Good) + count(Is::Bad), "{status}");
            assert_eq!(status["counts"]["unclassified"], count(Is::Unknown), "{status}");
            let is_counted = |a: &&Arrived| (self.is)(&a.event) != Is::Out && a.is_late;
            assert_eq!(status["counts"]["late"], own.iter().filter(is_counted).count(), "{status}");
        }
        let units = events(&arrived, self.is);
        let allowed = self.allowed as f64 / 1e6;
        let key = Key {
            rules: &self.rules,
            parts: &[(units.clone(), self.allowed, 1)],
            events: &units,
            counted: &units,
            allowed,
            min_events: self.min_events,
            guards: true,
        };
        compare_alerts(&ran, self.slo, &key, self.others, t);
    }
}

/// The rules of burn rates by the count, all others by name.
pub fn compare_alerts(ran: &Ran, slo: &str, key: &Key<'_>, others: &[&str], t: i64) {
    let (burning, rest): (BTreeSet<_>, BTreeSet<_>) =
        ran.alerts(slo).into_iter().partition(|(_, name, _)| key.rules.iter().any(|rule| rule.name == *name));
    assert_eq!(burning, fired(key, t), "{slo}");
    let rest: BTreeSet<&str> = rest.iter().map(|(_, name, _)| name.as_str()).collect();
    assert_eq!(rest, others.iter().copied().collect(), "{slo}");
}

#[test]
fn the_examples_over_events_say_what_their_documents_mean() {
    for example in plain() {
        example.compare();
    }
}

/// Each document has its events, each file of events its document, and each document says who needs it.
#[test]
fn every_example_has_events_and_says_who_needs_it() {
    let names = |directory: &str, ending: &str| -> BTreeSet<String> {
        let files = std::fs::read_dir(examples().join(directory)).expect("a directory");
        let names = files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned());
        names.filter_map(|name| name.strip_suffix(ending).map(str::to_owned)).collect()
    };
    let documents = names("slos", ".yaml");
    assert_eq!(documents, names("events", ".jsonl"));
    assert!(documents.len() + names("slos/llm", ".yaml").len() >= 24);
    let compared: BTreeSet<String> =
        plain().iter().map(|p| p.slo.split(':').next().expect("a name").to_owned()).collect();
    let others = kinds::COMPARED.iter().map(|name| (*name).to_owned());
    assert_eq!(documents, compared.into_iter().chain(others).collect(), "each is compared with a count of its own");
    for name in documents {
        let text = std::fs::read_to_string(examples().join(format!("slos/{name}.yaml"))).expect("a document");
        let comment: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
        assert!(comment.iter().any(|line| line.starts_with("# For ")), "{name} does not say who needs it");
        let events = std::fs::read_to_string(examples().join(format!("events/{name}.jsonl"))).expect("events");
        assert!((10..=200).contains(&events.lines().count()), "{name}");
    }
}
