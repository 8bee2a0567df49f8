//! What goes over the wire: the JSON that each receiver asks for.

use super::{Story, alert, plan};
use crate::notify::sink::{Request, request};
use crate::notify::{Matcher, Plan};
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// The requests of a story in which one page fires and ends.
fn requests(receiver: Json) -> Vec<Request> {
    let plan = plan(json!({"r": receiver}), json!([{"receiver": "r"}]));
    let mut story = Story::new(&plan);
    story.record(&alert("a|tenant|acme", "page", "firing", 1, 1, 0));
    story.until(30);
    story.record(&alert("a|tenant|acme", "page", "resolved", 1, 2, 30));
    story.until(1_000);
    story.told.iter().map(|(_, content)| request(&plan.receivers[0], content, "/tailburn/app")).collect()
}

/// What PagerDuty's reference of the Events API v2 asks for.
#[test]
fn pagerduty_gets_a_trigger_and_a_resolve_of_one_incident() {
    let all = requests(json!({"type": "pagerduty", "routing_key": "R123", "url": "http://localhost/v2/enqueue"}));
    let [trigger, resolve] = all.as_slice() else { panic!("{all:?}") };
    let body = &trigger.body;
    assert_eq!((&body["routing_key"], &body["event_action"]), (&json!("R123"), &json!("trigger")));
    let payload = &body["payload"];
    let summary = payload["summary"].as_str().expect("a summary");
    assert!(!summary.is_empty() && summary.chars().count() <= 1_024, "{summary}");
    assert_eq!((&payload["source"], &payload["severity"]), (&json!("/tailburn/app"), &json!("critical")));
    assert!(payload["timestamp"].as_str().is_some_and(|at| at.ends_with('Z') && at.len() == 24), "{payload}");
    assert_eq!(
        (&payload["component"], &payload["group"], &payload["class"]),
        (&json!("a"), &json!("checkout"), &json!("alert"))
    );
    assert_eq!(payload["custom_details"]["alerts"][0]["affected_users"], 7);
    assert_eq!(body["links"], json!([{"href": "https://run.example.com/x", "text": "Runbook"}]));
    let key = body["dedup_key"].as_str().expect("a key");
    assert!((1..=255).contains(&key.len()));
    assert_eq!(resolve.body, json!({"routing_key": "R123", "event_action": "resolve", "dedup_key": key}));
    let shown = requests_shown();
    assert!(!shown.contains("R123") && shown.contains("[redacted]"), "{shown}");
}

fn requests_shown() -> String {
    let plan = plan(
        json!({"r": {"type": "pagerduty", "routing_key": "R123", "url": "http://x/"}}),
        json!([{"receiver": "r"}]),
    );
    let mut story = Story::new(&plan);
    story.record(&alert("a|aggregate", "page", "firing", 1, 1, 0));
    story.until(30);
    format!("{:?} {:?}", request(&plan.receivers[0].redacted(), &story.told[0].1, ""), plan.receivers[0])
}

#[test]
fn a_webhook_gets_cloud_events() {
    let all = requests(json!({"type": "webhook", "url": "http://localhost/x", "token": "T"}));
    assert_eq!(all.len(), 2);
    for (sent, status) in all.iter().zip(["firing", "resolved"]) {
        assert_eq!(sent.content_type, "application/cloudevents+json");
        assert_eq!(sent.authorization.as_deref(), Some("Bearer T"));
        let event = &sent.body;
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["type"], format!("dev.tailburn.notification.{status}"));
        for (name, value) in event.as_object().expect("an object") {
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{name}");
            assert!(name == "data" || value.as_str().is_some_and(|text| !text.is_empty()), "{name}: {value}");
        }
        assert_eq!(event["data"]["changes"][0]["record"]["affected_users"], 7, "the record as it was published");
    }
    assert_eq!(all[0].body["dedupkey"], all[1].body["dedupkey"]);
    assert_ne!(all[0].body["id"], all[1].body["id"]);
}

#[test]
fn alertmanager_gets_labels_that_stay_and_times_that_are_always_there() {
    let all = requests(json!({"type": "alertmanager", "url": "http://localhost:9093/"}));
    assert_eq!(all[0].url, "http://localhost:9093/api/v2/alerts");
    let alerts: Vec<&Json> = all.iter().map(|sent| &sent.body[0]).collect();
    let (first, last) = (alerts[0], alerts[alerts.len() - 1]);
    assert_eq!(first["labels"], last["labels"]);
    for (name, value) in first["labels"].as_object().expect("labels") {
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{name}");
        assert!(value.as_str().is_some_and(|text| !text.is_empty()), "{name}");
    }
    let labels = &first["labels"];
    assert_eq!(
        (&labels["alertname"], &labels["label_team"], &labels["tenant"]),
        (&json!("a"), &json!("payments"), &json!("acme"))
    );
    assert_eq!(labels["id"], "a|tenant|acme-page-1");
    assert!(alerts.iter().all(|alert| alert["startsAt"].is_string() && alert["endsAt"].is_string()));
    assert!(first["endsAt"].as_str() > first["startsAt"].as_str());
    assert!(last["endsAt"].as_str() >= last["startsAt"].as_str(), "{last}");
    assert!(first.get("generatorURL").is_none(), "no address is better than none that can be read");
}

#[test]
fn a_chat_gets_text_with_its_three_characters_escaped() {
    let all = requests(
        json!({"type": "slack", "webhook_url": "http://localhost/T/B/x", "title": "<{{ severity }}> & {{ status }}"}),
    );
    assert_eq!(all[0].body["text"], "&lt;page&gt; &amp; firing");
    let attachment = &all[0].body["attachments"][0];
    assert_eq!(
        (&attachment["color"], &attachment["title_link"]),
        (&json!("danger"), &json!("https://run.example.com/x"))
    );
    assert_eq!(all[1].body["attachments"][0]["color"], "good");
}

fn errors(receivers: Json, routes: Json) -> String {
    let resolve = |text: &str| Ok(text.to_owned());
    let errors = Plan::of(&receivers, &routes, 1, &resolve).map(drop).expect_err("an error");
    errors.iter().map(|error| format!("{error} {}", error.remedy)).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_mistake_of_a_configuration_has_its_key_and_a_remedy() {
    let hook = json!({"type": "webhook", "url": "http://x/"});
    for (receivers, routes, said) in [
        (json!({"a": {"type": "pager"}}), json!([]), "notify.receivers.a.type: `pager` is none of"),
        (json!({"a": {"type": "pagerduty"}}), json!([]), "notify.receivers.a.routing_key: is missing"),
        (json!({"a": {"type": "slack", "url": "http://x"}}), json!([]), "Write webhook_url."),
        (json!({"a": {"type": "webhook", "url": "x"}}), json!([]), "notify.receivers.a.url: is no address"),
        (json!({"a": {"type": "webhook", "url": "http://x", "at_most": "1 per 1m"}}), json!([]), "at least 2"),
        (json!({"a": {"type": "webhook", "url": "http://x", "colour": "red"}}), json!([]), "unknown field `colour`"),
        (json!({"a": {"type": "webhook", "url": "http://x", "title": "{{ titel }}"}}), json!([]), "a.title"),
        (json!({"a": hook}), json!([]), "notify.routes: leads to no receiver"),
        (json!({"a": hook}), json!([{"receiver": "b"}]), "notify.routes.0.receiver: there is no receiver `b`"),
        (json!({"a": hook}), json!([{"receiver": "a", "match": "sevrity=page"}]), "(`severity`?)"),
        (json!({"a": hook}), json!([{"receiver": "a", "group_by": ["team"]}]), "notify.routes.0.group_by"),
        (json!({"a": hook}), json!([{"receiver": "a", "group_wait": "soon"}]), "notify.routes.0.group_wait"),
    ] {
        let text = errors(receivers, routes);
        assert!(text.contains(said), "{said}: {text}");
    }
}

#[test]
fn what_has_no_such_field_is_matched_by_none() {
    let plan = plan(json!({"r": {"type": "webhook", "url": "http://x/"}}), json!([{"receiver": "r"}]));
    assert_eq!(Arc::strong_count(&plan), 1);
    let news = |key: &str| {
        let json = alert(key, "page", "firing", 1, 1, 0).to_string();
        crate::notify::News::of(crate::model::record::Topic::BurnAlerts, json.as_bytes()).expect("read").expect("news")
    };
    let matches = |text: &str, key: &str| Matcher::parse(text).expect("a matcher").matches(&news(key));
    assert!(matches("tenant=acme", "a|tenant|acme") && !matches("tenant!=acme", "a|tenant|acme"));
    assert!(matches("tenant!=acme", "a|tenant|b") && !matches("tenant!=acme", "a|aggregate"));
    assert!(matches("slo=~a|b", "a|aggregate") && !matches("slo=~b", "ab|aggregate"), "the whole value");
}
