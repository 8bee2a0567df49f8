//! The board as lines of text: the aggregate on top, the users below, who is in the tail, alerts.
//!
//! A pure function of the published records and the width; other code draws it.

use super::format::{self, bar, burn, clock, count, percent};
use super::ledger::{Ledger, Progress};
use crate::model::output::{BurnAlert, SloStatus, TailCohort, UserStatus, UserWindow};
use console::{Style, StyledObject, measure_text_width, style, truncate_str};

/// Facts that do not change while the demo runs.
pub struct About {
    pub seed: u64,
    /// `None`: as fast as possible.
    pub speed: Option<f64>,
    pub page: Option<String>,
}

/// All that the board shows at one moment.
pub struct View {
    pub progress: Progress,
    /// Records per second of the clock.
    pub per_second: f64,
    aggregate: Option<SloStatus>,
    emptiness: Option<String>,
    others: Vec<SloStatus>,
    worst_users: Vec<UserStatus>,
    alerts: Vec<BurnAlert>,
    tails: Vec<Tail>,
}

/// Helps to write a filter that fits.
pub const SEE_RECORDS: &str = "`tailburn generate --events 3` prints such records";
const WORST_USERS: usize = 5;
const ALERTS: usize = 4;
const COHORTS: usize = 3;
const BURN_WINDOWS: [&str; 4] = ["5m", "1h", "6h", "3d"];

impl View {
    pub fn of(ledger: &Ledger, per_second: f64) -> View {
        View {
            progress: ledger.progress,
            per_second,
            aggregate: ledger.aggregate(),
            emptiness: ledger.emptiness(),
            others: ledger.others(),
            worst_users: ledger.worst_users(WORST_USERS),
            alerts: last(&ledger.alerts, ALERTS, |a| a.state != "resolved"),
            tails: tails(&ledger.cohorts),
        }
    }

    /// The board for this width; no line is longer.
    pub fn lines(&self, about: &About, width: usize) -> Vec<String> {
        let mut lines = vec![self.header(about, width)];
        if let Some(why) = &self.emptiness {
            lines.push(String::new());
            lines.push(format!("{}  no event counts", heading("NOTHING TO SHOW")));
            lines.extend(why.split("; ").map(|part| format!("  {part}")));
            lines.push(dim(&format!("  {SEE_RECORDS}")));
        } else if let Some(status) = &self.aggregate {
            lines.push(String::new());
            self.write_aggregate(status, &mut lines, width);
            lines.push(String::new());
            write_users(status, &mut lines);
        }
        lines.push(String::new());
        self.write_cohorts(&mut lines);
        self.write_worst_users(&mut lines);
        lines.push(String::new());
        self.write_alerts(&mut lines);
        lines.push(String::new());
        lines
            .push(dim(&format!("{} Ctrl-C ends", about.page.as_ref().map_or_else(String::new, |c| format!("{c}  ·")))));
        lines.into_iter().map(|line| truncate_str(&line, width, "…").into_owned()).collect()
    }

    fn header(&self, about: &About, width: usize) -> String {
        let at = self.progress.at_ms.map_or_else(String::new, format::date_time);
        let speed = about.speed.map_or_else(|| "max".to_owned(), |s| format!("{s}x"));
        let left = format!("tailburn demo  {at} UTC  {speed}");
        let rate = count(libm::round(self.per_second) as u64);
        let right = format!("seed {}  {rate} events/s", about.seed);
        let gap = width.saturating_sub(measure_text_width(&left) + measure_text_width(&right)).max(2);
        style(format!("{left}{}{right}", " ".repeat(gap))).reverse().to_string()
    }

    fn write_aggregate(&self, status: &SloStatus, lines: &mut Vec<String>, width: usize) {
        let compliance = status.windows.iter().find(|w| w.window == status.compliance_window);
        lines.push(format!(
            "{}  {}, {} over {}   {}",
            heading("AGGREGATE"),
            status.display_name,
            format::objective(status.objective),
            status.compliance_window,
            state(&status.state),
        ));
        let budget = status.budget_remaining.unwrap_or(0.0);
        let cells = (width / 4).clamp(12, 28);
        lines.push(format!(
            "  budget  {} {} left    SLI {}",
            health(budget > 0.25, budget > 0.0, bar(budget, cells)),
            percent(status.budget_remaining.map(|b| b.max(0.0))),
            percent(compliance.and_then(|w| w.sli)),
        ));
        let windows = status.windows.iter().filter(|w| BURN_WINDOWS.contains(&w.window.as_str()));
        let burns: Vec<String> = windows.map(|w| format!("{} {}", w.window, coloured_burn(w.burn))).collect();
        lines.push(format!("  burn    {}   {}", burns.join("   "), dim("(1x: just the budget)")));
        self.write_scopes(lines);
    }

    /// Tenants and groups, each with the burn of its last hour.
    fn write_scopes(&self, lines: &mut Vec<String>) {
        for (scope, label) in [("tenant", "tenants"), ("group", "groups")] {
            let of_scope = self.others.iter().filter(|s| s.scope == scope);
            let burns: Vec<String> = of_scope
                .map(|s| {
                    let hour = s.windows.iter().find(|w| w.window == "1h").and_then(|w| w.burn);
                    let name = s.tenant.clone().or_else(|| s.group.values().next().cloned()).unwrap_or_default();
                    format!("{name} {}", if s.state == "no_data" { dim("-") } else { coloured_burn(hour) })
                })
                .collect();
            if !burns.is_empty() {
                lines.push(format!("  {label:<7} {}", burns.join("  ")));
            }
        }
    }

    fn write_cohorts(&self, lines: &mut Vec<String>) {
        lines.push(format!("{}  combinations of attributes over-represented in the tail", heading("WHO")));
        if self.tails.is_empty() {
            lines.push(dim("  nobody in particular"));
        }
        self.tails.iter().take(COHORTS).for_each(|tail| lines.extend(tail.lines()));
    }

    fn write_worst_users(&self, lines: &mut Vec<String>) {
        // A user above the objective is shown among the worst only if no user is below it.
        let objective = self.aggregate.as_ref().map_or(1.0, |s| s.objective);
        let badly: Vec<&UserStatus> = self.worst_users.iter().filter(|u| u.sli < objective).collect();
        let Some(first) = badly.first() else { return };
        let users: Vec<String> =
            badly.iter().map(|u| format!("{}/{} {}", u.tenant, u.user, percent(Some(u.sli)))).collect();
        lines.push(format!("  {} {}", dim(&format!("worst-served over {}:", first.window)), users.join("  ")));
    }

    fn write_alerts(&self, lines: &mut Vec<String>) {
        let firing = self.alerts.iter().filter(|a| a.state != "resolved").count();
        let none = if firing == 0 { "none fires" } else { "" };
        lines.push(format!("{}  {none}", heading("ALERTS")));
        for alert in &self.alerts {
            let text = format!("{} {}", clock(alert.at.0), alert.title);
            lines.push(match alert.state.as_str() {
                "resolved" => dim(&format!("  resolved  {text}")),
                _ => format!("  {}  {text}", severity(&alert.severity)),
            });
        }
    }
}

/// The last few; live ones come first.
fn last<T: Clone>(all: &[T], count: usize, is_live: impl Fn(&T) -> bool) -> Vec<T> {
    let (live, over): (Vec<&T>, Vec<&T>) = all.iter().rev().partition(|item| is_live(item));
    live.into_iter().chain(over).take(count).cloned().collect()
}

fn write_users(status: &SloStatus, lines: &mut Vec<String>) {
    // The shortest window shows what users feel now.
    let Some(users) = status.users.first() else { return };
    lines.push(format!(
        "{}  {} with enough events in {}, {} with too few",
        heading("USERS BELOW"),
        count(users.users),
        users.window,
        count(users.users_too_few),
    ));
    lines.push(format!("  {}", below(users)));
    lines.push(format!(
        "  served  median {}   worst 10 % {}   worst 1 % {}   worst 0.1 % {}",
        percent(users.sli_p50),
        percent(users.sli_worst_10pct),
        coloured_sli(users.sli_worst_1pct, status.objective),
        coloured_sli(users.sli_worst_0_1pct, status.objective),
    ));
}

/// How many users are below the objective, and how many chance alone explains.
fn below(users: &UserWindow) -> String {
    let expected = users.below_expected.unwrap_or(0.0);
    format!(
        "below the objective  {} ({})   {}",
        style(count(users.below_objective)).bold(),
        percent(users.below_share),
        dim(&format!("(by chance alone: {})", count(libm::round(expected) as u64))),
    )
}

/// A combination of attribute values, and all scopes where it is over-represented.
struct Tail {
    /// The cohort of the widest scope: the aggregate if it is over-represented there.
    cohort: TailCohort,
    /// Tenants and groups where the same combination is over-represented.
    places: Vec<String>,
}

/// One entry per combination, however many tenants and groups show it: open before over, wide scopes before narrow
/// ones.
fn tails(cohorts: &[TailCohort]) -> Vec<Tail> {
    let mut sorted: Vec<&TailCohort> = cohorts.iter().rev().collect();
    sorted.sort_by_key(|c| (c.state == "closed", c.scope != "aggregate"));
    let mut tails: Vec<Tail> = Vec::new();
    for cohort in sorted {
        match tails.iter_mut().find(|t| t.cohort.cohort == cohort.cohort) {
            Some(tail) if cohort.state != "closed" => tail.places.push(place(cohort)),
            Some(_) => {}
            // A finished cohort of a single tenant is left out: it is old news.
            None if cohort.state == "closed" && cohort.scope != "aggregate" => {}
            None => tails.push(Tail { cohort: cohort.clone(), places: Vec::new() }),
        }
    }
    tails
}

fn place(cohort: &TailCohort) -> String {
    cohort.tenant.clone().unwrap_or_else(|| format::scope(&cohort.scope, None, &cohort.group))
}

impl Tail {
    fn lines(&self) -> Vec<String> {
        let cohort = &self.cohort;
        let name = format::cohort(&cohort.cohort);
        let within = if cohort.scope == "aggregate" { String::new() } else { format!("  (in {})", place(cohort)) };
        let since = clock(cohort.started_at.0);
        if cohort.state == "closed" {
            return vec![dim(&format!("  over  {name}{within}  {since} to {}", clock(cohort.at.0)))];
        }
        let red = Style::new().red().bold();
        let mut lines = vec![
            format!("  {} {}{within}  since {since}", red.apply_to("▲"), red.apply_to(name)),
            format!("    {}", facts(cohort)),
        ];
        if !self.places.is_empty() {
            lines.push(dim(&format!("    as well in {}", self.places.join(", "))));
        }
        if !cohort.sample_users.is_empty() {
            lines.push(dim(&format!("    users {}", cohort.sample_users.join("  "))));
        }
        lines
    }
}

/// The facts about a cohort, in one line.
pub fn facts(cohort: &TailCohort) -> String {
    let mut facts = Vec::new();
    if let Some(ratio) = cohort.risk_ratio {
        facts.push(format!("{ratio:.0}x the risk"));
    }
    if let (Some(tail), Some(users)) = (cohort.users_in_tail, cohort.users) {
        let what = if cohort.kind == "events" { "with failures" } else { "below the objective" };
        facts.push(format!("{} of {} users {what}", count(tail), count(users)));
    }
    if let Some(share) = cohort.bad_share {
        facts.push(format!("{} of what is bad", percent(Some(share))));
    }
    facts.join(", ")
}

fn heading(text: &str) -> StyledObject<&str> {
    style(text).bold()
}

fn dim(text: &str) -> String {
    style(text).dim().to_string()
}

fn health(is_good: bool, is_fair: bool, text: String) -> StyledObject<String> {
    let colour = match (is_good, is_fair) {
        (true, _) => Style::new().green(),
        (false, true) => Style::new().yellow(),
        (false, false) => Style::new().red().bold(),
    };
    colour.apply_to(text)
}

fn coloured_burn(rate: Option<f64>) -> String {
    let value = rate.unwrap_or(0.0);
    health(value < 1.0, value < 6.0, burn(rate)).to_string()
}

fn coloured_sli(sli: Option<f64>, objective: f64) -> String {
    let good = sli.is_none_or(|s| s >= objective);
    health(good, good, percent(sli)).to_string()
}

fn state(state: &str) -> String {
    health(state == "ok", state != "breached", state.to_owned()).to_string()
}

fn severity(severity: &str) -> StyledObject<String> {
    let text = format!("{severity:<8}");
    match severity {
        "page" => style(text).red().bold(),
        "ticket" => style(text).yellow(),
        _ => style(text).cyan(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::demo::ledger::tests::{cohort, ledger_of, status};
    use crate::model::record::Topic;
    use console::strip_ansi_codes;

    fn board(records: &[(Topic, String)], width: usize) -> Vec<String> {
        let view = View::of(&ledger_of(records), 7_200.0);
        let about = About { seed: 7, speed: Some(60.0), page: Some("http://127.0.0.1:1/".into()) };
        view.lines(&about, width).iter().map(|line| strip_ansi_codes(line).into_owned()).collect()
    }

    #[test]
    fn the_board_shows_what_was_published_and_no_line_is_too_long() {
        let records = [
            (Topic::SloStatus, status()),
            (Topic::TailCohorts, cohort("c1", "aggregate", "open", "pro")),
            (Topic::TailCohorts, cohort("c2", "tenant", "open", "pro")),
            (Topic::TailCohorts, cohort("c3", "aggregate", "closed", "ent")),
        ];
        for width in [40, 80, 110] {
            let lines = board(&records, width);
            assert!(lines.iter().all(|line| measure_text_width(line) <= width), "{lines:#?}");
        }
        let text = board(&records, 110).join("\n");
        for part in
            ["99.500 % left", "1h 0.25x", "12 (1.2 %)", "▲ tier=pro", "as well in acme", "over  tier=ent", "none fires"]
        {
            assert!(text.contains(part), "no `{part}` in\n{text}");
        }
        assert_eq!(text.matches("tier=pro").count(), 1, "{text}");
    }

    #[test]
    fn before_anything_is_published_there_is_a_board_all_the_same() {
        assert!(board(&[], 80).join("\n").contains("nobody in particular"));
    }
}
