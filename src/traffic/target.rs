//! Who an incident is about: its names, looked up in the population.

use super::incident::{Incident, IncidentError, IncidentKind};
use super::population::Population;
use super::traits::{Attribute, Values};

/// The users that an incident affects, as indexes into the population.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    pub tenant: Option<u16>,
    pub user: Option<u32>,
    pub attributes: Vec<(Attribute, u8)>,
}

impl Target {
    /// Resolves names; an open user or tenant must have been chosen before.
    pub fn new(incident: &Incident, population: &Population) -> Result<Target, IncidentError> {
        check_shape(incident)?;
        let tenant =
            match &incident.tenant {
                None => None,
                Some(name) => Some(population.tenant_index(name).ok_or_else(|| IncidentError::Tenant {
                    tenant: name.clone(),
                    known: population.tenants.join(", "),
                })?),
            };
        let user = match (&incident.user, tenant) {
            (None, _) => None,
            (Some(user), None) => return Err(IncidentError::UserWithoutTenant(user.clone())),
            (Some(user), Some(t)) => {
                let found = population.user_index(t, user);
                Some(found.ok_or_else(|| IncidentError::User {
                    user: user.clone(),
                    tenant: population.tenants[usize::from(t)].clone(),
                })?)
            }
        };
        let attributes = incident.attributes.iter().map(|(a, v)| resolve_value(*a, v, population));
        Ok(Target { tenant, user, attributes: attributes.collect::<Result<_, _>>()? })
    }

    #[inline]
    pub fn matches(&self, user: u32, tenant: u16, values: &Values) -> bool {
        self.user.is_none_or(|u| u == user)
            && self.tenant.is_none_or(|t| t == tenant)
            && self.attributes.iter().all(|(a, v)| values[*a as usize] == *v)
    }

    /// The share of all users that match at a moment.
    #[cfg(test)]
    pub fn share_of(&self, population: &Population, at_ms: crate::model::time::Ms) -> f64 {
        let users = population.users.iter();
        let matching = (0..).zip(users).filter(|(i, user)| self.matches(*i, user.tenant, &user.values_at(at_ms)));
        matching.count() as f64 / population.users.len() as f64
    }
}

fn check_shape(incident: &Incident) -> Result<(), IncidentError> {
    let narrowed = incident.tenant.is_some() || incident.user.is_some() || !incident.attributes.is_empty();
    match incident.kind {
        IncidentKind::Outage if narrowed => Err(IncidentError::NarrowOutage),
        IncidentKind::Cohort if !(1..=3).contains(&incident.attributes.len()) => {
            Err(IncidentError::CohortSize(incident.attributes.len()))
        }
        _ => Ok(()),
    }
}

fn resolve_value(attribute: Attribute, text: &str, population: &Population) -> Result<(Attribute, u8), IncidentError> {
    let vocabulary = &population.vocabulary;
    let value = vocabulary.index(attribute, text).ok_or_else(|| IncidentError::Value {
        attribute: attribute.name(),
        value: text.to_owned(),
        known: vocabulary.values(attribute).join(", "),
    })?;
    Ok((attribute, value))
}
