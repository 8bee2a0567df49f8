//! The report, for people and as JSON.

use super::firing;
use super::report::{Became, Finding, Level, RecordReport, RecordsReport, Report, Upcoming, Window};
use crate::command::Printer;
use crate::model::duration;
use serde_json::json;
use std::io::{self, Write as _};

pub fn as_json(out: &mut Printer, report: &Report) -> io::Result<()> {
    let slos = report.ready.as_ref().map(|(_, slos)| slos.iter().map(|s| s.name.as_str()).collect::<Vec<_>>());
    let findings: Vec<&Finding> = report.findings().collect();
    out.json(&json!({"file": report.file, "slos": slos, "firing": report.firing, "maintenance": report.maintenance, "findings": findings, "records": report.records.as_ref().map(|r| &r.records),
        "record_notices": report.records.as_ref().map(|r| &r.notices), "brokers": report.brokers.as_ref().map(|b| &b.fine)}))?;
    out.flush()
}

pub fn as_text(out: &mut Printer, report: &Report) -> io::Result<()> {
    configuration(out, report)?;
    match &report.slos {
        Some(findings) => slos(out, report, findings)?,
        None => out.notice("SLOs: not checked until the configuration is right")?,
    }
    advice(out, report)?;
    if let Some(records) = &report.records {
        self::records(out, records)?;
        report.together.iter().try_for_each(|finding| out.notice(&sentence(finding)))?;
    }
    if let Some(brokers) = &report.brokers {
        out.heading("5 Brokers")?;
        brokers.fine.iter().try_for_each(|text| out.tick(text))?;
        told(out, &brokers.findings)?;
    }
    out.flush()
}

fn configuration(out: &mut Printer, report: &Report) -> io::Result<()> {
    out.heading("1 Configuration")?;
    told(out, &report.configuration)?;
    if report.configuration.iter().all(|f| f.level < Level::Error) {
        let file = report.file.as_ref().map_or_else(|| "no file".to_owned(), |f| f.display().to_string());
        let keys = if report.keys_set == 1 { "key" } else { "keys" };
        out.tick(&format!("{file}: {} {keys} set, the others at their defaults", report.keys_set))?;
    }
    Ok(())
}

fn slos(out: &mut Printer, report: &Report, findings: &[Finding]) -> io::Result<()> {
    out.heading("2 SLOs")?;
    told(out, findings)?;
    for slo in report.ready.iter().flat_map(|(_, slos)| slos) {
        let rules: Vec<String> =
            slo.all_rules().map(|(kind, r)| format!("{} {}", kind.name(&r), r.severity.as_str())).collect();
        let rules = if rules.is_empty() { "no alert rules".to_owned() } else { rules.join(", ") };
        out.tick(&format!("{} over {}: {rules}", slo.name, slo.period.name()))?;
    }
    maintenance(out, report)?;
    firing::print(out, &report.firing)
}

/// The next windows of each maintenance.
fn maintenance(out: &mut Printer, report: &Report) -> io::Result<()> {
    for Upcoming { name, windows } in &report.maintenance {
        let window = |window: &Window| format!("{} to {}", window.start, window.end);
        let windows: Vec<String> = windows.iter().map(window).collect();
        let windows = if windows.is_empty() { "is over".to_owned() } else { windows.join(", ") };
        out.tick(&format!("maintenance `{name}`: {windows}"))?;
    }
    Ok(())
}

/// Errors and warnings of a stage; advice has its own stage.
fn told(out: &mut Printer, findings: &[Finding]) -> io::Result<()> {
    for finding in findings {
        match finding.level {
            Level::Error => out.cross(&sentence(finding))?,
            Level::Warning => out.notice(&sentence(finding))?,
            Level::Advice => {}
        }
    }
    Ok(())
}

fn advice(out: &mut Printer, report: &Report) -> io::Result<()> {
    let stages = report.configuration.iter().chain(report.slos.iter().flatten());
    let mut advice = stages.filter(|f| f.level == Level::Advice).peekable();
    if advice.peek().is_some() {
        out.heading("3 Advice")?;
    }
    advice.try_for_each(|finding| out.notice(&sentence(finding)))
}

fn sentence(finding: &Finding) -> String {
    let parts = [finding.place.as_str(), finding.key.as_str(), finding.message.as_str()];
    let text = parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join(": ");
    match &finding.remedy {
        Some(remedy) => format!("{text}\n{remedy}"),
        None => text,
    }
}

fn records(out: &mut Printer, report: &RecordsReport) -> io::Result<()> {
    let RecordsReport { records, notices, counted, survey } = report;
    out.heading("4 Records")?;
    for record in records {
        let place = match record.partition {
            Some(partition) => format!("partition {partition}, offset {}", record.number),
            None => counted.place(record.number),
        };
        let head = format!("{place} ({})", record.decoder);
        match &record.became {
            Became::DeadLetter { reason, detail } => out.cross(&format!("{head}: dead letter, {reason}: {detail}"))?,
            Became::Outcome { fields, unreadable, verdicts } => {
                let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
                out.tick(&format!("{head}: {}", fields.join(" ")))?;
                for what in unreadable {
                    out.line(&format!("      not read: {what}"))?;
                }
                for v in verdicts {
                    let because = v.because.as_ref().map(|b| format!(" ({b})")).unwrap_or_default();
                    out.line(&format!("      {}: {} by `{}`{because}", v.slo, v.verdict, v.decided_by))?;
                }
            }
        }
    }
    if let Some(hint) = hint(records) {
        out.notice(hint)?;
    }
    notices.iter().try_for_each(|notice| out.notice(notice))?;
    let dead = records.iter().filter(|r| matches!(r.became, Became::DeadLetter { .. })).count();
    out.line(&format!("  {} records shown, {dead} of them dead letters", records.len()))?;
    let Some(survey) = survey else { return Ok(()) };
    let length = duration::short_words(survey.length_ms());
    out.line(&format!("  {} outcomes read over {length}, and {} dead letters", survey.outcomes, survey.dead_letters))
}

/// What is wrong with all records: their format, or their field names.
fn hint(records: &[RecordReport]) -> Option<&'static str> {
    let all_are = |decoders: &[&str], reasons: &[&str]| {
        !records.is_empty()
            && records.iter().all(|record| {
                let is_dead_by =
                    matches!(&record.became, Became::DeadLetter { reason, .. } if reasons.contains(&reason.as_str()));
                decoders.contains(&record.decoder.as_str()) && is_dead_by
            })
    };
    if all_are(&["json", "avro"], &["no_tenant", "no_timestamp"]) {
        return Some(
            "no record has our field names: `input.mapping` maps your fields to ours,\n\
             as in `mapping: {tenant: org.id, timestamp: ts}`",
        );
    }
    all_are(&["json", "json, mapped"], &["not_decodable"]).then_some(
        "no record can be read as JSON with a time that we know: if this is an access log, say --format clf; if it is an\n\
         Avro file, --format avro (or input.format in the configuration)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(decoder: &str, became: Became) -> RecordReport {
        RecordReport { partition: None, number: 0, decoder: decoder.to_owned(), became }
    }

    fn dead(reason: &str) -> Became {
        Became::DeadLetter { reason: reason.to_owned(), detail: String::new() }
    }

    #[test]
    fn where_no_record_has_our_names_the_mapping_is_named() {
        let fine = || Became::Outcome { fields: serde_json::Map::new(), unreadable: Vec::new(), verdicts: Vec::new() };
        assert!(hint(&[record("json", dead("no_tenant")), record("json", dead("no_timestamp"))]).is_some());
        assert!(hint(&[record("json", dead("no_tenant")), record("json", fine())]).is_none());
        assert!(hint(&[record("json, mapped", dead("no_tenant"))]).is_none(), "there is a mapping");
        assert!(hint(&[record("json", dead("not_decodable"))]).is_some_and(|h| h.contains("--format clf")));
        assert!(hint(&[record("json", dead("not_decodable")), record("json", fine())]).is_none());
        assert!(hint(&[record("clf", dead("not_decodable"))]).is_none(), "it says itself what it looks like");
        assert!(hint(&[]).is_none());
    }
}
