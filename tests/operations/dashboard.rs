//! The Grafana dashboard: every expression is one, over metrics and labels that there are.

use crate::promtool::promtool;
use crate::queries::metrics_of;
use crate::{alerts, read};
use regex::Regex;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn dashboard() -> Value {
    serde_json::from_str(&read("ops/dashboards/tailburn.json")).expect("JSON")
}

/// Each target with the title of its panel.
fn targets() -> Vec<(String, Value)> {
    let panels = dashboard()["panels"].as_array().expect("panels").clone();
    let of_panel = |panel: &Value| {
        let title = panel["title"].as_str().expect("a title").to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(move |target| (title.clone(), target)).collect::<Vec<_>>()
    };
    panels.iter().flat_map(of_panel).collect()
}

/// As Grafana sends it.
fn expression(target: &Value) -> String {
    let text = target["expr"].as_str().expect("an expression");
    text.replace("$__rate_interval", "5m").replace("$instance", ".*").replace("$slo", ".*")
}

#[test]
fn every_expression_is_one_over_metrics_that_there_are() {
    let legend = Regex::new(r"\{\{([a-z_]+)\}\}").expect("a pattern");
    let (mut rules, mut shown) = (Vec::new(), BTreeSet::new());
    for (n, (title, target)) in targets().iter().enumerate() {
        let expression = expression(target);
        assert!(!expression.contains('$'), "{title}: {expression} has a variable that the dashboard lacks");
        let metrics = metrics_of(&expression);
        assert!(!metrics.is_empty(), "{title}");
        for label in legend.captures_iter(target["legendFormat"].as_str().unwrap_or_default()) {
            let is_there = &label[1] == "instance" || metrics.iter().any(|metric| metric.labels.contains(&&label[1]));
            assert!(is_there, "{title}: its legend has {}", &label[1]);
        }
        shown.extend(metrics.iter().map(|metric| metric.name));
        rules.push(json!({"record": format!("panel:{n}"), "expr": expression}));
    }
    assert!(shown.len() > 25, "{shown:?}");
    // A file of rules is how promtool reads expressions.
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a file");
    let text = json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string();
    std::fs::write(file.path(), &text).expect("written");
    promtool(&["check", "rules", file.path().to_str().expect("UTF-8")], "");
}

/// Panels name the runbooks of the alerts that they show.
#[test]
fn a_panel_names_the_runbook_of_its_alert() {
    let dashboard = dashboard();
    let described: Vec<&str> =
        dashboard["panels"].as_array().expect("panels").iter().filter_map(|p| p["description"].as_str()).collect();
    for alert in alerts::rules().iter().map(alerts::name).filter(|alert| alert != "TailburnDown") {
        assert!(described.iter().any(|text| text.contains(&alert)), "no panel names {alert}");
    }
}

#[test]
fn panels_have_ids_and_places_of_their_own() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<i64> = panels.iter().filter_map(|panel| panel["id"].as_i64()).collect();
    assert_eq!(ids.len(), panels.len());
    let mut taken = BTreeSet::new();
    for panel in panels {
        let of = |name: &str| panel["gridPos"][name].as_i64().expect("a place");
        for (x, y) in (of("x")..of("x") + of("w")).flat_map(|x| (of("y")..of("y") + of("h")).map(move |y| (x, y))) {
            assert!(x < 24 && taken.insert((x, y)), "{} overlaps", panel["title"]);
        }
    }
}
