//! Access logs in common and in combined format (contract, section 9).
//!
//! Client = user, method = operation, size = `measures.bytes`; the request's path, the referer, the user agent and the
//! authenticated user are attributes. [`mod@line`] splits a line, [`client`], [`time`] and [`request`] read its parts,
//! and [`foreign`] names the format of a line that does not fit, with a remedy. A line is bytes: invalid UTF-8 in a
//! text becomes U+FFFD.

mod client;
mod foreign;
mod line;
mod months;
mod request;
mod shape;
mod text;
mod time;

pub use shape::ClfShape;

use super::field::{Field, Scalar};
use super::gather::Gathered;
use super::limits::FieldLimits;
use super::rejected::Rejected;
use client::Client;
use line::Line;
use text::text;

/// The tenant of an access log if the configuration names none.
pub(super) const TENANT: &str = "default";

#[inline]
pub(super) fn gather<'a>(bytes: &'a [u8], shape: ClfShape, limits: &FieldLimits) -> Result<Gathered<'a>, Rejected> {
    let bytes = without_padding(bytes);
    let line = line::split(bytes, shape).map_err(|misfit| foreign::reject(bytes, shape, misfit))?;
    Ok(assemble(&line, limits))
}

/// After a crash a server may leave zero bytes before its next line; a file may begin with a byte order mark.
#[inline]
fn without_padding(bytes: &[u8]) -> &[u8] {
    let ended = bytes.trim_ascii_end();
    match ended.first() {
        Some(0 | 0xEF) => padded(ended),
        _ => ended,
    }
}

#[cold]
fn padded(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let zeros = bytes.iter().take_while(|b| **b == 0).count();
    &bytes[zeros..]
}

#[inline]
fn assemble<'a>(line: &Line<'a>, limits: &FieldLimits) -> Gathered<'a> {
    let mut out = Gathered::new();
    if let Client::Peer(peer) = client::read(line.host) {
        out.set(Field::User, Scalar::Text(peer));
    }
    out.set(Field::Timestamp, Scalar::Time(line.time_ms));
    match request::status(line.status) {
        Some(status) => out.set(Field::Status, Scalar::Long(status)),
        None => out.unanswered(text(line.status)),
    }
    out.measure("bytes".into(), request::size(line.size), limits);
    if let Some(latency_ms) = line.latency_ms {
        out.set(Field::LatencyMs, Scalar::Double(latency_ms));
    }
    let request = request::read(line.request);
    if let Some(method) = request.method {
        out.set(Field::Operation, Scalar::Text(text(method)));
    }
    attribute("path", request.path, &mut out, limits);
    attribute("auth_user", Some(line.user).filter(|user| !is_nobody(user)), &mut out, limits);
    attribute("referer", line.referer.map(sent), &mut out, limits);
    attribute("user_agent", line.user_agent.map(sent), &mut out, limits);
    attribute("vhost", line.vhost, &mut out, limits);
    out
}

fn is_nobody(user: &[u8]) -> bool {
    matches!(user, b"" | b"-" | b"\"\"" | b"\"-\"")
}

/// `-` means that the header was not sent; it becomes the empty text, so that a filter can read it.
fn sent(header: &[u8]) -> &[u8] {
    if header == b"-" { b"" } else { header }
}

#[inline]
fn attribute<'a>(name: &'static str, value: Option<&'a [u8]>, out: &mut Gathered<'a>, limits: &FieldLimits) {
    if let Some(value) = value {
        out.attribute(name.into(), Scalar::Text(text(value)), limits);
    }
}

#[cfg(test)]
mod tests;
