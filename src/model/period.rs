//! What an error budget is for: the period it covers, and what it is counted in.
//!
//! Everything that asks for the compliance window asks here, so that another kind of period or method is one more
//! variant, and the compiler says where it matters.

use super::duration;
use super::time::{Ms, window_start};
use serde::{Deserialize, Serialize};

/// The period that the error budget is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Period {
    /// The last so many milliseconds: the budget comes back as bad events leave the window.
    Rolling(Ms),
}

impl Period {
    /// The length by which the default rules are chosen.
    pub const fn nominal_ms(self) -> Ms {
        match self {
            Period::Rolling(window_ms) => window_ms,
        }
    }

    /// The start of the compliance window at a boundary, in whole slices.
    pub const fn start_ms(self, at_ms: Ms) -> Ms {
        match self {
            Period::Rolling(window_ms) => window_start(at_ms, window_ms),
        }
    }

    /// As in records: `28d`.
    pub fn name(self) -> String {
        match self {
            Period::Rolling(window_ms) => duration::print(window_ms),
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
