//! Small inputs with figures computed by hand: aggregates without events, groups, limits, guards, single windows and
//! texts (sections 2 to 6). If the oracle models the case, it must agree, too.

use serde_json::{Value, json};

use crate::agreement::{assert_agree, backtest_with};
use crate::input::Format;
use crate::replay::{Outputs, replay};
use crate::slo;
use crate::time::{HOUR_MS, MINUTE_MS, PANE_MS, SECOND_MS, print_time};
use crate::traffic::{write_lines, write_slos};

/// A full hour.
const HOUR: i64 = 1_772_409_600_000;

/// An SLO; `annotations` are lines of YAML, as is `objectives`.
fn slo_text(total: &str, annotations: &str, objectives: &str) -> String {
    format!(
        "apiVersion: openslo/v1\nkind: SLO\nmetadata:\n  name: s\n  displayName: It works\n  annotations:\n    \
         tailburn.dev/budget-rule: 'off'\n    tailburn.dev/cohorts: 'off'\n    tailburn.dev/tail-alerts: 'off'\n{annotations}spec:\n  service: x\n  \
         description: d\n  indicator:\n    metadata: {{name: i}}\n    spec:\n      ratioMetric:\n        counter: true\n        \
         good: {{metricSource: {{type: tailburn, spec: {{filter: \"status < 500\"}}}}}}\n        \
         total: {{metricSource: {{type: tailburn, spec: {{filter: \"{total}\"}}}}}}\n  \
         timeWindow: [{{duration: 28d, isRolling: true}}]\n  budgetingMethod: Occurrences\n  objectives: {objectives}\n"
    )
}

const ONE: &str = "[{displayName: a, target: 0.99}]";

fn event(time_ms: i64, tenant: &str, user: &str, status: i64) -> Value {
    json!({"tenant": tenant, "user": user, "timestamp": time_ms, "operation": "pay", "status": status, "attributes": {}})
}

fn run(slo: &str, events: &[Value], more: &[&str]) -> Outputs {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let slos = write_slos(directory.path(), &[("s.yaml", slo)]);
    let mut lines: Vec<(i64, String)> =
        events.iter().map(|e| (e["timestamp"].as_i64().unwrap_or(0), e.to_string())).collect();
    lines.sort();
    let lines: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
    let inputs = write_lines(directory.path(), &[lines]);
    let program = backtest_with(&slos, &inputs, Format::JsonLines, &directory.path().join("out"), more);
    // The oracle has the default limits.
    if more.is_empty() {
        let loaded = slo::load(&slos).expect("the SLOs");
        assert_agree(&replay(&loaded, &inputs, Format::JsonLines), &program);
    }
    program
}

fn of_scope<'a>(records: &'a [Value], scope: &str) -> Vec<&'a Value> {
    records.iter().filter(|r| r["scope"] == scope).collect()
}

#[test]
fn an_slo_that_nothing_matches_says_so_at_its_first_t_at_full_hours_and_at_the_end() {
    let slo = slo_text("operation == 'nobody'", "", ONE);
    let first_ms = HOUR - 7 * SECOND_MS;
    let events = [first_ms, first_ms + 30_000, first_ms + 65_000].map(|t| event(t, "t", "u", 200));
    let statuses = run(&slo, &events, &[]).statuses;
    let at: Vec<&str> = statuses.iter().filter_map(|s| s["at"].as_str()).collect();
    // 7 s before the hour: visible at the hour. The last event is 58 s behind it.
    assert_eq!(at, [print_time(HOUR), print_time(HOUR + MINUTE_MS)]);
    for status in &statuses {
        assert_eq!((&status["scope"], &status["state"]), (&json!("aggregate"), &json!("no_data")));
        assert_eq!(status["flags"], json!(["warming_up"]));
        assert_eq!((&status["budget_spent_of_period"], &status["budget"]["allowed_bad"]), (&Value::Null, &json!(0.0)));
        assert!(
            status["windows"].as_array().is_some_and(|w| w.iter().all(|w| w["coverage"] == 0.0 && w["sli"].is_null()))
        );
        assert_eq!(
            (&status["counts"]["accepted"], &status["counts"]["counts_since"]),
            (&json!(0), &json!(print_time(HOUR)))
        );
    }
}

#[test]
fn a_short_run_ends_with_a_status_of_every_key() {
    let events = [event(HOUR + 12_000, "t", "u", 200), event(HOUR + 33_000, "t", "u", 503)];
    let statuses = run(&slo_text("operation == 'pay'", "", ONE), &events, &[]).statuses;
    let at = |scope: &str| of_scope(&statuses, scope).iter().map(|s| s["at"].clone()).collect::<Vec<_>>();
    assert_eq!(at("tenant"), [json!(print_time(HOUR + 4 * PANE_MS))]);
    assert_eq!(at("aggregate").first(), Some(&json!(print_time(HOUR + 2 * PANE_MS))), "its first T");
    assert_eq!(at("aggregate").last(), Some(&json!(print_time(HOUR + 4 * PANE_MS))));
}

#[test]
fn groups_are_of_fields_as_well_as_of_attributes() {
    let slo = slo_text("status > 0", "    tailburn.dev/group-by: tier, operation\n", ONE);
    let mut events = Vec::new();
    for n in 0..60 {
        let mut event = event(HOUR + n * 5_000, "t", "u", 200);
        event["operation"] = json!(["pay", "read", "list"][n as usize % 3]);
        if n % 2 == 0 {
            event["attributes"] = json!({"tier": "pro", "operation": "not this one"});
        }
        events.push(event);
    }
    let statuses = run(&slo, &events, &[]).statuses;
    let last: Vec<&Value> =
        of_scope(&statuses, "group").into_iter().filter(|s| s["at"] == print_time(HOUR + 300_000)).collect();
    assert_eq!(last.len(), 6);
    assert!(last.iter().all(|s| s["counts"]["accepted"] == 10), "{last:?}");
    assert!(last.iter().any(|s| s["group"] == json!({"operation": "list", "tier": "-"})));
}

#[test]
fn the_first_groups_by_their_bytes_have_keys_and_the_rest_is_one_group() {
    let slo = slo_text("status > 0", "    tailburn.dev/group-by: region\n", ONE);
    // `b` is shorter than `aa`, and comes first in the file; both are visible at the same boundary.
    let mut events: Vec<Value> = Vec::new();
    for (n, region) in ["b", "aa", "c", "d", "e", "f", "b", "aa"].iter().enumerate() {
        let mut event = event(HOUR + n as i64 * 10 + if n > 4 { 20_000 } else { 0 }, "t", "u", 200);
        event["attributes"] = json!({"region": region});
        events.push(event);
    }
    let statuses = run(&slo, &events, &["--set", "limits.groups=1"]).statuses;
    let last = |scope: &str| -> Vec<(Value, Value)> {
        let of = of_scope(&statuses, scope).into_iter().filter(|s| s["at"] == print_time(HOUR + 30_000));
        of.map(|s| (s["group"].clone(), s["counts"]["accepted"].clone())).collect()
    };
    let wanted = [(json!({"region": "__other__"}), json!(6)), (json!({"region": "aa"}), json!(2))];
    assert_eq!(last("group"), wanted);
    // A task remembers four times as many combinations as may have keys; the first boundary has five.
    for status in &statuses {
        assert_eq!(status["flags"], json!(["warming_up", "groups_overflow"]), "{status}");
    }
    let statuses = run(&slo, &events, &["--set", "limits.groups=2"]).statuses;
    assert!(statuses.iter().all(|s| s["flags"] == json!(["warming_up"])), "six combinations of eight");
    let named = of_scope(&statuses, "group").iter().map(|s| s["group"]["region"].clone()).collect::<Vec<_>>();
    assert!(named.contains(&json!("aa")) && named.contains(&json!("b")) && !named.contains(&json!("c")));
}

#[test]
fn tenants_over_the_limit_count_in_the_aggregate_alone() {
    let slo = slo_text("status > 0", "", ONE);
    let tenants = ["z", "m", "a"];
    let mut events: Vec<Value> = tenants.iter().map(|t| event(HOUR + 1_000, t, "u", 200)).collect();
    events.push(event(HOUR + 31_000, "b", "u", 200));
    events.push(event(HOUR + 32_000, "z", "u", 200));
    let statuses = run(&slo, &events, &["--set", "limits.tenants=2"]).statuses;
    let of_tenants: Vec<&str> = of_scope(&statuses, "tenant").iter().filter_map(|s| s["tenant"].as_str()).collect();
    assert_eq!(of_tenants, ["a", "m"], "the first two by their bytes, though they stand last in the file");
    let last = of_scope(&statuses, "aggregate").last().copied().cloned().unwrap_or_default();
    assert_eq!((&last["counts"]["accepted"], &last["flags"]), (&json!(5), &json!(["warming_up", "tenants_overflow"])));
    assert!(of_scope(&statuses, "tenant").iter().all(|s| s["flags"] == json!(["warming_up"])));
    let within = run(&slo, &events, &["--set", "limits.tenants=4"]).statuses;
    assert_eq!(of_scope(&within, "tenant").len(), 4);
    assert!(within.iter().all(|s| s["flags"] == json!(["warming_up"])));
}

/// The alert records of the aggregate as (at, severity, state).
fn told(outputs: &Outputs) -> Vec<(i64, String, String)> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let at =
        |a: &Value| a["at"].as_str().and_then(|t| t.parse::<jiff::Timestamp>().ok()).map_or(0, |t| t.as_millisecond());
    of_scope(&outputs.alerts, "aggregate")
        .iter()
        .map(|a| (at(a) - HOUR, text(&a["severity"]), text(&a["state"])))
        .collect()
}

#[test]
fn three_failures_of_two_users_page_once_the_rule_is_warm() {
    let slo = slo_text("status > 0", "    tailburn.dev/alert-rules: '1h/5m/13.44/page, 1d/2h/2.8/ticket'\n", ONE);
    let failures = [(0, "a"), (250_000, "a"), (299_000, "b")].map(|(t, user)| event(HOUR + t, "t", user, 503));
    let outputs = run(&slo, &failures, &[]);
    assert_eq!(told(&outputs), [(300_000, "page".to_owned(), "firing".to_owned())]);
    let last = outputs.statuses.last().cloned().unwrap_or_default();
    let held = |rule: usize| last["alerts"][rule]["held_back_by"].clone();
    assert_eq!((held(0), held(1)), (json!([]), json!(["not_warm"])));
}

/// 12 users with an event every 10 s each; from minute 10 on one of them fails, from minute 20 on all do.
fn one_user_then_all() -> Vec<Value> {
    let mut events = Vec::new();
    for n in 0..180 {
        for user in 0..12 {
            let fails = n >= 120 || n >= 60 && user == 0;
            events.push(event(
                HOUR + n * 10_000 + user * 100,
                "t",
                &format!("u{user:02}"),
                if fails { 503 } else { 200 },
            ));
        }
    }
    events
}

#[test]
fn one_users_failures_are_a_ticket_that_becomes_a_page_when_the_others_fail_too() {
    let rules = "    tailburn.dev/alert-rules: '30m/5m/2/page, 1h/10m/3/page'\n";
    let outputs = run(&slo_text("status > 0", rules, ONE), &one_user_then_all(), &[]);
    let told = told(&outputs);
    let of = |severity: &str| told.iter().filter(|(_, s, _)| s == severity).cloned().collect::<Vec<_>>();
    assert_eq!(of("ticket").first().map(|t| t.2.as_str()), Some("firing"));
    assert!(of("ticket").iter().all(|(at, ..)| *at < 21 * MINUTE_MS), "{told:?}");
    assert_eq!(of("ticket").last().map(|t| t.2.as_str()), Some("resolved"));
    let resolved = outputs.alerts.iter().find(|a| a["scope"] == "aggregate" && a["state"] == "resolved");
    assert_eq!(resolved.map(|a| &a["resolved_reason"]), Some(&json!("raised")));
    // No flapping: one ticket, one page.
    assert_eq!(told.iter().filter(|(_, _, state)| state == "firing").count(), 2, "{told:?}");
    assert!(of("page").iter().all(|(at, ..)| *at > 20 * MINUTE_MS), "{told:?}");
    let summary = resolved.and_then(|a| a["summary"].as_str()).unwrap_or_default().to_owned();
    assert!(summary.starts_with("It works became a page after "), "{summary}");
}

#[test]
fn a_single_window_fires_by_itself_and_ends_on_the_evidence_of_a_twelfth() {
    let mut events = Vec::new();
    for n in 0..240 {
        events.push(event(HOUR + n * 10_000, "t", &format!("u{}", n % 3), if n < 60 { 503 } else { 200 }));
    }
    let slo = slo_text("status > 0", "    tailburn.dev/alert-rules: 30m/10/page\n", ONE);
    let outputs = run(&slo, &events, &[]);
    let windows = &outputs.statuses[0]["windows"];
    assert!(windows.as_array().is_some_and(|w| w.iter().any(|w| w["window"] == "150s")), "its evidence: {windows}");
    let told: Vec<(i64, String)> = told(&outputs).into_iter().filter(|t| t.2 != "update").map(|t| (t.0, t.2)).collect();
    // Warm after 150 s. The last failures are at 580 and 590 s: at 740 s one of 15 events of the last 150 s is bad,
    // less than 10 %, and 15 m later it ends. The 30 m still burn, and a single window fires by itself.
    let wanted =
        [(150, "firing"), (1_640, "resolved"), (1_650, "firing")].map(|(s, state)| (s * SECOND_MS, state.to_owned()));
    assert_eq!(told, wanted);
}

#[test]
fn alerts_of_one_documents_objectives_are_told_apart_in_words_and_units_for_people() {
    let slo = slo_text(
        "status > 0",
        "    tailburn.dev/alert-rules: 10m/2m/2/page\n    tailburn.dev/resolve-after: 5m\n",
        "[{displayName: strict, target: 0.99}, {displayName: loose, target: 0.9}]",
    );
    let mut events = Vec::new();
    for n in 0..360 {
        events.push(event(
            HOUR + n * 10_000,
            "t",
            &format!("u{}", n % 3),
            if (60..90).contains(&n) { 503 } else { 200 },
        ));
    }
    let alerts = run(&slo, &events, &[]).alerts;
    let all = of_scope(&alerts, "aggregate");
    let texts = |field: &str, state: &str| -> Vec<&str> {
        all.iter().filter(|a| a["state"] == state).filter_map(|a| a[field].as_str()).collect()
    };
    let mut titles = texts("title", "firing");
    titles.sort_unstable();
    titles.dedup();
    assert_eq!(titles.len(), 2, "{titles:?}");
    assert!(titles[0].starts_with("It works (loose): error budget burns at "), "{titles:?}");
    for summary in texts("summary", "firing") {
        // 10 m before a boundary, in slices of 10 s: the window has exactly the length of its name.
        assert!(summary.contains(" burns its budget ") && summary.contains("x over 10m and "), "{summary}");
        assert!(summary.contains("x over 2m: ") && summary.contains(" % of the "), "{summary}");
        assert!(summary.contains(" budget (counted from 2026-03-02T00:"), "{summary}");
        assert!(summary.contains(" of 3 users affected"), "{summary}");
    }
    for summary in texts("summary", "resolved") {
        assert!(summary.contains(" recovered after ") && !summary.contains(HOUR_MS.to_string().as_str()), "{summary}");
        let after =
            summary.split(" recovered after ").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or_default();
        assert!(after.split(' ').count() <= 2 && after.contains('m'), "{summary}");
    }
    assert_eq!(texts("summary", "resolved").len(), 2);
}
