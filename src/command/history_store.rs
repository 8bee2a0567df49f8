//! The store for hourly points that find no room in memory: below `state.dir`, and empty at each start, because the topic
//! has them all.

use crate::config::Settings;
use crate::state::Store;

/// Which process has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    Run,
    Serve,
}

/// Memory for its blocks and buffers.
#[cfg(feature = "rocksdb")]
const MEMORY_BYTES: u64 = 64 << 20;

/// `None`: there is none, and what finds no room is not shown.
#[cfg(feature = "rocksdb")]
pub fn open(settings: &Settings, of: Of) -> Option<Box<dyn Store + Send>> {
    use crate::state::rocksdb::{RocksMemory, RocksStore};
    let dir = settings.state.dir.join(match of {
        Of::Run => "history",
        Of::Serve => "history-serve",
    });
    match RocksStore::wipe(&dir).and_then(|()| RocksStore::open(&dir, &RocksMemory::new(MEMORY_BYTES))) {
        Ok(store) => Some(Box::new(store)),
        Err(error) => {
            tracing::warn!("the history that is shown is as long as memory allows: {error}");
            None
        }
    }
}

/// `None`: this build has no store on disk.
#[cfg(not(feature = "rocksdb"))]
pub fn open(_: &Settings, _: Of) -> Option<Box<dyn Store + Send>> {
    None
}
