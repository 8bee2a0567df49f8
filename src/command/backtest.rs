//! `backtest`: what the SLOs would have said about recorded traffic.

mod limits;
mod summary;

use self::summary::{Summary, Tally};
use super::files::{FileSource, JsonLines};
use super::notices::Facts;
use super::{Exit, Failure, Global, Outcome, assemble, decoder};
use crate::codec::files::InputFile;
use crate::codec::output::OutputFormat;
use crate::config::{self, InputFormat};
use crate::log::embedded::{EmbeddedLog, Source};
use crate::model::time::Moment;
use crate::pipeline::pseudonym::UserIds;
use crate::pipeline::route::{DeadLetterForm, Route, SourceName};
use crate::worker::direct::DirectWorker;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
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
    /// An access log in common or combined format (input.clf_shape: vhost_combined has a virtual host in front)
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
/// The n-th --input is partition n; what is packed with gzip, zstd, bzip2, xz or snappy is read as
/// it is, `-` is standard input. The result is what `run` would have published about the same partitions, byte for byte.
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

    let notes: Vec<_> = files.iter().map(InputFile::notes).collect();
    let source = |(i, file)| -> Box<dyn Source> { Box::new(FileSource::new(file, i as u32)) };
    let sources = files.into_iter().enumerate().map(source).collect();
    let names = args.inputs.iter().enumerate().map(|(i, path)| source_name(path, i as u32)).collect();
    let sink = JsonLines::create(&args.out, args.inputs.len())?;
    let log = EmbeddedLog::new(sources, settings.partitions.rollup, sink);
    let route = Route::new(decoder, names, DeadLetterForm::Line);
    let mut worker = DirectWorker::new(log, route, tasks.users, tasks.rollups, inputs);
    let mut tally = Tally::default();
    process(&mut worker, &mut tally, global.voice().shows_progress())?;
    let inputs: Vec<String> = args.inputs.iter().map(|path| path.display().to_string()).collect();
    let (route, users) = (&worker.route, &worker.users);
    let facts = Facts { settings: &settings, format, inputs: &inputs, files: &notes, slos: &slos, route, users };
    let summary = Summary { facts, tally: &tally, out: &args.out, plain }.to_string();
    worker.log.into_sink().finish()?;
    global.voice().say(&summary);
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
fn process(
    worker: &mut DirectWorker<EmbeddedLog<JsonLines>>,
    tally: &mut Tally,
    shows_progress: bool,
) -> Result<(), Failure> {
    let progress = ProgressBar::new_spinner().with_style(
        ProgressStyle::with_template("{spinner} {human_pos} outcomes, {per_sec}, at {msg}")
            .map_err(anyhow::Error::from)?,
    );
    progress.set_draw_target(match shows_progress {
        true => indicatif::ProgressDrawTarget::stderr_with_hz(5),
        false => indicatif::ProgressDrawTarget::hidden(),
    });
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
