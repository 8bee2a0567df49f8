//! `gate`: a pipeline's step that passes, fails, or finds nothing to decide by.

use crate::program::Program;
use serde_json::{Value, json};

const SLO: &str = r#"apiVersion: openslo/v1
kind: SLO
metadata:
  name: checkout
  annotations:
    tailburn.dev/policy: "0=freeze"
    tailburn.dev/budget-rule: "off"
    tailburn.dev/alert-rules: 1h/5m/90/ticket
    tailburn.dev/canary: release
    tailburn.dev/canary-max-burn: "5"
spec:
  service: shop
  indicator:
    metadata: {name: ok}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: tailburn, spec: {filter: "status < 500"}}}
  timeWindow: [{duration: 1d, isRolling: false, calendar: {startTime: "2026-01-01 00:00:00", timeZone: UTC}}]
  budgetingMethod: Occurrences
  objectives: [{displayName: standard, target: 0.99}]
"#;

const DAY_START_MS: i64 = 1_772_409_600_000;

/// Events of twenty hours; from `bad_from` on every second one of the candidate fails.
fn backtest(program: &Program, bad_from: i64) {
    let line = |n: i64| {
        let release = if n >= 1_000 && n % 2 == 0 { "v2" } else { "v1" };
        let status = if release == "v2" && n >= bad_from { 500 } else { 200 };
        json!({"tenant": "acme", "user": format!("u{}", n % 50), "timestamp": DAY_START_MS + n * 60_000, "status": status,
               "attributes": {"release": release}})
        .to_string()
    };
    let lines: Vec<String> = (0..1_200).map(line).collect();
    std::fs::write(program.path().join("in.jsonl"), lines.join("\n") + "\n").expect("written");
    std::fs::write(program.path().join("slo.yaml"), SLO).expect("written");
    let ran = program.run(&["backtest", "--slos", "slo.yaml", "--input", "in.jsonl", "--out", "out"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[test]
fn a_gate_passes_fails_or_has_no_data_with_reasons() {
    let program = Program::new();
    backtest(&program, i64::MAX);
    let ran = program.run(&["gate", "--service", "shop", "--from", "out"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.starts_with("shop: pass\n"), "{}", ran.stdout);
    let ran = program.run(&["gate", "--service", "shoe", "--from", "out"]);
    assert_eq!((ran.code, ran.stdout.contains("no SLO of the service `shoe`")), (Some(3), true), "{}", ran.stdout);
    let ran = program.run(&["gate", "--service", "shop", "--release", "v9", "--from", "out"]);
    assert_eq!((ran.code, ran.stdout.contains("verdict on the candidate `v9`")), (Some(3), true), "{}", ran.stdout);
}

#[test]
fn a_spent_budget_and_a_failed_candidate_stop_a_release() {
    let program = Program::new();
    backtest(&program, 1_000);
    let ran = program.run(&["gate", "--service", "shop", "--release", "v2", "--from", "out", "--json"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    let told: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(told["verdict"], "fail");
    let reasons: Vec<&str> =
        told["reasons"].as_array().expect("reasons").iter().filter_map(|r| r["reason"].as_str()).collect();
    assert!(reasons.iter().any(|reason| reason.contains("freeze begins at 0")), "{reasons:?}");
    assert!(reasons.iter().any(|reason| reason.starts_with("canary v2: fail")), "{reasons:?}");
}

#[test]
fn a_value_that_misses_its_goal_has_no_budget_that_is_spent() {
    let program = Program::new();
    let slos = format!("{}/ops/examples/slos/store-rating.yaml", env!("CARGO_MANIFEST_DIR"));
    let rated = |stars: f64| {
        let line = |n: i64| {
            json!({"tenant": "acme", "timestamp": DAY_START_MS + n * 60_000, "measures": {"rating": stars}}).to_string()
        };
        let lines: Vec<String> = (0..1_200).map(line).collect();
        std::fs::write(program.path().join("in.jsonl"), lines.join("\n") + "\n").expect("written");
        let ran = program.run(&["backtest", "--slos", &slos, "--input", "in.jsonl", "--out", "out"]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        program.run(&["gate", "--service", "app", "--from", "out"])
    };
    let ran = rated(3.5);
    assert_eq!((ran.code, ran.stdout.contains("its value misses the goal")), (Some(1), true), "{}", ran.stdout);
    let ran = rated(4.75);
    assert_eq!((ran.code, ran.stdout.contains("budget")), (Some(0), false), "{}", ran.stdout);
}

#[test]
fn what_got_worse_since_the_last_pass_is_told() {
    let program = Program::new();
    let gate = |release: &str| {
        let args = ["gate", "--service", "shop", "--release", release, "--from", "out", "--compare", "last-pass"];
        program.run(&args)
    };
    backtest(&program, i64::MAX);
    let ran = program.run(&["gate", "--service", "shop", "--from", "out", "--compare", "last-pass", "--json"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let told: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(told["compared"]["last_pass"], Value::Null, "{told}");
    let kept = || std::fs::read(program.path().join("tailburn-passes.json")).expect("kept");
    let first = kept();
    backtest(&program, 1_000);
    for _ in 0..2 {
        // A gate that fails is no pass: it is compared with the same one again.
        let ran = gate("v2");
        assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains("\nworse since the last pass (2026-03-02T"), "{}", ran.stdout);
        for worse in ["\n    ok -> breached\n", "\n    budget left 100.0 % -> -", "burn rate over 1h 0.00 -> 50.00"] {
            assert!(ran.stdout.contains(worse), "{worse}: {}", ran.stdout);
        }
        assert_eq!(kept(), first);
    }
}

#[test]
fn trouble_with_the_file_of_passes_does_not_change_the_verdict() {
    let program = Program::new();
    let gate = |passes: &str, more: &[&str]| {
        let args = ["gate", "--service", "shop", "--from", "out", "--compare", "last-pass", "--passes", passes];
        program.run(&[&args[..], more].concat())
    };
    std::fs::write(program.path().join("half.json"), "{").expect("written");
    std::fs::create_dir(program.path().join("directory")).expect("a directory");
    backtest(&program, i64::MAX);
    for passes in ["half.json", "directory", "nowhere/passes.json"] {
        let ran = gate(passes, &[]);
        assert_eq!((ran.code, ran.stdout.starts_with("shop: pass\n")), (Some(0), true), "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains("the pass was not kept: ") && ran.stderr.contains(passes), "{}", ran.stderr);
    }
    assert_eq!(std::fs::read_to_string(program.path().join("half.json")).expect("as it was"), "{");
    backtest(&program, 1_000);
    for passes in ["half.json", "directory"] {
        let ran = gate(passes, &["--release", "v2", "--json"]);
        assert_eq!((ran.code, &ran.json()["verdict"]), (Some(1), &json!("fail")), "{}", ran.stderr);
        assert!(ran.stderr.contains("compared with nothing: "), "{}", ran.stderr);
        assert!(!ran.stderr.contains("not kept"), "{}", ran.stderr);
        assert!(ran.json()["compared"]["trouble"].is_string(), "{}", ran.stdout);
    }
}
