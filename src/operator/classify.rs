//! Classifies one outcome for one SLO (contract, section 2).

use crate::model::outcome::Outcome;
use crate::model::slo::{Criterion, Slo};

/// An event's class for an SLO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Excluded by `total.filter`; nothing more is evaluated.
    Excluded,
    Good,
    Bad,
    /// An expression read an absent field: neither good nor bad, counted on its own.
    Unclassified,
}

/// Evaluates the SLO's expressions on the outcome.
#[inline]
pub fn classify(slo: &Slo, outcome: &Outcome<'_>) -> Verdict {
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
