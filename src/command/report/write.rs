//! A report as a page to print, as a table, or as JSON. The same records make the same bytes.

use super::agreement::{Agreement, Held};
use super::month::{Day, Report, SloMonth};
use crate::model::output::BurnAlert;
use std::fmt::Write as _;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Html,
    Csv,
    Json,
    /// For a terminal.
    Text,
}

impl Form {
    /// From the end of a file's name.
    pub fn of_file(name: &str) -> Result<Form, String> {
        match name.rsplit_once('.').map(|(_, end)| end) {
            Some("html" | "htm") => Ok(Form::Html),
            Some("csv") => Ok(Form::Csv),
            Some("json") => Ok(Form::Json),
            _ => Err(format!("--out {name}: end it with .html, .csv or .json, which says what to write")),
        }
    }
}

pub fn write(report: &Report, form: Form) -> Result<String, serde_json::Error> {
    Ok(match form {
        Form::Json => serde_json::to_string_pretty(report)? + "\n",
        Form::Csv => csv(report),
        Form::Html => html(report),
        Form::Text => report.slos.iter().map(|slo| text(report, slo)).collect(),
    })
}

/// A share as people write it: 99.95 %, with as many digits as tell it from 100 %.
fn percent(share: f64) -> String {
    let missing = 1.0 - share;
    let digits = if missing <= 0.0 { 0 } else { (-libm::log10(missing * 100.0)).ceil().clamp(0.0, 6.0) as usize + 1 };
    format!("{:.digits$} %", share * 100.0)
}

fn number(number: f64) -> String {
    let whole = format!("{number:.0}");
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole.as_str()), |digits| ("-", digits));
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}")
}

/// The month in one sentence.
fn sentence(slo: &SloMonth) -> String {
    let Some(sli) = slo.sum.sli else { return "No request was counted in this month.".to_owned() };
    let all = number(slo.sum.good + slo.sum.bad);
    let result = format!("{} of {all} requests were good", percent(sli));
    match (slo.objective, slo.is_met, slo.allowed_bad) {
        (Some(objective), Some(true), Some(allowed)) if allowed > 0.0 => format!(
            "{result}: the objective of {} was met, with {} of the {} bad requests that it allows.",
            percent(objective),
            number(slo.sum.bad),
            number(allowed)
        ),
        (Some(objective), Some(false), Some(allowed)) if allowed > 0.0 => format!(
            "{result}: the objective of {} was missed, with {} bad requests where it allows {}.",
            percent(objective),
            number(slo.sum.bad),
            number(allowed)
        ),
        _ => format!("{result}, {} were bad.", number(slo.sum.bad)),
    }
}

/// The agreement's result in one sentence.
fn against(sla: &Agreement) -> String {
    let agreed = format!("The agreement of {} over {}", percent(sla.objective), sla.period);
    let Some(Held { sum, is_kept, is_open, .. }) = &sla.result else {
        return format!("{agreed} has no figures of this month.");
    };
    let all = number(sum.good + sum.bad);
    let figures = format!("{} of {all} requests, {} bad", sum.sli.map(percent).unwrap_or_default(), number(sum.bad));
    let word = match (is_kept, is_open) {
        (Some(true), true) => "is kept so far",
        (Some(true), false) => "was kept",
        (Some(false), true) => "is missed so far",
        (Some(false), false) => "was missed",
        (None, _) => "has no result",
    };
    let period = sla.result.as_ref().and_then(|held| held.start.as_ref().zip(held.end.as_ref()));
    let span = period.map(|(start, end)| format!(" Its period is {start} to {end}.")).unwrap_or_default();
    format!("{agreed} {word}: {figures}.{span}")
}

fn months_missed(sla: &Agreement) -> Option<String> {
    let (first, last) = (sla.months.first()?, sla.months.last()?);
    let of = format!("of the {} from {} to {}", sla.months.len(), first.month, last.month);
    Some(match sla.missed.as_slice() {
        [] => format!("Months missed: none {of}."),
        missed => format!("Months missed: {} {of}: {}.", missed.len(), missed.join(", ")),
    })
}

/// Who was hit, in words.
fn who(alert: &BurnAlert) -> String {
    match (alert.affected_users, alert.users_active) {
        (Some(affected), Some(active)) => format!("{affected} of {active} users"),
        _ => String::new(),
    }
}

/// As the customer knows itself.
fn name(report: &Report) -> String {
    match &report.display_name {
        Some(name) if *name != report.tenant => format!("{name} ({})", report.tenant),
        _ => report.tenant.clone(),
    }
}

fn text(report: &Report, slo: &SloMonth) -> String {
    let mut out = format!("{} · {} · {}\n  {}\n", name(report), report.period, slo.display_name, sentence(slo));
    if let Some(sla) = &slo.sla {
        let _ = writeln!(out, "  {}", against(sla));
        months_missed(sla).into_iter().for_each(|line| _ = writeln!(out, "  {line}"));
    }
    for day in &slo.worst_days {
        let _ = writeln!(out, "  {}  {} bad of {}", day.day, number(day.sum.bad), number(day.sum.good + day.sum.bad));
    }
    for alert in &slo.incidents {
        let ended = alert.ended_at.map_or("goes on".to_owned(), |ended| format!("until {ended}"));
        let _ = writeln!(out, "  {} {} {ended}: {}", alert.severity, alert.started_at, alert.title);
    }
    out
}

/// The agreement stands in the row of the month, which has no day.
const CSV_HEAD: &str = "tenant,period,slo,day,good,bad,sli,objective,sla,sla_is_kept\n";

fn csv(report: &Report) -> String {
    let mut out = CSV_HEAD.to_owned();
    for slo in &report.slos {
        let objective = slo.objective.map(|o| o.to_string()).unwrap_or_default();
        let mut row = |day: &str, sum: &super::month::Sum, sla: &str| {
            let sli = sum.sli.map(|sli| sli.to_string()).unwrap_or_default();
            let [tenant, name] = [&report.tenant, &slo.slo].map(|cell| quoted(cell));
            let _ = writeln!(
                out,
                "{tenant},{},{name},{day},{},{},{sli},{objective},{sla}",
                report.period, sum.good, sum.bad
            );
        };
        slo.days.iter().for_each(|Day { day, sum }| row(day, sum, ","));
        let kept = |sla: &Agreement| sla.result.as_ref().and_then(|of| of.is_kept).map(|is| is.to_string());
        let sla = slo.sla.as_ref().map(|sla| format!("{},{}", sla.objective, kept(sla).unwrap_or_default()));
        row("", &slo.sum, sla.as_deref().unwrap_or(","));
    }
    out
}

/// A cell. A spreadsheet would calculate what begins like a formula.
fn quoted(cell: &str) -> String {
    let cell = if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}\
h1{margin-bottom:0}h2{margin-top:2.5rem;border-bottom:1px solid #ccc}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ddd;vertical-align:top}td.n,th.n{text-align:right}\
.met{color:#0b6b2f}.missed{color:#a30f0f}small{color:#555}@media print{body{margin:0}h2{break-after:avoid}tr{break-inside:avoid}}";

fn html(report: &Report) -> String {
    let title = format!("{}: service levels in {}", escaped(&name(report)), escaped(&report.period));
    let owner = report.owner.as_ref().map(|owner| format!(" · contact: {}", escaped(owner))).unwrap_or_default();
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\n<h1>{}</h1>\n\
         <p>Service levels in {} (UTC){owner}</p>\n",
        escaped(&name(report)),
        escaped(&report.period)
    );
    for slo in &report.slos {
        section(&mut out, slo);
    }
    out.push_str(
        "<p><small>Good and bad requests are the sums of the hours of the month, as they were published at the end of \
         each hour; requests that came later are not in them. Users are those worst served in the last day of what is \
         shown.</small></p>\n</body></html>\n",
    );
    out
}

fn section(out: &mut String, slo: &SloMonth) {
    let class = match slo.is_met {
        Some(true) => "met",
        Some(false) => "missed",
        None => "",
    };
    let _ =
        writeln!(out, "<h2>{}</h2>\n<p class=\"{class}\">{}</p>", escaped(&slo.display_name), escaped(&sentence(slo)));
    if let Some(sla) = &slo.sla {
        of_agreement(out, sla);
    }
    if !slo.incidents.is_empty() {
        out.push_str("<h3>Incidents</h3>\n<table><tr><th>From</th><th>Until</th><th>Severity</th><th>What</th><th>Who</th></tr>\n");
        for alert in &slo.incidents {
            let until = alert.ended_at.map_or("goes on".to_owned(), |ended| ended.to_string());
            cells(out, &[&alert.started_at.to_string(), &until, &alert.severity, &alert.summary, &who(alert)]);
        }
        out.push_str("</table>\n");
    }
    if !slo.cohorts.is_empty() {
        out.push_str("<h3>Who was served worse than others</h3>\n<ul>\n");
        for cohort in &slo.cohorts {
            let _ = writeln!(out, "<li>{} <small>since {}</small></li>", escaped(&cohort.summary), cohort.started_at);
        }
        out.push_str("</ul>\n");
    }
    if !slo.worst_days.is_empty() {
        out.push_str("<h3>Worst days</h3>\n<table><tr><th>Day</th><th>Bad</th><th>All</th><th>Good</th></tr>\n");
        for Day { day, sum } in &slo.worst_days {
            let good = sum.sli.map(percent).unwrap_or_default();
            cells(out, &[day, &number(sum.bad), &number(sum.good + sum.bad), &good]);
        }
        out.push_str("</table>\n");
    }
    if !slo.users.is_empty() {
        out.push_str("<h3>Users who were served worst</h3>\n<table><tr><th>User</th><th>Bad</th><th>All</th><th>Good</th></tr>\n");
        for user in &slo.users {
            cells(out, &[&user.user, &number(user.bad), &number(user.good + user.bad), &percent(user.sli)]);
        }
        out.push_str("</table>\n");
    }
    for change in &slo.changes {
        let hash = change.definition_hash.get(..12).unwrap_or(&change.definition_hash);
        let _ = writeln!(out, "<p>The definition changed before {} (to {}).</p>", escaped(&change.at), escaped(hash));
    }
}

fn of_agreement(out: &mut String, sla: &Agreement) {
    let class = match sla.result.as_ref().and_then(|of| of.is_kept) {
        Some(true) => "met",
        Some(false) => "missed",
        None => "",
    };
    let _ = writeln!(out, "<h3>Agreement (SLA)</h3>\n<p class=\"{class}\">{}</p>", escaped(&against(sla)));
    let Some(line) = months_missed(sla) else { return };
    let _ = writeln!(out, "<p>{}</p>", escaped(&line));
    out.push_str("<table><tr><th>Month</th><th>Bad</th><th>All</th><th>Good</th><th>Agreement</th></tr>\n");
    for Held { month, sum, is_kept, is_open, .. } in &sla.months {
        let good = sum.sli.map(percent).unwrap_or_default();
        let word = match (is_kept, is_open) {
            (Some(true), true) => "kept so far",
            (Some(true), false) => "kept",
            (Some(false), true) => "missed so far",
            (Some(false), false) => "missed",
            (None, _) => "",
        };
        cells(out, &[month, &number(sum.bad), &number(sum.good + sum.bad), &good, word]);
    }
    out.push_str(
        "</table>\n<p><small>The month that goes on and the one before are those of the agreement, in its time zone; earlier \
         ones are the hours of the month in UTC, held against what is agreed now.</small></p>\n",
    );
}

fn cells(out: &mut String, cells: &[&str]) {
    out.push_str("<tr>");
    for cell in cells {
        let _ = write!(out, "<td>{}</td>", escaped(cell));
    }
    out.push_str("</tr>\n");
}

/// A text as part of a page.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::month::tests::point;
    use super::super::month::{Collector, Month};
    use super::*;
    use crate::model::record::Topic;

    fn report(tenant: &str) -> Report {
        let mut all = Collector::new(Month::parse("2026-11").expect("a month"), None);
        for (hour, bad) in [("01", 0.0), ("02", 3.0)] {
            let (key, json) = point(tenant, &format!("2026-11-05T{hour}:00:00.000Z"), 1_234_567.0, bad, "one");
            all.take(Topic::SloHistory, &key, Some(&json)).expect("a record");
        }
        all.reports().remove(0)
    }

    #[test]
    fn shares_and_numbers_are_as_people_write_them() {
        let written = [1.0, 0.9995, 0.99, 0.5, 0.0].map(percent);
        assert_eq!(written, ["100 %", "99.950 %", "99.0 %", "50.0 %", "0.0 %"]);
        assert_eq!([0.0, 999.0, 1_234_567.4, -1_000.0].map(number), ["0", "999", "1,234,567", "-1,000"]);
    }

    #[test]
    fn nothing_in_a_name_becomes_markup_or_a_formula() {
        let page = write(&report("<b>\"x\"&"), Form::Html).expect("a page");
        assert!(page.contains("<h1>&lt;b&gt;&quot;x&quot;&amp;</h1>") && !page.contains("<b>"), "{page}");
        let table = write(&report("=1+1,x"), Form::Csv).expect("a table");
        assert!(table.contains("\"'=1+1,x\",2026-11,checkout,2026-11-05,"), "{table}");
    }

    #[test]
    fn the_same_records_make_the_same_bytes_in_each_form() {
        for form in [Form::Html, Form::Csv, Form::Json, Form::Text] {
            let once = write(&report("acme"), form).expect("written");
            assert_eq!(once, write(&report("acme"), form).expect("written"));
            assert!(once.contains("acme"), "{once}");
        }
        let text = write(&report("acme"), Form::Text).expect("a text");
        assert!(text.contains("of 2,469,137 requests were good, 3 were bad"), "{text}");
    }
}
