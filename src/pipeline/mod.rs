//! The core, from input records to output records: `route` and `intake` turn records into verdicts, `users` keeps a
//! row per user and closes boundaries, `rollup` merges what all users tasks closed, evaluates every key and encodes
//! the output.
//!
//! Records and event time come in as arguments, and results go out as return values. Nothing here knows which log it
//! runs on.

pub mod admission;
mod admit;
#[cfg(test)]
mod alone;
mod arrival;
pub mod block;
pub mod checkpoint;
pub mod clients;
pub mod close;
mod cold;
pub mod delays;
mod example;
mod former;
mod grouping;
pub mod input_stats;
pub mod intake;
pub mod intern;
mod key_slot;
pub mod lateness;
pub mod pseudonym;
pub mod rollup;
pub mod rollup_state;
pub mod route;
pub mod sample;
pub mod seen;
pub mod step;
mod tally;
pub mod turn;
mod unpack;
pub mod users;
