//! Records of LiteLLM's proxy through the preset, and the SLOs for them, against a brute force that reads the raw records.

use crate::program::Program;
use serde_json::{Value, json};

const RECORDS: &str = include_str!("../../ops/examples/llm/litellm.jsonl");
const SLOS: [(&str, &str); 8] = [
    ("availability", include_str!("../../ops/examples/slos/llm/availability.yaml")),
    ("abandonment", include_str!("../../ops/examples/slos/llm/abandonment.yaml")),
    ("first-token", include_str!("../../ops/examples/slos/llm/first-token.yaml")),
    ("inter-token", include_str!("../../ops/examples/slos/llm/inter-token.yaml")),
    ("goodput", include_str!("../../ops/examples/slos/llm/goodput.yaml")),
    ("refusals", include_str!("../../ops/examples/slos/llm/refusals.yaml")),
    ("tokens", include_str!("../../ops/examples/slos/llm/tokens.yaml")),
    ("cost", include_str!("../../ops/examples/slos/llm/cost.yaml")),
];

/// Good and bad records of each SLO, counted by hand.
const FIGURES: [(&str, u32, u32); 8] = [
    ("availability", 9, 4),
    ("abandonment", 13, 1),
    ("first-token", 5, 1),
    ("inter-token", 3, 1),
    ("goodput", 4, 6),
    ("refusals", 12, 1),
    ("tokens", 5, 1),
    ("cost", 6, 1),
];

fn checked(records: &str) -> Value {
    let program = SLOS
        .iter()
        .fold(Program::new(), |program, (name, text)| program.with_file(&format!("slos/{name}.yaml"), text))
        .with_file("records.jsonl", records);
    let args = ["check", "--json", "--slos", "slos", "--limit", "100", "--input", "records.jsonl"];
    program.run(&[&args[..], &["--set", "input.preset=litellm"]].concat()).json()
}

/// What somebody who knows LiteLLM says of one record: `None` if it does not count.
fn by_hand(slo: &str, r: &Value) -> Option<bool> {
    let error = &r["error_information"];
    let (code, class) = (error["error_code"].as_str().unwrap_or(""), error["error_class"].as_str().unwrap_or(""));
    let kind = error["normalized_error"].as_str().unwrap_or("");
    let is_unknown = ["ProxyModelNotFoundError", "KeyNotFoundError"].contains(&class);
    let is_stranger = is_unknown
        || class == "Exception" && code.is_empty()
        || ["ProxyException", "HTTPException"].contains(&class) && code == "401"
        || error["error_message"] == "No connected db.";
    if r["cache_hit"] == json!(true) || is_stranger {
        return None;
    }
    let has_left = code == "499";
    let is_answer = r["status"] == "success" && !has_left;
    let is_stream = is_answer && r["stream"] == json!(true);
    // In milliseconds, by whole microseconds.
    let micros = |name: &str| (r[name].as_f64().expect("a time") * 1e6).round() as i64;
    let first = micros("completionStartTime") - micros("startTime");
    let tokens = r["completion_tokens"].as_i64().expect("tokens");
    let flow = (tokens > 1).then(|| (micros("endTime") - micros("completionStartTime")) as f64 / (tokens - 1) as f64);
    let all_tokens = r["total_tokens"].as_i64().filter(|tokens| *tokens > 0);
    let is_ours = ["5", "408", "429"].iter().any(|digits| kind.starts_with(digits)) || class == "AuthenticationError";
    match slo {
        "availability" => (!has_left).then_some(!is_ours),
        "abandonment" => Some(!has_left),
        "first-token" => is_stream.then_some(first <= 800_000),
        "inter-token" => flow.filter(|_| is_stream).map(|micros| micros <= 50_000.0),
        "goodput" => {
            let is_good = is_stream && first <= 800_000 && flow.is_none_or(|micros| micros <= 50_000.0);
            (is_stream || is_ours).then_some(is_good)
        }
        "refusals" => (!has_left).then_some(code != "content_policy_violation"),
        "tokens" => all_tokens.filter(|_| is_answer).map(|tokens| tokens <= 4_000),
        "cost" => is_answer.then(|| r["response_cost"].as_f64().expect("a cost") <= 0.05),
        other => panic!("{other}"),
    }
}

#[test]
fn the_slos_for_llm_gateways_say_what_people_would() {
    let report = checked(RECORDS);
    let told = report["records"].as_array().expect("records");
    let records: Vec<Value> = RECORDS.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(told.len(), records.len(), "{report}");
    for (name, good, bad) in FIGURES {
        let mut counted = (0, 0);
        for (number, (told, record)) in told.iter().zip(&records).enumerate() {
            let verdicts = told["verdicts"].as_array().unwrap_or_else(|| panic!("record {number}: {told}"));
            let verdict = verdicts.iter().find(|v| v["slo"] == format!("llm-{name}")).expect("a verdict");
            let expected = match by_hand(name, record) {
                None => "excluded",
                Some(true) => "good",
                Some(false) => "bad",
            };
            assert_eq!(verdict["verdict"], expected, "{name}, record {number}: {verdict} {}", told["fields"]);
            counted.0 += u32::from(expected == "good");
            counted.1 += u32::from(expected == "bad");
        }
        assert_eq!(counted, (good, bad), "{name}");
    }
    let decided = |number: usize| {
        let verdicts = told[number]["verdicts"].as_array().expect("verdicts");
        let goodput = verdicts.iter().find(|v| v["slo"] == "llm-goodput").expect("goodput");
        goodput["decided_by"].as_str().expect("a part").to_owned()
    };
    assert!(decided(4).ends_with("status < 400"), "an error comes first: {}", decided(4));
    assert!(decided(2).contains("measures['ttft_ms'] <= 800.0"), "then the first token: {}", decided(2));
    assert!(decided(1).contains("measures['inter_token_ms'] <= 50.0"), "then the flow: {}", decided(1));
}

/// A guardrail of one's own may raise a bare `Exception`, as a check of keys does.
#[test]
fn a_bare_exception_with_an_error_code_is_no_stranger() {
    let failed = |code: &str, kind: &str| {
        let error = json!({"error_code": code, "error_class": "Exception", "normalized_error": kind});
        bare(1_768_000_000.0, 1_768_000_000.1, 1_768_000_000.1, "failure", &error)
    };
    let records = [failed("500", "500_INTERNAL"), failed("", "UNCLASSIFIED")].join("\n");
    let report = checked(&records);
    let verdict = |number: usize| {
        let verdicts = report["records"][number]["verdicts"].as_array().expect("verdicts");
        verdicts.iter().find(|v| v["slo"] == "llm-availability").expect("availability")["verdict"].clone()
    };
    assert_eq!((verdict(0), verdict(1)), (json!("bad"), json!("excluded")), "{report}");
}

#[test]
fn a_backtest_counts_the_records_as_people_would() {
    let program = SLOS
        .iter()
        .fold(Program::new(), |program, (name, text)| program.with_file(&format!("slos/{name}.yaml"), text))
        .with_file("records.jsonl", RECORDS);
    let args = ["backtest", "--slos", "slos", "--input", "records.jsonl", "--out", "out"];
    let ran = program.run(&[&args[..], &["--set", "input.preset=litellm"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let text = std::fs::read_to_string(program.path().join("out/slo-status.jsonl")).expect("statuses");
    let statuses: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for (name, good, bad) in FIGURES {
        let is_ours = |s: &&Value| s["slo"] == format!("llm-{name}") && s["scope"] == "aggregate";
        let status = statuses.iter().rfind(is_ours).expect("a status");
        let window = status["windows"].as_array().and_then(|windows| windows.last()).expect("28 days");
        let counted = (window["good"].as_f64(), window["bad"].as_f64());
        assert_eq!(counted, (Some(f64::from(good)), Some(f64::from(bad))), "{name}");
        let burn = f64::from(bad) / f64::from(good + bad) / (1.0 - status["objective"].as_f64().expect("an objective"));
        let left = status["budget_remaining"].as_f64().expect("a budget");
        assert!((left - (1.0 - burn)).abs() < 1e-9, "{name}: {left}");
    }
    // Guards hold all of it back: 14 records are too few to wake anybody.
    let alerts = std::fs::read_to_string(program.path().join("out/burn-alerts.jsonl")).expect("alerts");
    assert_eq!(alerts.lines().filter(|line| line.contains("\"scope\":\"aggregate\"")).count(), 0, "{alerts}");
}

/// From an alert to the clause that failed: the exemplar has the trace, and `check` says of its record what decided.
#[test]
fn an_exemplar_of_goodput_leads_to_the_clause_that_failed() {
    let none = json!({"error_code": "", "error_class": "", "normalized_error": null});
    // An hour of streams; after ten minutes every first token is late.
    let stream = |i: usize| {
        let at = 1_768_000_000.0 + i as f64 * 20.0;
        let text = bare(at, at + if i < 30 { 0.4 } else { 2.5 }, at + 6.0, "success", &none);
        let mut record: Value = serde_json::from_str(&text).expect("JSON");
        (record["trace_id"], record["end_user"]) = (json!(format!("trace-{i}")), json!(format!("u{}", i % 40)));
        record.to_string()
    };
    let records: Vec<String> = (0..180).map(stream).collect();
    let program = Program::new().with_file("slos/goodput.yaml", SLOS[4].1).with_file("past.jsonl", &records.join("\n"));
    let preset = ["--set", "input.preset=litellm"];
    let args = ["backtest", "--slos", "slos", "--input", "past.jsonl", "--out", "out"];
    let ran = program.run(&[&args[..], &preset].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let alerts = std::fs::read_to_string(program.path().join("out/burn-alerts.jsonl")).expect("alerts");
    let page = alerts.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let page = page.into_iter().find(|a| a["scope"] == "aggregate" && a["severity"] == "page").expect("a page");
    let exemplars = page["exemplars"].as_array().expect("exemplars");
    assert_eq!(exemplars.len(), 5, "{page}");
    for exemplar in exemplars {
        let trace = format!("\"trace_id\":{}", exemplar["trace_id"]);
        let record = records.iter().find(|record| record.contains(&trace)).expect("its record");
        std::fs::write(program.path().join("one.jsonl"), record).expect("written");
        let args = ["check", "--json", "--slos", "slos", "--input", "one.jsonl"];
        let report = program.run(&[&args[..], &preset].concat()).json();
        let verdict = &report["records"][0]["verdicts"][0];
        let decided = verdict["decided_by"].as_str().expect("a clause");
        assert!(verdict["verdict"] == "bad" && decided.contains("measures['ttft_ms'] <= 800.0"), "{verdict}");
    }
}

/// A record with no more than the fields that decide, as a gateway writes it.
fn bare(start: f64, first: f64, end: f64, status: &str, error: &Value) -> String {
    let stream = if status == "success" { json!(true) } else { Value::Null };
    json!({"end_user": "anna", "status": status, "stream": stream, "startTime": start, "completionStartTime": first,
           "endTime": end, "response_time": first - start, "call_type": "acompletion", "error_information": error})
    .to_string()
}

#[test]
fn every_kind_of_record_has_the_fields_that_it_means() {
    let error = |code: &str, class: &str, kind: Value| json!({"error_code": code, "error_class": class, "normalized_error": kind});
    let at = 1_768_000_000.0;
    let lines = [
        bare(at, at + 0.4, at + 9.1, "success", &error("", "", Value::Null)),
        bare(
            at,
            at + 0.4,
            at + 7.0,
            "failure",
            &error("", "APIConnectionError", json!("500_PROVIDER_CONNECTION_ERROR")),
        ),
        bare(
            at,
            at + 0.2,
            at + 0.2,
            "failure",
            &error("content_policy_violation", "BadRequestError", json!("400_INVALID_REQUEST")),
        ),
        bare(at, at + 0.2, at + 0.2, "failure", &error("429", "RateLimitError", json!("429_RATE_LIMIT_EXCEEDED"))),
        bare(at, at + 0.03, at + 5.0, "success", &error("499", "ClientDisconnected", Value::Null)),
        bare(at, at + 0.001, at + 0.001, "failure", &error("", "Exception", json!("UNCLASSIFIED"))),
    ];
    let report = checked(&lines.join("\n"));
    // Status, latency, time to the first chunk, error, whether it is a stream and whether it was refused.
    let expected = [
        json!([200, 9100.0, 400.0, null, "true", null]),
        json!([500, 7000.0, 400.0, "500_PROVIDER_CONNECTION_ERROR", null, null]),
        json!([400, 200.0, 200.0, "400_INVALID_REQUEST", null, "true"]),
        json!([429, 200.0, 200.0, "429_RATE_LIMIT_EXCEEDED", null, null]),
        json!([499, 5000.0, 30.0, "ClientDisconnected", "true", null]),
        json!([401, 1.0, 1.0, "UNCLASSIFIED", null, null]),
    ];
    for (number, expected) in expected.iter().enumerate() {
        let f = &report["records"][number]["fields"];
        let (measures, attributes) = (&f["measures"], &f["attributes"]);
        let seen = json!([
            f["status"],
            f["latency_ms"],
            measures["ttft_ms"],
            f["error_type"],
            attributes["stream"],
            attributes["refused"]
        ]);
        assert_eq!(seen, *expected, "record {number}: {f}");
        assert_eq!(
            (&f["tenant"], &f["user"], &f["operation"]),
            (&json!("default"), &json!("anna"), &json!("acompletion"))
        );
    }
    let notices = report["record_notices"].to_string();
    let nothing = "these paths had a value in 0 of 6 records: ";
    assert!(notices.contains(nothing) && notices.contains("`trace_id` of `trace_id`"), "{notices}");
    assert!(!notices.contains("has no entry for"), "the preset names every field that a record has: {notices}");
}

#[test]
fn the_master_key_s_user_is_nobody_and_a_mapping_of_one_s_own_wins() {
    let record = |user: &str| {
        format!(
            "{{\"endTime\":1768000000.5,\"status\":\"success\",\"metadata\":{{\"user_api_key_user_id\":\"{user}\",\"team\":\"search\"}}}}"
        )
    };
    let program = Program::new()
        .with_file("slos/a.yaml", SLOS[0].1)
        .with_file("records.jsonl", &[record("default_user_id"), record("ben")].join("\n"))
        .with_file(
            "tailburn.yaml",
            "input:\n  preset: litellm\n  mapping:\n    tenant: metadata.team\n    attributes.model: null\n",
        );
    let report = program.run(&["check", "--json", "--input", "records.jsonl"]).json();
    let field = |number: usize, name: &str| report["records"][number]["fields"][name].clone();
    assert_eq!((field(0, "user"), field(1, "user")), (Value::Null, json!("ben")));
    assert_eq!((field(0, "tenant"), field(0, "timestamp")), (json!("search"), json!("2026-01-09T23:06:40.500Z")));
    let shown = program.run(&["config", "show"]).stdout;
    let line = |key: &str| shown.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
    assert!(line("input.mapping.tenant:").ends_with("# tailburn.yaml:4"), "{shown}");
    assert!(line("input.mapping.status:").ends_with("# preset litellm, version 2"), "{shown}");
    assert!(line("input.default_tenant:").ends_with("# preset litellm, version 2"), "{shown}");
    assert_eq!(line("input.mapping.attributes.model:"), "", "null takes an entry of the preset away");
}

#[test]
fn init_writes_the_preset_and_its_slos() {
    let program = Program::new();
    let ran = program.run(&["init", "--preset", "litellm"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let checked = program.with_file("records.jsonl", RECORDS).run(&["check", "--input", "records.jsonl"]);
    assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
    assert!(checked.stdout.contains("llm-goodput: bad by"), "{}", checked.stdout);
    assert_eq!(Program::new().run(&["init", "--preset", "lightllm"]).code, Some(2));
}

#[test]
fn a_first_token_that_is_an_empty_chunk_is_told_by_check_and_by_backtest() {
    let stream = |i: usize, first: f64| {
        let at = 1_768_000_000.0 + i as f64 * 60.0;
        bare(
            at,
            at + first,
            at + 4.0,
            "success",
            &json!({"error_code": "", "error_class": "", "normalized_error": null}),
        )
    };
    let told = |at_once: usize| {
        let lines: Vec<String> = (0..30).map(|i| stream(i, if i < at_once { 0.02 } else { 0.4 })).collect();
        let program = Program::new().with_file("a.yaml", SLOS[2].1).with_file("r.jsonl", &lines.join("\n"));
        let set = ["--set", "input.preset=litellm"];
        let check = program.run(&[&["check", "--slos", "a.yaml", "--input", "r.jsonl"][..], &set].concat()).stdout;
        let backtest = ["backtest", "--slos", "a.yaml", "--input", "r.jsonl", "--out", "out"];
        let summary = program.run(&[&backtest[..], &set].concat()).stderr;
        [check, summary].map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    for text in told(16) {
        assert!(text.contains("is below 50 ms in 16 of 30 streams: that is the time to the first chunk"), "{text}");
    }
    assert!(told(15).iter().all(|text| !text.contains("first chunk")), "half of them are not most");
}

#[test]
fn unclassified_successes_are_told_with_the_field_that_they_lack() {
    // Only failures have a status here.
    let line = |i: usize| match i {
        0..5 => {
            format!(
                "{{\"tenant\":\"a\",\"operation\":\"checkout\",\"timestamp\":{},\"status\":503}}",
                1_768_000_000_000i64 + i as i64 * 1_000
            )
        }
        _ => format!(
            "{{\"tenant\":\"a\",\"operation\":\"checkout\",\"timestamp\":{}}}",
            1_768_000_000_000i64 + i as i64 * 1_000
        ),
    };
    let lines: Vec<String> = (0..45).map(line).collect();
    let program = Program::new()
        .with_file("a.yaml", include_str!("../fixtures/availability.yaml"))
        .with_file("r.jsonl", &lines.join("\n"));
    let summary = program.run(&["backtest", "--slos", "a.yaml", "--input", "r.jsonl", "--out", "out"]).stderr;
    let summary = summary.split_whitespace().collect::<Vec<_>>().join(" ");
    let successes = "40 of these 40 are successes, while 5 of 5 failures count: the SLI is too low.";
    assert!(summary.contains("reads `status`, which is absent") && summary.contains(successes), "{summary}");
}
