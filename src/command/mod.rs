//! The command line: the subcommands and their exit codes.
//!
//! Each subcommand has one file with its `...Args` and a `run`. Data goes to standard output, messages to standard
//! error; if the reader closes standard output, the program ends quietly. No command computes a figure itself.

mod applied;
pub mod apply;
pub mod assemble;
pub mod backtest;
pub mod chaos;
pub mod check;
pub mod completions;
pub mod config_show;
pub mod decoder;
mod defined;
pub mod demo;
pub mod diff;
pub mod docs;
mod exit;
pub mod explain;
pub mod export;
mod files;
#[cfg(feature = "kafka")]
mod follow;
pub mod gate;
pub mod generate;
pub mod history;
#[cfg(feature = "kafka")]
mod history_store;
pub mod init;
mod listen;
mod notices;
pub mod notify;
pub mod observe;
mod output;
mod processor;
#[cfg(any(feature = "kafka", test))]
mod punctual;
mod recorded;
mod records;
pub mod report;
pub mod run;
pub mod schema;
pub mod serve;
mod signals;
pub mod silence;
pub mod suggest;
mod survey;
pub mod tap;
pub mod topics;
mod voice;

pub use exit::{Exit, Failure, Outcome};
pub use output::Printer;
pub use voice::Voice;

use crate::config::{self, Loaded, Sources};
use crate::telemetry::{LogFormat, LogOptions};
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

const ABOUT: &str = "SLO stream processor: burn rates for the aggregate AND the distribution over users, exactly once";

const LONG_ABOUT: &str = "\
tailburn reads request outcomes from Kafka and publishes SLO status, burn-rate alerts and the users in the tail.

One aggregate number hides the few users who are served badly. tailburn computes both layers at once: the \
aggregate on top, the distribution over users below, and says WHO is in the tail.

Getting started:
  tailburn demo                                   traffic, an incident and its alerts, without Kafka
  tailburn init                                   a configuration, an SLO and a key, all commented
  tailburn check                                  are the configuration and the SLOs right
  tailburn backtest --slos slos --input past.jsonl --out result
                                                  what the SLOs would have said about the past
  tailburn run                                    live on Kafka, from the consumer group's offsets
  tailburn serve                                  the API over what was published, and nothing else
  tailburn notify                                 tell people and programs of alerts";

const TAP_EXAMPLES: &str = "\
Examples:
  tailburn tap burn-alerts
  tailburn tap burn-alerts --last 5 --pretty
  tailburn tap slo-status --from earliest --exit-at-end | jq .state
  tailburn tap burn-alerts --file result/burn-alerts.jsonl --pretty";

const SCHEMA_EXAMPLES: &str = "\
Examples:
  tailburn schema
  tailburn schema slo-status
  tailburn schema burn-alerts --json-schema";

const AFTER_HELP: &str = "\
Exit codes:
   0  done
   1  findings (check), or a failure that was reported on standard error
   2  wrong usage of the command line
  78  the configuration or an SLO has an error

Configuration: a YAML file (--config, else tailburn.yaml if it exists). Environment variables
(TAILBURN_STATE__DIR=...) win over the file, and --set state.dir=... wins over both.
`tailburn config show` says where each value came from.";

/// The build, and the time zones that it knows.
fn version() -> &'static str {
    static TEXT: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let zones = crate::model::calendar::zones_version();
    TEXT.get_or_init(|| format!("{} (time zones {zones})", env!("CARGO_PKG_VERSION")))
}

/// The command line as it was given.
#[derive(Debug, Parser)]
#[command(name = "tailburn", version = version(), about = ABOUT, long_about = LONG_ABOUT, after_help = AFTER_HELP)]
#[command(propagate_version = true, arg_required_else_help = true, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every subcommand takes.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// The configuration file [default: tailburn.yaml, if it exists]
    #[arg(long, global = true, value_name = "FILE", env = "TAILBURN_CONFIG")]
    pub config: Option<PathBuf>,

    /// Set one key; overrides file and environment, as in --set state.dir=/var/lib/tailburn; may be repeated
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", action = ArgAction::Append)]
    pub sets: Vec<String>,

    /// Say more on standard error (-vv: everything)
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,

    /// Say less on standard error: errors only (-qq: nothing, not even errors)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub quiet: u8,

    /// How lines on standard error are written: text, or JSON objects
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
}

impl Global {
    /// Reads the configuration from the options, the environment and the working directory.
    pub fn load(&self) -> Result<Loaded, Failure> {
        let loaded = config::load(&Sources::of_process(self.config.clone(), self.sets.clone()))?;
        decoder::check_mapping(&loaded)?;
        notify::plan::check(&loaded)?;
        Ok(loaded)
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    // Getting started.
    Init(init::InitArgs),
    Demo(demo::DemoArgs),
    // Kafka, and files.
    Run(run::RunArgs),
    Backtest(backtest::BacktestArgs),
    Generate(Box<generate::GenerateArgs>),
    // Looking.
    Check(check::CheckArgs),
    Suggest(suggest::SuggestArgs),
    Chaos(chaos::ChaosArgs),
    Explain(explain::ExplainArgs),
    /// Print the records of one of tailburn's topics, decoded, one JSON object a line
    ///
    /// Records go to standard output; what cannot be decoded is reported on standard error. tap joins no
    /// consumer group and commits nothing.
    #[command(after_help = TAP_EXAMPLES)]
    Tap(tap::TapArgs),
    Serve(serve::ServeArgs),
    Report(report::ReportArgs),
    Gate(gate::GateArgs),
    // Definitions.
    Docs(docs::DocsArgs),
    Export(export::ExportArgs),
    Diff(diff::DiffArgs),
    Apply(apply::ApplyArgs),
    History(history::HistoryArgs),
    // Telling.
    Notify(notify::NotifyArgs),
    Silence(silence::SilenceArgs),
    Topics(topics::TopicsArgs),
    /// Print the schema of a topic's records: Avro, or JSON Schema
    #[command(after_help = SCHEMA_EXAMPLES)]
    Schema(schema::SchemaArgs),
    /// Show the configuration, and where each value came from
    #[command(subcommand)]
    Config(config_show::ConfigCommand),
    Completions(completions::CompletionsArgs),
}

impl Cli {
    /// Parses the process's arguments; help and usage errors are printed and come back as exit codes.
    pub fn from_process() -> Result<Cli, Exit> {
        Cli::try_parse().map_err(|error| {
            let voice = Voice::of_arguments(std::env::args_os().map(|a| a.to_string_lossy().into_owned()));
            match (error.use_stderr(), voice.speaks_plainly()) {
                // If standard output is closed, the reader has enough: not a failure.
                (false, _) | (true, true) => _ = error.print(),
                (true, false) => voice.error(error.to_string().trim_start_matches("error: ")),
            }
            if error.use_stderr() { Exit::Usage } else { Exit::Done }
        })
    }

    pub fn log_options(&self) -> LogOptions {
        let count = |n: u8| i8::try_from(n).unwrap_or(i8::MAX);
        let verbosity = count(self.global.verbose) - count(self.global.quiet);
        LogOptions { format: self.global.log_format, verbosity }
    }
}

/// The parser's own description of the command line, for completions.
pub fn definition() -> clap::Command {
    Cli::command()
}

/// Runs a command and reports its failure, if any, on standard error.
pub fn run(cli: Cli) -> ExitCode {
    let global = &cli.global;
    let voice = global.voice();
    let outcome = match cli.command {
        Command::Init(args) => init::run(&args),
        Command::Demo(args) => demo::run(global, &args),
        Command::Run(args) => run::run(global, &args),
        Command::Backtest(args) => backtest::run(global, &args),
        Command::Generate(args) => generate::run(global, &args),
        Command::Check(args) => check::run(global, &args),
        Command::Suggest(args) => suggest::run(global, &args),
        Command::Chaos(args) => chaos::run(global, &args),
        Command::Explain(args) => explain::run(global, &args),
        Command::Serve(args) => serve::run(global, &args),
        Command::Report(args) => report::run(global, &args),
        Command::Gate(args) => gate::run(global, &args),
        Command::Docs(args) => docs::run(global, &args),
        Command::Export(args) => export::run(global, &args),
        Command::Diff(args) => diff::run(global, &args),
        Command::Apply(args) => apply::run(global, &args),
        Command::History(args) => history::run(global, &args),
        Command::Notify(args) => notify::run(global, &args),
        Command::Silence(args) => silence::run(global, &args),
        Command::Topics(args) => topics::run(global, &args),
        Command::Tap(args) => tap_with(global, &args),
        Command::Schema(args) => schema::run(&args),
        Command::Config(config_show::ConfigCommand::Show(args)) => config_show::run(global, &args),
        Command::Completions(args) => completions::run(&args),
    };
    exit::reported(outcome, &voice)
}

/// `tap` needs only two settings: how to reach Kafka, and the topic names.
fn tap_with(global: &Global, args: &tap::TapArgs) -> Outcome {
    let settings = global.load()?.settings;
    tap::run(args, settings.kafka.properties, &settings.output.prefix, global.voice())
}
