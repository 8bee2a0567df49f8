//! What an SLO says to those who want to ship: a page and a spent budget stop them, unless the SLO has a policy of its own.

use serde::{Deserialize, Serialize};

/// From the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Ship,
    Caution,
    Freeze,
}

/// `policy` of a status.
#[derive(Clone, Debug, Deserialize)]
pub struct Policy {
    pub action: String,
    pub reason: String,
}

/// What a status asks for, and why; `page` is the title of a page that fires, `is_value` says that the SLO is about a
/// value, which has no budget.
pub fn action_of(state: &str, page: Option<&str>, policy: Option<&Policy>, is_value: bool) -> (Action, String) {
    match (page, state, policy) {
        (Some(page), ..) => (Action::Freeze, format!("a page fires: {page}")),
        (None, "breached" | "at_risk" | "ok", Some(policy)) => (by_policy(&policy.action), policy.reason.clone()),
        (None, "breached", None) if is_value => (Action::Freeze, "its value misses the goal".to_owned()),
        (None, "breached", None) => (Action::Freeze, "the budget of the period is spent".to_owned()),
        (None, "at_risk", None) => (Action::Caution, "an alert fires, or most of the budget is spent".to_owned()),
        (None, "ok", None) if is_value => (Action::Ship, "its value meets the goal".to_owned()),
        (None, "ok", None) => (Action::Ship, "within its budget".to_owned()),
        (None, ..) => (Action::Caution, "no data came for some time, so nobody knows".to_owned()),
    }
}

/// A word that is neither ship nor freeze asks for caution.
fn by_policy(action: &str) -> Action {
    match action {
        "ship" => Action::Ship,
        "freeze" => Action::Freeze,
        _ => Action::Caution,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_stops_whatever_the_policy_says_and_a_policy_decides_about_a_spent_budget() {
        let policy = |action: &str| Policy { action: action.to_owned(), reason: "so it is".to_owned() };
        let of =
            |state: &str, page: Option<&str>, policy: Option<Policy>| action_of(state, page, policy.as_ref(), false).0;
        assert_eq!(of("ok", Some("it burns"), Some(policy("ship"))), Action::Freeze);
        assert_eq!(of("breached", None, Some(policy("ship"))), Action::Ship);
        assert_eq!(of("ok", None, Some(policy("freeze"))), Action::Freeze);
        assert_eq!(of("ok", None, Some(policy("ask the team"))), Action::Caution);
        assert_eq!((of("breached", None, None), of("ok", None, None)), (Action::Freeze, Action::Ship));
        assert_eq!(of("no_data", None, Some(policy("ship"))), Action::Caution);
    }
}
