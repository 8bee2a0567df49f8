//! A runbook for each alert: complete, and proved by something that there is.

use crate::alerts::{name, rules};
use crate::read;
use regex::Regex;
use std::collections::BTreeSet;
use tailburn::telemetry::names;

const FOLDER: &str = "ops/runbooks";
const PARTS: [&str; 4] = ["## What it means", "## How to see it", "## What to do", "## Proved by"];

#[test]
fn every_alert_has_its_page_and_every_page_its_alert() {
    let mut linked = BTreeSet::new();
    for rule in rules() {
        let path = rule["annotations"]["runbook_url"].as_str().unwrap_or_else(|| panic!("{rule}")).to_owned();
        assert_eq!(path, format!("{FOLDER}/{}.md", name(&rule)));
        for text in ["summary", "remedy"] {
            assert!(rule["annotations"][text].is_string(), "{}: no {text}", name(&rule));
        }
        linked.insert(format!("{}.md", name(&rule)));
    }
    let files = std::fs::read_dir(FOLDER).expect("the folder");
    let files = files.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    let files: BTreeSet<String> = files.filter(|file| file != "README.md").collect();
    assert_eq!(files, linked);
    let list = read(&format!("{FOLDER}/README.md"));
    for page in linked {
        assert!(list.contains(&format!("({page})")), "{page} is not in the list");
    }
}

#[test]
fn a_page_says_what_it_means_how_to_see_it_what_to_do_and_what_proves_it() {
    let scenarios = read("tests/faults/scenarios.rs");
    let scenario = Regex::new(r"`ops/faults --scenario ([a-z-]+)`").expect("a pattern");
    let test = Regex::new(r"`((?:src|tests)/[a-z_/]+\.rs): ([a-z0-9_]+)`").expect("a pattern");
    for alert in rules().iter().map(name) {
        let page = read(&format!("{FOLDER}/{alert}.md"));
        assert!(page.starts_with(&format!("# {alert}\n")), "{alert}");
        let mut rest = page.as_str();
        for part in PARTS {
            rest =
                rest.split_once(&format!("\n{part}\n")).unwrap_or_else(|| panic!("{alert}: no {part} in its place")).1;
        }
        let mut proofs = 0;
        for found in scenario.captures_iter(rest) {
            assert!(scenarios.contains(&format!("name: \"{}\"", &found[1])), "{alert}: no scenario {}", &found[1]);
            proofs += 1;
        }
        for found in test.captures_iter(rest) {
            assert!(
                read(&found[1]).contains(&format!("fn {}()", &found[2])),
                "{alert}: {} has no {}",
                &found[1],
                &found[2]
            );
            proofs += 1;
        }
        assert!(proofs > 0, "{alert}: nothing proves it");
    }
}

/// A runbook that sends people to a metric which is not there costs them minutes.
#[test]
fn pages_name_metrics_that_there_are() {
    let metric = Regex::new("tailburn_[a-z_]+").expect("a pattern");
    for alert in rules().iter().map(name) {
        for found in metric.find_iter(&read(&format!("{FOLDER}/{alert}.md"))) {
            let is_there = names::ALL.iter().any(|metric| metric.name == found.as_str());
            assert!(is_there, "{alert}: there is no metric {}", found.as_str());
        }
    }
}
