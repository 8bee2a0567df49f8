//! Parses the sources of a mapping: a path, an object of the keys below, or a list of these.

use super::bucket::Bucket;
use super::change::Change;
use super::constant::Constant;
use super::difference::Difference;
use super::expression;
use super::path::Path;
use super::place::Place;
use super::source::Source;
use super::target::Target;
use super::unit::Unit;
use super::value::{self, Per, Value};
use crate::model::suggest::{closest, one_of};
use serde_json::{Map, Value as Json};

const KEYS: [&str; 10] = ["path", "unit", "const", "bucket", "from", "to", "per", "map", "digits", "absent_if"];
const BUCKET_KEYS: [&str; 3] = ["path", "by", "edges"];
const PER_KEYS: [&str; 2] = ["path", "less"];
const UNITS: [(&str, Unit); 4] = [("s", Unit::S), ("ms", Unit::Ms), ("us", Unit::Us), ("ns", Unit::Ns)];
const SHAPES: &str = "write a path, or one of `{path: ..., unit: ...}`, `{from: ..., to: ...}`, `{const: ...}` and `{bucket: \
                      {path: ..., by: month}}`, or a list of these";
/// More leading digits than these are no status or code.
const DIGITS_MAX: u64 = 18;

/// What is wrong, and what to do.
pub(super) type Wrong = (String, Option<String>);

type Entry = Map<String, Json>;

pub(super) fn source(value: &Json, target: &Target) -> Result<Source, Wrong> {
    let values = match value {
        Json::Array(items) if items.is_empty() => {
            return Err(("the list is empty".to_owned(), Some(SHAPES.to_owned())));
        }
        Json::Array(items) => items.iter().map(|item| one(item, target)).collect::<Result<_, _>>()?,
        other => vec![one(other, target)?],
    };
    Ok(Source { values })
}

fn one(value: &Json, target: &Target) -> Result<Value, Wrong> {
    let value = match value {
        Json::String(path) => {
            let from = value::From::Path { place: place(path)?, absent_if: Vec::new(), change: Change::Kept };
            Value { from, per: None }
        }
        Json::Object(entry) => from_object(entry, target)?,
        Json::Array(_) => return Err(("has a list inside a list".to_owned(), Some("write one list".to_owned()))),
        Json::Bool(_) => return Err(no_path(value)),
        other => return Err((format!("{other} is not a path"), Some(SHAPES.to_owned()))),
    };
    if let value::From::Constant(constant) = &value.from {
        target.check_constant("const", constant.scalar())?;
    } else if target.is_map() && value.plain_path().is_none() {
        return Err((format!("`{target}` as a whole takes a path alone"), Some(format!("write `{target}.NAME: ...`"))));
    }
    Ok(value)
}

fn get<'e>(entry: &'e Entry, key: &str) -> Option<&'e Json> {
    entry.get(key).filter(|value| !value.is_null())
}

fn from_object(entry: &Entry, target: &Target) -> Result<Value, Wrong> {
    known(entry, &KEYS)?;
    let has = |key: &str| get(entry, key).is_some();
    let sources = [has("path"), has("const"), has("bucket"), has("from") || has("to")];
    match sources.iter().filter(|is_there| **is_there).count() {
        0 => return Err(("does not say where the value comes from".to_owned(), Some(SHAPES.to_owned()))),
        1 => {}
        _ => return Err(("has more than one source".to_owned(), Some(SHAPES.to_owned()))),
    }
    check_companions(entry, target)?;
    let unit = get(entry, "unit").map(unit_of).transpose()?;
    let from = if let Some(path) = get(entry, "path") {
        let absent_if = get(entry, "absent_if").map(constants).transpose()?.unwrap_or_default();
        value::From::Path { place: place_in(path)?, absent_if, change: change(entry, unit, target)? }
    } else if let Some(value) = get(entry, "const") {
        value::From::Constant(constant(value)?)
    } else if let Some(bucket) = get(entry, "bucket") {
        bucket_of(bucket)?
    } else {
        value::From::Difference(difference(entry, unit, target)?)
    };
    Ok(Value { from, per: get(entry, "per").map(|per| per_of(per, target)).transpose()? })
}

/// Which keys may stand beside which.
fn check_companions(entry: &Entry, target: &Target) -> Result<(), Wrong> {
    let has = |key: &str| get(entry, key).is_some();
    let beside = |key: &str, sources: &[&str]| {
        if !has(key) || sources.iter().any(|source| has(source)) {
            return Ok(());
        }
        let sources: Vec<String> = sources.iter().map(|source| format!("`{source}`")).collect();
        Err((format!("`{key}` belongs beside {}", sources.join(" or ")), None))
    };
    beside("unit", &["path", "from"])?;
    beside("per", &["path", "from"])?;
    beside("map", &["path"])?;
    beside("digits", &["path"])?;
    beside("absent_if", &["path"])?;
    if has("from") != has("to") {
        let (there, missing) = if has("from") { ("from", "to") } else { ("to", "from") };
        return Err((format!("`{there}` has no `{missing}`"), Some("a difference is `to` less `from`".to_owned())));
    }
    let changes: Vec<&str> = ["unit", "map", "digits"].into_iter().filter(|key| has(key)).collect();
    if let [first, second, ..] = changes[..] {
        return Err((format!("has `{first}` and `{second}`"), Some("keep one of them".to_owned())));
    }
    if has("unit") && !target.is_time() && !target.is_duration() {
        let problem = "`unit` belongs to `timestamp`, `latency_ms` and measures whose name ends in `_ms`";
        return Err((problem.to_owned(), None));
    }
    if has("from") && target.is_time() {
        return Err(("a difference is no time".to_owned(), Some("write the path of a time".to_owned())));
    }
    Ok(())
}

fn known(entry: &Entry, keys: &[&'static str]) -> Result<(), Wrong> {
    let Some(unknown) = entry.keys().find(|key| !keys.contains(&key.as_str())) else { return Ok(()) };
    let remedy = match closest(unknown, keys.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("use {}", one_of(keys.iter().copied())),
    };
    Err((format!("unknown key `{unknown}`"), Some(remedy)))
}

fn place(text: &str) -> Result<Place, Wrong> {
    expression::refuse(text)?;
    Path::parse(text).map(Place::new).map_err(|problem| (problem, None))
}

fn place_in(value: &Json) -> Result<Place, Wrong> {
    match value {
        Json::String(path) => place(path),
        other => Err(no_path(other)),
    }
}

fn no_path(value: &Json) -> Wrong {
    let remedy = if value.is_boolean() {
        "YAML reads y, n, yes, no, on and off as true and false: quote the name"
    } else {
        "write names with dots between them"
    };
    (format!("{value} is not a path"), Some(remedy.to_owned()))
}

fn unit_of(value: &Json) -> Result<Unit, Wrong> {
    let unit = UNITS.iter().find(|(name, _)| value.as_str() == Some(*name));
    let use_one =
        || (format!("{value} is not a unit"), Some(format!("use one of {}", one_of(UNITS.map(|(name, _)| name)))));
    unit.map(|(_, unit)| *unit).ok_or_else(use_one)
}

fn change(entry: &Entry, unit: Option<Unit>, target: &Target) -> Result<Change, Wrong> {
    if let Some(unit) = unit {
        return Ok(if target.is_time() { Change::Time(unit) } else { Change::Duration(unit) });
    }
    if let Some(map) = get(entry, "map") {
        return map_of(map, target);
    }
    let Some(digits) = get(entry, "digits") else { return Ok(Change::Kept) };
    match digits.as_u64().filter(|count| (1..=DIGITS_MAX).contains(count)) {
        Some(count) => Ok(Change::Digits(count as usize)),
        None => Err((format!("`digits` must be a number from 1 to {DIGITS_MAX}, and is {digits}"), None)),
    }
}

fn map_of(value: &Json, target: &Target) -> Result<Change, Wrong> {
    let pairs = value.as_object().filter(|pairs| !pairs.is_empty());
    let Some(pairs) = pairs else {
        let remedy = "write `map: {success: 200, failure: 500}`".to_owned();
        return Err(("`map` must say what values mean".to_owned(), Some(remedy)));
    };
    let pair = |(text, value): (&String, &Json)| {
        let constant = constant(value)?;
        target.check_constant(&format!("map.{text}"), constant.scalar())?;
        Ok((text.clone(), constant))
    };
    Ok(Change::Map(pairs.iter().map(pair).collect::<Result<_, Wrong>>()?))
}

fn difference(entry: &Entry, unit: Option<Unit>, target: &Target) -> Result<Difference, Wrong> {
    let side = |key: &str| get(entry, key).map_or_else(|| Err((format!("`{key}` is missing"), None)), place_in);
    Ok(Difference { from: side("from")?, to: side("to")?, unit, of_times: target.is_duration() })
}

fn per_of(value: &Json, target: &Target) -> Result<Per, Wrong> {
    if !target.is_number() {
        return Err(("`per` belongs to `latency_ms`, `weight` and measures".to_owned(), None));
    }
    let entry = match value {
        Json::String(path) => return Ok(Per { place: place(path)?, less: 0.0 }),
        Json::Object(entry) => entry,
        other => return Err((format!("`per` is {other}"), Some("write `per: {path: COUNT, less: 1}`".to_owned()))),
    };
    known(entry, &PER_KEYS)?;
    let Some(path) = get(entry, "path") else { return Err(("`per` has no `path`".to_owned(), None)) };
    let less = match get(entry, "less") {
        None => 0.0,
        Some(less) => less.as_f64().ok_or_else(|| (format!("`less` must be a number, and is {less}"), None))?,
    };
    Ok(Per { place: place_in(path)?, less })
}

/// One constant, or several in a list.
fn constants(value: &Json) -> Result<Vec<Constant>, Wrong> {
    match value {
        Json::Array(items) => items.iter().map(constant).collect(),
        other => constant(other).map(|constant| vec![constant]),
    }
}

fn constant(value: &Json) -> Result<Constant, Wrong> {
    Ok(match value {
        Json::Bool(b) => Constant::Bool(*b),
        Json::String(text) => Constant::Text(text.clone()),
        Json::Number(n) => match (n.as_i64(), n.as_f64()) {
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

fn bucket_of(value: &Json) -> Result<value::From, Wrong> {
    let Some(entry) = value.as_object() else {
        return Err((format!("{value} is not a bucket"), Some("write `{path: ..., by: month}`".to_owned())));
    };
    known(entry, &BUCKET_KEYS)?;
    let Some(path) = entry.get("path") else { return Err(("`bucket` has no `path`".to_owned(), None)) };
    let place = place_in(path)?;
    let bucket = match (entry.get("by"), entry.get("edges")) {
        (Some(Json::String(by)), None) if by == "month" => Bucket::Month,
        (Some(by), None) => return Err((format!("{by} is not a bucket"), Some("`by` takes `month`".to_owned()))),
        (None, Some(Json::Array(edges))) => {
            let numbers = edges.iter().map(Json::as_f64).collect::<Option<Vec<f64>>>();
            let Some(numbers) = numbers else { return Err(("`edges` must be a list of numbers".to_owned(), None)) };
            Bucket::by_edges(numbers).map_err(|problem| (problem, None))?
        }
        _ => {
            let remedy = "write `by: month` or `edges: [1, 10, 100]`".to_owned();
            return Err(("`bucket` takes one of `by` and `edges`".to_owned(), Some(remedy)));
        }
    };
    Ok(value::From::Path { place, absent_if: Vec::new(), change: Change::Bucket(bucket) })
}
