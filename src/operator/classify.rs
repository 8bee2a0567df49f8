//! Classifies one outcome for one SLO (contract, section 2).

use crate::model::outcome::Outcome;
use crate::model::slo::{Criterion, Indicator, Journey, Slo, Unit};
use crate::model::time::DAY_MS;
use xxhash_rust::xxh3::xxh3_64;

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

    /// Two bits.
    pub const fn code(self) -> u8 {
        match self {
            Verdict::Excluded | Verdict::Maintenance => 0,
            Verdict::Good => 1,
            Verdict::Bad => 2,
            Verdict::Unclassified => 3,
        }
    }

    pub const fn of_code(code: u8) -> Verdict {
        match code & 3 {
            1 => Verdict::Good,
            2 => Verdict::Bad,
            3 => Verdict::Unclassified,
            _ => Verdict::Excluded,
        }
    }
}

/// What an event says beyond its verdict, for kinds of SLO that need more; 0 for all others.
pub type Extra = u64;

/// Evaluates the SLO's expressions on the outcome.
#[inline]
pub fn classify(slo: &Slo, outcome: &Outcome<'_>) -> (Verdict, Extra) {
    if slo.maintenance.excludes(&outcome.tenant, outcome.timestamp_ms) {
        return (Verdict::Maintenance, 0);
    }
    match &slo.unit {
        Unit::Events | Unit::Users { .. } => (judge(&slo.indicator, outcome), 0),
        Unit::Composite(_) => judge_all(&slo.indicators, outcome),
        Unit::Gauge(_) => judge_value(&slo.indicator, outcome),
        Unit::Journey(journey) => judge_step(slo, journey, outcome),
    }
}

/// Of a journey: the extra is a [`Step`]. An event of no step is excluded; one without a user is unclassified, and so is one
/// without the text that the events of an attempt share.
fn judge_step(slo: &Slo, journey: &Journey, outcome: &Outcome<'_>) -> (Verdict, Extra) {
    for (number, filter) in (1..).zip(&slo.steps) {
        match filter.eval(outcome) {
            Some(false) => {}
            None => return (Verdict::Unclassified, 0),
            Some(true) if outcome.user.is_none() => return (Verdict::Unclassified, 0),
            Some(true) => {
                let by = match &journey.by {
                    None => 0,
                    Some(name) => match outcome.text(name) {
                        Some(text) => xxh3_64(text.as_bytes()),
                        None => return (Verdict::Unclassified, 0),
                    },
                };
                let verdict = judge(&slo.indicator, outcome);
                // Beyond a day it is too long for every attempt.
                let latency_ms = outcome.latency_ms.map_or(0, |ms| ms.clamp(0.0, DAY_MS as f64) as u32);
                let step = Step { number, latency_ms, by: by as u32 };
                return (verdict, if verdict.is_of_key() { step.pack() } else { 0 });
            }
        }
    }
    (Verdict::Excluded, 0)
}

/// What an event of a journey says beyond its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// From 1.
    pub number: u8,
    /// At most a day, in whole milliseconds.
    pub latency_ms: u32,
    /// The hash of what the events of an attempt share; 0: they share their user alone. Two attempts of one user that are
    /// open at once, and have one hash, count as one: of a thousand, once in some 8,000 cases.
    pub by: u32,
}

impl Step {
    /// 5 bits, 27 bits, 32 bits.
    const fn pack(self) -> Extra {
        self.number as Extra | (self.latency_ms as Extra) << 5 | (self.by as Extra) << 32
    }

    /// `None`: it is no event of a journey.
    pub const fn of(extra: Extra) -> Option<Step> {
        let number = (extra & 31) as u8;
        if number == 0 {
            return None;
        }
        Some(Step { number, latency_ms: (extra >> 5 & 0x7ff_ffff) as u32, by: (extra >> 32) as u32 })
    }
}

/// Of a composite: bad if bad for one component, else good if good for one, else unclassified. The verdicts of the
/// components stand in the extra, two bits each.
fn judge_all(indicators: &[Indicator], outcome: &Outcome<'_>) -> (Verdict, Extra) {
    let (mut all, mut extra) = (Verdict::Excluded, 0);
    for (part, indicator) in indicators.iter().enumerate() {
        let verdict = judge(indicator, outcome);
        extra |= Extra::from(verdict.code()) << (2 * part);
        all = match (all, verdict) {
            (Verdict::Bad, _) | (_, Verdict::Bad) => Verdict::Bad,
            (Verdict::Good, _) | (_, Verdict::Good) => Verdict::Good,
            (Verdict::Unclassified, _) | (_, Verdict::Unclassified) => Verdict::Unclassified,
            _ => Verdict::Excluded,
        };
    }
    (all, extra)
}

/// Of a gauge: the bits of the value are the extra. What is no number is unclassified.
fn judge_value(indicator: &Indicator, outcome: &Outcome<'_>) -> (Verdict, Extra) {
    let verdict = judge(indicator, outcome);
    let Criterion::Threshold { value, .. } = &indicator.criterion else { return (verdict, 0) };
    match verdict {
        Verdict::Good | Verdict::Bad => match value.eval(outcome).filter(|value| value.is_finite()) {
            Some(value) => (verdict, value.to_bits()),
            None => (Verdict::Unclassified, 0),
        },
        Verdict::Excluded | Verdict::Maintenance | Verdict::Unclassified => (verdict, 0),
    }
}

/// The verdict of a component, see [`judge_all`].
pub fn part_of(extra: Extra, part: usize) -> Verdict {
    Verdict::of_code((extra >> (2 * part) & 3) as u8)
}

#[inline]
fn judge(indicator: &Indicator, outcome: &Outcome<'_>) -> Verdict {
    if let Some(total) = &indicator.total {
        match total.eval(outcome) {
            Some(true) => {}
            Some(false) => return Verdict::Excluded,
            None => return Verdict::Unclassified,
        }
    }
    let good = match &indicator.criterion {
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
