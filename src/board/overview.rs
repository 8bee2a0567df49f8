//! The overview: one compact row a key, so that thousands of them are quick.

use super::facts::Burn;
use super::query::Query;
use super::records::{Page, Record};
use super::{Board, Inner};
use crate::model::output::Labels;
use serde::Serialize;
use std::sync::Arc;

/// Hours in a sparkline.
const SPARK_HOURS: usize = 24;
/// The kind of a record in `tail-cohorts` that says that the tail is served badly.
const TAIL: &str = "tail_degraded";

#[derive(Serialize)]
struct Row<'a> {
    key: &'a str,
    slo: &'a str,
    service: &'a str,
    display_name: &'a str,
    labels: &'a Labels,
    scope: &'a str,
    tenant: Option<&'a str>,
    group: &'a Labels,
    at: &'a str,
    state: &'a str,
    objective: Option<f64>,
    /// The compliance window.
    period: &'a str,
    sli: Option<f64>,
    budget_remaining: Option<f64>,
    burn: Burn,
    alerts: Firing,
    tail: bool,
    cohort: Option<String>,
    /// Of each of the last 24 hours.
    spark: Vec<Option<f64>>,
}

/// Firing alerts by severity.
#[derive(Default, Serialize)]
struct Firing {
    page: usize,
    ticket: usize,
    info: usize,
}

impl Board {
    /// A page of rows.
    pub fn overview(&self, query: &Query) -> Page {
        let inner = self.read();
        inner.statuses.page_of(query, &inner.slos, |key, record| inner.row(key, record))
    }
}

impl Inner {
    fn row(&self, key: &str, record: &Record) -> Arc<[u8]> {
        let facts = &record.facts;
        let open = || self.cohorts.of_key(key).filter(|r| r.live);
        let leading = open().filter(|r| r.facts.kind != TAIL).min_by_key(|r| r.facts.rank.unwrap_or(u64::MAX));
        let row = Row {
            key,
            slo: &record.parts.slo,
            service: &facts.service,
            display_name: &facts.display_name,
            labels: &facts.labels,
            scope: &record.parts.scope,
            tenant: record.parts.tenant.as_deref(),
            group: &facts.group,
            at: &facts.at,
            state: &facts.state,
            objective: facts.objective,
            period: &facts.compliance_window,
            sli: facts.sli(),
            budget_remaining: facts.budget_remaining,
            burn: facts.burn(),
            alerts: self.firing(key),
            tail: open().any(|r| r.facts.kind == TAIL),
            cohort: leading.and_then(|r| r.facts.cohort_in_words()),
            spark: self.spark(key, &facts.at),
        };
        // Writing plain values to memory cannot fail.
        serde_json::to_vec(&row).unwrap_or_default().into()
    }

    fn firing(&self, key: &str) -> Firing {
        let mut firing = Firing::default();
        for alert in self.alerts.of_key(key).filter(|r| r.live) {
            match alert.facts.severity.as_str() {
                "page" => firing.page += 1,
                "ticket" => firing.ticket += 1,
                _ => firing.info += 1,
            }
        }
        firing
    }

    fn spark(&self, key: &str, at: &str) -> Vec<Option<f64>> {
        match at.parse::<jiff::Timestamp>() {
            Ok(at) => self.history.spark(key, at.as_millisecond(), SPARK_HOURS),
            Err(_) => vec![None; SPARK_HOURS],
        }
    }
}
