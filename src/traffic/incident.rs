//! Planted incidents: what fails, for whom, when, and how often.
//!
//! An incident is written in one line (`cohort@2d+45m:integration=sdk,region=ap:rate=0.3`) or planned from the seed.
//! Heartbeats never fail: that probes take another path is the reason for excluding them.

use super::traits::Attribute;
use crate::model::duration;
use crate::model::time::{Moment, Ms};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncidentKind {
    /// Everybody.
    Outage,
    /// The users with a combination of one to three attribute values.
    Cohort,
    /// One user.
    User,
    /// One tenant.
    Tenant,
    /// Slow and successful.
    Latency,
}

impl IncidentKind {
    pub const ALL: [IncidentKind; 5] =
        [IncidentKind::Outage, IncidentKind::Cohort, IncidentKind::User, IncidentKind::Tenant, IncidentKind::Latency];

    pub const fn as_str(self) -> &'static str {
        match self {
            IncidentKind::Outage => "outage",
            IncidentKind::Cohort => "cohort",
            IncidentKind::User => "user",
            IncidentKind::Tenant => "tenant",
            IncidentKind::Latency => "latency",
        }
    }

    /// The default of `rate=`: the share of events in scope that fail (or are slow).
    const fn default_rate(self) -> f64 {
        match self {
            IncidentKind::Outage => 0.5,
            IncidentKind::Cohort => 0.3,
            IncidentKind::User | IncidentKind::Latency => 0.9,
            IncidentKind::Tenant => 0.4,
        }
    }
}

/// The default of `factor=`: slow events take this many times as long.
pub const DEFAULT_SLOW_FACTOR: f64 = 20.0;

#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    pub kind: IncidentKind,
    pub from_ms: Ms,
    pub until_ms: Ms,
    /// Limits the incident to one tenant; the seed chooses one if kind `tenant` names none.
    pub tenant: Option<String>,
    /// Limits the incident to one user of `tenant`; the seed chooses one if kind `user` names none.
    pub user: Option<String>,
    /// Limits the incident to the users with all these values.
    pub attributes: Vec<(Attribute, String)>,
    /// The share of the events in scope that fail, or are slow.
    pub rate: f64,
    /// The factor for latencies; only for kind `latency`.
    pub slow_factor: f64,
}

impl Incident {
    pub fn new(kind: IncidentKind, from_ms: Ms, until_ms: Ms) -> Incident {
        Incident {
            kind,
            from_ms,
            until_ms,
            tenant: None,
            user: None,
            attributes: Vec::new(),
            rate: kind.default_rate(),
            slow_factor: DEFAULT_SLOW_FACTOR,
        }
    }

    /// Parses `KIND@START+DURATION[:name=value,...]...`; START is a time or an offset from the start
    /// of the traffic.
    pub fn parse(text: &str, traffic_from_ms: Ms) -> Result<Incident, IncidentError> {
        let malformed = || IncidentError::Malformed(text.to_owned());
        let (kind, rest) = text.split_once('@').ok_or_else(malformed)?;
        let kind = IncidentKind::ALL
            .into_iter()
            .find(|k| k.as_str() == kind)
            .ok_or_else(|| IncidentError::Kind(kind.to_owned()))?;
        let (start, rest) = rest.split_once('+').ok_or_else(malformed)?;
        let (length, conditions) = rest.split_once(':').unwrap_or((rest, ""));
        let from_ms = parse_start(start, traffic_from_ms)?;
        let length_ms =
            duration::parse(length).map_err(|e| IncidentError::Duration(length.to_owned(), e.to_string()))?;
        if length_ms == 0 {
            return Err(IncidentError::Duration(length.to_owned(), "it must not be 0".to_owned()));
        }
        let until_ms = from_ms.checked_add(length_ms).ok_or_else(malformed)?;
        let mut incident = Incident::new(kind, from_ms, until_ms);
        for condition in conditions.split([':', ',']).filter(|c| !c.is_empty()) {
            let (name, value) = condition.split_once('=').ok_or_else(malformed)?;
            incident.set(name.trim(), value.trim())?;
        }
        Ok(incident)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), IncidentError> {
        match name {
            "rate" => self.rate = parse_number(name, value, 0.0, 1.0)?,
            "factor" => self.slow_factor = parse_number(name, value, 1.0, 10_000.0)?,
            "tenant" => self.tenant = Some(value.to_owned()),
            "user" => self.user = Some(value.to_owned()),
            _ => {
                let attribute = Attribute::parse(name).ok_or_else(|| IncidentError::Name(name.to_owned()))?;
                self.attributes.push((attribute, value.to_owned()));
            }
        }
        Ok(())
    }

    #[inline]
    pub fn covers(&self, time_ms: Ms) -> bool {
        self.from_ms <= time_ms && time_ms < self.until_ms
    }
}

fn parse_start(text: &str, traffic_from_ms: Ms) -> Result<Ms, IncidentError> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time.as_millisecond());
    }
    let offset_ms = duration::parse(text).map_err(|_| IncidentError::Start(text.to_owned()))?;
    traffic_from_ms.checked_add(offset_ms).ok_or_else(|| IncidentError::Start(text.to_owned()))
}

fn parse_number(name: &str, text: &str, low: f64, high: f64) -> Result<f64, IncidentError> {
    let wrong = || IncidentError::Number { name: name.to_owned(), value: text.to_owned(), low, high };
    let number: f64 = text.parse().map_err(|_| wrong())?;
    if (low..=high).contains(&number) { Ok(number) } else { Err(wrong()) }
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum IncidentError {
    #[error(
        "`{0}` is not an incident: write KIND@START+DURATION[:name=value,...], \
         as in cohort@2d+45m:integration=sdk,region=ap:rate=0.3"
    )]
    Malformed(String),
    #[error("`{0}` is not a kind of incident: outage, cohort, user, tenant, latency (or `auto` alone)")]
    Kind(String),
    #[error(
        "`{0}` is not a start: write an offset from the start of the traffic (1d6h) or a time (2026-01-06T06:00:00Z)"
    )]
    Start(String),
    #[error("`{0}` is not the duration of an incident: {1}")]
    Duration(String, String),
    #[error("{name}={value}: write a number from {low} to {high}")]
    Number { name: String, value: String, low: f64, high: f64 },
    #[error(
        "an incident has no `{0}`: rate, factor, tenant, user, or one of tier, region, integration, release, signup"
    )]
    Name(String),
    #[error("no user has {attribute}={value}: it is one of {known}")]
    Value { attribute: &'static str, value: String, known: String },
    #[error("there is no tenant `{tenant}`: {known}")]
    Tenant { tenant: String, known: String },
    #[error("tenant {tenant} has no user `{user}`: its users are u1, u2, ...")]
    User { user: String, tenant: String },
    #[error("user={0} needs a tenant beside it: tenant=acme,user={0}")]
    UserWithoutTenant(String),
    #[error("an outage fails for everybody: for some users write cohort@..., tenant@... or user@...")]
    NarrowOutage,
    #[error("an incident from {0} to {1} lies outside the traffic: move it, or make the traffic longer")]
    Outside(Moment, Moment),
    #[error("a cohort is a combination of 1 to 3 attribute values, not of {0}")]
    CohortSize(usize),
}
