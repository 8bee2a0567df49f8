//! Where changes are kept: in the topic, or in a file of JSON lines.

use super::file::Locked;
#[cfg(feature = "kafka")]
use super::topic;
use super::{Ledger, file};
use crate::command::Failure;
use crate::config::Settings;
use crate::model::applied::AppliedDefinition;

/// The place that a configuration names.
pub struct Store<'a> {
    settings: &'a Settings,
}

/// A change that is about to be recorded.
pub struct Change<'a> {
    store: Store<'a>,
    file: Option<Locked>,
}

impl Change<'_> {
    pub fn put(self, records: &[AppliedDefinition]) -> Result<(), Failure> {
        match self.file {
            Some(file) => file.add(records),
            None => self.store.put_in_topic(records),
        }
    }
}

impl<'a> Store<'a> {
    pub const fn of(settings: &'a Settings) -> Store<'a> {
        Store { settings }
    }

    /// All that was applied for the application.
    pub fn ledger(&self) -> Result<Ledger, Failure> {
        let records = match &self.settings.definitions.file {
            Some(file) => file::read(file)?,
            None => self.of_topic()?,
        };
        Ok(Ledger::of(records, &self.settings.application_id))
    }

    /// All that was applied, for one who adds to it: a file is kept from others until the change is there.
    pub fn begin(&self) -> Result<(Ledger, Change<'a>), Failure> {
        let settings = self.settings;
        let (records, file) = match &settings.definitions.file {
            Some(file) => file::lock(file).map(|(records, file)| (records, Some(file)))?,
            None => (self.of_topic()?, None),
        };
        Ok((Ledger::of(records, &settings.application_id), Change { store: Store { settings }, file }))
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
