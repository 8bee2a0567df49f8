//! Tells what the topics say, as it comes: reads, decides, sends beside, and commits what was told.

use super::NotifyArgs;
use super::courier::Courier;
use super::from_dir::now_ms;
use super::silences_topic::{self, failure};
use crate::board::{Board, Phase, Reading};
use crate::codec::output::{Decoder, OutputFormat};
use crate::command::signals::Signals;
use crate::command::topics::notify_settings;
use crate::command::{Failure, assemble};
use crate::config::Settings;
use crate::http::{Endpoints, Server, serve_probes};
use crate::log::kafka::follow::Follower;
use crate::log::kafka::news::{NewsEvent, NewsReader, Taken};
use crate::log::{Committed, NextOffset};
use crate::model::record::{RecordIn, Topic};
use crate::model::time::{Ms, SECOND_MS};
use crate::notify::{Action, Content, Core, Event, News, Outcome, Plan, Position, Resume, Source};
use crate::telemetry::{self, names};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

const WAIT: Duration = Duration::from_millis(100);
const COMMIT_EVERY_MS: Ms = SECOND_MS;
/// How long a stop waits for answers.
const STOP_MS: Ms = 5 * SECOND_MS;
/// What the offset metadata says beside the offset.
const STATE_FROM: &str = "state_from=";

pub fn run(
    settings: &Settings,
    args: &NotifyArgs,
    plan: Arc<Plan>,
    courier: Courier,
    signals: &Signals,
) -> Result<(), Failure> {
    let mut kafka = notify_settings(settings);
    if args.dry_run {
        // The group that sends keeps its partitions.
        kafka.group_id.push_str("-dry-run");
    }
    let board = Arc::new(Board::default());
    let server = args.listen.as_ref().map(|listen| listen_on(listen, &board)).transpose()?;
    let decoder = match assemble::output_format(settings) {
        OutputFormat::Json => None,
        OutputFormat::AvroRaw => Some(Decoder::new().map_err(anyhow::Error::from)?),
    };
    let mut live = Live {
        core: Core::new(Arc::clone(&plan), seed()),
        ways: Ways::start(&plan, courier)?,
        silences: silences_topic::follow(settings, &kafka, !args.dry_run)?,
        decoder,
        is_dry: args.dry_run,
        committed: Vec::new(),
        next_commit_ms: 0,
    };
    // Whatever holds people back is known before the first of them is told.
    live.read_silences()?;
    let mut reader = NewsReader::join(&kafka, &News::TOPICS).map_err(failure)?;
    tracing::info!(group = kafka.group_id, receivers = plan.receivers.len(), "telling what the topics say");
    while !signals.is_told_to_stop() {
        live.step(&mut reader, &board)?;
    }
    live.finish(&mut reader)?;
    reader.leave();
    server.into_iter().for_each(Server::shutdown);
    Ok(())
}

struct Live {
    core: Core,
    ways: Ways,
    /// `None`: there is no topic of silences.
    silences: Option<Follower>,
    decoder: Option<Decoder>,
    is_dry: bool,
    committed: Vec<(Source, Resume)>,
    next_commit_ms: Ms,
}

impl Live {
    fn read_silences(&mut self) -> Result<(), Failure> {
        while self.silences.as_ref().is_some_and(|silences| !silences.is_caught_up()) {
            self.take_silences(WAIT)?;
        }
        Ok(())
    }

    fn take_silences(&mut self, wait: Duration) -> Result<(), Failure> {
        let Some(silences) = &mut self.silences else { return Ok(()) };
        let mut events = Vec::new();
        silences.take(wait, &mut |_, record| events.extend(silences_topic::event(record))).map_err(failure)?;
        events.into_iter().try_for_each(|event| self.decide(event))
    }

    fn step(&mut self, reader: &mut NewsReader, board: &Board) -> Result<(), Failure> {
        let mut records = Vec::new();
        let decoder = &self.decoder;
        let start = |taken: &Taken| taken.committed.as_ref().map(|committed| NextOffset(state_from(committed)));
        let found =
            reader.poll(WAIT, &start, &mut |topic, record| records.push(event(decoder.as_ref(), topic, record)));
        for event in found.map_err(failure)? {
            board.set_reading(Reading::CaughtUp);
            board.set_phase(Phase::Live);
            self.change(event)?;
        }
        records.into_iter().try_for_each(|event| self.decide(event))?;
        self.take_silences(Duration::ZERO)?;
        self.take_answers()?;
        self.decide(Event::Tick)?;
        self.commit(reader, false)
    }

    /// The group has changed.
    fn change(&mut self, event: NewsEvent) -> Result<(), Failure> {
        match event {
            NewsEvent::Taken(all) => all.into_iter().try_for_each(|Taken { topic, partition, committed }| {
                let done = committed.map_or(0, |committed| committed.next.0);
                tracing::info!(topic = topic.name(), partition, done, "a partition is ours");
                self.decide(Event::Owned(Source { topic, partition }, done))
            }),
            NewsEvent::Lost(all) => all.into_iter().try_for_each(|(topic, partition)| {
                self.committed.retain(|(source, _)| *source != Source { topic, partition });
                self.decide(Event::Lost(Source { topic, partition }))
            }),
        }
    }

    fn take_answers(&mut self) -> Result<(), Failure> {
        while let Ok((delivery, outcome)) = self.ways.answers.try_recv() {
            self.ways.pending -= 1;
            self.decide(Event::Answer { delivery, outcome: outcome? })?;
        }
        Ok(())
    }

    fn decide(&mut self, event: Event) -> Result<(), Failure> {
        for action in self.core.decide(event, now_ms()) {
            match action {
                Action::Say(notice) => self.ways.courier.say(&notice)?,
                Action::Send { delivery, receiver, content } => self.ways.send(delivery, receiver, content)?,
            }
        }
        Ok(())
    }

    /// Says to the brokers what was told. Where the group has changed meanwhile, the next one says it.
    fn commit(&mut self, reader: &mut NewsReader, is_last: bool) -> Result<(), Failure> {
        let now_ms = now_ms();
        if self.is_dry || (now_ms < self.next_commit_ms && !is_last) {
            return Ok(());
        }
        self.next_commit_ms = now_ms + COMMIT_EVERY_MS;
        metrics::gauge!(names::NOTIFY_OPEN).set(self.core.open().1 as f64);
        metrics::gauge!(names::NOTIFY_FIRING).set(self.core.firing() as f64);
        let resume = self.core.resume();
        if resume == self.committed {
            return Ok(());
        }
        let offset = |(source, resume): &(Source, Resume)| {
            let metadata = format!("{STATE_FROM}{}", resume.state_from);
            (source.topic, source.partition, Committed { next: NextOffset(resume.done), metadata })
        };
        let offsets: Vec<_> = resume.iter().map(offset).collect();
        if reader.commit(&offsets).map_err(failure)? {
            self.committed = resume;
        }
        Ok(())
    }

    /// Answers that are on their way are waited for, for a while: what they say need not be sent again.
    fn finish(&mut self, reader: &mut NewsReader) -> Result<(), Failure> {
        let deadline_ms = now_ms() + STOP_MS;
        while self.ways.is_busy() && now_ms() < deadline_ms {
            if let Ok((delivery, outcome)) = self.ways.answers.recv_timeout(WAIT) {
                self.ways.pending -= 1;
                // Nothing new is begun.
                drop(self.core.decide(Event::Answer { delivery, outcome: outcome? }, now_ms()));
            }
        }
        self.commit(reader, true)
    }
}

/// A record as an event. One that cannot be read tells nobody anything, and is said.
fn event(decoder: Option<&Decoder>, topic: Topic, record: &RecordIn<'_>) -> Event {
    let at = Position { source: Source { topic, partition: record.partition }, offset: record.offset };
    let written_ms = record.timestamp_ms.unwrap_or_else(now_ms);
    let read = || -> anyhow::Result<Option<News>> {
        match (decoder, record.value) {
            (_, []) => Ok(None),
            (None, json) => Ok(News::of(topic, json)?),
            (Some(decoder), value) => Ok(News::of(topic, &serde_json::to_vec(&decoder.decode(topic, value)?)?)?),
        }
    };
    match read() {
        Ok(Some(news)) => Event::News { news: Box::new(news), at, written_ms },
        Ok(None) => Event::Passed(at),
        Err(error) => {
            let (topic, partition, offset) = (topic.name(), record.partition, record.offset);
            tracing::error!(topic, partition, offset, "a record cannot be read, and nobody is told of it: {error:#}");
            Event::Passed(at)
        }
    }
}

/// Where what still goes on began. Without our text: at the offset.
fn state_from(committed: &Committed) -> i64 {
    let written = committed.metadata.strip_prefix(STATE_FROM).and_then(|text| text.parse().ok());
    written.unwrap_or(committed.next.0).min(committed.next.0)
}

/// A thread a receiver, so that one that is slow holds up no other.
struct Ways {
    courier: Arc<Courier>,
    queues: Vec<Sender<(u64, Arc<Content>)>>,
    answers: Receiver<(u64, Result<Outcome, Failure>)>,
    /// Requests without an answer.
    pending: usize,
}

impl Ways {
    fn start(plan: &Plan, courier: Courier) -> Result<Ways, Failure> {
        let courier = Arc::new(courier);
        let (answer, answers) = channel();
        let mut queues = Vec::new();
        for (place, receiver) in plan.receivers.iter().enumerate() {
            let (queue, requests) = channel::<(u64, Arc<Content>)>();
            let (courier, answer) = (Arc::clone(&courier), answer.clone());
            let thread = std::thread::Builder::new().name(format!("to-{}", receiver.name));
            thread.spawn(move || {
                while let Ok((delivery, content)) = requests.recv() {
                    // At the end of the process nobody listens any more.
                    if answer.send((delivery, courier.send(place, &content))).is_err() {
                        return;
                    }
                }
            })?;
            queues.push(queue);
        }
        Ok(Ways { courier, queues, answers, pending: 0 })
    }

    fn send(&mut self, delivery: u64, receiver: usize, content: Arc<Content>) -> Result<(), Failure> {
        self.pending += 1;
        let sent = self.queues[receiver].send((delivery, content));
        sent.map_err(|_| anyhow::anyhow!("the thread of a receiver has ended").into())
    }

    fn is_busy(&self) -> bool {
        self.pending > 0
    }
}

/// Probes and metrics, and nothing else.
fn listen_on(listen: &str, board: &Arc<Board>) -> Result<Server, Failure> {
    let metrics = telemetry::install_metrics().map_err(anyhow::Error::from)?;
    let endpoints = Endpoints::new(Arc::clone(board), move || metrics.render());
    let server = serve_probes(listen, endpoints).map_err(anyhow::Error::from)?;
    tracing::info!("metrics at http://{}/metrics", server.address());
    Ok(server)
}

/// Waiting times differ from instance to instance.
fn seed() -> u64 {
    u64::from(std::process::id())
}
