//! Operators decide. They read no clock, do no IO, and iterate no unordered map: the same events give the same figures,
//! on any machine, with any partitioning, and after any crash.

pub mod admission;
pub mod alert;
mod budget_rule;
pub mod burn_rate;
mod calendar_sums;
mod canary_verdict;
pub mod classify;
pub mod cohort;
pub mod cohort_episode;
pub mod cohort_tracker;
pub mod detection;
pub mod distribution;
pub mod episode;
mod evaluation;
mod event_attributes;
pub mod event_leaf;
mod event_numbers;
pub mod event_slice;
pub mod event_table;
pub mod exemplars;
pub mod failing_users;
pub mod failures;
pub mod first_chunk;
mod forecast_step;
pub mod key_definition;
pub mod key_state;
pub mod key_view;
pub mod kind;
pub mod partial;
mod policy;
mod quiet;
#[cfg(test)]
mod random;
pub mod sanity;
pub mod signal;
pub mod significance;
pub mod sketch;
pub mod sla;
pub mod status;
pub mod tail_episode;
pub mod tier;
pub mod tuple_list;
pub mod user_row;
pub mod watermark;
mod weight_slices;
pub mod window;
