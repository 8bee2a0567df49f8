//! Which streams this application has committed offsets of, and of which topics they were.
//!
//! It stands in the topic of the sources, in the transaction that commits a stream for the first time. A
//! group's offsets can go (they expire, and they are deleted with their topic) while the state of our tasks
//! stays: whoever then begins at the beginning counts everything a second time. And a topic that was deleted
//! and made anew has other records at the offsets that were noted. Neither is begun with.

use super::WorkerError;
use super::memo;
use crate::log::numbering::{Commitment, Numbering};
use crate::log::{Assignment, BEGIN_ANEW, Stream, TopicId};
use crate::model::record::RecordOut;
use crate::model::time::{Moment, Ms};
use std::collections::BTreeMap;

/// What was said of a stream when it was committed first.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Was {
    topic: TopicId,
    name: String,
}

/// All streams that were ever committed.
#[derive(Default)]
pub struct Known {
    all: BTreeMap<Stream, Was>,
    /// Ours, as they are now.
    ours: BTreeMap<Stream, Was>,
    /// When a commit was heard of last.
    heard_ms: Option<Ms>,
    /// How many input partitions there are.
    inputs: u32,
    /// How many there were when the first stream was committed.
    inputs_at_first: Option<u32>,
    numbering: Numbering,
}

impl Known {
    pub fn new(inputs: u32) -> Known {
        Known { inputs, ..Known::default() }
    }

    /// Any record of the sources tells when something was committed.
    pub fn heard(&mut self, timestamp_ms: Option<Ms>) {
        self.heard_ms = self.heard_ms.max(timestamp_ms);
    }

    /// Somebody, we ourselves perhaps, committed a stream, or claimed a number for one; `false`: the record is
    /// about something else.
    pub fn hear(&mut self, key: &[u8], value: &[u8]) -> Result<bool, WorkerError> {
        let is_claim = self.numbering.hear(key, value);
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

    /// Whether a stream may be begun with, or gone on with. `is_heard`: an older build may have said
    /// something of it.
    pub fn take_up(&mut self, assignment: &Assignment, is_heard: bool) -> Result<(), WorkerError> {
        let now = Was { topic: assignment.topic, name: assignment.name.clone() };
        let noted = memo::of_ours(assignment).and_then(|(_, memo)| memo.topic_id());
        let was = self.all.get(&assignment.stream);
        if let Some(was) = was.filter(|was| was.name != now.name) {
            return Err(renumbered(was, &now));
        }
        let ids = noted.into_iter().chain(was.map(|was| was.topic));
        if let Some(id) = ids.into_iter().find(|id| id.contradicts(now.topic)) {
            return Err(made_anew(&now, id));
        }
        if assignment.committed.is_none() && (was.is_some() || is_heard) {
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

    /// Whether an input partition, never committed yet, was added after the application had begun.
    pub fn was_added(&self, number: u32) -> bool {
        !self.has_input(number) && self.inputs_at_first.is_some_and(|first| number >= first)
    }

    pub fn topic(&self, stream: Stream) -> TopicId {
        self.ours.get(&stream).map_or(TopicId::UNKNOWN, |was| was.topic)
    }

    /// What others do not know yet of ours.
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
        let last = self.heard_ms.map_or_else(String::new, |ms| format!(" The last commit was at {}.", Moment(ms)));
        WorkerError::Refused(format!(
            "{}: the group has no offset of it, and it had one: a group's offsets are deleted with their topic, and \
             offsets.retention.minutes after its last instance left. Nothing was read or written.{last} {BEGIN_ANEW}",
            now.name
        ))
    }
}

fn made_anew(now: &Was, was: TopicId) -> WorkerError {
    WorkerError::Refused(format!(
        "{}: the topic was deleted and made anew (its id is {}, and the offsets are those of {was}), so they say nothing \
         of what is in it now. Nothing was read or written since this was noticed. {BEGIN_ANEW}",
        now.name, now.topic
    ))
}

fn renumbered(was: &Was, now: &Was) -> WorkerError {
    WorkerError::Refused(format!(
        "{} has now the number that {} had, and the state keeps its sources by number: this is not the state of this \
         application, or its internal topics were changed by hand. Nothing was read or written. {BEGIN_ANEW}",
        now.name, was.name
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Committed, NextOffset};
    use crate::worker::Memo;

    const OLD: TopicId = TopicId([1; 16]);
    const NEW: TopicId = TopicId([2; 16]);

    fn assignment(stream: Stream, topic: TopicId, noted: Option<TopicId>) -> Assignment {
        let memo = |id| Memo::default().with_topic(id).to_text();
        let committed = noted.map(|id| Committed { next: NextOffset(7), metadata: memo(id) });
        let name = format!("orders {stream:?}");
        Assignment { stream, topic, name, next: NextOffset(0), log_start: NextOffset(0), committed }
    }

    fn hear(known: &mut Known, record: &RecordOut) -> Result<bool, WorkerError> {
        known.hear(record.key.as_deref().unwrap_or_default(), record.value.as_deref().unwrap_or_default())
    }

    /// Another instance, that has heard what one with this stream said.
    fn after(stream: Stream, topic: TopicId) -> Known {
        let (mut one, mut other, mut out) = (Known::new(4), Known::new(5), Vec::new());
        one.take_up(&assignment(stream, topic, None), false).expect("it is new");
        one.news(&mut out);
        one.news(&mut out);
        assert_eq!(out.len(), 1, "nothing is told twice");
        assert!(hear(&mut other, &out[0]).expect("heard"));
        other
    }

    fn refusal(known: &mut Known, assignment: &Assignment) -> String {
        known.take_up(assignment, false).expect_err("refused").to_string()
    }

    #[test]
    fn a_topic_made_anew_is_refused_whoever_noted_the_old_one() {
        for stream in [Stream::Input(3), Stream::Repartition(0), Stream::Partials(2)] {
            let by_offset = refusal(&mut Known::default(), &assignment(stream, NEW, Some(OLD)));
            let by_sources = refusal(&mut after(stream, OLD), &assignment(stream, NEW, None));
            for text in [by_offset, by_sources] {
                assert!(text.contains("made anew") && text.contains(&OLD.to_string()), "{text}");
                assert!(text.contains("another application_id"), "{text}");
            }
        }
    }

    #[test]
    fn offsets_that_are_gone_are_refused_and_those_that_never_were_are_not() {
        let text = refusal(&mut after(Stream::Input(3), OLD), &assignment(Stream::Input(3), OLD, None));
        assert!(text.contains("has no offset of it, and it had one"), "{text}");
        let other = assignment(Stream::Input(4), OLD, None);
        after(Stream::Input(3), OLD).take_up(&other, false).expect("a partition that is new");
        Known::default().take_up(&other, true).expect_err("an older build had said something of it");
    }

    #[test]
    fn a_partition_that_was_added_is_told_from_one_that_nobody_had_yet() {
        let known = after(Stream::Input(1), OLD);
        let was_added: Vec<bool> = (0..5).map(|number| known.was_added(number)).collect();
        assert_eq!(was_added, [false, false, false, false, true]);
        assert!(!Known::new(5).was_added(4), "the application begins");
    }

    #[test]
    fn the_same_topic_and_brokers_without_ids_are_gone_on_with() {
        let same = assignment(Stream::Input(3), OLD, Some(OLD));
        after(Stream::Input(3), OLD).take_up(&same, true).expect("the same");
        let unknown = assignment(Stream::Input(3), TopicId::UNKNOWN, Some(OLD));
        after(Stream::Input(3), OLD).take_up(&unknown, true).expect("nobody knows");
    }

    #[test]
    fn another_partition_under_the_number_is_refused() {
        let mut now = assignment(Stream::Input(3), OLD, Some(OLD));
        now.name = "payments [0]".to_owned();
        assert!(refusal(&mut after(Stream::Input(3), OLD), &now).contains("payments [0] has now the number"));
    }

    /// It may have seen the partition before us.
    #[test]
    fn a_claim_beyond_what_we_know_has_us_begin_with_more() {
        let claims = Numbering::default().to_claim(&[("orders".to_owned(), 3)]).expect("numbered");
        let records: Vec<RecordOut> = claims.iter().map(|claim| claim.to_record("other")).collect();
        let mut known = Known::new(2);
        assert!(hear(&mut known, &records[0]).expect("ours") && hear(&mut known, &records[1]).expect("ours"));
        // Of two claims of one number the second is nobody's.
        assert!(hear(&mut known, &claims[1].to_record("slow")).expect("nothing new"));
        let grown = hear(&mut known, &records[2]).expect_err("it is new").to_string();
        assert!(grown.contains("orders [2] was added"), "{grown}");
    }

    #[test]
    fn records_about_something_else_are_others_business() {
        let mut known = Known::default();
        assert!(!known.hear(&7u32.to_be_bytes(), b"").expect("nothing"));
        assert!(!known.hear(&[0, 0, 0, 7, 1], b"").expect("nothing"));
    }
}
