//! For what acts on the figures: the gate of a service, and Flagger's webhooks about a candidate.
//!
//! A gate without data is `caution`, and a verdict without data is `inconclusive`: neither opens nor rolls back.

use super::api::{Asked, Refusal, either, nothing_more};
use super::endpoints::Endpoints;
use super::reply::{self, Reply};
use crate::board::gate::{Action, Policy, action_of};
use crate::board::{Query, Shelf};
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// SLOs of one service that a gate asks.
const SLOS_MAX: usize = 1_000;

#[derive(Deserialize)]
struct Status {
    slo: String,
    state: String,
    budget_remaining: Option<f64>,
    policy: Option<Policy>,
    gauge: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Alert {
    severity: String,
    title: String,
}

#[derive(Serialize)]
struct OfSlo {
    slo: String,
    action: Action,
    reason: String,
    state: String,
    budget_remaining: Option<f64>,
}

/// `GET /api/v1/gate/{service}`: whether to ship.
pub async fn gate(Path(service): Path<String>, State(endpoints): State<Endpoints>, asked: Asked) -> Reply {
    either(gate_of(&service, &endpoints, asked))
}

fn gate_of(service: &str, endpoints: &Endpoints, asked: Asked) -> Result<Reply, Refusal> {
    nothing_more(asked)?;
    let of_service = Query { service: Some(service.to_owned()), limit: SLOS_MAX, ..Query::default() };
    let aggregates = Query { scope: Some("aggregate".to_owned()), ..of_service };
    let statuses = endpoints.board.page(Shelf::Status, &aggregates).items;
    let slos: Vec<OfSlo> = statuses
        .iter()
        .filter_map(|json| serde_json::from_slice::<Status>(json).ok())
        .map(|status| of_slo(status, endpoints))
        .collect();
    let Some(worst) = slos.iter().max_by_key(|slo| slo.action) else {
        return Err(Refusal::NotFound(format!(
            "no SLO of a service `{service}` has a status: /api/v1/overview lists services"
        )));
    };
    let (action, reason) = (worst.action, format!("{}: {}", worst.slo, worst.reason));
    Ok(reply::object(&json!({
        "service": service,
        "action": action,
        "is_open": action != Action::Freeze,
        "reason": reason,
        "slos": slos,
    })))
}

fn of_slo(status: Status, endpoints: &Endpoints) -> OfSlo {
    let Status { slo, state, budget_remaining, policy, gauge } = status;
    let firing = Query { live: Some(true), scope: Some("aggregate".to_owned()), ..Query::of_slo(&slo, SLOS_MAX) };
    let alerts = endpoints.board.page(Shelf::Alerts, &firing).items;
    let page = alerts
        .iter()
        .filter_map(|json| serde_json::from_slice::<Alert>(json).ok())
        .find(|alert| alert.severity == "page");
    let page = page.as_ref().map(|page| page.title.as_str());
    let (action, reason) = action_of(&state, page, policy.as_ref(), gauge.is_some());
    OfSlo { slo, action, reason, state, budget_remaining }
}

/// What Flagger sends. What the webhook's `metadata` says decides.
#[derive(Deserialize)]
pub struct Hook {
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    slo: String,
    candidate: String,
    tenant: Option<String>,
}

type Body = Result<Json<Hook>, JsonRejection>;

/// `POST /api/v1/flagger/rollout`: 200 lets the analysis go on, once the verdict is `pass`.
pub async fn rollout(State(endpoints): State<Endpoints>, body: Body) -> Reply {
    either(verdict(&endpoints, body).map(|verdict| answer(&verdict, "pass")))
}

/// `POST /api/v1/flagger/rollback`: 200 asks Flagger to roll back, once the verdict is `fail`.
pub async fn rollback(State(endpoints): State<Endpoints>, body: Body) -> Reply {
    either(verdict(&endpoints, body).map(|verdict| answer(&verdict, "fail")))
}

#[derive(Deserialize, Serialize)]
struct Verdict {
    verdict: String,
    reason: String,
}

fn verdict(endpoints: &Endpoints, body: Body) -> Result<Verdict, Refusal> {
    let Json(hook) = body.map_err(|rejection| Refusal::BadRequest(rejection.body_text()))?;
    let Some(Metadata { slo, candidate, tenant }) = hook.metadata else {
        let remedy = "the webhook's `metadata` is missing: give it `slo` and `candidate`";
        return Err(Refusal::BadRequest(remedy.to_owned()));
    };
    let found = endpoints.board.canary(&slo, tenant.as_deref(), &candidate);
    let found = found.and_then(|json| serde_json::from_slice(&json).ok());
    let unknown = || Verdict { verdict: "inconclusive".to_owned(), reason: "no event of it was seen".to_owned() };
    Ok(found.unwrap_or_else(unknown))
}

/// Flagger writes the text of a "no" into the event of its canary. It would try 429 and 5xx again, and lose their text.
fn answer(verdict: &Verdict, yes: &str) -> Reply {
    if verdict.verdict == yes {
        return reply::json(StatusCode::OK, &json!(verdict));
    }
    let why = format!("{}: {}\n", verdict.verdict, verdict.reason);
    reply::with_body(StatusCode::CONFLICT, reply::TEXT, why)
}
