//! What a record of a topic means to somebody who is told of it.
//!
//! A thing that goes on (an alert of a key and severity, a cohort, a canary that fails) is an *item* with a name of its
//! own that is alike for every episode; a record is *news* of an item.

use crate::model::hex;
use crate::model::key::{Scope, key_text};
use crate::model::output::{BurnAlert, CanaryVerdict, Labels, TailCohort};
use crate::model::record::Topic;
use crate::model::time::{Moment, Ms};
use serde::Deserialize;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Alert,
    Cohort,
    Canary,
}

/// From the worst to the mildest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Page,
    Ticket,
    Info,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Firing,
    Ended,
}

#[derive(Clone, Debug, PartialEq)]
pub struct News {
    pub kind: Kind,
    /// The name of the item: alike for every episode, and told as `dedup_key`.
    pub item: String,
    /// The episode.
    pub id: String,
    /// The number of the record within the episode; it has no news for people where it is that of the record before.
    pub seq: u64,
    pub phase: Phase,
    pub severity: Severity,
    /// `slo|aggregate`, `slo|tenant|acme` ...
    pub key: String,
    pub slo: String,
    pub service: String,
    pub scope: String,
    pub tenant: Option<String>,
    pub labels: Labels,
    pub group: Labels,
    pub at: Moment,
    pub started_at: Moment,
    pub ended_at: Option<Moment>,
    pub title: String,
    pub summary: String,
    pub owner: Option<String>,
    pub runbook_url: Option<String>,
    pub dashboard_url: Option<String>,
    /// The record as it was published.
    pub record: Json,
}

/// A record that is none of ours.
#[derive(Debug, thiserror::Error)]
#[error("a record of {topic} cannot be read: {source}")]
pub struct Unreadable {
    topic: &'static str,
    source: serde_json::Error,
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Alert => "alert",
            Kind::Cohort => "cohort",
            Kind::Canary => "canary",
        }
    }
}

impl Severity {
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Page => "page",
            Severity::Ticket => "ticket",
            Severity::Info => "info",
        }
    }

    fn of(text: &str) -> Severity {
        match text {
            "page" => Severity::Page,
            "ticket" => Severity::Ticket,
            _ => Severity::Info,
        }
    }
}

/// The first 32 hex digits of SHA-256, as ids of the contract are made.
pub fn short_hash(text: &str) -> String {
    let mut hash = hex::encode(&Sha256::digest(text.as_bytes()));
    hash.truncate(32);
    hash
}

impl News {
    /// The topics with news.
    pub const TOPICS: [Topic; 3] = [Topic::BurnAlerts, Topic::TailCohorts, Topic::CanaryVerdicts];

    /// The news in a record's JSON. `None`: nobody is told of such a record.
    pub fn of(topic: Topic, json: &[u8]) -> Result<Option<News>, Unreadable> {
        let unreadable = |source| Unreadable { topic: topic.name(), source };
        let record: Json = serde_json::from_slice(json).map_err(unreadable)?;
        let news = match topic {
            Topic::BurnAlerts => BurnAlert::deserialize(&record).map(of_alert),
            Topic::TailCohorts => TailCohort::deserialize(&record).map(of_cohort),
            Topic::CanaryVerdicts => CanaryVerdict::deserialize(&record).map(of_canary),
            _ => return Ok(None),
        };
        news.map(|news| Some(News { record, ..news })).map_err(unreadable)
    }

    /// The same later by this much: for trying files of the past.
    pub fn shifted(mut self, by_ms: Ms) -> News {
        let moved = |at: Moment| Moment(at.0.saturating_add(by_ms));
        (self.at, self.started_at) = (moved(self.at), moved(self.started_at));
        self.ended_at = self.ended_at.map(moved);
        self
    }

    /// Which news this is.
    pub fn version(&self) -> (&str, u64) {
        (&self.id, self.seq)
    }

    /// An alert that a page of the same key holds back.
    pub fn is_ticket(&self) -> bool {
        self.kind == Kind::Alert && self.severity == Severity::Ticket
    }

    /// An alert that holds back tickets.
    pub fn is_page(&self) -> bool {
        self.kind == Kind::Alert && self.severity == Severity::Page
    }

    pub fn is_over(&self) -> bool {
        self.phase == Phase::Ended
    }
}

fn of_alert(alert: BurnAlert) -> News {
    let ended = alert.state == "resolved";
    News {
        kind: Kind::Alert,
        key: key_of(&alert.slo, &alert.scope, alert.tenant.as_deref(), &alert.group),
        item: alert.dedup_key,
        id: alert.id,
        seq: alert.seq,
        phase: if ended { Phase::Ended } else { Phase::Firing },
        severity: Severity::of(&alert.severity),
        slo: alert.slo,
        service: alert.service,
        scope: alert.scope,
        tenant: alert.tenant,
        labels: alert.labels,
        group: alert.group,
        at: alert.at,
        started_at: alert.started_at,
        ended_at: alert.ended_at.or(ended.then_some(alert.at)),
        title: alert.title,
        summary: alert.summary,
        owner: alert.owner,
        runbook_url: alert.runbook_url,
        dashboard_url: alert.dashboard_url,
        record: Json::Null,
    }
}

/// A cohort is news when it opens and when it closes: its figures change at every step.
fn of_cohort(cohort: TailCohort) -> News {
    let key = key_of(&cohort.slo, &cohort.scope, cohort.tenant.as_deref(), &cohort.group);
    let pairs = cohort.cohort.iter().map(|pair| format!("{}={}", pair.attribute, pair.value));
    let combination = pairs.collect::<Vec<_>>().join(", ");
    let what = match (cohort.kind.as_str(), combination.as_str()) {
        ("tail_degraded", _) => "The worst-served users are served badly".to_owned(),
        (_, "") => "Some users are served badly".to_owned(),
        (_, combination) => format!("Served badly: {combination}"),
    };
    let closed = cohort.state == "closed";
    News {
        kind: Kind::Cohort,
        item: short_hash(&format!(
            "cohort|{key}|{}|{combination}",
            if combination.is_empty() { &cohort.kind } else { "" }
        )),
        key,
        id: cohort.id,
        seq: if closed { 2 } else { 1 },
        phase: if closed { Phase::Ended } else { Phase::Firing },
        severity: Severity::Info,
        title: format!("{what} ({})", cohort.slo),
        slo: cohort.slo,
        service: cohort.service,
        scope: cohort.scope,
        tenant: cohort.tenant,
        labels: Labels::new(),
        group: cohort.group,
        at: cohort.at,
        started_at: cohort.started_at,
        ended_at: closed.then_some(cohort.at),
        summary: cohort.summary,
        owner: None,
        runbook_url: None,
        dashboard_url: None,
        record: Json::Null,
    }
}

/// A failing canary fires; it is over when its verdict is another one, which only a new test brings.
fn of_canary(verdict: CanaryVerdict) -> News {
    let fails = verdict.verdict == "fail";
    let tenant = verdict.tenant.as_deref();
    let scope = if tenant.is_some() { "tenant" } else { "aggregate" };
    let name = format!("canary|{}|{}|{}", verdict.slo, tenant.unwrap_or("*"), verdict.candidate);
    News {
        kind: Kind::Canary,
        item: short_hash(&name),
        id: short_hash(&format!("{name}|{}", verdict.started_at.0)),
        seq: 1,
        phase: if fails { Phase::Firing } else { Phase::Ended },
        severity: Severity::Ticket,
        key: key_of(&verdict.slo, scope, tenant, &Labels::new()),
        title: format!("{} {} fails its canary ({})", verdict.attribute, verdict.candidate, verdict.slo),
        summary: format!("{}: {}", verdict.verdict, verdict.reason),
        slo: verdict.slo,
        service: String::new(),
        scope: scope.to_owned(),
        tenant: verdict.tenant,
        labels: Labels::new(),
        group: Labels::new(),
        at: verdict.at,
        started_at: verdict.started_at,
        ended_at: (!fails).then_some(verdict.at),
        owner: None,
        runbook_url: None,
        dashboard_url: None,
        record: Json::Null,
    }
}

fn key_of(slo: &str, scope: &str, tenant: Option<&str>, group: &Labels) -> String {
    let scope = match scope {
        "tenant" => Scope::Tenant(tenant.unwrap_or_default().to_owned()),
        "group" => Scope::Group(group.clone().into_iter().collect()),
        _ => Scope::Aggregate,
    };
    key_text(slo, &scope)
}
