//! Finds a record's topic by the fields that only this topic has, because file names prove nothing.

use crate::model::record::Topic;
use serde_json::Value;

/// Whether a record may belong to a topic. Uses only fields that all builds have.
pub fn fits(topic: Topic, value: &Value) -> bool {
    let has = |names: &[&str]| names.iter().all(|name| value.get(name).is_some());
    match topic {
        Topic::SloStatus => has(&["windows", "compliance_window"]),
        Topic::SloHistory => has(&["slo", "scope", "budget_remaining"]),
        Topic::BurnAlerts => has(&["dedup_key", "rules"]),
        Topic::TailCohorts => has(&["cohort", "kind"]),
        Topic::UserStatus => has(&["user", "rank"]),
        Topic::CanaryVerdicts => has(&["candidate", "verdict"]),
        Topic::DeadLetters => has(&["reason", "value_base64"]),
        Topic::Definitions => has(&["since", "by", "reason", "fields"]),
        Topic::Repartition | Topic::Partials | Topic::Changelog | Topic::Sources | Topic::Silences => false,
    }
}

/// The topic that a record's fields show, if any.
pub fn of(value: &Value) -> Option<Topic> {
    // Histories also have fields of alerts and statuses.
    let by_fields = Topic::OUTPUTS.into_iter().filter(|topic| *topic != Topic::SloHistory);
    by_fields.chain([Topic::Definitions, Topic::SloHistory]).find(|topic| fits(*topic, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn records_are_told_by_their_fields() {
        for (value, topic) in [
            (json!({"windows": [], "compliance_window": "28d", "slo": "a"}), Some(Topic::SloStatus)),
            (json!({"slo": "a", "scope": "aggregate", "budget_remaining": null}), Some(Topic::SloHistory)),
            (
                json!({"dedup_key": "d", "rules": [], "slo": "a", "scope": "g", "budget_remaining": 1}),
                Some(Topic::BurnAlerts),
            ),
            (json!({"cohort": [], "kind": "users"}), Some(Topic::TailCohorts)),
            (json!({"user": "u", "rank": 1}), Some(Topic::UserStatus)),
            (json!({"candidate": "v2", "verdict": "pass"}), Some(Topic::CanaryVerdicts)),
            (json!({"reason": "no_tenant", "value_base64": ""}), Some(Topic::DeadLetters)),
            (json!({"slo": "a", "since": "", "by": "ann", "reason": "", "fields": {}}), Some(Topic::Definitions)),
            (json!({"tenant": "acme", "timestamp": 1}), None),
        ] {
            assert_eq!(of(&value), topic, "{value}");
        }
    }
}
