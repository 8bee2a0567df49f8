//! How a users task takes blocks of verdicts.

use super::block::{self, BlockError, Event, Head};
use super::grouping::{self, OPERATION};
use super::intern::NONE;
use super::key_ref::is_local;
use super::sequence::{self, SequenceError};
use super::users::{PendingVerdict, UsersTask};
use crate::model::time::Ms;
use crate::model::tuple::Pairs;
use crate::operator::classify::Verdict;

/// Maps a block's numbers of SLOs, tenants and tuples to the task's numbers.
struct Numbers {
    /// `None`: the task has no such SLO.
    slos: Vec<Option<usize>>,
    tenants: Vec<u32>,
    tuples: Vec<u32>,
    operations: Vec<u32>,
    /// The group for each tuple and SLO, computed on first use.
    groups: Vec<Option<u32>>,
}

/// Checks that a block continues where the source's last received block ended (`received`).
fn follow(received: Option<i64>, has_received_all: bool, head: &Head<'_>) -> Result<(), SequenceError> {
    if received.is_some_and(|next| head.first_offset < next) {
        return Err(SequenceError::Duplicate);
    }
    sequence::follows(head.source, head.follows, received, has_received_all)
}

impl UsersTask {
    /// Takes the block at `offset` of the task's stream. [`BlockError::SequenceError`]: it is not the next block of its
    /// source, so all further figures would be wrong.
    pub fn apply_block(&mut self, offset: i64, bytes: &[u8]) -> Result<(), BlockError> {
        let (head, mut rest) = block::open(bytes)?;
        // If blocks of unknown sources were ignored, T would advance without them, and their events would be late.
        let source = self.sources.get_mut(head.source as usize);
        let source = source.ok_or(BlockError::UnknownSource(head.source))?;
        follow(source.next_offset, self.has_received_all, &head)?;
        source.next_offset = Some(head.next_offset);
        // During a replay, a source that did not exist yet is passed over until its first block.
        source.watermark.take_up();
        let mut numbers = self.numbers(&head);
        for _ in 0..head.events {
            let event = head.next_event(&mut rest)?;
            self.counts.outcomes += u64::from(!event.is_in_maintenance());
            if self.closed_ms.is_none_or(|closed| event.boundary_ms > closed) {
                self.take(offset, &event, &head, &mut numbers);
            } else if self.loaded_ms.is_none_or(|loaded| event.boundary_ms > loaded) {
                // The source's watermark had promised that there would be no more events for this boundary.
                return Err(SequenceError::Duplicate.into());
            }
        }
        self.observe(&head);
        Ok(())
    }

    fn numbers(&mut self, head: &Head<'_>) -> Numbers {
        let own = |filters: &u64| self.slos.iter().position(|rows| rows.filters.0 == *filters);
        Numbers {
            slos: head.slos.iter().map(own).collect(),
            tenants: head.tenants.iter().map(|tenant| self.tenants.intern(tenant.as_bytes())).collect(),
            tuples: head.tuples.iter().map(|tuple| self.tuples.intern(grouping::taken_apart(tuple).1)).collect(),
            operations: head
                .tuples
                .iter()
                .map(|tuple| self.operation_of(grouping::taken_apart(tuple).0[OPERATION]))
                .collect(),
            groups: vec![None; head.tuples.len() * self.slos.len()],
        }
    }

    fn take(&mut self, offset: i64, event: &Event<'_>, head: &Head<'_>, numbers: &mut Numbers) {
        let watermark = self.sources.get(head.source as usize).map(|s| s.watermark).unwrap_or_default();
        self.beginnings.note(event.boundary_ms, offset, watermark);
        if !self.has_begun {
            self.begin_by(event.boundary_ms);
        }
        self.counts.late += u64::from(event.is_late && !event.is_in_maintenance());
        let tenant = numbers.tenants.get(event.tenant as usize).copied().unwrap_or(NONE);
        let tuple = numbers.tuples.get(event.tuple as usize).copied().unwrap_or(NONE);
        let user = event.user.map_or(NONE, |name| self.pending_user(tenant, name, event.boundary_ms));
        let tuple = if user == NONE && !self.asks_for_attributes() { NONE } else { tuple };
        let operation = numbers.operations.get(event.tuple as usize).copied().unwrap_or(NONE);
        let failure = event.example.as_ref().map_or(NONE, |example| self.failures.number(example));
        for (number, verdict) in event.verdicts() {
            let Some(slo) = numbers.slos.get(number).copied().flatten() else { continue };
            // Of a maintenance, the intake has counted it.
            if !verdict.is_excluded() {
                self.counts.note(verdict);
            }
            let group = self.group_in(slo, event, head, numbers);
            let waiting = PendingVerdict {
                time_ms: event.time_ms,
                weight_micros: event.weight_micros,
                user,
                tenant,
                tuple,
                operation,
                failure: if verdict == Verdict::Bad { failure } else { NONE },
                group,
                slo: slo as u32,
                latency: event.latency,
                verdict,
                is_late: event.is_late,
                extra: NONE,
            };
            self.hold_back(event.boundary_ms, waiting, event.extra(number), event.example.as_ref());
        }
    }

    fn group_in(&mut self, slo: usize, event: &Event<'_>, head: &Head<'_>, numbers: &mut Numbers) -> u32 {
        if self.slos[slo].slo.group_by.is_empty() {
            return NONE;
        }
        let tuple = event.tuple as usize;
        let known = numbers.groups.get_mut(tuple * self.slos.len() + slo);
        if let Some(Some(group)) = known {
            return *group;
        }
        let (fields, attributes) = grouping::taken_apart(head.tuples.get(tuple).copied().unwrap_or_default());
        let attribute = |name: &str| Pairs::of(attributes).find(|(n, _)| *n == name).map(|(_, value)| value);
        let value = |name: &str| grouping::field(&fields, name).unwrap_or_else(|| attribute(name));
        self.slos[slo].group_text(&mut self.scratch, value);
        let group = self.code_of_text(slo, event.boundary_ms);
        if let Some(slot) = known.filter(|_| !is_local(group)) {
            *slot = Some(group);
        }
        group
    }

    /// Takes the watermark that the block carries.
    fn observe(&mut self, head: &Head<'_>) {
        if let Some(to_ms) = head.watermark_ms {
            self.raise_to(head.source, to_ms, head.is_incomplete);
        }
    }

    /// Raises a source's watermark to `to_ms`. `is_incomplete`: although it has unread records.
    pub fn raise_to(&mut self, source: u32, to_ms: Ms, is_incomplete: bool) {
        let out_of_orderness_ms = self.settings.out_of_orderness_ms;
        let Some(source) = self.sources.get_mut(source as usize) else { return };
        let from_ms = source.watermark.at_ms(out_of_orderness_ms);
        source.watermark.raise_to(to_ms, is_incomplete);
        if is_incomplete && from_ms.is_none_or(|from| from < to_ms) {
            source.incomplete.push_back((from_ms.unwrap_or(Ms::MIN), to_ms));
        }
    }

    /// The task's only source has no unread records.
    pub fn caught_up(&mut self) {
        self.sources.iter_mut().for_each(|source| source.watermark.caught_up());
    }

    /// Whether T passed a boundary without waiting for a source with unread records.
    pub(super) fn is_incomplete(&self, at_ms: Ms) -> bool {
        self.sources.iter().any(|s| s.incomplete.iter().any(|(from_ms, to_ms)| *from_ms < at_ms && at_ms <= *to_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::block::{BlockWriter, Sealing};

    #[test]
    fn a_block_follows_the_one_before_it() {
        let mut writer = BlockWriter::default();
        let mut block = |next_offset| {
            let sealing = Sealing { source: 1, next_offset, watermark_ms: None, is_incomplete: false, slos: &[] };
            writer.seal(&sealing, |_| "", |_| b"").expect("sealed")
        };
        let blocks = [10, 20, 30].map(&mut block);
        let head = |at: usize| block::open(&blocks[at]).expect("a block").0;
        assert_eq!(follow(None, true, &head(0)), Ok(()), "its first");
        assert_eq!(follow(None, false, &head(1)), Ok(()), "the task began to read behind the first");
        assert_eq!(follow(Some(10), true, &head(1)), Ok(()));
        let missing = |from, received| Err(SequenceError::Gap { sender: 1, from, received });
        assert_eq!(follow(None, true, &head(1)), missing(Some(10), None));
        assert_eq!(follow(Some(10), false, &head(2)), missing(Some(20), Some(10)));
        assert_eq!(follow(Some(5), true, &head(0)), missing(None, Some(5)));
        assert_eq!(follow(Some(30), true, &head(1)), Err(SequenceError::Duplicate));
    }
}
