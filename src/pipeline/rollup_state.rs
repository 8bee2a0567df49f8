//! What a rollup task writes to its store, and how it comes back.

use super::checkpoint::{CheckpointError, RollupMark, get, put, scan};
use super::rollup::{Key as RollupKey, RollupTask};
use crate::model::time::Ms;
use crate::operator::key_state::{KeyIdentity, KeyState};
use crate::state::keys::{FiltersId, Key, PeriodKind, Prefix, ScopeKind, subject};
use crate::state::{Batch, Store};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// A key of a rollup task.
#[derive(Serialize, Deserialize)]
struct StoredKey {
    definition_hash: String,
    windows_ms: Vec<Ms>,
    scope: crate::model::key::Scope,
    state: KeyState,
    listed_users: BTreeSet<String>,
}

impl RollupTask {
    /// Writes every key that changed since the last checkpoint.
    pub fn save(&mut self, next_partial: i64, batch: &mut Batch) -> Result<RollupMark, CheckpointError> {
        for text in std::mem::take(&mut self.dirty) {
            match self.keys.get(&text) {
                Some(key) => self.save_key(key, batch)?,
                None => {
                    if let Some((slo, scope)) = self.stored.remove(&text) {
                        batch.delete_row(&self.row_key(slo, &scope));
                    }
                }
            }
        }
        let stored = self.keys.iter().map(|(text, key)| (text.clone(), (key.slo, key.identity.scope.clone())));
        self.stored = stored.collect();
        Ok(RollupMark { next_partial, at_ms: self.at_ms, up_to_ms: self.up_to_ms.clone() })
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
        put(batch, &self.row_key(key.slo, &key.identity.scope), &row)
    }

    fn row_key<'a>(&'a self, slo: usize, scope: &'a crate::model::key::Scope) -> Key<'a> {
        let slo = &self.definitions[slo].slo;
        Key::Key {
            group: self.settings.partition as u16,
            slo: Cow::Borrowed(&slo.name),
            filters: FiltersId::of(&slo.filters_hash),
            scope: ScopeKind::of(scope),
            subject: subject(scope),
            period: PeriodKind::Rolling,
            part: 0,
            at_ms: 0,
        }
    }

    /// Brings back the keys of a checkpoint. A key whose windows are no longer those of its
    /// definition starts anew.
    pub fn load(&mut self, mark: &RollupMark, store: &dyn Store) -> Result<(), CheckpointError> {
        self.at_ms = mark.at_ms;
        self.up_to_ms.clone_from(&mark.up_to_ms);
        let group = self.settings.partition as u16;
        let by_name: BTreeMap<String, usize> =
            self.definitions.iter().enumerate().map(|(i, d)| (d.slo.name.clone(), i)).collect();
        let mut found = Vec::new();
        scan(store, Prefix::Keys { group }, &mut |key, value| {
            let Ok(Key::Key { slo, filters, .. }) = Key::decode(key) else {
                return Err(CheckpointError::Key);
            };
            if let Some(index) = by_name.get(slo.as_ref())
                && FiltersId::of(&self.definitions[*index].slo.filters_hash) == filters
            {
                found.push((*index, get::<StoredKey>(key, value)?));
            }
            Ok(())
        })?;
        for (slo, stored) in found {
            self.adopt(slo, stored);
        }
        Ok(())
    }

    fn adopt(&mut self, slo: usize, stored: StoredKey) {
        let definition = &self.definitions[slo];
        if stored.windows_ms != definition.layout.windows_ms {
            return;
        }
        let mut state = stored.state;
        if stored.definition_hash != definition.slo.definition_hash {
            state.redefine(&definition.slo);
        }
        state.catch_up(self.at_ms.unwrap_or(0));
        let identity = KeyIdentity::of(&definition.slo, &definition.layout, stored.scope);
        let text = identity.key_text.clone();
        self.stored.insert(text.clone(), (slo, identity.scope.clone()));
        self.keys.insert(text, RollupKey { slo, identity, state, listed_users: stored.listed_users });
    }
}
