//! Models of an image service that fail every request of everybody who tries them: few users, one to three requests each,
//! some without a user. Each is named soon, and nothing else is.

use crate::program::Program;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;

const START_MS: u64 = 1_780_012_800_000;
const HOUR_MS: u64 = 3_600_000;
const DAYS: u64 = 14;
const REQUESTS: u64 = 15_000;

const SLO: &str = include_str!("../fixtures/availability.yaml");

/// A model that fails always: how many requests it gets, from which day on, in how many days.
const BROKEN: [(&str, u64, u64, u64); 4] =
    [("dream-xl", 114, 3, 8), ("photo-2", 38, 5, 4), ("sketch", 30, 8, 3), ("paint-turbo", 15, 12, 2)];

/// The same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

struct Request {
    ms: u64,
    user: Option<u64>,
    model: String,
    is_bad: bool,
}

/// Users have one to three requests in all, but for a few who have many; one request in a hundred and thirty fails.
fn traffic(seed: u64) -> Vec<Request> {
    let mut dice = Dice(seed);
    let mut requests = Vec::new();
    let mut user = 0;
    let mut visit = |requests: &mut Vec<Request>, dice: &mut Dice, ms: u64, model: &str, fails: bool, most: u64| {
        user += 1;
        let name = (dice.below(10) > 0).then_some(user);
        for attempt in 0..1 + dice.below(most) {
            let is_bad = fails || dice.below(130) == 0;
            requests.push(Request { ms: ms + attempt * 40_000, user: name, model: model.to_owned(), is_bad });
        }
    };
    while (requests.len() as u64) < REQUESTS {
        let ms = dice.below(DAYS * 24 * HOUR_MS);
        // A few models have most of the traffic.
        let model = format!("m{:02}", dice.below(30).min(dice.below(30)));
        let most = if dice.below(40) == 0 { 120 } else { 3 };
        visit(&mut requests, &mut dice, ms, &model, false, most);
    }
    for (model, failures, day, days) in BROKEN {
        let before = requests.len() as u64;
        while (requests.len() as u64) < before + failures {
            let ms = day * 24 * HOUR_MS + dice.below(days * 24 * HOUR_MS);
            visit(&mut requests, &mut dice, ms, model, true, 3);
        }
    }
    requests.sort_by_key(|request| request.ms);
    requests
}

fn lines(requests: &[Request]) -> String {
    let mut lines = String::new();
    for request in requests {
        let user = request.user.map(|user| format!("\"user\":\"u{user}\",")).unwrap_or_default();
        let (time, status) = (START_MS + request.ms, if request.is_bad { 500 } else { 200 });
        let model = &request.model;
        let plan = ["free", "pro", "team"][request.user.unwrap_or(0) as usize % 3];
        writeln!(
            lines,
            "{{\"tenant\":\"default\",{user}\"timestamp\":{time},\"operation\":\"generate\",\"status\":{status},\
             \"attributes\":{{\"model\":\"{model}\",\"plan\":\"{plan}\"}}}}"
        )
        .expect("a text");
    }
    lines
}

/// The episodes of the aggregate's cohorts by events or users: the cohort in words, and when it was first named.
fn named(input: &str) -> Vec<(String, u64)> {
    let slo = SLO.replace("0.999", "0.98").replace("operation == 'checkout'", "operation != 'health'");
    let program = Program::new().with_file("slo.yaml", &slo).with_file("in.jsonl", input);
    let ran = program.run(&["backtest", "--slos", "slo.yaml", "--input", "in.jsonl", "--out", "out"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let text = std::fs::read_to_string(program.path().join("out/tail-cohorts.jsonl")).expect("a result");
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let opens = records.filter(|record| record["scope"] == "aggregate" && record["state"] == "open");
    let of_causes = opens.filter(|record| ["events", "users"].iter().any(|kind| record["kind"] == *kind));
    let words = |record: &Value| {
        let pairs = record["cohort"].as_array().into_iter().flatten();
        let pair = |pair: &Value| format!("{}={}", pair["attribute"], pair["value"]).replace('"', "");
        pairs.map(pair).collect::<Vec<_>>().join(",")
    };
    let at = |record: &Value| record["at"].as_str().expect("a time").parse::<jiff::Timestamp>().expect("a time");
    of_causes.map(|record| (words(&record), at(&record).as_millisecond() as u64 - START_MS)).collect()
}

#[test]
fn every_model_that_fails_always_is_named_by_its_thirteenth_failure() {
    let requests = traffic(1);
    let mut first: BTreeMap<String, u64> = BTreeMap::new();
    for (cohort, ms) in named(&lines(&requests)) {
        first.entry(cohort).or_insert(ms);
    }
    let failures_of = |model: &str, at_ms: u64| {
        requests.iter().filter(|request| request.model == model && request.ms < at_ms).count()
    };
    let named: Vec<(&str, Option<usize>)> = BROKEN
        .iter()
        .map(|(model, ..)| (*model, first.remove(&format!("model={model}")).map(|at_ms| failures_of(model, at_ms))))
        .collect();
    assert!(named.iter().all(|(_, failures)| failures.is_some_and(|failures| failures <= 13)), "{named:?}");
    assert!(first.is_empty(), "nothing else is wrong: {first:?}");
}
