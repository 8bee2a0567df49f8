//! The request, the status and the size.

use super::super::field::Scalar;
use super::super::rfc3339::digits;
use super::text::{quotes, text};

/// The parts of a request line; a port scan, a cut request or `-` has none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Request<'a> {
    pub method: Option<&'a [u8]>,
    pub path: Option<&'a [u8]>,
}

/// The request and the text after its closing quote. Some servers do not escape quotes inside, so the closing quote is
/// the last one that a status follows.
#[inline]
pub(super) fn quoted_request(inside: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = quotes(inside).next();
    let end = match first {
        Some(end) if is_followed_by_status(&inside[end + 1..]) => end,
        _ => closing_quote(inside).or(first)?,
    };
    Some((&inside[..end], &inside[end + 1..]))
}

#[cold]
fn closing_quote(inside: &[u8]) -> Option<usize> {
    let is_end = |at: &usize| is_followed_by_status(&inside[*at + 1..]);
    quotes(inside).find(is_end).or_else(|| memchr::memchr_iter(b'"', inside).find(is_end))
}

fn is_followed_by_status(rest: &[u8]) -> bool {
    let Some(rest) = rest.strip_prefix(b" ") else { return false };
    let word = &rest[..memchr::memchr(b' ', rest).unwrap_or(rest.len())];
    matches!(word, b"-" | b"-1" | b"None") || (1..=3).contains(&word.len()) && word.iter().all(u8::is_ascii_digit)
}

/// `GET /path?query HTTP/1.1`.
#[inline]
pub(super) fn read(request: &[u8]) -> Request<'_> {
    let Some(space) = memchr::memchr(b' ', request) else { return Request::default() };
    let (method, rest) = (&request[..space], request[space..].trim_ascii());
    let is_method = |b: &u8| b.is_ascii_uppercase() || matches!(b, b'-' | b'_');
    if matches!(method, b"" | b"-") || !method.iter().all(is_method) {
        return Request::default();
    }
    Request { method: Some(method), path: path(method, without_protocol(rest)) }
}

/// A target may contain unencoded spaces, so the protocol is the last word.
fn without_protocol(rest: &[u8]) -> &[u8] {
    let at = memchr::memrchr(b' ', rest).map_or(0, |space| space + 1);
    // hypercorn leaves out the name.
    let is_protocol =
        rest[at..].starts_with(b"HTTP/") || at > 0 && matches!(&rest[at..], b"1.0" | b"1.1" | b"2" | b"3");
    if is_protocol { rest[..at].trim_ascii_end() } else { rest }
}

/// Without query, scheme and authority.
fn path<'a>(method: &[u8], target: &'a [u8]) -> Option<&'a [u8]> {
    let target = &target[..memchr::memchr2(b'?', b'#', target).unwrap_or(target.len())];
    if target.is_empty() || method == b"CONNECT" {
        return None;
    }
    if target[0] == b'/' {
        return Some(target);
    }
    let is_scheme = |scheme: &[u8]| scheme.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    match memchr::memmem::find(target, b"://") {
        Some(at) if at > 0 && is_scheme(&target[..at]) => {
            let behind = &target[at + 3..];
            Some(memchr::memchr(b'/', behind).map_or(b"/", |slash| &behind[slash..]))
        }
        _ => Some(target),
    }
}

/// Anything but a number from 100 to 599 means that there was no answer.
#[inline]
pub(super) fn status(word: &[u8]) -> Option<i64> {
    match word {
        [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9'] => digits(word),
        _ => None,
    }
}

/// In bytes; `-` for none.
#[inline]
pub(super) fn size(word: &[u8]) -> Scalar<'_> {
    let is_number = (1..=18).contains(&word.len()) && word.iter().all(u8::is_ascii_digit);
    let bytes = if is_number { digits(word) } else { None };
    bytes.map_or_else(|| Scalar::Text(text(word)), Scalar::Long)
}
