//! `/api/v1`: everything that the page shows, as JSON. `openapi.json` beside this file describes it; a test keeps both
//! equal.

use super::endpoints::Endpoints;
use super::events;
use super::filter::{self, Parameters};
use super::query;
use super::reply::{self, Object, Reply};
use super::rollout;
use crate::board::{Query, Reading, Shelf, Sort};
use crate::model::key::{Scope, key_text};
use crate::model::time::{Moment, Ms};
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query as UrlQuery, State};
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::{get, post};
use serde_json::{Value, json};

/// Records of each kind in an answer about one SLO or one tenant; the lists have the rest.
const IN_ONE: usize = 100;
const POINTS_DEFAULT: usize = 1_000;
const POINTS_MAX: usize = 10_000;
const USERS_MAX: usize = 1_000;

const OPENAPI: &str = include_str!("openapi.json");

pub(super) type Asked = Result<UrlQuery<Vec<(String, String)>>, QueryRejection>;
type Answer = Result<Reply, Refusal>;

/// Why there is no answer.
pub(super) enum Refusal {
    BadRequest(String),
    NotFound(String),
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Reply {
        match refusal {
            Refusal::BadRequest(message) => reply::error(StatusCode::BAD_REQUEST, &message),
            Refusal::NotFound(message) => reply::error(StatusCode::NOT_FOUND, &message),
        }
    }
}

/// What axum hands to each of them.
type Given = (State<Endpoints>, Asked);

pub const PATHS: [&str; 19] = [
    "/api/v1/status",
    "/api/v1/alerts",
    "/api/v1/cohorts",
    "/api/v1/canaries",
    "/api/v1/overview",
    "/api/v1/slo/{name}",
    "/api/v1/tenant/{tenant}",
    "/api/v1/users",
    "/api/v1/user",
    "/api/v1/history",
    "/api/v1/processor",
    "/api/v1/events",
    "/api/v1/openapi.json",
    "/api/v1/canary/{slo}",
    "/api/v1/gate/{service}",
    "/api/v1/flagger/rollout",
    "/api/v1/flagger/rollback",
    "/api/v1/query",
    "/api/v1/tenants",
];

pub fn router() -> Router<Endpoints> {
    let [
        status,
        alerts,
        cohorts,
        canaries,
        overview,
        slo,
        tenant,
        users,
        user,
        history,
        processor,
        live,
        openapi,
        canary,
        gate,
        go_on,
        go_back,
        instant,
        tenants,
    ] = PATHS;
    let shelf = |shelf: Shelf| get(move |e: State<Endpoints>, q: Asked| async move { either(list((e, q), shelf)) });
    Router::new()
        .route(status, shelf(Shelf::Status))
        .route(alerts, shelf(Shelf::Alerts))
        .route(cohorts, shelf(Shelf::Cohorts))
        .route(canaries, shelf(Shelf::Canaries))
        .route(overview, get(|e: State<Endpoints>, q: Asked| async move { either(overview_rows((e, q))) }))
        .route(slo, get(|n: Path<String>, e: State<Endpoints>, q: Asked| async move { either(one_slo(&n, (e, q))) }))
        .route(
            tenant,
            get(|n: Path<String>, e: State<Endpoints>, q: Asked| async move { either(one_tenant(&n, (e, q))) }),
        )
        .route(tenants, get(|e: State<Endpoints>, q: Asked| async move { either(known_tenants((e, q))) }))
        .route(users, get(|e: State<Endpoints>, q: Asked| async move { either(worst_users((e, q))) }))
        .route(user, get(|e: State<Endpoints>, q: Asked| async move { either(one_user((e, q))) }))
        .route(history, get(|e: State<Endpoints>, q: Asked| async move { either(points((e, q))) }))
        .route(
            canary,
            get(|n: Path<String>, e: State<Endpoints>, q: Asked| async move { either(one_canary(&n, (e, q))) }),
        )
        .route(processor, get(|e: State<Endpoints>, q: Asked| async move { either(what_it_does((e, q))) }))
        .route(openapi, get(|| async { reply::tagged(OPENAPI.as_bytes().to_vec()) }))
        .route(gate, get(rollout::gate))
        .layer(middleware::from_fn(reply::revalidate))
        .route(go_on, post(rollout::rollout))
        .route(go_back, post(rollout::rollback))
        .route(live, get(events::stream))
        .route(instant, get(query::get).post(query::post))
}

pub(super) fn either(answer: Answer) -> Reply {
    answer.unwrap_or_else(Reply::from)
}

pub(super) fn parameters(asked: Asked) -> Result<Parameters, Refusal> {
    Parameters::of(pairs(asked)?).map_err(Refusal::BadRequest)
}

pub(super) fn pairs(asked: Asked) -> Result<Vec<(String, String)>, Refusal> {
    asked.map(|UrlQuery(pairs)| pairs).map_err(|rejection| Refusal::BadRequest(rejection.body_text()))
}

pub(super) fn nothing_more(asked: Asked) -> Result<(), Refusal> {
    parameters(asked)?.end("none").map_err(Refusal::BadRequest)
}

fn list((State(endpoints), asked): Given, shelf: Shelf) -> Answer {
    let query = filter::query(shelf, Sort::Key, pairs(asked)?).map_err(Refusal::BadRequest)?;
    Ok(reply::page(&endpoints.board.page(shelf, &query)))
}

/// The aggregate keys, unless a scope or a tenant is asked for.
fn overview_rows((State(endpoints), asked): Given) -> Answer {
    let mut query = filter::query(Shelf::Status, Sort::Budget, pairs(asked)?).map_err(Refusal::BadRequest)?;
    if query.scope.is_none() && query.tenant.is_none() {
        query.scope = Some("aggregate".to_owned());
    }
    if query.scope.as_deref() == Some(filter::ALL) {
        query.scope = None;
    }
    Ok(reply::page(&endpoints.board.overview(&query)))
}

fn one_slo(name: &str, (State(endpoints), asked): Given) -> Answer {
    nothing_more(asked)?;
    let board = &endpoints.board;
    let (definition, status) = (board.definition(name), board.status(&key_text(name, &Scope::Aggregate)));
    if definition.is_none() && status.is_none() {
        return Err(Refusal::NotFound(format!("there is no SLO `{name}`: /api/v1/overview lists them")));
    }
    let live = Query { live: Some(true), ..Query::of_slo(name, IN_ONE) };
    let ended = Query { live: Some(false), scope: Some("aggregate".to_owned()), ..Query::of_slo(name, IN_ONE) };
    let keys = |scope: &str| {
        let of_scope = Query { scope: Some(scope.to_owned()), ..Query::of_slo(name, 0) };
        board.page(Shelf::Status, &of_scope).total
    };
    Ok(Object::default()
        .value("slo", &json!(name))
        .record("definition", definition.as_deref())
        .list("changes", &board.changes(name))
        .record("status", status.as_deref())
        .list("alerts", &board.page(Shelf::Alerts, &live).items)
        .list("ended_alerts", &board.page(Shelf::Alerts, &ended).items)
        .list("cohorts", &board.page(Shelf::Cohorts, &live).items)
        .list("ended_cohorts", &board.page(Shelf::Cohorts, &ended).items)
        .list("canaries", &board.page(Shelf::Canaries, &Query::of_slo(name, IN_ONE)).items)
        .value("keys", &json!({"tenant": keys("tenant"), "group": keys("group")}))
        .reply())
}

fn one_tenant(name: &str, (State(endpoints), asked): Given) -> Answer {
    nothing_more(asked)?;
    let board = &endpoints.board;
    let statuses = board.page(Shelf::Status, &Query::of_tenant(name, IN_ONE));
    let users = board.worst_users(None, Some(name), 0, IN_ONE);
    if statuses.total == 0 && users.total == 0 {
        return Err(Refusal::NotFound(format!(
            "nothing is known of a tenant `{name}`: its name is as in the outcomes, and its keys are forgotten after \
             the compliance window without events"
        )));
    }
    let known = board.tenant(name).unwrap_or_default();
    let live = Query { live: Some(true), ..Query::of_tenant(name, IN_ONE) };
    let ended = Query { live: Some(false), ..Query::of_tenant(name, IN_ONE) };
    Ok(Object::default()
        .value("tenant", &json!(name))
        .value("display_name", &json!(known.display_name))
        .value("owner", &json!(known.owner))
        .value("labels", &json!(known.labels))
        .list("statuses", &statuses.items)
        .list("alerts", &board.page(Shelf::Alerts, &live).items)
        .list("ended_alerts", &board.page(Shelf::Alerts, &ended).items)
        .list("cohorts", &board.page(Shelf::Cohorts, &live).items)
        .list("users", &users.items)
        .reply())
}

/// What the file of tenants says of them.
fn known_tenants((State(endpoints), asked): Given) -> Answer {
    let mut asked = parameters(asked)?;
    let (tenant, after) = (asked.take("tenant"), asked.take("after"));
    let limit = asked.limit(IN_ONE, USERS_MAX).map_err(Refusal::BadRequest)?;
    asked.end("tenant, limit, after").map_err(Refusal::BadRequest)?;
    Ok(reply::page(&endpoints.board.tenants(tenant.as_deref(), after.as_deref(), limit)))
}

fn worst_users((State(endpoints), asked): Given) -> Answer {
    let mut asked = parameters(asked)?;
    let (slo, tenant) = (asked.take("slo"), asked.take("tenant"));
    let limit = asked.limit(IN_ONE, USERS_MAX).map_err(Refusal::BadRequest)?;
    let after = match asked.take("after") {
        None => 0,
        Some(text) => text.parse().map_err(|_| Refusal::BadRequest(format!("`{text}` is not the `next` of a page")))?,
    };
    asked.end("slo, tenant, limit, after").map_err(Refusal::BadRequest)?;
    Ok(reply::page(&endpoints.board.worst_users(slo.as_deref(), tenant.as_deref(), after, limit)))
}

/// One user by its own id, which is published as everywhere else.
fn one_user((State(endpoints), asked): Given) -> Answer {
    let mut asked = parameters(asked)?;
    let mut required = |name| asked.required(name).map_err(Refusal::BadRequest);
    let (slo, tenant, user) = (required("slo")?, required("tenant")?, required("user")?);
    asked.end("slo, tenant, user").map_err(Refusal::BadRequest)?;
    let published = (endpoints.user_ids)(&tenant, &user);
    let found = endpoints.board.user(&slo, &tenant, &published);
    let reason = found.is_none().then_some(
        "is not among the 100 worst-served users of this SLO and tenant in the last day (or had too few events, or \
         another id): `tailburn tap user-status` shows who is",
    );
    Ok(Object::default()
        .value("slo", &json!(slo))
        .value("tenant", &json!(tenant))
        .value("user", &json!(published))
        .value("found", &json!(found.is_some()))
        .value("reason", &json!(reason))
        .record("status", found.as_deref())
        .reply())
}

/// The hourly points of a key: without a start, the newest ones.
fn points((State(endpoints), asked): Given) -> Answer {
    let mut asked = parameters(asked)?;
    let key = asked.required("key").map_err(Refusal::BadRequest)?;
    let limit = asked.limit(POINTS_DEFAULT, POINTS_MAX).map_err(Refusal::BadRequest)?;
    let mut time = |name: &str| asked.take(name).map(|text| time(name, &text)).transpose().map_err(Refusal::BadRequest);
    let (from_ms, to_ms, after_ms) = (time("from")?, time("to")?, time("after")?);
    asked.end("key, from, to, limit, after").map_err(Refusal::BadRequest)?;
    let all = endpoints.board.points(&key, from_ms.unwrap_or(0), to_ms.unwrap_or(FAR_MS));
    let total = all.len();
    let begin = match after_ms {
        Some(after_ms) => all.partition_point(|point| point.at.0 <= after_ms),
        None if from_ms.is_none() => total.saturating_sub(limit),
        None => 0,
    };
    let shown = &all[begin..total.min(begin + limit)];
    let next = shown.last().filter(|_| begin + limit < total).map(|last| last.at.to_string());
    Ok(Object::default()
        .value("key", &json!(key))
        .value("items", &json!(shown))
        .value("next", &json!(next))
        .value("total", &json!(total))
        .value("not_shown", &json!(0))
        .reply())
}

/// The end of the years that outcomes may be of.
const FAR_MS: Ms = 253_402_300_800_000;

fn time(name: &str, text: &str) -> Result<Ms, String> {
    let time = text.parse::<jiff::Timestamp>().map(|time| time.as_millisecond());
    time.map_err(|_| format!("`{name}={text}` is not a time as in 2026-05-29T17:00:00Z"))
}

/// The latest verdict on a candidate, always an answer: a controller that asks before the first minute is over gets
/// `inconclusive`, as it gets without traffic.
fn one_canary(slo: &str, (State(endpoints), asked): Given) -> Answer {
    let mut asked = parameters(asked)?;
    let (candidate, tenant) = (asked.required("candidate").map_err(Refusal::BadRequest)?, asked.take("tenant"));
    asked.end("candidate, tenant").map_err(Refusal::BadRequest)?;
    if let Some(found) = endpoints.board.canary(slo, tenant.as_deref(), &candidate) {
        let mut body = found.to_vec();
        body.push(b'\n');
        return Ok(reply::tagged(body));
    }
    Ok(reply::json(
        StatusCode::OK,
        &json!({
            "slo": slo, "tenant": tenant, "candidate": candidate, "verdict": "inconclusive",
            "reason": "no event of this candidate was seen: is `tailburn.dev/canary` set on the SLO, and does the \
                       attribute of the outcomes have this value?",
        }),
    ))
}

fn what_it_does((State(endpoints), asked): Given) -> Answer {
    nothing_more(asked)?;
    let fill = endpoints.board.fill();
    let reading = match endpoints.board.reading() {
        Reading::CatchingUp => json!({"state": "catching_up"}),
        Reading::CaughtUp => json!({"state": "caught_up"}),
        Reading::Broken(cause) => json!({"state": "broken", "cause": cause}),
    };
    let board = json!({
        "reading": reading,
        "keys": fill.keys,
        "keys_not_shown": fill.keys_not_shown,
        "alerts": fill.alerts,
        "cohorts": fill.cohorts,
        "history": {
            "keys": fill.history_keys,
            "bytes": fill.history_bytes,
            "from": fill.history_from_ms.map(|ms| Moment(ms).to_string()),
        },
        "viewers": fill.viewers,
    });
    let mut body = Object::default().value("version", &json!(env!("CARGO_PKG_VERSION")));
    if let Value::Object(fields) = (endpoints.processor)() {
        for (name, value) in &fields {
            body = body.value(name, value);
        }
    }
    let mut examples = Object::default();
    for (reason, letters) in endpoints.board.letters() {
        examples = examples.list(&reason, &letters);
    }
    let examples = examples.into_bytes();
    Ok(body.value("board", &board).record("dead_letter_examples", Some(examples.as_slice())).reply())
}
