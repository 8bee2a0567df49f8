//! What got worse since a pass, SLO by SLO.

use super::passes::{Below, Facts, Pass};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// What is told of a budget: losses of 1 % of it and more.
const BUDGET_STEP: f64 = 0.01;
/// A burn rate is worse if it spends more than the budget and a tenth more than before.
const BURN_FLOOR: f64 = 1.0;
const GROWTH: f64 = 1.1;
/// Lines of new alerts, and of new causes, that are printed of one SLO.
const LINES: usize = 10;

#[derive(Debug, Serialize)]
pub struct Comparison {
    /// The file that passes are kept in.
    file: String,
    /// `None`: no pass of this service was kept.
    last_pass: Option<LastPass>,
    /// SLOs of which something got worse.
    slos: Vec<Worse>,
    /// Why the file could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

impl Comparison {
    /// Where the file of passes cannot be read.
    pub fn with_nothing(file: &Path, trouble: String) -> Comparison {
        Comparison { file: file.display().to_string(), last_pass: None, slos: Vec::new(), trouble: Some(trouble) }
    }

    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}

#[derive(Debug, Serialize)]
struct LastPass {
    at: Option<String>,
    release: Option<String>,
}

#[derive(Debug, Serialize)]
struct Worse {
    slo: String,
    changes: Vec<Change>,
}

/// `what` is `slo`, `definition`, `state`, `budget_remaining`, `burn`, `users_below`, `alert` or `cause`.
#[derive(Debug, PartialEq, Serialize)]
struct Change {
    what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<String>,
    text: String,
}

/// Compares with the last pass.
pub fn compared(before: Option<&Pass>, now: &Pass, file: &Path) -> Comparison {
    let of = |before: &Pass| -> Vec<Worse> {
        let mut slos: Vec<Worse> =
            now.slos.iter().map(|(slo, facts)| worse(slo, before.slos.get(slo), facts)).collect();
        let gone = before.slos.keys().filter(|slo| !now.slos.contains_key(*slo));
        slos.extend(gone.map(|slo| Worse {
            slo: slo.clone(),
            changes: vec![change("slo", "it has no status any more".to_owned())],
        }));
        slos.retain(|slo| !slo.changes.is_empty());
        slos
    };
    Comparison {
        file: file.display().to_string(),
        last_pass: before.map(|pass| LastPass { at: pass.at.map(|at| at.to_string()), release: pass.release.clone() }),
        slos: before.map_or_else(Vec::new, of),
        trouble: None,
    }
}

fn change(what: &'static str, text: String) -> Change {
    Change { what, window: None, text }
}

fn worse(slo: &str, before: Option<&Facts>, now: &Facts) -> Worse {
    let nothing = BTreeMap::new();
    let mut changes = Vec::new();
    match before {
        Some(before) => figures(before, now, &mut changes),
        None => changes.push(change("slo", format!("it is new, and {}", in_words(&now.state)))),
    }
    changes.extend(new("alert", before.map_or(&nothing, |before| &before.alerts), &now.alerts));
    changes.extend(new("cause", before.map_or(&nothing, |before| &before.causes), &now.causes));
    Worse { slo: slo.to_owned(), changes }
}

fn figures(before: &Facts, now: &Facts, changes: &mut Vec<Change>) {
    if before.definition_hash != now.definition_hash {
        let text = "its definition changed: the figures before are those of the other one".to_owned();
        changes.push(change("definition", text));
    }
    if rank(&now.state) > rank(&before.state) {
        changes.push(change("state", format!("{} -> {}", in_words(&before.state), in_words(&now.state))));
    }
    match (before.budget_remaining, now.budget_remaining) {
        (Some(before), Some(now)) if before - now >= BUDGET_STEP => {
            changes.push(change("budget_remaining", format!("budget left {} -> {}", percent(before), percent(now))));
        }
        _ => {}
    }
    for (window, burn) in &now.burns {
        let was = before.burns.get(window).copied();
        if *burn > BURN_FLOOR && was.is_none_or(|was| *burn > was * GROWTH) {
            let was = was.map_or_else(|| "none".to_owned(), |was| format!("{was:.2}"));
            let text = format!("burn rate over {window} {was} -> {burn:.2}");
            changes.push(Change { what: "burn", window: Some(window.clone()), text });
        }
    }
    for (window, Below { users, below }) in &now.below {
        let was = before.below.get(window).copied().unwrap_or(Below { users: 0, below: 0 });
        if as_share(*below, *users) > as_share(was.below, was.users) * GROWTH {
            let text = format!(
                "users below the objective over {window}: {} of {} -> {below} of {users}",
                was.below, was.users
            );
            changes.push(Change { what: "users_below", window: Some(window.clone()), text });
        }
    }
}

fn new<'a>(
    what: &'static str,
    before: &'a BTreeMap<String, String>,
    now: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = Change> + 'a {
    let new = now.iter().filter(|(id, _)| !before.contains_key(*id));
    new.map(move |(_, text)| change(what, format!("new: {text}")))
}

#[expect(clippy::cast_precision_loss, reason = "counts of users are far below 2^53")]
fn as_share(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

/// From the best to the worst.
fn rank(state: &str) -> u8 {
    match state {
        "ok" => 0,
        "at_risk" => 1,
        "no_data" => 2,
        _ => 3,
    }
}

fn in_words(state: &str) -> String {
    state.replace('_', " ")
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// Of trouble with the file nothing: that belongs on standard error.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.trouble.is_some() {
            return Ok(());
        }
        let Some(LastPass { at, release }) = &self.last_pass else {
            return writeln!(f, "no pass of this service is kept in {}: nothing to compare with", self.file);
        };
        let at = at.as_deref().unwrap_or("at an unknown time");
        let release = release.as_ref().map(|release| format!(", release {release}")).unwrap_or_default();
        if self.slos.is_empty() {
            return writeln!(f, "nothing got worse since the last pass ({at}{release})");
        }
        writeln!(f, "worse since the last pass ({at}{release}):")?;
        for Worse { slo, changes } in &self.slos {
            writeln!(f, "  {slo}")?;
            for what in ["slo", "definition", "state", "budget_remaining", "burn", "users_below", "alert", "cause"] {
                let of_it: Vec<&Change> = changes.iter().filter(|change| change.what == what).collect();
                of_it.iter().take(LINES).try_for_each(|change| writeln!(f, "    {}", change.text))?;
                if of_it.len() > LINES {
                    writeln!(f, "    and {} more (--json has all)", of_it.len() - LINES)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(state: &str, budget: f64, burn: f64, below: u64) -> Facts {
        Facts {
            definition_hash: "d".to_owned(),
            state: state.to_owned(),
            budget_remaining: Some(budget),
            burns: [("1h".to_owned(), burn)].into(),
            below: [("1d".to_owned(), Below { users: 100, below })].into(),
            alerts: BTreeMap::new(),
            causes: BTreeMap::new(),
        }
    }

    fn pass(slos: &[(&str, Facts)]) -> Pass {
        let slos = slos.iter().map(|(slo, facts)| ((*slo).to_owned(), facts.clone())).collect();
        Pass { at: None, release: Some("v1".to_owned()), slos }
    }

    fn told(before: &Pass, now: &Pass) -> String {
        compared(Some(before), now, Path::new("passes.json")).to_string()
    }

    #[test]
    fn only_what_got_worse_is_told() {
        let before = pass(&[("a", facts("ok", 0.8, 0.5, 4)), ("gone", facts("ok", 1.0, 0.0, 0))]);
        let better = pass(&[("a", facts("ok", 0.9, 0.4, 3)), ("gone", facts("ok", 0.995, 0.9, 0))]);
        assert_eq!(told(&before, &better), "nothing got worse since the last pass (at an unknown time, release v1)\n");
        let mut bad = facts("breached", -0.25, 3.0, 9);
        bad.alerts.insert("1".to_owned(), "page since 10:00: it burns".to_owned());
        bad.causes.insert("2".to_owned(), "tail cause since 10:00: region=eu".to_owned());
        let now = pass(&[("a", bad.clone()), ("b", facts("ok", 1.0, 5.0, 5))]);
        let expected = [
            "worse since the last pass (at an unknown time, release v1):",
            "  a",
            "    ok -> breached",
            "    budget left 80.0 % -> -25.0 %",
            "    burn rate over 1h 0.50 -> 3.00",
            "    users below the objective over 1d: 4 of 100 -> 9 of 100",
            "    new: page since 10:00: it burns",
            "    new: tail cause since 10:00: region=eu",
            "  b",
            "    it is new, and ok",
            "  gone",
            "    it has no status any more",
        ];
        assert_eq!(told(&before, &now).lines().collect::<Vec<_>>(), expected);
        // What fired at the last pass already is nothing new.
        assert!(!told(&pass(&[("a", bad.clone())]), &pass(&[("a", bad)])).contains("new:"));
    }

    #[test]
    fn without_a_pass_there_is_nothing_to_compare_with() {
        let comparison = compared(None, &pass(&[]), Path::new("passes.json"));
        assert_eq!(comparison.to_string(), "no pass of this service is kept in passes.json: nothing to compare with\n");
    }
}
