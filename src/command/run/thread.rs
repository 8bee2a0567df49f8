//! One worker and its thread: opens its view of the log, and polls until the process must stop.
#![expect(clippy::disallowed_methods, reason = "when to commit is the shell's decision, and no figure depends on it")]

use super::identity::identity;
use super::process::Process;
use super::recovery::{Ended, Recovery, ended};
use crate::command::observe::Published;
use crate::command::punctual::Punctual;
use crate::command::{Failure, assemble, decoder};
use crate::config;
use crate::fault::{self, Place};
use crate::log::kafka::{KafkaLog, Streams};
use crate::log::{LogError, Stream};
use crate::model::time::{Ms, Now};
use crate::pipeline::route::{DeadLetterForm, Route, SourceName};
use crate::telemetry::{InputSample, names};
use crate::worker::{InputFigures, PartitionFigures, Tasks, Worker, WorkerError};
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// How long a poll waits if there are no records.
const POLL_WAIT: Duration = Duration::from_millis(20);
/// After this many records a commit is made before its interval is over.
const COMMIT_RECORDS: u64 = 500_000;

pub struct WorkerThread<'a> {
    process: &'a Process,
    index: u32,
    began: Instant,
    /// One worker says it for the process.
    punctual: RefCell<Option<Punctual>>,
}

/// Keys are assigned to tasks by these counts, so with other counts a task would find the state of another one.
fn agree(key: &str, set: u32, found: u32) -> Result<(), Failure> {
    if set == found {
        return Ok(());
    }
    Err(Failure::Definition(format!(
        "{key} is {set}, and the internal topics of this application_id were made for {found}: set it back to {found}, or \
         start over with another application_id and output.prefix"
    )))
}

impl<'a> WorkerThread<'a> {
    pub fn new(process: &'a Process, index: u32) -> WorkerThread<'a> {
        let name = format!("{}-{}", process.settings.application_id, std::process::id());
        let punctual = RefCell::new((index == 0).then(|| Punctual::new(name)));
        WorkerThread { process, index, began: Instant::now(), punctual }
    }

    /// Works until the process must stop.
    pub fn run(&self, recovery: &mut Recovery) -> Result<(), Ended> {
        let worker = self.open()?;
        self.turn(worker, recovery)
    }

    fn open(&self) -> Result<Worker<KafkaLog>, Ended> {
        let process = self.process;
        let settings = &process.settings;
        let log = KafkaLog::open(&process.kafka(self.index)).map_err(|e| ended(e.into()))?;
        fault::point(Place::Joining);
        let names = source_names(log.streams());
        let inputs = names.len() as u32;
        process.make_room_for(inputs).map_err(|e| ended(e.into()))?;
        let decoder = decoder::of_records(settings).map_err(Failure::from)?;
        let route = Route::new(decoder, names, DeadLetterForm::Record { partitions: inputs });
        let ids = assemble::user_ids(settings, config::UserIds::Hmac)?;
        let identity = identity(&process.slos, settings)?;
        let format = assemble::output_format(settings);
        let setup = assemble::setup(settings, &process.slos, inputs, ids, format, identity)?;
        agree("partitions.users", setup.users_tasks(), log.streams().users_partitions())?;
        agree("partitions.rollup", setup.rollups, log.streams().partials_partitions())?;
        Ok(Worker::new(log, Tasks::new(setup, Box::new(process.state.stores()), route)))
    }

    fn turn(&self, mut worker: Worker<KafkaLog>, recovery: &mut Recovery) -> Result<(), Ended> {
        let settings = &self.process.settings;
        let commit_every = Duration::from_millis(settings.state.commit_interval_ms.unsigned_abs());
        let mut published = Published::to_topics();
        let (mut committed, mut reported) = (Instant::now(), Instant::now());
        let mut read = 0;
        while !self.process.signals.is_told_to_stop() {
            let records = match worker.poll(POLL_WAIT, self.now()) {
                Ok(records) => records,
                Err(error @ WorkerError::Log(LogError::Grown(_))) => {
                    // The failed poll returned no records. After a checkpoint nothing has to be replayed either.
                    self.leave(&mut worker, &mut published, recovery)?;
                    return Err(ended(error));
                }
                Err(error) => return Err(ended(error)),
            };
            read += records;
            let due = committed.elapsed() >= commit_every || read >= COMMIT_RECORDS;
            if worker.is_leaving() || due && (read > 0 || worker.has_news()) {
                self.commit(&mut worker, &mut published, recovery)?;
                (committed, read) = (Instant::now(), 0);
            }
            if reported.elapsed() >= commit_every {
                self.report(&mut worker, &published);
                reported = Instant::now();
            }
        }
        self.leave(&mut worker, &mut published, recovery)?;
        tracing::info!(worker = self.index, "stopped: everything read is committed and checkpointed");
        Ok(())
    }

    fn leave(
        &self,
        worker: &mut Worker<KafkaLog>,
        published: &mut Published,
        recovery: &mut Recovery,
    ) -> Result<(), Ended> {
        worker.checkpoint_all();
        self.commit(worker, published, recovery)?;
        worker.flush().map_err(ended)
    }

    fn now(&self) -> Now {
        Now { wall_ms: now_ms(), steady_ms: self.elapsed_ms() }
    }

    /// The steady clock.
    fn elapsed_ms(&self) -> Ms {
        i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// Updates the metrics and the API.
    fn report(&self, worker: &mut Worker<KafkaLog>, published: &Published) {
        self.report_inputs(worker);
        let own = worker.figures();
        let all = self.process.report(self.index, &own, Some(worker.is_ready()));
        published.tell(&all, Some(now_ms()));
        if let (Some(punctual), Some(at_ms)) = (self.punctual.borrow_mut().as_mut(), all.evaluated_ms) {
            punctual.tell(at_ms, now_ms());
        }
        let age_ms = own.checkpointed_ms.map(|checkpointed_ms| self.elapsed_ms() - checkpointed_ms);
        let oldest_ms = self.process.shown.checkpointed(self.index, age_ms);
        metrics::gauge!(names::CHECKPOINT_AGE).set(oldest_ms as f64 / 1_000.0);
    }

    fn report_inputs(&self, worker: &mut Worker<KafkaLog>) {
        let volumes = worker.take_volumes();
        let streams = worker.log.streams();
        for (stream, volume) in volumes {
            let Some((topic, _)) = streams.source(stream) else { continue };
            metrics::counter!(names::RECORDS_READ, "topic" => topic.to_owned()).increment(volume.records);
            metrics::counter!(names::BYTES_READ, "topic" => topic.to_owned()).increment(volume.bytes);
        }
        let sample = |input: InputFigures| {
            let (topic, partition) = streams.source(Stream::Input(input.source))?;
            let InputFigures { lag, watermark_ms, is_idle, .. } = input;
            Some(InputSample {
                topic: topic.to_owned(),
                partition: partition.unsigned_abs(),
                lag,
                watermark_ms,
                is_idle,
            })
        };
        let inputs = worker.inputs().into_iter().filter_map(sample).collect();
        let partition = |figures: PartitionFigures| {
            let (topic, partition) = streams.source(Stream::Input(figures.source))?;
            Some(((topic.to_owned(), partition.unsigned_abs()), figures))
        };
        let partitions = worker.partitions().into_iter().filter_map(partition).collect();
        self.process.shown.progressed(partitions, now_ms());
        self.process.shown.report(self.index, inputs, worker.rollup_partitions(), worker.is_ready());
    }

    fn commit(
        &self,
        worker: &mut Worker<KafkaLog>,
        published: &mut Published,
        recovery: &mut Recovery,
    ) -> Result<(), Ended> {
        let began = Instant::now();
        let outcome = worker.commit(published, self.elapsed_ms()).map_err(ended);
        if outcome.is_ok() {
            recovery.went_well();
        }
        let aborted = worker.take_aborted();
        metrics::counter!(names::COMMITS, "outcome" => "committed").increment(u64::from(outcome.is_ok()));
        // The worker counts transactions that it sends again; one that failed for good is counted here.
        let failed = u64::from(outcome.is_err() && aborted == 0);
        metrics::counter!(names::COMMITS, "outcome" => "aborted").increment(aborted + failed);
        metrics::histogram!(names::COMMIT_DURATION).record(began.elapsed().as_secs_f64());
        outcome
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
