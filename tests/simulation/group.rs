//! The consumer group: members, their streams, and the committed offsets.
//!
//! It is cooperative and sticky where that matters: a stream moves to another member only after its owner gave it up,
//! or after the owner's session expired.

use crate::dice::Dice;
use std::collections::{BTreeMap, BTreeSet};
use tailburn::log::{Committed, NextOffset, Stream};
use tailburn::model::time::Ms;

pub type MemberId = u32;

/// A member without a heartbeat for this long is expelled.
pub const SESSION_MS: Ms = 10_000;

/// An offset of a transaction, with its metadata.
pub type Offset = (Stream, NextOffset, String);

#[derive(Default)]
struct Member {
    owned: BTreeSet<Stream>,
    target: BTreeSet<Stream>,
    heartbeat_ms: Ms,
    /// This many of its next commits carry an old generation.
    behind: u32,
}

#[derive(Default)]
pub struct Group {
    streams: Vec<Stream>,
    members: BTreeMap<MemberId, Member>,
    next_member: MemberId,
    committed: BTreeMap<Stream, Committed>,
    /// How many streams moved from one member to another.
    pub moved: u64,
    last_owner: BTreeMap<Stream, MemberId>,
}

impl Group {
    pub fn new(streams: Vec<Stream>) -> Group {
        Group { streams, ..Group::default() }
    }

    pub fn join(&mut self, now_ms: Ms) -> MemberId {
        self.next_member += 1;
        self.members.insert(self.next_member, Member { heartbeat_ms: now_ms, ..Member::default() });
        self.deal();
        self.next_member
    }

    pub fn expel(&mut self, member: MemberId) {
        if self.members.remove(&member).is_some() {
            self.deal();
        }
    }

    pub fn expel_all(&mut self) {
        self.members.clear();
    }

    pub fn heartbeat(&mut self, member: MemberId, now_ms: Ms) {
        if let Some(member) = self.members.get_mut(&member) {
            member.heartbeat_ms = now_ms;
        }
    }

    /// Expels the members whose sessions have expired.
    pub fn expire(&mut self, now_ms: Ms) -> usize {
        let is_over = |member: &Member| now_ms - member.heartbeat_ms > SESSION_MS;
        let over: Vec<MemberId> = self.members.iter().filter(|(_, m)| is_over(m)).map(|(id, _)| *id).collect();
        over.iter().for_each(|member| self.expel(*member));
        over.len()
    }

    pub fn is_overdue(&self, member: MemberId, now_ms: Ms) -> bool {
        self.members.get(&member).is_some_and(|member| now_ms - member.heartbeat_ms > SESSION_MS)
    }

    /// Assigns the streams. A member keeps its own, up to its share.
    fn deal(&mut self) {
        let Some(most) = self.streams.len().checked_div(self.members.len()).map(|share| share + 1) else { return };
        let wishes: Vec<(Stream, Option<MemberId>)> = self
            .streams
            .iter()
            .map(|stream| {
                let owner = self.members.iter().find(|(_, member)| member.owned.contains(stream));
                let heir = || self.members.iter().find(|(_, member)| member.target.contains(stream));
                (*stream, owner.or_else(heir).map(|(id, _)| *id))
            })
            .collect();
        self.members.values_mut().for_each(|member| member.target.clear());
        let mut free = Vec::new();
        for (stream, wish) in wishes {
            match wish.and_then(|id| self.members.get_mut(&id)).filter(|member| member.target.len() < most) {
                Some(member) => {
                    member.target.insert(stream);
                }
                None => free.push(stream),
            }
        }
        for stream in free {
            if let Some(member) = self.members.values_mut().min_by_key(|member| member.target.len()) {
                member.target.insert(stream);
            }
        }
    }

    /// Assigns some streams to other members, as if members had joined and left.
    pub fn shuffle(&mut self, dice: &mut Dice) {
        let ids: Vec<MemberId> = self.members.keys().copied().collect();
        for stream in self.streams.clone() {
            if ids.len() > 1 && dice.one_in(3) {
                self.assign(dice.pick(&ids), &[stream]);
            }
        }
    }

    /// Assigns these streams to this member, whoever has them.
    pub fn assign(&mut self, to: MemberId, streams: &[Stream]) {
        self.members.values_mut().for_each(|member| member.target.retain(|stream| !streams.contains(stream)));
        if let Some(member) = self.members.get_mut(&to) {
            member.target.extend(streams);
        }
    }

    /// A partition was added. It is assigned when the next member joins.
    pub fn add(&mut self, stream: Stream) {
        self.streams.push(stream);
    }

    /// The committed offsets of these streams are gone.
    pub fn forget(&mut self, is_one: impl Fn(Stream) -> bool) {
        self.committed.retain(|stream, _| !is_one(*stream));
    }

    /// The next `commits` commits of every member carry an old generation.
    pub fn fall_behind(&mut self, commits: u32) {
        self.members.values_mut().for_each(|member| member.behind = commits);
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// The streams that a member must give up, and those that it may take; `None`: it is no longer a member.
    pub fn asks(&self, member: MemberId) -> Option<(Vec<Stream>, Vec<Stream>)> {
        let of = self.members.get(&member)?;
        let is_free = |stream: &&Stream| !self.members.values().any(|other| other.owned.contains(stream));
        Some((of.owned.difference(&of.target).copied().collect(), of.target.iter().filter(is_free).copied().collect()))
    }

    pub fn take(&mut self, member: MemberId, streams: &[Stream]) {
        for stream in streams {
            if self.last_owner.insert(*stream, member).is_some_and(|last| last != member) {
                self.moved += 1;
            }
        }
        if let Some(of) = self.members.get_mut(&member) {
            of.owned.extend(streams);
        }
    }

    pub fn release(&mut self, member: MemberId, streams: &[Stream]) {
        if let Some(of) = self.members.get_mut(&member) {
            of.owned.retain(|stream| !streams.contains(stream));
        }
    }

    pub fn owner(&self, stream: Stream) -> Option<MemberId> {
        self.members.iter().find(|(_, member)| member.owned.contains(&stream)).map(|(id, _)| *id)
    }

    /// Whether every member has exactly its assigned streams.
    pub fn is_calm(&self) -> bool {
        self.members.values().all(|member| member.owned == member.target && member.behind == 0)
    }

    /// Whether this member may commit now.
    pub fn accepts(&mut self, member: MemberId) -> bool {
        let Some(member) = self.members.get_mut(&member) else { return false };
        let is_behind = member.behind > 0;
        member.behind = member.behind.saturating_sub(1);
        !is_behind
    }

    /// A member polled, and so learnt of the new generation.
    pub fn catch_up(&mut self, member: MemberId) {
        if let Some(member) = self.members.get_mut(&member) {
            member.behind = 0;
        }
    }

    pub fn committed(&self, stream: Stream) -> Option<&Committed> {
        self.committed.get(&stream)
    }

    /// Applies the offsets of a committed transaction; returns the streams whose offset went back.
    pub fn apply(&mut self, offsets: Vec<Offset>) -> Vec<Stream> {
        let mut back = Vec::new();
        for (stream, next, metadata) in offsets {
            let before = self.committed.insert(stream, Committed { next, metadata });
            if before.is_some_and(|before| before.next > next) {
                back.push(stream);
            }
        }
        back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_moves_only_when_it_was_given_up_or_its_owner_is_gone() {
        let streams: Vec<Stream> = (0..4).map(Stream::Input).collect();
        let mut group = Group::new(streams.clone());
        let first = group.join(0);
        assert_eq!(group.asks(first), Some((vec![], streams.clone())));
        group.take(first, &streams);
        let second = group.join(0);
        let (gives_up, _) = group.asks(first).expect("a member");
        assert_eq!((gives_up.len(), group.asks(second)), (1, Some((vec![], vec![]))));
        group.release(first, &gives_up);
        assert_eq!(group.asks(second), Some((vec![], gives_up.clone())));
        group.take(second, &gives_up);
        assert!(group.is_calm());
        group.heartbeat(second, SESSION_MS + 1);
        assert_eq!(group.expire(SESSION_MS + 1), 1);
        assert!(!group.accepts(first) && group.accepts(second));
        assert_eq!(group.asks(second).map(|(_, takes)| takes.len()), Some(3));
    }
}
