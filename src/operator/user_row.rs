//! A user's row: sparse slices of integer sums, newest last.
//!
//! There is one row per (SLO, user), and one per (SLO, user, group) where the SLO has groups. A row
//! keeps no running sums and no timers: whoever asks for a window adds up the slices that are in it.
//! Slices get coarser as they leave the shorter windows, so a row stays small.

use super::distribution::UserSums;
use crate::model::slo::USER_WINDOWS_MAX;
use crate::model::time::{Ms, PANE_MS, floor_to, slice_ms, window_start};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// No group: the row of all the user's events.
pub const NO_GROUP: u32 = u32::MAX;

/// A slice of a user's events. Sums of micro-weights saturate at 1.8e13 weighted events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct UserSlice {
    start_pane: u64,
    events: u32,
    bad_events: u32,
    good: u64,
    bad: u64,
}

impl UserSlice {
    fn add(&mut self, other: &UserSlice) {
        self.events = self.events.saturating_add(other.events);
        self.bad_events = self.bad_events.saturating_add(other.bad_events);
        self.good = self.good.saturating_add(other.good);
        self.bad = self.bad.saturating_add(other.bad);
    }
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    /// Indices into the task's tables: they mean something in this process only.
    #[serde(skip)]
    pub user: u32,
    #[serde(skip)]
    pub tuple: u32,
    pub group: u32,
    /// Bit `i`: listed among the rows active in the SLO's i-th user window.
    #[serde(skip)]
    pub listed: u16,
    /// Changed since the last checkpoint.
    #[serde(skip)]
    pub dirty: bool,
    pub last_ms: Ms,
    pub last_bad_ms: Ms,
    /// The time of the event that `tuple` is from.
    pub tuple_ms: Ms,
    slices: SmallVec<[UserSlice; 1]>,
    /// Panes with bad events, ascending, for at least a day: first and last bad, and later their minutes.
    bad_panes: Vec<(u64, u32)>,
}

// One bit of `UserRow::listed` each.
const _: () = assert!(USER_WINDOWS_MAX <= u16::BITS as usize);

/// How long a row remembers which panes had bad events.
pub const BAD_PANES_KEPT_MS: Ms = crate::model::time::DAY_MS;

/// "Never": before every event.
pub const NEVER: Ms = Ms::MIN;

/// One event of a user.
#[derive(Clone, Copy, Debug)]
pub struct UserEvent {
    pub time_ms: Ms,
    pub weight_micros: u64,
    pub is_bad: bool,
}

impl UserRow {
    pub fn new(user: u32, group: u32) -> UserRow {
        UserRow {
            user,
            group,
            tuple: u32::MAX,
            listed: 0,
            dirty: false,
            last_ms: NEVER,
            last_bad_ms: NEVER,
            tuple_ms: NEVER,
            slices: SmallVec::new(),
            bad_panes: Vec::new(),
        }
    }

    /// Adds an event; `windows_ms` (ascending) are the SLO's user windows, `at_ms` the boundary.
    pub fn add(&mut self, event: &UserEvent, windows_ms: &[Ms], at_ms: Ms) {
        let finest_ms = windows_ms.first().map_or(PANE_MS, |w| slice_ms(*w));
        let start_pane = pane_of(floor_to(event.time_ms, finest_ms));
        let (good, bad) = if event.is_bad { (0, event.weight_micros) } else { (event.weight_micros, 0) };
        let bad_events = u32::from(event.is_bad);
        let one = UserSlice { start_pane, events: 1, bad_events, good, bad };
        match self.slices.last_mut() {
            Some(last) if last.start_pane == start_pane => last.add(&one),
            _ => self.insert(one, windows_ms, at_ms),
        }
        self.last_ms = self.last_ms.max(event.time_ms);
        if event.is_bad {
            self.last_bad_ms = self.last_bad_ms.max(event.time_ms);
            self.note_bad_pane(pane_of(event.time_ms), at_ms);
        }
    }

    #[cold]
    fn insert(&mut self, slice: UserSlice, windows_ms: &[Ms], at_ms: Ms) {
        if self.slices.len() == self.slices.capacity() {
            self.coarsen(windows_ms, at_ms);
        }
        let at = self.slices.partition_point(|s| s.start_pane < slice.start_pane);
        match self.slices.get_mut(at) {
            Some(same) if same.start_pane == slice.start_pane => same.add(&slice),
            _ => self.slices.insert(at, slice),
        }
    }

    fn note_bad_pane(&mut self, pane: u64, at_ms: Ms) {
        let keep_from = pane_of((at_ms - BAD_PANES_KEPT_MS).max(0)).saturating_sub(360);
        if self.bad_panes.len() == self.bad_panes.capacity() {
            self.bad_panes.retain(|(p, _)| *p >= keep_from);
        }
        let at = self.bad_panes.partition_point(|(p, _)| *p < pane);
        match self.bad_panes.get_mut(at) {
            Some(entry) if entry.0 == pane => entry.1 = entry.1.saturating_add(1),
            _ => self.bad_panes.insert(at, (pane, 1)),
        }
    }

    /// Merges the slices that have left a shorter window into those of the next longer one, and drops
    /// those that have left all. No window's sum changes: starts are multiples of the coarser slice.
    fn coarsen(&mut self, windows_ms: &[Ms], at_ms: Ms) {
        let mut kept: SmallVec<[UserSlice; 1]> = SmallVec::new();
        for slice in &self.slices {
            let time_ms = ms_of(slice.start_pane);
            let Some(window_ms) = windows_ms.iter().find(|w| time_ms >= window_start(at_ms, **w)) else {
                continue;
            };
            let start_pane = pane_of(floor_to(time_ms, slice_ms(*window_ms)));
            match kept.last_mut() {
                Some(last) if last.start_pane == start_pane => last.add(slice),
                _ => kept.push(UserSlice { start_pane, ..*slice }),
            }
        }
        self.slices = kept;
    }

    /// Reads what an event will change, and says nothing of use: it brings the row into the caches.
    #[inline]
    pub fn touch(&self) -> u64 {
        self.slices.last().map_or(0, |last| last.start_pane) ^ self.last_ms as u64
    }

    /// The sums over the events since `start_ms` (the start of one of the user windows).
    pub fn sums_since(&self, start_ms: Ms) -> UserSums {
        let start_pane = pane_of(start_ms.max(0));
        let mut sums = UserSums::default();
        for slice in self.slices.iter().rev().take_while(|s| s.start_pane >= start_pane) {
            sums.events += u64::from(slice.events);
            sums.bad_events += u64::from(slice.bad_events);
            sums.good += u128::from(slice.good);
            sums.bad += u128::from(slice.bad);
        }
        sums
    }

    /// Where the oldest slice since `start_ms` begins.
    pub fn first_since(&self, start_ms: Ms) -> Option<Ms> {
        let start_pane = pane_of(start_ms.max(0));
        let at = self.slices.partition_point(|s| s.start_pane < start_pane);
        self.slices.get(at).map(|slice| ms_of(slice.start_pane))
    }

    /// A window that began at `from_ms` begins at `to_ms`: how many events left it, and where the oldest slice in it
    /// begins now.
    pub fn leaving(&self, from_ms: Ms, to_ms: Ms) -> (u64, Option<Ms>) {
        let (from, to) = (pane_of(from_ms.max(0)), pane_of(to_ms.max(0)));
        let at = self.slices.partition_point(|s| s.start_pane < to);
        let gone = self.slices[..at].iter().rev().take_while(|s| s.start_pane >= from);
        (gone.map(|s| u64::from(s.events)).sum(), self.slices.get(at).map(|slice| ms_of(slice.start_pane)))
    }

    /// The panes of the first and the last bad event since `start_ms` (no further back than a day).
    pub fn first_and_last_bad(&self, start_ms: Ms) -> (Option<Ms>, Option<Ms>) {
        let from = self.bad_panes.partition_point(|(p, _)| ms_of(*p) < start_ms);
        let first = self.bad_panes.get(from).map(|(p, _)| ms_of(*p));
        (first, first.and(self.bad_panes.last().map(|(p, _)| ms_of(*p))))
    }

    /// Panes with bad events since `start_ms`, and how many.
    pub fn bad_panes_since(&self, start_ms: Ms) -> Vec<(Ms, u64)> {
        let from = self.bad_panes.partition_point(|(p, _)| ms_of(*p) < start_ms);
        self.bad_panes[from..].iter().map(|(p, bad)| (ms_of(*p), u64::from(*bad))).collect()
    }

    /// Heap bytes beside the row itself, for the memory limit.
    pub fn heap_bytes(&self) -> usize {
        let spilled = if self.slices.spilled() { self.slices.capacity() * size_of::<UserSlice>() } else { 0 };
        spilled + self.bad_panes.capacity() * size_of::<(u64, u32)>()
    }
}

/// Times are within the years 2000 to 9999; what lies before 1970 (the start of a window, at most)
/// is pane 0.
fn pane_of(time_ms: Ms) -> u64 {
    u64::try_from(time_ms / PANE_MS).unwrap_or(0)
}

fn ms_of(pane: u64) -> Ms {
    pane as Ms * PANE_MS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::{DAY_MS, HOUR_MS, MINUTE_MS};
    use proptest::prelude::*;

    const WINDOWS: [Ms; 3] = [HOUR_MS, DAY_MS, 28 * DAY_MS];
    const NOW: Ms = 1_780_000_000_000 - 1_780_000_000_000 % DAY_MS;

    proptest! {
        /// Whatever the order of events (late ones too) and however often a row is coarsened, each
        /// window's sum is that of the events in it.
        #[test]
        fn every_window_sums_exactly_its_events(
            events in prop::collection::vec((0i64..40 * DAY_MS, any::<bool>(), 1u64..3_000_000), 1..400),
            late in prop::collection::vec(0i64..2 * HOUR_MS, 400),
        ) {
            let mut events = events;
            events.sort_by_key(|e| e.0);
            let mut row = UserRow::new(0, NO_GROUP);
            let mut seen: Vec<(Ms, bool, u64)> = Vec::new();
            for (i, (offset, is_bad, weight)) in events.iter().enumerate() {
                let at_ms = floor_to(NOW + offset, PANE_MS) + PANE_MS;
                let time_ms = if i % 3 == 0 { NOW + offset - late[i] } else { NOW + offset };
                row.add(&UserEvent { time_ms, weight_micros: *weight, is_bad: *is_bad }, &WINDOWS, at_ms);
                seen.push((time_ms, *is_bad, *weight));
                for window_ms in WINDOWS {
                    let step_ms = floor_to(at_ms, slice_ms(window_ms)) + slice_ms(window_ms);
                    let start_ms = window_start(step_ms, window_ms);
                    let mut expected = UserSums::default();
                    for (_, bad, weight) in seen.iter().filter(|(t, ..)| *t >= start_ms) {
                        expected.events += 1;
                        expected.bad_events += u64::from(*bad);
                        *(if *bad { &mut expected.bad } else { &mut expected.good }) += u128::from(*weight);
                    }
                    prop_assert_eq!(row.sums_since(start_ms), expected);
                }
            }
        }
    }

    #[test]
    fn a_steady_user_keeps_few_slices() {
        let mut row = UserRow::new(0, NO_GROUP);
        for minute in 0..40 * 24 * 60 {
            let time_ms = NOW + minute * MINUTE_MS;
            row.add(&UserEvent { time_ms, weight_micros: 1, is_bad: false }, &WINDOWS, time_ms + PANE_MS);
        }
        assert!(row.slices.len() < 400, "{} slices", row.slices.len());
    }
}
