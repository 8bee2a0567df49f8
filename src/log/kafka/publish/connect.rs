//! Connects the transactional producer.

use super::context::PublishContext;
use crate::log::LogError;
use crate::log::kafka::errors::invalid_properties;
use crate::log::kafka::settings::KafkaSettings;
use crate::log::kafka::{client_config, refusal};
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer};
use std::time::{Duration, Instant};

/// The first contact: a new cluster creates its transaction log, and transactions of a dead predecessor time out.
pub const INIT_TIMEOUT: Duration = Duration::from_secs(60);
/// The same for `try_transactions`.
const TRY_TIMEOUT: Duration = Duration::from_secs(20);

/// Checks whether we may use transactions. It uses an id that no worker has, because it would fence a worker with the same
/// id. Nothing is published, and the brokers forget the id after `transactional.id.expiration.ms`.
pub fn try_transactions(settings: &KafkaSettings) -> Result<(), LogError> {
    let transactional_id = format!("{}check", settings.transactional_prefix());
    let config = client_config::producer(&KafkaSettings { transactional_id, ..settings.clone() });
    match connect(settings, &config, TRY_TIMEOUT) {
        // Fenced: somebody else checks at the same time.
        Ok(_) | Err(LogError::Fenced(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A producer whose transactions are initialized: what an earlier user of the transactional id left open is aborted.
pub fn connect(
    settings: &KafkaSettings,
    config: &ClientConfig,
    timeout: Duration,
) -> Result<BaseProducer<PublishContext>, LogError> {
    let context = PublishContext::new(settings.listener.clone());
    let producer: BaseProducer<PublishContext> =
        config.create_with_context(context).map_err(|e| invalid_properties(&e))?;
    let deadline = Instant::now() + timeout;
    loop {
        match producer.init_transactions(Duration::from_secs(5)) {
            Ok(()) => return Ok(producer),
            Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {
                producer.poll(Duration::ZERO);
            }
            Err(error) => {
                let missing_right = refusal::of_code(settings, error.rdkafka_error_code());
                let refused = missing_right.or_else(|| producer.client().context().connection.refusal());
                return Err(refused.unwrap_or_else(|| {
                    LogError::Broken(format!(
                        "no transactions with the brokers at {}: {error}",
                        config.get("bootstrap.servers").unwrap_or("(none named)")
                    ))
                }));
            }
        }
    }
}
