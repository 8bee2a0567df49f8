//! What `check` found, stage by stage.

use super::firing::FiringTable;
use crate::command::survey::Survey;
use crate::config::Settings;
use crate::model::maintenance::Maintenance;
use crate::model::slo::Slo;
use crate::model::time::{Moment, Ms};
use crate::pipeline::input_stats::Counted;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;

/// How serious a finding is; the last is the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It works, but could be better.
    Advice,
    /// It has no effect, or will be refused later.
    Warning,
    /// Nothing runs until it is corrected.
    Error,
}

/// One finding: where, which key, what is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub level: Level,
    /// `slos/checkout.yaml:12`; empty if there is no place to name.
    pub place: String,
    pub key: String,
    pub message: String,
    pub remedy: Option<String>,
}

/// What the brokers answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokersReport {
    /// What is correct.
    pub fine: Vec<String>,
    pub findings: Vec<Finding>,
}

/// Some records, and findings about all of them together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecordsReport {
    pub records: Vec<RecordReport>,
    pub notices: Vec<String>,
    /// The traffic of the whole file; topics and pipes have none.
    #[serde(skip)]
    pub survey: Option<Survey>,
    /// For people only: programs use the number.
    #[serde(skip)]
    pub counted: Counted,
}

/// What became of one record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecordReport {
    /// For topics; files have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// The number of the record in its file, from 0, or its offset.
    pub number: i64,
    /// How it was read, as in `json` or `avro, mapped`.
    pub decoder: String,
    #[serde(flatten)]
    pub became: Became,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "became", rename_all = "snake_case")]
pub enum Became {
    /// An outcome: its fields, and each SLO's verdict.
    Outcome {
        fields: serde_json::Map<String, serde_json::Value>,
        /// Values that are treated as absent because their field cannot take them.
        unreadable: Vec<String>,
        verdicts: Vec<Verdict>,
    },
    DeadLetter {
        reason: String,
        detail: String,
    },
}

/// One SLO's verdict on a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub slo: String,
    /// good, bad, excluded or unclassified.
    pub verdict: &'static str,
    /// The part of the SLO's expression that decided.
    pub decided_by: String,
    /// Why no verdict was possible, if it is unclassified.
    pub because: Option<String>,
}

/// What is to come of a maintenance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Upcoming {
    pub name: String,
    /// The next ones, the present one included.
    pub windows: Vec<Window>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Window {
    pub start: Moment,
    pub end: Moment,
}

impl Upcoming {
    /// Of all SLOs, each once.
    pub fn of(slos: &[Slo], now_ms: Ms) -> Vec<Upcoming> {
        let mut seen: Vec<&Arc<Maintenance>> = Vec::new();
        for entry in slos.iter().flat_map(|slo| &slo.maintenance.0) {
            if !seen.iter().any(|known| Arc::ptr_eq(known, entry)) {
                seen.push(entry);
            }
        }
        let window = |(start_ms, end_ms)| Window { start: Moment(start_ms), end: Moment(end_ms) };
        let upcoming = |entry: &Arc<Maintenance>| Upcoming {
            name: entry.name.clone(),
            windows: entry.next(now_ms).take(SHOWN).map(window).collect(),
        };
        seen.into_iter().map(upcoming).collect()
    }
}

/// So many windows of a maintenance are shown.
const SHOWN: usize = 3;

#[derive(Debug, Default)]
pub struct Report {
    pub file: Option<PathBuf>,
    /// Keys that are not at their defaults.
    pub keys_set: usize,
    pub configuration: Vec<Finding>,
    /// `None` if the configuration has errors: the SLOs were not checked.
    pub slos: Option<Vec<Finding>>,
    /// What is needed to judge records, if both stages passed.
    pub ready: Option<(Settings, Vec<Slo>)>,
    /// When the SLOs would fire.
    pub firing: Vec<FiringTable>,
    pub maintenance: Vec<Upcoming>,
    /// Findings that concern both.
    pub together: Vec<Finding>,
    pub records: Option<RecordsReport>,
    /// `None`: the brokers were not asked.
    pub brokers: Option<BrokersReport>,
}

impl Report {
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        let brokers = self.brokers.iter().flat_map(|brokers| &brokers.findings);
        self.configuration.iter().chain(self.slos.iter().flatten()).chain(&self.together).chain(brokers)
    }
}
