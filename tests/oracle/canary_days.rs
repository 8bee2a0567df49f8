//! A day and a half with releases and a canary track: good ones, bad ones, one that only one user meets, one that comes
//! back after an hour; with late events, events without a user, and outages that both sides share.

use crate::agreement::{assert_agree, backtest};
use crate::input::Format;
use crate::replay::replay;
use crate::slo;
use crate::time::HOUR_MS;
use crate::traffic::{self, ABSENT, Incident, Plan, Who};

const SLOS: [(&str, &str); 3] = [
    ("a.yaml", include_str!("slos/canary/release.yaml")),
    ("b.yaml", include_str!("slos/canary/track.yaml")),
    ("c.yaml", include_str!("slos/canary/limit.yaml")),
];

const TENANTS: [&str; 5] = ["acme", "beta", "acme", "solo|x", "beta"];

fn plan(seed: u64) -> Plan {
    let incident = |from_min, to_min, who, share| Incident { from_min, to_min, who, share };
    let incidents = vec![
        incident(560, 570, Who::All, 0.5),
        incident(900, 930, Who::All, ABSENT),
        incident(1_550, 1_565, Who::All, 0.3),
    ];
    let (duration_ms, per_hour) = (34 * HOUR_MS, 1_500.0);
    Plan {
        seed,
        start_ms: traffic::START_MS,
        duration_ms,
        per_hour,
        users: 120,
        tenants: &TENANTS,
        base: 0.004,
        incidents,
        has_releases: true,
    }
}

#[test]
fn the_program_agrees_on_canaries() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (slos, inputs) = traffic::write(directory.path(), &plan(5), &SLOS);
    let program = backtest(&slos, &inputs, Format::JsonLines, &directory.path().join("out"));
    let oracle = replay(&slo::load(&slos).expect("the SLOs"), &inputs, Format::JsonLines);
    assert_agree(&oracle, &program);
    let has = |slo: &str, candidate: &str, verdict: &str| {
        let is_it = |r: &&serde_json::Value| r["slo"] == slo && r["candidate"] == candidate && r["verdict"] == verdict;
        let count = oracle.canaries.iter().filter(is_it).count();
        assert!(count > 0, "{slo} {candidate} {verdict}");
    };
    has("release", "v1", "inconclusive");
    has("release", "v3", "pass");
    has("release", "v4", "fail");
    has("release", "v5", "inconclusive");
    has("track", "canary", "pass");
    has("track", "canary", "fail");
    has("limit", "v4", "fail");
    let starts: std::collections::BTreeSet<_> =
        oracle.canaries.iter().filter(|r| r["slo"] == "track").map(|r| r["started_at"].to_string()).collect();
    assert_eq!(starts.len(), 2, "{starts:?}");
}
