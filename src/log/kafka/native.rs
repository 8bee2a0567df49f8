//! What librdkafka can do and the client library has no call for: each file makes one kind of unsafe call.

pub mod client_events;
pub mod describe_rights;
pub mod describe_topics;
mod request;
