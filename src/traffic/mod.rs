//! Seeded traffic with planted incidents: what `tailburn generate` writes and the demo runs on.
//!
//! Same settings, same bytes, on any machine: draws are a hash of (seed, purpose, counter), math comes from `libm`, and
//! no clock is read. The truth about the planted incidents is kept apart from the records. Nothing here does IO; it
//! imports only `model`.

mod demo;
mod event;
mod generator;
mod incident;
mod plan;
mod population;
mod random;
mod rhythm;
mod settings;
mod target;
mod traits;
mod truth;

#[cfg(test)]
mod tests;

pub use demo::{HISTORY_MS, INCIDENT_AFTER_MS, INCIDENT_MS, Story, demo_settings};
pub use event::{Defect, Event, Form, Operation, Weight};
pub use generator::{Traffic, TrafficError};
pub use incident::{Incident, IncidentError, IncidentKind};
pub use population::Population;
pub use settings::{Blemishes, DEFAULT_FROM_MS, RateStep, Rollout, SettingsError, TrafficSettings, Volume};
pub use traits::{Attribute, Values, Vocabulary};
pub use truth::{PlantedIncident, SilentTenant, Totals, Truth};

use crate::model::time::Ms;

/// An SLO that fits the generated traffic.
pub const EXAMPLE_SLO: &str = include_str!("slo.yaml");

/// Incidents of every kind over a stretch of time, planned from the seed.
pub fn plan_incidents(settings: &TrafficSettings, until_ms: Ms) -> Result<Vec<Incident>, SettingsError> {
    settings.validate()?;
    Ok(plan::automatic(settings.seed, settings.from_ms, until_ms, &Population::new(settings)))
}
