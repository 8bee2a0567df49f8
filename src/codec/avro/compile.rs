//! From a schema's JSON to a [`Plan`].
//!
//! Names are accepted as they are: writers use, and Java reads, more names than the specification allows (dots, dashes,
//! a leading digit, `$`, an empty name), and a name only identifies a type. A name may be used before its type is
//! defined. A logical type that does not fit its type is ignored, as the specification says.

use super::fingerprint::{self, Fingerprints};
use super::naming::{full_name, inner_namespace};
use super::plan::{Kind, Plan, RecordField, TypeId};
use super::schema_error::SchemaError;
use hashbrown::HashMap;
use serde_json::{Map, Value as Json};

/// A schema for reading records, and its fingerprints.
#[derive(Debug)]
pub(super) struct Compiled {
    pub plan: Plan,
    pub fingerprints: Fingerprints,
}

/// Reads a schema from its text.
pub(super) fn parse(schema: &str) -> Result<Compiled, SchemaError> {
    let schema = schema.trim_start_matches('\u{feff}');
    let json: Json = serde_json::from_str(schema).map_err(|e| SchemaError::NoJson(e.to_string()))?;
    compile(&json)
}

pub(super) fn compile(schema: &Json) -> Result<Compiled, SchemaError> {
    let mut compiler = Compiler { kinds: Vec::new(), named: HashMap::new(), awaited: Vec::new() };
    let root = compiler.add(schema, "", "the schema")?;
    let root = compiler.link(root)?;
    compiler.find_maps();
    let plan = Plan::new(schema, compiler.kinds, root)?;
    let is_defined = |name: &str| compiler.named.contains_key(name);
    Ok(Compiled { plan, fingerprints: fingerprint::of(schema, &is_defined) })
}

struct Compiler {
    kinds: Vec<Kind>,
    /// Only looked up, never iterated.
    named: HashMap<String, TypeId>,
    /// Placeholders for names that were not defined yet, in order.
    awaited: Vec<Awaited>,
}

struct Awaited {
    id: TypeId,
    /// The name with its namespace, and as written.
    full: String,
    bare: String,
}

impl Compiler {
    fn add(&mut self, schema: &Json, namespace: &str, place: &str) -> Result<TypeId, SchemaError> {
        match schema {
            Json::String(name) => Ok(self.primitive_or_name(name, &Map::new(), namespace)),
            Json::Array(branches) => {
                let id = self.reserve();
                let branch = |(i, branch): (usize, &Json)| self.add(branch, namespace, &format!("{place}[{i}]"));
                let branches = branches.iter().enumerate().map(branch).collect::<Result<_, _>>()?;
                self.kinds[id] = Kind::Union(branches);
                Ok(id)
            }
            Json::Object(object) => match object.get("type") {
                Some(Json::String(of)) => self.typed(of, object, namespace, place),
                Some(inner @ (Json::Object(_) | Json::Array(_))) => self.add(inner, namespace, place),
                _ => Err(wrong(place, "has no `type`")),
            },
            _ => Err(wrong(place, "is not a type")),
        }
    }

    /// A type gets its number before its inside is compiled, because the inside may refer to it.
    fn reserve(&mut self) -> TypeId {
        self.kinds.push(Kind::Null);
        self.kinds.len() - 1
    }

    fn typed(
        &mut self,
        of: &str,
        object: &Map<String, Json>,
        namespace: &str,
        place: &str,
    ) -> Result<TypeId, SchemaError> {
        if !matches!(of, "record" | "error" | "enum" | "fixed" | "array" | "map") {
            return Ok(self.primitive_or_name(of, object, namespace));
        }
        let id = self.reserve();
        let member = |name: &str| object.get(name).ok_or_else(|| wrong(place, &format!("({of}) has no `{name}`")));
        let inner = if matches!(of, "array" | "map") {
            namespace.to_owned()
        } else {
            let inner = inner_namespace(object, namespace);
            let name = object.get("name").and_then(Json::as_str);
            let name = name.ok_or_else(|| wrong(place, &format!("({of}) has no `name`")))?;
            self.named.insert(full_name(name, &inner), id);
            inner
        };
        self.kinds[id] = match of {
            "array" => Kind::Array { of: self.add(member("items")?, &inner, place)?, is_map: false },
            "map" => Kind::Map(self.add(member("values")?, &inner, place)?),
            "enum" => symbols(member("symbols")?).ok_or_else(|| wrong(place, "has symbols that are not texts"))?,
            "fixed" => fixed(member("size")?, object).ok_or_else(|| wrong(place, "has an invalid size"))?,
            _ => self.record(member("fields")?, &inner, place)?,
        };
        Ok(id)
    }

    fn record(&mut self, fields: &Json, namespace: &str, place: &str) -> Result<Kind, SchemaError> {
        let fields = fields.as_array().ok_or_else(|| wrong(place, "has `fields` that are not a list"))?;
        let field = |(i, field): (usize, &Json)| {
            let name = field.get("name").and_then(Json::as_str);
            let name = name.ok_or_else(|| wrong(place, &format!("has a field without a name (number {})", i + 1)))?;
            let place = format!("the type of `{name}`");
            let of = field.get("type").ok_or_else(|| wrong(&place, "is missing"))?;
            // Some writers put the type's properties beside the type.
            let kind = match (of, field) {
                (Json::String(of), Json::Object(all)) if all.contains_key("items") || all.contains_key("values") => {
                    self.typed(of, all, namespace, &place)?
                }
                _ => self.add(of, namespace, &place)?,
            };
            Ok(RecordField { name: name.to_owned(), known: None, kind })
        };
        fields.iter().enumerate().map(field).collect::<Result<_, _>>().map(Kind::Record)
    }

    fn primitive_or_name(&mut self, of: &str, object: &Map<String, Json>, namespace: &str) -> TypeId {
        let full = full_name(of, namespace);
        let id = match (primitive(of, object), self.named.get(&full)) {
            (None, Some(id)) => return *id,
            (Some(kind), _) => {
                let id = self.reserve();
                self.kinds[id] = kind;
                return id;
            }
            (None, None) => self.reserve(),
        };
        self.awaited.push(Awaited { id, full, bare: of.to_owned() });
        id
    }

    /// Replaces each name that was used early by its definition.
    fn link(&mut self, root: TypeId) -> Result<TypeId, SchemaError> {
        let mut means: Vec<TypeId> = (0..self.kinds.len()).collect();
        for awaited in &self.awaited {
            let id = self.named.get(&awaited.full).or_else(|| self.named.get(&awaited.bare));
            means[awaited.id] = *id.ok_or_else(|| SchemaError::UnknownName(awaited.full.clone()))?;
        }
        if !self.awaited.is_empty() {
            self.kinds.iter_mut().for_each(|kind| relink(kind, &means));
        }
        Ok(means[root])
    }

    /// Finds the arrays that represent maps.
    fn find_maps(&mut self) {
        let is_entry = |kind: &Kind| match kind {
            Kind::Record(fields) => {
                fields.len() == 2 && ["key", "value"].iter().all(|name| fields.iter().any(|f| f.name == *name))
            }
            _ => false,
        };
        let entries: Vec<bool> = self.kinds.iter().map(is_entry).collect();
        for kind in &mut self.kinds {
            if let Kind::Array { of, is_map } = kind {
                *is_map = entries[*of];
            }
        }
    }
}

fn relink(kind: &mut Kind, means: &[TypeId]) {
    match kind {
        Kind::Array { of, .. } | Kind::Map(of) => *of = means[*of],
        Kind::Union(branches) => branches.iter_mut().for_each(|id| *id = means[*id]),
        Kind::Record(fields) => fields.iter_mut().for_each(|field| field.kind = means[field.kind]),
        _ => {}
    }
}

fn primitive(of: &str, object: &Map<String, Json>) -> Option<Kind> {
    let logical = object.get("logicalType").and_then(Json::as_str).unwrap_or_default();
    Some(match (of, logical) {
        ("null", _) => Kind::Null,
        ("boolean", _) => Kind::Boolean,
        ("int", "date") => Kind::NoMoment("date"),
        ("int", "time-millis") => Kind::NoMoment("time-millis"),
        ("int", _) => Kind::Int,
        ("long", "timestamp-millis") => Kind::TimeMillis,
        ("long", "timestamp-micros") => Kind::TimeMicros,
        ("long", "timestamp-nanos") => Kind::TimeNanos,
        ("long", "time-micros") => Kind::NoMoment("time-micros"),
        ("long", "local-timestamp-millis") => Kind::NoMoment("local-timestamp-millis"),
        ("long", "local-timestamp-micros") => Kind::NoMoment("local-timestamp-micros"),
        ("long", "local-timestamp-nanos") => Kind::NoMoment("local-timestamp-nanos"),
        ("long", _) => Kind::Long,
        ("float", _) => Kind::Float,
        ("double", _) => Kind::Double,
        ("bytes", "decimal") => scale(object).map_or(Kind::Bytes, |scale| Kind::Decimal { size: None, scale }),
        ("bytes", _) => Kind::Bytes,
        ("string", _) => Kind::Text,
        _ => return None,
    })
}

/// The scale of a decimal; `None` if it is not a valid decimal.
fn scale(object: &Map<String, Json>) -> Option<u32> {
    const SCALE_MAX: u64 = 1_000;
    let scale = object.get("scale").map_or(Some(0), Json::as_u64)?;
    u32::try_from(scale).ok().filter(|_| scale <= SCALE_MAX)
}

fn fixed(size: &Json, object: &Map<String, Json>) -> Option<Kind> {
    let size = usize::try_from(size.as_u64()?).ok()?;
    Some(match (object.get("logicalType").and_then(Json::as_str), size) {
        (Some("uuid"), 16) => Kind::Uuid,
        (Some("decimal"), _) => {
            scale(object).map_or(Kind::Fixed(size), |scale| Kind::Decimal { size: Some(size), scale })
        }
        _ => Kind::Fixed(size),
    })
}

fn symbols(symbols: &Json) -> Option<Kind> {
    let symbols = symbols.as_array()?.iter().map(|symbol| symbol.as_str().map(str::to_owned));
    symbols.collect::<Option<_>>().map(Kind::Enum)
}

fn wrong(place: &str, problem: &str) -> SchemaError {
    SchemaError::Invalid { place: place.to_owned(), problem: problem.to_owned() }
}
