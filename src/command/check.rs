//! `check`: configuration and SLOs in stages, and what a record becomes.
//!
//! It reports all mistakes, not only the first. It reads only files, unless the arguments name a topic or ask it to
//! connect; it writes nothing. [`seams`] connects it to the modules that read SLOs and records.

mod connect;
pub(super) mod firing;
mod print;
mod records;
mod report;
mod seams;
mod stages;
mod strict;
mod together;

pub use firing::{FiringRow, FiringTable, FirstAlert};
use report::Upcoming;
pub use report::{Became, BrokersReport, Finding, Level, RecordReport, RecordsReport, Report, Verdict};
pub use seams::{Records, Seams, SloStage};

use super::backtest::FileFormat;
use super::{Exit, Global, Outcome, Printer};
use crate::config::{self, Loaded, Sources};
use clap::Args;
use stages::Asked;
use std::path::PathBuf;

/// Check the configuration and the SLOs, and show what records become
///
/// It names the next three windows of each maintenance, and says when each SLO would fire: for a steady share of errors, which rule fires after how long, and how much of the
/// budget is gone by then. With --input, it shows each record with its fields and, for each SLO, the verdict and the
/// expression that decided it; or the reason why the record is a dead letter. A file is then read on (up to a million
/// records) for its traffic and for signs that an SLI does not measure what it should.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tailburn check
  tailburn check --config production.yaml --json
  tailburn check --slos slos                       # SLOs alone, as in a pull request
  tailburn check --slos slos --strict              # and is each one documented, and its review not overdue
  tailburn check --input today.jsonl.gz --limit 5
  tailburn check --input access.log --format clf
  tailburn check --input request-outcomes          # the newest records of a topic
  tailburn check --connect                         # before `run`: brokers, login, topics, rights

Exit codes: 0 all is well (advice may remain), 1 findings, 78 an error.")]
pub struct CheckArgs {
    /// Check these SLOs alone (no key is needed); a file or a directory, may be repeated
    #[arg(long, value_name = "FILE|DIR")]
    pub slos: Vec<PathBuf>,

    /// Show what each record of a file becomes (- is standard input), or the newest of a topic
    #[arg(long, value_name = "FILE|TOPIC|-")]
    pub input: Option<PathBuf>,

    /// The format of the input [default: `input.format` of the configuration]
    #[arg(long, value_enum, requires = "input")]
    pub format: Option<FileFormat>,

    /// How many records to show
    #[arg(long, value_name = "N", default_value_t = 20, requires = "input")]
    pub limit: u64,

    /// Ask the brokers too: connection, login, topics and every right that `run` needs; joins no group, publishes
    /// nothing
    #[arg(long)]
    pub connect: bool,

    /// Want what people need to know: owner, why, how-measured, accepted-variation, review-by; and no review that is
    /// overdue
    #[arg(long)]
    pub strict: bool,

    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(global: &Global, args: &CheckArgs) -> Outcome {
    run_with(global, args, &Seams::of_this_build())
}

/// As `run`, with the parts that read SLOs and records given.
pub fn run_with(global: &Global, args: &CheckArgs, seams: &Seams) -> Outcome {
    let sources = Sources::of_process(global.config.clone(), global.sets.clone());
    let loaded = config::load(&sources).map(|loaded| asked(loaded, args));
    let settings = loaded.as_ref().ok().filter(|_| args.connect).map(|asked| asked.loaded.settings.clone());
    let mut report = stages::check(loaded, seams);
    if report.configuration.iter().all(|finding| finding.level < Level::Error) {
        report.brokers = settings.map(|settings| connect::ask(&settings));
    }
    if let (Some(input), Some((settings, slos))) = (&args.input, &report.ready) {
        let records = (seams.records)(settings, slos, input, args.limit)?;
        report.together = together::advice(settings, &records.records);
        report.together.extend(records.survey.iter().flat_map(|survey| together::defects(slos, survey)));
        report.together.extend(records.survey.as_ref().and_then(together::first_chunk));
        report.records = Some(records);
    }
    if let (true, Some((_, slos))) = (args.strict, &report.ready) {
        let today = now().to_zoned(jiff::tz::TimeZone::UTC).date();
        let wanted = strict::findings(slos, today);
        report.slos.get_or_insert_default().extend(wanted);
    }
    if let Some((_, slos)) = &report.ready {
        let survey = report.records.as_ref().and_then(|records| records.survey.as_ref());
        report.firing = firing::tables(slos, survey);
        report.maintenance = Upcoming::of(slos, now().as_millisecond());
    }
    let mut out = Printer::stdout();
    if args.json {
        print::as_json(&mut out, &report)?
    } else {
        print::as_text(&mut out, &report)?
    }
    Ok(exit(&report).into())
}

/// For people: which reviews are overdue, and which windows come next.
#[expect(clippy::disallowed_methods, reason = "no figure comes from it")]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// The configuration, with the arguments on top.
fn asked(mut loaded: Loaded, args: &CheckArgs) -> Asked {
    let settings = &mut loaded.settings;
    if !args.slos.is_empty() {
        settings.slos.clone_from(&args.slos);
    }
    if let Some(format) = args.format {
        settings.input.format = format.input_format();
    }
    // Without a configuration there is nothing to `run`; with SLOs named, only they are checked.
    let is_for_run = loaded.file.is_some() && args.slos.is_empty();
    Asked { loaded, is_for_run }
}

/// Advice is not a finding: a configuration that works must not fail a build.
fn exit(report: &Report) -> Exit {
    let worst = report.findings().map(|f| f.level).max();
    let dead_letters =
        report.records.iter().flat_map(|r| &r.records).any(|r| matches!(r.became, Became::DeadLetter { .. }));
    match worst {
        Some(Level::Error) => Exit::Configuration,
        Some(Level::Warning) => Exit::Findings,
        _ if dead_letters => Exit::Findings,
        _ => Exit::Done,
    }
}

#[cfg(test)]
mod tests;
