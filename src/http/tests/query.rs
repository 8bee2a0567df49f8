//! Instant queries in the form of Prometheus' API, and requests that pages of others send.

use super::api::{board, status};
use super::*;
use serde_json::json;

fn canary(verdict: &str, burn: Option<f64>) -> Update {
    let json = json!({
        "slo": "a", "tenant": null, "candidate": "v2", "verdict": verdict, "at": "2026-06-01T12:00:00.000Z",
        "requests_candidate": 40, "sli_candidate": 0.9, "burn_candidate": burn,
    });
    Update::Canary { key: "a|*|v2".into(), json: json.to_string().into() }
}

/// 2026-06-01T12:00:00Z, the T of the records.
const T: f64 = 1_780_315_200.0;

impl Running {
    fn asks(&self, query: &str) -> Value {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = self.page(&format!("/api/v1/query?query={encoded}"));
        assert_eq!(answer["status"], "success");
        answer["data"].clone()
    }

    /// POST of a form, with these headers more.
    fn posts(&self, form: &str, more: &str) -> (u16, String) {
        let head =
            "POST /api/v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n";
        let text =
            self.answer(&format!("{head}{more}Content-Length: {}\r\nConnection: close\r\n\r\n{form}", form.len()));
        let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        (status, text.split_once("\r\n\r\n").expect("a body").1.to_owned())
    }
}

#[test]
fn what_clients_ask_first_is_answered() {
    let running = Running::new(1);
    let vector = running.asks("vector(1)");
    assert_eq!((&vector["resultType"], &vector["result"][0]["metric"]), (&json!("vector"), &json!({})));
    assert_eq!(vector["result"][0]["value"][1], "1");
    let sum = running.asks("1+1");
    assert_eq!((&sum["resultType"], &sum["result"][1]), (&json!("scalar"), &json!("2")));
}

#[test]
fn a_figure_is_the_one_of_its_record_with_its_time() {
    let running = board();
    let burn = running.asks(r#"tailburn_slo_burn_rate{slo="a",window="1h"}"#);
    let expected = json!([{
        "metric": {"__name__": "tailburn_slo_burn_rate", "slo": "a", "window": "1h"}, "value": [T, "2"],
    }]);
    assert_eq!(burn, json!({"resultType": "vector", "result": expected}));
    let count = |query: &str| running.asks(query)["result"].as_array().map(Vec::len);
    assert_eq!(count("tailburn_slo_burn_rate{window=\"1h\"}"), Some(3));
    assert_eq!(count("tailburn_slo_budget_remaining_ratio"), Some(2), "one has none: it is left out");
    assert_eq!(count("tailburn_slo_burn_rate{slo=\"nosuch\"}"), Some(0));
    assert_eq!(running.asks("tailburn_keys{slo=\"a\"}")["result"][0]["value"][1], "3");
}

#[test]
fn candidates_are_there_and_a_null_figure_is_not() {
    let running = Running::new(10);
    running.board.publish([canary("inconclusive", None)]);
    assert_eq!(running.asks("tailburn_canary_burn_rate")["result"], json!([]));
    running.board.publish([canary("fail", Some(12.5))]);
    let value = |query: &str| running.asks(query)["result"][0]["value"][1].clone();
    assert_eq!(value(r#"tailburn_canary_burn_rate{slo="a",candidate="v2"}"#), "12.5");
    assert_eq!(value(r#"tailburn_canary_verdict{verdict="fail"}"#), "1");
    assert_eq!(value(r#"tailburn_canary_verdict{verdict="pass"}"#), "0");
}

#[test]
fn what_stands_still_is_not_shown_as_news() {
    let running = board();
    let count = |time: f64| {
        let answer = running.page(&format!("/api/v1/query?query=tailburn_slo_objective_ratio&time={time}"));
        answer["data"]["result"].as_array().map(Vec::len)
    };
    assert_eq!((count(T), count(T + 299.0), count(T - 20.0)), (Some(3), Some(3), Some(3)));
    assert_eq!((count(T + 300.0), count(T - 31.0)), (Some(0), Some(0)));
    assert_eq!(running.get("/api/v1/query?query=1&time=noon").0, 400);
    assert_eq!(running.get("/api/v1/query?query=1&time=2026-06-01T12:00:00Z").0, 200);
}

#[test]
fn a_misspelt_metric_is_told_and_a_language_that_is_not_spoken_too() {
    let running = board();
    let answer = running.page("/api/v1/query?query=tailburn_slo_burnrate");
    assert_eq!(answer["data"]["result"], json!([]));
    assert!(answer["warnings"][0].as_str().is_some_and(|text| text.contains("tailburn_slo_burnrate")), "{answer}");
    let (status, body) = running.get("/api/v1/query?query=sum(tailburn_keys)");
    let error: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &error["status"], &error["errorType"]), (400, &json!("error"), &json!("bad_data")));
    assert_eq!(running.get("/api/v1/query").0, 400);
}

#[test]
fn a_form_is_read_as_an_address_is() {
    let running = board();
    let (status, body) = running.posts("query=tailburn_slo_sli_ratio%7Bslo%3D%22a%22%7D&time=1780315200.5", "");
    assert_eq!(status, 200, "{body}");
    assert!(body.contains(r#""value":[1780315200.0,"0.99975"]"#), "{body}");
    assert_eq!(running.posts("", "").0, 400);
    assert_eq!(running.posts(&format!("query={}", "a".repeat(20_000)), "").0, 400);
}

#[test]
fn a_page_of_another_origin_may_ask_nothing() {
    let running = board();
    assert_eq!(running.posts("query=1", "Origin: http://localhost\r\n").0, 200);
    assert_eq!(running.posts("query=1", "").0, 200);
    for foreign in ["http://evil.example", "null"] {
        let (status, body) = running.posts("query=1", &format!("Origin: {foreign}\r\n"));
        assert_eq!(status, 403, "{body}");
    }
    let get =
        "GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\nConnection: close\r\n\r\n";
    assert!(running.answer(get).starts_with("HTTP/1.1 403 "));
}

#[test]
fn a_tenants_token_has_no_figures_of_others() {
    let running = super::access::guarded();
    running.board.publish([status("a", None, Some(0.5))]);
    let path = "/api/v1/query?query=tailburn_slo_objective_ratio";
    assert_eq!((running.with("mine", path).0, running.with("all", path).0, running.get(path).0), (404, 200, 401));
}

/// The address and the query of Flagger's metric template, on a real answer.
#[test]
fn the_metric_template_of_flagger_reads_what_is_there() {
    let running = Running::new(10);
    let template = include_str!("../../../ops/examples/flagger-metrics.yaml");
    let queries: Vec<&str> = template.lines().filter_map(|line| line.trim().strip_prefix("query: ")).collect();
    assert_eq!(queries.len(), 2, "{template}");
    running.board.publish([canary("fail", Some(12.5))]);
    for query in queries {
        let query =
            query.trim_matches('\'').replace("{{ variables.slo }}", "a").replace("{{ variables.candidate }}", "v2");
        let found = running.asks(&query);
        assert_eq!(found["result"].as_array().map(Vec::len), Some(1), "{query}: Flagger takes the last of several");
    }
    assert!(template.contains("address: http://tailburn:8720"), "Flagger adds /api/v1/query to it");
}
