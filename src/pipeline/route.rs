//! Route: turns each record into an outcome or a dead letter.

use super::input_stats::InputStats;
pub use super::input_stats::SourceName;
use crate::codec::dead_letter::{for_file, for_kafka};
use crate::codec::{Decoder, Rejected};
use crate::model::outcome::Outcome;
use crate::model::record::{RecordIn, RecordOut, Topic};
use std::borrow::Cow;

/// The form in which dead letters are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetterForm {
    /// For Kafka: the record itself with additional headers, on one of this many partitions.
    Record { partitions: u32 },
    /// For files: a line of JSON.
    Line,
}

/// Decodes the records of all input partitions of a worker.
pub struct Route {
    decoder: Decoder,
    sources: Vec<SourceName>,
    form: DeadLetterForm,
    /// The problems of the records so far.
    pub stats: InputStats,
    /// Records without a dead letter of their own, because they are in a damaged block that has one dead letter.
    pub records_lost: u64,
}

impl Route {
    pub fn new(decoder: Decoder, sources: Vec<SourceName>, form: DeadLetterForm) -> Route {
        let stats = InputStats::new(decoder.mapping());
        Route { decoder, sources, form, stats, records_lost: 0 }
    }

    /// Takes one record of an input partition: calls `each` with its outcome, or returns a dead letter.
    #[inline]
    pub fn apply(&mut self, source: u32, record: &RecordIn<'_>, each: impl FnOnce(&Outcome<'_>)) -> Option<RecordOut> {
        let Route { decoder, sources, stats, .. } = self;
        let read = decoder.read(record, each);
        if let Some(found) = read.found {
            stats.mapped(found, || decoder.near_paths(record));
        }
        if !read.faults.is_empty() {
            stats.unreadable(&name_of(sources, source), record.offset, &read.faults);
        }
        match read.became {
            Ok(()) => None,
            Err(rejected) => Some(self.dead_letter(source, record, &rejected)),
        }
    }

    #[cold]
    fn dead_letter(&mut self, source: u32, record: &RecordIn<'_>, rejected: &Rejected) -> RecordOut {
        let name = name_of(&self.sources, source);
        self.stats.dead_letter(&name, record.offset, rejected);
        if let Some(damage) = record.headers.damage() {
            self.records_lost = self.records_lost.saturating_add(damage.records.saturating_sub(1));
        }
        let record = RecordIn { partition: name.partition, ..*record };
        match self.form {
            DeadLetterForm::Record { partitions } => {
                let at_ms = record.timestamp_ms.unwrap_or(0);
                for_kafka(&record, &name.topic, rejected, source % partitions.max(1), at_ms)
            }
            DeadLetterForm::Line => {
                let line = for_file(&record, &name.topic, rejected);
                RecordOut {
                    topic: Topic::DeadLetters,
                    partition: source,
                    key: None,
                    // Never fails: a struct of texts and numbers can always be written as JSON.
                    value: serde_json::to_vec(&line).ok(),
                    headers: Vec::new(),
                    timestamp_ms: record.offset,
                }
            }
        }
    }
}

/// The name of a source; if it has none, its number with an empty topic.
#[cold]
fn name_of(sources: &[SourceName], source: u32) -> Cow<'_, SourceName> {
    match sources.get(source as usize) {
        Some(name) => Cow::Borrowed(name),
        None => Cow::Owned(SourceName { topic: String::new(), partition: source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::InputSettings;
    use crate::model::record::Damage;

    #[test]
    fn the_records_of_a_damaged_block_are_all_counted() -> Result<(), Box<dyn std::error::Error>> {
        let name = SourceName { topic: "o.avro".to_owned(), partition: 0 };
        let decoder = Decoder::new(InputSettings::default())?;
        let mut route = Route::new(decoder, vec![name], DeadLetterForm::Line);
        // The value could be decoded, but a damaged block's value must not be trusted.
        let value = br#"{"tenant":"acme","timestamp":1780074045845}"#;
        for records in [1, 907, u64::MAX] {
            let damage = Damage { detail: "broken".to_owned(), records, block: Some(1), cut_from_bytes: None };
            let record = RecordIn { partition: 0, offset: 0, key: None, value, timestamp_ms: None, headers: &damage };
            assert!(route.apply(0, &record, |_| ()).is_some());
        }
        assert_eq!(route.stats.dead_letter_counts().iter().sum::<u64>(), 3);
        assert_eq!(route.records_lost, u64::MAX, "no overflow");
        Ok(())
    }
}
