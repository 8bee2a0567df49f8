//! The state of one key, and its step at a boundary: adds the deltas, then evaluates rules, alerts and the status, in
//! this order and from the same sums.

mod due;

use super::alert::{self, Episode, Resolved};
use super::burn_rate::{self, BadUsers, Evidence, LastSeen, RuleSpec, RuleState, severity_cap};
use super::cohort_episode::{self, CohortRecord, Cohorts};
use super::partial::{KeyDelta, KeyStep};
use super::status::{self, State};
use super::window::{HourCount, Layout, Starts, Windows};
use crate::model::key::{Scope, key_text};
use crate::model::output::{AlertCohort, BurnAlert, SloStatus, UserWindow};
use crate::model::ratio::Ratio;
use crate::model::slo::{Severity, Slo};
use crate::model::time::{DAY_MS, HOUR_MS, Moment, Ms, PANE_MS, floor_to, slice_ms};
use serde::{Deserialize, Serialize};

/// What stays the same about a key as long as its definition does.
#[derive(Debug)]
pub struct KeyFacts<'a> {
    pub slo: &'a Slo,
    pub layout: &'a Layout,
    pub scope: &'a Scope,
    pub key_text: &'a str,
    pub objective: Ratio,
    pub specs: &'a [RuleSpec],
    pub cap: Option<Severity>,
}

/// The owned part of [`KeyFacts`].
#[derive(Clone, Debug)]
pub struct KeyIdentity {
    pub scope: Scope,
    pub key_text: String,
    pub objective: Ratio,
    pub specs: Vec<RuleSpec>,
    pub cap: Option<Severity>,
}

impl KeyIdentity {
    pub fn of(slo: &Slo, layout: &Layout, scope: Scope) -> KeyIdentity {
        let objective = slo.objective_of(&scope);
        KeyIdentity {
            key_text: key_text(&slo.name, &scope),
            objective,
            specs: slo.rules.iter().map(|rule| RuleSpec::of(slo, rule, objective, layout)).collect(),
            cap: severity_cap(slo, matches!(scope, Scope::Tenant(_))),
            scope,
        }
    }

    pub fn facts<'a>(&'a self, slo: &'a Slo, layout: &'a Layout) -> KeyFacts<'a> {
        KeyFacts {
            slo,
            layout,
            scope: &self.scope,
            key_text: &self.key_text,
            objective: self.objective,
            specs: &self.specs,
            cap: self.cap,
        }
    }
}

/// The boundary a key is at.
#[derive(Clone, Copy, Debug)]
pub struct Moments<'a> {
    pub at_ms: Ms,
    pub starts: &'a Starts,
    pub status_interval_ms: Ms,
    pub is_incomplete: bool,
    /// The last T of a bounded input.
    pub is_last: bool,
    /// The SLO has more groups than its limit.
    pub groups_overflow: bool,
}

/// The retention of the history topic.
const TOLD_HOURLY_FOR_MS: Ms = 400 * DAY_MS;

/// The time range of a key's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Reach {
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
    since_ms: Option<Ms>,
    /// `None`: no event yet.
    reach: Option<Reach>,
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
    users: Vec<Option<KeptUsers>>,
    pub cohorts: Cohorts,
    pub leading_cohort: Option<AlertCohort>,
    /// An event became visible since the last status.
    has_news: bool,
    /// For an aggregate: more tenants were seen than may have keys.
    pub tenants_overflow: bool,
    state_before: Option<State>,
}

/// The last step of a user window. A key keeps its figures packed: every key has them, and few are published before the
/// next step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct KeptUsers {
    window_ms: Ms,
    at_ms: Ms,
    /// The window has a user with events.
    has_any: bool,
    figures: Box<[u8]>,
}

impl KeptUsers {
    #[expect(clippy::expect_used, reason = "memory takes every figure: anything else is a bug, and aborts")]
    fn of(window_ms: Ms, figures: &UserWindow) -> KeptUsers {
        let packed = postcard::to_stdvec(figures).expect("figures can be packed");
        let has_any = figures.users > 0 || figures.users_too_few > 0;
        KeptUsers { window_ms, at_ms: figures.at.0, has_any, figures: packed.into_boxed_slice() }
    }

    #[expect(clippy::expect_used, reason = "they were packed by this build: anything else is a bug, and aborts")]
    fn figures(&self) -> UserWindow {
        let figures: UserWindow = postcard::from_bytes(&self.figures).expect("packed figures can be read");
        UserWindow { at: Moment(self.at_ms), ..figures }
    }
}

/// What a key publishes at one boundary.
#[derive(Debug, Default)]
pub struct KeyOutput {
    pub status: Option<SloStatus>,
    pub alerts: Vec<BurnAlert>,
    /// By id.
    pub cohorts: Vec<CohortRecord>,
    /// The key is dropped; its status gets a tombstone.
    pub is_gone: bool,
}

impl KeyState {
    pub fn new(slo: &Slo, layout: &Layout) -> KeyState {
        KeyState {
            windows: Windows::new(layout),
            rules: vec![RuleState::default(); slo.rules.len()],
            users: vec![None; slo.user_windows_ms.len()],
            ..KeyState::default()
        }
    }

    /// The last step of each user window, by length.
    pub fn user_windows(&self) -> impl Iterator<Item = UserWindow> {
        self.users.iter().flatten().map(KeptUsers::figures)
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
    pub fn redefine(&mut self, from: &KeyFacts<'_>, to: &KeyFacts<'_>, at_ms: Ms) {
        self.windows = self.windows.relaid(from.layout, to.layout, at_ms);
        self.rules = vec![RuleState::default(); to.slo.rules.len()];
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

    /// Ends every alert of the old definition, and the cohorts that the next one, if any, does not look for.
    pub fn end(
        &mut self,
        facts: &KeyFacts<'_>,
        now: &Moments<'_>,
        why: Resolved,
        next: Option<&Slo>,
        out: &mut KeyOutput,
    ) {
        alert::close_all(self, facts, now, why, &mut out.alerts);
        let goes_on = |window_ms: Ms| next.is_some_and(|n| n.cohorts && n.user_windows_ms.contains(&window_ms));
        cohort_episode::close_where(self, facts, now, &|window_ms| !goes_on(window_ms), out);
    }

    /// Catches up on boundaries that were skipped in one step: in user windows without active users only the time of
    /// the last step moves.
    pub fn catch_up(&mut self, at_ms: Ms) {
        for users in self.users.iter_mut().flatten().filter(|users| !users.has_any) {
            users.at_ms = floor_to(at_ms, slice_ms(users.window_ms));
        }
    }

    /// Moves the windows to the boundary, before events are added at it.
    pub fn advance(&mut self, facts: &KeyFacts<'_>, now: &Moments<'_>) {
        self.windows.advance(facts.layout, now.starts);
        self.unclassified_hour.advance(now.at_ms);
    }

    /// Adds what became visible at the boundary, from each users task's partials.
    pub fn apply(&mut self, facts: &KeyFacts<'_>, now: &Moments<'_>, deltas: &[&KeyDelta]) {
        if matches!(facts.scope, Scope::Aggregate) && !deltas.is_empty() {
            self.since_ms.get_or_insert(now.at_ms);
        }
        for pane in deltas.iter().flat_map(|delta| &delta.panes) {
            self.begin_or_extend(pane.start_ms, now.at_ms);
            self.windows.add(facts.layout, now.starts, pane);
            self.accepted += pane.counts.events;
            self.all_bad += pane.counts.bad;
            self.has_news = true;
        }
        // Only with all panes added is it known whether the key exists.
        deltas.iter().for_each(|delta| self.apply_others(now, delta));
    }

    fn apply_others(&mut self, now: &Moments<'_>, delta: &KeyDelta) {
        for (time_ms, count) in &delta.unclassified {
            self.unclassified_hour.add(now.at_ms, *time_ms, *count);
        }
        if self.exists() {
            self.unclassified += delta.unclassified.iter().map(|(_, count)| count).sum::<u64>();
            self.late += delta.late;
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
    pub fn apply_steps(&mut self, facts: &KeyFacts<'_>, now: &Moments<'_>, steps: &[&KeyStep]) {
        for (i, window_ms) in facts.slo.user_windows_ms.iter().enumerate() {
            if now.at_ms % slice_ms(*window_ms) != 0 {
                continue;
            }
            let mut parts = steps.iter().filter(|s| s.window_ms == *window_ms);
            let mut users = parts.next().map(|s| s.distribution.clone()).unwrap_or_default();
            parts.for_each(|s| users.merge(&s.distribution));
            self.users[i] = Some(KeptUsers::of(*window_ms, &users.figures(*window_ms, now.at_ms, facts.objective)));
        }
    }

    /// Decides everything that is due at the boundary; `steps` are the user figures of its steps.
    pub fn evaluate(&mut self, facts: &KeyFacts<'_>, now: &Moments<'_>, steps: &[&KeyStep], out: &mut KeyOutput) {
        if !self.exists() {
            return;
        }
        let is_aggregate = matches!(facts.scope, Scope::Aggregate);
        if !is_aggregate && self.windows.sum(facts.layout.compliance).counts.events == 0 {
            alert::close_all(self, facts, now, Resolved::NoData, &mut out.alerts);
            cohort_episode::close_where(self, facts, now, &|_| true, out);
            out.is_gone = true;
            return;
        }
        self.step_rules(facts, now);
        cohort_episode::step(self, facts, now, steps, out);
        alert::step(self, facts, now, &mut out.alerts);
        let state = status::state_of(self, facts, now);
        // A key that begins to exist does not change its state.
        let changed = self.state_before.replace(state).map_or(is_aggregate, |before| before != state);
        if changed || !out.alerts.is_empty() || self.is_due(now) {
            out.status = Some(status::status_of(self, facts, now, state));
            self.has_news = false;
        }
    }

    /// The key's status and open alerts with the figures of a complete boundary, for a restored task.
    pub fn published(&self, facts: &KeyFacts<'_>, now: &Moments<'_>) -> KeyOutput {
        let Some(state) = self.state_before else { return KeyOutput::default() };
        KeyOutput {
            status: Some(status::status_of(self, facts, now, state)),
            alerts: alert::standing(self, facts, now),
            ..KeyOutput::default()
        }
    }

    fn is_due(&self, now: &Moments<'_>) -> bool {
        let is_full_hour = now.at_ms % HOUR_MS == 0 && now.at_ms <= self.told_hourly_until_ms();
        now.is_last || is_full_hour || (self.has_news && now.at_ms % now.status_interval_ms == 0)
    }

    /// An aggregate key is never forgotten. But a single record of the year 9999 in a bounded input must not cause 70
    /// million empty statuses: hourly statuses end when the history's retention is over.
    fn told_hourly_until_ms(&self) -> Ms {
        self.last_ms().unwrap_or(0).max(self.since_ms()) + TOLD_HOURLY_FOR_MS
    }

    fn step_rules(&mut self, facts: &KeyFacts<'_>, now: &Moments<'_>) {
        self.forget_users(facts, now);
        let evidence = Evidence {
            at_ms: now.at_ms,
            first_ms: self.first_ms(),
            windows: &self.windows,
            users_active: self.users_active(facts, now),
            bad_users: &self.bad_users,
            window_starts_ms: &now.starts.windows_ms,
        };
        burn_rate::step_rules(&mut self.rules, facts.slo, facts.objective, facts.specs, &evidence);
    }

    /// Users within the longest window of the rules; each event without a user counts as one.
    fn users_active(&self, facts: &KeyFacts<'_>, now: &Moments<'_>) -> u64 {
        // Windows are numbered in ascending order of length.
        let longest = facts.specs.iter().map(|spec| spec.long).max();
        longest.map_or(0, |longest| {
            let named = self.seen.users_since(now.starts.windows_ms[longest]);
            named + self.windows.sum(longest).counts.anonymous
        })
    }

    /// Forgets users whose last event is before the longest window that needs them.
    fn forget_users(&mut self, facts: &KeyFacts<'_>, now: &Moments<'_>) {
        if now.at_ms % (6 * PANE_MS) != 0 {
            return;
        }
        let start_of = |window: usize| now.starts.windows_ms[window];
        if let Some(from_ms) = facts.specs.iter().map(|s| start_of(s.long)).min() {
            self.seen.forget_before(from_ms);
            self.bad_seen.forget_before(from_ms);
        }
        let pages = facts.specs.iter().filter(|s| s.severity == Severity::Page);
        let keep_from_ms = pages.map(|s| start_of(s.long)).min().unwrap_or(now.at_ms);
        self.bad_users.forget_before(keep_from_ms);
        // How far back an event can lie that may still become visible, plus a pane.
        self.bad_users.close_before(now.at_ms - PANE_MS * 2 - facts.slo.allowed_lateness_ms);
    }
}
