//! How topics that exist compare to their plans. It changes nothing: a difference is named, and a person decides.

use super::plan::{TopicPlan, configuration};
use crate::model::record::Topic;
use std::collections::BTreeMap;

/// How a topic compares to its plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicState {
    Missing,
    AsPlanned,
    /// All differences.
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

/// One way in which a topic is not as planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub what: String,
    /// tailburn cannot keep its promises with this difference.
    pub breaks_promise: bool,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

/// Compares a topic that has `partitions` partitions and these settings.
pub(super) fn compare(plan: &TopicPlan, partitions: u32, found: &BTreeMap<String, String>) -> TopicState {
    let mut differences: Vec<Difference> = wrong_count(plan, partitions).into_iter().collect();
    for (name, wanted) in configuration(plan) {
        let value = found.get(name).map_or("", String::as_str);
        if value != wanted {
            let what = format!("has {name}={value}, not {wanted}{}", consequence(name, found));
            differences.push(Difference { what, breaks_promise: name == "cleanup.policy" });
        }
    }
    if differences.is_empty() { TopicState::AsPlanned } else { TopicState::Differs(differences) }
}

/// An additional partition stays empty, but records for a missing one have no place. (The counts of the internal topics
/// are checked when the log is opened.)
fn wrong_count(plan: &TopicPlan, partitions: u32) -> Option<Difference> {
    let is_output = plan.ours.is_some_and(|topic| Topic::OUTPUTS.contains(&topic));
    let of = if plan.ours == Some(Topic::DeadLetters) { "the input" } else { "partitions.rollup" };
    (partitions != plan.partitions).then(|| Difference {
        what: format!("has {partitions} partitions, not {} (one for each of {of})", plan.partitions),
        breaks_promise: is_output && partitions < plan.partitions,
    })
}

/// What an unplanned value of a setting leads to.
fn consequence(name: &str, found: &BTreeMap<String, String>) -> String {
    let limit = |name: &str| format!("{name}={}", found.get(name).map_or("?", String::as_str));
    match name {
        "message.timestamp.type" => format!(
            " (then {}, {} and retention look at the producer's clock)",
            limit("message.timestamp.before.max.ms"),
            limit("message.timestamp.after.max.ms")
        ),
        "max.message.bytes" => " (a larger record ends `run`)".to_owned(),
        "min.compaction.lag.ms" => " (old values stay for so long, and restoring state reads them all)".to_owned(),
        _ => String::new(),
    }
}
