//! A process that is killed at any moment, and its successor: no page is lost.

use super::story::{SOURCE, START_MS, written_ms};
use super::{Story, alert, plan};
use crate::model::record::Topic;
use crate::notify::{Outcome, Plan, Resume};
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// The successor: reads from where the state began, and goes on as if it had never stopped.
fn restarted(plan: &Arc<Plan>, before: &Story, log: &[Json]) -> Story {
    let resume = before.core.resume().into_iter().find(|(source, _)| *source == SOURCE).map(|(_, resume)| resume);
    let resume = resume.unwrap_or(Resume { done: 0, state_from: 0 });
    assert!(resume.state_from <= resume.done && resume.done <= before.next);
    let mut story = Story::resumed(plan, resume, before.now_ms);
    let from = usize::try_from(resume.state_from).expect("an offset");
    let read = usize::try_from(before.next).expect("an offset");
    log[from..read].iter().for_each(|record| story.record_of(Topic::BurnAlerts, record, written_ms(record)));
    story
}

fn hook(routes: Json) -> Arc<Plan> {
    plan(json!({"hook": {"type": "webhook", "url": "http://localhost/x"}}), routes)
}

#[test]
fn killed_before_it_sent_it_sends_after_the_restart_and_not_twice_after_it_did() {
    let plan = hook(json!([{"receiver": "hook"}]));
    let log = [alert("a|aggregate", "page", "firing", 1, 1, 0), alert("a|aggregate", "page", "resolved", 1, 2, 60)];
    let mut story = Story::new(&plan);
    story.record(&log[0]);
    story.until(5);
    let mut second = restarted(&plan, &story, &log);
    second.until(30);
    assert_eq!(second.said(0), ["fired a|aggregate-page"]);
    let mut third = restarted(&plan, &second, &log);
    third.until(60);
    assert_eq!(third.said(0), Vec::<String>::new(), "it was told");
    third.record(&log[1]);
    third.until(120);
    assert_eq!(third.said(0), ["ended a|aggregate-page"]);
    assert_eq!(third.messages(0)[0].dedup_key, second.messages(0)[0].dedup_key);
}

#[test]
fn what_a_silence_held_back_is_told_though_the_silence_ended_while_nobody_ran() {
    let plan = hook(json!([{"receiver": "hook"}]));
    let log = [alert("a|aggregate", "page", "firing", 1, 1, 0)];
    let mut story = Story::new(&plan);
    story.silence("s", &["slo=a"], 0, 1_000);
    story.record(&log[0]);
    story.until(900);
    assert_eq!((story.said(0).len(), story.done()), (0, 1));
    let resume = story.core.resume()[0].1;
    let mut second = Story::resumed(&plan, resume, story.now_ms);
    second.silence("s", &["slo=a"], 0, 1_000);
    second.record(&log[0]);
    second.now_ms = START_MS + 2_000_000;
    second.until(2_100);
    assert_eq!(second.said(0), ["fired a|aggregate-page"]);
}

/// The page hid the ticket, ended while nobody ran, and comes behind the ticket in the log.
#[test]
fn a_ticket_that_its_page_hid_is_told_though_the_page_ended_while_nobody_ran() {
    let plan = hook(json!([{"receiver": "hook"}]));
    let mut log =
        vec![alert("a|aggregate", "ticket", "firing", 1, 1, 0), alert("a|aggregate", "page", "firing", 1, 1, 0)];
    let mut story = Story::new(&plan);
    log.iter().for_each(|record| story.record(record));
    story.until(100);
    assert_eq!((story.said(0), story.done()), (vec!["fired a|aggregate-page".to_owned()], 2));
    log.push(alert("a|aggregate", "page", "resolved", 1, 2, 100));
    let mut second = restarted(&plan, &story, &log);
    second.record(&log[2]);
    second.until(200);
    let said = second.said(0).join(", ");
    assert!(said.contains("fired a|aggregate-ticket") && said.contains("ended a|aggregate-page"), "{said}");
}

fn away() -> Outcome {
    Outcome::TryAgain { why: "away".to_owned(), after_ms: None }
}

/// The page hid the ticket and was not told itself: the ticket's record is done with, the page's is not.
#[test]
fn a_ticket_that_its_page_hid_is_told_though_the_page_was_not_told_before_the_kill() {
    let plan = hook(json!([{"receiver": "hook", "group_by": ["service"]}]));
    let of = |severity, state, episode, seq, at_s| alert("a|aggregate", severity, state, episode, seq, at_s);
    let log = [
        of("ticket", "firing", 1, 1, 0),
        of("ticket", "resolved", 1, 2, 0),
        of("ticket", "firing", 2, 1, 10),
        of("page", "firing", 1, 1, 10),
        of("page", "resolved", 1, 2, 11),
        of("page", "firing", 2, 1, 11),
    ];
    let mut story = Story::new(&plan);
    log[..2].iter().for_each(|record| story.record(record));
    story.until(10);
    log[2..4].iter().for_each(|record| story.record(record));
    story.answers.insert(0, away());
    story.until(11);
    log[4..].iter().for_each(|record| story.record(record));
    assert_eq!((story.said(0), story.done()), (vec!["ended a|aggregate-ticket".to_owned()], 3));
    let mut second = restarted(&plan, &story, &log);
    second.record(&of("page", "resolved", 2, 2, 11));
    second.until(200);
    let said = second.said(0).join(", ");
    assert!(said.contains("fired a|aggregate-ticket"), "{said:?}");
}

/// The page's receiver knows that the page ended; the ticket's was away.
#[test]
fn a_ticket_that_its_page_hid_is_told_though_the_page_was_told_to_its_end_before_the_kill() {
    let receivers =
        json!({"chat": {"type": "webhook", "url": "http://x/"}, "pager": {"type": "webhook", "url": "http://y/"}});
    let routes = json!([{"receiver": "pager", "match": "severity=page", "group_wait": "1s", "group_interval": "1s"}, {"receiver": "chat"}]);
    let plan = plan(receivers, routes);
    let mut log = Vec::new();
    let mut story = Story::new(&plan);
    story.answers.insert(0, away());
    let records = [
        ("page", "firing", 1, 1, 0),
        ("ticket", "firing", 1, 1, 5),
        ("page", "resolved", 1, 2, 900),
        // It comes again before the ticket's turn came.
        ("page", "firing", 2, 1, 905),
        ("page", "resolved", 2, 2, 2_000),
    ];
    for (severity, state, episode, seq, at_s) in records {
        story.until(at_s);
        log.push(alert("a|aggregate", severity, state, episode, seq, at_s));
        story.record(&log[log.len() - 1]);
    }
    story.until(2_080);
    assert_eq!(story.said(0), Vec::<String>::new());
    assert_eq!(story.said(1), ["fired a|aggregate-page", "ended a|aggregate-page"].repeat(2));
    let mut second = restarted(&plan, &story, &log);
    second.until(2_200);
    assert_eq!((second.said(0), second.said(1)), (vec!["fired a|aggregate-ticket".to_owned()], Vec::new()));
}

/// The end was not told before the kill; then the ticket came again, and ended under its page.
#[test]
fn who_was_told_of_a_ticket_hears_of_its_end_though_it_came_again_before_the_kill() {
    let plan = hook(json!([{"receiver": "hook", "group_by": ["service"]}]));
    let of = |severity, state, episode, seq, at_s| alert("a|aggregate", severity, state, episode, seq, at_s);
    let log = [
        of("ticket", "firing", 1, 1, 0),
        of("ticket", "resolved", 1, 2, 10),
        of("page", "firing", 1, 1, 10),
        of("ticket", "firing", 2, 1, 10),
    ];
    let mut story = Story::new(&plan);
    story.record(&log[0]);
    story.until(10);
    log[1..].iter().for_each(|record| story.record(record));
    assert_eq!((story.said(0), story.done()), (vec!["fired a|aggregate-ticket".to_owned()], 1));
    let mut second = restarted(&plan, &story, &log);
    second.record(&of("ticket", "resolved", 2, 2, 10));
    second.until(200);
    let said = second.said(0).join(", ");
    assert!(said.contains("ended a|aggregate-ticket"), "{said:?}");
}

/// As before, but the page came between the end and the next episode, and the receiver was away: the page's record was
/// open, and the one that hid the ticket was not. Who knows that a ticket fires hears of its end though a page hides it.
#[test]
fn who_was_told_of_a_ticket_hears_of_its_end_though_a_page_hid_it_when_it_came_again_before_the_kill() {
    let plan = hook(json!([{"receiver": "hook", "group_by": ["service"]}]));
    let of = |severity, state, episode, seq, at_s| alert("a|aggregate", severity, state, episode, seq, at_s);
    let log = [
        of("ticket", "firing", 1, 1, 0),
        of("ticket", "resolved", 1, 2, 10),
        of("page", "firing", 1, 1, 10),
        of("ticket", "firing", 2, 1, 10),
    ];
    let mut story = Story::new(&plan);
    story.record(&log[0]);
    story.until(10);
    log[1..].iter().for_each(|record| story.record(record));
    story.answers.insert(0, away());
    story.until(11);
    assert_eq!((story.said(0), story.done()), (vec!["fired a|aggregate-ticket".to_owned()], 1), "the end is untold");
    let mut second = restarted(&plan, &story, &log);
    second.record(&of("ticket", "resolved", 2, 2, 11));
    second.until(12);
    second.record(&of("page", "resolved", 1, 2, 12));
    second.until(200);
    let said = second.said(0).join(", ");
    assert!(said.contains("ended a|aggregate-ticket"), "{said:?}");
}

/// The ticket was told, and the end of another item, which came before it, was not: a restart reads the ticket again, now
/// under its page.
#[test]
fn who_was_told_of_a_ticket_behind_an_open_record_hears_of_its_end_under_its_page() {
    let plan = hook(json!([{"receiver": "hook", "group_by": ["dedup_key"]}]));
    let of = |key, severity, state, seq, at_s| alert(key, severity, state, 1, seq, at_s);
    let log = [
        of("b|aggregate", "page", "firing", 1, 0),
        of("b|aggregate", "page", "resolved", 2, 20),
        of("a|aggregate", "ticket", "firing", 1, 25),
        of("a|aggregate", "page", "firing", 1, 35),
    ];
    let mut story = Story::new(&plan);
    story.record(&log[0]);
    story.until(20);
    story.record(&log[1]);
    story.until(25);
    story.record(&log[2]);
    story.until(35);
    story.record(&log[3]);
    assert_eq!((story.said(0).len(), story.done()), (2, 1), "the end of b waits for its group's next message");
    let mut second = restarted(&plan, &story, &log);
    second.record(&of("a|aggregate", "ticket", "resolved", 2, 36));
    second.until(36);
    second.record(&of("a|aggregate", "page", "resolved", 2, 36));
    second.until(200);
    let said = second.said(0).join(", ");
    assert!(said.contains("ended a|aggregate-ticket"), "{said:?}");
}

/// A page hides what came again; that what the receiver knows is over is told at once, with its own record.
#[test]
fn a_ticket_that_ends_and_comes_again_under_its_page_is_told_to_be_over() {
    let plan = hook(json!([{"receiver": "hook", "group_by": ["service"]}]));
    let of = |severity, state, episode, seq, at_s| alert("a|aggregate", severity, state, episode, seq, at_s);
    let mut story = Story::new(&plan);
    story.record(&of("ticket", "firing", 1, 1, 0));
    story.until(100);
    story.record(&of("ticket", "resolved", 1, 2, 100));
    story.record(&of("page", "firing", 1, 1, 100));
    story.record(&of("ticket", "firing", 2, 1, 100));
    story.until(200);
    assert_eq!(story.said(0), ["fired a|aggregate-ticket", "fired a|aggregate-page, ended a|aggregate-ticket"]);
    let ended = &story.messages(0)[1].changes[1].news;
    assert_eq!((ended.id.as_str(), story.done()), ("a|aggregate-ticket-1", 4));
    story.record(&of("page", "resolved", 1, 2, 200));
    story.until(400);
    assert_eq!(story.said(0)[2..], ["fired a|aggregate-ticket, ended a|aggregate-page"]);
}

/// It was told, and a page that comes after the restart says nothing against that.
#[test]
fn a_ticket_that_was_told_is_not_told_again_after_a_page_that_came_later_than_the_restart() {
    let plan = hook(json!([{"receiver": "hook"}]));
    let log = [alert("a|aggregate", "ticket", "firing", 1, 1, 0)];
    let mut story = Story::new(&plan);
    story.record(&log[0]);
    story.until(100);
    assert_eq!(story.said(0), ["fired a|aggregate-ticket"]);
    let mut second = restarted(&plan, &story, &log);
    second.until(200);
    second.record(&alert("a|aggregate", "page", "firing", 1, 1, 200));
    second.until(300);
    second.record(&alert("a|aggregate", "page", "resolved", 1, 2, 300));
    second.until(500);
    assert_eq!(second.said(0), ["fired a|aggregate-page", "ended a|aggregate-page"]);
}

#[test]
fn an_alertmanager_goes_on_hearing_of_what_began_long_before() {
    let plan =
        plan(json!({"am": {"type": "alertmanager", "url": "http://localhost:9093"}}), json!([{"receiver": "am"}]));
    let log: Vec<Json> = (0..5).map(|n| alert(&format!("a{n}|aggregate"), "page", "firing", 1, 1, 0)).collect();
    let mut story = Story::new(&plan);
    log.iter().for_each(|record| story.record(record));
    story.until(7_200);
    assert_eq!(story.core.resume()[0].1, Resume { done: 5, state_from: 0 });
    let mut second = restarted(&plan, &story, &log);
    second.until(7_201);
    assert_eq!((second.told.len(), second.core.firing()), (1, 5));
}
