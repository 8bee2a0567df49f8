//! PagerDuty's Events API v2: `trigger` while something of the group fires, `resolve` when all of it is over. One incident
//! a group, known by the group's `dedup_key`.

use super::{cut, first_url};
use crate::model::time::Moment;
use crate::notify::message::{Change, Message};
use crate::notify::news::Severity;
use crate::notify::receiver::Receiver;
use crate::notify::template::TOLD;
use serde_json::{Value as Json, json};

/// The API refuses a longer summary.
const SUMMARY_MOST: usize = 1_024;

pub fn body(receiver: &Receiver, message: &Message, source: &str) -> Json {
    let key = receiver.secrets.routing_key.as_deref().unwrap_or_default();
    let action = if message.is_over() { "resolve" } else { "trigger" };
    let mut body = json!({"routing_key": key, "event_action": action, "dedup_key": message.dedup_key});
    if message.is_over() {
        return body;
    }
    let first = message.changes.first().map(|change| &change.news);
    let links = [
        ("Runbook", first_url(message, |news| news.runbook_url.as_ref())),
        ("Dashboard", first_url(message, |news| news.dashboard_url.as_ref())),
    ];
    let links = links.into_iter().filter_map(|(text, href)| Some(json!({"href": href?, "text": text})));
    body["payload"] = json!({
        "summary": cut(&receiver.templates.title(message), SUMMARY_MOST),
        "source": source,
        "severity": severity(message.severity()),
        "timestamp": Moment(message.at_ms),
        "component": first.map(|news| &news.slo),
        "group": first.map(|news| &news.service),
        "class": first.map(|news| news.kind.name()),
        "custom_details": {
            "text": receiver.templates.text(message),
            "firing": message.firing,
            "group": message.group,
            "alerts": message.changes.iter().take(TOLD).map(details).collect::<Json>(),
        },
    });
    body["client"] = json!("tailburn");
    body["links"] = links.collect();
    body
}

const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Page => "critical",
        Severity::Ticket => "warning",
        Severity::Info => "info",
    }
}

fn details(Change { what, news }: &Change) -> Json {
    json!({
        "what": what.name(),
        "severity": news.severity.name(),
        "title": news.title,
        "summary": news.summary,
        "tenant": news.tenant,
        "started_at": news.started_at,
        "affected_users": news.record["affected_users"],
        "budget_remaining": news.record["budget_remaining"],
        "owner": news.owner,
    })
}
