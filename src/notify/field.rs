//! The fields of news by which it is routed, grouped and silenced.

use super::news::News;
use crate::model::suggest::closest;

/// `labels.NAME` and `group.NAME` come on top.
pub const NAMES: [&str; 9] = ["kind", "severity", "slo", "service", "scope", "tenant", "key", "dedup_key", "owner"];

/// Whether this names a field; `Err` says which are there.
pub fn check(name: &str) -> Result<(), String> {
    let is_below = |section: &str| name.strip_prefix(section).is_some_and(|rest| !rest.is_empty());
    if NAMES.contains(&name) || is_below("labels.") || is_below("group.") {
        return Ok(());
    }
    let meant = closest(name, NAMES).map(|meant| format!(" (`{meant}`?)")).unwrap_or_default();
    Err(format!("there is no field `{name}`{meant}: there are {}, labels.NAME, group.NAME", NAMES.join(", ")))
}

/// The field's value; `None`: this news has none.
pub fn of<'a>(news: &'a News, name: &str) -> Option<&'a str> {
    let value = match name {
        "kind" => news.kind.name(),
        "severity" => news.severity.name(),
        "slo" => &news.slo,
        "service" => &news.service,
        "scope" => &news.scope,
        "tenant" => news.tenant.as_deref()?,
        "key" => &news.key,
        "dedup_key" => &news.item,
        "owner" => news.owner.as_deref()?,
        _ => match name.split_once('.')? {
            ("labels", label) => news.labels.get(label)?,
            ("group", attribute) => news.group.get(attribute)?,
            _ => return None,
        },
    };
    (!value.is_empty()).then_some(value)
}
