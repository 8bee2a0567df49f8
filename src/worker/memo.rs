//! What a commit notes beside each offset.

use crate::log::{Assignment, NextOffset, TopicId};
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
    /// Of such a partition: by users partition, how far before the offset its last block ended; -1: there was
    /// none. Empty: all ended there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub behind: Vec<i64>,
    /// The id of the topic that the offset is one of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) topic: Option<String>,
}

impl Memo {
    /// Notes where the last blocks ended.
    pub fn with_told(mut self, next: NextOffset, told: impl Iterator<Item = Option<i64>>) -> Memo {
        self.behind = told.map(|told| told.map_or(-1, |told| next.0 - told)).collect();
        if self.behind.iter().all(|behind| *behind == 0) {
            self.behind.clear();
        }
        self
    }

    /// Notes which topic the offset is one of.
    pub fn with_topic(mut self, id: TopicId) -> Memo {
        self.topic = (id != TopicId::UNKNOWN).then(|| id.to_string());
        self
    }

    /// `None` where it was not known, or an older build noted the offset.
    pub fn topic_id(&self) -> Option<TopicId> {
        TopicId::parse(self.topic.as_ref()?)
    }

    /// Where the last block for each of so many users partitions ended.
    pub fn told(&self, next: NextOffset, partitions: u32) -> Vec<Option<i64>> {
        let behind = |partition: usize| self.behind.get(partition).copied().unwrap_or(0);
        (0..partitions as usize).map(behind).map(|behind| (behind >= 0).then_some(next.0 - behind)).collect()
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::intake::NOTED_MAX;

    /// Brokers take 4,096 bytes, and clients that end texts with a zero a byte less.
    #[test]
    fn a_note_is_bounded_whatever_the_counts() {
        let longest = Memo {
            start: i64::MIN,
            at_ms: Some(i64::MIN),
            sequence: u64::MAX,
            watermark: Some({
                let mut watermark = Watermark::default();
                watermark.observe(i64::MIN);
                watermark.raise_to(i64::MIN, true);
                watermark
            }),
            ..Memo::default()
        };
        let next = NextOffset(1_234_567_890_123_456_789);
        for partitions in [NOTED_MAX as usize, 10_000] {
            // As far back as offsets go, where it is noted at all; with more partitions all are told.
            let told = if partitions > NOTED_MAX as usize { next.0 } else { 0 };
            let memo = longest.clone().with_told(next, (0..partitions).map(|_| Some(told)));
            let text = memo.with_topic(TopicId([0xff; 16])).to_text();
            assert!(text.len() <= 4_095, "{partitions} partitions: {} bytes", text.len());
        }
    }

    #[test]
    fn where_the_last_blocks_ended_is_noted_beside_the_offset() {
        for told in [vec![Some(90), None, Some(100)], vec![Some(100); 3], vec![None; 3]] {
            let memo = Memo { start: 7, ..Memo::default() }.with_told(NextOffset(100), told.iter().copied());
            let back = Memo::parse(&memo.to_text()).expect("ours");
            assert_eq!((&back, back.told(NextOffset(100), 3)), (&memo, told));
        }
        let usual = Memo::default().with_told(NextOffset(5), [Some(5); 256].into_iter());
        assert_eq!(usual.to_text(), r#"{"start":0,"sequence":0}"#);
    }
}
