//! What a Kafka log needs to know, and the properties its two clients get from it.
//!
//! A user's `kafka.properties.*` reach librdkafka verbatim. The few that tailburn owns are refused
//! with the reason: with another value outputs and offsets would no longer be one, or nobody could
//! tell who owns a partition.

use super::peek::Onlooker;
use super::trouble::Listener;
use crate::log::LogError;
use crate::model::properties::{self, FIXED};
use crate::model::record::Topic;
use crate::model::time::Ms;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::BaseConsumer;
use std::collections::BTreeMap;
use std::fs::File;
use std::time::Duration;

/// Where reading begins in a partition for which the group has no offset yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFrom {
    Earliest,
    Latest,
    /// The first record whose Kafka timestamp is not before this.
    Time(Ms),
}

/// Everything that one worker's log is opened with.
#[derive(Clone, Debug)]
pub struct KafkaSettings {
    /// Properties of librdkafka, as the user wrote them (`bootstrap.servers` among them).
    pub properties: BTreeMap<String, String>,
    /// The application id.
    pub group_id: String,
    /// Stable over restarts of this worker, and its alone: a second holder fences the first.
    pub transactional_id: String,
    /// In the order of the configuration. (At the first start it numbers the partitions; then their claims do.)
    pub input_topics: Vec<String>,
    /// In front of every topic of ours.
    pub prefix: String,
    pub start_from: StartFrom,
    /// The inputs are keyed by user: nothing is repartitioned, and there is no topic for it.
    pub keyed_by_user: bool,
    /// Topics of ours that are missing are made, so we have to be allowed to.
    pub makes_topics: bool,
    /// Who hears of trouble with the brokers.
    pub listener: Listener,
}

/// What our own topics take. A record of somebody else that is larger, and a dead letter, is cut.
pub const LARGEST_BYTES: usize = 16 << 20;

/// How long a transaction may stay open before the broker aborts it.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(15);

/// What both clients get unless the user says otherwise.
const BOTH: [(&str, &str); 4] = [
    ("statistics.interval.ms", "0"),
    ("allow.auto.create.topics", "false"),
    ("log.connection.close", "false"),
    // A broker that comes back is found within a second, not within ten.
    ("reconnect.backoff.max.ms", "1000"),
];

/// librdkafka waits a whole back-off between two transactions, and a second before it asks a
/// partition again whose queue was full: its defaults are made for clients that seldom commit.
/// It counts keys and values of what is queued, for all partitions together; with its own structures
/// a short record takes four times as much, and compressed responses come on top.
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

/// One partition beside the group. What waits is on top of what the group's consumer holds, and its
/// end is told only after the brokers waited for more.
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

/// Properties that name a file (or a directory of files).
const FILES: [&str; 7] = [
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.keystore.location",
    "ssl.crl.location",
    "https.ca.location",
    "sasl.kerberos.keytab",
];

impl KafkaSettings {
    /// Refuses properties with which the promise of this log would not hold.
    pub fn validate(&self) -> Result<(), LogError> {
        if let Some((name, message)) = properties::refusals(&self.properties).into_iter().next() {
            return Err(refused(name, message));
        }
        if !self.properties.contains_key("bootstrap.servers") && !self.properties.contains_key("metadata.broker.list") {
            return Err(refused("bootstrap.servers", "is missing: name at least one broker as host:port".to_owned()));
        }
        self.open_files()
    }

    /// librdkafka says of a file that cannot be opened only that something failed.
    fn open_files(&self) -> Result<(), LogError> {
        let is_named = |value: &str| !value.is_empty() && value != "probe";
        let named = FILES.iter().filter_map(|name| Some((*name, self.properties.get(*name)?)));
        for (name, path) in named.filter(|(_, path)| is_named(path)) {
            File::open(path).map_err(|e| refused(name, format!("{path} cannot be opened: {e}")))?;
        }
        Ok(())
    }

    /// Makes each kind of client as a log does, and connects to nobody: librdkafka then reads every property, and the
    /// files that are named in them. `Err`: what `run` would say.
    pub fn try_clients(&self) -> Result<(), LogError> {
        self.validate()?;
        for mut config in [self.admin(), self.consumer(), self.producer()] {
            config.remove("bootstrap.servers");
            config.remove("metadata.broker.list");
            // It would ask for a token at once.
            config.remove("sasl.oauthbearer.method");
            if cfg!(feature = "gssapi") {
                // It would get a ticket at once.
                config.set("sasl.kerberos.min.time.before.relogin", "0");
            }
            let made: Result<BaseConsumer<Onlooker>, _> = config.create_with_context(Onlooker);
            made.map_err(|e| LogError::Refused { what: "kafka.properties".to_owned(), message: e.to_string() })?;
        }
        Ok(())
    }

    /// The name of one of our topics on the broker. Internal ones carry the application id: another
    /// application must not read what the tasks of this one tell each other.
    pub fn topic_name(&self, topic: Topic) -> String {
        match topic.name().strip_prefix("internal.") {
            Some(name) => format!("{}internal.{}.{name}", self.prefix, self.group_id),
            None => format!("{}{}", self.prefix, topic.name()),
        }
    }

    /// How the transactional ids of all workers of the application begin.
    pub fn transactional_prefix(&self) -> String {
        format!("{}-", self.group_id)
    }

    /// Where tokens come from, where we log in with one.
    pub(super) fn token_url(&self) -> Option<&str> {
        let of = |name: &str| self.properties.get(name).map(String::as_str);
        let mechanism = of("sasl.mechanism").or_else(|| of("sasl.mechanisms"));
        of("sasl.oauthbearer.token.endpoint.url").filter(|_| mechanism == Some("OAUTHBEARER"))
    }

    pub(super) fn consumer(&self) -> ClientConfig {
        self.reads(&CONSUMER)
    }

    /// Reads beside the group: librdkafka wants a group's name, but it is never joined.
    pub(super) fn reader(&self) -> ClientConfig {
        self.reads(&READER)
    }

    fn reads(&self, defaults: &[(&str, &str)]) -> ClientConfig {
        let mut config = self.client(defaults);
        config.set("group.id", &self.group_id);
        let fixed = FIXED.iter().filter(|(.., is_producers)| !is_producers).map(|(name, value, _)| (*name, *value));
        for (name, value) in fixed.chain([super::fetch::BATCH_PROPERTY]) {
            config.set(name, value);
        }
        config
    }

    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.client(&PRODUCER);
        config.set("transactional.id", &self.transactional_id);
        for (name, value, _) in FIXED.iter().filter(|(.., is_producers)| *is_producers) {
            config.set(*name, *value);
        }
        config
    }

    /// Neither a member of the group nor a writer: looks at topics and creates them.
    pub(super) fn admin(&self) -> ClientConfig {
        // It meets the brokers first: who hangs up tells why our settings are wrong.
        self.client(&[("log.connection.close", "true")])
    }

    fn client(&self, defaults: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Info);
        for (name, value) in BOTH.iter().chain(defaults) {
            config.set(*name, *value);
        }
        if self.token_url().is_some() {
            // The library that fetches tokens is built in, and knows no place of this system's authorities.
            config.set("https.ca.location", "probe");
        }
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
    }
}

fn refused(name: &str, message: String) -> LogError {
    LogError::Refused { what: format!("kafka.properties.{name}"), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(properties: &[(&str, &str)]) -> KafkaSettings {
        let mut all = BTreeMap::from([("bootstrap.servers".to_owned(), "localhost:9092".to_owned())]);
        all.extend(properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        KafkaSettings {
            properties: all,
            group_id: "tailburn".into(),
            transactional_id: "tailburn-1".into(),
            input_topics: vec!["request-outcomes".into()],
            prefix: "tailburn.".into(),
            start_from: StartFrom::Earliest,
            keyed_by_user: false,
            makes_topics: true,
            listener: Listener::default(),
        }
    }

    #[test]
    fn refuses_what_would_break_exactly_once() {
        for (name, value) in [
            ("enable.auto.commit", "true"),
            ("isolation.level", "read_uncommitted"),
            ("transactional.id", "mine"),
            ("group.id", "mine"),
            ("enable.idempotence", "false"),
            ("acks", "1"),
        ] {
            let refusal = settings(&[(name, value)]).validate();
            let Err(LogError::Refused { what, .. }) = refusal else { panic!("{name}={value} was let through") };
            assert_eq!(what, format!("kafka.properties.{name}"));
        }
    }

    #[test]
    fn lets_through_what_agrees_and_what_is_the_users_own() {
        let ours = settings(&[("isolation.level", "read_committed"), ("security.protocol", "ssl"), ("acks", "all")]);
        assert!(ours.validate().is_ok());
        assert_eq!(ours.consumer().get("security.protocol"), Some("ssl"));
        assert_eq!(ours.producer().get("security.protocol"), Some("ssl"));
    }

    #[test]
    fn a_property_of_the_user_wins_over_a_default() {
        let ours = settings(&[("compression.type", "zstd"), ("fetch.queue.backoff.ms", "10")]);
        assert_eq!(ours.producer().get("compression.type"), Some("zstd"));
        assert_eq!(ours.consumer().get("fetch.queue.backoff.ms"), Some("10"));
    }

    #[test]
    fn says_which_broker_is_missing() {
        let mut ours = settings(&[]);
        ours.properties.clear();
        assert!(matches!(ours.validate(), Err(LogError::Refused { .. })));
    }

    #[test]
    fn the_transaction_timeout_is_the_brokers() {
        let configured = settings(&[]).producer().get("transaction.timeout.ms").map(str::to_owned);
        assert_eq!(configured, Some(TRANSACTION_TIMEOUT.as_millis().to_string()));
    }
}
