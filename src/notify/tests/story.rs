//! A core with a shell around it that sends nothing: it answers as a test says, and remembers what was told.

use crate::model::record::Topic;
use crate::model::time::{Moment, Ms};
use crate::notify::{
    Action, Content, Core, Event, Message, News, Notice, Outcome, Plan, Position, Resume, Silence, Source,
};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Arc;

pub const START_MS: Ms = 1_780_000_000_000;
pub const SOURCE: Source = Source { topic: Topic::BurnAlerts, partition: 0 };

pub fn plan(receivers: Json, routes: Json) -> Arc<Plan> {
    let plan = Plan::of(&receivers, &routes, 600_000, &|text| Ok(text.to_owned()));
    Arc::new(plan.unwrap_or_else(|errors| panic!("{errors:?}")))
}

/// A record of an alert: `state` firing, update or resolved, `at_s` seconds after the start.
pub fn alert(key: &str, severity: &str, state: &str, episode: u64, seq: u64, at_s: i64) -> Json {
    let mut parts = key.split('|');
    let (slo, scope) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let at = Moment(START_MS + at_s * 1_000);
    json!({
        "id": format!("{key}-{severity}-{episode}"), "dedup_key": format!("{key}-{severity}"), "seq": seq, "state": state,
        "severity": severity, "slo": slo, "definition_hash": "d", "service": "checkout", "display_name": "", "labels":
        {"team": "payments"}, "scope": scope, "tenant": parts.next(), "group": {}, "at": at, "started_at": at,
        "ended_at": if state == "resolved" { json!(at) } else { Json::Null }, "resolved_reason": null, "data": "complete",
        "rules": [], "sli": 0.9, "budget_remaining": 0.5, "budget_spent_since_start": null, "exhaustion_at": null,
        "affected_users": 7, "users_active": 9, "cohort": null, "title": format!("{key} burns ({severity})"),
        "summary": format!("{key} burns its budget"), "owner": "payments", "runbook_url": "https://run.example.com/x",
        "dashboard_url": null, "exemplars": [],
    })
}

/// When a record was written.
pub fn written_ms(record: &Json) -> Ms {
    let at: Moment = serde_json::from_value(record["at"].clone()).expect("a time");
    at.0
}

pub struct Story {
    pub core: Core,
    pub now_ms: Ms,
    /// Messages and standing alerts that were taken, with the receiver.
    pub told: Vec<(usize, Arc<Content>)>,
    pub notices: Vec<Notice>,
    /// What a receiver answers; without an answer it takes everything.
    pub answers: BTreeMap<usize, Outcome>,
    /// How often each receiver was asked.
    pub asked: BTreeMap<usize, usize>,
    pub next: i64,
}

impl Story {
    pub fn new(plan: &Arc<Plan>) -> Story {
        let mut story = Story::resumed(plan, Resume { done: 0, state_from: 0 }, START_MS);
        story.next = 0;
        story
    }

    /// A process that takes the partition now.
    pub fn resumed(plan: &Arc<Plan>, resume: Resume, now_ms: Ms) -> Story {
        let mut core = Core::new(Arc::clone(plan), 7);
        core.decide(Event::Owned(SOURCE, resume.done), now_ms);
        Story {
            core,
            now_ms,
            told: Vec::new(),
            notices: Vec::new(),
            answers: BTreeMap::new(),
            asked: BTreeMap::new(),
            next: resume.state_from,
        }
    }

    /// A record comes, written now.
    pub fn record(&mut self, record: &Json) {
        self.record_of(Topic::BurnAlerts, record, self.now_ms);
    }

    pub fn record_of(&mut self, topic: Topic, record: &Json, written_ms: Ms) {
        let news = News::of(topic, record.to_string().as_bytes()).expect("a record").expect("news");
        let at = Position { source: Source { topic, ..SOURCE }, offset: self.next };
        self.next += 1;
        self.event(Event::News { news: Box::new(news), at, written_ms });
    }

    pub fn silence(&mut self, id: &str, matchers: &[&str], from_s: i64, to_s: i64) {
        let matchers = matchers.iter().map(|text| crate::notify::Matcher::parse(text).expect("a matcher")).collect();
        let at = |s: i64| Moment(START_MS + s * 1_000);
        self.event(Event::Silence(Silence {
            id: id.to_owned(),
            matchers,
            starts_at: at(from_s),
            ends_at: at(to_s),
            created_by: "ann".to_owned(),
            comment: "deploy".to_owned(),
            created_at: at(from_s),
            ended_by: None,
        }));
    }

    pub fn event(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for action in self.core.decide(event, self.now_ms) {
                match action {
                    Action::Say(notice) => self.notices.push(notice),
                    Action::Send { delivery, receiver, content } => {
                        *self.asked.entry(receiver).or_default() += 1;
                        let outcome = self.answers.get(&receiver).cloned().unwrap_or(Outcome::Delivered);
                        if outcome == Outcome::Delivered {
                            self.told.push((receiver, content));
                        }
                        events.push(Event::Answer { delivery, outcome });
                    }
                }
            }
        }
    }

    /// Time goes on to this many seconds after the start, with every tick that is due.
    pub fn until(&mut self, at_s: i64) {
        let to_ms = START_MS + at_s * 1_000;
        self.event(Event::Tick);
        while let Some(wake_ms) = self.core.wake_ms().filter(|wake_ms| *wake_ms <= to_ms) {
            assert!(wake_ms > self.now_ms, "it wants to be woken for ever");
            self.now_ms = wake_ms;
            self.event(Event::Tick);
        }
        self.now_ms = to_ms;
        self.event(Event::Tick);
    }

    pub fn messages(&self, receiver: usize) -> Vec<&Message> {
        let of_it = self.told.iter().filter(|(to, _)| *to == receiver);
        of_it
            .filter_map(|(_, content)| match &**content {
                Content::Message(message) => Some(message),
                Content::Standing(_) => None,
            })
            .collect()
    }

    /// What each message of a receiver said: `fired a, ended b`.
    pub fn said(&self, receiver: usize) -> Vec<String> {
        let words = |message: &&Message| {
            let all: Vec<String> =
                message.changes.iter().map(|c| format!("{} {}", c.what.name(), c.news.item)).collect();
            all.join(", ")
        };
        self.messages(receiver).iter().map(words).collect()
    }

    pub fn kinds(&self) -> Vec<&'static str> {
        self.notices.iter().map(Notice::kind).collect()
    }

    pub fn done(&self) -> i64 {
        let found = self.core.resume().into_iter().find(|(source, _)| *source == SOURCE);
        found.map_or(0, |(_, resume)| resume.done)
    }
}
