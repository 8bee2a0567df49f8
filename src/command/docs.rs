//! `docs`: all definitions as one page to print.

mod glossary;
mod page;
mod words;

use super::{Exit, Failure, Global, Outcome};
use crate::definition;
use crate::definition::tenants;
use anyhow::Context as _;
use clap::Args;
use std::path::PathBuf;

/// Write all definitions as one HTML page to print or to send
///
/// For each SLO: the objective and its window, which events count and which are good (in words and as CEL), who owns it, why
/// it is there, how it is measured, which variation is accepted, when it is looked at again, the rules and when they fire,
/// agreements, and the definition's hash as in every record. A glossary explains the terms of statuses and alerts. The page
/// needs no other file and no network. The same definitions make the same bytes.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tailburn docs --out slos.html                    # the SLOs of the configuration
  tailburn docs --slos slos --out slos.html        # in a pipeline that publishes pages
  tailburn check --strict --slos slos              # first: does every SLO say what the page needs")]
pub struct DocsArgs {
    /// Write these SLOs; a file or a directory, may be repeated [default: `slos` of the configuration]
    #[arg(long, value_name = "FILE|DIR")]
    pub slos: Vec<PathBuf>,

    /// The page to write
    #[arg(long, value_name = "FILE.html")]
    pub out: PathBuf,
}

pub fn run(global: &Global, args: &DocsArgs) -> Outcome {
    let settings = if args.slos.is_empty() { Some(global.load()?.settings) } else { None };
    let paths = settings.as_ref().map_or(&args.slos, |settings| &settings.slos);
    let loaded = definition::load(paths).map_err(|errors| Failure::Definition(errors.to_string()))?;
    let mut slos = loaded.slos;
    if let Some(file) = settings.as_ref().and_then(|settings| settings.tenants.as_deref()) {
        let applied = tenants::read(file).and_then(|tenants| tenants::apply(&tenants, &mut slos));
        applied.map_err(|e| Failure::Definition(e.to_string()))?;
    }
    std::fs::write(&args.out, page::page(&slos))
        .with_context(|| format!("{} cannot be written", args.out.display()))?;
    global.voice().say(&format!("{} SLOs in {}", slos.len(), args.out.display()));
    Ok(Exit::Done.into())
}
