//! The faults, by theme.

pub mod brokers;
pub mod changelog;
pub mod clocks;
pub mod disks;
pub mod inputs;
pub mod kills;
pub mod members;
pub mod named;
pub mod pauses;
