//! `serve --from DIR`: the API over the files of a backtest, as another program reads it.

use crate::program::Program;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};

const SLO: &str = include_str!("../fixtures/availability.yaml");
const START_MS: i64 = 1_780_000_000_000;

/// A server that ends with the test.
struct Serving {
    child: Child,
    address: String,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Serving {
    fn start(program: &Program, args: &[&str]) -> Serving {
        let mut command = program.command(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
        let address = line.strip_prefix("http://").and_then(|rest| rest.split('/').next());
        let address = address.unwrap_or_else(|| panic!("it does not say where it is: {line}")).to_owned();
        Serving { child, address }
    }

    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("answered");
        let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        (status, text.split_once("\r\n\r\n").expect("a body").1.to_owned())
    }

    fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|e| panic!("{path}: {e}: {body}"))
    }
}

/// Three hours of two tenants, one of which fails in the second hour, and a line that is no outcome.
fn input() -> String {
    let mut input = "no outcome\n".to_owned();
    for second in (0..10_800).step_by(5) {
        let at = START_MS + second * 1_000;
        for tenant in ["acme", "zeta"] {
            let fails = tenant == "acme" && (3_600..5_400).contains(&second) && second % 10 == 0;
            let status = if fails { 503 } else { 200 };
            let user = second % 35;
            let _ = writeln!(
                input,
                r#"{{"tenant":"{tenant}","user":"u{user}","timestamp":{at},"operation":"checkout","status":{status}}}"#
            );
        }
    }
    input
}

fn backtested() -> Program {
    let program = Program::new().with_file("slo.yaml", SLO).with_file("in.jsonl", &input());
    let ran = program.run(&["backtest", "--slos", "slo.yaml", "--input", "in.jsonl", "--out", "out"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    program
}

fn lines(program: &Program, file: &str) -> Vec<Value> {
    let text = fs::read_to_string(program.path().join("out").join(file)).expect("a file");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

const SERVE: [&str; 7] = ["serve", "--from", "out", "--slos", "slo.yaml", "--listen", "127.0.0.1:0"];

#[test]
fn the_api_shows_the_same_numbers_as_the_files() {
    let program = backtested();
    let serving = Serving::start(&program, &SERVE);
    assert_eq!(serving.get("/readyz").0, 200);

    // The latest status of each key, field by field.
    let mut latest: BTreeMap<String, Value> = BTreeMap::new();
    for status in lines(&program, "slo-status.jsonl") {
        latest.insert(format!("{} {}", status["scope"], status["tenant"]), status);
    }
    let shown = serving.json("/api/v1/status?limit=1000");
    let shown: BTreeMap<String, Value> = shown["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|s| (format!("{} {}", s["scope"], s["tenant"]), s.clone()))
        .collect();
    assert_eq!(shown, latest);

    let aggregate = &latest["\"aggregate\" null"];
    let row = &serving.json("/api/v1/overview")["items"][0];
    for field in ["state", "budget_remaining", "objective", "at", "service", "labels"] {
        assert_eq!(row[field], aggregate[field], "{field}");
    }
    let window = |name: &str| {
        aggregate["windows"]
            .as_array()
            .expect("windows")
            .iter()
            .find(|w| w["window"] == name)
            .expect("a window")
            .clone()
    };
    assert_eq!((&row["sli"], &row["burn"]["1h"]), (&window("28d")["sli"], &window("1h")["burn"]));

    // Hourly points are the statuses at full hours.
    let hours: Vec<Value> = lines(&program, "slo-status.jsonl")
        .into_iter()
        .filter(|s| s["scope"] == "aggregate" && s["at"].as_str().is_some_and(|at| at.ends_with(":00:00.000Z")))
        .collect();
    let points = serving.json("/api/v1/history?key=availability%7Caggregate");
    let points = points["items"].as_array().expect("points");
    assert_eq!(points.len(), hours.len());
    for (point, status) in points.iter().zip(&hours) {
        let hour = status["windows"].as_array().expect("windows").iter().find(|w| w["window"] == "1h").expect("1h");
        assert_eq!((&point["at"], &point["good"], &point["bad"]), (&status["at"], &hour["good"], &hour["bad"]));
        assert_eq!(point["budget_remaining"], status["budget_remaining"]);
    }

    let alerts = serving.json("/api/v1/alerts?state=all&limit=1000");
    let ids =
        |records: &[Value]| records.iter().map(|a| a["id"].to_string()).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(ids(alerts["items"].as_array().expect("items")), ids(&lines(&program, "burn-alerts.jsonl")));

    let slo = serving.json("/api/v1/slo/availability");
    assert_eq!(&slo["status"], aggregate);
    assert_eq!(slo["definition"]["definition_hash"], aggregate["definition_hash"]);
    let users = lines(&program, "user-status.jsonl");
    let newest = users.iter().map(|u| u["at"].as_str().expect("at")).max().expect("a step").to_owned();
    let of_acme = |user: &&Value| user["tenant"] == "acme" && user["at"] == newest.as_str();
    let expected: Vec<&Value> = users.iter().filter(of_acme).collect();
    let shown = serving.json("/api/v1/users?slo=availability&tenant=acme&limit=1000");
    assert_eq!(shown["total"], expected.len());
    assert_eq!(shown["items"][0]["rank"], 1);
    let worst = shown["items"][0]["user"].as_str().expect("a user").to_owned();
    let found = serving.json(&format!("/api/v1/user?slo=availability&tenant=acme&user={worst}"));
    assert_eq!((&found["found"], &found["status"]), (&Value::from(true), &shown["items"][0]));
    let examples = serving.json("/api/v1/processor")["dead_letter_examples"].clone();
    assert_eq!(examples["not_decodable"][0], lines(&program, "dead-letters.jsonl")[0]);
}

/// It is part of the definitions, and of their hashes.
#[test]
fn definitions_have_what_the_file_of_tenants_says() {
    let program = Program::new()
        .with_file("slo.yaml", SLO)
        .with_file("in.jsonl", &input())
        .with_file("tailburn.yaml", "tenants: tenants.jsonl\n")
        .with_file("tenants.jsonl", "{\"tenant\": \"acme\", \"objectives\": {\"availability\": 0.99}}\n");
    let ran = program.run(&["backtest", "--slos", "slo.yaml", "--input", "in.jsonl", "--out", "out"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let slo = Serving::start(&program, &SERVE).json("/api/v1/slo/availability");
    assert_eq!(slo["definition"]["definition_hash"], slo["status"]["definition_hash"]);
    assert_eq!(slo["definition"]["tenant_objectives"]["acme"], 0.99, "{}", slo["definition"]);
}

#[test]
fn what_cannot_be_shown_is_said_with_a_remedy() {
    let program = backtested();
    let empty = program.run(&["serve", "--from", "nowhere", "--listen", "127.0.0.1:0"]);
    assert_eq!(empty.code, Some(2), "{}", empty.stderr);
    assert!(empty.stderr.contains("tailburn backtest --out nowhere"), "{}", empty.stderr);
    let broken = program.with_file("slo.yaml", "apiVersion: openslo/v1\nkind: SLO\n");
    let ran = broken.run(&SERVE);
    assert_eq!(ran.code, Some(78), "{}", ran.stderr);
    let damaged = broken.with_file("out/burn-alerts.jsonl", "{}\n{half");
    let ran = damaged.run(&["serve", "--from", "out", "--listen", "127.0.0.1:0"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("burn-alerts.jsonl") && ran.stderr.contains("line 2"), "{}", ran.stderr);
}

#[test]
fn a_tenants_month_is_the_sum_of_its_hours_and_always_the_same_bytes() {
    let program = backtested();
    let report = |more: &[&str]| program.run(&[&["report", "--period", "2026-05", "--from", "out"], more].concat());
    let text = report(&["--tenant", "acme"]);
    assert_eq!(text.code, Some(0), "{}", text.stderr);
    assert!(text.stdout.starts_with("acme · 2026-05"), "{}", text.stdout);
    assert!(text.stdout.contains("missed"), "{}", text.stdout);

    let read = |file: &str| fs::read_to_string(program.path().join(file)).expect("a report");
    let write = |file: &str| assert_eq!(report(&["--tenant", "acme", "--out", file]).code, Some(0), "{file}");
    for form in ["html", "csv", "json"] {
        write(&format!("one.{form}"));
        write(&format!("two.{form}"));
        assert_eq!(read(&format!("one.{form}")), read(&format!("two.{form}")));
    }
    let month: Value = serde_json::from_str(&read("one.json")).expect("JSON");
    let at_hours = |status: &&Value| {
        status["tenant"] == "acme" && status["at"].as_str().is_some_and(|at| at.ends_with(":00:00.000Z"))
    };
    let statuses = lines(&program, "slo-status.jsonl");
    let bad: f64 = statuses
        .iter()
        .filter(at_hours)
        .map(|s| {
            s["windows"].as_array().expect("windows").iter().find(|w| w["window"] == "1h").expect("1h")["bad"]
                .as_f64()
                .expect("a number")
        })
        .sum();
    assert!(bad > 0.0);
    assert_eq!((&month["slos"][0]["bad"], &month["slos"][0]["is_met"]), (&Value::from(bad), &Value::from(false)));
    let alerts = lines(&program, "burn-alerts.jsonl");
    let ids: std::collections::BTreeSet<_> =
        alerts.iter().filter(|a| a["tenant"] == "acme").map(|a| a["id"].to_string()).collect();
    assert_eq!(month["slos"][0]["incidents"].as_array().map(Vec::len), Some(ids.len()));

    assert_eq!(report(&["--all", "--out", "reports"]).code, Some(0));
    assert_eq!(read("reports/acme.html"), read("one.html"));
    assert!(read("reports/zeta.html").contains("was met"), "{}", read("reports/zeta.html"));

    assert_eq!(report(&["--tenant", "nobody"]).code, Some(1));
    assert_eq!(report(&["--tenant", "acme", "--out", "month.pdf"]).code, Some(2));
    assert_eq!(program.run(&["report", "--tenant", "acme", "--period", "May"]).code, Some(2));
}

#[test]
fn the_api_says_what_was_applied_of_an_slo() {
    let program = backtested().with_file("tailburn.yaml", "slos: [slo.yaml]\ndefinitions: {file: applied.jsonl}\n");
    let apply = |by: &str, reason: &str| {
        let ran = program.run(&["apply", "--by", by, "--reason", reason]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    };
    apply("ann", "the first ones");
    fs::write(program.path().join("slo.yaml"), SLO.replace("0.999}", "0.9995}")).expect("written");
    apply("bob", "agreed with sales");
    let serving = Serving::start(&program, &SERVE);
    let shown = serving.json("/api/v1/slo/availability");
    let changes = shown["changes"].as_array().expect("a list");
    let told: Vec<_> = changes.iter().map(|change| (change["by"].as_str(), change["change"].as_str())).collect();
    assert_eq!(told, [(Some("ann"), Some("added")), (Some("bob"), Some("changed"))]);
    assert_eq!(changes[1]["fields"], serde_json::json!([{"field": "objective", "before": "0.999", "after": "0.9995"}]));
    assert_eq!(changes[1]["definition_hash"], shown["definition"]["definition_hash"]);
}
