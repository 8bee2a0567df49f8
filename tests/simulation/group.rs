//! The consumer group: members, generations, who has which stream, and the committed offsets.
//!
//! One member has everything today; dealing to several is here already, so that a second one can join.

use std::collections::{BTreeMap, BTreeSet};
use tailburn::log::{Committed, NextOffset, Stream};

pub type MemberId = u32;

/// An offset of a transaction, with its metadata.
pub type Offset = (Stream, NextOffset, String);

#[derive(Default)]
pub struct Group {
    streams: Vec<Stream>,
    /// Goes up whenever a member comes or goes; a commit of an earlier one is refused.
    pub generation: u32,
    members: BTreeMap<MemberId, BTreeSet<Stream>>,
    next_member: MemberId,
    committed: BTreeMap<Stream, Committed>,
    /// Every offset that was ever committed, in order.
    pub history: Vec<Offset>,
}

impl Group {
    pub fn new(streams: Vec<Stream>) -> Group {
        Group { streams, ..Group::default() }
    }

    pub fn join(&mut self) -> MemberId {
        self.next_member += 1;
        self.members.insert(self.next_member, BTreeSet::new());
        self.deal();
        self.next_member
    }

    pub fn leave(&mut self, member: MemberId) {
        if self.members.remove(&member).is_some() {
            self.deal();
        }
    }

    /// The sessions of members that are no longer heard run out.
    pub fn expel_all(&mut self) {
        self.members.clear();
        self.generation += 1;
    }

    fn deal(&mut self) {
        self.generation += 1;
        let count = self.members.len().max(1);
        for (index, owned) in self.members.values_mut().enumerate() {
            let of_member = self.streams.iter().enumerate().filter(|(i, _)| i % count == index);
            *owned = of_member.map(|(_, stream)| *stream).collect();
        }
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The streams of a member; `None`: it is none any more.
    pub fn assigned(&self, member: MemberId) -> Option<&BTreeSet<Stream>> {
        self.members.get(&member)
    }

    /// Whether a member of this generation may commit.
    pub fn accepts(&self, member: MemberId, generation: u32) -> bool {
        generation == self.generation && self.members.contains_key(&member)
    }

    pub fn committed(&self, stream: Stream) -> Option<&Committed> {
        self.committed.get(&stream)
    }

    /// Makes the offsets of a committed transaction count; says which of them go back.
    pub fn apply(&mut self, offsets: Vec<Offset>) -> Vec<Stream> {
        let mut back = Vec::new();
        for (stream, next, metadata) in offsets {
            let before = self.committed.insert(stream, Committed { next, metadata: metadata.clone() });
            if before.is_some_and(|before| before.next > next) {
                back.push(stream);
            }
            self.history.push((stream, next, metadata));
        }
        back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_dealt_to_all_members_and_a_former_generation_is_refused() {
        let streams = (0..3).map(Stream::Input).collect();
        let mut group = Group::new(streams);
        let first = group.join();
        let generation = group.generation;
        assert_eq!(group.assigned(first).map(BTreeSet::len), Some(3));
        let second = group.join();
        assert_eq!(group.assigned(first).map(BTreeSet::len), Some(2));
        assert_eq!(group.assigned(second), Some(&BTreeSet::from([Stream::Input(1)])));
        assert!(!group.accepts(first, generation) && group.accepts(first, group.generation));
        group.leave(first);
        assert_eq!(group.assigned(second).map(BTreeSet::len), Some(3));
        assert!(group.assigned(first).is_none() && !group.accepts(first, group.generation));
    }
}
