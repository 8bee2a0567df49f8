//! Lets a request pass by its token, or by where it comes from.
//!
//! A tenant's token sees that tenant alone: lists are narrowed to it, and whatever names another one is not there.

use super::connections::Streamed;
use super::reply::{self, Reply};
use super::tokens::{Holder, Tokens};
use crate::board::KeyParts;
use axum::extract::{Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::sync::Arc;

/// Paths that can be narrowed to a tenant by their parameter `tenant`.
const NARROWED: [&str; 8] = ["status", "alerts", "cohorts", "overview", "users", "user", "events", "tenants"];
/// Paths that say nothing of anybody.
const OPEN: [&str; 1] = ["openapi.json"];

const API: &str = "/api/v1/";

/// In front of the API: who may pass.
pub async fn check(State(tokens): State<Option<Arc<Tokens>>>, mut request: Request, next: Next) -> Reply {
    let Some(tokens) = tokens else {
        return match is_local(&request) {
            true => next.run(request).await,
            false => reply::error(
                StatusCode::FORBIDDEN,
                "no tokens are configured, so only this machine may ask: set http.tokens, or ask a proxy on this machine",
            ),
        };
    };
    match token(&request).and_then(|token| tokens.holder(&token)) {
        Some(Holder::Operator(_)) => next.run(request).await,
        Some(Holder::Tenant(tenant)) => match narrow(request.uri(), tenant) {
            Some(uri) => {
                *request.uri_mut() = uri;
                next.run(request).await
            }
            None => {
                tracing::warn!(target: "tailburn::audit", tenant, path = request.uri().path(), "a tenant's token asked for what is not its own");
                reply::error(StatusCode::NOT_FOUND, "there is nothing of this name for this token")
            }
        },
        None => unauthorized("a token is needed: Authorization: Bearer TOKEN"),
    }
}

/// In front of the metrics: with tokens they are for operators. Without tokens they are for everybody, as they always
/// were: a monitoring system has no token.
pub async fn check_metrics(State(tokens): State<Option<Arc<Tokens>>>, request: Request, next: Next) -> Reply {
    let Some(tokens) = tokens else { return next.run(request).await };
    match token(&request).and_then(|token| tokens.holder(&token)) {
        Some(Holder::Operator(_)) => next.run(request).await,
        _ => unauthorized("the metrics are for an operator's token, or on http.probe_listen"),
    }
}

fn unauthorized(message: &str) -> Reply {
    let mut reply = reply::error(StatusCode::UNAUTHORIZED, message);
    reply.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    reply
}

fn is_local(request: &Request) -> bool {
    let peer = request.extensions().get::<Streamed>().and_then(|streamed| streamed.peer);
    peer.is_none_or(|peer| peer.to_canonical().is_loopback())
}

/// The token of a request. It may also be the password of whatever user, because Flagger and older data sources know
/// nothing but user and password.
fn token(request: &Request) -> Option<String> {
    let mut all = request.headers().get_all(header::AUTHORIZATION).iter();
    let (kind, given) = all.next()?.to_str().ok()?.split_once(' ')?;
    if all.next().is_some() {
        return None;
    }
    if kind.eq_ignore_ascii_case("bearer") {
        return Some(given.trim().to_owned());
    }
    let pair = STANDARD.decode(given.trim()).ok().filter(|_| kind.eq_ignore_ascii_case("basic"))?;
    let (_, password) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
    Some(password.to_owned())
}

/// What a tenant may ask instead; `None`: it is not its own.
fn narrow(uri: &Uri, tenant: &str) -> Option<Uri> {
    let path = uri.path().strip_prefix(API)?;
    if OPEN.contains(&path) {
        return Some(uri.clone());
    }
    let asked: axum::extract::Query<Vec<(String, String)>> = axum::extract::Query::try_from_uri(uri).ok()?;
    if let Some(named) = path.strip_prefix("tenant/") {
        return (percent_decoded(named)? == tenant).then(|| uri.clone());
    }
    if path == "history" {
        let is_own = |key: &str| KeyParts::of(key).tenant.as_deref() == Some(tenant);
        let mut keys = asked.iter().filter(|(name, _)| name == "key").peekable();
        return (keys.peek().is_some() && keys.all(|(_, key)| is_own(key))).then(|| uri.clone());
    }
    if !NARROWED.contains(&path) || asked.iter().any(|(name, value)| name == "tenant" && value != tenant) {
        return None;
    }
    if asked.iter().any(|(name, _)| name == "tenant") {
        return Some(uri.clone());
    }
    let query = uri.query().filter(|query| !query.is_empty()).map_or(String::new(), |query| format!("{query}&"));
    let narrowed = format!("{}?{query}tenant={}", uri.path(), percent_encoded(tenant));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(narrowed).ok()?);
    Uri::from_parts(parts).ok()
}

fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let hex = std::str::from_utf8(rest.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(hex, 16).ok()?);
            rest = &rest[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrowed(uri: &str) -> Option<String> {
        narrow(&uri.parse().expect("an address"), "acme, inc").map(|uri| uri.to_string())
    }

    #[test]
    fn a_tenant_asks_for_itself_whatever_it_asks() {
        let own = "tenant=acme%2C%20inc";
        for (uri, expected) in [
            ("/api/v1/status", Some(format!("/api/v1/status?{own}"))),
            ("/api/v1/alerts?state=all", Some(format!("/api/v1/alerts?state=all&{own}"))),
            ("/api/v1/overview?tenant=acme%2c+inc", Some("/api/v1/overview?tenant=acme%2c+inc".to_owned())),
            ("/api/v1/overview?tenant=zeta", None),
            ("/api/v1/overview?tenant=acme%2C%20inc&tenant=zeta", None),
            ("/api/v1/tenant/acme,%20inc", Some("/api/v1/tenant/acme,%20inc".to_owned())),
            ("/api/v1/tenant/zeta", None),
            ("/api/v1/tenant/acme,%20inc/../zeta", None),
            (
                "/api/v1/history?key=a%7Ctenant%7Cacme%252C%20inc",
                Some("/api/v1/history?key=a%7Ctenant%7Cacme%252C%20inc".to_owned()),
            ),
            ("/api/v1/history?key=a%7Caggregate", None),
            ("/api/v1/history?key=a%7Ctenant%7Cacme%252C%20inc&key=a%7Caggregate", None),
            ("/api/v1/history", None),
            ("/api/v1/slo/a", None),
            ("/api/v1/processor", None),
            ("/api/v1/canaries", None),
            ("/api/v1/openapi.json", Some("/api/v1/openapi.json".to_owned())),
            ("/metrics", None),
        ] {
            assert_eq!(narrowed(uri), expected, "{uri}");
        }
    }
}
