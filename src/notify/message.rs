//! What is sent: a message about a group, or what stands at an Alertmanager.

use super::news::{News, Severity, short_hash};
use crate::model::time::Ms;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a message says of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    Fired,
    Updated,
    Ended,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub what: What,
    pub news: Arc<News>,
}

/// A message about a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Alike for the same content alone: a receiver that saw it may drop it.
    pub id: String,
    /// The group's, alike from its first message to its last.
    pub dedup_key: String,
    /// The values by which the group was made.
    pub group: BTreeMap<String, String>,
    /// Why it is sent here, in words.
    pub because: String,
    /// The worst first.
    pub changes: Vec<Change>,
    /// How many of the group fire after this message; 0: it is over.
    pub firing: usize,
    /// It tells of what the cap of the receiver leaves no messages of its own.
    pub is_overflow: bool,
    pub at_ms: Ms,
}

/// What an Alertmanager is told, again and again.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    pub alerts: Vec<StandingAlert>,
    pub at_ms: Ms,
}

#[derive(Clone, Debug, PartialEq)]
pub struct StandingAlert {
    pub news: Arc<News>,
    pub starts_ms: Ms,
    pub ends_ms: Ms,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    Message(Message),
    Standing(Standing),
}

impl What {
    pub const fn name(self) -> &'static str {
        match self {
            What::Fired => "fired",
            What::Updated => "updated",
            What::Ended => "ended",
        }
    }
}

impl Message {
    pub fn is_over(&self) -> bool {
        self.firing == 0
    }

    pub fn severity(&self) -> Severity {
        self.changes.iter().map(|change| change.news.severity).min().unwrap_or(Severity::Info)
    }

    /// How many changes of this kind it has.
    pub fn count(&self, what: What) -> usize {
        self.changes.iter().filter(|change| change.what == what).count()
    }

    /// The id of a message with these changes.
    pub fn id_of(dedup_key: &str, changes: &[Change], firing: usize, at_ms: Ms) -> String {
        let mut text = format!("{dedup_key}|{firing}|{at_ms}");
        for Change { what, news } in changes {
            text.push_str(&format!("|{}:{}:{}", what.name(), news.id, news.seq));
        }
        short_hash(&text)
    }
}

impl Content {
    /// A title for lists: the first item's.
    pub fn title(&self) -> String {
        let (title, others) = match self {
            Content::Message(message) => {
                (message.changes.first().map(|change| &change.news.title), message.changes.len().saturating_sub(1))
            }
            Content::Standing(standing) => {
                (standing.alerts.first().map(|alert| &alert.news.title), standing.alerts.len().saturating_sub(1))
            }
        };
        let title = title.map(String::as_str).unwrap_or_default();
        if others == 0 { title.to_owned() } else { format!("{title}, and {others} more") }
    }
}
