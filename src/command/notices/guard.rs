//! Expressions that decide where a field is absent.

use crate::model::slo::{Criterion, Slo};
use crate::pipeline::seen::Gap;

/// How to write an expression that also decides without the field.
pub(super) fn guard(slo: &Slo, gap: &Gap, field: &str) -> String {
    let (with, without) =
        (format!("`has({field}) && {}`", bracketed(&gap.part)), format!("`!has({field}) || {}`", bracketed(&gap.part)));
    match (&slo.indicator.criterion, gap.is_total) {
        (_, true) => format!("To count events without it, write {without}; to leave them out, {with}."),
        (Criterion::Good(_), false) => {
            format!(
                "For events without it to be good, write {without}; to be bad, {with}; to leave them out, add `has({field})` to the `total` filter."
            )
        }
        (Criterion::Bad(_), false) => {
            format!(
                "For events without it to be bad, write {without}; to be good, {with}; to leave them out, add `has({field})` to the `total` filter."
            )
        }
        (Criterion::Threshold { .. }, false) => {
            format!("To leave out events without it, give the SLO the `total` filter `has({field})`.")
        }
    }
}

fn bracketed(part: &str) -> String {
    if part.contains("||") || part.contains('?') { format!("({part})") } else { part.to_owned() }
}
