//! `/api/v1/events`: what changes, as server-sent events.
//!
//! Each has an id; a client that comes back with the last one it saw gets what it missed, or the event `reset`, which
//! says that it has to read the lists again. A client that reads too slowly is cut off, and does the same.

use super::api::{Asked, Refusal, parameters};
use super::connections::Streamed;
use super::endpoints::Endpoints;
use super::reply::{self, Reply};
use crate::board::{Event, KeyParts};
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use futures_util::stream;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::time::sleep;

const EVENT_STREAM: &str = "text/event-stream";
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a client waits before it comes back.
const RETRY_MS: u64 = 2_000;
/// Events that are sent at once.
const AT_ONCE: usize = 64;
const KINDS: [&str; 4] = ["status", "alert", "cohort", "history"];
const KNOWN: &str = "slo, tenant, scope, key, kind";

const RESET: &str =
    concat!("event: reset\n", "data: {\"reason\":\"what you saw last is no longer known: read the lists again\"}\n\n");

/// What a viewer wants to see.
struct Wanted {
    slo: Option<String>,
    tenant: Option<String>,
    scope: Option<String>,
    key: Option<String>,
    kinds: Option<Vec<String>>,
}

impl Wanted {
    fn has(&self, event: &Event) -> bool {
        let KeyParts { slo, scope, tenant } = &event.parts;
        self.slo.as_ref().is_none_or(|wanted| wanted == slo)
            && self.scope.as_ref().is_none_or(|wanted| wanted == scope)
            && (self.tenant.is_none() || self.tenant == *tenant)
            && self.key.as_ref().is_none_or(|wanted| **wanted == *event.key)
            && self.kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|kind| kind == event.kind))
    }
}

pub async fn stream(
    State(endpoints): State<Endpoints>,
    streamed: Option<Extension<Streamed>>,
    headers: HeaderMap,
    asked: Asked,
) -> Reply {
    let (wanted, seen) = match wanted(asked, &headers) {
        Ok(wanted) => wanted,
        Err(refusal) => return refusal.into(),
    };
    let streamed = streamed.map(|Extension(streamed)| streamed).unwrap_or_default();
    if endpoints.board.fill().viewers >= streamed.viewers_max {
        let mut reply =
            reply::error(StatusCode::SERVICE_UNAVAILABLE, "too many viewers watch already: ask the lists instead");
        reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("30"));
        return reply;
    }
    let of_aggregates = wanted.scope.as_deref() == Some("aggregate");
    let watching = endpoints.board.watch(seen.as_deref(), of_aggregates);
    let mut first = format!("retry: {RETRY_MS}\n\n").into_bytes();
    if watching.missed.is_none() {
        first.extend_from_slice(RESET.as_bytes());
    }
    let viewer = Viewer {
        epoch: endpoints.board.epoch(),
        first: Some(first),
        missed: watching.missed.unwrap_or_default().into(),
        coming: watching.coming,
        wanted,
        streamed,
        has_lost: false,
    };
    let body = stream::unfold(viewer, |mut viewer| async move {
        viewer.streamed.is_asked_for_more();
        viewer.next().await.map(|chunk| (Ok::<_, Infallible>(chunk), viewer))
    });
    let mut reply = reply::with_body(StatusCode::OK, EVENT_STREAM, Body::from_stream(body));
    // A proxy that collects the answer would hold it back for ever.
    reply.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    reply
}

fn wanted(asked: Asked, headers: &HeaderMap) -> Result<(Wanted, Option<String>), Refusal> {
    let mut asked = parameters(asked)?;
    let kinds = asked.take("kind").map(|text| text.split(',').map(str::to_owned).collect::<Vec<_>>());
    if let Some(unknown) = kinds.iter().flatten().find(|kind| !KINDS.contains(&kind.as_str())) {
        return Err(Refusal::BadRequest(format!("`{unknown}` is not a kind: {}", KINDS.join(", "))));
    }
    let wanted = Wanted {
        slo: asked.take("slo"),
        tenant: asked.take("tenant"),
        scope: asked.take("scope"),
        key: asked.take("key"),
        kinds,
    };
    asked.end(KNOWN).map_err(Refusal::BadRequest)?;
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    Ok((wanted, seen))
}

struct Viewer {
    epoch: String,
    first: Option<Vec<u8>>,
    missed: VecDeque<Arc<Event>>,
    coming: Receiver<Arc<Event>>,
    wanted: Wanted,
    streamed: Streamed,
    /// It was too slow, or the board is gone.
    has_lost: bool,
}

impl Viewer {
    /// The next bytes; `None`: the viewer is too slow, or the board is gone.
    async fn next(&mut self) -> Option<Vec<u8>> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let heartbeat = sleep(HEARTBEAT);
        tokio::pin!(heartbeat);
        while !self.has_lost {
            let mut chunk = Vec::new();
            let event = match self.missed.pop_front() {
                Some(event) => event,
                None => tokio::select! {
                    () = heartbeat.as_mut() => return Some(b": still here\n\n".to_vec()),
                    coming = self.coming.recv() => coming.ok()?,
                },
            };
            self.write(&event, &mut chunk);
            for _ in 1..AT_ONCE {
                let Some(event) = self.at_hand() else { break };
                self.write(&event, &mut chunk);
            }
            if !chunk.is_empty() {
                return Some(chunk);
            }
        }
        None
    }

    /// The next event, if it need not be waited for.
    fn at_hand(&mut self) -> Option<Arc<Event>> {
        self.missed.pop_front().or_else(|| match self.coming.try_recv() {
            Ok(event) => Some(event),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Lagged(_) | TryRecvError::Closed) => {
                self.has_lost = true;
                None
            }
        })
    }

    fn write(&self, event: &Event, chunk: &mut Vec<u8>) {
        if self.wanted.has(event) {
            let key = serde_json::Value::from(&*event.key);
            let head = format!("id: {}-{}\nevent: {}\ndata: ", self.epoch, event.number, event.kind);
            chunk.extend_from_slice(head.as_bytes());
            chunk.extend_from_slice(format!("{{\"key\":{key},\"record\":").as_bytes());
            chunk.extend_from_slice(&event.json);
            chunk.extend_from_slice(b"}\n\n");
        }
    }
}
