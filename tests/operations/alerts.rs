//! The alert rules: their syntax, when they fire, and that they ask for metrics that there are.

use crate::promtool::promtool;
use crate::queries::metrics_of;
use crate::yaml;
use serde_json::Value;
use std::collections::BTreeSet;

pub const RULES: &str = "ops/prometheus/alerts.yaml";
const TESTS: &str = "ops/prometheus/alerts_test.yaml";

pub fn rules() -> Vec<Value> {
    let groups = yaml(RULES)["groups"].as_array().expect("groups").clone();
    groups.iter().flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
}

pub fn name(rule: &Value) -> String {
    rule["alert"].as_str().expect("a name").to_owned()
}

#[test]
fn rules_fire_when_they_should_and_not_before() {
    promtool(&["check", "rules", RULES], "");
    promtool(&["test", "rules", TESTS], "");
}

#[test]
fn rules_ask_for_metrics_and_labels_that_there_are() {
    for rule in rules() {
        let found = metrics_of(rule["expr"].as_str().expect("an expression"));
        assert!(!found.is_empty() || name(&rule) == "TailburnDown", "{rule}");
    }
}

/// Of each rule it is tested that it fires, and that it does not.
#[test]
fn every_rule_is_tested_both_ways() {
    let (mut fires, mut is_silent) = (BTreeSet::new(), BTreeSet::new());
    for test in yaml(TESTS)["tests"].as_array().expect("tests") {
        for check in test["alert_rule_test"].as_array().expect("checks") {
            let alert = check["alertname"].as_str().expect("a name").to_owned();
            match check["exp_alerts"].as_array().is_some_and(|alerts| !alerts.is_empty()) {
                true => fires.insert(alert),
                false => is_silent.insert(alert),
            };
        }
    }
    let all: BTreeSet<String> = rules().iter().map(name).collect();
    assert_eq!(fires, all);
    assert_eq!(is_silent, all);
}
