//! What is sent when, to whom, and what is not.

use super::story::START_MS;
use super::{Story, alert, plan};
use crate::model::record::Topic;
use crate::notify::{Content, Notice, Outcome};
use serde_json::json;

fn hook() -> serde_json::Value {
    json!({"hook": {"type": "webhook", "url": "http://localhost/x"}})
}

fn story() -> Story {
    Story::new(&plan(
        hook(),
        json!([{"receiver": "hook", "group_by": ["slo"], "group_wait": "10s", "group_interval": "1m"}]),
    ))
}

#[test]
fn a_group_waits_for_its_like_and_says_the_end_when_all_is_over() {
    let mut story = story();
    story.record(&alert("a|tenant|x", "page", "firing", 1, 1, 0));
    story.until(5);
    story.record(&alert("a|tenant|y", "page", "firing", 1, 1, 5));
    story.record(&alert("b|aggregate", "page", "firing", 1, 1, 5));
    story.until(60);
    assert_eq!(story.said(0), ["fired a|tenant|x-page, fired a|tenant|y-page", "fired b|aggregate-page"]);
    story.record(&alert("a|tenant|x", "page", "resolved", 1, 2, 60));
    story.until(200);
    story.record(&alert("a|tenant|y", "page", "resolved", 1, 2, 200));
    story.until(400);
    let said = story.said(0);
    assert_eq!(said[2..], ["ended a|tenant|x-page", "ended a|tenant|y-page"]);
    let messages = story.messages(0);
    let of_a: Vec<_> = messages.iter().filter(|m| m.group["slo"] == "a").collect();
    assert!(of_a.iter().all(|m| m.dedup_key == of_a[0].dedup_key));
    assert_eq!(of_a.iter().map(|m| m.firing).collect::<Vec<_>>(), [2, 1, 0]);
    assert_eq!(of_a[1].at_ms - of_a[0].at_ms, 60_000, "a group has a message a minute at most");
    assert_eq!(story.done(), 5);
}

#[test]
fn the_first_route_decides_unless_it_goes_on() {
    let receivers = json!({
        "a": {"type": "webhook", "url": "http://localhost/a"},
        "b": {"type": "webhook", "url": "http://localhost/b"},
        "c": {"type": "webhook", "url": "http://localhost/c"},
    });
    let routes = json!([
        {"match": ["severity=page"], "receiver": "a", "continue": true},
        {"match": ["tenant=x", "kind=alert", "labels.team=~pay.*"], "receiver": "b"},
        {"match": ["severity=~page|ticket"], "receiver": "c"},
    ]);
    let mut story = Story::new(&plan(receivers, routes));
    for (key, severity) in [("a|tenant|x", "page"), ("a|tenant|y", "page"), ("a|tenant|y", "info")] {
        story.record(&alert(key, severity, "firing", 1, 1, 0));
    }
    story.until(60);
    assert_eq!(story.said(0), ["fired a|tenant|x-page, fired a|tenant|y-page"]);
    assert_eq!(
        (story.said(1), story.said(2)),
        (vec!["fired a|tenant|x-page".into()], vec!["fired a|tenant|y-page".into()])
    );
    assert_eq!(story.kinds(), ["no_route"]);
    assert_eq!(story.done(), 3);
}

#[test]
fn a_ticket_is_not_told_under_its_page_and_is_told_when_the_page_is_over() {
    let mut story = story();
    story.record(&alert("a|aggregate", "page", "firing", 1, 1, 0));
    story.record(&alert("a|aggregate", "ticket", "firing", 1, 1, 0));
    story.record(&alert("a|tenant|x", "ticket", "firing", 1, 1, 0));
    story.until(600);
    assert_eq!(story.said(0), ["fired a|aggregate-page, fired a|tenant|x-ticket"]);
    assert_eq!(story.kinds(), ["held_back"]);
    assert_eq!(story.done(), 3, "a restart does not begin with what is held back");
    story.record(&alert("a|aggregate", "page", "resolved", 1, 2, 600));
    story.until(700);
    // However long it was held back: its age counts from then on.
    assert_eq!(story.said(0)[1], "fired a|aggregate-ticket, ended a|aggregate-page");
    story.record(&alert("a|aggregate", "ticket", "resolved", 1, 2, 700));
    story.until(800);
    assert_eq!(story.said(0)[2], "ended a|aggregate-ticket");
}

#[test]
fn a_ticket_that_ends_under_its_page_is_never_told() {
    let mut story = story();
    story.record(&alert("a|aggregate", "page", "firing", 1, 1, 0));
    story.record(&alert("a|aggregate", "ticket", "firing", 1, 1, 0));
    story.until(100);
    story.record(&alert("a|aggregate", "ticket", "resolved", 1, 2, 100));
    story.until(200);
    story.record(&alert("a|aggregate", "page", "resolved", 1, 2, 200));
    story.until(400);
    assert_eq!(story.said(0), ["fired a|aggregate-page", "ended a|aggregate-page"]);
}

#[test]
fn a_silence_holds_back_who_it_means_until_it_ends() {
    let mut story = story();
    story.silence("s1", &["slo=a", "severity=page"], 0, 3_600);
    story.record(&alert("a|aggregate", "page", "firing", 1, 1, 0));
    story.record(&alert("b|aggregate", "page", "firing", 1, 1, 0));
    story.until(3_599);
    assert_eq!(story.said(0), ["fired b|aggregate-page"]);
    assert!(story.notices.iter().any(|n| n.to_string().contains("by ann (deploy; silence s1)")), "{:?}", story.notices);
    story.until(3_700);
    assert_eq!(story.said(0)[1], "fired a|aggregate-page", "what still fires is told when the silence is over");
}

#[test]
fn what_was_told_and_ends_under_a_silence_is_told_to_be_over() {
    let mut story = story();
    story.record(&alert("a|aggregate", "page", "firing", 1, 1, 0));
    story.until(60);
    story.silence("s1", &["slo=a"], 60, 9_000);
    story.record(&alert("a|aggregate", "page", "update", 1, 2, 60));
    story.until(120);
    story.record(&alert("a|aggregate", "page", "resolved", 1, 3, 120));
    story.until(400);
    assert_eq!(story.said(0), ["fired a|aggregate-page", "ended a|aggregate-page"]);
}

#[test]
fn what_is_too_old_is_not_told_but_its_end_is() {
    let mut story = story();
    story.record_of(Topic::BurnAlerts, &alert("a|aggregate", "page", "firing", 1, 1, 0), START_MS - 601_000);
    story.record_of(Topic::BurnAlerts, &alert("b|aggregate", "page", "firing", 1, 1, 0), START_MS - 595_000);
    story.until(60);
    assert_eq!(story.said(0), Vec::<String>::new(), "b grew too old while it waited for its like");
    assert_eq!(story.kinds(), ["too_old", "too_old"]);
    story.record(&alert("a|aggregate", "page", "resolved", 1, 2, 60));
    story.until(120);
    assert_eq!(story.said(0), ["ended a|aggregate-page"]);
    assert_eq!(story.done(), 3);
}

#[test]
fn a_receiver_that_is_away_is_tried_again_until_the_news_is_old() {
    let mut story = story();
    story.answers.insert(0, Outcome::TryAgain { why: "HTTP 503".to_owned(), after_ms: None });
    story.record(&alert("a|aggregate", "page", "firing", 1, 1, 0));
    story.until(300);
    assert_eq!(story.done(), 0, "the record stays open");
    let tries = story.asked[&0];
    assert!((8..30).contains(&tries), "{tries} tries in five minutes");
    story.answers.clear();
    story.until(400);
    assert_eq!((story.said(0).len(), story.done()), (1, 1));
    // And one that stays away.
    story.answers.insert(0, Outcome::TryAgain { why: "HTTP 503".to_owned(), after_ms: None });
    story.record(&alert("b|aggregate", "page", "firing", 1, 1, 400));
    story.until(1_200);
    assert_eq!(story.kinds().last(), Some(&"given_up"));
    assert_eq!(story.done(), 2);
    story.record(&alert("b|aggregate", "page", "resolved", 1, 2, 1_200));
    story.until(3_000);
    story.answers.clear();
    story.until(3_100);
    assert_eq!(story.said(0)[1], "ended b|aggregate-page", "an end is tried for a day");
}

#[test]
fn a_receiver_that_names_a_time_is_left_alone_until_then() {
    let mut story = story();
    story.answers.insert(0, Outcome::TryAgain { why: "HTTP 429".to_owned(), after_ms: Some(120_000) });
    story.record(&alert("a|aggregate", "page", "firing", 1, 1, 0));
    story.until(129);
    assert_eq!(story.asked[&0], 1);
    story.until(131);
    assert_eq!(story.asked[&0], 2);
}

#[test]
fn a_refusal_is_a_dead_letter_and_holds_nothing_up() {
    let mut story = story();
    story.answers.insert(0, Outcome::Refused("HTTP 401: invalid key".to_owned()));
    story.record(&alert("a|aggregate", "page", "firing", 1, 1, 0));
    story.until(60);
    let Some(notice @ Notice::Refused { .. }) = story.notices.first() else { panic!("{:?}", story.notices) };
    assert_eq!(notice.to_string(), "hook refuses (HTTP 401: invalid key): a|aggregate burns (page)");
    assert_eq!((story.done(), story.asked[&0], notice.is_loss()), (1, 1, true));
}

#[test]
fn ten_thousand_alerts_at_once_are_grouped_and_capped_and_none_is_lost() {
    let receivers = json!({"hook": {"type": "webhook", "url": "http://localhost/x", "at_most": "5 per 1m"}});
    for (group_by, most) in [("service", 1), ("dedup_key", 5)] {
        let mut story = Story::new(&plan(receivers.clone(), json!([{"receiver": "hook", "group_by": [group_by]}])));
        for n in 0..10_000 {
            story.record(&alert(&format!("slo{n}|aggregate"), "page", "firing", 1, 1, 0));
        }
        story.until(59);
        let messages = story.messages(0);
        assert!(messages.len() <= most, "{group_by}: {} messages in a minute", messages.len());
        assert_eq!(messages.iter().map(|m| m.changes.len()).sum::<usize>(), 10_000, "{group_by}");
        assert_eq!(story.done(), 10_000);
        let ended = 59;
        for n in 0..10_000 {
            story.record(&alert(&format!("slo{n}|aggregate"), "page", "resolved", 1, 2, ended));
        }
        story.until(600);
        let over: usize = story.messages(0).iter().map(|m| m.count(crate::notify::What::Ended)).sum();
        assert_eq!((over, story.core.firing(), story.done()), (10_000, 0, 20_000), "{group_by}");
        assert!(story.messages(0).last().is_some_and(|m| m.is_over()));
    }
}

#[test]
fn a_group_that_was_told_of_hears_its_own_end_in_a_flood() {
    let receivers = json!({"hook": {"type": "webhook", "url": "http://localhost/x", "at_most": "3 per 1m"}});
    let mut story = Story::new(&plan(receivers, json!([{"receiver": "hook", "group_by": ["slo"]}])));
    story.record(&alert("a|aggregate", "page", "firing", 1, 1, 0));
    story.until(100);
    story.record(&alert("a|aggregate", "page", "resolved", 1, 2, 100));
    (0..100).for_each(|n| story.record(&alert(&format!("s{n}|aggregate"), "page", "firing", 1, 1, 100)));
    story.until(400);
    let messages = story.messages(0);
    let key = &messages[0].dedup_key;
    let end = messages.iter().find(|m| &m.dedup_key == key && m.is_over());
    assert!(end.is_some(), "{:?}", story.said(0));
    assert_eq!(messages.iter().map(|m| m.count(crate::notify::What::Fired)).sum::<usize>(), 101);
}

#[test]
fn an_alertmanager_is_told_again_and_again_and_of_the_end_for_a_while() {
    let receivers = json!({"am": {"type": "alertmanager", "url": "http://localhost:9093"}});
    let mut story = Story::new(&plan(receivers, json!([{"receiver": "am"}])));
    story.record(&alert("a|aggregate", "page", "firing", 1, 1, 0));
    story.record(&alert("a|aggregate", "ticket", "firing", 1, 1, 0));
    story.until(300);
    let standing = |story: &Story| -> Vec<(i64, i64, i64)> {
        let all = story.told.iter().map(|(_, content)| match &**content {
            Content::Standing(standing) => {
                assert_eq!(standing.alerts.len(), 1, "the ticket is not told under its page");
                let one = &standing.alerts[0];
                (standing.at_ms - START_MS, one.starts_ms - START_MS, one.ends_ms - standing.at_ms)
            }
            Content::Message(_) => panic!("a message"),
        });
        all.collect()
    };
    let expected: Vec<_> = (0..=5).map(|minute| (minute * 60_000, 0, 240_000)).collect();
    assert_eq!(standing(&story), expected);
    story.record(&alert("a|aggregate", "ticket", "resolved", 1, 2, 300));
    story.record(&alert("a|aggregate", "page", "resolved", 1, 2, 300));
    story.until(3_000);
    let ends = standing(&story).split_off(6);
    assert_eq!(ends.len(), 15, "the end is told for a quarter of an hour");
    assert!(ends.iter().all(|(_, _, ends_in)| *ends_in < 0), "{ends:?}");
    assert_eq!((story.core.firing(), story.core.open()), (0, (0, 0)));
}

#[test]
fn one_alert_that_an_alertmanager_refuses_costs_no_other() {
    let receivers = json!({"am": {"type": "alertmanager", "url": "http://localhost:9093"}});
    let mut story = Story::new(&plan(receivers, json!([{"receiver": "am"}])));
    story.answers.insert(0, Outcome::Refused("HTTP 400".to_owned()));
    (0..3).for_each(|n| story.record(&alert(&format!("a{n}|aggregate"), "page", "firing", 1, 1, 0)));
    story.until(1);
    assert_eq!(story.asked[&0], 4, "all together, then each alone");
    assert_eq!((story.kinds(), story.done()), (vec!["refused"; 3], 3));
}

#[test]
fn a_failing_canary_is_told_once_and_is_over_when_its_requests_stop() {
    let mut story = story();
    let verdict = |verdict: &str, minute: i64| {
        let at = crate::model::time::Moment(START_MS + minute * 60_000);
        json!({"slo": "a", "tenant": null, "attribute": "release", "candidate": "v2", "baseline": null, "verdict": verdict,
            "reason": "", "e_value": null, "requests_candidate": 1, "requests_baseline": 1, "bad_candidate": 0.0,
            "bad_baseline": 0.0, "sli_candidate": null, "sli_baseline": null, "burn_candidate": null,
            "burn_baseline": null, "started_at": crate::model::time::Moment(START_MS), "at": at})
    };
    for (minute, said) in [(0, "inconclusive"), (1, "fail"), (2, "fail"), (3, "fail")] {
        story.until(minute * 60);
        story.record_of(Topic::CanaryVerdicts, &verdict(said, minute), story.now_ms);
    }
    story.until(600);
    assert_eq!(story.said(0).len(), 1, "{:?}", story.said(0));
    story.until(3 * 60 + 3_600 + 120);
    assert_eq!(story.said(0).len(), 2);
    assert!(story.messages(0)[1].is_over());
}
