//! Events by value of the attribute that an SLO's `canary` names, while a boundary closes.
//!
//! Nothing is kept from one boundary to the next but which value each attribute tuple has: the rollup task of the
//! aggregate key adds up the minutes. So a task that comes back has nothing to restore.

use super::intern::{Dictionary, NONE};
use crate::model::slo::Canary;
use crate::model::tuple::Pairs;
use crate::operator::signal::canary::{VALUES_MAX, ValueDelta};
use std::collections::BTreeMap;

/// So many users with bad events leave with one boundary, of all values together.
const BAD_USERS_MAX: usize = 32_768;
/// The texts of values are forgotten when there are so many.
const TEXTS_MAX: usize = 1 << 16;

#[derive(Debug)]
pub struct CanaryTally {
    canary: Canary,
    values: Dictionary,
    /// By tuple: its value, [`NONE`] where it has none that counts; `None`: not looked up yet.
    of_tuple: Vec<Option<u32>>,
    gathered: BTreeMap<u32, ValueDelta>,
}

impl CanaryTally {
    pub fn new(canary: &Canary) -> CanaryTally {
        CanaryTally {
            canary: canary.clone(),
            values: Dictionary::default(),
            of_tuple: Vec::new(),
            gathered: BTreeMap::new(),
        }
    }

    /// Adds a good or bad event; `user` is the hash of its user, if it has one.
    #[inline]
    pub fn add(&mut self, tuple: u32, tuples: &Dictionary, is_bad: bool, user: impl FnOnce() -> Option<u64>) {
        let value = self.value_of(tuple, tuples);
        if value == NONE {
            return;
        }
        let gathered = self.gathered.entry(value).or_default();
        gathered.events += 1;
        if is_bad {
            gathered.bad += 1;
            match user() {
                Some(user) => gathered.bad_users.push(user),
                None => gathered.nameless_bad += 1,
            }
        }
    }

    fn value_of(&mut self, tuple: u32, tuples: &Dictionary) -> u32 {
        if tuple == NONE {
            return NONE;
        }
        let at = tuple as usize;
        if at >= self.of_tuple.len() {
            self.of_tuple.resize(tuples.capacity().max(at + 1), None);
        }
        if let Some(known) = self.of_tuple[at] {
            return known;
        }
        let mut pairs = Pairs::of(tuples.get(tuple));
        let value = pairs.find(|(name, _)| *name == self.canary.attribute).map(|(_, value)| value);
        let value = value.filter(|value| self.canary.asks_for(value));
        let value = value.map_or(NONE, |value| self.values.intern(value.as_bytes()));
        self.of_tuple[at] = Some(value);
        value
    }

    /// The numbers of tuples mean others from now on.
    pub fn forget_tuples(&mut self) {
        self.of_tuple.clear();
    }

    /// Takes what the boundary gathered, by value, and whether not all of it has room.
    pub fn take(&mut self) -> (Vec<ValueDelta>, bool) {
        let gathered = std::mem::take(&mut self.gathered);
        let named = |(value, delta)| ValueDelta { value: self.values.text(value).into(), ..delta };
        let mut deltas: Vec<ValueDelta> = gathered.into_iter().map(named).collect();
        deltas.sort_unstable_by(|a, b| a.value.cmp(&b.value));
        let mut overflows = deltas.len() > VALUES_MAX;
        deltas.truncate(VALUES_MAX);
        let mut room = BAD_USERS_MAX;
        for delta in &mut deltas {
            delta.bad_users.sort_unstable();
            delta.bad_users.dedup();
            if delta.bad_users.len() > room {
                overflows = true;
                // Without their names they count, but once a boundary instead of once a minute.
                delta.nameless_bad += (delta.bad_users.len() - room) as u64;
                delta.bad_users.truncate(room);
            }
            room -= delta.bad_users.len();
        }
        if self.values.len() > TEXTS_MAX {
            (self.values, self.of_tuple) = (Dictionary::default(), Vec::new());
        }
        (deltas, overflows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tuple;

    fn tally(events: &[(&str, bool, Option<u64>)]) -> (Vec<ValueDelta>, bool) {
        let canary = Canary { attribute: "release".to_owned(), tracks: None, max_burn: None };
        let (mut tally, mut tuples, mut bytes) = (CanaryTally::new(&canary), Dictionary::default(), Vec::new());
        for (release, is_bad, user) in events {
            let pairs = [("region", "eu"), ("release", *release)].into_iter().filter(|(_, value)| !value.is_empty());
            tuple::encode(pairs, &mut bytes);
            let number = tuples.intern(&bytes);
            tally.add(number, &tuples, *is_bad, || *user);
        }
        tally.add(NONE, &tuples, true, || None);
        let taken = tally.take();
        assert_eq!(tally.take(), (Vec::new(), false), "the next boundary has its own");
        taken
    }

    #[test]
    fn events_are_counted_by_value_and_bad_ones_by_user() {
        let events = [
            ("v2", true, Some(9)),
            ("v1", false, Some(9)),
            ("v2", true, Some(3)),
            ("v2", true, Some(9)),
            ("v2", true, None),
            ("", true, Some(7)),
        ];
        let v1 = ValueDelta { value: "v1".into(), events: 1, ..ValueDelta::default() };
        let v2 = ValueDelta { value: "v2".into(), events: 4, bad: 4, nameless_bad: 1, bad_users: vec![3, 9] };
        assert_eq!(tally(&events), (vec![v1, v2], false));
    }

    #[test]
    fn users_that_have_no_room_are_counted_without_a_name() {
        let events: Vec<_> = (0..BAD_USERS_MAX as u64 + 5).map(|user| ("v", true, Some(user))).collect();
        let (deltas, overflows) = tally(&events);
        assert!(overflows);
        assert_eq!((deltas[0].bad_users.len(), deltas[0].nameless_bad), (BAD_USERS_MAX, 5));
    }
}
