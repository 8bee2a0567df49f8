//! What a key remembers of an open alert, and how alerts end.

use crate::model::duration;
use crate::model::output::AlertCohort;
use crate::model::slo::Severity;
use crate::model::time::Ms;
use serde::{Deserialize, Serialize};

/// The index of an alert by its severity.
pub const fn slot_of(severity: Severity) -> usize {
    severity as usize
}

/// The state of an open alert between its records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    pub started_ms: Ms,
    pub seq: u64,
    /// The rules in its last record: (rule, since, lowered).
    pub rules: Vec<FiringRule>,
    /// `affected_users` in its last record.
    pub affected_users: u64,
    pub is_stale: bool,
    /// All bad events of the key when it started, in micro-weights.
    pub bad_at_start: u128,
    pub cohort: Option<AlertCohort>,
    /// One of its records named a cohort.
    pub knows_cohort: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiringRule {
    pub rule: usize,
    pub since_ms: Ms,
    pub lowered: bool,
}

/// How an alert ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    Recovered,
    Raised,
    NoData,
    DefinitionChanged,
    Removed,
}

impl Resolved {
    pub const fn as_str(self) -> &'static str {
        match self {
            Resolved::Recovered => "recovered",
            Resolved::Raised => "raised",
            Resolved::NoData => "no_data",
            Resolved::DefinitionChanged => "definition_changed",
            Resolved::Removed => "removed",
        }
    }
}

impl Resolved {
    /// Why an alert ended, in words.
    pub const fn in_short(self) -> &'static str {
        match self {
            Resolved::Recovered => "recovered",
            Resolved::Raised => "it is a page now",
            Resolved::NoData => "no data",
            Resolved::DefinitionChanged => "its SLO was changed",
            Resolved::Removed => "its SLO was removed",
        }
    }

    pub fn after(self, duration_ms: Ms) -> String {
        let after = duration::short_words(duration_ms);
        match self {
            Resolved::Recovered => format!("recovered after {after}"),
            Resolved::Raised => format!("became a page after {after}"),
            Resolved::NoData => format!("ended after {after} because no data came any more"),
            Resolved::DefinitionChanged => format!("ended after {after} because its SLO was changed"),
            Resolved::Removed => format!("ended after {after} because its SLO was removed"),
        }
    }
}
