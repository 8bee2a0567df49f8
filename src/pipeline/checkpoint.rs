//! What a task writes to its store, and how it comes back.
//!
//! A checkpoint is the state at a closed boundary. What still waits for its boundary is not written:
//! the checkpoint says from which offset each source is to be read again, and the records before
//! that boundary are recognised and skipped.

use super::key_ref::{KEY_GROUPS, KeyRef, OTHER_GROUPS};
pub use super::mark::{GroupMark, Mark, ReplayStart, TaskMark, UsersMark};
pub use super::stored::CheckpointError;
use super::stored::{StoredRow, StoredUser, put, scan, scan_each, user_key};
use super::users::UsersTask;
use crate::model::time::PANE_MS;
use crate::operator::user_row::{NO_GROUP, UserRow};
use crate::operator::watermark::Watermark;
use crate::state::keys::{FiltersId, Key, Kind, Prefix, groups_of_range, range_of};
use crate::state::{Batch, Store};
use std::borrow::Cow;
use std::collections::BTreeMap;

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
                // The user's rows may have gone since, and its number may be another user's, of another group: that one's
                // rows are not written with this group, or the group would be ahead of its boundary after a restart.
                if self.users.get(user).group == group {
                    self.save_user(slo, filters, user, batch)?;
                }
            }
        }
        self.save_attempts(group, batch)
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
                None if self.journey_of(filters).is_some() => {}
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
            known: self.known_decisions(),
            overflowing: (
                self.slos.iter().filter(|rows| rows.groups_overflow).map(|rows| rows.groups_of).collect(),
                self.slos.iter().filter(|rows| rows.tenants_overflow).map(|rows| rows.filters.0).collect(),
            ),
            begun: self.slos[..self.defined].iter().filter(|_| self.has_begun).map(|rows| rows.filters.0).collect(),
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
        self.wait_for_known(&mark.known);
        for rows in &mut self.slos {
            let (groups, filters) = (rows.groups_of, rows.filters.0);
            for text in mark.kept.get(&groups).into_iter().flatten() {
                let group = rows.group(text);
                rows.kept.push(group);
            }
            rows.groups_overflow = mark.overflowing.0.contains(&groups);
            rows.has_sent_overflow = rows.groups_overflow;
            rows.tenants_overflow = mark.overflowing.1.contains(&filters);
        }
    }

    /// From where the task's stream has to be read again for all that is not closed; `next` is where it
    /// is read to.
    pub fn read_again(&self, next: i64) -> ReplayStart {
        match self.beginnings.first() {
            Some(first) => ReplayStart { offset: first.offset, watermark: first.watermark },
            None => {
                let watermark = self.sources.first().map(|s| s.watermark).unwrap_or_default();
                ReplayStart { offset: next, watermark }
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
        let stored = |row| StoredRow { row: Cow::Borrowed(row), tuple: Cow::Borrowed(self.tuples.get(row.tuple)) };
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
        self.has_received_all = false;
        // Aggregate keys of filters that are new exist from the next boundary at which something is visible.
        self.has_begun = self.slos[..self.defined].iter().all(|rows| mark.begun.contains(&rows.filters.0));
        self.load_groups(mark);
        let by_filters = self.by_filters();
        let (mut seen, mut is_full) = (0u32, false);
        scan(store, Prefix::Kind(Kind::User), &mut |key, value| {
            let Ok(Key::User { group, tenant, user, filters, .. }) = Key::decode(key) else {
                return Err(CheckpointError::Key);
            };
            if let Some(slo) = self.journey_of(filters) {
                return self.load_attempt(slo, (&tenant, &user), key, value);
            }
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
        self.has_received_all = true;
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
            Some([]) => OTHER_GROUPS,
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

#[cfg(test)]
mod tests {
    use crate::model::outcome::{Outcome, WEIGHT_ONE};
    use crate::model::time::{HOUR_MS, Ms};
    use crate::pipeline::alone::Alone;
    use crate::pipeline::key_ref::KEY_GROUPS;
    use crate::state::Batch;
    use crate::state::keys::{KEY_GROUPS as VIRTUAL_GROUPS, Key, range_of};

    const START_MS: Ms = 1_780_000_000_000;

    fn event(user: &str, timestamp_ms: Ms) -> Outcome<'_> {
        Outcome {
            tenant: "acme".into(),
            user: Some(user.into()),
            timestamp_ms,
            status: Some(200),
            weight_micros: WEIGHT_ONE,
            ..Outcome::default()
        }
    }

    /// Time leaps: the rows of all users go before they were ever written, and other users take their numbers.
    #[test]
    fn a_group_is_written_with_rows_of_its_own_users_only() {
        let mut alone = Alone::new("user-windows: '10m,30m'", "1h", 1);
        let (old, new): (Vec<_>, Vec<_>) = (0..200).map(|i| (format!("old{i}"), format!("new{i}"))).unzip();
        old.iter().for_each(|user| drop(alone.take(&event(user, START_MS), START_MS)));
        let later_ms = START_MS + 25 * HOUR_MS;
        alone.take(&event("clock", later_ms), later_ms);
        assert_eq!(alone.task.users_known(), 1, "the old ones went, without a checkpoint");
        new.iter().for_each(|user| drop(alone.take(&event(user, later_ms), later_ms)));
        alone.close(later_ms + 60_000);
        let mut rows = 0;
        for group in 0..KEY_GROUPS {
            let mut batch = Batch::default();
            alone.task.save_group(group, &alone.store, &mut batch).expect("saved");
            for (key, _) in batch.sorted().filter(|(_, value)| value.is_some()) {
                let Ok(Key::User { group: of, .. }) = Key::decode(key) else { panic!("not a user's row") };
                assert!(of < VIRTUAL_GROUPS && range_of(of, KEY_GROUPS) == group, "group {group} has a row of {of}");
                rows += 1;
            }
        }
        assert_eq!(rows, 1 + new.len());
    }
}
