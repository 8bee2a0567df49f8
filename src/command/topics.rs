//! `topics`: the topics that tailburn needs, and whether they are there.
//!
//! It creates missing topics if asked to; it changes and deletes nothing.

#[cfg(feature = "kafka")]
mod acls;
#[cfg(feature = "kafka")]
mod table;

#[cfg(feature = "kafka")]
pub(super) use table::{kafka_settings, notify_settings};

#[cfg(not(feature = "kafka"))]
use super::Failure;
use super::{Global, Outcome};
use clap::Args;

/// List the topics that tailburn reads and writes, and create those of its own that are missing
///
/// It compares each topic to what it should be (partitions, clean-up policy, retention). Without --create it changes
/// nothing.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tailburn topics
  tailburn topics --create
  tailburn topics --acls --principal User:tailburn
  tailburn topics --json | jq '.[] | select(.exists | not) | .topic'")]
pub struct TopicsArgs {
    /// Create the missing ones (the input topics must exist: they are not tailburn's)
    #[arg(long)]
    pub create: bool,

    /// As JSON
    #[arg(long)]
    pub json: bool,

    /// Print the rights that `run` needs, as commands of Kafka's own tool; contacts no broker
    #[arg(long, conflicts_with_all = ["create", "json"])]
    pub acls: bool,

    /// Print the rights that `notify` and `silence` need instead
    #[arg(long, requires = "acls")]
    pub notify: bool,

    /// Who gets the rights printed by --acls
    #[arg(long, value_name = "PRINCIPAL", default_value = "User:tailburn", requires = "acls")]
    pub principal: String,
}

#[cfg(feature = "kafka")]
pub fn run(global: &Global, args: &TopicsArgs) -> Outcome {
    if args.acls { acls::run(global, &args.principal, args.notify) } else { table::run(global, args) }
}

/// Without the feature `kafka` there are no topics.
#[cfg(not(feature = "kafka"))]
pub fn run(global: &Global, _args: &TopicsArgs) -> Outcome {
    global.load()?;
    Err(Failure::Usage("this build has no Kafka: build it with the feature `kafka`".to_owned()))
}
