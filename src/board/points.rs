//! The points of one key and day in few bytes, without loss: what was published is what is shown.
//!
//! A field is null, the same as in the point before, a whole number, or eight bytes. A key without traffic takes four
//! bytes an hour, a busy one about forty.

use crate::model::output::SloHistory;
use crate::model::time::{DAY_MS, HOUR_MS, Moment, Ms};
use serde::Serialize;

const STATES: [&str; 4] = ["ok", "at_risk", "breached", "no_data"];
/// The largest whole number that a double has exactly.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

const NULL: u16 = 0;
const SAME: u16 = 1;
const WHOLE: u16 = 2;
const RAW: u16 = 3;

/// A record of `slo-history`, without what all points of its key share.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    pub at: Moment,
    pub state: &'static str,
    pub good: f64,
    pub bad: f64,
    pub sli: Option<f64>,
    pub budget_remaining: Option<f64>,
    pub budget_spent_of_period: Option<f64>,
    pub users: Option<u64>,
    pub users_below: Option<u64>,
    pub worst_1pct_error_mean_estimate: Option<f64>,
}

impl Point {
    pub fn of(record: &SloHistory) -> Point {
        let state = STATES.into_iter().find(|state| *state == record.state).unwrap_or("no_data");
        Point {
            at: record.at,
            state,
            good: record.good,
            bad: record.bad,
            sli: record.sli,
            budget_remaining: record.budget_remaining,
            budget_spent_of_period: record.budget_spent_of_period,
            users: record.users,
            users_below: record.users_below,
            worst_1pct_error_mean_estimate: record.worst_1pct_error_mean_estimate,
        }
    }

    /// The SLI of the hour before `at`.
    pub fn hourly_sli(&self) -> Option<f64> {
        let events = self.good + self.bad;
        (events > 0.0).then(|| self.good / events)
    }

    fn fields(&self) -> [Option<f64>; 8] {
        let whole = |n: Option<u64>| n.map(|n| n as f64);
        [
            Some(self.good),
            Some(self.bad),
            self.sli,
            self.budget_remaining,
            self.budget_spent_of_period,
            whole(self.users),
            whole(self.users_below),
            self.worst_1pct_error_mean_estimate,
        ]
    }

    fn from_fields(at_ms: Ms, state: u8, fields: [Option<f64>; 8]) -> Point {
        let [good, bad, sli, budget_remaining, budget_spent_of_period, users, users_below, worst] = fields;
        let whole = |n: Option<f64>| n.map(|n| n as u64);
        Point {
            at: Moment(at_ms),
            state: STATES[usize::from(state) % STATES.len()],
            good: good.unwrap_or_default(),
            bad: bad.unwrap_or_default(),
            sli,
            budget_remaining,
            budget_spent_of_period,
            users: whole(users),
            users_below: whole(users_below),
            worst_1pct_error_mean_estimate: worst,
        }
    }
}

/// The number of a day since the epoch.
pub fn day_of(at_ms: Ms) -> i64 {
    at_ms.div_euclid(DAY_MS)
}

/// Appends a point of the same day; `before`: the one before it in `bytes`.
pub fn append(bytes: &mut Vec<u8>, before: Option<&Point>, point: &Point) {
    let hour = point.at.0.rem_euclid(DAY_MS) / HOUR_MS;
    let state = STATES.iter().position(|state| *state == point.state).unwrap_or_default();
    bytes.push(((hour as u8) << 2) | state as u8);
    let at = bytes.len();
    bytes.extend_from_slice(&[0, 0]);
    let before = before.map_or([None; 8], Point::fields);
    let mut kinds = 0u16;
    for (i, (value, before)) in point.fields().into_iter().zip(before).enumerate() {
        let kind = match value {
            None => NULL,
            Some(value) if before.is_some_and(|before| before.to_bits() == value.to_bits()) => SAME,
            Some(value) if value.is_sign_positive() && value.fract() == 0.0 && value < WHOLE_MAX => {
                put_whole(bytes, value as u64);
                WHOLE
            }
            Some(value) => {
                bytes.extend_from_slice(&value.to_le_bytes());
                RAW
            }
        };
        kinds |= kind << (2 * i);
    }
    bytes[at..at + 2].copy_from_slice(&kinds.to_le_bytes());
}

/// The points of a day. Bytes that nobody wrote end it early.
pub fn read(day: i64, mut bytes: &[u8]) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::with_capacity(24);
    while let [head, low, high, rest @ ..] = bytes {
        bytes = rest;
        let kinds = u16::from_le_bytes([*low, *high]);
        let before = points.last().map_or([None; 8], Point::fields);
        let mut fields = [None; 8];
        for (i, field) in fields.iter_mut().enumerate() {
            *field = match (kinds >> (2 * i)) & 3 {
                NULL => None,
                SAME => before[i],
                WHOLE => take_whole(&mut bytes),
                _ => take_raw(&mut bytes),
            };
        }
        let at_ms = day * DAY_MS + i64::from(head >> 2) * HOUR_MS;
        points.push(Point::from_fields(at_ms, head & 3, fields));
    }
    points
}

fn put_whole(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_whole(bytes: &mut &[u8]) -> Option<f64> {
    let (mut number, mut shift) = (0u64, 0);
    loop {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f).checked_shl(shift)?;
        if first & 0x80 == 0 {
            return Some(number as f64);
        }
        shift += 7;
    }
}

fn take_raw(bytes: &mut &[u8]) -> Option<f64> {
    let (raw, rest) = bytes.split_first_chunk::<8>()?;
    *bytes = rest;
    Some(f64::from_le_bytes(*raw))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub fn point(hour: i64, good: f64, bad: f64) -> Point {
        Point {
            at: Moment(hour * HOUR_MS),
            state: "ok",
            good,
            bad,
            sli: None,
            budget_remaining: None,
            budget_spent_of_period: None,
            users: None,
            users_below: None,
            worst_1pct_error_mean_estimate: None,
        }
    }

    fn figure() -> impl Strategy<Value = Option<f64>> {
        prop_oneof![
            Just(None),
            Just(Some(0.0)),
            Just(Some(-0.0)),
            (0u64..1 << 60).prop_map(|n| Some(n as f64)),
            (-1e3..1.0f64).prop_map(Some)
        ]
    }

    proptest! {
        #[test]
        fn points_are_read_as_they_were_written(
            rows in prop::collection::vec((0usize..4, prop::array::uniform8(figure()), any::<bool>()), 0..24),
        ) {
            let (mut bytes, mut points) = (Vec::new(), Vec::<Point>::new());
            for (hour, (state, mut fields, repeats)) in rows.into_iter().enumerate() {
                if let Some(before) = points.last().filter(|_| repeats) {
                    fields = before.fields();
                }
                // Good and bad are always there; users are numbers of users.
                fields[0] = fields[0].or(Some(0.0));
                fields[1] = fields[1].or(Some(0.0));
                let users = |n: Option<f64>| n.map(|n| (n.abs() as u64 % 1_000_000) as f64);
                (fields[5], fields[6]) = (users(fields[5]), users(fields[6]));
                let point = Point::from_fields(20_000 * DAY_MS + hour as i64 * HOUR_MS, state as u8, fields);
                append(&mut bytes, points.last(), &point);
                points.push(point);
            }
            prop_assert_eq!(read(20_000, &bytes), points);
        }
    }

    #[test]
    fn a_key_without_traffic_takes_few_bytes() {
        let mut bytes = Vec::new();
        let mut before = None;
        for hour in 0..24 {
            let point = point(hour, 0.0, 0.0);
            append(&mut bytes, before.as_ref(), &point);
            before = Some(point);
        }
        assert!(bytes.len() < 24 * 4, "{}", bytes.len());
    }
}
