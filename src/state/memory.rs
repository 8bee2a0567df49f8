//! A store that lives and ends with the process: the demo, backtests, simulation and most tests.
//!
//! It keeps all guarantees of [`Store`] except durability: after a crash it is empty, which is also a prefix of the
//! batches.

use super::store::{Batch, EachRow, Store, StoreError, Usage};
use std::collections::BTreeMap;
use std::ops::Bound;

#[derive(Debug, Default)]
pub struct MemoryStore {
    rows: BTreeMap<Box<[u8]>, Box<[u8]>>,
    bytes: u64,
}

impl MemoryStore {
    pub const fn new() -> MemoryStore {
        MemoryStore { rows: BTreeMap::new(), bytes: 0 }
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.bytes += value.len() as u64;
        match self.rows.get_mut(key) {
            Some(old) => {
                self.bytes -= old.len() as u64;
                *old = value.into();
            }
            None => {
                self.bytes += key.len() as u64;
                self.rows.insert(key.into(), value.into());
            }
        }
    }

    fn delete(&mut self, key: &[u8]) {
        if let Some(old) = self.rows.remove(key) {
            self.bytes -= (key.len() + old.len()) as u64;
        }
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &[u8], into: &mut Vec<u8>) -> Result<bool, StoreError> {
        into.clear();
        let found = self.rows.get(key);
        if let Some(value) = found {
            into.extend_from_slice(value);
        }
        Ok(found.is_some())
    }

    fn multi_get(&self, keys: &[&[u8]], each: &mut dyn FnMut(usize, Option<&[u8]>)) -> Result<(), StoreError> {
        for (i, key) in keys.iter().enumerate() {
            each(i, self.rows.get(*key).map(|v| &**v));
        }
        Ok(())
    }

    fn scan(&self, prefix: &[u8], each: &mut EachRow<'_>) -> Result<(), StoreError> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        for (key, value) in self.rows.range::<[u8], _>(from).take_while(|(key, _)| key.starts_with(prefix)) {
            if each(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn write(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        for (key, value) in batch.sorted() {
            match value {
                Some(value) => self.put(key, value),
                None => self.delete(key),
            }
        }
        batch.clear();
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        Ok(Usage { memory_bytes: self.bytes, disk_bytes: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::suite;

    #[test]
    fn behaves_as_a_store() {
        suite::behaves_as_a_store(&mut MemoryStore::new);
    }

    #[test]
    fn usage_follows_puts_overwrites_and_deletions() {
        let mut store = MemoryStore::new();
        let mut batch = Batch::new();
        batch.put(b"key", b"value");
        batch.put(b"k", b"v");
        store.write(&mut batch).unwrap();
        assert_eq!(store.usage().unwrap().memory_bytes, 10);
        batch.put(b"key", b"");
        batch.delete(b"k");
        batch.delete(b"absent");
        store.write(&mut batch).unwrap();
        assert_eq!(store.usage().unwrap().memory_bytes, 3);
    }
}
