//! Parses a source in the configuration: a path, or one of `path` (with `unit`), `const` and `bucket`.

use super::bucket::Bucket;
use super::path::Path;
use super::source::{Constant, Source, Unit};
use crate::model::suggest::{closest, one_of};
use serde_json::{Map, Value};

const KEYS: [&str; 4] = ["path", "unit", "const", "bucket"];
const BUCKET_KEYS: [&str; 3] = ["path", "by", "edges"];
const UNITS: [(&str, Unit); 4] = [("s", Unit::S), ("ms", Unit::Ms), ("us", Unit::Us), ("ns", Unit::Ns)];
const SHAPES: &str =
    "write a path, or one of `{path: ..., unit: ...}`, `{const: ...}` and `{bucket: {path: ..., by: month}}`";

/// What is wrong, and what to do.
pub(super) type Wrong = (String, Option<String>);

pub(super) fn source(value: &Value) -> Result<Source, Wrong> {
    match value {
        Value::String(path) => Ok(Source::Path(path_of(path)?, None)),
        Value::Object(entry) => from_object(entry),
        other => Err((format!("{other} is not a path"), Some(SHAPES.to_owned()))),
    }
}

fn from_object(entry: &Map<String, Value>) -> Result<Source, Wrong> {
    known(entry, &KEYS)?;
    let get = |key: &str| entry.get(key).filter(|value| !value.is_null());
    let unit = get("unit").map(unit_of).transpose()?;
    match (get("path"), get("const"), get("bucket"), unit) {
        (Some(path), None, None, unit) => Ok(Source::Path(path_in(path)?, unit)),
        (None, Some(value), None, None) => Ok(Source::Constant(constant(value)?)),
        (None, None, Some(Value::Object(bucket)), None) => {
            known(bucket, &BUCKET_KEYS)?;
            bucket_of(bucket)
        }
        (None, None, None, None) => {
            Err(("does not say where the value comes from".to_owned(), Some(SHAPES.to_owned())))
        }
        _ => Err(("has more than one source".to_owned(), Some(SHAPES.to_owned()))),
    }
}

fn known(entry: &Map<String, Value>, keys: &[&'static str]) -> Result<(), Wrong> {
    let Some(unknown) = entry.keys().find(|key| !keys.contains(&key.as_str())) else { return Ok(()) };
    let remedy = match closest(unknown, keys.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("use {}", one_of(keys.iter().copied())),
    };
    Err((format!("unknown key `{unknown}`"), Some(remedy)))
}

fn path_of(text: &str) -> Result<Path, Wrong> {
    Path::parse(text).map_err(|problem| (problem, None))
}

fn path_in(value: &Value) -> Result<Path, Wrong> {
    match value {
        Value::String(path) => path_of(path),
        other => Err((format!("{other} is not a path"), Some("write names with dots between them".to_owned()))),
    }
}

fn unit_of(value: &Value) -> Result<Unit, Wrong> {
    let unit = UNITS.iter().find(|(name, _)| value.as_str() == Some(*name));
    let use_one =
        || (format!("{value} is not a unit"), Some(format!("use one of {}", one_of(UNITS.map(|(name, _)| name)))));
    unit.map(|(_, unit)| *unit).ok_or_else(use_one)
}

fn constant(value: &Value) -> Result<Constant, Wrong> {
    Ok(match value {
        Value::Bool(b) => Constant::Bool(*b),
        Value::String(text) => Constant::Text(text.clone()),
        Value::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(integer), _) => Constant::Integer(integer),
            (None, Some(number)) => Constant::Number(number),
            (None, None) => return Err((format!("{n} is out of range"), None)),
        },
        other => {
            return Err((
                format!("{other} is not a constant"),
                Some("write a text, a number, true or false".to_owned()),
            ));
        }
    })
}

fn bucket_of(entry: &Map<String, Value>) -> Result<Source, Wrong> {
    let Some(path) = entry.get("path") else { return Err(("`bucket` has no `path`".to_owned(), None)) };
    let path = path_in(path)?;
    let bucket = match (entry.get("by"), entry.get("edges")) {
        (Some(Value::String(by)), None) if by == "month" => Bucket::Month,
        (Some(by), None) => return Err((format!("{by} is not a bucket"), Some("`by` takes `month`".to_owned()))),
        (None, Some(Value::Array(edges))) => {
            let numbers = edges.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>();
            let Some(numbers) = numbers else { return Err(("`edges` must be a list of numbers".to_owned(), None)) };
            Bucket::by_edges(numbers).map_err(|problem| (problem, None))?
        }
        _ => {
            let remedy = "write `by: month` or `edges: [1, 10, 100]`".to_owned();
            return Err(("`bucket` takes one of `by` and `edges`".to_owned(), Some(remedy)));
        }
    };
    Ok(Source::Bucket(path, bucket))
}
