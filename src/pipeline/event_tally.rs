//! Events by attributes and operation, while a boundary closes: what the table of events of a key is told.
//!
//! Nothing is kept from one boundary to the next, so a task that comes back has nothing to restore.

use super::intern::{Dictionary, NONE};
use crate::model::slo::Slo;
use crate::model::time::{Ms, floor_to, slice_ms};
use crate::model::tuple::{Pairs, Tuple, encode};
use crate::operator::event_leaf::{BadEvents, Crowd, EventLeaf, EventPane, OPERATION, cap};
use hashbrown::HashMap;
use std::collections::BTreeMap;

/// So many leaves of a key leave with one boundary; the rest is in one.
const LEAVES_SENT: usize = 8_192;

/// What events are counted under, by numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Cell {
    start_ms: Ms,
    tuple: u32,
    operation: u32,
    group: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    events: u64,
    bad: u64,
    bad_weight: u128,
    nameless: u64,
}

/// An event that counts.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    pub time_ms: Ms,
    pub tuple: u32,
    pub operation: u32,
    /// [`NONE`] where the SLO has no groups.
    pub group: u32,
    /// Of a bad event its weight.
    pub bad_weight: Option<u64>,
}

/// By group; [`NONE`] is the aggregate.
pub type ByGroup = BTreeMap<u32, Vec<EventPane>>;

#[derive(Debug)]
pub struct EventTally {
    slice_ms: Ms,
    at: HashMap<Cell, u32>,
    cells: Vec<(Cell, Counts)>,
    /// Cells with the hash of a user who had a bad event there.
    bad_users: Vec<(u32, u32)>,
}

impl EventTally {
    /// `None`: nobody asks.
    pub fn of(slo: &Slo) -> Option<EventTally> {
        let slice_ms = slo.user_windows_ms.iter().map(|window_ms| slice_ms(*window_ms)).min();
        let slice_ms = slice_ms.filter(|_| slo.cohorts)?;
        Some(EventTally { slice_ms, at: HashMap::new(), cells: Vec::new(), bad_users: Vec::new() })
    }

    /// Adds a good or bad event; `user` is the hash of its user, if it has one.
    #[inline]
    pub fn add(&mut self, event: &Counted, user: impl FnOnce() -> Option<u64>) {
        let Counted { time_ms, tuple, operation, group, bad_weight } = *event;
        let cell = Cell { start_ms: floor_to(time_ms, self.slice_ms), tuple, operation, group };
        let cells = &mut self.cells;
        let at = *self.at.entry(cell).or_insert_with(|| {
            cells.push((cell, Counts::default()));
            cells.len() as u32 - 1
        });
        let counts = &mut cells[at as usize].1;
        counts.events += 1;
        if let Some(weight) = bad_weight {
            counts.bad += 1;
            counts.bad_weight += u128::from(weight);
            match user() {
                Some(hash) => self.bad_users.push((at, hash as u32)),
                None => counts.nameless += 1,
            }
        }
    }

    /// Takes what the boundary gathered.
    pub fn take(&mut self, tuples: &Dictionary, operations: &Dictionary) -> ByGroup {
        let mut by_group: BTreeMap<u32, BTreeMap<Ms, Vec<EventLeaf>>> = BTreeMap::new();
        if self.cells.is_empty() {
            return ByGroup::new();
        }
        self.at.clear();
        self.bad_users.sort_unstable();
        let mut order: Vec<u32> = (0..self.cells.len() as u32).collect();
        order.sort_unstable_by_key(|at| self.cells[*at as usize].0);
        let cell = |at: &u32| self.cells[*at as usize].0;
        let is_same = |a: &Cell, b: &Cell| (a.start_ms, a.tuple, a.operation) == (b.start_ms, b.tuple, b.operation);
        for cells in order.chunk_by(|a, b| is_same(&cell(a), &cell(b))) {
            let first = cell(&cells[0]);
            let mut all = EventLeaf { tuple: named(first, tuples, operations), ..EventLeaf::default() };
            for at in cells {
                let counts = self.cells[*at as usize].1;
                let own = EventLeaf { tuple: Tuple::default(), events: counts.events, bad: self.bad_of(*at, counts) };
                all.add(&own);
                if cell(at).group != NONE {
                    let of_group = by_group.entry(cell(at).group).or_default().entry(first.start_ms).or_default();
                    of_group.push(EventLeaf { tuple: all.tuple.clone(), ..own });
                }
            }
            by_group.entry(NONE).or_default().entry(first.start_ms).or_default().push(all);
        }
        self.cells.clear();
        self.bad_users.clear();
        let pane = |(start_ms, mut leaves): (Ms, Vec<EventLeaf>)| {
            cap(&mut leaves, LEAVES_SENT);
            // Numbers of texts depend on what a task has seen before; what it says must not.
            leaves.sort_unstable_by(|a, b| a.tuple.cmp(&b.tuple));
            EventPane { start_ms, leaves }
        };
        by_group.into_iter().map(|(group, panes)| (group, panes.into_iter().map(pane).collect())).collect()
    }

    fn bad_of(&self, at: u32, counts: Counts) -> Option<BadEvents> {
        let Counts { bad, bad_weight, nameless, .. } = counts;
        if bad == 0 {
            return None;
        }
        let from = self.bad_users.partition_point(|(of, _)| *of < at);
        let users = self.bad_users[from..].iter().take_while(|(of, _)| *of == at).map(|(_, user)| (*user, 1));
        Some(BadEvents { events: bad, weight: bad_weight, nameless, users: Crowd::of(users.collect()) })
    }
}

/// The attributes with the operation among them.
fn named(cell: Cell, tuples: &Dictionary, operations: &Dictionary) -> Tuple {
    let tuple = if cell.tuple == NONE { &[] } else { tuples.get(cell.tuple) };
    if cell.operation == NONE {
        return Tuple::of_bytes(tuple);
    }
    let mut bytes = Vec::with_capacity(tuple.len() + 64);
    encode(Pairs::of(tuple).chain([(OPERATION, operations.text(cell.operation))]), &mut bytes);
    Tuple::of_bytes(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::MINUTE_MS;
    use crate::model::tuple;

    struct Told {
        tally: EventTally,
        tuples: Dictionary,
        operations: Dictionary,
    }

    impl Told {
        fn new() -> Told {
            let tally =
                EventTally { slice_ms: MINUTE_MS, at: HashMap::new(), cells: Vec::new(), bad_users: Vec::new() };
            Told { tally, tuples: Dictionary::default(), operations: Dictionary::default() }
        }

        fn add(&mut self, time_ms: Ms, region: &str, operation: &str, group: u32, bad_of: Option<Option<u64>>) {
            let mut bytes = Vec::new();
            tuple::encode([("region", region), ("tier", "pro")].into_iter(), &mut bytes);
            let tuple = self.tuples.intern(&bytes);
            let operation = if operation.is_empty() { NONE } else { self.operations.intern(operation.as_bytes()) };
            let event = Counted { time_ms, tuple, operation, group, bad_weight: bad_of.map(|_| 2_000_000) };
            self.tally.add(&event, || bad_of.flatten());
        }

        fn take(&mut self) -> ByGroup {
            self.tally.take(&self.tuples, &self.operations)
        }
    }

    fn leaf(attributes: &[(&str, &str)], events: u64, bad: Option<BadEvents>) -> EventLeaf {
        EventLeaf { tuple: Tuple::of(attributes.iter().copied()), events, bad }
    }

    #[test]
    fn events_are_counted_by_slice_attributes_and_operation_with_or_without_a_user() {
        let mut told = Told::new();
        told.add(61_000, "eu", "pay", NONE, None);
        told.add(62_000, "eu", "pay", NONE, Some(Some(7)));
        told.add(63_000, "eu", "pay", NONE, Some(None));
        told.add(64_000, "eu", "", NONE, None);
        told.add(1_000, "eu", "pay", NONE, Some(Some(7)));
        let taken = told.take();
        let pay = [("operation", "pay"), ("region", "eu"), ("tier", "pro")];
        let bad = |events, nameless| BadEvents {
            events,
            weight: u128::from(events) * 2_000_000,
            nameless,
            users: Crowd::of(vec![(7, 1)]),
        };
        let [late, own] = &taken[&NONE][..] else { panic!("{taken:?}") };
        assert_eq!((late.start_ms, &late.leaves[..]), (0, &[leaf(&pay, 1, Some(bad(1, 0)))][..]));
        assert_eq!(own.start_ms, 60_000);
        let other = [("region", "eu"), ("tier", "pro")];
        let mut leaves = [leaf(&pay, 3, Some(bad(2, 1))), leaf(&other, 1, None)];
        leaves.sort_by(|a, b| a.tuple.cmp(&b.tuple));
        assert_eq!(own.leaves, leaves);
        assert!(told.take().is_empty(), "the next boundary has its own");
    }

    /// A task that read the log anew has other numbers for the same texts.
    #[test]
    fn leaves_leave_in_the_order_of_their_texts() {
        let (mut one, mut other) = (Told::new(), Told::new());
        let events = [("eu", "pay"), ("us", "browse"), ("ap", ""), ("eu", "browse")];
        events.iter().for_each(|(region, operation)| one.add(1_000, region, operation, NONE, None));
        events.iter().rev().for_each(|(region, operation)| other.add(1_000, region, operation, NONE, None));
        assert_eq!(one.take(), other.take());
    }

    #[test]
    fn the_aggregate_is_the_sum_of_its_groups() {
        let mut told = Told::new();
        for (group, user) in [(3, 1), (3, 2), (5, 1), (5, 9)] {
            told.add(1_000, "eu", "pay", group, Some(Some(user)));
        }
        let taken = told.take();
        let bad = |group: u32| taken[&group][0].leaves[0].bad.clone().expect("bad ones");
        assert_eq!((bad(3).events, bad(5).events, bad(NONE).events), (2, 2, 4));
        assert_eq!(bad(NONE).users, Crowd::of(vec![(1, 2), (2, 1), (9, 1)]));
        assert_eq!(bad(5).users, Crowd::of(vec![(1, 1), (9, 1)]));
    }
}
