//! The topics tailburn needs: what they should be, what they are, and making those that are missing.
//!
//! It never changes or deletes a topic that is there: a difference is named, for a person to decide.

use super::group::log_line;
use super::settings::{KafkaSettings, LARGEST_BYTES};
use super::streams::Streams;
use crate::log::LogError;
use crate::model::record::Topic;
use crate::model::time::{DAY_MS, Ms};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};
use std::time::{Duration, Instant};

const REQUEST: Duration = Duration::from_secs(15);

/// What becomes of old records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// The latest of each key stays.
    Compact,
    /// Deleted after the retention; `None` leaves that to the brokers' default.
    Delete { retention_ms: Option<Ms> },
    /// Deleted so long after they were written, whatever time they are about: what is read of months
    /// ago must not be old already when it is written.
    DeleteAfterWriting { retention_ms: Ms },
}

/// A topic as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPlan {
    pub name: String,
    pub partitions: u32,
    pub cleanup: Cleanup,
    /// Takes records as large as we write them: one key's part of a boundary, a dead letter as it came.
    pub takes_large: bool,
}

/// How a topic compares to its plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicState {
    Missing,
    AsPlanned,
    /// Each difference in words. A different partition count cannot be worked with.
    Differs(Vec<String>),
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
        takes_large: true,
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
    match topic {
        Topic::SloStatus | Topic::UserStatus => Cleanup::Compact,
        // Their timestamps are T: with the broker's usual week, what is said of older traffic would be
        // gone at once.
        Topic::SloHistory | Topic::BurnAlerts | Topic::TailCohorts | Topic::CanaryVerdicts => {
            Cleanup::Delete { retention_ms: Some(400 * DAY_MS) }
        }
        Topic::Changelog | Topic::Sources => Cleanup::Compact,
        // What was read is purged. This is for what nobody reads: how long all may be away.
        Topic::Repartition | Topic::Partials => Cleanup::DeleteAfterWriting { retention_ms: 7 * DAY_MS },
        Topic::DeadLetters => Cleanup::Delete { retention_ms: None },
    }
}

/// Looks at topics and makes them. Outside of every group and transaction.
pub struct TopicAdmin {
    client: AdminClient<Quiet>,
    runtime: tokio::runtime::Runtime,
    brokers: String,
}

/// Sends librdkafka's words to our log.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: rdkafka::error::KafkaError, reason: &str) {
        tracing::warn!(target: "tailburn::kafka", %error, reason, "the administrator reports");
    }
}

impl TopicAdmin {
    pub fn open(settings: &KafkaSettings) -> Result<TopicAdmin, LogError> {
        settings.validate()?;
        let config = settings.admin();
        let brokers = config.get("bootstrap.servers").unwrap_or("(metadata.broker.list)").to_owned();
        let client = config
            .create_with_context(Quiet)
            .map_err(|e| LogError::Refused { what: "kafka.properties".to_owned(), message: e.to_string() })?;
        // The client answers through futures; this thread waits for them, and for nothing else.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|e| LogError::Broken(format!("no runtime for the topic administration: {e}")))?;
        Ok(TopicAdmin { client, runtime, brokers })
    }

    /// How many partitions a topic has; `None` where there is no such topic.
    pub fn partitions(&self, topic: &str) -> Result<Option<u32>, LogError> {
        let unreachable = |why: String| LogError::Broken(format!("the brokers at {}: {why}", self.brokers));
        let metadata =
            self.client.inner().fetch_metadata(Some(topic), REQUEST).map_err(|e| unreachable(e.to_string()))?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
        match found.error() {
            None => Ok(u32::try_from(found.partitions().len()).ok().filter(|count| *count > 0)),
            Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => Ok(None),
            Some(code) => Err(LogError::Refused {
                what: topic.to_owned(),
                message: format!("cannot be looked at: {}", RDKafkaErrorCode::from(code)),
            }),
        }
    }

    /// The streams of a log, from the partition counts as they are now.
    pub fn streams(&self, settings: &KafkaSettings) -> Result<Streams, LogError> {
        let counted = |name: &str| match self.partitions(name)? {
            Some(partitions) => Ok((name.to_owned(), partitions)),
            None => Err(LogError::Refused {
                what: name.to_owned(),
                message: format!("there is no such topic at {}: create it, or correct its name", self.brokers),
            }),
        };
        let inputs = settings.input_topics.iter().map(|name| counted(name)).collect::<Result<Vec<_>, LogError>>()?;
        let ours = |topic: Topic| counted(&settings.topic_name(topic));
        let repartition = if settings.keyed_by_user { None } else { Some(ours(Topic::Repartition)?) };
        let (sources, _) = ours(Topic::Sources)?;
        let streams = Streams::new(&inputs, repartition, ours(Topic::Partials)?, sources);
        let (changelog, found) = ours(Topic::Changelog)?;
        let wanted = streams.users_partitions() + streams.partials_partitions();
        if found != wanted {
            let message = format!(
                "has {found} partitions, not {wanted} (one per users task and one per rollup task): tasks would find \
                 one another's state. Partition counts cannot be changed: start with a new output.prefix"
            );
            return Err(LogError::Refused { what: changelog, message });
        }
        Ok(streams)
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
                Err((name, code)) => {
                    return Err(LogError::Refused { what: name, message: format!("cannot be created: {code}") });
                }
            }
        }
        let names: Vec<String> = missing.into_iter().map(|plan| plan.name.clone()).collect();
        self.await_visible(&names)?;
        Ok(names)
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
            differences.push(format!("has {partitions} partitions, not {}", plan.partitions));
        }
        for (name, wanted) in configuration(plan) {
            let found = self.configured(&plan.name, name)?;
            if found != wanted {
                differences.push(format!("has {name}={found}, not {wanted}"));
            }
        }
        Ok(if differences.is_empty() { TopicState::AsPlanned } else { TopicState::Differs(differences) })
    }

    fn configured(&self, topic: &str, name: &str) -> Result<String, LogError> {
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
        let resource = resource.map_err(|code| refused(code.to_string()))?;
        Ok(resource.get(name).and_then(|entry| entry.value.clone()).unwrap_or_default())
    }
}

/// The settings of a topic that tailburn depends on.
fn configuration(plan: &TopicPlan) -> Vec<(&'static str, String)> {
    let mut all = retention(plan.cleanup);
    if plan.takes_large {
        all.push(("max.message.bytes", LARGEST_BYTES.to_string()));
    }
    all
}

fn retention(cleanup: Cleanup) -> Vec<(&'static str, String)> {
    match cleanup {
        Cleanup::Compact => vec![("cleanup.policy", "compact".to_owned())],
        Cleanup::Delete { retention_ms: None } => vec![("cleanup.policy", "delete".to_owned())],
        Cleanup::Delete { retention_ms: Some(ms) } => {
            vec![("cleanup.policy", "delete".to_owned()), ("retention.ms", ms.to_string())]
        }
        Cleanup::DeleteAfterWriting { retention_ms } => vec![
            ("cleanup.policy", "delete".to_owned()),
            ("retention.ms", retention_ms.to_string()),
            ("message.timestamp.type", "LogAppendTime".to_owned()),
        ],
    }
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
    use std::collections::BTreeMap;

    const COUNTS: PartitionCounts = PartitionCounts { input: 3, users: 5, rollup: 2 };

    fn planned(keyed_by_user: bool) -> Vec<(String, u32, Cleanup)> {
        let settings = KafkaSettings {
            properties: BTreeMap::new(),
            group_id: "app".to_owned(),
            transactional_id: String::new(),
            input_topics: Vec::new(),
            prefix: "p.".to_owned(),
            start_from: StartFrom::Earliest,
            keyed_by_user,
        };
        let plans = plan(&settings, COUNTS).into_iter();
        plans.map(|plan| (plan.name, plan.partitions, plan.cleanup)).skip(Topic::OUTPUTS.len() - 1).collect()
    }

    #[test]
    fn a_topic_has_a_partition_per_task() {
        let week = Cleanup::DeleteAfterWriting { retention_ms: 7 * DAY_MS };
        let expected = [
            ("p.dead-letters", 3, Cleanup::Delete { retention_ms: None }),
            ("p.internal.app.repartition", 5, week),
            ("p.internal.app.partials", 2, week),
            ("p.internal.app.changelog", 7, Cleanup::Compact),
            ("p.internal.app.sources", 1, Cleanup::Compact),
        ];
        assert_eq!(planned(false), expected.map(|(name, count, cleanup)| (name.to_owned(), count, cleanup)));
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
