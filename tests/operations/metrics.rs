//! Every metric that there is, as `promtool check metrics` sees it.

use crate::program::Program;
use crate::promtool::promtool;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use tailburn::telemetry::names::{self, Kind};
use tailburn::telemetry::{Committed, HeldBack, InputSample, Inputs, figures, install_metrics};

/// The figures of an SLO and of a candidate.
fn of_records() -> String {
    let window = |name: &str| json!({"window": name, "sli": 0.99, "burn": 10.0, "coverage": 1.0});
    let status = json!({
        "slo": "checkout", "at": "2026-01-05T10:00:30.000Z", "state": "ok", "flags": [], "objective": 0.999,
        "compliance_window": "28d", "budget_remaining": 0.5, "users": [{"below_objective": 3}],
        "windows": [window("5m"), window("28d")],
    });
    let canary = json!({
        "slo": "checkout", "tenant": null, "candidate": "v2", "verdict": "pass", "at": "2026-01-05T10:00:00.000Z",
        "requests_candidate": 400, "sli_candidate": 0.99, "burn_candidate": 1.0,
    });
    let (status, canary) = (status.to_string(), canary.to_string());
    figures(&Committed {
        aggregates: &[status.as_bytes()],
        firing: &[],
        keys: &BTreeMap::from([("checkout".to_owned(), 7)]),
        canaries: &[canary.as_bytes()],
    })
    .text()
}

fn of_inputs() -> String {
    let inputs = Inputs::default();
    let topic = || "outcomes".to_owned();
    inputs.set(
        0,
        vec![InputSample { topic: topic(), partition: 0, lag: Some(7), watermark_ms: Some(1), is_idle: false }],
    );
    inputs.hold(Some(HeldBack {
        topic: topic(),
        partition: 0,
        reason: "not_read_yet",
        behind_ms: Some(1),
        since_ms: 1,
    }));
    inputs.text()
}

/// The names of the families of a text.
fn families(text: &str) -> BTreeSet<&str> {
    text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect()
}

/// `promtool` passes an empty text, so the families are counted.
#[test]
fn every_metric_passes_promtool() {
    let recorder = install_metrics().expect("the only recorder of this process");
    let rendered = of_records() + &of_inputs();
    let there = families(&rendered);
    for metric in names::ALL.iter().filter(|metric| !there.contains(metric.name)) {
        let labels: Vec<metrics::Label> = metric.labels.iter().map(|name| metrics::Label::new(*name, "x")).collect();
        match metric.kind {
            Kind::Counter => metrics::counter!(metric.name, labels).increment(1),
            Kind::Gauge => metrics::gauge!(metric.name, labels).set(1.0),
            Kind::Histogram => metrics::histogram!(metric.name, labels).record(0.1),
        }
    }
    let text = recorder.render() + &rendered;
    assert_eq!(families(&text), names::ALL.iter().map(|metric| metric.name).collect());
    promtool(&["check", "metrics"], &text);
}

/// `serve` over the files of a backtest; ends with the test.
struct Serving {
    child: Child,
    address: String,
    _program: Program,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Serving {
    fn start() -> Serving {
        let slo = include_str!("../fixtures/availability.yaml");
        let event = r#"{"tenant":"a","user":"u","timestamp":1780000000000,"operation":"checkout","status":200}"#;
        let program = Program::new().with_file("slo.yaml", slo).with_file("in.jsonl", event);
        let ran = program.run(&["backtest", "--slos", "slo.yaml", "--input", "in.jsonl", "--out", "out"]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let mut command = program.command(&["serve", "--from", "out", "--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
        let address =
            line.strip_prefix("http://").and_then(|rest| rest.split('/').next()).expect("an address").to_owned();
        Serving { child, address, _program: program }
    }

    fn get(&self, path: &str) -> String {
        let mut text = String::new();
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("sent");
        stream.read_to_string(&mut text).expect("answered");
        text.split_once("\r\n\r\n").expect("a body").1.to_owned()
    }
}

/// The same for what a process really answers.
#[test]
fn the_metrics_of_a_process_pass_promtool() {
    let text = Serving::start().get("/metrics");
    for family in ["tailburn_build_info", "tailburn_http_behind", "tailburn_http_viewers"] {
        assert!(families(&text).contains(family), "{family} in\n{text}");
    }
    promtool(&["check", "metrics"], &text);
}

/// Prometheus' own client asks `/api/v1/query`, as Grafana does: by a form, with a time.
#[test]
fn the_client_of_prometheus_understands_the_answers() {
    let serving = Serving::start();
    let url = format!("http://{}", serving.address);
    let ask = |query: &str, time: &str| promtool(&["query", "instant", &format!("--time={time}"), &url, query], "");
    let query = r#"tailburn_slo_objective_ratio{slo="availability"}"#;
    let Some(answer) = ask(query, "2026-05-28T20:27:00Z") else { return };
    assert!(answer.contains(r#"tailburn_slo_objective_ratio{slo="availability"} => 0.99"#), "{answer}");
    let later = ask(query, "2026-05-28T21:00:00Z");
    assert_eq!(later.as_deref().map(str::trim), Some(""), "what is half an hour old is no news");
    assert!(ask("vector(1)", "2026-05-28T21:00:00Z").is_some_and(|answer| answer.starts_with("{} => 1 @[")));
    assert!(ask("1+1", "2026-05-28T21:00:00Z").is_some_and(|answer| answer.starts_with("scalar: 2 @[")));
}
