//! Suggests an existing path for one that leads nowhere. Only on the cold path.

use super::super::tree::Node;
use super::path::Path;
use crate::model::suggest::closest;

/// How many paths of a record are examined.
const PATHS_MAX: usize = 500;

/// The paths to the values of a record.
pub(super) fn paths(root: &Node<'_>) -> Vec<Path> {
    let mut found = Vec::new();
    walk(root, &Path::root(), &mut found);
    found
}

/// The bounded depth of the tree bounds the recursion.
fn walk(node: &Node<'_>, at: &Path, found: &mut Vec<Path>) {
    if found.len() >= PATHS_MAX {
        return;
    }
    match node {
        Node::Object(members) => members.iter().for_each(|(name, node)| walk(node, &at.member(name), found)),
        Node::Array(items) => (0..).zip(items).for_each(|(index, node)| walk(node, &at.item(index), found)),
        Node::Scalar(_) => found.push(at.clone()),
    }
}

/// Tries a name with a dot that needs quotes, then the same last name elsewhere, then a misspelling.
pub(super) fn nearest(path: &Path, there: &[Path]) -> Option<String> {
    let (text, last) = (path.bare(), path.last());
    let same = there.iter().find(|other| other.bare() == text);
    let same_last = || there.iter().find(|other| last.is_some() && other.last() == last);
    let slip = || {
        let bare: Vec<String> = there.iter().map(Path::bare).collect();
        let meant = closest(&text, bare.iter().map(String::as_str))?;
        there.iter().find(|other| other.bare() == meant)
    };
    same.or_else(same_last).or_else(slip).map(Path::to_string)
}
