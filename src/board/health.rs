//! How the process is that shows a board: its phase, and what is wrong with the brokers.

/// The phase of the instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    #[default]
    Starting,
    /// Live tasks, out of those assigned.
    Restoring {
        live: usize,
        assigned: usize,
    },
    /// Assigned and restored.
    Live,
    Stopping,
}

/// What is wrong with the brokers, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Somebody must act: the instance is not ready, whatever its phase.
    Lasting(String),
    /// Shown only while the instance is not live: a live one recovers by itself.
    Passing(String),
}

/// How far the board is with what was published before it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// It reads what is there, and answers are incomplete until then.
    #[default]
    CatchingUp,
    CaughtUp,
    /// It cannot read, and why. What is shown stays as it is.
    Broken(String),
}
