//! The rebalances of the consumer group, kept until the log acts on them.
//!
//! librdkafka calls back from within `poll` and then waits for us to assign or unassign the partitions. The callback
//! here only stores the event. The worker gets it first and may commit what it is about to give up. At its next poll
//! the partitions are assigned or unassigned.

use super::client_log::log_line;
use super::connection::{ConnectionErrors, Listener};
use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::bindings as sys;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use std::ffi::CStr;
use std::sync::{Mutex, PoisonError};

/// What a rebalance did to our partitions. The group waits until we have acted on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RebalanceEvent {
    Assigned(Vec<(String, i32)>),
    Revoked(Vec<(String, i32)>),
    /// Another member may own them already.
    Lost(Vec<(String, i32)>),
}

/// The consumer's context. Callbacks run on the polling thread. The client library requires the lock; no other thread
/// ever takes it.
#[derive(Default)]
pub struct GroupContext {
    events: Mutex<Vec<RebalanceEvent>>,
    connection: ConnectionErrors,
}

impl GroupContext {
    pub fn new(listener: Listener) -> GroupContext {
        GroupContext { events: Mutex::default(), connection: ConnectionErrors::new(listener) }
    }

    /// The events since the last call, oldest first.
    pub fn take(&self) -> Vec<RebalanceEvent> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.connection.record(&error, reason);
        tracing::warn!(target: "tailburn::kafka", %error, reason, "the consumer reports");
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions = list.elements().iter().map(|e| (e.topic().to_owned(), e.partition())).collect();
        let event = match kind {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => RebalanceEvent::Assigned(partitions),
            _ if consumer.assignment_lost() => RebalanceEvent::Lost(partitions),
            _ => RebalanceEvent::Revoked(partitions),
        };
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }
}

/// Whether this consumer is a member of its group, as far as it knows. If the group has expelled it, librdkafka forgets
/// its member id and generation. The brokers then take a commit for one of a consumer without a group, and check
/// nothing.
#[expect(unsafe_code, reason = "the client library does not show what is in the group's metadata")]
pub fn is_member(consumer: &BaseConsumer<GroupContext>) -> bool {
    // SAFETY: the client is alive.
    let metadata = unsafe { sys::rd_kafka_consumer_group_metadata(consumer.client().native_ptr()) };
    if metadata.is_null() {
        return false;
    }
    // SAFETY: the metadata is ours until it is destroyed below; its member id is a C string.
    let is_member = unsafe {
        let id = CStr::from_ptr(sys::rd_kafka_consumer_group_metadata_member_id(metadata));
        !id.is_empty() && sys::rd_kafka_consumer_group_metadata_generation_id(metadata) >= 0
    };
    // SAFETY: it came from `rd_kafka_consumer_group_metadata`, and is not used again.
    unsafe { sys::rd_kafka_consumer_group_metadata_destroy(metadata) };
    is_member && !consumer.assignment_lost()
}

/// Gives up everything that the group still asks for, so that a closing consumer can leave it.
pub fn unassign_while_closing(consumer: &BaseConsumer<GroupContext>) {
    for event in consumer.context().take() {
        if let Err(error) = consumer.unassign() {
            tracing::debug!(target: "tailburn::kafka", %error, ?event, "while closing");
        }
    }
}
