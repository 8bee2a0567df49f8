//! The topics that tailburn writes, as they should be.

use crate::log::kafka::settings::{KafkaSettings, LARGEST_BYTES};
use crate::model::record::Topic;
use crate::model::time::{DAY_MS, Ms};

/// What happens to old records. A record's age counts from when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// The latest record of each key stays.
    Compact,
    /// Records are deleted after the retention. `None`: the brokers' default.
    Delete { retention_ms: Option<Ms> },
}

/// A topic as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPlan {
    pub name: String,
    pub partitions: u32,
    pub cleanup: Cleanup,
    /// Which of our own topics it is, if it is one. The brokers stamp the records of our topics, so that retention and
    /// the limits on timestamps look at when a record was written, not at the time it is about. And our topics take
    /// records as large as we write them: one key's part of a boundary, a dead letter as it came.
    pub ours: Option<Topic>,
}

/// The numbers of partitions that all others follow from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionCounts {
    /// Of all input topics together.
    pub input: u32,
    /// Users tasks. Unused if the inputs are keyed by user: then there is one for each input partition.
    pub users: u32,
    /// Rollup tasks.
    pub rollup: u32,
}

/// All topics that tailburn writes.
pub fn plan(settings: &KafkaSettings, counts: PartitionCounts) -> Vec<TopicPlan> {
    let internal = Topic::INTERNAL.into_iter();
    let internal = internal.filter(|topic| *topic != Topic::Repartition || !settings.keyed_by_user);
    let users = if settings.keyed_by_user { counts.input } else { counts.users };
    let applied = settings.controls_definitions.then_some(Topic::Definitions);
    let all = Topic::OUTPUTS.into_iter().chain(internal).chain(applied);
    all.map(|topic| TopicPlan {
        name: settings.topic_name(topic),
        partitions: partitions(topic, PartitionCounts { users, ..counts }),
        cleanup: cleanup(topic),
        ours: Some(topic),
    })
    .collect()
}

/// The topic that `silence` writes and `notify` reads. `run` needs none.
pub fn silences(settings: &KafkaSettings) -> TopicPlan {
    written_by_people(settings, Topic::Silences)
}

/// The topic that `apply` writes; `run` compares its definitions to it.
pub fn definitions(settings: &KafkaSettings) -> TopicPlan {
    written_by_people(settings, Topic::Definitions)
}

fn written_by_people(settings: &KafkaSettings, topic: Topic) -> TopicPlan {
    TopicPlan { name: settings.topic_name(topic), partitions: 1, cleanup: cleanup(topic), ours: Some(topic) }
}

/// One partition for each task that writes or reads it.
fn partitions(topic: Topic, counts: PartitionCounts) -> u32 {
    match topic {
        Topic::DeadLetters => counts.input,
        Topic::Repartition => counts.users,
        // The users tasks come first: rollup task r writes partition users + r.
        Topic::Changelog => counts.users + counts.rollup,
        Topic::Sources | Topic::Silences | Topic::Definitions => 1,
        _ => counts.rollup,
    }
}

fn cleanup(topic: Topic) -> Cleanup {
    let after = |days: Ms| Cleanup::Delete { retention_ms: Some(days * DAY_MS) };
    match topic {
        Topic::SloStatus | Topic::UserStatus | Topic::Changelog | Topic::Sources => Cleanup::Compact,
        Topic::Silences | Topic::Definitions => Cleanup::Compact,
        Topic::SloHistory | Topic::BurnAlerts | Topic::TailCohorts | Topic::CanaryVerdicts => after(400),
        // Records that were read are purged. The retention is for unread ones: so long may all instances be stopped.
        Topic::Repartition | Topic::Partials => after(7),
        // A person needs time to find them, fix their writer, and perhaps send them again.
        Topic::DeadLetters => after(30),
    }
}

/// The settings of a topic that tailburn depends on.
pub(super) fn configuration(plan: &TopicPlan) -> Vec<(&'static str, String)> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: PartitionCounts = PartitionCounts { input: 3, users: 5, rollup: 2 };

    fn settings(keyed_by_user: bool) -> KafkaSettings {
        KafkaSettings { keyed_by_user, ..KafkaSettings::for_tests(&[]) }
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

    #[test]
    fn what_was_applied_has_one_partition_and_is_there_only_where_it_is_asked_for() {
        let settings = KafkaSettings { controls_definitions: true, ..settings(false) };
        let plans = plan(&settings, COUNTS);
        let last = plans.last().map(|plan| (plan.name.as_str(), plan.partitions, plan.cleanup));
        assert_eq!(last, Some(("p.definitions", 1, Cleanup::Compact)));
        assert_eq!(plans.last(), Some(&definitions(&settings)));
        assert!(!planned(false).iter().any(|(name, ..)| name == "p.definitions"));
    }

    /// So that retention and the brokers' limits on timestamps look at when a record was written.
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
