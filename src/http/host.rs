//! Refuses requests that a web page of somebody else sends: under its own host name (DNS rebinding), or under its own
//! origin.
//!
//! The former has the page's host name, so only addresses and `localhost` are accepted. If we listen for other
//! machines, all names are accepted: a proxy or a service has its own. The latter has the page's `Origin`, which browsers
//! add to what one site sends to another; programs send none, and our own page's origin is the host that it asks.

use axum::extract::Request;
use axum::http::{Version, header};
use std::net::IpAddr;

/// The host that a request names, or what is wrong with it. HTTP/1.0 requests may have none.
///
/// Two headers, or a different target and header, are refused: a proxy in front may have used the other one.
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

/// Whether a request with this `Host` is for us. HTTP/1.0 has none, but no browser uses it.
pub fn is_ours(host: Option<&str>, listens_on_loopback: bool) -> bool {
    let Some(host) = host else { return true };
    if !listens_on_loopback {
        return true;
    }
    let name = without_port(host);
    name.eq_ignore_ascii_case("localhost") || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

/// Whether the `Origin` of a request, if it has one, is the host that it is sent to.
pub fn is_own_origin(request: &Request, host: Option<&str>) -> bool {
    let mut origins = request.headers().get_all(header::ORIGIN).iter();
    let Some(origin) = origins.next() else { return true };
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    let is_host = authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host));
    is_host && origins.next().is_none()
}

/// `::1` contains colons, and has a port only in brackets.
fn without_port(host: &str) -> &str {
    let Some((name, port)) = host.rsplit_once(':') else { return host };
    let bare_address = name.contains(':') && !name.ends_with(']');
    if bare_address || !port.chars().all(|c| c.is_ascii_digit()) { host } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_origin_is_no_origin_of_ours() {
        let is_own = |origins: &[&str]| {
            let mut request = Request::new(axum::body::Body::empty());
            for origin in origins {
                request.headers_mut().append(header::ORIGIN, origin.parse().expect("a header"));
            }
            is_own_origin(&request, Some("tailburn.internal:8720"))
        };
        assert!(is_own(&[]), "a program");
        assert!(is_own(&["http://tailburn.internal:8720"]) && is_own(&["https://Tailburn.Internal:8720"]));
        for foreign in ["http://evil.example", "null", "", "http://tailburn.internal:8721", "http://tailburn.internal"]
        {
            assert!(!is_own(&[foreign]), "{foreign}");
        }
        assert!(!is_own(&["http://tailburn.internal:8720", "http://evil.example"]));
    }

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
