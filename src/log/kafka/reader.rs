//! One partition, read beside the group: nothing is joined, committed or left behind.
//!
//! It goes through a queue of ours as the group's records do, because the client library's own events
//! do not say at which offset a partition ended.

use super::fetch::Fetcher;
use super::group::GroupContext;
use super::handed::{fault, record};
use super::{HANGING, KafkaSettings, QUESTION, SOURCES_BOUND, broken};
use crate::log::{Changelog, LogError, NextOffset, Stream};
use crate::model::record::RecordIn;
use crate::model::time::Ms;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the instances tell one another can wait this long: a look costs a poll a microsecond.
const SOURCES_INTERVAL: Duration = Duration::from_millis(50);
const LOST_SOURCES: &str = "The topic was made anew: start with a new output.prefix, or an application_id of its own";
const LOST_START: &str = "Records were deleted meanwhile: start again";
const LOST_STATE: &str = "The topic was made anew, or is not compacted: start with an empty state directory, so that \
                          the state is read from the changelog's beginning";

struct Reader {
    fetcher: Fetcher,
    topic: String,
    partition: i32,
    lost: &'static str,
}

/// What one look at the queue brought.
#[derive(Default)]
pub struct Taken {
    pub count: usize,
    /// The end of the partition, where nothing came behind it.
    pub end: Option<NextOffset>,
}

impl Reader {
    fn open(
        settings: &KafkaSettings,
        more: &[(&str, &str)],
        (topic, partition): (&str, i32),
        from: Offset,
        lost: &'static str,
    ) -> Result<Reader, LogError> {
        let mut config = settings.reader();
        for (name, value) in more {
            config.set(*name, *value);
        }
        let consumer: BaseConsumer<GroupContext> =
            config.create_with_context(GroupContext::default()).map_err(|e| unusable(&e))?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, from).map_err(|e| broken("name an offset", &e))?;
        let mut fetcher = Fetcher::new(consumer)?;
        fetcher.forward(topic, partition)?;
        fetcher.consumer()?.assign(&list).map_err(|e| broken("take a partition", &e))?;
        Ok(Reader { fetcher, topic: topic.to_owned(), partition, lost })
    }

    fn take(&mut self, wait: Duration, each: &mut dyn FnMut(&RecordIn<'_>)) -> Result<Taken, LogError> {
        // Errors of the connection alone: the partition's own come with its records.
        if let Some(Err(error)) = self.fetcher.consumer()?.poll(Duration::ZERO) {
            tracing::debug!(target: "tailburn::kafka", topic = self.topic, %error, "a reader reports");
        }
        let (mut taken, mut found) = (Taken::default(), None);
        let lost = self.lost;
        self.fetcher.take(wait, |message| match message.error() {
            None => {
                taken = Taken { count: taken.count + 1, end: None };
                each(&record(message));
            }
            Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF) => taken.end = Some(NextOffset(message.offset())),
            Some(code) => found = found.take().or_else(|| fault(code, message, lost)),
        })?;
        found.map_or(Ok(taken), Err)
    }
}

/// The sources, read from their beginning for as long as the log lives.
pub struct SourcesReader {
    reader: Reader,
    due: Instant,
}

impl SourcesReader {
    pub fn open(settings: &KafkaSettings, topic: &str) -> Result<SourcesReader, LogError> {
        // It is nearly always at its end, where a broker may hold the answer back.
        let patient = [("fetch.wait.max.ms", "500"), ("queued.max.messages.kbytes", "1024")];
        let reader = Reader::open(settings, &patient, (topic, 0), Offset::Beginning, LOST_SOURCES)?;
        Ok(SourcesReader { reader, due: Instant::now() })
    }

    /// Hands over what came, without waiting, where it is time to look again.
    pub fn take(&mut self, each: &mut dyn FnMut(Stream, &RecordIn<'_>)) -> Result<Taken, LogError> {
        let now = Instant::now();
        if now < self.due {
            return Ok(Taken::default());
        }
        let taken = self.reader.take(Duration::ZERO, &mut |record| each(Stream::Sources, record))?;
        if taken.count == 0 {
            self.due = now + SOURCES_INTERVAL;
        }
        Ok(taken)
    }
}

/// Hands over all that is committed of a partition in front of an end that was asked for; `false`: it could not
/// be read that far.
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
    let (mut next, deadline) = (range.start, Instant::now() + SOURCES_BOUND);
    while next < range.end && Instant::now() < deadline {
        let taken = reader.take(Duration::from_millis(100), &mut |record| {
            next = NextOffset(record.offset + 1);
            each(record);
        })?;
        // Behind the last record there may be the ends of transactions.
        next = taken.end.map_or(next, |end| next.max(end));
    }
    Ok(next >= range.end)
}

/// Where reading begins, and the time of the first record there.
pub struct FirstSince {
    pub next: NextOffset,
    /// `None`: there is no such record, and `next` is the end.
    pub timestamp_ms: Option<Ms>,
}

/// Records are looked through for so long; what is left is looked through by whoever reads from there on.
const LOOK_THROUGH: Duration = Duration::from_secs(120);

/// The first record of a partition, at `from` or behind it, that is not before a time.
pub fn first_since(
    settings: &KafkaSettings,
    (topic, partition): (&str, i32),
    from: NextOffset,
    since_ms: Ms,
) -> Result<FirstSince, LogError> {
    let mut reader = Reader::open(settings, &[], (topic, partition), Offset::Offset(from.0), LOST_START)?;
    let deadline = Instant::now() + LOOK_THROUGH;
    let mut next = from;
    while Instant::now() < deadline {
        let mut found = None;
        let taken = reader.take(Duration::from_millis(100), &mut |record| {
            next = NextOffset(record.offset + 1);
            let timestamp_ms = record.timestamp_ms.filter(|ms| *ms >= since_ms);
            found = found.or(timestamp_ms.map(|ms| (NextOffset(record.offset), ms)));
        })?;
        if let Some((next, timestamp_ms)) = found {
            return Ok(FirstSince { next, timestamp_ms: Some(timestamp_ms) });
        }
        if let Some(end) = taken.end {
            return Ok(FirstSince { next: end, timestamp_ms: None });
        }
    }
    Err(LogError::Broken(format!(
        "{topic} [{partition}]: no record of that time was found within {LOOK_THROUGH:?}, up to offset {}{HANGING}",
        next.0
    )))
}

/// Where partitions really begin and end: behind what is in transactions too. The members of a group
/// hear of an end that is before all of those, and a commit has succeeded before its records are
/// visible: who takes a task over and reads to that end can miss what its former owner did last.
pub struct Ends {
    consumer: BaseConsumer<GroupContext>,
}

impl Ends {
    pub fn open(settings: &KafkaSettings) -> Result<Ends, LogError> {
        let mut config = settings.reader();
        config.set("isolation.level", "read_uncommitted");
        Ok(Ends { consumer: config.create_with_context(GroupContext::default()).map_err(|e| unusable(&e))? })
    }

    pub fn of(&self, topic: &str, partition: i32, wait: Duration) -> KafkaResult<Range<NextOffset>> {
        // Nobody else looks at what the client has to say.
        while self.consumer.poll(Duration::ZERO).is_some() {}
        let (start, end) = self.consumer.fetch_watermarks(topic, partition, wait)?;
        Ok(NextOffset(start)..NextOffset(end))
    }
}

/// A partition of the changelog.
pub struct ChangelogReader {
    reader: Reader,
    ends: Arc<Ends>,
    /// Where it ended when that was told last, where nothing came since.
    end: Option<NextOffset>,
    silence: Silence,
}

/// Nothing came though the end is not reached, as far as that was not said yet.
struct Silence {
    since: Instant,
    /// How often one looked.
    looks: u32,
}

/// After so long, and so many looks, a person may have to look.
const SILENCE: Duration = Duration::from_secs(15);
const LOOKS: u32 = 200;

impl Silence {
    fn begin() -> Silence {
        Silence { since: Instant::now(), looks: 0 }
    }

    /// Whoever was busy with something else has heard nothing either.
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
        Ok(ChangelogReader { reader, ends, end: None, silence: Silence::begin() })
    }

    fn take(&mut self, wait: Duration, each: &mut dyn FnMut(&RecordIn<'_>)) -> Result<usize, LogError> {
        let wait = if self.end.is_some() { Duration::ZERO } else { wait };
        let taken = self.reader.take(wait, each)?;
        if taken.count > 0 || taken.end.is_some() {
            self.end = taken.end;
        }
        Ok(taken.count)
    }

    /// Readers of committed records get nothing from the beginning of a transaction on that has not ended.
    fn tell_of_silence(&mut self) {
        if !self.silence.lasts() {
            return;
        }
        self.silence = Silence::begin();
        let Some(end) = self.real_end() else { return };
        let (topic, partition) = (&self.reader.topic, self.reader.partition);
        tracing::warn!(
            target: "tailburn::kafka", topic, partition, end = end.0,
            "the changelog is not readable to its end: a transaction in it has not ended{HANGING}"
        );
    }

    /// `None` where the brokers do not say.
    fn real_end(&self) -> Option<NextOffset> {
        let (topic, partition) = (&self.reader.topic, self.reader.partition);
        match self.ends.of(topic, partition, QUESTION) {
            Ok(range) => Some(range.end),
            Err(error) => {
                tracing::warn!(target: "tailburn::kafka", topic, partition, %error, "the end cannot be asked for");
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
                self.silence = Silence::begin();
            }
            if let Some(end) = self.end {
                // It may have been the end before this call, or lie before a transaction that is to end yet.
                match self.real_end() {
                    Some(real) if real <= end => {
                        self.silence = Silence::begin();
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
                self.tell_of_silence();
                return Ok(false);
            }
        }
    }
}

fn unusable(error: &KafkaError) -> LogError {
    LogError::Refused { what: "kafka.properties".to_owned(), message: error.to_string() }
}
