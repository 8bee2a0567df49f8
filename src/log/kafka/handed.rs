//! Messages of librdkafka become records of streams, or faults that say what to do.

use super::fetch::Message;
use super::streams::Streams;
use crate::log::{BEGIN_ANEW, LogError, LogEvent, NextOffset, Stream};
use crate::model::record::RecordIn;
use rdkafka::types::RDKafkaRespErr;
use std::collections::BTreeMap;

/// What is to be done where the log of an input (or of what is between our tasks) has a hole.
const LOST_RECORDS: &str = "Records that tailburn had not read were deleted (lengthen the topic's retention), or the \
                            topic was made anew";

/// Where an owned stream stands.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// What an abort goes back to.
    pub committed: NextOffset,
    /// What the worker was not handed yet.
    pub read: NextOffset,
}

impl Position {
    pub fn at(next: NextOffset) -> Position {
        Position { committed: next, read: next }
    }
}

/// One batch on its way to the worker.
pub struct Handed<'a, 'b> {
    streams: &'a Streams,
    owned: &'a mut BTreeMap<Stream, Position>,
    each: &'a mut (dyn FnMut(Stream, &RecordIn<'_>) + 'b),
    run: Option<Run>,
    ends: Vec<(Stream, NextOffset)>,
    fault: Option<LogError>,
}

/// Records of a partition come in runs: its stream is looked up once a run.
struct Run {
    topic_id: usize,
    partition: i32,
    /// With the offset that is still to come. `None` where the stream is not ours (any more).
    stream: Option<(Stream, i64)>,
}

impl<'a, 'b> Handed<'a, 'b> {
    pub fn new(
        streams: &'a Streams,
        owned: &'a mut BTreeMap<Stream, Position>,
        each: &'a mut (dyn FnMut(Stream, &RecordIn<'_>) + 'b),
    ) -> Handed<'a, 'b> {
        Handed { streams, owned, each, run: None, ends: Vec::new(), fault: None }
    }

    #[inline]
    pub fn hand(&mut self, message: &Message<'_>) {
        if !self.is_in_run(message) {
            self.begin_run(message);
        }
        match message.error() {
            None => self.hand_record(message),
            Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF) => self.note_end(message),
            Some(code) => self.note_fault(code, message),
        }
    }

    /// Librdkafka lets go of a partition a moment after it said so, and holds partitions back while the
    /// group changes: in that moment it may hand a record over that is not ours, or one a second time.
    #[inline]
    fn hand_record(&mut self, message: &Message<'_>) {
        let Some(Run { stream: Some((stream, next)), .. }) = &mut self.run else { return };
        if message.offset() < *next {
            return;
        }
        *next = message.offset() + 1;
        if !self.ends.is_empty() {
            // The end has moved on since.
            self.ends.retain(|(ended, _)| ended != stream);
        }
        (self.each)(*stream, &record(message));
    }

    fn note_end(&mut self, message: &Message<'_>) {
        if let Some(Run { stream: Some((stream, _)), .. }) = &self.run {
            self.ends.push((*stream, NextOffset(message.offset())));
        }
    }

    #[inline]
    fn is_in_run(&self, message: &Message<'_>) -> bool {
        let run = self.run.as_ref();
        run.is_some_and(|run| run.topic_id == message.topic_id() && run.partition == message.partition())
    }

    fn begin_run(&mut self, message: &Message<'_>) {
        self.end_run();
        let stream = self.streams.stream(message.topic(), message.partition());
        if stream.is_none() {
            self.note_unknown(message);
        }
        let owned = stream.and_then(|stream| Some((stream, self.owned.get(&stream)?.read.0)));
        self.run = Some(Run { topic_id: message.topic_id(), partition: message.partition(), stream: owned });
    }

    fn end_run(&mut self) {
        if let Some(Run { stream: Some((stream, next)), .. }) = self.run.take()
            && let Some(position) = self.owned.get_mut(&stream)
        {
            position.read = NextOffset(next);
        }
    }

    fn note_unknown(&mut self, message: &Message<'_>) {
        let what = format!("{} [{}]", message.topic(), message.partition());
        self.fault.get_or_insert(LogError::Broken(format!("a record of {what}, which is none of ours")));
    }

    /// What befalls a partition that is no longer ours is its new owner's to tell.
    fn note_fault(&mut self, code: RDKafkaRespErr, message: &Message<'_>) {
        let is_ours = self.run.as_ref().is_some_and(|run| run.stream.is_some());
        if is_ours && let Some(fault) = fault(code, message, &format!("{LOST_RECORDS}. {BEGIN_ANEW}")) {
            self.fault.get_or_insert(fault);
        }
    }

    pub fn finish(mut self) -> Result<Vec<LogEvent>, LogError> {
        self.end_run();
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok(self.ends.into_iter().map(|(stream, next)| LogEvent::End(stream, next)).collect()),
        }
    }
}

/// As the log hands records over.
pub fn record<'a>(message: &'a Message<'_>) -> RecordIn<'a> {
    RecordIn {
        partition: u32::try_from(message.partition()).unwrap_or(0),
        offset: message.offset(),
        key: message.key(),
        value: message.value(),
        timestamp_ms: message.timestamp_ms(),
        headers: message,
    }
}

/// What is wrong with a partition; `None` where librdkafka gets over it. `lost` says what to do where
/// the log does not hold the offset to go on from.
pub fn fault(code: RDKafkaRespErr, message: &Message<'_>, lost: &str) -> Option<LogError> {
    let what = format!("{} [{}]", message.topic(), message.partition());
    let why = message.error_text();
    match code {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET => Some(LogError::Refused {
            what,
            message: format!(
                "the log does not hold the offset to go on from (offset {}: {why}). {lost}",
                message.offset()
            ),
        }),
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
        | RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID => Some(LogError::Refused {
            what,
            message: format!("{why}: the topic was deleted. Where it is made anew: {BEGIN_ANEW}"),
        }),
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED => {
            Some(super::rights::unreadable(message.topic()))
        }
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION | RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC => {
            Some(LogError::Refused { what, message: why })
        }
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__BAD_MSG | RDKafkaRespErr::RD_KAFKA_RESP_ERR__BAD_COMPRESSION => {
            Some(LogError::Broken(format!("{what}: an unreadable record at offset {}: {why}", message.offset())))
        }
        _ => {
            tracing::warn!(target: "tailburn::kafka", partition = what, reason = why, "reading is disturbed");
            None
        }
    }
}
