//! A journey: the steps in the `total` of a ratio metric (contract, section 11).

use super::cursor::Cursor;
use super::error::Report;
use super::indicator::filter_of;
use crate::model::duration;
use crate::model::expr::Filter;
use crate::model::outcome::Outcome;
use crate::model::period::Method;
use crate::model::slo::{Journey, JourneyStep, Slo};
use crate::model::time::{DAY_MS, Ms};
use std::collections::BTreeSet;

/// Every key counts each step.
const STEPS: std::ops::RangeInclusive<usize> = 1..=16;
const TIMEOUT_MAX_MS: Ms = DAY_MS;

/// The steps, and which events are of each.
#[derive(Clone)]
pub(super) struct JourneySpec {
    pub journey: Journey,
    pub filters: Vec<Filter>,
}

/// Reads `journey: {timeout, steps}`.
pub(super) fn read(at: &Cursor<'_>, report: &mut Report) -> Option<JourneySpec> {
    let fields = at.fields(report, &["by", "timeout", "within", "steps"])?;
    let by = fields.get("by").map_or(Some(None), |at| read_by(&at, report).map(Some));
    let within_ms = fields.get("within").map_or(Some(None), |at| read_timeout(&at, report).map(Some));
    let remedy = "write timeout: 15m, at most 1d: an attempt that takes longer ends";
    let timeout_ms = fields.require(report, "timeout", remedy).and_then(|at| read_timeout(&at, report));
    let remedy = "write steps: [{name: cart, filter: ...}, {name: pay, filter: ...}]";
    let at = fields.require(report, "steps", remedy)?;
    let written = at.list(report);
    if !STEPS.contains(&written.len()) {
        at.error(report, format!("a journey has 1 to 16 steps, not {}", written.len()), remedy);
        return None;
    }
    let mut names = BTreeSet::new();
    let mut is_clean = true;
    let mut read = Vec::with_capacity(written.len());
    for at in &written {
        let Some((step, filter)) = read_step(at, report) else {
            is_clean = false;
            continue;
        };
        if !names.insert(step.name.clone()) {
            at.error(report, format!("two steps are named `{}`", step.name), "give each step its own name");
            is_clean = false;
        }
        read.push((step, filter));
    }
    let (steps, filters) = read.into_iter().unzip();
    let journey = Journey { timeout_ms: timeout_ms?, steps, by: by?, within_ms: within_ms? };
    is_clean.then_some(JourneySpec { journey, filters })
}

fn read_by(at: &Cursor<'_>, report: &mut Report) -> Option<String> {
    let text = at.text(report)?;
    let is_known =
        Outcome::TEXTS.contains(&text) || text.strip_prefix("attributes.").is_some_and(|name| !name.is_empty());
    if !is_known {
        at.error(
            report,
            format!("events cannot share `{text}`"),
            format!("write {}, or attributes.NAME; without `by` an attempt is of its user", Outcome::TEXTS.join(", ")),
        );
    }
    is_known.then(|| text.to_owned())
}

fn read_timeout(at: &Cursor<'_>, report: &mut Report) -> Option<Ms> {
    let text = at.text(report)?;
    let timeout_ms = duration::parse(text).ok().filter(|ms| (1..=TIMEOUT_MAX_MS).contains(ms));
    if timeout_ms.is_none() {
        at.error(report, format!("`{text}` is too long, or no duration"), "write a duration of at most 1d, as in 15m");
    }
    timeout_ms
}

fn read_step(at: &Cursor<'_>, report: &mut Report) -> Option<(JourneyStep, Filter)> {
    let fields = at.fields(report, &["name", "filter", "retries"])?;
    let name = fields.require(report, "name", "name the step, as in name: pay").and_then(|at| at.name(report));
    let remedy = "say which events are of the step, as in filter: \"operation == 'pay'\"";
    let filter = fields.require(report, "filter", remedy).and_then(|at| filter_of(&at, report));
    let retries = fields.get("retries").map_or(Some(0), |at| read_retries(&at, report));
    Some((JourneyStep { name: name?.to_owned(), retries: retries? }, filter?))
}

fn read_retries(at: &Cursor<'_>, report: &mut Report) -> Option<u32> {
    let number = at.number(report)?;
    let is_count = number >= 0.0 && number <= f64::from(u32::MAX) && number.fract() == 0.0;
    if !is_count {
        let remedy = "write how many bad events of the step do not end an attempt, as in retries: 1";
        at.error(report, format!("{number} is no number of retries"), remedy);
    }
    is_count.then_some(number as u32)
}

/// Takes away what a journey has not, and refuses what has no meaning.
pub(super) fn settle(slo: &mut Slo, at: &Cursor<'_>, report: &mut Report) {
    if slo.journey().is_none() {
        return;
    }
    if slo.method != Method::Occurrences {
        at.error(
            report,
            "attempts are counted over whole windows, not by slices",
            "write budgetingMethod: Occurrences",
        );
    }
    slo.budget_rule = false;
}
