//! A consumer for tools that only look: it joins no group and commits no offset.

use super::client_log::log_line;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, ClientContext};
use std::collections::BTreeMap;

/// Logs what librdkafka reports, except for the ends of partitions.
pub struct Observer;

impl ClientContext for Observer {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if !matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::PartitionEOF)) {
            tracing::warn!(target: "tailburn::kafka", %error, reason, "the consumer reports");
        }
    }
}

impl ConsumerContext for Observer {}

/// A consumer with the user's properties, except for those that would leave traces in the cluster.
/// librdkafka wants the id of a group before it assigns partitions; the group is never joined.
pub fn observer(properties: &BTreeMap<String, String>, group: &str) -> Result<BaseConsumer<Observer>, KafkaError> {
    let mut config = ClientConfig::new();
    config.extend(properties.clone());
    for (name, value) in [
        ("group.id", group),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("isolation.level", "read_committed"),
        ("enable.partition.eof", "true"),
        ("auto.offset.reset", "earliest"),
    ] {
        config.set(name, value);
    }
    config.create_with_context(Observer)
}
