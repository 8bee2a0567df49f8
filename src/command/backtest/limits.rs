//! Limits that were reached, as published statuses show them: by a flag, or by the group for the rest.

use crate::model::key::{Scope, key_text};
use crate::model::record::{RecordOut, Topic};
use memchr::memmem;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// SLOs that are named; further ones are only counted.
const NAMED: usize = 5;

/// A limit, how a status shows that it was reached, and the consequence.
struct Limit {
    key: &'static str,
    flag: &'static str,
    consequence: &'static str,
}

const LIMITS: [Limit; 2] = [
    Limit {
        key: "limits.tenants",
        flag: "tenants_overflow",
        consequence: "Further tenants have no status of their own; their events count in the aggregate and in groups",
    },
    Limit {
        key: "limits.groups",
        flag: "groups_overflow",
        consequence: "Further combinations count together in the group `__other__`",
    },
];

#[derive(Default)]
pub(super) struct LimitsMet(BTreeMap<&'static str, BTreeSet<String>>);

#[derive(Deserialize)]
struct Head {
    slo: String,
    flags: Vec<String>,
}

impl LimitsMet {
    /// Parses a status only if it may show a limit.
    pub fn note(&mut self, record: &RecordOut) {
        let (Topic::SloStatus, Some(value)) = (record.topic, &record.value) else { return };
        let is_rest = record.key.as_deref().is_some_and(|key| key.ends_with(other_groups().as_bytes()));
        if !is_rest && memmem::find(value, b"s_overflow\"").is_none() {
            return;
        }
        let Ok(head) = serde_json::from_slice::<Head>(value) else { return };
        for limit in &LIMITS {
            let is_met = head.flags.iter().any(|flag| flag == limit.flag);
            if is_met || is_rest && limit.key == "limits.groups" {
                self.0.entry(limit.key).or_default().insert(head.slo.clone());
            }
        }
    }

    pub fn told(&self) -> Vec<String> {
        let met = |limit: &Limit| Some((limit.key, limit.consequence, self.0.get(limit.key)?));
        LIMITS
            .iter()
            .filter_map(met)
            .map(|(key, consequence, slos)| {
                let named: Vec<&str> = slos.iter().take(NAMED).map(String::as_str).collect();
                let more = slos.len() - named.len();
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("{key} was reached by {}{more}. {consequence}. Raise it where you need them.", named.join(", "))
            })
            .collect()
    }
}

/// How the key of the group for the rest ends, for every SLO.
fn other_groups() -> String {
    key_text("", &Scope::OtherGroups)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(statuses: &[(&str, &str)]) -> Vec<String> {
        let mut met = LimitsMet::default();
        for (key, value) in statuses {
            met.note(&RecordOut {
                topic: Topic::SloStatus,
                partition: 0,
                key: Some(key.as_bytes().to_vec()),
                value: Some(value.as_bytes().to_vec()),
                headers: Vec::new(),
                timestamp_ms: 0,
            });
        }
        met.told()
    }

    #[test]
    fn a_limit_that_was_met_is_named_with_its_slos() {
        let fine = ("a|aggregate", r#"{"slo":"a","flags":["warming_up"]}"#);
        assert_eq!(told(&[fine]), [] as [String; 0]);
        let tenants = told(&[fine, ("a|aggregate", r#"{"slo":"a","flags":["tenants_overflow"]}"#)]);
        assert!(tenants.len() == 1 && tenants[0].starts_with("limits.tenants was reached by a. "), "{tenants:?}");
        let flagged = ("b|aggregate", r#"{"slo":"b","flags":["groups_overflow"]}"#);
        let groups = told(&[("a|group|__other__", r#"{"slo":"a","flags":[]}"#), flagged]);
        assert!(groups.len() == 1 && groups[0].starts_with("limits.groups was reached by a, b. "), "{groups:?}");
        let value = r#"{"slo":"a","flags":[],"labels":{"x":"groups_overflow"}}"#;
        assert_eq!(told(&[("a|group|tier=__other__", value)]), [] as [String; 0]);
    }
}
