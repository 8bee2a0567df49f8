//! SLIs that do not seem to measure what they should, although all their events can be read.

use super::Facts;
use crate::model::slo::Slo;
use crate::operator::first_chunk::{FirstChunks, MEASURE, WORD_MIN_MS};
use crate::operator::sanity::{self, Defect};
use crate::pipeline::users::VerdictCounts;

pub(super) fn notices(facts: &Facts<'_>) -> Vec<String> {
    let of_slo = |(slo, counts): (&Slo, &VerdictCounts)| {
        let events = counts.good + counts.bad;
        let (looked, without_user) = facts.seen.without_user();
        let seen = sanity::Seen {
            good: counts.good,
            bad: counts.bad,
            unclassified: counts.unclassified,
            // A sample of all events stands for those of each SLO.
            without_user: if without_user * 2 > looked { events } else { 0 },
            hours: facts.hours.get(&slo.name).copied().unwrap_or_default(),
        };
        let found = sanity::defects(&seen, slo.objective);
        // The others have notices of their own, which also say why.
        let kept = found.into_iter().filter(|d| !matches!(d, Defect::NoEvents | Defect::Unclassified));
        kept.map(|defect| words(slo, defect, counts.good, counts.bad, counts.unclassified)).collect::<Vec<_>>()
    };
    let mut said: Vec<String> = facts.users.slos().flat_map(of_slo).collect();
    // Where users are missing they are missing for every SLO: one sentence says so.
    let mut is_first = true;
    said.retain(|text| !text.starts_with(NO_USER) || std::mem::take(&mut is_first));
    said.extend(first_chunk(facts.seen.first_chunks()));
    said
}

/// Streams whose first token cannot be a word.
pub fn first_chunk(seen: FirstChunks) -> Option<String> {
    let FirstChunks { streams, at_once } = seen;
    seen.are_empty().then(|| {
        format!(
            "`measures.{MEASURE}` is below {WORD_MIN_MS} ms in {at_once} of {streams} streams: that is the time to the first \
             chunk, not to the first word. Many gateways and clients open a stream with an empty chunk, and record its time; \
             an SLO on it sees that a stream opened, not that somebody can read (README: LLM gateways)."
        )
    })
}

const NO_USER: &str = "Most events have no user";

/// A defect in words, with what to do.
pub fn words(slo: &Slo, defect: Defect, good: u64, bad: u64, unclassified: u64) -> String {
    let (name, events) = (&slo.name, good + bad);
    let objective = slo.objective.as_f64() * 100.0;
    match defect {
        Defect::NoEvents => format!(
            "SLO `{name}` counts nothing: no event passes its `total` filter. Look at one record that it should count \
             with `tailburn check --input FILE --limit 5`."
        ),
        Defect::Unclassified => format!(
            "SLO `{name}`: {unclassified} of {} events are neither good nor bad, because an expression reads a field that \
             they lack. Guard it with has().",
            events + unclassified
        ),
        Defect::NeverBad => format!(
            "SLO `{name}`: not one of {events} events is bad. Check that its filter can be false at all (a value in another \
             case, a wrong unit, errors that are never recorded); if it can, the objective of {objective} % is loose."
        ),
        Defect::ConstantBurn => format!(
            "SLO `{name}` burns its budget faster than it lasts in nearly every hour ({bad} of {events} events are bad). \
             Either its filter calls something bad that is not (clients' mistakes, swapped sides, a wrong unit), or \
             {objective} % is out of reach: `tailburn suggest` shows objectives that fit this traffic."
        ),
        Defect::NoUser => format!(
            "{NO_USER}: the aggregate is complete, but nothing can be said about users and cohorts. Map the field that \
             identifies the caller with `input.mapping: {{user: ...}}`."
        ),
    }
}
