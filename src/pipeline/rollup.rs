//! The rollup task: merges what the users tasks closed, evaluates every key at every boundary, and
//! says what leaves. It is the only writer of its output partition.

use super::pseudonym::UserIds;
use super::step::WORST_USERS_WINDOW_MS;
use crate::codec::output::{EncodeError, Encoder};
use crate::model::key::{Scope, encode_into, key_text};
use crate::model::output::{SloStatus, TailCohort, UserStatus};
use crate::model::record::{RecordOut, Topic};
use crate::model::slo::Slo;
use crate::model::time::{HOUR_MS, Moment, Ms, PANE_MS, slice_ms};
use crate::operator::cohort_episode::CohortRecord;
use crate::operator::key_state::{KeyIdentity, KeyOutput, KeyState, Moments};
use crate::operator::partial::{BoundaryPartial, KeyDelta, KeyStep, Partial, SampleUser, WorstUser};
use crate::operator::significance::wilson_low;
use crate::operator::status::weight_of;
use crate::operator::window::{Layout, Starts};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What the configuration says about outputs.
#[derive(Clone)]
pub struct RollupSettings {
    /// The partition of every output topic that this task writes.
    pub partition: u32,
    /// How many users tasks send partials; T waits for all of them.
    pub users_tasks: u32,
    pub status_interval_ms: Ms,
    pub tenant_status_interval_ms: Ms,
    pub user_ids: UserIds,
    pub encoder: Arc<Encoder>,
}

/// An SLO and the windows its keys have.
pub(super) struct Definition {
    pub slo: Slo,
    pub layout: Layout,
    starts: Starts,
}

/// A key with everything that is known of it.
pub(super) struct Key {
    pub slo: usize,
    pub identity: KeyIdentity,
    pub state: KeyState,
    /// Users that `user-status` now lists.
    pub listed_users: BTreeSet<String>,
}

/// One rollup task.
pub struct RollupTask {
    pub(super) settings: RollupSettings,
    pub(super) definitions: Vec<Definition>,
    pub(super) keys: BTreeMap<String, Key>,
    /// By boundary, what users tasks said of it.
    waiting: BTreeMap<Ms, Vec<BoundaryPartial>>,
    pub(super) up_to_ms: Vec<Option<Ms>>,
    pub(super) at_ms: Option<Ms>,
    /// Keys that changed since the last checkpoint, and those that the store has.
    pub(super) dirty: BTreeSet<String>,
    pub(super) stored: BTreeMap<String, (usize, Scope)>,
}

impl RollupTask {
    pub fn new(slos: &[Slo], settings: RollupSettings) -> RollupTask {
        let define = |slo: &Slo| Definition { slo: slo.clone(), layout: Layout::of(slo), starts: Starts::default() };
        RollupTask {
            definitions: slos.iter().map(define).collect(),
            keys: BTreeMap::new(),
            waiting: BTreeMap::new(),
            up_to_ms: vec![None; settings.users_tasks as usize],
            at_ms: None,
            dirty: BTreeSet::new(),
            stored: BTreeMap::new(),
            settings,
        }
    }

    /// The last boundary that was evaluated.
    pub fn at_ms(&self) -> Option<Ms> {
        self.at_ms
    }

    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Whether a partial came in part only: what it said so far is in no checkpoint.
    pub fn has_part_of_a_partial(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes a partial of a users task.
    pub fn apply(&mut self, partial: Partial) {
        for boundary in partial.boundaries {
            self.waiting.entry(boundary.at_ms).or_default().push(boundary);
        }
        if let Some(up_to) = self.up_to_ms.get_mut(partial.users_task as usize) {
            *up_to = Some(up_to.map_or(partial.up_to_ms, |ms| ms.max(partial.up_to_ms)));
        }
    }

    /// Evaluates every boundary that all users tasks have closed.
    pub fn advance(&mut self, out: &mut Vec<RecordOut>) -> Result<(), EncodeError> {
        let Some(to_ms) = self.up_to_ms.iter().copied().min().flatten() else {
            return Ok(());
        };
        let first = match (self.at_ms, self.waiting.first_key_value()) {
            (Some(at), _) => at + PANE_MS,
            (None, Some((first, _))) => *first,
            (None, None) => return Ok(()),
        };
        let mut at_ms = first;
        while at_ms <= to_ms {
            if self.keys.is_empty() {
                // Without keys nothing expires and nothing is due.
                at_ms = self.waiting.first_key_value().map_or(to_ms, |(next, _)| (*next).min(to_ms));
            }
            self.boundary(at_ms, out)?;
            self.at_ms = Some(at_ms);
            at_ms += PANE_MS;
        }
        Ok(())
    }

    fn boundary(&mut self, at_ms: Ms, out: &mut Vec<RecordOut>) -> Result<(), EncodeError> {
        for definition in &mut self.definitions {
            definition.starts = definition.layout.starts_at(at_ms);
        }
        let said = self.waiting.remove(&at_ms).unwrap_or_default();
        let (deltas, steps) = self.sort_by_key(&said);
        let mut gone = Vec::new();
        for (text, key) in &mut self.keys {
            let none = (Vec::new(), Vec::new());
            let (deltas, steps) = (deltas.get(text).unwrap_or(&none.0), steps.get(text).unwrap_or(&none.1));
            let definition = &self.definitions[key.slo];
            let stepped = key.step(definition, at_ms, &self.settings, deltas, steps, out)?;
            if stepped != Stepped::AsBefore {
                self.dirty.insert(text.clone());
            }
            if stepped == Stepped::Gone {
                gone.push(text.clone());
            }
        }
        gone.iter().for_each(|text| {
            self.keys.remove(text);
        });
        Ok(())
    }

    /// Groups what was said by key; keys that are new begin to exist.
    #[expect(clippy::type_complexity, reason = "two maps from a key to what was said of it")]
    fn sort_by_key<'a>(
        &mut self,
        said: &'a [BoundaryPartial],
    ) -> (BTreeMap<String, Vec<&'a KeyDelta>>, BTreeMap<String, Vec<&'a KeyStep>>) {
        let mut deltas: BTreeMap<String, Vec<&KeyDelta>> = BTreeMap::new();
        let mut steps: BTreeMap<String, Vec<&KeyStep>> = BTreeMap::new();
        for delta in said.iter().flat_map(|b| &b.deltas) {
            let text = self.key(delta.slo as usize, &delta.scope);
            deltas.entry(text).or_default().push(delta);
        }
        for step in said.iter().flat_map(|b| &b.steps) {
            let text = key_text(&self.definitions[step.slo as usize].slo.name, &step.scope);
            steps.entry(text).or_default().push(step);
        }
        (deltas, steps)
    }

    fn key(&mut self, slo: usize, scope: &Scope) -> String {
        let definition = &self.definitions[slo];
        let text = key_text(&definition.slo.name, scope);
        if !self.keys.contains_key(&text) {
            let key = Key {
                slo,
                identity: KeyIdentity::of(&definition.slo, &definition.layout, scope.clone()),
                state: KeyState::new(&definition.slo, &definition.layout),
                listed_users: BTreeSet::new(),
            };
            self.keys.insert(text.clone(), key);
        }
        text
    }
}

/// What a boundary did to a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stepped {
    /// Nothing but time went on.
    AsBefore,
    Changed,
    Gone,
}

impl Key {
    /// One boundary of the key.
    fn step(
        &mut self,
        definition: &Definition,
        at_ms: Ms,
        settings: &RollupSettings,
        deltas: &[&KeyDelta],
        steps: &[&KeyStep],
        out: &mut Vec<RecordOut>,
    ) -> Result<Stepped, EncodeError> {
        let facts = self.identity.facts(&definition.slo, &definition.layout);
        let is_tenant = matches!(self.identity.scope, Scope::Tenant(_));
        let now = Moments {
            at_ms,
            starts: &definition.starts,
            status_interval_ms: if is_tenant {
                settings.tenant_status_interval_ms
            } else {
                settings.status_interval_ms
            },
            is_incomplete: false,
        };
        self.state.advance(&facts, &now);
        deltas.iter().for_each(|delta| self.state.apply(&facts, &now, delta));
        let mut output = KeyOutput::default();
        let rules_before = self.state.rules.clone();
        if self.state.exists() {
            self.state.apply_steps(&facts, &now, steps);
            self.state.evaluate(&facts, &now, steps, &mut output);
        }
        let writer = Writer { settings, at_ms, key: &self.identity.key_text };
        writer.write(&output, out)?;
        if let Scope::Tenant(tenant) = &self.identity.scope
            && at_ms % slice_ms(WORST_USERS_WINDOW_MS) == 0
            && definition.slo.user_windows_ms.contains(&WORST_USERS_WINDOW_MS)
        {
            let worst: Vec<&WorstUser> = steps.iter().flat_map(|s| &s.worst).collect();
            writer.write_users(&definition.slo.name, tenant, &worst, &mut self.listed_users, out)?;
        }
        if output.is_gone || (!self.state.exists() && self.state.unclassified_hour.sum == 0) {
            return Ok(Stepped::Gone);
        }
        let silent = deltas.is_empty() && steps.is_empty() && output.status.is_none() && output.alerts.is_empty();
        Ok(if silent && self.state.rules == rules_before { Stepped::AsBefore } else { Stepped::Changed })
    }
}

/// Writes what a key publishes at one boundary.
struct Writer<'a> {
    settings: &'a RollupSettings,
    at_ms: Ms,
    key: &'a str,
}

impl Writer<'_> {
    fn record(&self, topic: Topic, key: &str, value: Option<Vec<u8>>) -> RecordOut {
        RecordOut {
            topic,
            partition: self.settings.partition,
            key: Some(key.as_bytes().to_vec()),
            value,
            headers: Vec::new(),
            timestamp_ms: self.at_ms,
        }
    }

    fn write(&self, output: &KeyOutput, out: &mut Vec<RecordOut>) -> Result<(), EncodeError> {
        if let Some(status) = &output.status {
            self.write_status(status, out)?;
        }
        if output.is_gone {
            out.push(self.record(Topic::SloStatus, self.key, None));
        }
        for alert in &output.alerts {
            let value = self.settings.encoder.encode(alert)?;
            out.push(self.record(Topic::BurnAlerts, self.key, Some(value)));
        }
        output.cohorts.iter().try_for_each(|cohort| self.write_cohort(cohort, out))
    }

    fn write_cohort(&self, cohort: &CohortRecord, out: &mut Vec<RecordOut>) -> Result<(), EncodeError> {
        let publish = |user: &SampleUser| self.settings.user_ids.publish(&user.tenant, &user.user);
        let sample_users = cohort.sample.iter().map(publish).collect();
        let value = self.settings.encoder.encode(&TailCohort { sample_users, ..cohort.record.clone() })?;
        out.push(self.record(Topic::TailCohorts, self.key, Some(value)));
        Ok(())
    }

    fn write_status(&self, status: &SloStatus, out: &mut Vec<RecordOut>) -> Result<(), EncodeError> {
        let value = self.settings.encoder.encode(status)?;
        if self.at_ms % HOUR_MS == 0 {
            out.push(self.record(Topic::SloHistory, self.key, Some(value.clone())));
        }
        out.push(self.record(Topic::SloStatus, self.key, Some(value)));
        Ok(())
    }

    /// The worst-served users of the step, and tombstones for those who are no longer among them.
    fn write_users(
        &self,
        slo: &str,
        tenant: &str,
        worst: &[&WorstUser],
        listed: &mut BTreeSet<String>,
        out: &mut Vec<RecordOut>,
    ) -> Result<(), EncodeError> {
        let mut keys = BTreeMap::new();
        for (i, user) in worst.iter().enumerate() {
            let published = self.settings.user_ids.publish(tenant, &user.user);
            let mut key = String::new();
            for (i, part) in [slo, tenant, &published].into_iter().enumerate() {
                key.push_str(if i == 0 { "" } else { "|" });
                encode_into(&mut key, part);
            }
            keys.insert(key, self.user_status(slo, tenant, published, user, i as u64 + 1));
        }
        for gone in listed.iter().filter(|key| !keys.contains_key(*key)) {
            out.push(self.record(Topic::UserStatus, gone, None));
        }
        for (key, status) in &keys {
            let value = self.settings.encoder.encode(status)?;
            out.push(self.record(Topic::UserStatus, key, Some(value)));
        }
        *listed = keys.into_keys().collect();
        Ok(())
    }

    fn user_status(&self, slo: &str, tenant: &str, user: String, figures: &WorstUser, rank: u64) -> UserStatus {
        let (good, bad) = (weight_of(figures.good), weight_of(figures.bad));
        UserStatus {
            slo: slo.to_owned(),
            tenant: tenant.to_owned(),
            user,
            window: crate::model::duration::print(WORST_USERS_WINDOW_MS),
            at: Moment(self.at_ms),
            good,
            bad,
            sli: figures.good as f64 / (figures.good + figures.bad) as f64,
            sli_low: wilson_low(good, good + bad),
            rank,
            first_bad: figures.first_bad_ms.map(Moment),
            last_bad: figures.last_bad_ms.map(Moment),
            attributes: figures.attributes.iter().cloned().collect(),
        }
    }
}

/// All rollup tasks of a process, for the tests and the embedded log.
pub fn rollup_tasks(slos: &Arc<Vec<Slo>>, partitions: u32, settings: &RollupSettings) -> Vec<RollupTask> {
    (0..partitions).map(|partition| RollupTask::new(slos, RollupSettings { partition, ..settings.clone() })).collect()
}
