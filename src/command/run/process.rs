//! What the workers of a process share: settings, topics, the state directory, and the figures of all of them.

use super::From;
use super::recovery::{Ended, ended};
use super::shown::Shown;
use super::store::StateDir;
use crate::board::{Phase, Reading, Trouble};
use crate::command::applied::control;
use crate::command::signals::Signals;
use crate::command::{Failure, Voice};
use crate::config::Settings;
use crate::log::LogError;
use crate::log::kafka::{ConnectionStatus, KafkaSettings, Listener, StartFrom, topics};
use crate::model::record::Topic;
use crate::model::slo::Slo;
use crate::model::time::Moment;
use crate::worker::{Figures, WorkerError};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The state that all workers of a process share.
pub struct Process {
    pub settings: Settings,
    pub slos: Arc<Vec<Slo>>,
    pub shown: Arc<Shown>,
    pub signals: Signals,
    pub state: StateDir,
    pub from: From,
    /// By worker.
    workers: Mutex<Vec<WorkerStatus>>,
    /// The number of input partitions with a partition for their dead letters.
    dead_letters: AtomicU32,
}

/// A worker's figures, and the counters of the workers that it replaced.
#[derive(Clone, Default)]
struct WorkerStatus {
    now: Figures,
    before: Figures,
    /// `None`: it has not started yet.
    is_live: Option<bool>,
}

fn failed(cause: LogError) -> Failure {
    match ended(cause.into()) {
        Ended::Failed(failure) => failure,
        Ended::Passing(cause) => anyhow::Error::from(cause).into(),
    }
}

impl Process {
    pub fn open(
        settings: &Settings,
        slos: Arc<Vec<Slo>>,
        shown: Arc<Shown>,
        signals: Signals,
        from: From,
        voice: Voice,
    ) -> Result<Process, Failure> {
        let workers = vec![WorkerStatus::default(); settings.workers as usize];
        let state = StateDir::open(settings)?;
        let (workers, dead_letters) = (Mutex::new(workers), AtomicU32::new(0));
        let process = Process { settings: settings.clone(), slos, shown, signals, state, from, workers, dead_letters };
        process.make_topics().map_err(failed)?;
        if control::reads_topic(settings) {
            let first = control::First::Record;
            let applied = control::check(settings, &settings.slos, &process.slos, first, voice)?;
            applied.show(&process.shown.board);
        }
        process.say_where_it_starts();
        Ok(process)
    }

    /// The input has more partitions. All instances notice within seconds, and all stop before one of them reads a new
    /// partition, because in an instance that does not know it, T would advance without it.
    pub fn begin_with_more(&self, index: u32, cause: &WorkerError) -> Result<(), Failure> {
        tracing::warn!("{cause}; going on in {} s", super::recovery::ALL_NOTICE.as_secs());
        self.report(index, &Figures::default(), Some(false));
        super::recovery::wait(super::recovery::ALL_NOTICE);
        self.make_topics().map_err(failed)
    }

    /// Makes partitions for dead letters if the log was opened with more input partitions than when topics were checked.
    pub fn make_room_for(&self, inputs: u32) -> Result<(), LogError> {
        if self.dead_letters.load(Ordering::Acquire) >= inputs { Ok(()) } else { self.make_topics() }
    }

    /// Deletes a store that a worker found to be useless.
    pub fn repair(&self, cause: &WorkerError) -> Result<(), Failure> {
        use crate::worker::Stores as _;
        match cause {
            WorkerError::Useless { task, .. } => Ok(self.state.stores().wipe(*task).map_err(anyhow::Error::from)?),
            _ => Ok(()),
        }
    }

    /// A worker ended and is replaced: keeps its counters.
    pub fn keep_counts(&self, index: u32) {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = workers.get_mut(index as usize) {
            own.before.add(&own.now.counters());
        }
    }

    /// Sets the status of a worker; returns the figures of all workers together.
    pub fn report(&self, index: u32, figures: &Figures, is_live: Option<bool>) -> Figures {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = workers.get_mut(index as usize) {
            (own.now, own.is_live) = (figures.clone(), is_live);
        }
        let mut all = Figures::default();
        workers.iter().for_each(|worker| all.add(&worker.now));
        workers.iter().for_each(|worker| all.add(&worker.before));
        self.shown.tell(&all);
        let is_live = workers.iter().all(|worker| worker.is_live == Some(true));
        // Until the board has what was published, answers would be incomplete. Once it had, nothing that is read again
        // makes it less.
        let board = &self.shown.board;
        let phase = if is_live && (board.reading() != Reading::CatchingUp || board.phase() == Phase::Live) {
            Phase::Live
        } else {
            match all.phases.iter().sum::<usize>() {
                // The group has assigned nothing yet.
                0 => Phase::Starting,
                assigned => Phase::Restoring { live: all.phases[2], assigned },
            }
        };
        if self.shown.board.phase() != phase && !self.signals.is_told_to_stop() {
            self.shown.board.set_phase(phase);
        }
        all
    }

    pub fn kafka(&self, worker: u32) -> KafkaSettings {
        KafkaSettings {
            properties: self.settings.kafka.properties.clone(),
            group_id: self.settings.application_id.clone(),
            transactional_id: format!("{}-{}-{worker}", self.settings.application_id, self.state.instance_id),
            input_topics: self.settings.input.topics.clone(),
            prefix: self.settings.output.prefix.clone(),
            keyed_by_user: self.settings.input.keyed_by_user,
            makes_topics: self.settings.topics.create,
            controls_definitions: control::reads_topic(&self.settings),
            listener: self.listener(),
            start_from: match self.from {
                From::Earliest => StartFrom::Earliest,
                From::Latest => StartFrom::Latest,
                From::Time(ms) => StartFrom::Time(ms),
            },
        }
    }

    /// Shows trouble with the brokers in `/readyz` as long as it lasts.
    fn listener(&self) -> Listener {
        let board = Arc::clone(&self.shown.board);
        Listener::new(move |status| match status {
            ConnectionStatus::Refused(why) => board.set_trouble(Trouble::Lasting(why.to_owned())),
            ConnectionStatus::Unreachable(why) => board.set_trouble(Trouble::Passing(why.to_owned())),
            ConnectionStatus::Healthy => board.clear_trouble(),
        })
    }

    /// Creates our missing topics, and checks the settings of the others.
    pub fn make_topics(&self) -> Result<(), LogError> {
        let kafka = self.kafka(0);
        let admin = topics::TopicAdmin::open(&kafka)?;
        let input = admin.input_partitions(&self.settings.input.topics)?;
        let partitions = &self.settings.partitions;
        let counts = topics::PartitionCounts { input, users: partitions.users, rollup: partitions.rollup };
        let plans = topics::plan(&kafka, counts);
        if self.settings.topics.create {
            let made = admin.create_missing(&plans, self.settings.topics.replication_factor)?;
            if !made.is_empty() {
                tracing::info!("made the topics {}", made.join(", "));
            }
        }
        admin.check_rights(&kafka)?;
        for plan in &plans {
            self.compare(&admin, plan)?;
        }
        self.dead_letters.store(input, Ordering::Release);
        Ok(())
    }

    /// Warns of each difference from the wanted settings; an error if a difference breaks a promise of tailburn.
    fn compare(&self, admin: &topics::TopicAdmin, plan: &topics::TopicPlan) -> Result<(), LogError> {
        let is_dead_letters = plan.ours == Some(Topic::DeadLetters);
        // Each input partition has one for its dead letters, and the input may have more partitions than before.
        if is_dead_letters && self.settings.topics.create && admin.partitions(&plan.name)? < Some(plan.partitions) {
            admin.add_partitions(plan)?;
            tracing::info!("{} has {} partitions now, one for each of the input", plan.name, plan.partitions);
        }
        let states = admin.inspect(std::slice::from_ref(plan))?;
        for difference in states.into_iter().flat_map(topics::TopicState::differences) {
            if difference.breaks_promise {
                let message = format!("{difference}. `tailburn topics` shows what it should be");
                return Err(LogError::Refused { what: plan.name.clone(), message });
            }
            tracing::warn!("{}: {difference}", plan.name);
        }
        Ok(())
    }

    fn say_where_it_starts(&self) {
        let from = match self.from {
            From::Earliest => "the earliest record".to_owned(),
            From::Latest => "the end".to_owned(),
            From::Time(ms) => Moment(ms).to_string(),
        };
        tracing::info!(
            slos = self.slos.len(),
            workers = self.settings.workers,
            "reading {} from the group's offsets, where there are none from {from}",
            self.settings.input.topics.join(", ")
        );
    }
}
