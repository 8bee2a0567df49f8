use crate::program::Program;

#[test]
fn every_mistake_of_a_configuration_is_told_at_once() {
    let text = "wokers: 1\ninput:\n  format: xml\npartitions: {users: none}\n";
    let program = Program::new().with_file("tailburn.yaml", text);
    let ran = program.run(&["check"]);
    assert_eq!(ran.code, Some(78));
    for part in ["1 Configuration", "tailburn.yaml:1: wokers", ":3: input.format", ":4: partitions.users"] {
        assert!(ran.stdout.contains(part), "{part} is not in\n{}", ran.stdout);
    }
    assert!(ran.stdout.contains("SLOs: not checked"), "{}", ran.stdout);
}

#[test]
fn findings_come_as_json() {
    let ran = Program::new().with_file("tailburn.yaml", "wokers: 1\n").run(&["check", "--json"]);
    assert_eq!(ran.code, Some(78));
    let finding = &ran.json()["findings"][0];
    assert_eq!((&finding["level"], &finding["key"]), (&"error".into(), &"wokers".into()));
    assert_eq!(finding["place"], "tailburn.yaml:1");
    assert_eq!(finding["remedy"], "Did you mean `workers`?");
}

#[test]
fn what_init_writes_passes() {
    let program = Program::new();
    program.run(&["init"]);
    let ran = program.run(&["check"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("checkout-availability over 28d: 1h/5m page, 6h/30m page"), "{}", ran.stdout);
}

#[test]
fn an_slo_with_an_error_is_78_with_its_place() {
    let program = Program::new();
    program.run(&["init"]);
    let slo = include_str!("../../src/command/init/example.yaml").replace("status < 500", "stauts < 500");
    let program = program.with_file("slos/example.yaml", &slo);
    let ran = program.run(&["check", "--json"]);
    assert_eq!(ran.code, Some(78), "{}", ran.stderr);
    let finding = &ran.json()["findings"][0];
    assert!(finding["place"].as_str().is_some_and(|p| p.starts_with("slos/example.yaml:")), "{finding}");
    assert!(finding["message"].as_str().is_some_and(|m| m.contains("stauts")), "{finding}");
}

#[test]
fn a_mapping_that_cannot_be_is_an_error_of_the_configuration() {
    let program = Program::new().with_file("tailburn.yaml", "input:\n  mapping: {tennant: org.id}\n");
    let ran = program.run(&["check"]);
    assert_eq!(ran.code, Some(78));
    assert!(ran.stdout.contains("tailburn.yaml:2: input.mapping") && ran.stdout.contains("tennant"), "{}", ran.stdout);
}

const RECORDS: &str = r#"{"org":{"id":"acme"},"user":"u1","timestamp":1780074060000,"operation":"checkout","status":503}
{"org":{"id":"acme"},"timestamp":1780074060000,"operation":"checkout","status":200,"attributes":{"tier":"pro"}}
{"org":{"id":"acme"},"timestamp":1780074060000,"operation":"heartbeat"}

{"org":{"id":"acme"},"timestamp":1780074060000,"operation":"checkout"}
{"timestamp":1780074060000,"operation":"checkout","status":200}
"#;

#[test]
fn shows_what_each_record_becomes_and_what_decided() {
    let program = Program::new();
    program.run(&["init"]);
    let program = program.with_file("records.jsonl", RECORDS);
    let args = ["check", "--json", "--input", "records.jsonl", "--set", "input.mapping.tenant=org.id"];
    let ran = program.run(&args);
    assert_eq!(ran.code, Some(1), "a dead letter is a finding: {}{}", ran.stdout, ran.stderr);
    let report = ran.json();
    let records = report["records"].as_array().expect("records");
    let told: Vec<_> = records
        .iter()
        .map(|r| {
            let verdict = &r["verdicts"][0];
            (r["number"].as_i64(), verdict["verdict"].as_str(), verdict["decided_by"].as_str(), r["reason"].as_str())
        })
        .collect();
    let (good, total) = (Some("good: status < 500"), Some("total: operation == 'checkout'"));
    assert_eq!(
        told,
        [
            (Some(0), Some("bad"), good, None),
            (Some(1), Some("good"), good, None),
            (Some(2), Some("excluded"), total, None),
            (Some(4), Some("unclassified"), good, None),
            (Some(5), None, None, Some("no_tenant")),
        ]
    );
    assert_eq!(records[0]["decoder"], "json, mapped");
    assert_eq!(records[0]["fields"]["timestamp"], "2026-05-29T17:01:00.000Z");
    assert_eq!(records[1]["fields"]["attributes"]["tier"], "pro");
    assert!(records[3]["verdicts"][0]["because"].as_str().is_some_and(|b| b.contains("status")), "{}", records[3]);
    let text =
        program.run(&["check", "--limit", "1", "--input", "records.jsonl", "--set", "input.mapping.tenant=org.id"]);
    assert_eq!(text.code, Some(0));
    assert!(text.stdout.contains("checkout-availability: bad by `good: status < 500`"), "{}", text.stdout);
}

#[test]
fn slos_alone_are_checked_without_a_key() {
    let program = Program::new().with_file("slos/a.yaml", include_str!("../fixtures/availability.yaml"));
    let without_configuration = program.run(&["check"]);
    assert_eq!(without_configuration.code, Some(0), "{}", without_configuration.stdout);
    let program = program.with_file("tailburn.yaml", "workers: 2\n");
    let for_run = program.run(&["check"]);
    assert_eq!(for_run.code, Some(1), "{}", for_run.stdout);
    assert!(for_run.stdout.contains("privacy.key_file"), "{}", for_run.stdout);
    let alone = program.run(&["check", "--slos", "slos/a.yaml"]);
    assert_eq!(alone.code, Some(0), "{}", alone.stdout);
    let program = program.with_file("tailburn.key", "too short");
    let unreadable = program.run(&["check"]);
    assert_eq!(unreadable.code, Some(78), "{}", unreadable.stdout);
    assert!(unreadable.stdout.contains("32 characters"), "{}", unreadable.stdout);
}

#[test]
fn the_format_of_the_input_can_be_said() {
    let line = r#"203.0.113.7 - - [29/May/2026:17:01:00 +0000] "GET /checkout HTTP/1.1" 503 12 "-" "curl""#;
    let program = Program::new()
        .with_file("slos/a.yaml", include_str!("../fixtures/availability.yaml"))
        .with_file("access.log", line);
    let ran = program.run(&["check", "--json", "--input", "access.log", "--format", "clf"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.json()["records"][0]["fields"]["status"], 503);
    assert_eq!(program.run(&["check", "--format", "clf"]).code, Some(2), "a format of what?");
}

#[test]
fn a_maintenance_is_shown_with_its_next_windows_and_a_mistake_in_one_has_its_place() {
    let program = Program::new();
    program.run(&["init"]);
    let entry = "  - {name: deploys, slos: [checkout-availability], dtstart: 2026-01-04 02:00:00, duration: 90m,\n     \
                 rrule: FREQ=WEEKLY;BYDAY=SU, time_zone: Europe/Berlin}\n";
    let text = format!("privacy: {{user_ids: plain}}\nmaintenance:\n{entry}");
    let program = program.with_file("tailburn.yaml", &text);
    let ran = program.run(&["check"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("maintenance `deploys`: 2"), "{}", ran.stdout);
    let windows = program.run(&["check", "--json"]).json()["maintenance"][0]["windows"].clone();
    assert_eq!(windows.as_array().map(Vec::len), Some(3), "{windows}");
    assert!(program.run(&["config", "show"]).stdout.contains("FREQ=WEEKLY"), "the configuration shows it");
    let program =
        program.with_file("tailburn.yaml", &text.replace("[checkout-availability]", "[checkout-avalability]"));
    let ran = program.run(&["check"]);
    assert_eq!(ran.code, Some(78), "{}", ran.stdout);
    for part in ["tailburn.yaml:3", "maintenance.0.slos", "did you mean `checkout-availability`?"] {
        assert!(ran.stdout.contains(part), "{part} is not in\n{}", ran.stdout);
    }
    let program = program.with_file("past.jsonl", "");
    let ran = program.run(&["backtest", "--slos", "slos", "--input", "past.jsonl", "--out", "result"]);
    assert_eq!(ran.code, Some(78), "{}", ran.stderr);
    assert!(ran.stderr.contains("did you mean `checkout-availability`?"), "{}", ran.stderr);
}
