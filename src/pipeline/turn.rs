//! Whether what is said follows from what was said before it.
//!
//! Tasks hear of one another through a log that keeps every record once and in order. Where it does not
//! (a client library that loses its place, a hand that deleted records), figures would be wrong from
//! then on and nothing would show it: so every record says what it goes on from, and a task that
//! did not hear that stops.

/// A record that cannot follow what was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutOfTurn {
    #[error("says what was said before")]
    Again,
    /// Positions are boundaries (of partials) or input offsets (of blocks).
    #[error("goes on from {from:?} of sender {sender}, of whom only what is before {heard:?} was heard")]
    Missing { sender: u32, from: Option<i64>, heard: Option<i64> },
}

/// Whether a record that goes on `from` there follows from what was heard of its sender. Where nothing
/// was heard, nothing was sent, unless the reader began in the middle (`has_heard_all` is false).
pub fn follows(sender: u32, from: Option<i64>, heard: Option<i64>, has_heard_all: bool) -> Result<(), OutOfTurn> {
    if from != heard && (heard.is_some() || has_heard_all) {
        return Err(OutOfTurn::Missing { sender, from, heard });
    }
    Ok(())
}
