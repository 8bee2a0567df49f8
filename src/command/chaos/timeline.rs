//! When which rule fired, from the records of `burn-alerts`.

use crate::model::output::{BurnAlert, Labels};
use crate::model::time::{MINUTE_MS, Ms};
use std::collections::BTreeMap;

/// An alert that comes earlier than this before one of the recording is one of its own.
const EARLIER_MS: Ms = 15 * MINUTE_MS;

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

    /// Whether they have a time in common.
    fn overlaps(&self, other: &Firing) -> bool {
        let begins_before_end = |a: &Firing, b: &Firing| b.to_ms.is_none_or(|to_ms| a.from_ms < to_ms);
        begins_before_end(self, other) && begins_before_end(other, self)
    }

    /// Whether this tells nothing beyond the other one: the other one is of the same key, as severe or more so, and fires
    /// while this does, from at most [`EARLIER_MS`] later on.
    fn is_covered_by(&self, other: &Firing) -> bool {
        (&self.slo, &self.scope, &self.tenant, &self.group) == (&other.slo, &other.scope, &other.tenant, &other.group)
            && other.urgency() <= self.urgency()
            && self.overlaps(other)
            && other.from_ms - self.from_ms <= EARLIER_MS
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

    /// What fires here and is covered by nothing in the other one, also by nothing that begins later while it still fires:
    /// soonest first, then the most urgent, then the aggregate.
    pub fn new_since(&self, before: &Timeline, slo: &str) -> Vec<Firing> {
        let is_new = |f: &&Firing| !before.firings.iter().any(|b| f.is_covered_by(b));
        let mut new: Vec<Firing> = self.firings.iter().filter(|f| f.slo == slo).filter(is_new).cloned().collect();
        new.sort_by_key(|f| (f.from_ms, f.urgency(), f.scope != "aggregate"));
        new
    }

    /// What somebody is told first here otherwise than in the other one, and what covers it there: the same rule if it does,
    /// or else what begins first.
    pub fn told_anyway<'a>(&'a self, before: &'a Timeline, slo: &str) -> Option<(&'a Firing, &'a Firing)> {
        let told = self.firings.iter().filter(|f| f.slo == slo && f.is_told());
        let covered = told.filter_map(|f| {
            let all = before.firings.iter().filter(|b| f.is_covered_by(b));
            let cover = all.min_by_key(|b| ((&b.rule, &b.severity) != (&f.rule, &f.severity), b.from_ms))?;
            let is_same = (&cover.rule, cover.from_ms) == (&f.rule, f.from_ms);
            (!is_same).then_some((f, cover))
        });
        covered.min_by_key(|(f, _)| (f.from_ms, f.urgency(), f.scope != "aggregate"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn firing(severity: &str, from_ms: Ms, to_ms: Option<Ms>) -> Firing {
        Firing {
            slo: "a".to_owned(),
            scope: "aggregate".to_owned(),
            tenant: None,
            group: Labels::default(),
            severity: severity.to_owned(),
            rule: "6h/30m".to_owned(),
            from_ms,
            to_ms,
            alert_id: String::new(),
        }
    }

    #[test]
    fn what_fires_alike_or_worse_at_the_same_time_leaves_nothing_new() {
        let is_new = |after: Firing, before: Firing| {
            let [after, before] = [after, before].map(|f| Timeline { firings: vec![f], ..Timeline::default() });
            (after.new_since(&before, "a").len() == 1, after.told_anyway(&before, "a").map(|(_, b)| b.from_ms))
        };
        let page = || firing("page", 10, Some(20));
        assert_eq!(is_new(page(), firing("page", 19, None)), (false, Some(19)));
        assert_eq!(is_new(page(), firing("page", 20, None)), (true, None), "it is over before the other one begins");
        assert_eq!(is_new(page(), firing("page", 5, Some(10))), (true, None), "the other one is over");
        assert_eq!(is_new(page(), firing("page", 5, Some(11))), (false, Some(5)), "the other one fires already");
        assert_eq!(is_new(page(), firing("ticket", 5, None)), (true, None), "a page is more than a ticket");
        let later = |by_ms: Ms| is_new(firing("page", 10, None), firing("page", 10 + by_ms, None));
        assert_eq!(later(EARLIER_MS), (false, Some(10 + EARLIER_MS)));
        assert_eq!(later(EARLIER_MS + 1), (true, None), "so much earlier is more than earlier");
        assert_eq!(is_new(firing("ticket", 10, None), firing("page", 15, Some(16))), (false, Some(15)));
        assert_eq!(is_new(page(), page()), (false, None), "the same");
        let of_tenant = Firing { scope: "tenant".to_owned(), tenant: Some("acme".to_owned()), ..page() };
        assert_eq!(is_new(of_tenant, page()), (true, None), "another key");
    }
}
