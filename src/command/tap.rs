//! `tailburn tap`: the records of one of our topics, decoded, one JSON object per line.
//!
//! Standard output has only data; tombstones and values that cannot be decoded are reported on standard error. It joins
//! no consumer group, commits nothing and reads only committed records.

mod file;
#[cfg(feature = "kafka")]
mod kafka;
mod kind;
mod printer;
mod seen;
mod select;

use super::output::Names;
use super::{Exit, Failure, Outcome, Voice};
use crate::model::record::Topic;
use crate::model::suggest;
use anyhow::Context as _;
use printer::Printer;
use select::Select;
use std::collections::BTreeMap;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::PathBuf;

/// Where to start in a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum From {
    /// At the oldest record of the topic
    Earliest,
    /// At the records that come from now on
    Latest,
}

#[derive(Clone, Debug, clap::Args)]
pub struct TapArgs {
    /// One of our topics, with or without the prefix
    #[arg(value_parser = Names(topics))]
    pub topic: String,
    /// Read a file of JSON lines (as `backtest` writes them; - is standard input) instead of Kafka
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Where to start in Kafka
    #[arg(long, value_enum, default_value = "latest", conflicts_with = "file")]
    pub from: From,
    /// Print the newest N records of the topic, and stop
    #[arg(long, value_name = "N", conflicts_with_all = ["file", "from", "exit_at_end"])]
    pub last: Option<u64>,
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
    /// Print {key, partition, offset, timestamp, value} instead of only the value; prints tombstones, too
    #[arg(long)]
    pub envelope: bool,
}

/// Prints until the limit, the end of the file, the end of the topic (if asked to stop there) or an interrupt.
/// `properties` are librdkafka's, `prefix` is the prefix of our topics.
pub fn run(args: &TapArgs, properties: BTreeMap<String, String>, prefix: &str, voice: Voice) -> Outcome {
    let topic = topic_of(&args.topic, prefix).ok_or_else(|| Failure::Usage(no_topic(&args.topic)))?;
    args.select.check(topic).map_err(Failure::Usage)?;
    let stdout = io::stdout().lock();
    // On a terminal each line appears at once; a pipe gets few large writes.
    let capacity = if stdout.is_terminal() || args.file.is_none() { 0 } else { 1 << 16 };
    let out = BufWriter::with_capacity(capacity, stdout);
    let mut printer = Printer::new(topic, args, out, Messages { voice, line: Vec::new() })?;
    match &args.file {
        Some(path) => file::read(path, &mut printer)?,
        None => from_kafka(topic, args, properties, prefix, &mut printer)?,
    }
    let undecodable = printer.finish().context("standard output")?;
    if undecodable > 0 {
        voice.error(&format!("{undecodable} records could not be decoded"));
    }
    Ok(if undecodable > 0 { Exit::Findings } else { Exit::Done }.into())
}

/// What people read.
fn readable() -> impl Iterator<Item = Topic> {
    Topic::OUTPUTS.into_iter().chain([Topic::Definitions])
}

fn topics() -> Vec<&'static str> {
    readable().map(Topic::name).collect()
}

fn no_topic(name: &str) -> String {
    let names = topics();
    let near = suggest::closest(name, names.iter().copied()).map(|near| format!(" Did you mean `{near}`?"));
    format!("`{name}` is not one of our topics, which are {}.{}", names.join(", "), near.unwrap_or_default())
}

/// Prints the printer's notes like all messages of the command.
struct Messages {
    voice: Voice,
    line: Vec<u8>,
}

impl Write for Messages {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            if *byte == b'\n' {
                self.voice.say(&String::from_utf8_lossy(&self.line));
                self.line.clear();
            } else {
                self.line.push(*byte);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The topic of this name, with or without the prefix.
fn topic_of(name: &str, prefix: &str) -> Option<Topic> {
    let bare = name.strip_prefix(prefix).unwrap_or(name);
    readable().find(|topic| topic.name() == bare)
}

#[cfg(feature = "kafka")]
fn from_kafka(
    topic: Topic,
    args: &TapArgs,
    properties: BTreeMap<String, String>,
    prefix: &str,
    printer: &mut Printer<impl std::io::Write, impl std::io::Write>,
) -> anyhow::Result<()> {
    let topic = format!("{prefix}{}", topic.name());
    match args.last {
        Some(count) => kafka::newest(&topic, &properties, count, printer),
        None => kafka::read(&topic, properties, args.from, args.exit_at_end, printer),
    }
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
        assert_eq!(topic_of("tailburn.definitions", "tailburn."), Some(Topic::Definitions));
        assert_eq!(topic_of("other.burn-alerts", "tailburn."), None);
        assert_eq!(topic_of("internal.partials", "tailburn."), None);
    }
}
