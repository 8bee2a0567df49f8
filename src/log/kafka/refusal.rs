//! Errors for what the brokers refuse, with the setting or right to change.

use super::error_codes::is_authorization_error;
use super::operations::Operation;
use super::rights::{self, Resource, Right};
use super::settings::{KafkaSettings, LARGEST_BYTES};
use super::topics::admin::TopicAdmin;
use crate::log::{LogError, START_OVER};
use rdkafka::error::RDKafkaErrorCode as Code;
use std::collections::BTreeMap;

/// The error if the code says that a right is missing. `None`: it says something else.
pub fn of_code(settings: &KafkaSettings, code: Option<Code>) -> Option<LogError> {
    let code = code.filter(|code| is_authorization_error(*code))?;
    Some(of_transaction(settings, "use it", code))
}

/// The rights that are missing now. It asks the brokers, so it is only for after a refusal.
fn missing_now(settings: &KafkaSettings) -> Option<LogError> {
    let missing = TopicAdmin::open(settings).and_then(|admin| admin.missing_rights(settings)).unwrap_or_default();
    rights::refused(&missing)
}

fn lacks(resource: Resource, operation: Operation) -> Option<LogError> {
    rights::refused(&[Right { resource, operations: vec![operation] }])
}

/// A record for `topic` was refused.
pub fn of_record(settings: &KafkaSettings, topic: &str, code: Code) -> LogError {
    if code == Code::TopicAuthorizationFailed {
        return rights::cannot_write(topic);
    }
    // The limits are for the message only: without them it is still right.
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
        // For the other records of a batch with such a record the client library reports `InvalidRecord`.
        Code::InvalidTimestamp | Code::InvalidRecord if !is_stamped => format!(
            "the broker refuses a record for its timestamp ({}, {}, {}). Let the brokers stamp records: {}",
            limit("message.timestamp.type"),
            limit("message.timestamp.before.max.ms"),
            limit("message.timestamp.after.max.ms"),
            alter("message.timestamp.type=LogAppendTime")
        ),
        Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge => format!(
            "the broker refuses a record because it is too large ({}, {}). Raise the limit: {}",
            limit("max.message.bytes"),
            limit("segment.bytes"),
            alter(&format!("max.message.bytes={}", LARGEST_BYTES))
        ),
        Code::UnknownTopic | Code::UnknownPartition => format!(
            "it was deleted, or lacks a partition: `tailburn topics` shows what it should be. If it is an internal topic \
             and was deleted: {START_OVER}"
        ),
        Code::InvalidRecord => format!(
            "the broker refuses a record ({}): a compacted topic takes no record without a key. Alter the topic: {}",
            limit("cleanup.policy"),
            alter("cleanup.policy=delete")
        ),
        other => format!("the broker refuses a record: {other} ({other:?})"),
    }
}

/// The offsets, or the transaction itself, were refused.
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
            message:
                "is too small for the metadata that tailburn stores with an offset: set it to its default of 4096 on \
                      the brokers"
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
}
