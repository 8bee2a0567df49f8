//! Counts the users of a short window who had no bad event in it, which usually are nearly all users. The counts change
//! as events arrive and as slices leave the window, so the cost of a step follows the changes and not the number of
//! rows. Rows with a bad event are few; a step reads those.
//!
//! The result must equal that of a walk over all rows. [`super::step`] does such a walk for long windows, whose steps
//! are rare, and a test compares the two.

use super::intern::put;
use super::key_ref::KeyRef;
use crate::model::slo::Slo;
use crate::model::time::{HOUR_MS, Ms, floor_to, slice_ms, window_start};
use crate::operator::distribution::{ByEvents, DistributionBuilder};
use crate::operator::partial::Leaf;
use crate::operator::user_row::UserRow;
use hashbrown::HashMap;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The row has no event in the window.
const ABSENT: u32 = u32::MAX;
/// The row is not counted yet: the next step reads it.
const UNPLACED: u32 = u32::MAX - 1;
/// The row has a bad event in the window: every step reads it.
const BAD: u32 = u32::MAX - 2;

/// Where a row is counted.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The index of a cell, or one of the constants above.
    cell: u32,
    /// The row's events in the window.
    events: u32,
    /// The lower 32 bits of the number of its oldest slice in the window.
    oldest: u32,
}

/// The rows of one key whose users have the same attribute tuple.
#[derive(Debug)]
struct Cell {
    key: u32,
    tuple: u32,
    rows: u32,
    /// The users with at least `min_events` events, and the number of their events.
    users: u64,
    events: u64,
    /// The number of the events of all rows.
    all_events: u64,
}

/// The rows of one key.
#[derive(Debug)]
struct OfKey {
    key: KeyRef,
    rows: u32,
    /// Users by their number of events.
    by_events: ByEvents,
}

/// The users of one key and tuple who had events, and no bad one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Perfect {
    pub key: KeyRef,
    pub tuple: u32,
    pub users: u64,
    pub events: u64,
    /// Those with too few events, too.
    pub all_users: u64,
    pub all_events: u64,
}

impl Perfect {
    pub fn add_to(&self, leaf: &mut Leaf) {
        leaf.users += self.users;
        leaf.events += self.events;
        leaf.every.users += self.all_users;
        leaf.every.events += self.all_events;
    }
}

/// One user window of an SLO.
#[derive(Debug)]
pub(super) struct Tally {
    /// The index among the SLO's user windows.
    pub window: usize,
    window_ms: Ms,
    slice_ms: Ms,
    min_events: u64,
    /// The start of the window at its next step.
    start_ms: Ms,
    /// By row index.
    places: Vec<Place>,
    unplaced: Vec<u32>,
    bad: BTreeSet<u32>,
    /// For each slice from `start_ms` on: the rows of which it is the oldest slice in the window. Entries are not removed
    /// when a row moves elsewhere; outdated ones are skipped later.
    leaving: VecDeque<Vec<u32>>,
    cells: Vec<Cell>,
    free_cells: Vec<u32>,
    cell_of: HashMap<(KeyRef, u32), u32>,
    keys: Vec<OfKey>,
    free_keys: Vec<u32>,
    key_of: BTreeMap<KeyRef, u32>,
}

impl Tally {
    /// Tallies for the SLO's user windows with frequent steps. The longest window has none, because its walk over all
    /// rows also finds those that no window needs any more.
    pub fn all_of(slo: &Slo) -> Vec<Tally> {
        let windows = slo.user_windows_ms.iter().copied().enumerate();
        let short = windows.take(slo.user_windows_ms.len().saturating_sub(1)).filter(|(_, ms)| slice_ms(*ms) < HOUR_MS);
        short.map(|(window, window_ms)| Tally::new(window, window_ms, slo.min_user_events)).collect()
    }

    fn new(window: usize, window_ms: Ms, min_events: u64) -> Tally {
        Tally {
            window,
            window_ms,
            slice_ms: slice_ms(window_ms),
            // A user without an event in the window is not a user of the window.
            min_events: min_events.max(1),
            start_ms: Ms::MIN,
            places: Vec::new(),
            unplaced: Vec::new(),
            bad: BTreeSet::new(),
            leaving: VecDeque::new(),
            cells: Vec::new(),
            free_cells: Vec::new(),
            cell_of: HashMap::new(),
            keys: Vec::new(),
            free_keys: Vec::new(),
            key_of: BTreeMap::new(),
        }
    }

    /// A row was added, with or without events.
    pub fn begin(&mut self, row: u32) {
        let at = row as usize;
        if at >= self.places.len() {
            self.places.resize(at + 1, Place { cell: ABSENT, events: 0, oldest: 0 });
        }
        self.places[at].cell = UNPLACED;
        self.unplaced.push(row);
    }

    /// A row is removed. Entries in `leaving` and `unplaced` that name it are skipped later.
    pub fn end(&mut self, row: u32) {
        let Some(place) = self.places.get_mut(row as usize) else { return };
        let Place { cell, events, .. } = std::mem::replace(place, Place { cell: ABSENT, events: 0, oldest: 0 });
        match cell {
            ABSENT | UNPLACED => {}
            BAD => {
                self.bad.remove(&row);
            }
            cell => self.leave(cell, events),
        }
    }

    /// Reads where a row is counted, and says nothing of use: it brings the place into the caches.
    #[inline]
    pub fn touch(&self, row: u32) -> u64 {
        self.places.get(row as usize).map_or(0, |place| u64::from(place.events))
    }

    /// An event was added to a row; `tuple` is the row's tuple after it.
    #[inline]
    pub fn note(&mut self, row: u32, key: KeyRef, tuple: u32, time_ms: Ms, is_bad: bool) {
        let Some(place) = self.places.get_mut(row as usize) else { return };
        match place.cell {
            UNPLACED | BAD => {}
            ABSENT => {
                place.cell = UNPLACED;
                self.unplaced.push(row);
            }
            // So late that it is before the window.
            _ if time_ms < self.start_ms => {}
            cell if is_bad => {
                let events = place.events;
                place.cell = BAD;
                self.bad.insert(row);
                self.leave(cell, events);
            }
            cell => {
                let Place { events, oldest, .. } = *place;
                place.events += 1;
                let slice_start_ms = floor_to(time_ms, self.slice_ms);
                if (self.number(slice_start_ms).wrapping_sub(oldest) as i32) < 0 {
                    self.wait(row, slice_start_ms);
                }
                if self.cells[cell as usize].tuple == tuple {
                    self.recount(cell, events, events + 1);
                } else {
                    self.leave(cell, events);
                    self.places[row as usize].cell = self.enter(key, tuple, events + 1);
                }
            }
        }
    }

    /// A row has another tuple.
    pub fn retuple(&mut self, row: u32, key: KeyRef, tuple: u32) {
        let Some(Place { cell, events, .. }) = self.places.get(row as usize).copied() else { return };
        if cell < BAD && self.cells[cell as usize].tuple != tuple {
            self.leave(cell, events);
            self.places[row as usize].cell = self.enter(key, tuple, events);
        }
    }

    /// Brings the counts up to date for a step, and returns the rows with a bad event in the window.
    pub fn at_step(&mut self, at_ms: Ms, rows: &[UserRow], key_of: impl Fn(&UserRow) -> KeyRef) -> Vec<u32> {
        self.advance(window_start(at_ms, self.window_ms), rows);
        for row in std::mem::take(&mut self.unplaced) {
            if self.places[row as usize].cell == UNPLACED {
                self.place(row, &rows[row as usize], &key_of);
            }
        }
        let has_bad = |row: &u32| rows[*row as usize].has_bad_since(self.start_ms);
        let (with_bad, recovered): (Vec<u32>, Vec<u32>) = self.bad.iter().copied().partition(has_bad);
        for row in recovered {
            self.bad.remove(&row);
            self.place(row, &rows[row as usize], &key_of);
        }
        with_bad
    }

    /// Moves the window on to its next step, before events for that step arrive.
    pub fn after_step(&mut self, at_ms: Ms, rows: &[UserRow]) {
        self.advance(window_start(at_ms + self.slice_ms, self.window_ms), rows);
    }

    fn place(&mut self, row: u32, of: &UserRow, key_of: impl Fn(&UserRow) -> KeyRef) {
        let sums = of.sums_since(self.start_ms);
        let Some(first_ms) = of.first_since(self.start_ms) else {
            self.places[row as usize].cell = ABSENT;
            return;
        };
        if sums.bad_events > 0 {
            self.places[row as usize].cell = BAD;
            self.bad.insert(row);
            return;
        }
        let events = u32::try_from(sums.events).unwrap_or(u32::MAX);
        let cell = self.enter(key_of(of), of.tuple, events);
        self.places[row as usize] = Place { cell, events, oldest: 0 };
        self.wait(row, floor_to(first_ms, self.slice_ms));
    }

    /// Schedules a look at the row for when this slice leaves the window.
    fn wait(&mut self, row: u32, slice_start_ms: Ms) {
        self.places[row as usize].oldest = self.number(slice_start_ms);
        let at = usize::try_from((slice_start_ms - self.start_ms) / self.slice_ms).unwrap_or(0);
        if at >= self.leaving.len() {
            self.leaving.resize_with(at + 1, Vec::new);
        }
        self.leaving[at].push(row);
    }

    /// Moves the start of the window: slices leave it.
    fn advance(&mut self, start_ms: Ms, rows: &[UserRow]) {
        while self.start_ms < start_ms {
            let Some(leaving) = self.leaving.pop_front() else {
                self.start_ms = start_ms;
                return;
            };
            let slice_start_ms = self.start_ms;
            self.start_ms += self.slice_ms;
            let number = self.number(slice_start_ms);
            for row in leaving {
                let Place { cell, events, oldest } = self.places[row as usize];
                if cell >= BAD || oldest != number {
                    continue;
                }
                let (gone, next_ms) = rows[row as usize].leaving(slice_start_ms, self.start_ms);
                let left = events - u32::try_from(gone).unwrap_or(u32::MAX);
                match next_ms {
                    Some(next_ms) => {
                        self.places[row as usize].events = left;
                        self.recount(cell, events, left);
                        self.wait(row, floor_to(next_ms, self.slice_ms));
                    }
                    None => {
                        self.places[row as usize].cell = ABSENT;
                        self.leave(cell, events);
                    }
                }
            }
        }
    }

    fn number(&self, slice_start_ms: Ms) -> u32 {
        (slice_start_ms / self.slice_ms) as u32
    }

    fn enter(&mut self, key: KeyRef, tuple: u32, events: u32) -> u32 {
        let cell = match self.cell_of.get(&(key, tuple)) {
            Some(cell) => *cell,
            None => self.new_cell(key, tuple),
        };
        let of = &mut self.cells[cell as usize];
        of.rows += 1;
        self.keys[of.key as usize].rows += 1;
        self.recount(cell, 0, events);
        cell
    }

    fn leave(&mut self, cell: u32, events: u32) {
        self.recount(cell, events, 0);
        let of = &mut self.cells[cell as usize];
        of.rows -= 1;
        let (key, tuple, is_empty) = (of.key, of.tuple, of.rows == 0);
        let of_key = &mut self.keys[key as usize];
        of_key.rows -= 1;
        if is_empty {
            self.cell_of.remove(&(of_key.key, tuple));
            self.free_cells.push(cell);
        }
        if of_key.rows == 0 {
            self.key_of.remove(&of_key.key);
            self.free_keys.push(key);
        }
    }

    #[cold]
    fn new_cell(&mut self, key: KeyRef, tuple: u32) -> u32 {
        let of_key = match self.key_of.get(&key) {
            Some(known) => *known,
            None => {
                let new = OfKey { key, rows: 0, by_events: ByEvents::default() };
                let at = put(&mut self.keys, &mut self.free_keys, new);
                self.key_of.insert(key, at);
                at
            }
        };
        let new = Cell { key: of_key, tuple, rows: 0, users: 0, events: 0, all_events: 0 };
        let at = put(&mut self.cells, &mut self.free_cells, new);
        self.cell_of.insert((key, tuple), at);
        at
    }

    /// The number of a row's events in the window changed; 0 means that the row is not in the window.
    #[inline]
    fn recount(&mut self, cell: u32, before: u32, after: u32) {
        let cell = &mut self.cells[cell as usize];
        let of_key = &mut self.keys[cell.key as usize];
        let is_enough = |events: u32| u64::from(events) >= self.min_events;
        if before > 0 {
            cell.all_events -= u64::from(before);
            of_key.by_events.take(u64::from(before));
        }
        if after > 0 {
            cell.all_events += u64::from(after);
            of_key.by_events.add(u64::from(after));
        }
        if is_enough(before) {
            cell.users -= 1;
            cell.events -= u64::from(before);
        }
        if is_enough(after) {
            cell.users += 1;
            cell.events += u64::from(after);
        }
    }

    /// The distributions of all keys, over users without a bad event only.
    pub fn distributions(&self) -> impl Iterator<Item = (KeyRef, DistributionBuilder)> {
        self.key_of.iter().map(|(key, at)| {
            let of = &self.keys[*at as usize];
            (*key, DistributionBuilder::of_perfect(of.by_events.clone(), self.min_events))
        })
    }

    /// Users by key and tuple, in an arbitrary order.
    pub fn cells(&self) -> impl Iterator<Item = Perfect> {
        self.cells.iter().filter(|cell| cell.rows > 0).map(|cell| Perfect {
            key: self.keys[cell.key as usize].key,
            tuple: cell.tuple,
            users: cell.users,
            events: cell.events,
            all_users: u64::from(cell.rows),
            all_events: cell.all_events,
        })
    }

    /// An estimate of its memory.
    pub fn bytes(&self) -> usize {
        // Each row is in one list of `leaving`, and each cell also in an index.
        self.places.capacity() * (size_of::<Place>() + size_of::<u32>()) + self.cells.capacity() * 3 * size_of::<Cell>()
    }
}

#[cfg(test)]
mod tests;
