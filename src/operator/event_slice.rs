//! Events of one slice of event time by leaf number: in a table of events, and on the way there.

use super::event_leaf::{BadEvents, EventPane};
use super::tuple_list::TupleList;
use crate::model::time::Ms;
use crate::model::tuple::Tuple;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The events of a slice of event time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventSlice {
    pub start_ms: Ms,
    /// Events by leaf, ascending.
    pub all: Vec<(u32, u64)>,
    /// Of these, the bad ones.
    pub bad: Vec<(u32, BadEvents)>,
}

impl EventSlice {
    /// Adds numbers of events by leaf, ascending, each leaf once.
    pub fn add(&mut self, news: &[(u32, u64)]) {
        let (mut at, known) = (0, self.all.len());
        for (leaf, events) in news {
            at += ahead(&self.all[at..known], *leaf);
            match self.all[at..known].first_mut() {
                Some((of, sum)) if of == leaf => *sum += events,
                _ => self.all.push((*leaf, *events)),
            }
        }
        if self.all.len() > known {
            // Two runs in order: a stable sort merges them.
            self.all.sort_by_key(|(leaf, _)| *leaf);
        }
    }

    pub fn add_bad(&mut self, leaf: u32, bad: &BadEvents) {
        match self.bad.binary_search_by_key(&leaf, |(of, _)| *of) {
            Ok(at) => self.bad[at].1.add(bad),
            Err(at) => self.bad.insert(at, (leaf, bad.clone())),
        }
    }
}

/// How many leaves come before this one: mostly few.
fn ahead(leaves: &[(u32, u64)], leaf: u32) -> usize {
    const NEAR: usize = 8;
    let near = &leaves[..leaves.len().min(NEAR)];
    match near.iter().position(|(of, _)| *of >= leaf) {
        Some(at) => at,
        None => near.len() + leaves[near.len()..].partition_point(|(of, _)| *of < leaf),
    }
}

/// Adds up the events of leaves that come more than once; afterwards they ascend.
pub fn summed(mut leaves: Vec<(u32, u64)>) -> Vec<(u32, u64)> {
    leaves.sort_unstable_by_key(|(leaf, _)| *leaf);
    leaves.dedup_by(|next, kept| {
        let is_same = next.0 == kept.0;
        if is_same {
            kept.1 += next.1;
        }
        is_same
    });
    leaves
}

/// What a users task tells of the events of a key at a boundary.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventNews {
    /// The leaves, ascending by bytes. Their places are the numbers that the slices have.
    pub tuples: TupleList,
    /// By slice of event time, ascending.
    pub slices: Vec<EventSlice>,
}

impl EventNews {
    /// What partials before version 10 said, each leaf with its attributes.
    pub fn of_panes(panes: &[EventPane]) -> EventNews {
        let tuples: BTreeSet<&Tuple> = panes.iter().flat_map(|pane| &pane.leaves).map(|leaf| &leaf.tuple).collect();
        let tuples: Vec<&Tuple> = tuples.into_iter().collect();
        let slice = |pane: &EventPane| {
            let mut slice = EventSlice { start_ms: pane.start_ms, ..EventSlice::default() };
            let (mut all, mut bad) = (Vec::with_capacity(pane.leaves.len()), Vec::new());
            for leaf in &pane.leaves {
                let number = tuples.partition_point(|tuple| **tuple < leaf.tuple) as u32;
                all.push((number, leaf.events));
                bad.extend(leaf.bad.as_ref().map(|bad| (number, bad)));
            }
            slice.all = summed(all);
            bad.into_iter().for_each(|(leaf, bad)| slice.add_bad(leaf, bad));
            slice
        };
        EventNews {
            tuples: tuples.iter().map(|tuple| tuple.as_bytes()).collect(),
            slices: panes.iter().map(slice).collect(),
        }
    }

    /// How much is told.
    pub fn size(&self) -> usize {
        self.slices.iter().map(|slice| slice.all.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn events_are_added_wherever_their_leaves_are(
            rounds in prop::collection::vec(prop::collection::vec((0u32..60, 1u64..9), 0..40), 1..6),
        ) {
            let (mut slice, mut expected) = (EventSlice::default(), BTreeMap::new());
            for round in rounds {
                round.iter().for_each(|(leaf, events)| *expected.entry(*leaf).or_default() += events);
                slice.add(&summed(round));
            }
            prop_assert_eq!(slice.all, expected.into_iter().collect::<Vec<(u32, u64)>>());
        }
    }
}
