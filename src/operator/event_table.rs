//! The events of a key by what they have in common, slice by slice: every event counts, with a user or without, by its own
//! attributes and its operation.
//!
//! Slices are those of the user windows. Bounded: the leaves of a table have a limit, and slices that no window reaches go.
//! What a table is depends on the visible events alone, boundary by boundary, and not on how many users tasks tell of them.

use super::event_leaf::{BadEvents, Crowd, EventLeaf, Whose, is_other};
use super::partial::{KeyDelta, LEAVES, VALUES_PER_ATTRIBUTE_MAX};
use crate::model::key::{OTHER, Scope};
use crate::model::time::{Ms, slice_ms, window_start};
use crate::model::tuple::Tuple;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// So many more leaves than [`LEAVES`] are there before they are cut down to the limit again: it need not be done for each.
const LEAVES_SPARE: usize = LEAVES / 4;

/// Whether the keys of a scope have a table. (There may be too many tenants for that: theirs are searched by users' rows.)
pub const fn is_kept_for(scope: &Scope) -> bool {
    !matches!(scope, Scope::Tenant(_))
}

/// The events of one leaf in a window, and the bad ones among them with their micro-weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub events: u64,
    pub bad: u64,
    pub bad_weight: u128,
}

/// The events of one key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventTable {
    /// The number of each leaf, from 0.
    numbers: BTreeMap<Tuple, u32>,
    /// Attributes that were given up, ascending.
    left_out: Vec<Box<str>>,
    /// One a slice length, ascending.
    tiers: Vec<EventTier>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct EventTier {
    slice_ms: Ms,
    /// The longest window with these slices.
    keeps_ms: Ms,
    /// Ascending.
    slices: Vec<EventSlice>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct EventSlice {
    start_ms: Ms,
    /// Events by leaf, ascending.
    all: Vec<(u32, u64)>,
    /// Of these, the bad ones.
    bad: Vec<(u32, BadEvents)>,
}

impl EventTable {
    /// Adds what became visible at a boundary, from all users tasks.
    pub fn add(&mut self, at_ms: Ms, windows_ms: &[Ms], deltas: &[&KeyDelta]) {
        self.fit(windows_ms);
        self.expire(at_ms);
        for (start_ms, leaf) in self.told(deltas) {
            let known = self.numbers.get(&leaf.tuple).copied();
            let number = known.unwrap_or_else(|| {
                let new = self.numbers.len() as u32;
                self.numbers.insert(leaf.tuple.clone(), new);
                new
            });
            for tier in &mut self.tiers {
                if start_ms >= window_start(at_ms, tier.keeps_ms) {
                    let slice = tier.slice(start_ms.div_euclid(tier.slice_ms) * tier.slice_ms);
                    slice.add(number, leaf.events, leaf.bad.as_ref());
                }
            }
        }
        if self.numbers.len() > LEAVES + LEAVES_SPARE {
            self.cut(LEAVES);
        }
    }

    /// The leaves, each slice and tuple once, in the order of tuples: what follows from them follows from all events alone.
    fn told(&self, deltas: &[&KeyDelta]) -> Vec<(Ms, EventLeaf)> {
        let panes = deltas.iter().flat_map(|delta| &delta.events);
        let mut leaves: Vec<(Ms, &EventLeaf)> =
            panes.flat_map(|pane| pane.leaves.iter().map(|leaf| (pane.start_ms, leaf))).collect();
        leaves.sort_unstable_by(|a, b| a.1.tuple.cmp(&b.1.tuple).then(a.0.cmp(&b.0)));
        let mut told: Vec<(Ms, EventLeaf)> = Vec::with_capacity(leaves.len());
        for (start_ms, leaf) in leaves {
            match told.last_mut().filter(|(ms, last)| *ms == start_ms && last.tuple == leaf.tuple) {
                Some((_, last)) => last.add(leaf),
                None => told.push((start_ms, leaf.clone())),
            }
        }
        if !self.left_out.is_empty() {
            told.iter_mut().for_each(|(_, leaf)| leaf.tuple = without(&leaf.tuple, &self.left_out));
        }
        told
    }

    pub fn is_empty(&self) -> bool {
        self.tiers.iter().all(|tier| tier.slices.is_empty())
    }

    /// The leaves, by number.
    pub fn tuples(&self) -> Vec<&Tuple> {
        let mut by_number: Vec<(u32, &Tuple)> = self.numbers.iter().map(|(tuple, number)| (*number, tuple)).collect();
        by_number.sort_unstable_by_key(|(number, _)| *number);
        by_number.into_iter().map(|(_, tuple)| tuple).collect()
    }

    /// The events of each leaf in a user window.
    pub fn window(&self, at_ms: Ms, window_ms: Ms) -> Vec<Sum> {
        self.sum(self.slices_of(at_ms, window_ms))
    }

    /// Who had the bad events of some leaves in a user window.
    pub fn whose(&self, at_ms: Ms, window_ms: Ms, is_asked: impl Fn(usize) -> bool) -> Whose {
        let (mut users, mut nameless) = (Vec::new(), 0);
        let bad = self.slices_of(at_ms, window_ms).flat_map(|slice| &slice.bad);
        for (_, bad) in bad.filter(|(leaf, _)| is_asked(*leaf as usize)) {
            users.extend_from_slice(bad.users.known());
            nameless += bad.nameless;
        }
        Whose { users: Crowd::of(users), nameless }
    }

    fn slices_of(&self, at_ms: Ms, window_ms: Ms) -> impl Iterator<Item = &EventSlice> {
        let start_ms = window_start(at_ms, window_ms);
        let tier = self.tiers.iter().find(|tier| tier.slice_ms == slice_ms(window_ms));
        tier.into_iter().flat_map(|tier| &tier.slices).filter(move |slice| slice.start_ms >= start_ms)
    }

    /// The bad events of a user window: where there are none, nothing else needs to be known.
    pub fn bad_in(&self, at_ms: Ms, window_ms: Ms) -> u64 {
        self.slices_of(at_ms, window_ms).flat_map(|slice| &slice.bad).map(|(_, bad)| bad.events).sum()
    }

    /// The events of each leaf before a window, as far back as the longest one reaches. Whole slices only: those of the
    /// longest window are hours, and none of them may hold events of the window.
    pub fn before(&self, at_ms: Ms, window_ms: Ms) -> Vec<Sum> {
        let Some(last) = self.tiers.last() else { return Vec::new() };
        let (from_ms, to_ms) = (window_start(at_ms, last.keeps_ms), window_start(at_ms, window_ms));
        let is_before = |slice: &&EventSlice| slice.start_ms >= from_ms && slice.start_ms + last.slice_ms <= to_ms;
        self.sum(last.slices.iter().filter(is_before))
    }

    fn sum<'a>(&self, slices: impl Iterator<Item = &'a EventSlice>) -> Vec<Sum> {
        let mut sums = vec![Sum::default(); self.numbers.len()];
        for slice in slices {
            slice.all.iter().for_each(|(leaf, events)| sums[*leaf as usize].events += events);
            for (leaf, bad) in &slice.bad {
                let sum = &mut sums[*leaf as usize];
                sum.bad += bad.events;
                sum.bad_weight += bad.weight;
            }
        }
        sums
    }

    /// Has the tiers that the windows ask for. One that is new is filled from shorter slices, as far as they reach.
    fn fit(&mut self, windows_ms: &[Ms]) {
        let mut wanted: Vec<(Ms, Ms)> = Vec::with_capacity(self.tiers.len());
        for window_ms in windows_ms {
            match wanted.iter_mut().find(|(slice, _)| *slice == slice_ms(*window_ms)) {
                Some((_, keeps_ms)) => *keeps_ms = (*keeps_ms).max(*window_ms),
                None => wanted.push((slice_ms(*window_ms), *window_ms)),
            }
        }
        if self.tiers.iter().map(|tier| (tier.slice_ms, tier.keeps_ms)).eq(wanted.iter().copied()) {
            return;
        }
        let before = std::mem::take(&mut self.tiers);
        let tier = |(slice_ms, keeps_ms): &(Ms, Ms)| {
            // Those before it have shorter slices.
            let source = before.iter().rev().find(|tier| tier.slice_ms <= *slice_ms);
            let mut tier = EventTier { slice_ms: *slice_ms, keeps_ms: *keeps_ms, slices: Vec::new() };
            for slice in source.into_iter().flat_map(|tier| &tier.slices) {
                let own = tier.slice(slice.start_ms.div_euclid(*slice_ms) * slice_ms);
                slice.all.iter().for_each(|(leaf, events)| own.add(*leaf, *events, None));
                slice.bad.iter().for_each(|(leaf, bad)| own.add(*leaf, 0, Some(bad)));
            }
            tier
        };
        self.tiers = wanted.iter().map(tier).collect();
    }

    fn expire(&mut self, at_ms: Ms) {
        for tier in &mut self.tiers {
            let from_ms = window_start(at_ms, tier.keeps_ms);
            if tier.slices.first().is_some_and(|slice| slice.start_ms < from_ms) {
                tier.slices.retain(|slice| slice.start_ms >= from_ms);
            }
        }
        if self.is_empty() && !self.numbers.is_empty() {
            (self.numbers, self.left_out) = Default::default();
        }
    }

    /// Brings the number of leaves down: leaves without events go, then attributes with too many values, then the leaves with
    /// the fewest events.
    fn cut(&mut self, limit: usize) {
        let events: Vec<u64> = self.events_ever();
        self.renumber(|tuple, number| (events[number as usize] > 0).then(|| tuple.clone()));
        while self.numbers.len() > limit {
            let Some(name) = self.attribute_of_most_values() else { break };
            let at = self.left_out.partition_point(|known| **known < *name);
            self.left_out.insert(at, name.into());
            let left_out = std::mem::take(&mut self.left_out);
            self.renumber(|tuple, _| Some(without(tuple, &left_out)));
            self.left_out = left_out;
        }
        if self.numbers.len() > limit {
            let events = self.events_ever();
            let mut order: Vec<(&Tuple, u32)> = self.numbers.iter().map(|(tuple, number)| (tuple, *number)).collect();
            order.sort_by_key(|(tuple, number)| (is_other(tuple), Reverse(events[*number as usize])));
            let over: BTreeSet<u32> = order[limit - 1..].iter().map(|(_, number)| *number).collect();
            let names: BTreeSet<&str> = self.numbers.keys().flat_map(|tuple| tuple.pairs()).map(|(n, _)| n).collect();
            let other = Tuple::of(names.into_iter().map(|name| (name, OTHER)));
            self.renumber(|tuple, number| Some(if over.contains(&number) { other.clone() } else { tuple.clone() }));
        }
    }

    /// The events of each leaf in all slices.
    fn events_ever(&self) -> Vec<u64> {
        let mut events = vec![0; self.numbers.len()];
        let all = self.tiers.iter().flat_map(|tier| &tier.slices).flat_map(|slice| &slice.all);
        all.for_each(|(leaf, more)| events[*leaf as usize] += more);
        events
    }

    /// The attribute with the most values, where they are too many.
    fn attribute_of_most_values(&self) -> Option<String> {
        let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (name, value) in self.numbers.keys().flat_map(|tuple| tuple.pairs()) {
            values.entry(name).or_default().insert(value);
        }
        let many = values.into_iter().filter(|(_, values)| values.len() > VALUES_PER_ATTRIBUTE_MAX);
        many.min_by_key(|(_, values)| Reverse(values.len())).map(|(name, _)| name.to_owned())
    }

    /// Gives each leaf another tuple, or none; those with the same one become one.
    fn renumber(&mut self, new: impl Fn(&Tuple, u32) -> Option<Tuple>) {
        let (mut numbers, mut number_of) = (BTreeMap::new(), vec![None; self.numbers.len()]);
        for (tuple, number) in std::mem::take(&mut self.numbers) {
            if let Some(tuple) = new(&tuple, number) {
                let next = numbers.len() as u32;
                number_of[number as usize] = Some(*numbers.entry(tuple).or_insert(next));
            }
        }
        self.numbers = numbers;
        for slice in self.tiers.iter_mut().flat_map(|tier| &mut tier.slices) {
            let before = std::mem::take(slice);
            slice.start_ms = before.start_ms;
            let of = |leaf: u32| number_of.get(leaf as usize).copied().flatten();
            before
                .all
                .iter()
                .filter_map(|(leaf, n)| Some((of(*leaf)?, n)))
                .for_each(|(leaf, n)| slice.add(leaf, *n, None));
            let bad = before.bad.iter().filter_map(|(leaf, bad)| Some((of(*leaf)?, bad)));
            bad.for_each(|(leaf, bad)| slice.add(leaf, 0, Some(bad)));
        }
    }
}

impl EventTier {
    fn slice(&mut self, start_ms: Ms) -> &mut EventSlice {
        let at = self.slices.iter().rposition(|slice| slice.start_ms <= start_ms);
        match at {
            Some(at) if self.slices[at].start_ms == start_ms => &mut self.slices[at],
            _ => {
                let at = at.map_or(0, |at| at + 1);
                self.slices.insert(at, EventSlice { start_ms, ..EventSlice::default() });
                &mut self.slices[at]
            }
        }
    }
}

impl EventSlice {
    fn add(&mut self, leaf: u32, events: u64, bad: Option<&BadEvents>) {
        if events > 0 {
            match self.all.binary_search_by_key(&leaf, |(of, _)| *of) {
                Ok(at) => self.all[at].1 += events,
                Err(at) => self.all.insert(at, (leaf, events)),
            }
        }
        if let Some(bad) = bad {
            match self.bad.binary_search_by_key(&leaf, |(of, _)| *of) {
                Ok(at) => self.bad[at].1.add(bad),
                Err(at) => self.bad.insert(at, (leaf, bad.clone())),
            }
        }
    }
}

/// The tuple without the values of attributes that were given up.
fn without(tuple: &Tuple, left_out: &[Box<str>]) -> Tuple {
    let is_out = |name: &str| left_out.binary_search_by(|out| (**out).cmp(name)).is_ok();
    Tuple::of(tuple.pairs().map(|(name, value)| (name, if is_out(name) { OTHER } else { value })))
}

#[cfg(test)]
mod tests;
