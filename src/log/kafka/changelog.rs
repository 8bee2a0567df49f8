//! Reads a partition of the changelog.

use super::errors::HANGING;
use super::log_ends::Ends;
use super::reader::Reader;
use super::settings::KafkaSettings;
use crate::log::{Changelog, LogError, NextOffset};
use crate::model::record::RecordIn;
use rdkafka::Offset;
use std::sync::Arc;
use std::time::{Duration, Instant};

const LOST_STATE: &str = "The topic was deleted and created again, or is not compacted: start with an empty state \
                          directory, so that the state is read from the changelog's beginning";
/// One request for the real end. If it fails, a later call asks again.
const END_TIMEOUT: Duration = Duration::from_secs(1);

pub struct ChangelogReader {
    reader: Reader,
    ends: Arc<Ends>,
    /// The last end that was reached, if no record came since.
    end: Option<NextOffset>,
    silence: Silence,
}

/// A time without records although the end is not reached. It starts again after each warning.
struct Silence {
    since: Instant,
    /// How often we looked for records in that time.
    looks: u32,
}

/// A silence is worth a warning after this long and this many looks.
const SILENCE: Duration = Duration::from_secs(15);
const LOOKS: u32 = 200;

impl Silence {
    fn start() -> Silence {
        Silence { since: Instant::now(), looks: 0 }
    }

    /// The looks are counted because a worker that was busy with something else got no records either.
    fn lasts(&mut self) -> bool {
        self.looks += 1;
        self.looks > LOOKS && self.since.elapsed() > SILENCE
    }
}

impl ChangelogReader {
    pub fn open(
        settings: &KafkaSettings,
        ends: Arc<Ends>,
        at: (&str, i32),
        from: NextOffset,
    ) -> Result<ChangelogReader, LogError> {
        let reader = Reader::open(settings, &[], at, Offset::Offset(from.0), LOST_STATE)?;
        Ok(ChangelogReader { reader, ends, end: None, silence: Silence::start() })
    }

    fn take(&mut self, wait: Duration, each: &mut dyn FnMut(&RecordIn<'_>)) -> Result<usize, LogError> {
        let wait = if self.end.is_some() { Duration::ZERO } else { wait };
        let taken = self.reader.take(wait, each)?;
        if taken.count > 0 || taken.end.is_some() {
            self.end = taken.end;
        }
        Ok(taken.count)
    }

    /// A consumer of committed records gets nothing after the start of a transaction that has not ended.
    fn warn_of_silence(&mut self) {
        if !self.silence.lasts() {
            return;
        }
        self.silence = Silence::start();
        let Some(end) = self.real_end() else { return };
        let (topic, partition) = (self.reader.topic(), self.reader.partition());
        tracing::warn!(
            target: "tailburn::kafka", topic, partition, end = end.0,
            "the changelog cannot be read to its end: a transaction in it has not ended{HANGING}"
        );
    }

    /// `None`: the brokers did not answer.
    fn real_end(&self) -> Option<NextOffset> {
        let (topic, partition) = (self.reader.topic(), self.reader.partition());
        match self.ends.of(topic, partition, END_TIMEOUT) {
            Ok(range) => Some(range.end),
            Err(error) => {
                tracing::warn!(target: "tailburn::kafka", topic, partition, %error, "the end of the partition cannot be found");
                None
            }
        }
    }
}

impl Changelog for ChangelogReader {
    fn read(&mut self, wait: Duration, each: &mut dyn FnMut(&RecordIn<'_>)) -> Result<bool, LogError> {
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let count = self.take(left, each)?;
            if count > 0 {
                self.silence = Silence::start();
            }
            if let Some(end) = self.end {
                // It may be an end from before this call, or lie before a transaction that has not ended yet.
                match self.real_end() {
                    Some(real) if real <= end => {
                        self.silence = Silence::start();
                        return Ok(true);
                    }
                    Some(_) => self.end = None,
                    None => return Ok(false),
                }
            }
            if count > 0 {
                return Ok(false);
            }
            if left.is_zero() {
                self.warn_of_silence();
                return Ok(false);
            }
        }
    }
}
