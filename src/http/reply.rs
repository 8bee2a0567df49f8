//! Replies: JSON from the published bytes, errors as JSON, text.

use crate::board::Page;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::middleware::Next;
use serde_json::{Value, json};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

pub type Reply = Response<Body>;

const JSON: &str = "application/json";
pub const TEXT: &str = "text/plain; charset=utf-8";
/// The content type of Prometheus' text format.
pub const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// A browser may keep it, and asks each time whether it is still the same.
const REVALIDATE: &str = "private, no-cache";

pub fn with_body(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Reply {
    let mut reply = Response::new(body.into());
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

pub fn json(status: StatusCode, value: &Value) -> Reply {
    with_body(status, JSON, format!("{value}\n"))
}

/// JSON that a client may ask for again by its tag.
pub fn tagged(body: Vec<u8>) -> Reply {
    let tag = HeaderValue::try_from(format!("\"{:032x}\"", xxh3_128(&body)));
    let mut reply = with_body(StatusCode::OK, JSON, body);
    let headers = reply.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(REVALIDATE));
    if let Ok(tag) = tag {
        headers.insert(header::ETAG, tag);
    }
    reply
}

/// An object that a client may ask for again by its tag.
pub fn object(value: &Value) -> Reply {
    tagged(format!("{value}\n").into_bytes())
}

/// An error in the form of Prometheus' API, so that clients find `status` in every answer.
pub fn error(status: StatusCode, message: &str) -> Reply {
    let kind = match status {
        StatusCode::BAD_REQUEST => "bad_data",
        StatusCode::UNAUTHORIZED => "unauthorized",
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
    let next = json!(page.next);
    Object::default()
        .list("items", &page.items)
        .value("next", &next)
        .value("total", &json!(page.total))
        .value("not_shown", &json!(page.not_shown))
        .reply()
}

/// An object that is written field by field, so that records stand in it as they are.
#[derive(Default)]
pub struct Object {
    body: Vec<u8>,
}

impl Object {
    fn name(&mut self, name: &str) {
        self.body.push(if self.body.is_empty() { b'{' } else { b',' });
        self.body.extend_from_slice(Value::from(name).to_string().as_bytes());
        self.body.push(b':');
    }

    pub fn value(mut self, name: &str, value: &Value) -> Object {
        self.name(name);
        self.body.extend_from_slice(value.to_string().as_bytes());
        self
    }

    /// A record, or null.
    pub fn record(mut self, name: &str, record: Option<&[u8]>) -> Object {
        self.name(name);
        self.body.extend_from_slice(record.unwrap_or(b"null"));
        self
    }

    pub fn list(mut self, name: &str, records: &[Arc<[u8]>]) -> Object {
        self.name(name);
        self.body.push(b'[');
        for (i, record) in records.iter().enumerate() {
            if i > 0 {
                self.body.push(b',');
            }
            self.body.extend_from_slice(record);
        }
        self.body.push(b']');
        self
    }

    pub fn into_bytes(mut self) -> Vec<u8> {
        if self.body.is_empty() {
            self.body.push(b'{');
        }
        self.body.push(b'}');
        self.body
    }

    pub fn reply(self) -> Reply {
        let mut body = self.into_bytes();
        body.push(b'\n');
        tagged(body)
    }
}

/// Answers 304 where the client has this body already.
pub async fn revalidate(request: Request, next: Next) -> Reply {
    let known = request.headers().clone();
    let mut reply = next.run(request).await;
    let is_known = reply.headers().get(header::ETAG).is_some_and(|tag| is_among(tag, &known));
    if is_known && reply.status() == StatusCode::OK {
        *reply.status_mut() = StatusCode::NOT_MODIFIED;
        *reply.body_mut() = Body::empty();
        reply.headers_mut().remove(header::CONTENT_LENGTH);
        reply.headers_mut().remove(header::CONTENT_TYPE);
    }
    reply
}

fn is_among(tag: &HeaderValue, headers: &HeaderMap) -> bool {
    let Ok(tag) = tag.to_str() else { return false };
    let lists = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok());
    // A proxy that compresses makes the tag a weak one.
    let mut known = lists.flat_map(|list| list.split(',')).map(|known| known.trim().trim_start_matches("W/"));
    known.any(|known| known == tag || known == "*")
}
