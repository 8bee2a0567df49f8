//! `apply`: records a change of SLOs: what, who and why. `run` refuses what was not applied.

use super::applied::{Signature, Store, control};
use super::diff::changes::{Change, What};
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
/// (`definitions.control`). An SLO that is gone from the files is recorded as removed; where --slos names the files, only
/// with --remove.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tailburn diff                                            # what would change
  tailburn apply --by ann --reason 'agreed with sales'
  tailburn apply --slos slos --dry-run
  tailburn history checkout-availability")]
pub struct ApplyArgs {
    /// All SLOs that are to be in force, not only those that change: a file or a directory; may be repeated [default:
    /// `slos` of the configuration]
    #[arg(long, value_name = "FILE|DIR")]
    pub slos: Vec<PathBuf>,

    /// Record as removed what is in force and not in the files of --slos
    #[arg(long)]
    pub remove: bool,

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
    let by = said("--by", args.by.as_deref(), "who wants the change")?;
    let reason = said("--reason", args.reason.as_deref(), "why")?;
    let paths = if args.slos.is_empty() { &settings.slos } else { &args.slos };
    let slos = assemble::definitions_of(&settings, paths)?.slos;
    let store = Store::of(&settings);
    let (ledger, change) = match args.dry_run {
        true => (store.ledger()?, None),
        false => store.begin().map(|(ledger, change)| (ledger, Some(change)))?,
    };
    let changes = ledger.changes_by(&slos);
    if !args.slos.is_empty() && !args.remove {
        refuse_removals(&changes)?;
    }
    let signature = Signature { by, reason, now_ms: now_ms() };
    let records = control::records(&ledger, &settings, paths, &slos, &signature)?;
    if let Some(change) = change.filter(|_| !records.is_empty()) {
        change.put(&records)?;
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

/// The text of an option, which people will read in the history.
fn said(option: &str, text: Option<&str>, what: &str) -> Result<String, Failure> {
    match text.map(str::trim) {
        Some("") => Err(Failure::Usage(format!("{option} is empty: write {what}"))),
        Some(text) if text.contains(char::is_control) => Err(Failure::Definition(format!(
            "{option} has a control character: write {what} in one line of plain text"
        ))),
        text => Ok(text.unwrap_or_default().to_owned()),
    }
}

/// Who names one file of several seldom means that the SLOs of the others are gone.
fn refuse_removals(changes: &[Change]) -> Result<(), Failure> {
    let removed: Vec<&str> =
        changes.iter().filter(|change| change.what == What::Removed).map(|change| change.slo.as_str()).collect();
    if removed.is_empty() {
        return Ok(());
    }
    Err(Failure::Definition(format!(
        "this would remove {}: --slos has to name the files of all SLOs (without --slos they are those of the \
         configuration); to remove what is not in them, add --remove",
        removed.join(", ")
    )))
}
