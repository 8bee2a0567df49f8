//! Who the tenants are, by the file of tenants: names, owners and labels. What is not in it is in no list.

use super::{Board, Page};
use crate::model::tenants::{Tenant, Tenants};
use serde_json::json;
use std::ops::Bound;
use std::sync::Arc;

impl Board {
    /// What the file of tenants says.
    pub fn name_tenants(&self, tenants: Tenants) {
        self.write().tenants = Arc::new(tenants);
    }

    /// One tenant, if the file names it.
    pub fn tenant(&self, name: &str) -> Option<Tenant> {
        self.read().tenants.0.get(name).cloned()
    }

    /// The tenants of the file, by name, or the one of this name.
    pub fn tenants(&self, name: Option<&str>, after: Option<&str>, limit: usize) -> Page {
        let tenants = Arc::clone(&self.read().tenants);
        let is_wanted = |(of, _): &(&String, &Tenant)| name.is_none_or(|name| of.as_str() == name);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rest: Vec<(&String, &Tenant)> =
            tenants.0.range::<str, _>((from, Bound::Unbounded)).filter(is_wanted).take(limit + 1).collect();
        let shown = &rest[..rest.len().min(limit)];
        let item = |(name, tenant): &(&String, &Tenant)| -> Arc<[u8]> {
            let Tenant { display_name, owner, labels, .. } = tenant;
            let json = json!({"tenant": name, "display_name": display_name, "owner": owner, "labels": labels});
            json.to_string().into_bytes().into()
        };
        Page {
            items: shown.iter().map(item).collect(),
            next: shown.last().filter(|_| rest.len() > limit).map(|(name, _)| (*name).clone()),
            total: tenants.0.iter().filter(is_wanted).count(),
            not_shown: 0,
        }
    }
}
