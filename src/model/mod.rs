//! The vocabulary: event time, outcomes, SLOs, keys and output records.
//!
//! Nothing here does IO, reads a clock or knows where a record came from. All other modules import this one; it imports
//! none of them.

pub mod applied;
pub mod calendar;
pub mod duration;
pub mod expr;
pub mod hex;
pub mod key;
pub mod maintenance;
pub mod outcome;
pub mod output;
pub mod period;
pub mod properties;
pub mod ratio;
pub mod record;
pub mod slo;
pub mod suggest;
pub mod tenants;
pub mod time;
pub mod tuple;
pub mod wire;
pub mod yaml_fault;
