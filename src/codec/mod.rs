//! Turns bytes into outcomes or dead letters (contract, section 1).
//!
//! A [`Decoder`] is made once from the input's settings and then reads record after record: bytes -> fields ([`json`],
//! [`avro`], [`clf`], through a [`mapping`] where one is configured) -> one verdict ([`gather`]). It borrows texts from
//! the record, keeps nothing between records, reads no clock and never panics on its input. [`files`] reads records
//! from files; nothing else here does IO.

pub mod avro;
mod clf;
pub mod dead_letter;
mod fault;
pub mod field;
pub mod files;
mod found;
mod gather;
mod json;
mod limits;
pub mod mapping;
mod number;
mod numeric;
mod odd_time;
pub mod output;
mod rejected;
mod rfc3339;
mod rules;
mod tree;

pub use avro::{AvroSchemas, FileSchema, SchemaError};
pub use clf::ClfShape;
pub use fault::Fault;
pub use limits::FieldLimits;
pub use mapping::Mapping;
pub use rejected::Rejected;
pub use rules::TimestampIs;

use crate::model::outcome::{Outcome, Rejection};
use crate::model::record::RecordIn;
use crate::model::tenants::JoinedAttributes;
use crate::model::time::Ms;
use field::Field;
use found::Found;
use gather::Gathered;
use rules::Rules;
use serde::Deserialize;

/// The format of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    #[default]
    #[serde(alias = "jsonl")]
    Json,
    Avro,
    Clf,
}

/// The settings of a decoder.
#[derive(Debug, Default)]
pub struct InputSettings {
    pub format: Format,
    /// For access logs.
    pub clf_shape: ClfShape,
    /// The writers' schemas of Avro; `None`: raw records of our own schema.
    pub avro_schemas: Option<AvroSchemas>,
    /// Used for an absent or empty tenant.
    pub default_tenant: Option<String>,
    /// What joins the events of tenants.
    pub joined: JoinedAttributes,
    pub mapping: Mapping,
    pub limits: FieldLimits,
    /// `None`: no record is in the future (files). A record without a log timestamp never is.
    pub max_future_skew_ms: Option<Ms>,
    /// Whether a record's time is that of the request's start or end.
    pub timestamp_is: TimestampIs,
}

/// Why a decoder cannot be made from its settings.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    #[error("input.mapping does not apply to access logs (format clf): remove it, or write the input as JSON")]
    MappingOfAccessLog,
    #[error("input.default_tenant is empty: write a name, or null")]
    EmptyDefaultTenant,
    #[error("input.default_tenant has {bytes} bytes, and {limit} are allowed")]
    LongDefaultTenant { bytes: usize, limit: usize },
    #[error("tailburn's own input schema: {0}")]
    SchemaOfRecord(SchemaError),
}

/// The result of reading a record.
#[derive(Debug)]
pub struct Read<'a> {
    pub became: Result<(), Rejected>,
    /// Values that the outcome's fields could not take.
    pub faults: Vec<Fault<'a>>,
    /// What the mapping found, if there is one and the record could be parsed.
    pub found: Option<Found>,
}

/// Reads records of one input.
#[derive(Debug)]
pub struct Decoder {
    source: Source,
    default_tenant: Option<String>,
    joined: JoinedAttributes,
    mapping: Mapping,
    limits: FieldLimits,
    max_future_skew_ms: Option<Ms>,
    timestamp_is: TimestampIs,
}

/// A format with its settings.
#[derive(Debug)]
enum Source {
    Json,
    Avro(AvroSchemas),
    Clf(ClfShape),
}

impl Decoder {
    pub fn new(settings: InputSettings) -> Result<Decoder, CodecError> {
        let InputSettings {
            format,
            clf_shape,
            avro_schemas,
            default_tenant,
            joined,
            mapping,
            limits,
            max_future_skew_ms,
            timestamp_is,
        } = settings;
        let (source, format_tenant) = match format {
            Format::Json => (Source::Json, None),
            Format::Avro => {
                let schemas = avro_schemas.map_or_else(AvroSchemas::of_record_schema, Ok);
                (Source::Avro(schemas.map_err(CodecError::SchemaOfRecord)?), None)
            }
            Format::Clf if !mapping.is_empty() => return Err(CodecError::MappingOfAccessLog),
            Format::Clf => (Source::Clf(clf_shape), Some(clf::TENANT.to_owned())),
        };
        let default_tenant = default_tenant.or(format_tenant);
        match default_tenant.as_ref().map(String::len) {
            Some(0) => Err(CodecError::EmptyDefaultTenant),
            Some(bytes) if bytes > limits.tenant_bytes => {
                Err(CodecError::LongDefaultTenant { bytes, limit: limits.tenant_bytes })
            }
            _ => Ok(Decoder { source, default_tenant, joined, mapping, limits, max_future_skew_ms, timestamp_is }),
        }
    }

    /// The record's outcome, or the first reason why there is none.
    pub fn decode<'a>(&'a self, record: &RecordIn<'a>) -> Result<Outcome<'a>, Rejected> {
        self.examine(record).map(|(outcome, _)| outcome)
    }

    /// The outcome, and the values that its fields could not take.
    pub fn examine<'a>(&'a self, record: &RecordIn<'a>) -> Result<(Outcome<'a>, Vec<Fault<'a>>), Rejected> {
        let mut gathered = Gathered::new();
        self.take(record, &mut gathered)?;
        let faults = gathered.take_faults();
        Ok((gathered.into_outcome(), faults))
    }

    /// Passes the record's outcome without moving it, together with its faults.
    #[inline]
    pub fn read<'a>(&'a self, record: &RecordIn<'a>, take: impl FnOnce(&Outcome<'_>)) -> Read<'a> {
        let mut gathered = Gathered::new();
        let became = self.take(record, &mut gathered).map(take);
        let faults = if became.is_ok() { gathered.take_faults() } else { Vec::new() };
        Read { became, faults, found: gathered.found }
    }

    /// The mapping of records; empty if they have our own field names.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// For each path of the mapping that leads nowhere in a record, a path that may be meant.
    #[cold]
    pub fn near_paths(&self, record: &RecordIn<'_>) -> Vec<Option<String>> {
        match &self.source {
            Source::Json => json::near_paths(record.value, &self.mapping),
            Source::Avro(schemas) => {
                avro::parse_tree(record, schemas).map(|tree| self.mapping.near(&tree)).unwrap_or_default()
            }
            Source::Clf(_) => Vec::new(),
        }
    }

    /// In a mapped record the missing value has another name, so the message gives its path.
    #[cold]
    fn mapped(&self, mut rejected: Rejected) -> Rejected {
        let field = match rejected.reason {
            Rejection::NoTenant => Field::Tenant,
            Rejection::NoTimestamp => Field::Timestamp,
            _ => return rejected,
        };
        let places = self.mapping.places().filter(|place| place.target == field.name());
        let paths: Vec<String> = places.map(|place| format!("`{}`", place.path)).collect();
        if !paths.is_empty() {
            rejected.detail.push_str(&format!("; input.mapping reads it from {}", paths.join(", then ")));
        }
        rejected
    }

    #[inline]
    fn take<'a, 'g>(
        &'a self,
        record: &RecordIn<'a>,
        gathered: &'g mut Gathered<'a>,
    ) -> Result<&'g Outcome<'a>, Rejected> {
        if let Some(damage) = record.headers.damage() {
            return Err(Rejected::new(Rejection::NotDecodable, damage.detail.clone()));
        }
        let taken = match self.gather(record, gathered) {
            Ok(()) => gathered.finish(&self.rules(record), &self.joined),
            Err(rejected) => Err(rejected),
        };
        taken.map_err(|rejected| self.explain(record, self.mapped(rejected)))
    }

    /// Describes what an unreadable record looks like.
    #[cold]
    fn explain(&self, record: &RecordIn<'_>, rejected: Rejected) -> Rejected {
        match &self.source {
            Source::Avro(schemas) => avro::explain(record, schemas, rejected),
            _ => rejected,
        }
    }

    #[inline]
    fn gather<'a>(&'a self, record: &RecordIn<'a>, into: &mut Gathered<'a>) -> Result<(), Rejected> {
        let limits = &self.limits;
        *into = match (&self.source, self.mapping.is_empty()) {
            (Source::Json, true) => return json::gather(record.value, into, limits),
            (Source::Json, false) => json::gather_mapped(record.value, &self.mapping, limits)?,
            (Source::Avro(schemas), true) => avro::gather(record, schemas, limits)?,
            (Source::Avro(schemas), false) => self.mapping.apply(&avro::parse_tree(record, schemas)?, limits),
            (Source::Clf(shape), _) => clf::gather(record.value, *shape, limits)?,
        };
        Ok(())
    }

    #[inline]
    fn rules<'a>(&'a self, record: &RecordIn<'_>) -> Rules<'a> {
        let not_after_ms = match (self.max_future_skew_ms, record.timestamp_ms) {
            (Some(skew), Some(at)) => Some(at.saturating_add(skew)),
            _ => None,
        };
        let default_tenant = self.default_tenant.as_deref();
        Rules { limits: &self.limits, default_tenant, not_after_ms, timestamp_is: self.timestamp_is }
    }
}

#[cfg(test)]
mod tests;
