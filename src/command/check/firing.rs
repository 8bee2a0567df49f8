//! When the rules of each SLO would fire: a table of steady error rates.

use crate::command::Printer;
use crate::command::survey::Survey;
use crate::model::duration;
use crate::model::slo::{Severity, Slo};
use crate::operator::detection::{Detection, Traffic, first_alerts};
use serde::Serialize;
use std::io;

const ERROR_RATIOS: [f64; 4] = [1.0, 0.1, 0.01, 0.002];
/// Without recorded traffic: so much that no guard against few events matters.
const EVENTS_PER_SECOND: f64 = 100.0;

/// The table of one SLO, or of several that behave alike.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FiringTable {
    pub slos: Vec<String>,
    pub objective: f64,
    pub compliance_window: String,
    pub events_per_second: f64,
    /// What comes so often: `events`, or `attempts` at a journey.
    pub unit: &'static str,
    /// Whether the traffic was seen in the input.
    pub is_seen: bool,
    pub rows: Vec<FiringRow>,
}

/// What a steady share of errors leads to: the first alert of each severity, in the order in which they fire. Empty: never.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FiringRow {
    pub error_ratio: f64,
    pub alerts: Vec<FirstAlert>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FirstAlert {
    pub rule: String,
    pub severity: &'static str,
    pub after_ms: i64,
    pub budget_spent: f64,
}

impl FirstAlert {
    fn of(found: Detection) -> FirstAlert {
        let Detection { rule, severity, after_ms, budget_spent } = found;
        FirstAlert { rule, severity: severity.as_str(), after_ms, budget_spent }
    }
}

/// The tables of all SLOs that have rules; `survey`: the traffic in the input.
pub fn tables(slos: &[Slo], survey: Option<&Survey>) -> Vec<FiringTable> {
    let mut tables: Vec<(&Slo, FiringTable)> = Vec::new();
    for (index, slo) in slos.iter().enumerate() {
        let seen = survey.and_then(|survey| survey.events_per_second(index));
        let events_per_second = seen.unwrap_or(EVENTS_PER_SECOND);
        let same = |(other, table): &&mut (&Slo, FiringTable)| {
            fires_alike(slo, other)
                && table.unit == unit_of(slo)
                && table.events_per_second == events_per_second
                && table.is_seen == seen.is_some()
        };
        match tables.iter_mut().find(same) {
            Some((_, table)) => table.slos.push(slo.name.clone()),
            None => tables.push((slo, table(slo, events_per_second, seen.is_some()))),
        }
    }
    tables.into_iter().map(|(_, table)| table).collect()
}

fn table(slo: &Slo, events_per_second: f64, is_seen: bool) -> FiringTable {
    let row = |error_ratio: f64| {
        let found = first_alerts(slo, Traffic { events_per_second, error_ratio });
        FiringRow { error_ratio, alerts: found.into_iter().map(FirstAlert::of).collect() }
    };
    FiringTable {
        slos: vec![slo.name.clone()],
        objective: slo.objective.as_f64(),
        compliance_window: slo.period.name(),
        events_per_second,
        unit: unit_of(slo),
        is_seen,
        rows: ERROR_RATIOS.into_iter().map(row).collect(),
    }
}

fn unit_of(slo: &Slo) -> &'static str {
    if slo.journey().is_some() { "attempts" } else { "events" }
}

/// Whether the same counts make two SLOs fire alike.
fn fires_alike(a: &Slo, b: &Slo) -> bool {
    let of = |slo: &Slo| {
        let guards = (slo.min_events, slo.low_traffic_guard, slo.single_user_guard, slo.budget_rule);
        (slo.objective, slo.period.clone(), slo.method, guards)
    };
    of(a) == of(b) && a.rules == b.rules
}

pub fn print(out: &mut Printer, tables: &[FiringTable]) -> io::Result<()> {
    for table in tables {
        let traffic = rate(table.events_per_second, table.unit);
        let traffic = if table.is_seen { format!("{traffic}, as in the input") } else { format!("{traffic} assumed") };
        let objective = percent(table.objective);
        out.line(&format!(
            "  When it fires: {} ({objective} over {}; {traffic})",
            table.slos.join(", "),
            table.compliance_window
        ))?;
        let head = ["errors", "first alert", "after", "budget gone", "page after"].map(str::to_owned);
        let rows: Vec<[String; 5]> = std::iter::once(head).chain(table.rows.iter().map(cells)).collect();
        aligned(&rows).iter().try_for_each(|line| out.line(&format!("    {line}")))?;
    }
    Ok(())
}

fn cells(row: &FiringRow) -> [String; 5] {
    let page = row.alerts.iter().find(|alert| alert.severity == Severity::Page.as_str());
    let never = || "never".to_owned();
    let (first, after, spent) = match row.alerts.first() {
        Some(first) => (
            format!("{} {}", first.rule, first.severity),
            duration::short_words(first.after_ms),
            percent(first.budget_spent),
        ),
        None => ("none".to_owned(), never(), "-".to_owned()),
    };
    [
        percent(row.error_ratio),
        first,
        after,
        spent,
        page.map_or_else(never, |page| duration::short_words(page.after_ms)),
    ]
}

/// Columns as wide as their widest cell, the last one without padding.
pub fn aligned<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("   ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// A share as people write it: at most three digits that count, no zeros behind them.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let digits = match percent.abs() {
        0.0 => 0,
        // 99.95 % must not become 100 %.
        p if p > 99.0 => 4,
        p if p >= 10.0 => 1,
        p if p >= 1.0 => 2,
        p if p >= 0.1 => 3,
        _ => 4,
    };
    let text = format!("{percent:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} %")
}

/// Events (or attempts) per second, or per minute or hour where there are few.
pub fn rate(events_per_second: f64, of: &str) -> String {
    let (count, unit) = match events_per_second {
        r if r >= 1.0 => (r, "second"),
        r if r * 60.0 >= 1.0 => (r * 60.0, "minute"),
        r => (r * 3_600.0, "hour"),
    };
    let count = if count >= 10.0 { format!("{count:.0}") } else { format!("{count:.1}") };
    let article = if unit == "hour" { "an" } else { "a" };
    format!("{} {of} {article} {unit}", count.trim_end_matches(".0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_rates_read_as_people_write_them() {
        let shares = [(1.0, "100 %"), (0.9995, "99.95 %"), (0.002, "0.2 %"), (0.5, "50 %"), (0.0123, "1.23 %")];
        shares.iter().for_each(|(share, text)| assert_eq!(percent(*share), *text));
        assert_eq!((percent(0.0), percent(0.1), percent(1.234)), ("0 %".into(), "10 %".into(), "123.4 %".into()));
        let rates = [(100.0, "100 events a second"), (1.5, "1.5 events a second"), (0.1, "6 events a minute")];
        rates.iter().for_each(|(per_second, text)| assert_eq!(rate(*per_second, "events"), *text));
        assert_eq!(rate(0.01, "attempts"), "36 attempts an hour");
    }

    #[test]
    fn slos_that_behave_alike_share_a_table() {
        let text = include_str!("../init/example.yaml");
        let renamed = |name: &str| text.replace("name: checkout-availability", &format!("name: {name}"));
        let sources = [("a.yaml".to_owned(), renamed("a")), ("b.yaml".to_owned(), renamed("b"))];
        let other = ("c.yaml".to_owned(), renamed("c").replace("target: 0.999", "target: 0.99"));
        let [a, b] = sources;
        let slos = crate::definition::parse(&[a, b, other]).expect("three SLOs").slos;
        let tables = tables(&slos, None);
        let named: Vec<Vec<String>> = tables.iter().map(|table| table.slos.clone()).collect();
        assert_eq!(named, [vec!["a".to_owned(), "b".to_owned()], vec!["c".to_owned()]]);
        let cells: Vec<[String; 5]> = tables[0].rows.iter().map(cells).collect();
        // Of the 28 days' budget of 2,419.2 s, an outage of 50 s takes 2.07 %.
        assert_eq!(cells[0], ["100 %", "1h/5m page", "50s", "2.07 %", "50s"].map(str::to_owned), "{cells:?}");
        assert_eq!(cells[1], ["10 %", "budget page", "8m", "1.98 %", "8m"].map(str::to_owned), "{cells:?}");
        assert_eq!(cells[2], ["1 %", "budget page", "15m", "0.372 %", "15m"].map(str::to_owned), "{cells:?}");
        assert_eq!((&*cells[3][1], &*cells[3][4]), ("3d/6h ticket", "never"), "{cells:?}");
        assert_eq!(tables[1].rows[2].alerts, [], "1 % is what an objective of 99 % allows");
    }

    fn example(objective: &str) -> Slo {
        let text = include_str!("../init/example.yaml").replace("target: 0.999", &format!("target: {objective}"));
        crate::definition::parse(&[("a.yaml".to_owned(), text)]).expect("an SLO").slos.remove(0)
    }

    fn without_budget_rule(objective: &str) -> Slo {
        Slo { budget_rule: false, ..example(objective) }
    }

    /// The first T at which a rule's condition holds, from the definition of a window alone.
    fn by_hand(slo: &Slo, severity: Severity, error_ratio: f64) -> Option<i64> {
        let share = |at_ms: i64, window_ms: i64| {
            let length_ms = at_ms - crate::model::time::window_start(at_ms, window_ms);
            error_ratio * at_ms.min(length_ms) as f64 / length_ms as f64
        };
        let allowed = 1.0 - slo.objective.as_f64();
        let first = |rule: &crate::model::slo::Rule| {
            let threshold = rule.factor.as_f64() * allowed;
            let holds = |at_ms: &i64| {
                let short_ms = rule.short_ms.expect("a short window");
                share(*at_ms, rule.long_ms) > threshold && share(*at_ms, short_ms) > threshold
            };
            (1..30_000).map(|step| step * 10_000).find(holds)
        };
        slo.rules.iter().filter(|rule| rule.severity == severity).filter_map(first).min()
    }

    #[test]
    fn delays_are_those_of_the_windows() {
        for (objective, error_ratio) in [("0.999", 1.0), ("0.999", 0.02), ("0.99", 0.1), ("0.995", 1.0)] {
            let slo = without_budget_rule(objective);
            let found = first_alerts(&slo, Traffic { events_per_second: 100.0, error_ratio });
            let page = found.iter().find(|d| d.severity == Severity::Page).map(|d| d.after_ms);
            assert_eq!(page, by_hand(&slo, Severity::Page, error_ratio), "{objective} {error_ratio}: {found:?}");
        }
        let slo = without_budget_rule("0.999");
        let found = first_alerts(&slo, Traffic { events_per_second: 100.0, error_ratio: 0.004 });
        let ticket = found.iter().find(|d| d.severity == Severity::Ticket).map(|d| d.after_ms);
        assert_eq!(ticket, by_hand(&slo, Severity::Ticket, 0.004), "{found:?}");
    }

    #[test]
    fn with_few_events_the_guard_delays_a_page() {
        // 10 events an hour at 99 %: chance alone gives 3 bad ones more often than 1 in 10,000, but not 4.
        let traffic = Traffic { events_per_second: 10.0 / 3_600.0, error_ratio: 1.0 };
        let mut slo = example("0.99");
        let first = |slo: &Slo| first_alerts(slo, traffic).first().map(|d| (d.rule.clone(), d.after_ms));
        assert_eq!(first(&slo), Some(("1h/5m".to_owned(), 4 * 360_000)));
        slo.low_traffic_guard = false;
        assert_eq!(first(&slo), Some(("1h/5m".to_owned(), 2 * 360_000)));
        slo.min_events = 1_000;
        assert_eq!(first(&slo), None, "neither window ever holds so many");
    }
}
