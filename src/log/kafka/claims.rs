//! Gives every input partition its number before anything of it is read.
//!
//! Numbers that are missing are claimed in a transaction, and read back from the topic of the sources: what
//! stands there first counts, for all instances alike ([`crate::log::numbering`]).

use super::publish::Publisher;
use super::reader::{self, Ends};
use super::topics::TopicAdmin;
use super::watch::Expected;
use super::{KafkaSettings, REQUEST, Streams, repeated, unread_sources};
use crate::log::numbering::{InputPartition, Numbering, Unnumbered};
use crate::log::{BEGIN_ANEW, CommitOutcome, LogError};
use crate::model::record::Topic;
use std::time::{Duration, Instant};

/// Others may claim at the same moment, and each of them wins once.
const ROUNDS: u32 = 100;
/// A broker may learn late of partitions that another instance has seen.
const LATE: Duration = Duration::from_secs(10);

/// The streams of a log, with a number for every input partition that is there now.
pub fn agreed(
    admin: &TopicAdmin,
    settings: &KafkaSettings,
    publisher: &mut Publisher,
    ends: &Ends,
) -> Result<Streams, LogError> {
    let late = Instant::now() + LATE;
    let mut round = 0;
    loop {
        let topics = admin.identify(settings)?;
        let numbering = claimed(settings, ends)?;
        let present: Vec<(String, u32)> = settings.input_topics.iter().map(|name| counted(&topics, name)).collect();
        let missing = match numbering.to_claim(&present) {
            Ok(missing) => missing,
            Err(Unnumbered::Left(of)) if Instant::now() < late && settings.input_topics.contains(&of.topic) => {
                std::thread::sleep(Duration::from_millis(200));
                continue;
            }
            Err(why) => return Err(unnumbered(&why, settings)),
        };
        let wanted = numbering.claimed().iter().chain(&missing).cloned().collect();
        let streams = admin.streams(settings, wanted, topics)?;
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

fn counted(topics: &Expected, name: &str) -> (String, u32) {
    (name.to_owned(), topics.get(name).map_or(0, |(_, partitions)| *partitions))
}

/// All that is claimed so far.
fn claimed(settings: &KafkaSettings, ends: &Ends) -> Result<Numbering, LogError> {
    let topic = settings.topic_name(Topic::Sources);
    let range = repeated(settings, "look the end of the sources up", || Ok(ends.of(&topic, 0, REQUEST)?))?;
    let mut numbering = Numbering::default();
    let is_read = reader::read_range(settings, &topic, range, &mut |record| {
        numbering.hear(record.key.unwrap_or_default(), record.value);
    })?;
    if is_read { Ok(numbering) } else { Err(unread_sources()) }
}

fn unnumbered(why: &Unnumbered, settings: &KafkaSettings) -> LogError {
    let (what, message) = match why {
        Unnumbered::Left(InputPartition { topic, partition }) if settings.input_topics.contains(topic) => (
            topic.as_str(),
            format!(
                "partition {partition} is gone, so the topic was deleted and created again: the stored offsets are those \
                 of the old one. {BEGIN_ANEW}"
            ),
        ),
        Unnumbered::Left(InputPartition { topic, .. }) => (
            "input.topics",
            format!(
                "{topic} was in this list when the application last ran, and is missing now. Put it back (a topic without \
                 new records holds nothing up). If you want to stop reading it: {BEGIN_ANEW}"
            ),
        ),
        Unnumbered::Ambiguous => (
            "input.topics",
            format!(
                "the state is of an older build, which numbered the input partitions by their order, and its notes do not \
                 tell all numbers. Put input.topics back as they were and run that build until it has read from every \
                 partition; then start this one. If that is not possible: {BEGIN_ANEW}"
            ),
        ),
    };
    LogError::Refused { what: what.to_owned(), message }
}
