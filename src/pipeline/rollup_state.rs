//! What a rollup task writes to its store, and how it comes back.
//!
//! The keys are saved group by group, over several commits, so after a restart they stand at different
//! boundaries. The partials are read again from the smallest of them on, and every boundary is for the
//! groups that have not seen it: keys know nothing of one another, so each comes to what it was.

use super::checkpoint::{CheckpointError, get, put, scan};
use super::key_slot::KeySlot;
use super::rollup::{KEY_GROUPS, Key as RollupKey, RollupTask, key_group};
use crate::model::key::Scope;
use crate::model::slo::Slo;
use crate::model::time::{Ms, PANE_MS};
use crate::operator::key_state::{KeyIdentity, KeyState};
use crate::state::keys::{FiltersId, Key, PeriodKind, Prefix, ScopeKind, subject};
use crate::state::{Batch, Store};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How far a rollup task is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollupMark {
    /// The last boundary that was evaluated.
    pub at_ms: Option<Ms>,
    /// By users task, the last boundary it said to be closed.
    pub up_to_ms: Vec<Option<Ms>>,
    /// SLOs that have more groups than are remembered.
    groups_overflow: Vec<String>,
}

/// A key of a rollup task.
#[derive(Serialize, Deserialize)]
struct StoredKey {
    definition_hash: String,
    windows_ms: Vec<Ms>,
    scope: Scope,
    state: KeyState,
    listed_users: Vec<Box<str>>,
}

impl RollupTask {
    pub fn mark(&self) -> RollupMark {
        let overflowing = self.definitions.iter().filter(|definition| definition.groups_overflow);
        let groups_overflow = overflowing.map(|definition| definition.slo.name.clone()).collect();
        RollupMark { at_ms: self.at_ms, up_to_ms: self.up_to_ms.clone(), groups_overflow }
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
        Ok(())
    }

    fn save_key(&self, key: &RollupKey, batch: &mut Batch) -> Result<(), CheckpointError> {
        let definition = &self.definitions[key.slo];
        let row = StoredKey {
            definition_hash: definition.slo.definition_hash.clone(),
            windows_ms: definition.layout.windows_ms.clone(),
            scope: key.identity.scope.clone(),
            state: key.state.clone(),
            listed_users: key.listed_users.clone(),
        };
        put(batch, &self.row_key(key.slo, key.group, &key.identity.scope), &row)
    }

    pub(super) fn row_key<'a>(&'a self, slo: usize, group: u16, scope: &'a Scope) -> Key<'a> {
        let slo = &self.definitions[slo].slo;
        Key::Key {
            group,
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
    /// are true of (`None`: it was never saved). Evaluation begins again behind the smallest of them,
    /// with the partials that are then read again.
    ///
    /// A row may be older than its group: where nothing but time went on, it was not written again.
    pub fn load(&mut self, groups_at_ms: &[Option<Ms>], store: &dyn Store) -> Result<(), CheckpointError> {
        let at = |group: u16| groups_at_ms.get(usize::from(group)).copied().flatten();
        self.groups_at_ms = (0..KEY_GROUPS).map(at).collect();
        self.at_ms = self.groups_at_ms.iter().copied().min().flatten();
        self.loaded_ms = self.at_ms;
        self.up_to_ms.fill(None);
        self.has_heard_all = false;
        let name = |slo: &Slo| (slo.name.clone(), FiltersId::of(&slo.filters_hash));
        let by_name: BTreeMap<(String, FiltersId), usize> =
            self.definitions.iter().enumerate().map(|(i, d)| (name(&d.slo), i)).collect();
        for group in 0..KEY_GROUPS {
            let mut found = Vec::new();
            scan(store, Prefix::Keys { group }, &mut |key, value| {
                let Ok(Key::Key { slo, filters, .. }) = Key::decode(key) else {
                    return Err(CheckpointError::Key);
                };
                match by_name.get(&(slo.into_owned(), filters)) {
                    Some(index) => found.push((key.to_vec(), *index, get::<StoredKey>(key, value)?)),
                    // Should its definition come back, it must not find what it was when it went.
                    None => {
                        self.gone[usize::from(group)].insert(key.to_vec());
                    }
                }
                Ok(())
            })?;
            found.into_iter().for_each(|(row, slo, stored)| self.adopt(group, row, slo, stored));
        }
        self.due = self.keys.iter().map(|(text, slot)| (slot.due_ms, Arc::clone(text))).collect();
        Ok(())
    }

    /// Takes a stored key. One whose windows are no longer those of its definition starts anew.
    fn adopt(&mut self, group: u16, row: Vec<u8>, slo: usize, stored: StoredKey) {
        let definition = &self.definitions[slo];
        let identity = KeyIdentity::of(&definition.slo, &definition.layout, stored.scope);
        let at_ms = self.groups_at_ms[usize::from(group)];
        let (Some(at_ms), true) = (at_ms, stored.windows_ms == definition.layout.windows_ms) else {
            self.gone[usize::from(group)].insert(row);
            return;
        };
        let mut state = stored.state;
        if stored.definition_hash != definition.slo.definition_hash {
            state.redefine(&definition.slo);
        }
        debug_assert_eq!(group, key_group(&identity.key_text), "a key is in the group it was saved in");
        let text = Arc::from(&*identity.key_text);
        // It catches up with its group when it is evaluated: at the next boundary that the group has not seen.
        let (listed_users, due_ms) = (stored.listed_users, at_ms + PANE_MS);
        let key = RollupKey { slo, group, identity, state, listed_users, at_ms: 0, due_ms };
        self.keys.insert(text, KeySlot::new(key));
    }

    /// Ends the reading again: users tasks whose last word was before that have closed what they had
    /// closed when `mark` was made. What comes next is news.
    pub fn end_replay(&mut self, mark: &RollupMark) {
        for (users_task, up_to_ms) in (0..).zip(&mark.up_to_ms) {
            self.hear(users_task, *up_to_ms);
        }
        for definition in &mut self.definitions {
            definition.groups_overflow |= mark.groups_overflow.contains(&definition.slo.name);
        }
        self.has_heard_all = true;
    }
}
