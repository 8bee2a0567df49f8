//! A changelog and a local store that an earlier version wrote are taken, as they are. What their rows mean is tested
//! in `pipeline`, on whatever store.

use super::*;
use crate::model::hex;
use crate::model::record::RecordOut;
use crate::state::MemoryStore;
use crate::state::versions::VERSION;
use crate::worker::changelog_writer::{ChangelogWriter, DELTAS_MIN_BYTES};
use crate::worker::task_runner::Task;
use crate::worker::tasks::{Rollup, Users};

/// State of version 6: for each task the bytes of its mark, and its rows.
const FROZEN: &str = include_str!("../../../tests/fixtures/state/v6.txt");

struct Frozen {
    mark: Vec<u8>,
    rows: Vec<(Vec<u8>, Vec<u8>)>,
}

fn frozen(task: &str) -> Frozen {
    let mut frozen = Frozen { mark: Vec::new(), rows: Vec::new() };
    for line in FROZEN.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            [of, "mark", mark] if of == task => frozen.mark = hex::decode(mark),
            [of, "row", key, value] if of == task => frozen.rows.push((hex::decode(key), hex::decode(value))),
            _ => {}
        }
    }
    frozen
}

struct Records(Vec<RecordOut>);

impl Changelog for Records {
    fn read(&mut self, _: Duration, each: &mut dyn FnMut(&RecordIn<'_>)) -> Result<bool, LogError> {
        for (offset, record) in (0..).zip(self.0.drain(..)) {
            each(&RecordIn {
                partition: record.partition,
                offset,
                timestamp_ms: Some(record.timestamp_ms),
                headers: &crate::model::record::NoHeaders,
                key: record.key.as_deref(),
                value: record.value.as_deref().unwrap_or_default(),
            });
        }
        Ok(true)
    }
}

/// The changelog with an image of each group, and the mark behind them.
fn changelog<T: Task>(frozen: &Frozen) -> Vec<RecordOut> {
    let (mut writer, mut out) = (ChangelogWriter::new(0, T::GROUPS, 0, 1_000, DELTAS_MIN_BYTES), Vec::new());
    writer.rewrite();
    for group in 0..T::GROUPS {
        let prefixes = T::prefixes(group);
        let mut rows = Batch::new();
        let ours = frozen.rows.iter().filter(|(key, _)| prefixes.iter().any(|prefix| key.starts_with(prefix)));
        ours.for_each(|(key, value)| rows.put(key, value));
        writer.write_group(group, &mut rows, &prefixes, &MemoryStore::new(), &mut out).expect("written");
    }
    let mark = out.last().expect("a block").clone();
    out.push(RecordOut { key: Some(vec![0]), value: Some(frozen.mark.clone()), ..mark });
    out
}

fn assert_restored<T: Task>(task: TaskId, name: &str, store: &mut dyn Store) {
    let frozen = frozen(name);
    assert!(frozen.mark.first().is_some_and(|version| *version < VERSION) && !frozen.rows.is_empty());
    let range = NextOffset(0)..NextOffset(9);
    let mut restore = Restore {
        task,
        reader: Box::new(Records(changelog::<T>(&frozen))),
        target: 1,
        had: None,
        reached: None,
        applied: BTreeMap::new(),
        range: range.clone(),
        position: range.start,
        waiting_since_ms: None,
        patience_ms: PATIENCE_MS,
    };
    let before = restore.remaining();
    let mark = restore.go_on(store, &T::prefixes, 0).expect("restored").expect("complete");
    assert_eq!(before, 9);
    assert!(restore.remaining() < before, "{}", restore.remaining());
    assert_eq!(mark, Mark::from_bytes(&frozen.mark).expect("a mark"));
    for (key, value) in &frozen.rows {
        let mut found = Vec::new();
        assert!(store.get(key, &mut found).expect("readable"));
        assert_eq!(found, *value);
    }
    assert!(matches!(start(store, 1, &range), Ok(Start::Warm(warm)) if warm == mark));
}

fn assert_both_restored(mut store: impl FnMut(&str) -> Box<dyn Store>) {
    assert_restored::<Users>(TaskId::Users(0), "users", store("users").as_mut());
    assert_restored::<Rollup>(TaskId::Rollup(0), "rollup", store("rollup").as_mut());
}

#[test]
fn a_changelog_of_an_earlier_version_is_restored_to_memory() {
    assert_both_restored(|_| Box::new(MemoryStore::new()));
}

#[cfg(feature = "rocksdb")]
#[test]
fn a_changelog_of_an_earlier_version_is_restored_to_rocksdb() {
    use crate::state::rocksdb::{RocksMemory, RocksStore};
    let dir = tempfile::tempdir().expect("a directory");
    assert_both_restored(|name| {
        Box::new(RocksStore::open(&dir.path().join(name), &RocksMemory::new(16 << 20)).expect("opened"))
    });
}

/// A local store as version 6 left it: the mark is a row of its own.
#[test]
fn a_local_store_of_an_earlier_version_is_warm_and_one_of_a_later_version_is_refused_with_advice() {
    let mark = Mark::from_bytes(&frozen("users").mark).expect("a mark");
    let mut batch = Batch::new();
    mark.write(&mut batch).expect("written");
    let (key, sealed) = {
        let (key, value) = batch.sorted().next().expect("a row");
        (key.to_vec(), value.expect("a value").to_vec())
    };
    let in_version = |version: u8| {
        let mut payload = frozen("users").mark;
        payload.remove(0);
        let mut value = Vec::new();
        crate::state::values::seal(&key, version, &mut value, |out| out.bytes(&payload));
        let (mut store, mut batch) = (MemoryStore::new(), Batch::new());
        batch.put(&key, &value);
        store.write(&mut batch).expect("stored");
        start(&store, mark.sequence, &(NextOffset(0)..NextOffset(0)))
    };
    assert_eq!(sealed[0], VERSION);
    assert!(matches!(in_version(6), Ok(Start::Warm(warm)) if warm == mark));
    for (version, advice) in [(5, "start that build again"), (VERSION + 1, "run the newer build")] {
        let refused = in_version(version).err().expect("refused");
        let text = errors::of(TaskId::Users(0), refused).to_string();
        assert!(text.contains(advice) && text.contains("users-0"), "{text}");
    }
}

#[test]
fn a_checkpoint_with_bytes_behind_it_ends_the_restore_with_advice() {
    let mut mark = frozen("users").mark;
    mark.push(0);
    let records = vec![RecordOut {
        topic: crate::model::record::Topic::Changelog,
        partition: 0,
        key: Some(vec![0]),
        value: Some(mark),
        headers: Vec::new(),
        timestamp_ms: 0,
    }];
    let mut restore = Restore {
        task: TaskId::Users(0),
        reader: Box::new(Records(records)),
        target: 1,
        had: None,
        reached: None,
        applied: BTreeMap::new(),
        range: NextOffset(0)..NextOffset(1),
        position: NextOffset(0),
        waiting_since_ms: None,
        patience_ms: PATIENCE_MS,
    };
    let refused = restore.go_on(&mut MemoryStore::new(), &Users::prefixes, 0).expect_err("refused");
    assert!(matches!(refused, WorkerError::Refused(_)), "{refused}");
    assert!(refused.to_string().contains("1 bytes follow"), "{refused}");
}
