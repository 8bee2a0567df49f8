//! Events by attributes and operation, while a boundary closes: what the table of events of a key is told.
//!
//! Nothing is kept from one boundary to the next, so a task that comes back has nothing to restore.

use super::event_names::EventNames;
use super::intern::{Dictionary, NONE};
use crate::model::slo::Slo;
use crate::model::time::{Ms, floor_to, slice_ms};
use crate::model::tuple::Tuple;
use crate::operator::event_leaf::{BadEvents, Crowd, EventLeaf, cap};
use crate::operator::event_slice::{EventNews, EventSlice};
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
pub type ByGroup = BTreeMap<u32, Box<EventNews>>;

/// What a key is told of one leaf in one slice.
#[derive(Debug, Default)]
struct Told {
    start_ms: Ms,
    /// The number of its text.
    name: u32,
    events: u64,
    bad: Option<BadEvents>,
}

impl Told {
    fn add(&mut self, events: u64, bad: Option<&BadEvents>) {
        self.events += events;
        if let Some(bad) = bad {
            self.bad.get_or_insert_default().add(bad);
        }
    }
}

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
    pub fn take(&mut self, names: &mut EventNames, tuples: &Dictionary, operations: &Dictionary) -> ByGroup {
        if self.cells.is_empty() {
            return ByGroup::new();
        }
        let mut by_group: BTreeMap<u32, Vec<Told>> = BTreeMap::new();
        self.at.clear();
        self.bad_users.sort_unstable();
        names.make_room();
        let mut order: Vec<u32> = (0..self.cells.len() as u32).collect();
        order.sort_unstable_by_key(|at| self.cells[*at as usize].0);
        let cell = |at: &u32| self.cells[*at as usize].0;
        let is_same = |a: &Cell, b: &Cell| (a.start_ms, a.tuple, a.operation) == (b.start_ms, b.tuple, b.operation);
        for cells in order.chunk_by(|a, b| is_same(&cell(a), &cell(b))) {
            let Cell { start_ms, tuple, operation, .. } = cell(&cells[0]);
            let name = names.number((tuple, operation), tuples, operations);
            let mut all = Told { start_ms, name, ..Told::default() };
            for at in cells {
                let counts = self.cells[*at as usize].1;
                let (events, bad) = (counts.events, self.bad_of(*at, counts));
                all.add(events, bad.as_ref());
                let group = cell(at).group;
                if group != NONE {
                    by_group.entry(group).or_default().push(Told { start_ms, name, events, bad });
                }
            }
            by_group.entry(NONE).or_default().push(all);
        }
        self.cells.clear();
        self.bad_users.clear();
        by_group.values_mut().for_each(|told| cap_slices(told, names));
        names.sort();
        by_group.into_iter().map(|(group, told)| (group, Box::new(news_of(told, names)))).collect()
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

/// Of each slice with too many leaves, puts those that are over the limit into one.
fn cap_slices(told: &mut Vec<Told>, names: &mut EventNames) {
    if told.len() <= LEAVES_SENT {
        return;
    }
    let mut slices: BTreeMap<Ms, Vec<EventLeaf>> = BTreeMap::new();
    for Told { start_ms, name, events, bad } in std::mem::take(told) {
        let leaf = EventLeaf { tuple: Tuple::of_bytes(names.text(name)), events, bad };
        slices.entry(start_ms).or_default().push(leaf);
    }
    for (start_ms, mut leaves) in slices {
        cap(&mut leaves, LEAVES_SENT);
        told.extend(leaves.into_iter().map(|leaf| {
            let EventLeaf { tuple, events, bad } = leaf;
            Told { start_ms, name: names.intern(tuple.as_bytes()), events, bad }
        }));
    }
}

/// Leaves by their places among their texts. (Numbers of texts depend on what a task has seen before; what it says must not.)
fn news_of(mut told: Vec<Told>, names: &EventNames) -> EventNews {
    told.sort_unstable_by_key(|told| (told.start_ms, names.rank(told.name)));
    let mut used: Vec<(u32, u32)> = told.iter().map(|told| (names.rank(told.name), told.name)).collect();
    used.sort_unstable();
    used.dedup();
    let place = |name: u32| used.partition_point(|(rank, _)| *rank < names.rank(name)) as u32;
    let mut slices: Vec<EventSlice> = Vec::new();
    for Told { start_ms, name, events, bad } in told {
        if slices.last().is_none_or(|slice| slice.start_ms != start_ms) {
            slices.push(EventSlice { start_ms, ..EventSlice::default() });
        }
        let Some(slice) = slices.last_mut() else { continue };
        let leaf = place(name);
        match slice.all.last_mut().filter(|(last, _)| *last == leaf) {
            Some((_, sum)) => *sum += events,
            None => slice.all.push((leaf, events)),
        }
        if let Some(bad) = bad {
            slice.add_bad(leaf, &bad);
        }
    }
    EventNews { tuples: used.iter().map(|(_, name)| names.text(*name)).collect(), slices }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::MINUTE_MS;
    use crate::model::tuple;
    use crate::operator::event_leaf::is_other;

    struct Task {
        tally: EventTally,
        tuples: Dictionary,
        operations: Dictionary,
        names: EventNames,
    }

    impl Task {
        fn new() -> Task {
            let tally =
                EventTally { slice_ms: MINUTE_MS, at: HashMap::new(), cells: Vec::new(), bad_users: Vec::new() };
            Task {
                tally,
                tuples: Dictionary::default(),
                operations: Dictionary::default(),
                names: EventNames::default(),
            }
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
            self.tally.take(&mut self.names, &self.tuples, &self.operations)
        }
    }

    /// What is told, each leaf with its attributes.
    fn leaves(news: &EventNews, slice: usize) -> Vec<EventLeaf> {
        let EventSlice { all, bad, .. } = &news.slices[slice];
        let bad_of = |leaf: u32| bad.iter().find(|(of, _)| *of == leaf).map(|(_, bad)| bad.clone());
        let tuple = |leaf: u32| Tuple::of_bytes(news.tuples.get(leaf as usize));
        all.iter().map(|(leaf, n)| EventLeaf { tuple: tuple(*leaf), events: *n, bad: bad_of(*leaf) }).collect()
    }

    fn leaf(attributes: &[(&str, &str)], events: u64, bad: Option<BadEvents>) -> EventLeaf {
        EventLeaf { tuple: Tuple::of(attributes.iter().copied()), events, bad }
    }

    #[test]
    fn events_are_counted_by_slice_attributes_and_operation_with_or_without_a_user() {
        let mut told = Task::new();
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
        let news = &taken[&NONE];
        let starts: Vec<Ms> = news.slices.iter().map(|slice| slice.start_ms).collect();
        assert_eq!(starts, [0, 60_000]);
        assert_eq!(leaves(news, 0), [leaf(&pay, 1, Some(bad(1, 0)))]);
        let other = [("region", "eu"), ("tier", "pro")];
        let mut expected = [leaf(&pay, 3, Some(bad(2, 1))), leaf(&other, 1, None)];
        expected.sort_by(|a, b| a.tuple.cmp(&b.tuple));
        assert_eq!(leaves(news, 1), expected);
        assert!(told.take().is_empty(), "the next boundary has its own");
    }

    /// A task that read the log anew has other numbers for the same texts.
    #[test]
    fn leaves_leave_in_the_order_of_their_texts() {
        let (mut one, mut other) = (Task::new(), Task::new());
        let events = [("eu", "pay"), ("us", "browse"), ("ap", ""), ("eu", "browse")];
        events.iter().for_each(|(region, operation)| one.add(1_000, region, operation, NONE, None));
        events.iter().rev().for_each(|(region, operation)| other.add(1_000, region, operation, NONE, None));
        assert_eq!(one.take(), other.take());
        // Also where one of them knows more.
        [("xx", "pay"), ("ap", "pay")]
            .iter()
            .for_each(|(region, operation)| one.add(1_000, region, operation, NONE, None));
        one.take();
        events.iter().for_each(|(region, operation)| one.add(71_000, region, operation, NONE, Some(Some(3))));
        events.iter().for_each(|(region, operation)| other.add(71_000, region, operation, NONE, Some(Some(3))));
        assert_eq!(one.take(), other.take());
    }

    #[test]
    fn of_too_many_leaves_of_a_slice_those_with_the_fewest_events_become_one() {
        let mut task = Task::new();
        for i in 0..LEAVES_SENT + 10 {
            let times = if i % 2 == 0 { 2 } else { 1 };
            (0..times).for_each(|_| task.add(1_000, &format!("r{i}"), "", NONE, None));
        }
        task.add(61_000, "r1", "", NONE, None);
        let taken = task.take();
        let (capped, next) = (leaves(&taken[&NONE], 0), leaves(&taken[&NONE], 1));
        assert_eq!((capped.len(), next.len()), (LEAVES_SENT, 1));
        let events = |leaves: &[EventLeaf]| leaves.iter().map(|leaf| leaf.events).sum::<u64>();
        assert_eq!(events(&capped), 3 * (LEAVES_SENT as u64 + 10) / 2);
        let other = capped.iter().find(|leaf| is_other(&leaf.tuple)).expect("the others");
        assert_eq!(other.events, 11);
    }

    #[test]
    fn the_aggregate_is_the_sum_of_its_groups() {
        let mut told = Task::new();
        for (group, user) in [(3, 1), (3, 2), (5, 1), (5, 9)] {
            told.add(1_000, "eu", "pay", group, Some(Some(user)));
        }
        let taken = told.take();
        let bad = |group: u32| taken[&group].slices[0].bad[0].1.clone();
        assert_eq!((bad(3).events, bad(5).events, bad(NONE).events), (2, 2, 4));
        assert_eq!(bad(NONE).users, Crowd::of(vec![(1, 2), (2, 1), (9, 1)]));
        assert_eq!(bad(5).users, Crowd::of(vec![(1, 1), (9, 1)]));
    }
}
