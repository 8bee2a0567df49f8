//! The settings of a Kafka log.
//!
//! A user's `kafka.properties.*` reach librdkafka unchanged, except for a few that only tailburn may set. Those are
//! refused with a reason: with another value outputs and offsets would no longer be committed together, or two
//! instances could own one partition.

use super::connection::Listener;
use crate::log::LogError;
use crate::model::properties;
use crate::model::record::Topic;
use crate::model::time::Ms;
use std::collections::BTreeMap;
use std::fs::File;
use std::time::Duration;

/// Where reading starts in a partition for which the group has no offset yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFrom {
    Earliest,
    Latest,
    /// The first record whose Kafka timestamp is not before this.
    Time(Ms),
}

/// Everything that is needed to open one worker's log.
#[derive(Clone, Debug)]
pub struct KafkaSettings {
    /// Properties of librdkafka, as the user wrote them (`bootstrap.servers` among them).
    pub properties: BTreeMap<String, String>,
    /// The application id.
    pub group_id: String,
    /// The same after each restart of this worker, and used by no other: a second user of the id fences the first.
    pub transactional_id: String,
    /// In the order of the configuration. (The first start numbers the partitions in this order. Later their claims
    /// decide.)
    pub input_topics: Vec<String>,
    /// The prefix of all our topics.
    pub prefix: String,
    pub start_from: StartFrom,
    /// The inputs are keyed by user: nothing is repartitioned, and there is no repartition topic.
    pub keyed_by_user: bool,
    /// `run` creates missing topics of ours, so it needs the right to.
    pub makes_topics: bool,
    /// `run` refuses definitions that were not applied, so it needs the topic with what was.
    pub controls_definitions: bool,
    /// Is notified when the brokers cannot be used.
    pub listener: Listener,
}

/// The largest record that our own topics take. A dead letter that is larger is cut.
pub const LARGEST_BYTES: usize = 16 << 20;

/// How long a transaction may stay open before the broker aborts it.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(15);

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
    /// Refuses properties that would break exactly-once processing.
    pub fn validate(&self) -> Result<(), LogError> {
        if let Some((name, message)) = properties::refusals(&self.properties).into_iter().next() {
            return Err(refused(name, message));
        }
        if !self.properties.contains_key("bootstrap.servers") && !self.properties.contains_key("metadata.broker.list") {
            return Err(refused("bootstrap.servers", "is missing: name at least one broker as host:port".to_owned()));
        }
        self.open_files()
    }

    /// Checks the files here, because librdkafka only reports that something failed.
    fn open_files(&self) -> Result<(), LogError> {
        let is_named = |value: &str| !value.is_empty() && value != "probe";
        let named = FILES.iter().filter_map(|name| Some((*name, self.properties.get(*name)?)));
        for (name, path) in named.filter(|(_, path)| is_named(path)) {
            File::open(path).map_err(|e| refused(name, format!("{path} cannot be opened: {e}")))?;
        }
        Ok(())
    }

    /// The name of one of our topics on the broker. Internal ones carry the application id, so that no other
    /// application reads what the tasks of this one send each other.
    pub fn topic_name(&self, topic: Topic) -> String {
        match topic.name().strip_prefix("internal.") {
            Some(name) => format!("{}internal.{}.{name}", self.prefix, self.group_id),
            None => format!("{}{}", self.prefix, topic.name()),
        }
    }

    /// The prefix of the transactional ids of all workers of the application.
    pub fn transactional_prefix(&self) -> String {
        format!("{}-", self.group_id)
    }

    /// Where we get tokens, if we log in with one.
    pub(super) fn token_url(&self) -> Option<&str> {
        let of = |name: &str| self.properties.get(name).map(String::as_str);
        let mechanism = of("sasl.mechanism").or_else(|| of("sasl.mechanisms"));
        of("sasl.oauthbearer.token.endpoint.url").filter(|_| mechanism == Some("OAUTHBEARER"))
    }

    /// Settings of an application `app` with a broker and these properties.
    #[cfg(test)]
    pub(super) fn for_tests(properties: &[(&str, &str)]) -> KafkaSettings {
        let mut all = BTreeMap::from([("bootstrap.servers".to_owned(), "localhost:9092".to_owned())]);
        all.extend(properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        KafkaSettings {
            properties: all,
            group_id: "app".into(),
            transactional_id: "app-1-0".into(),
            input_topics: vec!["orders".into()],
            prefix: "p.".into(),
            start_from: StartFrom::Earliest,
            keyed_by_user: false,
            makes_topics: true,
            controls_definitions: false,
            listener: Listener::default(),
        }
    }
}

fn refused(name: &str, message: String) -> LogError {
    LogError::Refused { what: format!("kafka.properties.{name}"), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(properties: &[(&str, &str)]) -> KafkaSettings {
        KafkaSettings::for_tests(properties)
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
            let Err(LogError::Refused { what, .. }) = refusal else { panic!("{name}={value} was accepted") };
            assert_eq!(what, format!("kafka.properties.{name}"));
        }
    }

    #[test]
    fn accepts_the_users_own_properties_and_the_values_that_tailburn_sets() {
        let ours = settings(&[("isolation.level", "read_committed"), ("security.protocol", "ssl"), ("acks", "all")]);
        assert!(ours.validate().is_ok());
    }

    #[test]
    fn says_which_broker_is_missing() {
        let mut ours = settings(&[]);
        ours.properties.clear();
        assert!(matches!(ours.validate(), Err(LogError::Refused { .. })));
    }
}
