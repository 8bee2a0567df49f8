//! When the rules of an SLO fire after errors begin.
//!
//! It feeds made-up counts to the evaluation that `run` uses, boundary by boundary. So slices, guards and rounding are the
//! real ones, and a rule that is added to the evaluation shows up here without a change.

use super::key_definition::{Boundary, KeyIdentity};
use super::key_state::{KeyOutput, KeyState};
use super::key_view::KeyView;
use super::partial::{AttemptNews, Counts, KeyDelta, PaneDelta};
use super::window::Layout;
use crate::model::key::Scope;
use crate::model::output::BurnAlert;
use crate::model::period::Method;
use crate::model::ratio::Ratio;
use crate::model::slo::{Rule, Severity, Slo};
use crate::model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Ms, PANE_MS, ceil_to};

/// Errors begin here: a boundary of every slice length.
const ONSET_MS: Ms = 20_000 * DAY_MS;

/// Evenly spread events of many users, of which a steady share is bad after a long time without any bad one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Traffic {
    pub events_per_second: f64,
    pub error_ratio: f64,
}

/// The first alert of a severity.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// As in records: `1h/5m`.
    pub rule: String,
    pub severity: Severity,
    /// From the first bad event's pane to the alert.
    pub after_ms: Ms,
    /// The share of the period's budget that was gone by then.
    pub budget_spent: f64,
}

/// The first alert of each severity, in the order in which they fire; of several at once the most severe first.
pub fn first_alerts(slo: &Slo, traffic: Traffic) -> Vec<Detection> {
    let layout = Layout::of(slo);
    if !can_burn(slo, traffic) {
        return Vec::new();
    }
    let identity = KeyIdentity::of(slo, &layout, Scope::Aggregate);
    let definition = identity.definition(slo, &layout);
    let mut key = KeyState::new(slo, &layout, &Scope::Aggregate);
    let past_ms = slo.period.nominal_ms().max(longest(slo));
    let step_max_ms = slo.method.slicing().map_or(DAY_MS, |slicing| slicing.slice_ms);
    let source = Source { traffic, begin_ms: ONSET_MS - past_ms, step_max_ms };
    let mut found: Vec<Detection> = Vec::new();
    let mut panes = source.past(past_ms);
    let mut at_ms = ONSET_MS;
    let end_ms = ONSET_MS + longest(slo).max(DAY_MS) + HOUR_MS;
    while at_ms <= end_ms && !found.iter().any(|d| d.severity == Severity::Page) {
        let starts = layout.starts_at(at_ms);
        let boundary = Boundary::without_statuses(at_ms, &starts);
        let mut out = KeyOutput::default();
        key.advance(&definition, &boundary);
        key.apply(&definition, &boundary, &[&delta(slo, std::mem::take(&mut panes))]);
        key.evaluate(&definition, &boundary, &[], &mut out);
        let spent = match slo.method.slicing() {
            None => source.budget_spent(slo, at_ms),
            Some(slicing) => slices_spent(key.view(&definition, &boundary), slicing.slice_ms),
        };
        let new = out.alerts.iter().filter_map(|alert| detection(alert, at_ms, spent));
        for detection in new.collect::<Vec<_>>() {
            if !found.iter().any(|known| known.severity == detection.severity) {
                found.push(detection);
            }
        }
        panes.extend(source.pane(at_ms, PANE_MS));
        at_ms += PANE_MS;
    }
    found
}

/// Whether any rule can fire: a share of errors that no rule's factor allows for, and that exceeds the budget, may.
fn can_burn(slo: &Slo, traffic: Traffic) -> bool {
    if let Method::Timeslices(slicing) = slo.method
        && 1.0 - traffic.error_ratio >= slicing.target.as_f64()
    {
        return false;
    }
    if let Method::Timeslices(_) = slo.method {
        return traffic.events_per_second > 0.0;
    }
    let allowed = slo.objective.complement().unwrap_or(Ratio::ZERO).as_f64();
    let factor = slo.rules.iter().map(|rule| rule.factor.as_f64()).fold(1.0, f64::min);
    traffic.events_per_second > 0.0 && traffic.error_ratio > factor * allowed
}

/// The share of the period's budget that slices have spent.
fn slices_spent(view: KeyView<'_>, slice_ms: Ms) -> f64 {
    let slo = view.definition.slo;
    let allowed = slo.objective.complement().unwrap_or(Ratio::ZERO).as_f64();
    view.amount(view.all_bad()) / (allowed * slo.period.nominal_ms() as f64 / slice_ms as f64)
}

fn longest(slo: &Slo) -> Ms {
    slo.rules.iter().map(|rule: &Rule| rule.long_ms).max().unwrap_or(0)
}

fn detection(alert: &BurnAlert, at_ms: Ms, budget_spent: f64) -> Option<Detection> {
    let rule = alert.rules.iter().find(|_| alert.state != "resolved")?;
    let severity = Severity::parse(&alert.severity)?;
    Some(Detection { rule: rule.rule.clone(), severity, after_ms: at_ms - ONSET_MS, budget_spent })
}

/// What became visible of the SLO's aggregate: of a journey as many attempts as events.
fn delta(slo: &Slo, panes: Vec<PaneDelta>) -> KeyDelta {
    let of_attempts = || Box::new(AttemptNews { panes: panes.clone(), ..AttemptNews::default() });
    let attempts = slo.journey().map(|_| of_attempts());
    KeyDelta { attempts, ..aggregate_delta(panes) }
}

/// What became visible of an aggregate, without users.
pub fn aggregate_delta(panes: Vec<PaneDelta>) -> KeyDelta {
    KeyDelta { panes, ..KeyDelta::nothing(0, Scope::Aggregate) }
}

/// The made-up events.
struct Source {
    traffic: Traffic,
    begin_ms: Ms,
    /// No pane of the past is longer.
    step_max_ms: Ms,
}

impl Source {
    /// The clean time before the onset. Older events stand in coarser panes, as far as no window tells them apart.
    fn past(&self, past_ms: Ms) -> Vec<PaneDelta> {
        const STEPS: [(Ms, Ms); 5] = [
            (10 * MINUTE_MS, PANE_MS),
            (2 * HOUR_MS, MINUTE_MS),
            (12 * HOUR_MS, 5 * MINUTE_MS),
            (3 * DAY_MS, HOUR_MS),
            (31 * DAY_MS, 6 * HOUR_MS),
        ];
        let mut panes = Vec::new();
        let mut end_ms = ONSET_MS;
        while end_ms > ONSET_MS - past_ms {
            let age_ms = ONSET_MS - end_ms;
            let step_ms = STEPS.iter().find(|(within, _)| age_ms < *within).map_or(DAY_MS, |(_, step_ms)| *step_ms);
            let step_ms = step_ms.min(self.step_max_ms);
            panes.extend(self.pane(end_ms - step_ms, step_ms));
            end_ms -= step_ms;
        }
        panes.reverse();
        panes
    }

    fn pane(&self, start_ms: Ms, length_ms: Ms) -> Option<PaneDelta> {
        let events = self.events_until(start_ms + length_ms) - self.events_until(start_ms);
        let bad_events = self.bad_until(start_ms + length_ms) - self.bad_until(start_ms);
        // Each event is of another user.
        let counts = Counts {
            events,
            bad_events,
            anonymous: events,
            anonymous_bad: bad_events,
            good: u128::from(events - bad_events) * 1_000_000,
            bad: u128::from(bad_events) * 1_000_000,
        };
        (events > 0).then(|| PaneDelta { start_ms, counts, ..PaneDelta::default() })
    }

    fn events_until(&self, at_ms: Ms) -> u64 {
        let seconds = (at_ms - self.begin_ms).max(0) as f64 / 1_000.0;
        // The margin keeps a product such as 0.1 * 30 from falling below its whole number.
        libm::floor(seconds * self.traffic.events_per_second + 1e-6) as u64
    }

    fn bad_until(&self, at_ms: Ms) -> u64 {
        let since = self.events_until(at_ms.max(ONSET_MS)) - self.events_until(ONSET_MS);
        libm::floor(since as f64 * self.traffic.error_ratio + 1e-6) as u64
    }

    fn budget_spent(&self, slo: &Slo, at_ms: Ms) -> f64 {
        let allowed = slo.objective.complement().unwrap_or(Ratio::ZERO).as_f64();
        let period = ceil_to(slo.period.nominal_ms(), PANE_MS) as f64 / 1_000.0;
        self.bad_until(at_ms) as f64 / (allowed * period * self.traffic.events_per_second)
    }
}
