//! What an error budget is for: the period it covers, and what it is counted in.
//!
//! Everything that asks for the compliance window asks here, so that another kind of period or method is one more
//! variant, and the compiler says where it matters.

use super::calendar::Calendar;
use super::duration;
use super::ratio::Ratio;
use super::time::Ms;
use serde::{Deserialize, Serialize};

/// The period that the error budget is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Period {
    /// The last so many milliseconds: the budget comes back as bad events leave the window.
    Rolling(Ms),
    /// One of the periods of a calendar: each has a budget of its own. Boxed: few SLOs have one.
    Calendar(Box<Calendar>),
}

impl Period {
    /// The length by which the default rules are chosen.
    pub fn nominal_ms(&self) -> Ms {
        match self {
            Period::Rolling(window_ms) => *window_ms,
            Period::Calendar(calendar) => calendar.nominal_ms(),
        }
    }

    /// As in records: `28d`, and a calendar's as it was written: `1M`.
    pub fn name(&self) -> String {
        match self {
            Period::Rolling(window_ms) => duration::print(*window_ms),
            Period::Calendar(calendar) => calendar.name(),
        }
    }

    pub fn calendar(&self) -> Option<&Calendar> {
        match self {
            Period::Rolling(_) => None,
            Period::Calendar(calendar) => Some(calendar),
        }
    }
}

/// What good and bad are counted in (OpenSLO: `budgetingMethod`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// Events, by weight.
    #[default]
    Occurrences,
    /// Slices of time, each good or bad.
    Timeslices(Slicing),
    /// Slices of time, each good by the share of its good events.
    RatioTimeslices(Slicing),
}

/// How time is cut into slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slicing {
    /// Whole minutes; slices begin at its multiples since the epoch.
    pub slice_ms: Ms,
    /// The share of good events from which on a slice is good; of `Timeslices` only.
    pub target: Ratio,
    /// A slice with fewer events counts for neither.
    pub min_events: u64,
}

impl Method {
    /// As in OpenSLO and in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Occurrences => "Occurrences",
            Method::Timeslices(_) => "Timeslices",
            Method::RatioTimeslices(_) => "RatioTimeslices",
        }
    }

    /// `None`: time is not cut.
    pub const fn slicing(&self) -> Option<&Slicing> {
        match self {
            Method::Occurrences => None,
            Method::Timeslices(slicing) | Method::RatioTimeslices(slicing) => Some(slicing),
        }
    }
}
