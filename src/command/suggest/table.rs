//! The candidates of one SLO, as a table and as JSON.

use super::replay::Recording;
use crate::command::check::firing::{aligned, percent, rate};
use crate::command::survey::Survey;
use crate::command::{Failure, Printer};
use crate::model::duration;
use crate::model::slo::Slo;
use crate::model::time::{DAY_MS, Ms};
use crate::operator::detection::{Traffic, first_alerts};
use serde::Serialize;
use std::io;

const MONTH_MS: f64 = 30.0 * DAY_MS as f64;
/// Alerts of a shorter recording are not extrapolated to a month.
const MONTH_FROM_MS: Ms = 5 * DAY_MS;
/// An objective is called comfortable if it left so much of its budget.
const USED_MAX: f64 = 0.75;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    slo: String,
    objective: f64,
    /// Whether it is the draft's own.
    is_own: bool,
    /// Bad events of a period at this traffic.
    allowed_bad_of_period: f64,
    /// Over the recording, by number of events.
    budget_used: f64,
    pages: u64,
    tickets: u64,
    pages_a_month: f64,
    tickets_a_month: f64,
    users: u64,
    users_below: u64,
    /// After how long 1 % and 10 % errors are found; null: never.
    found_after_1pct: Option<Found>,
    found_after_10pct: Option<Found>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Found {
    after_ms: Ms,
    severity: &'static str,
}

impl Candidate {
    pub fn of(
        slo: &Slo,
        own: &Slo,
        index: usize,
        survey: &Survey,
        recording: &Recording,
    ) -> Result<Candidate, Failure> {
        let seen = &survey.slos[index];
        let events = (seen.good + seen.bad) as f64;
        let allowed = 1.0 - slo.objective.as_f64();
        let months = (survey.length_ms() as f64 / MONTH_MS).max(f64::MIN_POSITIVE);
        let replayed = recording.replay(index, slo)?;
        let events_per_second = survey.events_per_second(index).unwrap_or(0.0);
        let found = |error_ratio| {
            let first = first_alerts(slo, Traffic { events_per_second, error_ratio }).into_iter().next();
            first.map(|first| Found { after_ms: first.after_ms, severity: first.severity.as_str() })
        };
        Ok(Candidate {
            slo: slo.name.clone(),
            objective: slo.objective.as_f64(),
            is_own: slo.objective == own.objective,
            allowed_bad_of_period: allowed * events_per_second * slo.period.nominal_ms() as f64 / 1_000.0,
            budget_used: seen.bad as f64 / (allowed * events),
            pages: replayed.pages,
            tickets: replayed.tickets,
            pages_a_month: replayed.pages as f64 / months,
            tickets_a_month: replayed.tickets as f64 / months,
            users: replayed.users,
            users_below: replayed.users_below,
            found_after_1pct: found(0.01),
            found_after_10pct: found(0.1),
        })
    }

    fn cells(&self, is_short: bool) -> [String; 8] {
        let found = |found: &Option<Found>| {
            found.as_ref().map_or_else(
                || "never".to_owned(),
                |found| format!("{} ({})", duration::short_words(found.after_ms), found.severity),
            )
        };
        let users = if self.users == 0 { "-".to_owned() } else { self.users_below.to_string() };
        [
            format!("{}{}", percent(self.objective), if self.is_own { " *" } else { "" }),
            format!("{:.0} %", self.budget_used * 100.0),
            format!("{:.0}", self.allowed_bad_of_period),
            a_month(self.pages, self.pages_a_month, is_short),
            a_month(self.tickets, self.tickets_a_month, is_short),
            users,
            found(&self.found_after_10pct),
            found(&self.found_after_1pct),
        ]
    }
}

/// A number of alerts as that of a month, and how many there were. A short recording says nothing about a month.
fn a_month(count: u64, a_month: f64, is_short: bool) -> String {
    if count == 0 || is_short { count.to_string() } else { format!("{a_month:.1} ({count} seen)") }
}

pub fn print(out: &mut Printer, slo: &Slo, survey: &Survey, index: usize, candidates: &[Candidate]) -> io::Result<()> {
    let seen = &survey.slos[index];
    let events = seen.good + seen.bad;
    if events == 0 {
        return out.heading(&format!("{}: no events in {} outcomes", slo.name, survey.outcomes));
    }
    let sli = percent(seen.good as f64 / events as f64);
    let length = duration::short_words(survey.length_ms());
    let traffic = survey
        .events_per_second(index)
        .map(|events| rate(events, "events"))
        .unwrap_or_else(|| "too short to say how many".to_owned());
    let users = candidates.first().map_or(0, |candidate| candidate.users);
    out.heading(&format!(
        "{}: {sli} good over {length} ({} of {events} events bad, {traffic}, {users} users with {} events or more)",
        slo.name, seen.bad, slo.min_user_events
    ))?;
    let bad_of_period = format!("bad allowed in {}", slo.period.name());
    let is_short = survey.length_ms() < MONTH_FROM_MS;
    let head = [
        "objective",
        "budget used",
        &bad_of_period,
        if is_short { "pages" } else { "pages a month" },
        if is_short { "tickets" } else { "tickets a month" },
        "users below",
        "10 % errors found after",
        "1 % errors found after",
    ]
    .map(str::to_owned);
    let rows: Vec<[String; 8]> = std::iter::once(head).chain(candidates.iter().map(|c| c.cells(is_short))).collect();
    aligned(&rows).iter().try_for_each(|line| out.line(&format!("  {line}")))?;
    out.line(&format!("  {}", advice(candidates)))
}

/// Which of them fits.
fn advice(candidates: &[Candidate]) -> String {
    match candidates.iter().rev().find(|candidate| candidate.budget_used <= USED_MAX) {
        Some(fits) => format!(
            "The strictest that left a quarter of its budget: {}. Choose what users need; this is what they got.",
            percent(fits.objective)
        ),
        None => {
            "None of them left a quarter of its budget. Look at what fails before you choose an objective.".to_owned()
        }
    }
}
