//! The rights that `run` needs. `topics --acls` prints this list; a start, the watch of a running instance and
//! `check --connect` compare it to what the brokers allow.
//!
//! Describe is not in the list: brokers allow it to everybody who may read, write, delete or alter a resource.

use super::error_codes::is_authorization_error;
use super::native::describe_topics::Described;
use super::operations::{Operation, Operations};
use super::settings::KafkaSettings;
use super::topics::plan::{PartitionCounts, plan};
use crate::log::LogError;
use crate::model::record::Topic;
use rdkafka::error::RDKafkaErrorCode;
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    Topic(String),
    Group(String),
    /// All ids with this prefix.
    TransactionalIds(String),
}

/// The operations that have to be allowed on one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    pub resource: Resource,
    pub operations: Vec<Operation>,
}

/// What `run` needs with these settings.
pub fn needed(settings: &KafkaSettings) -> Vec<Right> {
    let inputs = settings.input_topics.iter();
    let inputs =
        inputs.map(|name| Right { resource: Resource::Topic(name.clone()), operations: vec![Operation::Read] });
    // Only the names of the topics matter here, not their partition counts.
    let ours = plan(settings, PartitionCounts { input: 1, users: 1, rollup: 1 }).into_iter();
    let ours = ours.map(|plan| {
        let mut operations = vec![Operation::Write, Operation::DescribeConfigs];
        if plan.ours.is_some_and(|topic| Topic::INTERNAL.contains(&topic)) {
            // Records that were read are deleted.
            operations.extend([Operation::Read, Operation::Delete]);
        }
        if plan.ours == Some(Topic::Definitions) {
            operations.push(Operation::Read);
        }
        if settings.makes_topics {
            operations.push(Operation::Create);
        }
        if settings.makes_topics && plan.ours == Some(Topic::DeadLetters) {
            // It gets a new partition for each that is added to an input.
            operations.push(Operation::Alter);
        }
        Right { resource: Resource::Topic(plan.name), operations }
    });
    let group = Right { resource: Resource::Group(settings.group_id.clone()), operations: vec![Operation::Read] };
    let ids = Resource::TransactionalIds(settings.transactional_prefix());
    inputs.chain(ours).chain([group, Right { resource: ids, operations: vec![Operation::Write] }]).collect()
}

/// What the API and the page need in addition, in `run` and in `serve`: without them `run` works, and shows nothing.
pub fn needed_to_show(settings: &KafkaSettings) -> Vec<Right> {
    let read = |topic: Topic| Right {
        resource: Resource::Topic(settings.topic_name(topic)),
        operations: vec![Operation::Read],
    };
    Topic::OUTPUTS.into_iter().map(read).collect()
}

/// What `notify` and `silence` need, beside no right of `run`: `group_id` is that of `notify`.
pub fn needed_to_notify(settings: &KafkaSettings) -> Vec<Right> {
    let on = |topic: Topic, operations: &[Operation]| Right {
        resource: Resource::Topic(settings.topic_name(topic)),
        operations: operations.to_vec(),
    };
    let news = [Topic::BurnAlerts, Topic::TailCohorts, Topic::CanaryVerdicts];
    let mut silences = vec![Operation::Read, Operation::Write, Operation::DescribeConfigs];
    if settings.makes_topics {
        silences.push(Operation::Create);
    }
    let group = Right { resource: Resource::Group(settings.group_id.clone()), operations: vec![Operation::Read] };
    let news = news.into_iter().map(|topic| on(topic, &[Operation::Read]));
    news.chain([on(Topic::Silences, &silences), group]).collect()
}

/// The missing rights on the topics that exist. `on_cluster`: the operations allowed on the whole cluster, among which
/// may be the right to create any topic.
pub fn missing_on_topics(
    needed: &[Right],
    found: &BTreeMap<String, Described>,
    on_cluster: impl FnOnce() -> Operations,
) -> Vec<Right> {
    let lacking = |right: &Right| {
        let Resource::Topic(name) = &right.resource else { return None };
        let lacks: Vec<Operation> = match found.get(name)? {
            Described::There { operations, .. } => {
                right.operations.iter().copied().filter(|operation| !operations.allow(*operation)).collect()
            }
            // We may not even describe it, so all rights that would allow that are missing.
            Described::Refused(code) if is_authorization_error(*code) => {
                right.operations.iter().copied().filter(|operation| operation.implies_describe()).collect()
            }
            Described::Refused(_) | Described::Absent => Vec::new(),
        };
        (!lacks.is_empty()).then(|| Right { resource: right.resource.clone(), operations: lacks })
    };
    let mut missing: Vec<Right> = needed.iter().filter_map(lacking).collect();
    let creates = |right: &Right| right.operations.contains(&Operation::Create);
    if missing.iter().any(creates) && on_cluster().allow(Operation::Create) {
        missing.iter_mut().for_each(|right| right.operations.retain(|operation| *operation != Operation::Create));
        missing.retain(|right| !right.operations.is_empty());
    }
    missing
}

/// An error that names the missing rights and how to grant them. `None`: nothing is missing.
pub fn refused(missing: &[Right]) -> Option<LogError> {
    let (first, others) = missing.split_first()?;
    let (what, mut message) = in_words(first);
    if !others.is_empty() {
        let others: Vec<String> =
            others.iter().map(|right| format!("{} on {}", names(right), resource_name(right))).collect();
        message = format!("{message}. Also missing: {}", others.join("; "));
    }
    Some(LogError::Refused { what, message })
}

/// The names of the topics among the resources.
pub fn topics(needed: &[Right]) -> Vec<String> {
    let name = |right: &Right| match &right.resource {
        Resource::Topic(name) => Some(name.clone()),
        Resource::Group(_) | Resource::TransactionalIds(_) => None,
    };
    needed.iter().filter_map(name).collect()
}

pub fn cannot_create(topic: &str) -> LogError {
    lacks(topic, Operation::Create)
}

pub fn cannot_alter(topic: &str) -> LogError {
    lacks(topic, Operation::Alter)
}

pub fn cannot_describe_configs(topic: &str) -> LogError {
    lacks(topic, Operation::DescribeConfigs)
}

pub fn cannot_read(topic: &str) -> LogError {
    lacks(topic, Operation::Read)
}

pub fn cannot_write(topic: &str) -> LogError {
    lacks(topic, Operation::Write)
}

/// The brokers refuse to describe a topic.
pub fn cannot_describe(settings: &KafkaSettings, topic: &str, code: RDKafkaErrorCode) -> LogError {
    let found = BTreeMap::from([(topic.to_owned(), Described::Refused(code))]);
    let missing = missing_on_topics(&needed(settings), &found, || Operations::UNKNOWN);
    refused(&missing).unwrap_or_else(|| LogError::Refused {
        what: topic.to_owned(),
        message: format!("cannot be described: {code}"),
    })
}

fn lacks(topic: &str, operation: Operation) -> LogError {
    let right = Right { resource: Resource::Topic(topic.to_owned()), operations: vec![operation] };
    let (what, message) = in_words(&right);
    LogError::Refused { what, message }
}

/// The resource and the message about one missing right.
pub fn in_words(missing: &Right) -> (String, String) {
    let creates = |operation: &Operation| matches!(operation, Operation::Create | Operation::Alter);
    let instead = match missing.operations.iter().any(creates) {
        true => ", or set topics.create to false if somebody else creates the topics",
        false => "",
    };
    let how = format!("grant it (`tailburn topics --acls` prints the commands){instead}");
    let operations = names(missing);
    let rights = if missing.operations.len() == 1 { "right" } else { "rights" };
    let message = match &missing.resource {
        Resource::Topic(_) => format!("this principal lacks the {rights} {operations} on this topic: {how}"),
        Resource::Group(_) => format!("this principal lacks the {rights} {operations} on this consumer group: {how}"),
        Resource::TransactionalIds(_) => {
            format!("this principal lacks the {rights} {operations} on transactional ids with this prefix: {how}")
        }
    };
    (resource_name(missing), message)
}

fn names(right: &Right) -> String {
    let names: Vec<&str> = right.operations.iter().map(|operation| operation.name()).collect();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        _ => names.concat(),
    }
}

fn resource_name(right: &Right) -> String {
    match &right.resource {
        Resource::Topic(name) => name.clone(),
        Resource::Group(name) => format!("group {name}"),
        Resource::TransactionalIds(prefix) => format!("transactional ids {prefix}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::TopicId;

    fn settings(makes_topics: bool) -> KafkaSettings {
        KafkaSettings { makes_topics, ..KafkaSettings::for_tests(&[]) }
    }

    fn on(needed: &[Right], topic: &str) -> Vec<&'static str> {
        let is_it = |right: &&Right| right.resource == Resource::Topic(topic.to_owned());
        needed.iter().filter(is_it).flat_map(|right| right.operations.iter().map(|o| o.name())).collect()
    }

    fn allowing(operations: &[Operation]) -> Described {
        let numbers = operations.iter().map(|operation| operation.bit().trailing_zeros());
        Described::There { id: TopicId::UNKNOWN, partitions: 1, operations: Operations::of(numbers) }
    }

    fn missing(found: Described, on_cluster: Operations) -> Vec<Right> {
        let needed = needed(&settings(true));
        missing_on_topics(&needed, &BTreeMap::from([("p.slo-status".to_owned(), found)]), || on_cluster)
    }

    #[test]
    fn the_rights_depend_on_whose_topic_it_is_and_who_creates_it() {
        let makes = needed(&settings(true));
        assert_eq!(on(&makes, "orders"), ["Read"]);
        assert_eq!(on(&makes, "p.slo-status"), ["Write", "DescribeConfigs", "Create"]);
        assert_eq!(on(&makes, "p.dead-letters"), ["Write", "DescribeConfigs", "Create", "Alter"]);
        let changelog = "p.internal.app.changelog";
        assert_eq!(on(&makes, changelog), ["Write", "DescribeConfigs", "Read", "Delete", "Create"]);
        assert_eq!(on(&needed(&settings(false)), changelog), ["Write", "DescribeConfigs", "Read", "Delete"]);
        assert_eq!(on(&makes, "p.definitions"), [] as [&str; 0], "only where definitions are controlled");
        let controls = needed(&KafkaSettings { controls_definitions: true, ..settings(true) });
        assert_eq!(on(&controls, "p.definitions"), ["Write", "DescribeConfigs", "Read", "Create"]);
        let others = &makes[makes.len() - 2..];
        assert_eq!(others[0].resource, Resource::Group("app".to_owned()));
        assert_eq!(others[1].resource, Resource::TransactionalIds("app-".to_owned()));
    }

    #[test]
    fn each_missing_right_is_named() {
        use Operation::{Create, DescribeConfigs, Write};
        let none = Operations::of(std::iter::empty());
        assert_eq!(missing(allowing(&[Write, DescribeConfigs, Create]), none), []);
        assert_eq!(missing(allowing(&[Write, DescribeConfigs]), none)[0].operations, [Create]);
        let creates = Operations::of(std::iter::once(Create.bit().trailing_zeros()));
        assert_eq!(
            missing(allowing(&[Write, DescribeConfigs]), creates),
            [],
            "the right to create any topic is enough"
        );
        let refused = missing(Described::Refused(RDKafkaErrorCode::TopicAuthorizationFailed), none);
        assert_eq!(refused[0].operations, [Write], "the right to write includes the right to describe");
        let text = super::refused(&refused).map(|error| error.to_string()).unwrap_or_default();
        assert!(text.starts_with("p.slo-status: this principal lacks the right Write"), "{text}");
        let text = names(&Right { operations: vec![Write, Create, DescribeConfigs], ..refused[0].clone() });
        assert_eq!(text, "Write, Create and DescribeConfigs");
    }

    #[test]
    fn brokers_that_do_not_list_rights_and_topics_that_do_not_exist_forbid_nothing() {
        let unknown = Described::There { id: TopicId::UNKNOWN, partitions: 1, operations: Operations::UNKNOWN };
        assert_eq!(missing(unknown, Operations::UNKNOWN), []);
        assert_eq!(missing(Described::Absent, Operations::UNKNOWN), []);
    }
}
