//! Three days in which the rule `budget` is warm, held back, lowered, fires and resolves: blips, slow burns, outages, one
//! user alone, a tenant that falls silent for more than a day.

use crate::agreement::{assert_agree, backtest};
use crate::coverage::Coverage;
use crate::input::Format;
use crate::replay::replay;
use crate::slo;
use crate::time::HOUR_MS;
use crate::traffic::{self, ABSENT, Incident, Plan, Who};

const SLOS: [(&str, &str); 3] = [
    ("a.yaml", include_str!("slos/budget/month.yaml")),
    ("b.yaml", include_str!("slos/budget/week.yaml")),
    ("c.yaml", include_str!("slos/budget/half-day.yaml")),
];

const TENANTS: [&str; 8] = ["acme", "acme", "beta", "acme", "gone", "acme", "beta", "solo"];

fn plan(seed: u64) -> Plan {
    let incident = |from_min, to_min, who, share| Incident { from_min, to_min, who, share };
    let incidents = vec![
        // Too young.
        incident(300, 312, Who::All, 1.0),
        incident(1_500, 1_501, Who::All, 1.0),
        incident(1_560, 1_563, Who::All, 1.0),
        incident(1_600, 1_612, Who::All, 0.2),
        incident(1_700, 1_790, Who::All, 0.03),
        incident(1_900, 1_990, Who::Tenant("acme"), 0.15),
        incident(2_100, 2_112, Who::All, 1.0),
        // Nothing comes while it is down, and for an hour and a half after it.
        incident(2_106, 2_200, Who::All, ABSENT),
        incident(2_300, 2_420, Who::User(0), 1.0),
        incident(2_590, 2_603, Who::Tenant("gone"), 1.0),
        incident(2_603, 5_000, Who::Tenant("gone"), ABSENT),
        incident(3_000, 3_300, Who::All, 0.012),
        incident(3_500, 3_560, Who::Region("eu"), 0.6),
        incident(3_800, 3_802, Who::All, 1.0),
    ];
    let (duration_ms, per_hour) = (76 * HOUR_MS, 700.0);
    Plan {
        seed,
        start_ms: traffic::START_MS,
        duration_ms,
        per_hour,
        users: 96,
        tenants: &TENANTS,
        base: 0.0004,
        incidents,
        has_releases: false,
    }
}

#[test]
fn the_program_agrees_on_the_rule_budget() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (slos, inputs) = traffic::write(directory.path(), &plan(11), &SLOS);
    let program = backtest(&slos, &inputs, Format::JsonLines, &directory.path().join("out"));
    let oracle = replay(&slo::load(&slos).expect("the SLOs"), &inputs, Format::JsonLines);
    assert_agree(&oracle, &program);
    Coverage::of(&oracle).assert_budget();
}
