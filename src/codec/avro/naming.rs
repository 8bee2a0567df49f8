//! The names of types, in their namespaces.

use serde_json::{Map, Value as Json};

/// A name in its namespace.
pub(super) fn full_name(name: &str, namespace: &str) -> String {
    if namespace.is_empty() || name.contains('.') { name.to_owned() } else { format!("{namespace}.{name}") }
}

/// The namespace inside a type that may have a name.
pub(super) fn inner_namespace(of: &Map<String, Json>, outer: &str) -> String {
    let written = of.get("namespace").and_then(Json::as_str);
    match of.get("name").and_then(Json::as_str).and_then(|name| name.rsplit_once('.')) {
        Some((namespace, _)) => namespace.to_owned(),
        None => written.unwrap_or(outer).to_owned(),
    }
}
