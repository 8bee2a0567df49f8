//! The interface of a store: bytes in, bytes out, one writer, and atomic batches.
//!
//! Offsets are rows of their batch, so that no crash can separate the two. A store never retries and never repairs:
//! failures are typed, and the worker decides what to do (stop, or wipe and rebuild from the log).

use std::ops::{ControlFlow, Range};
use std::path::PathBuf;

/// Rows in key order. One thread owns a store.
pub trait Store {
    /// Replaces `into` by the value of `key`; `false`, and an empty `into`, if there is none.
    fn get(&self, key: &[u8], into: &mut Vec<u8>) -> Result<bool, StoreError>;

    /// Calls `each` once per key, in the order of `keys` (sorted keys are read fastest).
    fn multi_get(&self, keys: &[&[u8]], each: &mut dyn FnMut(usize, Option<&[u8]>)) -> Result<(), StoreError>;

    /// Every row whose key begins with `prefix`, in key order, until `each` breaks.
    fn scan(&self, prefix: &[u8], each: &mut EachRow<'_>) -> Result<(), StoreError>;

    /// Applies the batch atomically and empties it; on an error nothing is applied and the batch is kept. After a crash
    /// the store has a prefix of the written batches: at least those before the last [`Store::flush`], and never a part
    /// of one.
    fn write(&mut self, batch: &mut Batch) -> Result<(), StoreError>;

    /// Makes every batch written so far durable before it returns.
    fn flush(&mut self) -> Result<(), StoreError>;

    /// Makes every batch written so far durable sometime soon, without waiting for it.
    fn flush_soon(&mut self) -> Result<(), StoreError> {
        self.flush()
    }

    /// An estimate of the store's size.
    fn usage(&self) -> Result<Usage, StoreError>;
}

/// Takes key and value of a row, and returns whether to continue.
pub type EachRow<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Bytes in memory (caches, buffers, indexes) and on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub memory_bytes: u64,
    pub disk_bytes: u64,
}

impl Usage {
    /// Both together.
    pub const fn and(self, other: Usage) -> Usage {
        Usage { memory_bytes: self.memory_bytes + other.memory_bytes, disk_bytes: self.disk_bytes + other.disk_bytes }
    }
}

/// Why a store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "the state directory {} is in use by another process; stop that one, or give this one its own \
         directory (state.dir)", dir.display()
    )]
    Locked { dir: PathBuf },
    #[error(
        "the state in {} has format {found}, and this build reads formats up to {newest}; run the newer \
         build, or move the directory away to have it rebuilt from the log", dir.display()
    )]
    NewerFormat { dir: PathBuf, found: u64, newest: u64 },
    #[error(
        "the state in {} was not written by tailburn ({what}); choose another state.dir, or move the \
         directory away", dir.display()
    )]
    Foreign { dir: PathBuf, what: String },
    /// The bytes on disk are damaged. The log still has everything: wipe and rebuild.
    #[error("the state in {} is damaged and has to be rebuilt from the log: {message}", dir.display())]
    Corrupt { dir: PathBuf, message: String },
    #[error("the state directory {} cannot be used: {message}", dir.display())]
    Io { dir: PathBuf, message: String },
}

impl StoreError {
    /// Whether wiping the store and rebuilding it from the log is the remedy.
    pub const fn is_corruption(&self) -> bool {
        matches!(self, StoreError::Corrupt { .. })
    }
}

/// Puts and deletions that are applied atomically. Keys and values are in one arena, so that a reused batch allocates
/// nothing per row.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    arena: Vec<u8>,
    entries: Vec<Entry>,
    /// Room in which a row is encoded before it is put.
    pub scratch: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key_at: usize,
    value_at: usize,
    end: usize,
    is_put: bool,
}

impl Entry {
    const fn key(self) -> Range<usize> {
        self.key_at..self.value_at
    }

    const fn value(self) -> Range<usize> {
        self.value_at..self.end
    }
}

impl Batch {
    pub const fn new() -> Batch {
        Batch { arena: Vec::new(), entries: Vec::new(), scratch: Vec::new() }
    }

    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.put_with(|out| out.extend_from_slice(key), |_, out| out.extend_from_slice(value));
    }

    /// Lets the caller append key and value to the arena. `value` gets the key's bytes; both closures may only append.
    pub fn put_with(&mut self, key: impl FnOnce(&mut Vec<u8>), value: impl FnOnce(Range<usize>, &mut Vec<u8>)) {
        let key_at = self.arena.len();
        key(&mut self.arena);
        let value_at = self.arena.len();
        value(key_at..value_at, &mut self.arena);
        self.entries.push(Entry { key_at, value_at, end: self.arena.len(), is_put: true });
    }

    pub fn delete(&mut self, key: &[u8]) {
        self.delete_with(|out| out.extend_from_slice(key));
    }

    /// Lets the caller append the key to the arena.
    pub fn delete_with(&mut self, key: impl FnOnce(&mut Vec<u8>)) {
        let key_at = self.arena.len();
        key(&mut self.arena);
        let end = self.arena.len();
        self.entries.push(Entry { key_at, value_at: end, end, is_put: false });
    }

    /// A row of [`Batch::sorted`]: a put, or a deletion if there is no value.
    pub fn set(&mut self, key: &[u8], value: Option<&[u8]>) {
        match value {
            Some(value) => self.put(key, value),
            None => self.delete(key),
        }
    }

    /// Puts and deletions, repeated keys counted each time.
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of keys and values.
    pub const fn bytes(&self) -> usize {
        self.arena.len()
    }

    pub fn clear(&mut self) {
        self.arena.clear();
        self.entries.clear();
    }

    /// The rows in key order, each key once with its last write; `None` is a deletion.
    pub fn sorted(&mut self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let arena = &self.arena;
        // Stable, so the writes of one key stay in order, and each replaces the one before.
        self.entries.sort_by(|a, b| arena[a.key()].cmp(&arena[b.key()]));
        self.entries.dedup_by(|later, kept| {
            let same = arena[later.key()] == arena[kept.key()];
            if same {
                *kept = *later;
            }
            same
        });
        self.entries.iter().map(|e| (&arena[e.key()], e.is_put.then(|| &arena[e.value()])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_sorted_and_the_last_write_of_a_key_wins() {
        let mut batch = Batch::new();
        batch.put(b"b", b"1");
        batch.put(b"a", b"2");
        batch.delete(b"b");
        batch.put(b"", b"3");
        batch.delete(b"a");
        batch.put(b"a", b"4");
        let rows: Vec<_> = batch.sorted().map(|(k, v)| (k.to_vec(), v.map(<[u8]>::to_vec))).collect();
        let want = [(&b""[..], Some(&b"3"[..])), (b"a", Some(b"4")), (b"b", None)];
        assert_eq!(rows, want.map(|(k, v)| (k.to_vec(), v.map(<[u8]>::to_vec))));
    }

    #[test]
    fn a_batch_that_was_sorted_takes_more_rows() {
        let mut batch = Batch::new();
        batch.put(b"k", b"old");
        assert_eq!(batch.sorted().count(), 1);
        batch.put(b"k", b"new");
        batch.put(b"a", b"first");
        let rows: Vec<_> = batch.sorted().map(|(_, v)| v.map(<[u8]>::to_vec)).collect();
        assert_eq!(rows, [Some(b"first".to_vec()), Some(b"new".to_vec())]);
    }

    #[test]
    fn writes_that_take_no_bytes_keep_their_order() {
        let mut batch = Batch::new();
        batch.delete(b"");
        batch.put(b"", b"");
        assert_eq!(batch.sorted().collect::<Vec<_>>(), [(&b""[..], Some(&b""[..]))]);
    }

    #[test]
    fn a_cleared_batch_is_empty() {
        let mut batch = Batch::new();
        batch.put(b"k", b"v");
        assert_eq!((batch.len(), batch.bytes()), (1, 2));
        batch.clear();
        assert!(batch.is_empty());
        assert_eq!(batch.bytes(), 0);
    }
}
