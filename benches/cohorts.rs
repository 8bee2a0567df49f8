//! The cost of one cohort search over a table of 4,096 leaves.
#![allow(clippy::expect_used, reason = "a benchmark that finds nothing must not go on")]

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use tailburn::operator::cohort::scan::{Leaf, scan};

const NAMES: [&str; 6] = ["app", "browser", "plan", "region", "release", "signup"];
const LEAVES: u64 = 4_096;

/// A number that looks random, from two others.
fn mixed(a: u64, b: u64) -> u64 {
    let mut z = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 30).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Leaves of six attributes with eight values each; with a cause or without.
fn leaves(values: &[String], has_cause: bool) -> Vec<Leaf<'_>> {
    let leaf = |at: u64| {
        let code = |name: u64| (mixed(at, name) % values.len() as u64) as usize;
        let attributes = NAMES.iter().enumerate().map(|(i, name)| (*name, values[code(i as u64)].as_str()));
        let is_bad = has_cause && code(3) == 1 && code(4) == 2;
        let bad = mixed(at, 99) % 3 + if is_bad { 20 } else { 0 };
        Leaf { attributes: attributes.collect(), bad: bad as f64, expected: 1.0 }
    };
    (0..LEAVES).map(leaf).collect()
}

fn search(c: &mut Criterion) {
    let values: Vec<String> = (0..8).map(|v| format!("v{v}")).collect();
    for (name, has_cause) in [("a cause", true), ("none", false)] {
        let leaves = leaves(&values, has_cause);
        assert_eq!(!scan(&leaves, 24.0, None).causes.is_empty(), has_cause);
        c.bench_function(&format!("scan of 4,096 leaves, {name}"), |b| b.iter(|| scan(black_box(&leaves), 24.0, None)));
    }
}

criterion_group!(benches, search);
criterion_main!(benches);
