//! A step of a user window gives the distribution of every key, the leaf cube and the worst-served users.
//!
//! Of a short window, whose steps are frequent, users without a bad event are counted already
//! ([`super::tally`]), and only rows with one are read. Of a long window all active rows are read, in one
//! sequential pass.

use super::close::is_step;
use super::cold_rows::ColdRow;
use super::intern::NONE;
use super::key_ref::KeyRef;
use super::stored::CheckpointError;
use super::users::UsersTask;
use crate::model::ratio::Ratio;
use crate::model::time::{DAY_MS, Ms, window_start};
use crate::model::tuple::{Pairs, Tuple};
use crate::operator::cohort::may_find;
use crate::operator::distribution::{Distribution, DistributionBuilder, Limits, UserSums};
use crate::operator::partial::{
    BoundaryPartial, KeyStep, Leaf, SAMPLE_USERS, SampleUser, WORST_USERS, WorstUser, keep_worst,
};
use crate::operator::signal::dispersion;
use crate::operator::signal::failing_user::FailingUser;
use crate::operator::user_row::{NO_GROUP, UserRow};
use crate::state::Store;
use hashbrown::HashMap;
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};

/// The window whose worst users `user-status` shows.
pub const WORST_USERS_WINDOW_MS: Ms = DAY_MS;
/// Leaves of a cube beyond these go into `__other__`, so that memory is bounded. Which of them are told
/// apart is decided where the cubes of all users tasks come together.
const LEAVES_SENT: usize = 8_192;

/// A row's part in a step.
struct Member {
    tenant: u32,
    group: u32,
    tuple: u32,
    sums: UserSums,
    /// Minutes with a bad event, where the window has a dispersion.
    bad_minutes: u64,
    who: Who,
}

impl Member {
    fn of(row: &UserRow, tenant: u32, window_ms: Ms, start_ms: Ms, who: Who) -> Member {
        let sums = row.sums_since(start_ms);
        let is_asked = sums.bad_events > 0 && window_ms <= dispersion::WINDOW_MS_MAX;
        let bad_minutes = if is_asked { row.bad_minutes_since(start_ms) } else { 0 };
        Member { tenant, group: row.group, tuple: row.tuple, sums, bad_minutes, who }
    }

    fn cold_row(&self) -> Option<&ColdRow> {
        if let Who::Cold(cold) = &self.who { Some(cold) } else { None }
    }
}

/// A member under one of its keys.
struct Part<'a> {
    member: &'a Member,
    key: KeyRef,
    /// Below the objective of the key.
    is_below: bool,
}

/// Everybody with events in the window.
struct Users {
    /// Those of whom the rows were read.
    members: Vec<Member>,
    /// Where the others are counted.
    tally: Option<usize>,
    /// Those who fail again and again, where they are asked for.
    failing: BTreeMap<KeyRef, Vec<FailingUser>>,
}

/// The leaves of one key, each with the number of its tuple.
#[derive(Default)]
struct Cube {
    leaves: Vec<(u32, Leaf)>,
    /// By tuple; those behind are not looked up yet.
    at: HashMap<u32, usize>,
}

impl Cube {
    /// The leaf of a tuple that has none yet.
    fn new_leaf(&mut self, tuple: u32) -> &mut Leaf {
        let at = self.leaves.len();
        self.leaves.push((tuple, Leaf::default()));
        &mut self.leaves[at].1
    }

    fn leaf(&mut self, tuple: u32) -> &mut Leaf {
        let unknown = self.leaves.iter().enumerate().skip(self.at.len());
        self.at.extend(unknown.map(|(at, (tuple, _))| (*tuple, at)));
        let at = *self.at.entry(tuple).or_insert(self.leaves.len());
        if at == self.leaves.len() {
            return self.new_leaf(tuple);
        }
        &mut self.leaves[at].1
    }
}

/// Where the row of a member is.
enum Who {
    Row(u32),
    Cold(Box<ColdRow>),
}

impl UsersTask {
    /// Takes the steps that are due at a boundary.
    pub(super) fn step(
        &mut self,
        at_ms: Ms,
        boundary: &mut [BoundaryPartial],
        store: &dyn Store,
    ) -> Result<(), CheckpointError> {
        for slo in 0..self.slos.len() {
            for window in 0..self.slos[slo].slo.user_windows_ms.len() {
                let window_ms = self.slos[slo].slo.user_windows_ms[window];
                if !is_step(at_ms, window_ms) {
                    continue;
                }
                if self.slos[slo].open.is_some() {
                    // What is told of its users is of attempts. Rows that no rule asks for any more go.
                    if window + 1 == self.slos[slo].slo.user_windows_ms.len() {
                        self.members(slo, window, at_ms, store)?;
                    }
                    continue;
                }
                let tally = self.slos[slo].tallies.iter().position(|tally| tally.window == window);
                let members = match tally {
                    Some(tally) => self.members_with_bad_events(slo, tally, at_ms, store)?,
                    None => self.members(slo, window, at_ms, store)?,
                };
                let failing = if window == 0 {
                    let cold = members.iter().filter_map(Member::cold_row);
                    self.failing(slo, at_ms, cold)
                } else {
                    BTreeMap::new()
                };
                self.emit_steps(slo, window_ms, at_ms, &Users { members, tally, failing }, boundary);
                if let Some(tally) = tally {
                    let rows = &mut self.slos[slo];
                    rows.tallies[tally].after_step(at_ms, &rows.rows);
                }
            }
            self.slos[slo].forget_bad_before(at_ms);
        }
        Ok(())
    }

    /// The rows with events in the window; rows without any leave the list, and the task once they
    /// are older than everything that asks for them.
    fn members(
        &mut self,
        slo: usize,
        window: usize,
        at_ms: Ms,
        store: &dyn Store,
    ) -> Result<Vec<Member>, CheckpointError> {
        let (users, rows) = (&self.users, &mut self.slos[slo]);
        let window_ms = rows.slo.user_windows_ms[window];
        let start_ms = window_start(at_ms, window_ms);
        let is_longest = window + 1 == rows.slo.user_windows_ms.len();
        let retire_before_ms = window_start(at_ms, rows.keep_ms);
        let mut retired = Vec::new();
        let mut listed = std::mem::take(&mut rows.listed[window]);
        let mut members = Vec::with_capacity(listed.len());
        listed.retain(|index| {
            let row = &mut rows.rows[*index as usize];
            if row.last_ms >= start_ms {
                let tenant = users.get(row.user).tenant;
                members.push(Member::of(row, tenant, window_ms, start_ms, Who::Row(*index)));
                return true;
            }
            let stays = is_longest && row.last_ms >= retire_before_ms;
            if !stays {
                row.listed &= !(1 << window);
                if row.listed == 0 {
                    retired.push(*index);
                }
            }
            stays
        });
        rows.listed[window] = listed;
        retired.into_iter().for_each(|index| self.retire(slo, index, at_ms));
        self.add_cold(slo, window_ms, at_ms, &mut members, store)?;
        Ok(members)
    }

    /// The rows with a bad event in a window whose other rows are counted.
    fn members_with_bad_events(
        &mut self,
        slo: usize,
        tally: usize,
        at_ms: Ms,
        store: &dyn Store,
    ) -> Result<Vec<Member>, CheckpointError> {
        let (users, rows) = (&self.users, &mut self.slos[slo]);
        let key_of = |row: &UserRow| match row.group {
            NO_GROUP => KeyRef::Tenant(users.get(row.user).tenant),
            group => KeyRef::Group(group),
        };
        let with_bad = rows.tallies[tally].at_step(at_ms, &rows.rows, key_of);
        let window_ms = rows.slo.user_windows_ms[rows.tallies[tally].window];
        let start_ms = window_start(at_ms, window_ms);
        let member = |index: u32| {
            let row = &rows.rows[index as usize];
            Member::of(row, users.get(row.user).tenant, window_ms, start_ms, Who::Row(index))
        };
        let mut members: Vec<Member> = with_bad.into_iter().map(member).collect();
        self.add_cold(slo, window_ms, at_ms, &mut members, store)?;
        Ok(members)
    }

    fn add_cold(
        &mut self,
        slo: usize,
        window_ms: Ms,
        at_ms: Ms,
        members: &mut Vec<Member>,
        store: &dyn Store,
    ) -> Result<(), CheckpointError> {
        let start_ms = window_start(at_ms, window_ms);
        let retire_before_ms = window_start(at_ms, self.slos[slo].keep_ms);
        for cold in self.cold_rows(slo, start_ms, retire_before_ms, store)? {
            let cold = Box::new(cold);
            let member = Member::of(&cold.row, cold.tenant, window_ms, start_ms, Who::Row(NONE));
            members.push(Member { group: cold.group, who: Who::Cold(cold), ..member });
        }
        Ok(())
    }

    fn row_of<'a>(&'a self, slo: usize, member: &'a Member) -> &'a UserRow {
        match &member.who {
            Who::Row(index) => &self.slos[slo].rows[*index as usize],
            Who::Cold(cold) => &cold.row,
        }
    }

    fn name_of<'a>(&'a self, slo: usize, member: &'a Member) -> &'a str {
        match &member.who {
            Who::Row(index) => self.users.get(self.slos[slo].rows[*index as usize].user).name(),
            Who::Cold(cold) => &cold.user,
        }
    }

    fn retire(&mut self, slo: usize, index: u32, at_ms: Ms) {
        let rows = &mut self.slos[slo];
        let (user, group) = (rows.rows[index as usize].user, rows.rows[index as usize].group);
        if group == NO_GROUP {
            rows.row_of[user as usize] = NONE;
        } else {
            rows.group_row_of.remove(&(user, group));
        }
        rows.free.push(index);
        rows.leave_tallies(index);
        if group == NO_GROUP {
            let entry = self.users.get(user);
            rows.gone.insert((entry.group, self.tenants.text(entry.tenant).to_owned(), entry.name().to_owned()));
        }
        self.users.get_mut(user).rows -= 1;
        self.users.forget_if_unused(user, at_ms);
    }

    fn emit_steps(&mut self, slo: usize, window_ms: Ms, at_ms: Ms, users: &Users, boundary: &mut [BoundaryPartial]) {
        self.tuples.rank();
        let distributions = self.distributions(slo, users);
        let mut cubes = self.cubes(slo, users);
        let is_shown = window_ms == WORST_USERS_WINDOW_MS;
        let mut worst = if is_shown { self.worst(slo, &users.members, at_ms) } else { BTreeMap::new() };
        // Steps of the rows of attempts are those of their SLO.
        let shown = self.slos[slo].attempts_of.unwrap_or(slo);
        let told = |key: &KeyRef| self.slos[shown].has_key(*key, at_ms);
        let told: Vec<(KeyRef, Distribution)> = distributions.into_iter().filter(|(key, _)| told(key)).collect();
        for (key, distribution) in told {
            let step = KeyStep {
                slo: shown as u32,
                scope: self.scope_of(slo, key),
                window_ms,
                distribution,
                cube: cubes.remove(&key).unwrap_or_default(),
                worst: worst.remove(&key).unwrap_or_default(),
                failing: users.failing.get(&key).cloned().unwrap_or_default(),
            };
            let partition = self.partition(slo, key);
            boundary[partition as usize].steps.push(step);
        }
    }

    fn distributions(&self, slo: usize, users: &Users) -> BTreeMap<KeyRef, Distribution> {
        let rows = &self.slos[slo];
        let (min_events, objective) = (rows.slo.min_user_events, rows.slo.objective);
        let all = Limits { min_events, objective };
        let mut tenants: Vec<Option<(Limits, DistributionBuilder)>> = Vec::new();
        tenants.resize_with(self.tenants.len(), || None);
        let mut groups: BTreeMap<u32, DistributionBuilder> = BTreeMap::new();
        let limits_of = |tenant: u32| Limits { objective: self.objective_of(slo, KeyRef::Tenant(tenant)), ..all };
        for (key, gathering) in users.tally.into_iter().flat_map(|tally| rows.tallies[tally].distributions()) {
            match key {
                KeyRef::Tenant(tenant) => tenants[tenant as usize] = Some((limits_of(tenant), gathering)),
                KeyRef::Group(group) => drop(groups.insert(group, gathering)),
                KeyRef::Aggregate => {}
            }
        }
        let mut below = 0;
        for member in &users.members {
            let tenant = member.tenant;
            let name = || (self.tenants.text(tenant), self.name_of(slo, member));
            if member.group != NO_GROUP {
                groups.entry(member.group).or_default().add(&member.sums, member.bad_minutes, &all, name);
                continue;
            }
            let new = || (limits_of(tenant), DistributionBuilder::default());
            let (own, gathering) = tenants[tenant as usize].get_or_insert_with(new);
            gathering.add(&member.sums, member.bad_minutes, own, name);
            below += u64::from(is_below(member, min_events, objective));
        }
        let mut by_key: BTreeMap<KeyRef, Distribution> = BTreeMap::new();
        let mut aggregate = Distribution::default();
        for (tenant, (_, gathering)) in tenants.into_iter().enumerate().filter_map(|(i, t)| Some((i, t?))) {
            let of_tenant = gathering.finish();
            aggregate.merge(&of_tenant);
            by_key.insert(KeyRef::Tenant(tenant as u32), of_tenant);
        }
        by_key.extend(groups.into_iter().map(|(group, gathering)| (KeyRef::Group(group), gathering.finish())));
        aggregate.below_objective = below;
        if !aggregate.is_empty() {
            by_key.insert(KeyRef::Aggregate, aggregate);
        }
        by_key
    }

    /// The leaf cubes of all keys. Where nobody looks for cohorts, or can find any, only the leaves of users below are sent: as
    /// examples of a degraded tail.
    fn cubes(&self, slo: usize, users: &Users) -> BTreeMap<KeyRef, Vec<Leaf>> {
        let rows = &self.slos[slo];
        let (mut aggregate, mut cubes) = (Cube::default(), BTreeMap::<KeyRef, Cube>::new());
        let parts = self.parts(slo, &users.members);
        let searched = self.searched(slo, &parts);
        let is_searched = |key: &KeyRef| rows.slo.cohorts && searched.as_ref().is_none_or(|keys| keys.contains(key));
        let is_aggregate_searched = is_searched(&KeyRef::Aggregate);
        for perfect in users.tally.filter(|_| rows.slo.cohorts).into_iter().flat_map(|t| rows.tallies[t].cells()) {
            if is_aggregate_searched && matches!(perfect.key, KeyRef::Tenant(_)) {
                perfect.add_to(aggregate.leaf(perfect.tuple));
            }
            if is_searched(&perfect.key) {
                perfect.add_to(cubes.entry(perfect.key).or_default().new_leaf(perfect.tuple));
            }
        }
        for Part { member, key, is_below } in parts {
            let is_aggregate = matches!(key, KeyRef::Aggregate);
            if !is_below && !is_searched(&key) {
                continue;
            }
            let cube = if is_aggregate { &mut aggregate } else { cubes.entry(key).or_default() };
            let leaf = cube.leaf(member.tuple);
            if member.sums.events >= rows.slo.min_user_events {
                leaf.add_user(&member.sums, is_below);
            }
            self.add_to_leaf(leaf, member, || self.name_of(slo, member), is_below);
        }
        if !aggregate.leaves.is_empty() {
            cubes.insert(KeyRef::Aggregate, aggregate);
        }
        cubes.into_iter().map(|(key, cube)| (key, self.with_attributes(cube.leaves))).collect()
    }

    /// The members under each of their keys.
    fn parts<'a>(&self, slo: usize, members: &'a [Member]) -> Vec<Part<'a>> {
        let rows = &self.slos[slo];
        let of_tenant = |tenant: usize| self.objective_of(slo, KeyRef::Tenant(tenant as u32));
        let of_tenants: Vec<Ratio> = (0..self.tenants.len()).map(of_tenant).collect();
        let mut parts = Vec::with_capacity(2 * members.len());
        for member in members {
            let mut add = |key: KeyRef, objective: Ratio| {
                parts.push(Part { member, key, is_below: is_below(member, rows.slo.min_user_events, objective) });
            };
            if member.group == NO_GROUP {
                add(KeyRef::Aggregate, rows.slo.objective);
                add(KeyRef::Tenant(member.tenant), of_tenants[member.tenant as usize]);
            } else {
                add(KeyRef::Group(member.group), rows.slo.objective);
            }
        }
        parts
    }

    /// The keys in which a search may find something; `None`: any, because of the users that other tasks have nothing is known
    /// here.
    fn searched(&self, slo: usize, parts: &[Part<'_>]) -> Option<BTreeSet<KeyRef>> {
        if !self.is_only || !self.slos[slo].slo.cohorts {
            return None;
        }
        let mut badly_served: BTreeMap<KeyRef, (u64, u64)> = BTreeMap::new();
        for Part { key, is_below, .. } in parts.iter().filter(|part| part.member.sums.bad_events > 0) {
            let (below, with_bad) = badly_served.entry(*key).or_default();
            *below += u64::from(*is_below);
            *with_bad += 1;
        }
        let may_find = |(key, (below, with_bad))| may_find(below, with_bad).then_some(key);
        Some(badly_served.into_iter().filter_map(may_find).collect())
    }

    /// Leaves as they are sent: by attributes, those of the fewest users in one where they are too many.
    fn with_attributes(&self, mut leaves: Vec<(u32, Leaf)>) -> Vec<Leaf> {
        let rank = |leaf: &(u32, Leaf)| self.tuples.rank_of(leaf.0);
        let mut over = Vec::new();
        if leaves.len() > LEAVES_SENT {
            leaves.sort_unstable_by_key(|leaf| (Reverse(leaf.1.users), rank(leaf)));
            over = leaves.split_off(LEAVES_SENT - 1);
        }
        leaves.sort_unstable_by_key(rank);
        let named = |(tuple, leaf): (u32, Leaf)| Leaf { tuple: Tuple::of_bytes(self.tuples.get(tuple)), ..leaf };
        let mut leaves: Vec<Leaf> = leaves.into_iter().map(named).collect();
        if let Some(other) = Leaf::other(&leaves, over.iter().map(|(_, leaf)| leaf)) {
            leaves.push(other);
            leaves.sort_unstable_by(|a, b| a.tuple.cmp(&b.tuple));
        }
        leaves
    }

    fn objective_of(&self, slo: usize, key: KeyRef) -> Ratio {
        let rows = &self.slos[slo];
        match key {
            KeyRef::Tenant(tenant) => {
                rows.slo.tenant_objectives.get(self.tenants.text(tenant)).copied().unwrap_or(rows.slo.objective)
            }
            _ => rows.slo.objective,
        }
    }

    /// Adds a user to all of its leaf, and to the examples.
    fn add_to_leaf<'a>(&self, leaf: &mut Leaf, member: &Member, user: impl FnOnce() -> &'a str, is_below: bool) {
        leaf.every.add_user(&member.sums);
        let bad_events = member.sums.bad_events;
        if bad_events == 0 {
            return;
        }
        let sample = if is_below { &mut leaf.sample } else { &mut leaf.every.sample };
        let last = sample.last().filter(|_| sample.len() >= SAMPLE_USERS);
        let last = last.map(|last| (last.bad_events, last.hash));
        if last.is_some_and(|last| bad_events < last.0) {
            return;
        }
        let user = user();
        let hash = self.name_hash(member.tenant, user);
        if last.is_none_or(|last| bad_events > last.0 || hash <= last.1) {
            let tenant = self.tenants.text(member.tenant).to_owned();
            sample.push(SampleUser { bad_events, hash, tenant, user: user.to_owned() });
            keep_worst(sample);
        }
    }

    /// Per tenant, the worst-served users of the window: by SLI, then by name.
    fn worst(&self, slo: usize, members: &[Member], at_ms: Ms) -> BTreeMap<KeyRef, Vec<WorstUser>> {
        let rows = &self.slos[slo];
        let mut by_tenant: BTreeMap<u32, Vec<&Member>> = BTreeMap::new();
        for member in members.iter().filter(|m| m.sums.events >= rows.slo.min_user_events) {
            if member.group == NO_GROUP {
                by_tenant.entry(member.tenant).or_default().push(member);
            }
        }
        let order = |a: &&Member, b: &&Member| {
            let by_name = || self.name_of(slo, a).as_bytes().cmp(self.name_of(slo, b).as_bytes());
            worse_first(&a.sums, &b.sums).then_with(by_name)
        };
        let start_ms = window_start(at_ms, WORST_USERS_WINDOW_MS);
        let mut worst = BTreeMap::new();
        for (tenant, mut members) in by_tenant {
            if members.len() > WORST_USERS {
                members.select_nth_unstable_by(WORST_USERS - 1, order);
                members.truncate(WORST_USERS);
            }
            members.sort_unstable_by(order);
            let users = members.into_iter().map(|m| self.worst_user(slo, m, start_ms)).collect();
            worst.insert(KeyRef::Tenant(tenant), users);
        }
        worst
    }

    fn worst_user(&self, slo: usize, member: &Member, start_ms: Ms) -> WorstUser {
        let row = self.row_of(slo, member);
        let (first_bad_ms, last_bad_ms) = row.first_and_last_bad(start_ms);
        WorstUser {
            user: self.name_of(slo, member).to_owned(),
            good: member.sums.good,
            bad: member.sums.bad,
            first_bad_ms,
            last_bad_ms,
            attributes: Pairs::of(self.tuples.get(member.tuple)).to_vec(),
        }
    }
}

fn is_below(member: &Member, min_events: u64, objective: Ratio) -> bool {
    member.sums.bad > 0 && member.sums.events >= min_events && member.sums.is_below(objective)
}

fn worse_first(a: &UserSums, b: &UserSums) -> Ordering {
    a.sli().total_cmp(&b.sli())
}

#[cfg(test)]
mod tests;
