//! Reads some of our output topics as a member of a group, for those who tell others of them.
//!
//! Offsets are committed with a text of the reader's, outside of any transaction: what it does with a record cannot be
//! taken back. Where a partition is read from is the reader's to say, from both.

use super::client_config;
use super::errors::{broken, invalid_properties};
use super::fetch::Fetcher;
use super::group::{GroupContext, RebalanceEvent, is_member};
use super::message::partition_error;
use super::refusal;
use super::retry::{REQUEST_TIMEOUT, retry};
use super::settings::KafkaSettings;
use crate::log::{Committed, LogError, NextOffset};
use crate::model::record::{RecordIn, Topic};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::Duration;

const LOST_START: &str = "Start again: it then begins with the oldest record that is there";

/// A partition of a topic that is ours from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub topic: Topic,
    pub partition: u32,
    /// `None`: the group has read nothing of it yet.
    pub committed: Option<Committed>,
}

/// What the group decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewsEvent {
    Taken(Vec<Taken>),
    Lost(Vec<(Topic, u32)>),
}

pub struct NewsReader {
    fetcher: Fetcher,
    topics: BTreeMap<String, Topic>,
    settings: KafkaSettings,
}

impl NewsReader {
    pub fn join(settings: &KafkaSettings, topics: &[Topic]) -> Result<NewsReader, LogError> {
        settings.validate()?;
        let context = GroupContext::new(settings.listener.clone());
        let consumer: BaseConsumer<GroupContext> =
            client_config::consumer(settings).create_with_context(context).map_err(|e| invalid_properties(&e))?;
        let topics: BTreeMap<String, Topic> =
            topics.iter().map(|topic| (settings.topic_name(*topic), *topic)).collect();
        let names: Vec<&str> = topics.keys().map(String::as_str).collect();
        consumer.subscribe(&names).map_err(|e| broken("subscribe", &e))?;
        Ok(NewsReader { fetcher: Fetcher::new(consumer)?, topics, settings: settings.clone() })
    }

    /// Passes on records, up to a batch, and waits up to `wait` if there are none. `start` says from where a partition is
    /// read that the group gives us; what was taken or lost is returned before its records.
    pub fn poll(
        &mut self,
        wait: Duration,
        start: &dyn Fn(&Taken) -> Option<NextOffset>,
        each: &mut dyn FnMut(Topic, &RecordIn<'_>),
    ) -> Result<Vec<NewsEvent>, LogError> {
        if let Some(Err(error)) = self.fetcher.consumer()?.poll(Duration::ZERO) {
            if let Some(refused) = refusal::of_code(&self.settings, error.rdkafka_error_code()) {
                return Err(refused);
            }
            tracing::debug!(target: "tailburn::kafka", %error, "the reader of news reports");
        }
        let received = self.fetcher.consumer()?.context().take();
        let mut events = Vec::with_capacity(received.len());
        for event in received {
            events.push(match event {
                RebalanceEvent::Assigned(partitions) => NewsEvent::Taken(self.take_over(&partitions, start)?),
                RebalanceEvent::Revoked(partitions) | RebalanceEvent::Lost(partitions) => {
                    NewsEvent::Lost(self.give_up(&partitions)?)
                }
            });
        }
        if !events.is_empty() {
            return Ok(events);
        }
        let NewsReader { fetcher, topics, .. } = self;
        let mut failed = None;
        fetcher.take(wait, |message| match message.error() {
            None => {
                if let Some(topic) = topics.get(message.topic()) {
                    each(*topic, &message.record());
                }
            }
            Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF) => {}
            Some(code) => failed = failed.take().or_else(|| partition_error(code, message, LOST_START)),
        })?;
        failed.map_or_else(|| Ok(Vec::new()), Err)
    }

    fn take_over(
        &mut self,
        partitions: &[(String, i32)],
        start: &dyn Fn(&Taken) -> Option<NextOffset>,
    ) -> Result<Vec<Taken>, LogError> {
        let mut taken = Vec::with_capacity(partitions.len());
        let mut list = TopicPartitionList::new();
        if !partitions.is_empty() {
            let committed = self.committed(partitions)?;
            for element in committed.elements() {
                element.error().map_err(|e| broken("find the committed offsets", &e))?;
                let Some(topic) = self.topics.get(element.topic()) else { continue };
                let partition = u32::try_from(element.partition()).unwrap_or(0);
                let committed = match element.offset() {
                    Offset::Offset(next) => {
                        Some(Committed { next: NextOffset(next), metadata: element.metadata().to_owned() })
                    }
                    _ => None,
                };
                let one = Taken { topic: *topic, partition, committed };
                let from = self.start_of(element.topic(), element.partition(), start(&one))?;
                list.add_partition_offset(element.topic(), element.partition(), from)
                    .map_err(|e| broken("set an offset", &e))?;
                taken.push(one);
            }
        }
        for element in list.elements() {
            self.fetcher.forward(element.topic(), element.partition())?;
        }
        self.fetcher.consumer()?.incremental_assign(&list).map_err(|e| broken("assign partitions", &e))?;
        Ok(taken)
    }

    /// Not before the first record that is left: what is older is gone, and so is what it was about.
    fn start_of(&self, topic: &str, partition: i32, wanted: Option<NextOffset>) -> Result<Offset, LogError> {
        let Some(NextOffset(wanted)) = wanted else { return Ok(Offset::Beginning) };
        let consumer = self.fetcher.consumer()?;
        let (first, end) = retry(&self.settings, "find the ends of a partition", || {
            Ok(consumer.fetch_watermarks(topic, partition, REQUEST_TIMEOUT)?)
        })?;
        // Behind the end: the topic was made anew.
        Ok(if wanted > end { Offset::Beginning } else { Offset::Offset(wanted.max(first)) })
    }

    fn committed(&self, partitions: &[(String, i32)]) -> Result<TopicPartitionList, LogError> {
        let consumer = self.fetcher.consumer()?;
        retry(&self.settings, "find the committed offsets", || {
            Ok(consumer.committed_offsets(list_of(partitions), REQUEST_TIMEOUT)?)
        })
    }

    fn give_up(&mut self, partitions: &[(String, i32)]) -> Result<Vec<(Topic, u32)>, LogError> {
        partitions.iter().for_each(|(topic, partition)| self.fetcher.forget(topic, *partition));
        let list = list_of(partitions);
        self.fetcher.consumer()?.incremental_unassign(&list).map_err(|e| broken("unassign partitions", &e))?;
        let of = |(topic, partition): &(String, i32)| Some((*self.topics.get(topic)?, u32::try_from(*partition).ok()?));
        Ok(partitions.iter().filter_map(of).collect())
    }

    /// `false`: the group has changed, and nothing was committed; its next event says what is ours.
    pub fn commit(&mut self, offsets: &[(Topic, u32, Committed)]) -> Result<bool, LogError> {
        let consumer = self.fetcher.consumer()?;
        if offsets.is_empty() || !is_member(consumer) {
            return Ok(false);
        }
        let mut list = TopicPartitionList::new();
        for (topic, partition, committed) in offsets {
            let name = self.settings.topic_name(*topic);
            let mut element = list.add_partition(&name, i32::try_from(*partition).unwrap_or(i32::MAX));
            element.set_offset(Offset::Offset(committed.next.0)).map_err(|e| broken("set an offset", &e))?;
            element.set_metadata(&committed.metadata);
        }
        match consumer.commit(&list, CommitMode::Sync) {
            Ok(()) => Ok(true),
            Err(error) => {
                tracing::warn!(target: "tailburn::kafka", %error, "offsets are not committed; it is tried again");
                Ok(false)
            }
        }
    }

    /// Leaves the group.
    pub fn leave(mut self) {
        self.fetcher.close();
    }
}

fn list_of(partitions: &[(String, i32)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (topic, partition) in partitions {
        list.add_partition(topic, *partition);
    }
    list
}
