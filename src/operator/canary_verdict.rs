//! The canaries of an aggregate key: what they are told, and the records of their verdicts.

use super::key_definition::{Boundary, KeyDefinition};
use super::key_state::{KeyOutput, KeyState};
use super::key_view::allowed_share;
use super::partial::KeyDelta;
use super::signal::canary::{Limits, Served, Trial};
use crate::model::key::Scope;
use crate::model::output::CanaryVerdict;
use crate::model::ratio::Ratio;
use crate::model::slo::Canary;
use crate::model::time::{MINUTE_MS, Moment, Ms};

impl KeyState {
    /// Adds what became visible at a boundary.
    pub(super) fn add_to_canaries(
        &mut self,
        definition: &KeyDefinition<'_>,
        boundary: &Boundary<'_>,
        deltas: &[&KeyDelta],
    ) {
        let Some(canary) = canary_of(definition) else { return };
        for delta in deltas.iter().filter(|delta| !delta.canary.is_empty()) {
            let canaries = self.canaries.get_or_insert_default();
            canaries.add(boundary.at_ms, &delta.canary, canary);
            canaries.overflows |= delta.canary_overflow;
        }
    }

    /// At a full minute: the verdicts of the candidates that had events in it.
    pub(super) fn end_canary_minute(
        &mut self,
        definition: &KeyDefinition<'_>,
        boundary: &Boundary<'_>,
        out: &mut KeyOutput,
    ) {
        let (Some(canary), Some(canaries)) = (canary_of(definition), &mut self.canaries) else { return };
        if boundary.at_ms % MINUTE_MS != 0 {
            return;
        }
        let allowed = definition.objective.complement().unwrap_or(Ratio::ZERO);
        let limits = Limits { allowed, max_burn: canary.max_burn };
        for candidate in canaries.end_minute(boundary.at_ms, canary, limits) {
            let trial = canaries.trial(&candidate);
            let at_ms = boundary.at_ms;
            out.canaries.extend(trial.map(|trial| verdict(definition, canary, at_ms, &candidate, trial)));
        }
    }

    /// A test goes on under another definition if it compares the same.
    pub(super) fn redefine_canary(&mut self, from: &KeyDefinition<'_>, to: &KeyDefinition<'_>) {
        let goes_on = match (&from.slo.canary, &to.slo.canary) {
            (Some(from), Some(to)) => to.goes_on_from(from),
            _ => false,
        };
        if !goes_on {
            self.canaries = None;
        }
    }

    /// The minute that has begun is evaluated even if nothing more becomes visible in it.
    pub(super) fn has_open_canaries(&self) -> bool {
        self.canaries.as_ref().is_some_and(|canaries| canaries.is_open())
    }
}

fn canary_of<'a>(definition: &KeyDefinition<'a>) -> Option<&'a Canary> {
    definition.slo.canary.as_ref().filter(|_| matches!(definition.scope, Scope::Aggregate))
}

fn verdict(
    definition: &KeyDefinition<'_>,
    canary: &Canary,
    at_ms: Ms,
    candidate: &str,
    trial: &Trial,
) -> CanaryVerdict {
    let sli = |side: Served| (side.events > 0).then(|| (side.events - side.bad) as f64 / side.events as f64);
    let allowed = allowed_share(definition.objective);
    let burn = |side: Served| (side.events > 0).then(|| side.bad as f64 / side.events as f64 / allowed);
    let (tenant, _) = definition.scope_fields();
    CanaryVerdict {
        slo: definition.slo.name.clone(),
        tenant,
        attribute: canary.attribute.clone(),
        candidate: candidate.to_owned(),
        baseline: canary.tracks.as_ref().map(|tracks| tracks.baseline.clone()),
        verdict: trial.outcome.verdict().to_owned(),
        reason: trial.reason().to_owned(),
        e_value: Some(trial.e_value()),
        requests_candidate: trial.candidate.events,
        requests_baseline: trial.baseline.events,
        bad_candidate: trial.candidate.bad as f64,
        bad_baseline: trial.baseline.bad as f64,
        sli_candidate: sli(trial.candidate),
        sli_baseline: sli(trial.baseline),
        burn_candidate: burn(trial.candidate),
        burn_baseline: burn(trial.baseline),
        started_at: Moment(trial.started_ms),
        at: Moment(at_ms),
    }
}
