//! The cost of the durable tier: a checkpoint's batch of dirty rows, and reads that find nothing.
//!
//! Figures are per row. The batch is encoded, checksummed, sorted and written, as a checkpoint does; flushes and
//! compactions run in parallel, and count in the wall time if they compete for a core.
#![allow(clippy::expect_used, reason = "a benchmark that cannot write must not go on")]

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use tailburn::state::keys::{FiltersId, Key, PeriodKind, ScopeKind};
use tailburn::state::{Batch, MemoryStore, Store};

const VALUE_BYTES: usize = 100;
const DIRTY: u64 = 100_000;
const USERS: [u64; 2] = [10_000, 1_000_000];

/// A stride that visits all of a million users in an order different from that of the keys.
fn scattered(i: u64, users: u64) -> u64 {
    i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % users
}

fn with_key<R>(user: u64, then: impl FnOnce(&Key<'_>) -> R) -> R {
    let tenant = format!("tenant-{}", user % 100);
    let user = format!("user-{user:08}");
    then(&Key::User {
        group: 0,
        tenant: tenant.as_str().into(),
        user: user.as_str().into(),
        filters: FiltersId(1),
        scope: ScopeKind::Tenant,
        period: PeriodKind::Rolling,
        part: 0,
    })
}

fn fill(batch: &mut Batch, users: impl Iterator<Item = u64>) {
    for user in users {
        // Part of a real row differs from user to user; the rest compresses.
        let mut value = [0u8; VALUE_BYTES];
        for (i, chunk) in value[..40].chunks_exact_mut(8).enumerate() {
            chunk.copy_from_slice(&(user ^ i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        }
        with_key(user, |key| batch.put_row(key, 1, |w| w.bytes(&value)));
    }
}

fn populate(store: &mut dyn Store, users: u64) {
    let mut batch = Batch::new();
    for from in (0..users).step_by(DIRTY as usize) {
        fill(&mut batch, from..users.min(from + DIRTY));
        store.write(&mut batch).expect("the rows are written");
    }
    store.flush().expect("the rows are flushed");
}

fn checkpoint(c: &mut Criterion, name: &str, mut store: impl FnMut() -> Box<dyn Store>) {
    let mut group = c.benchmark_group(format!("checkpoint/{name}"));
    group.sample_size(10);
    for users in USERS {
        let dirty = DIRTY.min(users);
        group.throughput(Throughput::Elements(dirty));
        let mut store = store();
        populate(&mut *store, users);
        let (mut batch, mut from) = (Batch::new(), 0);
        group.bench_function(BenchmarkId::from_parameter(users), |b| {
            b.iter(|| {
                fill(&mut batch, (from..from + dirty).map(|i| scattered(i, users)));
                from += dirty;
                store.write(&mut batch).expect("the rows are written");
            });
        });
    }
    group.finish();
}

/// Keys of users that exist (even ones) or not, sorted within each batch of events.
fn asked(users: u64, missing: bool) -> Vec<Vec<u8>> {
    let picked = (0..256).map(|i| scattered(i, users) + if missing { users } else { 0 });
    let mut keys: Vec<_> = picked.map(|user| with_key(user, |key| key.to_bytes())).collect();
    keys.sort_unstable();
    keys
}

fn reads(c: &mut Criterion, name: &str, mut store: impl FnMut() -> Box<dyn Store>) {
    let mut group = c.benchmark_group(format!("read/{name}"));
    group.throughput(Throughput::Elements(256));
    for users in USERS {
        let mut store = store();
        populate(&mut *store, users);
        for (case, missing) in [("miss", true), ("hit", false)] {
            let keys = asked(users, missing);
            let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
            group.bench_function(BenchmarkId::new(format!("get/{case}"), users), |b| {
                b.iter_batched_ref(
                    Vec::new,
                    |value| keys.iter().filter(|key| store.get(key, value).expect("the row is read")).count(),
                    BatchSize::SmallInput,
                );
            });
            group.bench_function(BenchmarkId::new(format!("multi_get/{case}"), users), |b| {
                b.iter(|| {
                    let mut each = |_: usize, value: Option<&[u8]>| {
                        black_box(value);
                    };
                    store.multi_get(&keys, &mut each).expect("the rows are read");
                });
            });
        }
    }
    group.finish();
}

#[cfg(feature = "rocksdb")]
fn on_disk(c: &mut Criterion) {
    use tailburn::state::rocksdb::{RocksMemory, RocksStore};
    let memory = RocksMemory::new(256 << 20);
    let mut dirs = Vec::new();
    let mut open = || -> Box<dyn Store> {
        let dir = tempfile::tempdir().expect("a directory for the store");
        let store = RocksStore::open(dir.path(), &memory).expect("the store opens");
        dirs.push(dir);
        Box::new(store)
    };
    checkpoint(c, "rocksdb", &mut open);
    reads(c, "rocksdb", &mut open);
}

#[cfg(not(feature = "rocksdb"))]
fn on_disk(_: &mut Criterion) {}

fn in_memory(c: &mut Criterion) {
    let mut open = || -> Box<dyn Store> { Box::new(MemoryStore::new()) };
    checkpoint(c, "memory", &mut open);
    reads(c, "memory", &mut open);
}

criterion_group!(benches, in_memory, on_disk);
criterion_main!(benches);
