//! A bad event as an example of what went wrong.

use crate::model::outcome::Outcome;
use rapidhash::v3::rapidhash_v3;
use serde::{Deserialize, Serialize};

/// A bad event, as an example of what went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Example<'a> {
    pub hash: u64,
    pub trace_id: Option<&'a str>,
    pub operation: Option<&'a str>,
    pub status: Option<i64>,
    pub dependency: Option<&'a str>,
    /// Behind its event in a block: an earlier layout does not have it.
    #[serde(skip)]
    pub error_type: Option<&'a str>,
}

impl<'a> Example<'a> {
    pub fn of(outcome: &'a Outcome<'_>) -> Example<'a> {
        Example {
            hash: hash_of(outcome),
            trace_id: outcome.trace_id.as_deref(),
            operation: outcome.operation.as_deref(),
            status: outcome.status,
            dependency: outcome.dependency.as_deref(),
            error_type: outcome.error_type.as_deref(),
        }
    }
}

/// A hash of what identifies a bad event, so that which examples are kept depends on nothing else.
fn hash_of(outcome: &Outcome<'_>) -> u64 {
    let mut hash = rapidhash_v3(outcome.tenant.as_bytes()) ^ rapidhash_v3(&outcome.timestamp_ms.to_le_bytes());
    for field in [&outcome.user, &outcome.trace_id, &outcome.event_id, &outcome.operation] {
        let part = field.as_deref().map_or(1, |text| rapidhash_v3(text.as_bytes()));
        hash = hash.rotate_left(23).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ part;
    }
    hash
}
