//! The time window of an SLO: rolling, or the periods of a calendar (contract, section 11).

use super::cursor::{Cursor, Fields};
use super::error::{NoticeLevel, Report};
use super::window;
use crate::model::calendar::{Calendar, CalendarUnit, parse_civil, zone};
use crate::model::duration;
use crate::model::period::Period;
use crate::model::time::DAY_MS;

const LENGTHS: &str = "write one number with d, w, M, Q or Y, as in 1M";
const CALENDAR: &str = "write calendar: {startTime: \"2026-01-01 00:00:00\", timeZone: Europe/Berlin}";

pub(super) fn read(at: &Cursor<'_>, window: &Fields<'_>, report: &mut Report) -> Option<Period> {
    let is_rolling = match window.get("isRolling") {
        Some(at) => Some(at.bool(report)?),
        None => None,
    };
    let duration_at = window.require(report, "duration", "write duration: 28d, or 1M for a calendar month")?;
    match (is_rolling, window.get("calendar")) {
        (Some(true), Some(calendar)) => {
            let remedy = "leave out the calendar, or write isRolling: false";
            calendar.error(report, "a window that rolls has no calendar", remedy);
            None
        }
        (Some(true), None) => read_rolling(&duration_at, report),
        (_, Some(calendar)) => read_calendar(&duration_at, &calendar, report),
        (Some(false), None) => {
            at.error(report, "`calendar` is missing: a window that does not roll begins and ends with it", CALENDAR);
            None
        }
        (None, None) => {
            at.error(report, "`isRolling` is missing", format!("write isRolling: true, or {}", &CALENDAR[6..]));
            None
        }
    }
}

fn read_rolling(at: &Cursor<'_>, report: &mut Report) -> Option<Period> {
    let text = at.text(report)?;
    match (duration::parse(text), CalendarUnit::parse(text)) {
        (Ok(window_ms), _) => window::check(at, window_ms, report).map(Period::Rolling),
        (Err(_), Some((count, unit))) => {
            let days = i64::from(count) * unit.nominal_days();
            let message =
                format!("`{text}` rolls: it counts as {days}d (a month as 30 days, a quarter as 90, a year as 365)");
            at.notice(report, NoticeLevel::Warning, message);
            window::check(at, days * DAY_MS, report).map(Period::Rolling)
        }
        (Err(e), None) => {
            at.error(report, e.to_string(), "write a length, as in 28d");
            None
        }
    }
}

fn read_calendar(at: &Cursor<'_>, calendar: &Cursor<'_>, report: &mut Report) -> Option<Period> {
    let text = at.text(report)?;
    let Some((count, unit)) = CalendarUnit::parse(text) else {
        at.error(report, format!("`{text}` is not the length of a calendar period"), LENGTHS);
        return None;
    };
    let fields = calendar.fields(report, &["startTime", "timeZone"])?;
    let start_at = fields.require(report, "startTime", CALENDAR)?;
    let zone_at = fields.require(report, "timeZone", CALENDAR)?;
    let written = start_at.text(report)?;
    let start_civil_ms = parse_civil(written);
    if start_civil_ms.is_none() {
        start_at.error(
            report,
            format!("`{written}` is not a date and time"),
            "write startTime: \"2026-01-01 00:00:00\"",
        );
    }
    let name = zone_at.text(report).and_then(|name| known_zone(&zone_at, name, report));
    let calendar = Calendar { count, unit, start_civil_ms: start_civil_ms?, zone: name? };
    if calendar.nominal_ms() > window::LONGEST_MS {
        let longest = format!("the longest is {}", duration::print(window::LONGEST_MS));
        at.error(report, format!("a period of {text} is too long"), longest);
        return None;
    }
    Some(Period::Calendar(Box::new(calendar)))
}

/// The IANA name of a time zone that this build has.
pub(super) fn known_zone(at: &Cursor<'_>, name: &str, report: &mut Report) -> Option<String> {
    if zone(name).is_none() {
        at.error(report, format!("there is no time zone `{name}`"), "write an IANA name, as in Europe/Berlin or UTC");
        return None;
    }
    Some(name.to_owned())
}
