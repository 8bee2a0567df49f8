//! Makes open choices of incidents, plans incidents from the seed, and finds cohorts of a wanted size.
//!
//! Choices depend only on the seed and the population, never on events.

use super::incident::{Incident, IncidentError, IncidentKind};
use super::population::Population;
use super::random::{Draws, Purpose};
use super::settings::TrafficSettings;
use super::target::Target;
use super::traits::{Attribute, Values};
use crate::model::time::{HOUR_MS, MINUTE_MS, Moment, Ms};
use std::collections::BTreeMap;

/// A combination of attribute values.
pub type Combination = Vec<(Attribute, u8)>;

/// Incidents with all choices made, and the users they affect.
pub fn resolve(settings: &TrafficSettings, population: &Population) -> Result<Vec<(Incident, Target)>, IncidentError> {
    let chosen = settings.incidents.iter().enumerate().map(|(i, incident)| {
        let mut draws = Draws::at(settings.seed, Purpose::IncidentPlan, i as u64);
        let incident = choose(incident, population, &mut draws);
        let target = Target::new(&incident, population)?;
        let over = settings.until_ms().is_some_and(|until_ms| incident.from_ms >= until_ms);
        if over || incident.until_ms <= settings.from_ms {
            return Err(IncidentError::Outside(Moment(incident.from_ms), Moment(incident.until_ms)));
        }
        Ok((incident, target))
    });
    chosen.collect()
}

/// Picks the tenant or the user that an incident leaves open.
fn choose(incident: &Incident, population: &Population, draws: &mut Draws) -> Incident {
    let mut chosen = incident.clone();
    if chosen.kind == IncidentKind::Tenant && chosen.tenant.is_none() {
        // Not the last tenant, because it falls silent.
        let pool = population.tenants.len().saturating_sub(1).max(1);
        chosen.tenant = population.tenants.get(draws.below(pool as u64) as usize).cloned();
    }
    if chosen.kind == IncidentKind::User && chosen.user.is_none() {
        let within = chosen.tenant.as_deref().and_then(|t| population.tenant_index(t));
        if let Some(user) = busy_user(population, within, draws) {
            let tenant = population.users[user as usize].tenant;
            chosen.tenant = population.tenants.get(usize::from(tenant)).cloned();
            chosen.user = Some(population.user_id(user));
        }
    }
    chosen
}

/// One of the busiest 2 % (at least 3): a user whose failures show in the aggregate.
fn busy_user(population: &Population, within: Option<u16>, draws: &mut Draws) -> Option<u32> {
    let silent = (population.tenants.len() > 1).then(|| population.tenants.len() as u16 - 1);
    let mut users: Vec<u32> = (0..population.users.len() as u32)
        .filter(|&u| {
            let tenant = population.users[u as usize].tenant;
            within.map_or(Some(tenant) != silent, |t| t == tenant)
        })
        .collect();
    users.sort_by(|&a, &b| {
        let of = |u: u32| population.users[u as usize].activity;
        of(b).total_cmp(&of(a)).then(a.cmp(&b))
    });
    let pool = (users.len() / 50).max(3).min(users.len());
    users.get(draws.below(pool as u64) as usize).copied()
}

/// A plan over the whole period: one incident in each of about two stretches a day (at least five in
/// all), every kind in turn, none before the first twentieth of the period has passed.
pub fn automatic(seed: u64, from_ms: Ms, until_ms: Ms, population: &Population) -> Vec<Incident> {
    let mut draws = Draws::at(seed, Purpose::IncidentPlan, u64::MAX);
    let warm_ms = from_ms + (until_ms - from_ms) / 20;
    let count = ((until_ms - warm_ms) / (12 * HOUR_MS)).clamp(5, 200);
    let stretch_ms = (until_ms - warm_ms) / count;
    let mut kinds = IncidentKind::ALL;
    (0..count)
        .map(|i| {
            let turn = i as usize % kinds.len();
            if turn == 0 {
                draws.shuffle(&mut kinds);
            }
            planned(kinds[turn], warm_ms + i * stretch_ms, stretch_ms, population, &mut draws)
        })
        .collect()
}

/// One incident inside a stretch, leaving at least half of it quiet.
fn planned(
    kind: IncidentKind,
    stretch_from_ms: Ms,
    stretch_ms: Ms,
    population: &Population,
    draws: &mut Draws,
) -> Incident {
    let (shortest_min, longest_min, rates): (Ms, Ms, (i64, i64)) = match kind {
        IncidentKind::Outage => (5, 30, (30, 100)),
        IncidentKind::Cohort => (45, 240, (20, 60)),
        IncidentKind::User => (20, 90, (60, 100)),
        IncidentKind::Tenant => (15, 60, (20, 80)),
        IncidentKind::Latency => (10, 60, (50, 100)),
    };
    let wished_ms = draws.between(shortest_min, longest_min) * MINUTE_MS;
    let length_ms = wished_ms.min(stretch_ms / 2).max(1);
    let from_ms = stretch_from_ms + draws.between(0, stretch_ms / 2 - 1);
    let mut incident = Incident::new(kind, from_ms, from_ms + length_ms);
    incident.rate = draws.between(rates.0, rates.1) as f64 / 100.0;
    if kind == IncidentKind::Cohort {
        let wish = CohortWish { users: (0.01, 0.10), activity_max: 0.15 };
        match find_cohort(population, from_ms, wish, draws) {
            Some((combination, _)) => incident.attributes = spell(&combination, population),
            // With so few users no combination has the size: the incident affects everybody.
            None => incident.kind = IncidentKind::Outage,
        }
    }
    incident
}

/// The wanted cohort, in shares of the population.
#[derive(Clone, Copy, Debug)]
pub struct CohortWish {
    pub users: (f64, f64),
    pub activity_max: f64,
}

/// The size of a combination, in shares of the population.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CohortSize {
    pub users: f64,
    pub activity: f64,
}

/// A combination of one to three values of the wished size at a moment: first how many attributes, then which, then
/// their values (signup months are many, and would be in nearly all of them otherwise). `None` if there is none with
/// any number of attributes.
pub fn find_cohort(
    population: &Population,
    at_ms: Ms,
    wish: CohortWish,
    draws: &mut Draws,
) -> Option<(Combination, CohortSize)> {
    let mut numbers = [1, 2, 3];
    draws.shuffle(&mut numbers);
    numbers.into_iter().find_map(|number| {
        let mut by_attributes: BTreeMap<Vec<Attribute>, Vec<(Combination, CohortSize)>> = BTreeMap::new();
        for (combination, size) in candidates(population, at_ms, number, wish) {
            let attributes = combination.iter().map(|(a, _)| *a).collect();
            by_attributes.entry(attributes).or_default().push((combination, size));
        }
        let which = draws.below(by_attributes.len() as u64) as usize;
        let found = by_attributes.into_values().nth(which)?;
        found.get(draws.below(found.len() as u64) as usize).cloned()
    })
}

/// Combinations in which every value matters: without any one of them there are far more users.
fn candidates(population: &Population, at_ms: Ms, number: usize, wish: CohortWish) -> Vec<(Combination, CohortSize)> {
    const NARROWS_AT_LEAST: f64 = 1.8;
    let census = Census::new(population, at_ms);
    let mut found = Vec::new();
    for combination in combinations(population, number) {
        let size = census.size_of(&combination);
        let fits = (wish.users.0..=wish.users.1).contains(&size.users) && size.activity <= wish.activity_max;
        if !fits || size.activity == 0.0 {
            continue;
        }
        let minimal = (0..combination.len()).all(|without| {
            let mut parent = combination.clone();
            parent.remove(without);
            census.size_of(&parent).users >= NARROWS_AT_LEAST * size.users
        });
        if minimal {
            found.push((combination, size));
        }
    }
    found
}

/// The number of users, and their activity, of each tuple of values at a moment. There are at most a few hundred
/// tuples, whatever the number of users.
struct Census {
    tuples: BTreeMap<Values, (u32, f64)>,
    users: f64,
    activity: f64,
}

impl Census {
    fn new(population: &Population, at_ms: Ms) -> Census {
        let mut tuples: BTreeMap<Values, (u32, f64)> = BTreeMap::new();
        for user in &population.users {
            let (users, activity) = tuples.entry(user.values_at(at_ms)).or_default();
            *users += 1;
            *activity += user.activity;
        }
        let activity = tuples.values().map(|(_, a)| a).sum();
        Census { tuples, users: population.users.len() as f64, activity }
    }

    fn size_of(&self, combination: &[(Attribute, u8)]) -> CohortSize {
        let (mut users, mut activity) = (0u32, 0.0);
        for (values, (n, a)) in &self.tuples {
            if combination.iter().all(|(attribute, v)| values[*attribute as usize] == *v) {
                users += n;
                activity += a;
            }
        }
        CohortSize { users: f64::from(users) / self.users, activity: activity / self.activity }
    }
}

/// All combinations of this many attributes, in a fixed order.
fn combinations(population: &Population, number: usize) -> Vec<Combination> {
    let mut all: Vec<Combination> = vec![Vec::new()];
    for _ in 0..number {
        all = all.iter().flat_map(|c| extensions(population, c)).collect();
    }
    all
}

fn extensions(population: &Population, combination: &Combination) -> Vec<Combination> {
    let last = combination.last().map(|(a, _)| *a);
    let mut longer = Vec::new();
    for attribute in Attribute::ALL.into_iter().filter(|a| last.is_none_or(|l| *a > l)) {
        for value in 0..population.vocabulary.values(attribute).len() {
            let mut extended = combination.clone();
            extended.push((attribute, value as u8));
            longer.push(extended);
        }
    }
    longer
}

pub fn spell(combination: &[(Attribute, u8)], population: &Population) -> Vec<(Attribute, String)> {
    combination.iter().map(|(a, v)| (*a, population.vocabulary.text(*a, *v).to_owned())).collect()
}
