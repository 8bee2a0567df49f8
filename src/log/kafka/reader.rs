//! Reads one partition outside of the group: it joins nothing and commits nothing.
//!
//! It uses a queue of ours, as the group's consumer does, because the client library's own events do not say at which
//! offset a partition ended.

use super::client_config;
use super::errors::{HANGING, broken, invalid_properties};
use super::fetch::Fetcher;
use super::group::GroupContext;
use super::message::partition_error;
use super::settings::KafkaSettings;
use crate::log::{LogError, NextOffset};
use crate::model::record::RecordIn;
use crate::model::time::Ms;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

const LOST_START: &str = "Records were deleted meanwhile: start again";
/// One look at the queue, while there is nothing else to do.
pub const LOOK: Duration = Duration::from_millis(100);

pub struct Reader {
    fetcher: Fetcher,
    topic: String,
    partition: i32,
    /// What to do if the log no longer has the offset at which to continue.
    remedy: &'static str,
}

/// What one look at the queue found.
#[derive(Default)]
pub struct Taken {
    pub count: usize,
    /// The end of the partition, if it was reached and no record came after it.
    pub end: Option<NextOffset>,
}

impl Reader {
    pub fn open(
        settings: &KafkaSettings,
        properties: &[(&str, &str)],
        (topic, partition): (&str, i32),
        from: Offset,
        remedy: &'static str,
    ) -> Result<Reader, LogError> {
        let mut config = client_config::reader(settings);
        for (name, value) in properties {
            config.set(*name, *value);
        }
        let consumer: BaseConsumer<GroupContext> =
            config.create_with_context(GroupContext::default()).map_err(|e| invalid_properties(&e))?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, from).map_err(|e| broken("set an offset", &e))?;
        let mut fetcher = Fetcher::new(consumer)?;
        fetcher.forward(topic, partition)?;
        fetcher.consumer()?.assign(&list).map_err(|e| broken("take a partition", &e))?;
        Ok(Reader { fetcher, topic: topic.to_owned(), partition, remedy })
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// Passes on what is there, and waits up to `wait` if there is nothing.
    pub fn take(&mut self, wait: Duration, each: &mut dyn FnMut(&RecordIn<'_>)) -> Result<Taken, LogError> {
        // These are only errors of the connection. Errors of the partition come with its records.
        if let Some(Err(error)) = self.fetcher.consumer()?.poll(Duration::ZERO) {
            tracing::debug!(target: "tailburn::kafka", topic = self.topic, %error, "a reader reports");
        }
        let (mut taken, mut failed) = (Taken::default(), None);
        let remedy = self.remedy;
        self.fetcher.take(wait, |message| match message.error() {
            None => {
                taken = Taken { count: taken.count + 1, end: None };
                each(&message.record());
            }
            Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF) => taken.end = Some(NextOffset(message.offset())),
            Some(code) => failed = failed.take().or_else(|| partition_error(code, message, remedy)),
        })?;
        failed.map_or(Ok(taken), Err)
    }
}

/// Where reading starts, and the time of the first record there.
pub struct FirstSince {
    pub next: NextOffset,
    /// `None`: there is no such record, and `next` is the end of the partition.
    pub timestamp_ms: Option<Ms>,
}

/// How long to search.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(120);

/// The first record of a partition, at `from` or later, whose timestamp is not before a time.
pub fn first_since(
    settings: &KafkaSettings,
    (topic, partition): (&str, i32),
    from: NextOffset,
    since_ms: Ms,
) -> Result<FirstSince, LogError> {
    let mut reader = Reader::open(settings, &[], (topic, partition), Offset::Offset(from.0), LOST_START)?;
    let deadline = Instant::now() + SEARCH_TIMEOUT;
    let mut next = from;
    while Instant::now() < deadline {
        let mut found = None;
        let taken = reader.take(LOOK, &mut |record| {
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
        "{topic} [{partition}]: no record of that time was found within {SEARCH_TIMEOUT:?}, up to offset {}{HANGING}",
        next.0
    )))
}
