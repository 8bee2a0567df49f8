//! If an input gave no outcome: how to find out why.

use super::Facts;

pub(super) fn notices(facts: &Facts<'_>) -> Vec<String> {
    let counts = &facts.users.counts;
    let dead_letters: u64 = facts.route.stats.dead_letter_counts().iter().sum();
    if counts.outcomes == 0 && dead_letters > 0 {
        return vec![
            "No record is an outcome: `tailburn check --input FILE --limit 5` shows what each one lacks.".to_owned(),
        ];
    }
    if counts.outcomes == 0 && dead_letters == 0 {
        return vec!["The input has no records.".to_owned()];
    }
    Vec::new()
}
