//! An SLO about a value: a threshold metric with `aggregate` (contract, section 11).

use super::annotations::Settings;
use super::cursor::Cursor;
use super::error::Report;
use crate::model::period::Method;
use crate::model::slo::{Aggregate, Criterion, GaugeSpec, Slo, Unit};

/// What the objective asks of the value; `None` where that is no threshold, which was reported.
pub(super) fn unit_of(aggregate: Option<Aggregate>, criterion: &Criterion, settings: &Settings<'_>) -> Unit {
    match (aggregate, criterion) {
        (Some(aggregate), Criterion::Threshold { op, threshold, .. }) => {
            let baseline = settings.goal.as_ref().map(|(baseline, _)| *baseline);
            Unit::Gauge(GaugeSpec { aggregate, op: *op, target: *threshold, baseline })
        }
        _ => Unit::Events,
    }
}

/// Takes away what a value has not, and refuses what a user wrote although it has no meaning.
pub(super) fn settle(slo: &mut Slo, at: &Cursor<'_>, settings: &Settings<'_>, has_rules: bool, report: &mut Report) {
    if let (None, Some((_, goal))) = (slo.gauge(), &settings.goal) {
        let remedy = "leave it out, or give the thresholdMetric an `aggregate`";
        goal.error(report, "only an SLO about a value has a goal", remedy);
    }
    if slo.gauge().is_none() {
        return;
    }
    if matches!(slo.method, Method::RatioTimeslices(_)) {
        at.error(
            report,
            "a slice of a value is good or bad, not by shares",
            "write budgetingMethod: Timeslices, or Occurrences for the value itself",
        );
    }
    if !slo.is_value() {
        return;
    }
    let budget = "an SLO about a value has no budget";
    let remedy = "leave it out, or write budgetingMethod: Timeslices";
    let written = [(slo.sla.is_some(), "sla"), (!slo.policy.is_empty(), "policy"), (slo.canary.is_some(), "canary")];
    for (_, name) in written.iter().filter(|(is_written, _)| *is_written) {
        at.error(report, format!("{budget}: `tailburn.dev/{name}` has no meaning"), remedy);
    }
    if has_rules {
        at.error(report, format!("{budget}: rules about burn rates have no meaning"), remedy);
    }
    slo.rules = Vec::new();
    slo.user_windows_ms = Vec::new();
    (slo.tail_alerts, slo.forecast_alerts) = (None, None);
    (slo.cohorts, slo.budget_rule) = (false, false);
}
