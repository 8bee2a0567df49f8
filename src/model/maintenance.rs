//! Maintenance: stretches of time whose events an SLO excludes (contract, section 11).

use super::time::Ms;
use std::sync::Arc;

/// One entry of the configuration's `maintenance`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintenance {
    pub name: String,
    /// Empty: those of every tenant.
    pub tenants: Vec<String>,
    /// Start, and end as the first instant after it. Ascending by start; none ends before one that starts earlier.
    pub windows_ms: Vec<(Ms, Ms)>,
}

impl Maintenance {
    /// Whether a time lies in `[start, end)` of a window.
    pub fn covers(&self, time_ms: Ms) -> bool {
        let behind = self.windows_ms.partition_point(|(start_ms, _)| *start_ms <= time_ms);
        self.windows_ms[..behind].last().is_some_and(|(_, end_ms)| time_ms < *end_ms)
    }

    /// The windows that end after a time.
    pub fn next(&self, after_ms: Ms) -> impl Iterator<Item = (Ms, Ms)> {
        self.windows_ms.iter().copied().skip_while(move |(_, end_ms)| *end_ms <= after_ms)
    }

    fn is_of(&self, tenant: &str) -> bool {
        self.tenants.is_empty() || self.tenants.iter().any(|own| own == tenant)
    }
}

/// The entries for one SLO, in the order of the configuration. They are no part of its definition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintenances(pub Vec<Arc<Maintenance>>);

impl Maintenances {
    /// Whether an event is excluded.
    #[inline]
    pub fn excludes(&self, tenant: &str, time_ms: Ms) -> bool {
        self.excluding(tenant, time_ms).is_some()
    }

    /// The entry that excludes an event.
    pub fn excluding(&self, tenant: &str, time_ms: Ms) -> Option<&Maintenance> {
        self.0.iter().find(|entry| entry.is_of(tenant) && entry.covers(time_ms)).map(Arc::as_ref)
    }

    /// The name in a status at T; without a tenant it is that of the aggregate or of a group.
    pub fn name_at(&self, tenant: Option<&str>, at_ms: Ms) -> Option<&str> {
        let is_for = |entry: &&Arc<Maintenance>| match tenant {
            Some(tenant) => entry.is_of(tenant),
            None => entry.tenants.is_empty(),
        };
        self.0.iter().filter(is_for).find(|entry| entry.covers(at_ms)).map(|entry| entry.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, tenants: &[&str], windows_ms: &[(Ms, Ms)]) -> Arc<Maintenance> {
        let tenants = tenants.iter().map(|tenant| (*tenant).to_owned()).collect();
        Arc::new(Maintenance { name: name.to_owned(), tenants, windows_ms: windows_ms.to_vec() })
    }

    #[test]
    fn a_window_has_its_start_and_not_its_end_and_windows_may_overlap() {
        let entry = entry("a", &[], &[(10, 20), (15, 25), (40, 50)]);
        let covered: Vec<Ms> = (0..60).filter(|ms| entry.covers(*ms)).collect();
        assert_eq!(covered, (10..25).chain(40..50).collect::<Vec<Ms>>());
        assert_eq!(entry.next(20).collect::<Vec<_>>(), [(15, 25), (40, 50)]);
    }

    #[test]
    fn of_two_the_first_is_named_and_a_tenants_own_is_in_its_statuses_alone() {
        let all = Maintenances(vec![
            entry("acme moves", &["acme"], &[(10, 20)]),
            entry("first", &[], &[(15, 30)]),
            entry("second", &[], &[(15, 40)]),
        ]);
        let named = |tenant, at_ms| all.name_at(tenant, at_ms);
        assert_eq!(
            (named(None, 12), named(Some("acme"), 12), named(Some("beta"), 12)),
            (None, Some("acme moves"), None)
        );
        assert_eq!((named(None, 29), named(None, 30), named(None, 40)), (Some("first"), Some("second"), None));
        assert_eq!((named(Some("acme"), 16), named(Some("acme"), 20)), (Some("acme moves"), Some("first")));
        let excluded = |tenant, ms| all.excludes(tenant, ms);
        assert_eq!((excluded("acme", 10), excluded("beta", 10), excluded("beta", 39)), (true, false, true));
    }
}
