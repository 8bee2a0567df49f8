//! What is asked for, whoever asks: filters, an order, and a page.

use super::facts::Facts;
use super::key_parts::KeyParts;
use crate::model::output::Labels;

/// As a scope: all of them.
const EVERY_SCOPE: &str = "all";

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    #[default]
    Key,
    /// The least remaining budget first; without one last.
    Budget,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pub slo: Option<String>,
    pub tenant: Option<String>,
    pub scope: Option<String>,
    pub service: Option<String>,
    /// All of them.
    pub labels: Vec<(String, String)>,
    /// Of a status.
    pub state: Option<String>,
    /// Firing or open ones, ended ones, or all.
    pub live: Option<bool>,
    /// In lower case; occurs in the name or in what is written about it.
    pub text: Option<String>,
    pub sort: Sort,
    pub limit: usize,
    /// The `next` of the page before.
    pub after: Option<String>,
}

impl Query {
    /// Everything of one SLO.
    pub fn of_slo(slo: &str, limit: usize) -> Query {
        Query { slo: Some(slo.to_owned()), limit, ..Query::default() }
    }

    /// Everything of one tenant.
    pub fn of_tenant(tenant: &str, limit: usize) -> Query {
        Query { tenant: Some(tenant.to_owned()), limit, ..Query::default() }
    }

    /// `of_slo`: service and labels of the SLO, for records that do not have their own.
    pub(super) fn passes(
        &self,
        name: &str,
        parts: &KeyParts,
        facts: &Facts,
        live: bool,
        of_slo: Option<&Known>,
    ) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        let labels = if facts.labels.is_empty() { of_slo.map(|known| &known.labels) } else { Some(&facts.labels) };
        let service = if facts.service.is_empty() {
            of_slo.map_or("", |known| known.service.as_str())
        } else {
            facts.service.as_str()
        };
        is(&self.slo, &parts.slo)
            && self.scope.as_ref().is_none_or(|scope| *scope == parts.scope || scope == EVERY_SCOPE)
            && (self.tenant.is_none() || self.tenant == parts.tenant)
            && self.live.is_none_or(|l| l == live)
            && is(&self.state, &facts.state)
            && is(&self.service, service)
            && self.labels.iter().all(|(label, value)| labels.and_then(|l| l.get(label)) == Some(value))
            && self.text.as_ref().is_none_or(|text| name.to_lowercase().contains(text) || facts.mentions(text))
    }
}

/// What is known of an SLO from its statuses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    pub service: String,
    pub labels: Labels,
}

/// The place of a record in the order by budget: [`Sort::Budget`].
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    budget: Option<f64>,
    name: &'a str,
}

impl<'a> Place<'a> {
    pub fn new(budget: Option<f64>, name: &'a str) -> Place<'a> {
        Place { budget, name }
    }

    /// Reads what [`Place::text`] wrote.
    pub fn parse(text: &'a str) -> Option<Place<'a>> {
        let (budget, name) = text.split_once('~')?;
        let budget = if budget.is_empty() { None } else { Some(budget.parse().ok()?) };
        Some(Place { budget, name })
    }

    pub fn text(&self) -> String {
        let budget = self.budget.map_or_else(String::new, |budget| budget.to_string());
        format!("{budget}~{}", self.name)
    }

    pub fn compare(&self, other: &Place<'_>) -> std::cmp::Ordering {
        let of = |budget: Option<f64>| budget.unwrap_or(f64::INFINITY);
        of(self.budget).total_cmp(&of(other.budget)).then_with(|| self.name.cmp(other.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_the_order_by_budget_is_read_as_it_was_written() {
        for place in [Place::new(Some(-12.25), "a|tenant|x~y"), Place::new(None, "b|aggregate")] {
            let text = place.text();
            let read = Place::parse(&text).expect("a place");
            assert!(read.compare(&place).is_eq(), "{text}");
        }
        assert!(Place::new(Some(0.5), "z").compare(&Place::new(None, "a")).is_lt(), "without a budget last");
    }
}
