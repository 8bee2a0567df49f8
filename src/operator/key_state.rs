//! The state of one key, and what is added to it at a boundary; `evaluation` then decides.

use super::burn_rate::{BadUsers, LastSeen, RuleState};
use super::cohort_tracker::{CohortRecord, Cohorts};
use super::episode::Episode;
use super::event_slice::EventNews;
use super::event_table::{self, EventTable};
use super::failing_users::FailingUsers;
use super::failures::Failures;
use super::key_definition::{Boundary, KeyDefinition};
use super::kind::Units;
use super::partial::{KeyDelta, KeyStep, PaneDelta, add_pane};
use super::policy::PolicyState;
use super::signal::budget::{BudgetBank, Seen};
use super::signal::canary::Canaries;
use super::signal::forecast::Forecast;
use super::sla::SlaState;
use super::tail_episode::Tail;
use super::window::{HourCount, Layout, Windows};
use crate::model::key::Scope;
use crate::model::output::{self, AlertCohort, BurnAlert, CanaryVerdict, SloStatus, UserWindow};
use crate::model::slo::Slo;
use crate::model::time::{Moment, Ms, floor_to, slice_ms};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The time range of a key's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reach {
    /// The start of the pane of the smallest visible event time.
    first_ms: Ms,
    /// The start of the pane of the largest visible event time.
    last_ms: Ms,
}

/// The state of one key. A key exists once one of its events was visible, the aggregate once any event was; before that
/// it only counts unclassified events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KeyState {
    /// The first T.
    pub(super) since_ms: Option<Ms>,
    /// `None`: no event yet.
    pub(super) reach: Option<Reach>,
    pub windows: Windows,
    pub unclassified_hour: HourCount,
    pub accepted: u64,
    pub unclassified: u64,
    pub late: u64,
    /// All bad events since the key began, in micro-weights.
    pub all_bad: u128,
    pub rules: Vec<RuleState>,
    /// Boxed: most keys have none.
    pub episodes: [Option<Box<Episode>>; 3],
    pub seen: LastSeen,
    pub bad_seen: LastSeen,
    pub bad_users: BadUsers,
    /// The last step of each user window.
    pub(super) users: Vec<Option<KeptUsers>>,
    pub cohorts: Cohorts,
    pub leading_cohort: Option<AlertCohort>,
    /// An event became visible since the last status.
    pub(super) has_news: bool,
    /// For an aggregate: more tenants were seen than may have keys.
    pub tenants_overflow: bool,
    pub(super) state_before: Option<State>,
    /// What the rule `budget` remembers; `None` before its first boundary. Boxed: many SLOs go without it.
    #[serde(default)]
    pub(super) budget: Option<Box<BudgetBank>>,
    /// For an aggregate whose SLO has `canary`.
    #[serde(default)]
    pub(super) canaries: Option<Box<Canaries>>,
    /// As of the last full hour.
    #[serde(default)]
    pub(super) forecast: Option<Box<Forecast>>,
    /// By user window, where there is something to remember.
    #[serde(default)]
    pub(super) tails: Vec<Tail>,
    /// Of a tenant with users who fail more than the others.
    #[serde(default)]
    pub(super) failing_users: Option<Box<FailingUsers>>,
    /// Where the scope has one and cohorts are looked for.
    #[serde(default)]
    pub(super) events: Option<Box<EventTable>>,
    /// Of an SLO with an agreement that holds for the key.
    #[serde(default)]
    pub(super) sla: Option<Box<SlaState>>,
    /// Of an SLO with a policy.
    #[serde(default)]
    pub(super) policy: Option<PolicyState>,
    /// What the windows count where that is not events. Boxed: most SLOs count events.
    #[serde(default)]
    pub(super) units: Option<Box<Units>>,
    /// Of a key with bad events.
    #[serde(default)]
    pub(super) failures: Option<Box<Failures>>,
    /// Events that a maintenance excluded, since the key began.
    #[serde(default)]
    pub(super) maintenance: u64,
}

/// The last step of a user window. A key keeps its figures packed: every key has them, and few are published before the
/// next step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct KeptUsers {
    window_ms: Ms,
    at_ms: Ms,
    /// The window has a user with events.
    pub(super) has_any: bool,
    figures: Box<[u8]>,
}

impl KeptUsers {
    #[expect(clippy::expect_used, reason = "memory takes every figure: anything else is a bug, and aborts")]
    fn of(window_ms: Ms, figures: &UserWindow) -> KeptUsers {
        let packed = postcard::to_stdvec(figures).expect("figures can be packed");
        let has_any = figures.users > 0 || figures.users_too_few > 0;
        KeptUsers { window_ms, at_ms: figures.at.0, has_any, figures: packed.into_boxed_slice() }
    }

    /// The figures, with what the step's dispersion is.
    pub(super) fn set_dispersion(&mut self, dispersion: output::Dispersion) -> UserWindow {
        let figures = UserWindow { dispersion: Some(dispersion), ..self.figures() };
        *self = KeptUsers::of(self.window_ms, &figures);
        figures
    }

    #[expect(clippy::expect_used, reason = "they were packed by this build: anything else is a bug, and aborts")]
    fn figures(&self) -> UserWindow {
        let figures: UserWindow = postcard::from_bytes(&self.figures).expect("packed figures can be read");
        UserWindow { at: Moment(self.at_ms), ..figures }
    }
}

/// The state of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    NoData,
    Breached,
    AtRisk,
    Ok,
}

impl State {
    pub const fn as_str(self) -> &'static str {
        match self {
            State::NoData => "no_data",
            State::Breached => "breached",
            State::AtRisk => "at_risk",
            State::Ok => "ok",
        }
    }
}

/// What a key publishes at one boundary.
#[derive(Debug, Default)]
pub struct KeyOutput {
    pub status: Option<SloStatus>,
    pub alerts: Vec<BurnAlert>,
    /// By id.
    pub cohorts: Vec<CohortRecord>,
    /// By candidate.
    pub canaries: Vec<CanaryVerdict>,
    /// The key is dropped; its status gets a tombstone.
    pub is_gone: bool,
}

impl KeyState {
    pub fn new(slo: &Slo, layout: &Layout, scope: &Scope) -> KeyState {
        KeyState {
            windows: Windows::new(layout),
            units: Units::of(slo, layout),
            rules: vec![RuleState::default(); slo.rules_of(scope).count()],
            users: vec![None; slo.user_windows_ms.len()],
            ..KeyState::default()
        }
    }

    /// The last step of each user window, by length.
    pub fn user_windows(&self) -> impl Iterator<Item = UserWindow> {
        self.users.iter().flatten().map(KeptUsers::figures)
    }

    /// The last step of one user window.
    pub fn users_of(&self, window_ms: Ms) -> Option<UserWindow> {
        self.users.iter().flatten().find(|users| users.window_ms == window_ms).map(KeptUsers::figures)
    }

    /// Replaces figures that an earlier version packed; `read` knows which.
    pub fn repack_users<E>(&mut self, read: impl Fn(&[u8]) -> Result<UserWindow, E>) -> Result<(), E> {
        for users in self.users.iter_mut().flatten() {
            let figures = UserWindow { at: Moment(users.at_ms), ..read(&users.figures)? };
            *users = KeptUsers::of(users.window_ms, &figures);
        }
        Ok(())
    }

    pub fn exists(&self) -> bool {
        self.since_ms.is_some()
    }

    pub fn first_ms(&self) -> Option<Ms> {
        self.reach.map(|reach| reach.first_ms)
    }

    pub fn last_ms(&self) -> Option<Ms> {
        self.reach.map(|reach| reach.last_ms)
    }

    /// Whether the key had no event for longer than this, or never had one.
    pub fn is_silent(&self, at_ms: Ms, for_ms: Ms) -> bool {
        self.last_ms().is_none_or(|last_ms| at_ms - last_ms > for_ms)
    }

    /// The first T; not used before it.
    pub fn since_ms(&self) -> Ms {
        self.since_ms.unwrap_or(0)
    }

    /// Changes to another definition with the same filters, at a boundary up to which everything was added: counts
    /// stay, windows are filled from the stored slices, rules start over. [`KeyState::end`] has ended alerts and
    /// cohorts before.
    pub fn redefine(&mut self, from: &KeyDefinition<'_>, to: &KeyDefinition<'_>, at_ms: Ms) {
        self.redefine_sla(from, to, at_ms);
        if from.slo.policy != to.slo.policy {
            self.policy = None;
        }
        self.redefine_units(from, to, at_ms);
        if let Some(failures) = &mut self.failures {
            failures.redefine(from.layout, to.layout, at_ms);
        }
        self.windows = self.windows.relaid(from.layout, to.layout, at_ms);
        self.rules = vec![RuleState::default(); to.specs.len()];
        self.budget = None;
        self.forecast = None;
        self.tails.retain(|tail| to.slo.user_windows_ms.contains(&tail.window_ms));
        self.redefine_canary(from, to);
        let mut kept: Vec<KeptUsers> = std::mem::take(&mut self.users).into_iter().flatten().collect();
        if from.objective != to.objective {
            // They count users below the old objective.
            kept.clear();
        }
        let of_window = |window_ms: &Ms| kept.iter().position(|users| users.window_ms == *window_ms);
        let users = to.slo.user_windows_ms.iter().map(|w| of_window(w).map(|at| kept[at].clone()));
        self.users = users.collect();
        let slice_ms = to.slo.seen_slice_ms();
        self.seen.reslice(slice_ms);
        self.bad_seen.reslice(slice_ms);
    }

    fn redefine_units(&mut self, from: &KeyDefinition<'_>, to: &KeyDefinition<'_>, at_ms: Ms) {
        let starts = to.layout.starts_at(at_ms);
        let boundary = Boundary::without_statuses(at_ms, &starts);
        let needed_ms = starts.spans.map(|spans| spans.previous.start_ms);
        let needed_ms = starts.windows_ms.iter().copied().chain(needed_ms).min().unwrap_or(at_ms);
        let panes = || self.windows.panes_since(from.layout, needed_ms, at_ms);
        self.units = Units::redefined(self.units.take(), from, to, &boundary, panes);
    }

    /// Catches up on boundaries that were skipped in one step: in user windows without active users only the time of
    /// the last step moves.
    pub fn catch_up(&mut self, at_ms: Ms) {
        for users in self.users.iter_mut().flatten().filter(|users| !users.has_any) {
            users.at_ms = floor_to(at_ms, slice_ms(users.window_ms));
        }
    }

    /// Moves the windows to the boundary, before events are added at it.
    pub fn advance(&mut self, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>) {
        self.windows.advance(definition.layout, boundary.starts);
        if let Some(units) = &mut self.units {
            units.advance(definition, boundary);
        }
        self.advance_sla(definition, boundary);
        self.unclassified_hour.advance(boundary.at_ms);
    }

    /// Adds what became visible at the boundary, from each users task's partials.
    pub fn apply(&mut self, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>, deltas: &[&KeyDelta]) {
        if matches!(definition.scope, Scope::Aggregate) && !deltas.is_empty() {
            self.since_ms.get_or_insert(boundary.at_ms);
        }
        let (first_before_ms, mut seen) = (self.first_ms(), Seen::default());
        for pane in &*added_up(deltas) {
            self.begin_or_extend(pane.start_ms, boundary.at_ms);
            self.windows.add(definition.layout, boundary.starts, pane);
            self.add_to_sla(boundary, pane);
            if let Some(units) = &mut self.units {
                units.add(definition, boundary, pane);
            }
            self.accepted += pane.counts.events;
            self.all_bad += pane.counts.bad;
            self.has_news = true;
            seen.add(Seen { events: pane.counts.events, bad: pane.counts.bad_events });
        }
        if let Some(units) = &mut self.units {
            units.add_told(definition, boundary, deltas);
            units.settle(definition, boundary);
        }
        self.add_to_budget(definition, boundary, first_before_ms, seen);
        self.add_to_canaries(definition, boundary, deltas);
        self.add_to_events(definition, boundary, deltas);
        if deltas.iter().any(|delta| !delta.failures.is_empty()) {
            self.failures.get_or_insert_default().add(definition, boundary, deltas);
        }
        // Only with all panes added is it known whether the key exists.
        deltas.iter().for_each(|delta| self.apply_others(boundary, delta));
    }

    /// The key without its table of events, which is given back by [`KeyState::put_events`].
    pub fn take_events(&mut self) -> Option<Box<EventTable>> {
        self.events.take()
    }

    pub fn put_events(&mut self, events: Option<Box<EventTable>>) {
        self.events = events;
    }

    fn add_to_events(&mut self, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>, deltas: &[&KeyDelta]) {
        let slo = definition.slo;
        if !slo.cohorts || !event_table::is_kept_for(definition.scope) {
            self.events = None;
            return;
        }
        let news: Vec<&EventNews> = deltas.iter().filter_map(|delta| delta.event_news.as_deref()).collect();
        if !news.is_empty() {
            self.events.get_or_insert_default().add(boundary.at_ms, &slo.user_windows_ms, &news);
        }
    }

    fn apply_others(&mut self, boundary: &Boundary<'_>, delta: &KeyDelta) {
        for (time_ms, count) in &delta.unclassified {
            self.unclassified_hour.add(boundary.at_ms, *time_ms, *count);
        }
        if self.exists() {
            self.unclassified += delta.unclassified.iter().map(|(_, count)| count).sum::<u64>();
            self.late += delta.late;
            self.maintenance += delta.maintenance;
        }
        delta.seen.iter().for_each(|(slice, change)| self.seen.add(*slice, *change));
        delta.bad_seen.iter().for_each(|(slice, change)| self.bad_seen.add(*slice, *change));
        self.tenants_overflow |= delta.tenants_overflow;
        delta.bad_users.iter().for_each(|(pane, users)| self.bad_users.add(*pane, users));
    }

    fn begin_or_extend(&mut self, pane_ms: Ms, at_ms: Ms) {
        self.since_ms.get_or_insert(at_ms);
        let reach = self.reach.get_or_insert(Reach { first_ms: pane_ms, last_ms: pane_ms });
        reach.first_ms = reach.first_ms.min(pane_ms);
        reach.last_ms = reach.last_ms.max(pane_ms);
    }

    /// Takes the user figures of this boundary's steps: every window with a step gets new figures; without a partial
    /// they are those of no users.
    pub fn apply_steps(&mut self, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>, steps: &[&KeyStep]) {
        let limits = definition.user_limits();
        for (i, window_ms) in definition.slo.user_windows_ms.iter().enumerate() {
            if boundary.at_ms % slice_ms(*window_ms) != 0 {
                continue;
            }
            let mut parts = steps.iter().filter(|s| s.window_ms == *window_ms);
            let mut users = parts.next().map(|s| s.distribution.clone()).unwrap_or_default();
            parts.for_each(|s| users.merge(&s.distribution));
            self.users[i] = Some(KeptUsers::of(*window_ms, &users.figures(*window_ms, boundary.at_ms, &limits)));
        }
    }
}

/// The panes of all users tasks, each once: adding one to the windows packs a slice of every length again.
fn added_up<'a>(deltas: &[&'a KeyDelta]) -> Cow<'a, [PaneDelta]> {
    match deltas {
        [] => Cow::Borrowed(&[]),
        [only] => Cow::Borrowed(&only.panes),
        [first, more @ ..] => {
            let mut panes = first.panes.clone();
            more.iter().flat_map(|delta| &delta.panes).for_each(|pane| add_pane(&mut panes, pane));
            Cow::Owned(panes)
        }
    }
}
