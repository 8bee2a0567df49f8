//! Users who fail again and again: at each full minute the rollup task of their tenant is told what they asked for in it, so
//! that it can say who fails more than the rest (contract, section 12, `kind: user`).

use super::cold_rows::ColdRow;
use super::key_ref::KeyRef;
use super::users::UsersTask;
use crate::model::time::{MINUTE_MS, Ms, floor_to, slice_ms, window_start};
use crate::operator::signal::failing_user::{BAD_MINUTES_MIN, FailingUser, evidence_ms, keep_worst_served};
use crate::operator::user_row::{NO_GROUP, UserRow};
use std::collections::{BTreeMap, BTreeSet};

/// Rows in memory of users who had bad events at two different times; the latter may be long ago.
#[derive(Debug, Default)]
pub(super) struct FailingRows(BTreeSet<u32>);

impl FailingRows {
    /// A row has a new bad event, or came back.
    pub fn note(&mut self, index: u32, row: &UserRow) {
        if row.group == NO_GROUP && row.has_failed_again() {
            self.0.insert(index);
        }
    }

    /// A row goes.
    pub fn end(&mut self, index: u32) {
        self.0.remove(&index);
    }

    /// An estimate of its memory.
    pub fn bytes(&self) -> usize {
        self.0.len() * 8
    }
}

impl UsersTask {
    /// The users to tell of at a boundary, per tenant: those with at least three bad minutes who had events in the last one.
    /// `cold`: rows that are only in the store.
    pub(super) fn failing<'a>(
        &mut self,
        slo: usize,
        at_ms: Ms,
        cold: impl Iterator<Item = &'a ColdRow>,
    ) -> BTreeMap<KeyRef, Vec<FailingUser>> {
        let mut by_tenant: BTreeMap<KeyRef, Vec<FailingUser>> = BTreeMap::new();
        let rows = &mut self.slos[slo];
        let Some(evidence_ms) = evidence_ms(&rows.slo).filter(|_| at_ms % MINUTE_MS == 0) else { return by_tenant };
        let kept = &rows.rows;
        rows.failing.0.retain(|index| kept[*index as usize].last_bad_ms() >= at_ms - evidence_ms);
        let rows = &self.slos[slo];
        let warm = rows.failing.0.iter().map(|index| {
            let row = &rows.rows[*index as usize];
            let entry = self.users.get(row.user);
            (entry.tenant, entry.name(), row)
        });
        let cold = cold.filter(|cold| cold.group == NO_GROUP).map(|cold| (cold.tenant, &*cold.user, &cold.row));
        for (tenant, name, row) in warm.chain(cold).filter(|(_, _, row)| row.last_ms >= at_ms - MINUTE_MS) {
            if let Some(user) = failing_user(row, at_ms, evidence_ms) {
                let hash = self.name_hash(tenant, name);
                let users = by_tenant.entry(KeyRef::Tenant(tenant)).or_default();
                users.push(FailingUser { hash, user: name.into(), ..user });
            }
        }
        by_tenant.values_mut().for_each(keep_worst_served);
        by_tenant
    }
}

/// What a row says of its user, without the name.
fn failing_user(row: &UserRow, at_ms: Ms, evidence_ms: Ms) -> Option<FailingUser> {
    let bad_minutes = row.bad_minutes_of(at_ms - evidence_ms);
    let last_but_two = bad_minutes.iter().rev().nth(BAD_MINUTES_MIN as usize - 1)?;
    let minute = row.sums_since(at_ms - MINUTE_MS);
    let first_ms = floor_to(*bad_minutes.first()?, slice_ms(evidence_ms));
    let since_ms = first_ms.max(window_start(at_ms, evidence_ms));
    let sums = row.sums_since(since_ms);
    Some(FailingUser {
        minute_events: minute.events,
        minute_bad: minute.bad_events,
        bad_minutes: bad_minutes.len() as u64,
        lapses_ms: last_but_two + evidence_ms + MINUTE_MS,
        since_ms,
        events: sums.events,
        bad_events: sums.bad_events,
        good: sums.good,
        bad: sums.bad,
        ..FailingUser::default()
    })
    .filter(|user| user.minute_events > 0)
}
