//! Which failures of a worker are temporary, and how long a new worker is tried.
//!
//! An instance that never worked fails at once, so that a person learns of a wrong address.
#![expect(clippy::disallowed_methods, reason = "how long to try is the shell's decision, and no figure depends on it")]

use crate::command::Failure;
use crate::log::LogError;
use crate::pipeline::block::BlockError;
use crate::pipeline::checkpoint::CheckpointError;
use crate::state::StoreError;
use crate::worker::WorkerError;
use std::time::{Duration, Instant};

/// After this time without a commit the process ends, and a service manager takes over.
const GIVE_UP_AFTER: Duration = Duration::from_secs(900);
/// If a worker is fenced more often, another process uses the same transactional id, and the two would fence each other
/// forever.
const FENCED_MAX: u32 = 3;
/// All instances that watch the same topics notice a change within this time.
pub const ALL_NOTICE: Duration = Duration::from_secs(8);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Why a worker ended.
pub enum Ended {
    /// A temporary failure: a new worker may succeed.
    Passing(WorkerError),
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for Ended {
    fn from(error: E) -> Ended {
        Ended::Failed(error.into())
    }
}

pub fn ended(error: WorkerError) -> Ended {
    match error {
        WorkerError::Aborted(_)
        | WorkerError::Lost(_)
        | WorkerError::Grown(_)
        | WorkerError::Useless { .. }
        // A disk that is full now may have room later.
        | WorkerError::Checkpoint(CheckpointError::Store(StoreError::Io { .. }))
        | WorkerError::Log(LogError::Broken(_) | LogError::Fenced(_) | LogError::Grown(_)) => Ended::Passing(error),
        WorkerError::Refused(why) => Ended::Failed(Failure::Definition(why)),
        // Another build wrote it.
        WorkerError::PartialVersion { .. } | WorkerError::Block(BlockError::Version { .. }) => {
            Ended::Failed(Failure::Definition(error.to_string()))
        }
        WorkerError::Log(LogError::Refused { what, message }) => {
            Ended::Failed(Failure::Definition(format!("{what}: {message}")))
        }
        other => Ended::Failed(anyhow::Error::from(other).into()),
    }
}

/// The failures of a worker since its last success.
#[derive(Default)]
pub struct Recovery {
    has_worked: bool,
    attempts: u32,
    fenced: u32,
    since: Option<Instant>,
}

impl Recovery {
    /// A commit succeeded.
    pub fn went_well(&mut self) {
        *self = Recovery { has_worked: true, fenced: self.fenced, ..Recovery::default() };
    }

    /// [`Recovery::after`], now.
    pub fn after_now(&mut self, cause: &WorkerError) -> Option<Duration> {
        self.after(cause, Instant::now())
    }

    /// How long to wait before the next worker starts; `None`: give up.
    pub fn after(&mut self, cause: &WorkerError, now: Instant) -> Option<Duration> {
        self.attempts += 1;
        self.fenced += u32::from(matches!(cause, WorkerError::Log(LogError::Fenced(_))));
        let since = *self.since.get_or_insert(now);
        // Other errors, such as an abort or a lost partition, are answers of the brokers, so these can be reached.
        let is_unreachable = matches!(cause, WorkerError::Log(_) | WorkerError::Checkpoint(_)) && !self.has_worked;
        let is_hopeless = is_unreachable || self.fenced > FENCED_MAX || now - since > GIVE_UP_AFTER;
        (!is_hopeless).then(|| PAUSE_MAX.min(Duration::from_millis(100 * u64::from(self.attempts))))
    }
}

/// Waits before a retry.
pub fn wait(pause: Duration) {
    std::thread::sleep(pause);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken() -> WorkerError {
        LogError::Broken("the broker is gone".to_owned()).into()
    }

    #[test]
    fn an_instance_that_never_worked_fails_at_once() {
        assert_eq!(Recovery::default().after(&broken(), Instant::now()), None);
    }

    #[test]
    fn an_unreachable_broker_is_waited_for_within_a_bound() {
        let (mut recovery, began) = (Recovery::default(), Instant::now());
        recovery.went_well();
        assert!(recovery.after(&broken(), began).is_some_and(|pause| pause < Duration::from_secs(1)));
        assert!(recovery.after(&broken(), began + GIVE_UP_AFTER).is_some());
        assert_eq!(recovery.after(&broken(), began + GIVE_UP_AFTER + Duration::from_secs(1)), None);
        recovery.went_well();
        assert!(recovery.after(&broken(), began + GIVE_UP_AFTER * 2).is_some(), "a commit succeeded since");
    }

    #[test]
    fn two_holders_of_one_transactional_id_do_not_fence_each_other_forever() {
        let mut recovery = Recovery::default();
        let fenced = || LogError::Fenced("another".to_owned()).into();
        for _ in 0..FENCED_MAX {
            recovery.went_well();
            assert!(recovery.after(&fenced(), Instant::now()).is_some());
        }
        recovery.went_well();
        assert_eq!(recovery.after(&fenced(), Instant::now()), None);
    }
}
