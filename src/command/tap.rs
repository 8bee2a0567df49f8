//! `tailburn tap`: the records of one of our topics, decoded, one JSON object per line.
//!
//! Standard output is data only; what could not be decoded, and tombstones, are told on standard
//! error. It joins no consumer group, commits nothing and sees committed records only.

mod file;
#[cfg(feature = "kafka")]
mod kafka;
mod printer;
mod select;

use crate::model::record::Topic;
use anyhow::Context as _;
use printer::Printer;
use select::Select;
use std::collections::BTreeMap;
use std::io::{BufWriter, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;

const FINDINGS: u8 = 1;
const USAGE: u8 = 2;

/// Where in a topic to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum From {
    /// Everything that the topic still holds
    Earliest,
    /// What comes from now on
    Latest,
}

#[derive(Clone, Debug, clap::Args)]
pub struct TapArgs {
    /// One of our topics, with or without the prefix: slo-status, burn-alerts, tail-cohorts ...
    pub topic: String,
    /// Read a file of JSON lines (as `backtest` writes them; - is standard input) instead of Kafka
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Where to begin in Kafka
    #[arg(long, value_enum, default_value = "latest", conflicts_with = "file")]
    pub from: From,
    /// Stop at the end of the topic instead of waiting for more
    #[arg(long, short = 'e', conflicts_with = "file")]
    pub exit_at_end: bool,
    #[command(flatten)]
    pub select: Select,
    /// Stop after this many records
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Print records over several lines
    #[arg(long)]
    pub pretty: bool,
    /// Print {key, partition, offset, timestamp, value} instead of the value alone, tombstones too
    #[arg(long)]
    pub envelope: bool,
}

/// Prints until the limit, the end of the file, the end of the topic (where asked to stop there) or
/// an interrupt. `properties` are librdkafka's, `prefix` is that of our topics.
pub fn run(args: &TapArgs, properties: BTreeMap<String, String>, prefix: &str) -> anyhow::Result<ExitCode> {
    let Some(topic) = topic_of(&args.topic, prefix) else {
        let names: Vec<_> = Topic::OUTPUTS.into_iter().map(Topic::name).collect();
        eprintln!("error: `{}` is none of our topics; they are {}", args.topic, names.join(", "));
        return Ok(ExitCode::from(USAGE));
    };
    let stdout = std::io::stdout().lock();
    // A person wants each line at once; a pipe of many lines wants few writes.
    let capacity = if stdout.is_terminal() || args.file.is_none() { 0 } else { 1 << 16 };
    let out = BufWriter::with_capacity(capacity, stdout);
    let mut printer = Printer::new(topic, args, out, std::io::stderr())?;
    match &args.file {
        Some(path) => file::read(path, &mut printer)?,
        None => from_kafka(topic, args, properties, prefix, &mut printer)?,
    }
    let undecodable = printer.finish().context("standard output")?;
    Ok(if undecodable > 0 { ExitCode::from(FINDINGS) } else { ExitCode::SUCCESS })
}

/// The topic that people mean, with or without the prefix.
fn topic_of(name: &str, prefix: &str) -> Option<Topic> {
    let bare = name.strip_prefix(prefix).unwrap_or(name);
    Topic::OUTPUTS.into_iter().find(|topic| topic.name() == bare)
}

#[cfg(feature = "kafka")]
fn from_kafka(
    topic: Topic,
    args: &TapArgs,
    properties: BTreeMap<String, String>,
    prefix: &str,
    printer: &mut Printer<impl std::io::Write, impl std::io::Write>,
) -> anyhow::Result<()> {
    kafka::read(&format!("{prefix}{}", topic.name()), properties, args.from, args.exit_at_end, printer)
}

#[cfg(not(feature = "kafka"))]
fn from_kafka(
    _: Topic,
    _: &TapArgs,
    _: BTreeMap<String, String>,
    _: &str,
    _: &mut Printer<impl std::io::Write, impl std::io::Write>,
) -> anyhow::Result<()> {
    anyhow::bail!("this build has no Kafka (feature `kafka`): read a file with --file, or use a build that has it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_known_with_and_without_the_prefix() {
        assert_eq!(topic_of("tailburn.slo-status", "tailburn."), Some(Topic::SloStatus));
        assert_eq!(topic_of("burn-alerts", "tailburn."), Some(Topic::BurnAlerts));
        assert_eq!(topic_of("other.burn-alerts", "tailburn."), None);
        assert_eq!(topic_of("internal.partials", "tailburn."), None);
    }
}
