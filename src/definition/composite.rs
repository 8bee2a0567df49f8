//! A composite SLO: a document whose objectives have an indicator each (OpenSLO v1; contract, section 11).

use super::cursor::{Cursor, Fields};
use super::document::Document;
use super::error::Report;
use crate::model::ratio::Ratio;
use crate::model::slo::{Component, Slo, Unit};

/// The most components: each event carries two bits for each.
const COMPONENTS_MAX: usize = 32;

/// Whether the objectives have indicators of their own. One that has, beside one that has not, is a mistake.
pub(super) fn is_composite(fields: &Fields<'_>, objectives: &[Cursor<'_>], report: &mut Report) -> Option<bool> {
    let own = |at: &Cursor<'_>| {
        let mut silent = Report::default();
        let fields = at.fields(&mut silent, &super::slo::OBJECTIVE_KEYS);
        fields.is_some_and(|fields| fields.get("indicator").is_some() || fields.get("indicatorRef").is_some())
    };
    let with = objectives.iter().filter(|at| own(at)).count();
    if with == 0 {
        return Some(false);
    }
    if let Some(at) = fields.get("indicator").or_else(|| fields.get("indicatorRef")) {
        at.error(
            report,
            "the document has an indicator, and its objectives have others",
            "leave this one out for a composite, or those of the objectives",
        );
        return None;
    }
    if let Some(at) = objectives.iter().find(|at| !own(at)) {
        at.error(report, "`indicator` is missing: the other objectives of this composite have one", "give it one");
        return None;
    }
    if objectives.len() > COMPONENTS_MAX {
        let message = format!("{} components", objectives.len());
        fields.at.error(report, message, format!("{COMPONENTS_MAX} are the most a composite can have"));
        return None;
    }
    Some(true)
}

/// `compositeWeight`: a number above 0; 1 where it is not written.
pub(super) fn read_weight(fields: &Fields<'_>, report: &mut Report) -> Option<f64> {
    let Some(at) = fields.get("compositeWeight") else { return Some(1.0) };
    let weight = at.number(report)?;
    if !(weight > 0.0 && weight <= 1e6) {
        at.error(report, format!("{weight} is not a weight"), "write a number above 0, as in 2");
        return None;
    }
    Some(weight)
}

/// The composite of components, which are in the order of the document; `None` if they do not go together.
pub(super) fn compose(document: &Document<'_>, parts: &[(Slo, f64)], report: &mut Report) -> Option<Slo> {
    let (first, _) = parts.first()?;
    if parts.iter().any(|(slo, _)| slo.unit != Unit::Events) {
        document.at.error(
            report,
            "a component of a composite counts events, and one of these does not",
            "write it as an SLO of its own",
        );
        return None;
    }
    let slice_ms = |slo: &Slo| slo.method.slicing().map(|slicing| slicing.slice_ms);
    if parts.iter().any(|(slo, _)| slice_ms(slo) != slice_ms(first)) {
        document.at.error(
            report,
            "the components of a composite have time slices of different lengths",
            "write the same timeSliceWindow for each",
        );
        return None;
    }
    let weights: f64 = parts.iter().map(|(_, weight)| weight).sum();
    let weighted: f64 = parts.iter().map(|(slo, weight)| weight * slo.objective.as_f64()).sum();
    let component = |(slo, weight): &(Slo, f64)| Component {
        name: slo.name.clone(),
        weight: *weight,
        objective: slo.objective,
        method: slo.method,
    };
    let objective = Ratio::from_f64(weighted / weights)?;
    Some(Slo {
        name: document.name.to_owned(),
        display_name: document.display_name.unwrap_or(document.name).to_owned(),
        objective_name: None,
        unit: Unit::Composite(parts.iter().map(component).collect()),
        indicators: parts.iter().map(|(slo, _)| slo.indicator.clone()).collect(),
        steps: Vec::new(),
        objective,
        ..first.clone()
    })
}
