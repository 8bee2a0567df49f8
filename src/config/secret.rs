//! Secrets: `${ENV}` references are resolved when a value is read, and never shown.

/// Shown in place of a secret.
pub const REDACTED: &str = "[redacted]";

/// The name of the first variable in `text` that `lookup` does not know.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownVariable(pub String);

/// Replaces each `${NAME}`; `$${` is a literal `${`.
pub fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<String, UnknownVariable> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        if rest[..start].ends_with('$') {
            out.push_str(&rest[..start]);
            out.push('{');
            rest = &rest[start + 2..];
            continue;
        }
        let Some(length) = rest[start + 2..].find('}') else { break };
        let name = &rest[start + 2..start + 2 + length];
        out.push_str(&rest[..start]);
        out.push_str(&lookup(name).ok_or_else(|| UnknownVariable(name.to_owned()))?);
        rest = &rest[start + 2 + length + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Whether a key's value is a secret by its name.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    // The name of a file is no secret.
    if key.ends_with("_file") {
        return false;
    }
    // `ssl.key.pem` contains the private key itself; the other names are obvious.
    [
        "password",
        "passphrase",
        "secret",
        "token",
        "credential",
        "ssl.key.pem",
        "sasl.jaas.config",
        "sasl.oauthbearer.config",
        "routing_key",
        // Whoever knows the address of a chat's webhook may post there.
        "webhook_url",
    ]
    .iter()
    .any(|s| key.contains(s))
}

/// A value that may be shown: replaces secrets (by the key's name) and the user info of a URL.
///
/// `written` is the text before `${ENV}` was resolved: the reference is not secret, its value is.
pub fn redact(key: &str, written: &str) -> String {
    if is_secret(key) && !is_reference(written) {
        return REDACTED.to_owned();
    }
    match (written.find("://"), written.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}{REDACTED}{}", &written[..scheme + 3], &written[at..]),
        _ => written.to_owned(),
    }
}

fn is_reference(text: &str) -> bool {
    text.strip_prefix("${").and_then(|t| t.strip_suffix('}')).is_some_and(|name| !name.contains(['{', '}', '$']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        (name == "PASS").then(|| "hunter2".to_owned())
    }

    #[test]
    fn resolves_references_and_names_the_missing_one() {
        assert_eq!(expand("a${PASS}b", environment).as_deref(), Ok("ahunter2b"));
        assert_eq!(expand("$${PASS}", environment).as_deref(), Ok("${PASS}"));
        assert_eq!(expand("${NOPE}", environment), Err(UnknownVariable("NOPE".into())));
        assert_eq!(expand("a${b", environment).as_deref(), Ok("a${b"));
    }

    #[test]
    fn shows_references_but_no_secret() {
        assert_eq!(redact("kafka.properties.sasl.password", "hunter2"), REDACTED);
        assert_eq!(redact("kafka.properties.sasl.password", "x${PASS}"), REDACTED);
        assert_eq!(redact("kafka.properties.sasl.password", "${PASS}"), "${PASS}");
        assert_eq!(redact("kafka.properties.sasl.oauthbearer.client.secret", "s"), REDACTED);
        assert_eq!(redact("schema_registry.url", "https://me:pw@registry:8081"), "https://[redacted]@registry:8081");
        assert_eq!(redact("kafka.properties.bootstrap.servers", "a:9092"), "a:9092");
        assert_eq!(redact("notify.receivers.oncall.routing_key", "R0"), REDACTED);
        assert_eq!(redact("notify.receivers.oncall.routing_key_file", "key"), "key");
    }
}
