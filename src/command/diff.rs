//! `diff`: what a change of SLO documents does, field by field, before it is in force.

pub mod changes;
mod fields;

use super::applied::Store;
use super::{Exit, Global, Outcome, Printer, assemble};
use changes::{changes, print, versions};
use clap::Args;
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::PathBuf;

/// Say what a change of SLOs does: field by field, and what becomes of counts and alerts
///
/// Compares two sets of documents after references, defaults and overrides, so that two ways to write the same SLO do not
/// differ. Exit codes: 0 nothing changed, 1 something did.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tailburn diff                                            # what `tailburn apply` would put in force
  tailburn diff --before slos --after new-slos
  git worktree add /tmp/main main && tailburn diff --before /tmp/main/slos --after slos    # in a pull request
  tailburn diff --before slos/checkout.yaml --after checkout.yaml --json")]
pub struct DiffArgs {
    /// The documents in force: a file or a directory; may be repeated [default: what was applied]
    #[arg(long, value_name = "FILE|DIR")]
    pub before: Vec<PathBuf>,

    /// The documents to come [default: `slos` of the configuration]
    #[arg(long, value_name = "FILE|DIR")]
    pub after: Vec<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(global: &Global, args: &DiffArgs) -> Outcome {
    let mut settings = global.load()?.settings;
    // It is no part of a definition, and may name SLOs that only one side has.
    settings.maintenance = Value::Null;
    let load = |paths: &[PathBuf]| assemble::definitions_of(&settings, paths).map(|definitions| definitions.slos);
    let before = match args.before.as_slice() {
        [] => Store::of(&settings).ledger()?.versions(),
        paths => versions(&load(paths)?),
    };
    let after = load(if args.after.is_empty() { &settings.slos } else { &args.after })?;
    let changes = changes(&before, &versions(&after));
    let mut out = Printer::stdout();
    if args.json {
        out.json(&json!(changes))?;
    } else {
        print(&mut out, &changes)?;
    }
    out.flush()?;
    Ok(if changes.is_empty() { Exit::Done } else { Exit::Findings }.into())
}
