//! Where partitions really begin and end.

use super::client_config;
use super::errors::invalid_properties;
use super::group::GroupContext;
use super::settings::KafkaSettings;
use crate::log::{LogError, NextOffset};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use std::ops::Range;
use std::time::Duration;

/// Finds the ends of partitions, including records of open transactions. A consumer of committed records sees an end
/// before the first open transaction, and a commit succeeds a moment before its records are visible. A new owner of a
/// task that reads only to that end can miss the last commit of the former owner.
pub struct Ends {
    consumer: BaseConsumer<GroupContext>,
}

impl Ends {
    pub fn open(settings: &KafkaSettings) -> Result<Ends, LogError> {
        let mut config = client_config::reader(settings);
        config.set("isolation.level", "read_uncommitted");
        Ok(Ends { consumer: config.create_with_context(GroupContext::default()).map_err(|e| invalid_properties(&e))? })
    }

    pub fn of(&self, topic: &str, partition: i32, timeout: Duration) -> KafkaResult<Range<NextOffset>> {
        // Drops the client's events: nobody else polls it.
        while self.consumer.poll(Duration::ZERO).is_some() {}
        let (start, end) = self.consumer.fetch_watermarks(topic, partition, timeout)?;
        Ok(NextOffset(start)..NextOffset(end))
    }
}
