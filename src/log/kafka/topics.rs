//! The topics tailburn needs: what they should be, what they are, and making those that are missing.
//!
//! It never changes or deletes a topic that is there: a difference is named, for a person to decide.

use super::group::log_line;
use super::principal::{self, Cluster};
use super::refusal;
use super::rights::{self, Operations, Resource, Right};
use super::said::{self, Said};
use super::settings::{KafkaSettings, LARGEST_BYTES};
use super::streams::Streams;
use super::topic_ids::{self, Described};
use super::trouble::{self, Told, Trouble};
use super::watch::Expected;
use crate::log::numbering::Claim;
use crate::log::{BEGIN_ANEW, LogError};
use crate::model::record::Topic;
use crate::model::time::{DAY_MS, Ms};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};
use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::time::{Duration, Instant};

const REQUEST: Duration = Duration::from_secs(15);
/// One try. In between one hears why nobody answers.
const TRY: Duration = Duration::from_secs(3);
/// The group's coordinator may be on its way: a start does not wait long for it.
const GROUP: Duration = Duration::from_secs(5);
/// The brokers refuse us for so long: they mean it.
const REFUSED: Duration = Duration::from_secs(5);

/// What becomes of old records. How old a record is, is counted from when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// The latest of each key stays.
    Compact,
    /// Deleted after the retention; `None` leaves that to the brokers' default.
    Delete { retention_ms: Option<Ms> },
}

/// A topic as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPlan {
    pub name: String,
    pub partitions: u32,
    pub cleanup: Cleanup,
    /// Where it is one of ours: the brokers stamp its records, so that their limits on old and future times, and
    /// their retention, mind when a record was written and not what time it is about. And it takes records
    /// as large as we write them: one key's part of a boundary, a dead letter as it came.
    pub ours: Option<Topic>,
}

/// How a topic compares to its plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicState {
    Missing,
    AsPlanned,
    /// Each difference. A different partition count cannot be worked with.
    Differs(Vec<Difference>),
}

impl TopicState {
    pub fn differences(self) -> Vec<Difference> {
        match self {
            TopicState::Differs(differences) => differences,
            TopicState::Missing | TopicState::AsPlanned => Vec::new(),
        }
    }
}

/// Something of a topic that is not as planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub what: String,
    /// What tailburn promises does not hold with it.
    pub breaks_promise: bool,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

/// The partition counts that everything else follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionCounts {
    /// Of all input topics together.
    pub input: u32,
    /// Users tasks; where the inputs are keyed by user, those of the input count instead.
    pub users: u32,
    /// Rollup tasks.
    pub rollup: u32,
}

/// The topics that tailburn writes.
pub fn plan(settings: &KafkaSettings, counts: PartitionCounts) -> Vec<TopicPlan> {
    let internal = Topic::INTERNAL.into_iter();
    let internal = internal.filter(|topic| *topic != Topic::Repartition || !settings.keyed_by_user);
    let users = if settings.keyed_by_user { counts.input } else { counts.users };
    let all = Topic::OUTPUTS.into_iter().chain(internal);
    all.map(|topic| TopicPlan {
        name: settings.topic_name(topic),
        partitions: partitions(topic, PartitionCounts { users, ..counts }),
        cleanup: cleanup(topic),
        ours: Some(topic),
    })
    .collect()
}

/// One partition per task that writes or reads it.
fn partitions(topic: Topic, counts: PartitionCounts) -> u32 {
    match topic {
        Topic::DeadLetters => counts.input,
        Topic::Repartition => counts.users,
        // The users tasks' first: rollup task r writes partition users + r.
        Topic::Changelog => counts.users + counts.rollup,
        Topic::Sources => 1,
        _ => counts.rollup,
    }
}

fn cleanup(topic: Topic) -> Cleanup {
    let after = |days: Ms| Cleanup::Delete { retention_ms: Some(days * DAY_MS) };
    match topic {
        Topic::SloStatus | Topic::UserStatus | Topic::Changelog | Topic::Sources => Cleanup::Compact,
        Topic::SloHistory | Topic::BurnAlerts | Topic::TailCohorts | Topic::CanaryVerdicts => after(400),
        // What was read is purged. This is for what nobody reads: how long all may be away.
        Topic::Repartition | Topic::Partials => after(7),
        // Somebody has to find them, mend what wrote them, and perhaps send them again.
        Topic::DeadLetters => after(30),
    }
}

/// Looks at topics and makes them. Outside of every group and transaction.
pub struct TopicAdmin {
    client: ManuallyDrop<AdminClient<Quiet>>,
    runtime: tokio::runtime::Runtime,
    brokers: String,
    settings: KafkaSettings,
}

/// Sends librdkafka's words to our log.
struct Quiet {
    trouble: Trouble,
}

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if matches!(facility, "FAIL" | "OIDC") {
            self.trouble.note_line(message);
        }
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.trouble.note(&error, reason);
        tracing::warn!(target: "tailburn::kafka", %error, reason, "the administrator reports");
    }
}

impl TopicAdmin {
    pub fn open(settings: &KafkaSettings) -> Result<TopicAdmin, LogError> {
        settings.validate()?;
        let config = settings.admin();
        let brokers = config.get("bootstrap.servers").unwrap_or("(metadata.broker.list)").to_owned();
        let client = config
            .create_with_context(Quiet { trouble: Trouble::new(settings) })
            .map_err(|e| LogError::Refused { what: "kafka.properties".to_owned(), message: e.to_string() })?;
        // The client answers through futures; this thread waits for them, and for nothing else.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|e| LogError::Broken(format!("no runtime for the topic administration: {e}")))?;
        Ok(TopicAdmin { client: ManuallyDrop::new(client), runtime, brokers, settings: settings.clone() })
    }

    /// How many partitions a topic has; `None` where there is no such topic.
    pub fn partitions(&self, topic: &str) -> Result<Option<u32>, LogError> {
        let metadata = self.answered(|| self.client.inner().fetch_metadata(Some(topic), TRY))?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
        match found.error() {
            None => Ok(u32::try_from(found.partitions().len()).ok().filter(|count| *count > 0)),
            Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => Ok(None),
            Some(code) => Err(refusal::of_topic(&self.settings, topic, code.into())),
        }
    }

    /// How many partitions all inputs have. They are not ours to make.
    pub fn input_partitions(&self, topics: &[String]) -> Result<u32, LogError> {
        topics.iter().map(|topic| self.partitions(topic)?.ok_or_else(|| self.absent(topic))).sum()
    }

    fn absent(&self, topic: &str) -> LogError {
        LogError::Refused {
            what: topic.to_owned(),
            message: format!("there is no such topic at {}: create it, or correct its name", self.brokers),
        }
    }

    /// Asks until there is an answer, or it is plain that there will be none.
    fn answered<T, E: std::fmt::Display>(&self, request: impl Fn() -> Result<T, E>) -> Result<T, LogError> {
        let deadline = Instant::now() + REQUEST;
        loop {
            match request() {
                Ok(answer) => {
                    self.is_well();
                    return Ok(answer);
                }
                Err(error) => {
                    let refused = self.refused_credentials(REFUSED);
                    self.tell_of_tokens();
                    if refused.is_some() || Instant::now() >= deadline {
                        return Err(refused.unwrap_or_else(|| self.unreachable(&error.to_string())));
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        }
    }

    /// librdkafka says nothing while it waits for a token.
    fn tell_of_tokens(&self) {
        let context = self.client.inner().context();
        if let (None, Some(url)) = (context.trouble.passing(), self.settings.token_url())
            && context.trouble.cause().is_none()
        {
            self.settings.listener.tell(Told::Unreachable(&trouble::no_token(url).to_string()));
        }
    }

    /// What is wrong with our credentials, where somebody has said so for so long.
    pub(super) fn refused_credentials(&self, at_least: Duration) -> Option<LogError> {
        self.hear();
        self.client.inner().context().trouble.lasting(at_least)
    }

    pub(super) fn is_well(&self) {
        self.hear();
        self.client.inner().context().trouble.clear();
    }

    /// An administrator's client is polled for answers alone: what it is told beside waits.
    #[expect(unsafe_code, reason = "the client library does not poll for it")]
    fn hear(&self) {
        // SAFETY: the client is alive as long as we are, and the client library serves a queue of its own.
        let all = unsafe { said::since_last(self.client.inner().native_ptr()) };
        let context = self.client.inner().context();
        for said in all.unwrap_or_default() {
            match said {
                Said::Error(code, reason) => context.error(KafkaError::Global(code), &reason),
                Said::Line { level, facility, text } => context.log(level, &facility, &text),
            }
        }
    }

    /// Nobody answers: because of what was said of our credentials, where something was.
    fn unreachable(&self, why: &str) -> LogError {
        if let Some(refused) = self.refused_credentials(Duration::ZERO) {
            return refused;
        }
        match (self.client.inner().context().trouble.passing(), self.settings.token_url()) {
            (None, Some(url)) => trouble::no_token(url),
            (None, None) => LogError::Broken(format!("the brokers at {}: {why}", self.brokers)),
            (Some(heard), _) => LogError::Broken(format!("the brokers at {}: {why} ({heard})", self.brokers)),
        }
    }

    /// What these names stand for now.
    #[expect(unsafe_code, reason = "the client library has no call for it")]
    pub(super) fn describe(&self, names: &[String], wait: Duration) -> Result<BTreeMap<String, Described>, LogError> {
        // SAFETY: the client is alive as long as we are.
        unsafe { topic_ids::describe(self.client.inner().native_ptr(), names, wait) }
    }

    #[expect(unsafe_code, reason = "the client library has no call for it")]
    pub fn cluster(&self) -> Result<Cluster, LogError> {
        // SAFETY: the client is alive as long as we are.
        self.answered(|| unsafe { principal::of_cluster(self.client.inner().native_ptr(), TRY) })
    }

    /// What `run` needs and may not do, as far as the brokers say and the topics are there. (Nobody tells of
    /// transactional ids: who uses one hears of it.)
    pub fn missing_rights(&self, settings: &KafkaSettings) -> Result<Vec<Right>, LogError> {
        let needed = rights::needed(settings);
        let found = self.answered(|| self.describe(&rights::topics(&needed), TRY))?;
        let mut missing = self.missing_on_topics(&needed, &found);
        missing.extend(self.missing_on_group(&needed, GROUP)?);
        Ok(missing)
    }

    pub(super) fn missing_on_topics(&self, needed: &[Right], found: &BTreeMap<String, Described>) -> Vec<Right> {
        let on_cluster = || self.cluster().map_or(Operations::UNKNOWN, |cluster| cluster.operations);
        rights::missing_on_topics(needed, found, on_cluster)
    }

    /// A coordinator that does not answer yet forbids nothing.
    #[expect(unsafe_code, reason = "the client library has no call for it")]
    pub(super) fn missing_on_group(&self, needed: &[Right], wait: Duration) -> Result<Option<Right>, LogError> {
        let is_group = |right: &&Right| matches!(right.resource, Resource::Group(_));
        let Some(Right { resource: Resource::Group(group), operations }) = needed.iter().find(is_group) else {
            return Ok(None);
        };
        // SAFETY: the client is alive as long as we are.
        let found = unsafe { principal::of_group(self.client.inner().native_ptr(), group, wait) }?;
        let is_missing = match found {
            Ok(found) => operations.iter().any(|operation| !found.allow(*operation)),
            Err(code) => refusal::is_of_right(code),
        };
        Ok(is_missing.then(|| Right { resource: Resource::Group(group.clone()), operations: operations.clone() }))
    }

    /// Ends with what is missing, before anything is read or written.
    pub fn check_rights(&self, settings: &KafkaSettings) -> Result<(), LogError> {
        let missing = match self.missing_rights(settings) {
            Ok(missing) => missing,
            Err(error @ LogError::Refused { .. }) => return Err(error),
            // Who is refused later hears of it then.
            Err(error) => {
                tracing::warn!(target: "tailburn::kafka", %error, "the rights cannot be asked for");
                return Ok(());
            }
        };
        rights::refused(&missing).map_or(Ok(()), Err)
    }

    /// The topics that a log reads, as they are now.
    pub(super) fn identify(&self, settings: &KafkaSettings) -> Result<Expected, LogError> {
        let internal = Topic::INTERNAL.into_iter();
        let internal = internal.filter(|topic| *topic != Topic::Repartition || !settings.keyed_by_user);
        let names = settings.input_topics.iter().cloned().chain(internal.map(|topic| settings.topic_name(topic)));
        let names: Vec<String> = names.collect();
        let found = self.answered(|| self.describe(&names, TRY))?;
        let identified = |name: String| match found.get(&name) {
            Some(Described::There { id, partitions, .. }) => Ok((name, (*id, *partitions))),
            Some(Described::Refused(code)) => Err(refusal::of_topic(settings, &name, *code)),
            Some(Described::Absent) | None => Err(self.absent(&name)),
        };
        names.into_iter().map(identified).collect()
    }

    /// The streams of a log, from the topics as they are now and the numbers of the input's partitions.
    pub(super) fn streams(
        &self,
        settings: &KafkaSettings,
        numbered: Vec<Claim>,
        ids: Expected,
    ) -> Result<Streams, LogError> {
        let ours = |topic: Topic| {
            let name = settings.topic_name(topic);
            let partitions = ids.get(&name).map_or(0, |(_, partitions)| *partitions);
            (name, partitions)
        };
        let repartition = (!settings.keyed_by_user).then(|| ours(Topic::Repartition));
        let (sources, _) = ours(Topic::Sources);
        let streams = Streams::new(&settings.input_topics, numbered, repartition, ours(Topic::Partials), sources);
        let (changelog, found) = ours(Topic::Changelog);
        let wanted = streams.users_partitions() + streams.partials_partitions();
        if found != wanted {
            let why = if settings.keyed_by_user {
                format!("where the input's count changed: {}", super::keyed_and_grown())
            } else {
                "partition counts cannot be changed".to_owned()
            };
            let message = format!(
                "has {found} partitions, not {wanted} (one per users task and one per rollup task): tasks would find \
                 one another's state; {why}. {BEGIN_ANEW}"
            );
            return Err(LogError::Refused { what: changelog, message });
        }
        Ok(streams.with_ids(ids))
    }

    /// Compares topics with their plans.
    pub fn inspect(&self, plans: &[TopicPlan]) -> Result<Vec<TopicState>, LogError> {
        plans.iter().map(|plan| self.inspect_one(plan)).collect()
    }

    /// Makes the topics that are missing; says which. `replication_factor` -1 is the brokers' default.
    pub fn create_missing(&self, plans: &[TopicPlan], replication_factor: i32) -> Result<Vec<String>, LogError> {
        let states = self.inspect(plans)?;
        let missing: Vec<&TopicPlan> = plans
            .iter()
            .zip(&states)
            .filter(|(_, state)| **state == TopicState::Missing)
            .map(|(plan, _)| plan)
            .collect();
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let settings: Vec<_> = missing.iter().map(|plan| configuration(plan)).collect();
        let wanted =
            missing.iter().zip(&settings).map(|(plan, settings)| new_topic(plan, settings, replication_factor));
        let wanted = wanted.collect::<Result<Vec<_>, LogError>>()?;
        let options = AdminOptions::new().operation_timeout(Some(REQUEST)).request_timeout(Some(REQUEST));
        let created = self
            .runtime
            .block_on(self.client.create_topics(&wanted, &options))
            .map_err(|e| LogError::Broken(format!("the brokers at {}: create topics: {e}", self.brokers)))?;
        for outcome in created {
            match outcome {
                // Another instance may have been faster.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => return Err(not_created(&name, code)),
            }
        }
        let names: Vec<String> = missing.into_iter().map(|plan| plan.name.clone()).collect();
        self.await_visible(&names)?;
        Ok(names)
    }

    /// Asks the brokers whether a topic could be made; nothing is.
    pub fn could_create(&self, plan: &TopicPlan, replication_factor: i32) -> Result<(), LogError> {
        let settings = configuration(plan);
        let wanted = new_topic(plan, &settings, replication_factor)?;
        let options = AdminOptions::new().request_timeout(Some(REQUEST)).validate_only(true);
        let asked = self.runtime.block_on(self.client.create_topics([&wanted], &options));
        let asked =
            asked.map_err(|e| LogError::Broken(format!("the brokers at {}: create topics: {e}", self.brokers)))?;
        asked.into_iter().try_for_each(|outcome| match outcome {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => Ok(()),
            Err((name, code)) => Err(not_created(&name, code)),
        })
    }

    /// Deletes the records before these offsets; says for which partitions that failed, and why.
    pub(super) fn delete_before(&self, offsets: &TopicPartitionList) -> Result<Vec<String>, LogError> {
        let options = AdminOptions::new().operation_timeout(Some(REQUEST)).request_timeout(Some(REQUEST));
        let deleted = self
            .runtime
            .block_on(self.client.delete_records(offsets, &options))
            .map_err(|e| LogError::Broken(format!("the brokers at {}: delete records: {e}", self.brokers)))?;
        let failed = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            let error = element.error().err()?;
            Some(format!("{} [{}]: {error}", element.topic(), element.partition()))
        };
        Ok(deleted.elements().iter().filter_map(failed).collect())
    }

    /// A broker learns of a new topic a moment after the controller made it.
    fn await_visible(&self, names: &[String]) -> Result<(), LogError> {
        let deadline = Instant::now() + REQUEST;
        for name in names {
            while self.partitions(name)?.is_none() {
                if Instant::now() >= deadline {
                    return Err(LogError::Broken(format!("{name} was created, but {} does not know it", self.brokers)));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    fn inspect_one(&self, plan: &TopicPlan) -> Result<TopicState, LogError> {
        let Some(partitions) = self.partitions(&plan.name)? else { return Ok(TopicState::Missing) };
        let mut differences = Vec::new();
        if partitions != plan.partitions {
            // A partition too many is empty; one that is missing has no place for what belongs there. (Who opens the
            // log looks at the counts of the internal ones.)
            let is_output = plan.ours.is_some_and(|topic| Topic::OUTPUTS.contains(&topic));
            let of = if plan.ours == Some(Topic::DeadLetters) { "the input" } else { "partitions.rollup" };
            differences.push(Difference {
                what: format!("has {partitions} partitions, not {} (one for each of {of})", plan.partitions),
                breaks_promise: is_output && partitions < plan.partitions,
            });
        }
        let found = self.configured(&plan.name)?;
        for (name, wanted) in configuration(plan) {
            let value = found.get(name).map_or("", String::as_str);
            if value != wanted {
                let what = format!("has {name}={value}, not {wanted}{}", consequence(name, &found));
                differences.push(Difference { what, breaks_promise: name == "cleanup.policy" });
            }
        }
        Ok(if differences.is_empty() { TopicState::AsPlanned } else { TopicState::Differs(differences) })
    }

    /// All settings of a topic.
    pub fn configured(&self, topic: &str) -> Result<BTreeMap<String, String>, LogError> {
        let refused = |why: String| LogError::Refused {
            what: topic.to_owned(),
            message: format!("its settings cannot be read: {why}"),
        };
        let options = AdminOptions::new().request_timeout(Some(REQUEST));
        let described = self
            .runtime
            .block_on(self.client.describe_configs([&ResourceSpecifier::Topic(topic)], &options))
            .map_err(|e| refused(e.to_string()))?;
        let resource = described.into_iter().next().ok_or_else(|| refused("no answer".to_owned()))?;
        let resource = resource.map_err(|code| match refusal::is_of_right(code) {
            true => rights::unexplained(topic),
            false => refused(code.to_string()),
        })?;
        // The client library gives no error where the brokers do.
        if resource.entries.is_empty() {
            return Err(rights::unexplained(topic));
        }
        Ok(resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect())
    }

    /// Gives a topic of ours the partitions that it lacks.
    pub fn add_partitions(&self, plan: &TopicPlan) -> Result<(), LogError> {
        let options = AdminOptions::new().operation_timeout(Some(REQUEST)).request_timeout(Some(REQUEST));
        let wanted = NewPartitions::new(&plan.name, plan.partitions as usize);
        let refused = |why: String| LogError::Refused {
            what: plan.name.clone(),
            message: format!("has fewer partitions than {}, and cannot be given more: {why}", plan.partitions),
        };
        let added = self.runtime.block_on(self.client.create_partitions([&wanted], &options));
        for outcome in added.map_err(|e| refused(e.to_string()))? {
            match outcome {
                // Where it has them, another instance was faster.
                Ok(_) | Err((_, RDKafkaErrorCode::InvalidPartitions)) => {}
                Err((name, code)) if refusal::is_of_right(code) => return Err(rights::unalterable(&name)),
                Err((_, code)) => return Err(refused(code.to_string())),
            }
        }
        // A broker learns of them a moment after the controller made them.
        let deadline = Instant::now() + REQUEST;
        while self.partitions(&plan.name)? < Some(plan.partitions) {
            if Instant::now() >= deadline {
                return Err(refused(format!("they were asked for, and {} does not know them", self.brokers)));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

fn not_created(name: &str, code: RDKafkaErrorCode) -> LogError {
    if refusal::is_of_right(code) {
        return rights::uncreatable(name);
    }
    LogError::Refused { what: name.to_owned(), message: format!("cannot be created: {code}") }
}

impl Drop for TopicAdmin {
    #[expect(unsafe_code, reason = "whether a client is given back is decided here")]
    fn drop(&mut self) {
        // Where no token came, giving the client back waits until the last pause between two tries is over, which is
        // up to 20 s, and the process is about to end.
        if self.settings.token_url().is_some() && !self.client.inner().context().trouble.was_well() {
            return;
        }
        // SAFETY: nobody uses it any more.
        unsafe { ManuallyDrop::drop(&mut self.client) };
    }
}

/// What a setting other than planned leads to.
fn consequence(name: &str, found: &BTreeMap<String, String>) -> String {
    let limit = |name: &str| format!("{name}={}", found.get(name).map_or("?", String::as_str));
    match name {
        "message.timestamp.type" => format!(
            " (then {} and {} judge the producer's clock, and retention too)",
            limit("message.timestamp.before.max.ms"),
            limit("message.timestamp.after.max.ms")
        ),
        "max.message.bytes" => " (a larger record ends `run`)".to_owned(),
        "min.compaction.lag.ms" => " (old values stay so long: restoring state reads them all)".to_owned(),
        _ => String::new(),
    }
}

/// The settings of a topic that tailburn depends on.
fn configuration(plan: &TopicPlan) -> Vec<(&'static str, String)> {
    let mut all = match plan.cleanup {
        Cleanup::Compact => vec![("cleanup.policy", "compact".to_owned()), ("min.compaction.lag.ms", "0".to_owned())],
        Cleanup::Delete { retention_ms } => {
            let retention = retention_ms.map(|ms| ("retention.ms", ms.to_string()));
            std::iter::once(("cleanup.policy", "delete".to_owned())).chain(retention).collect()
        }
    };
    if plan.ours.is_some() {
        all.push(("message.timestamp.type", "LogAppendTime".to_owned()));
        all.push(("max.message.bytes", LARGEST_BYTES.to_string()));
    }
    all
}

fn new_topic<'a>(
    plan: &'a TopicPlan,
    settings: &'a [(&'static str, String)],
    replication_factor: i32,
) -> Result<NewTopic<'a>, LogError> {
    let partitions = i32::try_from(plan.partitions).map_err(|e| LogError::Refused {
        what: plan.name.clone(),
        message: format!("{} partitions: {e}", plan.partitions),
    })?;
    let topic = NewTopic::new(&plan.name, partitions, TopicReplication::Fixed(replication_factor));
    Ok(settings.iter().fold(topic, |topic, (name, value)| topic.set(name, value)))
}

#[cfg(test)]
mod tests {
    use super::super::settings::StartFrom;
    use super::*;

    const COUNTS: PartitionCounts = PartitionCounts { input: 3, users: 5, rollup: 2 };

    fn settings(keyed_by_user: bool) -> KafkaSettings {
        KafkaSettings {
            properties: BTreeMap::new(),
            group_id: "app".to_owned(),
            transactional_id: String::new(),
            input_topics: Vec::new(),
            prefix: "p.".to_owned(),
            start_from: StartFrom::Earliest,
            keyed_by_user,
            makes_topics: true,
            listener: super::super::Listener::default(),
        }
    }

    fn planned(keyed_by_user: bool) -> Vec<(String, u32, Cleanup)> {
        let plans = plan(&settings(keyed_by_user), COUNTS).into_iter();
        plans.map(|plan| (plan.name, plan.partitions, plan.cleanup)).skip(Topic::OUTPUTS.len() - 1).collect()
    }

    #[test]
    fn a_topic_has_a_partition_per_task() {
        let week = Cleanup::Delete { retention_ms: Some(7 * DAY_MS) };
        let expected = [
            ("p.dead-letters", 3, Cleanup::Delete { retention_ms: Some(30 * DAY_MS) }),
            ("p.internal.app.repartition", 5, week),
            ("p.internal.app.partials", 2, week),
            ("p.internal.app.changelog", 7, Cleanup::Compact),
            ("p.internal.app.sources", 1, Cleanup::Compact),
        ];
        assert_eq!(planned(false), expected.map(|(name, count, cleanup)| (name.to_owned(), count, cleanup)));
    }

    /// Whatever time they are about, retention and the brokers' limits mind when they were written.
    #[test]
    fn the_brokers_stamp_the_records_of_all_our_topics() {
        let settings = settings(false);
        for plan in plan(&settings, COUNTS) {
            let stamp = ("message.timestamp.type", "LogAppendTime".to_owned());
            assert!(configuration(&plan).contains(&stamp), "{}", plan.name);
        }
    }

    #[test]
    fn inputs_keyed_by_user_need_no_repartition_and_have_a_users_task_each() {
        let names = planned(true).into_iter().map(|(name, partitions, _)| (name, partitions));
        let expected = [
            ("p.dead-letters", 3),
            ("p.internal.app.partials", 2),
            ("p.internal.app.changelog", 5),
            ("p.internal.app.sources", 1),
        ];
        assert_eq!(names.collect::<Vec<_>>(), expected.map(|(name, count)| (name.to_owned(), count)));
    }
}
