//! The query of a request: `?slo=&tenant=&scope=&state=&limit=&after=`.

use std::collections::BTreeMap;

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1_000;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelf {
    Status,
    Alerts,
    Cohorts,
    Canaries,
}

/// The parts of a key, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyParts {
    slo: String,
    scope: String,
    tenant: Option<String>,
}

impl KeyParts {
    pub fn of(key: &str) -> KeyParts {
        let mut parts = key.splitn(3, '|');
        let slo = decoded(parts.next().unwrap_or_default());
        let scope = parts.next().unwrap_or_default().to_owned();
        let tenant = parts.next().filter(|_| scope == "tenant").map(decoded);
        KeyParts { slo, scope, tenant }
    }

    pub fn slo(&self) -> &str {
        &self.slo
    }

    pub fn is_aggregate(&self) -> bool {
        self.scope == "aggregate"
    }
}

/// Decodes keys. We wrote them, so a `%` always starts two hex digits of one ASCII character.
fn decoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        match after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(char::from(byte));
                rest = &after[2..];
            }
            None => {
                out.push('%');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    slo: Option<String>,
    tenant: Option<String>,
    scope: Option<String>,
    /// Firing or open ones, ended ones, or all.
    live: Option<bool>,
    pub limit: usize,
    /// The `next` of the page before.
    pub after: Option<String>,
}

impl Filter {
    /// Reads a query; an unknown parameter is an error, not ignored.
    pub fn of(shelf: Shelf, parameters: Vec<(String, String)>) -> Result<Filter, String> {
        let mut query = BTreeMap::new();
        for (name, value) in parameters {
            if query.contains_key(&name) {
                return Err(format!("`{name}` is there twice: ask for one value"));
            }
            query.insert(name, value);
        }
        let filter = Filter {
            slo: query.remove("slo"),
            tenant: query.remove("tenant"),
            scope: query.remove("scope").map(scope).transpose()?,
            live: live(shelf, query.remove("state").as_deref())?,
            limit: query.remove("limit").map_or(Ok(LIMIT_DEFAULT), limit)?,
            after: query.remove("after"),
        };
        match query.pop_first() {
            None => Ok(filter),
            Some((name, _)) => Err(format!("unknown parameter `{name}`: use slo, tenant, scope, state, limit, after")),
        }
    }

    pub fn passes(&self, parts: &KeyParts, live: bool) -> bool {
        self.slo.as_ref().is_none_or(|s| *s == parts.slo)
            && self.scope.as_ref().is_none_or(|s| *s == parts.scope)
            && (self.tenant.is_none() || self.tenant == parts.tenant)
            && self.live.is_none_or(|l| l == live)
    }
}

fn scope(text: String) -> Result<String, String> {
    match text.as_str() {
        "aggregate" | "tenant" | "group" => Ok(text),
        _ => Err(format!("`{text}` is not a scope: aggregate, tenant or group")),
    }
}

/// Firing alerts and open cohorts, unless another state is given.
fn live(shelf: Shelf, state: Option<&str>) -> Result<Option<bool>, String> {
    match (shelf, state) {
        (Shelf::Status | Shelf::Canaries, None) | (_, Some("all")) => Ok(None),
        (Shelf::Alerts, None | Some("firing")) | (Shelf::Cohorts, None | Some("open")) => Ok(Some(true)),
        (Shelf::Alerts, Some("resolved")) | (Shelf::Cohorts, Some("closed")) => Ok(Some(false)),
        (Shelf::Canaries, Some(_)) => {
            Err("of each candidate the latest verdict is shown: leave `state` out".to_owned())
        }
        (Shelf::Status, Some(_)) => Err("a status is always the latest: `state` is for alerts and cohorts".to_owned()),
        (Shelf::Alerts, Some(other)) => Err(format!("`{other}` is not a state: firing, resolved or all")),
        (Shelf::Cohorts, Some(other)) => Err(format!("`{other}` is not a state: open, closed or all")),
    }
}

fn limit(text: String) -> Result<usize, String> {
    match text.parse() {
        Ok(limit @ 1..=LIMIT_MAX) => Ok(limit),
        _ => Err(format!("`{text}` is not a limit: 1 to {LIMIT_MAX}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key::{Scope, key_text};

    #[test]
    fn keys_decode_to_what_they_were_made_of() {
        let key = key_text("a|b", &Scope::Tenant("50% = half, or é".into()));
        let parts = KeyParts::of(&key);
        assert_eq!((parts.slo.as_str(), parts.tenant.as_deref()), ("a|b", Some("50% = half, or é")));
        assert_eq!(KeyParts::of("x|group|region=eu,tier=pro").tenant, None);
    }
}
