//! The state directory: the id of this instance, and the stores of its tasks.
#![expect(clippy::disallowed_methods, reason = "waits for a store that another thread is about to close")]

use crate::command::Failure;
use crate::config::Settings;
use crate::fault::{self, Place};
#[cfg(feature = "rocksdb")]
use crate::state::rocksdb::{RocksMemory, RocksStore};
use crate::state::{Store, StoreError};
use crate::worker::{Stores, TaskId};
use anyhow::Context as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
#[cfg(feature = "rocksdb")]
use std::time::Duration;

/// How often and how long to wait for a store that another thread still has open.
#[cfg(feature = "rocksdb")]
const LOCK_TRIES: u32 = 200;
#[cfg(feature = "rocksdb")]
const LOCK_WAIT: Duration = Duration::from_millis(50);

/// A state directory, locked for this process as long as the value lives.
pub struct StateDir {
    /// Stable over restarts. It is part of the transactional ids, so that these belong to the directory.
    pub instance_id: String,
    tasks: PathBuf,
    #[cfg(feature = "rocksdb")]
    memory: RocksMemory,
    _lock: File,
}

impl StateDir {
    pub fn open(settings: &Settings) -> Result<StateDir, Failure> {
        fault::point(Place::Opening);
        let dir = &settings.state.dir;
        fs::create_dir_all(dir).with_context(|| format!("state.dir {}", dir.display()))?;
        let lock = File::create(dir.join("lock")).with_context(|| format!("state.dir {}", dir.display()))?;
        if lock.try_lock().is_err() {
            return Err(Failure::Definition(StoreError::Locked { dir: dir.clone() }.to_string()));
        }
        #[cfg(not(feature = "rocksdb"))]
        tracing::warn!("this build has no RocksDB: state is in memory, and every start restores it from the changelog");
        Ok(StateDir {
            instance_id: read_or_make_id(&dir.join("instance"))?,
            tasks: tasks_of(dir, &settings.application_id)?,
            // Rows are in memory themselves; the stores' own buffers get a quarter.
            #[cfg(feature = "rocksdb")]
            memory: RocksMemory::new(settings.state.memory_limit_bytes / 4),
            _lock: lock,
        })
    }

    /// The stores, for one worker.
    pub fn stores(&self) -> LocalStores {
        LocalStores {
            tasks: self.tasks.clone(),
            #[cfg(feature = "rocksdb")]
            memory: self.memory.clone(),
        }
    }
}

/// One store per task, in the state directory.
pub struct LocalStores {
    tasks: PathBuf,
    #[cfg(feature = "rocksdb")]
    memory: RocksMemory,
}

#[cfg(feature = "rocksdb")]
impl Stores for LocalStores {
    fn open(&mut self, task: TaskId) -> Result<Box<dyn Store>, StoreError> {
        let dir = self.tasks.join(task.to_string());
        let mut tries = 0;
        loop {
            match RocksStore::open(&dir, &self.memory) {
                Ok(store) => return Ok(Box::new(store)),
                // The state directory is locked by this process, so another thread of it is about to close the store.
                Err(StoreError::Locked { .. }) if tries < LOCK_TRIES => std::thread::sleep(LOCK_WAIT),
                Err(error) => return Err(error),
            }
            tries += 1;
        }
    }

    fn wipe(&mut self, task: TaskId) -> Result<(), StoreError> {
        RocksStore::wipe(&self.tasks.join(task.to_string()))
    }
}

#[cfg(not(feature = "rocksdb"))]
impl Stores for LocalStores {
    fn open(&mut self, _task: TaskId) -> Result<Box<dyn Store>, StoreError> {
        Ok(Box::new(crate::state::MemoryStore::default()))
    }

    fn wipe(&mut self, _task: TaskId) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The directory of an application's stores. Another application_id starts with empty state in the same state.dir, and
/// the first one finds its state again.
fn tasks_of(dir: &Path, application_id: &str) -> Result<PathBuf, Failure> {
    let path = dir.join("application");
    let first = fs::read_to_string(&path).unwrap_or_default();
    match first.trim() {
        "" => fs::write(&path, application_id).with_context(|| path.display().to_string())?,
        first if first == application_id => {}
        first => {
            tracing::info!(
                "state.dir also has state of application {first}; the state of {application_id} is kept separately"
            );
            return Ok(dir.join(format!("tasks-{application_id}")));
        }
    }
    Ok(dir.join("tasks"))
}

fn read_or_make_id(path: &Path) -> Result<String, Failure> {
    if let Ok(text) = fs::read_to_string(path)
        && !text.trim().is_empty()
    {
        return Ok(text.trim().to_owned());
    }
    let id = uuid::Uuid::new_v4().to_string();
    fs::write(path, &id).with_context(|| path.display().to_string())?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages advise another application id as a remedy, so it must start without state.
    #[test]
    fn applications_have_stores_of_their_own_in_one_directory() {
        let dir = tempfile::TempDir::new().expect("a directory");
        let tasks = |id: &str| tasks_of(dir.path(), id).expect("a directory").file_name().map(|name| name.to_owned());
        let first = tasks("first");
        assert_eq!(first.as_deref(), Some("tasks".as_ref()), "where older builds had it");
        assert_eq!(tasks("second").as_deref(), Some("tasks-second".as_ref()));
        assert_eq!(tasks("first"), first);
    }
}
