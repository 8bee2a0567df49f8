//! Passes a batch of messages on as records of streams, and keeps our positions.

use super::message::{Message, partition_error};
use super::streams::Streams;
use crate::log::{LogError, LogEvent, NextOffset, START_OVER, Stream};
use crate::model::record::RecordIn;
use rdkafka::types::RDKafkaRespErr;
use std::collections::BTreeMap;

/// The likely reasons why records of an input (or of a topic between our tasks) are missing.
const LOST_RECORDS: &str = "Records that tailburn had not read were deleted (lengthen the topic's retention), or the \
                            topic was deleted and created again";

/// Where we are in a stream that we own.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// An abort returns to this offset.
    pub committed: NextOffset,
    /// The first record that the worker has not received yet.
    pub next: NextOffset,
}

impl Position {
    pub fn at(next: NextOffset) -> Position {
        Position { committed: next, next }
    }
}

/// One batch on its way to the worker.
pub struct Dispatch<'a, 'b> {
    streams: &'a Streams,
    owned: &'a mut BTreeMap<Stream, Position>,
    each: &'a mut (dyn FnMut(Stream, &RecordIn<'_>) + 'b),
    run: Option<Run>,
    ends: Vec<(Stream, NextOffset)>,
    error: Option<LogError>,
}

/// Records of a partition come in runs: the stream is looked up once per run.
struct Run {
    topic_handle: usize,
    partition: i32,
    /// With the next offset. `None`: the stream is not ours, or no longer.
    stream: Option<(Stream, i64)>,
}

impl<'a, 'b> Dispatch<'a, 'b> {
    pub fn new(
        streams: &'a Streams,
        owned: &'a mut BTreeMap<Stream, Position>,
        each: &'a mut (dyn FnMut(Stream, &RecordIn<'_>) + 'b),
    ) -> Dispatch<'a, 'b> {
        Dispatch { streams, owned, each, run: None, ends: Vec::new(), error: None }
    }

    #[inline]
    pub fn pass(&mut self, message: &Message<'_>) {
        if !self.is_in_run(message) {
            self.begin_run(message);
        }
        match message.error() {
            None => self.pass_record(message),
            Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF) => self.note_end(message),
            Some(code) => self.note_error(code, message),
        }
    }

    /// librdkafka releases a partition a moment after it reported the change, and pauses partitions while the group
    /// changes. In that moment it may deliver a record of a partition that is not ours, or a record a second time.
    #[inline]
    fn pass_record(&mut self, message: &Message<'_>) {
        let Some(Run { stream: Some((stream, next)), .. }) = &mut self.run else { return };
        if message.offset() < *next {
            return;
        }
        *next = message.offset() + 1;
        if !self.ends.is_empty() {
            // It was not the end after all.
            self.ends.retain(|(ended, _)| ended != stream);
        }
        (self.each)(*stream, &message.record());
    }

    fn note_end(&mut self, message: &Message<'_>) {
        if let Some(Run { stream: Some((stream, _)), .. }) = &self.run {
            self.ends.push((*stream, NextOffset(message.offset())));
        }
    }

    #[inline]
    fn is_in_run(&self, message: &Message<'_>) -> bool {
        let run = self.run.as_ref();
        run.is_some_and(|run| run.topic_handle == message.topic_handle() && run.partition == message.partition())
    }

    fn begin_run(&mut self, message: &Message<'_>) {
        self.end_run();
        let stream = self.streams.stream(message.topic(), message.partition());
        if stream.is_none() {
            self.note_unknown(message);
        }
        let owned = stream.and_then(|stream| Some((stream, self.owned.get(&stream)?.next.0)));
        self.run = Some(Run { topic_handle: message.topic_handle(), partition: message.partition(), stream: owned });
    }

    fn end_run(&mut self) {
        if let Some(Run { stream: Some((stream, next)), .. }) = self.run.take()
            && let Some(position) = self.owned.get_mut(&stream)
        {
            position.next = NextOffset(next);
        }
    }

    fn note_unknown(&mut self, message: &Message<'_>) {
        let what = format!("{} [{}]", message.topic(), message.partition());
        self.error.get_or_insert(LogError::Broken(format!("a record of {what}, which tailburn does not read")));
    }

    /// An error of a partition that is no longer ours is reported by its new owner.
    fn note_error(&mut self, code: RDKafkaRespErr, message: &Message<'_>) {
        let is_ours = self.run.as_ref().is_some_and(|run| run.stream.is_some());
        if is_ours && let Some(error) = partition_error(code, message, &format!("{LOST_RECORDS}. {START_OVER}")) {
            self.error.get_or_insert(error);
        }
    }

    pub fn finish(mut self) -> Result<Vec<LogEvent>, LogError> {
        self.end_run();
        match self.error {
            Some(error) => Err(error),
            None => Ok(self.ends.into_iter().map(|(stream, next)| LogEvent::End(stream, next)).collect()),
        }
    }
}
