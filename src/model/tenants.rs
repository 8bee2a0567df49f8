//! What is known of tenants beside their events: the file of the configuration's `tenants` (contract, section 11).

use super::ratio::Ratio;
use std::collections::BTreeMap;

/// One tenant's entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tenant {
    pub display_name: Option<String>,
    pub owner: Option<String>,
    pub labels: BTreeMap<String, String>,
    /// They join the events of the tenant where an event has none of that name.
    pub attributes: BTreeMap<String, String>,
    /// By SLO, or by document for all of its SLOs.
    pub objectives: BTreeMap<String, Ratio>,
    pub slas: BTreeMap<String, Ratio>,
}

/// All entries, by tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tenants(pub BTreeMap<String, Tenant>);

impl Tenants {
    /// The attributes that join events, of the tenants that have any.
    pub fn attributes(&self) -> JoinedAttributes {
        let of = |(name, tenant): (&String, &Tenant)| {
            let attributes: Vec<(String, String)> = tenant.attributes.clone().into_iter().collect();
            (!attributes.is_empty()).then(|| (name.clone(), attributes))
        };
        JoinedAttributes(self.0.iter().filter_map(of).collect())
    }
}

/// Attributes by tenant, to be looked up for every event.
#[derive(Debug, Default)]
pub struct JoinedAttributes(hashbrown::HashMap<String, Vec<(String, String)>>);

impl JoinedAttributes {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn of(&self, tenant: &str) -> &[(String, String)] {
        self.0.get(tenant).map_or(&[], Vec::as_slice)
    }
}
