//! A key's forecast, made anew at each full hour, and the rule `exhaustion` that follows from it (contract, section 12).

use super::key_definition::{Boundary, KeyDefinition};
use super::key_state::KeyState;
use super::key_view::{KeyView, allowed_share, weight_of};
use super::partial::Counts;
use super::signal::forecast::{Forecast, Past, Span};
use crate::model::output;
use crate::model::slo::RuleKind;
use crate::model::time::{DAY_MS, HOUR_MS, Moment, Ms};
use xxhash_rust::xxh3::xxh3_64;

/// The rule fires once the budget is gone within three days in so many percent of the futures, and ends below the other.
const FIRES_AT_PERCENT: u8 = 90;
const ENDS_BELOW_PERCENT: u8 = 50;
/// Without this much history a forecast would be a guess.
const KNOWN_AFTER_MS: Ms = DAY_MS;

pub fn step(key: &mut KeyState, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>) {
    if boundary.at_ms % HOUR_MS != 0 || !definition.slo.counts_events() {
        return;
    }
    key.forecast = key.view(definition, boundary).forecast().map(Box::new);
    let soon_percent = key.forecast.as_ref().map_or(0, |forecast| forecast.soon_percent);
    for (state, spec) in key.rules.iter_mut().zip(definition.specs) {
        if spec.kind == RuleKind::Exhaustion {
            let least = if state.firing_since_ms.is_some() { ENDS_BELOW_PERCENT } else { FIRES_AT_PERCENT };
            state.follow(soon_percent >= least, boundary.at_ms);
        }
    }
}

/// As published.
pub fn published(forecast: &Forecast) -> output::Forecast {
    output::Forecast {
        exhaustion_p10: forecast.p10_ms.map(Moment),
        exhaustion_p50: forecast.p50_ms.map(Moment),
        exhaustion_p90: forecast.p90_ms.map(Moment),
    }
}

impl KeyView<'_> {
    /// `None`: too young, or nothing is in the compliance window.
    fn forecast(self) -> Option<Forecast> {
        let (definition, at_ms) = (self.definition, self.boundary.at_ms);
        self.key.first_ms().filter(|first_ms| at_ms - first_ms >= KNOWN_AFTER_MS)?;
        if self.compliance().total() == 0 {
            return None;
        }
        let length_ms = self.reached(at_ms).length_ms as f64;
        let slices = self.leaving();
        let past = Past {
            at_ms,
            seed: xxh3_64(format!("{}|{}|{at_ms}", definition.slo.definition_hash, definition.key_text).as_bytes()),
            allowed: allowed_share(definition.objective),
            period_ms: match self.boundary.starts.spans {
                Some(spans) => spans.current.end_ms - at_ms,
                None => definition.slo.period.nominal_ms(),
            },
            coverage: self.covered(),
            coverage_an_hour: HOUR_MS as f64 / length_ms,
            slices: &slices,
            hours: &self.spans(definition.layout.three_days),
        };
        Some(Forecast::of(&past))
    }

    /// The slices of the compliance window, ascending. What is in a calendar's period stays until its end: it is one slice.
    fn leaving(self) -> Vec<Span> {
        if self.boundary.starts.spans.is_none() {
            return self.spans(self.definition.layout.compliance);
        }
        let counts = self.compliance();
        vec![Span { start_ms: Ms::MAX, bad: weight_of(counts.bad), total: weight_of(counts.total()) }]
    }

    /// The slices of a window, ascending.
    fn spans(self, window: usize) -> Vec<Span> {
        let span = |(start_ms, counts): (Ms, Counts)| Span {
            start_ms,
            bad: weight_of(counts.bad),
            total: weight_of(counts.total()),
        };
        self.key.windows.slices_of(self.definition.layout, window).map(span).collect()
    }
}
