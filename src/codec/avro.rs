//! Avro records: a decoder compiled from the writer's schema, with texts borrowed.
//!
//! A record is resolved to the outcome by the names of its fields and the rules of the outcome's
//! types, so that any writer's schema reads that has the names: a union is its branch, an enum its
//! symbol, an int or a float a number. Bytes, fixed and local times are no field's type. A declared
//! length or count never allocates more than the record's own bytes can fill, and depth is bounded.

mod container;
mod plan;
mod reader;
mod schemas;

pub(super) use container::{Container, MAGIC as CONTAINER_MAGIC};
pub use schemas::{AvroSchemas, SchemaError};

use super::field::{Field, Scalar};
use super::gather::Gathered;
use super::tree::Node;
use super::{FieldLimits, Rejected};
use crate::model::outcome::Rejection;
use crate::model::time::Ms;
use plan::{Kind, Plan, TypeId};
use reader::{Malformed, Reader};

/// The schema of record, which raw records are written with where nothing else is configured.
pub const SCHEMA_OF_RECORD: &str = include_str!("../../schemas/request-outcome.avsc");

/// Types within one another, the record itself included.
const DEPTH_MAX: usize = 64;

/// Reads a record whose fields have their own names.
pub(super) fn gather<'a>(
    value: &'a [u8],
    schemas: &'a AvroSchemas,
    limits: &FieldLimits,
) -> Result<Gathered<'a>, Rejected> {
    let (plan, datum) = schemas.of_record(value)?;
    let mut walk = Walk::new(plan, datum);
    let mut out = Gathered::new();
    walk.record(plan.root(), &mut out, limits).and_then(|()| walk.end()).map_err(|e| walk.reject(e))?;
    Ok(out)
}

/// Reads a record as a tree, for a mapping to find its way in.
pub(super) fn parse_tree<'a>(value: &'a [u8], schemas: &'a AvroSchemas) -> Result<Node<'a>, Rejected> {
    let (plan, datum) = schemas.of_record(value)?;
    let mut walk = Walk::new(plan, datum);
    let node = walk.node(plan.root(), 0).and_then(|node| walk.end().map(|()| node));
    node.map_err(|e| walk.reject(e))
}

/// How long the first datum of `bytes` is; `None` where it cannot be read.
pub(super) fn datum_len(plan: &Plan, bytes: &[u8]) -> Option<usize> {
    let mut walk = Walk::new(plan, bytes);
    walk.skip(plan.root(), 0).ok()?;
    Some(walk.reader.at())
}

/// One pass over a datum along its plan.
struct Walk<'a> {
    plan: &'a Plan,
    reader: Reader<'a>,
    /// Values that may still be read. Values of no bytes (null, records of nothing) would otherwise
    /// make a short record an endless one.
    values_left: usize,
}

impl<'a> Walk<'a> {
    fn new(plan: &'a Plan, datum: &'a [u8]) -> Self {
        Walk { plan, reader: Reader::new(datum), values_left: 2 * datum.len() + 4_096 }
    }

    #[cold]
    fn reject(&self, error: Malformed) -> Rejected {
        let detail =
            format!("not an Avro record of schema {}: {} at byte {}", self.plan.name(), error.0, self.reader.at());
        Rejected::new(Rejection::NotDecodable, detail)
    }

    fn end(&self) -> Result<(), Malformed> {
        if self.reader.is_at_end() { Ok(()) } else { Err(Malformed("something follows the record")) }
    }

    /// The root: a record, or a union with one.
    fn record(&mut self, id: TypeId, out: &mut Gathered<'a>, limits: &FieldLimits) -> Result<(), Malformed> {
        let plan = self.plan;
        match plan.kind(self.branch(id)?) {
            Kind::Record(fields) => fields.iter().try_for_each(|field| match field.known {
                Some(known) => self.field(known, field.kind, out, limits),
                None => self.skip(field.kind, 1),
            }),
            _ => Err(Malformed("the value is no record")),
        }
    }

    fn field(
        &mut self,
        field: Field,
        id: TypeId,
        out: &mut Gathered<'a>,
        limits: &FieldLimits,
    ) -> Result<(), Malformed> {
        let id = self.branch(id)?;
        match (field, self.plan.kind(id)) {
            (Field::Attributes | Field::Measures, Kind::Map(of)) => {
                let of = *of;
                out.begin(field);
                self.blocks(|walk| {
                    let name = walk.reader.text()?.into();
                    let value = walk.scalar(of, 2)?;
                    match field {
                        Field::Measures => out.measure(name, value, limits),
                        _ => out.attribute(name, value, limits),
                    }
                    Ok(())
                })
            }
            (Field::Attributes | Field::Measures, Kind::Record(fields)) => {
                out.begin(field);
                fields.iter().try_for_each(|member| {
                    let value = self.scalar(member.kind, 2)?;
                    match field {
                        Field::Measures => out.measure(member.name.as_str().into(), value, limits),
                        _ => out.attribute(member.name.as_str().into(), value, limits),
                    }
                    Ok(())
                })
            }
            _ => {
                let value = self.scalar(id, 1)?;
                out.set(field, value);
                Ok(())
            }
        }
    }

    /// A value as a field takes it; what no field takes is passed over.
    fn scalar(&mut self, id: TypeId, depth: usize) -> Result<Scalar<'a>, Malformed> {
        let id = self.branch(id)?;
        let plan = self.plan;
        let r = &mut self.reader;
        Ok(match plan.kind(id) {
            Kind::Null => Scalar::Null,
            Kind::Boolean => Scalar::Bool(r.boolean()?),
            Kind::Int => Scalar::Long(r.int()?),
            Kind::Long => Scalar::Long(r.long()?),
            Kind::Float => Scalar::Double(f64::from(r.float()?)),
            Kind::Double => Scalar::Double(r.double()?),
            Kind::Text => Scalar::Text(r.text()?.into()),
            Kind::Enum(symbols) => Scalar::Text(r.symbol(symbols)?.into()),
            Kind::TimeMillis => Scalar::Time(r.long()?),
            Kind::TimeMicros => Scalar::Time(floor_to_ms(r.long()?, 1_000)),
            Kind::TimeNanos => Scalar::Time(floor_to_ms(r.long()?, 1_000_000)),
            _ => {
                self.skip(id, depth)?;
                Scalar::Other
            }
        })
    }

    /// The type of a value, read from it where the schema leaves it open.
    fn branch(&mut self, id: TypeId) -> Result<TypeId, Malformed> {
        match self.plan.kind(id) {
            Kind::Union(branches) => {
                let at = self.reader.long()?;
                let branch = usize::try_from(at).ok().and_then(|at| branches.get(at));
                branch.copied().ok_or(Malformed("a union has no such branch"))
            }
            _ => Ok(id),
        }
    }

    /// Reads the blocks of an array or a map, item by item.
    fn blocks(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), Malformed>) -> Result<(), Malformed> {
        loop {
            let count = self.reader.block_count()?;
            if count == 0 {
                return Ok(());
            }
            for _ in 0..count {
                self.spend()?;
                item(self)?;
            }
        }
    }

    fn spend(&mut self) -> Result<(), Malformed> {
        self.values_left = self.values_left.checked_sub(1).ok_or(Malformed("more values than bytes"))?;
        Ok(())
    }

    /// Refuses what is nested too deep or too much of nothing.
    fn enter(&mut self, depth: usize) -> Result<(), Malformed> {
        if depth < DEPTH_MAX { self.spend() } else { Err(Malformed("nested too deep")) }
    }

    /// Steps over a value of any type. Recursion is bounded by [`DEPTH_MAX`], also for types that
    /// hold themselves.
    fn skip(&mut self, id: TypeId, depth: usize) -> Result<(), Malformed> {
        self.enter(depth)?;
        let plan = self.plan;
        match plan.kind(id) {
            Kind::Union(_) => {
                let branch = self.branch(id)?;
                self.skip(branch, depth + 1)
            }
            Kind::Record(fields) => fields.iter().try_for_each(|field| self.skip(field.kind, depth + 1)),
            Kind::Array(of) => self.blocks(|walk| walk.skip(*of, depth + 1)),
            Kind::Map(of) => self.blocks(|walk| {
                walk.reader.bytes()?;
                walk.skip(*of, depth + 1)
            }),
            Kind::Bytes => self.reader.bytes().map(drop),
            Kind::Fixed(size) => self.reader.take(*size).map(drop),
            Kind::LocalTime => self.reader.long().map(drop),
            _ => self.scalar(id, depth).map(drop),
        }
    }

    fn node(&mut self, id: TypeId, depth: usize) -> Result<Node<'a>, Malformed> {
        self.enter(depth)?;
        let id = self.branch(id)?;
        let plan = self.plan;
        match plan.kind(id) {
            Kind::Record(fields) => {
                let member =
                    |field: &'a plan::RecordField| Ok((field.name.as_str().into(), self.node(field.kind, depth + 1)?));
                fields.iter().map(member).collect::<Result<_, _>>().map(Node::Object)
            }
            Kind::Map(of) => {
                let mut members = Vec::new();
                self.blocks(|walk| {
                    members.push((walk.reader.text()?.into(), walk.node(*of, depth + 1)?));
                    Ok(())
                })?;
                Ok(Node::Object(members))
            }
            Kind::Array(of) => {
                let mut items = Vec::new();
                self.blocks(|walk| {
                    items.push(walk.node(*of, depth + 1)?);
                    Ok(())
                })?;
                Ok(Node::Array(items))
            }
            _ => self.scalar(id, depth).map(Node::Scalar),
        }
    }
}

fn floor_to_ms(t: i64, units_in_ms: i64) -> Ms {
    t.div_euclid(units_in_ms)
}

#[cfg(test)]
mod tests;
