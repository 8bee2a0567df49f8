//! The durable tier: rows of bytes under frozen keys, written batch by batch.
//!
//! The operators keep their hot rows in memory; a [`Store`] keeps all rows of the last checkpoint, with the offsets up
//! to which they are valid. This module knows the layout of bytes ([`keys`], [`values`]) and the stores ([`memory`],
//! `rocksdb`). It does not know what a row means, and holds nothing that is not committed to the log.

pub mod keys;
pub mod memory;
#[cfg(feature = "rocksdb")]
pub mod rocksdb;
mod store;
#[cfg(test)]
mod suite;
pub mod values;
pub mod versions;

pub use memory::MemoryStore;
pub use store::{Batch, EachRow, Store, StoreError, Usage};
