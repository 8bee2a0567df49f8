//! Where changes are kept: in the topic, or in a file of JSON lines.

use super::Ledger;
#[cfg(feature = "kafka")]
use super::topic;
use crate::command::Failure;
use crate::config::Settings;
use crate::model::applied::AppliedDefinition;
use anyhow::Context as _;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

/// The place that a configuration names.
pub struct Store<'a> {
    settings: &'a Settings,
}

impl<'a> Store<'a> {
    pub const fn of(settings: &'a Settings) -> Store<'a> {
        Store { settings }
    }

    /// All that was applied for the application.
    pub fn ledger(&self) -> Result<Ledger, Failure> {
        let records = match &self.settings.definitions.file {
            Some(file) => of_file(file)?,
            None => self.of_topic()?,
        };
        Ok(Ledger::of(records, &self.settings.application_id))
    }

    pub fn put(&self, records: &[AppliedDefinition]) -> Result<(), Failure> {
        match &self.settings.definitions.file {
            Some(file) => add_lines(file, records),
            None => self.put_in_topic(records),
        }
    }

    /// In words.
    pub fn place(&self) -> String {
        match &self.settings.definitions.file {
            Some(file) => file.display().to_string(),
            None => format!("the topic {}definitions", self.settings.output.prefix),
        }
    }

    #[cfg(feature = "kafka")]
    fn of_topic(&self) -> Result<Vec<AppliedDefinition>, Failure> {
        topic::read(self.settings)
    }

    #[cfg(feature = "kafka")]
    fn put_in_topic(&self, records: &[AppliedDefinition]) -> Result<(), Failure> {
        topic::write(self.settings, records)
    }

    #[cfg(not(feature = "kafka"))]
    fn of_topic(&self) -> Result<Vec<AppliedDefinition>, Failure> {
        Err(Failure::Usage(NO_KAFKA.to_owned()))
    }

    #[cfg(not(feature = "kafka"))]
    fn put_in_topic(&self, _: &[AppliedDefinition]) -> Result<(), Failure> {
        Err(Failure::Usage(NO_KAFKA.to_owned()))
    }
}

#[cfg(not(feature = "kafka"))]
const NO_KAFKA: &str = "this build has no Kafka (feature `kafka`): name a file for what was applied with \
                        --set definitions.file=applied.jsonl";

/// No file: nothing was applied yet.
fn of_file(path: &Path) -> Result<Vec<AppliedDefinition>, Failure> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::Definition(format!("definitions.file {}: {error}", path.display()))),
    };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let read = |(index, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| {
            let path = path.display();
            Failure::Definition(format!(
                "definitions.file {path}:{}: {error}: this is no record of `tailburn apply`",
                index + 1
            ))
        })
    };
    lines.map(read).collect()
}

/// All at once, so that a change of several SLOs is there whole or not at all.
fn add_lines(path: &Path, records: &[AppliedDefinition]) -> Result<(), Failure> {
    let mut lines = Vec::new();
    for record in records {
        serde_json::to_writer(&mut lines, record).map_err(anyhow::Error::from)?;
        lines.push(b'\n');
    }
    let opened = OpenOptions::new().create(true).append(true).open(path);
    let written = opened.and_then(|mut file| file.write_all(&lines).and_then(|()| file.sync_all()));
    Ok(written.with_context(|| format!("definitions.file {}", path.display()))?)
}
