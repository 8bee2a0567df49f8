//! One pass over a datum along its plan: fills fields, builds a tree for a mapping, or only measures its length.
//!
//! Unused values are skipped without a look inside: their texts may be any bytes, and they may be nested as deep as
//! their bytes allow, because skipping keeps its own stack.

use super::super::field::{Field, Scalar};
use super::super::gather::Gathered;
use super::super::limits::FieldLimits;
use super::super::odd_time;
use super::super::tree::Node;
use super::plan::{Kind, Plan, RecordField, TypeId};
use super::reader::{Malformed, Reader};
use super::value;
use crate::model::time::Ms;
use std::borrow::Cow;

/// The depth of a mapping's tree; paths do not go deeper.
const TREE_DEPTH_MAX: usize = 64;
/// The nesting that skipping allows: enough for any record, and 24 MB at most.
const OPEN_MAX: usize = 1 << 20;
/// How many values one byte may hold: a record of records of one boolean is several values.
const VALUES_A_BYTE: usize = 16;

pub(super) struct Walk<'a> {
    plan: &'a Plan,
    reader: Reader<'a>,
    /// How many values may still be read. Without a limit, values of no bytes (null, empty records) could make a short
    /// record endless.
    values_left: usize,
    /// The values being skipped, the outermost first.
    open: Vec<Open>,
    /// The type and the value of a `timestamp` that is not a time.
    no_time: Option<(TypeId, Scalar<'a>)>,
}

/// An open value while its inside is skipped.
struct Open {
    of: TypeId,
    /// The next field of a record, or the items left in the block of an array or map.
    at: usize,
}

impl<'a> Walk<'a> {
    pub fn new(plan: &'a Plan, datum: &'a [u8]) -> Self {
        let values_left = VALUES_A_BYTE.saturating_mul(datum.len()).saturating_add(4_096 + plan.len());
        Walk { plan, reader: Reader::new(datum), values_left, open: Vec::new(), no_time: None }
    }

    /// The number of bytes read.
    pub fn at(&self) -> usize {
        self.reader.at()
    }

    pub fn end(&self) -> Result<(), Malformed> {
        if self.reader.is_at_end() { Ok(()) } else { Err(Malformed("something follows the record")) }
    }

    /// Why a `timestamp` is not a time, and what to do.
    pub fn no_time(&self) -> Option<String> {
        let (id, value) = self.no_time.as_ref()?;
        let problem = self.plan.kind(*id).no_time()?;
        let is_coarse = *self.plan.kind(*id) == Kind::Float;
        let remedy = if is_coarse { None } else { odd_time::remedy(value) };
        Some(format!("{problem}{}", remedy.unwrap_or_default()))
    }

    /// The root: a record, or a union with one.
    pub fn record(&mut self, out: &mut Gathered<'a>, limits: &FieldLimits) -> Result<(), Malformed> {
        let plan = self.plan;
        match plan.kind(self.branch(plan.root())?) {
            Kind::Record(fields) => fields.iter().try_for_each(|field| match field.known {
                Some(known) => self.field(known, field.kind, out, limits),
                None => self.skip(field.kind),
            }),
            _ => Err(Malformed("the value is not a record")),
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
                out.begin(field);
                let of = *of;
                self.blocks(|walk| {
                    let name = walk.reader.text()?;
                    give_member(field, name, walk.scalar(of)?, out, limits);
                    Ok(())
                })
            }
            (Field::Attributes | Field::Measures, Kind::Array { of, is_map: true }) => {
                out.begin(field);
                let of = *of;
                self.blocks(|walk| {
                    let (name, value) = walk.entry(of)?;
                    give_member(field, name, value, out, limits);
                    Ok(())
                })
            }
            (Field::Attributes | Field::Measures, Kind::Record(fields)) => {
                out.begin(field);
                fields.iter().try_for_each(|member| {
                    give_member(field, member.name.as_str().into(), self.scalar(member.kind)?, out, limits);
                    Ok(())
                })
            }
            (field, kind) => {
                let value = self.scalar(id)?;
                if field == Field::Timestamp && !kind.is_time() {
                    self.no_time = Some((id, value.clone()));
                }
                out.set(field, value);
                Ok(())
            }
        }
    }

    /// A value in the form for a field; values that no field takes are skipped.
    fn scalar(&mut self, id: TypeId) -> Result<Scalar<'a>, Malformed> {
        let id = self.branch(id)?;
        let plan = self.plan;
        let r = &mut self.reader;
        Ok(match plan.kind(id) {
            Kind::Null => Scalar::Null,
            Kind::Boolean => r.boolean()?.map_or(Scalar::Other, Scalar::Bool),
            Kind::Int => Some(r.long()?).filter(|n| i32::try_from(*n).is_ok()).map_or(Scalar::Other, Scalar::Long),
            Kind::Long => Scalar::Long(r.long()?),
            Kind::Float => Scalar::Double(f64::from(r.float()?)),
            Kind::Double => Scalar::Double(r.double()?),
            Kind::Text | Kind::Bytes => Scalar::Text(r.text()?),
            Kind::Enum(symbols) => r.symbol(symbols)?.map_or(Scalar::Other, |symbol| Scalar::Text(symbol.into())),
            Kind::TimeMillis => Scalar::Time(r.long()?),
            Kind::TimeMicros => Scalar::Time(floor_to_ms(r.long()?, 1_000)),
            Kind::TimeNanos => Scalar::Time(floor_to_ms(r.long()?, 1_000_000)),
            Kind::Uuid => value::uuid(r.take(16)?),
            Kind::Decimal { size, scale } => {
                let unscaled = match size {
                    Some(size) => r.take(*size)?,
                    None => r.bytes()?,
                };
                value::decimal(unscaled, *scale)
            }
            Kind::NoMoment(name) => Scalar::NoMoment(name, r.long()?),
            _ => {
                self.skip(id)?;
                Scalar::Other
            }
        })
    }

    /// An entry of a map written as an array of records.
    fn entry(&mut self, id: TypeId) -> Result<(Cow<'a, str>, Scalar<'a>), Malformed> {
        let (mut key, mut value) = (Scalar::Null, Scalar::Null);
        if let Kind::Record(fields) = self.plan.kind(id) {
            for field in fields {
                let read = self.scalar(field.kind)?;
                *(if field.name == "key" { &mut key } else { &mut value }) = read;
            }
        }
        Ok((value::name(key), value))
    }

    /// The type of a value; for a union, read from the value.
    #[inline]
    fn branch(&mut self, mut id: TypeId) -> Result<TypeId, Malformed> {
        while let Kind::Union(branches) = self.plan.kind(id) {
            let at = self.reader.long()?;
            let branch = usize::try_from(at).ok().and_then(|at| branches.get(at));
            id = *branch.ok_or(Malformed("a union has no such branch"))?;
        }
        Ok(id)
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

    /// Refuses too many values without bytes.
    #[inline]
    fn spend(&mut self) -> Result<(), Malformed> {
        self.values_left = self.values_left.checked_sub(1).ok_or(Malformed("more values than bytes"))?;
        Ok(())
    }

    /// Steps over a value of any type.
    pub fn skip(&mut self, id: TypeId) -> Result<(), Malformed> {
        self.step_over(id)?;
        while let Some(open) = self.open.last_mut() {
            let of = open.of;
            let inside = match self.plan.kind(of) {
                Kind::Record(fields) => {
                    let kind = fields.get(open.at).map(|field| field.kind);
                    open.at += 1;
                    // The last field replaces its record on the stack, so a linked list does not grow it.
                    if open.at >= fields.len() {
                        self.open.pop();
                    }
                    kind
                }
                Kind::Array { of, .. } => self.next_item(false)?.then_some(*of),
                Kind::Map(of) => self.next_item(true)?.then_some(*of),
                _ => None,
            };
            match inside {
                Some(kind) => self.step_over(kind)?,
                None => drop(self.open.pop()),
            }
        }
        Ok(())
    }

    /// Whether the innermost array or map has one more item. Reads the item's key in a map.
    fn next_item(&mut self, has_key: bool) -> Result<bool, Malformed> {
        let Some(open) = self.open.last_mut() else { return Ok(false) };
        if open.at == 0 {
            open.at = self.reader.block_count()?;
            if open.at == 0 {
                return Ok(false);
            }
        }
        open.at -= 1;
        if has_key {
            self.reader.bytes()?;
        }
        Ok(true)
    }

    /// Skips a value, or opens it if it has values inside.
    fn step_over(&mut self, id: TypeId) -> Result<(), Malformed> {
        self.spend()?;
        let id = self.branch(id)?;
        let r = &mut self.reader;
        match self.plan.kind(id) {
            Kind::Null => Ok(()),
            Kind::Boolean => r.take(1).map(drop),
            Kind::Int | Kind::Long | Kind::Enum(_) | Kind::NoMoment(_) => r.long().map(drop),
            Kind::TimeMillis | Kind::TimeMicros | Kind::TimeNanos => r.long().map(drop),
            Kind::Float => r.take(4).map(drop),
            Kind::Double => r.take(8).map(drop),
            Kind::Bytes | Kind::Text | Kind::Decimal { size: None, .. } => r.bytes().map(drop),
            Kind::Fixed(size) | Kind::Decimal { size: Some(size), .. } => r.take(*size).map(drop),
            Kind::Uuid => r.take(16).map(drop),
            Kind::Record(fields) if fields.is_empty() => Ok(()),
            Kind::Record(_) | Kind::Array { .. } | Kind::Map(_) => self.open(id),
            // A union's branch is not a union itself.
            Kind::Union(_) => Ok(()),
        }
    }

    fn open(&mut self, of: TypeId) -> Result<(), Malformed> {
        if self.open.len() >= OPEN_MAX {
            return Err(Malformed("more than a million values within one another"));
        }
        self.open.push(Open { of, at: 0 });
        Ok(())
    }

    /// A value as a tree.
    pub fn node(&mut self, id: TypeId, depth: usize) -> Result<Node<'a>, Malformed> {
        self.spend()?;
        let id = self.branch(id)?;
        let plan = self.plan;
        if depth >= TREE_DEPTH_MAX {
            self.skip(id)?;
            return Ok(Node::Scalar(Scalar::Other));
        }
        match plan.kind(id) {
            Kind::Record(fields) => {
                let member =
                    |field: &'a RecordField| Ok((field.name.as_str().into(), self.node(field.kind, depth + 1)?));
                fields.iter().map(member).collect::<Result<_, _>>().map(Node::Object)
            }
            Kind::Map(of) => {
                let mut members = Vec::new();
                self.blocks(|walk| {
                    members.push((walk.reader.text()?, walk.node(*of, depth + 1)?));
                    Ok(())
                })?;
                Ok(Node::Object(members))
            }
            Kind::Array { of, is_map } => {
                let mut items = Vec::new();
                self.blocks(|walk| {
                    items.push(walk.node(*of, depth + 1)?);
                    Ok(())
                })?;
                Ok(if *is_map { value::map_of_entries(items) } else { Node::Array(items) })
            }
            _ => self.scalar(id).map(Node::Scalar),
        }
    }
}

fn give_member<'a>(field: Field, name: Cow<'a, str>, value: Scalar<'a>, out: &mut Gathered<'a>, limits: &FieldLimits) {
    match field {
        Field::Measures => out.measure(name, value, limits),
        _ => out.attribute(name, value, limits),
    }
}

fn floor_to_ms(t: i64, units_in_ms: i64) -> Ms {
    t.div_euclid(units_in_ms)
}

/// The length of the first datum of `bytes`, or what is wrong with it and at which byte.
pub(super) fn datum_len(plan: &Plan, bytes: &[u8]) -> Result<usize, (Malformed, usize)> {
    let mut walk = Walk::new(plan, bytes);
    walk.skip(plan.root()).map(|()| walk.at()).map_err(|e| (e, walk.at()))
}
