//! The live worker: opens the log and the state, turns until it is told to stop, and begins anew
//! from the checkpoint where the broker aborts.
#![expect(clippy::disallowed_methods, reason = "when to commit is the shell's decision, and no figure depends on it")]

use super::recovery::{Ended, Recovery, ended};
use super::signals::Signals;
use super::store;
use super::{From, RunArgs};
use crate::codec::output::OutputFormat;
use crate::command::observe::Published;
use crate::command::{Exit, Failure, Global, Outcome, assemble, decoder};
use crate::config::{self, Settings};
use crate::http::{Board, Endpoints, Phase, Server, serve};
use crate::log::kafka::{KafkaLog, KafkaSettings, StartFrom, Streams, topics};
use crate::log::{LogError, Stream};
use crate::model::slo::Slo;
use crate::model::time::{Moment, Ms};
use crate::pipeline::route::{DeadLetterForm, Route, SourceName};
use crate::telemetry::{self, names};
use crate::worker::Worker;
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a poll waits for records where there are none.
const POLL_WAIT: Duration = Duration::from_millis(20);
/// A commit is made early once so many records were read since the last one.
const COMMIT_RECORDS: u64 = 500_000;

pub fn run(global: &Global, args: &RunArgs) -> Outcome {
    let settings = global.load()?.settings;
    let definitions = assemble::definitions(&settings.slos)?;
    let slos = Arc::new(definitions.slos);
    let signals = Signals::install()?;
    let metrics = telemetry::install_metrics().map_err(anyhow::Error::from)?;
    let board = Arc::new(Board::default());
    let server = listen(&settings, &board, metrics)?;
    let instance = Instance {
        settings: &settings,
        slos: &slos,
        board: &board,
        signals: &signals,
        from: args.from,
        recovery: RefCell::default(),
    };
    let outcome = instance.run();
    board.set_phase(Phase::Stopping);
    if let Some(server) = server {
        server.shutdown();
    }
    outcome
}

fn listen(settings: &Settings, board: &Arc<Board>, metrics: telemetry::Metrics) -> Result<Option<Server>, Failure> {
    let Some(listen) = &settings.http.listen else { return Ok(None) };
    let endpoints = Endpoints { board: Arc::clone(board), metrics: Arc::new(move || metrics.render()) };
    let server = serve(listen, endpoints).map_err(anyhow::Error::from)?;
    tracing::info!("http://{} has /api/v1/status, /livez, /readyz and /metrics", server.address());
    Ok(Some(server))
}

/// What one instance is made of.
struct Instance<'a> {
    settings: &'a Settings,
    slos: &'a Arc<Vec<Slo>>,
    board: &'a Arc<Board>,
    signals: &'a Signals,
    from: From,
    recovery: RefCell<Recovery>,
}

impl Instance<'_> {
    /// Begins a worker again and again, while what ends it is something that passes.
    fn run(&self) -> Outcome {
        loop {
            let cause = match self.turn_until_stopped() {
                Ok(()) => return Ok(Exit::Done.into()),
                Err(Ended::Failed(failure)) => return Err(failure),
                Err(Ended::Passing(cause)) => cause,
            };
            if self.signals.is_told_to_stop() {
                tracing::warn!("stopped while there was nothing to work with: {cause}");
                return Ok(Exit::Done.into());
            }
            let pause = self.recovery.borrow_mut().after(&cause, Instant::now());
            let Some(pause) = pause else { return Err(anyhow::Error::from(cause).into()) };
            tracing::warn!("{cause}; going on from the checkpoint");
            self.board.set_phase(Phase::Restoring { live: 0, assigned: 1 });
            std::thread::sleep(pause);
        }
    }

    fn turn_until_stopped(&self) -> Result<(), Ended> {
        let identity = self.identity();
        let store = store::open(self.settings)?;
        let kafka = self.kafka(&store::instance_id(self.settings)?);
        self.make_topics(&kafka)?;
        let log = KafkaLog::open(&kafka).map_err(|e| ended(e.into()))?;
        let names = source_names(log.streams());
        let inputs = names.len() as u32;
        let input = &self.settings.input;
        let decoder = decoder::of_records(input).map_err(Failure::from)?;
        let form = DeadLetterForm::Record { partitions: inputs };
        let route = Route::new(decoder, names, form);
        let ids = assemble::user_ids(self.settings, config::UserIds::Hmac)?;
        let format = match self.settings.output.format {
            config::OutputFormat::Json => OutputFormat::Json,
            config::OutputFormat::Avro => OutputFormat::AvroRaw,
        };
        let tasks = assemble::tasks(self.settings, self.slos, inputs, ids, format)?;
        let worker = Worker::new(log, route, tasks.users, tasks.rollups, inputs)
            .pass_over_idle(input.idle_timeout_ms, input.out_of_orderness_ms)
            .restore(store, &identity, self.settings.state.memory_limit_bytes)
            .map_err(ended)?;
        self.say_where_it_starts(inputs);
        self.turn(worker, &identity, format)
    }

    fn turn(&self, mut worker: Worker<KafkaLog>, identity: &str, format: OutputFormat) -> Result<(), Ended> {
        let commit_every = Duration::from_millis(self.settings.state.commit_interval_ms.unsigned_abs());
        let checkpoint_every = Duration::from_millis(self.settings.state.checkpoint_interval_ms.unsigned_abs());
        let mut published = Published::new(Arc::clone(self.board), format)?;
        let (mut committed, mut checkpointed) = (Instant::now(), Instant::now());
        let (mut read, mut was_live) = (0, None);
        while !self.signals.is_told_to_stop() {
            let turn = worker.poll(POLL_WAIT, now_ms()).map_err(ended)?;
            read += turn.records;
            let due = committed.elapsed() >= commit_every || read >= COMMIT_RECORDS;
            if due && (read > 0 || worker.has_news()) && !worker.is_replaying() {
                self.commit(&mut worker, &mut published)?;
                metrics::gauge!(names::CHECKPOINT_AGE).set(checkpointed.elapsed().as_secs_f64());
                (committed, read) = (Instant::now(), 0);
            }
            if checkpointed.elapsed() >= checkpoint_every && self.checkpoint(&mut worker, identity)? {
                checkpointed = Instant::now();
            }
            self.tell_phase(&worker, &mut was_live);
        }
        if worker.is_live() {
            self.commit(&mut worker, &mut published)?;
            self.checkpoint(&mut worker, identity)?;
        }
        tracing::info!("stopped: everything read is committed and checkpointed");
        Ok(())
    }

    /// For those who look from outside, where it changed.
    fn tell_phase(&self, worker: &Worker<KafkaLog>, was_live: &mut Option<bool>) {
        let is_live = worker.is_live();
        if was_live.replace(is_live) == Some(is_live) {
            return;
        }
        self.board.set_phase(if is_live { Phase::Live } else { Phase::Restoring { live: 0, assigned: 1 } });
        metrics::gauge!(names::TASKS, "state" => "replaying").set(if is_live { 0.0 } else { 1.0 });
        metrics::gauge!(names::TASKS, "state" => "live").set(if is_live { 1.0 } else { 0.0 });
        if is_live {
            tracing::info!("live");
        } else {
            tracing::info!("waiting for partitions, and for what has to be read again; nothing is published twice");
        }
    }

    fn commit(&self, worker: &mut Worker<KafkaLog>, published: &mut Published) -> Result<(), Ended> {
        let began = Instant::now();
        let outcome = worker.commit(published).map_err(ended);
        if outcome.is_ok() {
            self.recovery.borrow_mut().went_well();
        }
        let word = if outcome.is_ok() { "committed" } else { "aborted" };
        metrics::counter!(names::COMMITS, "outcome" => word).increment(1);
        metrics::histogram!(names::COMMIT_DURATION).record(began.elapsed().as_secs_f64());
        published.tell(worker, Some(now_ms()));
        outcome
    }

    fn checkpoint(&self, worker: &mut Worker<KafkaLog>, identity: &str) -> Result<bool, Ended> {
        let began = Instant::now();
        let is_written = worker.checkpoint(identity).map_err(ended)?;
        if is_written {
            metrics::histogram!(names::CHECKPOINT_DURATION).record(began.elapsed().as_secs_f64());
        }
        Ok(is_written)
    }

    fn kafka(&self, instance_id: &str) -> KafkaSettings {
        KafkaSettings {
            properties: self.settings.kafka.properties.clone(),
            group_id: self.settings.application_id.clone(),
            transactional_id: format!("{}-{instance_id}-0", self.settings.application_id),
            input_topics: self.settings.input.topics.clone(),
            prefix: self.settings.output.prefix.clone(),
            start_from: match self.from {
                From::Earliest => StartFrom::Earliest,
                From::Latest => StartFrom::Latest,
                From::Time(ms) => StartFrom::Time(ms),
            },
            keyed_by_user: self.settings.input.keyed_by_user,
        }
    }

    fn make_topics(&self, kafka: &KafkaSettings) -> Result<(), Ended> {
        if !self.settings.topics.create {
            return Ok(());
        }
        let made = topics::TopicAdmin::open(kafka)
            .and_then(|admin| {
                let inputs = self.settings.input.topics.iter().map(|topic| admin.partitions(topic));
                let input = inputs.sum::<Result<Option<u32>, LogError>>()?.unwrap_or(0);
                let config::Partitions { users, rollup, .. } = self.settings.partitions;
                let plan = topics::plan(kafka, topics::PartitionCounts { input, users, rollup });
                admin.create_missing(&plan, self.settings.topics.replication_factor)
            })
            .map_err(|e| ended(e.into()))?;
        if !made.is_empty() {
            tracing::info!("made the topics {}", made.join(", "));
        }
        Ok(())
    }

    /// What a checkpoint was written by: with another build or other definitions state may differ.
    fn identity(&self) -> String {
        let mut hash = Sha256::new();
        for slo in self.slos.iter() {
            hash.update(slo.definition_hash.as_bytes());
        }
        let digest: String = hash.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect();
        format!("{} {digest}", env!("CARGO_PKG_VERSION"))
    }

    fn say_where_it_starts(&self, inputs: u32) {
        let from = match self.from {
            From::Earliest => "the earliest record".to_owned(),
            From::Latest => "the end".to_owned(),
            From::Time(ms) => Moment(ms).to_string(),
        };
        tracing::info!(
            slos = self.slos.len(),
            inputs,
            "reading {} from the group's offsets, where there are none from {from}",
            self.settings.input.topics.join(", ")
        );
    }
}

fn source_names(streams: &Streams) -> Vec<SourceName> {
    let name = |number| streams.source(Stream::Input(number));
    let names = (0..).map_while(name);
    names.map(|(topic, partition)| SourceName { topic: topic.to_owned(), partition: partition as u32 }).collect()
}

fn now_ms() -> Ms {
    jiff::Timestamp::now().as_millisecond()
}
