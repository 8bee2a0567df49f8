//! `report`: what a customer is told of its month.

use crate::program::Program;
use serde_json::{Value, json};

const SLO: &str = r#"apiVersion: openslo/v1
kind: SLO
metadata:
  name: checkout
  annotations: {tailburn.dev/sla: "0.98"}
spec:
  service: shop
  indicator:
    metadata: {name: ok}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: tailburn, spec: {filter: "status < 500"}}}
  timeWindow: [{duration: 28d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: standard, target: 0.99}]
"#;
/// 2026-02-27T00:00:00Z.
const START_MS: i64 = 1_772_150_400_000;

/// Four days around the end of February: one event in ten fails in February, none in March.
fn backtest(program: &Program) {
    let line = |n: i64| {
        let status = if n < 2 * 1_440 && n % 10 == 0 { 500 } else { 200 };
        let at = START_MS + n * 60_000;
        json!({"tenant": "acme", "user": format!("u{}", n % 50), "timestamp": at, "status": status}).to_string()
    };
    let lines: Vec<String> = (0..4 * 1_440).map(line).collect();
    let write = |name: &str, text: &str| std::fs::write(program.path().join(name), text).expect("written");
    write("in.jsonl", &(lines.join("\n") + "\n"));
    write("slo.yaml", SLO);
    write("tenants.csv", "tenant,display_name,owner\nacme,\"Acme, Inc.\",ann@example.com\n");
    write("tailburn.yaml", "tenants: tenants.csv\n");
    let ran = program.run(&["backtest", "--slos", "slo.yaml", "--input", "in.jsonl", "--out", "out"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[test]
fn a_customer_is_called_by_its_name_and_told_the_result_against_its_agreement() {
    let program = Program::new();
    backtest(&program);
    let report = |period: &str, more: &[&str]| {
        let args = ["--config", "tailburn.yaml", "report", "--tenant", "acme", "--period", period, "--from", "out"];
        let ran = program.run(&[&args, more].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran.stdout
    };
    let march = report("2026-03", &[]);
    assert!(march.starts_with("Acme, Inc. (acme) · 2026-03"), "{march}");
    assert!(march.contains("The agreement of 98.0 % over 1M is kept so far: 100 % of"), "{march}");
    assert!(march.contains("Months missed: 1 of the 2 from 2026-02 to 2026-03: 2026-02."), "{march}");
    let february = report("2026-02", &[]);
    assert!(
        february.contains("The agreement of 98.0 % over 1M was missed: 90.0 % of 2,880 requests, 288 bad."),
        "{february}"
    );
    report("2026-02", &["--out", "report.json"]);
    let told: Value =
        serde_json::from_slice(&std::fs::read(program.path().join("report.json")).expect("there")).expect("JSON");
    assert_eq!((&told["display_name"], &told["owner"]), (&json!("Acme, Inc."), &json!("ann@example.com")));
    let sla = &told["slos"][0]["sla"];
    assert_eq!(
        (&sla["result"]["is_kept"], &sla["result"]["is_open"], &sla["missed"]),
        (&json!(false), &json!(false), &json!(["2026-02"]))
    );
    report("2026-02", &["--out", "report.html"]);
    let page = std::fs::read_to_string(program.path().join("report.html")).expect("there");
    assert!(page.contains("<h1>Acme, Inc. (acme)</h1>") && page.contains("contact: ann@example.com"), "{page}");
    assert!(
        page.contains("<tr><td>2026-02</td><td>288</td><td>2,880</td><td>90.0 %</td><td>missed</td></tr>"),
        "{page}"
    );
}
