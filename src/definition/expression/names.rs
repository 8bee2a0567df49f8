//! Resolves names: fields, measures, attributes, and `has()`.

use super::ast::{Expr, Kind, Literal};
use super::{Compiled, ExpressionError, Typed, error};
use crate::model::expr::{Comparison, Condition, Double, Field, Int, Map, Name, Reference, Text, Time};
use crate::model::suggest::{closest, one_of};

/// The variable for the whole outcome.
const OUTCOME: &str = "outcome";
const MAPS: [(&str, Map); 2] = [("measures", Map::Measures), ("attributes", Map::Attributes)];

fn map(name: &str) -> Option<Map> {
    MAPS.iter().find(|(known, _)| *known == name).map(|(_, map)| *map)
}

pub(super) fn compile_name(name: &str) -> Compiled<Typed> {
    if name == OUTCOME {
        return Ok(Typed::Outcome);
    }
    if let Some(map) = map(name) {
        return Ok(Typed::Map(map));
    }
    Ok(match Field::parse(name).ok_or_else(|| unknown_name(name))? {
        Field::Status => Typed::Int(Int::Status),
        Field::Timestamp => Typed::Time(Time::Event),
        Field::LatencyMs => Typed::Double(Double::LatencyMs),
        Field::Weight => Typed::Double(Double::Weight),
        text => Typed::Text(Text::Field(text)),
    })
}

/// Names that other systems use for our fields.
const SYNONYMS: [(&str, &str); 14] = [
    ("status_code", "status"),
    ("http_status", "status"),
    ("code", "status"),
    ("latency", "latency_ms"),
    ("duration", "latency_ms"),
    ("duration_ms", "latency_ms"),
    ("response_time", "latency_ms"),
    ("endpoint", "operation"),
    ("method", "operation"),
    ("user_id", "user"),
    ("tenant_id", "tenant"),
    ("time", "timestamp"),
    ("ts", "timestamp"),
    ("error", "error_type"),
];

pub(super) fn unknown_name(name: &str) -> ExpressionError {
    let known = || Field::ALL.iter().map(|f| f.as_str()).chain(MAPS.iter().map(|(name, _)| *name));
    let synonym = SYNONYMS.iter().find(|(other, _)| name.eq_ignore_ascii_case(other)).map(|(_, ours)| *ours);
    let remedy = match synonym.or_else(|| closest(name, known())) {
        Some(near) => format!("did you mean `{near}`? An attribute is written as attributes['{name}']"),
        None => format!("an attribute is written as attributes['{name}']; the fields are {}", one_of(known())),
    };
    error(format!("an outcome has no field `{name}`")).with_remedy(remedy)
}

/// `has(status)`, `has(outcome.status)`, `has(attributes.tier)`, `has(attributes['tier'])`.
pub(super) fn compile_has(arg: &Expr) -> Compiled<Typed> {
    let presence = match &arg.kind {
        Kind::Name(name) => presence_in_outcome(name),
        Kind::Select(operand, field) => presence_in(operand, field),
        Kind::Index(operand, key) => presence_in(operand, literal_key(key)?),
        _ => Err(error("has() needs a field").with_remedy("as in has(status) or has(attributes.tier)")),
    };
    presence.map_err(|e| e.or_at(arg.at))
}

fn presence_in(operand: &Expr, name: &str) -> Compiled<Typed> {
    match super::compile(operand)? {
        Typed::Outcome => presence_in_outcome(name),
        Typed::Map(map) => Ok(Typed::Bool(Condition::Has(reference(map, name)))),
        other => Err(error(format!("{} has no field `{name}`", other.kind()))
            .with_remedy("a name with a dot is written as attributes['a.b']")),
    }
}

/// A map counts as present if it is not empty.
pub(super) fn presence_in_outcome(name: &str) -> Compiled<Typed> {
    if let Some(map) = map(name) {
        let holds_some = Condition::CompareInt(Comparison::Gt, Int::SizeOfMap(map), Int::Literal(0));
        return Ok(Typed::Bool(holds_some));
    }
    let field = Field::parse(name).ok_or_else(|| unknown_name(name))?;
    Ok(Typed::Bool(Condition::Has(Reference::Field(field))))
}

pub(super) fn reference(map: Map, name: &str) -> Reference {
    match map {
        Map::Measures => Reference::Measure(Name(name.into())),
        Map::Attributes => Reference::Attribute(Name(name.into())),
    }
}

pub(super) fn element(map: Map, name: &str) -> Typed {
    match map {
        Map::Measures => Typed::Double(Double::Measure(Name(name.into()))),
        Map::Attributes => Typed::Text(Text::Attribute(Name(name.into()))),
    }
}

pub(super) fn literal_key(key: &Expr) -> Compiled<&str> {
    match &key.kind {
        Kind::Literal(Literal::Text(name)) => Ok(name),
        _ => Err(error("the name of a field, a measure or an attribute must be a quoted text")
            .with_remedy("as in attributes['tier'] or 'tier' in attributes")
            .or_at(key.at)),
    }
}
