//! Burn-rate rules of one key: condition, warm-up, guards, and resolution only on evidence.
//!
//! Multi-window, multi-burn-rate alerting: Google, "The Site Reliability Workbook", chapter 5. The
//! guards are tailburn's own (contract, section 6).

use super::kind::Units;
use super::kind::attempts::Attempts;
use super::partial::{BadUser, Counts, keep_most_bad};
use super::signal::budget::{self, BudgetEvidence};
use super::significance::poisson_at_least;
use super::window::{Layout, Windows};
use crate::model::key::Scope;
use crate::model::ratio::{Ratio, Threshold};
use crate::model::slo::{Rule, RuleKind, Severity, Slo, TenantAlerts};
use crate::model::time::{Ms, floor_to};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The level of the low-traffic guard: a page needs an event count that chance alone reaches less often than this.
const LOW_TRAFFIC_LEVEL: f64 = 1e-4;

/// A rule with its windows looked up and its threshold for one objective.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSpec {
    pub kind: RuleKind,
    pub rule: Rule,
    pub long: usize,
    /// The window whose evidence resolves the rule.
    pub short: usize,
    /// The rule has only a long window.
    is_single: bool,
    pub severity: Severity,
    /// `factor * (1 - objective)`: the condition is an error ratio above it.
    threshold: Threshold,
    warm_after_ms: Ms,
    resolve_after_ms: Ms,
}

impl RuleSpec {
    /// All rules of an SLO, in the order of `alerts[]`.
    pub fn all_of(slo: &Slo, scope: &Scope, objective: Ratio, layout: &Layout) -> Vec<RuleSpec> {
        slo.rules_of(scope).map(|(kind, rule)| RuleSpec::of(slo, kind, rule, objective, layout)).collect()
    }

    fn of(slo: &Slo, kind: RuleKind, rule: Rule, objective: Ratio, layout: &Layout) -> RuleSpec {
        let warm_after_ms = match (kind, rule.severity) {
            (RuleKind::Budget, _) => budget::WARM_AFTER_MS,
            (RuleKind::Tail | RuleKind::Exhaustion | RuleKind::Sla, _) => 0,
            (RuleKind::BurnRate, Severity::Page) => rule.evidence_ms(),
            (RuleKind::BurnRate, Severity::Ticket | Severity::Info) => rule.long_ms * 9 / 10,
        };
        RuleSpec {
            kind,
            long: layout.index_of(rule.long_ms).unwrap_or(layout.compliance),
            short: layout.index_of(rule.evidence_ms()).unwrap_or(layout.compliance),
            is_single: rule.short_ms.is_none(),
            severity: rule.severity,
            threshold: Threshold::product(rule.factor, objective.complement().unwrap_or(Ratio::ZERO)),
            warm_after_ms,
            resolve_after_ms: slo.resolve_after_ms(&rule),
            rule,
        }
    }

    /// As in records.
    pub fn name(&self) -> String {
        self.kind.name(&self.rule)
    }

    /// Whether the rule's condition holds, and whether both windows burn.
    fn condition(&self, evidence: &Evidence<'_>) -> (bool, bool) {
        let long_burns = self.burns(evidence, self.long);
        let both_burn = long_burns && self.burns(evidence, self.short);
        (if self.is_single { long_burns } else { both_burn }, both_burn)
    }

    fn burns(&self, evidence: &Evidence<'_>, window: usize) -> bool {
        if let Some(burn) = evidence.units.and_then(|units| units.own_burn(window)) {
            return burn.is_some_and(|burn| burn > self.rule.factor.as_f64());
        }
        let counts = evidence.counts(window);
        counts.events > 0 && self.threshold.compare_share(counts.bad, counts.total()) == Ordering::Greater
    }
}

/// Why a rule does not fire although its condition holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBack {
    /// The key is too young; guards are not evaluated before it is warm.
    pub not_warm: bool,
    pub min_events: bool,
    pub low_traffic: bool,
}

impl HeldBack {
    const NOT_WARM: HeldBack = HeldBack { not_warm: true, min_events: false, low_traffic: false };

    pub fn any(self) -> bool {
        self.not_warm || self.min_events || self.low_traffic
    }

    pub fn names(self) -> Vec<String> {
        let all = [(self.not_warm, "not_warm"), (self.min_events, "min_events"), (self.low_traffic, "low_traffic")];
        all.iter().filter(|(held, _)| *held).map(|(_, name)| (*name).to_owned()).collect()
    }
}

/// What a rule remembers between boundaries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleState {
    pub firing_since_ms: Option<Ms>,
    /// While it fires: the first boundary with evidence that it is over (the short window holds events, and not both
    /// windows burn) since both last burnt.
    calm_since_ms: Option<Ms>,
    /// The single-user guard lowers it; never set again once it was cleared.
    pub lowered: bool,
    pub held_back: HeldBack,
}

/// The input of a key's rules.
pub struct Evidence<'a> {
    pub at_ms: Ms,
    /// `None`: the key had no event yet, so nothing is warm.
    pub first_ms: Option<Ms>,
    /// The windows of events.
    pub windows: &'a Windows,
    /// Of an SLO that counts something else.
    pub units: Option<&'a Units>,
    pub seen: &'a LastSeen,
    /// The longest window of the rules; `None`: there are no rules.
    pub longest: Option<usize>,
    pub bad_users: &'a BadUsers,
    pub window_starts_ms: &'a [Ms],
    pub budget: BudgetEvidence,
    /// No event for so long that what fires ends without data: nothing starts to fire.
    pub is_given_up: bool,
}

impl Evidence<'_> {
    /// What a rule asks of a window, in the unit of the SLO.
    fn counts(&self, window: usize) -> &Counts {
        self.units.map_or_else(|| self.event_counts(window), |units| units.counts(window))
    }

    fn event_counts(&self, window: usize) -> &Counts {
        &self.windows.sum(window).counts
    }

    /// What the guards about chance and single users ask of a window: events, of a journey attempts.
    fn judged(&self, window: usize) -> &Counts {
        self.attempts().map_or_else(|| self.event_counts(window), |attempts| attempts.counts(window))
    }

    fn attempts(&self) -> Option<&Attempts> {
        self.units.and_then(Units::attempts)
    }

    /// Distinct users within the longest window of the rules; each event without a user counts as one. Few boundaries ask,
    /// and the answer reads every slice of the window.
    fn users_active(&self) -> u64 {
        let seen = self.attempts().map_or(self.seen, Attempts::seen);
        self.longest
            .map_or(0, |longest| seen.users_since(self.window_starts_ms[longest]) + self.judged(longest).anonymous)
    }

    fn bad_users(&self) -> &BadUsers {
        self.attempts().map_or(self.bad_users, Attempts::bad_users)
    }
}

/// One boundary of all rules of a key, in their order.
pub fn step_rules(rules: &mut [RuleState], slo: &Slo, objective: Ratio, specs: &[RuleSpec], evidence: &Evidence<'_>) {
    for (at, spec) in specs.iter().enumerate().take(rules.len()) {
        let pages = |other: usize| other != at && rules[other].pages(&specs[other]);
        // The rules before it have taken their step, those after it have not.
        let another_pages = (0..specs.len()).any(pages);
        rules[at].step(slo, objective, spec, evidence, another_pages);
    }
}

impl RuleState {
    /// One boundary of one rule. `another_pages`: another rule of the key fires at page.
    fn step(&mut self, slo: &Slo, objective: Ratio, spec: &RuleSpec, evidence: &Evidence<'_>, another_pages: bool) {
        let (condition, both_burn) = match spec.kind {
            RuleKind::BurnRate => spec.condition(evidence),
            RuleKind::Budget => (evidence.budget.burns, false),
            // They take their steps after the cohorts.
            RuleKind::Tail | RuleKind::Exhaustion | RuleKind::Sla => return,
        };
        let lowers = || !another_pages && lowers(slo, spec, evidence);
        self.held_back = HeldBack::default();
        if self.firing_since_ms.is_some() {
            self.lowered = self.lowered && (!condition || lowers());
        } else if condition {
            let warm = evidence.first_ms.is_some_and(|first_ms| evidence.at_ms - first_ms >= spec.warm_after_ms);
            let asked = || hold_back(slo, objective, evidence, spec.long);
            self.held_back = if warm { asked() } else { HeldBack::NOT_WARM };
            if self.held_back.any() || evidence.is_given_up {
                return;
            }
            *self = RuleState { firing_since_ms: Some(evidence.at_ms), lowered: lowers(), ..RuleState::default() };
        } else {
            return;
        }
        match spec.kind {
            RuleKind::BurnRate => self.calm_down(spec, evidence, both_burn),
            RuleKind::Budget if evidence.budget.is_over && self.firing_since_ms != Some(evidence.at_ms) => {
                *self = RuleState::default();
            }
            RuleKind::Budget | RuleKind::Tail | RuleKind::Exhaustion | RuleKind::Sla => {}
        }
    }

    /// A firing rule ends only on evidence, and an empty short window is none.
    fn calm_down(&mut self, spec: &RuleSpec, evidence: &Evidence<'_>, both_burn: bool) {
        if both_burn {
            self.calm_since_ms = None;
            return;
        }
        if evidence.counts(spec.short).events == 0 {
            return;
        }
        let since_ms = *self.calm_since_ms.get_or_insert(evidence.at_ms);
        if evidence.at_ms - since_ms >= spec.resolve_after_ms && self.firing_since_ms != Some(evidence.at_ms) {
            *self = RuleState::default();
        }
    }

    /// A rule that fires while something holds: a tail, a forecast.
    pub fn follow(&mut self, is_open: bool, at_ms: Ms) {
        self.firing_since_ms = is_open.then(|| self.firing_since_ms.unwrap_or(at_ms));
    }

    fn pages(&self, spec: &RuleSpec) -> bool {
        self.firing_since_ms.is_some() && spec.severity == Severity::Page && !self.lowered
    }

    /// The times at which the rule may change without new events.
    pub fn deadlines(&self, spec: &RuleSpec, first_ms: Option<Ms>) -> [Option<Ms>; 2] {
        let warm_ms = first_ms.map(|first_ms| first_ms + spec.warm_after_ms);
        [warm_ms, self.calm_since_ms.map(|since_ms| since_ms + spec.resolve_after_ms)]
    }

    /// The severity in effect: as written, lowered by the single-user guard, then capped.
    pub fn severity(&self, spec: &RuleSpec, cap: Option<Severity>) -> Severity {
        let lowered = if self.lowered { spec.severity.min(Severity::Ticket) } else { spec.severity };
        // An agreement is about one customer: what caps the alerts of tenants does not cap it.
        let cap = cap.filter(|_| spec.kind != RuleKind::Sla);
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

/// Whether a scope has no alerts at all; its rules still fire in the status.
pub fn alerts_are_off(slo: &Slo, is_tenant: bool) -> bool {
    is_tenant && slo.tenant_alerts == TenantAlerts::Off
}

fn hold_back(slo: &Slo, objective: Ratio, evidence: &Evidence<'_>, window: usize) -> HeldBack {
    let allowed = objective.complement().unwrap_or(Ratio::ZERO).as_f64();
    let long = evidence.judged(window);
    HeldBack {
        not_warm: false,
        min_events: !slo.counts_users() && evidence.event_counts(window).events < slo.min_events,
        low_traffic: slo.low_traffic_guard
            && slo.asks_chance()
            && poisson_at_least(long.bad_events, allowed * long.events as f64) >= LOW_TRAFFIC_LEVEL,
    }
}

/// Whether a page is lowered to a ticket: one user of several has more than a quarter of the bad events, and without
/// them the long window would not burn.
fn lowers(slo: &Slo, spec: &RuleSpec, evidence: &Evidence<'_>) -> bool {
    if spec.severity != Severity::Page || !slo.single_user_guard || !slo.asks_chance() || evidence.users_active() < 2 {
        return false;
    }
    let long = evidence.judged(spec.long);
    let most = evidence.bad_users().most(evidence.window_starts_ms[spec.long]).max(u64::from(long.anonymous_bad > 0));
    // A key that was forgotten and came back counts less than its users tasks tell of a user.
    let most = most.min(long.bad_events);
    let (bad, events) = (long.bad_events - most, long.events - most);
    let has_a_quarter = u128::from(most) * 4 > u128::from(long.bad_events);
    has_a_quarter && spec.threshold.compare_share(u128::from(bad), u128::from(events)) != Ordering::Greater
}

/// How far back users are remembered.
pub struct UsersKept {
    /// Who was seen; `None`: there are no rules.
    pub seen_from_ms: Option<Ms>,
    /// Who had bad events.
    pub bad_from_ms: Ms,
    /// Panes that may still get events: with the names of these users.
    pub named_from_ms: Ms,
}

/// Per pane of event time, the users with the most bad events in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadUsers {
    /// Panes that may still get events: with names, which decide the users to keep.
    open: BTreeMap<Ms, Vec<BadUser>>,
    /// The closed panes, by hash.
    closed: BTreeMap<Ms, Vec<(u64, u64)>>,
}

impl BadUsers {
    /// Adds a users task's part of a pane.
    pub fn add(&mut self, pane_ms: Ms, users: &[BadUser]) {
        // A closed pane opens again only if a new definition allows more lateness.
        let nameless = |(hash, bad_events)| BadUser { bad_events, hash, ..BadUser::default() };
        let closed = self.closed.remove(&pane_ms).unwrap_or_default();
        let kept = self.open.entry(pane_ms).or_default();
        kept.extend(closed.into_iter().map(nameless));
        keep_most_bad(kept, users);
    }

    /// Drops the names of panes before `end_ms`: they get no more events.
    pub fn close_before(&mut self, end_ms: Ms) {
        let open = self.open.split_off(&end_ms);
        let by_hash = |users: Vec<BadUser>| users.iter().map(|u| (u.hash, u.bad_events)).collect();
        let closed = std::mem::replace(&mut self.open, open);
        self.closed.extend(closed.into_iter().map(|(pane, users)| (pane, by_hash(users))));
    }

    /// Forgets what no rule asks for, and the names of panes that get no more events.
    pub fn keep(&mut self, kept: &UsersKept) {
        self.forget_before(kept.bad_from_ms);
        self.close_before(kept.named_from_ms);
    }

    pub fn forget_before(&mut self, start_ms: Ms) {
        self.open = self.open.split_off(&start_ms);
        self.closed = self.closed.split_off(&start_ms);
    }

    /// The bad events since `start_ms` of the user who has most of them.
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
        // Only the longest window is remembered, so a user who leaves it is forgotten.
        if slice_ms < self.from_ms {
            return;
        }
        // A user from a longer slice leaves the slice that contains the time, because no other begins inside it.
        let slice_ms = match self.slices.range(..=slice_ms).next_back() {
            Some((held_ms, _)) if change < 0 => *held_ms,
            _ => slice_ms,
        };
        let users = self.slices.entry(slice_ms).or_insert(0);
        *users += change;
        if *users == 0 {
            self.slices.remove(&slice_ms);
        }
    }

    /// Changes the slice length: shorter slices are added up.
    pub fn reslice(&mut self, slice_ms: Ms) {
        let mut slices = BTreeMap::new();
        for (start_ms, users) in std::mem::take(&mut self.slices) {
            *slices.entry(floor_to(start_ms, slice_ms)).or_insert(0) += users;
        }
        self.slices = slices;
    }

    /// Distinct users since `start_ms`.
    pub fn users_since(&self, start_ms: Ms) -> u64 {
        u64::try_from(self.slices.range(start_ms..).map(|(_, users)| users).sum::<i64>()).unwrap_or(0)
    }
}
