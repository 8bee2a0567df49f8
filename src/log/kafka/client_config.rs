//! The librdkafka properties of each kind of client: our defaults, the user's properties on top, and the few that only
//! tailburn may set.

use super::errors::invalid_properties;
use super::observer::Observer;
use super::settings::KafkaSettings;
use crate::log::LogError;
use crate::model::properties::FIXED;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::BaseConsumer;

/// Records per call, taken off the queue at once: enough that the fixed cost of a call does not matter, few enough
/// that the caller can check often whether it is time to commit. (A property of librdkafka's topics.)
const BATCH: (&str, &str) = ("consume.callback.max.messages", "1024");

/// Defaults of all clients.
const ALL: [(&str, &str); 4] = [
    ("statistics.interval.ms", "0"),
    ("allow.auto.create.topics", "false"),
    ("log.connection.close", "false"),
    // A broker that comes back is found within a second, not within ten.
    ("reconnect.backoff.max.ms", "1000"),
];

/// librdkafka waits a whole back-off between two transactions, and a second before it asks a
/// partition again whose queue was full: its defaults suit clients that seldom commit.
/// It limits the keys and values in its queues, for all partitions together. With librdkafka's own structures
/// a short record takes four times as much memory, and compressed responses come on top.
const CONSUMER: [(&str, &str); 10] = [
    ("fetch.queue.backoff.ms", "2"),
    ("queued.min.messages", "1000000"),
    ("queued.max.messages.kbytes", "16384"),
    ("max.partition.fetch.bytes", "1048576"),
    ("fetch.max.bytes", "8388608"),
    ("session.timeout.ms", "10000"),
    ("heartbeat.interval.ms", "2000"),
    ("retry.backoff.ms", "5"),
    ("retry.backoff.max.ms", "20"),
    ("check.crcs", "true"),
];

/// A reader of one partition, outside of the group. Its queue comes on top of the group consumer's, and the brokers
/// report the end of the partition only after they waited for more records.
const READER: [(&str, &str); 7] = [
    ("fetch.queue.backoff.ms", "2"),
    ("fetch.wait.max.ms", "50"),
    ("queued.max.messages.kbytes", "16384"),
    ("max.partition.fetch.bytes", "8388608"),
    ("fetch.max.bytes", "8388608"),
    ("retry.backoff.ms", "5"),
    ("check.crcs", "true"),
];

const PRODUCER: [(&str, &str); 8] = [
    ("message.max.bytes", "16777216"),
    ("retry.backoff.ms", "5"),
    ("retry.backoff.max.ms", "20"),
    ("transaction.timeout.ms", "15000"),
    ("message.timeout.ms", "10000"),
    ("linger.ms", "5"),
    ("compression.type", "lz4"),
    ("batch.size", "1000000"),
];

const PLAIN_PRODUCER: [(&str, &str); 1] = [("message.timeout.ms", "10000")];

/// The member of the group.
pub fn consumer(settings: &KafkaSettings) -> ClientConfig {
    reading(settings, &CONSUMER)
}

/// Reads outside of the group: librdkafka wants the id of a group, but it is never joined.
pub fn reader(settings: &KafkaSettings) -> ClientConfig {
    reading(settings, &READER)
}

fn reading(settings: &KafkaSettings, defaults: &[(&str, &str)]) -> ClientConfig {
    let mut config = client(settings, defaults);
    config.set("group.id", &settings.group_id);
    let fixed = FIXED.iter().filter(|(.., is_producers)| !is_producers).map(|(name, value, _)| (*name, *value));
    for (name, value) in fixed.chain([BATCH]) {
        config.set(name, value);
    }
    config
}

pub fn producer(settings: &KafkaSettings) -> ClientConfig {
    let mut config = client(settings, &PRODUCER);
    config.set("transactional.id", &settings.transactional_id);
    for (name, value, _) in FIXED.iter().filter(|(.., is_producers)| *is_producers) {
        config.set(*name, *value);
    }
    config
}

/// Writes single records, outside of any transaction.
pub fn plain_producer(settings: &KafkaSettings) -> ClientConfig {
    let mut config = client(settings, &PLAIN_PRODUCER);
    for (name, value, _) in FIXED.iter().filter(|(.., is_producers)| *is_producers) {
        config.set(*name, *value);
    }
    config
}

/// Describes and creates topics: no member of the group, and writes nothing.
pub fn admin(settings: &KafkaSettings) -> ClientConfig {
    // It is the first to connect: how a broker closes the connection shows which of our settings is wrong.
    client(settings, &[("log.connection.close", "true")])
}

fn client(settings: &KafkaSettings, defaults: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set_log_level(RDKafkaLogLevel::Info);
    for (name, value) in ALL.iter().chain(defaults) {
        config.set(*name, *value);
    }
    if settings.token_url().is_some() {
        // The HTTP client that fetches tokens is linked in and does not know where this system keeps its CAs.
        config.set("https.ca.location", "probe");
    }
    for (name, value) in &settings.properties {
        config.set(name, value);
    }
    config
}

/// Creates each kind of client without connecting it: librdkafka then reads every property, and the files that
/// properties name. `Err`: what `run` would report.
pub fn try_clients(settings: &KafkaSettings) -> Result<(), LogError> {
    settings.validate()?;
    for mut config in [admin(settings), consumer(settings), producer(settings)] {
        config.remove("bootstrap.servers");
        config.remove("metadata.broker.list");
        // With this property the client would ask for a token at once.
        config.remove("sasl.oauthbearer.method");
        if cfg!(feature = "gssapi") {
            // Otherwise the client would get a ticket at once.
            config.set("sasl.kerberos.min.time.before.relogin", "0");
        }
        let made: Result<BaseConsumer<Observer>, _> = config.create_with_context(Observer);
        made.map_err(|e| invalid_properties(&e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::settings::TRANSACTION_TIMEOUT;
    use super::*;

    fn settings(properties: &[(&str, &str)]) -> KafkaSettings {
        KafkaSettings::for_tests(properties)
    }

    #[test]
    fn the_users_own_properties_reach_both_clients() {
        let ours = settings(&[("security.protocol", "ssl")]);
        assert_eq!(consumer(&ours).get("security.protocol"), Some("ssl"));
        assert_eq!(producer(&ours).get("security.protocol"), Some("ssl"));
    }

    #[test]
    fn a_property_of_the_user_wins_over_a_default() {
        let ours = settings(&[("compression.type", "zstd"), ("fetch.queue.backoff.ms", "10")]);
        assert_eq!(producer(&ours).get("compression.type"), Some("zstd"));
        assert_eq!(consumer(&ours).get("fetch.queue.backoff.ms"), Some("10"));
    }

    #[test]
    fn the_transaction_timeout_is_the_brokers() {
        let configured = producer(&settings(&[])).get("transaction.timeout.ms").map(str::to_owned);
        assert_eq!(configured, Some(TRANSACTION_TIMEOUT.as_millis().to_string()));
    }
}
