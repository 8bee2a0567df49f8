//! SLOs that cannot classify failures: these lack a field that all other events have, and are missing from the figures.

use super::guard::guard;
use super::{Facts, percent, place};
use crate::model::slo::Slo;
use crate::pipeline::seen::Gap;
use crate::pipeline::users::VerdictCounts;

/// With fewer failures there is no notice.
const UNCLASSIFIED_MIN: u64 = 3;

pub(super) fn notices(facts: &Facts<'_>) -> Vec<String> {
    let slos = facts.users.slos().enumerate();
    slos.filter(|(_, (_, counts))| is_of_the_failing(counts))
        .map(|(index, (slo, c))| told(facts, index, slo, c))
        .collect()
}

/// Whether this notice already covers the SLO's unclassified events: failures and unclassified events lack the same
/// field.
pub(super) fn tells(facts: &Facts<'_>, index: usize, counts: &VerdictCounts) -> bool {
    let gaps = facts.seen.gaps(index);
    let most = gaps.first().and_then(|gap| gap.field.as_ref());
    is_of_the_failing(counts) && most.is_some() && most == of_the_failing(&gaps).and_then(|gap| gap.field.as_ref())
}

/// The field that most failures lack.
fn of_the_failing<'a>(gaps: &[&'a Gap]) -> Option<&'a Gap> {
    gaps.iter().copied().filter(|gap| gap.failing > 0).max_by_key(|gap| gap.failing)
}

/// Whether failures are unclassified far more often than other events.
fn is_of_the_failing(counts: &VerdictCounts) -> bool {
    let (failing, unclassified) = (counts.failing, counts.failing_unclassified);
    let (others, others_unclassified) = others(counts);
    unclassified >= UNCLASSIFIED_MIN
        && unclassified * 10 >= failing
        && u128::from(unclassified) * u128::from(others) > 5 * u128::from(others_unclassified) * u128::from(failing)
}

/// Events that do not fail, and how many of them are unclassified.
fn others(counts: &VerdictCounts) -> (u64, u64) {
    let asked = counts.good + counts.bad + counts.unclassified;
    (asked.saturating_sub(counts.failing), counts.unclassified.saturating_sub(counts.failing_unclassified))
}

fn told(facts: &Facts<'_>, index: usize, slo: &Slo, counts: &VerdictCounts) -> String {
    let (others, others_unclassified) = others(counts);
    let seen = format!(
        "SLO `{}` misses failures: {} of {} events that failed (a status from 500 on, or an error_type) are unclassified \
         ({}), of the others {}",
        slo.name,
        counts.failing_unclassified,
        counts.failing,
        percent(counts.failing_unclassified, counts.failing),
        percent(others_unclassified, others)
    );
    let gaps = facts.seen.gaps(index);
    match of_the_failing(&gaps).and_then(|gap| Some((gap, gap.field.as_ref()?))) {
        Some((gap, field)) => format!(
            "{seen}: `{}` reads `{field}`, which they do not have (first in {}). {}",
            gap.part,
            place(facts, gap.source, gap.offset),
            guard(slo, gap, field)
        ),
        None => format!("{seen}. `tailburn check --input FILE` shows why."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_that_alone_are_unclassified_are_seen() {
        let counts = |good, unclassified, failing, failing_unclassified| VerdictCounts {
            good,
            bad: failing - failing_unclassified,
            unclassified,
            failing,
            failing_unclassified,
            ..VerdictCounts::default()
        };
        for (of, is_seen) in [
            (counts(1_000, 40, 41, 40), true),
            (counts(1_000, 3, 3, 3), true),
            (counts(1_000, 2, 2, 2), false),
            (counts(1_000, 3, 41, 3), false),
            // Everything is, failing or not.
            (counts(0, 1_040, 40, 40), false),
            (counts(1_000, 0, 40, 0), false),
            (counts(1_000, 0, 0, 0), false),
        ] {
            assert_eq!(is_of_the_failing(&of), is_seen, "{of:?}");
        }
    }
}
