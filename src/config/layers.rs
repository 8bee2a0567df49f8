//! The three layers of a configuration as sources of the `config` crate, which merges them.
//!
//! The file's values keep their types. Values of the environment and of `--set` stay text: the reader of a key knows
//! its type, and shell users need not know YAML's quoting.

use super::error::{Origin, Problem};
use super::yaml::{self, Node, Placed};
use config::{Map, Source, Value, ValueKind};
use std::path::Path;

/// All settings are below one root name, so that the crate never reads a dot in a key as a path.
const ROOT: &str = "settings";
const ENV_PREFIX: &str = "TAILBURN_";
/// Variables that the command line reads; they are not settings.
const ENV_RESERVED: [&str; 8] = [
    "TAILBURN_LOG",
    "TAILBURN_CONFIG",
    // For `fault`.
    "TAILBURN_CRASH_AT",
    // For the scripts in ops/ and the tests.
    "TAILBURN_REQUIRE_BROKER",
    "TAILBURN_NO_INSTALL",
    "TAILBURN_KAFKA_BACKEND",
    "TAILBURN_KAFKA_HEAP",
    "TAILBURN_KAFKA_PORT",
];
/// Mappings whose keys are not ours and may contain dots.
const OPEN_MAPS: [&[&str]; 2] = [&["kafka", "properties"], &["input", "mapping"]];

#[derive(Clone, Debug)]
pub struct FileLayer(Layer);
#[derive(Clone, Debug)]
pub struct EnvLayer(Layer);
#[derive(Clone, Debug)]
pub struct SetLayer(Layer);

/// Values in the order they were given; a later one wins.
type Layer = Vec<(Vec<String>, Value)>;

impl FileLayer {
    pub fn read(file: Option<&Path>, problems: &mut Vec<Problem>) -> FileLayer {
        let Some(file) = file else { return FileLayer(Layer::new()) };
        let origin = Origin::File { line: 0 };
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(e) => {
                let remedy = "`tailburn init` writes a commented one; --config names another.";
                problems.push(Problem::new("", format!("cannot be read: {e}"), remedy).at(origin));
                return FileLayer(Layer::new());
            }
        };
        match yaml::parse(&text) {
            Ok(Placed { node: Node::Map(pairs), .. }) => {
                FileLayer(pairs.iter().map(|(key, line, p)| (vec![key.clone()], value_of(p, *line))).collect())
            }
            Ok(Placed { node: Node::Null, .. }) => FileLayer(Layer::new()),
            Ok(_) => {
                problems.push(Problem::new("", "is not a mapping of keys to values", "").at(origin));
                FileLayer(Layer::new())
            }
            Err(fault) => {
                let origin = Origin::File { line: fault.line.unwrap_or(0) };
                problems.push(Problem::new("", fault.message, sentence(fault.remedy)).at(origin));
                FileLayer(Layer::new())
            }
        }
    }
}

/// Our remedies are full sentences.
fn sentence(remedy: &str) -> String {
    let mut letters = remedy.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

/// The line of a list or mapping is that of its key, because its own is the line of the first item.
fn value_of(placed: &Placed, key_line: u64) -> Value {
    let kind = match &placed.node {
        Node::Null => ValueKind::Nil,
        Node::Bool(b) => ValueKind::Boolean(*b),
        Node::Int(i) => ValueKind::I64(*i),
        Node::Float(f) => ValueKind::Float(*f),
        Node::Text(t) => ValueKind::String(t.clone()),
        Node::List(items) => ValueKind::Array(items.iter().map(|i| value_of(i, i.line)).collect()),
        Node::Map(pairs) => {
            ValueKind::Table(pairs.iter().map(|(k, line, v)| (k.clone(), value_of(v, *line))).collect())
        }
    };
    let nested = matches!(placed.node, Node::List(_) | Node::Map(_));
    let line = if nested || placed.line == 0 { key_line } else { placed.line };
    Value::new(Some(&Origin::File { line }.encode()), kind)
}

impl EnvLayer {
    pub fn read(environment: &[(String, String)], problems: &mut Vec<Problem>) -> EnvLayer {
        let mut ours: Vec<_> = environment.iter().filter(|(name, value)| is_setting(name, value)).collect();
        ours.sort();
        let mut layer = Layer::new();
        for (name, value) in ours {
            let origin = Origin::Env { name: name.clone() };
            let path: Vec<String> =
                name[ENV_PREFIX.len()..].to_ascii_lowercase().split("__").map(str::to_owned).collect();
            match kafka_property(&path) {
                Some((property, true)) => match std::fs::read_to_string(value) {
                    Ok(secret) => layer.push((property, text(secret.trim_end_matches(['\r', '\n']), &origin))),
                    Err(e) => problems
                        .push(Problem::new(property.join("."), format!("{value} cannot be read: {e}"), "").at(origin)),
                },
                Some((property, false)) => layer.push((property, text(value, &origin))),
                None => layer.push((path, text(value, &origin))),
            }
        }
        EnvLayer(layer)
    }
}

/// Container platforms set their own variables for a service named `tailburn` (`TAILBURN_SERVICE_HOST`,
/// `TAILBURN_PORT_8720_TCP`); they are not settings.
fn is_setting(name: &str, value: &str) -> bool {
    let Some(rest) = name.strip_prefix(ENV_PREFIX) else { return false };
    let service_link = !rest.contains("__")
        && (rest.contains("SERVICE_HOST")
            || rest.contains("SERVICE_PORT")
            || rest.contains("PORT_")
            || (rest.ends_with("PORT") && value.contains("://")));
    !ENV_RESERVED.contains(&name) && !service_link
}

/// `KAFKA__PROPERTIES__SASL_PASSWORD[_FILE]` as `kafka.properties.sasl.password`, and whether the value is a file to
/// read it from. This is unambiguous, because no property of librdkafka has an underscore or ends in `.file`.
fn kafka_property(path: &[String]) -> Option<(Vec<String>, bool)> {
    let [kafka, properties, rest @ ..] = path else { return None };
    if kafka != "kafka" || properties != "properties" || rest.is_empty() {
        return None;
    }
    let name = rest.join(".").replace('_', ".");
    let (name, from_file) = match name.strip_suffix(".file") {
        Some(name) => (name.to_owned(), true),
        None => (name, false),
    };
    Some((vec![kafka.clone(), properties.clone(), name], from_file))
}

impl SetLayer {
    pub fn read(sets: &[String], problems: &mut Vec<Problem>) -> SetLayer {
        let mut layer = Layer::new();
        for set in sets {
            match set.split_once('=') {
                Some((key, value)) if !key.trim().is_empty() => {
                    layer.push((path_of(key.trim()), text(value, &Origin::Set)));
                }
                _ => {
                    let message = format!("`{set}` is not key=value");
                    problems.push(Problem::new("", message, "Write --set state.dir=/var/lib/tailburn").at(Origin::Set));
                }
            }
        }
        SetLayer(layer)
    }
}

/// The path of a dotted key; below an open mapping the rest is one name, with its dots.
fn path_of(key: &str) -> Vec<String> {
    let parts: Vec<&str> = key.split('.').collect();
    for open in OPEN_MAPS {
        if parts.len() > open.len() && parts[..open.len()] == *open {
            let mut path: Vec<String> = open.iter().map(|p| (*p).to_owned()).collect();
            path.push(parts[open.len()..].join("."));
            return path;
        }
    }
    parts.into_iter().map(str::to_owned).collect()
}

fn text(value: &str, origin: &Origin) -> Value {
    Value::new(Some(&origin.encode()), value)
}

/// Nests a layer's values, each under its path.
fn nested(layer: &Layer) -> Vec<Map<String, Value>> {
    layer
        .iter()
        .map(|(path, value)| {
            let tree = path.iter().rev().fold(value.clone(), |inner, name| {
                Value::new(inner.origin().map(str::to_owned).as_ref(), Map::from_iter([(name.clone(), inner.clone())]))
            });
            Map::from_iter([(ROOT.to_owned(), tree)])
        })
        .collect()
}

/// One value at a time, so that the crate's merge decides which layer wins.
#[derive(Clone, Debug)]
struct One(Map<String, Value>);

impl Source for One {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.0.clone())
    }
}

/// The merged tree below the root. The merge cannot fail with these sources; if it did, all keys would seem absent, so
/// the error is passed on.
pub fn merge(file: FileLayer, env: EnvLayer, set: SetLayer) -> Result<Map<String, Value>, config::ConfigError> {
    // The file is a single source, because each source costs a walk through all sources before it.
    let of_file: Map<String, Value> =
        file.0.into_iter().filter_map(|(path, value)| Some((path.into_iter().next()?, value))).collect();
    let whole = Map::from_iter([(ROOT.to_owned(), Value::new(None, of_file))]);
    let mut builder = config::Config::builder().add_source(One(whole));
    for layer in [&env.0, &set.0] {
        for tree in nested(layer) {
            builder = builder.add_source(One(tree));
        }
    }
    let merged = builder.build()?;
    match merged.get_table(ROOT) {
        Ok(table) => Ok(table),
        Err(config::ConfigError::NotFound(_)) => Ok(Map::new()),
        Err(e) => Err(e),
    }
}
