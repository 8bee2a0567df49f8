//! A user's row: sparse slices of integer sums, newest last.
//!
//! There is one row per (SLO, user), and one per (SLO, user, group) where the SLO has groups. A row
//! keeps no running sums and no timers: whoever asks for a window adds up the slices that are in it.
//! Slices get coarser as they leave the shorter windows, so a row stays small.

use super::distribution::UserSums;
use crate::model::slo::USER_WINDOWS_MAX;
use crate::model::time::{MINUTE_MS, Ms, PANE_MS, floor_to, slice_ms, window_start};
use serde::Deserialize;
use smallvec::SmallVec;

/// No group: the row of all the user's events.
pub const NO_GROUP: u32 = u32::MAX;

/// Events of a user in a slice: all of them with the weight of the good ones, or the bad ones with theirs. Sums of
/// micro-weights saturate at 1.8e13 weighted events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slice {
    /// The pane that it begins with; see [`UserRow::pane`].
    low: u32,
    events: u32,
    weight: u64,
}

impl Slice {
    fn add(&mut self, other: &Slice) {
        self.events = self.events.saturating_add(other.events);
        self.weight = self.weight.saturating_add(other.weight);
    }
}

/// What only users with a bad event have: few, nearly always.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bad {
    last_ms: Ms,
    slices: Vec<Slice>,
    /// Panes with bad events, ascending, for at least a day: first and last bad, and later their minutes.
    panes: Vec<(u64, u32)>,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "stored::Row")]
pub struct UserRow {
    /// Indices into the task's tables: they mean something in this process only.
    pub user: u32,
    pub tuple: u32,
    pub group: u32,
    /// Bit `i`: listed among the rows active in the SLO's i-th user window.
    pub listed: u16,
    /// Changed since the last checkpoint.
    pub dirty: bool,
    pub last_ms: Ms,
    /// The time of the event that `tuple` is from.
    pub tuple_ms: Ms,
    slices: SmallVec<[Slice; 1]>,
    bad: Option<Box<Bad>>,
}

// A quiet user costs little more than its row.
const _: () = assert!(size_of::<UserRow>() <= 64);

// One bit of `UserRow::listed` each.
const _: () = assert!(USER_WINDOWS_MAX <= u16::BITS as usize);

/// How long a row remembers which panes had bad events.
pub const BAD_PANES_KEPT_MS: Ms = crate::model::time::DAY_MS;

/// Panes in a minute.
const PANES_A_MINUTE: u64 = (MINUTE_MS / PANE_MS) as u64;

/// "Never": before every event.
pub const NEVER: Ms = Ms::MIN;

/// One event of a user.
#[derive(Clone, Copy, Debug)]
pub struct UserEvent {
    pub time_ms: Ms,
    pub weight_micros: u64,
    pub is_bad: bool,
}

/// Whether an event is the first of its user in a period: at all, of the good ones, of the bad ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FirstInPeriod {
    pub event: bool,
    pub good: bool,
    pub bad: bool,
}

/// Panes may be that far from a row's last event: 340 years. What is older leaves a row before an event that is.
const REACH_PANES: u64 = 1 << 30;

impl UserRow {
    pub fn new(user: u32, group: u32) -> UserRow {
        UserRow {
            user,
            group,
            tuple: u32::MAX,
            listed: 0,
            dirty: false,
            last_ms: NEVER,
            tuple_ms: NEVER,
            slices: SmallVec::new(),
            bad: None,
        }
    }

    /// The time of the last bad event.
    pub fn last_bad_ms(&self) -> Ms {
        self.bad.as_ref().map_or(NEVER, |bad| bad.last_ms)
    }

    /// Adds an event; `windows_ms` (ascending) are the SLO's user windows, `at_ms` the boundary.
    pub fn add(&mut self, event: &UserEvent, windows_ms: &[Ms], at_ms: Ms) {
        let finest_ms = windows_ms.first().map_or(PANE_MS, |w| slice_ms(*w));
        let pane = pane_of(floor_to(event.time_ms, finest_ms));
        let is_far = self.last_ms != NEVER && pane > self.last_pane().saturating_add(REACH_PANES);
        // Good and bad events of a slice are made coarser together, so that both have the same slices.
        if is_far || event.is_bad && self.bad.as_ref().is_some_and(|bad| bad.slices.len() == bad.slices.capacity()) {
            self.coarsen(windows_ms, at_ms);
        }
        self.last_ms = self.last_ms.max(event.time_ms);
        let good = if event.is_bad { 0 } else { event.weight_micros };
        let one = Slice { low: pane as u32, events: 1, weight: good };
        match self.slices.last_mut() {
            Some(last) if last.low == one.low => last.add(&one),
            _ => self.insert(one, windows_ms, at_ms),
        }
        if event.is_bad {
            self.add_bad(event, pane, at_ms);
        }
    }

    /// Adds an event of a user who is counted by the periods of a calendar: the row has one slice a period. `period_ms` is
    /// where the event's begins; `None`: so long ago that nobody asks. Older ones than `keep_from_ms` are dropped.
    pub fn add_in_period(
        &mut self,
        event: &UserEvent,
        period_ms: Option<Ms>,
        keep_from_ms: Ms,
        at_ms: Ms,
    ) -> FirstInPeriod {
        self.last_ms = self.last_ms.max(event.time_ms);
        let keep_from = self.place_of(pane_of(keep_from_ms.max(0)));
        let last = self.last_pane() as u32;
        let is_kept = |slice: &Slice| slice.low.wrapping_sub(last) as i32 >= keep_from;
        self.slices.retain(|slice| is_kept(slice));
        if let Some(bad) = &mut self.bad {
            bad.slices.retain(is_kept);
        }
        let Some(pane) = period_ms.map(|ms| pane_of(ms.max(0))) else {
            if event.is_bad {
                let bad = self.bad.get_or_insert_with(Bad::new);
                bad.last_ms = bad.last_ms.max(event.time_ms);
                bad.note_pane(pane_of(event.time_ms), at_ms);
            }
            return FirstInPeriod::default();
        };
        let place = self.place(pane as u32);
        let has_bad = self.bad.as_ref().is_some_and(|bad| self.find(&bad.slices, place).is_ok());
        let good = if event.is_bad { 0 } else { event.weight_micros };
        let one = Slice { low: pane as u32, events: 1, weight: good };
        let (is_first, has_good) = match self.find(&self.slices, place) {
            Ok(at) => {
                let has_good = self.slices[at].weight > 0;
                self.slices[at].add(&one);
                (false, has_good)
            }
            Err(at) => {
                self.slices.insert(at, one);
                (true, false)
            }
        };
        if event.is_bad {
            self.add_bad(event, pane, at_ms);
        }
        FirstInPeriod { event: is_first, good: !event.is_bad && !has_good, bad: event.is_bad && !has_bad }
    }

    #[cold]
    fn insert(&mut self, slice: Slice, windows_ms: &[Ms], at_ms: Ms) {
        if self.slices.len() == self.slices.capacity() {
            self.coarsen(windows_ms, at_ms);
        }
        match self.find(&self.slices, self.place(slice.low)) {
            Ok(at) => self.slices[at].add(&slice),
            Err(at) => self.slices.insert(at, slice),
        }
    }

    #[cold]
    fn add_bad(&mut self, event: &UserEvent, pane: u64, at_ms: Ms) {
        let mut bad = self.bad.take().unwrap_or_else(Bad::new);
        bad.last_ms = bad.last_ms.max(event.time_ms);
        bad.note_pane(pane_of(event.time_ms), at_ms);
        let one = Slice { low: pane as u32, events: 1, weight: event.weight_micros };
        match self.find(&bad.slices, self.place(one.low)) {
            Ok(at) => bad.slices[at].add(&one),
            Err(at) => bad.slices.insert(at, one),
        }
        self.bad = Some(bad);
    }

    fn last_pane(&self) -> u64 {
        pane_of(self.last_ms)
    }

    /// Where a pane, of which the low bits are kept, lies behind the pane of the row's last event.
    fn place(&self, low: u32) -> i32 {
        low.wrapping_sub(self.last_pane() as u32) as i32
    }

    /// The pane of which the low bits are kept.
    fn pane(&self, low: u32) -> u64 {
        self.last_pane().saturating_add_signed(i64::from(self.place(low)))
    }

    /// The place of a pane that may be anywhere.
    fn place_of(&self, pane: u64) -> i32 {
        let place = pane as i64 - self.last_pane() as i64;
        i32::try_from(place).unwrap_or(if place < 0 { i32::MIN } else { i32::MAX })
    }

    fn find(&self, slices: &[Slice], place: i32) -> Result<usize, usize> {
        slices.binary_search_by_key(&place, |slice| self.place(slice.low))
    }

    /// Slices in front of a pane.
    fn before(&self, slices: &[Slice], pane: u64) -> usize {
        let place = self.place_of(pane);
        slices.partition_point(|slice| self.place(slice.low) < place)
    }

    /// Merges the slices that have left a shorter window into those of the next longer one, and drops
    /// those that have left all. No window's sum changes: starts are multiples of the coarser slice.
    fn coarsen(&mut self, windows_ms: &[Ms], at_ms: Ms) {
        self.slices = self.coarser(&self.slices, windows_ms, at_ms).into_iter().collect();
        if let Some(mut bad) = self.bad.take() {
            bad.slices = self.coarser(&bad.slices, windows_ms, at_ms);
            self.bad = Some(bad);
        }
    }

    fn coarser(&self, slices: &[Slice], windows_ms: &[Ms], at_ms: Ms) -> Vec<Slice> {
        let mut kept: Vec<Slice> = Vec::new();
        for slice in slices {
            let time_ms = ms_of(self.pane(slice.low));
            let Some(window_ms) = windows_ms.iter().find(|w| time_ms >= window_start(at_ms, **w)) else {
                continue;
            };
            let low = pane_of(floor_to(time_ms, slice_ms(*window_ms))) as u32;
            match kept.last_mut() {
                Some(last) if last.low == low => last.add(slice),
                _ => kept.push(Slice { low, ..*slice }),
            }
        }
        kept
    }

    /// Reads what an event will change, and says nothing of use: it brings the row into the caches.
    #[inline]
    pub fn touch(&self) -> u64 {
        self.slices.last().map_or(0, |last| u64::from(last.low)) ^ self.last_ms as u64
    }

    /// The sums over the events since `start_ms` (the start of one of the user windows).
    pub fn sums_since(&self, start_ms: Ms) -> UserSums {
        let start = self.place_of(pane_of(start_ms.max(0)));
        let mut sums = UserSums::default();
        for slice in self.slices.iter().rev().take_while(|s| self.place(s.low) >= start) {
            sums.events += u64::from(slice.events);
            sums.good += u128::from(slice.weight);
        }
        for slice in self.bad.iter().flat_map(|bad| bad.slices.iter().rev()).take_while(|s| self.place(s.low) >= start)
        {
            sums.bad_events += u64::from(slice.events);
            sums.bad += u128::from(slice.weight);
        }
        sums
    }

    /// Whether there is a bad event since `start_ms`.
    pub fn has_bad_since(&self, start_ms: Ms) -> bool {
        let start = self.place_of(pane_of(start_ms.max(0)));
        let newest = self.bad.as_ref().and_then(|bad| bad.slices.last());
        newest.is_some_and(|slice| self.place(slice.low) >= start)
    }

    /// Where the oldest slice since `start_ms` begins.
    pub fn first_since(&self, start_ms: Ms) -> Option<Ms> {
        let at = self.before(&self.slices, pane_of(start_ms.max(0)));
        self.slices.get(at).map(|slice| ms_of(self.pane(slice.low)))
    }

    /// A window that began at `from_ms` begins at `to_ms`: how many events left it, and where the oldest slice in it
    /// begins now.
    pub fn leaving(&self, from_ms: Ms, to_ms: Ms) -> (u64, Option<Ms>) {
        let from = self.place_of(pane_of(from_ms.max(0)));
        let at = self.before(&self.slices, pane_of(to_ms.max(0)));
        let gone = self.slices[..at].iter().rev().take_while(|s| self.place(s.low) >= from);
        let next = self.slices.get(at).map(|slice| ms_of(self.pane(slice.low)));
        (gone.map(|s| u64::from(s.events)).sum(), next)
    }

    fn bad_panes(&self) -> &[(u64, u32)] {
        self.bad.as_ref().map_or(&[], |bad| &bad.panes)
    }

    /// The panes of the first and the last bad event since `start_ms` (no further back than a day).
    pub fn first_and_last_bad(&self, start_ms: Ms) -> (Option<Ms>, Option<Ms>) {
        let panes = self.bad_panes();
        let first = panes.iter().find(|(p, _)| ms_of(*p) >= start_ms).map(|(p, _)| ms_of(*p));
        (first, first.and(panes.last().map(|(p, _)| ms_of(*p))))
    }

    /// Panes with bad events since `start_ms`, and how many.
    pub fn bad_panes_since(&self, start_ms: Ms) -> Vec<(Ms, u64)> {
        let since = self.bad_panes().iter().filter(|(p, _)| ms_of(*p) >= start_ms);
        since.map(|(p, bad)| (ms_of(*p), u64::from(*bad))).collect()
    }

    /// How many minutes since `start_ms` (no further back than a day) have a bad event.
    pub fn bad_minutes_since(&self, start_ms: Ms) -> u64 {
        self.bad_minutes_of(start_ms).len() as u64
    }

    /// The starts of these minutes, ascending.
    pub fn bad_minutes_of(&self, start_ms: Ms) -> Vec<Ms> {
        let minute = |(pane, _): &(u64, u32)| ms_of(pane / PANES_A_MINUTE * PANES_A_MINUTE);
        let mut minutes: Vec<Ms> = self.bad_panes().iter().filter(|(p, _)| ms_of(*p) >= start_ms).map(minute).collect();
        minutes.dedup();
        minutes
    }

    /// Whether bad events of several panes are remembered; they may be more than a day old.
    pub fn has_failed_again(&self) -> bool {
        self.bad_panes().len() > 1
    }

    /// Heap bytes beside the row itself, for the memory limit.
    pub fn heap_bytes(&self) -> usize {
        let spilled = if self.slices.spilled() { self.slices.capacity() * size_of::<Slice>() } else { 0 };
        let bad = self.bad.as_ref().map_or(0, |bad| {
            let panes = bad.panes.capacity() * size_of::<(u64, u32)>();
            size_of::<Bad>() + bad.slices.capacity() * size_of::<Slice>() + panes
        });
        spilled + bad
    }
}

impl Bad {
    fn new() -> Box<Bad> {
        Box::new(Bad { last_ms: NEVER, slices: Vec::with_capacity(1), panes: Vec::with_capacity(1) })
    }

    fn note_pane(&mut self, pane: u64, at_ms: Ms) {
        let keep_from = pane_of((at_ms - BAD_PANES_KEPT_MS).max(0)).saturating_sub(360);
        if self.panes.len() == self.panes.capacity() {
            self.panes.retain(|(p, _)| *p >= keep_from);
        }
        let at = self.panes.partition_point(|(p, _)| *p < pane);
        match self.panes.get_mut(at) {
            Some(entry) if entry.0 == pane => entry.1 = entry.1.saturating_add(1),
            _ => self.panes.insert(at, (pane, 1)),
        }
    }
}

/// A row as checkpoints have it: apart from the row in memory, so that one may change and the other stays.
mod stored {
    use super::{Bad, NEVER, Slice, UserRow};
    use crate::model::time::Ms;
    use serde::{Deserialize, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    pub(super) struct Row {
        group: u32,
        last_ms: Ms,
        last_bad_ms: Ms,
        tuple_ms: Ms,
        slices: Vec<StoredSlice>,
        bad_panes: Vec<(u64, u32)>,
    }

    #[derive(Serialize, Deserialize)]
    struct StoredSlice {
        start_pane: u64,
        events: u32,
        bad_events: u32,
        good: u64,
        bad: u64,
    }

    impl Serialize for UserRow {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            Row::from(self).serialize(to)
        }
    }

    impl From<&UserRow> for Row {
        fn from(row: &UserRow) -> Row {
            let mut bad = row.bad.iter().flat_map(|bad| &bad.slices).peekable();
            let slice = |of: &Slice| {
                let bad = bad.next_if(|bad| bad.low == of.low).copied().unwrap_or_default();
                let (start_pane, good) = (row.pane(of.low), of.weight);
                StoredSlice { start_pane, events: of.events, bad_events: bad.events, good, bad: bad.weight }
            };
            Row {
                group: row.group,
                last_ms: row.last_ms,
                last_bad_ms: row.last_bad_ms(),
                tuple_ms: row.tuple_ms,
                slices: row.slices.iter().map(slice).collect(),
                bad_panes: row.bad_panes().to_vec(),
            }
        }
    }

    impl From<Row> for UserRow {
        fn from(row: Row) -> UserRow {
            let of = |s: &StoredSlice| Slice { low: s.start_pane as u32, events: s.events, weight: s.good };
            let of_bad = |s: &StoredSlice| Slice { low: s.start_pane as u32, events: s.bad_events, weight: s.bad };
            let slices = row.slices.iter().map(of).collect();
            let bad_slices = row.slices.iter().filter(|s| s.bad_events > 0).map(of_bad).collect();
            let has_bad = row.last_bad_ms != NEVER;
            let bad = has_bad.then_some(Bad { last_ms: row.last_bad_ms, slices: bad_slices, panes: row.bad_panes });
            UserRow {
                last_ms: row.last_ms,
                tuple_ms: row.tuple_ms,
                slices,
                bad: bad.map(Box::new),
                ..UserRow::new(u32::MAX, row.group)
            }
        }
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

    /// A bad event of long ago has no slice: those that have one are stored and come back.
    #[test]
    fn a_row_by_periods_keeps_its_bad_events_when_one_of_long_ago_comes() {
        let mut row = UserRow::new(0, NO_GROUP);
        let mut add = |time_ms: Ms, period_ms: Option<Ms>, is_bad: bool| {
            let event = UserEvent { time_ms, weight_micros: 1, is_bad };
            let first = row.add_in_period(&event, period_ms, 10 * DAY_MS, 12 * DAY_MS);
            (first.event, first.good, first.bad)
        };
        assert_eq!(add(10 * DAY_MS + 5, Some(10 * DAY_MS), true), (true, false, true));
        assert_eq!(add(9 * DAY_MS, None, true), (false, false, false));
        assert_eq!(add(11 * DAY_MS, Some(11 * DAY_MS), false), (true, true, false));
        let mut row: UserRow = postcard::from_bytes(&postcard::to_stdvec(&row).expect("bytes")).expect("a row");
        let event = UserEvent { time_ms: 10 * DAY_MS + 7, weight_micros: 1, is_bad: true };
        let again = row.add_in_period(&event, Some(10 * DAY_MS), 10 * DAY_MS, 12 * DAY_MS);
        assert_eq!(again, FirstInPeriod::default(), "it was bad in that period before");
    }

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
                    prop_assert_eq!(row.has_bad_since(start_ms), expected.bad_events > 0);
                    prop_assert_eq!(restored(&row).sums_since(start_ms), expected);
                }
            }
        }
    }

    /// The row behind a checkpoint.
    fn restored(row: &UserRow) -> UserRow {
        let bytes = postcard::to_stdvec(row).expect("bytes");
        let restored: UserRow = postcard::from_bytes(&bytes).expect("a row");
        assert_eq!(restored.last_bad_ms(), row.last_bad_ms());
        assert_eq!(restored.bad_panes(), row.bad_panes());
        restored
    }

    /// Times of files may be of any year; what is kept of a time are the low bits of its pane.
    #[test]
    fn an_event_of_another_age_leaves_nothing_of_the_one_before() {
        let mut row = UserRow::new(0, NO_GROUP);
        let add = |row: &mut UserRow, time_ms: Ms| {
            row.add(&UserEvent { time_ms, weight_micros: 1, is_bad: true }, &WINDOWS, time_ms + PANE_MS);
        };
        add(&mut row, NOW);
        let wraps_ms = (1i64 << 32) * PANE_MS;
        for time_ms in [NOW + wraps_ms, NOW + wraps_ms + MINUTE_MS, NOW + 3 * wraps_ms] {
            add(&mut row, time_ms);
            let events = if time_ms % wraps_ms == (NOW + MINUTE_MS) % wraps_ms { 2 } else { 1 };
            let sums = row.sums_since(time_ms - HOUR_MS);
            assert_eq!((sums.events, sums.bad_events, sums.bad), (events, events, u128::from(events)));
            assert_eq!(restored(&row).sums_since(time_ms - HOUR_MS), sums);
            assert_eq!(row.first_since(0), Some(floor_to(time_ms - (events as Ms - 1) * MINUTE_MS, MINUTE_MS)));
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
