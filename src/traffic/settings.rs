//! The settings of traffic. Plain data: the same settings give the same bytes.
//!
//! No default depends on a clock or on the machine.

use super::incident::Incident;
use crate::model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Ms};

/// 2026-01-05T00:00:00Z, a Monday: the default start of generated traffic.
pub const DEFAULT_FROM_MS: Ms = 1_767_571_200_000;

/// How much traffic.
#[derive(Clone, Debug, PartialEq)]
pub enum Volume {
    /// Exactly this many records between the start and `until_ms`.
    Total { events: u64, until_ms: Ms },
    /// A Poisson process without an end, at the rate of the latest step that has begun.
    Rates(Vec<RateStep>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateStep {
    pub from_ms: Ms,
    pub events_per_s: f64,
    /// Each record stands for this many requests, which is its weight; 1: for itself.
    pub sampled: u32,
}

/// When users upgrade to release r2: each at a random moment in this span.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rollout {
    pub from_ms: Ms,
    pub until_ms: Ms,
    /// The share of users who ever upgrade.
    pub share: f64,
}

/// Blemishes of real input: shares of records in [0, 1] unless the name says otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Blemishes {
    /// Server errors with no incident behind them.
    pub base_errors: f64,
    /// Records arrive up to this long after their time.
    pub disorder_ms: Ms,
    /// Arrive 1 to 30 minutes after their time.
    pub late: f64,
    /// Arrive 2 to 6 hours after their time.
    pub too_late: f64,
    /// Become dead letters.
    pub malformed: f64,
    pub without_user: f64,
    /// An SLO over `status` cannot classify these.
    pub without_status: f64,
    pub without_latency: f64,
    /// One attribute is left out.
    pub without_attribute: f64,
    /// The time is written in RFC 3339 and not in epoch milliseconds.
    pub rfc3339: f64,
    /// Carry a sampling weight (2.5 or 0.333333) other than 1.
    pub weighted: f64,
    /// Sent twice, with one `event_id`; if this is not 0, every record has an `event_id`. Copies come on top of the
    /// volume.
    pub duplicates: f64,
    /// Failed requests that the client sends again within seconds, at most twice. They are separate requests, may fail
    /// or succeed, and come on top of the volume.
    pub retries: f64,
}

impl Blemishes {
    /// A tidy producer: within the default out-of-orderness, nothing missing.
    pub const fn clean() -> Blemishes {
        Blemishes {
            base_errors: 0.0003,
            disorder_ms: 2_000,
            late: 0.0,
            too_late: 0.0,
            malformed: 0.0,
            without_user: 0.0,
            without_status: 0.0,
            without_latency: 0.0,
            without_attribute: 0.0,
            rfc3339: 0.0,
            weighted: 0.0,
            duplicates: 0.0,
            retries: 0.0,
        }
    }

    /// A bad day: a little of everything for which the contract has a rule.
    pub const fn dirty() -> Blemishes {
        Blemishes {
            base_errors: 0.0004,
            disorder_ms: 4_500,
            late: 0.01,
            too_late: 0.001,
            malformed: 0.001,
            without_user: 0.01,
            without_status: 0.003,
            without_latency: 0.01,
            without_attribute: 0.01,
            rfc3339: 0.25,
            weighted: 0.10,
            duplicates: 0.0,
            retries: 0.3,
        }
    }

    fn shares(&self) -> [(&'static str, f64); 12] {
        [
            ("base_errors", self.base_errors),
            ("late", self.late),
            ("too_late", self.too_late),
            ("malformed", self.malformed),
            ("without_user", self.without_user),
            ("without_status", self.without_status),
            ("without_latency", self.without_latency),
            ("without_attribute", self.without_attribute),
            ("rfc3339", self.rfc3339),
            ("weighted", self.weighted),
            ("duplicates", self.duplicates),
            ("retries", self.retries),
        ]
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct TrafficSettings {
    pub seed: u64,
    pub from_ms: Ms,
    pub volume: Volume,
    pub users: u32,
    pub tenants: u16,
    pub partitions: u32,
    /// Records go to the partition of their key `tenant|user`; otherwise round robin.
    pub keyed: bool,
    /// How deep the nights are: 0 is flat, 1 sends nothing at the quietest hour.
    pub diurnal: f64,
    pub blemishes: Blemishes,
    pub rollout: Rollout,
    /// From this moment the smallest tenant sends nothing any more.
    pub silent_from_ms: Option<Ms>,
    pub incidents: Vec<Incident>,
}

impl TrafficSettings {
    /// Clean traffic of 10,000 users over a span of time, with exactly this many records.
    pub fn over(seed: u64, from_ms: Ms, duration_ms: Ms, events: u64) -> TrafficSettings {
        let part = |share: f64| from_ms.saturating_add((duration_ms as f64 * share) as Ms);
        TrafficSettings {
            seed,
            from_ms,
            volume: Volume::Total { events, until_ms: from_ms.saturating_add(duration_ms) },
            users: 10_000,
            tenants: 6,
            partitions: 1,
            keyed: false,
            diurnal: 0.8,
            blemishes: Blemishes::clean(),
            rollout: Rollout { from_ms: part(0.35), until_ms: part(0.45), share: 0.6 },
            silent_from_ms: Some(part(0.7)),
            incidents: Vec::new(),
        }
    }

    /// The weight of a record sent at this moment, in requests.
    pub fn sampled_at(&self, arrival_ms: Ms) -> u32 {
        match &self.volume {
            Volume::Total { .. } => 1,
            Volume::Rates(steps) => steps.iter().rev().find(|s| s.from_ms <= arrival_ms).map_or(1, |s| s.sampled),
        }
    }

    /// The end of the traffic, if there is one.
    pub fn until_ms(&self) -> Option<Ms> {
        match &self.volume {
            Volume::Total { until_ms, .. } => Some(*until_ms),
            Volume::Rates(_) => None,
        }
    }

    /// Refuses impossible settings, naming the setting and a valid value.
    pub fn validate(&self) -> Result<(), SettingsError> {
        if self.users > MAX_USERS {
            return Err(SettingsError::TooManyUsers(self.users));
        }
        if self.users == 0 || self.tenants == 0 || u32::from(self.tenants) > self.users {
            return Err(SettingsError::Population { users: self.users, tenants: self.tenants });
        }
        if self.partitions == 0 || self.partitions > MAX_PARTITIONS {
            return Err(SettingsError::Partitions(self.partitions));
        }
        let nights = ("diurnal", self.diurnal);
        let rollout = ("rollout share", self.rollout.share);
        for (name, share) in self.blemishes.shares().into_iter().chain([nights, rollout]) {
            if !(0.0..=1.0).contains(&share) {
                return Err(SettingsError::Share { name, share });
            }
        }
        if !(0..=DAY_MS).contains(&self.blemishes.disorder_ms) {
            return Err(SettingsError::Disorder(self.blemishes.disorder_ms));
        }
        self.validate_volume()
    }

    fn validate_volume(&self) -> Result<(), SettingsError> {
        match &self.volume {
            Volume::Total { until_ms, .. } if *until_ms <= self.from_ms => Err(SettingsError::EmptyPeriod),
            Volume::Total { until_ms, .. } if until_ms.saturating_sub(self.from_ms) > MAX_PERIOD_MS => {
                Err(SettingsError::LongPeriod)
            }
            Volume::Total { .. } => Ok(()),
            Volume::Rates(steps) => {
                let ascending = steps.windows(2).all(|w| w[0].from_ms < w[1].from_ms);
                let rates = steps.iter().all(|s| s.events_per_s.is_finite() && s.events_per_s >= 0.0);
                let sampled = steps.iter().all(|s| (1..=SAMPLED_MAX).contains(&s.sampled));
                let begins = steps.first().is_some_and(|s| s.from_ms <= self.from_ms);
                let ends = steps.last().is_some_and(|s| s.events_per_s > 0.0);
                if ascending && rates && sampled && begins && ends { Ok(()) } else { Err(SettingsError::Rates) }
            }
        }
    }
}

/// Late records: 1 to 30 minutes.
pub const LATE_MS: (Ms, Ms) = (MINUTE_MS, 30 * MINUTE_MS);
/// Records too late for the default allowed lateness of 1 h: 2 to 6 hours.
pub const TOO_LATE_MS: (Ms, Ms) = (2 * HOUR_MS, 6 * HOUR_MS);

/// The largest weight that a record may have.
const SAMPLED_MAX: u32 = 1_000_000;
const MAX_PARTITIONS: u32 = 1_024;
/// About 100 bytes each.
const MAX_USERS: u32 = 20_000_000;
const MAX_PERIOD_MS: Ms = 3_660 * DAY_MS;

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SettingsError {
    #[error("{users} users in {tenants} tenants: there must be a tenant, and a user for each tenant")]
    Population { users: u32, tenants: u16 },
    #[error("{0} users: choose {MAX_USERS} at most")]
    TooManyUsers(u32),
    #[error("{0} partitions: choose 1 to {MAX_PARTITIONS}")]
    Partitions(u32),
    #[error("{name} is {share}: it is a share of the records, from 0 to 1")]
    Share { name: &'static str, share: f64 },
    #[error("a disorder of {0} ms: choose 0 to 1d (`late` and `too_late` are for single stragglers)")]
    Disorder(Ms),
    #[error("the period is empty: its end must come after its start")]
    EmptyPeriod,
    #[error("the period is longer than ten years")]
    LongPeriod,
    #[error(
        "rates need a step at or before the start, in ascending order, a last rate above 0, and sampling of 1 to \
         {SAMPLED_MAX}"
    )]
    Rates,
}
