//! The latest records, as far as a gate asks for them.

use super::passes::{Below, Facts, Pass};
use super::{Reason, Verdict};
use crate::board::gate::{Action, Policy, action_of};
use crate::model::record::Topic;
use crate::model::time::Moment;
use anyhow::Context as _;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Status {
    slo: String,
    definition_hash: String,
    service: String,
    scope: String,
    at: Moment,
    state: String,
    budget_remaining: Option<f64>,
    policy: Option<Policy>,
    windows: Vec<Window>,
    users: Vec<Users>,
    gauge: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Window {
    window: String,
    burn: Option<f64>,
}

#[derive(Deserialize)]
struct Users {
    window: String,
    users: u64,
    below_objective: u64,
}

#[derive(Deserialize)]
struct Alert {
    id: String,
    slo: String,
    scope: String,
    severity: String,
    state: String,
    started_at: Moment,
    title: String,
}

#[derive(Deserialize)]
struct Cohort {
    id: String,
    slo: String,
    state: String,
    same_as: Option<String>,
    started_at: Moment,
    summary: String,
}

#[derive(Deserialize)]
struct Canary {
    slo: String,
    tenant: Option<String>,
    candidate: String,
    verdict: String,
    reason: String,
}

/// The latest records, as far as a gate asks for them.
#[derive(Default)]
pub struct Collected {
    statuses: BTreeMap<String, Status>,
    /// What fires, by id.
    alerts: BTreeMap<String, Alert>,
    /// What is open, by id, but for what repeats one of its aggregate.
    cohorts: BTreeMap<String, Cohort>,
    canaries: BTreeMap<String, Canary>,
}

impl Collected {
    pub fn take(&mut self, topic: Topic, key: &str, json: Option<&[u8]>) -> anyhow::Result<()> {
        let Some(json) = json else {
            if topic == Topic::SloStatus {
                self.statuses.remove(key);
            }
            return Ok(());
        };
        let context = || format!("{key}: this is no record of {}", topic.name());
        match topic {
            Topic::SloStatus => {
                let status: Status = serde_json::from_slice(json).with_context(context)?;
                if status.scope == "aggregate" {
                    self.statuses.insert(key.to_owned(), status);
                }
            }
            Topic::BurnAlerts => {
                let alert: Alert = serde_json::from_slice(json).with_context(context)?;
                if alert.state == "resolved" {
                    self.alerts.remove(&alert.id);
                } else {
                    self.alerts.insert(alert.id.clone(), alert);
                }
            }
            Topic::TailCohorts => {
                let cohort: Cohort = serde_json::from_slice(json).with_context(context)?;
                if cohort.state == "closed" || cohort.same_as.is_some() {
                    self.cohorts.remove(&cohort.id);
                } else {
                    self.cohorts.insert(cohort.id.clone(), cohort);
                }
            }
            Topic::CanaryVerdicts => {
                let canary: Canary = serde_json::from_slice(json).with_context(context)?;
                self.canaries.insert(key.to_owned(), canary);
            }
            _ => {}
        }
        Ok(())
    }

    fn of_service(&self, service: &str) -> impl Iterator<Item = &Status> + Clone {
        self.statuses.values().filter(move |status| status.service == service)
    }

    /// What a later gate compares with.
    pub fn pass(&self, service: &str, release: Option<&str>) -> Pass {
        let statuses = self.of_service(service);
        Pass {
            at: statuses.clone().map(|status| status.at).max(),
            release: release.map(str::to_owned),
            slos: statuses.map(|status| (status.slo.clone(), self.facts(status))).collect(),
        }
    }

    fn facts(&self, status: &Status) -> Facts {
        let alert = |alert: &Alert| {
            let text = format!("{} since {}: {}", alert.severity, alert.started_at, alert.title);
            (alert.id.clone(), text)
        };
        let cohort = |cohort: &Cohort| {
            let text = format!("tail cause since {}: {}", cohort.started_at, cohort.summary);
            (cohort.id.clone(), text)
        };
        Facts {
            definition_hash: status.definition_hash.clone(),
            state: status.state.clone(),
            budget_remaining: status.budget_remaining,
            burns: status.windows.iter().filter_map(|of| Some((of.window.clone(), of.burn?))).collect(),
            below: status
                .users
                .iter()
                .map(|of| (of.window.clone(), Below { users: of.users, below: of.below_objective }))
                .collect(),
            alerts: self.alerts.values().filter(|one| one.slo == status.slo).map(alert).collect(),
            causes: self.cohorts.values().filter(|one| one.slo == status.slo).map(cohort).collect(),
        }
    }

    pub fn reasons(&self, service: &str, release: Option<&str>) -> Vec<Reason> {
        let statuses = self.of_service(service);
        let mut reasons: Vec<Reason> = statuses.clone().map(|status| self.of_slo(status)).collect();
        if let Some(release) = release {
            let is_ours = |canary: &&Canary| statuses.clone().any(|status| status.slo == canary.slo);
            let verdicts: Vec<Reason> = self
                .canaries
                .values()
                .filter(|canary| canary.candidate == release && canary.tenant.is_none())
                .filter(is_ours)
                .map(of_canary)
                .collect();
            if verdicts.is_empty() {
                let reason = format!("no SLO of the service has a verdict on the candidate `{release}`");
                reasons.push(Reason { slo: String::new(), verdict: Verdict::NoData, reason });
            }
            reasons.extend(verdicts);
        }
        if reasons.is_empty() {
            let reason = format!("no SLO of the service `{}` has a status", service);
            reasons.push(Reason { slo: String::new(), verdict: Verdict::NoData, reason });
        }
        reasons
    }

    fn of_slo(&self, status: &Status) -> Reason {
        let is_page =
            |alert: &&Alert| alert.slo == status.slo && alert.scope == "aggregate" && alert.severity == "page";
        let page = self.alerts.values().find(is_page).map(|alert| alert.title.as_str());
        let (action, reason) = action_of(&status.state, page, status.policy.as_ref(), status.gauge.is_some());
        let verdict = match action {
            Action::Freeze => Verdict::Fail,
            _ if status.state == "no_data" => Verdict::NoData,
            Action::Ship | Action::Caution => Verdict::Pass,
        };
        Reason { slo: status.slo.clone(), verdict, reason }
    }
}

fn of_canary(canary: &Canary) -> Reason {
    let verdict = match canary.verdict.as_str() {
        "pass" => Verdict::Pass,
        "fail" => Verdict::Fail,
        _ => Verdict::NoData,
    };
    let reason = format!("canary {}: {} ({})", canary.candidate, canary.verdict, canary.reason);
    Reason { slo: canary.slo.clone(), verdict, reason }
}
