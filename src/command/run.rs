//! `run`: Kafka in, Kafka out.

#[cfg(feature = "kafka")]
mod identity;
#[cfg(feature = "kafka")]
mod live;
#[cfg(feature = "kafka")]
mod process;
#[cfg(feature = "kafka")]
mod recovery;
#[cfg(any(feature = "kafka", test))]
mod shown;
#[cfg(feature = "kafka")]
mod store;
#[cfg(feature = "kafka")]
mod thread;

#[cfg(not(feature = "kafka"))]
use super::{Failure, applied::control, assemble};
use super::{Global, Outcome};
use crate::model::time::Ms;
use clap::Args;
use std::str::FromStr;

/// Where reading starts, for partitions where the consumer group has no offset yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum From {
    #[default]
    Earliest,
    Latest,
    /// The first record at or after this time (of the log, not of the event).
    Time(Ms),
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<From, String> {
        match text {
            "earliest" => Ok(From::Earliest),
            "latest" => Ok(From::Latest),
            _ => text
                .parse::<jiff::Timestamp>()
                .map(|t| From::Time(t.as_millisecond()))
                .map_err(|_| format!("`{text}` is not earliest, latest or a time as in 2026-05-29T17:00:00Z")),
        }
    }
}

/// Read outcomes from Kafka and publish status, alerts and cohorts
///
/// All instances with the same application id share the work; each needs its own state directory. To scale out, start
/// more of them or raise `workers`. On SIGTERM or SIGINT it commits, writes a checkpoint and leaves; on a second signal
/// it leaves at once.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tailburn run
  tailburn run --config /etc/tailburn/tailburn.yaml --from latest
  TAILBURN_KAFKA__PROPERTIES__BOOTSTRAP_SERVERS=broker:9092 tailburn run")]
pub struct RunArgs {
    /// Where to start: earliest, latest or a time (RFC 3339); applies only where the group has no offset yet
    #[arg(long, value_name = "earliest|latest|TIME", default_value = "earliest")]
    pub from: From,
}

/// Without the feature `kafka` there is no log to run on.
#[cfg(not(feature = "kafka"))]
pub fn run(global: &Global, _args: &RunArgs) -> Outcome {
    let settings = global.load()?.settings;
    if control::reads_file(&settings) {
        let slos = assemble::definitions_of(&settings, &settings.slos)?.slos;
        control::check(&settings, &settings.slos, &slos, control::First::Record, global.voice())?;
    }
    Err(Failure::Usage("this build has no Kafka: build it with the feature `kafka`, or use `backtest`".to_owned()))
}

#[cfg(feature = "kafka")]
pub fn run(global: &Global, args: &RunArgs) -> Outcome {
    live::run(global, args)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_at_an_end_or_at_a_time() {
        assert_eq!("latest".parse(), Ok(From::Latest));
        assert_eq!("1970-01-01T00:00:01.5Z".parse(), Ok(From::Time(1_500)));
        assert!("yesterday".parse::<From>().is_err());
    }
}
