//! What a rollup task writes to its store, and how it comes back.
//!
//! The keys are saved group by group, over several commits, so after a restart they stand at different
//! boundaries. The partials are read again from the smallest of them on, and every boundary is for the
//! groups that have not seen it: keys know nothing of one another, so each comes to what it was.

use super::admission::SET_PART;
use super::key_slot::KeySlot;
use super::mark::RollupMark;
use super::rollup::RollupTask;
use super::rollup_key::{Definition, KEY_GROUPS, RollupKey, key_checkpoint_range, virtual_group};
use super::stored::{CheckpointError, get_versioned, put, scan_each};
use super::stored_definition::StoredDefinition;
use crate::model::key::Scope;
use crate::model::time::{Ms, PANE_MS};
use crate::operator::burn_rate::RuleState;
use crate::operator::key_definition::KeyIdentity;
use crate::operator::key_state::KeyState;
use crate::state::keys::{FiltersId, Key, PeriodKind, Prefix, ScopeKind, groups_of_range, subject};
use crate::state::versions::{self, VERSION};
use crate::state::{Batch, Store};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

/// A key of a rollup task.
#[derive(Serialize, Deserialize)]
struct StoredKey {
    /// Of one of the mark's definitions.
    definition_hash: String,
    scope: Scope,
    state: KeyState,
    listed_users: Vec<Box<str>>,
}

impl StoredKey {
    fn read(key: &[u8], value: &[u8]) -> Result<StoredKey, CheckpointError> {
        let (mut stored, version) = get_versioned::<StoredKey>(key, value)?;
        if version < VERSION {
            stored.state.repack_users(|figures| versions::decode(figures, version))?;
        }
        Ok(stored)
    }
}

impl RollupTask {
    pub fn mark(&self) -> RollupMark {
        let overflowing = self.definitions.iter().filter(|definition| definition.groups_overflow);
        let groups_overflow = overflowing.map(|definition| definition.slo.name.clone()).collect();
        let definitions = self.definitions.iter().map(|definition| StoredDefinition::of(&definition.slo)).collect();
        RollupMark {
            at_ms: self.at_ms,
            up_to_ms: self.up_to_ms.clone(),
            named_up_to_ms: self.admission.named_up_to_ms.clone(),
            groups_overflow,
            definitions,
        }
    }

    /// Writes the keys of a group that changed since it was last saved, as they are at [`Self::at_ms`].
    pub fn save_group(&mut self, group: u16, batch: &mut Batch) -> Result<(), CheckpointError> {
        let at = usize::from(group);
        for row in std::mem::take(&mut self.gone[at]) {
            batch.delete(&row);
        }
        // A key that went and came back is put after it was deleted: the last write counts.
        for text in std::mem::take(&mut self.dirty[at]) {
            if let Some(slot) = self.keys.get(&text) {
                self.save_key(&slot.key(&self.definitions), batch)?;
            }
        }
        self.admission.save_group(group, batch)
    }

    fn save_key(&self, key: &RollupKey, batch: &mut Batch) -> Result<(), CheckpointError> {
        let definition = &self.definitions[key.former.unwrap_or(key.slo)];
        let row = StoredKey {
            definition_hash: definition.slo.definition_hash.clone(),
            scope: key.identity.scope.clone(),
            state: key.state.clone(),
            listed_users: key.listed_users.clone(),
        };
        put(batch, &self.row_key(key.slo, &key.identity), &row)
    }

    pub(super) fn row_key<'a>(&'a self, slo: usize, key: &'a KeyIdentity) -> Key<'a> {
        let (slo, scope) = (&self.definitions[slo].slo, &key.scope);
        Key::Key {
            group: virtual_group(&key.key_text),
            slo: Cow::Borrowed(&slo.name),
            filters: FiltersId::of(&slo.filters_hash),
            scope: ScopeKind::of(scope),
            subject: subject(scope),
            period: PeriodKind::Rolling,
            part: 0,
            at_ms: 0,
        }
    }

    /// Brings back the keys of a store; `groups_at_ms` are the boundaries that the rows of each group
    /// are true of (`None`: it was never saved), `former` the definitions that they were evaluated by.
    /// Evaluation begins again behind the smallest of the boundaries, with the partials that are then
    /// read again.
    ///
    /// A row may be older than its group: where nothing but time went on, it was not written again.
    pub fn load(
        &mut self,
        groups_at_ms: &[Option<Ms>],
        mark: &RollupMark,
        store: &dyn Store,
    ) -> Result<(), CheckpointError> {
        let at = |group: u16| groups_at_ms.get(usize::from(group)).copied().flatten();
        self.groups_at_ms = (0..KEY_GROUPS).map(at).collect();
        self.at_ms = self.groups_at_ms.iter().copied().min().flatten();
        self.loaded_ms = self.at_ms;
        self.up_to_ms.fill(None);
        self.has_received_all = false;
        for group in 0..KEY_GROUPS {
            let mut found = Vec::new();
            scan_each(
                store,
                groups_of_range(group, KEY_GROUPS).map(|group| Prefix::Keys { group }),
                &mut |key, value| {
                    let row = Key::decode(key).map_err(|_| CheckpointError::Key)?;
                    let Key::Key { slo, part, .. } = &row else { return Err(CheckpointError::Key) };
                    if *part == SET_PART {
                        return self.admission.load_row(&row, key, value);
                    }
                    let stored = StoredKey::read(key, value)?;
                    let definition = self.definition_of(slo, &stored.definition_hash, mark);
                    let definition = definition.ok_or_else(|| CheckpointError::Definition { slo: slo.to_string() })?;
                    found.push((definition, stored));
                    Ok(())
                },
            )?;
            found.into_iter().for_each(|(definition, stored)| self.adopt(group, definition, stored));
        }
        self.admission.keep_only(&self.definitions[..self.present], &mut self.gone);
        self.due = self.keys.iter().map(|(text, slot)| (slot.due_ms, Arc::clone(text))).collect();
        Ok(())
    }

    /// The definition of a stored key: one that holds, or one of the checkpoint.
    fn definition_of(&mut self, name: &str, hash: &str, mark: &RollupMark) -> Option<usize> {
        let is_it = |ours: &Definition| ours.slo.name == name && ours.slo.definition_hash == hash;
        if let Some(known) = self.definitions.iter().position(is_it) {
            return Some(known);
        }
        let stored = mark.definitions.iter().find(|stored| stored.is(name, hash))?;
        self.definitions.push(Definition::former(stored.clone().into_slo()));
        Some(self.definitions.len() - 1)
    }

    /// Takes a stored key: as it is, or at its next boundary by another definition, or to end it there.
    fn adopt(&mut self, group: u16, evaluated_by: usize, stored: StoredKey) {
        let StoredKey { scope, mut state, listed_users, .. } = stored;
        let former = &self.definitions[evaluated_by].slo;
        // Before version 7 there was no rule but those of burn rates.
        state.rules.resize(former.rules_of(&scope).count(), RuleState::default());
        let goes_on = |definition: &Definition| definition.goes_on_from(former, &scope);
        let present = if evaluated_by < self.present {
            Some(evaluated_by)
        } else {
            self.definitions[..self.present].iter().position(goes_on)
        };
        let slo = present.unwrap_or(evaluated_by);
        let definition = &self.definitions[slo];
        let identity = KeyIdentity::of(&definition.slo, &definition.layout, scope);
        debug_assert_eq!(group, key_checkpoint_range(&identity.key_text), "a key is in the group it was saved in");
        // It catches up with its group when it is evaluated: at the next boundary that the group has not seen.
        let due_ms = self.groups_at_ms[usize::from(group)].unwrap_or(0) + PANE_MS;
        let former = (slo != evaluated_by).then_some(evaluated_by);
        let key = RollupKey { slo, former, group, identity, state, listed_users, at_ms: 0, due_ms };
        if present.is_none() {
            self.ending.push(key);
        } else {
            self.keys.insert(Arc::from(&*key.identity.key_text), KeySlot::new(key));
        }
    }

    /// Ends the reading again: users tasks whose last word was before that have closed what they had
    /// closed when `mark` was made. What comes next is news.
    pub fn end_replay(&mut self, mark: &RollupMark) {
        for (users_task, up_to_ms) in (0..).zip(&mark.up_to_ms) {
            self.received_up_to(users_task, *up_to_ms);
        }
        for (users_task, up_to_ms) in (0..).zip(&mark.named_up_to_ms) {
            self.admission.named_up_to(users_task, *up_to_ms);
        }
        for definition in &mut self.definitions {
            definition.groups_overflow |= mark.groups_overflow.contains(&definition.slo.name);
        }
        self.has_received_all = true;
    }
}

#[cfg(test)]
pub(super) fn add_shape(shape: &mut crate::state::versions::shape::Shape) {
    shape.add::<StoredKey>();
}
