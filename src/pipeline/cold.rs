//! Cold rows: above the memory limit, rows of quiet users are kept only in the store. They return to memory with the
//! user's next event, and a step of a window reads them from the store as long as the window includes them.

use super::cold_rows::ColdRow;
use super::intern::NONE;
use super::key_ref::KEY_GROUPS;
use super::stored::{CheckpointError, read_stored, scan, user_key};
use super::tally::Tally;
use super::users::UsersTask;
use crate::model::time::{MINUTE_MS, Ms};
use crate::operator::user_row::UserRow;
use crate::state::Store;
use crate::state::keys::{Key, Kind, Prefix, range_of};

/// A user's rows stay in memory at least this long after the last event, plus the allowed lateness.
const RESTING_MS: Ms = 10 * MINUTE_MS;

impl UsersTask {
    /// An estimate of the task's memory.
    pub fn memory_bytes(&self) -> u64 {
        let rows = self.slos.iter().flat_map(|s| &s.rows);
        let rows: usize = rows.map(|row| size_of::<UserRow>() + row.heap_bytes()).sum();
        // An entry, its name, its places in the index and in each SLO's list of rows.
        let users = self.users.len() * (72 + 4 * self.slos.len());
        let tallies: usize = self.slos.iter().flat_map(|s| &s.tallies).map(Tally::bytes).sum();
        let failing: usize = self.slos.iter().map(|s| s.failing.bytes()).sum();
        (rows + users + tallies + failing + self.waiting_bytes()) as u64
    }

    /// Drops rows from memory until `limit_bytes` is kept. Must be called after a checkpoint: only rows of quiet users
    /// that are unchanged since they were written to the store are dropped.
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

    /// Users whose rows may be dropped, with the time of their last event.
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

    /// Loads a user's rows of an SLO from the store, if it has them and memory does not.
    pub(super) fn bring_back(&mut self, slo: usize, user: u32, store: &dyn Store) -> Result<(), CheckpointError> {
        if self.slos[slo].cold.users == 0 || self.slos[slo].row_of.get(user as usize).is_some_and(|i| *i != NONE) {
            return Ok(());
        }
        let entry = self.users.get(user);
        let who = (entry.group, self.tenants.text(entry.tenant).to_owned(), entry.name().to_owned());
        // Retired rows remain in the store until the next checkpoint, but no longer count.
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

    /// Reads the cold rows with events since `start_ms`. Retires rows whose last event is before `retire_before_ms`,
    /// because no window needs them any more.
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

    /// A users task, and all partials that it sent.
    struct Run {
        alone: Alone,
        sent: Vec<Partial>,
        limit_bytes: u64,
    }

    impl Run {
        fn new(limit_bytes: u64) -> Run {
            let annotations = "user-windows: '10m,30m'
                               min-user-events: '1'
                               allowed-lateness: 0s";
            Run { alone: Alone::new(annotations, "1h", 1), sent: Vec::new(), limit_bytes }
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
            self.sent.push(self.alone.take(&outcome, at_ms));
        }

        fn checkpoint(&mut self) {
            self.alone.checkpoint(self.limit_bytes);
        }
    }

    #[test]
    fn a_row_that_was_retired_is_not_found_again_before_the_checkpoint_that_deletes_it() {
        let [mut small, mut large] = [1, u64::MAX].map(Run::new);
        for (run, cold) in [(&mut small, 2), (&mut large, 0)] {
            let mut event = |user: &str, minute: Ms| run.event(user, minute * MINUTE_MS);
            event("old", 0);
            event("busy", 15);
            run.checkpoint();
            let mut event = |user: &str, minute: Ms| run.event(user, minute * MINUTE_MS);
            event("younger", 50);
            event("busy", 62);
            run.checkpoint();
            // Counted by each SLO.
            assert_eq!(run.alone.task.slos.iter().map(|slo| slo.cold.users).sum::<u64>(), cold);
            // A window still includes the younger user, so each of these steps scans the store and meets the old one.
            (63..80).for_each(|minute| run.event("busy", minute * MINUTE_MS));
            run.event("old", 80 * MINUTE_MS);
            run.event("younger", 81 * MINUTE_MS);
            run.checkpoint();
            run.event("busy", 95 * MINUTE_MS);
            run.event("old", 96 * MINUTE_MS);
        }
        assert_eq!(small.sent, large.sent);
    }
}
