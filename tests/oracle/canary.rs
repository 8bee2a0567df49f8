//! Canary verdicts of section 12: every full minute of every candidate is counted anew from all events.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::ratio::Ratio;
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS, ceil_to, print_time};

#[derive(Clone, Debug)]
pub struct Canary {
    pub attribute: String,
    /// Candidate and baseline.
    pub tracks: Option<(String, String)>,
    pub max_burn: Option<Ratio>,
}

/// A good or bad event whose attribute has a value.
pub struct Seen<'a> {
    pub visible_ms: i64,
    pub value: &'a str,
    pub bad: bool,
    pub user: Option<u32>,
}

#[derive(Default)]
struct Minute {
    events: i64,
    bad: i64,
    bad_users: BTreeSet<u32>,
    nameless: i64,
}

impl Minute {
    fn of<'a>(seen: impl Iterator<Item = &'a Seen<'a>>) -> Self {
        let mut minute = Self::default();
        for event in seen {
            minute.events += 1;
            if event.bad {
                minute.bad += 1;
                match event.user {
                    Some(user) => drop(minute.bad_users.insert(user)),
                    None => minute.nameless += 1,
                }
            }
        }
        minute
    }

    fn once(&self) -> f64 {
        (self.bad_users.len() as i64 + self.nameless) as f64
    }
}

const TIMES: [f64; 6] = [1.5, 2.0, 3.0, 5.0, 10.0, 30.0];

/// The records of one SLO, with T and candidate; `seen` in the order of visibility.
pub fn verdicts(
    slo: &str,
    canary: &Canary,
    objective: Ratio,
    seen: &[Seen<'_>],
    end_ms: i64,
) -> Vec<(i64, String, Value)> {
    let mut firsts: BTreeMap<&str, i64> = BTreeMap::new();
    for event in seen {
        firsts.entry(event.value).or_insert(event.visible_ms);
    }
    let mut records = Vec::new();
    for (candidate, first_ms) in &firsts {
        let candidate = *candidate;
        let tests = match &canary.tracks {
            None => vec![(*first_ms, first_ms + DAY_MS)],
            Some((named, _)) if named == candidate => tests_of(seen, candidate),
            Some(_) => Vec::new(),
        };
        for (started_ms, until_ms) in tests {
            let baseline = |value: &str, at_ms: i64| match &canary.tracks {
                None => at_ms - firsts[value] >= DAY_MS,
                Some((_, named)) => value == named,
            };
            let test = Test { slo, canary, objective, seen, candidate, baseline: &baseline, started_ms };
            records.extend(test.records(until_ms, end_ms));
        }
    }
    records.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    records
}

/// Start and end of each test of a named candidate: an hour without an event ends one.
fn tests_of(seen: &[Seen<'_>], candidate: &str) -> Vec<(i64, i64)> {
    let mut tests: Vec<(i64, i64)> = Vec::new();
    let mut last_ms = None;
    for event in seen.iter().filter(|event| event.value == candidate) {
        if last_ms.is_none_or(|last_ms| event.visible_ms - last_ms > HOUR_MS) {
            if let Some(before) = tests.last_mut() {
                // Its last full minute is the one before that of the new test.
                before.1 = ceil_to(event.visible_ms, MINUTE_MS);
            }
            tests.push((event.visible_ms, i64::MAX));
        }
        last_ms = Some(event.visible_ms);
    }
    tests
}

struct Test<'a> {
    slo: &'a str,
    canary: &'a Canary,
    objective: Ratio,
    seen: &'a [Seen<'a>],
    candidate: &'a str,
    baseline: &'a dyn Fn(&str, i64) -> bool,
    started_ms: i64,
}

#[derive(Default)]
struct Sums {
    requests: [i64; 2],
    bad: [i64; 2],
    bad_users: BTreeSet<u32>,
    nameless: i64,
}

impl Test<'_> {
    fn minute(&self, at_ms: i64) -> &[Seen<'_>] {
        let from = self.seen.partition_point(|event| event.visible_ms <= at_ms - MINUTE_MS);
        let to = self.seen.partition_point(|event| event.visible_ms <= at_ms);
        &self.seen[from..to]
    }

    fn records(&self, until_ms: i64, end_ms: i64) -> Vec<(i64, String, Value)> {
        let (mut records, mut sums) = (Vec::new(), Sums::default());
        let (mut worse, mut not_worse) = ([1.0f64; 6], [1.0f64; 6]);
        let mut verdict = None;
        let mut at_ms = ceil_to(self.started_ms, MINUTE_MS);
        while at_ms < until_ms && at_ms <= end_ms {
            let minute = self.minute(at_ms);
            let candidate = Minute::of(minute.iter().filter(|event| event.value == self.candidate));
            let is_baseline = |event: &&Seen<'_>| event.value != self.candidate && (self.baseline)(event.value, at_ms);
            let baseline = Minute::of(minute.iter().filter(is_baseline));
            for (side, minute) in [&candidate, &baseline].into_iter().enumerate() {
                sums.requests[side] += minute.events;
                sums.bad[side] += minute.bad;
            }
            sums.bad_users.extend(&candidate.bad_users);
            sums.nameless += candidate.nameless;
            if candidate.events > 0 && baseline.events > 0 {
                let (n_c, n_b) = (candidate.events as f64, baseline.events as f64);
                for (e, r) in worse.iter_mut().zip(TIMES) {
                    let (q0, q) = (1.25 * n_c / (1.25 * n_c + n_b), r * 1.25 * n_c / (r * 1.25 * n_c + n_b));
                    *e *= ratio(q0, q, candidate.once(), baseline.once());
                }
                for (e, r) in not_worse.iter_mut().zip(TIMES) {
                    let (q0, q) = (3.0 * n_c / (3.0 * n_c + n_b), 3.0 / r * n_c / (3.0 / r * n_c + n_b));
                    *e *= ratio(q0, q, candidate.once(), baseline.once());
                }
            }
            let of_two = sums.bad_users.len() as i64 + sums.nameless >= 2;
            if verdict.is_none() {
                let fails = of_two && (mean(&worse) >= 100.0 || self.burns_too_fast(&sums));
                let passes = at_ms - self.started_ms >= 10 * MINUTE_MS && mean(&not_worse) >= 100.0;
                verdict = if fails { Some("fail") } else { passes.then_some("pass") };
            }
            if candidate.events > 0 {
                let e_value = if verdict == Some("pass") { mean(&not_worse) } else { mean(&worse) };
                records.push((at_ms, self.candidate.to_owned(), self.record(at_ms, verdict, e_value, &sums)));
            }
            at_ms += MINUTE_MS;
        }
        records
    }

    fn burns_too_fast(&self, sums: &Sums) -> bool {
        let limit = self.canary.max_burn.map(|burn| burn.times(self.objective.one_minus()));
        let exceeds = |limit: Ratio| limit.exceeded_by(sums.bad[0].into(), sums.requests[0].into());
        sums.bad[0] >= 3 && limit.is_some_and(exceeds)
    }

    fn record(&self, at_ms: i64, verdict: Option<&str>, e_value: f64, sums: &Sums) -> Value {
        let sli = |side: usize| {
            (sums.requests[side] > 0)
                .then(|| (sums.requests[side] - sums.bad[side]) as f64 / sums.requests[side] as f64)
        };
        let burn = |side: usize| {
            let share = (sums.requests[side] > 0).then(|| sums.bad[side] as f64 / sums.requests[side] as f64);
            share.map(|share| share / self.objective.one_minus().as_f64())
        };
        let mut record = json!({
            "slo": self.slo, "tenant": null, "attribute": self.canary.attribute, "candidate": self.candidate,
            "baseline": self.canary.tracks.as_ref().map(|(_, baseline)| baseline),
            "verdict": verdict.unwrap_or("inconclusive"), "e_value": e_value.min(f64::MAX),
            "requests_candidate": sums.requests[0], "requests_baseline": sums.requests[1],
            "bad_candidate": sums.bad[0] as f64, "bad_baseline": sums.bad[1] as f64,
            "sli_candidate": sli(0), "sli_baseline": sli(1), "burn_candidate": burn(0), "burn_baseline": burn(1),
            "started_at": print_time(self.started_ms), "at": print_time(at_ms),
        });
        if verdict.is_none() {
            record["reason"] = json!(if sums.requests[1] == 0 { "no baseline" } else { "undecided" });
        }
        record
    }
}

fn ratio(q0: f64, q: f64, x_c: f64, x_b: f64) -> f64 {
    libm::pow(q / q0, x_c) * libm::pow((1.0 - q) / (1.0 - q0), x_b)
}

fn mean(all: &[f64; 6]) -> f64 {
    all.iter().sum::<f64>() / 6.0
}
