//! The truth about planted incidents, to check results against.
//!
//! Counts are of records as an SLO over `status < 500` without heartbeats sees them: well-formed, with a status, and
//! not too late; unweighted. Scope depends on the user, also if a record lacks the user or an attribute. Everything
//! else is counted in `totals`.

use super::event::{Event, Operation};
use super::incident::{Incident, IncidentKind};
use super::population::Population;
use crate::model::time::{Moment, Ms};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Truth {
    pub seed: u64,
    pub from: Moment,
    /// `null` for traffic without an end.
    pub until: Option<Moment>,
    pub users: usize,
    pub tenants: Vec<String>,
    pub silent_tenant: Option<SilentTenant>,
    pub totals: Totals,
    pub incidents: Vec<PlantedIncident>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SilentTenant {
    pub tenant: String,
    pub from: Moment,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Lines written, duplicates, retries and malformed ones included.
    pub records: u64,
    /// Good or bad for an SLO over `status < 500` without heartbeats, if it takes late events without a limit.
    pub classified: u64,
    pub bad: u64,
    pub heartbeats: u64,
    pub without_status: u64,
    pub without_user: u64,
    /// Arrived 1 to 30 minutes after their time.
    pub late: u64,
    /// Arrived 2 to 6 hours after their time.
    pub too_late: u64,
    pub duplicates: u64,
    /// Sent again by a client after a failure.
    pub retries: u64,
    /// By the expected reason of their dead letter.
    pub malformed: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlantedIncident {
    pub kind: &'static str,
    pub start: Moment,
    pub end: Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    pub attributes: BTreeMap<&'static str, String>,
    pub rate: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_factor: Option<f64>,
    /// Events in scope: of these users, in this time.
    pub events: u64,
    /// Of them, the bad ones, for any reason.
    pub bad_events: u64,
    /// Of them, those made bad (slow, for kind `latency`) by this incident.
    pub planted_events: u64,
    /// Users with an event in scope.
    pub users_in_scope: u64,
    /// Users with a planted event.
    pub users_affected: u64,
}

/// How far behind its time a record arrived, by design.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    Prompt,
    Late,
    TooLate,
}

/// Counts while traffic is generated.
#[derive(Clone, Debug)]
pub struct Tally {
    pub totals: Totals,
    incidents: Vec<IncidentTally>,
}

#[derive(Clone, Debug, Default)]
struct IncidentTally {
    events: u64,
    bad: u64,
    planted: u64,
    seen: UserSet,
    affected: UserSet,
}

impl Tally {
    pub fn new(incidents: usize) -> Tally {
        Tally { totals: Totals::default(), incidents: vec![IncidentTally::default(); incidents] }
    }

    pub fn count(&mut self, event: &Event, delay: Delay, retry: bool) {
        let totals = &mut self.totals;
        totals.records += 1;
        totals.retries += u64::from(retry);
        if let Some(defect) = event.form.defect {
            *totals.malformed.entry(defect.reason()).or_default() += 1;
            return;
        }
        match delay {
            Delay::Prompt => {}
            Delay::Late => totals.late += 1,
            Delay::TooLate => totals.too_late += 1,
        }
        totals.without_user += u64::from(event.anonymous);
        if event.operation == Operation::Heartbeat {
            totals.heartbeats += 1;
        } else if event.status.is_none() {
            totals.without_status += 1;
        } else {
            totals.classified += 1;
            totals.bad += u64::from(event.is_error());
        }
    }

    pub fn count_duplicate(&mut self) {
        self.totals.records += 1;
        self.totals.duplicates += 1;
    }

    pub fn count_in_scope(&mut self, incident: usize, event: &Event, planted: bool) {
        let Some(tally) = self.incidents.get_mut(incident) else { return };
        tally.events += 1;
        tally.bad += u64::from(event.is_error());
        tally.planted += u64::from(planted);
        if !event.anonymous {
            tally.seen.insert(event.user);
            if planted {
                tally.affected.insert(event.user);
            }
        }
    }

    pub fn planted(&self, incident: usize, of: &Incident) -> PlantedIncident {
        let empty = IncidentTally::default();
        let tally = self.incidents.get(incident).unwrap_or(&empty);
        PlantedIncident {
            kind: of.kind.as_str(),
            start: Moment(of.from_ms),
            end: Moment(of.until_ms),
            tenant: of.tenant.clone(),
            user: of.user.clone(),
            attributes: of.attributes.iter().map(|(a, v)| (a.name(), v.clone())).collect(),
            rate: of.rate,
            slow_factor: (of.kind == IncidentKind::Latency).then_some(of.slow_factor),
            events: tally.events,
            bad_events: tally.bad,
            planted_events: tally.planted,
            users_in_scope: tally.seen.len,
            users_affected: tally.affected.len,
        }
    }
}

pub fn silent_tenant(population: &Population, from_ms: Option<Ms>) -> Option<SilentTenant> {
    let tenant = population.tenants.last()?.clone();
    Some(SilentTenant { tenant, from: Moment(from_ms?) })
}

/// A set of user indexes: one bit each.
#[derive(Clone, Debug, Default)]
struct UserSet {
    words: Vec<u64>,
    len: u64,
}

impl UserSet {
    fn insert(&mut self, user: u32) {
        let (word, bit) = (user as usize / 64, 1u64 << (user % 64));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.len += u64::from(self.words[word] & bit == 0);
        self.words[word] |= bit;
    }
}
