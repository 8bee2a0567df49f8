//! Errors that several files of this module report, in the same words.

use crate::log::{LogError, START_OVER, TopicId};
use rdkafka::error::KafkaError;

/// The usual reason why records that are there cannot be read, and how to find it (ops/decisions/0004).
pub const HANGING: &str = " (if the broker is well otherwise, a transaction of this group may have lost its end: \
                       `kafka-transactions.sh find-hanging` tells)";

pub fn broken(what: &str, error: &KafkaError) -> LogError {
    LogError::Broken(format!("{what}: {error}"))
}

/// librdkafka creates no client with these properties.
pub fn invalid_properties(error: &KafkaError) -> LogError {
    LogError::Refused { what: "kafka.properties".to_owned(), message: error.to_string() }
}

pub fn recreated(topic: &str, was: TopicId, now: TopicId) -> LogError {
    LogError::Refused {
        what: topic.to_owned(),
        message: format!(
            "was deleted and created again (its id was {was} and is {now}): the stored offsets belong to the old topic. \
             {START_OVER}"
        ),
    }
}

pub fn deleted(topic: &str) -> LogError {
    LogError::Refused {
        what: topic.to_owned(),
        message: format!("is gone: it was deleted. If you create it again: {START_OVER}"),
    }
}

/// Why an input that is keyed by user cannot get more partitions.
pub fn keyed_and_grown() -> String {
    "the input is keyed by user (input.keyed_by_user), and with more partitions most users move to another one, so their \
     figures would be split between two tasks"
        .to_owned()
}
