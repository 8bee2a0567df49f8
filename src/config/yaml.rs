//! A YAML document as a tree whose every value knows its line.

use crate::model::yaml_fault::{self, YamlFault};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use std::fmt;

/// A node of a YAML document. Numbers keep their type; readers of text print them.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Placed>),
    /// In the file's order, with the line of each key.
    Map(Vec<(String, u64, Placed)>),
}

/// A node and its line, counted from 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    pub node: Node,
    pub line: u64,
}

/// Parses one document; an empty one is null.
pub fn parse(text: &str) -> Result<Placed, YamlFault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#')) {
        return Ok(Placed { node: Node::Null, line: 1 });
    }
    serde_saphyr::from_str_with_options::<Placed>(text, yaml_fault::options()).map_err(|e| YamlFault::of(&e))
}

impl<'de> Deserialize<'de> for Placed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Node>::deserialize(deserializer)?;
        Ok(Placed { node: spanned.value, line: spanned.referenced.line() })
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Int(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Node, E> {
        i64::try_from(value).map(Node::Int).map_err(|_| E::custom(format!("{value} is too large a number")))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut pairs: Vec<(String, u64, Placed)> = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            pairs.push((key.value, key.referenced.line(), map.next_value()?));
        }
        Ok(Node::Map(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_line_of_every_value() {
        let Ok(Placed { node: Node::Map(pairs), .. }) = parse("# hello\na: 1\nb:\n  c: [x, true, ~]\n") else {
            panic!("a mapping");
        };
        assert_eq!((pairs[0].0.as_str(), pairs[0].1, pairs[0].2.line), ("a", 2, 2));
        let Node::Map(inner) = &pairs[1].2.node else { panic!("a mapping") };
        assert_eq!((inner[0].0.as_str(), inner[0].1), ("c", 4));
        let Node::List(items) = &inner[0].2.node else { panic!("a list") };
        let nodes: Vec<_> = items.iter().map(|i| i.node.clone()).collect();
        assert_eq!(nodes, [Node::Text("x".into()), Node::Bool(true), Node::Null]);
    }

    #[test]
    fn says_where_a_document_is_broken() {
        let fault = parse("a: 1\nb: c: d\n").expect_err("broken");
        assert_eq!((fault.line, fault.column.is_some()), (Some(2), true), "{fault:?}");
        assert_eq!(parse("a: 1\na: 2\n").expect_err("twice").message, "the key `a` appears twice");
    }

    #[test]
    fn reads_a_file_of_comments_as_nothing() {
        assert_eq!(parse("# nothing\n\n").map(|p| p.node), Ok(Node::Null));
    }
}
