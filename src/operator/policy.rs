//! The policy of an error budget: what to do while so much of it is left (Site Reliability Workbook, appendix B; contract,
//! section 11).

use super::alert::percent;
use super::key_definition::{Boundary, KeyDefinition};
use super::key_state::KeyState;
use super::key_view::KeyView;
use crate::model::output::Policy;
use crate::model::ratio::{Ratio, Threshold};
use crate::model::time::{Moment, Ms};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// What is to be done while no step of the policy is reached.
const SHIP: &str = "ship";

/// The action in force, and its first T.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyState {
    /// The index of the step; `None`: none is reached.
    step: Option<u16>,
    since_ms: Ms,
}

pub fn step(key: &mut KeyState, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>) {
    if definition.slo.policy.is_empty() {
        return;
    }
    let reached = key.view(definition, boundary).action_at(boundary.at_ms);
    if key.policy.as_ref().is_none_or(|before| before.step != reached) {
        key.policy = Some(PolicyState { step: reached, since_ms: boundary.at_ms });
    }
}

impl KeyView<'_> {
    /// The step that is reached at a boundary, from the sums as they are now.
    pub fn action_at(self, at_ms: Ms) -> Option<u16> {
        let steps = (0..).zip(&self.definition.slo.policy);
        steps.into_iter().find(|(_, step)| self.has_used(at_ms, step.spent)).map(|(index, _)| index)
    }

    /// Whether `budget_remaining` is at most `1 - share`, compared in integers.
    fn has_used(self, at_ms: Ms, share: Ratio) -> bool {
        if self.boundary.starts.spans.is_some() {
            return self.has_spent(at_ms, share);
        }
        if let Some(burn) = self.composite_burn() {
            return 1.0 - burn <= share.complement().unwrap_or(Ratio::ZERO).as_f64();
        }
        let counts = self.compliance();
        let allowed = Threshold::product(share, self.definition.objective.complement().unwrap_or(Ratio::ZERO));
        counts.total() > 0 && allowed.compare_share(counts.bad, counts.total()) != Ordering::Less
    }

    /// As published; `None`: the SLO has none.
    pub fn policy(self) -> Option<Policy> {
        let state = self.key.policy.as_ref()?;
        let step = state.step.and_then(|index| self.definition.slo.policy.get(usize::from(index)));
        let period = self.definition.slo.period.name();
        let left = match self.budget_remaining() {
            Some(left) if left < 0.0 => format!("the {period} budget is overdrawn by {}", percent(-left)),
            Some(left) => format!("{} of the {period} budget is left", percent(left)),
            None => format!("no events in the {period} window"),
        };
        let reason = match step {
            Some(step) => format!("{left}: {} begins at {}", step.action, step.remaining),
            None => left,
        };
        let action = step.map_or(SHIP, |step| &step.action).to_owned();
        Some(Policy { action, since: Moment(state.since_ms), reason })
    }
}
