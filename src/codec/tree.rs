//! A record as a tree of borrowed values: what a mapping walks in.
//!
//! Only mapped input pays for it. Depth is bounded where a tree is built, so dropping one is too.

use super::FieldLimits;
use super::field::{Field, Scalar};
use super::gather::Gathered;
use std::borrow::Cow;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node<'a> {
    Scalar(Scalar<'a>),
    Array(Vec<Node<'a>>),
    /// In the record's order; the last of several members of one name counts.
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

impl<'a> Node<'a> {
    pub fn member(&self, name: &str) -> Option<&Node<'a>> {
        match self {
            Node::Object(members) => members.iter().rev().find(|(n, _)| n == name).map(|(_, node)| node),
            _ => None,
        }
    }

    pub fn item(&self, index: usize) -> Option<&Node<'a>> {
        match self {
            Node::Array(items) => items.get(index),
            _ => None,
        }
    }

    /// The value as a field takes it. Texts of the record stay borrowed.
    pub fn scalar(&self) -> Scalar<'a> {
        match self {
            Node::Scalar(value) => value.clone(),
            Node::Array(_) | Node::Object(_) => Scalar::Other,
        }
    }

    /// Hands the value to a field, member by member where the field is a map.
    pub fn give(&self, field: Field, out: &mut Gathered<'a>, limits: &FieldLimits) {
        match (field, self) {
            (Field::Measures, Node::Object(members)) => {
                out.begin(field);
                members.iter().for_each(|(name, node)| out.measure(name.clone(), node.scalar(), limits));
            }
            (Field::Attributes, Node::Object(members)) => {
                out.begin(field);
                members.iter().for_each(|(name, node)| out.attribute(name.clone(), node.scalar(), limits));
            }
            _ => out.set(field, self.scalar()),
        }
    }
}
