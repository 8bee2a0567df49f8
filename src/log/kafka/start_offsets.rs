//! Where to start in partitions that the group gave us: at the committed offset, else where the settings say.

use super::errors::{HANGING, broken, deleted, recreated};
use super::group::GroupContext;
use super::native::describe_topics::{self, Described};
use super::reader::first_since;
use super::refusal;
use super::retry::{REQUEST_TIMEOUT, RETRY_PAUSE, RETRY_TIMEOUT, retry};
use super::rights;
use super::settings::{KafkaSettings, StartFrom};
use super::streams::Streams;
use crate::log::{Assignment, Committed, LogError, NextOffset, Stream, TopicId};
use crate::model::time::{Moment, Ms};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// What is needed to look offsets up.
pub struct Lookup<'a> {
    pub consumer: &'a BaseConsumer<GroupContext>,
    pub streams: &'a Streams,
    pub settings: &'a KafkaSettings,
}

impl Lookup<'_> {
    /// The partitions as assignments, each with the offset at which to start.
    pub fn assignments(&self, partitions: &[(String, i32)]) -> Result<Vec<Assignment>, LogError> {
        let streams = self.streams.streams_of(partitions)?;
        if streams.is_empty() {
            return Ok(Vec::new());
        }
        let committed = self.committed(&streams)?;
        let log_starts = self.offsets_at(Offset::Beginning, self.streams.list(streams.iter().copied())?)?;
        // Partitions that our own tasks write are read from their first record on, because another instance may have
        // started earlier. So are partitions that were added to a topic: they have records from before we noticed them.
        let starts_as_set =
            |stream: &Stream| matches!(stream, Stream::Input(_)) && !self.streams.extends_topic(*stream);
        let is_new = |stream: &Stream| starts_as_set(stream) && !self.has_offset(&committed, *stream);
        let starts = self.configured_starts(&streams.iter().copied().filter(is_new).collect::<Vec<_>>())?;
        let ids = self.topic_ids(&streams)?;
        let mut assigned = Vec::with_capacity(streams.len());
        for element in committed.elements() {
            element.error().map_err(|e| self.of_partition(&element, "find the committed offsets", &e))?;
            let stream = self.streams.stream_of(element.topic(), element.partition())?;
            let log_start = known(&log_starts, stream)?;
            let start = starts.get(&stream).copied().unwrap_or(log_start);
            let topic = ids.get(element.topic()).copied().unwrap_or_default();
            assigned.push(assignment(stream, topic, &element, start, log_start));
        }
        assigned.sort_by_key(|assignment| assignment.stream);
        Ok(assigned)
    }

    fn committed(&self, streams: &[Stream]) -> Result<TopicPartitionList, LogError> {
        let committed = retry(self.settings, "find the committed offsets", || {
            Ok(self.consumer.committed_offsets(self.streams.list(streams.iter().copied())?, REQUEST_TIMEOUT)?)
        });
        committed.map_err(without_answer)
    }

    /// The error that the brokers gave for one partition.
    fn of_partition(&self, found: &TopicPartitionListElem<'_>, what: &str, error: &KafkaError) -> LogError {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => rights::cannot_read(found.topic()),
            code => refusal::of_code(self.settings, code).unwrap_or_else(|| broken(what, error)),
        }
    }

    fn has_offset(&self, committed: &TopicPartitionList, stream: Stream) -> bool {
        let source = self.streams.source(stream);
        let found = source.and_then(|(topic, partition)| committed.find_partition(topic, partition));
        found.is_some_and(|element| matches!(element.offset(), Offset::Offset(_)))
    }

    /// Where the settings say to start in inputs for which the group has no offset.
    fn configured_starts(&self, new: &[Stream]) -> Result<BTreeMap<Stream, NextOffset>, LogError> {
        let list = self.streams.list(new.iter().copied())?;
        let starts = match self.settings.start_from {
            _ if new.is_empty() => return Ok(BTreeMap::new()),
            StartFrom::Earliest => self.offsets_at(Offset::Beginning, list)?,
            StartFrom::Latest => self.offsets_at(Offset::End, list)?,
            StartFrom::Time(ms) => return self.starts_at_time(ms, list),
        };
        for (stream, NextOffset(next)) in &starts {
            let (topic, partition) = self.streams.partition_of(*stream)?;
            tracing::info!("{topic} [{partition}]: the group has no offset; starting at offset {next}");
        }
        Ok(starts)
    }

    /// At the first record whose timestamp is not before a time. The brokers may find something that is no record: the
    /// end of a transaction, which has the time of the clock, or an aborted record. But no record before it is that
    /// young.
    fn starts_at_time(&self, ms: Ms, list: TopicPartitionList) -> Result<BTreeMap<Stream, NextOffset>, LogError> {
        let mut starts = self.offsets_at(Offset::Offset(ms), list)?;
        for (stream, next) in &mut starts {
            let (topic, partition) = self.streams.partition_of(*stream)?;
            let found = first_since(self.settings, (topic, partition), *next, ms)?;
            *next = found.next;
            let (at, next) = (Moment(ms), found.next.0);
            match found.timestamp_ms.map(Moment) {
                Some(time) => tracing::info!(
                    "{topic} [{partition}]: the group has no offset; starting at offset {next}, whose record is of {time}"
                ),
                None => tracing::info!(
                    "{topic} [{partition}]: the group has no offset; starting at its end, offset {next}: no record is of \
                     {at} or later"
                ),
            }
        }
        Ok(starts)
    }

    /// The ids that the topics of some streams have now. They show whether the offsets belong to these topics, or to
    /// deleted ones of the same names.
    fn topic_ids(&self, streams: &[Stream]) -> Result<BTreeMap<String, TopicId>, LogError> {
        let names = streams.iter().map(|stream| Ok(self.streams.partition_of(*stream)?.0.to_owned()));
        // A set, because each name may be asked for only once.
        let names: Vec<String> = names.collect::<Result<BTreeSet<String>, LogError>>()?.into_iter().collect();
        let opened = |(name, described): (String, Described)| match described {
            Described::There { id, .. } if id.contradicts(self.streams.topic_id(&name)) => {
                Err(recreated(&name, self.streams.topic_id(&name), id))
            }
            Described::There { id, .. } => Ok((name, id)),
            Described::Absent => Err(deleted(&name)),
            Described::Refused(code) => Err(rights::cannot_describe(self.settings, &name, code)),
        };
        self.describe(&names)?.into_iter().map(opened).collect()
    }

    #[expect(unsafe_code, reason = "the client library has no call for it")]
    fn describe(&self, names: &[String]) -> Result<BTreeMap<String, Described>, LogError> {
        let client = self.consumer.client().native_ptr();
        let deadline = Instant::now() + RETRY_TIMEOUT;
        loop {
            // SAFETY: the consumer lives as long as `self`.
            match unsafe { describe_topics::describe(client, names, REQUEST_TIMEOUT) } {
                Ok(found) => return Ok(found),
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(error) => {
                    tracing::warn!(target: "tailburn::kafka", %error, "asking again");
                    std::thread::sleep(RETRY_PAUSE);
                }
            }
        }
    }

    /// For each stream the offset of the first record at a place (the beginning, the end, or a time).
    fn offsets_at(&self, place: Offset, list: TopicPartitionList) -> Result<BTreeMap<Stream, NextOffset>, LogError> {
        let found = retry(self.settings, "find offsets", || {
            let mut places = list.clone();
            places.set_all_offsets(place)?;
            Ok(self.consumer.offsets_for_times(places, REQUEST_TIMEOUT)?)
        })?;
        let mut offsets = BTreeMap::new();
        for element in found.elements() {
            element.error().map_err(|e| self.of_partition(&element, "find offsets", &e))?;
            let stream = self.streams.stream_of(element.topic(), element.partition())?;
            let next = match element.offset() {
                Offset::Offset(next) => next,
                // No record is that young: start at the end.
                _ => self.end(element.topic(), element.partition())?,
            };
            offsets.insert(stream, NextOffset(next));
        }
        Ok(offsets)
    }

    fn end(&self, topic: &str, partition: i32) -> Result<i64, LogError> {
        let ends = retry(self.settings, "find the end of a partition", || {
            Ok(self.consumer.fetch_watermarks(topic, partition, REQUEST_TIMEOUT)?)
        })?;
        Ok(ends.1)
    }
}

/// If the coordinator answers everything but the question for committed offsets, these are in a transaction without an
/// end. A refusal is an answer.
fn without_answer(error: LogError) -> LogError {
    match error {
        LogError::Broken(text) => LogError::Broken(format!("{text}{HANGING}")),
        refused => refused,
    }
}

fn assignment(
    stream: Stream,
    topic: TopicId,
    found: &TopicPartitionListElem<'_>,
    start: NextOffset,
    log_start: NextOffset,
) -> Assignment {
    let committed = match found.offset() {
        Offset::Offset(next) => Some(Committed { next: NextOffset(next), metadata: found.metadata().to_owned() }),
        _ => None,
    };
    let next = committed.as_ref().map_or(start, |committed| committed.next);
    let name = format!("{} [{}]", found.topic(), found.partition());
    Assignment { stream, topic, name, next, log_start, committed }
}

fn known(offsets: &BTreeMap<Stream, NextOffset>, stream: Stream) -> Result<NextOffset, LogError> {
    offsets.get(&stream).copied().ok_or_else(|| LogError::Broken(format!("no offset was found for {stream:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::kafka::retry::RequestError;

    /// A right that is missing while the committed offsets are looked up.
    #[test]
    fn a_missing_right_is_refused_with_its_name_and_not_taken_for_a_broken_log() {
        let settings = KafkaSettings::for_tests(&[]);
        let ask = |code| {
            let asked = retry(&settings, "find the committed offsets", || {
                Err::<(), _>(RequestError::Theirs(KafkaError::OffsetFetch(code)))
            });
            asked.map_err(without_answer).expect_err("refused")
        };
        let refused = ask(RDKafkaErrorCode::GroupAuthorizationFailed);
        assert!(matches!(refused, LogError::Refused { .. }), "{refused}");
        let text = refused.to_string();
        assert!(text.starts_with("group app: this principal lacks the right Read on this consumer group"), "{text}");
    }

    #[test]
    fn a_question_without_an_answer_says_where_to_look() {
        let text = without_answer(LogError::Broken("find the committed offsets: timed out".to_owned())).to_string();
        assert!(text.contains("timed out") && text.contains("find-hanging"), "{text}");
    }
}
