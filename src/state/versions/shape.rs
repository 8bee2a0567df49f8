//! The shape of a stored form: which fields its structs have, in which order and of which kind, and which variants its
//! enums have. It is found by deserializing sample values, so nothing has to be listed by hand.
//!
//! A version's shape is frozen beside its state, and compared with the shape of today: a field that was added to a
//! struct, and is missing in [`super::ADDED`], fails the test even if no frozen row contains the struct.

use super::ADDED;
use serde::de::value::U32Deserializer;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use std::collections::BTreeMap;
use std::fmt::Write;

type Error = serde::de::value::Error;

/// So often a form is deserialized: each time, enums have their next variant.
const ROUNDS: usize = 64;

/// By name of a struct or enum: its fields or variants, each with its kind.
#[derive(Default)]
pub struct Shape {
    types: BTreeMap<String, Vec<(String, String)>>,
    variants: BTreeMap<&'static str, usize>,
}

impl Shape {
    pub fn add<'de, T: Deserialize<'de>>(&mut self) {
        for _ in 0..ROUNDS {
            let mut kind = String::new();
            T::deserialize(Tracer { shape: self, kind: &mut kind }).expect("sample values are valid");
        }
    }

    /// As it is frozen: a type a paragraph.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (name, members) in &self.types {
            writeln!(text, "{name}").expect("a text");
            members.iter().for_each(|(member, kind)| writeln!(text, "  {member} {kind}").expect("a text"));
        }
        text
    }

    /// What keeps this build from reading the frozen shape of a version.
    pub fn differences(&self, version: u8, frozen: &str) -> Vec<String> {
        let mut types: BTreeMap<&str, Vec<(String, String)>> = BTreeMap::new();
        let mut name = "";
        for line in frozen.lines() {
            match line.strip_prefix("  ").and_then(|member| member.split_once(' ')) {
                Some((member, kind)) => {
                    types.entry(name).or_default().push((member.to_owned(), kind.to_owned()));
                }
                None => name = line,
            }
        }
        let differs = |(name, then): (&str, Vec<(String, String)>)| {
            let now = self.types.get(name).cloned().unwrap_or_default();
            let is_later =
                |field: &str| ADDED.iter().any(|(since, of, f)| *of == name && *f == field && *since > version);
            let mut now: Vec<_> = now.into_iter().filter(|(field, _)| !is_later(field)).collect();
            if name.starts_with("enum ") {
                now.truncate(then.len());
            }
            (now != then).then(|| format!("{name} was {then:?}, and is without later fields {now:?}"))
        };
        types.into_iter().filter_map(differs).collect()
    }

    fn note(&mut self, name: String, members: Vec<(String, String)>) {
        if let Some(known) = self.types.get(&name) {
            assert_eq!(*known, members, "two types are called {name}: rename one, or fields cannot be told apart");
        }
        self.types.insert(name, members);
    }
}

/// Deserializes a sample value, and notes its kind.
struct Tracer<'a> {
    shape: &'a mut Shape,
    kind: &'a mut String,
}

impl Tracer<'_> {
    /// Deserializes a part; returns its kind with its value.
    fn part<'de, S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<(S::Value, String), Error> {
        let mut kind = String::new();
        let value = seed.deserialize(Tracer { shape: self.shape, kind: &mut kind })?;
        Ok((value, kind))
    }
}

/// So many parts, one after the other.
struct Parts<'a> {
    tracer: Tracer<'a>,
    left: usize,
    kinds: Vec<String>,
}

macro_rules! samples {
    ($($name:ident $visit:ident $sample:expr;)*) => {
        $(fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            *self.kind = stringify!($name).trim_start_matches("deserialize_").to_owned();
            visitor.$visit($sample)
        })*
    };
}

impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = Error;

    samples! {
        deserialize_bool visit_bool true;
        deserialize_char visit_char 'c';
        deserialize_str visit_borrowed_str "s";
        deserialize_string visit_borrowed_str "s";
        deserialize_i8 visit_i8 1;
        deserialize_i16 visit_i16 1;
        deserialize_i32 visit_i32 1;
        deserialize_i64 visit_i64 1;
        deserialize_i128 visit_i128 1;
        deserialize_u8 visit_u8 1;
        deserialize_u16 visit_u16 1;
        deserialize_u32 visit_u32 1;
        deserialize_u64 visit_u64 1;
        deserialize_u128 visit_u128 1;
        deserialize_f32 visit_f32 1.0;
        deserialize_f64 visit_f64 1.0;
        deserialize_bytes visit_borrowed_bytes b"b";
        deserialize_byte_buf visit_borrowed_bytes b"b";
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("stored bytes do not say what they are"))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let mut kind = String::new();
        let value = visitor.visit_some(Tracer { shape: self.shape, kind: &mut kind })?;
        *self.kind = format!("option<{kind}>");
        Ok(value)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        let (value, kinds) = self.parts(1, visitor)?;
        *self.kind = format!("seq<{}>", kinds.join(", "));
        Ok(value)
    }

    fn deserialize_tuple<V: Visitor<'de>>(mut self, len: usize, visitor: V) -> Result<V::Value, Error> {
        let (value, kinds) = self.parts(len, visitor)?;
        *self.kind = format!("({})", kinds.join(", "));
        Ok(value)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, len: usize, v: V) -> Result<V::Value, Error> {
        self.deserialize_tuple(len, v)
    }

    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        let mut parts = self.begin(2);
        let value = visitor.visit_map(&mut parts)?;
        let kinds = parts.kinds;
        *self.kind = format!("map<{}>", kinds.join(", "));
        Ok(value)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let (value, kinds) = self.parts(fields.len(), visitor)?;
        *self.kind = name.to_owned();
        self.shape.note(name.to_owned(), fields.iter().map(|f| (*f).to_owned()).zip(kinds).collect());
        Ok(value)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let next = self.shape.variants.entry(name).or_default();
        let variant = *next % variants.len();
        *next += 1;
        *self.kind = name.to_owned();
        let mut kind = String::new();
        let value = visitor.visit_enum(Variant { tracer: Tracer { shape: self.shape, kind: &mut kind }, variant })?;
        let all = self.shape.types.entry(format!("enum {name}")).or_default();
        all.resize(variants.len(), Default::default());
        all[variant] = (variants[variant].to_owned(), kind);
        Ok(value)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("stored bytes have no names"))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("nothing of stored bytes can be ignored"))
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

impl Tracer<'_> {
    fn begin(&mut self, left: usize) -> Parts<'_> {
        Parts { tracer: Tracer { shape: self.shape, kind: self.kind }, left, kinds: Vec::new() }
    }

    fn parts<'de, V: Visitor<'de>>(&mut self, len: usize, visitor: V) -> Result<(V::Value, Vec<String>), Error> {
        let mut parts = self.begin(len);
        let value = visitor.visit_seq(&mut parts)?;
        Ok((value, parts.kinds))
    }
}

impl Parts<'_> {
    fn next<'de, S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        self.left -= 1;
        let (value, kind) = self.tracer.part(seed)?;
        self.kinds.push(kind);
        Ok(value)
    }
}

impl<'de> SeqAccess<'de> for &mut Parts<'_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        if self.left == 0 { Ok(None) } else { self.next(seed).map(Some) }
    }
}

impl<'de> MapAccess<'de> for &mut Parts<'_> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        if self.left == 0 { Ok(None) } else { self.next(seed).map(Some) }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        self.next(seed)
    }
}

struct Variant<'a> {
    tracer: Tracer<'a>,
    variant: usize,
}

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = Error;
    type Variant = Tracer<'a>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Tracer<'a>), Error> {
        let number: U32Deserializer<Error> = (self.variant as u32).into_deserializer();
        Ok((seed.deserialize(number)?, self.tracer))
    }
}

impl<'de> VariantAccess<'de> for Tracer<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        "unit".clone_into(self.kind);
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], v: V) -> Result<V::Value, Error> {
        let mut tracer = self;
        let (value, kinds) = tracer.parts(fields.len(), v)?;
        let named = fields.iter().zip(kinds).map(|(field, kind)| format!("{field}: {kind}"));
        *tracer.kind = format!("{{{}}}", named.collect::<Vec<_>>().join(", "));
        Ok(value)
    }
}
