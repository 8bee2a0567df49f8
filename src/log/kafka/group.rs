//! What the consumer group decides, held until the log is ready to act on it.
//!
//! librdkafka reports a rebalance from within `poll` and then waits for the answer (assign or
//! unassign). The callback here only notes the report: the worker first hears of it, may commit
//! what it is about to give up, and the answer is given at its next poll.

use super::KafkaSettings;
use super::trouble::Trouble;
use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::bindings as sys;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use std::ffi::CStr;
use std::sync::{Mutex, PoisonError};

/// A report of the group that awaits its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    Assign(Vec<(String, i32)>),
    Revoke(Vec<(String, i32)>),
    /// Somebody else has them already.
    Lost(Vec<(String, i32)>),
}

/// The consumer's context. Callbacks run on the polling thread; the lock is there because the
/// client library asks for it, and is never contended.
#[derive(Default)]
pub struct GroupContext {
    reports: Mutex<Vec<Report>>,
    trouble: Trouble,
}

impl GroupContext {
    pub fn new(settings: &KafkaSettings) -> GroupContext {
        GroupContext { reports: Mutex::default(), trouble: Trouble::new(settings) }
    }

    /// The reports since the last call, oldest first.
    pub fn take(&self) -> Vec<Report> {
        std::mem::take(&mut *self.reports.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.trouble.note(&error, reason);
        tracing::warn!(target: "tailburn::kafka", %error, reason, "the consumer reports");
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions = list.elements().iter().map(|e| (e.topic().to_owned(), e.partition())).collect();
        let report = match kind {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Report::Assign(partitions),
            _ if consumer.assignment_lost() => Report::Lost(partitions),
            _ => Report::Revoke(partitions),
        };
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).push(report);
    }
}

/// Whether this consumer is a member of its group, as far as it knows. Without a member id and a
/// generation the brokers take a commit for one of somebody who needs no group, and check nothing:
/// librdkafka forgets both where the group has shut it out.
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

/// librdkafka's own log, into ours.
pub fn log_line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    // Both clients get the same properties, and each complains about those of the other.
    if facility == "CONFWARN" {
        tracing::debug!(target: "tailburn::kafka", facility, "{message}");
        return;
    }
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => tracing::warn!(target: "tailburn::kafka", facility, "{message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "tailburn::kafka", facility, "{message}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(target: "tailburn::kafka", facility, "{message}"),
    }
}
