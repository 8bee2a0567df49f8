//! Replies: JSON from the published bytes, errors as JSON, text.

use super::board::Page;
use axum::body::Body;
use axum::http::{Response, StatusCode, header};
use serde_json::json;

pub type Reply = Response<Body>;

const JSON: &str = "application/json";
pub const TEXT: &str = "text/plain; charset=utf-8";
/// The content type of Prometheus' text format.
pub const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

pub fn with_body(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Reply {
    let mut reply = Response::new(body.into());
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    reply
}

pub fn json(status: StatusCode, value: &serde_json::Value) -> Reply {
    with_body(status, JSON, format!("{value}\n"))
}

/// An error in the form of Prometheus' API, so that clients find `status` in every answer.
pub fn error(status: StatusCode, message: &str) -> Reply {
    let kind = match status {
        StatusCode::BAD_REQUEST => "bad_data",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
        StatusCode::SERVICE_UNAVAILABLE => "unavailable",
        _ => "internal",
    };
    json(status, &json!({ "status": "error", "errorType": kind, "error": message }))
}

/// A page around the records' own bytes, which are not parsed again and so cannot change.
pub fn page(page: &Page) -> Reply {
    let mut body = b"{\"items\":[".to_vec();
    for (i, item) in page.items.iter().enumerate() {
        if i > 0 {
            body.push(b',');
        }
        body.extend_from_slice(item);
    }
    let rest = format!("],\"next\":{},\"total\":{},\"not_shown\":{}}}\n", json!(page.next), page.total, page.not_shown);
    body.extend_from_slice(rest.as_bytes());
    with_body(StatusCode::OK, JSON, body)
}
