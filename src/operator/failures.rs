//! What fails most: the bad events of a key by dependency and type of error (contract, section 11).
//!
//! Only bad events cost anything. Of each pair a key keeps the bad weight by minute for an hour and by the slices of the
//! compliance window, in integers; at most [`PAIRS`] pairs are told apart, so a key has at most 65 of these sums. Which
//! pairs these are follows from the visible events, boundary by boundary, and not from how many users tasks tell of them.

use super::key_definition::{Boundary, KeyDefinition};
use super::key_view::{KeyView, weight_of};
use super::partial::KeyDelta;
use super::weight_slices::WeightSlices;
use super::window::{Layout, Starts};
use crate::model::key::{ABSENT, OTHER};
use crate::model::output::Failure;
use crate::model::time::{HOUR_MS, Ms, slice_ms, window_start};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// So many pairs a key are told apart; the others count as [`OTHER`].
pub const PAIRS: usize = 64;
/// So many a status shows.
const SHOWN: usize = 5;
/// So many pairs of a key leave a users task with one boundary; see [`cap`].
pub const PAIRS_SENT: usize = 8_192;

/// What bad events have in common. Ordered by the bytes of the dependency, then of the type of error.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FailurePair {
    pub dependency: Box<str>,
    pub error_type: Box<str>,
}

impl FailurePair {
    /// An absent value is [`ABSENT`].
    pub fn of(dependency: Option<&str>, error_type: Option<&str>) -> FailurePair {
        FailurePair { dependency: dependency.unwrap_or(ABSENT).into(), error_type: error_type.unwrap_or(ABSENT).into() }
    }

    fn other() -> FailurePair {
        FailurePair::of(Some(OTHER), Some(OTHER))
    }
}

/// The bad events of one pair that became visible at one boundary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedPanes {
    /// `None`: those that are over [`PAIRS_SENT`].
    pub pair: Option<FailurePair>,
    /// Micro-weights by pane of event time, ascending.
    pub panes: Vec<(Ms, u128)>,
}

impl FailedPanes {
    fn weight(&self) -> u128 {
        self.panes.iter().map(|(_, weight)| weight).sum()
    }
}

/// Adds what failed elsewhere; both ascend by pair.
pub fn merge(all: &mut Vec<FailedPanes>, more: &[FailedPanes]) {
    for failed in more {
        match all.binary_search_by(|known| known.pair.cmp(&failed.pair)) {
            Err(at) => all.insert(at, failed.clone()),
            Ok(at) => add_panes(&mut all[at].panes, &failed.panes),
        }
    }
}

fn add_panes(own: &mut Vec<(Ms, u128)>, more: &[(Ms, u128)]) {
    for (start_ms, weight) in more {
        match own.binary_search_by_key(start_ms, |(ms, _)| *ms) {
            Err(at) => own.insert(at, (*start_ms, *weight)),
            Ok(at) => own[at].1 += weight,
        }
    }
}

/// Bounds what leaves for one key at one boundary: the pairs that may be admitted now (the first by bytes) stay, and of
/// the others those with the most bad weight.
pub fn cap(failures: &mut Vec<FailedPanes>) {
    if failures.len() <= PAIRS_SENT {
        return;
    }
    let mut rest = failures.split_off(PAIRS);
    rest.sort_unstable_by(|a, b| b.weight().cmp(&a.weight()).then_with(|| a.pair.cmp(&b.pair)));
    let mut over = FailedPanes::default();
    rest.drain(PAIRS_SENT - PAIRS..).for_each(|failed| add_panes(&mut over.panes, &failed.panes));
    failures.extend(rest);
    failures.push(over);
    failures.sort_unstable_by(|a, b| a.pair.cmp(&b.pair));
}

/// What failed of one key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Failures {
    /// In the order in which they were admitted.
    pairs: Vec<(FailurePair, FailureSums)>,
    /// All other pairs together, once there are some.
    other: Option<FailureSums>,
    /// The calendar's period that [`FailureSums::of_calendar`] counts.
    calendar_k: Option<i64>,
}

/// The bad weight of one pair.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct FailureSums {
    hour: WeightSlices,
    /// By the slices of the compliance window; of a calendar by those of its nominal length, for the next definition.
    period: WeightSlices,
    /// Of a calendar's period.
    of_calendar: u128,
}

/// Where a boundary's windows begin, and how long their slices are.
#[derive(Clone, Copy)]
struct Reach {
    hour_ms: Ms,
    /// Slices of the period that begin earlier are dropped.
    period_ms: Ms,
    period_slice_ms: Ms,
    /// The period of a calendar.
    calendar_ms: Option<Ms>,
}

impl Reach {
    fn of(layout: &Layout, starts: &Starts, at_ms: Ms) -> Reach {
        let nominal_ms = layout.windows_ms[layout.compliance];
        Reach {
            hour_ms: window_start(at_ms, HOUR_MS),
            period_ms: window_start(at_ms, nominal_ms),
            period_slice_ms: slice_ms(nominal_ms),
            calendar_ms: starts.spans.map(|spans| spans.current.start_ms),
        }
    }
}

impl Reach {
    /// The numbers of the first slices that windows have.
    const fn first(&self) -> (i64, i64) {
        (self.hour_ms.div_euclid(slice_ms(HOUR_MS)), self.period_ms.div_euclid(self.period_slice_ms))
    }
}

impl FailureSums {
    /// Adds weight by pane; what is older than a window is none of it.
    fn add<'a>(&mut self, reach: &Reach, panes: impl Iterator<Item = &'a (Ms, u128)> + Clone) {
        let (hour, period) = reach.first();
        let slices = |slice_ms: Ms| -> Vec<(i64, u128)> {
            panes.clone().map(|(start_ms, weight)| (start_ms.div_euclid(slice_ms), *weight)).collect()
        };
        self.hour.update(hour, &slices(slice_ms(HOUR_MS)));
        self.period.update(period, &slices(reach.period_slice_ms));
        if let Some(calendar_ms) = reach.calendar_ms {
            let of_calendar = panes.filter(|(start_ms, _)| *start_ms >= calendar_ms);
            self.of_calendar += of_calendar.map(|(_, weight)| weight).sum::<u128>();
        }
    }

    fn of_hour(&self, reach: &Reach) -> u128 {
        self.hour.sum_from(reach.first().0)
    }

    fn of_period(&self, reach: &Reach) -> u128 {
        match reach.calendar_ms {
            Some(_) => self.of_calendar,
            None => self.period.sum_from(reach.first().1),
        }
    }

    /// The same weight for windows of another definition: minutes as far back as they reach, before that the slices of the
    /// period, each at its start.
    fn relaid(&self, from: &Reach, to: &Reach) -> FailureSums {
        let at = |slice_ms: Ms| move |(number, weight): (i64, u128)| (number * slice_ms, weight);
        let mut panes: Vec<(Ms, u128)> = self.hour.iter().map(at(slice_ms(HOUR_MS))).collect();
        let minutes = panes.clone();
        for (start_ms, weight) in self.period.iter().map(at(from.period_slice_ms)) {
            let is_inside = |(ms, _): &&(Ms, u128)| (start_ms..start_ms + from.period_slice_ms).contains(ms);
            let known: u128 = minutes.iter().filter(is_inside).map(|(_, weight)| weight).sum();
            panes.extend((weight > known).then(|| (start_ms, weight - known)));
        }
        let mut made = FailureSums::default();
        made.add(to, panes.iter());
        // No event of the last hour moved.
        made.hour.clone_from(&self.hour);
        made
    }
}

impl Failures {
    /// Adds what became visible at a boundary, from all users tasks.
    pub fn add(&mut self, definition: &KeyDefinition<'_>, boundary: &Boundary<'_>, deltas: &[&KeyDelta]) {
        let reach = Reach::of(definition.layout, boundary.starts, boundary.at_ms);
        self.begin_period(boundary.starts);
        self.all_sums().for_each(|sums| sums.add(&reach, [].iter()));
        let mut told: BTreeMap<Option<&FailurePair>, Vec<&(Ms, u128)>> = BTreeMap::new();
        for failed in deltas.iter().flat_map(|delta| &delta.failures) {
            told.entry(failed.pair.as_ref()).or_default().extend(&failed.panes);
        }
        for (pair, panes) in told {
            self.sums_of(pair).add(&reach, panes.into_iter());
        }
    }

    /// A calendar's period begins at 0.
    fn begin_period(&mut self, starts: &Starts) {
        let k = starts.spans.map(|spans| spans.current_k);
        if self.calendar_k != k {
            self.calendar_k = k;
            self.all_sums().for_each(|sums| sums.of_calendar = 0);
        }
    }

    fn all_sums(&mut self) -> impl Iterator<Item = &mut FailureSums> {
        self.pairs.iter_mut().map(|(_, sums)| sums).chain(&mut self.other)
    }

    /// Admits a pair while there is room.
    fn sums_of(&mut self, pair: Option<&FailurePair>) -> &mut FailureSums {
        let known = self.pairs.iter().position(|(known, _)| Some(known) == pair);
        match (known, pair) {
            (Some(at), _) => &mut self.pairs[at].1,
            (None, Some(pair)) if self.pairs.len() < PAIRS => {
                let at = self.pairs.len();
                self.pairs.push((pair.clone(), FailureSums::default()));
                &mut self.pairs[at].1
            }
            _ => self.other.get_or_insert_default(),
        }
    }

    /// Changes to another definition with the same filters.
    pub fn redefine(&mut self, from: &Layout, to: &Layout, at_ms: Ms) {
        if from.has_period_of(to) {
            return;
        }
        let starts = to.starts_at(at_ms);
        let (from, to) = (Reach::of(from, &from.starts_at(at_ms), at_ms), Reach::of(to, &starts, at_ms));
        self.all_sums().for_each(|sums| *sums = sums.relaid(&from, &to));
        self.calendar_k = starts.spans.map(|spans| spans.current_k);
    }

    /// What failed most: by the bad weight of the last hour, then of the period, then by bytes.
    fn published(&self, reach: &Reach, is_present: bool) -> Vec<Failure> {
        let other = self.other.iter().map(|sums| (FailurePair::other(), sums));
        let all = self.pairs.iter().map(|(pair, sums)| (pair.clone(), sums)).chain(other);
        let mut ranked: Vec<(Reverse<u128>, Reverse<u128>, FailurePair)> = all
            .map(|(pair, sums)| {
                let of_period = if is_present { sums.of_period(reach) } else { 0 };
                (Reverse(sums.of_hour(reach)), Reverse(of_period), pair)
            })
            .filter(|(hour, period, _)| hour.0 > 0 || period.0 > 0)
            .collect();
        let hour: u128 = ranked.iter().map(|(hour, ..)| hour.0).sum();
        let period: u128 = ranked.iter().map(|(_, period, _)| period.0).sum();
        ranked.sort_unstable();
        ranked.truncate(SHOWN);
        let share = |part: u128, all: u128| (all > 0).then(|| part as f64 / all as f64);
        let failure = |(Reverse(bad_1h), Reverse(bad_period), pair): (_, _, FailurePair)| Failure {
            dependency: pair.dependency.into(),
            error_type: pair.error_type.into(),
            bad_1h: weight_of(bad_1h),
            bad_period: weight_of(bad_period),
            share_1h: share(bad_1h, hour),
            share_period: share(bad_period, period),
        };
        ranked.into_iter().map(failure).collect()
    }
}

impl KeyView<'_> {
    /// As published.
    pub fn failures(self) -> Vec<Failure> {
        let Some(failures) = &self.key.failures else { return Vec::new() };
        let starts = self.boundary.starts;
        let reach = Reach::of(self.definition.layout, starts, self.boundary.at_ms);
        failures.published(&reach, failures.calendar_k == starts.spans.map(|spans| spans.current_k))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_pairs_those_that_may_be_admitted_and_the_worst_leave() {
        let failed = |number: usize, weight: u128| FailedPanes {
            pair: Some(FailurePair::of(Some(&format!("{number:06}")), None)),
            panes: vec![(0, weight)],
        };
        let all: Vec<FailedPanes> = (0..PAIRS_SENT + 10).map(|number| failed(number, number as u128 + 1)).collect();
        let mut capped = all.clone();
        cap(&mut capped);
        let (over, named) = capped.split_first().expect("some");
        assert_eq!((&over.pair, named.len()), (&None, PAIRS_SENT));
        assert_eq!((&named[..PAIRS], &named[PAIRS..]), (&all[..PAIRS], &all[PAIRS + 10..]));
        let weight = |failures: &[FailedPanes]| failures.iter().map(FailedPanes::weight).sum::<u128>();
        assert_eq!(weight(&capped), weight(&all));
    }

    #[test]
    fn what_failed_in_two_tenants_adds_up() {
        let failed = |dependency, panes: &[(Ms, u128)]| FailedPanes {
            pair: Some(FailurePair::of(Some(dependency), None)),
            panes: panes.to_vec(),
        };
        let mut all = vec![failed("b", &[(10, 1), (30, 2)])];
        merge(&mut all, &[failed("a", &[(10, 4)]), failed("b", &[(20, 8), (30, 16)])]);
        assert_eq!(all, [failed("a", &[(10, 4)]), failed("b", &[(10, 1), (20, 8), (30, 18)])]);
    }
}
