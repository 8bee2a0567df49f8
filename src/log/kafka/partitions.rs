//! Streams as librdkafka's lists of partitions, and back.

use super::errors::{broken, keyed_and_grown};
use super::streams::Streams;
use crate::log::{LogError, NextOffset, START_OVER, Stream};
use rdkafka::{Offset, TopicPartitionList};

impl Streams {
    /// The topic and partition of a stream of ours.
    pub fn partition_of(&self, stream: Stream) -> Result<(&str, i32), LogError> {
        self.source(stream).ok_or_else(|| LogError::Broken(format!("there is no stream {stream:?}")))
    }

    /// The stream of a partition that the group gave us.
    pub fn stream_of(&self, topic: &str, partition: i32) -> Result<Stream, LogError> {
        let was = self.opened().get(topic).map_or(0, |(_, partitions)| *partitions);
        let now = u32::try_from(partition).map_or(0, |partition| partition + 1);
        self.stream(topic, partition).ok_or_else(|| self.grown(topic, was, now))
    }

    pub fn streams_of(&self, partitions: &[(String, i32)]) -> Result<Vec<Stream>, LogError> {
        let streams = partitions.iter().map(|(topic, partition)| self.stream_of(topic, *partition));
        let mut streams = streams.collect::<Result<Vec<_>, _>>()?;
        streams.sort_unstable();
        Ok(streams)
    }

    pub fn list(&self, streams: impl IntoIterator<Item = Stream>) -> Result<TopicPartitionList, LogError> {
        let mut list = TopicPartitionList::new();
        for stream in streams {
            let (topic, partition) = self.partition_of(stream)?;
            list.add_partition(topic, partition);
        }
        Ok(list)
    }

    pub fn list_at(
        &self,
        offsets: impl IntoIterator<Item = (Stream, NextOffset)>,
    ) -> Result<TopicPartitionList, LogError> {
        let mut list = TopicPartitionList::new();
        for (stream, NextOffset(next)) in offsets {
            let (topic, partition) = self.partition_of(stream)?;
            let mut element = list.add_partition(topic, partition);
            element.set_offset(Offset::Offset(next)).map_err(|e| broken("set an offset", &e))?;
        }
        Ok(list)
    }

    /// A topic has more partitions than before. New partitions of the input are read after the log is opened again,
    /// except if the input is keyed by user. The internal topics must not grow.
    pub fn grown(&self, topic: &str, was: u32, now: u32) -> LogError {
        if self.is_input(topic) && !self.is_keyed_by_user() {
            return LogError::Grown(format!("{topic} has {now} partitions now, and had {was}: opening it again"));
        }
        let why = if self.is_input(topic) {
            keyed_and_grown()
        } else {
            "there is one task for each partition, and with another number tasks do not find their state".to_owned()
        };
        LogError::Refused {
            what: topic.to_owned(),
            message: format!("has {now} partitions now, and had {was} when tailburn started: {why}. {START_OVER}"),
        }
    }
}
