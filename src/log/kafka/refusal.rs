//! What brokers refuse for a reason that waiting does not cure, in words that say what to change.

use super::settings::KafkaSettings;
use super::topics::TopicAdmin;
use crate::log::{BEGIN_ANEW, LogError};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a client hears of its credentials outside of any call: librdkafka goes on trying, and calls only say that
/// nobody answers.
#[derive(Default)]
pub struct Trouble {
    said: Mutex<Option<String>>,
}

impl Trouble {
    pub fn note(&self, error: &KafkaError, reason: &str) {
        let kind = match error.rdkafka_error_code() {
            Some(Code::Authentication | Code::SaslAuthenticationFailed) => "the password or user is refused",
            Some(Code::SSL) => "the TLS connection fails",
            _ => return,
        };
        *self.lock() = Some(format!("{kind}: {reason}{}", advice(reason)));
    }

    /// It went well since.
    pub fn clear(&self) {
        *self.lock() = None;
    }

    pub fn cause(&self) -> Option<LogError> {
        self.lock().as_ref().map(|text| credentials(text))
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn credentials(text: &str) -> LogError {
    LogError::Refused { what: "kafka.properties".to_owned(), message: text.to_owned() }
}

fn advice(reason: &str) -> &'static str {
    if reason.contains("certificate verify failed") || reason.contains("broker certificate could not be verified") {
        " (ssl.ca.location names the CA that signed the brokers' certificate)"
    } else if reason.contains("uthentication failed") || reason.contains("Invalid username or password") {
        " (sasl.username, sasl.password, sasl.mechanism)"
    } else {
        ""
    }
}

/// A right that is missing, in the words of Kafka's own tools; `None`: it is something else.
pub fn of_right(settings: &KafkaSettings, code: Code) -> Option<LogError> {
    matches!(
        code,
        Code::GroupAuthorizationFailed
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
    )
    .then(|| of_transaction(settings, "use it", code))
}

/// A topic that this principal may not look at, or read.
pub fn of_topic(topic: &str, code: Code) -> LogError {
    let message = match code {
        Code::TopicAuthorizationFailed => {
            "this principal may not use it: grant it the operations Read and Describe on an input, Write and Describe on \
             an output, all three on an internal topic (`tailburn topics --acls` prints the commands)"
                .to_owned()
        }
        other => format!("cannot be looked at: {other}"),
    };
    LogError::Refused { what: topic.to_owned(), message }
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
            "this principal may not write to it: grant it the operations Write and Describe on this topic (`tailburn topics \
             --acls` prints the commands)"
                .to_owned()
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
            "this principal may not use it: grant it the operations Read and Describe on this group (`tailburn topics \
             --acls` prints the commands)"
                .to_owned(),
        ),
        Code::TransactionalIdAuthorizationFailed => (
            format!("transactional id {}", settings.transactional_id),
            "this principal may not use it: grant it the operations Write and Describe on the transactional ids that begin \
             with the application id (`tailburn topics --acls` prints the commands)"
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
    fn credentials_are_named_and_other_trouble_passes() {
        let trouble = Trouble::default();
        trouble.note(&KafkaError::Global(Code::BrokerTransportFailure), "connection refused");
        assert!(trouble.cause().is_none());
        trouble.note(&KafkaError::Global(Code::Authentication), "SASL PLAIN authentication failed");
        let text = trouble.cause().map(|error| error.to_string()).unwrap_or_default();
        assert!(text.contains("password or user is refused") && text.contains("sasl.password"), "{text}");
        trouble.clear();
        assert!(trouble.cause().is_none());
    }

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
