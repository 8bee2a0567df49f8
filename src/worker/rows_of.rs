//! The rows of one rollup task in a store that several share: each key begins with the task.

use crate::state::{Batch, EachRow, Store, StoreError, Usage};

/// No other key begins with this.
const SHARED: u8 = 0xf0;

/// A store as one of the tasks sees it; what it writes goes by [`write`].
pub struct RowsOf<'a> {
    pub task: u32,
    pub store: &'a dyn Store,
}

fn shared(task: u32, key: &[u8]) -> Vec<u8> {
    let mut shared = vec![SHARED];
    shared.extend(task.to_be_bytes());
    shared.extend(key);
    shared
}

/// Adds the rows that a task wrote to a batch for the store.
pub fn write(task: u32, mut rows: Batch, batch: &mut Batch) {
    for (key, value) in rows.sorted() {
        let key = shared(task, key);
        match value {
            Some(value) => batch.put(&key, value),
            None => batch.delete(&key),
        }
    }
}

impl Store for RowsOf<'_> {
    fn get(&self, key: &[u8], into: &mut Vec<u8>) -> Result<bool, StoreError> {
        self.store.get(&shared(self.task, key), into)
    }

    fn multi_get(&self, keys: &[&[u8]], each: &mut dyn FnMut(usize, Option<&[u8]>)) -> Result<(), StoreError> {
        let keys: Vec<Vec<u8>> = keys.iter().map(|key| shared(self.task, key)).collect();
        self.store.multi_get(&keys.iter().map(Vec::as_slice).collect::<Vec<_>>(), each)
    }

    fn scan(&self, prefix: &[u8], each: &mut EachRow<'_>) -> Result<(), StoreError> {
        let own = shared(self.task, &[]).len();
        self.store.scan(&shared(self.task, prefix), &mut |key, value| each(&key[own..], value))
    }

    fn write(&mut self, _batch: &mut Batch) -> Result<(), StoreError> {
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        self.store.usage()
    }
}
