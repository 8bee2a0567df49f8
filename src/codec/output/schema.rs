//! The schemas of the output records, as they are in `schemas/` at the time of the build.
//!
//! They are embedded so that encoder, decoder and `tailburn schema` cannot differ. No file is read and no registry is
//! asked.

use crate::model::record::Topic;
use apache_avro::Schema;

/// One file of `schemas/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OutputSchema {
    SloStatus,
    SloHistory,
    BurnAlert,
    TailCohort,
    UserStatus,
    CanaryVerdict,
    DeadLetter,
    Definition,
}

/// An embedded schema is invalid, so this build cannot write anything.
#[derive(Debug, thiserror::Error)]
#[error("schemas/{name}.avsc, embedded in this build, is not a valid Avro schema: {message}")]
pub struct SchemaError {
    pub name: &'static str,
    pub message: String,
}

impl OutputSchema {
    /// In the order of the contract.
    pub const ALL: [OutputSchema; 8] = [
        OutputSchema::SloStatus,
        OutputSchema::SloHistory,
        OutputSchema::BurnAlert,
        OutputSchema::TailCohort,
        OutputSchema::UserStatus,
        OutputSchema::CanaryVerdict,
        OutputSchema::DeadLetter,
        OutputSchema::Definition,
    ];

    /// The schema of a topic's values. For `dead-letters` it is that of the file form, because in Kafka the original
    /// record is published.
    pub const fn of(topic: Topic) -> Option<OutputSchema> {
        match topic {
            Topic::SloStatus => Some(OutputSchema::SloStatus),
            Topic::SloHistory => Some(OutputSchema::SloHistory),
            Topic::BurnAlerts => Some(OutputSchema::BurnAlert),
            Topic::TailCohorts => Some(OutputSchema::TailCohort),
            Topic::UserStatus => Some(OutputSchema::UserStatus),
            Topic::CanaryVerdicts => Some(OutputSchema::CanaryVerdict),
            Topic::DeadLetters => Some(OutputSchema::DeadLetter),
            // JSON always, like silences: what people wrote years ago must stay readable beside newer schemas.
            Topic::Definitions => Some(OutputSchema::Definition),
            // Silences are JSON always: people write them, and schemas/README.md lists their fields.
            Topic::Repartition | Topic::Partials | Topic::Changelog | Topic::Sources | Topic::Silences => None,
        }
    }

    /// The file's name without its extension.
    pub const fn name(self) -> &'static str {
        match self {
            OutputSchema::SloStatus => "slo-status",
            OutputSchema::SloHistory => "slo-history",
            OutputSchema::BurnAlert => "burn-alerts",
            OutputSchema::TailCohort => "tail-cohorts",
            OutputSchema::UserStatus => "user-status",
            OutputSchema::CanaryVerdict => "canary-verdicts",
            OutputSchema::DeadLetter => "dead-letters",
            OutputSchema::Definition => "definitions",
        }
    }

    /// The file's text.
    pub const fn text(self) -> &'static str {
        match self {
            OutputSchema::SloStatus => include_str!("../../../schemas/slo-status.avsc"),
            OutputSchema::SloHistory => include_str!("../../../schemas/slo-history.avsc"),
            OutputSchema::BurnAlert => include_str!("../../../schemas/burn-alerts.avsc"),
            OutputSchema::TailCohort => include_str!("../../../schemas/tail-cohorts.avsc"),
            OutputSchema::UserStatus => include_str!("../../../schemas/user-status.avsc"),
            OutputSchema::CanaryVerdict => include_str!("../../../schemas/canary-verdicts.avsc"),
            OutputSchema::DeadLetter => include_str!("../../../schemas/dead-letters.avsc"),
            OutputSchema::Definition => include_str!("../../../schemas/definitions.avsc"),
        }
    }

    pub fn parse(self) -> Result<Schema, SchemaError> {
        Schema::parse_str(self.text()).map_err(|e| SchemaError { name: self.name(), message: e.to_string() })
    }
}

/// Every schema, parsed.
pub(super) struct ParsedSchemas([Schema; OutputSchema::ALL.len()]);

impl ParsedSchemas {
    pub(super) fn parse() -> Result<Self, SchemaError> {
        let [status, history, alert, cohort, user, canary, letter, definition] = OutputSchema::ALL;
        Ok(ParsedSchemas([
            status.parse()?,
            history.parse()?,
            alert.parse()?,
            cohort.parse()?,
            user.parse()?,
            canary.parse()?,
            letter.parse()?,
            definition.parse()?,
        ]))
    }

    pub(super) fn get(&self, schema: OutputSchema) -> &Schema {
        // The variants are declared in the order of `ALL`.
        &self.0[schema as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_schema_is_found_under_its_own_place() {
        let parsed = ParsedSchemas::parse().expect("embedded schemas are valid");
        for schema in OutputSchema::ALL {
            assert_eq!(parsed.get(schema), &schema.parse().expect("valid"), "{schema:?}");
        }
    }

    #[test]
    fn every_topic_that_people_read_has_a_schema() {
        for topic in Topic::OUTPUTS {
            assert!(OutputSchema::of(topic).is_some(), "{topic:?}");
        }
        assert_eq!(OutputSchema::of(Topic::Partials), None);
    }
}
