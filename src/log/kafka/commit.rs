//! Commits: records and offsets in one transaction.

use super::consumer::GroupConsumer;
use super::errors::broken;
use super::group::is_member;
use super::publish::Publisher;
use crate::log::{CommitOutcome, LogError, NextOffset, Stream};
use rdkafka::consumer::Consumer;
use rdkafka::{Offset, TopicPartitionList};

/// Publishes what was sent together with these offsets and their metadata.
pub fn commit(
    publisher: &mut Publisher,
    consumer: &mut GroupConsumer,
    offsets: &[(Stream, NextOffset, String)],
) -> Result<CommitOutcome, LogError> {
    let list = list(consumer, offsets)?;
    let client = consumer.client()?;
    let group = client.group_metadata().ok_or_else(|| LogError::Broken("no group metadata".to_owned()))?;
    // This comes after the metadata: if we are a member now, we were one when the metadata was made. If the group has
    // changed since, the brokers refuse these offsets.
    if !is_member(client) {
        publisher.abort()?;
        return Ok(CommitOutcome::Aborted);
    }
    let outcome = publisher.commit(&list, &group)?;
    if outcome == CommitOutcome::Committed {
        for (stream, next, _) in offsets {
            consumer.assigned().set_committed(*stream, *next);
        }
    }
    Ok(outcome)
}

fn list(
    consumer: &mut GroupConsumer,
    offsets: &[(Stream, NextOffset, String)],
) -> Result<TopicPartitionList, LogError> {
    if offsets.is_empty() {
        // Without an offset the brokers do not check whether we are still a member.
        return Err(LogError::Broken("a commit without an offset".to_owned()));
    }
    let mut list = TopicPartitionList::new();
    for (stream, NextOffset(next), metadata) in offsets {
        if !consumer.assigned().owns(*stream) {
            return Err(LogError::Broken(format!("a commit for {stream:?}, which is not ours")));
        }
        let (topic, partition) = consumer.streams().partition_of(*stream)?;
        let mut element = list.add_partition(topic, partition);
        element.set_offset(Offset::Offset(*next)).map_err(|e| broken("set an offset", &e))?;
        element.set_metadata(metadata);
    }
    Ok(list)
}
