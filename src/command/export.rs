//! `export`: the definitions as one OpenSLO file.

use super::{Exit, Failure, Global, Outcome, Printer};
use crate::definition;
use anyhow::Context as _;
use clap::Args;
use std::io::Write as _;
use std::path::PathBuf;

/// Write the definitions as one OpenSLO v1 file, with every reference filled in
///
/// Each SLO is written with the indicator, the source and the alert policies that it refers to, so that it can be read on
/// its own: by people, by other tools that read OpenSLO, or by tailburn, with the same hashes. What is written is read back
/// before it leaves; a file that would mean something else is not written. A file of tenants (setting `tenants`) stays a file
/// of its own.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tailburn export                                  # the SLOs of the configuration, to standard output
  tailburn export --slos slos --out all.yaml
  tailburn export --slos slos | tailburn check --slos /dev/stdin")]
pub struct ExportArgs {
    /// Export these SLOs; a file or a directory, may be repeated [default: `slos` of the configuration]
    #[arg(long, value_name = "FILE|DIR")]
    pub slos: Vec<PathBuf>,

    /// The file to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

pub fn run(global: &Global, args: &ExportArgs) -> Outcome {
    let paths = if args.slos.is_empty() { global.load()?.settings.slos } else { args.slos.clone() };
    let written = definition::texts(&paths).and_then(|texts| definition::export(&texts));
    let text = written.map_err(|errors| Failure::Definition(errors.to_string()))?;
    match &args.out {
        Some(file) => {
            std::fs::write(file, &text).with_context(|| format!("{} cannot be written", file.display()))?;
            global.voice().say(&format!("written to {}", file.display()));
        }
        None => {
            let mut out = Printer::stdout();
            write!(out, "{text}")?;
            out.flush()?;
        }
    }
    Ok(Exit::Done.into())
}
