//! Checks that no record between tasks is missing or repeated.
//!
//! Tasks send records to each other through a log that keeps every record once and in order. If it does not (a client
//! library loses its position, or somebody deletes records), all later figures would be wrong, and nothing would show
//! it. Therefore every record names its predecessor, and a task that has not received the predecessor stops.

/// A record that is not the successor of the last one received from its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    #[error("repeats what was received before")]
    Duplicate,
    /// Positions are boundaries (of partials) or input offsets (of blocks).
    #[error("continues sender {sender} at {from:?}, but its records were received only up to {received:?}")]
    Gap { sender: u32, from: Option<i64>, received: Option<i64> },
}

/// Checks that a record that continues at `from` is the next one of its sender; `heard` is the position up to which
/// its records were received. If nothing was received, `from` must be `None`, too, unless the reader started in the
/// middle of the stream (`has_received_all` is false).
pub fn follows(
    sender: u32,
    from: Option<i64>,
    received: Option<i64>,
    has_received_all: bool,
) -> Result<(), SequenceError> {
    if from != received && (received.is_some() || has_received_all) {
        return Err(SequenceError::Gap { sender, from, received });
    }
    Ok(())
}
