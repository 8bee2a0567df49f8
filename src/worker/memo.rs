//! What a commit notes beside each offset.

use crate::log::{Assignment, NextOffset};
use crate::model::time::Ms;
use crate::operator::watermark::Watermark;
use serde::{Deserialize, Serialize};

/// The metadata of a committed offset, as JSON (brokers take 4,096 bytes of it).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memo {
    /// Where the stream began for this application id.
    pub start: i64,
    /// The last boundary that the task published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<Ms>,
    /// The task's last checkpoint, as [`crate::pipeline::checkpoint::Mark::sequence`] counts them; 0: none.
    #[serde(default)]
    pub sequence: u64,
    /// Of an input partition without a task of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<Watermark>,
}

impl Memo {
    pub fn to_text(&self) -> String {
        // Numbers are always JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// `None`: somebody else committed this offset.
    pub fn parse(text: &str) -> Option<Memo> {
        serde_json::from_str(text).ok()
    }
}

/// The committed offset of a stream with our note, where we committed it.
pub fn of_ours(assignment: &Assignment) -> Option<(NextOffset, Memo)> {
    let committed = assignment.committed.as_ref()?;
    Some((committed.next, Memo::parse(&committed.metadata)?))
}
