//! `backtest`: what the SLOs would have said about recorded traffic.

use super::files::{FileSource, JsonLines};
use super::{Exit, Failure, Global, Outcome, assemble, decoder};
use crate::codec::files::InputFile;
use crate::codec::output::OutputFormat;
use crate::config::{self, InputFormat};
use crate::log::embedded::{EmbeddedLog, Source};
use crate::model::outcome::Rejection;
use crate::model::record::{RecordOut, Topic};
use crate::model::time::Moment;
use crate::pipeline::pseudonym::UserIds;
use crate::pipeline::route::{DeadLetterForm, Route, SourceName};
use crate::worker::Observer;
use crate::worker::direct::DirectWorker;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileFormat {
    /// One JSON object a line
    #[value(alias = "json")]
    Jsonl,
    /// An Avro object container file
    Avro,
    /// An access log in common or combined format
    Clf,
}

impl FileFormat {
    pub const fn input_format(self) -> InputFormat {
        match self {
            FileFormat::Jsonl => InputFormat::Json,
            FileFormat::Avro => InputFormat::Avro,
            FileFormat::Clf => InputFormat::Clf,
        }
    }
}

/// Evaluate SLOs over recorded traffic, without Kafka
///
/// The n-th --input is partition n; .gz and .zst are read as they are, `-` is standard input. The
/// result is what `run` would have published about the same partitions, byte for byte.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tailburn backtest --slos slos --input past.jsonl.gz --out result
  tailburn backtest --slos slo.yaml --input p0.jsonl --input p1.jsonl --out result
  zcat access.log.gz | tailburn backtest --slos web.yaml --format clf --input - --out result

Writes slo-status.jsonl, burn-alerts.jsonl, tail-cohorts.jsonl, user-status.jsonl and dead-letters.jsonl,
and a summary on standard error.")]
pub struct BacktestArgs {
    /// A file or a directory of SLOs; may be repeated. Without it, the `slos` of the configuration
    #[arg(long, value_name = "FILE|DIR")]
    pub slos: Vec<PathBuf>,

    /// A file to read, or - for standard input; may be repeated, each is a partition
    #[arg(long = "input", value_name = "FILE|-", required = true)]
    pub inputs: Vec<PathBuf>,

    /// The format of the input; without it, `input.format` of the configuration
    #[arg(long, value_enum)]
    pub format: Option<FileFormat>,

    /// The directory to write to; made where it is not there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

pub fn run(global: &Global, args: &BacktestArgs) -> Outcome {
    let settings = global.load()?.settings;
    let paths = if args.slos.is_empty() { settings.slos.clone() } else { args.slos.clone() };
    let definitions = assemble::definitions(&paths)?;
    let slos = Arc::new(definitions.slos);
    let format = args.format.map_or(settings.input.format, FileFormat::input_format);
    let inputs = args.inputs.len() as u32;
    let files = open_all(&args.inputs, format)?;
    let decoder = decoder::of_files(&settings.input, format, &files)?;
    let ids = assemble::user_ids(&settings, config::UserIds::Plain)?;
    let plain = matches!(ids, UserIds::Plain);
    let tasks = assemble::tasks(&settings, &slos, inputs, ids, OutputFormat::Json)?;

    let source = |(i, file)| -> Box<dyn Source> { Box::new(FileSource::new(file, i as u32)) };
    let sources = files.into_iter().enumerate().map(source).collect();
    let names = args.inputs.iter().enumerate().map(|(i, path)| source_name(path, i as u32)).collect();
    let sink = JsonLines::create(&args.out, args.inputs.len())?;
    let log = EmbeddedLog::new(sources, settings.partitions.rollup, sink);
    let route = Route::new(decoder, names, DeadLetterForm::Line);
    let mut worker = DirectWorker::new(log, route, tasks.users, tasks.rollups, inputs);
    let mut tally = Tally::default();
    process(&mut worker, &mut tally)?;
    let summary = Summary { worker: &worker, tally: &tally, out: &args.out, plain }.to_string();
    worker.log.into_sink().finish()?;
    // Nobody may be reading it any more; the files are what counts.
    let _ = std::io::stderr().write_all(summary.as_bytes());
    Ok(Exit::Done.into())
}

fn open_all(paths: &[PathBuf], format: InputFormat) -> Result<Vec<InputFile>, Failure> {
    let open = |path: &PathBuf| InputFile::open(path, decoder::codec_format(format));
    Ok(paths.iter().map(open).collect::<Result<_, _>>().map_err(anyhow::Error::from)?)
}

/// The file's name, as dead letters say it.
fn source_name(path: &Path, partition: u32) -> SourceName {
    let name = path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
    SourceName { topic: name, partition }
}

/// Turns the worker until every file is read and everything that follows from it is written.
fn process(worker: &mut DirectWorker<EmbeddedLog<JsonLines>>, tally: &mut Tally) -> Result<(), Failure> {
    let progress = ProgressBar::new_spinner().with_style(
        ProgressStyle::with_template("{spinner} {human_pos} outcomes, {per_sec}, at {msg}")
            .map_err(anyhow::Error::from)?,
    );
    progress.set_draw_target(indicatif::ProgressDrawTarget::stderr_with_hz(5));
    loop {
        let turn = worker.poll(Duration::ZERO).map_err(anyhow::Error::from)?;
        worker.commit(tally).map_err(anyhow::Error::from)?;
        progress.inc(turn.records);
        if let Some(at_ms) = worker.users.closed_ms() {
            progress.set_message(Moment(at_ms).to_string());
        }
        if turn.is_finished && turn.records == 0 {
            progress.finish_and_clear();
            return Ok(());
        }
    }
}

/// What was written, for the summary.
#[derive(Default)]
struct Tally {
    statuses: u64,
    alerts: BTreeMap<(String, String), u64>,
    cohorts: u64,
}

impl Observer for Tally {
    fn committed(&mut self, records: &[RecordOut]) {
        for record in records {
            match (record.topic, &record.value) {
                (Topic::SloStatus, Some(_)) => self.statuses += 1,
                (Topic::TailCohorts, Some(_)) => self.cohorts += 1,
                (Topic::BurnAlerts, Some(value)) => self.count_alert(value),
                _ => {}
            }
        }
    }
}

impl Tally {
    fn count_alert(&mut self, value: &[u8]) {
        #[derive(Deserialize)]
        struct Head {
            severity: String,
            state: String,
        }
        if let Ok(head) = serde_json::from_slice::<Head>(value) {
            *self.alerts.entry((head.severity, head.state)).or_insert(0) += 1;
        }
    }
}

/// The summary for people.
struct Summary<'a> {
    worker: &'a DirectWorker<EmbeddedLog<JsonLines>>,
    tally: &'a Tally,
    out: &'a Path,
    plain: bool,
}

impl Summary<'_> {
    /// What to do where nothing came of the input.
    fn advice(&self) -> Option<&'static str> {
        let counts = &self.worker.users.counts;
        let dead_letters: u64 = self.worker.route.dead_letters.iter().sum();
        if counts.outcomes == 0 && dead_letters > 0 {
            return Some("No record is an outcome: `tailburn check --input FILE --limit 5` says what each lacks.");
        }
        let is_nothing_counted = counts.good + counts.bad + counts.unclassified + counts.late_dropped == 0;
        (counts.excluded > 0 && is_nothing_counted).then_some(
            "No SLO counted an event, the `total` filters excluded all: `tailburn check --input FILE --limit 5` shows \
             what decided.",
        )
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users = &self.worker.users;
        let counts = &users.counts;
        writeln!(f, "outcomes      {} ({} users known at the end)", counts.outcomes, users.users_known())?;
        writeln!(
            f,
            "verdicts      {} good, {} bad, {} unclassified, {} excluded; {} late, {} too late and dropped",
            counts.good, counts.bad, counts.unclassified, counts.excluded, counts.late, counts.late_dropped
        )?;
        for (reason, count) in Rejection::ALL.iter().zip(&self.worker.route.dead_letters).filter(|(_, c)| **c > 0) {
            writeln!(f, "dead letters  {count} {reason}")?;
        }
        writeln!(f, "statuses      {}", self.tally.statuses)?;
        for ((severity, state), count) in &self.tally.alerts {
            writeln!(f, "alerts        {count} {severity} {state}")?;
        }
        writeln!(f, "cohorts       {}", self.tally.cohorts)?;
        if let Some(at_ms) = users.closed_ms() {
            writeln!(f, "up to         {}", Moment(at_ms))?;
        }
        if let Some(advice) = self.advice() {
            writeln!(f, "{advice}")?;
        }
        if self.plain {
            writeln!(f, "User ids are written as they came (privacy.user_ids: hmac writes pseudonyms).")?;
        }
        writeln!(f, "Written to {}", self.out.display())
    }
}
