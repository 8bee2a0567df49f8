//! Which tenants and groups of an SLO have keys of their own: those that became visible first, at one
//! boundary those first by their bytes, up to a limit (contract, section 2). Nothing here depends on the
//! order in which records were read.

use super::intern::Dictionary;
use super::users::{KeyRef, LOCAL, OTHER_GROUPS, Pane, SloRows, UsersTask, Waiting, group_values, is_local};
use crate::model::key::{Scope, key_text};
use crate::operator::classify::Verdict;
use crate::operator::exemplars::keep_smallest;

/// A users task remembers so many combinations of an SLO for each one that may have a key; what is new
/// beyond that is of `__other__` at once.
const KEPT_PER_GROUP: usize = 4;

impl UsersTask {
    /// Decides on the groups of a pane, before anything of it is added: then its verdicts have the codes
    /// of groups that are remembered.
    pub(super) fn admit_groups(&mut self, pane: &mut Pane) {
        let max = self.settings.groups_max;
        for (slo, rows) in self.slos.iter_mut().enumerate() {
            let new = pane.groups.remove(&(slo as u32));
            // Of a remembered group only what is unclassified was seen so far: it may get its key now.
            let some_wait = rows.admitted.len() < max && rows.groups.len() > rows.admitted.len();
            if let Some(new) = &new {
                let codes = rows.keep(new, max.saturating_mul(KEPT_PER_GROUP));
                rename(pane, slo as u32, &codes);
            }
            if new.is_some() || some_wait {
                rows.admit_seen(&pane.verdicts, slo as u32, max);
            }
        }
    }

    /// Decides on the tenants of a pane. While fewer are known than may have keys, there is nothing to decide.
    pub(super) fn admit_tenants(&mut self, pane: &Pane) {
        let max = self.settings.tenants_max;
        if self.tenants.len() <= max {
            return;
        }
        for (slo, rows) in self.slos.iter_mut().enumerate() {
            let of_slo = pane.verdicts.iter().filter(|w| w.slo as usize == slo && w.verdict != Verdict::Unclassified);
            let mut new: Vec<u32> = of_slo.map(|w| w.tenant).filter(|t| !rows.tenants_with_keys.has(*t)).collect();
            new.sort_unstable();
            new.dedup();
            rows.tenants_overflow |= rows.tenants_with_keys.count + new.len() > max;
            new.sort_by_cached_key(|t| key_text("", &Scope::Tenant(self.tenants.text(*t).to_owned())));
            let room = max.saturating_sub(rows.tenants_with_keys.count);
            new.into_iter().take(room).for_each(|tenant| rows.tenants_with_keys.add(tenant));
        }
    }

    /// Whether a tenant's figures leave. One of which only unclassified events are visible has no key yet,
    /// and may still get one.
    pub(super) fn tells_of(&mut self, slo: usize, tenant: u32, has_events: bool) -> bool {
        let (max, known) = (self.settings.tenants_max, self.tenants.len());
        let keys = &mut self.slos[slo].tenants_with_keys;
        if has_events && known <= max {
            keys.add(tenant);
        }
        keys.has(tenant) || !has_events && keys.count < max
    }
}

/// Verdicts and examples of a pane get the codes of groups that were new to it.
fn rename(pane: &mut Pane, slo: u32, codes: &[u32]) {
    let code = |group: u32| codes.get((group & !LOCAL) as usize).copied().unwrap_or(OTHER_GROUPS);
    for waiting in pane.verdicts.iter_mut().filter(|w| w.slo == slo && is_local(w.group)) {
        waiting.group = code(waiting.group);
    }
    let of_slo = (slo, 0, 0, i64::MIN)..=(slo, u32::MAX, u32::MAX, i64::MAX);
    let renamed: Vec<_> = pane.exemplars.range(of_slo).map(|(key, _)| *key).filter(|key| is_local(key.2)).collect();
    for key in renamed {
        if let Some(examples) = pane.exemplars.remove(&key) {
            keep_smallest(pane.exemplars.entry((key.0, key.1, code(key.2), key.3)).or_default(), &examples);
        }
    }
}

impl SloRows {
    /// Remembers groups that are new, in the order of their keys, until there are too many. By their codes in
    /// the pane, those that they now have.
    fn keep(&mut self, new: &Dictionary, most: usize) -> Vec<u32> {
        let mut sorted: Vec<u32> = (0..new.len() as u32).collect();
        sorted.sort_by_cached_key(|i| self.group_key(new.get(*i)));
        let mut codes = vec![OTHER_GROUPS; new.len()];
        for local in sorted {
            let text = new.get(local);
            let known = self.groups.find(text);
            let code = known.or_else(|| (self.groups.len() < most).then(|| self.groups.intern(text)));
            self.groups_overflow |= code.is_none();
            codes[local as usize] = code.unwrap_or(OTHER_GROUPS);
        }
        codes
    }

    /// Groups with a good or bad event get a key, in the order of their keys, until the limit.
    fn admit_seen(&mut self, verdicts: &[Waiting], slo: u32, max: usize) {
        let room = max.saturating_sub(self.admitted.len());
        if room == 0 {
            return;
        }
        let seen = verdicts.iter().filter(|w| w.slo == slo && w.group < LOCAL && w.verdict != Verdict::Unclassified);
        let mut new: Vec<u32> = seen.map(|w| w.group).filter(|g| !self.admitted.contains(g)).collect();
        new.sort_unstable();
        new.dedup();
        new.sort_by_cached_key(|group| self.group_key(self.groups.get(*group)));
        self.admitted.extend(new.into_iter().take(room));
    }

    fn group_key(&self, text: &[u8]) -> String {
        key_text("", &self.group_scope(text))
    }

    /// The scope that a group's text stands for.
    pub(super) fn group_scope(&self, text: &[u8]) -> Scope {
        Scope::Group(self.slo.group_by.iter().cloned().zip(group_values(text)).collect())
    }

    /// What the events of a verdict's group count for.
    pub(super) fn group_to_count(&self, waiting: &Waiting, max: usize) -> u32 {
        let may_come =
            || waiting.verdict == Verdict::Unclassified && waiting.group < LOCAL && self.admitted.len() < max;
        if self.admitted.contains(&waiting.group) || may_come() { waiting.group } else { OTHER_GROUPS }
    }

    /// Whether the users of a key are told of at a step.
    pub(super) fn has_key(&self, key: KeyRef) -> bool {
        !matches!(key, KeyRef::Tenant(tenant) if !self.tenants_with_keys.has(tenant))
    }
}

/// The tenants of an SLO that have keys.
#[derive(Debug, Default)]
pub(super) struct TenantKeys {
    has: Vec<bool>,
    pub count: usize,
}

impl TenantKeys {
    pub fn has(&self, tenant: u32) -> bool {
        self.has.get(tenant as usize).copied().unwrap_or(false)
    }

    pub fn add(&mut self, tenant: u32) {
        let at = tenant as usize;
        if at >= self.has.len() {
            self.has.resize(at + 1, false);
        }
        self.count += usize::from(!std::mem::replace(&mut self.has[at], true));
    }

    pub fn all(&self) -> impl Iterator<Item = u32> {
        (0..).zip(&self.has).filter(|(_, has)| **has).map(|(tenant, _)| tenant)
    }
}
