use crate::program::{Program, Ran};
use serde_json::Value;

/// The planted incident, and the names of the aggregate's cohorts.
fn demo(args: &[&str]) -> (Value, Vec<Value>, Ran) {
    let program = Program::new();
    let common = ["demo", "--at", "2026-05-29T17:00:00Z", "--history", "2d", "--json", "--http", "none"];
    let ran = program.run(&[&common, args].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let mut summary = ran.json();
    let named = summary["cohorts"].as_array().expect("cohorts").iter().map(|c| c["attributes"].clone()).collect();
    (summary["planted"].take(), named, ran)
}

#[test]
fn names_exactly_the_planted_cohort_while_the_aggregate_looks_well() {
    let (planted, named, ran) = demo(&["--seed", "7", "--for", "20m"]);
    assert_eq!(named, [planted["attributes"].clone()], "{}", ran.stdout);
    let summary = ran.json();
    assert_eq!((&summary["is_exact"], &summary["aggregate"]["state"]), (&true.into(), &"at_risk".into()));
    assert!(summary["aggregate"]["burn_1h_worst"].as_f64().expect("a burn") < 1.0, "{}", ran.stdout);
    assert!(summary["users"]["below_objective"].as_u64().expect("users") >= 20, "{}", ran.stdout);
    let alerts = summary["alerts"].as_array().expect("alerts");
    let of_all: Vec<&Value> =
        alerts.iter().filter(|alert| alert["scope"] == "aggregate").map(|a| &a["severity"]).collect();
    assert_eq!(of_all, ["ticket"], "the rule tail-1h: {}", ran.stdout);
}

#[test]
fn names_nobody_without_an_incident() {
    let (planted, named, ran) = demo(&["--seed", "7", "--for", "20m", "--no-incident"]);
    assert_eq!((planted, named), (Value::Null, Vec::new()), "{}", ran.stdout);
    assert_eq!(ran.json()["is_exact"], true);
}

#[test]
fn off_a_terminal_it_tells_the_page_the_slo_a_request_and_the_next_command() {
    let program = Program::new();
    let args = ["demo", "--history", "1h", "--for", "1m", "--speed", "max", "--http", "127.0.0.1:0"];
    let ran = program.run(&args);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.starts_with("Open http://127.0.0.1:"), "the page comes first: {}", ran.stdout);
    for part in ["kind: SLO", "curl -s 'http://127.0.0.1:", "tailburn init", "Planted:", "Aggregate:"] {
        assert!(ran.stdout.contains(part), "no `{part}` in {}", ran.stdout);
    }
    assert!(!ran.stdout.contains('\x1b'), "{}", ran.stdout);
}

#[test]
fn its_slo_can_be_written_and_run() {
    let program = Program::new();
    assert_eq!(program.run(&["demo", "--write-slo", "slo.yaml"]).code, Some(0));
    let args = ["demo", "--slo", "slo.yaml", "--history", "1h", "--for", "1m", "--json", "--http", "none"];
    let ran = program.run(&args);
    assert_eq!(ran.json()["aggregate"]["slo"], "checkout-availability", "{}", ran.stderr);
}

#[test]
fn an_slo_whose_filter_excludes_everything_shows_why_there_is_nothing() {
    let slo =
        include_str!("../fixtures/availability.yaml").replace("operation == 'checkout'", "operation == 'chekout'");
    let program = Program::new().with_file("slo.yaml", &slo);
    let args = ["demo", "--slo", "slo.yaml", "--history", "1h", "--for", "1m", "--http", "none", "--speed", "max"];
    let ran = program.run(&args);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("total.filter `operation == 'chekout'` matches none of them"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("Aggregate:"), "{}", ran.stdout);
    let ran = program.run(&[&args[..], &["--json"]].concat());
    assert!(ran.json()["empty_because"].as_str().is_some_and(|why| why.contains("chekout")), "{}", ran.stdout);
}
