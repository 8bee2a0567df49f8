//! Reads the topic of the sources, in which the instances tell one another about their input partitions. Every instance
//! reads all of it.

use super::errors::HANGING;
use super::reader::{LOOK, Reader, Taken};
use super::settings::KafkaSettings;
use crate::log::{LogError, NextOffset, Stream};
use crate::model::record::RecordIn;
use rdkafka::Offset;
use std::ops::Range;
use std::time::{Duration, Instant};

/// The sources are read to their end before the first stream is assigned. If they cannot be read, everything waits.
pub const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// News from other instances can wait this long. A look would add a microsecond to each poll.
const INTERVAL: Duration = Duration::from_millis(50);
const LOST_SOURCES: &str = "The topic was deleted and created again: start with a new output.prefix or application_id";

/// Reads the sources from their beginning for as long as the log lives.
pub struct SourcesReader {
    reader: Reader,
    due: Instant,
}

impl SourcesReader {
    pub fn open(settings: &KafkaSettings, topic: &str) -> Result<SourcesReader, LogError> {
        // The reader is nearly always at the end of the topic, so the broker may wait longer before it answers.
        let patient = [("fetch.wait.max.ms", "500"), ("queued.max.messages.kbytes", "1024")];
        let reader = Reader::open(settings, &patient, (topic, 0), Offset::Beginning, LOST_SOURCES)?;
        Ok(SourcesReader { reader, due: Instant::now() })
    }

    /// Passes on what came, without waiting, if it is time to look again.
    pub fn take(&mut self, each: &mut dyn FnMut(Stream, &RecordIn<'_>)) -> Result<Taken, LogError> {
        let now = Instant::now();
        if now < self.due {
            return Ok(Taken::default());
        }
        let taken = self.reader.take(Duration::ZERO, &mut |record| each(Stream::Sources, record))?;
        if taken.count == 0 {
            self.due = now + INTERVAL;
        }
        Ok(taken)
    }
}

/// Passes on all committed records in a range of the topic. `false`: the end of the range was not reached in time.
pub fn read_range(
    settings: &KafkaSettings,
    topic: &str,
    range: Range<NextOffset>,
    each: &mut dyn FnMut(&RecordIn<'_>),
) -> Result<bool, LogError> {
    if range.is_empty() {
        return Ok(true);
    }
    let mut reader = Reader::open(settings, &[], (topic, 0), Offset::Beginning, LOST_SOURCES)?;
    let (mut next, deadline) = (range.start, Instant::now() + READ_TIMEOUT);
    while next < range.end && Instant::now() < deadline {
        let taken = reader.take(LOOK, &mut |record| {
            next = NextOffset(record.offset + 1);
            each(record);
        })?;
        // After the last record there may be ends of transactions.
        next = taken.end.map_or(next, |end| next.max(end));
    }
    Ok(next >= range.end)
}

pub fn unread() -> LogError {
    LogError::Broken(format!("the topic of the sources could not be read to its end within {READ_TIMEOUT:?}{HANGING}"))
}
