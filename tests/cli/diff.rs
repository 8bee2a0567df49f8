//! `diff`: a change of SLOs in words, before it is in force.

use crate::documents::SLO;
use crate::inputs::{cut_off, run_in_shell};
use crate::program::Program;

fn diff(after: &[(&str, &str)]) -> crate::program::Ran {
    let search = SLO.replace("name: checkout", "name: search");
    let mut program = Program::new().with_file("before/checkout.yaml", SLO).with_file("before/search.yaml", &search);
    for (name, text) in after {
        program = program.with_file(&format!("after/{name}"), text);
    }
    program.run(&["diff", "--before", "before", "--after", "after"])
}

#[test]
fn a_change_is_told_field_by_field_with_what_becomes_of_counts_and_alerts() {
    let looser = SLO.replace("0.99}", "0.95}").replace("1h/5m/14.4/page, ", "").replace("3/ticket", "2/ticket");
    let other = SLO.replace("name: checkout", "name: other");
    let ran = diff(&[("all.yaml", &format!("{looser}---\n{other}"))]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    for part in [
        "objective: 0.99 -> 0.95",
        "rules.1h/5m: page at factor 14.4 -> none",
        "rules.1d/2h: ticket at factor 3.0 -> ticket at factor 2.0",
        "it keeps its counts",
        "resolve with `definition_changed`",
        "is new",
        "is gone",
        "resolve with `removed`",
    ] {
        assert!(ran.stdout.contains(part), "{part} is not in\n{}", ran.stdout);
    }
    let filters = SLO.replace("status < 500", "status != 503");
    let ran = diff(&[("all.yaml", &format!("{filters}---\n{}", SLO.replace("name: checkout", "name: search")))]);
    for part in ["indicator.good: status < 500 -> status != 503", "it counts anew: its filters are others"] {
        assert!(ran.stdout.contains(part), "{part} is not in\n{}", ran.stdout);
    }
    assert!(!ran.stdout.contains("search"), "it is the same\n{}", ran.stdout);
}

#[test]
fn two_ways_to_write_the_same_do_not_differ() {
    let search = SLO.replace("name: checkout", "name: search").replace("target: 0.99}", "target: 0.990}");
    let ran = diff(&[("one.yaml", &format!("{search}---\n{SLO}"))]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("no SLO changes"), "{}", ran.stdout);
}

/// An hour and a half of a request a second; from the half hour on one in twenty fails.
fn traffic() -> String {
    let line = |second: i64| {
        let status = if second > 1_800 && second % 20 == 0 { 503 } else { 200 };
        let at = 1_780_000_000_000 + second * 1_000;
        format!(r#"{{"tenant": "acme", "user": "u{}", "timestamp": {at}, "status": {status}}}"#, second % 60)
    };
    (0..5_400).map(line).collect::<Vec<_>>().join("\n")
}

/// Key and severity of the alerts that a backtest of these documents raises, at severity page or ticket.
fn backtested(program: &Program, slos: &str) -> (Vec<(String, String)>, f64) {
    let ran = program.run(&["backtest", "--slos", slos, "--input", "past.jsonl", "--out", slos]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let read = |file: &str| -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(program.path().join(slos).join(file)).expect("a file");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let alerts = read("burn-alerts.jsonl").into_iter();
    let alerts = alerts.filter(|a| a["slo"] == "checkout" && a["state"] == "firing" && a["severity"] != "info");
    let alerts = alerts.map(|a| (text(&a["scope"]), text(&a["severity"]))).collect();
    let statuses = read("slo-status.jsonl");
    let last = statuses.iter().rfind(|s| s["slo"] == "checkout" && s["scope"] == "aggregate").expect("a status");
    (alerts, last["budget_remaining"].as_f64().expect("a budget"))
}

#[test]
fn recorded_traffic_says_what_each_side_would_have_fired_as_a_backtest_does() {
    let stricter = SLO.replace("0.99}", "0.999}");
    let program = Program::new()
        .with_file("before/checkout.yaml", SLO)
        .with_file("before/search.yaml", &SLO.replace("name: checkout", "name: search"))
        .with_file("after/checkout.yaml", &stricter)
        .with_file("after/search.yaml", &SLO.replace("name: checkout", "name: search"))
        .with_file("past.jsonl", &traffic());
    let args = ["diff", "--before", "before", "--after", "after", "--input", "past.jsonl"];
    let ran = program.run(&[&args[..], &["--json"]].concat());
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let told = ran.json();
    assert_eq!(told.as_array().map(Vec::len), Some(1), "search does not change: {told}");
    let fired = &told[0]["fired"];
    for side in ["before", "after"] {
        let (alerts, budget) = backtested(&program, side);
        let of = |severity: &str| alerts.iter().filter(|(_, is)| is == severity).count() as u64;
        assert_eq!(fired[side]["pages"].as_u64(), Some(of("page")), "{side}: {fired}");
        assert_eq!(fired[side]["tickets"].as_u64(), Some(of("ticket")), "{side}: {fired}");
        assert_eq!(fired[side]["alerts"].as_array().map(Vec::len), Some(alerts.len()), "{side}: {fired}");
        assert_eq!(fired[side]["budget_remaining"].as_f64(), Some(budget), "{side}: {fired}");
    }
    assert_eq!((&fired["before"]["pages"], &fired["before"]["rules"]["1h/5m"]), (&0.into(), &0.into()), "{fired}");
    assert_eq!((&fired["after"]["pages"], &fired["after"]["rules"]["1h/5m"]), (&1.into(), &1.into()), "{fired}");

    let shown = program.run(&args).stdout;
    for part in ["objective: 0.99 -> 0.999", "over the recording", "only after: page of checkout|aggregate from 2026-"]
    {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
    // 179 of 5,400 events are bad: 3.3148 times what 1 % allows, 33.148 times what 0.1 % allows.
    let budget = shown.lines().find(|line| line.contains("budget left at the end")).unwrap_or_default();
    assert!(budget.contains("-231.5 %") && budget.contains("-3214.8 %"), "{shown}");
    let row = |name: &str| -> Vec<String> {
        let line = shown.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_default();
        line.trim_start().trim_start_matches(name).split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(
        (row("pages"), row("rule 1h/5m")),
        (vec!["0".into(), "1".into()], vec!["0".into(), "1".into()]),
        "{shown}"
    );
}

#[test]
fn what_was_applied_is_evaluated_too_and_an_slo_that_comes_has_one_side() {
    let both = format!("{SLO}---\n{}", SLO.replace("name: checkout", "name: search").replace("0.99}", "0.999}"));
    let program = Program::new()
        .with_file("tailburn.yaml", "slos: [slos]\ndefinitions: {file: applied.jsonl}\n")
        .with_file("slos/all.yaml", SLO)
        .with_file("past.jsonl", &traffic());
    assert_eq!(program.run(&["apply", "--by", "ann", "--reason", "first"]).code, Some(0));
    std::fs::write(program.path().join("slos/all.yaml"), both.replacen("0.99}", "0.95}", 1)).expect("written");
    let ran = program.run(&["diff", "--input", "past.jsonl", "--json"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let told = ran.json();
    let budget = |slo: usize, side: &str| told[slo]["fired"][side]["budget_remaining"].as_f64();
    // 179 of 5,400 events are bad: 3.31 times what 1 % allows, 0.66 times what 5 % allow.
    let left = [budget(0, "before"), budget(0, "after")].map(|left| (left.expect("a budget") * 100.0).round());
    assert_eq!(left, [-231.0, 34.0], "{told}");
    assert_eq!((&told[1]["slo"], &told[1]["fired"]["before"]), (&"search".into(), &serde_json::Value::Null));
    assert_eq!(told[1]["fired"]["after"]["pages"], 1);
    for input in ["cut.jsonl.gz", "gone.jsonl"] {
        cut_off(&program, "cut.jsonl.gz", &traffic());
        let ran = program.run(&["diff", "--input", input]);
        assert_eq!((ran.code, ran.stderr.contains(input)), (Some(78), true), "{input}: {}{}", ran.stdout, ran.stderr);
    }
    let ran = run_in_shell(&program, "diff --input <(cat past.jsonl)");
    assert_eq!((ran.code, ran.stderr.contains("--input /dev/fd/")), (Some(78), true), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("it is read twice"), "{}", ran.stderr);
    let help = program.run(&["diff", "--help"]).stdout;
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("0 nothing changed, 1 something did, 2 the arguments are wrong, 78 a document or an input"));
    let twice = program.run(&["diff", "--input", "-"]);
    assert_eq!((twice.code, twice.stderr.contains("it is read twice")), (Some(2), true), "{}", twice.stderr);
}
