//! What brokers refuse for a reason that waiting does not cure, in words that say what to change.

use super::settings::KafkaSettings;
use super::topics::TopicAdmin;
use crate::log::{BEGIN_ANEW, LogError};
use rdkafka::error::RDKafkaErrorCode as Code;
use std::collections::BTreeMap;

/// Whether the same request is refused tomorrow too, unless a person changes something.
pub fn is_incurable(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidTimestamp
            | Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
            | Code::MessageBatchTooLarge
            | Code::InvalidRecord
            | Code::InvalidTopic
            | Code::PolicyViolation
            | Code::UnsupportedForMessageFormat
            | Code::OffsetMetadataTooLarge
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::UnknownTopic
            | Code::UnknownPartition
    )
}

/// A record for `topic` was refused.
pub fn of_record(settings: &KafkaSettings, topic: &str, code: Code) -> LogError {
    // What the limits are now: best effort, the refusal itself stands.
    let found = TopicAdmin::open(settings).and_then(|admin| admin.configured(topic)).unwrap_or_default();
    LogError::Refused { what: topic.to_owned(), message: in_words(code, topic, &found) }
}

fn in_words(code: Code, topic: &str, found: &BTreeMap<String, String>) -> String {
    let limit = |name: &str| format!("{name}={}", found.get(name).map_or("(not known)", String::as_str));
    let alter = |setting: &str| {
        format!("`kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config {setting}`")
    };
    let is_stamped = found.get("message.timestamp.type").is_some_and(|kind| kind == "LogAppendTime");
    match code {
        // Of a batch with such a record the client library says that its records are invalid.
        Code::InvalidTimestamp | Code::InvalidRecord if !is_stamped => format!(
            "the broker refuses a record for its time ({}, {}, {}). Let the brokers stamp it: {}",
            limit("message.timestamp.type"),
            limit("message.timestamp.before.max.ms"),
            limit("message.timestamp.after.max.ms"),
            alter("message.timestamp.type=LogAppendTime")
        ),
        Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge => format!(
            "the broker refuses a record that is too large for it ({}, {}). Raise the limit: {}",
            limit("max.message.bytes"),
            limit("segment.bytes"),
            alter(&format!("max.message.bytes={}", super::settings::LARGEST_BYTES))
        ),
        Code::TopicAuthorizationFailed => {
            "this principal may not write to it: grant it the operations Write and Describe on this topic".to_owned()
        }
        Code::UnknownTopic | Code::UnknownPartition => format!(
            "it was deleted, or lacks a partition: `tailburn topics` shows what it should be. Where an internal topic was \
             deleted: {BEGIN_ANEW}"
        ),
        Code::InvalidRecord => format!(
            "the broker refuses a record ({}): a topic that is compacted takes none without a key. Alter it: {}",
            limit("cleanup.policy"),
            alter("cleanup.policy=delete")
        ),
        other => format!("the broker refuses a record: {other} ({other:?})"),
    }
}

/// The offsets, or the transaction as such, were refused.
pub fn of_transaction(settings: &KafkaSettings, what: &str, code: Code) -> LogError {
    let (what, message) = match code {
        Code::GroupAuthorizationFailed => (
            format!("group {}", settings.group_id),
            "this principal may not use it: grant it the operations Read and Describe on this group".to_owned(),
        ),
        Code::TransactionalIdAuthorizationFailed => (
            format!("transactional id {}", settings.transactional_id),
            "this principal may not use it: grant it the operations Write and Describe on the transactional ids that begin \
             with it"
                .to_owned(),
        ),
        Code::TopicAuthorizationFailed => (
            "a topic".to_owned(),
            format!("this principal may not do this: {what} (Read on the inputs, Write on the outputs)"),
        ),
        Code::OffsetMetadataTooLarge => (
            "offset.metadata.max.bytes".to_owned(),
            "is less than the note beside an offset needs: set it to its default of 4096 on the brokers".to_owned(),
        ),
        other => (what.to_owned(), format!("{other} ({other:?})")),
    };
    LogError::Refused { what, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_limit_and_the_setting() {
        let found = BTreeMap::from([
            ("message.timestamp.after.max.ms".to_owned(), "3600000".to_owned()),
            ("max.message.bytes".to_owned(), "1000".to_owned()),
        ]);
        let of_time = in_words(Code::InvalidTimestamp, "t.slo-status", &found);
        assert!(of_time.contains("after.max.ms=3600000") && of_time.contains("LogAppendTime"), "{of_time}");
        assert_eq!(in_words(Code::InvalidRecord, "t.slo-status", &found), of_time);
        let of_size = in_words(Code::MessageSizeTooLarge, "t.slo-status", &found);
        assert!(
            of_size.contains("max.message.bytes=1000") && of_size.contains("--entity-name t.slo-status"),
            "{of_size}"
        );
    }

    #[test]
    fn what_passes_is_tried_again() {
        for code in
            [Code::NotEnoughReplicas, Code::RequestTimedOut, Code::MessageTimedOut, Code::OutOfOrderSequenceNumber]
        {
            assert!(!is_incurable(code), "{code:?}");
        }
    }
}
