//! What `check` found, stage by stage.

use crate::config::Settings;
use crate::model::slo::Slo;
use crate::pipeline::input_stats::Counted;
use serde::Serialize;
use std::path::PathBuf;

/// How much a finding weighs; the last is the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It works as written; it could be better.
    Advice,
    /// Something has no effect, or will be refused later.
    Warning,
    /// Nothing will run with it.
    Error,
}

/// One thing to know: where, which key, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub level: Level,
    /// `slos/checkout.yaml:12`; empty where there is no place.
    pub place: String,
    pub key: String,
    pub message: String,
    pub remedy: Option<String>,
}

/// What the brokers say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokersReport {
    /// What is as it should be.
    pub fine: Vec<String>,
    pub findings: Vec<Finding>,
}

/// Some records, and what is to be said of all of them together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecordsReport {
    pub records: Vec<RecordReport>,
    pub notices: Vec<String>,
    /// For people: programs have the number.
    #[serde(skip)]
    pub counted: Counted,
}

/// What became of one record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecordReport {
    /// Of a topic; files have none.
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
    /// An outcome: its fields, and what each SLO says of it.
    Outcome {
        fields: serde_json::Map<String, serde_json::Value>,
        /// What is absent because its field could not take it.
        unreadable: Vec<String>,
        verdicts: Vec<Verdict>,
    },
    DeadLetter {
        reason: String,
        detail: String,
    },
}

/// What one SLO says of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub slo: String,
    /// good, bad, excluded or unclassified.
    pub verdict: &'static str,
    /// The part of the SLO's expression that decided.
    pub decided_by: String,
    /// Why it could not be decided, where it is unclassified.
    pub because: Option<String>,
}

#[derive(Debug, Default)]
pub struct Report {
    pub file: Option<PathBuf>,
    /// Keys that are not at their defaults.
    pub keys_set: usize,
    pub configuration: Vec<Finding>,
    /// `None` where the configuration has errors: the SLOs were not looked at.
    pub slos: Option<Vec<Finding>>,
    /// What records can be judged with, where both stages passed.
    pub ready: Option<(Settings, Vec<Slo>)>,
    /// What they say together.
    pub together: Vec<Finding>,
    pub records: Option<RecordsReport>,
    /// `None`: they were not asked.
    pub brokers: Option<BrokersReport>,
}

impl Report {
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        let brokers = self.brokers.iter().flat_map(|brokers| &brokers.findings);
        self.configuration.iter().chain(self.slos.iter().flatten()).chain(&self.together).chain(brokers)
    }
}
