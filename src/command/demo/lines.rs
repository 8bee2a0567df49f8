//! The demo without a terminal: one line for each notable event, and a regular status line.

use super::format::{self, burn, clock, count, percent};
use super::ledger::News;
use super::shared::Shared;
use super::view::{SEE_RECORDS, facts};
use crate::model::duration;
use crate::model::output::{BurnAlert, SloStatus, TailCohort};
use std::io::{self, Write as _};
use std::time::Duration;

const LOOK: Duration = Duration::from_millis(200);
/// A status line after this many looks, that is every ten seconds.
const STATUS_EVERY: u32 = 50;

pub fn show(shared: &Shared) -> io::Result<()> {
    let shown = show_until_the_end(shared);
    if shown.is_err() {
        // Nobody reads the output any more, so the demo stops.
        shared.stop();
    }
    shown
}

fn show_until_the_end(shared: &Shared) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "fast-forward: {} of history", duration::words(shared.history_ms))?;
    let mut was_live = false;
    let mut looks = 0;
    loop {
        let is_over = shared.wait_for_end(LOOK);
        let live = shared.live_since();
        if let (false, Some(since)) = (was_live, live) {
            let took = since.duration_since(shared.started).as_secs_f64();
            writeln!(out, "live after {took:.1} s")?;
            (was_live, looks) = (true, 0);
        }
        let news = shared.ledger().news();
        for item in &news {
            writeln!(out, "{}", told(item))?;
        }
        if looks % STATUS_EVERY == STATUS_EVERY - 1 || (is_over && was_live) {
            write_status(shared, &mut out)?;
        }
        looks += 1;
        if is_over {
            return Ok(());
        }
    }
}

fn write_status(shared: &Shared, out: &mut impl io::Write) -> io::Result<()> {
    // Unlock before printing: the worker needs the ledger, too.
    let (status, emptiness) = {
        let ledger = shared.ledger();
        (ledger.aggregate(), ledger.emptiness())
    };
    match (emptiness, status) {
        (Some(why), _) => writeln!(out, "{why} ({SEE_RECORDS})"),
        (None, Some(status)) => writeln!(out, "{}", how_things_are(&status)),
        (None, None) => Ok(()),
    }
}

fn told(news: &News) -> String {
    match news {
        News::Alert(alert) => alert_line(alert),
        News::Cohort(cohort) => cohort_line(cohort),
    }
}

fn alert_line(alert: &BurnAlert) -> String {
    let scope = format::scope(&alert.scope, alert.tenant.as_deref(), &alert.group);
    format!("{}  {} {}: {scope}: {}", clock(alert.at.0), alert.severity, alert.state, alert.summary)
}

fn cohort_line(cohort: &TailCohort) -> String {
    let scope = format::scope(&cohort.scope, cohort.tenant.as_deref(), &cohort.group);
    let name = format::cohort(&cohort.cohort);
    format!("{}  cohort {}: {scope}: {name}: {}", clock(cohort.at.0), cohort.state, facts(cohort))
}

fn how_things_are(status: &SloStatus) -> String {
    let hour = status.windows.iter().find(|w| w.window == "1h").and_then(|w| w.burn);
    let users = status.users.first().map_or_else(String::new, |u| {
        let even = libm::round(u.below_expected.unwrap_or(0.0)) as u64;
        let (below, users) = (count(u.below_objective), count(u.users));
        format!(
            "; {below} of {users} users below the objective over {} (chance alone would put {} there)",
            u.window,
            count(even)
        )
    });
    format!(
        "{}  {}: {}, budget {} left, burn {} over 1h{users}",
        clock(status.at.0),
        status.slo,
        status.state,
        percent(status.budget_remaining),
        burn(hour)
    )
}
