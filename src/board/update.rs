//! One published record, as a change of the board. Topics, files and a worker in the same process all come through
//! here, so that a record means the same wherever it was read.

use crate::model::record::Topic;
use serde::Deserialize;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    Status {
        key: String,
        json: Vec<u8>,
    },
    /// The key got a tombstone: it is removed.
    Forget {
        key: String,
    },
    History {
        key: String,
        json: Vec<u8>,
    },
    Alert {
        key: String,
        id: String,
        firing: bool,
        json: Vec<u8>,
    },
    Cohort {
        key: String,
        id: String,
        open: bool,
        json: Vec<u8>,
    },
    User {
        key: String,
        json: Vec<u8>,
    },
    /// The user is no longer among the worst-served.
    ForgetUser {
        key: String,
    },
    Canary {
        key: String,
        json: Vec<u8>,
    },
    DeadLetter {
        reason: String,
        json: Vec<u8>,
    },
}

/// What distinguishes an episode and its end.
#[derive(Deserialize)]
struct Episode {
    id: String,
    state: String,
}

#[derive(Deserialize)]
struct Letter {
    reason: String,
}

impl Update {
    /// A record of a topic; no `json`: a tombstone. `None`: the board does not show it.
    pub fn of(topic: Topic, key: String, json: Option<Vec<u8>>) -> Option<Update> {
        let Some(json) = json else {
            return match topic {
                Topic::SloStatus => Some(Update::Forget { key }),
                Topic::UserStatus => Some(Update::ForgetUser { key }),
                _ => None,
            };
        };
        Some(match topic {
            Topic::SloStatus => Update::Status { key, json },
            Topic::SloHistory => Update::History { key, json },
            Topic::UserStatus => Update::User { key, json },
            Topic::CanaryVerdicts => Update::Canary { key, json },
            Topic::BurnAlerts => {
                let Episode { id, state } = serde_json::from_slice(&json).ok()?;
                Update::Alert { key, id, firing: state != "resolved", json }
            }
            Topic::TailCohorts => {
                let Episode { id, state } = serde_json::from_slice(&json).ok()?;
                Update::Cohort { key, id, open: state != "closed", json }
            }
            Topic::DeadLetters => {
                let Letter { reason } = serde_json::from_slice(&json).ok()?;
                Update::DeadLetter { reason, json }
            }
            Topic::Repartition
            | Topic::Partials
            | Topic::Changelog
            | Topic::Sources
            | Topic::Silences
            | Topic::Definitions => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_become_what_the_board_shows() {
        let update_of = |topic, value: Option<&str>| {
            Update::of(topic, "checkout|aggregate".to_owned(), value.map(|json| json.as_bytes().to_vec()))
        };
        let key = || "checkout|aggregate".to_owned();
        let cases = [
            (Topic::SloStatus, Some("{}"), Some(Update::Status { key: key(), json: b"{}".to_vec() })),
            (Topic::SloStatus, None, Some(Update::Forget { key: key() })),
            (Topic::SloHistory, Some("{}"), Some(Update::History { key: key(), json: b"{}".to_vec() })),
            (Topic::UserStatus, None, Some(Update::ForgetUser { key: key() })),
            (Topic::CanaryVerdicts, Some("{}"), Some(Update::Canary { key: key(), json: b"{}".to_vec() })),
            (Topic::BurnAlerts, Some("no JSON"), None),
            (Topic::Changelog, Some("{}"), None),
        ];
        for (topic, value, update) in cases {
            assert_eq!(update_of(topic, value), update, "{topic:?} {value:?}");
        }
        for (state, live) in [("firing", true), ("update", true), ("resolved", false)] {
            let update = update_of(Topic::BurnAlerts, Some(&format!(r#"{{"id":"a1","state":"{state}"}}"#)));
            assert!(matches!(update, Some(Update::Alert { firing, .. }) if firing == live), "{state}");
        }
        for (state, live) in [("open", true), ("update", true), ("closed", false)] {
            let update = update_of(Topic::TailCohorts, Some(&format!(r#"{{"id":"c1","state":"{state}"}}"#)));
            assert!(matches!(update, Some(Update::Cohort { open, .. }) if open == live), "{state}");
        }
    }
}
