//! Change control: SLOs that differ from what was applied are refused.

use super::{Ledger, Signature, Store};
use crate::command::diff::changes;
use crate::command::notify::now_ms;
use crate::command::{Failure, Voice};
use crate::config::Settings;
use crate::definition;
use crate::model::applied::AppliedDefinition;
use crate::model::slo::Slo;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What is done where nothing was ever applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// The files are recorded as the first that was applied.
    Record,
    Refuse,
}

/// Who records the first definitions where nobody applied any.
const FIRST_BY: &str = "run";
const FIRST_REASON: &str = "first start: nothing was applied before";

/// Whether `run` refuses what was not applied.
fn of_run(settings: &Settings) -> bool {
    settings.definitions.control.unwrap_or(true)
}

/// Whether `run` compares its SLOs to a file. That needs no broker, so it comes first.
pub fn reads_file(settings: &Settings) -> bool {
    of_run(settings) && settings.definitions.file.is_some()
}

/// Whether `run` compares its SLOs to the topic.
#[cfg(feature = "kafka")]
pub fn reads_topic(settings: &Settings) -> bool {
    of_run(settings) && settings.definitions.file.is_none()
}

/// Whether `backtest` does.
pub fn of_backtest(settings: &Settings) -> bool {
    settings.definitions.control.unwrap_or(false)
}

/// All that was applied. Fails with what differs, and what to do.
pub fn check(
    settings: &Settings,
    paths: &[PathBuf],
    slos: &[Slo],
    first: First,
    voice: Voice,
) -> Result<Ledger, Failure> {
    let store = Store::of(settings);
    let mut ledger = store.ledger()?;
    if ledger.changes.is_empty() {
        ledger = match first {
            First::Refuse => return Err(refused(&store, "nothing was applied yet")),
            First::Record => record_first(&store, settings, paths, slos, voice)?,
        };
    }
    let changes = ledger.changes_by(slos);
    if changes.is_empty() {
        return Ok(ledger);
    }
    let what = format!("the SLOs differ from what was applied:\n\n{}\n", changes::text(&changes));
    Err(refused(&store, &what))
}

fn refused(store: &Store<'_>, what: &str) -> Failure {
    Failure::Definition(format!(
        "{what}\n`tailburn apply --by NAME --reason WHY` records the SLOs in {}, `tailburn diff` shows what \
         they do. To start without this check: --set definitions.control=false",
        store.place()
    ))
}

/// All that is applied then. Who began at the same time may have been the first.
fn record_first(
    store: &Store<'_>,
    settings: &Settings,
    paths: &[PathBuf],
    slos: &[Slo],
    voice: Voice,
) -> Result<Ledger, Failure> {
    let (ledger, change) = store.begin()?;
    if !ledger.changes.is_empty() {
        return Ok(ledger);
    }
    let signature = Signature { by: FIRST_BY.to_owned(), reason: FIRST_REASON.to_owned(), now_ms: now_ms() };
    let records = records(&ledger, settings, paths, slos, &signature)?;
    change.put(&records)?;
    let (count, place) = (records.len(), store.place());
    let s = if count == 1 { "SLO" } else { "SLOs" };
    voice.say(&format!(
        "nothing was applied before: {count} {s} recorded in {place} (by {FIRST_BY}); from now on a change needs \
         `tailburn apply`"
    ));
    Ok(Ledger::of(records, &settings.application_id))
}

/// The records of what the files change.
pub fn records(
    ledger: &Ledger,
    settings: &Settings,
    paths: &[PathBuf],
    slos: &[Slo],
    signature: &Signature,
) -> Result<Vec<AppliedDefinition>, Failure> {
    let documents = documents(paths)?;
    Ok(ledger.records(&ledger.changes_by(slos), slos, &documents, &settings.application_id, signature))
}

fn documents(paths: &[PathBuf]) -> Result<BTreeMap<String, String>, Failure> {
    let read = definition::texts(paths).and_then(|texts| definition::documents(&texts));
    read.map_err(|errors| Failure::Definition(errors.to_string()))
}
