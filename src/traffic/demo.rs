//! The traffic of the demo: four quiet weeks (a sample of them), then live traffic in which a small cohort suffers
//! while the aggregate looks fine.
//!
//! The seed decides which combination of attributes suffers, so that nobody can hard-code it.

use super::incident::{Incident, IncidentKind};
use super::plan::{self, CohortWish};
use super::population::Population;
use super::random::{Draws, Purpose};
use super::settings::{Blemishes, RateStep, Rollout, TrafficSettings, Volume};
use crate::model::time::{DAY_MS, MINUTE_MS, Ms};

/// The incident of the live part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// 1 to 3 % of the users, with one to three common attributes, see a quarter of their requests fail.
    HiddenCohort,
    /// None: only base errors.
    Quiet,
}

/// The history before the demo is live: the compliance window of its SLO.
pub const HISTORY_MS: Ms = 28 * DAY_MS;
/// The incident starts this long after the live part begins, and lasts long enough to be seen.
pub const INCIDENT_AFTER_MS: Ms = 10 * MINUTE_MS;
pub const INCIDENT_MS: Ms = 90 * MINUTE_MS;

const LIVE_EVENTS_PER_S: f64 = 120.0;
/// The history records one request in this many, with this weight: the budget of four weeks is the same as with all
/// requests, and the fast-forward takes seconds.
const HISTORY_SAMPLED: u32 = 1_200;
/// The largest share of all events that the incident makes bad: then a 99 % budget burns at 0.6 over an hour.
const SPOILED_MAX: f64 = 0.006;

/// Settings of the demo; live from `live_from_ms` (the caller's clock), after this much history.
pub fn demo_settings(seed: u64, live_from_ms: Ms, history_ms: Ms, story: Story) -> TrafficSettings {
    let from_ms = live_from_ms - history_ms;
    let history_per_s = LIVE_EVENTS_PER_S / f64::from(HISTORY_SAMPLED);
    let mut settings = TrafficSettings {
        seed,
        from_ms,
        volume: Volume::Rates(vec![
            RateStep { from_ms, events_per_s: history_per_s, sampled: HISTORY_SAMPLED },
            RateStep { from_ms: live_from_ms, events_per_s: LIVE_EVENTS_PER_S, sampled: 1 },
        ]),
        users: 10_000,
        tenants: 6,
        partitions: 4,
        keyed: false,
        diurnal: 0.3,
        blemishes: Blemishes { late: 0.001, malformed: 0.000_02, ..Blemishes::clean() },
        rollout: Rollout { from_ms: live_from_ms - 9 * DAY_MS, until_ms: live_from_ms - 5 * DAY_MS, share: 0.5 },
        silent_from_ms: Some(live_from_ms - 2 * DAY_MS),
        incidents: Vec::new(),
    };
    if story == Story::HiddenCohort {
        settings.incidents.extend(hidden_cohort(&settings, live_from_ms));
    }
    settings
}

/// A cohort too small to show in the aggregate; `None` cannot happen with the demo's population, and would only leave
/// the demo quiet.
fn hidden_cohort(settings: &TrafficSettings, live_from_ms: Ms) -> Option<Incident> {
    let population = Population::new(settings);
    let start_ms = live_from_ms + INCIDENT_AFTER_MS;
    let wish = CohortWish { users: (0.01, 0.03), activity_max: 0.03 };
    let mut draws = Draws::at(settings.seed, Purpose::Story, 0);
    let (combination, size) = plan::find_cohort(&population, start_ms, wish, &mut draws)?;
    let mut incident = Incident::new(IncidentKind::Cohort, start_ms, start_ms + INCIDENT_MS);
    incident.attributes = plan::spell(&combination, &population);
    incident.rate = libm::fmin(0.4, SPOILED_MAX / size.activity);
    Some(incident)
}
