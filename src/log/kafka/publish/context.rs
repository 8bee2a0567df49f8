//! What the producer reports outside of any call.

use crate::log::kafka::client_log::log_line;
use crate::log::kafka::connection::{ConnectionErrors, Listener};
use crate::log::kafka::error_codes::is_permanent;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::ProducerContext;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub struct PublishContext {
    /// An error was reported since the last commit began.
    pub disturbed: AtomicBool,
    pub connection: ConnectionErrors,
    /// The first record of the open transaction that was not delivered: its topic, and the reason.
    failed: Mutex<Option<(String, RDKafkaErrorCode)>>,
}

impl PublishContext {
    pub fn new(listener: Listener) -> PublishContext {
        let connection = ConnectionErrors::new(listener);
        PublishContext { disturbed: AtomicBool::default(), connection, failed: Mutex::default() }
    }

    pub fn failed(&self) -> MutexGuard<'_, Option<(String, RDKafkaErrorCode)>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for PublishContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.disturbed.store(true, Ordering::Relaxed);
        self.connection.record(&error, reason);
        tracing::warn!(target: "tailburn::kafka", %error, reason, "the producer reports");
    }
}

impl ProducerContext for PublishContext {
    type DeliveryOpaque = ();

    /// Only failures are reported. After one, librdkafka only allows to abort the transaction.
    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, record)) = result {
            tracing::debug!(target: "tailburn::kafka", %error, "a record was not delivered; its transaction is aborted");
            let failure = error.rdkafka_error_code().map(|code| (record.topic().to_owned(), code));
            // Other records of its batch and later ones fail because of the first, with less useful codes.
            let mut failed = self.failed();
            if failed.as_ref().is_none_or(|(_, code)| !is_permanent(*code)) {
                *failed = failure.or_else(|| failed.take());
            }
        }
    }
}
