//! A gauge of section 11: one value of a window, by going through all values in it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::replay::Key;
use crate::slo::{Aggregate, Slo};
use crate::status::compliance_start;
use crate::time::{DAY_MS, ceil_to, print_time};

#[derive(Clone, Copy, Debug)]
struct Reading {
    value: f64,
    weight_micros: i64,
}

#[derive(Default)]
pub struct Readings {
    of_time: BTreeMap<i64, Vec<Reading>>,
    /// The last value asked for: most boundaries bring nothing new.
    asked: RefCell<Option<(i64, Option<f64>)>>,
}

impl Readings {
    pub fn see(&mut self, time_ms: i64, value: f64, weight_micros: i64) {
        self.of_time.entry(time_ms).or_default().push(Reading { value, weight_micros });
        *self.asked.get_mut() = None;
    }

    pub fn value(&self, how: &str, start_ms: i64, end_ms: i64) -> Option<f64> {
        let readings = self.of_time.range(start_ms..end_ms).flat_map(|(_, readings)| readings);
        let values = || readings.clone().map(|reading| reading.value);
        match how {
            "last" => {
                let (_, last) = self.of_time.range(start_ms..end_ms).next_back()?;
                last.iter().map(|reading| reading.value).reduce(f64::max)
            }
            "min" => values().reduce(f64::min),
            "max" => values().reduce(f64::max),
            _ => {
                let micros = |value: f64| (value * 1e6).round_ties_even() as i128;
                let sum: i128 = readings.clone().map(|r| micros(r.value) * i128::from(r.weight_micros)).sum();
                let weight: i128 = readings.clone().map(|r| i128::from(r.weight_micros)).sum();
                (weight > 0).then(|| sum as f64 / weight as f64 / 1e6)
            }
        }
    }

    fn since(&self, how: &str, start_ms: i64) -> Option<f64> {
        if let Some((_, value)) = self.asked.borrow().filter(|(asked_ms, _)| *asked_ms == start_ms) {
            return value;
        }
        let value = self.value(how, start_ms, i64::MAX);
        *self.asked.borrow_mut() = Some((start_ms, value));
        value
    }

    /// The slope of the least squares through the values of whole days, per day.
    fn trend(&self, how: &str, start_ms: i64, at_ms: i64) -> Option<f64> {
        let mut points = Vec::new();
        let mut day_ms = ceil_to(start_ms, DAY_MS);
        while day_ms + DAY_MS <= at_ms {
            let value = self.value(how, day_ms, day_ms + DAY_MS);
            points.extend(value.map(|value| ((day_ms / DAY_MS) as f64, value)));
            day_ms += DAY_MS;
        }
        if points.len() < 3 {
            return None;
        }
        let many = points.len() as f64;
        let (x, y) = (points.iter().map(|p| p.0).sum::<f64>() / many, points.iter().map(|p| p.1).sum::<f64>() / many);
        let up: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
        Some(up / points.iter().map(|p| (p.0 - x) * (p.0 - x)).sum::<f64>())
    }
}

pub fn value(slo: &Slo, key: &Key, gauge: &Aggregate, at_ms: i64) -> Option<f64> {
    key.readings.since(&gauge.how, compliance_start(slo, at_ms))
}

/// `gauge{}` of a status.
pub fn gauge(slo: &Slo, key: &Key, at_ms: i64) -> Value {
    let Some(gauge) = slo.gauge().filter(|_| slo.slicing.is_none()) else { return Value::Null };
    let value = value(slo, key, gauge, at_ms);
    let is_met = value.map(|value| gauge.is_met(value));
    let progress = gauge.baseline.zip(value).map(|(from, value)| (value - from) / (gauge.target - from));
    let trend = key.readings.trend(&gauge.how, compliance_start(slo, at_ms), at_ms);
    let ahead_days = value.zip(trend).map(|(value, trend)| (gauge.target - value) / trend);
    let expected = ahead_days.filter(|days| is_met == Some(false) && *days > 0.0 && days.is_finite());
    json!({"value": value, "op": gauge.op, "target": gauge.target, "is_met": is_met, "baseline": gauge.baseline,
           "progress": progress, "trend_per_day": trend,
           "expected_at": expected.map(|days| print_time(at_ms + (days * DAY_MS as f64) as i64))})
}
