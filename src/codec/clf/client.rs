//! The client: a line's first field as a user id.
//!
//! One peer is one user in all notations: the port is cut off, addresses are written as in RFC 5952, IPv4 inside IPv6
//! as IPv4. A value that names no peer gives no user: for a unix socket every server writes something else.

use super::text::text;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Client<'a> {
    Nobody,
    Peer(Cow<'a, str>),
    /// Not a host: the line has another format.
    Foreign,
}

#[inline]
pub(super) fn read(host: &[u8]) -> Client<'_> {
    // An IPv4 address or a name: nearly all lines have one.
    if !host.is_empty() && host.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')) {
        return match host {
            // Varnish writes this address for a peer on a unix socket.
            b"-" | b"unix" | b"None" | b"0.0.0.0" => Client::Nobody,
            _ => Client::Peer(text(host)),
        };
    }
    unusual(host)
}

fn unusual(host: &[u8]) -> Client<'_> {
    if matches!(host, b"" | b"@" | b"\"-\"" | b"\"\"") || host.starts_with(b"/") || host.starts_with(b"unix:") {
        return Client::Nobody;
    }
    let is_foreign = |b: &u8| matches!(b, b',' | b'"' | b'{' | b'}' | b'<' | b'>' | b'|' | b'(' | b')' | b';' | b'#');
    if host.iter().any(is_foreign) {
        return Client::Foreign;
    }
    if let Some(address) = address(host).or_else(|| address(without_port(host))) {
        return Client::Peer(address);
    }
    match without_port(host) {
        b"" | b"-" | b"unix" | b"None" => Client::Nobody,
        name if name.iter().any(|b| matches!(b, b':' | b'[' | b']')) => Client::Foreign,
        name => Client::Peer(text(name)),
    }
}

/// An IPv6 address (with a zone, in brackets) in its one form.
fn address(host: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(host).ok()?;
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let (digits, zone) = bare.split_once('%').map_or((bare, None), |(digits, zone)| (digits, Some(zone)));
    let address: Ipv6Addr = digits.parse().ok()?;
    match (address.to_ipv4_mapped(), zone) {
        (Some(v4), _) => Some(Cow::Owned(v4.to_string())),
        (None, _) if is_written(&address, digits) => Some(Cow::Borrowed(bare)),
        (None, Some(zone)) => Some(Cow::Owned(format!("{address}%{zone}"))),
        (None, None) => Some(Cow::Owned(address.to_string())),
    }
}

/// Whether the text is an address in its canonical form, checked without allocating.
fn is_written(address: &Ipv6Addr, text: &str) -> bool {
    struct Rest<'a>(&'a str);
    impl std::fmt::Write for Rest<'_> {
        fn write_str(&mut self, part: &str) -> std::fmt::Result {
            self.0 = self.0.strip_prefix(part).ok_or(std::fmt::Error)?;
            Ok(())
        }
    }
    let mut rest = Rest(text);
    write!(rest, "{address}").is_ok() && rest.0.is_empty()
}

/// `192.0.2.1:47256` without `:47256`. (`::1:47256` is no address, so it is one with a port.)
pub(super) fn without_port(host: &[u8]) -> &[u8] {
    let Some(colon) = memchr::memrchr(b':', host) else { return host };
    let port = &host[colon + 1..];
    // Python writes `None` also as the port of a missing peer.
    let is_port = port == b"None" || (1..=5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit);
    if is_port { &host[..colon] } else { host }
}

/// Whether a word is a peer's address, perhaps followed by a port or a comma.
pub(super) fn is_address(word: &[u8]) -> bool {
    let word = word.strip_suffix(b",").unwrap_or(word);
    let is_v4 = |w: &[u8]| std::str::from_utf8(w).is_ok_and(|t| t.parse::<Ipv4Addr>().is_ok());
    is_v4(word) || is_v4(without_port(word)) || address(word).is_some() || address(without_port(word)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(host: &str) -> Option<String> {
        match read(host.as_bytes()) {
            Client::Peer(peer) => Some(peer.into_owned()),
            Client::Nobody => None,
            Client::Foreign => panic!("{host} is a host"),
        }
    }

    #[test]
    fn one_peer_is_one_user_however_it_is_written() {
        for (written, user) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:47256", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("::FFFF:c000:201", "192.0.2.1"),
            ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
            ("::1", "::1"),
            ("0:0:0:0:0:0:0:1", "::1"),
            ("[0:0:0:0:0:0:0:1]", "::1"),
            ("[::1]", "::1"),
            ("[::1]:47256", "::1"),
            ("::1:47256", "::1"),
            ("2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
            ("2001:0db8:0060:2c74::", "2001:db8:60:2c74::"),
            ("2001:db8:60:2c74::", "2001:db8:60:2c74::"),
            ("fe80::1%eth0", "fe80::1%eth0"),
            ("FE80:0::1%eth0", "fe80::1%eth0"),
            ("host.example.com", "host.example.com"),
            ("host.example.com:8080", "host.example.com"),
            ("localhost", "localhost"),
            ("münchen.example", "münchen.example"),
        ] {
            assert_eq!(peer(written).as_deref(), Some(user), "{written}");
        }
    }

    #[test]
    fn what_names_no_peer_is_nobody() {
        for host in [
            "",
            "-",
            "\"-\"",
            "unix",
            "unix:",
            "unix:/run/app.sock",
            "unix:0",
            "None",
            "None:None",
            "@",
            "0.0.0.0",
            "/run/a.sock",
        ] {
            assert_eq!(peer(host), None, "{host}");
        }
    }

    #[test]
    fn what_is_no_host_is_seen() {
        for host in [
            "192.0.2.1,192.0.2.2",
            "192.0.2.1,",
            "\"192.0.2.1",
            "{\"a\":1}",
            "<13>1",
            "INFO:aiohttp.access:192.0.2.1",
            "[2026-11-27",
            "a:b:c",
        ] {
            assert_eq!(read(host.as_bytes()), Client::Foreign, "{host}");
        }
    }

    #[test]
    fn an_address_in_its_one_form_is_borrowed() {
        for host in ["192.0.2.1", "2001:db8::1", "fe80::1%eth0", "192.0.2.1:80"] {
            assert!(matches!(read(host.as_bytes()), Client::Peer(Cow::Borrowed(_))), "{host}");
        }
    }
}
