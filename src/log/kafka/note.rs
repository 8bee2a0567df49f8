//! Writes records that a person made, outside of any transaction: a silence, a change of definitions.

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

pub fn write_note(settings: &KafkaSettings, topic: Topic, key: &str, value: &[u8]) -> Result<(), LogError> {
    write_notes(settings, topic, &[(key.to_owned(), value.to_owned())])
}

/// Writes keys and values in this order. Returns once the brokers have them; after an error they may have the first of
/// them.
pub fn write_notes(settings: &KafkaSettings, topic: Topic, notes: &[(String, Vec<u8>)]) -> Result<(), LogError> {
    settings.validate()?;
    let name = settings.topic_name(topic);
    let context = PublishContext::new(settings.listener.clone());
    let producer: BaseProducer<PublishContext> =
        client_config::plain_producer(settings).create_with_context(context).map_err(|e| invalid_properties(&e))?;
    for (key, value) in notes {
        let record = BaseRecord::to(&name).partition(0).key(key).payload(value);
        producer.send(record).map_err(|(error, _)| broken(&format!("write to {name}"), &error))?;
    }
    producer.flush(DELIVERY_TIMEOUT).map_err(|error| broken(&format!("write to {name}"), &error))?;
    let failed = producer.client().context().failed().take();
    match failed {
        None => Ok(()),
        Some((_, code)) if super::error_codes::is_authorization_error(code) => Err(rights::cannot_write(&name)),
        Some((_, code)) => Err(LogError::Broken(format!("write to {name}: {code}"))),
    }
}
