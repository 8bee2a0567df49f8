//! What a task writes to its store, and how it comes back.
//!
//! A checkpoint is the state at a closed boundary. What still waits for its boundary is not written:
//! the checkpoint says from which offset each source is to be read again, and the records before
//! that boundary are recognised and skipped.

use super::rollup_state::RollupMark;
use super::users::{KeyRef, UsersTask};
use crate::model::time::{Ms, PANE_MS};
use crate::operator::user_row::{NO_GROUP, UserRow};
use crate::operator::watermark::Watermark;
use crate::state::keys::{FiltersId, Key, Kind, Meta, PeriodKind, Prefix, ScopeKind};
use crate::state::values::{ValueError, open};
use crate::state::{Batch, Store, StoreError};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// The version of the values written here.
const VERSION: u8 = 1;

/// Why a checkpoint cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Value(#[from] ValueError),
    #[error("a row of the state cannot be {what}: {source}")]
    Row { what: &'static str, source: postcard::Error },
    #[error("the state has a row with a key that this build does not know; move the directory away to have it rebuilt")]
    Key,
}

/// Where a source is to be read again from, and the watermark that its first record met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadAgain {
    pub offset: i64,
    pub watermark: Watermark,
}

/// One users task at a closed boundary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsersMark {
    pub closed_ms: Option<Ms>,
    pub sources: Vec<ReadAgain>,
    /// By SLO: groups that have a key of their own.
    admitted: BTreeMap<String, Vec<Vec<u8>>>,
}

/// One rollup task at an evaluated boundary, with where its partials are to be read again from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollupPlace {
    pub next_partial: i64,
    pub mark: RollupMark,
}

/// The checkpoint of a worker: written in the same batch as the rows it is true of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The build and definitions that wrote it.
    pub identity: String,
    pub users: UsersMark,
    pub rollups: Vec<RollupPlace>,
}

impl Mark {
    pub fn write(&self, batch: &mut Batch) -> Result<(), CheckpointError> {
        put(batch, &Key::Meta(Meta::Checkpoint), self)
    }

    pub fn read(store: &dyn Store) -> Result<Option<Mark>, CheckpointError> {
        let key = Key::Meta(Meta::Checkpoint).to_bytes();
        let mut value = Vec::new();
        if store.get(&key, &mut value)? { Ok(Some(get(&key, &value)?)) } else { Ok(None) }
    }
}

pub(super) fn put<T: Serialize>(batch: &mut Batch, key: &Key<'_>, row: &T) -> Result<(), CheckpointError> {
    let bytes = postcard::to_stdvec(row).map_err(|source| CheckpointError::Row { what: "written", source })?;
    batch.put_row(key, VERSION, |out| out.bytes(&bytes));
    Ok(())
}

pub(super) fn get<T: for<'de> Deserialize<'de>>(key: &[u8], value: &[u8]) -> Result<T, CheckpointError> {
    let mut row = open(key, VERSION, value)?;
    let bytes = row.payload.bytes().map_err(|source| ValueError::unreadable(key, row.version, source))?;
    postcard::from_bytes(bytes).map_err(|source| CheckpointError::Row { what: "read", source })
}

/// Window state belongs to an SLO's name and the hash of its filters: a new objective keeps it.
pub(super) fn filters_of(slo: &crate::model::slo::Slo) -> FiltersId {
    FiltersId::of(&format!("{}\0{}", slo.name, slo.filters_hash))
}

/// The rows of one (SLO, user).
#[derive(Serialize, Deserialize)]
struct StoredUser<'a> {
    #[serde(borrow)]
    row: StoredRow<'a>,
    /// By the group's text.
    groups: Vec<(Cow<'a, [u8]>, StoredRow<'a>)>,
}

#[derive(Serialize, Deserialize)]
struct StoredRow<'a> {
    row: UserRow,
    tuple: Cow<'a, [u8]>,
}

impl UsersTask {
    /// Writes every row that changed since the last checkpoint; `positions` are the next offsets.
    pub fn save(&mut self, positions: &[i64], batch: &mut Batch) -> Result<UsersMark, CheckpointError> {
        for slo in 0..self.slos.len() {
            let filters = filters_of(&self.slos[slo].slo);
            for (tenant, user) in std::mem::take(&mut self.slos[slo].gone) {
                batch.delete_row(&user_key(filters, &tenant, &user));
            }
            let mut dirty = std::mem::take(&mut self.slos[slo].dirty);
            dirty.sort_unstable();
            dirty.dedup();
            for user in dirty {
                self.save_user(slo, filters, user, batch)?;
            }
        }
        let admitted = self.slos.iter().map(|rows| {
            let texts = rows.admitted.iter().map(|g| rows.groups.get(*g).to_vec()).collect();
            (rows.slo.name.clone(), texts)
        });
        let sources = self.sources.iter().zip(positions).map(|(source, next)| match source.beginnings.front() {
            Some(first) => ReadAgain { offset: first.offset, watermark: first.watermark },
            None => ReadAgain { offset: *next, watermark: source.watermark },
        });
        Ok(UsersMark { closed_ms: self.closed_ms, sources: sources.collect(), admitted: admitted.collect() })
    }

    fn save_user(
        &mut self,
        slo: usize,
        filters: FiltersId,
        user: u32,
        batch: &mut Batch,
    ) -> Result<(), CheckpointError> {
        let rows = &mut self.slos[slo];
        let Some(index) = rows.row_of.get(user as usize).filter(|i| **i != super::intern::NONE) else {
            return Ok(());
        };
        rows.rows[*index as usize].dirty = false;
        let stored = |row: &UserRow| StoredRow { row: row.clone(), tuple: Cow::Borrowed(self.tuples.get(row.tuple)) };
        let groups = rows
            .group_row_of
            .range((user, 0)..=(user, u32::MAX))
            .map(|((_, group), index)| (Cow::Borrowed(rows.groups.get(*group)), stored(&rows.rows[*index as usize])));
        let value = StoredUser { row: stored(&rows.rows[*index as usize]), groups: groups.collect() };
        let entry = self.users.get(user);
        put(batch, &user_key(filters, self.tenants.text(entry.tenant), entry.name()), &value)
    }

    /// Brings back the rows of a checkpoint; those that do not fit into `limit_bytes` stay in the store.
    pub fn load(&mut self, mark: &UsersMark, store: &dyn Store, limit_bytes: u64) -> Result<(), CheckpointError> {
        self.closed_ms = mark.closed_ms;
        for (source, again) in self.sources.iter_mut().zip(&mark.sources) {
            source.watermark = again.watermark;
        }
        for rows in &mut self.slos {
            for text in mark.admitted.get(&rows.slo.name).into_iter().flatten() {
                let group = rows.groups.intern(text);
                rows.admitted.insert(group);
            }
        }
        let by_filters: BTreeMap<FiltersId, usize> =
            self.slos.iter().enumerate().map(|(i, rows)| (filters_of(&rows.slo), i)).collect();
        let (mut seen, mut is_full) = (0u32, false);
        scan(store, Prefix::Kind(Kind::User), &mut |key, value| {
            let Ok(Key::User { tenant, user, filters, .. }) = Key::decode(key) else {
                return Err(CheckpointError::Key);
            };
            // Rows of filters that are no longer there are of no use; they go with their definition.
            let Some(slo) = by_filters.get(&filters).copied() else { return Ok(()) };
            seen += 1;
            is_full |= seen.is_multiple_of(10_000) && self.memory_bytes() > limit_bytes;
            if is_full {
                let last_ms = read_stored(key, value)?.iter().map(|(_, row, _)| row.last_ms).max();
                self.slos[slo].cold.add(last_ms.unwrap_or(0));
                return Ok(());
            }
            self.load_user(slo, &tenant, &user, key, value)
        })
    }

    /// Takes the rows of a (SLO, user) into memory.
    pub(super) fn load_user(
        &mut self,
        slo: usize,
        tenant: &str,
        user: &str,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), CheckpointError> {
        let stored = read_stored(key, value)?;
        let tenant = self.tenants.intern(tenant.as_bytes());
        let user = self.users.intern(tenant, user);
        for (text, row, tuple) in stored {
            let group = self.group_code(slo, text.as_deref());
            self.load_row(slo, user, group, row, &tuple);
        }
        Ok(())
    }

    /// The code of a stored group: `None` is the row of all events, an empty text all other groups.
    pub(super) fn group_code(&mut self, slo: usize, text: Option<&[u8]>) -> u32 {
        match text {
            None => NO_GROUP,
            Some([]) => super::users::OTHER_GROUPS,
            Some(text) => self.slos[slo].groups.intern(text),
        }
    }

    fn load_row(&mut self, slo: usize, user: u32, group: u32, mut row: UserRow, tuple: &[u8]) {
        let tuple = self.tuples.intern(tuple);
        (row.user, row.group, row.tuple) = (user, group, tuple);
        let tenant = self.users.get(user).tenant;
        let keep_bad_from_ms = self.closed_ms.unwrap_or(0) - PANE_MS * 2 - self.slos[slo].slo.allowed_lateness_ms;
        let keys: &[KeyRef] =
            if group == NO_GROUP { &[KeyRef::Aggregate, KeyRef::Tenant(tenant)] } else { &[KeyRef::Group(group)] };
        let rows = &mut self.slos[slo];
        for (pane_ms, bad) in row.bad_panes_since(keep_bad_from_ms) {
            for key in keys {
                rows.bad.entry((pane_ms, *key)).or_default().insert(user, bad);
            }
        }
        rows.adopt(row, &mut self.users);
    }
}

/// A stored row: its group's text (`None`: the row of all events), the row, its tuple's bytes.
pub(super) type Stored = (Option<Vec<u8>>, UserRow, Vec<u8>);

/// The rows of a (SLO, user) as the store has them.
pub(super) fn read_stored(key: &[u8], value: &[u8]) -> Result<Vec<Stored>, CheckpointError> {
    let mut sealed = open(key, VERSION, value)?;
    let bytes = sealed.payload.bytes().map_err(|source| ValueError::unreadable(key, sealed.version, source))?;
    let user: StoredUser<'_> =
        postcard::from_bytes(bytes).map_err(|source| CheckpointError::Row { what: "read", source })?;
    let of_all = (None, user.row.row, user.row.tuple.into_owned());
    let of_groups = user.groups.into_iter().map(|(text, r)| (Some(text.into_owned()), r.row, r.tuple.into_owned()));
    Ok(std::iter::once(of_all).chain(of_groups).collect())
}

pub(super) fn user_key<'a>(filters: FiltersId, tenant: &'a str, user: &'a str) -> Key<'a> {
    Key::User {
        group: 0,
        tenant: Cow::Borrowed(tenant),
        user: Cow::Borrowed(user),
        filters,
        scope: ScopeKind::Aggregate,
        period: PeriodKind::Rolling,
        part: 0,
    }
}

/// What takes a row's key and value.
type TakeRow<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), CheckpointError> + 'a;

/// All rows with a prefix; the first failure ends the scan.
pub(super) fn scan(store: &dyn Store, prefix: Prefix<'_>, each: &mut TakeRow<'_>) -> Result<(), CheckpointError> {
    let mut failed = None;
    store.scan(&prefix.to_bytes(), &mut |key, value| match each(key, value) {
        Ok(()) => ControlFlow::Continue(()),
        Err(e) => {
            failed = Some(e);
            ControlFlow::Break(())
        }
    })?;
    failed.map_or(Ok(()), Err)
}
