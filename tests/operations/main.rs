//! What operators get: metrics, alert rules with their runbooks, the dashboard, tailburn's SLO on itself, and the
//! templates of service managers. Each is held to the program, so that none grows old unseen.
#![expect(clippy::expect_used, reason = "a test that cannot go on has to fail")]

mod alerts;
mod dashboard;
mod metrics;
#[path = "../cli/program.rs"]
mod program;
mod promtool;
mod queries;
mod runbooks;
mod self_slo;
mod templates;

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> serde_json::Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
