//! Which records are done with, so that a restart begins behind them and misses none.
//!
//! A record is open while somebody still has to hear of it. The offset of a partition moves up to its first open record.

use crate::model::record::Topic;
use crate::model::time::{MINUTE_MS, Ms};
use std::collections::BTreeMap;

/// A partition of a topic with news.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    pub topic: Topic,
    pub partition: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub source: Source,
    pub offset: i64,
}

/// How far the clocks of machines may differ.
const CLOCKS_DIFFER_MS: Ms = MINUTE_MS;

/// What a restart needs: everything before `done` was told, and what still goes on began at `state_from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    pub done: i64,
    pub state_from: i64,
}

#[derive(Default)]
pub struct Ledger {
    partitions: BTreeMap<Source, Partition>,
}

#[derive(Default)]
struct Partition {
    next: i64,
    /// What began as done: records before it are history.
    done_before: i64,
    /// When it became ours.
    owned_ms: Ms,
    /// How many still have to hear of a record, by offset.
    open: BTreeMap<i64, u32>,
}

impl Ledger {
    pub fn own(&mut self, source: Source, done: i64, now_ms: Ms) {
        let partition = Partition { next: done, done_before: done, owned_ms: now_ms, open: BTreeMap::new() };
        self.partitions.insert(source, partition);
    }

    pub fn forget(&mut self, source: Source) {
        self.partitions.remove(&source);
    }

    /// Whether it was told before a restart.
    pub fn is_history(&self, at: Position) -> bool {
        self.partitions.get(&at.source).is_some_and(|partition| at.offset < partition.done_before)
    }

    /// Whether who owned the partition before may have read it, told or not.
    pub fn may_have_been_read(&self, at: Position, written_ms: Ms) -> bool {
        self.partitions.get(&at.source).is_some_and(|partition| written_ms <= partition.owned_ms + CLOCKS_DIFFER_MS)
    }

    /// Whether who owned the partition before may have told of it, though an earlier record is still open: it hears that
    /// from its offset alone. The first owner of all has nobody before it.
    pub fn may_have_been_told(&self, at: Position, written_ms: Ms) -> bool {
        let Some(partition) = self.partitions.get(&at.source) else { return false };
        match partition.done_before {
            0 => written_ms < partition.owned_ms,
            _ => self.may_have_been_read(at, written_ms),
        }
    }

    pub fn read(&mut self, at: Position) {
        let partition = self.partitions.entry(at.source).or_default();
        partition.next = partition.next.max(at.offset + 1);
    }

    pub fn hold(&mut self, at: Position) {
        *self.partitions.entry(at.source).or_default().open.entry(at.offset).or_default() += 1;
    }

    /// One of those who had to hear of it has.
    pub fn settle(&mut self, at: Position) {
        let Some(partition) = self.partitions.get_mut(&at.source) else { return };
        if let Some(holders) = partition.open.get_mut(&at.offset) {
            *holders -= 1;
            if *holders == 0 {
                partition.open.remove(&at.offset);
            }
        }
    }

    /// The offset behind what is done with, of each partition.
    pub fn done(&self) -> impl Iterator<Item = (Source, i64)> {
        self.partitions
            .iter()
            .map(|(source, partition)| (*source, partition.open.keys().next().copied().unwrap_or(partition.next)))
    }

    /// Records that somebody still has to hear of.
    pub fn open(&self) -> usize {
        self.partitions.values().map(|partition| partition.open.len()).sum()
    }
}
