//! The service-level agreement beside an objective: its periods, whether it is missed or at risk, and the rule `sla` (contract,
//! section 11).

use super::alert::GIVE_UP_AFTER_MS;
use super::calendar_sums::Periods;
use super::key_definition::{Boundary, KeyDefinition};
use super::key_state::KeyState;
use super::key_view::{KeyView, allowed_share, burn_of, sli_of, weight_of};
use super::partial::{Counts, PaneDelta};
use super::significance::poisson_at_least;
use super::status::coverage_of;
use crate::model::calendar::Spans;
use crate::model::output;
use crate::model::ratio::Ratio;
use crate::model::slo::RuleKind;
use crate::model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Moment, Ms};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// The agreement is looked at whenever T is a multiple of this.
pub const ASKED_EVERY_MS: Ms = 5 * MINUTE_MS;
/// The rule ends once neither was true for so long.
const CALM_AFTER_MS: Ms = HOUR_MS;
/// A younger key says too little.
const WARM_AFTER_MS: Ms = DAY_MS;

/// What a key remembers of its agreement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SlaState {
    periods: Periods,
    /// Of the present period.
    counts: Counts,
    pub(super) flags: SlaFlags,
}

/// What was found when the agreement was last looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlaFlags {
    at_risk: bool,
    is_missed: bool,
    /// The last T at which one of them was true.
    last_ms: Option<Ms>,
}

impl SlaState {
    /// Adds what became visible in one pane.
    fn add(&mut self, spans: &Spans, pane: &PaneDelta) {
        if pane.start_ms >= spans.current.start_ms {
            self.counts.add(&pane.counts);
        } else {
            self.periods.add_late(spans, pane);
        }
    }

    /// Whether the answer may change although nothing happens to the key.
    pub fn has_to_be_asked(&self, view: KeyView<'_>) -> bool {
        let week = view.definition.layout.week.map(|week| view.event_counts(week));
        let has_bad = self.counts.bad > 0 || week.is_some_and(|counts| counts.bad > 0);
        has_bad || self.flags.at_risk || self.flags.is_missed || view.fires_sla()
    }
}

impl KeyState {
    /// Moves on to the period of a boundary.
    pub(super) fn advance_sla(&mut self, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>) {
        let Some(spans) = boundary.starts.sla.filter(|_| definition.sla.is_some()) else { return };
        let sla = self.sla.get_or_insert_default();
        if sla.periods.advance(&spans, &mut sla.counts) {
            self.end_sla_rule(definition);
        }
    }

    /// An alert about an agreement ends with its period.
    fn end_sla_rule(&mut self, definition: &KeyDefinition<'_>) {
        let rules = self.rules.iter_mut().zip(definition.specs).filter(|(_, spec)| spec.kind == RuleKind::Sla);
        rules.for_each(|(state, _)| state.firing_since_ms = None);
        if let Some(sla) = &mut self.sla {
            sla.flags.last_ms = None;
        }
    }

    pub(super) fn add_to_sla(&mut self, boundary: &Boundary<'_>, pane: &PaneDelta) {
        if let (Some(sla), Some(spans)) = (&mut self.sla, boundary.starts.sla) {
            sla.add(&spans, pane);
        }
    }

    /// Changes to another definition: the same periods keep their counts, others are filled from the slices at hand.
    pub(super) fn redefine_sla(&mut self, from: &KeyDefinition<'_>, to: &KeyDefinition<'_>, at_ms: Ms) {
        let calendar = to.sla.and(to.slo.sla.as_ref()).map(|sla| &sla.calendar);
        let known = from.slo.sla.as_ref().map(|sla| &sla.calendar);
        let Some(calendar) = calendar else {
            self.sla = None;
            return;
        };
        match self.sla.take().filter(|_| known == Some(calendar)) {
            Some(kept) => self.sla = Some(Box::new(SlaState { flags: SlaFlags::default(), ..*kept })),
            None => {
                let spans = calendar.spans_at(at_ms);
                let mut made = SlaState::default();
                made.periods.advance(&spans, &mut made.counts);
                let panes = self.windows.panes_since(from.layout, spans.previous.start_ms, at_ms);
                panes.iter().for_each(|pane| made.add(&spans, pane));
                self.sla = Some(Box::new(made));
            }
        }
    }
}

/// Looks at the agreement where it is time to, and lets the rule follow.
pub fn step(key: &mut KeyState, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>) {
    let at_ms = boundary.at_ms;
    let is_asked = at_ms % ASKED_EVERY_MS == 0;
    let view = key.view(definition, boundary);
    let Some(objective) = definition.sla.filter(|_| key.sla.is_some()) else { return };
    let found = is_asked.then(|| (view.sla_is_at_risk(objective), view.sla_is_missed(objective)));
    let is_warm = key.first_ms().is_some_and(|first_ms| at_ms - first_ms >= WARM_AFTER_MS);
    let is_silent = key.is_silent(at_ms, GIVE_UP_AFTER_MS);
    let Some(sla) = key.sla.as_deref_mut() else { return };
    if let Some((at_risk, is_missed)) = found {
        let is_true = at_risk || is_missed;
        sla.flags = SlaFlags { at_risk, is_missed, last_ms: if is_true { Some(at_ms) } else { sla.flags.last_ms } };
    }
    let flags = sla.flags;
    for (state, _) in key.rules.iter_mut().zip(definition.specs).filter(|(_, spec)| spec.kind == RuleKind::Sla) {
        let fires = state.firing_since_ms.is_some();
        let begins = is_asked && (flags.at_risk || flags.is_missed) && is_warm && !is_silent;
        let goes_on = fires && flags.last_ms.is_some_and(|last_ms| last_ms > at_ms - CALM_AFTER_MS);
        state.follow(begins || goes_on, at_ms);
    }
}

/// The traffic and the failures of the last 7 days, and how long they were counted.
struct Week {
    counts: Counts,
    over_ms: Ms,
    /// What is left of the period.
    left_ms: Ms,
}

impl KeyView<'_> {
    fn fires_sla(self) -> bool {
        let mut rules = self.key.rules.iter().zip(self.definition.specs);
        rules.any(|(state, spec)| spec.kind == RuleKind::Sla && state.firing_since_ms.is_some())
    }

    fn week(self) -> Option<Week> {
        let (week, spans) = (self.definition.layout.week?, self.boundary.starts.sla?);
        let (at_ms, first_ms) = (self.boundary.at_ms, self.key.first_ms()?);
        let over_ms = at_ms - first_ms.max(self.start_ms(week));
        let left_ms = spans.current.end_ms - at_ms;
        (over_ms > 0).then(|| Week { counts: *self.event_counts(week), over_ms, left_ms })
    }

    /// Whether at today's rates more will be bad by the end of the period than the agreement allows, as likely as not.
    fn sla_is_at_risk(self, objective: Ratio) -> bool {
        let (Some(sla), Some(week)) = (&self.key.sla, self.week()) else { return false };
        let still = week.left_ms as f64 / week.over_ms as f64;
        let (bad_to_come, all_to_come) = (weight_of(week.counts.bad) * still, weight_of(week.counts.total()) * still);
        let allowed = allowed_share(objective) * (weight_of(sla.counts.total()) + all_to_come);
        let left = allowed - weight_of(sla.counts.bad);
        left < 0.0 || poisson_at_least(left as u64 + 1, bad_to_come) >= 0.5
    }

    /// Whether more is bad already than the agreement allows to the end of the period, compared in integers.
    fn sla_is_missed(self, objective: Ratio) -> bool {
        let (Some(sla), Some(week)) = (&self.key.sla, self.week()) else { return false };
        let (over, left) = (u128::from(week.over_ms.unsigned_abs()), u128::from(week.left_ms.unsigned_abs()));
        let bad = sla.counts.bad.saturating_mul(over);
        let all = sla.counts.total().saturating_mul(over).saturating_add(week.counts.total().saturating_mul(left));
        objective.complement().unwrap_or(Ratio::ZERO).compare_share(bad, all) == Ordering::Greater
    }

    /// As published; `None`: no agreement holds for the key.
    pub fn sla(self) -> Option<output::Sla> {
        let (objective, spans) = (self.definition.sla?, self.boundary.starts.sla?);
        let state = self.key.sla.as_deref()?;
        let (current, counts) = (spans.current, &state.counts);
        let at_ms = self.boundary.at_ms;
        let elapsed = current.elapsed(at_ms);
        let coverage = coverage_of(at_ms, self.key.first_ms(), current.start_ms);
        Some(output::Sla {
            objective: objective.as_f64(),
            period: self.definition.slo.sla.as_ref()?.calendar.name(),
            start: Moment(current.start_ms),
            end: Moment(current.end_ms),
            good: weight_of(counts.good),
            bad: weight_of(counts.bad),
            sli: sli_of(counts),
            budget_remaining: burn_of(counts, objective).map(|burn| 1.0 - burn * coverage * elapsed),
            at_risk: state.flags.at_risk,
            is_missed: state.flags.is_missed,
            previous: state.periods.previous.as_ref().map(|of| self.previous_of(of, spans.previous, objective)),
        })
    }
}

/// What the alert says of an agreement, short.
pub fn verdict(view: KeyView<'_>) -> &'static str {
    let is_missed = view.key.sla.as_ref().is_some_and(|sla| sla.flags.is_missed);
    if is_missed { "is missed" } else { "is at risk" }
}

/// The same with the figures.
pub fn in_words(view: KeyView<'_>) -> String {
    let Some(sla) = view.sla() else { return "has no agreement any more".to_owned() };
    let sli = sla.sli.map_or_else(|| "nothing".to_owned(), |sli| format!("{:.4} %", sli * 100.0));
    let end = Moment(sla.end.0).to_string();
    let (agreed, period, day) = (sla.objective * 100.0, &sla.period, end.get(..10).unwrap_or(&end));
    format!(
        "{} its agreement of {agreed} % per {period}: {sli} is good so far; the period ends on {day}",
        if sla.is_missed { "misses" } else { "is about to miss" }
    )
}
