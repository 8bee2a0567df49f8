//! This worker's membership in the consumer group: it acts on rebalances, fetches records, and moves, pauses and resumes
//! partitions.

use super::assignment::{Assigned, AssignmentChange};
use super::client_config;
use super::dispatch::Dispatch;
use super::errors::{broken, invalid_properties};
use super::fetch::Fetcher;
use super::group::{GroupContext, RebalanceEvent};
use super::refusal;
use super::retry::{REQUEST_TIMEOUT, RETRY_TIMEOUT};
use super::seen_end;
use super::settings::KafkaSettings;
use super::start_offsets::Lookup;
use super::streams::Streams;
use crate::log::{LogError, LogEvent, NextOffset, Stream};
use crate::model::record::RecordIn;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// One request for the end of a partition. If it fails, a later call asks again.
const END_TIMEOUT: Duration = Duration::from_secs(1);

pub struct GroupConsumer {
    fetcher: Fetcher,
    streams: Streams,
    settings: KafkaSettings,
    assigned: Assigned,
    /// Brokers were out of reach since the ends were last asked for.
    disturbed: bool,
}

impl GroupConsumer {
    pub fn join(settings: &KafkaSettings, streams: Streams) -> Result<GroupConsumer, LogError> {
        let consumer: BaseConsumer<GroupContext> = client_config::consumer(settings)
            .create_with_context(GroupContext::new(settings.listener.clone()))
            .map_err(|e| invalid_properties(&e))?;
        let names: Vec<&str> = streams.shared_topics().collect();
        consumer.subscribe(&names).map_err(|e| broken("subscribe", &e))?;
        let fetcher = Fetcher::new(consumer)?;
        Ok(GroupConsumer {
            fetcher,
            streams,
            settings: settings.clone(),
            assigned: Assigned::default(),
            disturbed: false,
        })
    }

    pub fn streams(&self) -> &Streams {
        &self.streams
    }

    pub fn client(&self) -> Result<&BaseConsumer<GroupContext>, LogError> {
        self.fetcher.consumer()
    }

    pub fn assigned(&mut self) -> &mut Assigned {
        &mut self.assigned
    }

    /// Lets librdkafka do its work. Its rebalance events are stored for [`GroupConsumer::rebalance`].
    pub fn poll(&mut self) -> Result<(), LogError> {
        let consumer = self.fetcher.consumer()?;
        match consumer.poll(Duration::ZERO) {
            None => {}
            Some(Ok(_)) => return Err(LogError::Broken("a record came outside of its queue".to_owned())),
            Some(Err(error)) => {
                if let Some(refused) = refusal::of_code(&self.settings, error.rdkafka_error_code()) {
                    return Err(refused);
                }
                check_fatal(consumer, &error)?;
                self.disturbed = true;
            }
        }
        Ok(())
    }

    /// Tells the worker about the rebalances since the last call.
    pub fn rebalance(&mut self) -> Result<Vec<LogEvent>, LogError> {
        let received = self.fetcher.consumer()?.context().take();
        let mut events = Vec::new();
        for event in received {
            events.extend(self.receive(event)?);
        }
        Ok(events)
    }

    fn receive(&mut self, event: RebalanceEvent) -> Result<Option<LogEvent>, LogError> {
        // If the group sends another event before we acted on the last one, it has expelled us. The last one still has
        // to be carried out.
        self.apply_change()?;
        match event {
            RebalanceEvent::Assigned(partitions) => {
                let lookup =
                    Lookup { consumer: self.fetcher.consumer()?, streams: &self.streams, settings: &self.settings };
                let assigned = lookup.assignments(&partitions)?;
                self.assigned.add(assigned.iter().map(|a| (a.stream, a.next)).collect());
                Ok(Some(if assigned.is_empty() { LogEvent::Joined } else { LogEvent::Assigned(assigned) }))
            }
            RebalanceEvent::Revoked(partitions) => {
                let streams = self.streams.streams_of(&partitions)?;
                self.assigned.revoke(streams.clone());
                Ok((!streams.is_empty()).then_some(LogEvent::Revoked(streams)))
            }
            RebalanceEvent::Lost(partitions) => {
                let streams = self.streams.streams_of(&partitions)?;
                self.assigned.revoke(streams.clone());
                self.apply_change()?;
                // A worker that owned nothing is told nothing.
                Ok((!streams.is_empty()).then_some(LogEvent::Lost(streams)))
            }
        }
    }

    /// Assigns or unassigns the partitions that the group waits for.
    pub fn apply_change(&mut self) -> Result<(), LogError> {
        match self.assigned.take_change() {
            None => Ok(()),
            Some(AssignmentChange::Assign(starts)) => {
                self.start(&starts)?;
                self.seek_again(|stream| !starts.contains_key(&stream))
            }
            Some(AssignmentChange::Unassign { streams, paused }) => {
                // librdkafka remembers a pause after the partition is unassigned: it would be silent when it comes back.
                let paused = self.streams.list(paused)?;
                self.client()?.resume(&paused).map_err(|e| broken("resume", &e))?;
                let list = self.streams.list(streams)?;
                for element in list.elements() {
                    self.fetcher.forget(element.topic(), element.partition());
                }
                self.client()?.incremental_unassign(&list).map_err(|e| broken("unassign partitions", &e))?;
                self.seek_again(|_| true)
            }
        }
    }

    /// Starts to fetch partitions.
    fn start(&mut self, starts: &BTreeMap<Stream, NextOffset>) -> Result<(), LogError> {
        let list = self.streams.list_at(starts.iter().map(|(stream, next)| (*stream, *next)))?;
        for element in list.elements() {
            self.fetcher.forward(element.topic(), element.partition())?;
        }
        self.client()?.incremental_assign(&list).map_err(|e| broken("assign partitions", &e))
    }

    /// Repeats the offsets at which to continue.
    ///
    /// librdkafka pauses partitions while the group changes, and continues after the records that it believes were
    /// taken. Except at the end of a transaction, it also believes that of records that it dropped because they were
    /// fetched before the pause (`rd_kafka_op_handle_std` does not look at versions, and `rd_kafka_toppar_pause_resume`
    /// trusts it). No record is passed on between its continuing and this seek.
    fn seek_again(&self, is_concerned: impl Fn(Stream) -> bool) -> Result<(), LogError> {
        let concerned = self.assigned.fetched().filter(|(stream, _)| is_concerned(*stream));
        concerned.into_iter().try_for_each(|(stream, next)| self.seek_fetched(stream, next))
    }

    fn seek_fetched(&self, stream: Stream, next: NextOffset) -> Result<(), LogError> {
        let consumer = self.client()?;
        let deadline = Instant::now() + RETRY_TIMEOUT;
        loop {
            let outcome = consumer
                .seek_partitions(self.streams.list_at([(stream, next)])?, REQUEST_TIMEOUT)
                .and_then(|list| list.elements().iter().try_for_each(|element| element.error()));
            match outcome {
                Ok(()) => return Ok(()),
                // The partition was assigned a moment ago, and librdkafka has not started to fetch it.
                Err(_) if Instant::now() < deadline && !consumer.assignment_lost() => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(broken("seek", &error)),
            }
        }
    }

    /// Passes on a batch of records, and waits up to `wait` if there is none. Returns how many messages came, and the
    /// ends that were reached.
    pub fn take(
        &mut self,
        wait: Duration,
        each: &mut dyn FnMut(Stream, &RecordIn<'_>),
    ) -> Result<(usize, Vec<LogEvent>), LogError> {
        let mut batch = Dispatch::new(&self.streams, self.assigned.positions_mut(), each);
        let count = self.fetcher.take(wait, |message| batch.pass(message))?;
        Ok((count, batch.finish()?))
    }

    pub fn seek(&mut self, stream: Stream, next: NextOffset) -> Result<(), LogError> {
        if !self.assigned.move_start(stream, next) {
            self.seek_fetched(stream, next)?;
        }
        self.assigned.set_next(stream, next);
        Ok(())
    }

    /// Back to the committed offsets.
    pub fn rewind(&mut self) -> Result<(), LogError> {
        self.assigned.committed().into_iter().try_for_each(|(stream, next)| self.seek(stream, next))
    }

    pub fn pause(&mut self, streams: &[Stream]) -> Result<(), LogError> {
        let fetched = self.assigned.pause(streams);
        self.client()?.pause(&self.streams.list(fetched)?).map_err(|e| broken("pause", &e))
    }

    pub fn resume(&mut self, streams: &[Stream]) -> Result<(), LogError> {
        let fetched = self.assigned.resume(streams);
        let list = self.streams.list(fetched.iter().copied())?;
        self.client()?.resume(&list).map_err(|e| broken("resume", &e))?;
        self.seek_again(|stream| fetched.contains(&stream))?;
        let starts = self.assigned.take_deferred(streams);
        if starts.is_empty() { Ok(()) } else { self.start(&starts) }
    }

    /// `None`: nothing of the partition was fetched yet.
    pub fn last_seen_end(&self, stream: Stream) -> Option<NextOffset> {
        let (topic, partition) = self.streams.source(stream)?;
        seen_end::last_seen_end(self.client().ok()?, topic, partition)
    }

    /// Where the partitions of these streams end now. `None`: brokers are or were out of reach.
    pub fn ends(&mut self, streams: &[Stream]) -> Result<Option<Vec<NextOffset>>, LogError> {
        let mut ends = Vec::with_capacity(streams.len());
        for stream in streams {
            let (topic, partition) = self.streams.partition_of(*stream)?;
            match self.client()?.fetch_watermarks(topic, partition, END_TIMEOUT) {
                Ok((_, end)) => ends.push(NextOffset(end)),
                Err(error) => {
                    tracing::warn!(target: "tailburn::kafka", topic, partition, %error, "the end of the partition cannot be found");
                    self.disturbed = true;
                    return Ok(None);
                }
            }
        }
        let was_disturbed = std::mem::take(&mut self.disturbed);
        Ok((!was_disturbed).then_some(ends))
    }

    /// Carries out what the group waits for, and leaves it.
    pub fn leave(&mut self) {
        if let Err(error) = self.apply_change() {
            tracing::debug!(target: "tailburn::kafka", %error, "the last rebalance could not be carried out");
        }
        self.fetcher.close();
    }
}

/// Only a fatal error ends the log: librdkafka tries again after all others.
fn check_fatal(consumer: &BaseConsumer<GroupContext>, error: &KafkaError) -> Result<(), LogError> {
    let Some((code, why)) = consumer.client().fatal_error() else { return Ok(()) };
    match code {
        RDKafkaErrorCode::FencedInstanceId => Err(LogError::Fenced(why)),
        _ => Err(LogError::Broken(format!("the consumer: {error}: {why}"))),
    }
}
