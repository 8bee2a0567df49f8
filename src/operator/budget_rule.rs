//! The rule `budget` of a key: what its bank is told, and what the bank tells the rule.

use super::burn_rate::RuleState;
use super::key_definition::{Boundary, KeyDefinition};
use super::key_state::KeyState;
use super::signal::budget::{BudgetBank, BudgetEvidence, Seen, WARM_AFTER_MS};
use crate::model::slo::RuleKind;
use crate::model::time::Ms;

impl KeyState {
    pub(super) fn budget_fires(&self, definition: &KeyDefinition<'_>) -> bool {
        let mut rules = self.rules.iter().zip(definition.specs);
        rules.any(|(state, spec)| spec.kind == RuleKind::Budget && state.firing_since_ms.is_some())
    }

    /// Ends all rules that fire, because there is no data any more.
    pub(super) fn stop_rules(&mut self, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>) {
        if self.budget_fires(definition)
            && let Some(bank) = &mut self.budget
        {
            bank.reset(boundary.at_ms);
        }
        self.rules
            .iter_mut()
            .filter(|rule| rule.firing_since_ms.is_some())
            .for_each(|rule| *rule = RuleState::default());
    }

    /// What became visible at a boundary, for the rule `budget`. `first_before_ms`: the key's first event as known before.
    pub(super) fn add_to_budget(
        &mut self,
        definition: &KeyDefinition<'_>,
        boundary: &Boundary<'_>,
        first_before_ms: Option<Ms>,
        seen: Seen,
    ) {
        let (Some(units), Some(first_ms)) = (definition.budget, self.first_ms()) else { return };
        let view = self.view(definition, boundary);
        let (five_minutes, day) = (view.counts(definition.layout.five_minutes), view.counts(definition.layout.day));
        let is_hot = five_minutes.events > 0 && units.burns_at_one(five_minutes);
        let day_events = day.events;
        let new = || Box::new(BudgetBank::new(boundary.at_ms, first_before_ms));
        let bank = self.budget.get_or_insert_with(new);
        bank.note_burn(boundary.at_ms, is_hot);
        if boundary.at_ms - first_ms >= WARM_AFTER_MS {
            bank.warm_up(boundary.at_ms, first_before_ms);
            bank.add(boundary.at_ms, seen, day_events, units);
        }
    }

    pub(super) fn budget_evidence(&self, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>) -> BudgetEvidence {
        let (Some(units), Some(bank)) = (definition.budget, &self.budget) else { return BudgetEvidence::default() };
        let view = self.view(definition, boundary);
        let has_events = view.counts(definition.layout.five_minutes).events > 0;
        let day_events = view.counts(definition.layout.day).events;
        BudgetEvidence {
            burns: bank.burns(boundary.at_ms, day_events, units),
            is_over: has_events && bank.is_calm(boundary.at_ms),
        }
    }
}
