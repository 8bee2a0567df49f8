//! The log on a real broker, for everything that a mock cannot test (transactions, fencing, isolation).
#![cfg(feature = "kafka")]
#![expect(clippy::expect_used, reason = "a test that cannot go on has to fail")]
#![expect(clippy::disallowed_methods, reason = "brokers take their time, and which one to use is said by a variable")]

mod applied;
mod beside;
mod broker;
mod created_again;
mod definitions;
mod delivery;
mod expired;
mod group;
mod growth;
mod latency;
mod life;
mod limits;
mod notify;
mod oidc;
mod outage;
mod peek;
mod pipeline;
mod readiness;
mod reading;
mod recovery;
mod refusals;
mod restarts;
mod rights;
mod sameness;
mod secured;
mod story;
mod throughput;
mod topics;
mod transactions;
mod world;

/// Starts the shared broker; if that is not possible, ends the test with a note.
macro_rules! broker_or_skip {
    () => {
        match crate::broker::Broker::shared() {
            Some(broker) => broker,
            None => return,
        }
    };
}
pub(crate) use broker_or_skip;
