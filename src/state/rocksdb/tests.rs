use super::*;
use crate::state::suite::{self, Rows, apply, batches, get, rows as all_rows};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

fn memory() -> RocksMemory {
    RocksMemory::new(16 << 20)
}

/// So little memory that rows are flushed all the time.
fn tight_memory() -> RocksMemory {
    RocksMemory::new(1 << 20)
}

fn opened(dir: &Path) -> RocksStore {
    RocksStore::open(dir, &memory()).unwrap()
}

fn put(store: &mut RocksStore, key: &[u8], value: &[u8]) {
    let mut batch = Batch::new();
    batch.put(key, value);
    store.write(&mut batch).unwrap();
}

#[test]
fn behaves_as_a_store() {
    let dirs = std::cell::RefCell::new(Vec::new());
    suite::behaves_as_a_store(&mut || {
        let dir = tempfile::tempdir().unwrap();
        let store = opened(dir.path());
        dirs.borrow_mut().push(dir);
        store
    });
}

#[test]
fn rows_survive_a_flush_and_a_reopening() {
    let config = ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let outcome = runner.run(&batches(), |batches| {
        let dir = tempfile::tempdir().unwrap();
        let (mut model, mut batch) = (Rows::new(), Batch::new());
        for ops in batches.chunks(4) {
            let mut store = opened(dir.path());
            let want: Vec<_> = model.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
            prop_assert_eq!(all_rows(&store, b""), want);
            for ops in ops {
                apply(ops, &mut batch, &mut model);
                store.write(&mut batch).unwrap();
            }
            store.flush().unwrap();
        }
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn a_directory_in_use_is_refused_with_its_name_and_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let _held = opened(dir.path());
    for error in [RocksStore::open(dir.path(), &memory()).unwrap_err(), RocksStore::wipe(dir.path()).unwrap_err()] {
        assert!(matches!(error, StoreError::Locked { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(&dir.path().display().to_string()) && text.contains("state.dir"), "{text}");
    }
}

#[test]
fn a_newer_format_is_refused_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let store = opened(dir.path());
    let family = store.db.cf_handle(MARKER_FAMILY).unwrap();
    store.db.put_cf(family, MARKER_KEY, [2]).unwrap();
    drop(store);
    let error = RocksStore::open(dir.path(), &memory()).unwrap_err();
    assert!(matches!(error, StoreError::NewerFormat { found: 2, newest: FORMAT, .. }), "{error:?}");
    assert!(error.to_string().contains("run the newer build"), "{error}");
}

#[test]
fn a_column_family_of_a_newer_build_does_not_hide_the_marker() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = opened(dir.path());
    store.db.create_cf("later", &Options::default()).unwrap();
    let family = store.db.cf_handle(MARKER_FAMILY).unwrap();
    store.db.put_cf(family, MARKER_KEY, [7]).unwrap();
    drop(store);
    let error = RocksStore::open(dir.path(), &memory()).unwrap_err();
    assert!(matches!(error, StoreError::NewerFormat { found: 7, .. }), "{error:?}");
}

#[test]
fn a_database_not_written_by_tailburn_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let other = DB::open_default(dir.path()).unwrap();
    other.put(b"their", b"row").unwrap();
    drop(other);
    let error = RocksStore::open(dir.path(), &memory()).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error:?}");
}

#[test]
fn a_path_that_cannot_be_a_directory_is_an_error_with_its_name() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = RocksStore::open(&file.path().join("state"), &memory()).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error:?}");
    assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
}

#[test]
fn a_wiped_store_is_empty_and_other_files_stay() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = opened(dir.path());
    put(&mut store, b"k", b"v");
    store.flush().unwrap();
    drop(store);
    std::fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    RocksStore::wipe(dir.path()).unwrap();
    assert!(dir.path().join("notes.txt").exists());
    assert_eq!(all_rows(&opened(dir.path()), b""), []);
    RocksStore::wipe(&dir.path().join("absent")).unwrap();
}

/// The files of a store that end in `suffix`.
fn files(dir: &Path, suffix: &str) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.to_string_lossy().ends_with(suffix)).collect()
}

fn store_with_a_file(dir: &Path) {
    let mut store = opened(dir);
    let mut batch = Batch::new();
    for i in 0..2_000u32 {
        batch.put(&i.to_be_bytes(), &i.wrapping_mul(2_654_435_761).to_be_bytes());
    }
    store.write(&mut batch).unwrap();
    store.flush().unwrap();
}

/// The first error that opening and reading everything gives.
fn first_error(dir: &Path) -> Option<StoreError> {
    let store = match RocksStore::open(dir, &memory()) {
        Ok(store) => store,
        Err(error) => return Some(error),
    };
    store.scan(b"", &mut |_, _| ControlFlow::Continue(())).err()
}

#[test]
fn changed_bytes_and_missing_files_are_damage_and_a_wipe_repairs_it() {
    type Harm = fn(&Path);
    let flip: Harm = |dir| {
        let table = files(dir, ".sst").into_iter().max_by_key(|p| p.metadata().unwrap().len()).unwrap();
        let mut bytes = std::fs::read(&table).unwrap();
        bytes[100] ^= 0x10;
        std::fs::write(table, bytes).unwrap();
    };
    let lose: Harm = |dir| files(dir, ".sst").iter().for_each(|table| std::fs::remove_file(table).unwrap());
    let cut: Harm = |dir| {
        let manifest = std::fs::read_to_string(dir.join("CURRENT")).unwrap();
        std::fs::remove_file(dir.join(manifest.trim())).unwrap();
    };
    for harm in [flip, lose, cut] {
        let dir = tempfile::tempdir().unwrap();
        store_with_a_file(dir.path());
        assert!(first_error(dir.path()).is_none());
        harm(dir.path());
        let error = first_error(dir.path()).unwrap();
        assert!(error.is_corruption(), "{error:?}");
        assert!(error.to_string().contains("rebuilt from the log"), "{error}");
        RocksStore::wipe(dir.path()).unwrap();
        assert_eq!(all_rows(&opened(dir.path()), b""), []);
    }
}

/// The settings of a section of the newest OPTIONS file.
fn settings(dir: &Path, section: &str) -> BTreeMap<String, String> {
    let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let newest = paths.filter(|p| p.to_string_lossy().contains("OPTIONS-")).max().unwrap();
    let text = std::fs::read_to_string(newest).unwrap();
    let body = text.split(&format!("[{section}]")).nth(1).unwrap();
    let lines = body.lines().skip(1).take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| line.trim().split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

#[test]
fn the_options_are_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let _store = RocksStore::open(dir.path(), &RocksMemory::new(64 << 20)).unwrap();
    let check = |section: &str, want: &[(&str, &str)]| {
        let found = settings(dir.path(), section);
        for (key, value) in want {
            assert_eq!(found.get(*key).map(String::as_str), Some(*value), "{section}: {key}");
        }
    };
    check(
        "DBOptions",
        &[
            ("max_open_files", "64"),
            ("max_background_jobs", "2"),
            ("keep_log_file_num", "2"),
            ("avoid_flush_during_shutdown", "false"),
            ("paranoid_checks", "true"),
        ],
    );
    check(
        "CFOptions \"default\"",
        &[
            ("write_buffer_size", "8388608"),
            ("compression", "kLZ4Compression"),
            ("bottommost_compression", "kZSTD"),
            ("level_compaction_dynamic_level_bytes", "true"),
            ("compaction_style", "kCompactionStyleLevel"),
            ("memtable_factory", "SkipListFactory"),
            ("memtable_whole_key_filtering", "true"),
            ("memtable_prefix_bloom_size_ratio", "0.020000"),
        ],
    );
    check(
        "TableOptions/BlockBasedTable \"default\"",
        &[
            ("filter_policy", "ribbonfilter"),
            ("partition_filters", "false"),
            ("index_type", "kBinarySearch"),
            ("cache_index_and_filter_blocks", "true"),
            ("checksum", "kXXH3"),
            ("block_size", "8192"),
        ],
    );
}

#[test]
fn there_is_no_write_ahead_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = opened(dir.path());
    put(&mut store, b"key", &[1; 1000]);
    let logged: u64 = files(dir.path(), ".log").iter().map(|p| p.metadata().unwrap().len()).sum();
    assert_eq!(logged, 0);
}

#[test]
fn usage_counts_memory_before_a_flush_and_disk_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = opened(dir.path());
    let mut batch = Batch::new();
    for i in 0..10_000u32 {
        batch.put(&i.to_be_bytes(), &[7; 100]);
    }
    store.write(&mut batch).unwrap();
    let before = store.usage().unwrap();
    assert!(before.memory_bytes > 1_000_000 && before.disk_bytes < 10_000, "{before:?}");
    store.flush().unwrap();
    let after = store.usage().unwrap();
    assert!(after.memory_bytes < before.memory_bytes && after.disk_bytes > 10_000, "{after:?}");
}

const CHILD_DIR: &str = "TAILBURN_TEST_STORE_DIR";
const OFFSET: &[u8] = b"offset";

/// Batch n sets the offset row to n and some rows to n; the rows are spread so that each flush holds
/// parts of many batches.
fn batch_number(n: u64, batch: &mut Batch) {
    batch.put(OFFSET, &n.to_be_bytes());
    for i in 0..20u64 {
        let key = format!("row{:04}", (n * 37 + i * 131) % 1_000);
        if (n + i).is_multiple_of(11) {
            batch.delete(key.as_bytes())
        } else {
            batch.put(key.as_bytes(), &n.to_be_bytes())
        }
    }
}

fn offset_in(store: &dyn Store) -> u64 {
    get(store, OFFSET).map_or(0, |v| u64::from_be_bytes(v.try_into().unwrap()))
}

/// Not a test of its own: the process that the test below kills.
#[test]
#[ignore = "runs as the child of a_killed_process_leaves_a_prefix_of_its_batches"]
#[expect(clippy::disallowed_methods, reason = "how the parent tells its child where to write")]
fn child_that_writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let mut store = RocksStore::open(Path::new(&dir), &tight_memory()).unwrap();
    let mut batch = Batch::new();
    for n in offset_in(&store) + 1..1_000_000 {
        batch_number(n, &mut batch);
        store.write(&mut batch).unwrap();
        if n % 1_000 == 0 {
            store.flush().unwrap();
            println!("flushed {n}");
        }
    }
}

/// Starts the child, kills it after it has flushed `flushes` times, and returns the last batch that
/// it reported as durable.
fn write_and_die(dir: &Path, flushes: usize) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--nocapture", "child_that_writes_until_it_is_killed"])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let reported = lines.filter_map(|line| line.split_once("flushed ")?.1.parse().ok());
    let durable = reported.take(flushes).last().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    durable
}

#[test]
fn a_killed_process_leaves_a_prefix_of_its_batches() {
    let dir = tempfile::tempdir().unwrap();
    let (mut model, mut batch, mut applied) = (BTreeMap::new(), Batch::new(), 0);
    for flushes in [1, 3, 2, 7] {
        let durable = write_and_die(dir.path(), flushes);
        let store = RocksStore::open(dir.path(), &tight_memory()).unwrap();
        let offset = offset_in(&store);
        assert!(offset >= durable, "batch {durable} was flushed, but the store is at {offset}");
        for n in applied + 1..=offset {
            batch_number(n, &mut batch);
            for (key, value) in batch.sorted() {
                match value {
                    Some(value) => model.insert(key.to_vec(), value.to_vec()),
                    None => model.remove(key),
                };
            }
            batch.clear();
        }
        applied = offset;
        let want: Vec<_> = model.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        assert!(all_rows(&store, b"") == want, "the rows are not those of the first {offset} batches");
    }
}
