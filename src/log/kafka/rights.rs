//! The rights that `run` needs: one list, which `topics --acls` prints, and which a start, the watch over a running
//! instance and `check --connect` hold against what the brokers allow.
//!
//! Brokers let whoever may read, write, delete or alter something describe it too, so Describe is not in it.

use super::settings::KafkaSettings;
use super::topic_ids::Described;
use super::topics::{PartitionCounts, plan};
use crate::log::LogError;
use crate::model::record::Topic;
use rdkafka::bindings::rd_kafka_AclOperation_t as Native;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Read,
    Write,
    Create,
    Delete,
    Alter,
    DescribeConfigs,
}

impl Operation {
    /// As Kafka's own tools have it.
    pub const fn name(self) -> &'static str {
        match self {
            Operation::Read => "Read",
            Operation::Write => "Write",
            Operation::Create => "Create",
            Operation::Delete => "Delete",
            Operation::Alter => "Alter",
            Operation::DescribeConfigs => "DescribeConfigs",
        }
    }

    const fn bit(self) -> u32 {
        let native = match self {
            Operation::Read => Native::RD_KAFKA_ACL_OPERATION_READ,
            Operation::Write => Native::RD_KAFKA_ACL_OPERATION_WRITE,
            Operation::Create => Native::RD_KAFKA_ACL_OPERATION_CREATE,
            Operation::Delete => Native::RD_KAFKA_ACL_OPERATION_DELETE,
            Operation::Alter => Native::RD_KAFKA_ACL_OPERATION_ALTER,
            Operation::DescribeConfigs => Native::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS,
        };
        1 << native as u32
    }

    /// Who may do this may look at the thing.
    const fn implies_describe(self) -> bool {
        matches!(self, Operation::Read | Operation::Write | Operation::Delete | Operation::Alter)
    }
}

/// What brokers say that we may do with something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operations(Option<u32>);

impl Operations {
    /// Brokers that are too old, or of another make, do not say.
    pub const UNKNOWN: Operations = Operations(None);

    /// By librdkafka's numbers.
    pub fn of(numbers: impl Iterator<Item = u32>) -> Operations {
        Operations(Some(numbers.filter(|number| *number < 32).fold(0, |all, number| all | 1 << number)))
    }

    pub fn allow(self, operation: Operation) -> bool {
        self.0.is_none_or(|all| all & operation.bit() != 0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    Topic(String),
    Group(String),
    /// All that begin so.
    TransactionalIds(String),
}

/// All that has to be allowed on one thing.
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
    // The partition counts name nothing.
    let ours = plan(settings, PartitionCounts { input: 1, users: 1, rollup: 1 }).into_iter();
    let ours = ours.map(|plan| {
        let mut operations = vec![Operation::Write, Operation::DescribeConfigs];
        if plan.ours.is_some_and(|topic| Topic::INTERNAL.contains(&topic)) {
            // What was read of them is deleted.
            operations.extend([Operation::Read, Operation::Delete]);
        }
        if settings.makes_topics {
            operations.push(Operation::Create);
        }
        if settings.makes_topics && plan.ours == Some(Topic::DeadLetters) {
            // It gets a partition for each that an input gets.
            operations.push(Operation::Alter);
        }
        Right { resource: Resource::Topic(plan.name), operations }
    });
    let group = Right { resource: Resource::Group(settings.group_id.clone()), operations: vec![Operation::Read] };
    let ids = Resource::TransactionalIds(settings.transactional_prefix());
    inputs.chain(ours).chain([group, Right { resource: ids, operations: vec![Operation::Write] }]).collect()
}

/// What is not allowed of the topics that are there. `on_cluster`: who may create any topic may create these.
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
            // It may not even be looked at.
            Described::Refused(code) if super::refusal::is_of_right(*code) => {
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

/// Says what is missing, and how to come by it; `None`: nothing is.
pub fn refused(missing: &[Right]) -> Option<LogError> {
    let (first, others) = missing.split_first()?;
    let (what, mut message) = in_words(first);
    if !others.is_empty() {
        let others: Vec<String> = others.iter().map(|right| format!("{} on {}", names(right), about(right))).collect();
        message = format!("{message}. Missing too: {}", others.join("; "));
    }
    Some(LogError::Refused { what, message })
}

/// The topics among them.
pub fn topics(needed: &[Right]) -> Vec<String> {
    let name = |right: &Right| match &right.resource {
        Resource::Topic(name) => Some(name.clone()),
        Resource::Group(_) | Resource::TransactionalIds(_) => None,
    };
    needed.iter().filter_map(name).collect()
}

pub fn uncreatable(topic: &str) -> LogError {
    of_topic(topic, Operation::Create)
}

pub fn unalterable(topic: &str) -> LogError {
    of_topic(topic, Operation::Alter)
}

/// Its settings may not be looked at.
pub fn unexplained(topic: &str) -> LogError {
    of_topic(topic, Operation::DescribeConfigs)
}

pub fn unreadable(topic: &str) -> LogError {
    of_topic(topic, Operation::Read)
}

pub fn unwritable(topic: &str) -> LogError {
    of_topic(topic, Operation::Write)
}

fn of_topic(topic: &str, operation: Operation) -> LogError {
    let right = Right { resource: Resource::Topic(topic.to_owned()), operations: vec![operation] };
    let (what, message) = in_words(&right);
    LogError::Refused { what, message }
}

/// What one of them is about, and what to say of it.
pub fn in_words(missing: &Right) -> (String, String) {
    let creates = |operation: &Operation| matches!(operation, Operation::Create | Operation::Alter);
    let instead = match missing.operations.iter().any(creates) {
        true => ", or set topics.create to false where somebody else makes the topics",
        false => "",
    };
    let how = format!("grant it (`tailburn topics --acls` prints the commands){instead}");
    let operations = names(missing);
    let rights = if missing.operations.len() == 1 { "right" } else { "rights" };
    let message = match &missing.resource {
        Resource::Topic(_) => format!("this principal lacks the {rights} {operations} on this topic: {how}"),
        Resource::Group(_) => format!("this principal lacks the {rights} {operations} on this consumer group: {how}"),
        Resource::TransactionalIds(_) => {
            format!("this principal lacks the {rights} {operations} on transactional ids that begin so: {how}")
        }
    };
    (about(missing), message)
}

fn names(right: &Right) -> String {
    let names: Vec<&str> = right.operations.iter().map(|operation| operation.name()).collect();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        _ => names.concat(),
    }
}

fn about(right: &Right) -> String {
    match &right.resource {
        Resource::Topic(name) => name.clone(),
        Resource::Group(name) => format!("group {name}"),
        Resource::TransactionalIds(prefix) => format!("transactional ids {prefix}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Listener, StartFrom};
    use super::*;
    use crate::log::TopicId;
    use rdkafka::error::RDKafkaErrorCode;

    fn settings(makes_topics: bool) -> KafkaSettings {
        KafkaSettings {
            properties: BTreeMap::new(),
            group_id: "app".to_owned(),
            transactional_id: "app-1-0".to_owned(),
            input_topics: vec!["orders".to_owned()],
            prefix: "p.".to_owned(),
            start_from: StartFrom::Earliest,
            keyed_by_user: false,
            makes_topics,
            listener: Listener::default(),
        }
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
    fn what_is_needed_depends_on_whose_topic_it_is_and_who_makes_it() {
        let makes = needed(&settings(true));
        assert_eq!(on(&makes, "orders"), ["Read"]);
        assert_eq!(on(&makes, "p.slo-status"), ["Write", "DescribeConfigs", "Create"]);
        assert_eq!(on(&makes, "p.dead-letters"), ["Write", "DescribeConfigs", "Create", "Alter"]);
        let changelog = "p.internal.app.changelog";
        assert_eq!(on(&makes, changelog), ["Write", "DescribeConfigs", "Read", "Delete", "Create"]);
        assert_eq!(on(&needed(&settings(false)), changelog), ["Write", "DescribeConfigs", "Read", "Delete"]);
        let others = &makes[makes.len() - 2..];
        assert_eq!(others[0].resource, Resource::Group("app".to_owned()));
        assert_eq!(others[1].resource, Resource::TransactionalIds("app-".to_owned()));
    }

    #[test]
    fn each_right_that_brokers_do_not_grant_is_named() {
        use Operation::{Create, DescribeConfigs, Write};
        let none = Operations::of(std::iter::empty());
        assert_eq!(missing(allowing(&[Write, DescribeConfigs, Create]), none), []);
        assert_eq!(missing(allowing(&[Write, DescribeConfigs]), none)[0].operations, [Create]);
        let creates = Operations::of(std::iter::once(Create.bit().trailing_zeros()));
        assert_eq!(missing(allowing(&[Write, DescribeConfigs]), creates), [], "who may create any topic");
        let refused = missing(Described::Refused(RDKafkaErrorCode::TopicAuthorizationFailed), none);
        assert_eq!(refused[0].operations, [Write], "whoever may write may look at it");
        let text = super::refused(&refused).map(|error| error.to_string()).unwrap_or_default();
        assert!(text.starts_with("p.slo-status: this principal lacks the right Write"), "{text}");
        let text = names(&Right { operations: vec![Write, Create, DescribeConfigs], ..refused[0].clone() });
        assert_eq!(text, "Write, Create and DescribeConfigs");
    }

    #[test]
    fn brokers_that_do_not_say_and_topics_that_are_not_there_forbid_nothing() {
        let unknown = Described::There { id: TopicId::UNKNOWN, partitions: 1, operations: Operations::UNKNOWN };
        assert_eq!(missing(unknown, Operations::UNKNOWN), []);
        assert_eq!(missing(Described::Absent, Operations::UNKNOWN), []);
    }
}
