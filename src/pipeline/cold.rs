//! Rows that exceed the memory limit: they stay in the store alone, come back when their user does,
//! and are read from there where a window's step still counts them.

use super::checkpoint::{CheckpointError, read_stored, scan, user_key};
use super::intern::NONE;
use super::tally::Tally;
use super::users::{KEY_GROUPS, UsersTask};
use crate::model::time::{MINUTE_MS, Ms};
use crate::operator::user_row::{NEVER, UserRow};
use crate::state::Store;
use crate::state::keys::{Key, Kind, Prefix, range_of};

/// A user is left alone for so long after the last event, beyond what may still come late.
const RESTING_MS: Ms = 10 * MINUTE_MS;

/// The rows of an SLO that are in the store alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ColdRows {
    pub users: u64,
    /// The time of their newest event.
    pub newest_ms: Ms,
}

impl Default for ColdRows {
    fn default() -> Self {
        ColdRows { users: 0, newest_ms: NEVER }
    }
}

impl ColdRows {
    pub fn add(&mut self, last_ms: Ms) {
        self.users += 1;
        self.newest_ms = self.newest_ms.max(last_ms);
    }

    fn take(&mut self) {
        self.users -= 1;
        if self.users == 0 {
            *self = ColdRows::default();
        }
    }
}

/// A row as it was read from the store, with what it is called.
pub(super) struct ColdRow {
    pub tenant: u32,
    pub user: String,
    pub group: u32,
    pub row: UserRow,
}

impl UsersTask {
    /// Bytes that the task takes.
    pub fn memory_bytes(&self) -> u64 {
        let rows = self.slos.iter().flat_map(|s| &s.rows);
        let rows: usize = rows.map(|row| size_of::<UserRow>() + row.heap_bytes()).sum();
        // An entry, its name, its places in the index and in each SLO's list of rows.
        let users = self.users.len() * (72 + 4 * self.slos.len());
        let tallies: usize = self.slos.iter().flat_map(|s| &s.tallies).map(Tally::bytes).sum();
        (rows + users + tallies + self.waiting_bytes()) as u64
    }

    /// Users whose rows are in the store alone.
    pub fn cold_users(&self) -> u64 {
        self.slos.iter().map(|s| s.cold.users).sum()
    }

    /// Drops rows from memory until `limit_bytes` is kept. To be called after a checkpoint: only rows
    /// that the store has as they are, of users who have been quiet, are dropped.
    pub fn evict(&mut self, limit_bytes: u64) {
        let Some(closed_ms) = self.closed_ms else { return };
        let used = self.memory_bytes();
        if used <= limit_bytes || self.users.is_empty() {
            return;
        }
        // A tenth more than needed, so that not every checkpoint has to evict.
        let per_user = (used / self.users.len() as u64).max(1);
        let wanted = ((used - limit_bytes) + limit_bytes / 10) / per_user + 1;
        let mut resting = self.resting_users(closed_ms);
        let count = usize::try_from(wanted).unwrap_or(usize::MAX).min(resting.len());
        if count == 0 {
            return;
        }
        resting.select_nth_unstable(count - 1);
        resting.truncate(count);
        for (_, user) in resting {
            self.drop_user(user, closed_ms);
        }
        for rows in &mut self.slos {
            let kept = &rows.rows;
            rows.listed.iter_mut().for_each(|list| list.retain(|row| kept[*row as usize].user != NONE));
            rows.free.append(&mut rows.dropped);
        }
    }

    /// Users that may be dropped, with the time of their last event.
    fn resting_users(&self, closed_ms: Ms) -> Vec<(Ms, u32)> {
        let lateness_ms = self.slos.iter().map(|s| s.slo.allowed_lateness_ms).max().unwrap_or(0);
        let before_ms = closed_ms - RESTING_MS - lateness_ms;
        let last_of = |user: u32| {
            let rows = self.slos.iter().filter_map(|s| {
                let index = *s.row_of.get(user as usize)?;
                (index != NONE).then(|| &s.rows[index as usize])
            });
            rows.map(|row| if row.dirty { Ms::MAX } else { row.last_ms }).max()
        };
        let users = 0..self.users.capacity() as u32;
        let known = users.filter(|user| self.users.get(*user).rows > 0);
        let quiet = known.filter(|user| self.users.get(*user).pending_until_ms <= closed_ms);
        quiet.filter_map(|user| last_of(user).map(|ms| (ms, user))).filter(|(ms, _)| *ms < before_ms).collect()
    }

    fn drop_user(&mut self, user: u32, closed_ms: Ms) {
        for rows in &mut self.slos {
            let Some(index) = rows.row_of.get(user as usize).copied().filter(|i| *i != NONE) else { continue };
            rows.cold.add(rows.rows[index as usize].last_ms);
            rows.row_of[user as usize] = NONE;
            let groups: Vec<(u32, u32)> =
                rows.group_row_of.range((user, 0)..=(user, u32::MAX)).map(|(k, _)| *k).collect();
            let of_groups: Vec<u32> = groups.iter().filter_map(|key| rows.group_row_of.remove(key)).collect();
            for dropped in std::iter::once(index).chain(of_groups) {
                rows.leave_tallies(dropped);
                rows.rows[dropped as usize] = UserRow::new(NONE, 0);
                rows.dropped.push(dropped);
                self.users.get_mut(user).rows -= 1;
            }
        }
        self.users.forget_if_unused(user, closed_ms);
    }

    /// Brings a user's rows of an SLO back, if the store has them.
    pub(super) fn bring_back(&mut self, slo: usize, user: u32, store: &dyn Store) -> Result<(), CheckpointError> {
        if self.slos[slo].cold.users == 0 || self.slos[slo].row_of.get(user as usize).is_some_and(|i| *i != NONE) {
            return Ok(());
        }
        let entry = self.users.get(user);
        let who = (entry.group, self.tenants.text(entry.tenant).to_owned(), entry.name().to_owned());
        // What was retired is in the store only until the next checkpoint.
        if self.slos[slo].gone.contains(&who) {
            return Ok(());
        }
        let (_, tenant, name) = who;
        let key = user_key(self.slos[slo].filters, &tenant, &name).to_bytes();
        let mut value = Vec::new();
        if store.get(&key, &mut value)? {
            self.load_user(slo, &tenant, &name, &key, &value)?;
            self.slos[slo].cold.take();
        }
        Ok(())
    }

    /// Cold rows with events since `start_ms`. Those older than everything that asks for them go.
    pub(super) fn cold_rows(
        &mut self,
        slo: usize,
        start_ms: Ms,
        retire_before_ms: Ms,
        store: &dyn Store,
    ) -> Result<Vec<ColdRow>, CheckpointError> {
        let mut found = Vec::new();
        if self.slos[slo].cold.users == 0 || self.slos[slo].cold.newest_ms < start_ms {
            return Ok(found);
        }
        let ours = self.slos[slo].filters;
        scan(store, Prefix::Kind(Kind::User), &mut |key, value| {
            let Ok(Key::User { group, tenant, user, filters, .. }) = Key::decode(key) else {
                return Err(CheckpointError::Key);
            };
            if filters != ours || self.is_warm(slo, &tenant, &user) {
                return Ok(());
            }
            let who = (range_of(group, KEY_GROUPS), tenant.into_owned(), user.into_owned());
            // Retired, and in the store only until the next checkpoint.
            if self.slos[slo].gone.contains(&who) {
                return Ok(());
            }
            let rows = self.read_cold(slo, &who.1, &who.2, key, value)?;
            if rows.iter().all(|cold| cold.row.last_ms < retire_before_ms) {
                self.slos[slo].gone.insert(who);
                self.slos[slo].cold.take();
            }
            found.extend(rows.into_iter().filter(|cold| cold.row.last_ms >= start_ms));
            Ok(())
        })?;
        Ok(found)
    }

    fn is_warm(&self, slo: usize, tenant: &str, user: &str) -> bool {
        let Some(tenant) = self.tenants.find(tenant.as_bytes()) else { return false };
        let Some(user) = self.users.find(tenant, user) else { return false };
        self.slos[slo].row_of.get(user as usize).is_some_and(|index| *index != NONE)
    }

    fn read_cold(
        &mut self,
        slo: usize,
        tenant: &str,
        user: &str,
        key: &[u8],
        value: &[u8],
    ) -> Result<Vec<ColdRow>, CheckpointError> {
        let tenant = self.tenants.intern(tenant.as_bytes());
        let stored = read_stored(key, value, self.slos[slo].groups_of)?;
        let mut rows = Vec::with_capacity(1 + stored.len());
        for (text, mut row, tuple) in stored {
            let group = self.group_code(slo, text.as_deref());
            row.tuple = self.tuples.intern(&tuple);
            row.group = group;
            rows.push(ColdRow { tenant, user: user.to_owned(), group, row });
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::outcome::{Outcome, WEIGHT_ONE};
    use crate::model::time::MINUTE_MS;
    use crate::operator::partial::Partial;
    use crate::pipeline::alone::Alone;

    const START_MS: Ms = 1_780_000_000_000;

    /// A users task, and everything that it said.
    struct Told {
        alone: Alone,
        said: Vec<Partial>,
        limit_bytes: u64,
    }

    impl Told {
        fn new(limit_bytes: u64) -> Told {
            let annotations = "user-windows: '10m,30m'
                               min-user-events: '1'
                               allowed-lateness: 0s";
            Told { alone: Alone::new(annotations, "1h", 1), said: Vec::new(), limit_bytes }
        }

        fn event(&mut self, user: &str, after_ms: Ms) {
            let at_ms = START_MS + after_ms;
            let outcome = Outcome {
                tenant: "acme".into(),
                user: Some(user.into()),
                timestamp_ms: at_ms,
                status: Some(503),
                weight_micros: WEIGHT_ONE,
                ..Outcome::default()
            };
            self.said.push(self.alone.take(&outcome, at_ms));
        }

        fn checkpoint(&mut self) {
            self.alone.checkpoint(self.limit_bytes);
        }
    }

    #[test]
    fn a_row_that_was_retired_is_not_found_again_before_the_checkpoint_that_deletes_it() {
        let [mut small, mut large] = [1, u64::MAX].map(Told::new);
        for (told, cold) in [(&mut small, 2), (&mut large, 0)] {
            let mut says = |user: &str, minute: Ms| told.event(user, minute * MINUTE_MS);
            says("old", 0);
            says("busy", 15);
            told.checkpoint();
            let mut says = |user: &str, minute: Ms| told.event(user, minute * MINUTE_MS);
            says("younger", 50);
            says("busy", 62);
            told.checkpoint();
            assert_eq!(told.alone.task.cold_users(), cold);
            // The younger one is still asked for, and the old one is met at each of these steps.
            (63..80).for_each(|minute| told.event("busy", minute * MINUTE_MS));
            told.event("old", 80 * MINUTE_MS);
            told.event("younger", 81 * MINUTE_MS);
            told.checkpoint();
            told.event("busy", 95 * MINUTE_MS);
            told.event("old", 96 * MINUTE_MS);
        }
        assert_eq!(small.said, large.said);
    }
}
