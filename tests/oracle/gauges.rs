//! Four days and a half of gauges: the last, the mean, the smallest and the largest value, and slices by their largest.

use serde_json::Value;

use crate::agreement::{assert_agree, backtest};
use crate::input::Format;
use crate::replay::replay;
use crate::slices::plan;
use crate::slo;
use crate::time::{DAY_MS, HOUR_MS};
use crate::traffic::{self, Incident, Plan, Who};

const SLOS: [(&str, &str); 5] = [
    ("a.yaml", include_str!("slos/gauge/last.yaml")),
    ("b.yaml", include_str!("slos/gauge/mean.yaml")),
    ("c.yaml", include_str!("slos/gauge/min.yaml")),
    ("d.yaml", include_str!("slos/gauge/max.yaml")),
    ("e.yaml", include_str!("slos/gauge/slices.yaml")),
];

#[test]
fn the_program_agrees_on_gauges() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut plan = Plan { duration_ms: 4 * DAY_MS + 10 * HOUR_MS, per_hour: 55.0, ..plan(61) };
    // The second day is worse than those after it, so that the mean of the days falls towards its target.
    plan.incidents.push(Incident { from_min: 1_260, to_min: 2_700, who: Who::All, share: 0.5 });
    let (slos, inputs) = traffic::write(directory.path(), &plan, &SLOS);
    let oracle = replay(&slo::load(&slos).expect("the SLOs"), &inputs, Format::JsonLines);
    eprintln!("{} statuses, {} alerts", oracle.statuses.len(), oracle.alerts.len());
    let some = |what: &str, slo: &str, has: &dyn Fn(&Value) -> bool| {
        assert!(oracle.statuses.iter().any(|s| s["slo"] == slo && has(s)), "{slo}: no {what}");
    };
    for slo in ["last", "mean", "lowest", "highest"] {
        for state in ["ok", "breached", "no_data"] {
            some(state, slo, &|s| s["state"] == state);
        }
    }
    some("trend", "last", &|s| s["gauge"]["trend_per_day"].is_number() && s["gauge"]["expected_at"].is_null());
    some("expectation", "mean", &|s| s["gauge"]["expected_at"].is_string());
    some("progress past 1", "last", &|s| s["gauge"]["progress"].as_f64().is_some_and(|progress| progress > 1.0));
    some("progress below 0", "last", &|s| s["gauge"]["progress"].as_f64().is_some_and(|progress| progress < 0.0));
    some("period before", "lowest", &|s| s["previous"]["is_final"] == true);
    some("bad slice", "sliced", &|s| s["budget"]["spent_bad"].as_f64() > Some(0.0));
    let program = backtest(&slos, &inputs, Format::JsonLines, &directory.path().join("out"));
    assert_agree(&oracle, &program);
}
