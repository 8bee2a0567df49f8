//! An incoming webhook of Slack, and of chats that take the same (Mattermost, Rocket.Chat).

use super::{cut, first_url};
use crate::notify::message::Message;
use crate::notify::news::Severity;
use crate::notify::receiver::Receiver;
use serde_json::{Value as Json, json};

const TITLE_MOST: usize = 250;
const TEXT_MOST: usize = 3_500;

pub fn body(receiver: &Receiver, message: &Message) -> Json {
    let title = escaped(&cut(&receiver.templates.title(message), TITLE_MOST));
    let text = escaped(&cut(&receiver.templates.text(message), TEXT_MOST));
    let mut attachment = json!({"color": colour(message), "title": title, "fallback": title, "text": text});
    let link = first_url(message, |news| news.runbook_url.as_ref())
        .or_else(|| first_url(message, |news| news.dashboard_url.as_ref()));
    if let Some(link) = link {
        attachment["title_link"] = json!(link);
    }
    json!({"text": title, "attachments": [attachment]})
}

/// Slack's three characters with a meaning.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn colour(message: &Message) -> &'static str {
    match message.severity() {
        _ if message.is_over() => "good",
        Severity::Page => "danger",
        Severity::Ticket => "warning",
        Severity::Info => "#439FE0",
    }
}
