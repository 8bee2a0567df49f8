//! A deserializer for bytes of an earlier version: for fields that this version did not have it reports that there is no
//! value, and serde then uses the field's default.
//!
//! It passes everything else on. Values that contain others (structs, sequences, options, enums, maps) are wrapped, so
//! that structs within them are treated alike.

use super::Added;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};
use std::fmt;

/// What is wrapped, the version of the bytes, and the fields that later versions added.
#[derive(Clone, Copy)]
pub(super) struct Versioned<T> {
    pub inner: T,
    pub version: u8,
    pub added: &'static [Added],
}

impl<T> Versioned<T> {
    fn of<U>(&self, inner: U) -> Versioned<U> {
        Versioned { inner, version: self.version, added: self.added }
    }

    /// Takes the wrapped value, and what wraps another.
    fn open(self) -> (T, Versioned<()>) {
        let Versioned { inner, version, added } = self;
        (inner, Versioned { inner: (), version, added })
    }

    fn lacks(&self, name: &str, field: &str) -> bool {
        self.added.iter().any(|(since, of, added)| *of == name && *added == field && self.version < *since)
    }
}

/// The fields of a struct in their order.
struct Fields<T> {
    of: Versioned<T>,
    name: &'static str,
    fields: std::slice::Iter<'static, &'static str>,
}

macro_rules! passed_on {
    ($($name:ident)*) => {
        $(fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$name(visitor)
        })*
    };
}

macro_rules! wrapped {
    ($($name:ident($($argument:ident: $of:ty),*))*) => {
        $(fn $name<V: Visitor<'de>>(self, $($argument: $of,)* visitor: V) -> Result<V::Value, D::Error> {
            let (inner, by) = self.open();
            inner.$name($($argument,)* by.of(visitor))
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Versioned<D> {
    type Error = D::Error;

    passed_on! {
        deserialize_any deserialize_bool deserialize_char deserialize_str deserialize_string
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_bytes deserialize_byte_buf deserialize_unit
        deserialize_identifier deserialize_ignored_any
    }

    wrapped! {
        deserialize_option()
        deserialize_seq()
        deserialize_map()
        deserialize_unit_struct(name: &'static str)
        deserialize_newtype_struct(name: &'static str)
        deserialize_tuple(len: usize)
        deserialize_tuple_struct(name: &'static str, len: usize)
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let (inner, by) = self.open();
        inner.deserialize_struct(name, fields, Fields { of: by.of(visitor), name, fields: fields.iter() })
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Fields<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.of.inner.expecting(f)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, fields: A) -> Result<V::Value, A::Error> {
        let (visitor, by) = self.of.open();
        visitor.visit_seq(Fields { of: by.of(fields), name: self.name, fields: self.fields })
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Fields<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        match self.fields.next() {
            Some(field) if self.of.lacks(self.name, field) => Ok(None),
            _ => {
                let seed = self.of.of(seed);
                self.of.inner.next_element_seed(seed)
            }
        }
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Versioned<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        let (seed, by) = self.open();
        seed.deserialize(by.of(deserializer))
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Versioned<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, some: D) -> Result<V::Value, D::Error> {
        let (visitor, by) = self.open();
        visitor.visit_some(by.of(some))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let (visitor, by) = self.open();
        visitor.visit_newtype_struct(by.of(inner))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<V::Value, A::Error> {
        let (visitor, by) = self.open();
        visitor.visit_seq(by.of(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        let (visitor, by) = self.open();
        visitor.visit_map(by.of(entries))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        let (visitor, by) = self.open();
        visitor.visit_enum(by.of(variant))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Versioned<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let seed = self.of(seed);
        self.inner.next_element_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Versioned<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let seed = self.of(seed);
        self.inner.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.of(seed);
        self.inner.next_value_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Versioned<A> {
    type Error = A::Error;
    type Variant = Versioned<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let (variant, by) = self.open();
        let (value, content) = variant.variant_seed(seed)?;
        Ok((value, by.of(content)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Versioned<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let (content, by) = self.open();
        content.newtype_variant_seed(by.of(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let (content, by) = self.open();
        content.tuple_variant(len, by.of(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let (content, by) = self.open();
        content.struct_variant(fields, by.of(visitor))
    }
}
