//! Which properties of librdkafka a configuration may set. One rule for `check` and `run`, so that `run` accepts what
//! `check` accepts.
//!
//! A user's `kafka.properties.*` are passed to librdkafka unchanged. Other values of the few that tailburn controls
//! would break the atomic commit of outputs and offsets, or the ownership of partitions.

use std::collections::BTreeMap;

/// Properties with the only value that exactly-once allows. The last field: true for the producer, false for the
/// consumer.
pub const FIXED: [(&str, &str, bool); 9] = [
    ("enable.auto.commit", "false", false),
    ("enable.auto.offset.store", "false", false),
    ("isolation.level", "read_committed", false),
    ("enable.idempotence", "true", true),
    ("group.protocol", "classic", false),
    ("partition.assignment.strategy", "cooperative-sticky", false),
    ("auto.offset.reset", "error", false),
    ("enable.partition.eof", "true", false),
    ("delivery.report.only.error", "true", true),
];

/// Properties that other settings determine, and these settings.
const DERIVED: [(&str, &str); 3] = [
    ("group.id", "it is `application_id`"),
    ("transactional.id", "it is made of `application_id`, the state directory and the worker"),
    ("group.instance.id", "workers join and leave as dynamic members"),
];

/// Login mechanisms of every build, and what others need.
const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];
const OTHER_MECHANISMS: [(&str, bool, &str); 2] = [
    ("GSSAPI", cfg!(feature = "gssapi"), "build it with the cargo feature `gssapi` (Cyrus SASL has to be there)"),
    ("OAUTHBEARER", cfg!(feature = "kafka"), "build it with the cargo feature `kafka`"),
];

/// What a client needs to get tokens from an OpenID provider.
const OIDC: [&str; 3] =
    ["sasl.oauthbearer.client.id", "sasl.oauthbearer.client.secret", "sasl.oauthbearer.token.endpoint.url"];

/// Every property with a forbidden value, or missing, with the reason and a remedy.
pub fn refusals(all: &BTreeMap<String, String>) -> Vec<(&str, String)> {
    let each = all.iter().filter_map(|(name, value)| Some((name.as_str(), refusal(name, value)?)));
    each.chain(token(all)).chain(ticket(all)).collect()
}

/// librdkafka gets Kerberos tickets by `kinit` with a keytab, unless it is configured not to.
fn ticket(all: &BTreeMap<String, String>) -> Option<(&'static str, String)> {
    let value = |name: &str| all.get(name).map(String::as_str);
    let mechanism = value("sasl.mechanism").or_else(|| value("sasl.mechanisms"));
    let is_got_elsewhere = value("sasl.kerberos.min.time.before.relogin") == Some("0");
    if mechanism != Some("GSSAPI") || is_got_elsewhere || value("sasl.kerberos.kinit.cmd").is_some() {
        return None;
    }
    let message = "is missing: name the keytab of sasl.kerberos.principal; if something else gets the tickets, set \
                   sasl.kerberos.min.time.before.relogin to 0";
    value("sasl.kerberos.keytab").is_none().then(|| ("sasl.kerberos.keytab", message.to_owned()))
}

/// OAUTHBEARER needs a source of tokens: librdkafka can ask an OpenID provider.
fn token(all: &BTreeMap<String, String>) -> Option<(&'static str, String)> {
    let value = |name: &str| all.get(name).map(String::as_str);
    let mechanism = value("sasl.mechanism").or_else(|| value("sasl.mechanisms"));
    if mechanism != Some("OAUTHBEARER") || value("enable.sasl.oauthbearer.unsecure.jwt") == Some("true") {
        return None;
    }
    if value("sasl.oauthbearer.method") != Some("oidc") {
        let message = "is needed with the mechanism OAUTHBEARER: write `oidc`, and set sasl.oauthbearer.client.id, \
                       sasl.oauthbearer.client.secret and sasl.oauthbearer.token.endpoint.url";
        return Some(("sasl.oauthbearer.method", message.to_owned()));
    }
    // With another kind of client authentication there is no secret.
    let has_secret = ["sasl.oauthbearer.grant.type", "sasl.oauthbearer.metadata.authentication.type"];
    if has_secret.iter().any(|name| value(name).is_some_and(|value| !matches!(value, "client_credentials" | "none"))) {
        return None;
    }
    let missing = OIDC.into_iter().find(|name| value(name).is_none())?;
    Some((missing, "is missing: it is needed if sasl.oauthbearer.method is oidc".to_owned()))
}

/// Why this value is not allowed, with a remedy; `None`: it is allowed.
pub fn refusal(name: &str, value: &str) -> Option<String> {
    if let Some((_, instead)) = DERIVED.iter().find(|(derived, _)| *derived == name) {
        return Some(format!("it cannot be set here: {instead}. Remove it."));
    }
    if let Some((_, fixed, _)) = FIXED.iter().find(|(fixed, ..)| *fixed == name)
        && *fixed != value
    {
        let instead = if name == "auto.offset.reset" { " (`tailburn run --from` says where to begin)" } else { "" };
        return Some(format!("`{value}` would break exactly-once: tailburn needs `{fixed}`{instead}. Remove it."));
    }
    match name {
        "acks" | "request.required.acks" if !matches!(value, "all" | "-1") => {
            Some(format!("`{value}` would lose records: tailburn needs `all`. Remove it."))
        }
        "sasl.mechanism" | "sasl.mechanisms" => mechanism(value),
        _ => None,
    }
}

fn mechanism(value: &str) -> Option<String> {
    if MECHANISMS.contains(&value) {
        return None;
    }
    match OTHER_MECHANISMS.iter().find(|(name, ..)| *name == value) {
        Some((_, true, _)) => None,
        Some((_, false, how)) => {
            Some(format!("this build has no `{value}`: {how}, or use one of {}.", MECHANISMS.join(", ")))
        }
        None => Some(format!("`{value}` is not known. Use one of {}, OAUTHBEARER, GSSAPI.", MECHANISMS.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_exactly_once_or_cannot_log_in_is_refused_with_a_remedy() {
        for (name, value, says) in [
            ("enable.auto.commit", "true", "exactly-once"),
            ("isolation.level", "read_uncommitted", "read_committed"),
            ("group.protocol", "consumer", "classic"),
            ("group.instance.id", "one", "dynamic members"),
            ("group.id", "mine", "application_id"),
            ("transactional.id", "mine", "application_id"),
            ("auto.offset.reset", "latest", "--from"),
            ("acks", "1", "all"),
            ("sasl.mechanism", "NTLM", "SCRAM-SHA-512"),
        ] {
            let text = refusal(name, value).unwrap_or_else(|| panic!("{name}={value} was let through"));
            assert!(text.contains(says), "{name}={value}: {text}");
        }
        assert_eq!(refusal("sasl.mechanisms", "GSSAPI").is_none(), cfg!(feature = "gssapi"));
    }

    #[test]
    fn kerberos_needs_a_keytab_or_somebody_who_gets_tickets() {
        let mut all = BTreeMap::from([("sasl.mechanism".to_owned(), "GSSAPI".to_owned())]);
        let names =
            |all: &BTreeMap<String, String>| refusals(all).iter().any(|(name, _)| *name == "sasl.kerberos.keytab");
        assert!(names(&all));
        all.insert("sasl.kerberos.min.time.before.relogin".to_owned(), "0".to_owned());
        assert!(!names(&all));
        all.remove("sasl.kerberos.min.time.before.relogin");
        all.insert("sasl.kerberos.keytab".to_owned(), "/etc/kafka/tailburn.keytab".to_owned());
        assert!(!names(&all));
    }

    #[test]
    fn a_client_without_a_source_of_tokens_is_refused() {
        let mut all = BTreeMap::new();
        let first = |all: &BTreeMap<String, String>| refusals(all).into_iter().map(|(name, _)| name.to_owned()).next();
        let is_built = cfg!(feature = "kafka");
        for (name, value, missing) in [
            ("sasl.mechanism", "OAUTHBEARER", Some("sasl.oauthbearer.method")),
            ("sasl.oauthbearer.method", "oidc", Some("sasl.oauthbearer.client.id")),
            ("sasl.oauthbearer.client.id", "tailburn", Some("sasl.oauthbearer.client.secret")),
            ("sasl.oauthbearer.client.secret", "s", Some("sasl.oauthbearer.token.endpoint.url")),
            ("sasl.oauthbearer.token.endpoint.url", "http://localhost/token", None),
        ] {
            all.insert(name.to_owned(), value.to_owned());
            assert_eq!(first(&all).as_deref(), if is_built { missing } else { Some("sasl.mechanism") });
        }
    }

    #[test]
    fn what_agrees_and_what_is_the_users_own_is_let_through() {
        for (name, value) in [
            ("isolation.level", "read_committed"),
            ("group.protocol", "classic"),
            ("acks", "-1"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("security.protocol", "sasl_ssl"),
            ("linger.ms", "5"),
        ] {
            assert_eq!(refusal(name, value), None, "{name}={value}");
        }
    }
}
