//! `config show`: every key, its value and where the value came from. Secrets are not shown.

use super::{Exit, Global, Outcome, Printer};
use crate::config::{Entry, Loaded, Origin};
use clap::{Args, Subcommand};
use serde_json::json;
use std::io::Write as _;
use std::path::Path;

#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    Show(ConfigShowArgs),
}

/// Show every key, its value and where the value came from; secrets are redacted
///
/// With a preset (`input.preset`) each entry of the mapping has a line of its own, which says whether it is the preset's or
/// yours.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tailburn config show
  tailburn config show --changed
  tailburn config show --set state.dir=/tmp/state --json | jq '.keys[] | select(.origin.layer != \"default\")'")]
pub struct ConfigShowArgs {
    /// Show only what is not at its default
    #[arg(long)]
    pub changed: bool,

    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(global: &Global, args: &ConfigShowArgs) -> Outcome {
    let loaded = global.load()?;
    let entries: Vec<Entry> = loaded.entries.iter().flat_map(Entry::told_apart).collect();
    let shown: Vec<&Entry> = entries.iter().filter(|e| !args.changed || e.origin != Origin::Default).collect();
    let mut out = Printer::stdout();
    if args.json {
        out.json(&as_json(&loaded, &shown))?;
    } else {
        as_text(&mut out, loaded.file.as_deref(), &shown)?;
    }
    out.flush()?;
    Ok(Exit::Done.into())
}

fn as_json(loaded: &Loaded, entries: &[&Entry]) -> serde_json::Value {
    let keys: Vec<_> = entries
        .iter()
        .map(|e| {
            let (line, variable) = match &e.origin {
                Origin::File { line } => (Some(line), None),
                Origin::Env { name } => (None, Some(name)),
                Origin::Default | Origin::Set | Origin::Preset { .. } => (None, None),
            };
            let preset = match &e.origin {
                Origin::Preset { name, version } => json!({"name": name, "version": version}),
                _ => serde_json::Value::Null,
            };
            let origin = json!({"layer": e.origin.layer(), "line": line, "variable": variable, "preset": preset});
            json!({"key": e.key, "value": e.value, "origin": origin})
        })
        .collect();
    json!({"file": loaded.file, "keys": keys})
}

fn as_text(out: &mut Printer, file: Option<&Path>, entries: &[&Entry]) -> std::io::Result<()> {
    let file_text = file.map_or_else(|| "none (tailburn init writes one)".to_owned(), |f| f.display().to_string());
    writeln!(out, "# file: {file_text}")?;
    let lines: Vec<(String, String)> =
        entries.iter().map(|e| (format!("{}: {}", e.key, e.value), origin_text(file, &e.origin))).collect();
    let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or(0).min(64);
    for (line, origin) in lines {
        writeln!(out, "{line:<width$}  # {origin}")?;
    }
    Ok(())
}

fn origin_text(file: Option<&Path>, origin: &Origin) -> String {
    match origin {
        Origin::Default => "default".to_owned(),
        other => other.describe(file),
    }
}
