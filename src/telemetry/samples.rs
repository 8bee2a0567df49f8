//! Samples by metric, for Prometheus' text format and for queries.

use super::names::{self, Kind, Metric};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub labels: Vec<(&'static str, String)>,
    pub figure: f64,
    /// The T that it is of, in seconds; `None`: of now.
    pub at_seconds: Option<f64>,
}

/// The samples of each metric, in the order in which metrics are printed.
#[derive(Clone, Debug, Default)]
pub struct Families {
    by_name: BTreeMap<&'static str, Vec<Sample>>,
    at_seconds: Option<f64>,
}

fn metric(name: &str) -> Option<&'static Metric> {
    names::ALL.iter().find(|metric| metric.name == name)
}

impl Families {
    /// What is put from here on is of this T.
    pub fn at(&mut self, seconds: Option<f64>) {
        self.at_seconds = seconds;
    }

    /// `labels`: their values, in the order of the metric's labels. A figure that is null has no sample.
    pub fn put(&mut self, name: &'static str, labels: &[&str], figure: Option<f64>) {
        let Some(figure) = figure else { return };
        let names = metric(name).map_or(&[][..], |metric| metric.labels);
        debug_assert_eq!(names.len(), labels.len(), "{name}");
        let labels = names.iter().copied().zip(labels.iter().map(|value| (*value).to_owned())).collect();
        self.by_name.entry(name).or_default().push(Sample { labels, figure, at_seconds: self.at_seconds });
    }

    /// Metrics with their samples, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &[Sample])> {
        self.by_name.iter().map(|(name, samples)| (*name, samples.as_slice()))
    }

    /// Prometheus' text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, samples) in &self.by_name {
            let help = metric(name).map_or("", |metric| metric.help);
            let kind = match metric(name).map(|metric| metric.kind) {
                Some(Kind::Counter) => "counter",
                _ => "gauge",
            };
            // Writing to a String cannot fail.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
            for Sample { labels, figure, .. } in samples {
                let labels: Vec<String> =
                    labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
                let _ = match labels.is_empty() {
                    true => writeln!(text, "{name} {figure}"),
                    false => writeln!(text, "{name}{{{}}} {figure}", labels.join(",")),
                };
            }
            text.push('\n');
        }
        text
    }
}

/// A label's value, escaped for the text format.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
