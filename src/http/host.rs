//! Refuses requests that a web page sends to us under its own name (DNS rebinding).
//!
//! Such a request carries the page's host name. An address is no name, and `localhost` is ours. Where
//! we listen for other machines, names are theirs to choose: a proxy or a service has one.

use std::net::IpAddr;

/// Whether a request with this `Host` is meant for us. HTTP/1.0 has none, and no browser speaks it.
pub fn is_ours(host: Option<&str>, listens_on_loopback: bool) -> bool {
    let Some(host) = host else { return true };
    if !listens_on_loopback {
        return true;
    }
    let name = without_port(host);
    name.eq_ignore_ascii_case("localhost") || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

/// `::1` has colons of its own, and no port without brackets.
fn without_port(host: &str) -> &str {
    let Some((name, port)) = host.rsplit_once(':') else { return host };
    let bare_address = name.contains(':') && !name.ends_with(']');
    if bare_address || !port.chars().all(|c| c.is_ascii_digit()) { host } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_name_is_refused_on_loopback_only() {
        for ours in ["localhost", "LocalHost:8720", "127.0.0.1:8720", "[::1]:8720", "::1"] {
            assert!(is_ours(Some(ours), true), "{ours}");
        }
        for foreign in ["evil.example", "evil.example:8720", "localhost.evil.example", ""] {
            assert!(!is_ours(Some(foreign), true), "{foreign}");
        }
        assert!(is_ours(Some("tailburn.internal"), false));
        assert!(is_ours(None, true));
    }
}
