//! Output records to bytes and back: JSON, or Avro by the schemas of `schemas/`.
//!
//! A record's type determines its schema, so the two cannot be confused. Equal records become equal bytes. Keys,
//! headers, topics and schema registry framing are handled elsewhere: [`Encoder::encode_into`] appends, so a frame can
//! be written first.

mod avro;
mod decode;
mod schema;

pub use avro::AvroError;
pub use decode::{Attempt, DecodeError, Decoder};
pub use schema::{OutputSchema, SchemaError};

use crate::model::applied::AppliedDefinition;
use crate::model::output::{BurnAlert, CanaryVerdict, DeadLetter, SloHistory, SloStatus, TailCohort, UserStatus};
use schema::ParsedSchemas;
use serde::{Deserialize, Serialize};

/// The format of output values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutputFormat {
    #[default]
    #[serde(rename = "json")]
    Json,
    /// A bare Avro datum: the reader takes the schema from `schemas/`.
    #[serde(rename = "avro")]
    AvroRaw,
}

/// An output record, and its schema.
pub trait OutputRecord: Serialize {
    const SCHEMA: OutputSchema;
}

impl OutputRecord for SloStatus {
    const SCHEMA: OutputSchema = OutputSchema::SloStatus;
}

impl OutputRecord for SloHistory {
    const SCHEMA: OutputSchema = OutputSchema::SloHistory;
}

impl OutputRecord for BurnAlert {
    const SCHEMA: OutputSchema = OutputSchema::BurnAlert;
}

impl OutputRecord for TailCohort {
    const SCHEMA: OutputSchema = OutputSchema::TailCohort;
}

impl OutputRecord for UserStatus {
    const SCHEMA: OutputSchema = OutputSchema::UserStatus;
}

impl OutputRecord for CanaryVerdict {
    const SCHEMA: OutputSchema = OutputSchema::CanaryVerdict;
}

impl OutputRecord for DeadLetter {
    const SCHEMA: OutputSchema = OutputSchema::DeadLetter;
}

impl OutputRecord for AppliedDefinition {
    const SCHEMA: OutputSchema = OutputSchema::Definition;
}

/// Why a record cannot be written. Each of these is a bug, because records are built to fit their schema.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("a record of schemas/{schema}.avsc cannot be written as JSON: {source}")]
    Json { schema: &'static str, source: serde_json::Error },
    #[error("a record of schemas/{schema}.avsc cannot be written as Avro: {source}")]
    Avro { schema: &'static str, source: AvroError },
}

/// Writes output records in one format. Schemas are parsed once, when it is made.
pub struct Encoder {
    format: OutputFormat,
    schemas: ParsedSchemas,
}

impl Encoder {
    pub fn new(format: OutputFormat) -> Result<Self, SchemaError> {
        Ok(Encoder { format, schemas: ParsedSchemas::parse()? })
    }

    pub fn format(&self) -> OutputFormat {
        self.format
    }

    pub fn encode<R: OutputRecord>(&self, record: &R) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::with_capacity(1_024);
        self.encode_into(record, &mut out)?;
        Ok(out)
    }

    /// Appends the record to `out`. After an error `out` contains a part of it and must be dropped.
    pub fn encode_into<R: OutputRecord>(&self, record: &R, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let schema = R::SCHEMA.name();
        match self.format {
            OutputFormat::Json => {
                serde_json::to_writer(out, record).map_err(|source| EncodeError::Json { schema, source })
            }
            OutputFormat::AvroRaw => avro::write(self.schemas.get(R::SCHEMA), record, out)
                .map_err(|source| EncodeError::Avro { schema, source }),
        }
    }
}
