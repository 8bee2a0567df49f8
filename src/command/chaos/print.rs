//! The reports of faults for people, and the table of a matrix.

use super::fault::{Fault, Kind};
use super::judge::{First, Judged};
use super::named::Fit;
use super::{Cell, Report};
use crate::command::Printer;
use crate::command::check::firing::percent;
use crate::model::duration::{print, short_words};
use crate::model::time::Moment;
use std::io;

/// So many names of an SLO are shown.
const NAMES_MAX: usize = 3;

pub fn report(out: &mut Printer, report: &Report) -> io::Result<()> {
    out.heading(&heading(&report.fault, Some(report.fault.spec.share)))?;
    for judged in &report.slos {
        slo(out, judged)?;
    }
    out.line("")
}

/// `share` is null where several are tried.
fn heading(fault: &Fault, share: Option<f64>) -> String {
    let name = fault.spec.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
    let (who, from) = (fault.who(), Moment(fault.from_ms));
    match share {
        Some(share) => {
            format!("{name}{who}; {} of good events from {from} for {}", percent(share), print(fault.spec.length_ms))
        }
        None => format!("{name}{who}; from {from}"),
    }
}

fn slo(out: &mut Printer, judged: &Judged) -> io::Result<()> {
    let mut lines = vec![format!("{}: {}", judged.slo, verdict(judged))];
    if judged.kind.is_some() {
        lines.push(harm(judged));
    }
    if let Some(page) = &judged.first_page {
        lines.push(format!("first page: {}", alert(page)));
    }
    for named in judged.named.iter().take(NAMES_MAX) {
        let (fit, who, by) = (named.fit.told(), named.words(), named.by);
        lines.push(format!("names {fit}: {who} ({by}, {} after the start)", short_words(named.after_ms)));
    }
    if judged.named.len() > NAMES_MAX {
        lines.push(format!("and {} more names", judged.named.len() - NAMES_MAX));
    }
    if judged.users_hit > 0 {
        lines.push(format!("users: {} of {} that it hits stand in user-status", judged.users_named, judged.users_hit));
    }
    let text = lines.join("\n");
    match (judged.seen, judged.kind) {
        (true, _) => out.tick(&text),
        (false, Some(_)) => out.cross(&text),
        (false, None) => out.notice(&text),
    }
}

fn verdict(judged: &Judged) -> String {
    let reason = judged.reason.as_deref().unwrap_or_default();
    match (&judged.first, judged.kind) {
        (Some(first), _) => {
            let end = match (&first.resolved_at, &first.resolved_reason) {
                (Some(at), Some(reason)) => format!("resolved at {at} ({reason})"),
                _ => "still firing where the recording ends".to_owned(),
            };
            format!("seen by {}; {end}", alert(first))
        }
        (None, Some(_)) => format!("NOT SEEN: {reason}"),
        (None, None) => format!("not judged: {reason}"),
    }
}

fn alert(first: &First) -> String {
    let group: Vec<String> = first.group.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let of = match &first.tenant {
        Some(tenant) => format!(" of tenant {tenant}"),
        None if !group.is_empty() => format!(" of {}", group.join(", ")),
        None => String::new(),
    };
    format!("{} {}{of} after {}", first.severity, first.rule, short_words(first.after_ms))
}

fn harm(judged: &Judged) -> String {
    let kind = [Kind::Error, Kind::Slow, Kind::Set].into_iter().find(|kind| Some(kind.name()) == judged.kind);
    let how = kind.map_or("", Kind::told);
    let made = format!("{} of {} good events become bad ({how})", judged.faulty, judged.selected);
    let budget = judged.budget_spent.map(|spent| match spent {
        0.0..0.99 => format!(", {} of the budget", percent(spent)),
        _ => format!(", {spent:.1} times the budget"),
    });
    let budget = budget.unwrap_or_default();
    match (judged.before_first, judged.undetected_share) {
        (Some(before), Some(share)) => {
            format!("{made}; before the alert {before} of them ({}){budget}", percent(share))
        }
        _ => format!("{made}, none of them detected{budget}"),
    }
}

/// A table for each fault: a row a share, a column a length.
pub fn matrix(out: &mut Printer, faults: &[Vec<Cell>]) -> io::Result<()> {
    for cells in faults {
        let Some(first) = cells.first() else { continue };
        out.heading(&heading(&first.report.fault, None))?;
        // The cells stand share by share.
        let rows: Vec<&[Cell]> = cells.chunk_by(|a, b| a.share == b.share).collect();
        let lengths = rows.first().into_iter().flat_map(|row| row.iter());
        let lengths = lengths.map(|cell| format!("for {}", print(cell.report.fault.spec.length_ms)));
        let mut lines: Vec<Vec<String>> = vec![std::iter::once("share".to_owned()).chain(lengths).collect()];
        for row in rows {
            let share = row.first().map(|cell| percent(cell.share));
            lines.push(share.into_iter().chain(row.iter().map(|cell| told(&cell.report))).collect());
        }
        let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|c| c.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        for line in &lines {
            let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            out.line(format!("  {}", cells.join("   ")).trim_end())?;
        }
        out.line("")?;
    }
    out.line("The first alert and its delay in event time; named: somebody is named, and exactly the fault.")
}

/// The first alert of any SLO, and whether somebody named the fault exactly.
fn told(report: &Report) -> String {
    let firsts = report.slos.iter().filter_map(|judged| judged.first.as_ref().map(|first| (first, judged)));
    let Some((first, judged)) = firsts.min_by_key(|(first, _)| first.at) else { return "NOT SEEN".to_owned() };
    let named = match judged.named.first().map(|named| named.fit) {
        Some(Fit::Exact) => ", named",
        _ => "",
    };
    format!("{} {} {}{named}", first.severity, first.rule, short_words(first.after_ms))
}
