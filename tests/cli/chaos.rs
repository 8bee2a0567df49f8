//! `chaos`: what it says of faults can be counted by hand.

use crate::inputs::{cut_off, run_in_shell};
use crate::program::{Program, Ran};
use serde_json::{Value, json};

const START_MS: i64 = 1_780_002_000_000;
const HOUR_MS: i64 = 3_600_000;
const SLO: &str = include_str!("../fixtures/availability.yaml");

/// An event every 2 s for 4 hours: two tenants in turn, each in four regions, with 60 users.
fn times() -> impl Iterator<Item = (i64, i64)> {
    (0..4 * 1_800).map(|i| (i, START_MS + i * 2_000))
}

fn traffic() -> String {
    let event = |(i, at_ms): (i64, i64)| {
        let tenant = ["acme", "globex"][(i % 2) as usize];
        let region = ["eu", "us", "ap", "sa"][(i / 2 % 4) as usize];
        let user = i % 120;
        format!(
            "{{\"tenant\":\"{tenant}\",\"user\":\"u{user}\",\"timestamp\":{at_ms},\"operation\":\"checkout\",\
             \"status\":200,\"latency_ms\":50,\"attributes\":{{\"region\":\"{region}\"}}}}\n"
        )
    };
    times().map(event).collect()
}

fn program() -> Program {
    Program::new().with_file("slos/availability.yaml", SLO).with_file("past.jsonl", &traffic())
}

fn chaos(program: &Program, fault: &str, more: &[&str]) -> Ran {
    program.run(&[&["chaos", "--slos", "slos", "--input", "past.jsonl", "--fault", fault], more].concat())
}

/// Words in one line.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_outage_of_a_tenant_is_seen_when_and_where_the_windows_say() {
    let program = program();
    let ran = chaos(&program, "tenant=acme; from=+2h; for=15m", &["--json"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let fault = &ran.json()["faults"][0];
    let slo = &fault["slos"][0];
    // Pages by hand: the first T at which more than factor * 0.1 % of both windows are bad.
    let from_ms = START_MS + 2 * HOUR_MS;
    let is_bad = |i: i64, at_ms: i64| i % 2 == 0 && (from_ms..from_ms + HOUR_MS / 4).contains(&at_ms);
    let burns = |t_ms: i64, window_ms: i64, slice_ms: i64, factor: f64| {
        let start_ms = (t_ms - window_ms + slice_ms - 1) / slice_ms * slice_ms;
        let events: Vec<_> = times().filter(|(_, at_ms)| (start_ms..t_ms).contains(at_ms)).collect();
        let bad = events.iter().filter(|(i, at_ms)| is_bad(*i, *at_ms)).count();
        bad as f64 > factor * 0.001 * events.len() as f64
    };
    let of_1h = |t: i64| burns(t, HOUR_MS, 60_000, 13.44) && burns(t, 300_000, 10_000, 13.44);
    let of_6h = |t: i64| burns(t, 6 * HOUR_MS, 300_000, 5.6) && burns(t, HOUR_MS / 2, 60_000, 5.6);
    let seen_ms = (1..).map(|n| from_ms + n * 10_000).find(|t| of_1h(*t) || of_6h(*t)).expect("a time");
    let (after_ms, rule) = (seen_ms - from_ms, if of_1h(seen_ms) { "1h/5m" } else { "6h/30m" });
    assert_eq!((&slo["first"]["rule"], &slo["first"]["severity"]), (&json!(rule), &json!("page")), "{slo}");
    assert_eq!(slo["first"]["after_ms"], after_ms, "{slo}");
    assert_eq!((&slo["selected"], &slo["faulty"]), (&json!(225), &json!(225)), "an event of acme every 4 s");
    let before = (after_ms + 3_999) / 4_000;
    assert_eq!(slo["before_first"], before, "{slo}");
    assert_eq!(slo["undetected_share"], before as f64 / 225.0);
    assert_eq!(slo["first"]["resolved_reason"], "recovered", "{slo}");
    let all = times().filter(|(_, at_ms)| *at_ms < from_ms + after_ms).count() as f64;
    let spent = slo["budget_spent"].as_f64().expect("a share of the budget");
    assert!((spent - before as f64 / (0.001 * all)).abs() < 1e-6, "{slo}");
    let named = &slo["named"][0];
    assert_eq!((&named["who"], &named["fit"]), (&json!({"tenant": "acme"}), &json!("exact")), "{slo}");
    assert_eq!((&slo["users_hit"], &slo["users_named"]), (&json!(60), &json!(60)), "{slo}");
}

#[test]
fn a_cohort_is_named_as_the_fault_was_written() {
    let program = program();
    let ran = chaos(&program, "attributes.region=eu; share=0.5; from=+2h; for=30m; name=eu", &["--json"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let slo = &ran.json()["faults"][0]["slos"][0];
    let eu = json!({"attributes.region": "eu"});
    let named = slo["named"].as_array().expect("names");
    assert!(named.iter().any(|n| n["who"] == eu && n["fit"] == "exact" && n["by"] == "cohort"), "{slo}");
    assert_eq!(slo["selected"], 226, "two in eight of 900 events, the first two among them");
    let faulty = slo["faulty"].as_u64().expect("a count");
    assert!((90..=135).contains(&faulty), "about half of them: {faulty}");
    let text = flat(&chaos(&program, "attributes.region=eu; share=0.5; from=+2h; for=30m; name=eu", &[]).stdout);
    for part in
        ["eu: attributes.region=eu; 50 % of good events from ", "names exactly the fault: attributes.region=eu (cohort"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let other =
        chaos(&program, "attributes.region=eu; share=0.5; from=+2h; for=30m", &["--json", "--seed", "1"]).json();
    assert_ne!(&other["faults"][0]["slos"][0], slo, "another seed hits others");
}

#[test]
fn a_fault_that_nobody_is_told_of_is_a_finding_with_its_reason() {
    let program = program();
    let ran = chaos(&program, "share=0.001; from=+2h; for=1h", &[]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    let text = flat(&ran.stdout);
    assert!(text.contains("NOT SEEN") && text.contains("too few bad events"), "{text}");
    // A bad event of 20 burns enough, and could be chance.
    let few = traffic().lines().step_by(180).map(|line| format!("{line}\n")).collect::<String>();
    let program = Program::new().with_file("slos/a.yaml", SLO).with_file("past.jsonl", &few);
    let ran = chaos(&program, "tenant=acme; from=+2h; for=6m", &["--json"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    let slo = &ran.json()["faults"][0]["slos"][0];
    let reason = slo["reason"].as_str().expect("a reason");
    assert!(reason.contains("low_traffic"), "{slo}");
    assert_eq!((&slo["seen"], &slo["first"]), (&json!(false), &Value::Null));
}

#[test]
fn what_fires_without_the_fault_is_no_sight_of_it() {
    let bad = |line: &str| line.replace("\"status\":200", "\"status\":503");
    let is_bad = |i: usize| (3_000..4_500).contains(&i);
    let outage: String = traffic()
        .lines()
        .enumerate()
        .map(|(i, line)| if is_bad(i) { bad(line) } else { line.to_owned() } + "\n")
        .collect();
    let program = Program::new().with_file("slos/a.yaml", SLO).with_file("past.jsonl", &outage);
    // Of what is left of the outage's hour: the same rule fires already.
    let ran = chaos(&program, "share=0.1; from=+2h30m; for=5m", &["--json"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    let slo = &ran.json()["faults"][0]["slos"][0];
    assert!(slo["reason"].as_str().expect("a reason").contains("fires without the fault, too"), "{slo}");
}

#[test]
fn an_alert_that_only_comes_earlier_is_no_sight_of_the_fault() {
    let example = |kind: &str, end: &str| {
        format!("{}/ops/examples/{kind}/checkout-availability.{end}", env!("CARGO_MANIFEST_DIR"))
    };
    let (slos, events) = (example("slos", "yaml"), example("events", "jsonl"));
    let fault = "from=+1h; for=5m; share=0.1";
    let ran = Program::new().run(&["chaos", "--slos", &slos, "--input", &events, "--fault", fault, "--json"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    let slo = &ran.json()["faults"][0]["slos"][0];
    let reason = slo["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("it only came earlier: the recording raises it at 2026-06-01T10:21:10"), "{slo}");
    assert_eq!((&slo["seen"], &slo["first"], &slo["named"]), (&json!(false), &Value::Null, &json!([])), "{slo}");
}

#[test]
fn without_burn_rates_there_were_too_few_events_and_no_rule_is_missing() {
    // Three events a minute, of which a minute needs five to count.
    let few: String = traffic().lines().step_by(10).map(|line| format!("{line}\n")).collect();
    let minutes = SLO
        .replace(
            "metadata: {name: availability}",
            "metadata: {name: availability, annotations: {tailburn.dev/timeslice-min-events: \"5\"}}",
        )
        .replace("Occurrences", "Timeslices")
        .replace("target: 0.999", "target: 0.999, timeSliceTarget: 0.95, timeSliceWindow: 1m");
    let program = Program::new().with_file("slos/a.yaml", &minutes).with_file("past.jsonl", &few);
    let ran = chaos(&program, "from=+2h; for=15m", &["--json"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    let reason = &ran.json()["faults"][0]["slos"][0]["reason"];
    assert_eq!(reason, "none of its rules had a burn rate: too few events in the recording");
}

#[test]
fn what_cannot_be_read_as_often_as_it_must_be_is_no_fault_that_nobody_sees() {
    let program = program();
    let of = |input: &str| {
        program.run(&["chaos", "--slos", "slos", "--input", input, "--fault", "tenant=acme; from=+2h; for=15m"])
    };
    let ran = run_in_shell(&program, "chaos --slos slos --input <(cat past.jsonl) --fault 'from=+2h; for=15m'");
    assert_eq!(ran.code, Some(78), "{}{}", ran.stdout, ran.stderr);
    assert!(flat(&ran.stderr).contains(": the recording is read several times; write it to a file"), "{}", ran.stderr);
    cut_off(&program, "cut.jsonl.gz", &traffic());
    let ran = of("cut.jsonl.gz");
    assert_eq!(ran.code, Some(78), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("cannot read cut.jsonl.gz"), "{}", ran.stderr);
}

#[test]
fn a_matrix_has_a_row_a_share_and_a_column_a_length() {
    let program = program();
    let args = ["--matrix", "shares=0.001,1", "for=2m,15m"];
    let ran = chaos(&program, "tenant=acme; from=+2h", &args);
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    let rows: Vec<&str> = ran.stdout.lines().collect();
    assert!(rows[1].contains("for 2m") && rows[1].contains("for 15m"), "{}", ran.stdout);
    assert!(rows[2].trim_start().starts_with("0.1 %") && rows[2].matches("NOT SEEN").count() == 2, "{}", ran.stdout);
    assert!(rows[3].trim_start().starts_with("100 %") && rows[3].matches("page ").count() == 2, "{}", ran.stdout);
    let json = chaos(&program, "tenant=acme; from=+2h", &[&args[..], &["--json"]].concat()).json();
    assert_eq!(json["faults"].as_array().map(Vec::len), Some(4));
    // Alone, the same fault says the same.
    let alone = chaos(&program, "tenant=acme; from=+2h; for=15m", &["--json"]).json();
    assert_eq!(json["faults"][3], alone["faults"][0]);
}

#[test]
fn each_slo_fails_in_the_way_that_it_notices() {
    let latency = SLO.replace("name: availability", "name: latency").replace("status < 500", "latency_ms <= 300.0");
    let quality = SLO.replace("name: availability", "name: quality").replace("status < 500", "measures.quality > 0.5");
    let program = program().with_file("slos/latency.yaml", &latency).with_file("slos/quality.yaml", &quality);
    let ran = chaos(&program, "from=+2h; for=15m", &["--json"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let report = ran.json();
    let slos = report["faults"][0]["slos"].as_array().expect("SLOs");
    let kinds: Vec<_> = slos.iter().map(|slo| (&slo["slo"], &slo["kind"], &slo["seen"])).collect();
    let expected = [
        (json!("availability"), json!("error"), json!(true)),
        (json!("latency"), json!("slow"), json!(true)),
        (json!("quality"), Value::Null, json!(false)),
    ];
    assert_eq!(kinds, expected.iter().map(|(a, b, c)| (a, b, c)).collect::<Vec<_>>());
    let text = flat(&chaos(&program, "from=+2h; for=15m", &[]).stdout);
    let told =
        "quality: not judged: the fault turns none of its good events bad. Say how they fail with set.FIELD=VALUE";
    assert!(text.contains(told), "{text}");
}

#[test]
fn a_fault_that_changes_nothing_is_refused_with_a_remedy() {
    let of_journey = traffic().replace("\"status\"", "\"journey\":\"order\",\"step\":\"pay\",\"status\"");
    let program = program().with_file("past.jsonl", &of_journey);
    for (fault, told) in [
        ("tenant=acne; from=+2h; for=15m", "in the recording tenant is acme, globex"),
        ("status=503; from=+2h; for=15m", "in the recording status is 200"),
        ("journey=buy; from=+2h; for=15m", "in the recording journey is order"),
        ("step=ship; from=+2h; for=15m", "in the recording step is pay"),
        ("tenant=acme; from=+20h; for=15m", "outside the recording"),
        ("tenant=acme; from=+2h; for=15m; kind=slow", "as in set.measures.quality=0.1"),
        ("region=eu; from=+2h; for=15m", "did you mean `attributes.region`?"),
        ("tenant=acme; from=+2h", "it has no `for`"),
    ] {
        let ran = chaos(&program, fault, &[]);
        assert_eq!(ran.code, Some(78), "{fault}: {}{}", ran.stdout, ran.stderr);
        assert!(flat(&ran.stderr).contains(told), "{fault}: {}", ran.stderr);
    }
    assert_eq!(chaos(&program, "from=+2h; for=1m", &["--matrix", "sizes=3"]).code, Some(78));
    let missing = program.run(&["chaos", "--slos", "slos", "--input", "gone.jsonl", "--fault", "from=+2h; for=1m"]);
    assert!(missing.code == Some(78) && missing.stderr.contains("gone.jsonl"), "{}", missing.stderr);
    let stdin = program.run(&["chaos", "--slos", "slos", "--input", "-", "--fault", "from=+2h; for=1m"]);
    assert_eq!(stdin.code, Some(2), "{}", stdin.stderr);
}

/// The arguments of a line of the help.
fn arguments(line: &str) -> Vec<String> {
    let quoted = |(i, part): (usize, &str)| match i % 2 {
        1 => vec![part.to_owned()],
        _ => part.split_whitespace().map(str::to_owned).collect(),
    };
    line.trim().trim_start_matches("tailburn ").split('"').enumerate().flat_map(quoted).collect()
}

#[test]
fn the_examples_of_the_help_run() {
    let slow = SLO.replace("name: availability", "name: latency").replace("status < 500", "latency_ms <= 300.0");
    let program = program().with_file("slos/latency.yaml", &slow);
    let help = program.run(&["chaos", "--help"]).stdout;
    let words = flat(&help);
    for told in
        ["when it begins: so long after the first event, or at a time as in", "Another number hits other events"]
    {
        assert!(words.contains(told), "{told}: {help}");
    }
    let help = help.replace("\\\n", " ");
    let examples: Vec<&str> = help.lines().filter(|line| line.starts_with("  tailburn chaos")).collect();
    assert_eq!(examples.len(), 3, "{help}");
    for example in examples {
        let args = arguments(example);
        let ran = program.run(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(matches!(ran.code, Some(0 | 1)) && !ran.stdout.is_empty(), "{example}: {}{}", ran.stdout, ran.stderr);
    }
}
