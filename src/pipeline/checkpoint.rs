//! What a task writes to its store, and how it comes back.
//!
//! A checkpoint is the state at a closed boundary. What still waits for its boundary is not written:
//! the checkpoint says from which offset each source is to be read again, and the records before
//! that boundary are recognised and skipped.

use super::intern::virtual_group;
use super::rollup_state::RollupMark;
use super::users::{KEY_GROUPS, KeyRef, UsersTask};
use crate::model::time::{Ms, PANE_MS};
use crate::operator::admission::Decision;
use crate::operator::user_row::{NO_GROUP, UserRow};
use crate::operator::watermark::Watermark;
use crate::state::keys::{FiltersId, Key, Kind, Meta, PeriodKind, Prefix, ScopeKind, groups_of_range, range_of};
use crate::state::values::{ValueError, open};
use crate::state::{Batch, Store, StoreError};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// The version of the values written here, and the only one that is read: none was ever released before.
pub(super) const VERSION: u8 = 6;

/// Why a checkpoint cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Value(#[from] ValueError),
    #[error("a row of the state cannot be {what}: {source}")]
    Row { what: &'static str, source: postcard::Error },
    #[error("the state has a key of {slo} that was evaluated by a definition which its checkpoint lacks")]
    Definition { slo: String },
    #[error("the state has a row with a key that this build does not know; move the directory away to have it rebuilt")]
    Key,
}

/// Where a source is to be read again from, and the watermark that its first record met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadAgain {
    pub offset: i64,
    pub watermark: Watermark,
}

/// What a checkpoint says of a users task beside its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsersMark {
    /// How far each source had come.
    pub sources: Vec<Watermark>,
    /// By source, where its last block ended.
    heard: Vec<Option<i64>>,
    /// By source, the boundaries that are not closed and are incomplete on its account: behind the first
    /// of each pair and up to the second. What said so may lie before what is read again.
    incomplete: Vec<Vec<(Ms, Ms)>>,
    /// By filters and `group-by` ([`groups_of`]): groups that are remembered, with or without a key of their own.
    kept: BTreeMap<u64, Vec<Vec<u8>>>,
    /// Which groups and tenants have keys, where the task decides that alone.
    decisions: Vec<Decision>,
    /// Those with more groups than are remembered (by filters and `group-by`), and those with more tenants than
    /// may have keys (by filters).
    overflowing: (Vec<u64>, Vec<u64>),
    /// An event was visible: the aggregate keys of these filters were told of.
    begun: Vec<u64>,
}

/// What a checkpoint says of a key group: groups are written in turn, so each has its own boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMark {
    /// The boundary that the group's rows are true of.
    pub at_ms: Option<Ms>,
    /// Reading the task's stream again from here brings back all that the rows do not have.
    pub again: ReadAgain,
    /// Which image of the group the changelog holds, and how many blocks it has had since.
    pub generation: u32,
    pub blocks: u32,
    pub image_bytes: u64,
    pub delta_bytes: u64,
}

/// What kind of task a checkpoint is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskMark {
    Users(UsersMark),
    Rollup(RollupMark),
}

/// The checkpoint of a task: in the changelog and in the store, in one unit with the rows it is true of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The build and definitions that wrote it.
    pub identity: String,
    /// Counts the commits that wrote one. The committed offset names the last of them.
    pub sequence: u64,
    pub groups: Vec<GroupMark>,
    /// Watermarks of the task's own source that were raised by decision; see the worker.
    pub raised: Vec<(i64, Ms, bool)>,
    pub task: TaskMark,
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

    /// As the changelog has it: a version and the mark.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CheckpointError> {
        postcard::to_extend(self, vec![VERSION]).map_err(|source| CheckpointError::Row { what: "written", source })
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Mark, CheckpointError> {
        match bytes.split_first() {
            Some((&VERSION, mark)) => {
                postcard::from_bytes(mark).map_err(|source| CheckpointError::Row { what: "read", source })
            }
            // The marks of the builds before had no version: they began with the length of a text.
            Some((found, _)) if *found < VERSION || *found >= 0x10 => Err(ValueError::older("the checkpoint").into()),
            _ => Err(ValueError::newer("the checkpoint").into()),
        }
    }

    /// The boundary that all rows are true of, at least.
    pub fn at_ms(&self) -> Option<Ms> {
        self.groups.iter().map(|group| group.at_ms).min().flatten()
    }

    /// Where the task's stream has to be read again from.
    pub fn again(&self) -> Option<ReadAgain> {
        self.groups.iter().map(|group| group.again).min_by_key(|again| again.offset)
    }
}

pub(super) fn put<T: Serialize>(batch: &mut Batch, key: &Key<'_>, row: &T) -> Result<(), CheckpointError> {
    let bytes = postcard::to_stdvec(row).map_err(|source| CheckpointError::Row { what: "written", source })?;
    batch.put_row(key, VERSION, |out| out.bytes(&bytes));
    Ok(())
}

pub(super) fn get<T: for<'de> Deserialize<'de>>(key: &[u8], value: &[u8]) -> Result<T, CheckpointError> {
    let mut row = open(key, VERSION..=VERSION, value)?;
    let bytes = row.payload.bytes().map_err(|source| ValueError::unreadable(key, row.version, source))?;
    postcard::from_bytes(bytes).map_err(|source| CheckpointError::Row { what: "read", source })
}

/// Window state belongs to an SLO's name and the hash of its filters: a new objective keeps it.
pub(super) fn filters_of(slo: &crate::model::slo::Slo) -> FiltersId {
    FiltersId::of(&format!("{}\0{}", slo.name, slo.filters_hash))
}

/// Groups belong to the filters and to `group-by`.
pub(super) fn groups_of(slo: &crate::model::slo::Slo) -> u64 {
    FiltersId::of(&format!("{}\0{}\0{}", slo.name, slo.filters_hash, slo.group_by.join("\0"))).0
}

/// The rows of one (SLO, user).
#[derive(Serialize, Deserialize)]
struct StoredUser<'a> {
    #[serde(borrow)]
    row: StoredRow<'a>,
    /// What the groups are of, see [`groups_of`]; 0 where there are none.
    groups_of: u64,
    /// By the group's text.
    groups: Vec<(Cow<'a, [u8]>, StoredRow<'a>)>,
}

#[derive(Serialize, Deserialize)]
struct StoredRow<'a> {
    row: UserRow,
    tuple: Cow<'a, [u8]>,
}

impl UsersTask {
    /// Writes the rows of a key group that changed since it was written last.
    pub fn save_group(&mut self, group: u16, store: &dyn Store, batch: &mut Batch) -> Result<(), CheckpointError> {
        if std::mem::take(&mut self.has_strays[usize::from(group)]) {
            self.clear_strays(group, store, batch)?;
        }
        for slo in 0..self.slos.len() {
            let filters = self.slos[slo].filters;
            let rows = &mut self.slos[slo];
            let first = (group, String::new(), String::new());
            let behind = (group + 1, String::new(), String::new());
            let gone: Vec<_> = rows.gone.range(first..behind).cloned().collect();
            for who in gone {
                batch.delete_row(&user_key(filters, &who.1, &who.2));
                rows.gone.remove(&who);
            }
            let mut dirty = std::mem::take(&mut rows.dirty[usize::from(group)]);
            dirty.sort_unstable();
            dirty.dedup();
            for user in dirty {
                self.save_user(slo, filters, user, batch)?;
            }
        }
        Ok(())
    }

    /// Deletes what a store has of filters that are gone, and of groups by another `group-by`: should the
    /// definition come back, it must not find what it was when it went.
    fn clear_strays(&mut self, group: u16, store: &dyn Store, batch: &mut Batch) -> Result<(), CheckpointError> {
        let by_filters = self.by_filters();
        let mut stripped = Vec::new();
        let prefixes = groups_of_range(group, KEY_GROUPS).map(|group| Prefix::Users { group });
        scan_each(store, prefixes, &mut |key, value| {
            let Ok(Key::User { tenant, user, filters, .. }) = Key::decode(key) else {
                return Err(CheckpointError::Key);
            };
            match by_filters.get(&filters) {
                None => batch.delete(key),
                Some(slo) => {
                    let stored = StoredUser::read(key, value)?;
                    if stored.has_strays(self.slos[*slo].groups_of) {
                        stripped.push((*slo, tenant.into_owned(), user.into_owned()));
                        put(batch, &Key::decode(key).map_err(|_| CheckpointError::Key)?, &stored.stripped())?;
                    }
                }
            }
            Ok(())
        })?;
        // Those in memory are written as they are there.
        for (slo, tenant, name) in stripped {
            let tenant = self.tenants.find(tenant.as_bytes());
            let user = tenant.and_then(|tenant| self.users.find(tenant, &name));
            if let Some(user) = user.filter(|user| self.has_row(slo, *user)) {
                self.slos[slo].dirty[usize::from(group)].push(user);
            }
        }
        Ok(())
    }

    fn by_filters(&self) -> BTreeMap<FiltersId, usize> {
        self.slos.iter().enumerate().map(|(i, rows)| (rows.filters, i)).collect()
    }

    fn has_row(&self, slo: usize, user: u32) -> bool {
        self.slos[slo].row_of.get(user as usize).is_some_and(|index| *index != super::intern::NONE)
    }

    /// What a checkpoint says beside the rows.
    pub fn mark(&self) -> UsersMark {
        UsersMark {
            sources: self.sources.iter().map(|s| s.watermark).collect(),
            heard: self.sources.iter().map(|s| s.next_offset).collect(),
            incomplete: self.sources.iter().map(|s| s.incomplete.iter().copied().collect()).collect(),
            kept: self.kept_groups(),
            decisions: self.decisions(),
            overflowing: (
                self.slos.iter().filter(|rows| rows.groups_overflow).map(|rows| rows.groups_of).collect(),
                self.slos.iter().filter(|rows| rows.tenants_overflow).map(|rows| rows.filters.0).collect(),
            ),
            begun: self.slos.iter().filter(|_| self.has_begun).map(|rows| rows.filters.0).collect(),
        }
    }

    fn kept_groups(&self) -> BTreeMap<u64, Vec<Vec<u8>>> {
        let has_some = self.slos.iter().filter(|rows| !rows.kept.is_empty());
        has_some
            .map(|rows| (rows.groups_of, rows.kept.iter().map(|g| rows.groups.get(*g).to_vec()).collect()))
            .collect()
    }

    /// Brings back which groups are remembered, and what the task decided alone.
    fn load_groups(&mut self, mark: &UsersMark) {
        mark.decisions.iter().for_each(|decision| self.learn(decision, false));
        for rows in &mut self.slos {
            let (groups, filters) = (rows.groups_of, rows.filters.0);
            for text in mark.kept.get(&groups).into_iter().flatten() {
                let group = rows.group(text);
                rows.kept.push(group);
            }
            rows.groups_overflow = mark.overflowing.0.contains(&groups);
            rows.has_told_overflow = rows.groups_overflow;
            rows.tenants_overflow = mark.overflowing.1.contains(&filters);
        }
    }

    /// From where the task's stream has to be read again for all that is not closed; `next` is where it
    /// is read to.
    pub fn read_again(&self, next: i64) -> ReadAgain {
        match self.beginnings.first() {
            Some(first) => ReadAgain { offset: first.offset, watermark: first.watermark },
            None => {
                let watermark = self.sources.first().map(|s| s.watermark).unwrap_or_default();
                ReadAgain { offset: next, watermark }
            }
        }
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
        let groups: Vec<_> = groups.collect();
        let groups_of = if groups.is_empty() { 0 } else { rows.groups_of };
        let value = StoredUser { row: stored(&rows.rows[*index as usize]), groups_of, groups };
        let entry = self.users.get(user);
        put(batch, &user_key(filters, self.tenants.text(entry.tenant), entry.name()), &value)
    }

    /// Brings back the rows of a checkpoint; those that do not fit into `limit_bytes` stay in the store.
    /// The task is then at the boundary that all of them have, and takes what is read again only where a
    /// row does not have it.
    pub fn load(
        &mut self,
        groups: &[GroupMark],
        mark: &UsersMark,
        store: &dyn Store,
        limit_bytes: u64,
    ) -> Result<(), CheckpointError> {
        self.closed_ms = groups.iter().map(|group| group.at_ms).min().flatten();
        self.loaded_ms = self.closed_ms;
        self.groups_at = Some(groups.iter().map(|group| group.at_ms).collect());
        self.has_heard_all = false;
        // Aggregate keys of filters that are new exist from the next boundary at which something is visible.
        self.has_begun = self.slos.iter().all(|rows| mark.begun.contains(&rows.filters.0));
        self.load_groups(mark);
        let by_filters = self.by_filters();
        let (mut seen, mut is_full) = (0u32, false);
        scan(store, Prefix::Kind(Kind::User), &mut |key, value| {
            let Ok(Key::User { group, tenant, user, filters, .. }) = Key::decode(key) else {
                return Err(CheckpointError::Key);
            };
            // Rows of filters that are no longer there are of no use; they go when their group is written.
            let Some(slo) = by_filters.get(&filters).copied() else {
                self.has_strays[usize::from(range_of(group, KEY_GROUPS))] = true;
                return Ok(());
            };
            seen += 1;
            is_full |= seen.is_multiple_of(10_000) && self.memory_bytes() > limit_bytes;
            if is_full {
                let stored = StoredUser::read(key, value)?;
                self.has_strays[usize::from(range_of(group, KEY_GROUPS))] |=
                    stored.has_strays(self.slos[slo].groups_of);
                let last_ms = stored.groups.iter().map(|(_, stored)| stored.row.last_ms).max();
                let last_ms = last_ms.max(Some(stored.row.row.last_ms));
                self.tenants.intern(tenant.as_bytes());
                self.slos[slo].cold.add(last_ms.unwrap_or(0));
                return Ok(());
            }
            self.load_user(slo, &tenant, &user, key, value)
        })
    }

    /// The task's stream is read again from where its only source had this watermark.
    pub fn begin_replay(&mut self, watermark: Watermark) {
        if let [only] = &mut self.sources[..] {
            only.watermark = watermark;
        } else if let Some(closed_ms) = self.closed_ms {
            // All of them had come as far as what is closed. (What they said since is read again.)
            self.sources.iter_mut().for_each(|source| source.watermark.raise_to(closed_ms, false));
        }
    }

    /// Everything up to the last commit has been read again. `mark` is what the last checkpoint said.
    pub fn end_replay(&mut self, mark: Option<&UsersMark>) {
        let several = self.sources.len() > 1;
        for (source, said) in self.sources.iter_mut().zip(mark.map_or(&[][..], |mark| &mark.sources)) {
            if let (true, Some(raised_ms)) = (several, said.raised_ms()) {
                source.watermark.raise_to(raised_ms, false);
            }
        }
        for (source, said) in self.sources.iter_mut().zip(mark.map_or(&[][..], |mark| &mark.incomplete)) {
            source.incomplete.extend(said);
        }
        for (source, heard) in self.sources.iter_mut().zip(mark.map_or(&[][..], |mark| &mark.heard)) {
            source.next_offset = source.next_offset.or(*heard);
        }
        self.has_heard_all = true;
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
        let stored = StoredUser::read(key, value)?;
        let tenant = self.tenants.intern(tenant.as_bytes());
        let user = self.user(tenant, user);
        let groups_of = self.slos[slo].groups_of;
        if stored.has_strays(groups_of) {
            self.has_strays[usize::from(self.users.get(user).group)] = true;
        }
        for (text, row, tuple) in stored.into_rows(groups_of) {
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
            Some(text) => self.slos[slo].group(text),
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

/// The rows of a (SLO, user) as the store has them, without those of another `group-by`.
pub(super) fn read_stored(key: &[u8], value: &[u8], groups_of: u64) -> Result<Vec<Stored>, CheckpointError> {
    Ok(StoredUser::read(key, value)?.into_rows(groups_of))
}

impl<'a> StoredUser<'a> {
    fn read(key: &[u8], value: &'a [u8]) -> Result<StoredUser<'a>, CheckpointError> {
        let sealed = open(key, VERSION..=VERSION, value)?;
        let (version, mut payload) = (sealed.version, sealed.payload);
        let bytes = payload.bytes().map_err(|source| ValueError::unreadable(key, version, source))?;
        postcard::from_bytes(bytes).map_err(|source| CheckpointError::Row { what: "read", source })
    }

    fn has_strays(&self, groups_of: u64) -> bool {
        !self.groups.is_empty() && self.groups_of != groups_of
    }

    fn stripped(self) -> StoredUser<'a> {
        StoredUser { groups_of: 0, groups: Vec::new(), ..self }
    }

    fn into_rows(self, groups_of: u64) -> Vec<Stored> {
        let user = if self.has_strays(groups_of) { self.stripped() } else { self };
        let of_all = (None, user.row.row, user.row.tuple.into_owned());
        let of_groups = user.groups.into_iter().map(|(text, r)| (Some(text.into_owned()), r.row, r.tuple.into_owned()));
        std::iter::once(of_all).chain(of_groups).collect()
    }
}

pub(super) fn user_key<'a>(filters: FiltersId, tenant: &'a str, user: &'a str) -> Key<'a> {
    Key::User {
        group: virtual_group(user),
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

/// All rows with one of these prefixes.
pub(super) fn scan_each(
    store: &dyn Store,
    mut prefixes: impl Iterator<Item = Prefix>,
    each: &mut TakeRow<'_>,
) -> Result<(), CheckpointError> {
    prefixes.try_for_each(|prefix| scan(store, prefix, each))
}

/// All rows with a prefix; the first failure ends the scan.
pub(super) fn scan(store: &dyn Store, prefix: Prefix, each: &mut TakeRow<'_>) -> Result<(), CheckpointError> {
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
