//! A day and a half in which users are counted, each once: those who were served, and those who saw no error.

use std::collections::BTreeMap;

use serde_json::Value;

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

const BY_CALENDARS: [(&str, &str); 2] =
    [("a.yaml", include_str!("slos/people/days.yaml")), ("b.yaml", include_str!("slos/people/nights.yaml"))];

/// Whether some key's period before got another user after its end.
fn has_late_user(statuses: &[Value], slo: &str) -> bool {
    let mut of: BTreeMap<String, f64> = BTreeMap::new();
    statuses.iter().filter(|status| status["slo"] == slo && status["previous"].is_object()).any(|status| {
        let previous = &status["previous"];
        let users = previous["good"].as_f64().unwrap_or(0.0) + previous["bad"].as_f64().unwrap_or(0.0);
        let key = format!("{} {} {} {}", status["scope"], status["tenant"], status["group"], previous["start"]);
        of.insert(key, users).is_some_and(|before| before != users)
    })
}

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

/// So many users that many come once a day, some of them late.
#[test]
fn the_program_agrees_on_users_of_a_calendars_periods() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let plan = Plan { duration_ms: 52 * HOUR_MS, users: 8_000, per_hour: 700.0, ..plan(52) };
    let (slos, inputs) = traffic::write(directory.path(), &plan, &BY_CALENDARS);
    let oracle = replay(&slo::load(&slos).expect("the SLOs"), &inputs, Format::JsonLines);
    eprintln!("{} statuses, {} alerts", oracle.statuses.len(), oracle.alerts.len());
    assert_reached(&["a user with good and bad events"]);
    assert!(has_late_user(&oracle.statuses, "days"));
    assert!(has_late_user(&oracle.statuses, "nights"));
    let is_final = |status: &Value| status["previous"]["is_final"] == true;
    assert!(oracle.statuses.iter().any(is_final));
    let program = backtest(&slos, &inputs, Format::JsonLines, &directory.path().join("out"));
    assert_agree(&oracle, &program);
}
