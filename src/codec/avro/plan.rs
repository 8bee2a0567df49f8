//! A writer's schema, compiled: types by number, names already looked up.
//!
//! Types that hold themselves are numbers that point back, so compiling ends and reading one is as
//! cheap as reading any other.

use super::super::field::Field;
use super::schemas::SchemaError;
use apache_avro::Schema;
use apache_avro::schema::{InnerDecimalSchema, Name, NamespaceRef, UuidSchema};
use hashbrown::HashMap;

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
    Bytes,
    Text,
    Fixed(usize),
    Enum(Vec<String>),
    TimeMillis,
    TimeMicros,
    TimeNanos,
    /// A time of no known zone: a long that is no moment.
    LocalTime,
    Array(TypeId),
    Map(TypeId),
    Union(Vec<TypeId>),
    Record(Vec<RecordField>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct RecordField {
    pub name: String,
    /// The outcome's field of that name, where this is the outermost record.
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
    /// Compiles a schema whose records can be outcomes: a record, or a union with one.
    pub(super) fn compile(schema: &Schema) -> Result<Plan, SchemaError> {
        let mut compiler = Compiler { kinds: Vec::new(), named: HashMap::new() };
        let root = compiler.add(schema, None)?;
        let mut kinds = compiler.kinds;
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
        let name = schema.name().map_or_else(|| "(a union)".to_owned(), |name| name.fullname(None));
        if any { Ok(Plan { name, kinds, root }) } else { Err(SchemaError::NoRecord) }
    }

    /// Whether every datum means the same under both.
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

    #[inline]
    pub(super) fn kind(&self, id: TypeId) -> &Kind {
        &self.kinds[id]
    }
}

struct Compiler {
    kinds: Vec<Kind>,
    /// Only looked up, never iterated.
    named: HashMap<Name, TypeId>,
}

impl Compiler {
    fn add(&mut self, schema: &Schema, namespace: NamespaceRef<'_>) -> Result<TypeId, SchemaError> {
        if let Schema::Ref { name } = schema {
            let full = name.fully_qualified_name(namespace);
            return self.named.get(full.as_ref()).copied().ok_or_else(|| SchemaError::UnknownName(full.to_string()));
        }
        // The number is taken before the inside is compiled, which may refer to it.
        let id = self.kinds.len();
        self.kinds.push(Kind::Null);
        let mut namespace = namespace.map(str::to_owned);
        if let Some(name) = schema.name() {
            let full = name.fully_qualified_name(namespace.as_deref()).into_owned();
            namespace = full.namespace().map(str::to_owned);
            self.named.insert(full, id);
        }
        self.kinds[id] = self.kind(schema, namespace.as_deref())?;
        Ok(id)
    }

    fn kind(&mut self, schema: &Schema, namespace: NamespaceRef<'_>) -> Result<Kind, SchemaError> {
        Ok(match schema {
            Schema::Null => Kind::Null,
            Schema::Boolean => Kind::Boolean,
            Schema::Int => Kind::Int,
            Schema::Long => Kind::Long,
            Schema::Float => Kind::Float,
            Schema::Double => Kind::Double,
            Schema::String | Schema::Uuid(UuidSchema::String) => Kind::Text,
            Schema::Bytes | Schema::BigDecimal | Schema::Uuid(UuidSchema::Bytes) => Kind::Bytes,
            Schema::Fixed(fixed) | Schema::Duration(fixed) | Schema::Uuid(UuidSchema::Fixed(fixed)) => {
                Kind::Fixed(fixed.size)
            }
            Schema::Decimal(decimal) => match &decimal.inner {
                InnerDecimalSchema::Bytes => Kind::Bytes,
                InnerDecimalSchema::Fixed(fixed) => Kind::Fixed(fixed.size),
            },
            Schema::Enum(symbols) => Kind::Enum(symbols.symbols.clone()),
            Schema::TimestampMillis => Kind::TimeMillis,
            Schema::TimestampMicros => Kind::TimeMicros,
            Schema::TimestampNanos => Kind::TimeNanos,
            Schema::Date
            | Schema::TimeMillis
            | Schema::TimeMicros
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => Kind::LocalTime,
            Schema::Array(array) => Kind::Array(self.add(&array.items, namespace)?),
            Schema::Map(map) => Kind::Map(self.add(&map.types, namespace)?),
            Schema::Union(union) => {
                let branches = union.variants().iter().map(|branch| self.add(branch, namespace));
                Kind::Union(branches.collect::<Result<_, _>>()?)
            }
            Schema::Record(record) => {
                let fields = record.fields.iter().map(|field| {
                    let kind = self.add(&field.schema, namespace)?;
                    Ok(RecordField { name: field.name.clone(), known: None, kind })
                });
                Kind::Record(fields.collect::<Result<_, SchemaError>>()?)
            }
            Schema::Ref { name } => return Err(SchemaError::UnknownName(name.fullname(None))),
        })
    }
}
