//! Calendar periods of section 11: all beginnings of a few years, by jiff's civil arithmetic and its own time zones.

use jiff::civil::DateTime;
use jiff::tz::TimeZoneDatabase;
use jiff::{Span, Timestamp};

use crate::time::{DAY_MS, PANE_MS, ceil_to};

#[derive(Clone, Debug)]
pub struct Calendar {
    pub name: String,
    pub nominal_ms: i64,
    begins: Vec<i64>,
}

/// Its T are those with start < T <= end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    pub start_ms: i64,
    pub end_ms: i64,
    /// Where the one before begins.
    pub before_ms: i64,
}

impl Calendar {
    pub fn of(name: &str, start: &str, zone: &str) -> Result<Self, String> {
        let (number, unit) = name.split_at(name.len() - 1);
        let number: i64 = number.parse().map_err(|e| format!("{name}: {e}"))?;
        let start: DateTime = start.trim_end_matches('Z').parse().map_err(|e| format!("{start}: {e}"))?;
        let zone = TimeZoneDatabase::bundled().get(zone).map_err(|e| e.to_string())?;
        let (days, months) = match unit {
            "d" => (1, 0),
            "w" => (7, 0),
            "M" => (0, 1),
            "Q" => (0, 3),
            "Y" => (0, 12),
            _ => return Err(format!("{name:?} is no calendar period")),
        };
        let nominal_days = if unit == "Y" { 365 } else { days + 30 * months };
        let begin = |k: i64| -> Option<i64> {
            let later = Span::new().days(days * number * k).months(months * number * k);
            let zoned = zone.to_ambiguous_zoned(start.checked_add(later).ok()?).compatible().ok()?;
            Some(ceil_to(zoned.timestamp().as_millisecond(), PANE_MS))
        };
        let time = |text: &str| text.parse::<Timestamp>().map(|t| t.as_millisecond()).unwrap_or_default();
        let years = time("2024-01-01T00:00:00Z")..time("2029-01-01T00:00:00Z");
        let many = if days == 1 { 12_000 } else { 1_500 };
        let mut begins: Vec<i64> = (-many..many).filter_map(begin).filter(|ms| years.contains(ms)).collect();
        begins.dedup();
        Ok(Self { name: name.to_owned(), nominal_ms: nominal_days * number * DAY_MS, begins })
    }

    pub fn period(&self, at_ms: i64) -> Period {
        let next = self.begins.partition_point(|begin_ms| *begin_ms < at_ms);
        Period { start_ms: self.begins[next - 1], end_ms: self.begins[next], before_ms: self.begins[next - 2] }
    }
}
