//! What an objective counts: events, or slices of time (OpenSLO v1, `budgetingMethod`; contract, section 11).

use super::annotations::Settings;
use super::cursor::{Cursor, Fields};
use super::error::Report;
use crate::model::duration;
use crate::model::period::{Method, Slicing};
use crate::model::ratio::Ratio;
use crate::model::time::{DAY_MS, MINUTE_MS, Ms};

/// As the document says it; the slices are each objective's own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum MethodName {
    Occurrences,
    Timeslices,
    RatioTimeslices,
}

pub(super) fn read(fields: &Fields<'_>, report: &mut Report) -> Option<MethodName> {
    let remedy = "write budgetingMethod: Occurrences, Timeslices or RatioTimeslices";
    let at = fields.require(report, "budgetingMethod", remedy)?;
    let text = at.text(report)?;
    let name = match text {
        "Occurrences" => Some(MethodName::Occurrences),
        "Timeslices" => Some(MethodName::Timeslices),
        "RatioTimeslices" => Some(MethodName::RatioTimeslices),
        _ => None,
    };
    if name.is_none() {
        at.error(report, format!("there is no budgeting method `{text}`"), remedy);
    }
    name
}

/// The method of one objective, with its slices; `None` if they are missing or wrong.
pub(super) fn of_objective(
    name: MethodName,
    is_gauge: bool,
    fields: &Fields<'_>,
    settings: &Settings<'_>,
    report: &mut Report,
) -> Option<Method> {
    let mut is_clean = true;
    let mut refuse = |key: &str, why: &str, report: &mut Report| {
        if let Some(at) = fields.get(key) {
            at.error(report, format!("`{key}` {why}"), "leave it out, or write budgetingMethod: Timeslices");
            is_clean = false;
        }
    };
    if name == MethodName::Occurrences {
        for key in ["timeSliceTarget", "timeSliceWindow"] {
            refuse(key, "has no meaning where events are counted", report);
        }
        if let Some((_, at)) = &settings.timeslice_min_events {
            at.error(report, "there are no time slices: this annotation has no meaning", "leave it out");
            return None;
        }
        return is_clean.then_some(Method::Occurrences);
    }
    let window = fields.require(report, "timeSliceWindow", "write timeSliceWindow: 1m");
    let slice_ms = window.and_then(|at| read_window(&at, report));
    let target = match name {
        // A slice of a gauge is good where its value meets the threshold.
        MethodName::Timeslices if is_gauge && fields.get("timeSliceTarget").is_none() => Some(Ratio::ZERO),
        MethodName::Timeslices => {
            let remedy = "write timeSliceTarget: 0.95: a slice with that share of good events is good";
            fields.require(report, "timeSliceTarget", remedy).and_then(|at| read_target(&at, report))
        }
        _ => {
            refuse("timeSliceTarget", "has no meaning where slices count by their share", report);
            is_clean.then_some(Ratio::ZERO)
        }
    };
    let min_events = settings.timeslice_min_events.as_ref().map_or(1, |(least, _)| *least);
    let slicing = Slicing { slice_ms: slice_ms?, target: target?, min_events };
    Some(match name {
        MethodName::Timeslices => Method::Timeslices(slicing),
        _ => Method::RatioTimeslices(slicing),
    })
}

/// A number is minutes, as OpenSLO has it.
fn read_window(at: &Cursor<'_>, report: &mut Report) -> Option<Ms> {
    let text = at.text(report)?;
    let slice_ms = match text.trim().parse::<Ms>() {
        Ok(minutes) => minutes.checked_mul(MINUTE_MS),
        Err(_) => duration::parse(text).ok(),
    };
    let is_fit = |ms: &Ms| *ms > 0 && ms % MINUTE_MS == 0 && DAY_MS % ms == 0;
    let fit = slice_ms.filter(is_fit);
    if fit.is_none() {
        let remedy = "write whole minutes that divide a day, as in 1m, 5m or 1h";
        at.error(report, format!("`{text}` is not the length of a time slice"), remedy);
    }
    fit
}

fn read_target(at: &Cursor<'_>, report: &mut Report) -> Option<Ratio> {
    let target = Ratio::from_f64(at.number(report)?).filter(|target| target.num > 0 && target.num <= target.den);
    if target.is_none() {
        let written = at.text(report)?.trim();
        at.error(report, format!("{written} is not a share of good events"), "write a number above 0, up to 1");
    }
    target
}
