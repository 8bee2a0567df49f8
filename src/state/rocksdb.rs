//! A store on disk: one RocksDB per task. Only this module uses the crate.
//!
//! There is no write-ahead log: a batch contains its offsets, so data lost in a crash is read again from the log. This
//! is safe because all rows are in one column family: a batch enters one memtable as a whole, and memtables become
//! durable in order. It repairs nothing: damage is an error, and [`RocksStore::wipe`] is the remedy.

mod options;
#[cfg(test)]
mod tests;

use super::store::{Batch, EachRow, Store, StoreError, Usage};
use crate::model::wire::{Reader, Writer};
pub use options::RocksMemory;
use rocksdb::{
    ColumnFamilyDescriptor, DB, DEFAULT_COLUMN_FAMILY_NAME, Error, ErrorKind, FlushOptions, Options, PrefixRange,
    ReadOptions, WriteBatch, WriteOptions, properties,
};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// The newest format of a state directory that this build reads.
pub const FORMAT: u64 = 1;

/// Holds only the marker, so that no scan of rows sees it.
const MARKER_FAMILY: &str = "format";
const MARKER_KEY: &[u8] = b"tailburn";
/// How many values are pinned at once.
const KEYS_AT_ONCE: usize = 256;

pub struct RocksStore {
    db: DB,
    dir: PathBuf,
    write: WriteOptions,
    read: ReadOptions,
}

impl std::fmt::Debug for RocksStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RocksStore").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl RocksStore {
    /// Opens the store in `dir`, or creates an empty one.
    pub fn open(dir: &Path, memory: &RocksMemory) -> Result<RocksStore, StoreError> {
        std::fs::create_dir_all(dir).map_err(|e| StoreError::Io { dir: dir.to_owned(), message: e.to_string() })?;
        let db = open_all_families(dir, memory).map_err(|e| classified(dir, &e))?;
        let mut write = WriteOptions::default();
        write.disable_wal(true);
        let store = RocksStore { db, dir: dir.to_owned(), write, read: ReadOptions::default() };
        store.check_marker()?;
        Ok(store)
    }

    /// Deletes the store in `dir`, damaged or not; leaves other files alone.
    pub fn wipe(dir: &Path) -> Result<(), StoreError> {
        if !dir.exists() {
            return Ok(());
        }
        DB::destroy(&Options::default(), dir).map_err(|e| classified(dir, &e))
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A directory without a marker is ours only if it is empty: then it was just created.
    fn check_marker(&self) -> Result<(), StoreError> {
        let family = self.db.cf_handle(MARKER_FAMILY).ok_or_else(|| self.foreign("it has no format marker"))?;
        let marker = self.db.get_pinned_cf(family, MARKER_KEY).map_err(|e| self.error(&e))?;
        match marker {
            Some(bytes) => self.check_format(&bytes),
            None if self.has_rows()? => Err(self.foreign("it holds rows, and no format marker")),
            None => {
                let mut bytes = Vec::new();
                Writer::new(&mut bytes).u64(FORMAT);
                let put = self.db.put_cf_opt(family, MARKER_KEY, bytes, &self.write);
                put.and_then(|()| self.db.flush_cf_opt(family, &waiting())).map_err(|e| self.error(&e))
            }
        }
    }

    fn check_format(&self, marker: &[u8]) -> Result<(), StoreError> {
        match Reader::new(marker).u64() {
            Ok(1..=FORMAT) => Ok(()),
            Ok(found @ 2..) => Err(StoreError::NewerFormat { dir: self.dir.clone(), found, newest: FORMAT }),
            Ok(0) | Err(_) => Err(self.foreign("its format marker cannot be read")),
        }
    }

    fn has_rows(&self) -> Result<bool, StoreError> {
        let mut found = false;
        self.scan(b"", &mut |_, _| {
            found = true;
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    fn foreign(&self, what: &str) -> StoreError {
        StoreError::Foreign { dir: self.dir.clone(), what: what.to_owned() }
    }

    fn error(&self, error: &Error) -> StoreError {
        classified(&self.dir, error)
    }

    fn property(&self, name: &rocksdb::properties::PropName) -> Result<u64, StoreError> {
        Ok(self.db.property_int_value(name).map_err(|e| self.error(&e))?.unwrap_or(0))
    }
}

impl Store for RocksStore {
    fn get(&self, key: &[u8], into: &mut Vec<u8>) -> Result<bool, StoreError> {
        into.clear();
        let found = self.db.get_pinned_opt(key, &self.read).map_err(|e| self.error(&e))?;
        if let Some(value) = &found {
            into.extend_from_slice(value);
        }
        Ok(found.is_some())
    }

    fn multi_get(&self, keys: &[&[u8]], each: &mut dyn FnMut(usize, Option<&[u8]>)) -> Result<(), StoreError> {
        let Some(rows) = self.db.cf_handle(DEFAULT_COLUMN_FAMILY_NAME) else {
            return Err(self.foreign("it has no rows"));
        };
        for (chunk, keys) in keys.chunks(KEYS_AT_ONCE).enumerate() {
            let values = self.db.batched_multi_get_cf_opt(rows, keys.iter().copied(), keys.is_sorted(), &self.read);
            for (i, value) in values.into_iter().enumerate() {
                let value = value.map_err(|e| self.error(&e))?;
                each(chunk * KEYS_AT_ONCE + i, value.as_deref());
            }
        }
        Ok(())
    }

    fn scan(&self, prefix: &[u8], each: &mut EachRow<'_>) -> Result<(), StoreError> {
        let mut read = ReadOptions::default();
        read.set_iterate_range(PrefixRange(prefix));
        // A scan reads each block once, so it must not evict the blocks of single reads.
        read.fill_cache(false);
        let mut rows = self.db.raw_iterator_opt(read);
        rows.seek_to_first();
        while let Some((key, value)) = rows.item() {
            if each(key, value).is_break() {
                return Ok(());
            }
            rows.next();
        }
        rows.status().map_err(|e| self.error(&e))
    }

    fn write(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        // A record has up to 11 bytes besides key and value.
        let mut sorted = WriteBatch::with_capacity_bytes(batch.bytes() + 11 * batch.len() + 12);
        for (key, value) in batch.sorted() {
            match value {
                Some(value) => sorted.put(key, value),
                None => sorted.delete(key),
            }
        }
        self.db.write_opt(sorted, &self.write).map_err(|e| self.error(&e))?;
        batch.clear();
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.db.flush_opt(&waiting()).map_err(|e| self.error(&e))
    }

    fn flush_soon(&mut self) -> Result<(), StoreError> {
        let mut options = FlushOptions::default();
        options.set_wait(false);
        self.db.flush_opt(&options).map_err(|e| self.error(&e))
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        Ok(Usage {
            memory_bytes: self.property(properties::SIZE_ALL_MEM_TABLES)?
                + self.property(properties::ESTIMATE_TABLE_READERS_MEM)?,
            disk_bytes: self.property(properties::TOTAL_SST_FILES_SIZE)?,
        })
    }
}

/// RocksDB opens all column families or none, so unknown ones are opened, too: the marker then shows that a newer build
/// made them.
fn open_all_families(dir: &Path, memory: &RocksMemory) -> Result<DB, Error> {
    let options = options::database(memory);
    let mut families = BTreeSet::from([DEFAULT_COLUMN_FAMILY_NAME.to_owned(), MARKER_FAMILY.to_owned()]);
    if dir.join("CURRENT").exists() {
        families.extend(DB::list_cf(&options, dir)?);
    }
    let descriptors = families.into_iter().map(|name| {
        let options = if name == DEFAULT_COLUMN_FAMILY_NAME { options::rows(memory) } else { Options::default() };
        ColumnFamilyDescriptor::new(name, options)
    });
    DB::open_cf_descriptors(&options, dir, descriptors)
}

fn waiting() -> FlushOptions {
    let mut options = FlushOptions::default();
    options.set_wait(true);
    options
}

/// RocksDB's errors are only texts: a held lock is recognized by its wording; a missing file counts as damage.
fn classified(dir: &Path, error: &Error) -> StoreError {
    let (dir, message) = (dir.to_owned(), error.to_string());
    let locked = message.contains("lock hold by current process") || message.contains("While lock file");
    match error.kind() {
        ErrorKind::IOError if locked => StoreError::Locked { dir },
        ErrorKind::IOError if message.contains("No such file or directory") => StoreError::Corrupt { dir, message },
        ErrorKind::Corruption => StoreError::Corrupt { dir, message },
        _ => StoreError::Io { dir, message },
    }
}
