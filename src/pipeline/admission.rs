//! The rollup task of an SLO's aggregate key decides, for all users tasks, which groups and tenants of the SLO have
//! keys (see [`super::admit`] for what the users tasks do meanwhile).
//!
//! The decision about a boundary is a function of what all users tasks named up to it, so it is the same when it is
//! made again after a crash. The sets are stored beside the keys, in the key group of the aggregate key, and are valid
//! at the boundary and the offset at which this group is valid.

use super::rollup_key::{Definition, key_checkpoint_range, virtual_group};
use super::stored::{CheckpointError, filters_of, get, groups_of, put};
use crate::model::key::{Scope, key_text};
use crate::model::slo::Slo;
use crate::model::time::{Ms, PANE_MS, floor_to};
use crate::operator::admission::{Admits, AdmittedSet, Candidates, Decision, SetId, Subject, group_text};
use crate::operator::partial::KeyDelta;
use crate::state::Batch;
use crate::state::keys::{FiltersId, Key, PeriodKind, ScopeKind};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Tells the rows of sets from those of keys. A set has one row that says what it is about (at time 0), and rows with
/// the names admitted at each boundary, in parts: the first at the boundary's time, the others at the milliseconds
/// after it.
pub(super) const SET_PART: u8 = 1;
/// At most so many names are in a row, and in a record that asks about them or publishes them: it always fits.
pub const NAMES_MAX: usize = 1_000;

/// The row that says what a set is about.
#[derive(Serialize, Deserialize)]
struct StoredSet {
    subject: Subject,
    up_to_ms: Option<Ms>,
}

/// What was named at a boundary that is not decided yet.
struct Named {
    /// The first record of the partials stream that named something.
    offset: i64,
    sets: BTreeMap<SetId, (Subject, BTreeSet<Vec<u8>>)>,
}

/// A set that belongs to no definition any more, and the boundaries at which it admitted somebody, each with the
/// number of its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgotten {
    pub set: SetId,
    pub boundaries: Vec<(Ms, usize)>,
}

/// The sets of a rollup task.
#[derive(Default)]
pub(super) struct Admission {
    sets: BTreeMap<SetId, AdmittedSet>,
    named: BTreeMap<Ms, Named>,
    /// By users task: how far its candidates are known, where that is further than it has closed.
    pub named_up_to_ms: Vec<Option<Ms>>,
    decisions: Vec<Decision>,
    forgotten: Vec<Forgotten>,
    /// Of each set, the boundaries whose rows are to be written.
    dirty: BTreeMap<SetId, BTreeSet<Ms>>,
}

impl Admission {
    pub fn new(users_tasks: u32) -> Admission {
        Admission { named_up_to_ms: vec![None; users_tasks as usize], ..Admission::default() }
    }

    /// Takes the candidates of a users task. Those of boundaries that are decided are read again: they were counted.
    pub fn name(&mut self, offset: i64, candidates: Vec<Candidates>) {
        for Candidates { set, subject, at_ms, names } in candidates {
            if self.sets.get(&set).is_some_and(|known| known.up_to_ms() >= Some(at_ms)) {
                continue;
            }
            let named = self.named.entry(at_ms).or_insert_with(|| Named { offset, sets: BTreeMap::new() });
            let (_, all) = named.sets.entry(set).or_insert_with(|| (subject, BTreeSet::new()));
            all.extend(names);
        }
    }

    pub fn named_up_to(&mut self, users_task: u32, up_to_ms: Option<Ms>) {
        if let Some(known) = self.named_up_to_ms.get_mut(users_task as usize) {
            *known = up_to_ms.max(*known);
        }
    }

    /// Decides about all boundaries up to `to_ms`: all users tasks have named their candidates for them.
    pub fn decide(&mut self, to_ms: Option<Ms>) {
        while let Some(first) = self.named.first_entry().filter(|first| Some(*first.key()) <= to_ms) {
            let (at_ms, named) = first.remove_entry();
            for (id, (subject, candidates)) in named.sets {
                let slo = subject.slo.clone();
                let set = self.sets.entry(id).or_insert_with(|| AdmittedSet::new(subject.clone()));
                set.set_max(subject.max);
                let after_ms = set.last_ms();
                let names = set.decide(id.admits, at_ms, candidates);
                self.dirty.entry(id).or_default().extend((!names.is_empty()).then_some(at_ms));
                self.decisions.push(Decision { set: id, slo, at_ms, after_ms, names });
            }
        }
    }

    /// The first record that has to be read again.
    pub fn first_offset(&self) -> Option<i64> {
        self.named.values().map(|named| named.offset).min()
    }

    /// Moves a delta of a group without a key to `__other__`, if there is no room for the group. Such deltas are of
    /// unclassified events only: about groups with other events the users tasks asked before they closed the boundary.
    pub fn put_in_its_place(&self, slo: &Slo, delta: &mut KeyDelta, at_ms: Ms) {
        let Scope::Group(pairs) = &delta.scope else { return };
        if !delta.panes.is_empty() {
            return;
        }
        let id = SetId { admits: Admits::Groups, of: groups_of(slo) };
        let Some(set) = self.sets.get(&id) else { return };
        let mut name = Vec::new();
        group_text(pairs.iter().map(|(_, value)| value.as_str()), &mut name);
        if set.refuses(&name, at_ms) {
            delta.scope = Scope::OtherGroups;
        }
    }

    /// Writes what changed of the sets of a key group, as rows.
    pub fn save_group(&mut self, group: u16, batch: &mut Batch) -> Result<(), CheckpointError> {
        let (sets, dirty) = (&self.sets, std::mem::take(&mut self.dirty));
        let is_here = |id: &SetId| sets.get(id).is_some_and(|set| group_of(&set.subject) == group);
        let (now, later): (BTreeMap<_, _>, BTreeMap<_, _>) = dirty.into_iter().partition(|(id, _)| is_here(id));
        self.dirty = later;
        for (id, boundaries) in now {
            let Some(set) = self.sets.get(&id) else { continue };
            let stored = StoredSet { subject: set.subject.clone(), up_to_ms: set.up_to_ms() };
            put(batch, &row_key(id, &set.subject.slo, 0), &stored)?;
            for at_ms in boundaries {
                let names: Vec<&Vec<u8>> = set.admitted_at(at_ms).collect();
                for (part, names) in (0..).zip(names.chunks(NAMES_MAX)) {
                    put(batch, &row_key(id, &set.subject.slo, at_ms + part), &names)?;
                }
            }
        }
        Ok(())
    }

    /// Takes a row back. Rows come in the order of their keys: the one that says what a set is about first.
    pub fn load_row(&mut self, row: &Key<'_>, key: &[u8], value: &[u8]) -> Result<(), CheckpointError> {
        let Key::Key { filters, scope, at_ms, .. } = row else { return Ok(()) };
        let admits = if *scope == ScopeKind::Group { Admits::Groups } else { Admits::Tenants };
        let id = SetId { admits, of: filters.0 };
        if *at_ms == 0 {
            let StoredSet { subject, up_to_ms } = get(key, value)?;
            let set = self.sets.entry(id).or_insert_with(|| AdmittedSet::new(subject));
            set.decided_up_to(up_to_ms);
        } else if let Some(set) = self.sets.get_mut(&id) {
            set.restore(floor_to(*at_ms, PANE_MS), get(key, value)?);
        }
        Ok(())
    }

    /// Forgets the sets that belong to no definition, and deletes their rows.
    pub fn keep_only(&mut self, definitions: &[Definition], gone: &mut [BTreeSet<Vec<u8>>]) {
        let of = |definition: &Definition| {
            let slo = &definition.slo;
            [(Admits::Groups, groups_of(slo)), (Admits::Tenants, filters_of(slo).0)]
        };
        let ours: BTreeSet<SetId> = definitions.iter().flat_map(of).map(|(admits, of)| SetId { admits, of }).collect();
        let strange: Vec<SetId> = self.sets.keys().filter(|id| !ours.contains(id)).copied().collect();
        for id in strange {
            let Some(set) = self.sets.remove(&id) else { continue };
            let group = group_of(&set.subject);
            let boundaries: Vec<(Ms, usize)> = set
                .boundaries()
                .into_iter()
                .map(|at_ms| (at_ms, set.admitted_at(at_ms).count().div_ceil(NAMES_MAX)))
                .collect();
            let parts = boundaries.iter().flat_map(|(at_ms, parts)| (0..*parts as Ms).map(move |part| at_ms + part));
            let rows = parts.chain([0]).map(|at_ms| row_key(id, &set.subject.slo, at_ms).to_bytes());
            gone[usize::from(group)].extend(rows);
            self.forgotten.push(Forgotten { set: id, boundaries });
        }
    }

    pub fn take_decisions(&mut self) -> Vec<Decision> {
        std::mem::take(&mut self.decisions)
    }

    pub fn take_forgotten(&mut self) -> Vec<Forgotten> {
        std::mem::take(&mut self.forgotten)
    }

    #[cfg(test)]
    pub fn set_count(&self) -> usize {
        self.sets.len()
    }

    pub fn has_news(&self) -> bool {
        !self.decisions.is_empty() || !self.forgotten.is_empty()
    }
}

/// The key group of the aggregate key.
fn group_of(subject: &Subject) -> u16 {
    key_checkpoint_range(&key_text(&subject.slo, &Scope::Aggregate))
}

fn row_key<'a>(set: SetId, slo: &'a str, at_ms: Ms) -> Key<'a> {
    Key::Key {
        group: virtual_group(&key_text(slo, &Scope::Aggregate)),
        slo: Cow::Borrowed(slo),
        filters: FiltersId(set.of),
        scope: if set.admits == Admits::Groups { ScopeKind::Group } else { ScopeKind::Tenant },
        subject: Cow::Borrowed(""),
        period: PeriodKind::Rolling,
        part: SET_PART,
        at_ms,
    }
}

#[cfg(test)]
pub(super) fn add_shape(shape: &mut crate::state::versions::shape::Shape) {
    shape.add::<StoredSet>();
}
