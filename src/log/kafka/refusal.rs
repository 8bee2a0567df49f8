//! What brokers refuse for a reason that waiting does not cure, in words that say what to change.

use super::rights::{self, Operation, Operations, Resource, Right};
use super::settings::KafkaSettings;
use super::topic_ids::Described;
use super::topics::TopicAdmin;
use crate::log::{BEGIN_ANEW, LogError};
use rdkafka::error::RDKafkaErrorCode as Code;
use std::collections::BTreeMap;

/// Whether a right is missing, whichever.
pub fn is_of_right(code: Code) -> bool {
    matches!(
        code,
        Code::GroupAuthorizationFailed
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
    )
}

/// A right that is missing, in the words of Kafka's own tools; `None`: it is something else.
pub fn of_right(settings: &KafkaSettings, code: Code) -> Option<LogError> {
    is_of_right(code).then(|| of_transaction(settings, "use it", code))
}

/// What is missing of all that is needed, as far as the brokers say. Only for who was refused already.
fn missing_now(settings: &KafkaSettings) -> Option<LogError> {
    let missing = TopicAdmin::open(settings).and_then(|admin| admin.missing_rights(settings)).unwrap_or_default();
    rights::refused(&missing)
}

fn lacks(resource: Resource, operation: Operation) -> Option<LogError> {
    rights::refused(&[Right { resource, operations: vec![operation] }])
}

/// A topic that cannot be looked at.
pub fn of_topic(settings: &KafkaSettings, topic: &str, code: Code) -> LogError {
    let found = BTreeMap::from([(topic.to_owned(), Described::Refused(code))]);
    let missing = rights::missing_on_topics(&rights::needed(settings), &found, || Operations::UNKNOWN);
    rights::refused(&missing).unwrap_or_else(|| LogError::Refused {
        what: topic.to_owned(),
        message: format!("cannot be looked at: {code}"),
    })
}

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
    if code == Code::TopicAuthorizationFailed {
        return rights::unwritable(topic);
    }
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
    let right = match code {
        Code::GroupAuthorizationFailed => lacks(Resource::Group(settings.group_id.clone()), Operation::Read),
        Code::TransactionalIdAuthorizationFailed => {
            lacks(Resource::TransactionalIds(settings.transactional_prefix()), Operation::Write)
        }
        Code::TopicAuthorizationFailed => missing_now(settings),
        _ => None,
    };
    right.unwrap_or_else(|| match code {
        Code::OffsetMetadataTooLarge => LogError::Refused {
            what: "offset.metadata.max.bytes".to_owned(),
            message: "is less than the note beside an offset needs: set it to its default of 4096 on the brokers"
                .to_owned(),
        },
        Code::TopicAuthorizationFailed => LogError::Refused {
            what: "a topic".to_owned(),
            message: format!("this principal may not do this: {what} (`tailburn topics --acls` prints what it needs)"),
        },
        other => LogError::Refused { what: what.to_owned(), message: format!("{other} ({other:?})") },
    })
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
