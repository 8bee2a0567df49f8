//! The annotations `sla` and `policy`: what was promised to customers, and what to do as the budget goes (contract,
//! section 11).

use super::annotations::parts;
use super::cursor::Cursor;
use super::error::Report;
use super::period::known_zone;
use super::window::LONGEST_MS;
use crate::model::calendar::{Calendar, CalendarUnit};
use crate::model::ratio::Ratio;
use crate::model::slo::{PolicyStep, Sla};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// 2000-01-01 00:00:00, and the Monday after it, where weeks begin.
const START_CIVIL_MS: i64 = 946_684_800_000;
const START_OF_WEEKS_CIVIL_MS: i64 = START_CIVIL_MS + 2 * 86_400_000;

const SLA: &str = "write an objective, as in \"0.995\", or \"0.995 per 1M in Europe/Berlin\"";
const POLICY: &str = "write the budget that is left and what to do then, as in 0.25=caution, 0=freeze";

fn calendar(count: u32, unit: CalendarUnit, zone: String) -> Calendar {
    let start_civil_ms = if unit == CalendarUnit::Week { START_OF_WEEKS_CIVIL_MS } else { START_CIVIL_MS };
    Calendar { count, unit, start_civil_ms, zone }
}

/// Months in UTC, of an SLO that has agreements with single tenants alone.
pub(super) fn of_tenants_alone() -> Sla {
    let calendar = calendar(1, CalendarUnit::Month, "UTC".to_owned());
    Sla { objective: None, tenants: BTreeMap::new(), calendar }
}

/// `0.995`, or `0.995 per 1M in Europe/Berlin`.
pub(super) fn read_sla(at: &Cursor<'_>, report: &mut Report) -> Option<Sla> {
    let written = at.text(report)?.trim();
    let (objective, period) = written.split_once(" per ").map_or((written, None), |(o, p)| (o, Some(p.trim())));
    let (length, zone) = match period {
        Some(period) => period.split_once(" in ").unwrap_or((period, "UTC")),
        None => ("1M", "UTC"),
    };
    let Some(objective) = Ratio::parse(objective).filter(|objective| objective.num < objective.den) else {
        at.error(report, format!("`{objective}` is not an objective from 0 to below 1"), SLA);
        return None;
    };
    let Some((count, unit)) = CalendarUnit::parse(length) else {
        at.error(report, format!("`{length}` is not the length of a calendar period"), SLA);
        return None;
    };
    let calendar = calendar(count, unit, known_zone(at, zone.trim(), report)?);
    if calendar.nominal_ms() > LONGEST_MS {
        at.error(report, format!("a period of {length} is too long"), "write at most 1Y");
        return None;
    }
    Some(Sla { objective: Some(objective), tenants: BTreeMap::new(), calendar })
}

/// `0.25=caution, 0=freeze`; the step that is reached last is first.
pub(super) fn read_policy(at: &Cursor<'_>, report: &mut Report) -> Option<Vec<PolicyStep>> {
    let mut steps: Vec<PolicyStep> = Vec::new();
    for part in parts(at, report)? {
        let step = part.split_once('=').and_then(|(left, action)| step_of(left.trim(), action.trim()));
        let Some(step) = step else {
            at.error(report, format!("`{part}` is not a step of a policy"), POLICY);
            return None;
        };
        if steps.iter().any(|other| compare(other, &step) == Ordering::Equal) {
            at.error(report, format!("{} is there twice", step.remaining), "give each threshold one action");
            return None;
        }
        steps.push(step);
    }
    steps.sort_by(|a, b| compare(b, a));
    Some(steps)
}

fn compare(a: &PolicyStep, b: &PolicyStep) -> Ordering {
    let product = |a: u64, b: u64| u128::from(a) * u128::from(b);
    product(a.spent.num, b.spent.den).cmp(&product(b.spent.num, a.spent.den))
}

/// The threshold is at most 1, and below 0 once the budget is overdrawn.
fn step_of(left: &str, action: &str) -> Option<PolicyStep> {
    let spent = match left.strip_prefix('-') {
        Some(overdrawn) => {
            let over = Ratio::parse(overdrawn)?;
            Ratio::new(over.den.checked_add(over.num)?, over.den)?
        }
        None => Ratio::parse(left)?.complement()?,
    };
    let is_word = !action.is_empty() && action.len() <= 64 && !action.contains(|c: char| c.is_control() || c == '=');
    is_word.then(|| PolicyStep { spent, remaining: left.to_owned(), action: action.to_owned() })
}
