//! Writes a record that a person made, outside of any transaction: a silence.

use super::client_config;
use super::errors::{broken, invalid_properties};
use super::publish::context::PublishContext;
use super::rights;
use super::settings::KafkaSettings;
use crate::log::LogError;
use crate::model::record::Topic;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::time::Duration;

const DELIVERY_TIMEOUT: Duration = Duration::from_secs(15);

/// Returns once the brokers have it.
pub fn write_note(settings: &KafkaSettings, topic: Topic, key: &str, value: &[u8]) -> Result<(), LogError> {
    settings.validate()?;
    let name = settings.topic_name(topic);
    let context = PublishContext::new(settings.listener.clone());
    let producer: BaseProducer<PublishContext> =
        client_config::plain_producer(settings).create_with_context(context).map_err(|e| invalid_properties(&e))?;
    let record = BaseRecord::to(&name).partition(0).key(key).payload(value);
    producer.send(record).map_err(|(error, _)| broken(&format!("write to {name}"), &error))?;
    producer.flush(DELIVERY_TIMEOUT).map_err(|error| broken(&format!("write to {name}"), &error))?;
    let failed = producer.client().context().failed().take();
    match failed {
        None => Ok(()),
        Some((_, code)) if super::error_codes::is_authorization_error(code) => Err(rights::cannot_write(&name)),
        Some((_, code)) => Err(LogError::Broken(format!("write to {name}: {code}"))),
    }
}
