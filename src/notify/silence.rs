//! Silences: whom they mean, until when, who made them and why. They are records of a compacted topic: the latest of an
//! id counts.

use super::matcher::Matcher;
use super::news::News;
use crate::model::time::{Moment, Ms};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    pub id: String,
    /// All of them have to match.
    pub matchers: Vec<Matcher>,
    pub starts_at: Moment,
    pub ends_at: Moment,
    pub created_by: String,
    pub comment: String,
    pub created_at: Moment,
    /// Who ended it before its time.
    #[serde(default)]
    pub ended_by: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SilenceError {
    #[error("a silence of everything would hide every page: name at least one matcher, as in service=checkout")]
    MatchesAll,
    #[error("it ends ({ends}) before it starts ({starts})")]
    EndsBefore { starts: Moment, ends: Moment },
    #[error("who made it, and why, has to be said")]
    Anonymous,
}

impl Silence {
    pub fn check(&self) -> Result<(), SilenceError> {
        if self.matchers.is_empty() {
            return Err(SilenceError::MatchesAll);
        }
        if self.ends_at <= self.starts_at {
            return Err(SilenceError::EndsBefore { starts: self.starts_at, ends: self.ends_at });
        }
        if self.created_by.trim().is_empty() || self.comment.trim().is_empty() {
            return Err(SilenceError::Anonymous);
        }
        Ok(())
    }

    pub fn is_active(&self, now_ms: Ms) -> bool {
        self.starts_at.0 <= now_ms && now_ms < self.ends_at.0
    }

    pub fn matches(&self, news: &News) -> bool {
        !self.matchers.is_empty() && self.matchers.iter().all(|matcher| matcher.matches(news))
    }

    /// Whether it may have kept this news back when it came, or later.
    pub fn may_have_held(&self, news: &News, written_ms: Ms) -> bool {
        self.ends_at.0 > written_ms && self.matches(news)
    }

    /// `active`, `pending` or `ended`.
    pub fn state(&self, now_ms: Ms) -> &'static str {
        match (self.is_active(now_ms), now_ms < self.starts_at.0) {
            (true, _) => "active",
            (false, true) => "pending",
            (false, false) => "ended",
        }
    }
}
