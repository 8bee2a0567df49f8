//! What section 11 adds to an SLO of events: calendar periods, a service-level agreement, a policy.

use serde_json::{Value, json};

use crate::alerts::RuleState;
use crate::calendar::Period;
use crate::ratio::Ratio;
use crate::replay::Key;
use crate::slo::Slo;
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS, PANE_MS, ceil_to, print_time, window_start};
use crate::units::Units;

/// What is good and bad in the compliance window.
pub fn compliance(slo: &Slo, key: &Key, at_ms: i64) -> Units {
    match &slo.calendar {
        Some(calendar) => key.units_since(calendar.period(at_ms).start_ms),
        None => key.units(at_ms, slo.period_ms),
    }
}

/// How much of its period's length was covered since the first event, over the length.
fn covered(period: Period, first_ms: Option<i64>, at_ms: i64) -> f64 {
    let seen_ms = first_ms.map_or(0, |first_ms| at_ms - first_ms.max(period.start_ms));
    seen_ms as f64 / (period.end_ms - period.start_ms) as f64
}

fn remaining_of(sums: &Units, allowed: Ratio, covered: f64) -> Option<f64> {
    sums.burn(allowed).map(|burn| 1.0 - burn * covered)
}

/// What is left of the budget, of what the compliance window holds.
pub fn remaining(slo: &Slo, sums: &Units, allowed: Ratio, first_ms: Option<i64>, at_ms: i64) -> Option<f64> {
    let covered = slo.calendar.as_ref().map_or(1.0, |calendar| covered(calendar.period(at_ms), first_ms, at_ms));
    remaining_of(sums, allowed, covered)
}

pub fn budget_remaining(slo: &Slo, key: &Key, at_ms: i64) -> Option<f64> {
    remaining(slo, &compliance(slo, key, at_ms), key.allowed, key.first_ms, at_ms)
}

/// The budget of the whole calendar period: allowed, spent, and minutes of an outage that are left.
pub fn budget(slo: &Slo, key: &Key, at_ms: i64) -> Option<Value> {
    let period = slo.calendar.as_ref()?.period(at_ms);
    let sums = compliance(slo, key, at_ms);
    let (all, spent) = (sums.all_figure(), sums.bad_figure());
    let allowed =
        if !sums.is_empty() { key.allowed.as_f64() * all / covered(period, key.first_ms, at_ms) } else { 0.0 };
    let minutes = key.allowed.as_f64() * (period.end_ms - period.start_ms) as f64 / MINUTE_MS as f64;
    let remaining = key.figure(allowed - spent);
    Some(json!({"allowed_bad": key.figure(allowed), "spent_bad": key.figure(spent), "remaining_bad": remaining,
                "remaining_minutes": budget_remaining(slo, key, at_ms).map(|left| left * minutes)}))
}

/// `budget_spent_of_period >= share` of a calendar's period, in integers.
pub fn spent_at_least(period: Period, key: &Key, at_ms: i64, sums: &Units, share: Ratio) -> bool {
    let seen_ms = key.first_ms.map_or(0, |first_ms| at_ms - first_ms.max(period.start_ms));
    sums.spend_at_least(share, key.allowed, seen_ms, period.end_ms - period.start_ms)
}

pub fn period(slo: &Slo, at_ms: i64) -> Value {
    let Some(calendar) = &slo.calendar else { return Value::Null };
    let Period { start_ms, end_ms, .. } = calendar.period(at_ms);
    let elapsed = (at_ms - start_ms) as f64 / (end_ms - start_ms) as f64;
    json!({"start": print_time(start_ms), "end": print_time(end_ms), "elapsed": elapsed})
}

fn had_events_before(key: &Key, of: Period) -> bool {
    key.history.between(of.before_ms, of.start_ms).events() > 0
}

fn previous_of(slo: &Slo, key: &Key, at_ms: i64, of: Period, sums: &Units, allowed: Ratio) -> Value {
    let (start_ms, end_ms) = (of.before_ms, of.start_ms);
    if !had_events_before(key, of) {
        return Value::Null;
    }
    let whole = Period { start_ms, end_ms, before_ms: start_ms };
    let first_ms = key.first_ms.unwrap_or(end_ms).min(end_ms);
    let part = (end_ms - first_ms.max(start_ms)) as f64 / (whole.end_ms - whole.start_ms) as f64;
    json!({"start": print_time(start_ms), "end": print_time(end_ms), "good": key.figure(sums.good_figure()),
           "bad": key.figure(sums.bad_figure()), "sli": sums.sli(allowed),
           "budget_remaining": remaining_of(sums, allowed, part),
           "is_final": at_ms >= ceil_to(end_ms + slo.allowed_lateness_ms, PANE_MS)})
}

pub fn previous(slo: &Slo, key: &Key, at_ms: i64) -> Value {
    let Some(calendar) = &slo.calendar else { return Value::Null };
    let of = calendar.period(at_ms);
    previous_of(slo, key, at_ms, of, &key.units_between(of.before_ms, of.start_ms), key.allowed)
}

/// A period ends, or the one before becomes final.
pub fn is_due(slo: &Slo, key: &Key, at_ms: i64) -> bool {
    let Some(calendar) = &slo.calendar else { return false };
    let of = calendar.period(at_ms);
    let becomes_final = at_ms == ceil_to(of.start_ms + slo.allowed_lateness_ms, PANE_MS);
    at_ms == of.end_ms || becomes_final && had_events_before(key, of)
}

pub fn is_forgotten(slo: &Slo, key: &Key, at_ms: i64) -> bool {
    match &slo.calendar {
        Some(calendar) => key.last_ms.is_none_or(|last_ms| last_ms < calendar.period(at_ms).before_ms),
        None => key.history.window(at_ms, slo.period_ms).events() == 0,
    }
}

// --- the policy -------------------------------------------------------------------------------

/// The action in force and its first T.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    action: String,
    since_ms: i64,
}

pub fn step_policy(slo: &Slo, key: &mut Key, at_ms: i64) {
    let sums = compliance(slo, key, at_ms);
    // remaining <= threshold: burn >= 1 - threshold.
    let is_reached = |threshold: Ratio| match &slo.calendar {
        Some(calendar) => spent_at_least(calendar.period(at_ms), key, at_ms, &sums, threshold.one_minus()),
        None => sums.spend_at_least(threshold.one_minus(), key.allowed, 1, 1),
    };
    let reached = slo.policy.iter().filter(|(threshold, _)| is_reached(*threshold));
    let smallest = reached.reduce(|a, b| if a.0.exceeds(b.0) { b } else { a });
    let action = smallest.map_or("ship", |(_, action)| action);
    if key.policy.as_ref().is_none_or(|before| before.action != action) {
        key.policy = Some(Policy { action: action.to_owned(), since_ms: at_ms });
    }
}

pub fn policy(slo: &Slo, key: &Key) -> Value {
    let Some(policy) = key.policy.as_ref().filter(|_| !slo.policy.is_empty()) else { return Value::Null };
    json!({"action": policy.action, "since": print_time(policy.since_ms)})
}

// --- the agreement ----------------------------------------------------------------------------

#[derive(Clone, Debug, Default)]
pub struct Agreement {
    start_ms: i64,
    at_risk: bool,
    is_missed: bool,
    true_ms: Option<i64>,
}

/// One boundary of the agreement, and of its rule; the reason if that stops.
pub fn step_agreement(slo: &Slo, key: &mut Key, state: Option<&mut RuleState>, at_ms: i64) -> Option<&'static str> {
    let objective = slo.sla_of(key.tenant.as_deref())?;
    let period = slo.sla.as_ref()?.calendar.period(at_ms);
    let mut stopped = None;
    let begins_anew = key.agreement.start_ms != period.start_ms;
    if begins_anew {
        key.agreement = Agreement { start_ms: period.start_ms, true_ms: None, ..key.agreement.clone() };
    }
    if at_ms % (5 * MINUTE_MS) == 0 {
        let (at_risk, is_missed) = ask(key, period, objective.one_minus(), at_ms);
        let true_ms = if at_risk || is_missed { Some(at_ms) } else { key.agreement.true_ms };
        key.agreement = Agreement { at_risk, is_missed, true_ms, ..key.agreement };
    }
    let state = state?;
    let is_true = key.agreement.at_risk || key.agreement.is_missed;
    if state.firing_since_ms.is_some() {
        let is_calm = key.agreement.true_ms.is_none_or(|ms| ms <= at_ms - HOUR_MS);
        if begins_anew || is_calm {
            stopped = Some("recovered");
        } else if key.is_silent(at_ms, DAY_MS) {
            stopped = Some("no_data");
        }
        if stopped.is_some() {
            *state = RuleState::default();
        }
    } else if at_ms % (5 * MINUTE_MS) == 0
        && is_true
        && key.first_ms.is_some_and(|first_ms| at_ms - first_ms >= DAY_MS)
        && !key.is_silent(at_ms, DAY_MS)
    {
        *state = RuleState::default();
        state.firing_since_ms = Some(at_ms);
    }
    stopped
}

fn ask(key: &Key, period: Period, allowed: Ratio, at_ms: i64) -> (bool, bool) {
    let Some(first_ms) = key.first_ms else { return (false, false) };
    let (sums, week) = (key.history.since(period.start_ms), key.history.window(at_ms, 7 * DAY_MS));
    let (over, left) = (at_ms - first_ms.max(window_start(at_ms, 7 * DAY_MS)), period.end_ms - at_ms);
    let share = left as f64 / over as f64;
    let (x, m) = (sums.bad_micros as f64 / 1e6, sums.weight_micros() as f64 / 1e6);
    let (more_bad, more) = (week.bad_micros as f64 / 1e6 * share, week.weight_micros() as f64 / 1e6 * share);
    let limit = allowed.as_f64() * (m + more) - x;
    let at_risk = limit < 0.0 || poisson_above(limit, more_bad) >= 0.5;
    let all = i128::from(sums.weight_micros()) * i128::from(over) + i128::from(week.weight_micros()) * i128::from(left);
    (at_risk, i128::from(sums.bad_micros) * i128::from(over) * allowed.den > all * allowed.num)
}

/// P[Poisson(mean) > limit].
fn poisson_above(limit: f64, mean: f64) -> f64 {
    let density = |k: f64| {
        if mean > 0.0 { libm::exp(k * libm::log(mean) - mean - libm::lgamma(k + 1.0)) } else { f64::from(k == 0.0) }
    };
    1.0 - (0..=limit as i64).map(|k| density(k as f64)).sum::<f64>()
}

pub fn sla(slo: &Slo, key: &Key, at_ms: i64) -> Value {
    let (Some(objective), Some(sla)) = (slo.sla_of(key.tenant.as_deref()), &slo.sla) else { return Value::Null };
    let period = sla.calendar.period(at_ms);
    let events = |start_ms: i64, end_ms: i64| Units::of_events(&key.history.between(start_ms, end_ms));
    let (sums, allowed) = (events(period.start_ms, i64::MAX), objective.one_minus());
    let before = events(period.before_ms, period.start_ms);
    json!({"objective": objective.as_f64(), "period": sla.calendar.name, "start": print_time(period.start_ms),
           "end": print_time(period.end_ms), "good": sums.good_figure(),
           "bad": sums.bad_figure(), "sli": sums.sli(allowed),
           "budget_remaining": remaining_of(&sums, allowed, covered(period, key.first_ms, at_ms)),
           "at_risk": key.agreement.at_risk, "is_missed": key.agreement.is_missed,
           "previous": previous_of(slo, key, at_ms, period, &before, allowed)})
}

// --- the test ---------------------------------------------------------------------------------

mod tests {
    use crate::agreement::{assert_agree, backtest};
    use crate::input::Format;
    use crate::replay::replay;
    use crate::slo;
    use crate::time::{DAY_MS, HOUR_MS};
    use crate::traffic::{self, ABSENT, Incident, Plan, Who};

    const SLOS: [(&str, &str); 4] = [
        ("a.yaml", include_str!("slos/promises/day.yaml")),
        ("b.yaml", include_str!("slos/promises/month.yaml")),
        ("c.yaml", include_str!("slos/promises/sla.yaml")),
        ("d.yaml", include_str!("slos/promises/week.yaml")),
    ];

    /// Five days and a half over the end of a month, in which a tenant falls silent for longer than two days.
    fn plan(seed: u64) -> Plan {
        let (day, incident) = (24 * 60, |from_min, to_min, who, share| Incident { from_min, to_min, who, share });
        let incidents = vec![
            incident(300, 330, Who::All, 1.0),
            incident(day + 200, day + 500, Who::Tenant("acme"), 0.2),
            incident(day + 640, 4 * day, Who::Tenant("gone"), ABSENT),
            incident(2 * day + 100, 2 * day + 400, Who::All, 0.05),
            incident(3 * day + 300, 3 * day + 360, Who::User(0), 1.0),
            incident(3 * day + 700, 3 * day + 900, Who::Region("eu"), 0.7),
            incident(4 * day + 600, 4 * day + 660, Who::All, ABSENT),
        ];
        Plan {
            seed,
            start_ms: traffic::START_MS,
            duration_ms: 5 * DAY_MS + 12 * HOUR_MS,
            per_hour: 300.0,
            users: 90,
            tenants: &["acme", "beta", "acme", "gone", "solo", "acme"],
            base: 0.0006,
            incidents,
            has_releases: false,
        }
    }

    #[test]
    fn the_program_agrees_on_calendars_agreements_and_policies() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (slos, inputs) = traffic::write(directory.path(), &plan(21), &SLOS);
        let program = backtest(&slos, &inputs, Format::JsonLines, &directory.path().join("out"));
        let oracle = replay(&slo::load(&slos).expect("the SLOs"), &inputs, Format::JsonLines);
        assert_agree(&oracle, &program);
        let some = |what: &str, found: usize| assert!(found > 0, "no status with {what}");
        let count = |has: &dyn Fn(&serde_json::Value) -> bool| oracle.statuses.iter().filter(|s| has(s)).count();
        some("a period before that is final", count(&|s| s["previous"]["is_final"] == true));
        some("a period before that is not", count(&|s| s["previous"]["is_final"] == false));
        some("an agreement at risk", count(&|s| s["sla"]["at_risk"] == true && s["sla"]["is_missed"] == false));
        some("a missed agreement", count(&|s| s["sla"]["is_missed"] == true));
        for action in ["ship", "caution", "freeze", "rollback"] {
            some(action, count(&|s| s["policy"]["action"] == action));
        }
        let of_sla = |a: &&serde_json::Value| a["rules"][0]["rule"] == "sla";
        for state in ["firing", "resolved"] {
            let alerts = oracle.alerts.iter().filter(of_sla).filter(|a| a["state"] == state).count();
            assert!(alerts > 0, "no alert about an agreement is {state}");
        }
    }
}
