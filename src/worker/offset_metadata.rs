//! The metadata that a commit stores with each offset.

use crate::log::{Assignment, NextOffset, TopicId};
use crate::model::time::Ms;
use crate::operator::watermark::Watermark;
use serde::{Deserialize, Serialize};

/// The metadata of a committed offset, as JSON (brokers accept 4,096 bytes).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetMetadata {
    /// The offset at which this application id began to read the stream.
    pub start: i64,
    /// The last boundary of which the task published the results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<Ms>,
    /// The [`crate::pipeline::checkpoint::Mark::sequence`] of the task's last checkpoint; 0: none.
    #[serde(default)]
    pub sequence: u64,
    /// The watermark of an input partition that is read by the intake, because such a partition has no task with a
    /// checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<Watermark>,
    /// For such a partition, by users partition: the distance from the end of the last block to the offset; -1: no block
    /// was sent. Empty: all last blocks ended at the offset.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub behind: Vec<i64>,
    /// The id of the offset's topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) topic: Option<String>,
}

impl OffsetMetadata {
    /// Notes where the last blocks ended, by users partition; `next` is the committed offset.
    pub fn with_block_ends(mut self, next: NextOffset, ends: impl Iterator<Item = Option<i64>>) -> OffsetMetadata {
        self.behind = ends.map(|end| end.map_or(-1, |end| next.0 - end)).collect();
        if self.behind.iter().all(|behind| *behind == 0) {
            self.behind.clear();
        }
        self
    }

    /// Notes the id of the offset's topic.
    pub fn with_topic(mut self, id: TopicId) -> OffsetMetadata {
        self.topic = (id != TopicId::UNKNOWN).then(|| id.to_string());
        self
    }

    /// `None` if the id was unknown, or an older build committed the offset.
    pub fn topic_id(&self) -> Option<TopicId> {
        TopicId::parse(self.topic.as_ref()?)
    }

    /// Where the last block for each of the users partitions ended.
    pub fn block_ends(&self, next: NextOffset, partitions: u32) -> Vec<Option<i64>> {
        let behind = |partition: usize| self.behind.get(partition).copied().unwrap_or(0);
        (0..partitions as usize).map(behind).map(|behind| (behind >= 0).then_some(next.0 - behind)).collect()
    }

    pub fn to_text(&self) -> String {
        // Never fails: numbers and texts can always be written as JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// `None`: the offset was not committed by tailburn.
    pub fn parse(text: &str) -> Option<OffsetMetadata> {
        serde_json::from_str(text).ok()
    }
}

/// The committed offset of a stream with its metadata; `None` if tailburn did not commit it.
pub fn of_ours(assignment: &Assignment) -> Option<(NextOffset, OffsetMetadata)> {
    let committed = assignment.committed.as_ref()?;
    Some((committed.next, OffsetMetadata::parse(&committed.metadata)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::intake::NOTED_MAX;

    /// Brokers accept 4,096 bytes; clients with zero-terminated texts need one of them.
    #[test]
    fn metadata_is_bounded_for_any_number_of_partitions() {
        let longest = OffsetMetadata {
            start: i64::MIN,
            at_ms: Some(i64::MIN),
            sequence: u64::MAX,
            watermark: Some({
                let mut watermark = Watermark::default();
                watermark.observe(i64::MIN);
                watermark.raise_to(i64::MIN, true);
                watermark
            }),
            ..OffsetMetadata::default()
        };
        let next = NextOffset(1_234_567_890_123_456_789);
        for partitions in [NOTED_MAX as usize, 10_000] {
            // The longest distance, if distances are noted at all; with more partitions every block ends at the offset.
            let end = if partitions > NOTED_MAX as usize { next.0 } else { 0 };
            let metadata = longest.clone().with_block_ends(next, (0..partitions).map(|_| Some(end)));
            let text = metadata.with_topic(TopicId([0xff; 16])).to_text();
            assert!(text.len() <= 4_095, "{partitions} partitions: {} bytes", text.len());
        }
    }

    #[test]
    fn the_ends_of_the_last_blocks_are_read_back() {
        for ends in [vec![Some(90), None, Some(100)], vec![Some(100); 3], vec![None; 3]] {
            let metadata = OffsetMetadata { start: 7, ..OffsetMetadata::default() }
                .with_block_ends(NextOffset(100), ends.iter().copied());
            let back = OffsetMetadata::parse(&metadata.to_text()).expect("ours");
            assert_eq!((&back, back.block_ends(NextOffset(100), 3)), (&metadata, ends));
        }
        let usual = OffsetMetadata::default().with_block_ends(NextOffset(5), [Some(5); 256].into_iter());
        assert_eq!(usual.to_text(), r#"{"start":0,"sequence":0}"#);
    }
}
