//! The state directory: who this instance is, and the store of its tasks.

use crate::command::Failure;
use crate::config::Settings;
use crate::state::Store;
use anyhow::Context as _;
use std::fs;
use std::path::Path;

/// Opens the store of this build: RocksDB, or memory where that feature is off.
pub fn open(settings: &Settings) -> Result<Box<dyn Store>, Failure> {
    let dir = &settings.state.dir;
    fs::create_dir_all(dir).with_context(|| format!("state.dir {}", dir.display()))?;
    open_state(settings)
}

/// Who this instance is: stable over restarts, it makes the transactional id this directory's own.
/// To be asked once the store is open, whose lock keeps others out.
pub fn instance_id(settings: &Settings) -> Result<String, Failure> {
    read_or_make_id(&settings.state.dir.join("instance"))
}

#[cfg(feature = "rocksdb")]
fn open_state(settings: &Settings) -> Result<Box<dyn Store>, Failure> {
    use crate::state::rocksdb::{RocksMemory, RocksStore};
    // Rows are in memory themselves; the store's own buffers get a quarter.
    let memory = RocksMemory::new(settings.state.memory_limit_bytes / 4);
    let store = RocksStore::open(&settings.state.dir.join("tasks"), &memory);
    Ok(Box::new(store.map_err(|e| Failure::Definition(e.to_string()))?))
}

#[cfg(not(feature = "rocksdb"))]
fn open_state(_settings: &Settings) -> Result<Box<dyn Store>, Failure> {
    tracing::warn!("this build has no RocksDB: state is in memory, and a restart reads the log from its beginning");
    Ok(Box::new(crate::state::MemoryStore::default()))
}

fn read_or_make_id(path: &Path) -> Result<String, Failure> {
    if let Ok(text) = fs::read_to_string(path)
        && !text.trim().is_empty()
    {
        return Ok(text.trim().to_owned());
    }
    #[expect(clippy::disallowed_methods, reason = "the shell names itself; no figure depends on it")]
    let id = uuid::Uuid::new_v4().to_string();
    fs::write(path, &id).with_context(|| path.display().to_string())?;
    Ok(id)
}
