//! What an operator of `notify` is told: what was not sent, and why.

use super::message::Content;
use super::news::News;
use crate::model::duration;
use crate::model::time::Ms;
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// No route takes it.
    NoRoute { title: String },
    /// Silenced or inhibited.
    HeldBack { receiver: String, title: String, why: String },
    /// Older than `max_age`.
    TooOld { receiver: String, title: String, age_ms: Ms },
    /// It ended before anybody was told of it.
    EndedUntold { receiver: String, title: String },
    /// The receiver will never take it.
    Refused { receiver: String, title: String, why: String },
    /// It was tried for too long.
    GivenUp { receiver: String, title: String, why: String },
    /// It is tried again.
    Waits { receiver: String, title: String, why: String, wait_ms: Ms },
    /// The cap leaves them no messages of their own.
    Capped { receiver: String, groups: usize, items: usize },
}

impl Notice {
    /// The label of a metric.
    pub const fn kind(&self) -> &'static str {
        match self {
            Notice::NoRoute { .. } => "no_route",
            Notice::HeldBack { .. } => "held_back",
            Notice::TooOld { .. } => "too_old",
            Notice::EndedUntold { .. } => "ended_untold",
            Notice::Refused { .. } => "refused",
            Notice::GivenUp { .. } => "given_up",
            Notice::Waits { .. } => "waits",
            Notice::Capped { .. } => "capped",
        }
    }

    pub fn receiver(&self) -> &str {
        match self {
            Notice::NoRoute { .. } => "",
            Notice::HeldBack { receiver, .. }
            | Notice::TooOld { receiver, .. }
            | Notice::EndedUntold { receiver, .. }
            | Notice::Refused { receiver, .. }
            | Notice::GivenUp { receiver, .. }
            | Notice::Waits { receiver, .. }
            | Notice::Capped { receiver, .. } => receiver,
        }
    }

    /// Whether somebody who should have been told was not: a dead letter.
    pub const fn is_loss(&self) -> bool {
        matches!(self, Notice::Refused { .. } | Notice::GivenUp { .. } | Notice::TooOld { .. })
    }

    pub(super) fn refused(receiver: &str, content: &Content, why: &str) -> Notice {
        Notice::Refused { receiver: receiver.to_owned(), title: content.title(), why: why.to_owned() }
    }

    pub(super) fn too_old(receiver: &str, news: &News, age_ms: Ms) -> Notice {
        Notice::TooOld { receiver: receiver.to_owned(), title: news.title.clone(), age_ms }
    }

    pub(super) fn held_back(receiver: &str, news: &News, why: &str) -> Notice {
        Notice::HeldBack { receiver: receiver.to_owned(), title: news.title.clone(), why: why.to_owned() }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::NoRoute { title } => write!(f, "no route takes it: {title}"),
            Notice::HeldBack { receiver, title, why } => write!(f, "{receiver} is not told, {why}: {title}"),
            Notice::TooOld { receiver, title, age_ms } => {
                write!(f, "{receiver} is not told, for it is {} old: {title}", duration::words(*age_ms))
            }
            Notice::EndedUntold { receiver, title } => write!(f, "{receiver} is not told, for it is over: {title}"),
            Notice::Refused { receiver, title, why } => write!(f, "{receiver} refuses ({why}): {title}"),
            Notice::GivenUp { receiver, title, why } => {
                write!(f, "{receiver} could not be told in time ({why}): {title}")
            }
            Notice::Waits { receiver, title, why, wait_ms } => {
                write!(f, "{receiver} is tried again in {} ({why}): {title}", duration::words(*wait_ms))
            }
            Notice::Capped { receiver, groups, items } => {
                write!(f, "{receiver} has had its messages: {items} items of {groups} groups go into one")
            }
        }
    }
}
