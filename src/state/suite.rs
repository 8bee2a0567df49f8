//! The behaviour of every store; runs against each of them.

use super::store::{Batch, Store};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

pub(super) type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// All rows under `prefix`, as a scan gives them.
pub(super) fn rows(store: &dyn Store, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    let mut collect = |k: &[u8], v: &[u8]| {
        found.push((k.to_vec(), v.to_vec()));
        ControlFlow::Continue(())
    };
    store.scan(prefix, &mut collect).unwrap();
    found
}

pub(super) fn get(store: &dyn Store, key: &[u8]) -> Option<Vec<u8>> {
    let mut value = b"left over".to_vec();
    let found = store.get(key, &mut value).unwrap();
    assert!(found || value.is_empty(), "an absent key must leave the buffer empty");
    found.then_some(value)
}

/// Every behaviour, each on a fresh store.
pub(super) fn behaves_as_a_store<S: Store>(fresh: &mut dyn FnMut() -> S) {
    reads_what_was_written(&mut fresh());
    a_written_batch_is_empty_and_may_be_used_again(&mut fresh());
    scans_exactly_the_prefix_in_key_order(&mut fresh());
    a_scan_stops_when_told(&mut fresh());
    multi_get_answers_for_each_key_in_its_place(&mut fresh());
    takes_empty_and_large_values(&mut fresh());
    agrees_with_a_sorted_map(fresh);
}

fn reads_what_was_written(store: &mut dyn Store) {
    assert_eq!(get(store, b"a"), None);
    let mut batch = Batch::new();
    batch.put(b"b", b"2");
    batch.put(b"a", b"1");
    store.write(&mut batch).unwrap();
    assert_eq!(get(store, b"a").as_deref(), Some(&b"1"[..]));
    batch.put(b"a", b"3");
    batch.delete(b"b");
    store.write(&mut batch).unwrap();
    assert_eq!(get(store, b"a").as_deref(), Some(&b"3"[..]));
    assert_eq!(get(store, b"b"), None);
}

fn a_written_batch_is_empty_and_may_be_used_again(store: &mut dyn Store) {
    let mut batch = Batch::new();
    store.write(&mut batch).unwrap();
    batch.put(b"x", b"1");
    store.write(&mut batch).unwrap();
    assert!(batch.is_empty());
    batch.put(b"y", b"2");
    store.write(&mut batch).unwrap();
    assert_eq!(rows(store, b"").len(), 2);
}

fn scans_exactly_the_prefix_in_key_order(store: &mut dyn Store) {
    let mut batch = Batch::new();
    let keys: [&[u8]; 7] = [b"", b"a", b"a\x00", b"a\xff", b"a\xff\xff", b"b", b"\xff\xff"];
    for key in keys {
        batch.put(key, key);
    }
    store.write(&mut batch).unwrap();
    let found = |prefix| rows(store, prefix).into_iter().map(|(k, _)| k).collect::<Vec<_>>();
    assert_eq!(found(b""), keys);
    assert_eq!(found(b"a"), keys[1..5]);
    assert_eq!(found(b"a\xff"), keys[3..5]);
    assert_eq!(found(b"\xff"), keys[6..]);
    assert_eq!(found(b"c"), keys[7..]);
}

fn a_scan_stops_when_told(store: &mut dyn Store) {
    let mut batch = Batch::new();
    for key in [b"p1", b"p2", b"p3"] {
        batch.put(key, b"");
    }
    store.write(&mut batch).unwrap();
    let mut seen = 0;
    let mut stop_at_second = |_: &[u8], _: &[u8]| {
        seen += 1;
        if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    store.scan(b"p", &mut stop_at_second).unwrap();
    assert_eq!(seen, 2);
}

fn multi_get_answers_for_each_key_in_its_place(store: &mut dyn Store) {
    let mut batch = Batch::new();
    batch.put(b"k1", b"one");
    batch.put(b"k3", b"three");
    store.write(&mut batch).unwrap();
    let keys: [&[u8]; 5] = [b"k3", b"k2", b"k1", b"k1", b""];
    let mut answers = Vec::new();
    store.multi_get(&keys, &mut |i, value| answers.push((i, value.map(<[u8]>::to_vec)))).unwrap();
    let want = [Some(&b"three"[..]), None, Some(b"one"), Some(b"one"), None];
    let want: Vec<_> = want.iter().map(|v| v.map(<[u8]>::to_vec)).enumerate().collect();
    assert_eq!(answers, want);
    store.multi_get(&[], &mut |_, _| panic!("no key, no answer")).unwrap();
}

fn takes_empty_and_large_values(store: &mut dyn Store) {
    let large = vec![7u8; 1 << 20];
    let mut batch = Batch::new();
    batch.put(b"empty", b"");
    batch.put(b"large", &large);
    store.write(&mut batch).unwrap();
    assert_eq!(get(store, b"empty"), Some(Vec::new()));
    assert!(get(store, b"large") == Some(large));
}

/// A put, or a deletion.
pub(super) type Op = (Vec<u8>, Option<Vec<u8>>);

/// Few distinct keys, so that batches overwrite, delete and share prefixes.
pub(super) fn batches() -> impl Strategy<Value = Vec<Vec<Op>>> {
    let key = prop::collection::vec(prop::sample::select(vec![0u8, 1, b'a', 0xff]), 0..4);
    let value = prop::option::weighted(0.7, prop::collection::vec(any::<u8>(), 0..20));
    prop::collection::vec(prop::collection::vec((key, value), 0..12), 0..12)
}

pub(super) fn apply(ops: &[Op], batch: &mut Batch, model: &mut Rows) {
    for (key, value) in ops {
        match value {
            Some(value) => {
                batch.put(key, value);
                model.insert(key.clone(), value.clone());
            }
            None => {
                batch.delete(key);
                model.remove(key);
            }
        }
    }
}

fn agrees_with_a_sorted_map<S: Store>(fresh: &mut dyn FnMut() -> S) {
    // Cases that once failed are separate tests above; none are kept in files.
    let config = ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let fresh = std::cell::RefCell::new(fresh);
    let outcome = runner.run(&batches(), |batches| {
        let mut store = (fresh.borrow_mut())();
        let (mut model, mut batch) = (Rows::new(), Batch::new());
        for ops in &batches {
            apply(ops, &mut batch, &mut model);
            store.write(&mut batch).unwrap();
            let want: Vec<_> = model.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
            prop_assert_eq!(rows(&store, b""), want);
            for (key, _) in ops {
                prop_assert_eq!(get(&store, key), model.get(key).cloned());
                let under: Vec<_> = model.iter().filter(|(k, _)| k.starts_with(key)).collect();
                prop_assert_eq!(rows(&store, key).len(), under.len());
            }
        }
        Ok(())
    });
    outcome.unwrap();
}
