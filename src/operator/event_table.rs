//! The events of a key by what they have in common, slice by slice: every event counts, with a user or without, by its own
//! attributes and its operation.
//!
//! Slices are those of the user windows. Bounded: the leaves of a table have a limit, and slices that no window reaches go.
//! What a table is depends on the visible events alone, boundary by boundary, and not on how many users tasks tell of them.

use super::event_attributes::Attributes;
use super::event_leaf::{BadEvents, Crowd, Whose, is_other};
use super::event_numbers::EventNumbers;
use super::event_slice::{EventNews, EventSlice, summed};
use super::partial::LEAVES;
use crate::model::key::{OTHER, Scope};
use crate::model::time::{Ms, slice_ms, window_start};
use crate::model::tuple::{Pairs, Tuple};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;

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
    numbers: EventNumbers,
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

/// Bad events: the tuple and slice that they are of, and the number of the tuple's leaf.
type BadOf<'a> = ((&'a [u8], Ms), u32, &'a BadEvents);

impl EventTable {
    /// Adds what became visible at a boundary, from all users tasks.
    pub fn add(&mut self, at_ms: Ms, windows_ms: &[Ms], news: &[&EventNews]) {
        self.fit(windows_ms);
        self.expire(at_ms);
        let numbers = self.numbers_of(news);
        self.add_events(at_ms, news, &numbers);
        self.add_bad(at_ms, news, &numbers);
        if self.numbers.len() > LEAVES + LEAVES_SPARE {
            self.cut(LEAVES);
        }
    }

    /// For each users task, the numbers of its leaves. Those that are new get theirs in the order of tuples: what follows from
    /// them follows from all events alone.
    fn numbers_of(&mut self, news: &[&EventNews]) -> Vec<Vec<u32>> {
        let mut new: Vec<(&[u8], usize, usize)> = Vec::new();
        let mut numbers: Vec<Vec<u32>> = Vec::with_capacity(news.len());
        for (task, news) in news.iter().enumerate() {
            let mut own = Vec::with_capacity(news.tuples.len());
            for (at, tuple) in news.tuples.iter().enumerate() {
                own.push(self.numbers.get(&self.told(tuple)).unwrap_or_else(|| {
                    new.push((tuple, task, at));
                    0
                }));
            }
            numbers.push(own);
        }
        new.sort_unstable();
        for (tuple, task, at) in new {
            let tuple = Tuple::of_bytes(&self.told(tuple));
            numbers[task][at] = self.numbers.number(tuple);
        }
        numbers
    }

    /// A tuple as it is counted: without the values of attributes that were given up.
    fn told<'a>(&self, tuple: &'a [u8]) -> Cow<'a, [u8]> {
        if self.left_out.is_empty() {
            return Cow::Borrowed(tuple);
        }
        Cow::Owned(without(Pairs::of(tuple), &self.left_out).as_bytes().to_vec())
    }

    fn add_events(&mut self, at_ms: Ms, news: &[&EventNews], numbers: &[Vec<u32>]) {
        let mut slices: BTreeMap<Ms, Vec<(u32, u64)>> = BTreeMap::new();
        for (news, numbers) in news.iter().zip(numbers) {
            for slice in &news.slices {
                let own = slice.all.iter().map(|(leaf, events)| (numbers[*leaf as usize], *events));
                slices.entry(slice.start_ms).or_default().extend(own);
            }
        }
        for (start_ms, leaves) in slices {
            let leaves = summed(leaves);
            self.slices_at(at_ms, start_ms).for_each(|slice| slice.add(&leaves));
        }
    }

    /// Adds bad events, each slice and tuple once, in the order of tuples, whoever told of them.
    fn add_bad(&mut self, at_ms: Ms, news: &[&EventNews], numbers: &[Vec<u32>]) {
        let mut all: Vec<BadOf<'_>> = Vec::new();
        for (news, numbers) in news.iter().zip(numbers) {
            for slice in &news.slices {
                let own = slice.bad.iter().map(|(leaf, bad)| {
                    ((news.tuples.get(*leaf as usize), slice.start_ms), numbers[*leaf as usize], bad)
                });
                all.extend(own);
            }
        }
        all.sort_by_key(|(of, ..)| *of);
        for same in all.chunk_by(|(a, ..), (b, ..)| a == b) {
            let [((_, start_ms), leaf, first), more @ ..] = same else { continue };
            let mut bad = Cow::Borrowed(*first);
            more.iter().for_each(|(.., more)| bad.to_mut().add(more));
            self.slices_at(at_ms, *start_ms).for_each(|slice| slice.add_bad(*leaf, &bad));
        }
    }

    /// The slice of each tier that holds this one.
    fn slices_at(&mut self, at_ms: Ms, start_ms: Ms) -> impl Iterator<Item = &mut EventSlice> {
        let kept = self.tiers.iter_mut().filter(move |tier| start_ms >= window_start(at_ms, tier.keeps_ms));
        kept.map(move |tier| tier.slice(start_ms.div_euclid(tier.slice_ms) * tier.slice_ms))
    }

    pub fn is_empty(&self) -> bool {
        self.tiers.iter().all(|tier| tier.slices.is_empty())
    }

    /// The leaves, by number.
    pub fn tuples(&self) -> &[Tuple] {
        self.numbers.tuples()
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
                own.add(&slice.all);
                slice.bad.iter().for_each(|(leaf, bad)| own.add_bad(*leaf, bad));
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
        let mut events = self.events_ever();
        let mut order = self.numbers.by_bytes();
        order.retain(|number| events[*number as usize] > 0);
        if order.len() <= limit {
            return self.renumber(&order, |_, _| None);
        }
        while order.len() > limit {
            let attributes = Attributes::of(order.iter().map(|number| self.numbers.tuple(*number)));
            let (name, other) = (attributes.of_most_values(), attributes.other());
            drop(attributes);
            let Some(name) = name else {
                let is_over = self.over(&order, &events, limit);
                return self.renumber(&order, |number, _| is_over[number as usize].then(|| other.clone()));
            };
            let at = self.left_out.partition_point(|known| **known < *name);
            self.left_out.insert(at, name.into());
            let left_out = std::mem::take(&mut self.left_out);
            self.renumber(&order, |_, tuple| Some(without(tuple.pairs(), &left_out)));
            self.left_out = left_out;
            (events, order) = (self.events_ever(), self.numbers.by_bytes());
        }
    }

    /// The events of each leaf in all slices.
    fn events_ever(&self) -> Vec<u64> {
        let mut events = vec![0; self.numbers.len()];
        let all = self.tiers.iter().flat_map(|tier| &tier.slices).flat_map(|slice| &slice.all);
        all.for_each(|(leaf, more)| events[*leaf as usize] += more);
        events
    }

    /// By number, whether a leaf is among those with the fewest events, ties by bytes, which are over the limit.
    fn over(&self, order: &[u32], events: &[u64], limit: usize) -> Vec<bool> {
        let size = |(at, number): (usize, &u32)| {
            (is_other(self.numbers.tuple(*number)), Reverse(events[*number as usize]), at)
        };
        let mut sizes: Vec<(bool, Reverse<u64>, usize)> = order.iter().enumerate().map(size).collect();
        let mut is_over = vec![false; self.numbers.len()];
        let (_, first, more) = sizes.select_nth_unstable(limit - 1);
        is_over[order[first.2] as usize] = true;
        more.iter().for_each(|(.., at)| is_over[order[*at] as usize] = true);
        is_over
    }

    /// Gives each leaf, in this order, another tuple or (`None`) lets it have its own; those with the same one become one. Leaves
    /// that are not in the order go.
    fn renumber(&mut self, order: &[u32], new: impl Fn(u32, &Tuple) -> Option<Tuple>) {
        let mut before = std::mem::take(&mut self.numbers).into_tuples();
        let mut number_of: Vec<Option<Renumbered>> = vec![None; before.len()];
        for (place, number) in (0..).zip(order) {
            let own = std::mem::take(&mut before[*number as usize]);
            let tuple = new(*number, &own).unwrap_or(own);
            number_of[*number as usize] = Some(Renumbered { place, number: self.numbers.number(tuple) });
        }
        let mut sums = vec![0; self.numbers.len()];
        for slice in self.tiers.iter_mut().flat_map(|tier| &mut tier.slices) {
            for (leaf, events) in slice.all.drain(..) {
                if let Some(now) = number_of[leaf as usize] {
                    sums[now.number as usize] += events;
                }
            }
            let sums = (0..).zip(&mut sums).filter(|(_, events)| **events > 0);
            slice.all.extend(sums.map(|(leaf, events)| (leaf, std::mem::take(events))));
            let bad = std::mem::take(&mut slice.bad).into_iter();
            let mut bad: Vec<(Renumbered, BadEvents)> =
                bad.filter_map(|(leaf, bad)| Some((number_of[leaf as usize]?, bad))).collect();
            bad.sort_unstable_by_key(|(now, _)| now.place);
            bad.iter().for_each(|(now, bad)| slice.add_bad(now.number, bad));
        }
    }
}

/// A leaf that got another number.
#[derive(Clone, Copy)]
struct Renumbered {
    /// Where it is among the leaves before.
    place: u32,
    number: u32,
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

/// The tuple without the values of attributes that were given up.
fn without(pairs: Pairs<'_>, left_out: &[Box<str>]) -> Tuple {
    let is_out = |name: &str| left_out.binary_search_by(|out| (**out).cmp(name)).is_ok();
    Tuple::of(pairs.map(|(name, value)| (name, if is_out(name) { OTHER } else { value })))
}

#[cfg(test)]
mod tests;
