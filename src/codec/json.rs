//! JSON records: one pass over the bytes, with borrowed texts and no intermediate tree.
//!
//! Known fields are set as they are met; unknown ones are checked and skipped. RFC 8259: no comments, no `NaN`, no
//! second value after the first. Texts are tolerant: invalid UTF-8 and half surrogate pairs become U+FFFD, because
//! programs that truncate messages also cut emoji in half. Skipped values may have any depth: skipping does not
//! recurse, so no record can exhaust the stack.

mod cursor;
mod foreign;

use super::field::{Field, Scalar};
use super::gather::Gathered;
use super::limits::FieldLimits;
use super::mapping::{Mapping, Wanted};
use super::rejected::Rejected;
use super::tree::Node;
use cursor::{Cursor, Syntax};

/// The depth of objects and arrays that a mapping can read, including the record itself. Deeper values are no field's
/// value.
pub(super) const DEPTH_MAX: usize = 128;

/// Reads a record with our own field names.
#[inline]
pub(super) fn gather<'a>(value: &'a [u8], out: &mut Gathered<'a>, limits: &FieldLimits) -> Result<(), Rejected> {
    match std::str::from_utf8(value) {
        Ok(text) => gather_text(text, out, limits),
        Err(_) => {
            *out = gather_lossy(value, limits)?;
            Ok(())
        }
    }
}

/// Reads a record through a mapping.
pub(super) fn gather_mapped<'a>(
    value: &'a [u8],
    mapping: &'a Mapping,
    limits: &FieldLimits,
) -> Result<Gathered<'a>, Rejected> {
    match std::str::from_utf8(value) {
        Ok(text) => Ok(mapping.apply(&parse_wanted(text, mapping.wanted())?, limits)),
        Err(_) => {
            let text = String::from_utf8_lossy(value);
            Ok(mapping.apply(&parse_wanted(&text, mapping.wanted())?, limits).into_owned())
        }
    }
}

/// The result of [`Mapping::near`] for a record.
#[cold]
pub(super) fn near_paths(value: &[u8], mapping: &Mapping) -> Vec<Option<String>> {
    parse_tree(&String::from_utf8_lossy(value)).map(|tree| mapping.near(&tree)).unwrap_or_default()
}

/// Reads a record as a tree.
fn parse_tree(text: &str) -> Result<Node<'_>, Rejected> {
    parse_wanted(text, &Wanted::whole())
}

/// Reads the wanted parts of a record as a tree; the others are only checked.
fn parse_wanted<'a>(text: &'a str, wanted: &Wanted) -> Result<Node<'a>, Rejected> {
    let mut cursor = Cursor::new(text);
    read_root(&mut cursor, wanted).map_err(|e| foreign::reject(text, e, cursor.at()))
}

#[inline]
fn gather_text<'a>(text: &'a str, out: &mut Gathered<'a>, limits: &FieldLimits) -> Result<(), Rejected> {
    let mut cursor = Cursor::new(text);
    read_record(&mut cursor, out, limits).map_err(|e| foreign::reject(text, e, cursor.at()))
}

#[cold]
fn gather_lossy<'a>(value: &[u8], limits: &FieldLimits) -> Result<Gathered<'a>, Rejected> {
    let text = String::from_utf8_lossy(value);
    let mut own = Gathered::new();
    gather_text(&text, &mut own, limits)?;
    Ok(own.into_owned())
}

#[inline]
fn read_record<'a>(cursor: &mut Cursor<'a>, out: &mut Gathered<'a>, limits: &FieldLimits) -> Result<(), Syntax> {
    cursor.begin();
    cursor.expect(b'{', "expected `{`")?;
    let mut more = cursor.object_opened()?;
    while more {
        let name = cursor.key()?;
        match Field::by_name(&name) {
            Some(field @ (Field::Attributes | Field::Measures)) if cursor.peek() == Some(b'{') => {
                read_names(cursor, field, out, limits)?;
            }
            Some(field) => out.set(field, read_scalar(cursor)?),
            None => cursor.skip_value()?,
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
        let value = read_scalar(cursor)?;
        match field {
            Field::Measures => out.measure(name, value, limits),
            _ => out.attribute(name, value, limits),
        }
        more = cursor.object_goes_on()?;
    }
    Ok(())
}

/// A value in the form for a field; an object or array is checked and skipped.
#[inline]
fn read_scalar<'a>(cursor: &mut Cursor<'a>) -> Result<Scalar<'a>, Syntax> {
    Ok(match cursor.peek() {
        Some(b'"') => Scalar::Text(cursor.text()?),
        Some(b'-' | b'0'..=b'9') => Scalar::Number(cursor.number()?),
        Some(b't') => cursor.literal("true").map(|()| Scalar::Bool(true))?,
        Some(b'f') => cursor.literal("false").map(|()| Scalar::Bool(false))?,
        Some(b'n') => cursor.literal("null").map(|()| Scalar::Null)?,
        Some(b'{' | b'[') => cursor.skip_value().map(|()| Scalar::Other)?,
        _ => return Err(Syntax("expected a value")),
    })
}

fn read_root<'a>(cursor: &mut Cursor<'a>, wanted: &Wanted) -> Result<Node<'a>, Syntax> {
    cursor.begin();
    if cursor.peek() != Some(b'{') {
        return Err(Syntax("expected `{`"));
    }
    let node = read_node(cursor, 0, wanted)?;
    cursor.end()?;
    Ok(node)
}

/// Recursion is bounded by [`DEPTH_MAX`], memory by the length of the record.
fn read_node<'a>(cursor: &mut Cursor<'a>, depth: usize, wanted: &Wanted) -> Result<Node<'a>, Syntax> {
    match cursor.peek() {
        Some(b'{') if depth < DEPTH_MAX => {
            let mut members = Vec::new();
            cursor.expect(b'{', "expected `{`")?;
            let mut more = cursor.object_opened()?;
            while more {
                let name = cursor.key()?;
                match wanted.member(&name) {
                    Some(wanted) => members.push((name, read_node(cursor, depth + 1, wanted)?)),
                    None => cursor.skip_value()?,
                }
                more = cursor.object_goes_on()?;
            }
            Ok(Node::Object(members))
        }
        Some(b'[') if depth < DEPTH_MAX => {
            let mut items = Vec::new();
            cursor.expect(b'[', "expected `[`")?;
            let mut more = cursor.array_opened()?;
            while more {
                items.push(match wanted.item(items.len()) {
                    Some(wanted) => read_node(cursor, depth + 1, wanted)?,
                    None => cursor.skip_value().map(|()| Node::Scalar(Scalar::Null))?,
                });
                more = cursor.array_goes_on()?;
            }
            Ok(Node::Array(items))
        }
        _ => read_scalar(cursor).map(Node::Scalar),
    }
}

#[cfg(test)]
mod tests;
