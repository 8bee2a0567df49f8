//! `backtest`: evaluates the SLOs over recorded traffic.

mod guard;
mod hours;
mod limits;
mod results;
mod stop;
mod summary;

use self::guard::Read;
use self::results::Results;
use self::stop::Stop;
use self::summary::{Summary, Tally};
use super::applied::control;
use super::files::FileSource;
use super::notices::Facts;
use super::{Exit, Failure, Global, Outcome, Voice, assemble, decoder};
use crate::codec::files::{FileNotes, InputFile};
use crate::codec::output::OutputFormat;
use crate::config::{self, InputFormat, Loaded, Settings};
use crate::log::embedded::{EmbeddedLog, Source};
use crate::model::slo::Slo;
use crate::model::time::Moment;
use crate::pipeline::clients::Clients;
use crate::pipeline::pseudonym::UserIds;
use crate::pipeline::route::{DeadLetterForm, Route, SourceName};
use crate::worker::WorkerError;
use crate::worker::direct::DirectWorker;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
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
/// The n-th --input is partition n. Files may be compressed (gzip, zstd, bzip2, xz, snappy); `-` is standard input. The
/// result is what `run` would have published about the same partitions, byte for byte.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tailburn backtest --slos slos --input past.jsonl.gz --out result
  tailburn backtest --slos slo.yaml --input p0.jsonl --input p1.jsonl --out result
  zcat access.log.gz | tailburn backtest --slos web.yaml --format clf --input - --out result

Writes slo-status.jsonl, burn-alerts.jsonl, tail-cohorts.jsonl, user-status.jsonl and dead-letters.jsonl,
and a summary on standard error. Each file is written as NAME.part and renamed when all are complete: a
backtest that is stopped or fails leaves the results of an earlier one unchanged.")]
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

    /// The directory to write to; created if it does not exist
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

pub fn run(global: &Global, args: &BacktestArgs) -> Outcome {
    let loaded = global.load()?;
    let paths = if args.slos.is_empty() { loaded.settings.slos.clone() } else { args.slos.clone() };
    refuse_inputs(args, &loaded, &paths)?;
    let settings = loaded.settings;
    let definitions = assemble::definitions_of(&settings, &paths)?;
    if control::of_backtest(&settings) {
        control::check(&settings, &paths, &definitions.slos, control::First::Refuse, global.voice())?;
    }
    let slos = Arc::new(definitions.slos);
    let format = args.format.map_or(settings.input.format, FileFormat::input_format);
    let files = open_all(&args.inputs, format)?;
    let decoder = decoder::of_files(&settings, format, &files)?;
    let ids = assemble::user_ids(&settings, config::UserIds::Plain)?;
    let plain = matches!(ids, UserIds::Plain);
    let inputs = args.inputs.len() as u32;
    let tasks = assemble::tasks(&settings, &slos, inputs, ids, OutputFormat::Json)?;
    let stop = Stop::install(results::unfinished(&args.out, args.inputs.len()).collect(), global.voice())?;
    let results = Results::create(&args.out, args.inputs.len())?;

    let notes: Vec<_> = files.iter().map(InputFile::notes).collect();
    let source = |(i, file)| -> Box<dyn Source> { Box::new(FileSource::new(file, i as u32)) };
    let sources = files.into_iter().enumerate().map(source).collect();
    let names = args.inputs.iter().enumerate().map(|(i, path)| source_name(path, i as u32)).collect();
    let log = EmbeddedLog::new(sources, settings.partitions.rollup, results);
    let route = Route::new(decoder, names, DeadLetterForm::Line);
    let mut worker = DirectWorker::new(log, route, tasks.users, tasks.rollups, inputs);
    worker.clients = (format == InputFormat::Clf).then(Clients::default);
    let backtest = Backtest { worker, tally: Tally::of(&slos), stop, out: &args.out };
    let about = About { settings: &settings, format, slos: &slos, inputs: &args.inputs, files: &notes, plain };
    backtest.run(&global.voice(), &about)
}

/// No file that is read may be overwritten.
fn refuse_inputs(args: &BacktestArgs, loaded: &Loaded, slos: &[PathBuf]) -> Result<(), Failure> {
    let mut read = Read::default();
    args.inputs.iter().for_each(|path| read.add_input(path));
    slos.iter().for_each(|path| read.add("the SLO file", path));
    loaded.file.iter().for_each(|path| read.add("the configuration", path));
    let settings = &loaded.settings;
    read.add("the key of privacy.key_file,", &settings.privacy.key_file);
    settings.input.avro_schema.iter().for_each(|path| read.add("the schema", path));
    settings.tenants.iter().for_each(|path| read.add("the file of tenants", path));
    settings.definitions.file.iter().for_each(|path| read.add("the file of what was applied", path));
    read.refuse(&args.out, results::paths(&args.out, args.inputs.len()))
}

pub(super) fn open_all(paths: &[PathBuf], format: InputFormat) -> Result<Vec<InputFile>, Failure> {
    if paths.iter().filter(|path| path.as_os_str() == "-").count() > 1 {
        return Err(Failure::Usage("--input -: standard input can be read only once".to_owned()));
    }
    let open = |path: &PathBuf| {
        if path.is_dir() {
            let path = path.display();
            return Err(Failure::Usage(format!(
                "--input {path}: this is a directory; name its files, each with its own --input (each is a partition)"
            )));
        }
        // Its message has the cause already.
        InputFile::open(path, decoder::codec_format(format)).map_err(|e| anyhow::Error::msg(e.to_string()).into())
    };
    paths.iter().map(open).collect()
}

/// The file's name as dead letters show it.
pub(super) fn source_name(path: &Path, partition: u32) -> SourceName {
    let name = path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
    SourceName { topic: name, partition }
}

/// What the summary shows besides the figures.
struct About<'a> {
    settings: &'a Settings,
    format: InputFormat,
    slos: &'a [Slo],
    inputs: &'a [PathBuf],
    files: &'a [FileNotes],
    plain: bool,
}

struct Backtest<'a> {
    worker: DirectWorker<EmbeddedLog<Results>>,
    tally: Tally,
    stop: Stop,
    out: &'a Path,
}

impl Backtest<'_> {
    fn run(mut self, voice: &Voice, about: &About<'_>) -> Outcome {
        let processed = self.process(voice);
        let is_stopped = !self.stop.end();
        let at = self.worker.users.closed_ms().map_or("the beginning".to_owned(), |at_ms| Moment(at_ms).to_string());
        let summary = self.summary(about);
        let out = self.out.display();
        let results = self.worker.log.into_sink();
        let before = format!("results of an earlier run in {out} are unchanged");
        let kept = |results: Results| match results.keep() {
            Ok(true) => Ok(format!("what was evaluated up to {at} is kept in {out}/*.jsonl.part")),
            Ok(false) => Ok("nothing was evaluated".to_owned()),
            Err(e) => Err(failed(&format!("the results could not be written: {e}"))),
        };
        match processed {
            Err(e) if results.failed().is_some() => {
                results.discard();
                Err(failed(&format!(
                    "the results could not be written: {e}; the unfinished files were removed, {before}"
                )))
            }
            Err(e) => Err(failed(&format!("{e}; {}, {before}", kept(results)?))),
            Ok(()) if is_stopped => {
                voice.error(&format!("stopped by a signal; {}, {before}", kept(results)?));
                Ok(ExitCode::from(Stop::exit_code()))
            }
            Ok(()) => {
                results.finish().map_err(|e| {
                    failed(&format!(
                        "the results could not be written: {e}; the unfinished files were removed, {before}"
                    ))
                })?;
                voice.say(&summary);
                Ok(Exit::Done.into())
            }
        }
    }

    /// Runs the worker until every file is read and every result is written, or until a signal stops it.
    fn process(&mut self, voice: &Voice) -> Result<(), WorkerError> {
        let progress = progress(voice);
        loop {
            let turn = self.worker.poll(Duration::ZERO)?;
            self.worker.commit(&mut self.tally)?;
            progress.set_position(self.worker.users.counts.outcomes + self.tally.dead_letters);
            if let Some(at_ms) = self.worker.users.closed_ms()
                && !progress.is_hidden()
            {
                progress.set_message(Moment(at_ms).to_string());
            }
            if self.stop.is_told() || turn.is_finished && turn.records == 0 {
                progress.finish_and_clear();
                return Ok(());
            }
        }
    }

    fn summary(&self, about: &About<'_>) -> String {
        let inputs: Vec<String> = about.inputs.iter().map(|path| path.display().to_string()).collect();
        let facts = Facts {
            settings: about.settings,
            format: about.format,
            inputs: &inputs,
            files: about.files,
            slos: about.slos,
            route: &self.worker.route,
            users: &self.worker.users,
            seen: &self.worker.seen,
            hours: self.tally.hours(),
            clients: self.worker.clients.as_ref(),
        };
        Summary { facts, tally: &self.tally, out: self.out, plain: about.plain }.to_string()
    }
}

fn failed(text: &str) -> Failure {
    anyhow::Error::msg(text.to_owned()).into()
}

/// Shown on a terminal only.
pub(super) fn progress(voice: &Voice) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {human_pos} records, {per_sec}, at {msg}");
    let target = match voice.shows_progress() {
        true => indicatif::ProgressDrawTarget::stderr_with_hz(5),
        false => indicatif::ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(None, target);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
