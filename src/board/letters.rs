//! The newest dead letters of each reason, as examples.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

const EXAMPLES: usize = 5;
/// Above this many reasons nobody would look any more; tailburn has far fewer.
const REASONS_MAX: usize = 32;

#[derive(Default)]
pub(super) struct Letters(BTreeMap<String, VecDeque<Arc<[u8]>>>);

impl Letters {
    pub fn put(&mut self, reason: String, json: Vec<u8>) {
        if self.0.len() >= REASONS_MAX && !self.0.contains_key(&reason) {
            return;
        }
        let kept = self.0.entry(reason).or_default();
        kept.push_front(json.into());
        kept.truncate(EXAMPLES);
    }

    pub fn newest(&self) -> BTreeMap<String, Vec<Arc<[u8]>>> {
        self.0.iter().map(|(reason, kept)| (reason.clone(), kept.iter().cloned().collect())).collect()
    }
}
