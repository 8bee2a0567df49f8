//! The latest record of each key, as the published bytes.
//!
//! Bounded: above its capacity a new key is only counted, and the answers say so. Writers hold the lock for one
//! commit's updates, readers only while they clone pointers.

use super::filter::{Filter, KeyParts, Shelf};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The default number of keys, and of alerts and cohorts, on a board.
pub const CAPACITY: usize = 20_000;
/// Ended alerts and cohorts that are kept for looking back.
const ENDED_KEPT: usize = 1_000;

/// The phase of the instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    Starting,
    /// Live tasks, out of those assigned.
    Restoring {
        live: usize,
        assigned: usize,
    },
    /// Assigned and restored.
    Live,
    Stopping,
}

/// What is wrong with the brokers, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Somebody must act: the instance is not ready, whatever its phase.
    Lasting(String),
    /// Shown only while the instance is not live: a live one recovers by itself.
    Passing(String),
}

/// One published record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    Status {
        key: String,
        json: Vec<u8>,
    },
    /// The key got a tombstone: it is removed.
    Forget {
        key: String,
    },
    Alert {
        key: String,
        id: String,
        firing: bool,
        json: Vec<u8>,
    },
    Cohort {
        key: String,
        id: String,
        open: bool,
        json: Vec<u8>,
    },
    Canary {
        key: String,
        json: Vec<u8>,
    },
}

/// A page of records in the order of their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub items: Vec<Arc<[u8]>>,
    /// The start of the next page, if there is one.
    pub next: Option<String>,
    /// The number of records that match, on all pages.
    pub total: usize,
    /// Records that the board could not hold.
    pub not_shown: usize,
}

pub struct Board {
    capacity: usize,
    inner: RwLock<Inner>,
}

struct Inner {
    phase: Phase,
    trouble: Option<Trouble>,
    statuses: Records,
    alerts: Records,
    cohorts: Records,
    canaries: Records,
}

#[derive(Default)]
struct Records {
    by_name: BTreeMap<String, Record>,
    /// Names of ended records, the oldest first.
    ended: VecDeque<String>,
    /// Names of records that found no room. Bounded, too: above the bound the count is a minimum.
    refused: BTreeSet<String>,
}

struct Record {
    parts: KeyParts,
    /// Whether it is firing or open; a status always is.
    live: bool,
    json: Arc<[u8]>,
}

impl Default for Board {
    fn default() -> Board {
        Board::new(CAPACITY)
    }
}

impl Board {
    pub fn new(capacity: usize) -> Board {
        let inner = Inner {
            phase: Phase::Starting,
            trouble: None,
            statuses: Records::default(),
            alerts: Records::default(),
            cohorts: Records::default(),
            canaries: Records::default(),
        };
        Board { capacity, inner: RwLock::new(inner) }
    }

    /// Shows what a commit made visible. Call it after the commit succeeded, in the order of publication.
    pub fn publish(&self, updates: impl IntoIterator<Item = Update>) {
        let mut inner = self.write();
        for update in updates {
            match update {
                Update::Status { key, json } => {
                    let record = Record { parts: KeyParts::of(&key), live: true, json: json.into() };
                    inner.statuses.put(key, record, self.capacity);
                }
                Update::Forget { key } => inner.statuses.forget(&key),
                Update::Alert { key, id, firing, json } => {
                    let record = Record { parts: KeyParts::of(&key), live: firing, json: json.into() };
                    inner.alerts.put(format!("{key}#{id}"), record, self.capacity);
                }
                Update::Cohort { key, id, open, json } => {
                    let record = Record { parts: KeyParts::of(&key), live: open, json: json.into() };
                    inner.cohorts.put(format!("{key}#{id}"), record, self.capacity);
                }
                Update::Canary { key, json } => {
                    let record = Record { parts: KeyParts::of(&key), live: true, json: json.into() };
                    inner.canaries.put(key, record, self.capacity);
                }
            }
        }
    }

    /// Removes every record whose key is no longer ours: another instance shows it now.
    pub fn retain(&self, ours: impl Fn(&str) -> bool) {
        let mut inner = self.write();
        let Inner { statuses, alerts, cohorts, canaries, .. } = &mut *inner;
        for records in [statuses, alerts, cohorts] {
            records.retain(|name| ours(name.split('#').next().unwrap_or(name)));
        }
        // The name of a candidate may have any character.
        canaries.retain(ours);
    }

    pub fn set_phase(&self, phase: Phase) {
        self.write().phase = phase;
    }

    pub fn phase(&self) -> Phase {
        self.read().phase.clone()
    }

    /// A lasting problem is not overwritten by a passing one.
    pub fn set_trouble(&self, trouble: Trouble) {
        let mut inner = self.write();
        if !matches!((&inner.trouble, &trouble), (Some(Trouble::Lasting(_)), Trouble::Passing(_))) {
            inner.trouble = Some(trouble);
        }
    }

    pub fn clear_trouble(&self) {
        // Called each time that all is well.
        if self.read().trouble.is_some() {
            self.write().trouble = None;
        }
    }

    pub fn trouble(&self) -> Option<Trouble> {
        self.read().trouble.clone()
    }

    /// Keys with a status that the board could not hold.
    pub fn not_shown(&self) -> usize {
        self.read().statuses.refused.len()
    }

    /// The latest statuses of the aggregate keys.
    pub fn aggregates(&self) -> Vec<Arc<[u8]>> {
        let inner = self.read();
        inner.statuses.by_name.values().filter(|r| r.parts.is_aggregate()).map(|r| Arc::clone(&r.json)).collect()
    }

    /// The firing alerts.
    pub fn firing(&self) -> Vec<Arc<[u8]>> {
        let inner = self.read();
        inner.alerts.by_name.values().filter(|r| r.live).map(|r| Arc::clone(&r.json)).collect()
    }

    /// The number of keys with a status, by SLO, including those that found no room.
    pub fn keys(&self) -> BTreeMap<String, usize> {
        let inner = self.read();
        let mut counts = BTreeMap::new();
        for record in inner.statuses.by_name.values() {
            count(&mut counts, record.parts.slo());
        }
        for key in &inner.statuses.refused {
            count(&mut counts, KeyParts::of(key).slo());
        }
        counts
    }

    pub(super) fn page(&self, shelf: Shelf, filter: &Filter) -> Page {
        let inner = self.read();
        match shelf {
            Shelf::Status => inner.statuses.page(filter),
            Shelf::Alerts => inner.alerts.page(filter),
            Shelf::Cohorts => inner.cohorts.page(filter),
            Shelf::Canaries => inner.canaries.page(filter),
        }
    }

    // A panic aborts the process, so the lock cannot be poisoned; its content would be consistent anyway.
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Allocates the name only if it is new.
fn count(counts: &mut BTreeMap<String, usize>, slo: &str) {
    match counts.get_mut(slo) {
        Some(count) => *count += 1,
        None => {
            counts.insert(slo.to_owned(), 1);
        }
    }
}

impl Records {
    fn put(&mut self, name: String, record: Record, capacity: usize) {
        if !self.by_name.contains_key(&name) && self.by_name.len() >= capacity && !self.make_room() {
            if self.refused.len() < capacity {
                self.refused.insert(name);
            }
            return;
        }
        self.refused.remove(&name);
        if !record.live {
            self.ended.push_back(name.clone());
        }
        self.by_name.insert(name, record);
        if self.ended.len() > ENDED_KEPT {
            self.make_room();
        }
    }

    /// Drops the oldest ended record, if there is one.
    fn make_room(&mut self) -> bool {
        while let Some(name) = self.ended.pop_front() {
            // A name that is live again, or gone, is only a leftover in the queue.
            if self.by_name.get(&name).is_some_and(|r| !r.live) && !self.ended.contains(&name) {
                self.by_name.remove(&name);
                return true;
            }
        }
        false
    }

    fn forget(&mut self, name: &str) {
        self.by_name.remove(name);
        self.refused.remove(name);
    }

    fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.by_name.retain(|name, _| keep(name));
        self.refused.retain(|name| keep(name));
        self.ended.retain(|name| keep(name));
    }

    fn page(&self, filter: &Filter) -> Page {
        let passes = |record: &Record| filter.passes(&record.parts, record.live);
        let start = filter.after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut found = self.by_name.range::<str, _>((start, Bound::Unbounded)).filter(|(_, r)| passes(r));
        let mut items = Vec::new();
        let mut last = None;
        for (name, record) in found.by_ref().take(filter.limit) {
            items.push(Arc::clone(&record.json));
            last = Some(name);
        }
        let next = found.next().and(last).cloned();
        let total = self.by_name.values().filter(|r| passes(r)).count();
        Page { items, next, total, not_shown: self.refused.len() }
    }
}
