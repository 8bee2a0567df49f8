//! The source of a mapped field: one value, or a list of which the first that gives a value counts.

use super::super::field::{Field, Scalar};
use super::super::found::Found;
use super::super::gather::Gathered;
use super::super::limits::FieldLimits;
use super::super::tree::Node;
use super::place::Place;
use super::target::{Gives, Target};
use super::value::Value;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Source {
    /// At least one.
    pub values: Vec<Value>,
}

impl Source {
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.values.iter().flat_map(Value::places)
    }

    pub fn places_mut(&mut self) -> impl Iterator<Item = &mut Place> {
        self.values.iter_mut().flat_map(Value::places_mut)
    }

    /// Sets the target to its value in a record, or clears it.
    #[inline]
    pub fn give<'a>(
        &'a self,
        root: &Node<'a>,
        target: &'a Target,
        out: &mut Gathered<'a>,
        limits: &FieldLimits,
        found: &mut Found,
    ) {
        match (target, self.values.as_slice()) {
            (Target::Field(field @ (Field::Measures | Field::Attributes)), _) => {
                self.give_map(root, *field, out, limits, found);
            }
            (_, [only]) => target.put(only.scalar(root, found), out, limits),
            (_, values) => target.put(first(values, root, target, found), out, limits),
        }
    }

    /// `measures` and `attributes` as a whole come from the first object.
    fn give_map<'a>(
        &'a self,
        root: &Node<'a>,
        field: Field,
        out: &mut Gathered<'a>,
        limits: &FieldLimits,
        found: &mut Found,
    ) {
        let mut nodes = self.values.iter().filter_map(Value::plain_path).filter_map(|place| place.node(root, found));
        let mut last = None;
        let object = nodes.find(|node| {
            last = Some(*node);
            matches!(node, Node::Object(_))
        });
        match object.or(last) {
            Some(node) => node.give(field, out, limits),
            None => out.set(field, Scalar::Null),
        }
    }
}

/// The first value that the target can take and that is not empty. Where there is none: the first that it cannot take,
/// so that it is told, or nothing.
fn first<'a>(values: &'a [Value], root: &Node<'a>, target: &Target, found: &mut Found) -> Scalar<'a> {
    let mut unreadable = Scalar::Null;
    for value in values {
        let scalar = value.scalar(root, found);
        match target.gives(&scalar) {
            Gives::Value => return scalar,
            Gives::Unreadable if unreadable == Scalar::Null => unreadable = scalar,
            Gives::Unreadable | Gives::Nothing => {}
        }
    }
    unreadable
}
