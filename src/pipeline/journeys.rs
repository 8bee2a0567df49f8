//! The attempts of a journey in a users task (contract, section 11): which are open, and how they are counted.
//!
//! The rows of an SLO are of events. A journey has rows of attempts beside them: a second [`SloRows`] behind those of all
//! definitions, which no event reaches. So attempts are kept, stored and told as events are. Open attempts stand in memory
//! until they end, which they do at their time-out; a checkpoint writes those that changed.

use super::close::summed;
use super::intern::NONE;
use super::key_ref::{KeyRef, OTHER_GROUPS};
use super::stored::{CheckpointError, get, put, user_key};
use super::users::{Gathered, NO_LATENCY, PendingVerdict, SloRows, UsersTask};
use crate::model::slo::Journey;
use crate::model::time::{Ms, PANE_MS, floor_to};
use crate::model::tuple::Pairs;
use crate::operator::classify::{Extra, Step, Verdict};
use crate::operator::kind::attempts::{note, note_stray};
use crate::operator::kind::journey::{Attempt, Decided, Outcome, StepEvent, take};
use crate::operator::partial::{AttemptNews, PaneDelta, add_pane};
use crate::operator::user_row::NO_GROUP;
use crate::state::keys::{FiltersId, Key};
use crate::state::{Batch, Store};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What is remembered of the first event of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    tuple: u32,
    /// The group that the event was counted in, among those of the SLO's events; [`NONE`]: it has no groups.
    group: u32,
    weight_micros: u64,
}

/// An open attempt as checkpoints have it.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredAttempt {
    /// The hash of what its events share; 0: they share their user alone.
    by: u32,
    attempt: Attempt<()>,
    weight_micros: u64,
    tuple: Vec<u8>,
    /// What the group is of, see [`super::stored::groups_of`].
    groups_of: u64,
    /// `None`: the SLO has no groups. Empty: all other groups.
    group: Option<Vec<u8>>,
}

/// The open attempts of a journey.
#[derive(Debug)]
pub(super) struct OpenAttempts {
    journey: Journey,
    /// What their rows in the store belong to.
    filters: FiltersId,
    /// By user, and by what its events share; `None`: it is over, and the store may still have it. Each holds its user's
    /// number.
    of: BTreeMap<Who, Option<Attempt<Origin>>>,
    /// When each ends at the latest.
    deadlines: BTreeSet<(Ms, Who)>,
    /// By key group: rows of which an attempt changed since the group was written.
    changed: BTreeSet<(u16, Row)>,
    /// Those that the store has. (A backtest has no store.)
    stored: BTreeSet<Row>,
    /// The events of the boundary that closes, with their users.
    events: Vec<(Who, StepEvent<Origin>)>,
    /// The rows of attempts, among the task's.
    pub rows: usize,
}

/// Whose attempt it is: a user, and the hash of what its events share.
type Who = (u32, u32);

/// The row in the store that an attempt is in: a user, and the first byte of the hash. A user may have so many attempts open
/// that one row would be too large.
type Row = (u32, u8);

const fn row_of(who: Who) -> Row {
    (who.0, (who.1 >> 24) as u8)
}

/// The attempts that may be in a row.
const fn range_of(row: Row) -> std::ops::RangeInclusive<Who> {
    let first = (row.1 as u32) << 24;
    (row.0, first)..=(row.0, first | 0xff_ffff)
}

/// What a boundary makes of one user's events.
enum News {
    Decided(Decided<Origin>),
    Stray(StepEvent<Origin>),
}

impl OpenAttempts {
    pub fn new(journey: &Journey, rows: &SloRows, at: usize) -> OpenAttempts {
        OpenAttempts {
            journey: journey.clone(),
            filters: FiltersId::of(&format!("{:016x}\0open", rows.filters.0)),
            of: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            changed: BTreeSet::new(),
            stored: BTreeSet::new(),
            events: Vec::new(),
            rows: at,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.deadlines.is_empty()
    }

    /// Whether one times out at a boundary.
    pub fn times_out(&self, at_ms: Ms) -> bool {
        self.deadlines.first().is_some_and(|(deadline_ms, _)| *deadline_ms < at_ms)
    }

    /// An event that counts, of a user.
    #[inline]
    pub fn push(&mut self, waiting: &PendingVerdict, extra: Extra, group: u32) {
        let PendingVerdict { time_ms, user, tuple, weight_micros, .. } = *waiting;
        let Some(step) = Step::of(extra) else { return };
        let is_bad = waiting.verdict == Verdict::Bad;
        let origin = Origin { tuple, group, weight_micros };
        let (number, latency_ms) = (u32::from(step.number) - 1, Ms::from(step.latency_ms));
        self.events.push(((user, step.by), StepEvent { time_ms, step: number, is_bad, latency_ms, origin }));
    }

    /// The tuples that are remembered.
    pub fn tuples(&self) -> impl Iterator<Item = u32> {
        self.of.values().flatten().map(|attempt| attempt.origin.tuple)
    }

    pub fn memory_bytes(&self) -> usize {
        // An attempt, its place in the map, its deadline, and its marks.
        self.of.len() * (size_of::<Attempt<Origin>>() + 128)
    }

    fn hold(&mut self, who: Who, attempt: Option<Attempt<Origin>>) -> bool {
        if let Some(attempt) = &attempt {
            self.deadlines.insert((attempt.deadline_ms(&self.journey), who));
        }
        self.of.insert(who, attempt).is_none()
    }

    /// An attempt is over; `true`: nothing has to be remembered of it, because the store does not have it.
    fn drop_unstored(&mut self, who: Who, key_group: u16) -> bool {
        let row = row_of(who);
        if self.stored.contains(&row) || self.of.remove(&who).is_none() {
            return false;
        }
        if self.of.range(range_of(row)).next().is_none() {
            self.changed.remove(&(key_group, row));
        }
        true
    }

    fn take(&mut self, who: Who) -> Option<Attempt<Origin>> {
        let attempt = self.of.get_mut(&who)?.take()?;
        self.deadlines.remove(&(attempt.deadline_ms(&self.journey), who));
        Some(attempt)
    }
}

/// The rows of attempts of a definition with a journey, behind those of all definitions.
pub(super) fn rows_of_attempts(of: &SloRows, at: usize) -> SloRows {
    let mut rows = SloRows::new(of.slo.clone());
    rows.filters = FiltersId::of(&format!("{:016x}\0attempts", of.filters.0));
    rows.groups_of = FiltersId::of(&format!("{:016x}\0attempts", of.groups_of)).0;
    (rows.canary, rows.events) = (None, None);
    rows.attempts_of = Some(at);
    rows
}

impl UsersTask {
    /// Whether an attempt times out at a boundary.
    pub(super) fn times_out(&self, at_ms: Ms) -> bool {
        self.slos.iter().filter_map(|rows| rows.open.as_deref()).any(|open| open.times_out(at_ms))
    }

    /// Makes attempts of the events of a boundary, and ends those that time out at it.
    pub(super) fn step_journeys(&mut self, at_ms: Ms, store: &dyn Store) -> Result<(), CheckpointError> {
        for slo in 0..self.slos.len() {
            let Some(mut open) = self.slos[slo].open.take() else { continue };
            let done = self.step_journey(slo, &mut open, at_ms, store);
            self.slos[slo].open = Some(open);
            done?;
        }
        Ok(())
    }

    fn step_journey(
        &mut self,
        slo: usize,
        open: &mut OpenAttempts,
        at_ms: Ms,
        store: &dyn Store,
    ) -> Result<(), CheckpointError> {
        let mut events = std::mem::take(&mut open.events);
        self.sort(slo, &mut events);
        for of_user in events.chunk_by(|a, b| a.0 == b.0) {
            let who = of_user[0].0;
            let user = who.0;
            let mut attempt = open.take(who);
            let before = attempt;
            for (_, event) in of_user {
                let taken = take(&open.journey, &mut attempt, event);
                for decided in taken.decided {
                    self.count(slo, open, user, &News::Decided(decided), at_ms, store)?;
                }
                if taken.is_stray {
                    self.count(slo, open, user, &News::Stray(*event), at_ms, store)?;
                }
            }
            self.keep(open, who, before, attempt, at_ms);
            self.bring_back(open.rows, user, store)?;
            self.retuple(slo, open.rows, user);
        }
        events.clear();
        open.events = events;
        while open.times_out(at_ms) {
            let Some((deadline_ms, who)) = open.deadlines.pop_first() else { break };
            let Some(attempt) = open.take(who) else { continue };
            self.count(slo, open, who.0, &News::Decided(attempt.end(deadline_ms)), at_ms, store)?;
            self.keep(open, who, Some(attempt), None, at_ms);
        }
        Ok(())
    }

    /// By user, and then in the order of the contract. What is left equal differs in nothing that counts.
    fn sort(&self, slo: usize, events: &mut [(Who, StepEvent<Origin>)]) {
        let groups = &self.slos[slo].groups;
        // Numbers of groups depend on the order in which they came.
        let group = |event: &StepEvent<Origin>| match event.origin.group {
            NONE => (0, &[][..]),
            OTHER_GROUPS => (1, &[][..]),
            group => (2, groups.get(group)),
        };
        let attributes = |event: &StepEvent<Origin>| Pairs::of(self.tuples.get(event.origin.tuple));
        events.sort_by(|(who, a), (other, b)| {
            let order = (who, a.time_ms, a.step, a.is_bad).cmp(&(other, b.time_ms, b.step, b.is_bad));
            let by_attributes = || match a.origin.tuple == b.origin.tuple {
                true => std::cmp::Ordering::Equal,
                false => attributes(a).cmp(attributes(b)),
            };
            let by_rest = || {
                let of = |event: &StepEvent<Origin>| (event.origin.weight_micros, event.latency_ms);
                of(a).cmp(&of(b)).then_with(|| group(a).cmp(&group(b)))
            };
            order.then_with(by_attributes).then_with(by_rest)
        });
    }

    /// What became of a user's attempt. The user keeps its number while one is open, or is to go from the store.
    fn keep(
        &mut self,
        open: &mut OpenAttempts,
        who: Who,
        before: Option<Attempt<Origin>>,
        attempt: Option<Attempt<Origin>>,
        at_ms: Ms,
    ) {
        if before.is_none() && attempt.is_none() {
            return;
        }
        let key_group = self.users.get(who.0).group;
        if attempt.is_none() && open.drop_unstored(who, key_group) {
            self.users.get_mut(who.0).rows -= 1;
            self.users.forget_if_unused(who.0, at_ms);
            return;
        }
        if open.hold(who, attempt) {
            self.users.get_mut(who.0).rows += 1;
        }
        if before != attempt {
            open.changed.insert((key_group, row_of(who)));
        }
    }

    /// Counts what is decided, or stray, in the rows of attempts.
    fn count(
        &mut self,
        slo: usize,
        open: &OpenAttempts,
        user: u32,
        news: &News,
        at_ms: Ms,
        store: &dyn Store,
    ) -> Result<(), CheckpointError> {
        let (origin, time_ms) = match news {
            News::Decided(decided) => (decided.origin, decided.time_ms),
            News::Stray(event) => (event.origin, event.time_ms),
        };
        let group = self.group_of_attempts(slo, open.rows, origin.group);
        let tenant = self.users.get(user).tenant;
        let rows = &mut self.slos[open.rows];
        rows.tenant(tenant).note_attempt(&open.journey, news, time_ms);
        if group != NONE {
            rows.group_sums.entry(group).or_default().note_attempt(&open.journey, news, time_ms);
        }
        let News::Decided(Decided { outcome: outcome @ (Outcome::Good | Outcome::Bad), .. }) = news else {
            return Ok(());
        };
        self.bring_back(open.rows, user, store)?;
        let waiting = PendingVerdict {
            time_ms,
            weight_micros: origin.weight_micros,
            user,
            tenant,
            tuple: origin.tuple,
            operation: NONE,
            failure: NONE,
            group,
            slo: open.rows as u32,
            latency: NO_LATENCY,
            verdict: if *outcome == Outcome::Bad { Verdict::Bad } else { Verdict::Good },
            is_late: false,
            extra: NONE,
        };
        self.add_to_rows(&waiting, group, at_ms);
        self.bring_back(slo, user, store)?;
        self.retuple(slo, open.rows, user);
        Ok(())
    }

    /// A user's attributes are those of its newest event, whatever became of its attempts.
    fn retuple(&mut self, slo: usize, attempts: usize, user: u32) {
        let Some(whole) = self.slos[attempts].row_of.get(user as usize).copied().filter(|row| *row != NONE) else {
            return;
        };
        let of_groups = self.slos[attempts].group_row_of.range((user, 0)..=(user, u32::MAX));
        let rows: Vec<(u32, u32)> =
            std::iter::once((NO_GROUP, whole)).chain(of_groups.map(|((_, group), row)| (*group, *row))).collect();
        for (group, row) in rows {
            let Some(tuple) = self.newest_tuple(slo, attempts, user, group) else { continue };
            let tenant = self.users.get(user).tenant;
            let key_group = self.users.get(user).group;
            let rows = &mut self.slos[attempts];
            if rows.rows[row as usize].tuple == tuple {
                continue;
            }
            rows.rows[row as usize].tuple = tuple;
            let key = if group == NO_GROUP { KeyRef::Tenant(tenant) } else { KeyRef::Group(group) };
            rows.tallies.iter_mut().for_each(|tally| tally.retuple(row, key, tuple));
            rows.mark(whole, user, key_group);
        }
    }

    /// The attributes of a user's newest event, among those of one group of the rows of attempts.
    fn newest_tuple(&self, slo: usize, attempts: usize, user: u32, group: u32) -> Option<u32> {
        let events = &self.slos[slo];
        let row = match group {
            NO_GROUP => events.row_of.get(user as usize).copied().filter(|row| *row != NONE),
            OTHER_GROUPS => events.group_row_of.get(&(user, OTHER_GROUPS)).copied(),
            group => {
                let own = events.groups.find(self.slos[attempts].groups.get(group))?;
                events.group_row_of.get(&(user, own)).copied()
            }
        };
        Some(events.rows[row? as usize].tuple)
    }

    /// The number that a group of the events has among the rows of attempts.
    fn group_of_attempts(&mut self, slo: usize, rows: usize, group: u32) -> u32 {
        if group == NONE || group == OTHER_GROUPS {
            return group;
        }
        let text = self.slos[slo].groups.get(group).to_vec();
        self.slos[rows].group(&text)
    }

    /// By key of the SLO: what the boundary that closes has of attempts.
    pub(super) fn attempt_news(&mut self, slo: usize, at_ms: Ms) -> BTreeMap<KeyRef, AttemptNews> {
        let mut news = BTreeMap::new();
        let Some(rows) = self.slos[slo].open.as_deref().map(|open| open.rows) else { return news };
        let touched = std::mem::take(&mut self.slos[rows].gathered);
        let mut all = AttemptNews::default();
        for (tenant, gathered) in touched {
            self.slos[rows].gathered_of[tenant as usize] = NONE;
            let mut of_tenant = news_of(gathered);
            of_tenant.panes.iter().for_each(|pane| add_pane(&mut all.panes, pane));
            all.seen.extend_from_slice(&of_tenant.seen);
            if self.slos[slo].has_key(KeyRef::Tenant(tenant), at_ms) {
                of_tenant.bad_users = self.bad_users(rows, KeyRef::Tenant(tenant));
                news.insert(KeyRef::Tenant(tenant), of_tenant);
            }
        }
        if !all.panes.is_empty() || !all.seen.is_empty() {
            all.seen = summed(all.seen);
            all.bad_users = self.bad_users(rows, KeyRef::Aggregate);
            news.insert(KeyRef::Aggregate, all);
        }
        for (group, gathered) in std::mem::take(&mut self.slos[rows].group_sums) {
            let mut of_group = news_of(gathered);
            of_group.bad_users = self.bad_users(rows, KeyRef::Group(group));
            let own = match group {
                OTHER_GROUPS => OTHER_GROUPS,
                group => {
                    let text = self.slos[rows].groups.get(group).to_vec();
                    self.slos[slo].group(&text)
                }
            };
            news.insert(KeyRef::Group(own), of_group);
        }
        self.slos[rows].touched_bad.clear();
        news
    }

    /// Writes the attempts of a key group that changed since it was written last.
    pub(super) fn save_attempts(&mut self, group: u16, batch: &mut Batch) -> Result<(), CheckpointError> {
        for slo in 0..self.slos.len() {
            let Some(mut open) = self.slos[slo].open.take() else { continue };
            let mut of_group = open.changed.split_off(&(group, (0, 0)));
            let mut later = of_group.split_off(&(group + 1, (0, 0)));
            open.changed.append(&mut later);
            for (_, row) in of_group {
                self.save_row(slo, &mut open, row, batch)?;
            }
            self.slos[slo].open = Some(open);
        }
        Ok(())
    }

    fn save_row(
        &mut self,
        slo: usize,
        open: &mut OpenAttempts,
        row: Row,
        batch: &mut Batch,
    ) -> Result<(), CheckpointError> {
        let entry = self.users.get(row.0);
        let key = attempts_key(open.filters, self.tenants.text(entry.tenant), entry.name(), row.1);
        let all = open.of.range(range_of(row));
        let stored: Vec<StoredAttempt> =
            all.filter_map(|(who, attempt)| Some(self.stored_attempt(slo, who.1, attempt.as_ref()?))).collect();
        if stored.is_empty() {
            batch.delete_row(&key);
            open.stored.remove(&row);
        } else {
            put(batch, &key, &stored)?;
            open.stored.insert(row);
        }
        let over: Vec<Who> =
            open.of.range(range_of(row)).filter(|(_, attempt)| attempt.is_none()).map(|(who, _)| *who).collect();
        for who in &over {
            open.of.remove(who);
            self.users.get_mut(row.0).rows -= 1;
        }
        if let (false, Some(closed_ms)) = (over.is_empty(), self.closed_ms) {
            self.users.forget_if_unused(row.0, closed_ms);
        }
        Ok(())
    }

    fn stored_attempt(&self, slo: usize, by: u32, attempt: &Attempt<Origin>) -> StoredAttempt {
        let Attempt { started_ms, began_ms, step, failures, origin } = *attempt;
        let group = match origin.group {
            NONE => None,
            OTHER_GROUPS => Some(Vec::new()),
            group => Some(self.slos[slo].groups.get(group).to_vec()),
        };
        StoredAttempt {
            by,
            attempt: Attempt { started_ms, began_ms, step, failures, origin: () },
            weight_micros: origin.weight_micros,
            tuple: self.tuples.get(origin.tuple).to_vec(),
            groups_of: self.slos[slo].groups_of,
            group,
        }
    }

    /// The SLO whose open attempts a row of the store is of.
    pub(super) fn journey_of(&self, filters: FiltersId) -> Option<usize> {
        let is_of = |rows: &SloRows| rows.open.as_deref().is_some_and(|open| open.filters == filters);
        self.slos.iter().position(is_of)
    }

    /// Takes open attempts of the store into memory.
    pub(super) fn load_attempt(
        &mut self,
        slo: usize,
        (tenant, user): (&str, &str),
        key: &[u8],
        value: &[u8],
    ) -> Result<(), CheckpointError> {
        let all: Vec<StoredAttempt> = get(key, value)?;
        let tenant = self.tenants.intern(tenant.as_bytes());
        let user = self.user(tenant, user);
        for stored in all {
            let tuple = self.tuples.intern(&stored.tuple);
            let group = self.group_of_stored(slo, &stored);
            let Attempt { started_ms, began_ms, step, failures, .. } = stored.attempt;
            let origin = Origin { tuple, group, weight_micros: stored.weight_micros };
            if let Some(open) = self.slos[slo].open.as_deref_mut() {
                open.stored.insert(row_of((user, stored.by)));
                open.hold((user, stored.by), Some(Attempt { started_ms, began_ms, step, failures, origin }));
                self.users.get_mut(user).rows += 1;
            }
        }
        Ok(())
    }

    /// The group of a stored attempt. Of another `group-by` nothing is known: then it counts in no group.
    fn group_of_stored(&mut self, slo: usize, stored: &StoredAttempt) -> u32 {
        match &stored.group {
            Some(text) if stored.groups_of == self.slos[slo].groups_of => match text.as_slice() {
                [] => OTHER_GROUPS,
                text => self.slos[slo].group(text),
            },
            _ => NONE,
        }
    }
}

fn attempts_key<'a>(filters: FiltersId, tenant: &'a str, user: &'a str, row: u8) -> Key<'a> {
    let mut key = user_key(filters, tenant, user);
    if let Key::User { part, .. } = &mut key {
        *part = row;
    }
    key
}

fn news_of(gathered: Gathered) -> AttemptNews {
    let mut panes = gathered.attempts;
    panes.sort_unstable_by_key(|pane| pane.start_ms);
    AttemptNews { panes, seen: summed(gathered.seen), bad_users: Vec::new() }
}

impl Gathered {
    fn note_attempt(&mut self, journey: &Journey, news: &News, time_ms: Ms) {
        let start_ms = floor_to(time_ms, PANE_MS);
        let at = self.attempts.iter().rposition(|pane| pane.start_ms == start_ms).unwrap_or_else(|| {
            self.attempts.push(PaneDelta { start_ms, ..PaneDelta::default() });
            self.attempts.len() - 1
        });
        let pane = &mut self.attempts[at];
        match news {
            News::Decided(decided) => note(pane, journey, decided, decided.origin.weight_micros),
            News::Stray(_) => note_stray(pane, journey),
        }
    }
}

#[cfg(test)]
mod tests;
