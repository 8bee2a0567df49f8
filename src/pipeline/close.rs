//! Closing a boundary: the waiting verdicts are added to rows and keys, and what changed leaves as
//! one partial per rollup partition.

use super::event_tally::{ByGroup, Counted};
use super::intern::{Dictionary, NONE, UserTable, put};
use super::key_ref::{KeyRef, OTHER_GROUPS};
use super::stored::CheckpointError;
use super::users::{Gathered, NO_LATENCY, Pane, PaneSum, PendingVerdict, SloRows, UsersTask};
use crate::model::calendar::Spans;
use crate::model::output::Exemplar;
use crate::model::slo::{Slo, Unit};
use crate::model::time::{Ms, PANE_MS, floor_to, slice_ms};
use crate::operator::classify::{Extra, Verdict, part_of};
use crate::operator::exemplars::keep_smallest;
use crate::operator::failures;
use crate::operator::kind::gauge::{self, GaugeSum};
use crate::operator::partial::{
    AttemptNews, BAD_USERS_PER_PANE, BadUser, BoundaryPartial, Counts, KeyDelta, PaneDelta, Partial, add_pane,
};
use crate::operator::user_row::{FirstInPeriod, NEVER, NO_GROUP, UserEvent, UserRow};
use crate::state::Store;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::hint::black_box;
use xxhash_rust::xxh3::xxh3_64;

/// Verdicts whose rows are fetched together.
const BATCH: usize = 32;

impl UsersTask {
    /// Closes every boundary up to `to_ms`; `partials` (one per rollup partition) take what changed. One that
    /// waits for a decision of a rollup task, about groups or tenants that are new, is closed by a later call.
    ///
    /// `store` has the rows that are not in memory.
    pub fn close_until(
        &mut self,
        to_ms: Ms,
        partials: &mut [Partial],
        store: &dyn Store,
    ) -> Result<(), CheckpointError> {
        self.close_some(to_ms, partials, store, usize::MAX)
    }

    /// As [`UsersTask::close_until`], and stops early where so much was said that it is to leave first.
    pub fn close_some(
        &mut self,
        to_ms: Ms,
        partials: &mut [Partial],
        store: &dyn Store,
        most: usize,
    ) -> Result<(), CheckpointError> {
        self.cool_down();
        self.look_ahead(to_ms, partials);
        let (mut said, before) = (0, self.closed_ms);
        let first = match (self.closed_ms, self.pending.first_key_value()) {
            (Some(closed), _) => closed + PANE_MS,
            (None, Some((first, _))) if *first <= to_ms => *first,
            // Nothing was visible here yet; others wait to hear that nothing will be.
            (None, _) => to_ms,
        };
        let mut at_ms = first;
        while at_ms <= to_ms {
            let has_open = |s: &SloRows| s.open.as_deref().is_some_and(|open| !open.is_empty());
            let is_quiet = |s: &SloRows| s.cold.users == 0 && s.listed.iter().all(Vec::is_empty) && !has_open(s);
            let is_complete = self.sources.iter().all(|source| source.incomplete.is_empty());
            if is_complete && self.slos.iter().all(is_quiet) {
                // Nobody is active: no boundary says anything before the next one that is waited for.
                // (One record from the far future must not cost a step for each boundary until then.)
                match self.pending.first_key_value() {
                    Some((next, _)) if *next <= to_ms => at_ms = at_ms.max(*next),
                    _ => {
                        self.closed_ms = Some(to_ms);
                        break;
                    }
                }
            }
            if !self.is_decided(at_ms) {
                // Nothing lies between the last one and this.
                self.closed_ms = self.closed_ms.map(|closed| closed.max(at_ms - PANE_MS));
                break;
            }
            said += self.close(at_ms, partials, store)?;
            self.closed_ms = Some(at_ms);
            at_ms += PANE_MS;
            if said >= most {
                break;
            }
        }
        if self.tuples.wants_sweep() {
            self.sweep_tuples();
        }
        if self.operations.wants_sweep() {
            self.sweep_operations();
        }
        if self.failures.wants_sweep() {
            self.sweep_failures();
        }
        self.tell_looked(partials);
        if let Some(closed) = self.closed_ms.filter(|_| self.closed_ms > before) {
            self.raise_sources(closed);
            partials.iter_mut().for_each(|p| p.up_to_ms = closed);
            if self.groups_at.as_ref().is_some_and(|groups| groups.iter().all(|at_ms| *at_ms <= Some(closed))) {
                self.groups_at = None;
            }
        }
        Ok(())
    }

    /// Closes one boundary, and returns how much there is to say of it.
    fn close(&mut self, at_ms: Ms, partials: &mut [Partial], store: &dyn Store) -> Result<usize, CheckpointError> {
        let is_incomplete = self.is_incomplete(at_ms);
        let nothing = |_: &Partial| BoundaryPartial { at_ms, is_incomplete, ..BoundaryPartial::default() };
        let mut boundary: Vec<BoundaryPartial> = partials.iter().map(nothing).collect();
        let of_time_outs = |task: &UsersTask| task.times_out(at_ms).then(Pane::default);
        if let Some(mut pane) = self.pending.remove(&at_ms).or_else(|| of_time_outs(self)) {
            if !std::mem::replace(&mut self.has_begun, true) {
                self.emit_beginnings(&mut boundary);
            }
            self.admit(&mut pane, at_ms);
            self.slos.iter_mut().for_each(|rows| rows.move_period(at_ms));
            for batch in pane.verdicts.chunks(BATCH) {
                self.touch(batch);
                for waiting in batch {
                    if self.is_ahead(waiting.user, at_ms) {
                        continue;
                    }
                    if waiting.user != NONE {
                        self.bring_back(waiting.slo as usize, waiting.user, store)?;
                    }
                    let extra = pane.extras.get(waiting.extra as usize).copied().unwrap_or(0);
                    self.add(waiting, extra, at_ms);
                }
            }
            self.step_journeys(at_ms, store)?;
            for slo in 0..self.defined {
                self.emit_deltas(slo, at_ms, &pane, &mut boundary);
            }
            self.emit_overflows(&mut boundary);
            self.spare = pane.verdicts;
            self.spare.clear();
        }
        self.step(at_ms, &mut boundary, store)?;
        let said = boundary.iter().map(BoundaryPartial::size).sum();
        for (partial, news) in partials.iter_mut().zip(boundary) {
            if news.says_something() {
                partial.boundaries.push(news);
            }
        }
        Ok(said)
    }

    /// Reads a little of every row that a batch is for. The reads do not wait for one another, as they
    /// would where each row is updated before the next one is looked for: with many users most of
    /// them miss the caches.
    fn touch(&self, batch: &[PendingVerdict]) {
        let mut index = [NONE; BATCH];
        for (index, waiting) in index.iter_mut().zip(batch) {
            let row_of = &self.slos[waiting.slo as usize].row_of;
            *index = row_of.get(waiting.user as usize).copied().unwrap_or(NONE);
        }
        let touched = index.iter().zip(batch).map(|(index, waiting)| {
            let of = &self.slos[waiting.slo as usize];
            let row = of.rows.get(*index as usize).map_or(0, UserRow::touch);
            of.tallies.iter().fold(row, |all, tally| all ^ tally.touch(*index))
        });
        black_box(touched.fold(0, |all, part| all ^ part));
    }

    /// While the log is read again: whether the user's rows have the boundary already.
    #[inline]
    fn is_ahead(&self, user: u32, at_ms: Ms) -> bool {
        let Some(groups_at) = &self.groups_at else { return false };
        let group = if user == NONE { return false } else { self.users.get(user).group };
        groups_at.get(usize::from(group)).copied().flatten().is_some_and(|closed_ms| at_ms <= closed_ms)
    }

    fn add(&mut self, waiting: &PendingVerdict, extra: Extra, at_ms: Ms) {
        let rows = &mut self.slos[waiting.slo as usize];
        let group = match waiting.group {
            NONE => NONE,
            _ => rows.group_to_count(waiting, at_ms, self.settings.groups_max, self.decides_alone),
        };
        let more = More::of(&rows.slo, extra);
        rows.tenant(waiting.tenant).add(waiting, more);
        if group != NONE {
            rows.group_sums.entry(group).or_default().add(waiting, more);
        }
        if waiting.verdict.is_of_key()
            && let Some(canary) = &mut rows.canary
        {
            let (users, tenants) = (&self.users, &self.tenants);
            let user = || (waiting.user != NONE).then(|| user_hash(users, tenants, waiting.user));
            canary.add(waiting.tuple, &self.tuples, waiting.verdict == Verdict::Bad, user);
        }
        if waiting.verdict.is_of_key()
            && let Some(events) = &mut rows.events
        {
            let is_bad = waiting.verdict == Verdict::Bad;
            let PendingVerdict { time_ms, tuple, operation, weight_micros, user, .. } = *waiting;
            let event = Counted { time_ms, tuple, operation, group, bad_weight: is_bad.then_some(weight_micros) };
            let (users, tenants) = (&self.users, &self.tenants);
            events.add(&event, || (user != NONE).then(|| user_hash(users, tenants, user)));
        }
        if waiting.user == NONE || !waiting.verdict.is_of_key() {
            return;
        }
        if let Some(open) = &mut rows.open {
            open.push(waiting, extra, group);
        }
        self.add_to_rows(waiting, group, at_ms);
    }

    /// Adds what is good or bad to the rows of its user, and tells how these moved.
    pub(super) fn add_to_rows(&mut self, waiting: &PendingVerdict, group: u32, at_ms: Ms) {
        let rows = &mut self.slos[waiting.slo as usize];
        let row = rows.row(waiting.user, &mut self.users);
        let key_group = self.users.get(waiting.user).group;
        let moved = rows.add_to_row(row, key_group, waiting, at_ms, &self.tuples);
        rows.tenant(waiting.tenant).note_seen(&moved);
        if group != NONE {
            let row = rows.group_row(waiting.user, group, &mut self.users);
            let moved = rows.add_to_row(row, key_group, waiting, at_ms, &self.tuples);
            if let Some(sums) = rows.group_sums.get_mut(&group) {
                sums.note_seen(&moved);
            }
        }
        if waiting.verdict == Verdict::Bad {
            rows.note_bad(waiting, group);
        }
    }

    fn emit_deltas(&mut self, slo: usize, at_ms: Ms, pane: &Pane, boundary: &mut [BoundaryPartial]) {
        let mut touched = std::mem::take(&mut self.slos[slo].gathered);
        touched.sort_unstable_by_key(|(tenant, _)| *tenant);
        let mut aggregate: Option<KeyDelta> = None;
        let (names, tuples, operations) = (&mut self.event_names, &self.tuples, &self.operations);
        let events = self.slos[slo].events.as_mut().map(|events| events.take(names, tuples, operations));
        let mut events = events.unwrap_or_default();
        let mut told_tenants = Vec::new();
        for (tenant, gathered) in touched {
            self.slos[slo].gathered_of[tenant as usize] = NONE;
            let is_told = self.tells_of(slo, tenant, !gathered.panes.is_empty(), at_ms);
            let mut delta = self.delta(slo, KeyRef::Tenant(tenant), gathered);
            for p in &mut delta.panes {
                for (_, more) in pane
                    .exemplars
                    .range((slo as u32, tenant, 0, Ms::MIN)..=(slo as u32, tenant, u32::MAX, Ms::MAX))
                    .filter(|(k, _)| k.3 == p.start_ms)
                {
                    keep_smallest(&mut p.exemplars, more);
                }
            }
            match &mut aggregate {
                None => aggregate = Some(delta.clone()),
                Some(all) => merge(all, &delta),
            }
            if is_told {
                told_tenants.push((KeyRef::Tenant(tenant), delta));
            }
        }
        // Which tenants have keys is known only now.
        let mut attempts = self.attempt_news(slo, at_ms);
        for (key, delta) in told_tenants {
            self.push(slo, key, with_attempts(delta, attempts.remove(&key)), boundary);
        }
        if let Some(mut all) = aggregate {
            all.scope = crate::model::key::Scope::Aggregate;
            all.bad_users = self.bad_users(slo, KeyRef::Aggregate);
            all.tenants_overflow = self.slos[slo].tenants_overflow;
            if let Some(tally) = &mut self.slos[slo].canary {
                (all.canary, all.canary_overflow) = tally.take();
            }
            all.event_news = events.remove(&NONE);
            self.push(slo, KeyRef::Aggregate, with_attempts(all, attempts.remove(&KeyRef::Aggregate)), boundary);
        }
        self.emit_groups(slo, at_ms, pane, (events, &mut attempts), boundary);
        // Attempts that ended at a boundary without events of their keys.
        for (key, news) in attempts {
            let nothing = KeyDelta::nothing(slo as u32, self.scope_of(slo, key));
            self.push(slo, key, with_attempts(nothing, Some(news)), boundary);
        }
        self.slos[slo].touched_bad.clear();
    }

    fn emit_groups(
        &mut self,
        slo: usize,
        at_ms: Ms,
        pane: &Pane,
        (mut events, attempts): (ByGroup, &mut BTreeMap<KeyRef, AttemptNews>),
        boundary: &mut [BoundaryPartial],
    ) {
        let groups = std::mem::take(&mut self.slos[slo].group_sums);
        let mut examples = if groups.is_empty() {
            BTreeMap::new()
        } else {
            self.slos[slo].examples_of_groups(slo as u32, at_ms, pane)
        };
        for (group, gathered) in groups {
            let mut delta = self.delta(slo, KeyRef::Group(group), gathered);
            for p in &mut delta.panes {
                p.exemplars = examples.remove(&(group, p.start_ms)).unwrap_or_default();
            }
            delta.event_news = events.remove(&group);
            let key = KeyRef::Group(group);
            self.push(slo, key, with_attempts(delta, attempts.remove(&key)), boundary);
        }
    }

    /// All statuses of an SLO say that it has too many groups, from the boundary on at which it got them.
    fn emit_overflows(&mut self, boundary: &mut [BoundaryPartial]) {
        for slo in 0..self.defined {
            let rows = &mut self.slos[slo];
            if rows.groups_overflow && !std::mem::replace(&mut rows.has_sent_overflow, true) {
                boundary.iter_mut().for_each(|partial| partial.groups_overflow.push(slo as u32));
            }
        }
    }

    /// From here on every SLO has its aggregate key, although no event of it may be visible yet.
    fn emit_beginnings(&mut self, boundary: &mut [BoundaryPartial]) {
        for slo in 0..self.defined {
            let delta = self.delta(slo, KeyRef::Aggregate, Gathered::default());
            self.push(slo, KeyRef::Aggregate, delta, boundary);
        }
    }

    fn push(&mut self, slo: usize, key: KeyRef, mut delta: KeyDelta, boundary: &mut [BoundaryPartial]) {
        let partition = self.partition(slo, key);
        failures::cap(&mut delta.failures);
        boundary[partition as usize].deltas.push(delta);
    }

    fn delta(&self, slo: usize, key: KeyRef, gathered: Gathered) -> KeyDelta {
        let mut panes: Vec<PaneDelta> = gathered
            .panes
            .into_iter()
            .map(|mut p: PaneSum| PaneDelta {
                start_ms: p.start_ms,
                counts: p.counts,
                latency: p.latency(),
                exemplars: Vec::new(),
                parts: std::mem::take(&mut p.parts),
                gauge: p.gauge,
            })
            .collect();
        panes.sort_unstable_by_key(|p| p.start_ms);
        KeyDelta {
            panes,
            unclassified: summed(gathered.unclassified.to_vec()),
            late: gathered.late,
            maintenance: gathered.maintenance,
            seen: summed(gathered.seen),
            users: summed(gathered.users),
            decided: summed(gathered.decided),
            late_users: gathered.late_users,
            bad_seen: summed(gathered.bad_seen),
            bad_users: self.bad_users(slo, key),
            failures: self.failures.told(gathered.failed),
            ..KeyDelta::nothing(slo as u32, self.scope_of(slo, key))
        }
    }

    /// For every pane of the key that got bad events: the users with the most of them in it.
    pub(super) fn bad_users(&self, slo: usize, key: KeyRef) -> Vec<(Ms, Vec<BadUser>)> {
        let rows = &self.slos[slo];
        let touched = rows.touched_bad.range((key, Ms::MIN)..=(key, Ms::MAX)).map(|(key, pane_ms)| (*pane_ms, *key));
        touched.filter_map(|of| rows.bad.get(&of).map(|users| (of.0, self.most_bad(users)))).collect()
    }

    fn most_bad(&self, users: &BTreeMap<u32, u64>) -> Vec<BadUser> {
        let mut sorted: Vec<(u64, u32)> = users.iter().map(|(user, bad)| (*bad, *user)).collect();
        let name = |user: u32| self.users.get(user).name_bytes();
        let tenant = |user: u32| self.tenants.get(self.users.get(user).tenant);
        let order = |a: &(u64, u32), b: &(u64, u32)| {
            b.0.cmp(&a.0).then_with(|| name(a.1).cmp(name(b.1))).then_with(|| tenant(a.1).cmp(tenant(b.1)))
        };
        if sorted.len() > BAD_USERS_PER_PANE {
            sorted.select_nth_unstable_by(BAD_USERS_PER_PANE - 1, order);
            sorted.truncate(BAD_USERS_PER_PANE);
        }
        sorted.sort_unstable_by(order);
        let named = |(bad_events, user): (u64, u32)| {
            let entry = self.users.get(user);
            let tenant = self.tenants.text(entry.tenant).into();
            BadUser { bad_events, hash: self.user_hash(user), user: entry.name().into(), tenant }
        };
        sorted.into_iter().map(named).collect()
    }

    fn user_hash(&self, user: u32) -> u64 {
        user_hash(&self.users, &self.tenants, user)
    }

    /// A user's hash as it stands in partials: the same in every process and build.
    pub(super) fn name_hash(&self, tenant: u32, name: &str) -> u64 {
        hash_name(self.tenants.get(tenant), name)
    }
}

fn user_hash(users: &UserTable, tenants: &Dictionary, user: u32) -> u64 {
    let entry = users.get(user);
    hash_name(tenants.get(entry.tenant), entry.name())
}

fn hash_name(tenant: &[u8], name: &str) -> u64 {
    let mut text: SmallVec<[u8; 128]> = SmallVec::from_slice(tenant);
    text.push(0);
    text.extend_from_slice(name.as_bytes());
    xxh3_64(&text)
}

/// How a user's last (bad) event moved, in slices.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moved {
    /// Of an SLO that counts users, by pane.
    user: Option<(Option<Ms>, Ms)>,
    decided: Option<(Option<Ms>, Ms)>,
    seen: Option<(Option<Ms>, Ms)>,
    bad_seen: Option<(Option<Ms>, Ms)>,
    /// The user comes late to the period before, or is decided in it late.
    late: (i64, i64),
}

impl SloRows {
    /// Where users are counted by the periods of a calendar: those of a boundary.
    fn move_period(&mut self, at_ms: Ms) {
        if let (true, Some(calendar)) = (self.slo.counts_users(), self.slo.period.calendar())
            && !self.spans.as_ref().is_some_and(|spans| spans.current.has_boundary(at_ms))
        {
            self.spans = Some(calendar.spans_at(at_ms));
        }
    }

    /// What the boundary that closes has of a tenant. There are many tenants, and few of them have news.
    pub(super) fn tenant(&mut self, tenant: u32) -> &mut Gathered {
        let index = tenant as usize;
        if index >= self.gathered_of.len() {
            self.gathered_of.resize(index + 1, NONE);
        }
        if self.gathered_of[index] == NONE {
            self.gathered_of[index] = self.gathered.len() as u32;
            self.gathered.push((tenant, Gathered::default()));
        }
        &mut self.gathered[self.gathered_of[index] as usize].1
    }

    /// The row of all of a user's events.
    fn row(&mut self, user: u32, users: &mut super::intern::UserTable) -> u32 {
        let index = user as usize;
        if index >= self.row_of.len() {
            self.row_of.resize(users.capacity().max(index + 1), NONE);
        }
        if self.row_of[index] == NONE {
            self.row_of[index] = self.new_row(UserRow::new(user, NO_GROUP));
            users.get_mut(user).rows += 1;
        }
        self.row_of[index]
    }

    fn group_row(&mut self, user: u32, group: u32, users: &mut super::intern::UserTable) -> u32 {
        if let Some(row) = self.group_row_of.get(&(user, group)) {
            return *row;
        }
        let row = self.new_row(UserRow::new(user, group));
        self.group_row_of.insert((user, group), row);
        users.get_mut(user).rows += 1;
        row
    }

    /// Takes a row that comes back from a checkpoint.
    pub(super) fn adopt(&mut self, mut row: UserRow, users: &mut super::intern::UserTable) {
        let (user, group) = (row.user, row.group);
        let index = if group == NO_GROUP { self.row(user, users) } else { self.group_row(user, group, users) };
        row.listed = self.walked;
        self.failing.note(index, &row);
        self.rows[index as usize] = row;
        for (window, list) in self.listed.iter_mut().enumerate() {
            if self.walked & (1 << window) != 0 {
                list.push(index);
            }
        }
        for tally in &mut self.tallies {
            tally.end(index);
            tally.begin(index);
        }
    }

    fn new_row(&mut self, row: UserRow) -> u32 {
        let index = put(&mut self.rows, &mut self.free, row);
        self.tallies.iter_mut().for_each(|tally| tally.begin(index));
        index
    }

    /// A row goes, from memory at least.
    pub(super) fn leave_tallies(&mut self, index: u32) {
        self.tallies.iter_mut().for_each(|tally| tally.end(index));
        self.failing.end(index);
    }

    fn add_to_row(
        &mut self,
        index: u32,
        key_group: u16,
        waiting: &PendingVerdict,
        at_ms: Ms,
        tuples: &super::intern::Dictionary,
    ) -> Moved {
        let row = &mut self.rows[index as usize];
        let (last_ms, last_bad_ms) = (row.last_ms, row.last_bad_ms());
        let is_bad = waiting.verdict == Verdict::Bad;
        let event = UserEvent { time_ms: waiting.time_ms, weight_micros: waiting.weight_micros, is_bad };
        let first = add_event(row, &event, &self.spans, &self.slo.user_windows_ms, at_ms);
        if is_bad {
            self.failing.note(index, row);
        }
        let last_good_ms = row.tuple_ms;
        if self.slo.counts_users() {
            let moved = self.add_to_counted_user(index, key_group, waiting, (last_ms, last_bad_ms, last_good_ms));
            let decides = if self.slo.unit == (Unit::Users { by_bad: true }) { first.bad } else { first.good };
            return Moved { late: (i64::from(first.event), i64::from(decides)), ..moved };
        }
        let newer = (waiting.time_ms, waiting.tuple);
        if waiting.time_ms > row.tuple_ms
            || (waiting.time_ms == row.tuple_ms
                && waiting.tuple != row.tuple
                && tuples.get(waiting.tuple) > tuples.get(row.tuple))
        {
            (row.tuple_ms, row.tuple) = newer;
        }
        self.list(index);
        let row = &mut self.rows[index as usize];
        let key = if row.group == NO_GROUP { KeyRef::Tenant(waiting.tenant) } else { KeyRef::Group(row.group) };
        for tally in &mut self.tallies {
            tally.note(index, key, row.tuple, waiting.time_ms, is_bad);
        }
        self.mark(index, waiting.user, key_group);
        let row = &self.rows[index as usize];
        let slice = self.seen_slice_ms;
        Moved {
            seen: moved(last_ms, row.last_ms, slice),
            bad_seen: moved(last_bad_ms, row.last_bad_ms(), slice),
            ..Moved::default()
        }
    }

    /// Nobody asks for the attributes of a user that is only counted: the time of its tuple is that of its last good event.
    fn add_to_counted_user(
        &mut self,
        index: u32,
        key_group: u16,
        waiting: &PendingVerdict,
        (last_ms, last_bad_ms, last_good_ms): (Ms, Ms, Ms),
    ) -> Moved {
        self.list(index);
        let row = &mut self.rows[index as usize];
        if waiting.verdict == Verdict::Good {
            row.tuple_ms = row.tuple_ms.max(waiting.time_ms);
        }
        if row.tuple == NONE {
            row.tuple = waiting.tuple;
        }
        self.mark(index, waiting.user, key_group);
        let row = &self.rows[index as usize];
        let slice = self.seen_slice_ms;
        let by_bad = self.slo.unit == Unit::Users { by_bad: true };
        let decided = if by_bad { (last_bad_ms, row.last_bad_ms()) } else { (last_good_ms, row.tuple_ms) };
        Moved {
            seen: moved(last_ms, row.last_ms, slice),
            bad_seen: moved(last_bad_ms, row.last_bad_ms(), slice),
            user: moved(last_ms, row.last_ms, PANE_MS),
            decided: moved(decided.0, decided.1, PANE_MS),
            ..Moved::default()
        }
    }

    /// A row changed since its user's rows were written. The row of all events is touched with each of a group: one mark a
    /// user is enough.
    #[inline]
    pub(super) fn mark(&mut self, index: u32, user: u32, key_group: u16) {
        let row = &mut self.rows[index as usize];
        if row.group == NO_GROUP && !std::mem::replace(&mut row.dirty, true) {
            self.dirty[usize::from(key_group)].push(user);
        }
    }

    /// Puts a row on the lists of the windows that are walked.
    #[inline]
    fn list(&mut self, index: u32) {
        let row = &mut self.rows[index as usize];
        if row.listed != self.walked {
            let missing = self.walked & !row.listed;
            let lists = self.listed.iter_mut().enumerate().filter(|(window, _)| missing & (1 << window) != 0);
            lists.for_each(|(_, listed)| listed.push(index));
            row.listed = self.walked;
        }
    }

    fn note_bad(&mut self, waiting: &PendingVerdict, group: u32) {
        let pane_ms = floor_to(waiting.time_ms, PANE_MS);
        let group = (group != NONE).then_some(KeyRef::Group(group));
        for key in [Some(KeyRef::Aggregate), Some(KeyRef::Tenant(waiting.tenant)), group].into_iter().flatten() {
            *self.bad.entry((pane_ms, key)).or_default().entry(waiting.user).or_insert(0) += 1;
            self.touched_bad.insert((key, pane_ms));
        }
    }

    /// The examples of a pane by group and pane of event time; those of groups without a key are of the rest.
    fn examples_of_groups(&self, slo: u32, at_ms: Ms, pane: &Pane) -> BTreeMap<(u32, Ms), Vec<(u64, Exemplar)>> {
        let mut by_group: BTreeMap<(u32, Ms), Vec<(u64, Exemplar)>> = BTreeMap::new();
        let of_slo = pane.exemplars.range((slo, 0, 0, Ms::MIN)..=(slo, u32::MAX, u32::MAX, Ms::MAX));
        for ((_, _, code, start_ms), examples) in of_slo.filter(|((_, _, code, _), _)| *code != NONE) {
            let group = if self.groups_with_keys.has(*code, at_ms) { *code } else { OTHER_GROUPS };
            keep_smallest(by_group.entry((group, *start_ms)).or_default(), examples);
        }
        by_group
    }

    /// Panes for which no late event may come any more need no names.
    pub(super) fn forget_bad_before(&mut self, at_ms: Ms) {
        let keep_from_ms = at_ms - PANE_MS * 2 - self.slo.allowed_lateness_ms;
        while self.bad.first_key_value().is_some_and(|((pane, _), _)| *pane < keep_from_ms) {
            self.bad.pop_first();
        }
    }
}

/// Adds an event to a row. Where users are counted by periods, whether it is a first one of the period before the present
/// one; of the present one every boundary asks, and the time of a user's last event tells.
fn add_event(
    row: &mut UserRow,
    event: &UserEvent,
    spans: &Option<Spans>,
    windows_ms: &[Ms],
    at_ms: Ms,
) -> FirstInPeriod {
    let Some(spans) = spans else {
        row.add(event, windows_ms, at_ms);
        return FirstInPeriod::default();
    };
    let is_late = spans.previous.has_event(event.time_ms);
    let period_ms = match spans.current.has_event(event.time_ms) {
        true => Some(spans.current.start_ms),
        false => is_late.then_some(spans.previous.start_ms),
    };
    let first = row.add_in_period(event, period_ms, spans.previous.start_ms, at_ms);
    if is_late { first } else { FirstInPeriod::default() }
}

fn moved(before_ms: Ms, after_ms: Ms, slice: Ms) -> Option<(Option<Ms>, Ms)> {
    if before_ms == after_ms {
        return None;
    }
    let from = (before_ms != NEVER).then(|| floor_to(before_ms, slice));
    let to = floor_to(after_ms, slice);
    (from != Some(to)).then_some((from, to))
}

/// What an event says beyond its verdict, by the kind of SLO.
#[derive(Clone, Copy)]
enum More {
    Nothing,
    /// The verdicts of so many components.
    Parts(Extra, usize),
    Value(f64),
}

impl More {
    #[inline]
    fn of(slo: &Slo, extra: Extra) -> More {
        match &slo.unit {
            Unit::Events | Unit::Users { .. } | Unit::Journey(_) => More::Nothing,
            Unit::Composite(components) => More::Parts(extra, components.len()),
            Unit::Gauge(_) => More::Value(f64::from_bits(extra)),
        }
    }
}

impl PaneSum {
    /// Adds an event of a composite to the components that it counts for.
    fn add_parts(&mut self, extra: Extra, parts: usize, weight_micros: u64) {
        self.parts.resize(parts, Counts::default());
        for (part, counts) in self.parts.iter_mut().enumerate() {
            match part_of(extra, part) {
                Verdict::Good => counts.good += u128::from(weight_micros),
                Verdict::Bad => counts.bad += u128::from(weight_micros),
                Verdict::Excluded | Verdict::Maintenance | Verdict::Unclassified => continue,
            }
            counts.events += 1;
            counts.bad_events += u64::from(part_of(extra, part) == Verdict::Bad);
        }
    }
}

impl Gathered {
    #[inline]
    fn add(&mut self, waiting: &PendingVerdict, more: More) {
        if waiting.verdict == Verdict::Maintenance {
            self.maintenance += 1;
            return;
        }
        self.late += u64::from(waiting.is_late);
        let start_ms = floor_to(waiting.time_ms, PANE_MS);
        if waiting.verdict == Verdict::Unclassified {
            match self.unclassified.iter_mut().find(|(ms, _)| *ms == start_ms) {
                Some((_, count)) => *count += 1,
                None => self.unclassified.push((start_ms, 1)),
            }
            return;
        }
        let at = match self.panes.iter().rposition(|p| p.start_ms == start_ms) {
            Some(at) => at,
            None => {
                self.panes.push(PaneSum { start_ms, ..PaneSum::default() });
                self.panes.len() - 1
            }
        };
        let pane = &mut self.panes[at];
        let is_bad = u64::from(waiting.verdict == Verdict::Bad);
        let anonymous = u64::from(waiting.user == NONE);
        pane.counts.events += 1;
        pane.counts.bad_events += is_bad;
        pane.counts.anonymous += anonymous;
        pane.counts.anonymous_bad += is_bad & anonymous;
        if is_bad == 1 {
            pane.counts.bad += u128::from(waiting.weight_micros);
            note_failed(&mut self.failed, waiting.failure, start_ms, waiting.weight_micros);
        } else {
            pane.counts.good += u128::from(waiting.weight_micros);
        }
        match more {
            More::Nothing => {}
            More::Parts(extra, parts) => pane.add_parts(extra, parts, waiting.weight_micros),
            More::Value(value) => {
                let sum = GaugeSum::of(waiting.time_ms, value, waiting.weight_micros);
                gauge::add_to(&mut pane.gauge, &sum);
            }
        }
        if waiting.latency != NO_LATENCY {
            pane.add_latency(waiting.latency, waiting.weight_micros);
        }
    }

    #[inline]
    fn note_seen(&mut self, moved: &Moved) {
        let moves = [
            (moved.seen, &mut self.seen),
            (moved.bad_seen, &mut self.bad_seen),
            (moved.user, &mut self.users),
            (moved.decided, &mut self.decided),
        ];
        for (change, into) in moves {
            if let Some((from, to)) = change {
                into.extend(from.map(|ms| (ms, -1)));
                into.push((to, 1));
            }
        }
        self.late_users.0 += moved.late.0;
        self.late_users.1 += moved.late.1;
    }
}

/// Adds a bad event; those of one pair often come one after the other.
#[inline]
fn note_failed(failed: &mut Vec<(u32, Ms, u128)>, failure: u32, start_ms: Ms, weight_micros: u64) {
    match failed.last_mut().filter(|(last, ms, _)| (*last, *ms) == (failure, start_ms)) {
        Some((.., weight)) => *weight += u128::from(weight_micros),
        None => failed.push((failure, start_ms, u128::from(weight_micros))),
    }
}

/// Adds up what has the same time, ascending.
pub(super) fn summed<T: std::ops::AddAssign + Copy + Default + PartialEq>(mut pairs: Vec<(Ms, T)>) -> Vec<(Ms, T)> {
    pairs.sort_by_key(|(ms, _)| *ms);
    pairs.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 += next.1;
        }
        same
    });
    pairs.retain(|(_, value)| *value != T::default());
    pairs
}

fn with_attempts(delta: KeyDelta, attempts: Option<AttemptNews>) -> KeyDelta {
    KeyDelta { attempts: attempts.map(Box::new), ..delta }
}

fn merge(all: &mut KeyDelta, more: &KeyDelta) {
    more.panes.iter().for_each(|pane| add_pane(&mut all.panes, pane));
    all.late += more.late;
    all.maintenance += more.maintenance;
    all.late_users.0 += more.late_users.0;
    all.late_users.1 += more.late_users.1;
    failures::merge(&mut all.failures, &more.failures);
    let moves = [
        (&mut all.seen, &more.seen),
        (&mut all.bad_seen, &more.bad_seen),
        (&mut all.users, &more.users),
        (&mut all.decided, &more.decided),
    ];
    for (own, theirs) in moves {
        own.extend_from_slice(theirs);
        *own = summed(std::mem::take(own));
    }
    all.unclassified.extend_from_slice(&more.unclassified);
    all.unclassified = summed(std::mem::take(&mut all.unclassified));
}

/// Whether a boundary is a step of a user window.
pub(super) fn is_step(at_ms: Ms, window_ms: Ms) -> bool {
    at_ms % slice_ms(window_ms) == 0
}
