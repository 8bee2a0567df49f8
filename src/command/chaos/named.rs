//! Who is named: what alerts of tenants and groups, and cohorts, say of a fault, against the fault's own selector.

use super::replay::Published;
use super::timeline::Firing;
use crate::model::output::{Labels, TailCohort};
use crate::model::slo::Slo;
use crate::model::time::Ms;
use serde::Serialize;
use std::collections::BTreeMap;

/// How what was named stands to the selector, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// The selector, field by field.
    Exact,
    /// Some fields more than the selector: a part of the fault.
    Narrower,
    /// Some fields of the selector are missing: more than the fault.
    Wider,
    /// Other fields than the selector, and nothing against it: those whom the fault hits, seen from another side.
    Crossing,
    /// Another value of a field of the selector.
    Other,
}

impl Fit {
    pub const fn told(self) -> &'static str {
        match self {
            Fit::Exact => "exactly the fault",
            Fit::Narrower => "a part of the fault",
            Fit::Wider => "more than the fault",
            Fit::Crossing => "another side of the fault",
            Fit::Other => "something else",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Named {
    /// Fields and values, by the names of filters.
    pub who: BTreeMap<String, String>,
    pub fit: Fit,
    /// `alert` or `cohort`.
    pub by: &'static str,
    /// After the fault's start, in event time.
    pub after_ms: Ms,
}

impl Named {
    pub fn words(&self) -> String {
        let pairs: Vec<String> = self.who.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join(", ")
    }
}

/// What is new, each once: the best fit first, then the soonest.
pub fn named(
    slo: &Slo,
    selector: &[(String, String)],
    from_ms: Ms,
    new: &[Firing],
    published: &Published,
    before: &Published,
) -> Vec<Named> {
    let selector: BTreeMap<String, String> = selector.iter().cloned().collect();
    let mut named: Vec<Named> = Vec::new();
    let mut add = |who: BTreeMap<String, String>, by, at_ms: Ms| {
        if !who.is_empty() && !named.iter().any(|known| known.who == who) {
            named.push(Named { fit: fit(&who, &selector), who, by, after_ms: at_ms - from_ms });
        }
    };
    for firing in new {
        add(of_key(slo, firing.tenant.as_deref(), &firing.group), "alert", firing.from_ms);
    }
    for cohort in published.cohorts.iter().filter(|cohort| cohort.slo == slo.name && cohort.state == "open") {
        if !is_open_in(before, cohort) {
            let mut who = of_key(slo, cohort.tenant.as_deref(), &cohort.group);
            who.extend(cohort.cohort.iter().map(|pair| (field(&pair.attribute), pair.value.clone())));
            add(who, "cohort", cohort.at.0);
        }
    }
    named.sort_by_key(|named| (named.fit, named.after_ms));
    named
}

/// Whether the same combination of the same key is open at that time without the fault.
fn is_open_in(before: &Published, cohort: &TailCohort) -> bool {
    let is_same = |other: &&TailCohort| {
        (&other.slo, &other.scope, &other.tenant, &other.group, &other.cohort)
            == (&cohort.slo, &cohort.scope, &cohort.tenant, &cohort.group, &cohort.cohort)
            && other.at <= cohort.at
    };
    before.cohorts.iter().rfind(is_same).is_some_and(|other| other.state != "closed")
}

fn of_key(slo: &Slo, tenant: Option<&str>, group: &Labels) -> BTreeMap<String, String> {
    let tenant = tenant.map(|tenant| ("tenant".to_owned(), tenant.to_owned()));
    let of_group = |(name, value): (&String, &String)| match slo.group_by.contains(name) {
        true => (field(name), value.clone()),
        false => (name.clone(), value.clone()),
    };
    tenant.into_iter().chain(group.iter().map(of_group)).collect()
}

/// The name that a filter has for what a record calls an attribute.
fn field(name: &str) -> String {
    if Slo::GROUP_FIELDS.contains(&name) { name.to_owned() } else { format!("attributes.{name}") }
}

fn fit(who: &BTreeMap<String, String>, selector: &BTreeMap<String, String>) -> Fit {
    let holds = |all: &BTreeMap<String, String>, of: &BTreeMap<String, String>| {
        of.iter().all(|(name, value)| all.get(name) == Some(value))
    };
    match (holds(who, selector), holds(selector, who)) {
        (true, true) => Fit::Exact,
        (true, false) => Fit::Narrower,
        (false, true) => Fit::Wider,
        (false, false) => {
            let is_against = |(name, value): (&String, &String)| who.get(name).is_some_and(|own| own != value);
            if selector.iter().any(is_against) { Fit::Other } else { Fit::Crossing }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_by_its_fields() {
        let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let selector = map(&[("tenant", "a"), ("attributes.region", "eu")]);
        for (who, expected) in [
            (&[("attributes.region", "eu"), ("tenant", "a")][..], Fit::Exact),
            (&[("attributes.region", "eu")], Fit::Wider),
            (&[("tenant", "a"), ("attributes.region", "eu"), ("operation", "pay")], Fit::Narrower),
            (&[("tenant", "b")], Fit::Other),
            (&[("operation", "pay")], Fit::Crossing),
            (&[("tenant", "a"), ("operation", "pay")], Fit::Crossing),
            (&[("tenant", "b"), ("attributes.region", "eu")], Fit::Other),
        ] {
            assert_eq!(fit(&map(who), &selector), expected, "{who:?}");
        }
    }
}
