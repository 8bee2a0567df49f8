//! The durable tier: rows of bytes under frozen keys, written batch by batch.
//!
//! The operators keep their hot rows in memory; a [`Store`] keeps all of them, as of the last
//! checkpoint, together with the offsets they are current to. This module knows how bytes are laid
//! out ([`keys`], [`values`]) and where they are kept ([`memory`], `rocksdb`). It refuses to know
//! what a row means, and to hold anything that is not committed to the log.

pub mod keys;
pub mod memory;
#[cfg(feature = "rocksdb")]
pub mod rocksdb;
mod store;
#[cfg(test)]
mod suite;
pub mod values;

pub use memory::MemoryStore;
pub use store::{Batch, EachRow, Store, StoreError, Usage};
