//! `/api/v1/query`: the figures of `/metrics` and of canaries in the form of Prometheus' HTTP API, as far as Flagger's
//! metric templates and instant queries of Grafana need it.
//!
//! A figure has the T of its record as its time. Where the client asks for a time, a figure that is older than
//! Prometheus' look-back is left out, as there: what stands still must not look like news. No data is an empty result.

use super::api::{Asked, Refusal, either, pairs};
use super::endpoints::Endpoints;
use super::filter::Parameters;
use super::reply::{self, Reply};
use super::selector::{self, Query, Selector};
use crate::board::{self, Board, KeyParts, Shelf};
use crate::telemetry::{Committed, Families, Sample, figures, names};
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How old a figure may be for an instant: Prometheus' `--query.lookback-delta`.
const LOOKBACK_SECONDS: f64 = 300.0;
/// By how much T may be ahead of a client's clock, as far as events may be (`input.max_future_skew`).
const AHEAD_SECONDS: f64 = 30.0;
const CANARIES_MAX: usize = 10_000;
const FORM_MAX_BYTES: usize = 16 * 1024;

pub async fn get(State(endpoints): State<Endpoints>, asked: Asked) -> Reply {
    either(pairs(asked).and_then(|pairs| answer(&endpoints.board, pairs)))
}

/// The parameters stand in a form, in the address, or in both.
pub async fn post(State(endpoints): State<Endpoints>, asked: Asked, form: String) -> Reply {
    either(pairs(asked).and_then(|mut all| {
        all.extend(form_pairs(&form)?);
        answer(&endpoints.board, all)
    }))
}

fn form_pairs(form: &str) -> Result<Vec<(String, String)>, Refusal> {
    let unreadable = || Refusal::BadRequest("the body is not a form: send query=... as in an address".to_owned());
    if form.len() > FORM_MAX_BYTES {
        return Err(unreadable());
    }
    let uri: Uri = format!("/?{}", form.trim()).parse().map_err(|_| unreadable())?;
    let parsed = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&uri);
    parsed.map(|axum::extract::Query(pairs)| pairs).map_err(|_| unreadable())
}

fn answer(board: &Board, pairs: Vec<(String, String)>) -> Result<Reply, Refusal> {
    let bad = Refusal::BadRequest;
    let mut asked = Parameters::of(pairs).map_err(bad)?;
    let query = asked.required("query").map_err(bad)?;
    let at_seconds = asked.take("time").map(|text| time(&text)).transpose().map_err(bad)?;
    // Nobody waits here, so there is nothing to stop.
    asked.take("timeout");
    asked.end("query, time, timeout").map_err(bad)?;
    let query = selector::parse(&query).map_err(bad)?;
    let now = at_seconds.unwrap_or_else(now_seconds);
    Ok(match query {
        Query::Scalar(number) => data("scalar", json!([now, number_text(number)]), None),
        Query::Vector(number) => data("vector", json!([{"metric": {}, "value": [now, number_text(number)]}]), None),
        Query::Select(selector) => {
            let found = samples(board, &selector, at_seconds, now);
            data("vector", Value::Array(found), warning(&selector))
        }
    })
}

fn data(kind: &str, result: Value, warning: Option<String>) -> Reply {
    let mut body = json!({"status": "success", "data": {"resultType": kind, "result": result}});
    if let Some(warning) = warning {
        body["warnings"] = json!([warning]);
    }
    reply::json(StatusCode::OK, &body)
}

/// A misspelt name would else be no data for ever.
fn warning(selector: &Selector) -> Option<String> {
    let name = selector.metric()?;
    let is_known = names::ALL.iter().any(|metric| metric.name == name);
    (!is_known).then(|| format!("there is no metric `{name}`: /metrics lists those of an instance"))
}

fn samples(board: &Board, selector: &Selector, at_seconds: Option<f64>, now: f64) -> Vec<Value> {
    let families = families(board, selector);
    let is_of_then = |sample: &Sample| {
        at_seconds
            .zip(sample.at_seconds)
            .is_none_or(|(asked, at)| at <= asked + AHEAD_SECONDS && at > asked - LOOKBACK_SECONDS)
    };
    let mut found = Vec::new();
    for (name, samples) in families.iter() {
        for sample in samples.iter().filter(|s| selector.passes(name, &s.labels) && is_of_then(s)) {
            let mut metric = Map::from_iter([("__name__".to_owned(), json!(name))]);
            metric.extend(sample.labels.iter().map(|(label, value)| ((*label).to_owned(), json!(value))));
            found.push(json!({
                "metric": metric,
                "value": [sample.at_seconds.unwrap_or(now), number_text(sample.figure)],
            }));
        }
    }
    found
}

/// The figures of all instances, of one SLO where the query names one.
fn families(board: &Board, selector: &Selector) -> Families {
    let slo = selector.slo();
    let is_asked = |key: &str| slo.is_none_or(|slo| KeyParts::of(key).slo == slo);
    let (aggregates, firing) = (board.aggregates_of(is_asked), board.firing_of(is_asked));
    let keys = match selector.metric() {
        Some(name) if name != names::KEYS => BTreeMap::new(),
        _ => board.keys_of(is_asked),
    };
    let of_slo = board::Query { slo: slo.map(str::to_owned), limit: CANARIES_MAX, ..board::Query::default() };
    let canaries = board.page(Shelf::Canaries, &of_slo).items;
    let (aggregates, firing, canaries) = (slices(&aggregates), slices(&firing), slices(&canaries));
    figures(&Committed { aggregates: &aggregates, firing: &firing, keys: &keys, canaries: &canaries })
}

fn slices(records: &[Arc<[u8]>]) -> Vec<&[u8]> {
    records.iter().map(|json| &**json).collect()
}

/// A time as Prometheus' clients write it: seconds since the epoch, or RFC 3339.
fn time(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| seconds.is_finite());
    let parsed = || text.parse::<jiff::Timestamp>().ok().map(|time| time.as_millisecond() as f64 / 1_000.0);
    seconds
        .or_else(parsed)
        .ok_or_else(|| format!("`time={text}` is neither seconds since 1970 nor a time as in 2026-05-29T17:00:00Z"))
}

fn number_text(number: f64) -> String {
    match number {
        _ if number.is_nan() => "NaN".to_owned(),
        _ if number.is_infinite() => if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
        _ => number.to_string(),
    }
}

#[expect(clippy::disallowed_methods, reason = "the time of an answer that has no figure")]
fn now_seconds() -> f64 {
    jiff::Timestamp::now().as_millisecond() as f64 / 1_000.0
}
