//! `diff`: a change of SLOs in words, before it is in force.

use crate::program::Program;

const SLO: &str = r#"apiVersion: openslo/v1
kind: SLO
metadata:
  name: checkout
  annotations: {tailburn.dev/alert-rules: "1h/5m/14.4/page, 1d/2h/3/ticket"}
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

fn diff(after: &[(&str, &str)]) -> crate::program::Ran {
    let search = SLO.replace("name: checkout", "name: search");
    let mut program = Program::new().with_file("before/checkout.yaml", SLO).with_file("before/search.yaml", &search);
    for (name, text) in after {
        program = program.with_file(&format!("after/{name}"), text);
    }
    program.run(&["diff", "--before", "before", "--after", "after"])
}

#[test]
fn a_change_is_told_field_by_field_with_what_becomes_of_counts_and_alerts() {
    let looser = SLO.replace("0.99}", "0.95}").replace("1h/5m/14.4/page, ", "").replace("3/ticket", "2/ticket");
    let other = SLO.replace("name: checkout", "name: other");
    let ran = diff(&[("all.yaml", &format!("{looser}---\n{other}"))]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    for part in [
        "objective: 0.99 -> 0.95",
        "rules.1h/5m: page at factor 14.4 -> none",
        "rules.1d/2h: ticket at factor 3.0 -> ticket at factor 2.0",
        "it keeps its counts",
        "resolve with `definition_changed`",
        "is new",
        "is gone",
        "resolve with `removed`",
    ] {
        assert!(ran.stdout.contains(part), "{part} is not in\n{}", ran.stdout);
    }
    let filters = SLO.replace("status < 500", "status != 503");
    let ran = diff(&[("all.yaml", &format!("{filters}---\n{}", SLO.replace("name: checkout", "name: search")))]);
    for part in ["indicator.good: status < 500 -> status != 503", "it counts anew: its filters are others"] {
        assert!(ran.stdout.contains(part), "{part} is not in\n{}", ran.stdout);
    }
    assert!(!ran.stdout.contains("search"), "it is the same\n{}", ran.stdout);
}

#[test]
fn two_ways_to_write_the_same_do_not_differ() {
    let search = SLO.replace("name: checkout", "name: search").replace("target: 0.99}", "target: 0.990}");
    let ran = diff(&[("one.yaml", &format!("{search}---\n{SLO}"))]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("no SLO changes"), "{}", ran.stdout);
}
