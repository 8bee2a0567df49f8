//! The options of RocksDB: for sorted batches of small rows by one writer, and reads that mostly miss.
//!
//! Tests read these options back from RocksDB's files, because an option that is silently ignored costs more than a
//! wrong one.

use rocksdb::{BlockBasedOptions, Cache, ChecksumType, DBCompressionType, LogLevel, Options, WriteBufferManager};

const MIB: usize = 1 << 20;

/// The memory that all stores of a process share: block cache, and write buffers within it.
#[derive(Clone)]
pub struct RocksMemory {
    cache: Cache,
    write_buffers: WriteBufferManager,
    write_buffer_bytes: usize,
}

impl RocksMemory {
    /// At most half of the limit is for rows that are not flushed yet, the rest for blocks.
    pub fn new(limit_bytes: u64) -> RocksMemory {
        let limit = usize::try_from(limit_bytes).unwrap_or(usize::MAX).max(MIB);
        let cache = Cache::new_lru_cache(limit);
        // Without stalls: a store's only writer is a worker's thread, which would be blocked.
        let write_buffers = WriteBufferManager::new_write_buffer_manager_with_cache(limit / 2, false, cache.clone());
        RocksMemory { cache, write_buffers, write_buffer_bytes: (limit / 8).clamp(MIB / 8, 64 * MIB) }
    }

    /// Bytes in use by blocks and write buffers together.
    pub fn used_bytes(&self) -> u64 {
        self.cache.get_usage() as u64
    }
}

impl std::fmt::Debug for RocksMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RocksMemory").field("used_bytes", &self.used_bytes()).finish_non_exhaustive()
    }
}

/// Options of the whole database.
pub(super) fn database(memory: &RocksMemory) -> Options {
    let mut options = rows(memory);
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_write_buffer_manager(&memory.write_buffers);
    // Per store; a process has one store for each task, and together they must stay below the default limit of 1,024
    // open files.
    options.set_max_open_files(64);
    options.set_max_background_jobs(2);
    options.set_bytes_per_sync(MIB as u64);
    options.set_avoid_unnecessary_blocking_io(true);
    // RocksDB's own log, bounded; for analysis after a failure.
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(MIB);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options
}

/// Options of the rows' column family.
pub(super) fn rows(memory: &RocksMemory) -> Options {
    let mut options = Options::default();
    options.set_write_buffer_size(memory.write_buffer_bytes);
    options.set_max_write_buffer_number(3);
    // A skip list: writing a sorted batch to a vector costs 0.3 (10 k rows) to 0.8 (100 k) of it, but a vector sorts
    // itself again for a read before the next flush (measured: a miss takes 124-258 us instead of 5 us). The filter,
    // and tables without partitions, reduce a miss to 1.8 us.
    options.set_memtable_prefix_bloom_ratio(0.02);
    options.set_memtable_whole_key_filtering(true);
    options.set_target_file_size_base(64 * MIB as u64);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_bottommost_compression_type(DBCompressionType::Zstd);
    options.set_block_based_table_factory(&tables(memory));
    options
}

fn tables(memory: &RocksMemory) -> BlockBasedOptions {
    let mut tables = BlockBasedOptions::default();
    tables.set_block_cache(&memory.cache);
    tables.set_block_size(8 << 10);
    tables.set_checksum_type(ChecksumType::XXH3);
    // Most users looked up are new or in memory, and filters answer for the new ones. Bloom for short-lived files
    // (level 0), ribbon (a third smaller, slower to build) for the others.
    tables.set_hybrid_ribbon_filter(10.0, 1);
    tables.set_optimize_filters_for_memory(true);
    // Indexes and filters count against the limit. They are not partitioned, because partitions double the cost of a
    // miss (measured: 2.2 us instead of 1.0 us) to save memory that a task's store, with some MiB of filters, can
    // afford.
    tables.set_cache_index_and_filter_blocks(true);
    tables.set_cache_index_and_filter_blocks_with_high_priority(true);
    tables.set_pin_l0_filter_and_index_blocks_in_cache(true);
    tables
}
