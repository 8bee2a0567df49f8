//! The table at the end.

use crate::play::Outcome;
use crate::scenarios;
use std::fmt::Write as _;

/// One line per scenario, with its notes below.
pub fn table(outcomes: &[Outcome]) -> String {
    let mut text = format!(
        "{:<26} {:<20} {:>8} {:>5} {:>7} {:>5} {:>8}  {:<8} {}\n",
        "scenario", "row", "compared", "lost", "doubled", "torn", "seconds", "verdict", "injected"
    );
    for outcome in outcomes {
        line(&mut text, outcome);
    }
    let count = |word: &dyn Fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| word(outcome)).count();
    let _ = writeln!(
        text,
        "\n{} played, {} not well, {} of which a part never struck, {} skipped",
        count(&|o| o.skipped.is_none()),
        count(&|o| !o.is_well()),
        count(&|o| o.is_in_part()),
        count(&|o| o.skipped.is_some()),
    );
    text
}

fn line(text: &mut String, outcome: &Outcome) {
    let (v, injected) = (&outcome.verdict, injected(outcome));
    let word = match &outcome.skipped {
        Some(_) => "SKIPPED",
        None if !outcome.is_well() => "NOT WELL",
        // A fault that never happened proves nothing.
        None if outcome.is_in_part() => "IN PART",
        None => "same",
    };
    let _ = writeln!(
        text,
        "{:<26} {:<20} {:>8} {:>5} {:>7} {:>5} {:>8}  {word:<8} {injected}",
        outcome.name, outcome.row, v.compared, v.lost, v.doubled, v.torn, outcome.seconds
    );
    let told = outcome.skipped.iter().chain(&outcome.complaints).chain(&v.told).chain(&outcome.notes);
    for more in told {
        let _ = writeln!(text, "    {more}");
    }
}

fn injected(outcome: &Outcome) -> String {
    let all: Vec<String> = outcome.injected.iter().map(|(what, times)| format!("{times} x {what}")).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

pub fn list() -> String {
    let mut text = String::new();
    for scenario in &scenarios::ALL {
        let _ = writeln!(text, "{:<26} row {:<20} {}", scenario.name, scenario.row, scenario.about);
    }
    text
}
