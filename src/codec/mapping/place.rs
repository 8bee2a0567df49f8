//! A path of a mapping, with its bit in [`Found`].

use super::super::field::Scalar;
use super::super::found::Found;
use super::super::tree::Node;
use super::path::Path;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub path: Path,
    /// None until the whole mapping is known, and past the 128th path.
    pub bit: u128,
}

impl Place {
    pub const fn new(path: Path) -> Place {
        Place { path, bit: 0 }
    }

    /// The node at the path; notes that it was asked, and whether it had a value.
    #[inline]
    pub fn node<'n, 'a>(&self, root: &'n Node<'a>, found: &mut Found) -> Option<&'n Node<'a>> {
        found.asked |= self.bit;
        let node = self.path.find(root)?;
        found.seen |= if matches!(node, Node::Scalar(Scalar::Null)) { 0 } else { self.bit };
        Some(node)
    }

    /// The value at the path; null if it leads nowhere.
    #[inline]
    pub fn scalar<'a>(&self, root: &Node<'a>, found: &mut Found) -> Scalar<'a> {
        self.node(root, found).map_or(Scalar::Null, Node::scalar)
    }
}
