//! Avro records: a decoder compiled from the writer's schema, with texts borrowed.
//!
//! A record is read by its field names and the types of the outcome, so any writer's schema with these names will do: a
//! union is read as its branch, an enum as its symbol, bytes and uuids as text, a decimal as a number, an array of keys
//! and values as a map. No field takes local times and dates. A declared length or count never allocates more than the
//! record's own bytes can fill, and unused values are skipped without a look inside ([`walk`]).

mod compile;
mod compression;
mod container;
mod fingerprint;
mod framing;
mod naming;
mod plan;
mod reader;
mod resync;
mod schema_error;
mod schemas;
mod value;
mod walk;

pub(super) use container::{Container, Joined, MAGIC as CONTAINER_MAGIC};
pub use schema_error::SchemaError;
pub use schemas::{AvroSchemas, FileSchema, SCHEMA_OF_RECORD};

use super::gather::Gathered;
use super::limits::FieldLimits;
use super::rejected::Rejected;
use super::tree::Node;
use crate::model::outcome::Rejection;
use crate::model::record::RecordIn;
use plan::Plan;
use reader::Malformed;
use walk::Walk;

/// Reads a record with our own field names.
pub(super) fn gather<'a>(
    record: &RecordIn<'a>,
    schemas: &'a AvroSchemas,
    limits: &FieldLimits,
) -> Result<Gathered<'a>, Rejected> {
    let (plan, datum) = schemas.of_record(record)?;
    let mut walk = Walk::new(plan, datum);
    let mut out = Gathered::new();
    walk.record(&mut out, limits).and_then(|()| walk.end()).map_err(|e| reject(plan, &walk, e))?;
    match walk.no_time() {
        None => Ok(out),
        Some(detail) => Err(Rejected::new(Rejection::NotDecodable, detail)),
    }
}

/// Reads a record as a tree, for a mapping.
pub(super) fn parse_tree<'a>(record: &RecordIn<'a>, schemas: &'a AvroSchemas) -> Result<Node<'a>, Rejected> {
    let (plan, datum) = schemas.of_record(record)?;
    let mut walk = Walk::new(plan, datum);
    let node = walk.node(plan.root(), 0).and_then(|node| walk.end().map(|()| node));
    node.map_err(|e| reject(plan, &walk, e))
}

/// Adds to the detail of an unreadable record what it looks like.
#[cold]
pub(super) fn explain(record: &RecordIn<'_>, schemas: &AvroSchemas, mut rejected: Rejected) -> Rejected {
    if let Some(hint) = schemas.hint(record) {
        rejected.detail.push_str("; ");
        rejected.detail.push_str(&hint);
    }
    rejected
}

#[cold]
fn reject(plan: &Plan, walk: &Walk<'_>, error: Malformed) -> Rejected {
    let detail = format!("not an Avro record of schema {}: {} at byte {}", plan.name(), error.0, walk.at());
    Rejected::new(Rejection::NotDecodable, detail)
}

#[cfg(test)]
mod tests;
