//! Burn-rate rules of one key: condition, warm-up, guards, and resolution on evidence alone.
//!
//! Multi-window, multi-burn-rate alerting: Google, "The Site Reliability Workbook", chapter 5. The
//! guards are tailburn's own (contract, section 6).

use super::partial::{BadUser, Counts, keep_most_bad};
use super::significance::poisson_at_least;
use super::window::{Layout, Windows};
use crate::model::ratio::Ratio;
use crate::model::slo::{Rule, Severity, Slo, TenantAlerts};
use crate::model::time::Ms;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The level of the low-traffic guard: a page needs an event count that chance gives less often.
const LOW_TRAFFIC_LEVEL: f64 = 1e-4;

/// A rule with its windows looked up and its threshold for one objective.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSpec {
    pub long: usize,
    /// The window whose evidence resolves the rule: the short one, or the only one.
    pub short: usize,
    pub severity: Severity,
    /// `factor * (1 - objective)`: the condition is an error ratio above it in both windows.
    threshold: Ratio,
    warm_after_ms: Ms,
    resolve_after_ms: Ms,
}

impl RuleSpec {
    pub fn of(slo: &Slo, rule: &Rule, objective: Ratio, layout: &Layout) -> RuleSpec {
        let allowed = objective.complement().unwrap_or(Ratio::ZERO);
        let threshold = rule.factor.checked_mul(allowed).or_else(|| {
            // More digits than 64 bits hold: the nearest fraction that does fit.
            Ratio::from_f64(rule.factor.as_f64() * allowed.as_f64())
        });
        let warm_after_ms = match rule.severity {
            Severity::Page => rule.evidence_ms(),
            Severity::Ticket | Severity::Info => rule.long_ms * 9 / 10,
        };
        RuleSpec {
            long: layout.index_of(rule.long_ms).unwrap_or(layout.compliance),
            short: layout.index_of(rule.evidence_ms()).unwrap_or(layout.compliance),
            severity: rule.severity,
            threshold: threshold.unwrap_or(Ratio { num: 1, den: 1 }),
            warm_after_ms,
            resolve_after_ms: slo.resolve_after_ms(rule),
        }
    }

    fn burns(&self, counts: &Counts) -> bool {
        counts.events > 0 && self.threshold.compare_share(counts.bad, counts.total()) == Ordering::Greater
    }

    fn condition(&self, windows: &Windows) -> bool {
        self.burns(&windows.sum(self.short).counts) && self.burns(&windows.sum(self.long).counts)
    }
}

/// Why a rule does not fire although it is warm and its condition holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBack {
    pub min_events: bool,
    pub low_traffic: bool,
}

impl HeldBack {
    pub fn any(self) -> bool {
        self.min_events || self.low_traffic
    }

    pub fn names(self) -> Vec<String> {
        let guards = [(self.min_events, "min_events"), (self.low_traffic, "low_traffic")];
        guards.iter().filter(|(held, _)| *held).map(|(_, name)| (*name).to_owned()).collect()
    }
}

/// What a rule remembers between boundaries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleState {
    pub firing_since_ms: Option<Ms>,
    /// The first boundary with evidence (the short window holds events, the condition is false)
    /// since the condition was last true.
    calm_since_ms: Option<Ms>,
    /// The single-user guard lowers it; never set again once it was cleared.
    pub lowered: bool,
    pub held_back: HeldBack,
}

/// What the rules of a key look at.
pub struct Evidence<'a> {
    pub at_ms: Ms,
    pub first_ms: Ms,
    pub windows: &'a Windows,
    /// Distinct users with an id and any event in a window, by window index.
    pub users_active: &'a dyn Fn(usize) -> u64,
    pub bad_users: &'a BadUsers,
    pub window_starts_ms: &'a [Ms],
}

impl RuleState {
    /// One boundary of one rule.
    pub fn step(&mut self, slo: &Slo, objective: Ratio, spec: &RuleSpec, evidence: &Evidence<'_>) {
        let condition = spec.condition(evidence.windows);
        self.held_back = HeldBack::default();
        if condition {
            self.calm_since_ms = None;
        }
        match self.firing_since_ms {
            None if condition && evidence.at_ms - evidence.first_ms >= spec.warm_after_ms => {
                self.held_back = hold_back(slo, objective, &evidence.windows.sum(spec.long).counts);
                if !self.held_back.any() {
                    self.firing_since_ms = Some(evidence.at_ms);
                    self.lowered = lowers(slo, spec, evidence);
                }
            }
            None => {}
            Some(_) if condition => self.lowered = self.lowered && lowers(slo, spec, evidence),
            Some(_) => self.calm_down(spec, evidence),
        }
    }

    fn calm_down(&mut self, spec: &RuleSpec, evidence: &Evidence<'_>) {
        if evidence.windows.sum(spec.short).counts.events == 0 {
            return;
        }
        let since_ms = *self.calm_since_ms.get_or_insert(evidence.at_ms);
        if evidence.at_ms - since_ms >= spec.resolve_after_ms {
            *self = RuleState::default();
        }
    }

    /// The moments from which on the rule may do something although nothing more is known.
    pub fn deadlines(&self, spec: &RuleSpec, first_ms: Ms) -> [Option<Ms>; 2] {
        [Some(first_ms + spec.warm_after_ms), self.calm_since_ms.map(|since_ms| since_ms + spec.resolve_after_ms)]
    }

    /// The severity in effect: as written, lowered by the single-user guard, then capped.
    pub fn severity(&self, spec: &RuleSpec, cap: Option<Severity>) -> Severity {
        let lowered = if self.lowered { spec.severity.min(Severity::Ticket) } else { spec.severity };
        cap.map_or(lowered, |cap| lowered.min(cap))
    }
}

/// The cap on severities in a scope; `None`: no cap.
pub fn severity_cap(slo: &Slo, is_tenant: bool) -> Option<Severity> {
    match (is_tenant, slo.tenant_alerts) {
        (true, TenantAlerts::UpTo(cap)) => Some(cap),
        _ => None,
    }
}

/// Whether a scope has no alerts at all: its rules still fire, as the status shows.
pub fn alerts_are_off(slo: &Slo, is_tenant: bool) -> bool {
    is_tenant && slo.tenant_alerts == TenantAlerts::Off
}

fn hold_back(slo: &Slo, objective: Ratio, long: &Counts) -> HeldBack {
    let allowed = objective.complement().unwrap_or(Ratio::ZERO).as_f64();
    HeldBack {
        min_events: long.events < slo.min_events,
        low_traffic: slo.low_traffic_guard
            && poisson_at_least(long.bad_events, allowed * long.events as f64) >= LOW_TRAFFIC_LEVEL,
    }
}

/// Whether a page is lowered to a ticket: without its worst user the long window would not burn.
fn lowers(slo: &Slo, spec: &RuleSpec, evidence: &Evidence<'_>) -> bool {
    if spec.severity != Severity::Page || !slo.single_user_guard {
        return false;
    }
    let long = &evidence.windows.sum(spec.long).counts;
    let active = (evidence.users_active)(spec.long) + long.anonymous;
    if active < 2 {
        return false;
    }
    let most = evidence.bad_users.most(evidence.window_starts_ms[spec.long]).max(u64::from(long.anonymous_bad > 0));
    let (bad, events) = (long.bad_events - most, long.events - most);
    spec.threshold.compare_share(u128::from(bad), u128::from(events)) != Ordering::Greater
}

/// Per pane of event time, the users with the most bad events in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadUsers {
    /// Panes that more may be said of: with names, by which those to keep are chosen.
    open: BTreeMap<Ms, Vec<BadUser>>,
    /// The others, by hash.
    closed: BTreeMap<Ms, Vec<(u64, u64)>>,
}

impl BadUsers {
    /// Adds what a users task says of a pane.
    pub fn add(&mut self, pane_ms: Ms, users: &[BadUser]) {
        // Only a definition that allows more lateness than the one before opens a pane again.
        let nameless = |(hash, bad_events)| BadUser { bad_events, hash, ..BadUser::default() };
        let closed = self.closed.remove(&pane_ms).unwrap_or_default();
        let kept = self.open.entry(pane_ms).or_default();
        kept.extend(closed.into_iter().map(nameless));
        keep_most_bad(kept, users);
    }

    /// Nothing more is said of panes before `end_ms`: their names are of no use.
    pub fn close_before(&mut self, end_ms: Ms) {
        let open = self.open.split_off(&end_ms);
        let by_hash = |users: Vec<BadUser>| users.iter().map(|u| (u.hash, u.bad_events)).collect();
        let closed = std::mem::replace(&mut self.open, open);
        self.closed.extend(closed.into_iter().map(|(pane, users)| (pane, by_hash(users))));
    }

    pub fn forget_before(&mut self, start_ms: Ms) {
        self.open = self.open.split_off(&start_ms);
        self.closed = self.closed.split_off(&start_ms);
    }

    /// The bad events, since `start_ms`, of the user with the most of them.
    fn most(&self, start_ms: Ms) -> u64 {
        let closed = self.closed.range(start_ms..).flat_map(|(_, users)| users.iter().copied());
        let open = self.open.range(start_ms..).flat_map(|(_, users)| users);
        let mut by_user: Vec<(u64, u64)> = closed.chain(open.map(|u| (u.hash, u.bad_events))).collect();
        by_user.sort_unstable_by_key(|(user, _)| *user);
        by_user.chunk_by(|a, b| a.0 == b.0).map(|of_user| of_user.iter().map(|(_, bad)| bad).sum()).max().unwrap_or(0)
    }
}

/// Users by the slice of their last (bad) event: distinct users in a window, exact at any scale.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastSeen {
    slices: BTreeMap<Ms, i64>,
    from_ms: Ms,
}

impl LastSeen {
    pub fn forget_before(&mut self, start_ms: Ms) {
        self.from_ms = self.from_ms.max(start_ms);
        while self.slices.first_key_value().is_some_and(|(slice, _)| *slice < start_ms) {
            self.slices.pop_first();
        }
    }

    pub fn add(&mut self, slice_ms: Ms, change: i64) {
        // What lies before the longest window was forgotten, and so is a user who leaves it.
        if slice_ms < self.from_ms {
            return;
        }
        let users = self.slices.entry(slice_ms).or_insert(0);
        *users += change;
        if *users == 0 {
            self.slices.remove(&slice_ms);
        }
    }

    /// Distinct users since `start_ms`.
    pub fn users_since(&self, start_ms: Ms) -> u64 {
        u64::try_from(self.slices.range(start_ms..).map(|(_, users)| users).sum::<i64>()).unwrap_or(0)
    }
}
