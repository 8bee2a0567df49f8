//! What was published, read back: the latest record of each key, the open and the last ended alerts and cohorts, hourly
//! points, the worst-served users, and the definitions in force.
//!
//! It is fed from the output topics like any other consumer, or from the files of a backtest; `demo` feeds it what it
//! publishes. So every instance shows the whole, and nobody can show another figure than the topics do. Records are
//! kept as the published bytes. Bounded: above its capacity a new key is only counted, and the answers say so. Writers
//! hold the lock for one batch of updates, readers while they collect a page.

mod events;
mod facts;
pub mod gate;
mod health;
mod history;
mod key_parts;
mod letters;
mod overview;
mod points;
mod query;
mod records;
mod saved_days;
mod tenants;
mod update;
mod users;

pub use events::{Event, Watching};
pub use health::{Phase, Reading, Trouble};
pub use key_parts::KeyParts;
pub use points::Point;
pub use query::{Place, Query, Sort};
pub use records::Page;
pub use update::Update;

use crate::model::key::encode_into;
use crate::model::output::SloHistory;
use crate::model::tenants::Tenants;
use crate::model::time::Ms;
use crate::state::Store;
use events::Events;
use history::History;
use letters::Letters;
use query::Known;
use records::{KnownSlos, Record, Records};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use users::Users;

/// The default number of keys, and of alerts and cohorts, on a board.
pub const CAPACITY: usize = 60_000;
/// Worst-served users for each key.
const USERS_PER_KEY: usize = 10;
/// Memory for hourly points.
const HISTORY_MAX_BYTES: usize = 256 << 20;

/// A kind of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelf {
    Status,
    Alerts,
    Cohorts,
    Canaries,
}

/// How full the board is, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fill {
    pub keys: usize,
    pub keys_not_shown: usize,
    pub alerts: usize,
    pub cohorts: usize,
    pub history_keys: usize,
    pub history_bytes: usize,
    /// Hourly points before this time were dropped.
    pub history_from_ms: Option<Ms>,
    pub viewers: usize,
}

pub struct Board {
    capacity: usize,
    inner: RwLock<Inner>,
}

struct Inner {
    phase: Phase,
    trouble: Option<Trouble>,
    reading: Reading,
    statuses: Records,
    alerts: Records,
    cohorts: Records,
    canaries: Records,
    slos: KnownSlos,
    history: History,
    users: Users,
    definitions: BTreeMap<String, Arc<[u8]>>,
    changes: BTreeMap<String, Vec<Arc<[u8]>>>,
    tenants: Arc<Tenants>,
    letters: Letters,
    events: Events,
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
            reading: Reading::CatchingUp,
            statuses: Records::default(),
            alerts: Records::default(),
            cohorts: Records::default(),
            canaries: Records::default(),
            slos: BTreeMap::new(),
            history: History::new(capacity, HISTORY_MAX_BYTES),
            users: Users::default(),
            definitions: BTreeMap::new(),
            changes: BTreeMap::new(),
            tenants: Arc::default(),
            letters: Letters::default(),
            events: Events::default(),
        };
        Board { capacity, inner: RwLock::new(inner) }
    }

    /// Shows what was published, in the order of publication.
    pub fn publish(&self, updates: impl IntoIterator<Item = Update>) {
        // Records are read before the lock is taken.
        let prepared: Vec<Prepared> = updates.into_iter().filter_map(Prepared::of).collect();
        if prepared.is_empty() {
            return;
        }
        let mut inner = self.write();
        prepared.into_iter().for_each(|prepared| inner.take(prepared, self.capacity));
    }

    /// Hourly points that find no room in memory go to this store, which is empty.
    pub fn save_history_in(&self, store: Box<dyn Store + Send>) {
        self.write().history.save_in(store);
    }

    /// What was applied of the SLOs, by SLO, each change as JSON, the oldest first.
    pub fn note_changes(&self, changes: impl IntoIterator<Item = (String, Vec<u8>)>) {
        let mut by_slo: BTreeMap<String, Vec<Arc<[u8]>>> = BTreeMap::new();
        changes.into_iter().for_each(|(slo, json)| by_slo.entry(slo).or_default().push(json.into()));
        self.write().changes = by_slo;
    }

    /// The definitions in force, by SLO, as JSON.
    pub fn define(&self, definitions: impl IntoIterator<Item = (String, Vec<u8>)>) {
        self.write().definitions = definitions.into_iter().map(|(slo, json)| (slo, json.into())).collect();
    }

    pub fn set_phase(&self, phase: Phase) {
        self.write().phase = phase;
    }

    pub fn phase(&self) -> Phase {
        self.read().phase.clone()
    }

    pub fn set_reading(&self, reading: Reading) {
        if self.read().reading != reading {
            self.write().reading = reading;
        }
    }

    pub fn reading(&self) -> Reading {
        self.read().reading.clone()
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

    pub fn fill(&self) -> Fill {
        let inner = self.read();
        Fill {
            keys: inner.statuses.by_name.len(),
            keys_not_shown: inner.statuses.refused.len(),
            alerts: inner.alerts.by_name.len(),
            cohorts: inner.cohorts.by_name.len(),
            history_keys: inner.history.keys(),
            history_bytes: inner.history.bytes(),
            history_from_ms: inner.history.begins_ms(),
            viewers: inner.events.viewers(),
        }
    }

    /// The latest statuses of the aggregate keys.
    pub fn aggregates(&self) -> Vec<Arc<[u8]>> {
        self.aggregates_of(|_| true)
    }

    /// The latest statuses of these aggregate keys.
    pub fn aggregates_of(&self, is_one: impl Fn(&str) -> bool) -> Vec<Arc<[u8]>> {
        let inner = self.read();
        let wanted = inner.statuses.by_name.iter().filter(|(key, r)| r.parts.is_aggregate() && is_one(key));
        wanted.map(|(_, r)| Arc::clone(&r.json)).collect()
    }

    /// The firing alerts of these keys.
    pub fn firing_of(&self, is_one: impl Fn(&str) -> bool) -> Vec<Arc<[u8]>> {
        let inner = self.read();
        let live = inner.alerts.by_name.iter().filter(|(name, r)| r.live && is_one(key_of(name)));
        live.map(|(_, r)| Arc::clone(&r.json)).collect()
    }

    /// The number of these keys with a status, by SLO, including those that found no room.
    pub fn keys_of(&self, is_one: impl Fn(&str) -> bool) -> BTreeMap<String, usize> {
        let inner = self.read();
        let mut counts = BTreeMap::new();
        for (_, record) in inner.statuses.by_name.iter().filter(|(key, _)| is_one(key)) {
            count(&mut counts, &record.parts.slo);
        }
        for key in inner.statuses.refused.iter().filter(|key| is_one(key)) {
            count(&mut counts, &KeyParts::of(key).slo);
        }
        counts
    }

    pub fn page(&self, shelf: Shelf, query: &Query) -> Page {
        let inner = self.read();
        inner.shelf(shelf).page(query, &inner.slos)
    }

    /// The latest status of a key.
    pub fn status(&self, key: &str) -> Option<Arc<[u8]>> {
        self.read().statuses.by_name.get(key).map(|record| Arc::clone(&record.json))
    }

    /// The latest verdict on a candidate.
    pub fn canary(&self, slo: &str, tenant: Option<&str>, candidate: &str) -> Option<Arc<[u8]>> {
        let key = format!("{}|{}|{}", encoded(slo), tenant.map_or("*".to_owned(), encoded), encoded(candidate));
        self.read().canaries.by_name.get(&key).map(|record| Arc::clone(&record.json))
    }

    pub fn changes(&self, slo: &str) -> Vec<Arc<[u8]>> {
        self.read().changes.get(slo).cloned().unwrap_or_default()
    }

    pub fn definition(&self, slo: &str) -> Option<Arc<[u8]>> {
        self.read().definitions.get(slo).cloned()
    }

    /// The hourly points of a key with `from_ms` <= at < `to_ms`, by time.
    pub fn points(&self, key: &str, from_ms: Ms, to_ms: Ms) -> Vec<Point> {
        self.read().history.points(key, from_ms, to_ms)
    }

    /// The worst-served users from the worst on; `after`: how many to pass over.
    pub fn worst_users(&self, slo: Option<&str>, tenant: Option<&str>, after: usize, limit: usize) -> Page {
        let (slo, tenant) = (slo.map(encoded), tenant.map(encoded));
        self.read().users.page(slo.as_deref(), tenant.as_deref(), after, limit)
    }

    /// One user, by its published id.
    pub fn user(&self, slo: &str, tenant: &str, user: &str) -> Option<Arc<[u8]>> {
        self.read().users.get(&[slo, tenant, user].map(encoded).join("|"))
    }

    /// Dead letters of each reason that are at hand, the newest first.
    pub fn letters(&self) -> BTreeMap<String, Vec<Arc<[u8]>>> {
        self.read().letters.newest()
    }

    /// `after`: the id of the last event that the viewer saw. `of_aggregates`: no status or point of tenants and groups.
    pub fn watch(&self, after: Option<&str>, of_aggregates: bool) -> Watching {
        self.read().events.watch(after, of_aggregates)
    }

    /// Distinguishes the numbers of this board's events from those of another one.
    pub fn epoch(&self) -> String {
        self.read().events.epoch.clone()
    }

    // A panic aborts the process, so the lock cannot be poisoned; its content would be consistent anyway.
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part of a key, as it stands there.
fn encoded(part: &str) -> String {
    let mut text = String::with_capacity(part.len());
    encode_into(&mut text, part);
    text
}

/// The key in the name of an episode.
fn key_of(name: &str) -> &str {
    name.rsplit_once('#').map_or(name, |(key, _)| key)
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

/// An update whose record was read.
enum Prepared {
    Record { shelf: Shelf, key: String, name: String, record: Box<Record> },
    Forget(String),
    Point { key: String, point: Point, json: Arc<[u8]> },
    User { key: String, json: Vec<u8> },
    ForgetUser(String),
    Letter { reason: String, json: Vec<u8> },
}

impl Prepared {
    fn of(update: Update) -> Option<Prepared> {
        let record = |shelf, key: String, id: Option<&str>, live, json| {
            let name = id.map_or_else(|| key.clone(), |id| format!("{key}#{id}"));
            let record = Box::new(Record::new(&key, live, json));
            Prepared::Record { shelf, key, name, record }
        };
        Some(match update {
            Update::Status { key, json } => record(Shelf::Status, key, None, true, json),
            Update::Canary { key, json } => record(Shelf::Canaries, key, None, true, json),
            Update::Alert { key, id, firing, json } => record(Shelf::Alerts, key, Some(id.as_str()), firing, json),
            Update::Cohort { key, id, open, json } => record(Shelf::Cohorts, key, Some(id.as_str()), open, json),
            Update::Forget { key } => Prepared::Forget(key),
            Update::History { key, json } => {
                let record: SloHistory = serde_json::from_slice(&json).ok()?;
                Prepared::Point { key, point: Point::of(&record), json: json.into() }
            }
            Update::User { key, json } => Prepared::User { key, json },
            Update::ForgetUser { key } => Prepared::ForgetUser(key),
            Update::DeadLetter { reason, json } => Prepared::Letter { reason, json },
        })
    }
}

impl Inner {
    fn shelf(&self, shelf: Shelf) -> &Records {
        match shelf {
            Shelf::Status => &self.statuses,
            Shelf::Alerts => &self.alerts,
            Shelf::Cohorts => &self.cohorts,
            Shelf::Canaries => &self.canaries,
        }
    }

    fn take(&mut self, prepared: Prepared, capacity: usize) {
        match prepared {
            Prepared::Record { shelf, key, name, record } => {
                if shelf == Shelf::Status && record.parts.is_aggregate() {
                    let (service, labels) = (record.facts.service.clone(), record.facts.labels.clone());
                    self.slos.insert(record.parts.slo.clone(), Known { service, labels });
                }
                self.tell(shelf, &key, &record);
                let records = match shelf {
                    Shelf::Status => &mut self.statuses,
                    Shelf::Alerts => &mut self.alerts,
                    Shelf::Cohorts => &mut self.cohorts,
                    Shelf::Canaries => &mut self.canaries,
                };
                records.put(name, *record, capacity);
            }
            Prepared::Forget(key) => self.statuses.forget(&key),
            Prepared::Point { key, point, json } => {
                self.history.put(&key, point);
                if self.reading == Reading::CaughtUp {
                    self.events.tell("history", &key, json);
                }
            }
            Prepared::User { key, json } => self.users.put(key, json, capacity.saturating_mul(USERS_PER_KEY)),
            Prepared::ForgetUser(key) => self.users.forget(&key),
            Prepared::Letter { reason, json } => self.letters.put(reason, json),
        }
    }

    /// Viewers are told only what is new: what was published before the board opened stands in the lists.
    fn tell(&mut self, shelf: Shelf, key: &str, record: &Record) {
        let kind = match shelf {
            Shelf::Status => "status",
            Shelf::Alerts => "alert",
            Shelf::Cohorts => "cohort",
            Shelf::Canaries => return,
        };
        if self.reading == Reading::CaughtUp {
            self.events.tell(kind, key, Arc::clone(&record.json));
        }
    }
}
