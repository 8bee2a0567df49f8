//! What a failure of a task's state means: whether the local store can be rebuilt, or somebody has to act.

use super::{TaskId, WorkerError};
use crate::pipeline::checkpoint::CheckpointError;

/// Damage found later than at the opening ends the worker; the next one finds no store.
pub fn useless(task: TaskId, error: WorkerError) -> WorkerError {
    match error {
        WorkerError::Checkpoint(error) => of(task, error),
        other => other,
    }
}

/// The same where the changelog is read too: what cannot be read of that is no fault of the store.
pub fn damaged(task: TaskId, error: WorkerError) -> WorkerError {
    match error {
        WorkerError::Checkpoint(CheckpointError::Store(store)) if store.is_corruption() => {
            WorkerError::Useless { task, why: store.to_string() }
        }
        other => other,
    }
}

pub fn of(task: TaskId, error: CheckpointError) -> WorkerError {
    match error {
        CheckpointError::Value(value) if value.is_of_another_build() => {
            WorkerError::Refused(format!("{task}: {value}"))
        }
        CheckpointError::Value(_) | CheckpointError::Read(_) => WorkerError::Useless { task, why: error.to_string() },
        other => damaged(task, other.into()),
    }
}
