//! A day and a half in which users are counted, each once: those who were served, and those who saw no error.

use crate::agreement::{assert_agree, backtest};
use crate::coverage::Coverage;
use crate::input::Format;
use crate::replay::replay;
use crate::slices::plan;
use crate::slo;
use crate::time::HOUR_MS;
use crate::traffic::{self, Plan};
use crate::units::assert_reached;

const SLOS: [(&str, &str); 2] =
    [("a.yaml", include_str!("slos/people/served.yaml")), ("b.yaml", include_str!("slos/people/spared.yaml"))];

#[test]
fn the_program_agrees_on_distinct_users() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let plan = Plan { duration_ms: 42 * HOUR_MS, ..plan(51) };
    let (slos, inputs) = traffic::write(directory.path(), &plan, &SLOS);
    let oracle = replay(&slo::load(&slos).expect("the SLOs"), &inputs, Format::JsonLines);
    eprintln!("{} statuses, {} alerts", oracle.statuses.len(), oracle.alerts.len());
    assert_reached(&["a user with good and bad events", "a key that comes back"]);
    assert!(oracle.user_statuses.is_empty() && oracle.statuses.iter().all(|s| s["users"] == serde_json::json!([])));
    Coverage::of(&oracle).assert_people();
    let program = backtest(&slos, &inputs, Format::JsonLines, &directory.path().join("out"));
    assert_agree(&oracle, &program);
}
