//! Replays recorded events for one objective, with the evaluation of `run`.

use crate::codec::output::{Encoder, OutputFormat};
use crate::command::Failure;
use crate::model::outcome::Outcome;
use crate::model::record::{RecordOut, Topic};
use crate::model::slo::Slo;
use crate::model::time::{DAY_MS, Ms, PANE_MS, floor_to};
use crate::operator::detection::aggregate_delta;
use crate::operator::partial::{BadUser, BoundaryPartial, Counts, KeyDelta, PaneDelta, Partial, keep_most_bad};
use crate::pipeline::pseudonym::UserIds;
use crate::pipeline::rollup::{RollupSettings, RollupTask};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The user of an event without one.
const NOBODY: u32 = u32::MAX;

/// One good or bad event.
#[derive(Clone, Copy)]
struct Event {
    pane_ms: Ms,
    weight_micros: u64,
    user: u32,
    is_bad: bool,
}

/// The good and bad events of each SLO, and who sent them.
pub struct Recording {
    users: BTreeMap<Box<str>, u32>,
    scratch: String,
    slos: Vec<Vec<Event>>,
}

/// What an objective would have meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    pub pages: u64,
    pub tickets: u64,
    /// Users with enough events, and those of them below the objective.
    pub users: u64,
    pub users_below: u64,
}

impl Recording {
    pub fn new(slos: usize) -> Recording {
        Recording { users: BTreeMap::new(), scratch: String::new(), slos: vec![Vec::new(); slos] }
    }

    /// The number of an outcome's user.
    pub fn user(&mut self, outcome: &Outcome<'_>) -> u32 {
        let Some(user) = &outcome.user else { return NOBODY };
        self.scratch.clear();
        self.scratch.push_str(&outcome.tenant);
        self.scratch.push('\0');
        self.scratch.push_str(user);
        if let Some(known) = self.users.get(self.scratch.as_str()) {
            return *known;
        }
        let number = self.users.len() as u32;
        self.users.insert(self.scratch.as_str().into(), number);
        number
    }

    pub fn add(&mut self, slo: usize, outcome: &Outcome<'_>, user: u32, is_bad: bool) {
        let pane_ms = floor_to(outcome.timestamp_ms, PANE_MS);
        self.slos[slo].push(Event { pane_ms, weight_micros: outcome.weight_micros, user, is_bad });
    }

    /// Brings an SLO's events into the order of their times.
    pub fn sort(&mut self, slo: usize) {
        self.slos[slo].sort_by_key(|event| event.pane_ms);
    }

    /// Evaluates an SLO with another objective.
    pub fn replay(&self, index: usize, slo: &Slo) -> Result<Replayed, Failure> {
        let events = &self.slos[index];
        let mut replayed = self.users_of(events, slo);
        let mut task = Task::of(slo)?;
        let mut delta = Deltas::new(slo, self.users.len());
        for pane in events.chunk_by(|a, b| a.pane_ms == b.pane_ms) {
            task.take(delta.of(pane), &mut replayed)?;
        }
        task.evaluate(&mut replayed)?;
        Ok(replayed)
    }

    fn users_of(&self, events: &[Event], slo: &Slo) -> Replayed {
        let mut users: Vec<(u64, u128, u128)> = vec![(0, 0, 0); self.users.len()];
        for event in events {
            if let Some(user) = users.get_mut(event.user as usize) {
                user.0 += 1;
                *(if event.is_bad { &mut user.2 } else { &mut user.1 }) += u128::from(event.weight_micros);
            }
        }
        let enough = users.iter().filter(|(events, _, _)| *events >= slo.min_user_events);
        let is_below = |(_, good, bad): &&(u64, u128, u128)| slo.objective.compare_share(*good, good + bad).is_lt();
        Replayed {
            users: enough.clone().count() as u64,
            users_below: enough.filter(is_below).count() as u64,
            ..Replayed::default()
        }
    }
}

/// Makes what a users task would send.
struct Deltas {
    slice_ms: Ms,
    /// By user: the slices of the last event and of the last bad one.
    seen_ms: Vec<Option<Ms>>,
    bad_seen_ms: Vec<Option<Ms>>,
}

impl Deltas {
    fn new(slo: &Slo, users: usize) -> Deltas {
        Deltas { slice_ms: slo.seen_slice_ms(), seen_ms: vec![None; users], bad_seen_ms: vec![None; users] }
    }

    /// The events of one pane.
    fn of(&mut self, pane: &[Event]) -> BoundaryPartial {
        let start_ms = pane.first().map_or(0, |event| event.pane_ms);
        let slice_ms = floor_to(start_ms, self.slice_ms);
        let mut counts = Counts::default();
        let (mut seen, mut bad_seen): (BTreeMap<Ms, i64>, BTreeMap<Ms, i64>) = Default::default();
        let mut bad: BTreeMap<u32, u64> = BTreeMap::new();
        for event in pane {
            add(&mut counts, event);
            move_to(&mut self.seen_ms, event.user, slice_ms, &mut seen);
            if event.is_bad && event.user != NOBODY {
                move_to(&mut self.bad_seen_ms, event.user, slice_ms, &mut bad_seen);
                *bad.entry(event.user).or_default() += 1;
            }
        }
        let user = |(user, bad_events): (u32, u64)| BadUser { bad_events, hash: user.into(), ..BadUser::default() };
        let mut most = Vec::new();
        keep_most_bad(&mut most, &bad.into_iter().map(user).collect::<Vec<_>>());
        let delta = KeyDelta {
            seen: seen.into_iter().collect(),
            bad_seen: bad_seen.into_iter().collect(),
            bad_users: if most.is_empty() { Vec::new() } else { vec![(start_ms, most)] },
            ..aggregate_delta(vec![PaneDelta { start_ms, counts, ..PaneDelta::default() }])
        };
        BoundaryPartial { at_ms: start_ms + PANE_MS, deltas: vec![delta], ..BoundaryPartial::default() }
    }
}

fn add(counts: &mut Counts, event: &Event) {
    let is_anonymous = u64::from(event.user == NOBODY);
    counts.events += 1;
    counts.anonymous += is_anonymous;
    if event.is_bad {
        counts.bad_events += 1;
        counts.anonymous_bad += is_anonymous;
        counts.bad += u128::from(event.weight_micros);
    } else {
        counts.good += u128::from(event.weight_micros);
    }
}

fn move_to(last_ms: &mut [Option<Ms>], user: u32, slice_ms: Ms, changes: &mut BTreeMap<Ms, i64>) {
    let Some(last_ms) = last_ms.get_mut(user as usize).filter(|last_ms| **last_ms != Some(slice_ms)) else { return };
    if let Some(before_ms) = last_ms.replace(slice_ms) {
        *changes.entry(before_ms).or_default() -= 1;
    }
    *changes.entry(slice_ms).or_default() += 1;
}

/// The evaluation of one SLO's aggregate.
struct Task {
    rollup: RollupTask,
    told_ms: Option<Ms>,
    boundaries: Vec<BoundaryPartial>,
    out: Vec<RecordOut>,
}

impl Task {
    fn of(slo: &Slo) -> Result<Task, Failure> {
        // Users are counted over the whole recording; nothing else is asked of them.
        let slo = Slo { user_windows_ms: Vec::new(), cohorts: false, canary: None, ..slo.clone() };
        let settings = RollupSettings {
            partition: 0,
            users_tasks: 1,
            status_interval_ms: DAY_MS,
            tenant_status_interval_ms: DAY_MS,
            user_ids: UserIds::Plain,
            encoder: Arc::new(Encoder::new(OutputFormat::Json).map_err(anyhow::Error::from)?),
        };
        let rollup = RollupTask::new(&[slo], settings);
        Ok(Task { rollup, told_ms: None, boundaries: Vec::new(), out: Vec::new() })
    }

    fn take(&mut self, boundary: BoundaryPartial, replayed: &mut Replayed) -> Result<(), Failure> {
        const BOUNDARIES_MAX: usize = 4_096;
        self.boundaries.push(boundary);
        if self.boundaries.len() < BOUNDARIES_MAX { Ok(()) } else { self.evaluate(replayed) }
    }

    fn evaluate(&mut self, replayed: &mut Replayed) -> Result<(), Failure> {
        let Some(up_to_ms) = self.boundaries.last().map(|boundary| boundary.at_ms) else { return Ok(()) };
        let boundaries = std::mem::take(&mut self.boundaries);
        let partial = Partial { from_ms: self.told_ms, up_to_ms, boundaries, ..Partial::default() };
        self.told_ms = Some(up_to_ms);
        self.rollup.apply(0, partial).map_err(anyhow::Error::from)?;
        self.rollup.advance(&mut self.out).map_err(anyhow::Error::from)?;
        self.out.drain(..).for_each(|record| count(&record, replayed));
        Ok(())
    }
}

fn count(record: &RecordOut, replayed: &mut Replayed) {
    #[derive(Deserialize)]
    struct Head {
        severity: String,
        state: String,
    }
    let (Topic::BurnAlerts, Some(value)) = (record.topic, &record.value) else { return };
    match serde_json::from_slice::<Head>(value) {
        Ok(head) if head.state == "firing" && head.severity == "page" => replayed.pages += 1,
        Ok(head) if head.state == "firing" && head.severity == "ticket" => replayed.tickets += 1,
        _ => {}
    }
}
