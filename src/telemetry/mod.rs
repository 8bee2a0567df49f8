//! What operators of tailburn see: log lines on standard error, and metrics.
//!
//! Metric names are constants, described once ([`names`]); workers count per batch, never per event.
//! Standard output belongs to data: nothing here writes to it. No label ever holds a user's id.

mod figures;
mod logging;
mod metrics;
pub mod names;

pub use figures::{Committed, figures};
pub use logging::{LogFormat, LogOptions, abort_on_panic, allows_colour, init_logging, stderr_line};
pub use metrics::{Metrics, MetricsError, install_metrics};
