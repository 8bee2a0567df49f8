//! Splits a line: `host ident user [time] "request" status size "referer" "user agent"`.
//!
//! A user's name may contain spaces and brackets, so the parser finds the time first. Before it there must be host,
//! ident and user and nothing else: if it took a virtual host, a list of addresses or a logger's prefix for a host, all
//! figures per user would be wrong.

use super::super::rfc3339::digits;
use super::client::{self, Client};
use super::request;
use super::shape::ClfShape;
use super::text::quotes;
use super::time::{self, Stamp};
use crate::model::time::Ms;

/// The parts of a line, as they are written.
#[derive(Debug)]
pub(super) struct Line<'a> {
    /// Its name, without a port; `None` if the format has none or it is unknown.
    pub vhost: Option<&'a [u8]>,
    pub host: &'a [u8],
    pub user: &'a [u8],
    pub time_ms: Ms,
    pub request: &'a [u8],
    pub status: &'a [u8],
    pub size: &'a [u8],
    /// `None`: a line in common format.
    pub referer: Option<&'a [u8]>,
    pub user_agent: Option<&'a [u8]>,
    /// The server's duration, if it is at the end of the line.
    pub latency_ms: Option<f64>,
}

/// The first part of a line that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    /// No ` [` with a day, month, year, time and offset.
    NoTime,
    /// An impossible time: the 31st of February, an offset that no place has.
    BadTime,
    /// Other fields before the time than host, ident and user.
    Front,
    /// Something between the time and the request.
    Between,
    /// The request, the status or the size is missing.
    Cut,
}

#[inline]
pub(super) fn split(bytes: &[u8], shape: ClfShape) -> Result<Line<'_>, Misfit> {
    let (front, time_ms, rest) = find_time(bytes)?;
    let front = split_front(front, shape).ok_or(Misfit::Front)?;
    let inside = rest.strip_prefix(b" \"").ok_or(if rest.len() < 2 { Misfit::Cut } else { Misfit::Between })?;
    let (request, rest) = request::quoted_request(inside).ok_or(Misfit::Cut)?;
    let (status, rest) = word(rest);
    let (size, rest) = word(rest);
    if size.is_empty() {
        return Err(Misfit::Cut);
    }
    let (referer, rest) = quoted(rest);
    let (user_agent, rest) = if referer.is_some() { quoted(rest) } else { (None, rest) };
    Ok(Line {
        vhost: front.vhost,
        host: front.host,
        user: front.user,
        time_ms,
        request,
        status,
        size,
        referer,
        user_agent,
        latency_ms: latency_ms(rest),
    })
}

/// Splits at the first ` [` before a time: the text before it, the time, and the text after it.
#[inline]
fn find_time(bytes: &[u8]) -> Result<(&[u8], Ms, &[u8]), Misfit> {
    let mut from = 0;
    while let Some(found) = memchr::memchr(b'[', &bytes[from..]) {
        let (open, inside) = (from + found, from + found + 1);
        if open > 0 && bytes[open - 1] == b' ' {
            match time::read(&bytes[inside..]) {
                Stamp::At(time_ms, len) => return Ok((&bytes[..open - 1], time_ms, &bytes[inside + len..])),
                Stamp::Unreadable => return Err(Misfit::BadTime),
                Stamp::None => {}
            }
        }
        from = inside;
    }
    Err(Misfit::NoTime)
}

/// The fields before the time.
struct Front<'a> {
    vhost: Option<&'a [u8]>,
    host: &'a [u8],
    user: &'a [u8],
}

#[inline]
fn split_front(bytes: &[u8], shape: ClfShape) -> Option<Front<'_>> {
    if shape == ClfShape::VhostCombined {
        return behind_vhost(bytes);
    }
    let (host, rest) = cut(bytes)?;
    let (ident, user) = cut(rest)?;
    if host.is_empty() && ident != b"-" {
        // A leading space: an indented line, or a server on a unix socket, which writes an empty host and then `-`.
        return bytes.starts_with(b" ").then(|| split_front(bytes.trim_ascii_start(), shape)).flatten();
    }
    let fits =
        !matches!(client::read(host), Client::Foreign) && (matches!((ident, user), (b"-", b"-")) || fit(ident, user));
    fits.then_some(Front { vhost: None, host, user })
}

/// The ident is always `-` today, so its position shows whether the line has a virtual host.
fn behind_vhost(bytes: &[u8]) -> Option<Front<'_>> {
    let (vhost, rest) = cut(bytes)?;
    let (host, after) = cut(rest)?;
    let (ident, user) = cut(after)?;
    let (Client::Peer(_) | Client::Nobody) = client::read(vhost) else { return None };
    let fits = ident == b"-" && !matches!(client::read(host), Client::Foreign) && fit(ident, user);
    let name = client::without_port(vhost);
    fits.then_some(Front { vhost: Some(name).filter(|name| !matches!(*name, b"" | b"-")), host, user })
}

/// Whether two texts are an ident and a user's name, which may hold spaces.
fn fit(ident: &[u8], user: &[u8]) -> bool {
    let has_ident = ident != b"-";
    if has_ident && (ident.is_empty() || ident.iter().any(|b| matches!(b, b'.' | b':' | b',' | b'|' | b'/' | b'['))) {
        return false;
    }
    if !user.contains(&b' ') {
        return true;
    }
    if user.starts_with(b"- ") || user.ends_with(b" -") {
        return false;
    }
    // `192.0.2.9 - joe` as a user's name: then the field before it is not the host.
    let mut was_address = false;
    user.split(|b| *b == b' ').all(|word| {
        let is_dash = word == b"-";
        let fits = !(is_dash && (was_address || has_ident)) && !(has_ident && client::is_address(word));
        was_address = client::is_address(word);
        fits
    })
}

/// Splits at the next space.
#[inline]
fn cut(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b' ', bytes)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// The next word, or empty.
#[inline]
fn word(bytes: &[u8]) -> (&[u8], &[u8]) {
    let bytes = bytes.trim_ascii_start();
    cut(bytes).unwrap_or((bytes, b""))
}

/// The next quoted text as the server wrote it: an escaped quote stays `\"`. Without a closing quote the line was cut,
/// so there is no text.
#[inline]
fn quoted(bytes: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let Some(inside) = bytes.trim_ascii_start().strip_prefix(b"\"") else { return (None, bytes) };
    let is_end = |at: usize| matches!(inside.get(at + 1), None | Some(b' '));
    match quotes(inside).find(|at| is_end(*at)) {
        Some(end) => (Some(&inside[..end]), &inside[end + 1..]),
        None => (None, b""),
    }
}

/// The server's duration, if it is the only field after the quoted texts: seconds as nginx (`0.123`) or gunicorn
/// (`0.123456`) print them, or a number with its unit (`123ms`, `123456us`, `1.5s`). Two numbers would be ambiguous.
#[inline]
fn latency_ms(rest: &[u8]) -> Option<f64> {
    let mut rest = rest.trim_ascii_start();
    while rest.starts_with(b"\"") {
        let (text, after) = quoted(rest);
        text?;
        rest = after.trim_ascii_start();
    }
    if rest.is_empty() { None } else { duration_ms(rest) }
}

fn duration_ms(text: &[u8]) -> Option<f64> {
    let unit_at = text.iter().position(u8::is_ascii_alphabetic).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let (whole, fraction) = number.split_at(memchr::memchr(b'.', number).unwrap_or(number.len()));
    let fraction = fraction.strip_prefix(b".").unwrap_or_default();
    let to_ms = match (unit, fraction.len()) {
        (b"s", _) | (b"", 3 | 6) => 1e3,
        (b"ms", _) => 1.0,
        (b"us", _) => 1e-3,
        _ => return None,
    };
    if whole.is_empty() || number.len() > 15 || number.ends_with(b".") {
        return None;
    }
    let scale = 10i64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let units = digits(whole)?.checked_mul(scale)?.checked_add(digits(fraction)?)?;
    // Multiplied first: 0.123 s is 123 ms to the last bit.
    let ms = units as f64 * if to_ms < 1.0 { 1.0 } else { to_ms } / scale as f64;
    Some(if to_ms < 1.0 { ms / 1e3 } else { ms })
}
