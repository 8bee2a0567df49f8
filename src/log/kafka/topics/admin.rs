//! The client that describes, creates and purges topics. It works outside of every group and transaction.

use crate::log::LogError;
use crate::log::kafka::client_config;
use crate::log::kafka::client_log::log_line;
use crate::log::kafka::connection::{self, ConnectionErrors, ConnectionStatus};
use crate::log::kafka::errors::invalid_properties;
use crate::log::kafka::native::client_events::{self, ClientEvent};
use crate::log::kafka::native::describe_rights::{self, Cluster};
use crate::log::kafka::native::describe_topics::{self, Described};
use crate::log::kafka::operations::Operations;
use crate::log::kafka::rights;
use crate::log::kafka::settings::KafkaSettings;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};
use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::time::{Duration, Instant};

/// One request, with all its tries.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// One try. It is short because the reason for a failure is read between tries.
pub(super) const TRY_TIMEOUT: Duration = Duration::from_secs(3);
/// If the brokers refuse us for this long, they will not stop.
const REFUSED_FOR: Duration = Duration::from_secs(5);

pub struct TopicAdmin {
    client: ManuallyDrop<AdminClient<AdminContext>>,
    runtime: tokio::runtime::Runtime,
    brokers: String,
    settings: KafkaSettings,
}

/// Sends librdkafka's log lines to our log, and collects connection errors.
pub(super) struct AdminContext {
    connection: ConnectionErrors,
}

impl ClientContext for AdminContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if matches!(facility, "FAIL" | "OIDC") {
            self.connection.record_line(message);
        }
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.connection.record(&error, reason);
        tracing::warn!(target: "tailburn::kafka", %error, reason, "the admin client reports");
    }
}

impl TopicAdmin {
    pub fn open(settings: &KafkaSettings) -> Result<TopicAdmin, LogError> {
        settings.validate()?;
        let config = client_config::admin(settings);
        let brokers = config.get("bootstrap.servers").unwrap_or("(metadata.broker.list)").to_owned();
        let context = AdminContext { connection: ConnectionErrors::new(settings.listener.clone()) };
        let client = config.create_with_context(context).map_err(|e| invalid_properties(&e))?;
        // The client's results are futures. This thread only waits for them.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|e| LogError::Broken(format!("no runtime for the topic administration: {e}")))?;
        Ok(TopicAdmin { client: ManuallyDrop::new(client), runtime, brokers, settings: settings.clone() })
    }

    pub(super) fn client(&self) -> &AdminClient<AdminContext> {
        &self.client
    }

    /// The brokers' addresses, for messages.
    pub(super) fn brokers(&self) -> &str {
        &self.brokers
    }

    pub(super) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// How many partitions a topic has. `None`: there is no such topic.
    pub fn partitions(&self, topic: &str) -> Result<Option<u32>, LogError> {
        let metadata = self.retry(|| self.client.inner().fetch_metadata(Some(topic), TRY_TIMEOUT))?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
        match found.error() {
            None => Ok(u32::try_from(found.partitions().len()).ok().filter(|count| *count > 0)),
            Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => Ok(None),
            Some(code) => Err(rights::cannot_describe(&self.settings, topic, code.into())),
        }
    }

    /// How many partitions all inputs have together. `run` never creates an input.
    pub fn input_partitions(&self, topics: &[String]) -> Result<u32, LogError> {
        topics.iter().map(|topic| self.partitions(topic)?.ok_or_else(|| self.no_such_topic(topic))).sum()
    }

    pub(in crate::log::kafka) fn no_such_topic(&self, topic: &str) -> LogError {
        LogError::Refused {
            what: topic.to_owned(),
            message: format!("there is no such topic at {}: create it, or correct its name", self.brokers),
        }
    }

    /// Describes topics by their names, in one try.
    #[expect(unsafe_code, reason = "the client library has no call for it")]
    pub(in crate::log::kafka) fn describe(
        &self,
        names: &[String],
        timeout: Duration,
    ) -> Result<BTreeMap<String, Described>, LogError> {
        // SAFETY: the client lives as long as `self`.
        unsafe { describe_topics::describe(self.client.inner().native_ptr(), names, timeout) }
    }

    /// The same, tried again until the brokers answer.
    pub(in crate::log::kafka) fn describe_all(
        &self,
        names: &[String],
    ) -> Result<BTreeMap<String, Described>, LogError> {
        self.retry(|| self.describe(names, TRY_TIMEOUT))
    }

    #[expect(unsafe_code, reason = "the client library has no call for it")]
    pub fn cluster(&self) -> Result<Cluster, LogError> {
        // SAFETY: the client lives as long as `self`.
        self.retry(|| unsafe { describe_rights::of_cluster(self.client.inner().native_ptr(), TRY_TIMEOUT) })
    }

    /// What we may do with a consumer group. The inner error: the brokers refuse to describe it.
    #[expect(unsafe_code, reason = "the client library has no call for it")]
    pub(super) fn describe_group(
        &self,
        group: &str,
        timeout: Duration,
    ) -> Result<Result<Operations, RDKafkaErrorCode>, LogError> {
        // SAFETY: the client lives as long as `self`.
        unsafe { describe_rights::of_group(self.client.inner().native_ptr(), group, timeout) }
    }

    /// Deletes the records before these offsets. Returns the partitions for which that failed, with the reasons.
    pub(in crate::log::kafka) fn delete_before(&self, offsets: &TopicPartitionList) -> Result<Vec<String>, LogError> {
        let options = AdminOptions::new().operation_timeout(Some(REQUEST_TIMEOUT));
        let deleted =
            self.block_on(self.client.delete_records(offsets, &options.request_timeout(Some(REQUEST_TIMEOUT))));
        let deleted = deleted.map_err(|e| self.failed("delete records", &e))?;
        let failed = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            let error = element.error().err()?;
            Some(format!("{} [{}]: {error}", element.topic(), element.partition()))
        };
        Ok(deleted.elements().iter().filter_map(failed).collect())
    }

    pub(super) fn failed(&self, what: &str, error: &KafkaError) -> LogError {
        LogError::Broken(format!("the brokers at {}: {what}: {error}", self.brokers))
    }

    /// Repeats a request until there is a result, or it is certain that there will be none.
    fn retry<T, E: std::fmt::Display>(&self, request: impl Fn() -> Result<T, E>) -> Result<T, LogError> {
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        loop {
            match request() {
                Ok(result) => {
                    self.mark_healthy();
                    return Ok(result);
                }
                Err(error) => {
                    let refused = self.refused_for(REFUSED_FOR);
                    self.report_missing_token();
                    if refused.is_some() || Instant::now() >= deadline {
                        return Err(refused.unwrap_or_else(|| self.unreachable(&error.to_string())));
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        }
    }

    /// librdkafka reports nothing while it waits for a token, so this does.
    fn report_missing_token(&self) {
        if let (None, Some(url)) = (self.connection().transient(), self.settings.token_url())
            && self.connection().refusal().is_none()
        {
            let status = connection::no_token(url).to_string();
            self.settings.listener.notify(ConnectionStatus::Unreachable(&status));
        }
    }

    /// What has refused us for at least this long.
    pub(in crate::log::kafka) fn refused_for(&self, at_least: Duration) -> Option<LogError> {
        self.take_events();
        self.connection().refused_for(at_least)
    }

    pub(in crate::log::kafka) fn mark_healthy(&self) {
        self.take_events();
        self.connection().clear();
    }

    fn connection(&self) -> &ConnectionErrors {
        &self.client.inner().context().connection
    }

    /// The client library polls an admin client only for results. Its errors and log lines wait until we take them.
    #[expect(unsafe_code, reason = "the client library does not poll for it")]
    fn take_events(&self) {
        // SAFETY: the client lives as long as `self`, and the client library serves only a queue of its own.
        let events = unsafe { client_events::take(self.client.inner().native_ptr()) };
        let context = self.client.inner().context();
        for event in events.unwrap_or_default() {
            match event {
                ClientEvent::Error(code, reason) => context.error(KafkaError::Global(code), &reason),
                ClientEvent::LogLine { level, facility, text } => context.log(level, &facility, &text),
            }
        }
    }

    /// The brokers do not answer: the error names the most likely reason.
    fn unreachable(&self, why: &str) -> LogError {
        if let Some(refused) = self.refused_for(Duration::ZERO) {
            return refused;
        }
        match (self.connection().transient(), self.settings.token_url()) {
            (None, Some(url)) => connection::no_token(url),
            (None, None) => LogError::Broken(format!("the brokers at {}: {why}", self.brokers)),
            (Some(reason), _) => LogError::Broken(format!("the brokers at {}: {why} ({reason})", self.brokers)),
        }
    }
}

impl Drop for TopicAdmin {
    #[expect(unsafe_code, reason = "whether the client is destroyed is decided here")]
    fn drop(&mut self) {
        // If no token ever came, destroying the client waits for the pause before its next try, which is up to 20 s,
        // and the process is about to end.
        if self.settings.token_url().is_some() && !self.connection().was_healthy() {
            return;
        }
        // SAFETY: nobody uses it after this.
        unsafe { ManuallyDrop::drop(&mut self.client) };
    }
}
