//! The core, from input records to output records: `route` and `intake` turn records into verdicts, `users` keeps a
//! row per user and closes boundaries, `rollup` merges what all users tasks closed, evaluates every key and encodes
//! the output.
//!
//! Records and event time come in as arguments, and results go out as return values. Nothing here knows which log it
//! runs on.

pub mod admission;
mod admit;
mod admitted;
#[cfg(test)]
mod alone;
mod arrival;
pub mod block;
mod canary_tally;
pub mod checkpoint;
pub mod clients;
pub mod close;
mod cold;
mod cold_rows;
pub mod delays;
mod event_names;
mod event_tally;
mod example;
mod failing;
mod failure_texts;
mod former;
mod grouping;
pub mod input_stats;
pub mod intake;
pub mod intern;
mod journeys;
pub mod key_ref;
mod key_slot;
pub mod lateness;
mod mark;
pub mod pseudonym;
pub mod rollup;
mod rollup_key;
pub mod rollup_state;
mod rollup_writer;
pub mod route;
pub mod sample;
pub mod seen;
pub mod sequence;
pub mod step;
mod stored;
mod stored_definition;
mod tally;
mod unpack;
pub mod users;
