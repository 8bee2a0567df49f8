//! Gives every input partition its number before it is read.
//!
//! Missing numbers are claimed in a transaction and read back from the topic of the sources. The claim that comes first
//! in the topic counts, for all instances ([`crate::log::numbering`]).

use super::errors::keyed_and_grown;
use super::log_ends::Ends;
use super::native::describe_topics::Described;
use super::publish::Publisher;
use super::retry::{REQUEST_TIMEOUT, retry};
use super::settings::KafkaSettings;
use super::streams::{OpenedTopics, Streams};
use super::topics::admin::TopicAdmin;
use super::{rights, sources};
use crate::log::numbering::{Claim, InputPartition, Numbering, Unnumbered};
use crate::log::{CommitOutcome, LogError, START_OVER};
use crate::model::record::Topic;
use std::time::{Duration, Instant};

/// Other instances may claim at the same moment, and each of them may win once.
const ROUNDS: u32 = 100;
/// A broker may not know yet of partitions that another instance has already claimed.
const METADATA_DELAY: Duration = Duration::from_secs(10);

/// The streams of a log, with a number for every input partition that is there now.
pub fn agreed(
    admin: &TopicAdmin,
    settings: &KafkaSettings,
    publisher: &mut Publisher,
    ends: &Ends,
) -> Result<Streams, LogError> {
    let deadline = Instant::now() + METADATA_DELAY;
    let mut round = 0;
    loop {
        let topics = open_topics(admin, settings)?;
        let numbering = claimed(settings, ends)?;
        let present: Vec<(String, u32)> = settings.input_topics.iter().map(|name| counted(&topics, name)).collect();
        let missing = match numbering.to_claim(&present) {
            Ok(missing) => missing,
            Err(Unnumbered::Left(of)) if Instant::now() < deadline && settings.input_topics.contains(&of.topic) => {
                std::thread::sleep(Duration::from_millis(200));
                continue;
            }
            Err(why) => return Err(unnumbered(&why, settings)),
        };
        let wanted = numbering.claimed().iter().chain(&missing).cloned().collect();
        let streams = streams(settings, wanted, topics)?;
        if missing.is_empty() {
            return Ok(streams);
        }
        round += 1;
        if round > ROUNDS {
            return Err(LogError::Broken(
                "other instances claimed the numbers of the input partitions first, 100 times in a row".to_owned(),
            ));
        }
        for claim in &missing {
            publisher.send(&claim.to_record(&settings.transactional_id))?;
        }
        if publisher.commit_alone()? == CommitOutcome::Committed {
            tracing::debug!(target: "tailburn::kafka", partitions = missing.len(), "claimed numbers for the input");
        }
    }
}

/// The topics that a log reads, as they are now.
pub fn open_topics(admin: &TopicAdmin, settings: &KafkaSettings) -> Result<OpenedTopics, LogError> {
    let internal = Topic::INTERNAL.into_iter();
    let internal = internal.filter(|topic| *topic != Topic::Repartition || !settings.keyed_by_user);
    let names = settings.input_topics.iter().cloned().chain(internal.map(|topic| settings.topic_name(topic)));
    let names: Vec<String> = names.collect();
    let found = admin.describe_all(&names)?;
    let opened = |name: String| match found.get(&name) {
        Some(Described::There { id, partitions, .. }) => Ok((name, (*id, *partitions))),
        Some(Described::Refused(code)) => Err(rights::cannot_describe(settings, &name, *code)),
        Some(Described::Absent) | None => Err(admin.no_such_topic(&name)),
    };
    names.into_iter().map(opened).collect()
}

/// The streams of a log, from the topics as they are now and the numbers of the input's partitions.
fn streams(settings: &KafkaSettings, numbered: Vec<Claim>, topics: OpenedTopics) -> Result<Streams, LogError> {
    let ours = |topic: Topic| counted(&topics, &settings.topic_name(topic));
    let repartition = (!settings.keyed_by_user).then(|| ours(Topic::Repartition));
    let (sources, _) = ours(Topic::Sources);
    let streams = Streams::new(&settings.input_topics, numbered, repartition, ours(Topic::Partials), sources);
    let (changelog, found) = ours(Topic::Changelog);
    let wanted = streams.users_partitions() + streams.partials_partitions();
    if found != wanted {
        return Err(wrong_count(settings, changelog, found, wanted));
    }
    Ok(streams.with_topics(topics))
}

fn wrong_count(settings: &KafkaSettings, changelog: String, found: u32, wanted: u32) -> LogError {
    let why = if settings.keyed_by_user {
        format!("if the input's number of partitions changed: {}", keyed_and_grown())
    } else {
        "partition counts cannot be changed".to_owned()
    };
    let message = format!(
        "has {found} partitions, not {wanted} (one for each users task and one for each rollup task): tasks would find one \
         another's state; {why}. {START_OVER}"
    );
    LogError::Refused { what: changelog, message }
}

fn counted(topics: &OpenedTopics, name: &str) -> (String, u32) {
    (name.to_owned(), topics.get(name).map_or(0, |(_, partitions)| *partitions))
}

/// All claims so far.
fn claimed(settings: &KafkaSettings, ends: &Ends) -> Result<Numbering, LogError> {
    let topic = settings.topic_name(Topic::Sources);
    let range = retry(settings, "find the end of the sources", || Ok(ends.of(&topic, 0, REQUEST_TIMEOUT)?))?;
    let mut numbering = Numbering::default();
    let is_read = sources::read_range(settings, &topic, range, &mut |record| {
        numbering.apply(record.key.unwrap_or_default(), record.value);
    })?;
    if is_read { Ok(numbering) } else { Err(sources::unread()) }
}

fn unnumbered(why: &Unnumbered, settings: &KafkaSettings) -> LogError {
    let (what, message) = match why {
        Unnumbered::Left(InputPartition { topic, partition }) if settings.input_topics.contains(topic) => (
            topic.as_str(),
            format!(
                "partition {partition} is gone, so the topic was deleted and created again: the stored offsets belong to the \
                 old topic. {START_OVER}"
            ),
        ),
        Unnumbered::Left(InputPartition { topic, .. }) => (
            "input.topics",
            format!(
                "{topic} was in this list when the application last ran, and is missing now. Put it back (a topic without \
                 new records delays nothing). If you want to stop reading it: {START_OVER}"
            ),
        ),
        Unnumbered::Ambiguous => (
            "input.topics",
            format!(
                "the state was written by an older build, which numbered the input partitions by their order, and not all \
                 numbers are stored. Restore the old input.topics and run that build until it has read from every \
                 partition; then start this one. If that is not possible: {START_OVER}"
            ),
        ),
    };
    LogError::Refused { what: what.to_owned(), message }
}
