//! Refuses requests that a web page sends to us under its own name (DNS rebinding).
//!
//! Such a request carries the page's host name. An address is no name, and `localhost` is ours. Where
//! we listen for other machines, names are theirs to choose: a proxy or a service has one.

use axum::extract::Request;
use axum::http::{Version, header};
use std::net::IpAddr;

/// The one host that a request names, or what is wrong with it. HTTP/1.0 may name none.
///
/// Two headers, or a target and a header that differ, are refused: a proxy in front may have gone by the other.
pub fn of(request: &Request) -> Result<Option<&str>, &'static str> {
    let mut headers = request.headers().get_all(header::HOST).iter();
    let header = headers.next().map(|h| h.to_str().unwrap_or_default());
    if headers.next().is_some() {
        return Err("this request has more than one Host header");
    }
    let target = request.uri().authority().map(|authority| authority.as_str());
    match (target, header) {
        (_, None) if request.version() > Version::HTTP_10 => Err("this request has no Host header"),
        (Some(target), Some(header)) if !target.eq_ignore_ascii_case(header) => {
            Err("this request names one host in its target and another one in its Host header")
        }
        (target, header) => Ok(target.or(header)),
    }
}

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
