//! Runs a recording through the pipeline of `backtest`, and keeps what was published of alerts, cohorts and users.

use super::overlay::{FaultOverlay, user_hash};
use super::timeline::Timeline;
use crate::codec::Decoder;
use crate::codec::files::InputFile;
use crate::command::backtest::open_all;
use crate::command::{Failure, decoder, recorded};
use crate::config::{InputFormat, Settings};
use crate::model::output::{BurnAlert, RuleStatus, TailCohort, UserStatus};
use crate::model::record::{RecordOut, Topic};
use crate::model::slo::Slo;
use crate::model::time::{Moment, Ms};
use crate::worker::direct::Overlay;
use crate::worker::{Observer, WorkerError};
use indicatif::ProgressBar;
use serde::Deserialize;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How far all runs together have come.
pub struct Progress {
    pub bar: ProgressBar,
    pub runs: usize,
    /// Runs that are over, and their outcomes.
    done: Cell<(usize, u64)>,
}

impl Progress {
    pub fn new(bar: ProgressBar) -> Progress {
        Progress { bar, runs: 1, done: Cell::default() }
    }

    fn show(&self, outcomes: u64, at_ms: Option<Ms>) {
        let (run, before) = self.done.get();
        self.bar.set_position(before + outcomes);
        if let Some(at_ms) = at_ms.filter(|_| !self.bar.is_hidden()) {
            self.bar.set_message(format!("{} (run {} of {})", Moment(at_ms), run + 1, self.runs));
        }
    }

    fn next_run(&self, outcomes: u64) {
        let (run, before) = self.done.get();
        self.done.set((run + 1, before + outcomes));
    }
}

/// What is read, again for every run.
pub struct Recording<'a> {
    pub settings: &'a Settings,
    pub inputs: &'a [PathBuf],
    pub format: InputFormat,
}

impl Recording<'_> {
    pub fn open(&self) -> Result<(Vec<InputFile>, Decoder), Failure> {
        // Not the exit code of a fault that nobody sees.
        let files = open_all(self.inputs, self.format).map_err(Failure::without_finding)?;
        let decoder = decoder::of_files(self.settings, self.format, &files)?;
        Ok((files, decoder))
    }

    /// Evaluates the SLOs over it, with a fault or without.
    pub fn replay(
        &self,
        slos: &Arc<Vec<Slo>>,
        fault: Option<FaultOverlay>,
        progress: &Progress,
    ) -> Result<Published, Failure> {
        let (files, decoder) = self.open()?;
        let mut worker = recorded::worker(self.settings, slos, self.inputs, files, decoder)?;
        worker.overlay = fault.map(|fault| -> Box<dyn Overlay> { Box::new(fault) });
        let mut published = Published::default();
        loop {
            let turn = worker.poll(Duration::ZERO).map_err(failed)?;
            worker.commit(&mut published).map_err(failed)?;
            progress.show(worker.users.counts.outcomes, worker.users.closed_ms());
            if turn.is_finished && turn.records == 0 {
                progress.next_run(worker.users.counts.outcomes);
                return Ok(published);
            }
        }
    }
}

fn failed(error: WorkerError) -> Failure {
    Failure::from(anyhow::Error::from(error)).without_finding()
}

/// A status of an aggregate, as far as it is asked here.
#[derive(Debug, Deserialize)]
pub struct StatusHead {
    pub slo: String,
    pub at: Moment,
    pub budget: BudgetHead,
    pub windows: Vec<WindowHead>,
    pub alerts: Vec<RuleStatus>,
}

#[derive(Debug, Deserialize)]
pub struct BudgetHead {
    pub allowed_bad: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub struct WindowHead {
    pub window: String,
    pub burn: Option<f64>,
}

/// What a run published.
#[derive(Default)]
pub struct Published {
    pub timeline: Timeline,
    pub cohorts: Vec<TailCohort>,
    /// Of aggregates, by SLO and time.
    pub statuses: BTreeMap<String, Vec<StatusHead>>,
    /// Bad events of users in `user-status`, by SLO, user and time.
    pub users: BTreeMap<String, BTreeMap<u64, Vec<(Ms, f64)>>>,
}

impl Observer for Published {
    fn committed(&mut self, records: &[RecordOut]) {
        records.iter().for_each(|record| self.note(record));
    }
}

impl Published {
    fn note(&mut self, record: &RecordOut) {
        let Some(value) = &record.value else { return };
        match record.topic {
            Topic::BurnAlerts => {
                if let Ok(alert) = serde_json::from_slice::<BurnAlert>(value) {
                    self.timeline.take(alert);
                }
            }
            Topic::TailCohorts => self.cohorts.extend(serde_json::from_slice::<TailCohort>(value)),
            Topic::SloStatus if record.key.as_deref().is_some_and(|key| key.ends_with(b"|aggregate")) => {
                if let Ok(status) = serde_json::from_slice::<StatusHead>(value) {
                    self.statuses.entry(status.slo.clone()).or_default().push(status);
                }
            }
            Topic::UserStatus => {
                if let Ok(user) = serde_json::from_slice::<UserStatus>(value) {
                    let hash = user_hash(&user.tenant, &user.user);
                    let of_slo = self.users.entry(user.slo).or_default();
                    of_slo.entry(hash).or_default().push((user.at.0, user.bad));
                }
            }
            _ => {}
        }
    }
}
