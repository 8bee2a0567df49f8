//! Records and values that could not be read, each kind with its first example.

use super::Facts;

pub(super) fn notices(facts: &Facts<'_>) -> Vec<String> {
    facts.route.stats.notices(facts.counted())
}
