//! A record as a bare Avro datum, written while walking its schema.
//!
//! The library's own serializers do not fit: they write an unsigned 64-bit count as a `fixed` of eight bytes, and its
//! generic values hold maps in hash order, so that equal records would become different bytes. This walk keeps the
//! order of the record's maps. It is only for output records: it refuses a record whose field names, order or types
//! differ from the schema.

use apache_avro::Schema;
use apache_avro::schema::{RecordField, SchemaKind};
use serde::ser::{self, Impossible, Serialize};

/// Why a record does not fit its schema.
#[derive(Debug, thiserror::Error)]
pub enum AvroError {
    #[error("field `{field}`: {source}")]
    Field { field: &'static str, source: Box<AvroError> },
    #[error("the schema expects {expected:?}, the record holds {found}")]
    Mismatch { expected: SchemaKind, found: &'static str },
    #[error("the record's field `{found}` is where the schema has {}", name_or_end(.expected))]
    Order { expected: Option<String>, found: &'static str },
    #[error("the record ends before the schema's field `{0}`")]
    Missing(String),
    #[error("{0} is more than an Avro long can hold")]
    TooLarge(u64),
    #[error("{0} is not a finite number: an absent figure is null")]
    NotFinite(f64),
    #[error("{0} has no place in an output record")]
    Unsupported(&'static str),
    #[error("{0}")]
    Custom(String),
}

fn name_or_end(expected: &Option<String>) -> String {
    expected.as_ref().map_or_else(|| "no more fields".to_owned(), |name| format!("`{name}`"))
}

impl ser::Error for AvroError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        AvroError::Custom(message.to_string())
    }
}

/// Appends `value` to `out` as `schema` describes it.
pub(super) fn write<T: Serialize + ?Sized>(schema: &Schema, value: &T, out: &mut Vec<u8>) -> Result<(), AvroError> {
    value.serialize(Datum { schema, out })
}

/// Appends a zigzag varint.
fn write_long(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// One value to be written with one schema.
struct Datum<'s, 'o> {
    schema: &'s Schema,
    out: &'o mut Vec<u8>,
}

impl Datum<'_, '_> {
    fn mismatch(&self, found: &'static str) -> AvroError {
        AvroError::Mismatch { expected: SchemaKind::from(self.schema), found }
    }

    fn long(self, value: i64, found: &'static str) -> Result<(), AvroError> {
        match self.schema {
            Schema::Long | Schema::TimestampMicros => {
                write_long(self.out, value);
                Ok(())
            }
            _ => Err(self.mismatch(found)),
        }
    }
}

/// Rust types that no output record has. Refusing them keeps the walk small.
macro_rules! unsupported {
    ($($method:ident($($argument:ty),*) -> $result:ty, $what:literal;)*) => {
        $(fn $method(self, $(_: $argument),*) -> Result<$result, AvroError> {
            Err(AvroError::Unsupported($what))
        })*
    };
}

impl<'s, 'o> ser::Serializer for Datum<'s, 'o> {
    type Ok = ();
    type Error = AvroError;
    type SerializeSeq = Block<'s, 'o>;
    type SerializeMap = Block<'s, 'o>;
    type SerializeStruct = Fields<'s, 'o>;
    type SerializeTuple = Impossible<(), AvroError>;
    type SerializeTupleStruct = Impossible<(), AvroError>;
    type SerializeTupleVariant = Impossible<(), AvroError>;
    type SerializeStructVariant = Impossible<(), AvroError>;

    /// Times are integers here, not text.
    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, value: bool) -> Result<(), AvroError> {
        match self.schema {
            Schema::Boolean => {
                self.out.push(u8::from(value));
                Ok(())
            }
            _ => Err(self.mismatch("a boolean")),
        }
    }

    fn serialize_i64(self, value: i64) -> Result<(), AvroError> {
        self.long(value, "an integer")
    }

    fn serialize_u32(self, value: u32) -> Result<(), AvroError> {
        self.long(i64::from(value), "an integer")
    }

    fn serialize_u64(self, value: u64) -> Result<(), AvroError> {
        let value = i64::try_from(value).map_err(|_| AvroError::TooLarge(value))?;
        self.long(value, "an integer")
    }

    fn serialize_f64(self, value: f64) -> Result<(), AvroError> {
        match self.schema {
            Schema::Double if value.is_finite() => {
                self.out.extend_from_slice(&value.to_le_bytes());
                Ok(())
            }
            Schema::Double => Err(AvroError::NotFinite(value)),
            _ => Err(self.mismatch("a double")),
        }
    }

    fn serialize_str(self, value: &str) -> Result<(), AvroError> {
        match self.schema {
            Schema::String => {
                write_long(self.out, value.len() as i64);
                self.out.extend_from_slice(value.as_bytes());
                Ok(())
            }
            _ => Err(self.mismatch("a string")),
        }
    }

    fn serialize_none(self) -> Result<(), AvroError> {
        match self.schema {
            Schema::Union(union) if matches!(union.variants(), [Schema::Null, _]) => {
                write_long(self.out, 0);
                Ok(())
            }
            _ => Err(self.mismatch("a value that may be absent")),
        }
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), AvroError> {
        match self.schema {
            Schema::Union(union) => match union.variants() {
                [Schema::Null, schema] => {
                    write_long(self.out, 1);
                    value.serialize(Datum { schema, out: self.out })
                }
                _ => Err(self.mismatch("a value that may be absent")),
            },
            _ => Err(self.mismatch("a value that may be absent")),
        }
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Block<'s, 'o>, AvroError> {
        match self.schema {
            Schema::Array(array) => Block::open(&array.items, len, self.out),
            _ => Err(self.mismatch("a list")),
        }
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Block<'s, 'o>, AvroError> {
        match self.schema {
            Schema::Map(map) => Block::open(&map.types, len, self.out),
            _ => Err(self.mismatch("a map")),
        }
    }

    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Fields<'s, 'o>, AvroError> {
        match self.schema {
            Schema::Record(record) => Ok(Fields { rest: record.fields.iter(), out: self.out }),
            _ => Err(self.mismatch("a record")),
        }
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), AvroError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), AvroError> {
        Err(AvroError::Unsupported("an enum with a value"))
    }

    unsupported! {
        serialize_i8(i8) -> (), "an 8-bit integer";
        serialize_i16(i16) -> (), "a 16-bit integer";
        serialize_i32(i32) -> (), "a signed 32-bit integer";
        serialize_u8(u8) -> (), "an 8-bit integer";
        serialize_u16(u16) -> (), "a 16-bit integer";
        serialize_f32(f32) -> (), "a 32-bit float";
        serialize_char(char) -> (), "a character";
        serialize_bytes(&[u8]) -> (), "a byte string";
        serialize_unit() -> (), "a unit";
        serialize_unit_struct(&'static str) -> (), "a unit";
        serialize_unit_variant(&'static str, u32, &'static str) -> (), "an enum";
        serialize_tuple(usize) -> Self::SerializeTuple, "a tuple";
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct, "a tuple";
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant, "an enum";
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant, "an enum";
    }
}

/// An array or map in one block: the count, the items, and the final zero.
struct Block<'s, 'o> {
    items: &'s Schema,
    out: &'o mut Vec<u8>,
}

impl<'s, 'o> Block<'s, 'o> {
    fn open(items: &'s Schema, len: Option<usize>, out: &'o mut Vec<u8>) -> Result<Self, AvroError> {
        let len = len.ok_or(AvroError::Unsupported("a collection of unknown length"))?;
        if len > 0 {
            write_long(out, len as i64);
        }
        Ok(Block { items, out })
    }

    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), AvroError> {
        value.serialize(Datum { schema: self.items, out: self.out })
    }

    fn close(self) {
        write_long(self.out, 0);
    }
}

impl ser::SerializeSeq for Block<'_, '_> {
    type Ok = ();
    type Error = AvroError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), AvroError> {
        self.item(value)
    }

    fn end(self) -> Result<(), AvroError> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeMap for Block<'_, '_> {
    type Ok = ();
    type Error = AvroError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), AvroError> {
        key.serialize(Datum { schema: &Schema::String, out: self.out })
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), AvroError> {
        self.item(value)
    }

    fn end(self) -> Result<(), AvroError> {
        self.close();
        Ok(())
    }
}

/// The fields of a record; they must come in the schema's order.
struct Fields<'s, 'o> {
    rest: std::slice::Iter<'s, RecordField>,
    out: &'o mut Vec<u8>,
}

impl ser::SerializeStruct for Fields<'_, '_> {
    type Ok = ();
    type Error = AvroError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, field: &'static str, value: &T) -> Result<(), AvroError> {
        match self.rest.next() {
            Some(expected) if expected.name == field => value
                .serialize(Datum { schema: &expected.schema, out: self.out })
                .map_err(|source| AvroError::Field { field, source: Box::new(source) }),
            other => Err(AvroError::Order { expected: other.map(|f| f.name.clone()), found: field }),
        }
    }

    fn end(mut self) -> Result<(), AvroError> {
        self.rest.next().map_or(Ok(()), |field| Err(AvroError::Missing(field.name.clone())))
    }
}

#[cfg(test)]
mod tests;
