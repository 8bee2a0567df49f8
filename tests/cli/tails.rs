//! A few users are served badly while the aggregate is fine: the rules `tail-1h` and `tail-1d`, and who is named.

use crate::program::Program;
use serde_json::Value;
use std::fmt::Write as _;

const START_MS: i64 = 1_780_000_020_000;
const USERS: u64 = 800;
/// Each user sends one event in this time.
const EVERY_MS: u64 = 40_000;

const SLO: &str = include_str!("../fixtures/availability.yaml");

/// The same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn one_in(&mut self, bound: u64) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).is_multiple_of(bound)
    }
}

/// What is wrong with some users, from minute 40 to minute 80.
#[derive(Clone, Copy, PartialEq)]
enum Incident {
    Nothing,
    /// Half the events of two in a hundred users fail.
    Tail,
    /// All events of one user fail.
    OneUser,
}

fn traffic(incident: Incident, minutes: u64, shows_integration: bool) -> String {
    let (mut dice, mut lines) = (Dice(7), String::new());
    for at in 0..minutes * 60_000 * USERS / EVERY_MS {
        let (user, ms) = (at % USERS, at * EVERY_MS / USERS);
        let is_legacy = user % 50 == 3;
        let is_on = (40..80).contains(&(ms / 60_000));
        let fails = match incident {
            Incident::Tail if is_on && is_legacy => dice.one_in(2),
            Incident::OneUser if is_on && user == 3 => true,
            _ => dice.one_in(2_000),
        };
        let integration = if is_legacy { "legacy" } else { "rest" };
        let integration = if shows_integration { format!(",\"integration\":\"{integration}\"") } else { String::new() };
        let (tier, region) = (["free", "pro", "team"][user as usize % 3], ["eu", "us"][user as usize / 3 % 2]);
        let (time, status) = (START_MS + ms as i64, if fails { 503 } else { 200 });
        writeln!(
            lines,
            "{{\"tenant\":\"t{}\",\"user\":\"u{user:03}\",\"timestamp\":{time},\"operation\":\"checkout\",\"status\":{status},\
             \"attributes\":{{\"tier\":\"{tier}\",\"region\":\"{region}\"{integration}}}}}",
            user % 4
        )
        .expect("a text");
    }
    lines
}

/// Statuses, alerts and cohorts of the aggregate, and the users who fail more than their tenant.
struct Records {
    statuses: Vec<Value>,
    alerts: Vec<Value>,
    cohorts: Vec<Value>,
    users: Vec<Value>,
}

fn backtest(input: &str) -> Records {
    let program = Program::new().with_file("slo.yaml", &SLO.replace("0.999", "0.99")).with_file("in.jsonl", input);
    let ran = program.run(&["backtest", "--slos", "slo.yaml", "--input", "in.jsonl", "--out", "out"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let all = |name: &str| -> Vec<Value> {
        let text = std::fs::read_to_string(program.path().join("out").join(name)).expect("a result");
        text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")).collect()
    };
    let read =
        |name: &str| -> Vec<Value> { all(name).into_iter().filter(|record| record["scope"] == "aggregate").collect() };
    Records {
        statuses: read("slo-status.jsonl"),
        alerts: read("burn-alerts.jsonl"),
        cohorts: read("tail-cohorts.jsonl"),
        users: all("tail-cohorts.jsonl").into_iter().filter(|record| record["kind"] == "user").collect(),
    }
}

fn of_tails(alerts: &[Value]) -> Vec<&Value> {
    let is_of_tail =
        |alert: &&Value| alert["rules"].as_array().into_iter().flatten().any(|rule| rule["rule"] == "tail-1h");
    alerts.iter().filter(is_of_tail).collect()
}

fn minute(record: &Value, field: &str) -> i64 {
    let at: jiff::Timestamp = record[field].as_str().expect("a time").parse().expect("a time");
    (at.as_millisecond() - START_MS) / 60_000
}

#[test]
fn a_tail_behind_a_fine_aggregate_is_a_ticket_that_names_who_is_hit() {
    let records = backtest(&traffic(Incident::Tail, 165, true));
    let alerts = of_tails(&records.alerts);
    let first = alerts.first().expect("an alert");
    assert_eq!((&first["state"], &first["severity"]), (&"firing".into(), &"ticket".into()), "{first}");
    assert!((41..=55).contains(&minute(first, "at")), "{first}");
    let burn = first["rules"][0]["burn_long"].as_f64().expect("a burn");
    assert!(burn <= 1.0, "the aggregate is fine: {first}");
    let named = alerts.iter().find(|alert| alert["cohort"]["cohort"][0]["value"] == "legacy").expect("a name");
    assert!(named["summary"].as_str().is_some_and(|text| text.contains("mostly integration=legacy")), "{named}");
    assert!((30..=80).contains(&named["affected_users"].as_i64().expect("users")), "{named}");
    let last = alerts.last().expect("an alert");
    assert_eq!(last["state"], "resolved", "{last}");
    assert!((95..=160).contains(&minute(last, "at")), "{last}");

    let tails: Vec<&Value> = records.cohorts.iter().filter(|c| c["kind"] == "tail_degraded").collect();
    let hour = |state: &str| tails.iter().find(|c| c["window"] == "1h" && c["state"] == state).copied();
    let open = hour("open").expect("an episode");
    assert_eq!(open["at"], first["at"]);
    assert_eq!(open["alert_id"], first["id"]);
    assert!(open["sample_users"].as_array().is_some_and(|users| users.len() == 5), "{open}");
    assert!(hour("closed").is_some(), "{tails:?}");
    let verdicts = |verdict: &str| {
        let users = records.statuses.iter().flat_map(|status| status["users"].as_array().into_iter().flatten());
        users.filter(|users| users["window"] == "1h" && users["dispersion"]["verdict"] == verdict).count()
    };
    assert!(verdicts("systemic") > 20 && verdicts("insufficient") > 5, "{} systemic", verdicts("systemic"));

    let others: Vec<&Value> = records.cohorts.iter().filter(|c| c["kind"] != "tail_degraded").collect();
    assert!(
        others.iter().all(|c| c["cohort"][0]["value"] == "legacy" && c["cohort"].as_array().map(Vec::len) == Some(1))
    );
    // The 1d window still sees the cause when the 1h window has forgotten it; but never are two episodes open.
    let mut open = 0;
    for cohort in &others {
        open += i32::from(cohort["state"] == "open") - i32::from(cohort["state"] == "closed");
        assert!((0..=1).contains(&open), "one cause is one episode: {others:?}");
    }
}

#[test]
fn a_tail_that_no_attribute_explains_is_told_with_its_own_users() {
    let records = backtest(&traffic(Incident::Tail, 80, false));
    let alerts = of_tails(&records.alerts);
    let first = alerts.first().expect("an alert");
    assert!(first["summary"].as_str().is_some_and(|text| text.contains("no recorded attribute")), "{first}");
    let tail = records.cohorts.iter().find(|c| c["kind"] == "tail_degraded").expect("an episode");
    assert_eq!((tail["cohort"].as_array().map(Vec::len), tail["state"].as_str()), (Some(0), Some("open")));
    let sample = tail["sample_users"].as_array().expect("users");
    let is_legacy = |user: &Value| user.as_str().is_some_and(|name| name[1..].parse().is_ok_and(|n: u64| n % 50 == 3));
    assert!(sample.len() == 5 && sample.iter().all(is_legacy), "{sample:?}");
}

#[test]
fn one_user_in_trouble_and_healthy_traffic_are_no_tail() {
    for incident in [Incident::OneUser, Incident::Nothing] {
        let records = backtest(&traffic(incident, 90, true));
        assert!(of_tails(&records.alerts).is_empty(), "{:?}", records.alerts);
        assert!(records.cohorts.is_empty(), "{:?}", records.cohorts);
        // But somebody may call the one.
        let is_one = |record: &Value| record["tenant"] == "t3" && record["sample_users"][0] == "u003";
        assert!(records.users.iter().all(is_one), "{:?}", records.users);
        let states: Vec<&str> = records.users.iter().filter_map(|record| record["state"].as_str()).collect();
        let expected: (Option<&&str>, Option<&&str>) =
            if incident == Incident::OneUser { (Some(&"open"), Some(&"closed")) } else { (None, None) };
        assert_eq!((states.first(), states.last()), expected, "{states:?}");
        let minutes: Vec<i64> = records.users.iter().map(|record| minute(record, "at")).collect();
        assert!(minutes.first().is_none_or(|at| (44..=53).contains(at)), "{minutes:?}");
        assert!(minutes.last().is_none_or(|at| (84..=90).contains(at)), "{minutes:?}");
    }
}
