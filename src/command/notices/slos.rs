//! SLOs that count nothing, or far too little: which part of the expression causes it, and what the input has instead.

use super::guard::guard;
use super::{Facts, failing, percent, place};
use crate::model::expr::Filter;
use crate::model::slo::{Criterion, Slo};
use crate::model::suggest;
use crate::pipeline::seen::{Gap, Seen};
use crate::pipeline::users::VerdictCounts;

/// Further SLOs are only counted.
const SLOS_MAX: usize = 10;
/// How many values of a field are shown.
const VALUES_SHOWN: usize = 8;

pub(super) fn notices(facts: &Facts<'_>) -> Vec<String> {
    let of_slos = facts.users.slos().enumerate().flat_map(|(index, (slo, counts))| of_slo(facts, index, slo, counts));
    let mut said: Vec<String> = of_slos.collect();
    if said.len() > SLOS_MAX {
        let more = said.len() - SLOS_MAX;
        said.truncate(SLOS_MAX);
        said.push(format!("The same holds for {more} more SLOs."));
    }
    said
}

fn of_slo(facts: &Facts<'_>, index: usize, slo: &Slo, counts: &VerdictCounts) -> Vec<String> {
    let asked = counts.good + counts.bad + counts.unclassified;
    if counts.unclassified * 100 > asked {
        if failing::tells(facts, index, counts) {
            return Vec::new();
        }
        return vec![unclassified(facts, index, slo, counts)];
    }
    if asked == 0 && counts.excluded > 0 && counts.dropped == 0 {
        return vec![excluded(facts, slo, counts)];
    }
    Vec::new()
}

fn unclassified(facts: &Facts<'_>, index: usize, slo: &Slo, counts: &VerdictCounts) -> String {
    let asked = counts.good + counts.bad + counts.unclassified;
    let seen = format!(
        "SLO `{}`: {} of {asked} events ({}) are unclassified, neither good nor bad",
        slo.name,
        counts.unclassified,
        percent(counts.unclassified, asked)
    );
    let told = match facts.seen.gaps(index).first() {
        Some(gap) => format!("{seen}: {}", because(facts, slo, gap)),
        None => format!("{seen}. `tailburn check --input FILE` shows why."),
    };
    match of_one_kind(counts) {
        Some(kind) => format!("{told} {kind}"),
        None => told,
    }
}

/// With fewer unclassified events nothing is said about their kind.
const KIND_MIN: u64 = 3;

/// What it means that nearly all unclassified events failed, or that nearly none did while those that failed count.
fn of_one_kind(counts: &VerdictCounts) -> Option<String> {
    let VerdictCounts { unclassified, failing, failing_unclassified, .. } = *counts;
    let is_nearly_all = |part: u64| unclassified >= KIND_MIN && part * 20 >= unclassified * 19;
    let failures_that_count = failing.saturating_sub(failing_unclassified);
    let fine = unclassified.saturating_sub(failing_unclassified);
    if is_nearly_all(failing_unclassified) {
        return Some(format!(
            "{failing_unclassified} of these {unclassified} failed (a status from 500 on, or an error_type): failures are \
             missing, so the SLI is too high."
        ));
    }
    (is_nearly_all(fine) && failures_that_count > 0).then(|| {
        format!(
            "{fine} of these {unclassified} are successes, while {failures_that_count} of {failing} failures count: the SLI is \
             too low."
        )
    })
}

fn because(facts: &Facts<'_>, slo: &Slo, gap: &Gap) -> String {
    let first = place(facts, gap.source, gap.offset);
    let Some(field) = &gap.field else {
        return format!("in `{}`, {} (first in {first}).", gap.part, gap.fault);
    };
    let side = if gap.is_total { "`total` filter" } else { side_of(slo) };
    let near = near_names(facts.seen, field);
    let near = match near.as_slice() {
        [] => String::new(),
        names => format!(" The input has {}: is that meant?", names.join(", ")),
    };
    format!("its {side} reads `{field}`, which is absent (first in {first}).{near} {}", guard(slo, gap, field))
}

const fn side_of(slo: &Slo) -> &'static str {
    match &slo.indicator.criterion {
        Criterion::Good(_) => "`good` filter",
        Criterion::Bad(_) => "`bad` filter",
        Criterion::Threshold { .. } => "`value`",
    }
}

fn excluded(facts: &Facts<'_>, slo: &Slo, counts: &VerdictCounts) -> String {
    let seen =
        format!("SLO `{}` counts nothing: its `total` filter excludes all {} events.", slo.name, counts.excluded);
    let wanted = slo.indicator.total.as_ref().map(Filter::wanted_texts).unwrap_or_default();
    let mut told = String::new();
    for (field, wanted) in wanted {
        let (values, is_all) = facts.seen.values(&field);
        if values.is_empty() || wanted.iter().any(|w| values.contains(w)) {
            continue;
        }
        let wanted_texts: Vec<String> = wanted.iter().map(|w| format!("`{w}`")).collect();
        let known = || values.iter().map(String::as_str);
        let meant = wanted.iter().find_map(|w| nearest(w, known()));
        told.push_str(&format!(" It asks for {} in `{field}`", wanted_texts.join(" or ")));
        told.push_str(&match meant {
            Some(meant) => format!(", and the input has `{meant}`: is that meant?"),
            None => {
                let shown: Vec<String> = known().take(VALUES_SHOWN).map(|v| format!("`{v}`")).collect();
                let more = if is_all && values.len() <= VALUES_SHOWN { "" } else { " and more" };
                format!(", and the input has {}{more}.", shown.join(", "))
            }
        });
    }
    if told.is_empty() {
        told = " `tailburn check --input FILE --limit 5` shows which part decided.".to_owned();
    }
    format!("{seen}{told}")
}

/// Names in the input that are similar to the absent one, as expressions write them.
fn near_names(seen: &Seen, field: &str) -> Vec<String> {
    let wanted = last_part(field);
    let is_near = |name: &&str| *name != field && is_alike(wanted, last_part(name));
    let fields = seen.fields().filter(is_near).map(|name| format!("`{name}`"));
    let unknown = seen.unknown().filter(|name| is_alike(wanted, name));
    let unknown = unknown.map(|name| format!("`{name}` at the top of its records, for `input.mapping` to take"));
    fields.chain(unknown).take(3).collect()
}

fn last_part(field: &str) -> &str {
    field.strip_prefix("attributes.").or_else(|| field.strip_prefix("measures.")).unwrap_or(field)
}

/// Equal except for case and punctuation, one contained in the other, or a typing mistake.
fn is_alike(wanted: &str, name: &str) -> bool {
    let bare =
        |text: &str| text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    let (a, b) = (bare(wanted), bare(name));
    let is_within = a.len().min(b.len()) >= 4 && (a.contains(&b) || b.contains(&a));
    !a.is_empty() && (a == b || is_within || suggest::closest(wanted, [name]).is_some())
}

fn nearest<'k>(wanted: &str, known: impl Iterator<Item = &'k str> + Clone) -> Option<&'k str> {
    known.clone().find(|value| is_alike(wanted, value)).or_else(|| suggest::closest(wanted, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unclassified_and_of_one_kind_is_told() {
        let told = |unclassified, failing, failing_unclassified| {
            of_one_kind(&VerdictCounts { unclassified, failing, failing_unclassified, ..VerdictCounts::default() })
        };
        let successes = told(1_000, 40, 10).expect("successes");
        assert_eq!(successes, "990 of these 1000 are successes, while 30 of 40 failures count: the SLI is too low.");
        assert!(told(100, 95, 95).expect("failures").starts_with("95 of these 100 failed"));
        assert_eq!(told(100, 95, 94), None, "neither kind");
        assert_eq!(told(100, 8, 6), None, "neither kind");
        assert_eq!(told(1_000, 0, 0), None, "nothing failed, so nothing is out of balance");
        assert_eq!((told(2, 2, 2), told(2, 9, 0)), (None, None), "too few");
    }

    #[test]
    fn names_are_alike_by_case_signs_parts_and_typing_mistakes() {
        for (wanted, name) in [
            ("region", "Region"),
            ("status", "http.status_code"),
            ("user_tier", "userTier"),
            ("synthetic", "synthethic"),
        ] {
            assert!(is_alike(wanted, name), "{wanted} {name}");
        }
        for (wanted, name) in [("region", "tier"), ("status", "state_of_mind"), ("tier", "tie")] {
            let typing = suggest::closest(wanted, [name]).is_some();
            assert_eq!(is_alike(wanted, name), typing, "{wanted} {name}");
        }
    }
}
