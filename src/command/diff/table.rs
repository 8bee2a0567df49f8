//! What would have fired before and after a change, as a table.

use super::replay::{Alert, Fired};
use crate::command::Printer;
use crate::command::check::firing::aligned;
use serde::Serialize;
use std::collections::BTreeSet;
use std::io;

/// Both sides of one SLO; `None`: the SLO is not there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sides {
    pub before: Option<Fired>,
    pub after: Option<Fired>,
}

/// How many alerts of an SLO are listed that only one side fires.
const LISTED_MAX: usize = 10;

impl Sides {
    fn each(&self) -> [Option<&Fired>; 2] {
        [self.before.as_ref(), self.after.as_ref()]
    }

    fn row(&self, name: &str, figure: impl Fn(&Fired) -> Option<String>) -> [String; 3] {
        let [before, after] = self.each().map(|side| side.and_then(&figure).unwrap_or_else(|| "-".to_owned()));
        [name.to_owned(), before, after]
    }

    fn rows(&self) -> Vec<[String; 3]> {
        // Rules that fire on neither side tell nothing.
        let fired = |side: &'_ Fired| {
            side.rules.iter().filter(|(_, times)| **times > 0).map(|(rule, _)| rule.clone()).collect::<Vec<_>>()
        };
        let rules: BTreeSet<String> = self.each().into_iter().flatten().flat_map(fired).collect();
        let head = ["over the recording".to_owned(), "before".to_owned(), "after".to_owned()];
        let counts = [
            self.row("pages", |side| Some(side.pages.to_string())),
            self.row("tickets", |side| Some(side.tickets.to_string())),
            self.row("infos", |side| Some(side.infos.to_string())),
        ];
        let of_rules =
            rules.into_iter().map(|rule| self.row(&format!("rule {rule}"), |s| Some(s.rules.get(&rule)?.to_string())));
        let budget = self.row("budget left at the end", |side| side.budget_remaining.map(budget));
        std::iter::once(head).chain(counts).chain(of_rules).chain([budget]).collect()
    }

    /// The alerts that only one side fires, in the order of time.
    fn differences(&self) -> Vec<(&'static str, &Alert)> {
        let [before, after] = self.each().map(|side| side.map_or(&[][..], |side| side.alerts.as_slice()));
        let is_in = |alert: &Alert, others: &[Alert]| {
            let is_it = |other: &Alert| {
                (&other.key, &other.severity, other.started_at) == (&alert.key, &alert.severity, alert.started_at)
            };
            others.iter().any(is_it)
        };
        let gone = before.iter().filter(|alert| !is_in(alert, after)).map(|alert| ("before", alert));
        let new = after.iter().filter(|alert| !is_in(alert, before)).map(|alert| ("after", alert));
        let mut all: Vec<_> = gone.chain(new).collect();
        all.sort_by_key(|(_, alert)| alert.started_at);
        all
    }

    pub fn print(&self, out: &mut Printer) -> io::Result<()> {
        aligned(&self.rows()).iter().try_for_each(|line| out.line(&format!("  {line}")))?;
        let differences = self.differences();
        for (side, Alert { key, severity, started_at, ended_at }) in differences.iter().take(LISTED_MAX) {
            let until = ended_at.map_or_else(|| "and does not end".to_owned(), |end| format!("until {end}"));
            out.line(&format!("  only {side}: {severity} of {key} from {started_at} {until}"))?;
        }
        match differences.len().saturating_sub(LISTED_MAX) {
            0 => Ok(()),
            more => out.line(&format!("  and {more} more that only one side fires (--json has all)")),
        }
    }
}

/// A share of the budget with at most one decimal: it may be many times the budget.
fn budget(left: f64) -> String {
    let text = format!("{:.1}", left * 100.0);
    match text.strip_suffix(".0").unwrap_or(&text) {
        "-0" => "0 %".to_owned(),
        text => format!("{text} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Moment;
    use std::collections::BTreeMap;

    fn fired(rules: &[(&str, u64)], starts: &[i64]) -> Fired {
        let alert = |at: &i64| Alert {
            key: "a|aggregate".to_owned(),
            severity: "page".to_owned(),
            started_at: Moment(*at),
            ended_at: None,
        };
        Fired {
            pages: starts.len() as u64,
            rules: rules.iter().map(|(rule, count)| ((*rule).to_owned(), *count)).collect::<BTreeMap<_, _>>(),
            budget_remaining: Some(0.5),
            alerts: starts.iter().map(alert).collect(),
            ..Fired::default()
        }
    }

    #[test]
    fn a_rule_that_one_side_lacks_has_no_figure_there() {
        let sides = Sides {
            before: Some(fired(&[("1h/5m", 2)], &[1, 2])),
            after: Some(fired(&[("6h/30m", 1), ("3d/6h", 0)], &[2, 3])),
        };
        let rows = sides.rows();
        let row = |name: &str| rows.iter().find(|row| row[0] == name).map(|row| (row[1].as_str(), row[2].as_str()));
        assert_eq!(row("rule 1h/5m"), Some(("2", "-")));
        assert_eq!((row("rule 6h/30m"), row("rule 3d/6h")), (Some(("-", "1")), None));
        assert_eq!(row("pages"), Some(("2", "2")));
        assert_eq!(row("budget left at the end"), Some(("50 %", "50 %")));
        let only: Vec<_> = sides.differences().into_iter().map(|(side, alert)| (side, alert.started_at.0)).collect();
        assert_eq!(only, [("before", 1), ("after", 3)]);
        let added = Sides { before: None, after: Some(fired(&[], &[7])) };
        assert_eq!(added.rows()[1], ["pages", "-", "1"].map(str::to_owned));
        assert_eq!(added.differences().len(), 1);
    }
}
