//! Classifies one outcome for one SLO (contract, section 2).

use crate::model::outcome::Outcome;
use crate::model::slo::{Criterion, Slo};

/// An event's class for an SLO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Excluded by `total.filter`; nothing more is evaluated.
    Excluded,
    /// Excluded because its time lies in a maintenance: no filter is read, and it is counted.
    Maintenance,
    Good,
    Bad,
    /// An expression read an absent field: neither good nor bad, counted on its own.
    Unclassified,
}

impl Verdict {
    /// Whether the event is one of the key: good or bad. (The others are only counted.)
    pub const fn is_of_key(self) -> bool {
        matches!(self, Verdict::Good | Verdict::Bad)
    }

    /// Whether the SLO counts the event neither as good, nor as bad, nor as unclassified.
    pub const fn is_excluded(self) -> bool {
        matches!(self, Verdict::Excluded | Verdict::Maintenance)
    }
}

/// Evaluates the SLO's expressions on the outcome.
#[inline]
pub fn classify(slo: &Slo, outcome: &Outcome<'_>) -> Verdict {
    if slo.maintenance.excludes(&outcome.tenant, outcome.timestamp_ms) {
        return Verdict::Maintenance;
    }
    if let Some(total) = &slo.indicator.total {
        match total.eval(outcome) {
            Some(true) => {}
            Some(false) => return Verdict::Excluded,
            None => return Verdict::Unclassified,
        }
    }
    let good = match &slo.indicator.criterion {
        Criterion::Good(filter) => filter.eval(outcome),
        Criterion::Bad(filter) => filter.eval(outcome).map(|bad| !bad),
        Criterion::Threshold { value, op, threshold } => value.eval(outcome).map(|v| op.holds(v, *threshold)),
    };
    match good {
        Some(true) => Verdict::Good,
        Some(false) => Verdict::Bad,
        None => Verdict::Unclassified,
    }
}
