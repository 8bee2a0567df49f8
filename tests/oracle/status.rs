//! When a status is due, its state and flags, and its figures: section 5.

use serde_json::{Map, Value, json};

use crate::failures;
use crate::gauge;
use crate::parts;
use crate::promises;
use crate::ratio::Ratio;
use crate::replay::Key;
use crate::slo::Slo;
use crate::time::{HOUR_MS, MINUTE_MS, print_duration, print_time, window_start};

/// In addition to the statuses that alerts and state changes require.
pub fn is_due(key: &Key, at_ms: i64, end_ms: i64) -> bool {
    let interval_ms = if key.scope == "tenant" { 5 * MINUTE_MS } else { MINUTE_MS };
    at_ms == end_ms || at_ms % HOUR_MS == 0 || (key.news && at_ms % interval_ms == 0)
}

pub fn state(slo: &Slo, key: &Key, at_ms: i64) -> &'static str {
    if key.is_silent(at_ms, slo.no_data_after_ms) {
        return "no_data";
    }
    if let Some(aggregate) = slo.gauge().filter(|_| slo.slicing.is_none()) {
        return match gauge::value(slo, key, aggregate, at_ms) {
            Some(value) if aggregate.is_met(value) => "ok",
            Some(_) => "breached",
            None => "no_data",
        };
    }
    if spent_at_least(slo, key, at_ms, Ratio::new(1, 1)) {
        "breached"
    } else if spent_at_least(slo, key, at_ms, Ratio::new(3, 4)) || !key.episodes.is_empty() {
        "at_risk"
    } else {
        "ok"
    }
}

fn coverage(key: &Key, at_ms: i64, window_ms: i64) -> f64 {
    coverage_since(key, at_ms, window_start(at_ms, window_ms))
}

fn coverage_since(key: &Key, at_ms: i64, start_ms: i64) -> f64 {
    key.first_ms.map_or(0.0, |first_ms| ((at_ms - first_ms) as f64 / (at_ms - start_ms) as f64).min(1.0))
}

fn budget_spent(slo: &Slo, key: &Key, at_ms: i64) -> Option<f64> {
    if slo.calendar.is_some() {
        return promises::budget_remaining(slo, key, at_ms).map(|left| 1.0 - left);
    }
    let burn = key.units(at_ms, slo.period_ms).burn(key.allowed)?;
    Some(burn * coverage(key, at_ms, slo.period_ms))
}

/// `burn * coverage >= share`, in integers: a total outage spends exactly 1.
fn spent_at_least(slo: &Slo, key: &Key, at_ms: i64, share: Ratio) -> bool {
    let sums = promises::compliance(slo, key, at_ms);
    if let Some(calendar) = &slo.calendar {
        return promises::spent_at_least(calendar.period(at_ms), key, at_ms, &sums, share);
    }
    let window_ms = at_ms - window_start(at_ms, slo.period_ms);
    let seen_ms = key.first_ms.map_or(0, |first_ms| (at_ms - first_ms).min(window_ms));
    sums.spend_at_least(share, key.allowed, seen_ms, window_ms)
}

pub fn compliance_start(slo: &Slo, at_ms: i64) -> i64 {
    let calendar = slo.calendar.as_ref();
    calendar.map_or_else(|| window_start(at_ms, slo.period_ms), |calendar| calendar.period(at_ms).start_ms)
}

fn flags(slo: &Slo, key: &Key, at_ms: i64) -> Vec<&'static str> {
    let mut flags = Vec::new();
    if key.first_ms.is_none_or(|first_ms| first_ms > compliance_start(slo, at_ms)) {
        flags.push("warming_up");
    }
    let hour = key.history.window(at_ms, HOUR_MS);
    if 100 * hour.unclassified > hour.events() + hour.unclassified {
        flags.push("degraded_data");
    }
    flags
}

pub fn record(slo: &Slo, key: &Key, at_ms: i64, latencies_ms: &[f64]) -> Value {
    let compliance = promises::compliance(slo, key, at_ms);
    let (allowed, spent) = (key.allowed.as_f64() * compliance.all_figure(), compliance.bad_figure());
    // The budget in minutes of a total outage.
    let minutes = key.allowed.as_f64() * slo.period_ms as f64 / MINUTE_MS as f64;
    let remaining_minutes = compliance.burn(key.allowed).map(|b| (1.0 - b) * minutes);
    let mut record = Map::new();
    let mut put = |name: &str, value: Value| record.insert(name.to_owned(), value);
    put("slo", json!(slo.name));
    put("scope", json!(key.scope));
    put("tenant", json!(key.tenant));
    put("group", json!(key.group));
    put("at", json!(print_time(at_ms)));
    put("state", json!(state(slo, key, at_ms)));
    put("flags", json!(flags(slo, key, at_ms)));
    // A gauge without a target has its value for one; the text does not say what stands here.
    if key.figure(0.0).is_some() {
        put("objective", json!(key.objective.as_f64()));
    }
    put("budgeting_method", json!(slo.method));
    put(
        "compliance_window",
        json!(slo.calendar.as_ref().map_or_else(|| print_duration(slo.period_ms), |c| c.name.clone())),
    );
    put("budget_remaining", json!(promises::budget_remaining(slo, key, at_ms)));
    put("budget_spent_of_period", json!(budget_spent(slo, key, at_ms)));
    put(
        "budget",
        promises::budget(slo, key, at_ms).unwrap_or_else(|| {
            json!({"allowed_bad": key.figure(allowed), "spent_bad": key.figure(spent),
                   "remaining_bad": key.figure(allowed - spent),
                   "remaining_minutes": remaining_minutes})
        }),
    );
    put("period", promises::period(slo, at_ms));
    put("previous", promises::previous(slo, key, at_ms));
    put("sla", promises::sla(slo, key, at_ms));
    put("policy", promises::policy(slo, key));
    put("components", parts::components(slo, key, at_ms, compliance_start(slo, at_ms)));
    put("gauge", gauge::gauge(slo, key, at_ms));
    let attempts = key.attempts.as_ref().zip(slo.journey.as_ref());
    let start_ms = compliance_start(slo, at_ms);
    put("journey", attempts.map_or(Value::Null, |(attempts, journey)| attempts.published(journey, start_ms)));
    put("failures", failures::failures(slo, key, at_ms));
    put("maintenance", failures::maintenance(slo, key, at_ms));
    let windows_ms = slo.windows_ms();
    let mut starts_ms: Vec<i64> = windows_ms.iter().map(|w| window_start(at_ms, *w)).collect();
    starts_ms.extend(slo.calendar.as_ref().map(|calendar| calendar.period(at_ms).start_ms));
    let latencies = key.latencies.borrow_mut().quantiles(key.history.axis, &starts_ms, latencies_ms);
    let mut latencies = latencies.into_iter();
    let mut windows: Vec<Value> = windows_ms
        .iter()
        .zip(&mut latencies)
        .zip(&starts_ms)
        .map(|((window_ms, latency), start)| window_entry(key, at_ms, print_duration(*window_ms), *start, latency))
        .collect();
    if let (Some(calendar), Some(latency), Some(start)) = (&slo.calendar, latencies.next(), starts_ms.last()) {
        let entry = window_entry(key, at_ms, calendar.name.clone(), *start, latency);
        match windows.iter_mut().find(|window| window["window"] == json!(calendar.name)) {
            Some(same) => *same = entry,
            None => windows.push(entry),
        }
    }
    put("windows", json!(windows));
    put("users", key.user_entries.values().cloned().collect());
    put(
        "alerts",
        (0..slo.rules.len())
            .filter(|i| slo.has_rule(&slo.rules[*i], key.scope, key.tenant.as_deref()))
            .map(|i| alert_entry(slo, key, i))
            .collect(),
    );
    put(
        "counts",
        json!({"accepted": key.accepted, "unclassified": key.unclassified, "late": key.late,
               "maintenance": key.maintenance,
               "counts_since": print_time(key.since_ms)}),
    );
    Value::Object(record)
}

fn window_entry(key: &Key, at_ms: i64, name: String, start_ms: i64, latency: Value) -> Value {
    let sums = key.units_since(start_ms);
    json!({
        "window": name,
        "start": print_time(start_ms),
        "good": key.figure(sums.good_figure()),
        "bad": key.figure(sums.bad_figure()),
        "sli": sums.sli(key.allowed),
        "burn": sums.burn(key.allowed),
        "coverage": coverage_since(key, at_ms, start_ms),
        "latency_ms": latency,
    })
}

fn alert_entry(slo: &Slo, key: &Key, index: usize) -> Value {
    let (rule, state) = (&slo.rules[index], &key.rules[index]);
    json!({
        "rule": rule.name(),
        "severity": state.severity(rule, key.cap).name(),
        "state": if state.firing_since_ms.is_some() { "firing" } else { "inactive" },
        "since": state.firing_since_ms.map(print_time),
        "held_back_by": state.held_back_by,
    })
}
