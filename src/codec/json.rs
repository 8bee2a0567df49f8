//! JSON records: one pass over the bytes, texts borrowed, nothing built that is not kept.
//!
//! The known fields are set as they are met; what is unknown is checked and skipped. Strict RFC 8259:
//! no comments, no `NaN`, no lone surrogates in a text that is read, no second value behind the
//! first. Depth is bounded, so no record can exhaust the stack.

mod cursor;
mod number;

pub(super) use number::Number;

use super::field::{Field, Scalar};
use super::gather::Gathered;
use super::tree::Node;
use super::{FieldLimits, Rejected};
use crate::model::outcome::Rejection;
use cursor::{Cursor, Syntax};

/// Objects and arrays within one another, the record itself included.
pub(super) const DEPTH_MAX: usize = 128;

/// Reads a record whose fields have their own names.
#[inline]
pub(super) fn gather<'a>(value: &'a [u8], out: &mut Gathered<'a>, limits: &FieldLimits) -> Result<(), Rejected> {
    let mut cursor = Cursor::new(utf8(value)?);
    read_record(&mut cursor, out, limits).map_err(|e| reject(e, cursor.at()))
}

/// Reads a record as a tree, for a mapping to find its way in.
pub(super) fn parse_tree(value: &[u8]) -> Result<Node<'_>, Rejected> {
    let mut cursor = Cursor::new(utf8(value)?);
    let node = read_root(&mut cursor).map_err(|e| reject(e, cursor.at()))?;
    Ok(node)
}

#[inline]
fn utf8(value: &[u8]) -> Result<&str, Rejected> {
    std::str::from_utf8(value)
        .map_err(|e| Rejected::new(Rejection::NotDecodable, format!("not JSON: byte {} is not UTF-8", e.valid_up_to())))
}

#[cold]
fn reject(error: Syntax, at: usize) -> Rejected {
    Rejected::new(Rejection::NotDecodable, format!("not a JSON object: {} at byte {at}", error.0))
}

#[inline]
fn read_record<'a>(cursor: &mut Cursor<'a>, out: &mut Gathered<'a>, limits: &FieldLimits) -> Result<(), Syntax> {
    cursor.skip_space();
    cursor.expect(b'{', "expected `{`")?;
    let mut more = cursor.object_opened()?;
    while more {
        let name = cursor.key()?;
        match Field::by_name(&name) {
            Some(field @ (Field::Attributes | Field::Measures)) if cursor.peek() == Some(b'{') => {
                read_names(cursor, field, out, limits)?;
            }
            Some(field) => out.set(field, read_scalar(cursor, 1)?),
            None => cursor.skip_value(1)?,
        }
        more = cursor.object_goes_on()?;
    }
    cursor.end()
}

#[inline]
fn read_names<'a>(
    cursor: &mut Cursor<'a>,
    field: Field,
    out: &mut Gathered<'a>,
    limits: &FieldLimits,
) -> Result<(), Syntax> {
    out.begin(field);
    cursor.expect(b'{', "expected `{`")?;
    let mut more = cursor.object_opened()?;
    while more {
        let name = cursor.key()?;
        let value = read_scalar(cursor, 2)?;
        match field {
            Field::Measures => out.measure(name, value, limits),
            _ => out.attribute(name, value, limits),
        }
        more = cursor.object_goes_on()?;
    }
    Ok(())
}

/// A value as a field takes it; an object or an array is checked and passed over.
#[inline]
fn read_scalar<'a>(cursor: &mut Cursor<'a>, depth: usize) -> Result<Scalar<'a>, Syntax> {
    Ok(match cursor.peek() {
        Some(b'"') => Scalar::Text(cursor.text()?),
        Some(b'-' | b'0'..=b'9') => Scalar::Number(cursor.number()?),
        Some(b't') => cursor.literal("true").map(|()| Scalar::Bool(true))?,
        Some(b'f') => cursor.literal("false").map(|()| Scalar::Bool(false))?,
        Some(b'n') => cursor.literal("null").map(|()| Scalar::Null)?,
        Some(b'{' | b'[') => cursor.skip_value(depth).map(|()| Scalar::Other)?,
        _ => return Err(Syntax("expected a value")),
    })
}

fn read_root<'a>(cursor: &mut Cursor<'a>) -> Result<Node<'a>, Syntax> {
    cursor.skip_space();
    if cursor.peek() != Some(b'{') {
        return Err(Syntax("expected `{`"));
    }
    let node = read_node(cursor, 0)?;
    cursor.end()?;
    Ok(node)
}

/// Recursion is bounded by [`DEPTH_MAX`], memory by the length of the record.
fn read_node<'a>(cursor: &mut Cursor<'a>, depth: usize) -> Result<Node<'a>, Syntax> {
    match cursor.peek() {
        Some(b'{') => {
            let mut members = Vec::new();
            let mut more = cursor.enter(depth).and_then(|()| cursor.object_opened())?;
            while more {
                let name = cursor.key()?;
                members.push((name, read_node(cursor, depth + 1)?));
                more = cursor.object_goes_on()?;
            }
            Ok(Node::Object(members))
        }
        Some(b'[') => {
            let mut items = Vec::new();
            let mut more = cursor.enter(depth).and_then(|()| cursor.array_opened())?;
            while more {
                items.push(read_node(cursor, depth + 1)?);
                more = cursor.array_goes_on()?;
            }
            Ok(Node::Array(items))
        }
        _ => read_scalar(cursor, depth).map(Node::Scalar),
    }
}

#[cfg(test)]
mod tests;
