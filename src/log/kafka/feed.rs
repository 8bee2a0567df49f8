//! A plain producer for generated traffic: keyed, idempotent, without transactions.

use crate::log::LogError;
use crate::model::time::Ms;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::time::Duration;

/// How long delivery may take.
const FLUSH: Duration = Duration::from_secs(30);
const WAIT: Duration = Duration::from_millis(50);

pub struct Feed {
    producer: BaseProducer,
    topic: String,
}

impl Feed {
    /// Connects. The partitioner is that of Kafka's Java clients.
    pub fn open(servers: &str, topic: &str) -> Result<Feed, LogError> {
        let mut config = ClientConfig::new();
        for (name, value) in [
            ("bootstrap.servers", servers),
            ("partitioner", "murmur2_random"),
            ("enable.idempotence", "true"),
            ("compression.type", "lz4"),
            ("linger.ms", "20"),
        ] {
            config.set(name, value);
        }
        let producer: BaseProducer = config.create().map_err(|e| broken(&e))?;
        // A missing topic is reported here, not when the first record is lost.
        let metadata = producer.client().fetch_metadata(Some(topic), FLUSH).map_err(|e| broken(&e))?;
        if metadata.topics().iter().all(|t| t.error().is_some() || t.partitions().is_empty()) {
            let message = "there is no such topic: create it first".to_owned();
            return Err(LogError::Refused { what: format!("topic {topic}"), message });
        }
        Ok(Feed { producer, topic: topic.to_owned() })
    }

    /// Queues a record. Waits while the queue is full.
    pub fn send(&self, key: &[u8], value: &[u8], timestamp_ms: Ms) -> Result<(), LogError> {
        let mut record = BaseRecord::to(&self.topic).key(key).payload(value).timestamp(timestamp_ms);
        loop {
            match self.producer.send(record) {
                Ok(()) => {
                    self.producer.poll(Duration::ZERO);
                    return Ok(());
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    self.producer.poll(WAIT);
                    record = back;
                }
                Err((error, _)) => return Err(broken(&error)),
            }
        }
    }

    /// Waits until everything is delivered.
    pub fn finish(&self) -> Result<(), LogError> {
        self.producer.flush(FLUSH).map_err(|e| broken(&e))
    }
}

fn broken(error: &KafkaError) -> LogError {
    LogError::Broken(format!("producing: {error}"))
}
