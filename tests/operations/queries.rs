//! Which metrics and labels a PromQL expression asks for, held to those that there are.

use regex::Regex;
use tailburn::telemetry::names::{self, Kind, Metric};

/// Labels that a scrape adds, or a bucket has.
const OF_SCRAPES: [&str; 4] = ["job", "instance", "le", "__name__"];

/// The metric that a name in an expression is of.
fn metric(name: &str) -> Option<&'static Metric> {
    let of = |name: &str| names::ALL.iter().find(|metric| metric.name == name);
    let histogram = || {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end))?;
        of(base).filter(|metric| metric.kind == Kind::Histogram)
    };
    of(name).filter(|metric| metric.kind != Kind::Histogram).or_else(histogram)
}

/// The metrics of an expression; it panics at a name or a label that nobody sets.
pub fn metrics_of(expression: &str) -> Vec<&'static Metric> {
    let selector = Regex::new(r"(tailburn_[a-z0-9_]+)(?:\{([^}]*)\})?").expect("a pattern");
    let label = Regex::new(r"([a-z_]+)\s*(?:=~|!~|!=|=)").expect("a pattern");
    let grouping = Regex::new(r"\b(?:by|without|ignoring|on)\s*\(([^)]*)\)").expect("a pattern");
    let mut found = Vec::new();
    for selected in selector.captures_iter(expression) {
        let name = &selected[1];
        let metric = metric(name).unwrap_or_else(|| panic!("{expression}: there is no metric {name}"));
        for matched in label.captures_iter(selected.get(2).map_or("", |labels| labels.as_str())) {
            let label = &matched[1];
            assert!(
                metric.labels.contains(&label) || OF_SCRAPES.contains(&label),
                "{expression}: {name} has no label {label}"
            );
        }
        found.push(metric);
    }
    for group in grouping.captures_iter(expression) {
        for label in group[1].split(',').map(str::trim).filter(|label| !label.is_empty()) {
            let is_known = OF_SCRAPES.contains(&label) || found.iter().any(|metric| metric.labels.contains(&label));
            assert!(is_known, "{expression}: no metric in it has the label {label}");
        }
    }
    found
}

#[test]
#[should_panic(expected = "has no label team")]
fn a_label_that_nobody_sets_is_found() {
    metrics_of(r#"sum(tailburn_tasks{team="a"})"#);
}

#[test]
#[should_panic(expected = "there is no metric tailburn_commits_totals")]
fn a_misspelt_metric_is_found() {
    metrics_of("rate(tailburn_commits_totals[5m])");
}
