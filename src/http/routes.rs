//! The paths and their answers.

use super::access;
use super::api;
use super::endpoints::Endpoints;
use super::host;
use super::page;
use super::reply::{self, Reply};
use crate::board::{Phase, Trouble};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::routing::get;
use serde_json::json;

const HELP: &str = concat!(
    "tailburn ",
    env!("CARGO_PKG_VERSION"),
    ": SLO status, burn-rate alerts and the users in the tail.\n\n",
    "  /api/v1/overview        one row a key, the least budget first   ?service= &label=NAME:VALUE &state= &q= &scope=\n",
    "  /api/v1/status          the latest status of each key           ?slo= &scope=aggregate|tenant|group &tenant= &limit= &after=\n",
    "  /api/v1/alerts          burn-rate alerts                        ?state=firing|resolved|all and the same\n",
    "  /api/v1/cohorts         over-represented cohorts                ?state=open|closed|all and the same\n",
    "  /api/v1/canaries        the latest verdict of each candidate    ?slo= &limit= &after=\n",
    "  /api/v1/canary/SLO      the verdict on one                      ?candidate=\n",
    "  /api/v1/gate/SERVICE    whether to ship: ship, caution or freeze\n",
    "  /api/v1/slo/NAME        definition, changes, status, alerts and cohorts of one SLO\n",
    "  /api/v1/tenant/TENANT   the same of one tenant, and its users\n",
    "  /api/v1/users           the worst-served users                  ?slo= &tenant=\n",
    "  /api/v1/user            one of them, by its own id              ?slo= &tenant= &user=\n",
    "  /api/v1/history         hourly points of a key                  ?key= &from= &to=\n",
    "  /api/v1/query           one figure as Prometheus answers it     ?query=METRIC{slo=\"NAME\"} &time=\n",
    "  /api/v1/events          what changes, as server-sent events     ?slo= &scope= &key= &kind=\n",
    "  /api/v1/processor       partitions, what holds time back, dead letters, memory\n",
    "  /api/v1/openapi.json    all of this, for programs\n",
    "  /                       the page, for browsers\n",
    "  /metrics                for Prometheus\n",
    "  /livez  /readyz         for service managers\n",
);

pub fn router(endpoints: Endpoints, listens_on_loopback: bool) -> Router {
    Router::new()
        .merge(page::routes(HELP))
        .route("/livez", get(alive))
        .route("/readyz", get(ready))
        .route(
            "/metrics",
            get(metrics).layer(middleware::from_fn_with_state(endpoints.tokens.clone(), access::check_metrics)),
        )
        .merge(api::router().layer(middleware::from_fn_with_state(endpoints.tokens.clone(), access::check)))
        .fallback(|| async { reply::error(StatusCode::NOT_FOUND, "no such path: /help lists the paths") })
        .method_not_allowed_fallback(|| async {
            reply::error(StatusCode::METHOD_NOT_ALLOWED, "not with this method: `allow` says with which")
        })
        .layer(middleware::from_fn(move |request, next| check_host(request, next, listens_on_loopback)))
        .with_state(endpoints)
}

/// For a listener of its own: probes and metrics, for whoever reaches it.
pub fn monitoring(endpoints: Endpoints, listens_on_loopback: bool) -> Router {
    Router::new()
        .route("/livez", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .fallback(|| async { reply::error(StatusCode::NOT_FOUND, "here are /livez, /readyz and /metrics alone") })
        .layer(middleware::from_fn(move |request, next| check_host(request, next, listens_on_loopback)))
        .with_state(endpoints)
}

/// For connections above the limit: `/livez` and `/readyz`; anything else is told to try again.
pub fn probes(endpoints: Endpoints, listens_on_loopback: bool) -> Router {
    let busy = || async {
        let message = "too many connections are open: only /livez and /readyz are answered now, try again soon";
        let mut reply = reply::error(StatusCode::SERVICE_UNAVAILABLE, message);
        reply.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
        reply
    };
    // Closes after one answer, to free the place.
    let closed = |mut reply: Reply| async {
        reply.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
        reply
    };
    Router::new()
        .route("/livez", get(alive))
        .route("/readyz", get(ready))
        .fallback(busy)
        .layer(middleware::from_fn(move |request, next| check_host(request, next, listens_on_loopback)))
        .layer(middleware::map_response(closed))
        .with_state(endpoints)
}

/// Whether a request is for us, and of nobody's page but ours.
async fn check_host(request: Request, next: Next, listens_on_loopback: bool) -> Reply {
    let refusal = match host::of(&request) {
        Err(message) => Some((StatusCode::BAD_REQUEST, message)),
        Ok(host) if !host::is_ours(host, listens_on_loopback) => {
            Some((StatusCode::FORBIDDEN, "the Host of this request is not ours: use localhost or the address"))
        }
        Ok(host) if !host::is_own_origin(&request, host) => Some((
            StatusCode::FORBIDDEN,
            "a page of another origin sent this request: only our own page and programs may",
        )),
        Ok(_) => None,
    };
    match refusal {
        Some((status, message)) => reply::error(status, message),
        None => next.run(request).await,
    }
}

async fn alive() -> Reply {
    reply::with_body(StatusCode::OK, reply::TEXT, "ok\n")
}

/// Ready = assigned and restored, and no lasting problem.
async fn ready(State(endpoints): State<Endpoints>) -> Reply {
    let phase = endpoints.board.phase();
    let cause = match endpoints.board.trouble() {
        Some(Trouble::Lasting(cause)) => Some(cause),
        Some(Trouble::Passing(cause)) if phase != Phase::Live => Some(cause),
        _ => None,
    };
    let is_ready = phase == Phase::Live && cause.is_none();
    let mut body = match phase {
        Phase::Starting => json!({"phase": "starting"}),
        Phase::Restoring { live, assigned } => json!({"phase": "restoring", "live": live, "assigned": assigned}),
        Phase::Live => json!({"phase": "live"}),
        Phase::Stopping => json!({"phase": "stopping"}),
    };
    if let Some(cause) = cause {
        body["cause"] = json!(cause);
    }
    reply::json(if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &body)
}

async fn metrics(State(endpoints): State<Endpoints>) -> Reply {
    reply::with_body(StatusCode::OK, reply::PROMETHEUS, (endpoints.metrics)())
}
