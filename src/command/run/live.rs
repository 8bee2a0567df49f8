//! The live process: one thread per worker. A worker that ends for a temporary reason is started again.

use super::RunArgs;
use super::process::Process;
use super::recovery::{Ended, Recovery};
use super::shown::Shown;
use super::thread::WorkerThread;
use crate::board::{Board, Phase, Reading, Trouble};
use crate::command::applied::{Ledger, control};
use crate::command::defined::defined;
use crate::command::follow::Following;
use crate::command::listen::Listeners;
use crate::command::processor::describe;
use crate::command::signals::Signals;
use crate::command::topics::kafka_settings;
use crate::command::{Exit, Failure, Global, Outcome, assemble, history_store, observe};
use crate::config::{Settings, UserIds};
use crate::http::Endpoints;
use crate::log::LogError;
use crate::telemetry;
use crate::worker::{Figures, WorkerError};
use std::sync::Arc;
use std::time::Duration;

/// How long `/readyz` still answers once `run` has failed.
const LAST_WORDS: Duration = Duration::from_secs(3);

pub fn run(global: &Global, args: &RunArgs) -> Outcome {
    let settings = global.load()?.settings;
    let definitions = assemble::definitions_of(&settings, &settings.slos)?;
    let applied = match control::reads_file(&settings) {
        true => control::check(&settings, &settings.slos, &definitions.slos, control::First::Record, global.voice())?,
        false => Ledger::default(),
    };
    let slos = Arc::new(definitions.slos);
    let signals = Signals::install()?;
    let metrics = telemetry::install_metrics().map_err(anyhow::Error::from)?;
    let board = Arc::new(Board::default());
    board.define(defined(&slos));
    applied.show(&board);
    board.name_tenants(assemble::tenants_of(&settings)?);
    let shown = Arc::new(Shown::new(Arc::clone(&board), Arc::default(), settings.workers, settings.partitions.rollup));
    let server = listen(&settings, &shown, metrics)?;
    let opened = Process::open(&settings, slos, Arc::clone(&shown), signals, args.from, global.voice());
    let outcome = opened.and_then(|process| {
        let following = follow(&settings, &board, server.is_some());
        let outcome = process.run();
        following.into_iter().for_each(Following::stop);
        outcome
    });
    board.set_phase(Phase::Stopping);
    if let Some(server) = server {
        if let Err(failure) = &outcome {
            // So that a probe of `/readyz` can still see why this instance failed.
            board.set_trouble(Trouble::Lasting(failure.to_string()));
            super::recovery::wait(LAST_WORDS);
        }
        server.shutdown();
    }
    outcome
}

/// Feeds the board from the topics. If they cannot be read, everything else works, and the answers say so.
fn follow(settings: &Settings, board: &Arc<Board>, is_shown: bool) -> Option<Following> {
    if !is_shown {
        board.set_reading(Reading::CaughtUp);
        return None;
    }
    if let Some(store) = history_store::open(settings, history_store::Of::Run) {
        board.save_history_in(store);
    }
    match Following::start(kafka_settings(settings), assemble::output_format(settings), Arc::clone(board)) {
        Ok(following) => Some(following),
        Err(failure) => {
            tracing::warn!("the API has nothing to show, because the output topics cannot be read: {failure}");
            board.set_reading(Reading::Broken(failure.to_string()));
            None
        }
    }
}

fn listen(settings: &Settings, shown: &Arc<Shown>, metrics: telemetry::Metrics) -> Result<Option<Listeners>, Failure> {
    let Some(listen) = &settings.http.listen else { return Ok(None) };
    let ids = assemble::user_ids(settings, UserIds::Hmac)?;
    let (of_text, of_process) = (Arc::clone(shown), Arc::clone(shown));
    let text = move || observe::metrics_text(&metrics, &of_text.board, &of_text.inputs, |key| of_text.is_ours(key));
    #[expect(clippy::disallowed_methods, reason = "tells instances apart; no figure comes from it")]
    let instance = uuid::Uuid::new_v4().to_string();
    let application_id = settings.application_id.clone();
    let endpoints = Endpoints::new(Arc::clone(&shown.board), text)
        .with_processor(move || describe(&of_process.told(), "run", &application_id, &instance))
        .with_user_ids(move |tenant, user| ids.publish(tenant, user));
    let server = Listeners::start(&settings.http, listen, endpoints)?;
    tracing::info!("http://{} has /api/v1/overview, /livez, /readyz and /metrics", server.api.address());
    Ok(Some(server))
}

impl Process {
    /// Runs all workers until the process must stop, or one of them fails.
    fn run(self) -> Outcome {
        let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
            let run = |index| {
                let process = &self;
                let body = move || {
                    let outcome = process.work(index);
                    // If one worker ends, all must: the others would wait for its work.
                    process.signals.stop();
                    outcome
                };
                std::thread::Builder::new().name(format!("worker-{index}")).spawn_scoped(scope, body)
            };
            let threads: Vec<_> = (0..self.settings.workers).map(run).collect();
            let end = |thread: std::io::Result<std::thread::ScopedJoinHandle<'_, Outcome>>| match thread {
                // Never happens: a panic aborts the process.
                Ok(handle) => handle.join().unwrap_or_else(|_| std::process::abort()),
                Err(error) => Err(anyhow::Error::from(error).into()),
            };
            threads.into_iter().map(end).collect()
        });
        outcomes.into_iter().find(Result::is_err).unwrap_or_else(|| Ok(Exit::Done.into()))
    }

    /// Runs a worker, and starts it again whenever it ends for a temporary reason.
    fn work(&self, index: u32) -> Outcome {
        let mut recovery = Recovery::default();
        loop {
            let cause = match WorkerThread::new(self, index).run(&mut recovery) {
                Ok(()) => return Ok(Exit::Done.into()),
                Err(Ended::Failed(failure)) => return Err(failure),
                Err(Ended::Passing(cause)) => cause,
            };
            if self.signals.is_told_to_stop() {
                tracing::warn!("stopped after a worker had ended: {cause}");
                return Ok(Exit::Done.into());
            }
            self.shown.ended(index);
            if matches!(cause, WorkerError::Grown(_) | WorkerError::Log(LogError::Grown(_))) {
                self.keep_counts(index);
                self.begin_with_more(index, &cause)?;
                continue;
            }
            let Some(pause) = recovery.after_now(&cause) else { return Err(anyhow::Error::from(cause).into()) };
            tracing::warn!("{cause}; going on from the checkpoint");
            self.shown.board.set_trouble(Trouble::Passing(cause.to_string()));
            self.keep_counts(index);
            self.report(index, &Figures::default(), Some(false));
            self.repair(&cause)?;
            super::recovery::wait(pause);
        }
    }
}
