//! The end of a demo: the planted incident, the cohorts found, and how the aggregate looked meanwhile.

use super::format::{self, burn, count, percent};
use super::shared::Shared;
use crate::model::duration;
use crate::model::output::{Labels, TailCohort};
use crate::model::time::{Moment, Ms};
use crate::traffic::{PlantedIncident, Truth};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    seed: u64,
    live_from: Moment,
    /// The last boundary that was evaluated.
    at: Option<Moment>,
    planted: Option<PlantedIncident>,
    /// Cohorts of the aggregate that were open at some time in the live part.
    cohorts: Vec<NamedCohort>,
    /// Cohorts of single tenants and groups.
    cohorts_elsewhere: Vec<NamedCohort>,
    /// Whether the aggregate's cohorts are exactly the planted one; without an incident, none.
    is_exact: bool,
    /// Why there are no figures, if so.
    empty_because: Option<String>,
    aggregate: Aggregate,
    users: Users,
    alerts: Vec<AlertCount>,
    records: u64,
    dead_letters: u64,
    /// How long it took in wall-clock seconds.
    fast_forward_s: Option<f64>,
    total_s: f64,
}

#[derive(Clone, Debug, Serialize)]
struct NamedCohort {
    kind: String,
    scope: String,
    attributes: Labels,
    state: String,
    opened_at: Moment,
    /// From the start of the incident, in event time.
    after_s: Option<f64>,
    risk_ratio: Option<f64>,
    users_in_tail: Option<u64>,
    users: Option<u64>,
    bad_share: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
struct Aggregate {
    slo: String,
    state: String,
    budget_remaining: Option<f64>,
    burn_1h_worst: Option<f64>,
}

/// Of the shortest user window.
#[derive(Clone, Debug, Serialize)]
struct Users {
    window: String,
    users: u64,
    below_objective: u64,
    below_objective_worst: u64,
    below_expected: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
struct AlertCount {
    severity: String,
    scope: String,
    alerts: u64,
    firing: u64,
}

impl Summary {
    pub fn new(seed: u64, truth: &Truth, shared: &Shared) -> Summary {
        let ledger = shared.ledger();
        let planted = truth.incidents.first().cloned();
        let start_ms = planted.as_ref().map(|p| p.start.0);
        let since_live = |c: &&TailCohort| c.state != "closed" || c.at.0 >= shared.live_from_ms;
        let (cohorts, cohorts_elsewhere): (Vec<_>, Vec<_>) = ledger
            .cohorts
            .iter()
            .filter(since_live)
            .map(|c| NamedCohort::new(c, start_ms))
            .partition(|c| c.scope == "the aggregate");
        let status = ledger.aggregate();
        let window = status.as_ref().and_then(|s| s.users.first());
        Summary {
            seed,
            live_from: Moment(shared.live_from_ms),
            at: ledger.progress.at_ms.map(Moment),
            is_exact: is_exact(planted.as_ref(), &cohorts),
            planted,
            cohorts,
            cohorts_elsewhere,
            empty_because: ledger.emptiness(),
            aggregate: Aggregate {
                slo: status.as_ref().map_or_else(String::new, |s| s.slo.clone()),
                state: status.as_ref().map_or_else(String::new, |s| s.state.clone()),
                budget_remaining: status.as_ref().and_then(|s| s.budget_remaining),
                burn_1h_worst: ledger.worst.burn_1h,
            },
            users: Users {
                window: window.map_or_else(String::new, |w| w.window.clone()),
                users: window.map_or(0, |w| w.users),
                below_objective: window.map_or(0, |w| w.below_objective),
                below_objective_worst: ledger.worst.users_below,
                below_expected: window.and_then(|w| w.below_expected),
            },
            alerts: alert_counts(&ledger.alerts),
            records: ledger.progress.records,
            dead_letters: ledger.progress.dead_letters,
            fast_forward_s: shared.live_since().map(|live| live.duration_since(shared.started).as_secs_f64()),
            total_s: shared.seconds(),
        }
    }
}

impl NamedCohort {
    fn new(cohort: &TailCohort, incident_ms: Option<Ms>) -> NamedCohort {
        NamedCohort {
            kind: cohort.kind.clone(),
            scope: format::scope(&cohort.scope, cohort.tenant.as_deref(), &cohort.group),
            attributes: cohort.cohort.iter().map(|a| (a.attribute.clone(), a.value.clone())).collect(),
            state: cohort.state.clone(),
            opened_at: cohort.started_at,
            after_s: incident_ms.map(|ms| (cohort.started_at.0 - ms) as f64 / 1_000.0),
            risk_ratio: cohort.risk_ratio,
            users_in_tail: cohort.users_in_tail,
            users: cohort.users,
            bad_share: cohort.bad_share,
        }
    }
}

fn is_exact(planted: Option<&PlantedIncident>, cohorts: &[NamedCohort]) -> bool {
    // A tail worse than chance does not show who is in it.
    let named: BTreeSet<Labels> = cohorts.iter().map(|c| c.attributes.clone()).filter(|a| !a.is_empty()).collect();
    let labels = |p: &PlantedIncident| p.attributes.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
    named == planted.map(labels).into_iter().collect()
}

fn alert_counts(alerts: &[crate::model::output::BurnAlert]) -> Vec<AlertCount> {
    let mut counts: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
    for alert in alerts {
        let (all, firing) = counts.entry((&alert.severity, &alert.scope)).or_default();
        *all += 1;
        *firing += u64::from(alert.state != "resolved");
    }
    let count = |((severity, scope), (alerts, firing)): ((&str, &str), (u64, u64))| AlertCount {
        severity: severity.to_owned(),
        scope: scope.to_owned(),
        alerts,
        firing,
    };
    counts.into_iter().map(count).collect()
}

fn spelt(attributes: impl Iterator<Item = (String, String)>) -> String {
    attributes.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.planted {
            Some(p) => writeln!(
                f,
                "Planted:    {} ({} of its requests fail, from {})",
                spelt(p.attributes.iter().map(|(n, v)| ((*n).to_owned(), v.clone()))),
                percent(Some(p.rate)),
                format::clock(p.start.0)
            )?,
            None => writeln!(f, "Planted:    nothing")?,
        }
        if let Some(why) = &self.empty_because {
            return write!(f, "Nothing:    {why}\n\nNext:       {}", super::view::SEE_RECORDS);
        }
        if self.cohorts.is_empty() {
            writeln!(f, "Named:      nobody")?;
        }
        for cohort in self.cohorts.iter().filter(|c| !c.attributes.is_empty()) {
            let after = cohort
                .after_s
                .map_or_else(String::new, |s| format!(", {} after the start", duration::words((s * 1_000.0) as Ms)));
            writeln!(f, "Named:      {}{after}", spelt(cohort.attributes.clone().into_iter()))?;
        }
        writeln!(
            f,
            "Aggregate:  {}, burn over 1h {} at its worst, {} of the budget left",
            self.aggregate.state,
            burn(self.aggregate.burn_1h_worst),
            percent(self.aggregate.budget_remaining)
        )?;
        writeln!(
            f,
            "Users:      {} of {} below the objective over {}, {} at the worst",
            count(self.users.below_objective),
            count(self.users.users),
            self.users.window,
            count(self.users.below_objective_worst)
        )?;
        write!(f, "\nNext:       {}", super::NEXT)
    }
}
