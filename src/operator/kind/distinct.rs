//! Distinct users: windows count users, each once (contract, section 11).
//!
//! A user is in a window if its last event is, and good (or bad) in it if its last good (or bad) event is. So two
//! histograms over panes, moved by +1 and -1 as those events move, give every window exactly.

use super::super::key_definition::{Boundary, KeyDefinition};
use super::super::partial::{Counts, KeyDelta};
use crate::model::time::{Ms, PANE_MS, floor_to, slice_ms};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Users by the pane of their last event, and by that of their last one that decides: good, or where the SLO has a filter
/// of what is bad, bad.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Distinct {
    seen: BTreeMap<Ms, i64>,
    decided: BTreeMap<Ms, i64>,
    /// By window: its start, the users in it, and those that are decided; then the same as counts.
    windows: Vec<(Ms, i64, i64)>,
    counts: Vec<Counts>,
}

impl Distinct {
    pub fn new(windows: usize) -> Distinct {
        Distinct {
            windows: vec![(Ms::MIN, 0, 0); windows],
            counts: vec![Counts::default(); windows],
            ..Distinct::default()
        }
    }

    pub fn counts(&self, window: usize) -> &Counts {
        &self.counts[window]
    }

    /// Moves the starts of the windows, before users move.
    pub fn advance(&mut self, boundary: &Boundary<'_>) {
        for ((start_ms, users, decided), to_ms) in self.windows.iter_mut().zip(&boundary.starts.windows_ms) {
            if *start_ms < *to_ms {
                *users -= self.seen.range(*start_ms..*to_ms).map(|(_, users)| users).sum::<i64>();
                *decided -= self.decided.range(*start_ms..*to_ms).map(|(_, users)| users).sum::<i64>();
                *start_ms = *to_ms;
            }
        }
        let keep_from_ms = self.windows.iter().map(|(start_ms, ..)| *start_ms).min().unwrap_or(Ms::MIN);
        for of in [&mut self.seen, &mut self.decided] {
            while of.first_key_value().is_some_and(|(pane_ms, _)| *pane_ms < keep_from_ms) {
                of.pop_first();
            }
        }
    }

    /// Takes the moves of one users task. What left every window before is known no more.
    pub fn add(&mut self, delta: &KeyDelta) {
        let keep_from_ms = self.windows.iter().map(|(start_ms, ..)| *start_ms).min().unwrap_or(Ms::MIN);
        for (pane_ms, change) in delta.users.iter().filter(|(pane_ms, _)| *pane_ms >= keep_from_ms) {
            moved(&mut self.seen, *pane_ms, *change);
            self.windows.iter_mut().filter(|of| of.0 <= *pane_ms).for_each(|(_, users, _)| *users += change);
        }
        for (pane_ms, change) in delta.decided.iter().filter(|(pane_ms, _)| *pane_ms >= keep_from_ms) {
            moved(&mut self.decided, *pane_ms, *change);
            self.windows.iter_mut().filter(|of| of.0 <= *pane_ms).for_each(|(.., decided)| *decided += change);
        }
    }

    /// Makes counts of what the windows hold.
    pub fn settle(&mut self, by_bad: bool) {
        for ((_, users, decided), counts) in self.windows.iter().zip(&mut self.counts) {
            let (all, decided) = (users.unsigned_abs(), decided.unsigned_abs());
            let bad = if by_bad { decided } else { all - decided };
            let good = all - bad;
            let (good, of_bad) = (u128::from(good), u128::from(bad));
            *counts = Counts { events: all, bad_events: bad, good, bad: of_bad, ..Counts::default() };
        }
    }

    /// The same users in the windows of another definition, as far as they are known.
    pub fn relaid(self, to: &KeyDefinition<'_>, boundary: &Boundary<'_>) -> Distinct {
        let mut made = Distinct::new(to.layout.windows_ms.len());
        for (window, start_ms) in made.windows.iter_mut().zip(&boundary.starts.windows_ms) {
            let since = |of: &BTreeMap<Ms, i64>| of.range(*start_ms..).map(|(_, users)| users).sum::<i64>();
            *window = (*start_ms, since(&self.seen), since(&self.decided));
        }
        Distinct { seen: self.seen, decided: self.decided, ..made }
    }

    /// The next boundary at which a user leaves a window, or is decided in it no more.
    pub fn next_change_ms(&self, definition: &KeyDefinition<'_>) -> Option<Ms> {
        let leaves_ms = |window: usize, of: &BTreeMap<Ms, i64>| {
            let (pane_ms, _) = of.range(self.windows[window].0..).next()?;
            let window_ms = definition.layout.windows_ms[window];
            Some(floor_to(floor_to(*pane_ms, slice_ms(window_ms)) + window_ms, PANE_MS) + PANE_MS)
        };
        let windows = 0..self.windows.len();
        windows.flat_map(|window| [leaves_ms(window, &self.seen), leaves_ms(window, &self.decided)]).flatten().min()
    }
}

fn moved(of: &mut BTreeMap<Ms, i64>, pane_ms: Ms, change: i64) {
    let users = of.entry(pane_ms).or_insert(0);
    *users += change;
    if *users == 0 {
        of.remove(&pane_ms);
    }
}
