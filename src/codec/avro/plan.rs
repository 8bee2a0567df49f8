//! A writer's schema, compiled: types by number, names already looked up.
//!
//! A recursive type refers back by its number, so compiling ends and reading it costs no more than any other type.

use super::super::field::Field;
use super::schema_error::SchemaError;
use serde_json::Value as Json;

/// A type's number in its plan.
pub(super) type TypeId = usize;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    /// Bytes; text fields take them as text.
    Bytes,
    Text,
    Fixed(usize),
    /// A uuid on a fixed of 16 bytes.
    Uuid,
    /// An unscaled number, on bytes or on a fixed of this size, and its digits after the point.
    Decimal {
        size: Option<usize>,
        scale: u32,
    },
    Enum(Vec<String>),
    TimeMillis,
    TimeMicros,
    TimeNanos,
    /// A whole number of this logical type that is no point in time: a date, a local time.
    NoMoment(&'static str),
    Array {
        of: TypeId,
        /// The items are records of `key` and `value`: how writers without maps write a map.
        is_map: bool,
    },
    Map(TypeId),
    Union(Vec<TypeId>),
    Record(Vec<RecordField>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct RecordField {
    pub name: String,
    /// The outcome's field of this name, in the outermost record.
    pub known: Option<Field>,
    pub kind: TypeId,
}

/// A compiled schema.
#[derive(Debug)]
pub struct Plan {
    name: String,
    kinds: Vec<Kind>,
    root: TypeId,
}

impl Plan {
    /// The types of a schema (JSON) whose records can be outcomes: a record, or a union with one.
    pub(super) fn new(schema: &Json, mut kinds: Vec<Kind>, root: TypeId) -> Result<Plan, SchemaError> {
        let records = match &kinds[root] {
            Kind::Record(_) => vec![root],
            Kind::Union(branches) => branches.clone(),
            _ => Vec::new(),
        };
        let mut any = false;
        for id in records {
            if let Kind::Record(fields) = &mut kinds[id] {
                fields.iter_mut().for_each(|field| field.known = Field::by_name(&field.name));
                any = true;
            }
        }
        let name = match schema.get("name").and_then(Json::as_str) {
            Some("") => "(a record without a name)".to_owned(),
            Some(name) => name.to_owned(),
            None => "(a union)".to_owned(),
        };
        if any { Ok(Plan { name, kinds, root }) } else { Err(SchemaError::NoRecord) }
    }

    /// Whether every datum has the same meaning under both.
    pub(super) fn reads_alike(&self, other: &Plan) -> bool {
        (&self.kinds, self.root) == (&other.kinds, other.root)
    }

    /// The schema's name, for people.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn root(&self) -> TypeId {
        self.root
    }

    /// How many types there are.
    pub(super) fn len(&self) -> usize {
        self.kinds.len()
    }

    #[inline]
    pub(super) fn kind(&self, id: TypeId) -> &Kind {
        &self.kinds[id]
    }
}

impl Kind {
    /// Its name in Avro.
    pub fn describe(&self) -> String {
        match self {
            Kind::Null => "null".to_owned(),
            Kind::Boolean => "a boolean".to_owned(),
            Kind::Int => "an int".to_owned(),
            Kind::Long => "a long".to_owned(),
            Kind::Float => "a float".to_owned(),
            Kind::Double => "a double".to_owned(),
            Kind::Bytes => "bytes".to_owned(),
            Kind::Text => "a string".to_owned(),
            Kind::Fixed(size) => format!("a fixed of {size} bytes"),
            Kind::Uuid => "a uuid".to_owned(),
            Kind::Decimal { scale, .. } => format!("a decimal with {scale} digits after the point"),
            Kind::Enum(_) => "an enum".to_owned(),
            Kind::TimeMillis => "a timestamp-millis".to_owned(),
            Kind::TimeMicros => "a timestamp-micros".to_owned(),
            Kind::TimeNanos => "a timestamp-nanos".to_owned(),
            Kind::NoMoment(logical) => format!("a {logical}"),
            Kind::Array { .. } => "an array".to_owned(),
            Kind::Map(_) => "a map".to_owned(),
            Kind::Union(_) => "a union".to_owned(),
            Kind::Record(_) => "a record".to_owned(),
        }
    }

    /// Whether `timestamp` takes this type; other types depend on the value.
    #[inline]
    pub fn is_time(&self) -> bool {
        match self {
            Kind::TimeMillis | Kind::TimeMicros | Kind::TimeNanos => true,
            Kind::Null | Kind::Text | Kind::Bytes | Kind::Int | Kind::Long => true,
            Kind::Decimal { scale, .. } => *scale == 0,
            _ => false,
        }
    }

    /// Why this is not a time, and what to write; `None` if it is one.
    pub fn no_time(&self) -> Option<String> {
        let why = match self {
            _ if self.is_time() => return None,
            Kind::Float => ", too coarse for a time: it is off by up to a minute",
            Kind::Double | Kind::Decimal { .. } => ", and nothing says whether it counts seconds",
            _ => "",
        };
        let what = self.describe();
        Some(format!(
            "`timestamp` is {what}{why}; write it as a long of logicalType timestamp-millis, -micros or -nanos (UTC), \
             or as a plain long of epoch milliseconds"
        ))
    }
}
