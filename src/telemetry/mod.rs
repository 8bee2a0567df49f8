//! Log lines on standard error, and metrics, for the people who operate tailburn.
//!
//! Metric names are constants, described once ([`names`]); workers count per batch, never per event. Standard output is
//! for data: nothing here writes to it. No label contains a user id.

mod figures;
mod inputs;
mod logging;
mod metrics;
pub mod names;
mod samples;

pub use figures::{Committed, figures};
pub use inputs::{HeldBack, InputSample, Inputs};
pub use logging::{LogFormat, LogOptions, PUNCTUAL, abort_on_panic, allows_colour, init_logging, stderr_line};
pub use metrics::{Metrics, MetricsError, install_metrics};
pub use samples::{Families, Sample};
