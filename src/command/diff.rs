//! `diff`: what a change of SLO documents does, field by field and over recorded traffic, before it is in force.

pub mod changes;
mod fields;
mod replay;
mod table;

use super::applied::Store;
use super::backtest::FileFormat;
use super::{Exit, Failure, Global, Outcome, Printer, Voice, assemble, files};
use crate::config::Settings;
use crate::definition::maintenance;
use crate::model::slo::Slo;
use changes::{Change, Versions, changes, versions};
use clap::Args;
use replay::{FiredBy, Recorded, replay};
use serde::Serialize;
use serde_json::json;
use std::io::Write as _;
use std::path::PathBuf;
use table::Sides;

/// Say what a change of SLOs does: field by field, and what becomes of counts and alerts
///
/// Compares two sets of documents after references, defaults and overrides, so that two ways to write the same SLO do not
/// differ. With --input it evaluates the SLOs that change over recorded traffic: pages, tickets, how often each rule fired,
/// and what is left of the budget, before and after. Exit codes: 0 nothing changed, 1 something did,
/// 2 the arguments are wrong, 78 a document or an input cannot be read.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tailburn diff                                            # what `tailburn apply` would put in force
  tailburn diff --before slos --after new-slos
  git worktree add /tmp/main main && tailburn diff --before /tmp/main/slos --after slos    # in a pull request
  tailburn diff --input last-month.jsonl.gz                # and what it would have fired
  tailburn diff --before slos/checkout.yaml --after checkout.yaml --json")]
pub struct DiffArgs {
    /// The documents in force: a file or a directory; may be repeated [default: what was applied]
    #[arg(long, value_name = "FILE|DIR")]
    pub before: Vec<PathBuf>,

    /// The documents to come [default: `slos` of the configuration]
    #[arg(long, value_name = "FILE|DIR")]
    pub after: Vec<PathBuf>,

    /// Evaluate both sides over recorded traffic, and say what each would have fired; may be repeated, each is a partition
    #[arg(long = "input", value_name = "FILE")]
    pub inputs: Vec<PathBuf>,

    /// The format of the input; without it, `input.format` of the configuration
    #[arg(long, value_enum, requires = "inputs")]
    pub format: Option<FileFormat>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// One side of the comparison.
struct Side {
    versions: Versions,
    slos: Vec<Slo>,
}

/// A change, and with --input what both sides would have fired.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    change: &'a Change,
    #[serde(skip_serializing_if = "Option::is_none")]
    fired: Option<Sides>,
}

pub fn run(global: &Global, args: &DiffArgs) -> Outcome {
    let mut settings = global.load()?.settings;
    // It is no part of a definition, and may name SLOs that only one side has.
    let maintenance = settings.maintenance.take();
    files::refuse_streams(&args.inputs, "both sides are evaluated, so it is read twice: name a file")?;
    let before = match args.before.as_slice() {
        [] => applied(&settings, !args.inputs.is_empty(), global)?,
        paths => written(&settings, paths)?,
    };
    let after = written(&settings, if args.after.is_empty() { &settings.slos } else { &args.after })?;
    let changes = changes(&before.versions, &after.versions);
    settings.maintenance = maintenance;
    let fired = match args.inputs.as_slice() {
        [] => None,
        inputs => Some(fired(&settings, [before.slos, after.slos], &changes, inputs, args, global.voice())?),
    };
    let sides = |name: &str| {
        let [before, after] = fired.as_ref()?;
        Some(Sides { before: before.get(name).cloned(), after: after.get(name).cloned() })
    };
    let told: Vec<Told<'_>> = changes.iter().map(|change| Told { change, fired: sides(&change.slo) }).collect();
    let mut out = Printer::stdout();
    match (args.json, told.as_slice()) {
        (true, told) => out.json(&json!(told))?,
        (false, []) => out.tick("no SLO changes")?,
        (false, told) => told.iter().try_for_each(|told| tell(&mut out, told))?,
    }
    out.flush()?;
    Ok(if changes.is_empty() { Exit::Done } else { Exit::Findings }.into())
}

fn tell(out: &mut Printer, told: &Told<'_>) -> std::io::Result<()> {
    told.change.print(out)?;
    told.fired.as_ref().map_or(Ok(()), |sides| sides.print(out))
}

fn written(settings: &Settings, paths: &[PathBuf]) -> Result<Side, Failure> {
    let slos = assemble::definitions_of(settings, paths)?.slos;
    Ok(Side { versions: versions(&slos), slos })
}

/// What was applied; its SLOs only where they are to be evaluated.
fn applied(settings: &Settings, evaluates: bool, global: &Global) -> Result<Side, Failure> {
    let store = Store::of(settings);
    let ledger = store.ledger()?;
    if ledger.changes.is_empty() {
        global.voice().say(&format!("nothing was applied yet in {}", store.place()));
    }
    let slos = if evaluates { ledger.slos(settings, global.voice())? } else { Vec::new() };
    Ok(Side { versions: ledger.versions(), slos })
}

/// What the SLOs that change would have fired, on both sides.
fn fired(
    settings: &Settings,
    sides: [Vec<Slo>; 2],
    changes: &[Change],
    inputs: &[PathBuf],
    args: &DiffArgs,
    voice: Voice,
) -> Result<[FiredBy; 2], Failure> {
    let recorded = Recorded { inputs, format: args.format };
    let side = |mut slos: Vec<Slo>, name: &str| {
        let mut maintained = slos.clone();
        match maintenance::apply(&settings.maintenance, &mut maintained) {
            Ok(()) => slos = maintained,
            Err(error) => {
                voice.say(&format!("{name}: evaluated without the maintenance of the configuration: {error}"));
            }
        }
        slos.retain(|slo| changes.iter().any(|change| change.slo == slo.name));
        // Not the exit code of a change.
        replay(settings, slos, &recorded, name, voice).map_err(Failure::without_finding)
    };
    let [before, after] = sides;
    Ok([side(before, "before")?, side(after, "after")?])
}
