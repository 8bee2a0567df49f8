//! What definitions would have fired over recorded outcomes: a backtest that keeps counts, and writes no file.

use crate::command::backtest::{self, FileFormat};
use crate::command::{Failure, Voice, decoder, recorded};
use crate::config::Settings;
use crate::model::output::BurnAlert;
use crate::model::record::{RecordOut, Topic};
use crate::model::slo::Slo;
use crate::model::time::Moment;
use crate::worker::{Observer, WorkerError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The recorded outcomes: the n-th file is partition n.
pub struct Recorded<'a> {
    pub inputs: &'a [PathBuf],
    pub format: Option<FileFormat>,
}

/// What one SLO would have fired.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Fired {
    /// Alerts by severity, in all scopes.
    pub pages: u64,
    pub tickets: u64,
    pub infos: u64,
    /// How often each rule fired at severity page or ticket, in all scopes. Every rule that the SLO has is there.
    pub rules: BTreeMap<String, u64>,
    /// Of the aggregate, at the end.
    pub budget_remaining: Option<f64>,
    /// Pages and tickets.
    pub alerts: Vec<Alert>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alert {
    pub key: String,
    pub severity: String,
    pub started_at: Moment,
    /// `None`: it fires at the end.
    pub ended_at: Option<Moment>,
}

/// By name of the SLO.
pub type FiredBy = BTreeMap<String, Fired>;

/// Evaluates SLOs over what was recorded.
pub fn replay(
    settings: &Settings,
    slos: Vec<Slo>,
    recorded: &Recorded<'_>,
    side: &str,
    voice: Voice,
) -> Result<FiredBy, Failure> {
    if slos.is_empty() {
        return Ok(FiredBy::new());
    }
    let format = recorded.format.map_or(settings.input.format, FileFormat::input_format);
    let files = backtest::open_all(recorded.inputs, format)?;
    let mut watch = Watch::of(&slos);
    let decoder = decoder::of_files(settings, format, &files)?;
    let mut worker = recorded::worker(settings, &Arc::new(slos), recorded.inputs, files, decoder)?;
    let progress = backtest::progress(&voice);
    loop {
        let turn = worker.poll(Duration::ZERO).map_err(failed)?;
        worker.commit(&mut watch).map_err(failed)?;
        progress.set_position(worker.users.counts.outcomes);
        if let Some(at_ms) = worker.users.closed_ms() {
            progress.set_message(format!("{} ({side})", Moment(at_ms)));
        }
        if turn.is_finished && turn.records == 0 {
            progress.finish_and_clear();
            return Ok(watch.fired);
        }
    }
}

fn failed(error: WorkerError) -> Failure {
    anyhow::Error::from(error).into()
}

/// Counts what is published.
struct Watch {
    fired: FiredBy,
    /// Key, rule and since when: an alert tells of its rules again and again.
    told: BTreeSet<(String, String, Moment)>,
    /// The place of an alert in its SLO's list, by id.
    alerts: BTreeMap<String, usize>,
}

#[derive(Deserialize)]
struct Status {
    slo: String,
    scope: String,
    budget_remaining: Option<f64>,
}

impl Watch {
    fn of(slos: &[Slo]) -> Watch {
        let of = |slo: &Slo| {
            let rules = slo.all_rules().map(|(kind, rule)| (kind.name(&rule), 0)).collect();
            (slo.name.clone(), Fired { rules, ..Fired::default() })
        };
        Watch { fired: slos.iter().map(of).collect(), told: BTreeSet::new(), alerts: BTreeMap::new() }
    }

    fn alert(&mut self, key: &str, alert: &BurnAlert) {
        let Some(fired) = self.fired.get_mut(&alert.slo) else { return };
        if alert.state == "firing" {
            match alert.severity.as_str() {
                "page" => fired.pages += 1,
                "ticket" => fired.tickets += 1,
                _ => fired.infos += 1,
            }
        }
        if !matches!(alert.severity.as_str(), "page" | "ticket") {
            return;
        }
        let at = *self.alerts.entry(alert.id.clone()).or_insert(fired.alerts.len());
        let told = Alert {
            key: key.to_owned(),
            severity: alert.severity.clone(),
            started_at: alert.started_at,
            ended_at: alert.ended_at,
        };
        match fired.alerts.get_mut(at) {
            Some(known) => *known = told,
            None => fired.alerts.push(told),
        }
        for rule in &alert.rules {
            if self.told.insert((key.to_owned(), rule.rule.clone(), rule.since)) {
                *fired.rules.entry(rule.rule.clone()).or_default() += 1;
            }
        }
    }

    fn status(&mut self, status: Status) {
        if status.scope == "aggregate"
            && let Some(fired) = self.fired.get_mut(&status.slo)
        {
            fired.budget_remaining = status.budget_remaining;
        }
    }
}

impl Observer for Watch {
    fn committed(&mut self, records: &[RecordOut]) {
        for record in records {
            let (Some(key), Some(value)) = (&record.key, &record.value) else { continue };
            // What was just encoded can be decoded.
            match record.topic {
                Topic::BurnAlerts => {
                    if let Ok(alert) = serde_json::from_slice(value) {
                        self.alert(&String::from_utf8_lossy(key), &alert);
                    }
                }
                Topic::SloStatus => {
                    if let Ok(status) = serde_json::from_slice(value) {
                        self.status(status);
                    }
                }
                _ => {}
            }
        }
    }
}
