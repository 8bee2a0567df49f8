//! A record as a tree of borrowed values, for a mapping.
//!
//! Only mapped input pays for it. The depth is bounded when a tree is built, so dropping it is safe.

use super::field::{Field, Scalar};
use super::gather::Gathered;
use super::limits::FieldLimits;
use std::borrow::Cow;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node<'a> {
    Scalar(Scalar<'a>),
    Array(Vec<Node<'a>>),
    /// In the record's order; of several members with one name the last counts.
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

    /// The value in the form for a field. Texts stay borrowed.
    pub fn scalar(&self) -> Scalar<'a> {
        match self {
            Node::Scalar(value) => value.clone(),
            Node::Array(_) | Node::Object(_) => Scalar::Other,
        }
    }

    /// Passes the value to a field; to a map member by member.
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
