//! `apply`: records a change of SLOs: what, who and why. `run` refuses what was not applied.

use super::applied::{Signature, Store, control};
use super::notify::now_ms;
use super::{Exit, Failure, Global, Outcome, Printer, assemble};
use clap::Args;
use serde_json::json;
use std::io::Write as _;
use std::path::PathBuf;

/// Put a change of SLOs in force: record what changes, who wants it and why
///
/// Compares the SLOs to what was applied last, prints what changes, and records it: in the compacted topic `definitions`
/// behind `output.prefix`, or in the file `definitions.file`. `run` refuses SLOs that differ from what was applied
/// (`definitions.control`). An SLO that is gone from the files is recorded as removed.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tailburn diff                                            # what would change
  tailburn apply --by ann --reason 'agreed with sales'
  tailburn apply --slos slos --dry-run
  tailburn history checkout-availability")]
pub struct ApplyArgs {
    /// The SLOs to put in force: a file or a directory; may be repeated [default: `slos` of the configuration]
    #[arg(long, value_name = "FILE|DIR")]
    pub slos: Vec<PathBuf>,

    /// Who wants the change
    #[arg(long, value_name = "NAME", required_unless_present = "dry_run")]
    pub by: Option<String>,

    /// Why
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    pub reason: Option<String>,

    /// Print what would be recorded, and record nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(global: &Global, args: &ApplyArgs) -> Outcome {
    let settings = global.load()?.settings;
    let said = |option: &str, text: &Option<String>| match text.as_deref().map(str::trim) {
        Some("") => Err(Failure::Usage(format!("{option} is empty: people will want to know"))),
        text => Ok(text.unwrap_or_default().to_owned()),
    };
    let signature =
        Signature { by: said("--by", &args.by)?, reason: said("--reason", &args.reason)?, now_ms: now_ms() };
    let paths = if args.slos.is_empty() { &settings.slos } else { &args.slos };
    let slos = assemble::definitions_of(&settings, paths)?.slos;
    let store = Store::of(&settings);
    let ledger = store.ledger()?;
    let changes = ledger.changes_by(&slos);
    let records = control::records(&ledger, &settings, paths, &slos, &signature)?;
    if !args.dry_run && !records.is_empty() {
        store.put(&records)?;
    }
    let mut out = Printer::stdout();
    if args.json {
        out.json(&json!(changes))?;
    } else if changes.is_empty() {
        out.tick(&format!("nothing to apply: the SLOs are what {} has already", store.place()))?;
    } else {
        changes.iter().try_for_each(|change| change.print(&mut out))?;
        out.line(&match args.dry_run {
            true => "Nothing was recorded (--dry-run).".to_owned(),
            false => format!(
                "Recorded in {} (by {}: {}). `run` takes it up when it is started again.",
                store.place(),
                signature.by,
                signature.reason
            ),
        })?;
    }
    out.flush()?;
    Ok(Exit::Done.into())
}
