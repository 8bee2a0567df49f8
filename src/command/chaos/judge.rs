//! What an SLO says of a fault that it does not say without it.

use super::fault::Fault;
use super::named::{Named, named};
use super::overlay::Damage;
use super::replay::{Published, StatusHead};
use super::timeline::Firing;
use crate::model::duration;
use crate::model::slo::{Rule, RuleKind, Slo};
use crate::model::time::{Moment, Ms};
use serde::Serialize;
use std::collections::BTreeSet;

/// The first alert of a fault.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct First {
    pub severity: String,
    pub rule: String,
    pub scope: String,
    pub tenant: Option<String>,
    pub group: crate::model::output::Labels,
    pub at: Moment,
    /// After the fault's start.
    pub after_ms: Ms,
    /// `None`: it still fires where the recording ends.
    pub resolved_at: Option<Moment>,
    pub resolved_reason: Option<String>,
}

/// An SLO and a fault.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    pub slo: String,
    /// How events were made bad; null: no event of this SLO becomes bad.
    pub kind: Option<&'static str>,
    pub seen: bool,
    pub first: Option<First>,
    /// The first page, where another alert came first.
    pub first_page: Option<First>,
    /// Good events that the fault selects, and those that became bad.
    pub selected: u64,
    pub faulty: u64,
    /// Of the faulty events: how many fell before the first alert, and how many after it or without one.
    pub before_first: Option<u64>,
    pub undetected_share: Option<f64>,
    /// The share of the compliance window's budget that went before the first alert, or in all where none came.
    pub budget_spent: Option<f64>,
    pub named: Vec<Named>,
    /// Users with a faulty event, and those of them that `user-status` names with it.
    pub users_hit: usize,
    pub users_named: usize,
    /// Why it is not seen.
    pub reason: Option<String>,
}

/// One fault, one SLO, both runs.
pub struct Case<'a> {
    pub slo: &'a Slo,
    pub fault: &'a Fault,
    pub kind: &'static str,
    pub damage: &'a Damage,
    pub before: &'a Published,
    pub after: &'a Published,
}

impl Judged {
    pub fn untouched(slo: &Slo) -> Judged {
        let reason = match slo.is_value() {
            true => "it is about a value: it has no alerts",
            false => "the fault turns none of its good events bad. Say how they fail with set.FIELD=VALUE",
        };
        Judged {
            slo: slo.name.clone(),
            kind: None,
            seen: false,
            first: None,
            first_page: None,
            selected: 0,
            faulty: 0,
            before_first: None,
            undetected_share: None,
            budget_spent: None,
            named: Vec::new(),
            users_hit: 0,
            users_named: 0,
            reason: Some(reason.to_owned()),
        }
    }
}

impl Case<'_> {
    pub fn judge(&self) -> Judged {
        let new = self.after.timeline.new_since(&self.before.timeline, &self.slo.name);
        let first = new.iter().find(|firing| firing.is_told());
        let page = new.iter().find(|firing| firing.urgency() == 0);
        let seen_ms = first.map(|firing| firing.from_ms);
        let (before, weight) = self.damage.before(seen_ms.unwrap_or(Ms::MAX));
        let turned = self.damage.turned;
        Judged {
            slo: self.slo.name.clone(),
            kind: Some(self.kind),
            seen: first.is_some(),
            first: first.map(|firing| self.first(firing)),
            first_page: page.filter(|page| Some(*page) != first).map(|firing| self.first(firing)),
            selected: self.damage.selected,
            faulty: turned,
            before_first: first.map(|_| before),
            undetected_share: (turned > 0).then(|| before as f64 / turned as f64),
            budget_spent: self.budget_spent(weight, seen_ms),
            named: named(self.slo, &self.fault.spec.selector, self.fault.from_ms, &new, self.after, self.before),
            users_hit: self.damage.users.len(),
            users_named: self.users_named(),
            reason: first.is_none().then(|| self.reason(&new)),
        }
    }

    fn first(&self, firing: &Firing) -> First {
        let ended = self.after.timeline.ended.get(&firing.alert_id);
        First {
            severity: firing.severity.clone(),
            rule: firing.rule.clone(),
            scope: firing.scope.clone(),
            tenant: firing.tenant.clone(),
            group: firing.group.clone(),
            at: Moment(firing.from_ms),
            after_ms: firing.from_ms - self.fault.from_ms,
            resolved_at: ended.map(|(at_ms, _)| Moment(*at_ms)),
            resolved_reason: ended.map(|(_, reason)| reason.clone()),
        }
    }

    fn statuses(&self) -> impl Iterator<Item = &StatusHead> {
        let all = self.after.statuses.get(&self.slo.name).map_or(&[][..], Vec::as_slice);
        all.iter().filter(|status| status.at.0 > self.fault.from_ms)
    }

    /// Faulty events over what the window allows, as its last status by then has it. Only of events there is a number.
    fn budget_spent(&self, weight_micros: u128, at_ms: Option<Ms>) -> Option<f64> {
        let by_then = |status: &&StatusHead| at_ms.is_none_or(|at_ms| status.at.0 <= at_ms);
        let allowed = self.statuses().take_while(by_then).last()?.budget.allowed_bad?;
        let is_counted = self.slo.counts_events() && allowed > 0.0;
        is_counted.then(|| weight_micros as f64 / 1e6 / allowed)
    }

    /// Users with a faulty event that `user-status` has with more bad events than without the fault.
    fn users_named(&self) -> usize {
        let Some(named) = self.after.users.get(&self.slo.name) else { return 0 };
        let without = self.before.users.get(&self.slo.name);
        let is_named = |user: &&u64| {
            let known = |at_ms: Ms| {
                let points = without.and_then(|users| users.get(*user)).map_or(&[][..], Vec::as_slice);
                points.iter().take_while(|(at, _)| *at <= at_ms).last().map_or(0.0, |(_, bad)| *bad)
            };
            let points = named.get(*user).map_or(&[][..], Vec::as_slice);
            points.iter().any(|(at_ms, bad)| *at_ms > self.fault.from_ms && *bad > known(*at_ms))
        };
        self.damage.users.iter().filter(is_named).count()
    }

    /// Why nobody was told: the first cause that holds.
    fn reason(&self, new: &[Firing]) -> String {
        if self.damage.turned == 0 {
            return "the share hits no event: too little traffic".to_owned();
        }
        if let Some((firing, anyway)) = self.after.timeline.told_anyway(&self.before.timeline, &self.slo.name) {
            let (at, rule, severity) = (Moment(anyway.from_ms), &anyway.rule, &anyway.severity);
            return match anyway.from_ms > firing.from_ms {
                true => format!("it only came earlier: the recording raises it at {at} ({rule} {severity})"),
                false => format!("{rule} {severity} fires without the fault, too, since {at}"),
            };
        }
        if let Some(info) = new.first() {
            let who = info.tenant.as_deref().unwrap_or("a group");
            return format!("only for information: {} of {who} fires, and tells nobody (tenant-alerts)", info.rule);
        }
        if let Some(firing) = self.masked_by() {
            let since = Moment(firing.from_ms);
            return format!("{} {} fires without the fault, too, since {since}", firing.rule, firing.severity);
        }
        if let Some((rule, guards)) = self.held_back() {
            let guards: Vec<&str> = guards.iter().map(String::as_str).collect();
            return format!("{rule} would fire, and {} held it back", guards.join(", "));
        }
        match self.closest() {
            Some((rule, factor, long, short)) => format!(
                "too few bad events: {rule} fires above a burn rate of {factor:.4}, which was {long:.3} and {short:.3} at most"
            ),
            None if self.burn_rules().next().is_some() => {
                "none of its rules had a burn rate: too few events in the recording".to_owned()
            }
            None => "it has no rule that could fire".to_owned(),
        }
    }

    fn masked_by(&self) -> Option<&Firing> {
        let fires = |f: &&Firing| {
            f.slo == self.slo.name
                && f.is_told()
                && f.scope == "aggregate"
                && f.from_ms < self.fault.to_ms
                && f.to_ms.is_none_or(|to_ms| to_ms > self.fault.from_ms)
        };
        self.before.timeline.firings.iter().find(fires)
    }

    /// The rule whose condition held first, and all that held it back while it did.
    fn held_back(&self) -> Option<(String, BTreeSet<String>)> {
        let held = |status: &StatusHead| {
            let rules = status.alerts.iter().filter(|rule| !rule.held_back_by.is_empty());
            rules.map(|rule| (rule.rule.clone(), rule.held_back_by.clone())).collect::<Vec<_>>()
        };
        let all: Vec<_> = self.statuses().flat_map(held).collect();
        let (rule, _) = all.first()?;
        let guards = all.iter().filter(|(other, _)| other == rule).flat_map(|(_, guards)| guards.clone()).collect();
        Some((rule.clone(), guards))
    }

    fn burn_rules(&self) -> impl Iterator<Item = (RuleKind, Rule)> {
        self.slo.all_rules().filter(|(kind, _)| *kind == RuleKind::BurnRate)
    }

    /// The rule of burn rates that was nearest to firing: its factor, and what burnt over its two windows.
    fn closest(&self) -> Option<(String, f64, f64, f64)> {
        let mut best: Option<(f64, (String, f64, f64, f64))> = None;
        for (kind, rule) in self.burn_rules() {
            let (long, short) = (duration::print(rule.long_ms), duration::print(rule.evidence_ms()));
            let factor = rule.factor.as_f64();
            for status in self.statuses() {
                let burn = |name: &str| status.windows.iter().find(|w| w.window == name).and_then(|w| w.burn);
                let (Some(long), Some(short)) = (burn(&long), burn(&short)) else { continue };
                let near = long.min(short) / factor;
                if best.as_ref().is_none_or(|(known, _)| near > *known) {
                    best = Some((near, (kind.name(&rule), factor, long, short)));
                }
            }
        }
        best.map(|(_, told)| told)
    }
}
