//! Distinct users: windows count users, each once (contract, section 11).
//!
//! A user is in a window if its last event is, and good (or bad) in it if its last good (or bad) event is. So two
//! histograms over panes, moved by +1 and -1 as those events move, give every window exactly.

use super::super::calendar_sums::Periods;
use super::super::key_definition::{Boundary, KeyDefinition};
use super::super::partial::{Counts, KeyDelta};
use super::drop_before;
use crate::model::time::{Ms, leaves_window_ms};
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
    /// Where the compliance window is a calendar's period.
    #[serde(default)]
    periods: Periods,
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

    /// Of the calendar's period before.
    pub const fn previous(&self) -> Option<&Counts> {
        self.periods.previous.as_ref()
    }

    /// Moves the starts of the windows, before users move.
    pub fn advance(&mut self, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>) {
        if let Some(spans) = &boundary.starts.spans {
            // Users of a period that ends are those at its last boundary.
            let mut counts = self.counts[definition.layout.compliance];
            self.periods.advance(spans, &mut counts);
        }
        for ((start_ms, users, decided), to_ms) in self.windows.iter_mut().zip(&boundary.starts.windows_ms) {
            if *start_ms < *to_ms {
                *users -= self.seen.range(*start_ms..*to_ms).map(|(_, users)| users).sum::<i64>();
                *decided -= self.decided.range(*start_ms..*to_ms).map(|(_, users)| users).sum::<i64>();
                *start_ms = *to_ms;
            }
        }
        let keep_from_ms = self.windows.iter().map(|(start_ms, ..)| *start_ms).min().unwrap_or(Ms::MIN);
        drop_before(&mut self.seen, keep_from_ms);
        drop_before(&mut self.decided, keep_from_ms);
    }

    /// Takes the moves that all users tasks tell of a boundary. What left every window before is known no more, and of a key
    /// that was forgotten and came back, who was seen before: nobody leaves a pane who is not in it.
    pub fn add(&mut self, deltas: &[&KeyDelta], by_bad: bool) {
        let keep_from_ms = self.windows.iter().map(|(start_ms, ..)| *start_ms).min().unwrap_or(Ms::MIN);
        let of_users = deltas.iter().flat_map(|delta| &delta.users);
        for (pane_ms, change) in applied(&mut self.seen, of_users, keep_from_ms) {
            self.windows.iter_mut().filter(|of| of.0 <= pane_ms).for_each(|(_, users, _)| *users += change);
        }
        let of_decided = deltas.iter().flat_map(|delta| &delta.decided);
        for (pane_ms, change) in applied(&mut self.decided, of_decided, keep_from_ms) {
            self.windows.iter_mut().filter(|of| of.0 <= pane_ms).for_each(|(.., decided)| *decided += change);
        }
        let late = |of: fn(&KeyDelta) -> i64| deltas.iter().map(|delta| of(delta)).sum::<i64>().unsigned_abs();
        self.add_late(late(|delta| delta.late_users.0), late(|delta| delta.late_users.1), by_bad);
    }

    /// Users who came late to the period before, and those who are decided in it late.
    fn add_late(&mut self, users: u64, decided: u64, by_bad: bool) {
        if users == 0 && decided == 0 {
            return;
        }
        let previous = self.periods.previous.get_or_insert_default();
        let before = if by_bad { previous.bad_events } else { previous.events - previous.bad_events };
        *previous = counts_of(previous.events + users, before + decided, by_bad);
    }

    /// Makes counts of what the windows hold.
    pub fn settle(&mut self, by_bad: bool) {
        for ((_, users, decided), counts) in self.windows.iter().zip(&mut self.counts) {
            *counts = counts_of(users.unsigned_abs(), decided.unsigned_abs(), by_bad);
        }
    }

    /// The same users in the windows of another definition, as far as they are known.
    pub fn relaid(self, from: &KeyDefinition<'_>, to: &KeyDefinition<'_>, boundary: &Boundary<'_>) -> Distinct {
        let mut made = Distinct::new(to.layout.windows_ms.len());
        if from.slo.period == to.slo.period {
            made.periods = self.periods;
        }
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
            Some(leaves_window_ms(*pane_ms, definition.layout.windows_ms[window]))
        };
        // Nobody leaves a calendar's period before it ends.
        let windows = (0..self.windows.len()).filter(|window| !definition.layout.is_calendar(*window));
        windows.flat_map(|window| [leaves_ms(window, &self.seen), leaves_ms(window, &self.decided)]).flatten().min()
    }
}

/// So many users, of whom so many are decided.
fn counts_of(users: u64, decided: u64, by_bad: bool) -> Counts {
    // More are decided than known only where rows know a period that the key does not: after a change of the calendar.
    let decided = decided.min(users);
    let bad_events = if by_bad { decided } else { users - decided };
    let (good, bad) = (u128::from(users - bad_events), u128::from(bad_events));
    Counts { events: users, bad_events, good, bad, ..Counts::default() }
}

/// Moves users between panes; returns what came of it, by pane. All tasks together, so that their order does not matter.
fn applied<'a>(
    of: &mut BTreeMap<Ms, i64>,
    moves: impl Iterator<Item = &'a (Ms, i64)>,
    keep_from_ms: Ms,
) -> Vec<(Ms, i64)> {
    let mut summed: BTreeMap<Ms, i64> = BTreeMap::new();
    moves.filter(|(pane_ms, _)| *pane_ms >= keep_from_ms).for_each(|(pane_ms, change)| {
        *summed.entry(*pane_ms).or_insert(0) += change;
    });
    let mut changed = Vec::with_capacity(summed.len());
    for (pane_ms, change) in summed {
        let users = of.entry(pane_ms).or_insert(0);
        let change = change.max(-*users);
        *users += change;
        if *users == 0 {
            of.remove(&pane_ms);
        }
        changed.push((pane_ms, change));
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_leaves_a_pane_who_is_not_in_it() {
        let mut of = BTreeMap::from([(10, 2)]);
        let moves = [(10, -1), (20, 1), (5, -1), (10, -3), (20, 1)];
        assert_eq!(applied(&mut of, moves.iter(), 6), [(10, -2), (20, 2)]);
        assert_eq!(of, BTreeMap::from([(20, 2)]));
    }
}
