//! `history`: every change of an SLO that was applied: when, by whom, why, and which fields.

use super::applied::{Store, told};
use super::diff::changes::FieldChange;
use super::{Exit, Failure, Global, Outcome, Printer};
use crate::model::applied::AppliedDefinition;
use crate::model::suggest;
use clap::Args;
use serde_json::{Value, json};
use std::io::Write as _;

/// Print every change of an SLO that was applied: when, by whom, why, and which fields
///
/// The last one is in force. The name of a document with several objectives means all of its SLOs.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tailburn history checkout-availability
  tailburn history checkout-availability --json | jq -r '.[] | [.since, .by, .reason] | @tsv'")]
pub struct HistoryArgs {
    /// The SLO
    #[arg(value_name = "SLO")]
    pub slo: String,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(global: &Global, args: &HistoryArgs) -> Outcome {
    let settings = global.load()?.settings;
    let store = Store::of(&settings);
    let ledger = store.ledger()?;
    let history = ledger.history(&args.slo);
    if history.is_empty() {
        let known = ledger.changes.iter().map(|change| change.slo.as_str());
        let near = suggest::closest(&args.slo, known).map(|near| format!(" (did you mean `{near}`?)"));
        let (slo, place, near) = (&args.slo, store.place(), near.unwrap_or_default());
        return Err(Failure::Usage(format!("no SLO `{slo}` was ever applied in {place}{near}")));
    }
    let mut out = Printer::stdout();
    if args.json {
        let all: Vec<Value> = history.iter().map(|(change, fields)| with_document(change, fields)).collect();
        out.json(&json!(all))?;
    } else {
        history.iter().try_for_each(|(change, fields)| tell(&mut out, change, fields))?;
    }
    out.flush()?;
    Ok(Exit::Done.into())
}

fn with_document(change: &AppliedDefinition, fields: &[FieldChange]) -> Value {
    let mut told = told(change, fields);
    told["document"] = json!(change.document);
    told
}

fn tell(out: &mut Printer, change: &AppliedDefinition, fields: &[FieldChange]) -> std::io::Result<()> {
    let AppliedDefinition { slo, since, by, reason, change: what, .. } = change;
    out.heading(&plain(&format!("{since}  {slo} {what} by {by}: {reason}")))?;
    if let Some(hash) = &change.definition_hash {
        out.line(&format!("  hash {hash}"))?;
    }
    fields.iter().try_for_each(|field| out.line(&plain(&format!("  {}", field.in_words()))))
}

/// Control characters as they are written in Rust: what stands in a record must not steer a terminal.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() {
            true => plain.extend(c.escape_default()),
            false => plain.push(c),
        }
    }
    plain
}
