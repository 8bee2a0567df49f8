//! The partitions that the group gave to this worker, and what the group still waits for. It does no IO:
//! [`super::consumer`] calls librdkafka.
//!
//! A rebalance takes two polls. The first tells the worker what changed; the second assigns or unassigns the
//! partitions. In between the worker commits what it gives up, or moves the offset at which it starts.

use super::dispatch::Position;
use crate::log::{NextOffset, Stream};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Assigned {
    /// What we own. A revoked stream stays ours until it is unassigned.
    positions: BTreeMap<Stream, Position>,
    pending: Option<Pending>,
    paused: Vec<Stream>,
    /// Ours, paused since they were assigned, and therefore not fetched yet: where to start.
    deferred: BTreeMap<Stream, NextOffset>,
}

/// What the group waits for. It is carried out at the next poll.
enum Pending {
    /// With the offsets at which to start.
    Assign(BTreeMap<Stream, NextOffset>),
    Unassign(Vec<Stream>),
}

/// What librdkafka has to do for the group.
#[derive(Debug, PartialEq, Eq)]
pub enum AssignmentChange {
    Assign(BTreeMap<Stream, NextOffset>),
    Unassign {
        streams: Vec<Stream>,
        /// Those among them that are paused.
        paused: Vec<Stream>,
    },
}

impl Assigned {
    pub fn owns(&self, stream: Stream) -> bool {
        self.positions.contains_key(&stream)
    }

    pub fn positions_mut(&mut self) -> &mut BTreeMap<Stream, Position> {
        &mut self.positions
    }

    /// The group gave us streams.
    pub fn add(&mut self, starts: BTreeMap<Stream, NextOffset>) {
        self.positions.extend(starts.iter().map(|(stream, next)| (*stream, Position::at(*next))));
        self.pending = Some(Pending::Assign(starts));
    }

    /// The group took streams away.
    pub fn revoke(&mut self, streams: Vec<Stream>) {
        self.pending = Some(Pending::Unassign(streams));
    }

    /// Carries out what the group waits for. `None`: it waits for nothing.
    pub fn take_change(&mut self) -> Option<AssignmentChange> {
        match self.pending.take()? {
            Pending::Assign(starts) => {
                // A paused stream is not fetched at all before it is resumed: a partition that is fetched, paused and
                // then moved may continue after records that nobody received.
                let (paused, started) = starts.into_iter().partition(|(stream, _)| self.paused.contains(stream));
                self.deferred.extend::<BTreeMap<Stream, NextOffset>>(paused);
                Some(AssignmentChange::Assign(started))
            }
            Pending::Unassign(all) => {
                let deferred = &mut self.deferred;
                let streams: Vec<Stream> =
                    all.iter().copied().filter(|stream| deferred.remove(stream).is_none()).collect();
                let paused = streams.iter().copied().filter(|stream| self.paused.contains(stream)).collect();
                self.positions.retain(|stream, _| !all.contains(stream));
                self.paused.retain(|stream| !all.contains(stream));
                Some(AssignmentChange::Unassign { streams, paused })
            }
        }
    }

    /// The streams that are fetched, each with the offset at which to continue.
    pub fn fetched(&self) -> impl Iterator<Item = (Stream, NextOffset)> {
        let fetched = self.positions.iter().filter(|(stream, _)| !self.deferred.contains_key(stream));
        fetched.map(|(stream, position)| (*stream, position.next))
    }

    /// Moves the start of a stream that is not fetched yet. `false`: it is fetched, so librdkafka has to seek.
    pub fn move_start(&mut self, stream: Stream, next: NextOffset) -> bool {
        match &mut self.pending {
            Some(Pending::Assign(starts)) if starts.contains_key(&stream) => {
                starts.insert(stream, next);
                true
            }
            // It is never read again, so there is nothing to move.
            Some(Pending::Unassign(streams)) if streams.contains(&stream) => true,
            _ if self.deferred.contains_key(&stream) => {
                self.deferred.insert(stream, next);
                true
            }
            _ => false,
        }
    }

    pub fn set_next(&mut self, stream: Stream, next: NextOffset) {
        if let Some(position) = self.positions.get_mut(&stream) {
            position.next = next;
        }
    }

    pub fn set_committed(&mut self, stream: Stream, next: NextOffset) {
        if let Some(position) = self.positions.get_mut(&stream) {
            position.committed = next;
        }
    }

    /// The offsets to which an abort returns.
    pub fn committed(&self) -> Vec<(Stream, NextOffset)> {
        self.positions.iter().map(|(stream, position)| (*stream, position.committed)).collect()
    }

    /// Pauses streams, and returns those that librdkafka has to pause.
    pub fn pause(&mut self, streams: &[Stream]) -> Vec<Stream> {
        self.paused.retain(|stream| !streams.contains(stream));
        self.paused.extend(streams);
        self.without_unassigned(streams)
    }

    /// Resumes streams, and returns those that librdkafka has to resume.
    pub fn resume(&mut self, streams: &[Stream]) -> Vec<Stream> {
        self.paused.retain(|stream| !streams.contains(stream));
        self.without_unassigned(streams)
    }

    /// Those of these streams that were deferred, with their starts: they are fetched from now on.
    pub fn take_deferred(&mut self, streams: &[Stream]) -> BTreeMap<Stream, NextOffset> {
        streams.iter().filter_map(|stream| Some((*stream, self.deferred.remove(stream)?))).collect()
    }

    /// The streams that librdkafka knows already.
    fn without_unassigned(&self, streams: &[Stream]) -> Vec<Stream> {
        let pending = match &self.pending {
            Some(Pending::Assign(starts)) => Some(starts),
            _ => None,
        };
        let is_pending = |stream: &Stream| pending.is_some_and(|starts| starts.contains_key(stream));
        streams.iter().copied().filter(|stream| !self.deferred.contains_key(stream) && !is_pending(stream)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Stream = Stream::Input(0);
    const B: Stream = Stream::Input(1);

    fn starts(all: &[(Stream, i64)]) -> BTreeMap<Stream, NextOffset> {
        all.iter().map(|(stream, next)| (*stream, NextOffset(*next))).collect()
    }

    #[test]
    fn a_start_can_be_moved_until_the_stream_is_fetched() {
        let mut assigned = Assigned::default();
        assigned.add(starts(&[(A, 5), (B, 7)]));
        assert!(assigned.move_start(A, NextOffset(6)));
        assert_eq!(assigned.take_change(), Some(AssignmentChange::Assign(starts(&[(A, 6), (B, 7)]))));
        assert!(!assigned.move_start(A, NextOffset(1)), "librdkafka has to seek");
        assert_eq!(assigned.take_change(), None);
    }

    #[test]
    fn a_stream_that_is_paused_before_it_is_fetched_starts_when_it_is_resumed() {
        let mut assigned = Assigned::default();
        assigned.add(starts(&[(A, 5), (B, 7)]));
        assert_eq!(assigned.pause(&[A]), [], "librdkafka does not know it yet");
        assert_eq!(assigned.take_change(), Some(AssignmentChange::Assign(starts(&[(B, 7)]))));
        assert_eq!(assigned.fetched().collect::<Vec<_>>(), [(B, NextOffset(7))]);
        assert!(assigned.move_start(A, NextOffset(9)));
        assert_eq!(assigned.resume(&[A, B]), [B]);
        assert_eq!(assigned.take_deferred(&[A, B]), starts(&[(A, 9)]));
        assert_eq!(assigned.pause(&[A]), [A]);
    }

    #[test]
    fn a_revoked_stream_is_ours_until_it_is_unassigned() {
        let mut assigned = Assigned::default();
        assigned.add(starts(&[(A, 5), (B, 7)]));
        assigned.pause(&[B]);
        assigned.take_change();
        assigned.revoke(vec![A, B]);
        assert!(assigned.owns(A) && assigned.owns(B));
        let change = assigned.take_change();
        assert_eq!(
            change,
            Some(AssignmentChange::Unassign { streams: vec![A], paused: vec![] }),
            "B was never fetched"
        );
        assert!(!assigned.owns(A) && !assigned.owns(B));
        assigned.add(starts(&[(B, 8)]));
        assert_eq!(assigned.take_change(), Some(AssignmentChange::Assign(starts(&[(B, 8)]))), "it is no longer paused");
    }

    /// Otherwise the partition would be silent when it comes back.
    #[test]
    fn a_paused_stream_that_is_unassigned_has_to_be_resumed() {
        let mut assigned = Assigned::default();
        assigned.add(starts(&[(A, 5)]));
        assigned.take_change();
        assert_eq!(assigned.pause(&[A]), [A]);
        assigned.revoke(vec![A]);
        assert_eq!(assigned.take_change(), Some(AssignmentChange::Unassign { streams: vec![A], paused: vec![A] }));
    }
}
