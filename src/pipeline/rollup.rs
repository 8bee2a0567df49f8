//! The rollup task merges the partials of the users tasks, evaluates the keys at every boundary, and encodes the output.
//! It is the only writer of its output partition.
//!
//! The cost of a boundary depends on what happens at it: keys with news, and keys that are due. It can be processed in
//! pieces, key by key, so that the output need not be in memory all at once.

use super::admission::{Admission, Forgotten};
use super::key_slot::KeySlot;
use super::rollup_key::{At, Definition, RollupKey, Said};
pub use super::rollup_key::{KEY_GROUPS, RollupSettings, key_checkpoint_range, slo_ids, virtual_group};
use super::rollup_writer::Writer;
use super::sequence::{self, SequenceError};
use super::step::WORST_USERS_WINDOW_MS;
use crate::codec::output::EncodeError;
use crate::model::key::{Scope, key_text};
use crate::model::record::RecordOut;
use crate::model::slo::Slo;
use crate::model::time::{Ms, PANE_MS, slice_ms};
use crate::operator::admission::Decision;
use crate::operator::episode::Resolved;
use crate::operator::key_definition::{Boundary, KeyIdentity, OpenCohort};
use crate::operator::key_state::{KeyOutput, KeyState};
use crate::operator::partial::{BoundaryPartial, Partial, worst_of};
use crate::operator::window::{Layout, Starts};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The partials of a boundary that not all users tasks have closed.
#[derive(Default)]
struct PendingBoundary {
    /// The first record of the partials stream that contributes to it.
    offset: i64,
    said: Vec<BoundaryPartial>,
}

/// A boundary whose keys have begun to take their steps.
struct Begun {
    now: At,
    said: BTreeMap<Arc<str>, Said>,
    /// Keys that still have to end at it, the next one last.
    ending: Vec<RollupKey>,
    /// Keys that still have to take their step, the next one last.
    left: Vec<Arc<str>>,
}

/// One rollup task.
pub struct RollupTask {
    pub(super) settings: RollupSettings,
    /// The present definitions, then former ones that keys were evaluated by so far.
    pub(super) definitions: Vec<Definition>,
    /// How many of them are present ones.
    pub(super) present: usize,
    /// Keys that end at the next boundary, because no present definition has them; by their text.
    pub(super) ending: Vec<RollupKey>,
    pub(super) keys: BTreeMap<Arc<str>, KeySlot>,
    /// When each key without news has to be evaluated next.
    pub(super) due: BTreeSet<(Ms, Arc<str>)>,
    /// The partials by boundary.
    waiting: BTreeMap<Ms, PendingBoundary>,
    pub(super) up_to_ms: Vec<Option<Ms>>,
    /// Which groups and tenants have keys.
    pub(super) admission: Admission,
    /// The stream is read from its beginning, so a users task without a partial has sent none.
    pub(super) has_received_all: bool,
    pub(super) at_ms: Option<Ms>,
    /// Up to this boundary the keys already contain what is read again.
    pub(super) loaded_ms: Option<Ms>,
    begun: Option<Begun>,
    /// The last T of a bounded input, once it is known.
    ends_ms: Option<Ms>,
    /// The boundary that each group's keys were brought back at: until then they stay as they are.
    pub(super) groups_at_ms: Vec<Option<Ms>>,
    /// By group: keys that changed since it was saved, and rows that are to go from the store.
    pub(super) dirty: Vec<BTreeSet<Arc<str>>>,
    pub(super) gone: Vec<BTreeSet<Vec<u8>>>,
    /// Evaluates every boundary of every key. Skipping must give the same result.
    #[cfg(test)]
    skips_nothing: bool,
}

impl RollupTask {
    pub const KEY_GROUPS: u16 = KEY_GROUPS;

    pub fn new(slos: &[Slo], settings: RollupSettings) -> RollupTask {
        let define = |(slo, id): (&Slo, u64)| Definition {
            slo: slo.clone(),
            id,
            layout: Layout::of(slo),
            starts: Starts::default(),
            groups_overflow: false,
        };
        let groups = usize::from(KEY_GROUPS);
        RollupTask {
            present: slos.len(),
            ending: Vec::new(),
            definitions: slos.iter().zip(slo_ids(slos)).map(define).collect(),
            keys: BTreeMap::new(),
            due: BTreeSet::new(),
            waiting: BTreeMap::new(),
            up_to_ms: vec![None; settings.users_tasks as usize],
            admission: Admission::new(settings.users_tasks),
            has_received_all: true,
            at_ms: None,
            loaded_ms: None,
            begun: None,
            ends_ms: None,
            groups_at_ms: vec![None; groups],
            dirty: vec![BTreeSet::new(); groups],
            gone: vec![BTreeSet::new(); groups],
            #[cfg(test)]
            skips_nothing: false,
            settings,
        }
    }

    /// The last boundary that was evaluated.
    pub fn at_ms(&self) -> Option<Ms> {
        self.at_ms
    }

    /// Whether it is at a boundary, where T has begun for it.
    pub fn is_at(&self, at_ms: Option<Ms>) -> bool {
        self.at_ms.is_none() || self.at_ms == at_ms
    }

    /// The input is bounded, and T ends there: every key gets a last status.
    pub fn end_at(&mut self, at_ms: Ms) {
        self.ends_ms = Some(at_ms);
    }

    /// The partition of every output topic that it writes.
    pub fn partition(&self) -> u32 {
        self.settings.partition
    }

    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// From where the partials must be read again to restore what waits; `next` is the next offset.
    pub fn read_again(&self, next: i64) -> i64 {
        let waiting = self.waiting.values().map(|w| w.offset).chain(self.admission.first_offset());
        waiting.min().map_or(next, |first| first.min(next))
    }

    /// Takes a partial of a users task, read at an offset of the partials stream.
    ///
    /// An error: it is not the successor of the last partial of its users task, so its figures cannot be right.
    pub fn apply(&mut self, offset: i64, partial: Partial) -> Result<(), SequenceError> {
        let own = self.own_slos(&partial.slos);
        let received = self.up_to_ms.get(partial.users_task as usize).copied().flatten();
        sequence::follows(partial.users_task, partial.from_ms, received, self.has_received_all)?;
        for mut boundary in partial.boundaries {
            if received.is_some_and(|received_ms| boundary.at_ms <= received_ms) {
                return Err(SequenceError::Duplicate);
            }
            // Read again after a restart: the keys already contain it.
            if Some(boundary.at_ms) <= self.at_ms {
                if Some(boundary.at_ms) > self.loaded_ms {
                    return Err(SequenceError::Duplicate);
                }
                continue;
            }
            let renamed = |slo: &mut u32| own.get(*slo as usize).copied().flatten().map(|of| *slo = of).is_some();
            let has = |slo: u32, scope: &Scope| self.definitions[slo as usize].has_scope(scope);
            boundary.deltas.retain_mut(|delta| renamed(&mut delta.slo) && has(delta.slo, &delta.scope));
            boundary.steps.retain_mut(|step| renamed(&mut step.slo) && has(step.slo, &step.scope));
            boundary.groups_overflow.retain_mut(renamed);
            let new = || PendingBoundary { offset, said: Vec::new() };
            self.waiting.entry(boundary.at_ms).or_insert_with(new).said.push(boundary);
        }
        self.admission.name(offset, partial.candidates);
        self.admission.named_up_to(partial.users_task, partial.candidates_up_to_ms);
        if partial.up_to_ms > Ms::MIN {
            self.received_up_to(partial.users_task, Some(partial.up_to_ms));
        }
        Ok(())
    }

    /// By the sender's index of a definition ours, where we have it.
    fn own_slos(&self, slos: &[u64]) -> Vec<Option<u32>> {
        let ours = 0..self.present as u32;
        if slos.is_empty() {
            return ours.map(Some).collect();
        }
        let by_id: BTreeMap<u64, u32> = self.definitions.iter().map(|d| d.id).zip(ours).collect();
        slos.iter().map(|id| by_id.get(id).copied()).collect()
    }

    pub(super) fn received_up_to(&mut self, users_task: u32, up_to_ms: Option<Ms>) {
        if let Some(known) = self.up_to_ms.get_mut(users_task as usize) {
            *known = up_to_ms.max(*known);
        }
    }

    /// Decides which groups and tenants get keys, up to the boundary to which all users tasks have named their candidates.
    /// A users task that has closed a boundary has no more candidates up to there.
    fn admit(&mut self) {
        let known = self.up_to_ms.iter().zip(&self.admission.named_up_to_ms).map(|(closed, named)| closed.max(named));
        let to_ms = known.min().copied().flatten();
        self.admission.decide(to_ms);
    }

    /// The decisions since the last call.
    pub fn take_decisions(&mut self) -> Vec<Decision> {
        self.admission.take_decisions()
    }

    /// Sets that belong to no definition any more, where a checkpoint had them.
    pub fn take_forgotten(&mut self) -> Vec<Forgotten> {
        self.admission.take_forgotten()
    }

    /// There are decisions that the users tasks do not know yet.
    pub fn has_decided(&self) -> bool {
        self.admission.has_news()
    }

    /// Evaluates every boundary that all users tasks have closed, and at which something happens.
    pub fn advance(&mut self, out: &mut Vec<RecordOut>) -> Result<(), EncodeError> {
        self.advance_until(Ms::MAX, out)
    }

    /// The next boundary at which something happens, where all users tasks have closed it.
    pub fn next_ms(&self) -> Option<Ms> {
        let to_ms = self.up_to_ms.iter().copied().min().flatten()?;
        self.next_boundary().filter(|next_ms| *next_ms <= to_ms)
    }

    /// As [`RollupTask::advance`], and no further than `last_ms`.
    pub fn advance_until(&mut self, last_ms: Ms, out: &mut Vec<RecordOut>) -> Result<(), EncodeError> {
        self.admit();
        let Some(to_ms) = self.up_to_ms.iter().copied().min().flatten().map(|to_ms| to_ms.min(last_ms)) else {
            return Ok(());
        };
        while let Some(at_ms) = self.next_boundary().filter(|next| *next <= to_ms) {
            self.begin_boundary(at_ms);
            while self.step_next(out)? {}
        }
        // Without keys T has not begun.
        self.at_ms = self.at_ms.map(|at_ms| at_ms.max(to_ms));
        Ok(())
    }

    /// The key that takes the next step at the boundary of [`RollupTask::next_ms`]; `None`: all have.
    pub fn next_key(&mut self) -> Option<&Arc<str>> {
        self.begin_boundary(self.next_ms()?);
        self.begun.as_ref()?.left.last()
    }

    fn next_boundary(&self) -> Option<Ms> {
        if let Some(begun) = &self.begun {
            return Some(begun.now.at_ms);
        }
        let said_ms = self.waiting.first_key_value().map(|(at_ms, _)| *at_ms);
        #[cfg(test)]
        if let (true, false, Some(at_ms)) = (self.skips_nothing, self.keys.is_empty(), self.at_ms) {
            return Some(at_ms + PANE_MS);
        }
        let due_ms = self.due.first().map(|(due_ms, _)| *due_ms);
        let ending_ms = self.ending.iter().map(|key| key.due_ms).min();
        let last_ms = self.ends_ms.filter(|ends_ms| Some(*ends_ms) > self.at_ms && !self.keys.is_empty());
        said_ms.into_iter().chain(due_ms).chain(ending_ms).chain(last_ms).min()
    }

    fn begin_boundary(&mut self, at_ms: Ms) {
        if self.begun.is_some() {
            return;
        }
        for definition in &mut self.definitions {
            definition.starts = definition.layout.starts_after(&definition.starts, at_ms);
        }
        let received = self.waiting.remove(&at_ms).unwrap_or_default().said;
        let is_incomplete = received.iter().any(|boundary| boundary.is_incomplete);
        for slo in received.iter().flat_map(|boundary| &boundary.groups_overflow) {
            self.definitions[*slo as usize].groups_overflow = true;
        }
        let now = At { at_ms, is_incomplete, is_last: self.ends_ms == Some(at_ms) };
        let said = self.sort_by_key(at_ms, received);
        let left = self.keys_with_a_step(now, &said);
        let ending = self.ends_at(at_ms);
        self.begun = Some(Begun { now, said, ending, left });
    }

    /// The keys to which something happens at a boundary, in descending order.
    fn keys_with_a_step(&self, now: At, said: &BTreeMap<Arc<str>, Said>) -> Vec<Arc<str>> {
        #[cfg(test)]
        let now = At { is_last: now.is_last || self.skips_nothing, ..now };
        if now.is_last {
            return self.keys.keys().rev().cloned().collect();
        }
        let told = said.keys().filter(|text| self.keys.contains_key(&***text));
        let due = self.due.iter().take_while(|(due_ms, _)| *due_ms <= now.at_ms).map(|(_, text)| text);
        let mut keys: Vec<Arc<str>> = told.chain(due).cloned().collect();
        keys.sort_unstable_by(|a, b| b.cmp(a));
        keys.dedup();
        keys
    }

    /// Lets the next key of the boundary that has begun take its step. `false`: all have, and it ends.
    pub fn step_next(&mut self, out: &mut Vec<RecordOut>) -> Result<bool, EncodeError> {
        let Some(begun) = &mut self.begun else { return Ok(false) };
        let now = begun.now;
        let is_first = |key: &mut RollupKey| begun.left.last().is_none_or(|next| *key.identity.key_text <= **next);
        if let Some(key) = begun.ending.pop_if(is_first) {
            end(key, &self.definitions, self.present, now, &self.settings, out)?;
            return Ok(true);
        }
        let Some(text) = begun.left.pop() else {
            self.begun = None;
            self.at_ms = Some(now.at_ms);
            return Ok(false);
        };
        let mut said = begun.said.remove(&text).unwrap_or_default();
        said.of_aggregate = self.cohorts_above(&text, &said);
        let Some(slot) = self.keys.get_mut(&text) else { return Ok(true) };
        self.due.remove(&(slot.due_ms, Arc::clone(&text)));
        let key = slot.live(&self.definitions);
        let former = key.former.take().map(|former| &self.definitions[former]);
        let stepped = key.step(&self.definitions[key.slo], former, now, &self.settings, &said, out)?;
        let group = usize::from(key.group);
        slot.due_ms = key.due_ms;
        match stepped {
            Stepped::AsBefore => {}
            Stepped::Changed => {
                self.dirty[group].insert(Arc::clone(&text));
            }
            Stepped::Gone => {
                self.forget(&text);
                return Ok(true);
            }
        }
        slot.rest(now.at_ms);
        self.due.insert((slot.due_ms, text));
        Ok(true)
    }

    /// For a group that may have a cohort: those that its SLO's aggregate has open. It is in the same task, was
    /// checkpointed together with its groups, and takes its step before them.
    fn cohorts_above(&self, text: &str, said: &Said) -> Vec<OpenCohort> {
        let Some((slo, _)) = text.split_once("|group|") else { return Vec::new() };
        let may_tell = |slot: &KeySlot| !slot.key_without_events(&self.definitions).state.cohorts.is_empty();
        if said.steps.is_empty() && !self.keys.get(text).is_some_and(may_tell) {
            return Vec::new();
        }
        let aggregate = self.keys.get(&*format!("{slo}|aggregate"));
        aggregate.map_or_else(Vec::new, |slot| slot.key_without_events(&self.definitions).state.cohorts.open_cohorts())
    }

    /// The keys that end at this boundary, in descending order; their rows go with them.
    fn ends_at(&mut self, at_ms: Ms) -> Vec<RollupKey> {
        let (mut now, later): (Vec<RollupKey>, Vec<RollupKey>) =
            std::mem::take(&mut self.ending).into_iter().partition(|key| key.due_ms <= at_ms);
        self.ending = later;
        for key in &now {
            let row = self.row_key(key.slo, &key.identity).to_bytes();
            self.gone[usize::from(key.group)].insert(row);
        }
        now.sort_by(|a, b| b.identity.key_text.cmp(&a.identity.key_text));
        now
    }

    fn forget(&mut self, text: &str) {
        if let Some(slot) = self.keys.remove(text) {
            let key = slot.into_key(&self.definitions);
            let row = self.row_key(key.slo, &key.identity).to_bytes();
            self.gone[usize::from(key.group)].insert(row);
            self.dirty[usize::from(key.group)].remove(text);
        }
    }

    /// Groups what was said by key; keys that are new begin to exist. What the keys of a group that was
    /// saved later than this boundary know already is left out.
    fn sort_by_key(&mut self, at_ms: Ms, received: Vec<BoundaryPartial>) -> BTreeMap<Arc<str>, Said> {
        let mut by_key: BTreeMap<Arc<str>, Said> = BTreeMap::new();
        for BoundaryPartial { deltas, steps, .. } in received {
            for mut delta in deltas {
                self.admission.put_in_its_place(&self.definitions[delta.slo as usize].slo, &mut delta, at_ms);
                let text = key_text(&self.definitions[delta.slo as usize].slo.name, &delta.scope);
                let group = key_checkpoint_range(&text);
                if !self.knows(group, at_ms) {
                    let text = self.begin(text, group, delta.slo as usize, &delta.scope);
                    by_key.entry(text).or_default().deltas.push(delta);
                }
            }
            for step in steps {
                let text = key_text(&self.definitions[step.slo as usize].slo.name, &step.scope);
                if !self.knows(key_checkpoint_range(&text), at_ms) {
                    by_key.entry(self.shared(text)).or_default().steps.push(step);
                }
            }
        }
        by_key
    }

    /// The text of a key, where it exists the one that it is kept under.
    fn shared(&self, text: String) -> Arc<str> {
        self.keys.get_key_value(&*text).map_or_else(|| text.into(), |(text, _)| Arc::clone(text))
    }

    fn knows(&self, group: u16, at_ms: Ms) -> bool {
        Some(at_ms) <= self.groups_at_ms[usize::from(group)]
    }

    fn begin(&mut self, text: String, group: u16, slo: usize, scope: &Scope) -> Arc<str> {
        let text = self.shared(text);
        if self.keys.contains_key(&text) {
            return text;
        }
        let definition = &self.definitions[slo];
        let key = RollupKey {
            slo,
            former: None,
            group,
            identity: KeyIdentity::of(&definition.slo, &definition.layout, scope.clone()),
            state: KeyState::new(&definition.slo, &definition.layout, scope),
            listed_users: Vec::new(),
            at_ms: 0,
            due_ms: 0,
        };
        self.keys.insert(Arc::clone(&text), KeySlot::new(key));
        text
    }
}

/// Ends a key that no present definition has.
fn end(
    key: RollupKey,
    definitions: &[Definition],
    present: usize,
    now: At,
    settings: &RollupSettings,
    out: &mut Vec<RecordOut>,
) -> Result<(), EncodeError> {
    let definition = &definitions[key.slo];
    let has_name = |present: &Definition| present.slo.name == definition.slo.name;
    let is_there = definitions[..present].iter().any(has_name);
    let why = if is_there { Resolved::DefinitionChanged } else { Resolved::Removed };
    key.end(definition, why, now, settings, out)
}

/// What a boundary did to a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stepped {
    /// Nothing but time went on.
    AsBefore,
    Changed,
    Gone,
}

impl RollupKey {
    /// One boundary of the key. `former`: the definition that held before it, where that is another.
    fn step(
        &mut self,
        definition: &Definition,
        former: Option<&Definition>,
        at: At,
        settings: &RollupSettings,
        said: &Said,
        out: &mut Vec<RecordOut>,
    ) -> Result<Stepped, EncodeError> {
        let at_ms = at.at_ms;
        let (deltas, steps): (Vec<_>, Vec<_>) = (said.deltas.iter().collect(), said.steps.iter().collect());
        let (quiet_fingerprint, left) = (self.state.quiet_fingerprint(), out.len());
        if self.at_ms < at_ms - PANE_MS {
            self.state.catch_up(at_ms - PANE_MS);
        }
        self.at_ms = at_ms;
        let mut output = KeyOutput::default();
        if let Some(former) = former {
            self.go_over(former, definition, at, settings, said, &mut output);
        }
        let key_definition = self.identity.definition(&definition.slo, &definition.layout);
        let now = at.moments(&self.identity.scope, definition, settings);
        let now = Boundary { of_aggregate: &said.of_aggregate, ..now };
        if former.is_none() {
            self.state.advance(&key_definition, &now);
            self.state.apply(&key_definition, &now, &deltas);
        }
        if self.state.exists() {
            self.state.apply_steps(&key_definition, &now, &steps);
            self.state.evaluate(&key_definition, &now, &steps, &mut output);
        }
        let writer = Writer { settings, at_ms, key: &self.identity.key_text };
        writer.write(&output, out)?;
        if let Scope::Tenant(tenant) = &self.identity.scope
            && at_ms % slice_ms(WORST_USERS_WINDOW_MS) == 0
            && definition.slo.user_windows_ms.contains(&WORST_USERS_WINDOW_MS)
        {
            let worst = worst_of(&steps);
            writer.write_users(&definition.slo.name, tenant, &worst, &mut self.listed_users, out)?;
        } else if former.is_some() && !definition.slo.user_windows_ms.contains(&WORST_USERS_WINDOW_MS) {
            writer.forget_users(&mut self.listed_users, out);
        }
        if output.is_gone || (!self.state.exists() && self.state.unclassified_hour.sum == 0) {
            return Ok(Stepped::Gone);
        }
        // New figures of its users change nothing that is evaluated before their next step.
        let is_silent = former.is_none() && deltas.is_empty() && out.len() == left;
        let is_calm = is_silent && self.state.quiet_fingerprint() == quiet_fingerprint;
        self.due_ms = if is_calm { self.state.quiet_until_ms(&key_definition, &now) } else { at_ms + PANE_MS };
        Ok(if is_calm && steps.is_empty() { Stepped::AsBefore } else { Stepped::Changed })
    }
}

/// All rollup tasks of a process, for the tests and the embedded log.
pub fn rollup_tasks(slos: &Arc<Vec<Slo>>, partitions: u32, settings: &RollupSettings) -> Vec<RollupTask> {
    (0..partitions).map(|partition| RollupTask::new(slos, RollupSettings { partition, ..settings.clone() })).collect()
}

#[cfg(test)]
mod tests;
