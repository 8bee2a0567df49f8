//! Which of Kafka's error codes a person has to do something about.

use rdkafka::error::RDKafkaErrorCode as Code;

/// Whether the code says that a right is missing.
pub fn is_authorization_error(code: Code) -> bool {
    matches!(
        code,
        Code::GroupAuthorizationFailed
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
    )
}

/// Whether the same request will fail again until a person changes something.
pub fn is_permanent(code: Code) -> bool {
    is_authorization_error(code)
        || matches!(
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
                | Code::UnknownTopic
                | Code::UnknownPartition
        )
}

/// Whether the brokers shut us out because another member or producer has our id.
pub fn is_fenced(code: Code) -> bool {
    matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch | Code::FencedInstanceId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_tried_again() {
        for code in
            [Code::NotEnoughReplicas, Code::RequestTimedOut, Code::MessageTimedOut, Code::OutOfOrderSequenceNumber]
        {
            assert!(!is_permanent(code), "{code:?}");
        }
    }
}
