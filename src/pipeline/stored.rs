//! Rows of the state as bytes: what a row of a user holds, its key, and how rows are written and read.

use super::intern::virtual_group;
use crate::model::slo::Slo;
use crate::operator::user_row::UserRow;
use crate::state::keys::{FiltersId, Key, PeriodKind, Prefix, ScopeKind};
use crate::state::values::{ValueError, open};
use crate::state::versions::{self, DecodeError, OLDEST, VERSION};
use crate::state::{Batch, Store, StoreError};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::ops::ControlFlow;

/// Why a checkpoint cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Value(#[from] ValueError),
    #[error("a row of the state cannot be written: {0}")]
    Write(postcard::Error),
    #[error("a row of the state cannot be read: {0}")]
    Read(#[from] DecodeError),
    #[error("the state has a key of {slo} that was evaluated by a definition which its checkpoint lacks")]
    Definition { slo: String },
    #[error("the state has a row with a key that this build does not know; move the directory away to have it rebuilt")]
    Key,
}

pub(super) fn put<T: Serialize>(batch: &mut Batch, key: &Key<'_>, row: &T) -> Result<(), CheckpointError> {
    let mut bytes = std::mem::take(&mut batch.scratch);
    bytes.clear();
    let bytes = postcard::to_extend(row, bytes).map_err(CheckpointError::Write)?;
    batch.put_row(key, VERSION, |out| out.bytes(&bytes));
    batch.scratch = bytes;
    Ok(())
}

pub(super) fn get<'de, T: Deserialize<'de>>(key: &[u8], value: &'de [u8]) -> Result<T, CheckpointError> {
    get_versioned(key, value).map(|(row, _)| row)
}

/// A row, and the version that it was written in.
pub(super) fn get_versioned<'de, T: Deserialize<'de>>(
    key: &[u8],
    value: &'de [u8],
) -> Result<(T, u8), CheckpointError> {
    let mut row = open(key, OLDEST..=VERSION, value)?;
    let version = row.version;
    let unreadable = |source| ValueError::unreadable(key, version, source);
    let bytes = row.payload.bytes().map_err(unreadable)?;
    row.payload.finish().map_err(unreadable)?;
    Ok((versions::decode(bytes, version)?, version))
}

/// Window state belongs to an SLO's name and the hash of its filters: a new objective keeps it.
pub(super) fn filters_of(slo: &Slo) -> FiltersId {
    FiltersId::of(&format!("{}\0{}", slo.name, slo.filters_hash))
}

/// Groups belong to the filters and to `group-by`.
pub(super) fn groups_of(slo: &Slo) -> u64 {
    FiltersId::of(&format!("{}\0{}\0{}", slo.name, slo.filters_hash, slo.group_by.join("\0"))).0
}

/// The rows of one (SLO, user).
#[derive(Serialize, Deserialize)]
pub(super) struct StoredUser<'a> {
    #[serde(borrow)]
    pub row: StoredRow<'a>,
    /// What the groups are of, see [`groups_of`]; 0 where there are none.
    pub groups_of: u64,
    /// By the group's text.
    pub groups: Vec<(Cow<'a, [u8]>, StoredRow<'a>)>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredRow<'a> {
    pub row: Cow<'a, UserRow>,
    pub tuple: Cow<'a, [u8]>,
}

/// A stored row: its group's text (`None`: the row of all events), the row, its tuple's bytes.
pub(super) type Stored = (Option<Vec<u8>>, UserRow, Vec<u8>);

/// The rows of a (SLO, user) as the store has them, without those of another `group-by`.
pub(super) fn read_stored(key: &[u8], value: &[u8], groups_of: u64) -> Result<Vec<Stored>, CheckpointError> {
    Ok(StoredUser::read(key, value)?.into_rows(groups_of))
}

impl<'a> StoredUser<'a> {
    pub fn read(key: &[u8], value: &'a [u8]) -> Result<StoredUser<'a>, CheckpointError> {
        get(key, value)
    }

    pub fn has_strays(&self, groups_of: u64) -> bool {
        !self.groups.is_empty() && self.groups_of != groups_of
    }

    pub fn stripped(self) -> StoredUser<'a> {
        StoredUser { groups_of: 0, groups: Vec::new(), ..self }
    }

    pub fn into_rows(self, groups_of: u64) -> Vec<Stored> {
        let user = if self.has_strays(groups_of) { self.stripped() } else { self };
        let of_all = (None, user.row.row.into_owned(), user.row.tuple.into_owned());
        let of_groups = user
            .groups
            .into_iter()
            .map(|(text, r)| (Some(text.into_owned()), r.row.into_owned(), r.tuple.into_owned()));
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

#[cfg(test)]
pub(super) fn add_shape(shape: &mut crate::state::versions::shape::Shape) {
    shape.add::<StoredUser<'_>>();
    shape.add::<Vec<super::journeys::StoredAttempt>>();
}
