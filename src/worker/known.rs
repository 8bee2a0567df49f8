//! Which streams this application has committed offsets for, and the ids of their topics.
//!
//! A record in the sources topic notes this, in the transaction that commits a stream for the first time. A group's
//! offsets can disappear (they expire, and are deleted with their topic) while the state of our tasks stays; starting
//! at the beginning would then count everything twice. And after a topic was deleted and created again, the committed
//! offsets refer to other records. In both cases the worker refuses to start.

use super::WorkerError;
use super::offset_metadata;
use crate::log::numbering::{Commitment, Numbering};
use crate::log::{Assignment, START_OVER, Stream, TopicId};
use crate::model::record::RecordOut;
use crate::model::time::{Moment, Ms};
use std::collections::BTreeMap;

/// The topic of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Was {
    topic: TopicId,
    name: String,
}

/// All streams that were ever committed.
#[derive(Default)]
pub struct Known {
    /// As noted at their first commit.
    all: BTreeMap<Stream, Was>,
    /// Our streams, as they are now.
    ours: BTreeMap<Stream, Was>,
    /// The time of the last known commit.
    last_commit_ms: Option<Ms>,
    /// The number of input partitions.
    inputs: u32,
    /// The number of input partitions when the first stream was committed.
    inputs_at_first: Option<u32>,
    numbering: Numbering,
}

impl Known {
    pub fn new(inputs: u32) -> Known {
        Known { inputs, ..Known::default() }
    }

    /// Takes the timestamp of a record of the sources topic; the newest tells about when the last commit was.
    pub fn note_time(&mut self, timestamp_ms: Option<Ms>) {
        self.last_commit_ms = self.last_commit_ms.max(timestamp_ms);
    }

    /// Takes a record of the sources topic, from any instance including this one: the first commit of a stream, or the
    /// claim of a number for a partition. `false`: the record is neither.
    pub fn receive(&mut self, key: &[u8], value: &[u8]) -> Result<bool, WorkerError> {
        let is_claim = self.numbering.apply(key, value);
        // Whoever claimed it knows of partitions that we do not know.
        if let Some(new) = self.numbering.claimed().get(self.inputs as usize) {
            return Err(WorkerError::Grown(format!("{} was added to the input", new.of)));
        }
        let Some(said) = Commitment::read(key, value) else { return Ok(is_claim) };
        let count = said.inputs;
        self.inputs_at_first = Some(self.inputs_at_first.map_or(count, |first| first.min(count)));
        self.all.insert(said.stream, Was { topic: said.topic, name: said.name });
        Ok(true)
    }

    /// Checks that a stream may be started or continued. `is_reported`: other records about it exist, as an older build may
    /// have committed it without a note.
    pub fn take_up(&mut self, assignment: &Assignment, is_reported: bool) -> Result<(), WorkerError> {
        let now = Was { topic: assignment.topic, name: assignment.name.clone() };
        let noted = offset_metadata::of_ours(assignment).and_then(|(_, metadata)| metadata.topic_id());
        let was = self.all.get(&assignment.stream);
        if let Some(was) = was.filter(|was| was.name != now.name) {
            return Err(renumbered(was, &now));
        }
        let ids = noted.into_iter().chain(was.map(|was| was.topic));
        if let Some(id) = ids.into_iter().find(|id| id.contradicts(now.topic)) {
            return Err(created_again(&now, id));
        }
        if assignment.committed.is_none() && (was.is_some() || is_reported) {
            return Err(self.offsets_gone(&now));
        }
        self.ours.insert(assignment.stream, now);
        Ok(())
    }

    pub fn let_go(&mut self, stream: Stream) {
        self.ours.remove(&stream);
    }

    /// Whether an input partition was ever committed.
    pub fn has_input(&self, number: u32) -> bool {
        self.all.contains_key(&Stream::Input(number))
    }

    /// Whether an input partition, never committed yet, was added after the application had begun, to a topic or with one:
    /// T has advanced without it.
    pub fn was_added(&self, number: u32) -> bool {
        !self.has_input(number) && self.came_later(number)
    }

    /// Whether an input partition, committed or not, was not there yet when the application began.
    pub fn came_later(&self, number: u32) -> bool {
        self.inputs_at_first.is_some_and(|first| number >= first)
    }

    pub fn topic(&self, stream: Stream) -> TopicId {
        self.ours.get(&stream).map_or(TopicId::UNKNOWN, |was| was.topic)
    }

    /// Appends a record for each of our streams that is not noted yet, or whose topic has another id than noted.
    pub fn news(&mut self, out: &mut Vec<RecordOut>) {
        for (stream, was) in &self.ours {
            if self.all.get(stream) == Some(was) {
                continue;
            }
            let (topic, name) = (was.topic, was.name.clone());
            out.push(Commitment { stream: *stream, topic, inputs: self.inputs, name }.to_record());
            self.all.insert(*stream, was.clone());
        }
    }

    fn offsets_gone(&self, now: &Was) -> WorkerError {
        let last =
            self.last_commit_ms.map_or_else(String::new, |ms| format!(" The last commit was at {}.", Moment(ms)));
        WorkerError::Refused(format!(
            "{}: the group has no offset of it, and it had one: a group's offsets are deleted with their topic, and \
             offsets.retention.minutes after the last instance left. Nothing was read or written.{last} {START_OVER}",
            now.name
        ))
    }
}

fn created_again(now: &Was, was: TopicId) -> WorkerError {
    WorkerError::Refused(format!(
        "{}: the topic was deleted and created again (its id is {}, but the offsets belong to {was}), so the offsets do not \
         fit its present records. Nothing was read or written since this was noticed. {START_OVER}",
        now.name, now.topic
    ))
}

fn renumbered(was: &Was, now: &Was) -> WorkerError {
    WorkerError::Refused(format!(
        "{} has now the number that {} had, but the state refers to its sources by number: either the state belongs to \
         another application, or the internal topics were changed by hand. Nothing was read or written. {START_OVER}",
        now.name, was.name
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Committed, NextOffset};
    use crate::worker::OffsetMetadata;

    const OLD: TopicId = TopicId([1; 16]);
    const NEW: TopicId = TopicId([2; 16]);

    fn assignment(stream: Stream, topic: TopicId, noted: Option<TopicId>) -> Assignment {
        let metadata = |id| OffsetMetadata::default().with_topic(id).to_text();
        let committed = noted.map(|id| Committed { next: NextOffset(7), metadata: metadata(id) });
        let name = format!("orders {stream:?}");
        Assignment { stream, topic, name, next: NextOffset(0), log_start: NextOffset(0), committed }
    }

    fn receive(known: &mut Known, record: &RecordOut) -> Result<bool, WorkerError> {
        known.receive(record.key.as_deref().unwrap_or_default(), record.value.as_deref().unwrap_or_default())
    }

    /// An instance that has received the record of another instance's first commit of this stream.
    fn after(stream: Stream, topic: TopicId) -> Known {
        let (mut one, mut other, mut out) = (Known::new(4), Known::new(5), Vec::new());
        one.take_up(&assignment(stream, topic, None), false).expect("the stream is new");
        one.news(&mut out);
        one.news(&mut out);
        assert_eq!(out.len(), 1, "a stream is noted once");
        assert!(receive(&mut other, &out[0]).expect("received"));
        other
    }

    fn refusal(known: &mut Known, assignment: &Assignment) -> String {
        known.take_up(assignment, false).expect_err("refused").to_string()
    }

    #[test]
    fn a_topic_created_again_is_refused_by_the_note_of_an_offset_and_by_the_sources() {
        for stream in [Stream::Input(3), Stream::Repartition(0), Stream::Partials(2)] {
            let by_offset = refusal(&mut Known::default(), &assignment(stream, NEW, Some(OLD)));
            let by_sources = refusal(&mut after(stream, OLD), &assignment(stream, NEW, None));
            for text in [by_offset, by_sources] {
                assert!(text.contains("created again") && text.contains(&OLD.to_string()), "{text}");
                assert!(text.contains("another application_id"), "{text}");
            }
        }
    }

    #[test]
    fn a_stream_whose_offset_is_gone_is_refused_and_a_new_stream_is_not() {
        let text = refusal(&mut after(Stream::Input(3), OLD), &assignment(Stream::Input(3), OLD, None));
        assert!(text.contains("has no offset of it, and it had one"), "{text}");
        let other = assignment(Stream::Input(4), OLD, None);
        after(Stream::Input(3), OLD).take_up(&other, false).expect("a partition that is new");
        Known::default().take_up(&other, true).expect_err("an older build had sent its progress");
    }

    #[test]
    fn an_added_partition_differs_from_one_that_was_never_committed() {
        let known = after(Stream::Input(1), OLD);
        let was_added: Vec<bool> = (0..5).map(|number| known.was_added(number)).collect();
        assert_eq!(was_added, [false, false, false, false, true]);
        assert!(!Known::new(5).was_added(4), "at the application's first start");
    }

    #[test]
    fn the_same_topic_is_continued_and_so_is_one_without_an_id() {
        let same = assignment(Stream::Input(3), OLD, Some(OLD));
        after(Stream::Input(3), OLD).take_up(&same, true).expect("the same");
        let unknown = assignment(Stream::Input(3), TopicId::UNKNOWN, Some(OLD));
        after(Stream::Input(3), OLD).take_up(&unknown, true).expect("the brokers have no topic ids");
    }

    #[test]
    fn another_partition_with_the_same_number_is_refused() {
        let mut now = assignment(Stream::Input(3), OLD, Some(OLD));
        now.name = "payments [0]".to_owned();
        assert!(refusal(&mut after(Stream::Input(3), OLD), &now).contains("payments [0] has now the number"));
    }

    /// Another instance may see an added partition before this one.
    #[test]
    fn a_claim_for_an_unknown_partition_ends_the_worker_to_start_with_more_partitions() {
        let claims = Numbering::default().to_claim(&[("orders".to_owned(), 3)]).expect("numbered");
        let records: Vec<RecordOut> = claims.iter().map(|claim| claim.to_record("other")).collect();
        let mut known = Known::new(2);
        assert!(receive(&mut known, &records[0]).expect("ours") && receive(&mut known, &records[1]).expect("ours"));
        // Of two claims of the same number the second has no effect.
        assert!(receive(&mut known, &claims[1].to_record("slow")).expect("nothing new"));
        let grown = receive(&mut known, &records[2]).expect_err("a third partition").to_string();
        assert!(grown.contains("orders [2] was added"), "{grown}");
    }

    #[test]
    fn other_records_of_the_sources_topic_are_ignored() {
        let mut known = Known::default();
        assert!(!known.receive(&7u32.to_be_bytes(), b"").expect("nothing"));
        assert!(!known.receive(&[0, 0, 0, 7, 1], b"").expect("nothing"));
    }
}
