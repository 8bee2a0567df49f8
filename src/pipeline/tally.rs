//! The users of a short window who had no bad event in it: nearly all of them, nearly always. They are
//! counted as their events come and as slices leave the window, so that a step of the window costs what
//! changed, and not a walk over all rows. Rows with a bad event are few; a step reads them itself.
//!
//! What a walk over all rows would find, and nothing else, is the rule: [`super::step`] walks where a
//! window is long and its steps are rare, and a test holds the two against each other.

use super::intern::put;
use super::users::KeyRef;
use crate::model::slo::Slo;
use crate::model::time::{HOUR_MS, Ms, floor_to, slice_ms, window_start};
use crate::operator::distribution::{ByEvents, Gathering, UserSums};
use crate::operator::user_row::UserRow;
use hashbrown::HashMap;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The row has no event in the window.
const ABSENT: u32 = u32::MAX;
/// The row is new here: the next step reads it.
const UNPLACED: u32 = u32::MAX - 1;
/// The row has a bad event in the window: every step reads it.
const BAD: u32 = u32::MAX - 2;

/// Where a row is counted.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// A cell, or one of the marks above.
    cell: u32,
    /// Events in the window.
    events: u32,
    /// The number of its oldest slice in the window, as far as it goes into these bits.
    oldest: u32,
}

/// The rows of one key whose users share an attribute tuple.
#[derive(Debug)]
struct Cell {
    key: u32,
    tuple: u32,
    rows: u32,
    /// Of these, those with enough events, and their events.
    users: u64,
    events: u64,
}

/// The rows of one key.
#[derive(Debug)]
struct OfKey {
    key: KeyRef,
    rows: u32,
    users_too_few: u64,
    /// Users with enough events.
    by_events: ByEvents,
}

/// What a step says of the users of a tuple who had no bad event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Perfect {
    pub key: KeyRef,
    pub tuple: u32,
    pub users: u64,
    pub events: u64,
}

/// One user window of an SLO.
#[derive(Debug)]
pub(super) struct Tally {
    /// Which of the SLO's user windows it is.
    pub window: usize,
    window_ms: Ms,
    slice_ms: Ms,
    min_events: u64,
    /// Where the window begins at its next step.
    start_ms: Ms,
    /// By row.
    places: Vec<Place>,
    unplaced: Vec<u32>,
    bad: BTreeSet<u32>,
    /// By slice, from `start_ms` on: the rows whose oldest slice in the window it is. (A row that is counted
    /// elsewhere now may still be named.)
    leaving: VecDeque<Vec<u32>>,
    cells: Vec<Cell>,
    free_cells: Vec<u32>,
    cell_of: HashMap<(KeyRef, u32), u32>,
    keys: Vec<OfKey>,
    free_keys: Vec<u32>,
    key_of: BTreeMap<KeyRef, u32>,
}

impl Tally {
    /// The windows of an SLO that are kept: those with frequent steps, but for the longest one, whose walk
    /// says which rows nobody asks for any more.
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
            // Who has no event in the window is no user of it.
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

    /// A row that was not there before, with events or without.
    pub fn begin(&mut self, row: u32) {
        let at = row as usize;
        if at >= self.places.len() {
            self.places.resize(at + 1, Place { cell: ABSENT, events: 0, oldest: 0 });
        }
        self.places[at].cell = UNPLACED;
        self.unplaced.push(row);
    }

    /// A row goes. What names it is passed over later.
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

    /// An event was added to a row, which has the tuple that it has behind it.
    #[inline]
    pub fn note(&mut self, row: u32, key: KeyRef, tuple: u32, time_ms: Ms, is_bad: bool) {
        let Some(place) = self.places.get_mut(row as usize) else { return };
        match place.cell {
            UNPLACED | BAD => {}
            ABSENT => {
                place.cell = UNPLACED;
                self.unplaced.push(row);
            }
            // It came so late that it has left the window already.
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

    /// Counts what is new at a step, and returns the rows with a bad event in the window.
    pub fn at_step(
        &mut self,
        at_ms: Ms,
        rows: &[UserRow],
        key_of: impl Fn(&UserRow) -> KeyRef,
    ) -> Vec<(u32, UserSums)> {
        self.advance(window_start(at_ms, self.window_ms), rows);
        for row in std::mem::take(&mut self.unplaced) {
            if self.places[row as usize].cell == UNPLACED {
                self.place(row, &rows[row as usize], &key_of);
            }
        }
        let sums = |row: &u32| (*row, rows[*row as usize].sums_since(self.start_ms));
        let (with_bad, recovered): (Vec<_>, Vec<_>) =
            self.bad.iter().map(sums).partition(|(_, sums)| sums.bad_events > 0);
        for (row, _) in recovered {
            self.bad.remove(&row);
            self.place(row, &rows[row as usize], &key_of);
        }
        with_bad
    }

    /// The step was taken: on to the next one, before an event comes for it.
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

    /// A row is looked at again when this slice leaves the window.
    fn wait(&mut self, row: u32, slice_start_ms: Ms) {
        self.places[row as usize].oldest = self.number(slice_start_ms);
        let at = usize::try_from((slice_start_ms - self.start_ms) / self.slice_ms).unwrap_or(0);
        if at >= self.leaving.len() {
            self.leaving.resize_with(at + 1, Vec::new);
        }
        self.leaving[at].push(row);
    }

    /// The window begins later: slices leave it.
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
                let new = OfKey { key, rows: 0, users_too_few: 0, by_events: ByEvents::default() };
                let at = put(&mut self.keys, &mut self.free_keys, new);
                self.key_of.insert(key, at);
                at
            }
        };
        let new = Cell { key: of_key, tuple, rows: 0, users: 0, events: 0 };
        let at = put(&mut self.cells, &mut self.free_cells, new);
        self.cell_of.insert((key, tuple), at);
        at
    }

    /// A row of a cell has another number of events in the window; 0: it is not in it.
    #[inline]
    fn recount(&mut self, cell: u32, before: u32, after: u32) {
        let cell = &mut self.cells[cell as usize];
        let of_key = &mut self.keys[cell.key as usize];
        let is_enough = |events: u32| u64::from(events) >= self.min_events;
        if is_enough(before) {
            cell.users -= 1;
            cell.events -= u64::from(before);
            of_key.by_events.take(u64::from(before));
        } else if before > 0 {
            of_key.users_too_few -= 1;
        }
        if is_enough(after) {
            cell.users += 1;
            cell.events += u64::from(after);
            of_key.by_events.add(u64::from(after));
        } else if after > 0 {
            of_key.users_too_few += 1;
        }
    }

    /// The distributions of all keys, as far as users without a bad event go.
    pub fn distributions(&self) -> impl Iterator<Item = (KeyRef, Gathering)> {
        self.key_of.iter().map(|(key, at)| {
            let of = &self.keys[*at as usize];
            (*key, Gathering::of_perfect(of.users_too_few, of.by_events.clone()))
        })
    }

    /// Users with enough events by key and tuple, in no order that means anything.
    pub fn cells(&self) -> impl Iterator<Item = Perfect> {
        self.cells.iter().filter(|cell| cell.users > 0).map(|cell| {
            let key = self.keys[cell.key as usize].key;
            Perfect { key, tuple: cell.tuple, users: cell.users, events: cell.events }
        })
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        // A row stands in one list of those that leave; a cell in its index too.
        self.places.capacity() * (size_of::<Place>() + size_of::<u32>()) + self.cells.capacity() * 3 * size_of::<Cell>()
    }
}

#[cfg(test)]
mod tests;
