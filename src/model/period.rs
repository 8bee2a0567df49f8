//! What an error budget is for: the period it covers, and what it is counted in.
//!
//! Everything that asks for the compliance window asks here, so that another kind of period or method is one more
//! variant, and the compiler says where it matters.

use super::calendar::Calendar;
use super::duration;
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
}

impl Method {
    /// As in OpenSLO and in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Occurrences => "Occurrences",
        }
    }

    pub fn parse(text: &str) -> Option<Method> {
        [Method::Occurrences].into_iter().find(|method| method.as_str() == text)
    }
}
