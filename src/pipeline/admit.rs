//! Which tenants and groups of an SLO have keys of their own: those that became visible first, at one
//! boundary those first by their bytes, up to a limit (contract, section 2). Nothing here depends on the
//! order in which records were read.
//!
//! In `run`, the rollup task of the SLO's aggregate key decides for all users tasks ([`super::admission`]). A users
//! task looks at a boundary as soon as it is complete, names the groups and tenants that it knows no decision about,
//! and closes the boundary once they are decided. Meanwhile it goes on to look at later boundaries. A boundary at which
//! nothing is new does not wait. (A backtest has one users task, which decides alone.)

use super::admission::NAMES_MAX;
use super::admitted::{Admitted, NEVER};
use super::intern::Dictionary;
use super::key_ref::{KeyRef, LOCAL, OTHER_GROUPS, is_local};
use super::users::{Pane, PendingVerdict, SloRows, UsersTask};
use crate::model::key::{Scope, key_text};
use crate::model::record::partition_of;
use crate::model::time::Ms;
use crate::operator::admission::{Admits, Candidates, Decision, SetId, Subject, group_scope, order_of};
use crate::operator::exemplars::keep_smallest;
use crate::operator::partial::Partial;
use std::collections::{BTreeMap, BTreeSet};

/// For each combination that may have a key, a users task remembers so many combinations; new ones beyond that count in
/// `__other__` at once.
const KEPT_PER_GROUP: usize = 4;

impl UsersTask {
    /// Leaves the decision to the rollup tasks: there may be other users tasks.
    pub fn asking(mut self) -> UsersTask {
        self.decides_alone = false;
        self
    }

    /// It is the only users task: it leaves out what no search for cohorts can use.
    pub fn only(mut self) -> UsersTask {
        self.is_only = true;
        self
    }

    fn max_of(&self, admits: Admits) -> usize {
        match admits {
            Admits::Groups => self.settings.groups_max,
            Admits::Tenants => self.settings.tenants_max,
        }
    }

    /// Gives the new groups of a pane codes, and finds the groups and tenants that need a decision, by SLO and key.
    fn look_at(&mut self, pane: &mut Pane) -> Vec<(u32, Admits, u32)> {
        let most = self.settings.groups_max.saturating_mul(KEPT_PER_GROUP);
        for (slo, rows) in (0..).zip(&mut self.slos) {
            let Some(new) = pane.groups.remove(&slo) else { continue };
            let codes = rows.keep(&new, most);
            rename(pane, slo, |local| codes.get(local).copied().unwrap_or(OTHER_GROUPS));
            if codes.iter().any(|code| is_local(*code)) {
                pane.overflowing.insert(slo);
                pane.groups.insert(slo, new);
            }
        }
        self.candidates(pane)
    }

    fn candidates(&self, pane: &Pane) -> Vec<(u32, Admits, u32)> {
        let of_slo = |rows: &SloRows| (rows.has_open_groups(self.settings.groups_max), self.has_open_tenants(rows));
        let open: Vec<(bool, bool)> = self.slos[..self.defined].iter().map(of_slo).collect();
        if open.iter().all(|(groups, tenants)| !groups && !tenants) {
            return Vec::new();
        }
        let mut found = BTreeSet::new();
        for waiting in pane.verdicts.iter().filter(|waiting| waiting.verdict.is_of_key()) {
            let slo = waiting.slo as usize;
            let rows = &self.slos[slo];
            if open[slo].0 && waiting.group < LOCAL && rows.groups_with_keys.since_ms(waiting.group) == NEVER {
                found.insert((waiting.slo, Admits::Groups, waiting.group));
            }
            if open[slo].1 && rows.tenants_with_keys.since_ms(waiting.tenant) == NEVER {
                found.insert((waiting.slo, Admits::Tenants, waiting.tenant));
            }
        }
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_by_cached_key(|(slo, admits, code)| {
            (
                *slo,
                *admits,
                order_of(*admits, &self.slos[*slo as usize].slo.group_by, self.name_of_code(*slo, *admits, *code)),
            )
        });
        found
    }

    fn has_open_tenants(&self, rows: &SloRows) -> bool {
        let max = self.settings.tenants_max;
        // Alone, and with fewer tenants than may have keys, there is nothing to decide.
        let is_free = self.decides_alone && self.tenants.len() <= max;
        let is_flag_due = self.decides_alone && !rows.tenants_overflow;
        !is_free
            && rows.tenants_with_keys.count < self.tenants.len()
            && (is_flag_due || !rows.tenants_with_keys.is_full(max))
    }

    fn name_of_code(&self, slo: u32, admits: Admits, code: u32) -> &[u8] {
        match admits {
            Admits::Groups => self.slos[slo as usize].groups.get(code),
            Admits::Tenants => self.tenants.get(code),
        }
    }

    /// Decides on all that is new of a pane, before anything of it is added.
    pub(super) fn admit(&mut self, pane: &mut Pane, at_ms: Ms) {
        if self.decides_alone {
            for (slo, admits, code) in self.look_at(pane) {
                let max = self.max_of(admits);
                let rows = &mut self.slos[slo as usize];
                let set = rows.set_mut(admits);
                if set.is_full(max) {
                    rows.tenants_overflow |= admits == Admits::Tenants;
                } else {
                    set.add(code, at_ms, max);
                }
            }
        }
        // New groups beyond what is remembered count in `__other__`, unless they were admitted for another task.
        for (slo, new) in std::mem::take(&mut pane.groups) {
            let rows = &mut self.slos[slo as usize];
            let codes: Vec<u32> = (0..new.len() as u32).map(|local| rows.late_code(new.get(local), at_ms)).collect();
            rename(pane, slo, |local| codes.get(local).copied().unwrap_or(OTHER_GROUPS));
        }
        for slo in &pane.overflowing {
            self.slos[*slo as usize].groups_overflow = true;
        }
    }

    /// Looks at the panes that are complete, and names what has to be decided of them.
    pub(super) fn look_ahead(&mut self, to_ms: Ms, partials: &mut [Partial]) {
        if self.decides_alone || self.looked_ms >= Some(to_ms) {
            return;
        }
        let from_ms = self.looked_ms.map_or(Ms::MIN, |looked_ms| looked_ms + 1);
        let boundaries: Vec<Ms> = self.pending.range(from_ms..=to_ms).map(|(at_ms, _)| *at_ms).collect();
        for at_ms in boundaries {
            if let Some(mut pane) = self.pending.remove(&at_ms) {
                self.ask(&mut pane, at_ms, partials);
                self.pending.insert(at_ms, pane);
            }
        }
        self.ask_for_lacking(to_ms, partials);
        self.looked_ms = Some(to_ms);
    }

    /// Asks for decisions that the checkpoint knows and that were not read again yet. If they are on their way, the answer
    /// changes nothing. But if the definition was another one for a while, they are void: without the question nothing
    /// would be decided, and so nothing closed, before the next event that needs a decision.
    fn ask_for_lacking(&self, at_ms: Ms, partials: &mut [Partial]) {
        for (slo, rows) in self.slos.iter().enumerate() {
            for admits in [Admits::Groups, Admits::Tenants] {
                if rows.set(admits).lacks_some() {
                    self.name_candidates(slo, admits, at_ms, &[], partials);
                }
            }
        }
    }

    fn ask(&mut self, pane: &mut Pane, at_ms: Ms, partials: &mut [Partial]) {
        let candidates = self.look_at(pane);
        pane.waits_for.clear();
        for slo in pane.groups.keys() {
            // Others may have what is not remembered here admitted.
            if !self.slos[*slo as usize].groups_with_keys.is_full(self.settings.groups_max) {
                pane.waits_for.insert((*slo, Admits::Groups));
            }
        }
        let mut names: BTreeMap<(u32, Admits), Vec<Vec<u8>>> =
            pane.waits_for.iter().map(|of| (*of, Vec::new())).collect();
        for (slo, admits, code) in candidates {
            if self.slos[slo as usize].asked.insert((admits, code)) {
                let name = self.name_of_code(slo, admits, code).to_vec();
                names.entry((slo, admits)).or_default().push(name);
            }
        }
        for ((slo, admits), names) in names {
            pane.waits_for.insert((slo, admits));
            self.name_candidates(slo as usize, admits, at_ms, &names, partials);
        }
    }

    fn name_candidates(&self, slo: usize, admits: Admits, at_ms: Ms, names: &[Vec<u8>], partials: &mut [Partial]) {
        let rows = &self.slos[slo];
        let owner = key_text(&rows.slo.name, &Scope::Aggregate);
        let Some(partial) = partials.get_mut(partition_of(owner.as_bytes(), self.settings.rollup_partitions) as usize)
        else {
            return;
        };
        let group_by = if admits == Admits::Groups { rows.slo.group_by.clone() } else { Vec::new() };
        let subject = Subject { slo: rows.slo.name.clone(), group_by, max: self.max_of(admits) as u64 };
        let of = |names: &[Vec<u8>]| Candidates {
            set: rows.set_id(admits),
            subject: subject.clone(),
            at_ms,
            names: names.to_vec(),
        };
        match names.is_empty() {
            true => partial.candidates.push(of(names)),
            false => partial.candidates.extend(names.chunks(NAMES_MAX).map(of)),
        }
    }

    /// Tells all rollup tasks how far this task has named its candidates while its boundaries wait: any of them may be
    /// waiting for this to decide.
    pub(super) fn tell_looked(&mut self, partials: &mut [Partial]) {
        if self.decides_alone || self.looked_ms <= self.closed_ms || self.looked_ms <= self.sent_ms {
            return;
        }
        self.sent_ms = self.looked_ms;
        partials.iter_mut().for_each(|partial| partial.candidates_up_to_ms = self.looked_ms);
    }

    /// Whether all decisions that a boundary needs are known.
    pub(super) fn is_decided(&self, at_ms: Ms) -> bool {
        // A step tells of tenants that have rows, also where nothing of them is new.
        if self.lacks_decisions() {
            return false;
        }
        let Some(pane) = self.pending.get(&at_ms) else { return true };
        pane.waits_for.iter().all(|(slo, admits)| self.slos[*slo as usize].set(*admits).is_decided(at_ms))
    }

    /// The task came back from a checkpoint, and has not read all decisions that it knew then.
    fn lacks_decisions(&self) -> bool {
        self.slos.iter().any(|rows| rows.groups_with_keys.lacks_some() || rows.tenants_with_keys.lacks_some())
    }

    /// By set, the last decision that the task knows of, for its checkpoint.
    pub(super) fn known_decisions(&self) -> Vec<(SetId, Ms)> {
        let sets = |rows: &SloRows| {
            let of = |admits| {
                let set = rows.set(admits);
                set.last_ms.max(set.needs_ms).map(|last_ms| (rows.set_id(admits), last_ms))
            };
            [of(Admits::Groups), of(Admits::Tenants)]
        };
        self.slos.iter().flat_map(sets).flatten().collect()
    }

    /// Nothing is closed before these decisions are read again.
    pub(super) fn wait_for_known(&mut self, known: &[(SetId, Ms)]) {
        for rows in &mut self.slos {
            for admits in [Admits::Groups, Admits::Tenants] {
                let id = rows.set_id(admits);
                let needs = known.iter().find(|(set, _)| *set == id).map(|(_, last_ms)| *last_ms);
                rows.set_mut(admits).needs_ms = needs;
            }
        }
    }

    /// A boundary is complete, and waits for a decision.
    pub fn waits_for_decision(&self) -> bool {
        if self.lacks_decisions() {
            return true;
        }
        let next = self.pending.keys().find(|at_ms| Some(**at_ms) > self.closed_ms);
        next.is_some_and(|at_ms| Some(*at_ms) <= self.looked_ms && !self.is_decided(*at_ms))
    }

    /// Names everything once more that is not decided.
    pub fn ask_again(&mut self) {
        self.looked_ms = self.closed_ms;
        self.sent_ms = None;
        self.slos.iter_mut().for_each(|rows| rows.asked.clear());
    }

    /// Takes what was decided: everything up to its boundary, if this is the last that is said of it.
    pub fn learn(&mut self, decision: &Decision, is_last: bool) {
        let max = self.max_of(decision.set.admits);
        for rows in self.slos.iter_mut().filter(|rows| rows.set_id(decision.set.admits) == decision.set) {
            let set = rows.set(decision.set.admits);
            // Received before; or a decision before it is still on its way. Then this one comes again, behind that.
            if set.up_to_ms >= Some(decision.at_ms) || set.last_ms < decision.after_ms {
                continue;
            }
            for name in &decision.names {
                match decision.set.admits {
                    Admits::Groups => rows.learn_group(name, decision.at_ms, max),
                    Admits::Tenants => {
                        let tenant = self.tenants.intern(name);
                        rows.asked.remove(&(Admits::Tenants, tenant));
                        rows.tenants_with_keys.add(tenant, decision.at_ms, max);
                    }
                }
            }
            let set = rows.set_mut(decision.set.admits);
            if is_last {
                set.up_to_ms = Some(decision.at_ms);
                set.last_ms = if decision.names.is_empty() { set.last_ms } else { Some(decision.at_ms) };
            }
            if set.full_ms.is_some() {
                rows.asked.retain(|(admits, _)| *admits != decision.set.admits);
            }
        }
    }

    /// The decisions about a set are void: the definition was another one in between.
    pub fn forget_decisions(&mut self, set: SetId) {
        let mut is_ours = false;
        for rows in self.slos.iter_mut().filter(|rows| rows.set_id(set.admits) == set) {
            *rows.set_mut(set.admits) = Admitted::default();
            if set.admits == Admits::Groups {
                rows.strangers.clear();
            }
            is_ours = true;
        }
        if is_ours {
            self.ask_again();
        }
    }

    /// What the task decided alone, for its checkpoint.
    pub(super) fn decisions(&self) -> Vec<Decision> {
        let mut decisions = Vec::new();
        if !self.decides_alone {
            return decisions;
        }
        for (slo, rows) in (0..).zip(&self.slos) {
            for admits in [Admits::Groups, Admits::Tenants] {
                let decision = |(at_ms, code)| Decision {
                    set: rows.set_id(admits),
                    slo: rows.slo.name.clone(),
                    at_ms,
                    after_ms: None,
                    names: vec![self.name_of_code(slo, admits, code).to_vec()],
                };
                decisions.extend(rows.set(admits).codes().map(decision));
            }
        }
        decisions
    }

    /// Whether a tenant's figures are sent. One with unclassified events only has no key yet, but may still get one.
    pub(super) fn tells_of(&mut self, slo: usize, tenant: u32, has_events: bool, at_ms: Ms) -> bool {
        let (max, known, is_alone) = (self.settings.tenants_max, self.tenants.len(), self.decides_alone);
        let rows = &mut self.slos[slo];
        let keys = &mut rows.tenants_with_keys;
        if is_alone && has_events && known <= max {
            keys.add(tenant, at_ms, max);
        }
        if keys.has(tenant, at_ms) {
            return true;
        }
        rows.tenants_overflow |= !is_alone && has_events;
        // What is sent about a tenant that never gets a key is not published.
        !has_events && (keys.since_ms(tenant) != NEVER || !keys.is_full(max))
    }
}

/// Verdicts and examples of a pane get the codes of groups that were new to it.
fn rename(pane: &mut Pane, slo: u32, code_of: impl Fn(usize) -> u32) {
    let code = |group: u32| code_of((group & !LOCAL) as usize);
    for waiting in pane.verdicts.iter_mut().filter(|w| w.slo == slo && is_local(w.group)) {
        waiting.group = code(waiting.group);
    }
    let of_slo = (slo, 0, 0, i64::MIN)..=(slo, u32::MAX, u32::MAX, i64::MAX);
    let renamed: Vec<_> = pane.exemplars.range(of_slo).map(|(key, _)| *key).filter(|key| is_local(key.2)).collect();
    for key in renamed.into_iter().filter(|key| code(key.2) != key.2) {
        if let Some(examples) = pane.exemplars.remove(&key) {
            keep_smallest(pane.exemplars.entry((key.0, key.1, code(key.2), key.3)).or_default(), &examples);
        }
    }
}

impl SloRows {
    pub(super) fn set(&self, admits: Admits) -> &Admitted {
        match admits {
            Admits::Groups => &self.groups_with_keys,
            Admits::Tenants => &self.tenants_with_keys,
        }
    }

    fn set_mut(&mut self, admits: Admits) -> &mut Admitted {
        match admits {
            Admits::Groups => &mut self.groups_with_keys,
            Admits::Tenants => &mut self.tenants_with_keys,
        }
    }

    fn set_id(&self, admits: Admits) -> SetId {
        let of = match admits {
            Admits::Groups => self.groups_of,
            Admits::Tenants => self.filters.0,
        };
        SetId { admits, of }
    }

    /// Some group that is remembered has no key, and may get one.
    fn has_open_groups(&self, max: usize) -> bool {
        !self.slo.group_by.is_empty()
            && self.groups.len() > self.groups_with_keys.count
            && !self.groups_with_keys.is_full(max)
    }

    /// Remembers new groups, in the order of their keys, until there are too many. Returns, by their codes in the pane,
    /// the codes that they now have; those that are not remembered keep the pane's.
    fn keep(&mut self, new: &Dictionary, most: usize) -> Vec<u32> {
        let mut sorted: Vec<u32> = (0..new.len() as u32).collect();
        sorted.sort_by_cached_key(|i| order_of(Admits::Groups, &self.slo.group_by, new.get(*i)));
        let mut codes = vec![OTHER_GROUPS; new.len()];
        for local in sorted {
            let text = new.get(local);
            let code = match self.groups.find(text) {
                Some(known) => known,
                None if self.kept.len() < most => {
                    let code = self.group(text);
                    self.kept.push(code);
                    code
                }
                None => LOCAL | local,
            };
            codes[local as usize] = code;
        }
        codes
    }

    /// The code of a group, a new one where it has none.
    pub(super) fn group(&mut self, text: &[u8]) -> u32 {
        let code = self.groups.intern(text);
        if let Some(since_ms) = self.strangers.remove(text) {
            self.groups_with_keys.know(code, since_ms);
        }
        code
    }

    /// The code of a group that is not remembered.
    fn late_code(&mut self, text: &[u8], at_ms: Ms) -> u32 {
        match self.groups.find(text) {
            Some(known) => known,
            None if self.strangers.get(text).is_some_and(|since_ms| *since_ms <= at_ms) => self.group(text),
            None => OTHER_GROUPS,
        }
    }

    fn learn_group(&mut self, text: &[u8], at_ms: Ms, max: usize) {
        match self.groups.find(text) {
            Some(code) => {
                self.asked.remove(&(Admits::Groups, code));
                self.groups_with_keys.add(code, at_ms, max);
            }
            None => {
                if self.strangers.insert(text.to_vec(), at_ms).is_none() {
                    self.groups_with_keys.admit(at_ms, max);
                }
            }
        }
    }

    /// The scope that a group's text stands for.
    pub(super) fn group_scope(&self, text: &[u8]) -> Scope {
        group_scope(&self.slo.group_by, text)
    }

    /// The group that an event counts in. If a rollup task decides, an unclassified event is sent under its own group
    /// without asking; the rollup task moves it to `__other__` if the group has no key.
    pub(super) fn group_to_count(&self, waiting: &PendingVerdict, at_ms: Ms, max: usize, decides_alone: bool) -> u32 {
        if self.groups_with_keys.has(waiting.group, at_ms) {
            return waiting.group;
        }
        let is_open = !decides_alone || !self.groups_with_keys.is_full(max);
        let may_come = !waiting.verdict.is_of_key() && waiting.group < LOCAL && is_open;
        if may_come { waiting.group } else { OTHER_GROUPS }
    }

    /// Whether figures of a key's users are sent at a step.
    pub(super) fn has_key(&self, key: KeyRef, at_ms: Ms) -> bool {
        !matches!(key, KeyRef::Tenant(tenant) if !self.tenants_with_keys.has(tenant, at_ms))
    }
}

#[cfg(test)]
mod tests;
