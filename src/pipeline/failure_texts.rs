//! Pairs of dependency and type of error by number, while bad events of them wait for their boundary.

use super::example::Example;
use super::intern::{Dictionary, NONE};
use crate::model::key::ABSENT;
use crate::model::time::Ms;
use crate::operator::failures::{FailedPanes, FailurePair};

#[derive(Debug, Default)]
pub struct FailureTexts {
    /// The length of the dependency in 4 bytes, the dependency, the type of error.
    texts: Dictionary,
    scratch: Vec<u8>,
}

impl FailureTexts {
    /// The number of a bad event's pair.
    pub fn number(&mut self, example: &Example<'_>) -> u32 {
        let (dependency, error_type) = (example.dependency.unwrap_or(ABSENT), example.error_type.unwrap_or(ABSENT));
        self.scratch.clear();
        self.scratch.extend_from_slice(&(dependency.len() as u32).to_be_bytes());
        self.scratch.extend_from_slice(dependency.as_bytes());
        self.scratch.extend_from_slice(error_type.as_bytes());
        self.texts.intern(&self.scratch)
    }

    fn pair(&self, number: u32) -> FailurePair {
        let Some((length, text)) = self.texts.get(number).split_first_chunk::<4>() else {
            return FailurePair::of(None, None);
        };
        let (dependency, error_type) = text.split_at((u32::from_be_bytes(*length) as usize).min(text.len()));
        FailurePair::of(std::str::from_utf8(dependency).ok(), std::str::from_utf8(error_type).ok())
    }

    /// Bad events by pair and pane, as a key is told: ascending by the bytes of pairs.
    pub fn told(&self, mut failed: Vec<(u32, Ms, u128)>) -> Vec<FailedPanes> {
        failed.sort_unstable_by_key(|(number, start_ms, _)| (*number, *start_ms));
        failed.dedup_by(|next, kept| {
            let is_same = (next.0, next.1) == (kept.0, kept.1);
            if is_same {
                kept.2 += next.2;
            }
            is_same
        });
        let of_pair = |panes: &[(u32, Ms, u128)]| FailedPanes {
            pair: Some(self.pair(panes.first().map_or(NONE, |(number, ..)| *number))),
            panes: panes.iter().map(|(_, start_ms, weight)| (*start_ms, *weight)).collect(),
        };
        let mut told: Vec<FailedPanes> = failed.chunk_by(|a, b| a.0 == b.0).map(of_pair).collect();
        // Numbers depend on what a task has seen before; what it says must not.
        told.sort_unstable_by(|a, b| a.pair.cmp(&b.pair));
        told
    }

    pub fn wants_sweep(&self) -> bool {
        self.texts.wants_sweep()
    }

    /// Forgets all pairs but those that are used.
    pub fn sweep(&mut self, used: impl Iterator<Item = u32>) {
        let mut is_used = vec![false; self.texts.capacity()];
        for number in used {
            if let Some(is_used) = is_used.get_mut(number as usize) {
                *is_used = true;
            }
        }
        self.texts.sweep(&is_used);
    }

    pub fn memory_bytes(&self) -> usize {
        self.texts.memory_bytes()
    }
}
