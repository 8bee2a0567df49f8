//! A CloudEvent (1.0) in structured mode, one event a request.
//!
//! Names of attributes are lower case letters and digits, their values text, and those without a value are left out:
//! readers differ in what else they take.

use crate::model::time::Moment;
use crate::notify::message::{Change, Message};
use crate::notify::receiver::Receiver;
use serde_json::{Value as Json, json};

pub fn body(receiver: &Receiver, message: &Message, source: &str) -> Json {
    let status = if message.is_over() { "resolved" } else { "firing" };
    let subject = message.changes.first().map(|change| change.news.key.as_str()).unwrap_or_default();
    let mut event = json!({
        "specversion": "1.0",
        "id": message.id,
        "source": source,
        "type": format!("dev.tailburn.notification.{status}"),
        "time": Moment(message.at_ms),
        "datacontenttype": "application/json",
        "dedupkey": message.dedup_key,
        "severity": message.severity().name(),
        "data": {
            "status": status,
            "title": receiver.templates.title(message),
            "text": receiver.templates.text(message),
            "group": message.group,
            "firing": message.firing,
            "overflow": message.is_overflow,
            "because": message.because,
            "changes": message.changes.iter().map(change).collect::<Json>(),
        },
    });
    if !subject.is_empty() {
        event["subject"] = json!(subject);
    }
    event
}

/// All of them: a program wants each record, as it was published.
fn change(Change { what, news }: &Change) -> Json {
    json!({"what": what.name(), "kind": news.kind.name(), "dedup_key": news.item, "record": news.record})
}
