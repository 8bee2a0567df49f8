//! The parts of a record that a mapping reads. A gateway's record is mostly messages and answers, which no field takes:
//! they are checked and skipped, not built into a tree.

use super::path::{Path, Step};

/// What is wanted of one value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::codec) struct Wanted {
    /// All that is in it.
    is_whole: bool,
    members: Vec<(String, Wanted)>,
    items: Vec<(usize, Wanted)>,
}

impl Wanted {
    /// Everything.
    pub const fn whole() -> Wanted {
        Wanted { is_whole: true, members: Vec::new(), items: Vec::new() }
    }

    /// What of a member is wanted; `None`: nothing.
    #[inline]
    pub fn member(&self, name: &str) -> Option<&Wanted> {
        if self.is_whole {
            return Some(self);
        }
        self.members.iter().find(|(wanted, _)| wanted == name).map(|(_, wanted)| wanted)
    }

    #[inline]
    pub fn item(&self, index: usize) -> Option<&Wanted> {
        if self.is_whole {
            return Some(self);
        }
        self.items.iter().find(|(wanted, _)| *wanted == index).map(|(_, wanted)| wanted)
    }

    /// Adds the value at a path.
    pub fn add(&mut self, path: &Path) {
        let mut at = self;
        for step in path.steps() {
            at = match step {
                Step::Member(name) => below(&mut at.members, name.clone()),
                Step::Item(index) => below(&mut at.items, *index),
            };
        }
        at.is_whole = true;
    }

    /// Adds a member of the record.
    pub fn add_name(&mut self, name: &str) {
        below(&mut self.members, name.to_owned()).is_whole = true;
    }
}

fn below<K: PartialEq>(all: &mut Vec<(K, Wanted)>, key: K) -> &mut Wanted {
    let at = all.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
        all.push((key, Wanted::default()));
        all.len() - 1
    });
    &mut all[at].1
}
