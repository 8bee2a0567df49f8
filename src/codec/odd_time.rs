//! Messages about unusable times: the value, and what to do about it.

use super::fault::{Fault, Problem};
use super::field::{Field, Scalar};
use super::rfc3339;
use crate::model::time::{Moment, Ms};

/// For a time or a weight that cannot be read.
#[cold]
pub(super) fn unreadable(fault: &Fault<'_>) -> String {
    let told = fault.to_string();
    match (&fault.problem, fault.field) {
        (Problem::Value(value), Field::Timestamp) => format!("{told}{}", remedy(value).unwrap_or_default()),
        _ => told,
    }
}

#[cold]
pub(super) fn before_2000(t: Ms) -> String {
    format!("`timestamp` {t} ms is before the year 2000{}", of_unit(t as f64).unwrap_or_default())
}

#[cold]
pub(super) fn after_9999(t: Ms) -> String {
    format!("`timestamp` {t} ms is after the year 9999{}", of_unit(t as f64).unwrap_or_default())
}

#[cold]
pub(super) fn in_the_future(t: Ms, limit: Ms) -> String {
    let ahead = t.saturating_sub(limit);
    let unit = of_unit(t as f64).unwrap_or_default();
    format!(
        "`timestamp` {t} ms ({}) is {ahead} ms past the record's own timestamp plus input.max_future_skew{unit}",
        Moment(t)
    )
}

/// What to do about a value that is not a time.
pub(super) fn remedy(value: &Scalar<'_>) -> Option<String> {
    match value {
        Scalar::Text(text) => match text.trim_ascii().parse::<f64>() {
            Ok(number) => of_unit(number).or_else(|| rfc3339::why_not(text)),
            Err(_) => rfc3339::why_not(text),
        },
        Scalar::Number(n) => of_unit(n.as_f64()),
        Scalar::Double(n) => of_unit(*n),
        Scalar::NoMoment(name, _) => of_local(name),
        _ => None,
    }
}

/// Epoch times of the years 2001 to 2286 have ten digits before the point in seconds, three more in each
/// smaller unit.
fn of_unit(number: f64) -> Option<String> {
    let units = [
        (1e9, "s", "seconds"),
        (1e12, "ms", "milliseconds"),
        (1e15, "us", "microseconds"),
        (1e18, "ns", "nanoseconds"),
    ];
    let (_, unit, name) = units.into_iter().find(|(from, ..)| (*from..*from * 10.0).contains(&number))?;
    Some(format!("; it looks like {name} since 1970: write `timestamp: {{path: ..., unit: {unit}}}` in input.mapping"))
}

/// A time without a zone can be used if the user knows that it is UTC.
fn of_local(name: &str) -> Option<String> {
    let units = [("millis", "ms"), ("micros", "us"), ("nanos", "ns")];
    let of = name.strip_prefix("local-timestamp-")?;
    let (_, unit) = units.into_iter().find(|(written, _)| *written == of)?;
    Some(format!(
        "; it is a time without a zone: if it is UTC, write `timestamp: {{path: ..., unit: {unit}}}` in input.mapping"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(value: Scalar<'_>) -> String {
        unreadable(&Fault { field: Field::Timestamp, name: None, problem: Problem::Value(value) })
    }

    #[test]
    fn an_epoch_time_in_another_unit_is_told_with_its_unit() {
        let number = |written| Scalar::Number(crate::codec::number::Number::scan(written).expect("a number"));
        assert!(told(number("1780074045.845")).ends_with("unit: s}` in input.mapping"));
        assert!(told(number("1780074045845.0")).ends_with("unit: ms}` in input.mapping"));
        assert!(told(Scalar::Text("1780074045845".into())).ends_with("unit: ms}` in input.mapping"));
        assert!(told(Scalar::Text("1780074045.845".into())).contains("\"1780074045.845\"; it looks like seconds"));
        assert!(before_2000(1_780_074_045).ends_with("unit: s}` in input.mapping"));
        assert!(!before_2000(0).contains("unit"));
        assert!(after_9999(1_780_074_045_845_123).ends_with("unit: us}` in input.mapping"));
        assert!(after_9999(1_780_074_045_845_123_456).ends_with("unit: ns}` in input.mapping"));
        assert!(in_the_future(1_780_074_045_845_123, 1_780_074_045_845).ends_with("unit: us}` in input.mapping"));
    }
}
