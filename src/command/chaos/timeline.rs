//! When which rule fired, from the records of `burn-alerts`.

use crate::model::output::{BurnAlert, Labels};
use crate::model::time::Ms;
use std::collections::BTreeMap;

/// One rule of one key while it fired.
#[derive(Clone, Debug, PartialEq)]
pub struct Firing {
    pub slo: String,
    pub scope: String,
    pub tenant: Option<String>,
    pub group: Labels,
    pub severity: String,
    pub rule: String,
    pub from_ms: Ms,
    /// `None`: to the end of the recording.
    pub to_ms: Option<Ms>,
    pub alert_id: String,
}

impl Firing {
    /// Page before ticket before info.
    pub fn urgency(&self) -> usize {
        ["page", "ticket"].iter().position(|severity| *severity == self.severity).unwrap_or(2)
    }

    /// Whether somebody is told: nobody is of alerts for information.
    pub fn is_told(&self) -> bool {
        self.urgency() < 2
    }

    fn is_same_as(&self, other: &Firing) -> bool {
        (&self.slo, &self.scope, &self.tenant, &self.group) == (&other.slo, &other.scope, &other.tenant, &other.group)
            && (&self.severity, &self.rule) == (&other.severity, &other.rule)
    }

    pub fn fires_at(&self, at_ms: Ms) -> bool {
        self.from_ms <= at_ms && self.to_ms.is_none_or(|to_ms| to_ms > at_ms)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Timeline {
    pub firings: Vec<Firing>,
    /// When an alert ended and why, by its id.
    pub ended: BTreeMap<String, (Ms, String)>,
}

impl Timeline {
    /// Records of a key come in the order of their times.
    pub fn take(&mut self, alert: BurnAlert) {
        let at_ms = alert.at.0;
        let is_over = alert.state == "resolved";
        let fires = |rule: &str| !is_over && alert.rules.iter().any(|other| other.rule == rule);
        let mut known: Vec<String> = Vec::new();
        for firing in self.firings.iter_mut().filter(|f| f.alert_id == alert.id && f.to_ms.is_none()) {
            if fires(&firing.rule) {
                known.push(firing.rule.clone());
            } else {
                firing.to_ms = Some(at_ms);
            }
        }
        if is_over {
            self.ended.insert(alert.id, (at_ms, alert.resolved_reason.unwrap_or_default()));
            return;
        }
        for rule in alert.rules.into_iter().filter(|rule| !known.contains(&rule.rule)) {
            self.firings.push(Firing {
                slo: alert.slo.clone(),
                scope: alert.scope.clone(),
                tenant: alert.tenant.clone(),
                group: alert.group.clone(),
                severity: alert.severity.clone(),
                rule: rule.rule,
                from_ms: at_ms,
                to_ms: None,
                alert_id: alert.id.clone(),
            });
        }
    }

    /// What began to fire here while it did not fire in the other one: soonest first, then the most urgent, then the
    /// aggregate.
    pub fn new_since(&self, before: &Timeline, slo: &str) -> Vec<Firing> {
        let is_new = |f: &&Firing| !before.firings.iter().any(|b| b.is_same_as(f) && b.fires_at(f.from_ms));
        let mut new: Vec<Firing> = self.firings.iter().filter(|f| f.slo == slo).filter(is_new).cloned().collect();
        new.sort_by_key(|f| (f.from_ms, f.urgency(), f.scope != "aggregate"));
        new
    }
}
