//! The gate, the webhooks of Flagger, and the examples for controllers.

use super::api::status;
use super::*;
use serde_json::json;

fn verdict(verdict: &str) -> Update {
    let json = json!({"slo": "a", "candidate": "canary", "verdict": verdict, "reason": "told"});
    Update::Canary { key: "a|*|canary".into(), json: json.to_string().into() }
}

impl Running {
    fn post(&self, path: &str, body: &str) -> u16 {
        let answer = self.posted(path, body);
        answer.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status")
    }

    fn posted(&self, path: &str, body: &str) -> String {
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
        self.answer(&format!("{head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()))
    }
}

#[test]
fn a_gate_says_the_worst_of_a_service() {
    let running = Running::new(10);
    assert_eq!(running.get("/api/v1/gate/a-service").0, 404);
    running.board.publish([status("a", None, Some(0.9)), status("b", None, Some(0.1))]);
    let gate = |service: &str| {
        let gate = running.page(&format!("/api/v1/gate/{service}"));
        (gate["action"].as_str().expect("an action").to_owned(), gate["is_open"] == true)
    };
    assert_eq!((gate("a-service"), gate("b-service")), (("ship".into(), true), ("caution".into(), true)));
    let page = |firing| Update::Alert {
        key: "a|aggregate".into(),
        id: "1".into(),
        firing,
        json: json!({"severity": "page", "title": "it burns"}).to_string().into(),
    };
    running.board.publish([page(true)]);
    assert_eq!(gate("a-service"), ("freeze".into(), false));
    running.board.publish([page(false)]);
    assert_eq!(gate("a-service"), ("ship".into(), true));
}

/// Flagger takes 200, 201 and 202 for yes; what is undecided is no reason to go on, nor to roll back.
#[test]
fn flagger_goes_on_once_the_verdict_passes_and_rolls_back_once_it_fails() {
    let running = Running::new(10);
    let hook = r#"{"name":"app","namespace":"prod","phase":"Progressing","metadata":{"slo":"a","candidate":"canary"}}"#;
    let both = || (running.post("/api/v1/flagger/rollout", hook), running.post("/api/v1/flagger/rollback", hook));
    assert_eq!(both(), (409, 409), "nothing is known");
    for (told, expected) in [("inconclusive", (409, 409)), ("pass", (200, 409)), ("fail", (409, 200))] {
        running.board.publish([verdict(told)]);
        assert_eq!(both(), expected, "{told}");
    }
    let refused = running.posted("/api/v1/flagger/rollout", hook);
    assert!(refused.contains("content-type: text/plain") && refused.ends_with("\r\n\r\nfail: told\n"), "{refused}");
    assert_eq!(running.post("/api/v1/flagger/rollout", "{}"), 400);
    assert_eq!(running.post("/api/v1/flagger/rollout", "no JSON"), 400);
}

/// The paths into answers that the examples have, on real answers.
#[test]
fn the_examples_for_controllers_read_what_is_there() {
    let running = Running::new(10);
    running.board.publish([verdict("pass")]);
    let argo = include_str!("../../../ops/examples/argo-rollouts.yaml");
    let field = |name: &str| {
        let line = argo.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
        line.trim().trim_matches('"').to_owned()
    };
    let (_, path) =
        field("url:").split_once("8720").map(|(host, path)| (host.to_owned(), path.to_owned())).expect("a port");
    let path = path.replace("{{args.slo}}", "a").replace("{{args.candidate}}", "canary");
    let answer = running.page(&path);
    let wanted = field("jsonPath:");
    let name = wanted.strip_prefix("{$.").and_then(|rest| rest.strip_suffix('}')).expect("a path");
    assert_eq!(answer[name], "pass");
    assert!(field("successCondition:").contains("pass") && field("failureCondition:").contains("fail"));
    let flagger = include_str!("../../../ops/examples/flagger.yaml");
    for hook in ["rollout", "rollback"] {
        let path = format!("/api/v1/flagger/{hook}");
        assert!(flagger.contains(&path), "{path}");
        assert_ne!(running.post(&path, r#"{"metadata":{"slo":"a","candidate":"canary"}}"#), 404);
    }
}
