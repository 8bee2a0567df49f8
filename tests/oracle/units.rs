//! What the windows, burn, budget and rules of an SLO count: events, or one of the units of section 11.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::parts;
use crate::ratio::Ratio;
use crate::replay::Key;
use crate::slo::Counting;
use crate::time::window_start;
use crate::windows::{Addable, History, Suffixes, Sums};

/// What `budgetingMethod` makes of the events of a slice of time.
#[derive(Clone, Copy, Debug)]
pub struct Slicing {
    pub window_ms: i64,
    /// The SLI from which on a slice is good; none where its SLI counts itself.
    pub target: Option<Ratio>,
    pub min_events: i64,
}

/// Good and bad of a window, in integers of 1 / `scale` of a unit.
#[derive(Clone, Copy, Debug)]
pub struct Units {
    pub good: i128,
    pub bad: i128,
    pub scale: i64,
    /// Of a composite, which compares in doubles.
    pub burn: Option<f64>,
    pub is_of_slices: bool,
}

impl Units {
    pub fn of_events(sums: &Sums) -> Self {
        Self {
            good: sums.good_micros.into(),
            bad: sums.bad_micros.into(),
            scale: 1_000_000,
            burn: None,
            is_of_slices: false,
        }
    }

    pub fn all(&self) -> i128 {
        self.good + self.bad
    }

    pub fn is_empty(&self) -> bool {
        self.all() == 0
    }

    fn figure(&self, parts: i128) -> f64 {
        parts as f64 / self.scale as f64
    }

    pub fn good_figure(&self) -> f64 {
        self.figure(self.good)
    }

    pub fn bad_figure(&self) -> f64 {
        self.figure(self.bad)
    }

    pub fn all_figure(&self) -> f64 {
        self.figure(self.all())
    }

    /// `allowed` = 1 - objective.
    pub fn sli(&self, allowed: Ratio) -> Option<f64> {
        let mean = || self.good as f64 / self.all() as f64;
        let by_burn = self.burn.filter(|_| !self.is_of_slices);
        (!self.is_empty()).then(|| by_burn.map_or_else(mean, |burn| 1.0 - burn * allowed.as_f64()))
    }

    pub fn burn(&self, allowed: Ratio) -> Option<f64> {
        let own = || self.bad as f64 / self.all() as f64 / allowed.as_f64();
        (!self.is_empty()).then(|| self.burn.unwrap_or_else(own))
    }

    /// `burn > factor`, in integers; never true for an empty window.
    pub fn exceed(&self, factor: Ratio, allowed: Ratio) -> bool {
        if let Some(burn) = self.burn {
            return !self.is_empty() && burn > factor.as_f64();
        }
        !self.is_empty() && factor.times(allowed).exceeded_by(self.bad, self.all())
    }

    /// `burn * covered_ms / length_ms >= share`, in integers; never true for an empty window.
    pub fn spend_at_least(&self, share: Ratio, allowed: Ratio, covered_ms: i64, length_ms: i64) -> bool {
        if let Some(burn) = self.burn {
            return !self.is_empty() && burn * (covered_ms as f64 / length_ms as f64) >= share.as_f64();
        }
        let needed = share.times(allowed);
        let spent = self.bad * i128::from(covered_ms) * needed.den;
        !self.is_empty() && spent >= self.all() * i128::from(length_ms) * needed.num
    }
}

/// Slices that are good and bad, in billionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    pub good: i64,
    pub bad: i64,
}

pub const WHOLE: i64 = 1_000_000_000;

impl Slice {
    fn whole(is_good: bool) -> Self {
        let good = if is_good { WHOLE } else { 0 };
        Self { good, bad: WHOLE - good }
    }
}

impl Addable for Slice {
    fn plus(&mut self, other: &Self) {
        self.good += other.good;
        self.bad += other.bad;
    }
}

thread_local! {
    /// What a replay of this thread came upon, and how often: traffic without it proves nothing.
    static REACHED: RefCell<BTreeMap<&'static str, usize>> = RefCell::default();
}

pub fn reach(condition: bool, what: &'static str) {
    if condition {
        REACHED.with_borrow_mut(|reached| *reached.entry(what).or_default() += 1);
    }
}

pub fn assert_reached(what: &[&'static str]) {
    REACHED.with_borrow(|reached| {
        let missing: Vec<_> = what.iter().filter(|what| !reached.contains_key(**what)).collect();
        assert!(missing.is_empty(), "not reached: {missing:?} of {reached:#?}");
    });
}

/// What a slice with these events is; of too few it is neither.
pub fn judge(slicing: &Slicing, sums: &Sums) -> Slice {
    if sums.events() < slicing.min_events.max(1) {
        reach(sums.events() > 0, "too few events in a slice");
        return Slice::default();
    }
    let (good, all) = (i128::from(sums.good_micros), i128::from(sums.weight_micros()));
    let good = match slicing.target {
        Some(target) if good * target.den == target.num * all => {
            reach(true, "a slice at its target");
            WHOLE
        }
        Some(target) if good * target.den >= target.num * all => WHOLE,
        Some(_) => 0,
        None => round_half_even(good * i128::from(WHOLE), all) as i64,
    };
    Slice { good, bad: WHOLE - good }
}

fn round_half_even(number: i128, divisor: i128) -> i128 {
    let (whole, rest) = (number / divisor, number % divisor);
    reach(2 * rest == divisor, "half a billionth");
    match (2 * rest).cmp(&divisor) {
        std::cmp::Ordering::Less => whole,
        std::cmp::Ordering::Equal => whole + whole % 2,
        std::cmp::Ordering::Greater => whole + 1,
    }
}

/// The complete slices of a key.
pub struct Slices {
    pub slicing: Slicing,
    /// Slices are numbered since the epoch; this one is the first of the run.
    first: i64,
    /// Slices with an event that was not yet judged.
    touched: BTreeSet<i64>,
    judged: Vec<Slice>,
    sums: Suffixes<Slice>,
}

impl Slices {
    pub fn new(slicing: Slicing, history: &History) -> Self {
        let number = |slice: usize| history.axis.start_ms(slice).div_euclid(slicing.window_ms);
        let (first, last) = (number(0), number(history.axis.slices));
        let many = (last - first) as usize + 1;
        let (judged, sums) = (vec![Slice::default(); many], Suffixes::of(many));
        Self { slicing, first, touched: BTreeSet::new(), judged, sums }
    }

    pub fn see(&mut self, time_ms: i64) {
        self.touched.insert(time_ms.div_euclid(self.slicing.window_ms));
    }

    /// Judges every slice that is complete at `at_ms` and has a new event.
    pub fn settle(&mut self, at_ms: i64, judge: impl Fn(i64, i64) -> Slice) {
        let end_ms = |number: i64| (number + 1) * self.slicing.window_ms;
        let complete: Vec<i64> = self.touched.iter().copied().filter(|number| end_ms(*number) <= at_ms).collect();
        for number in complete {
            self.touched.remove(&number);
            let place = (number - self.first) as usize;
            let now = judge(number * self.slicing.window_ms, end_ms(number));
            let before = std::mem::replace(&mut self.judged[place], now);
            reach(before != now && before != Slice::default(), "a late event that changes a slice");
            self.sums.add(place, &Slice { good: now.good - before.good, bad: now.bad - before.bad });
        }
    }

    /// Of those that begin at `start_ms` or later.
    fn since(&self, start_ms: i64) -> Slice {
        reach(start_ms % self.slicing.window_ms != 0, "a window that begins inside a slice");
        let number = -(-start_ms).div_euclid(self.slicing.window_ms);
        self.sums.from((number - self.first).clamp(0, self.judged.len() as i64) as usize)
    }

    pub fn between(&self, start_ms: i64, end_ms: i64) -> Units {
        let (since, later) = (self.since(start_ms), self.since(end_ms));
        let (good, bad) = (since.good - later.good, since.bad - later.bad);
        Units { good: good.into(), bad: bad.into(), scale: WHOLE, burn: None, is_of_slices: true }
    }
}

impl Key {
    /// What the times since `start_ms` hold.
    pub fn units_since(&self, start_ms: i64) -> Units {
        self.units_between(start_ms, i64::MAX)
    }

    pub fn units(&self, at_ms: i64, window_ms: i64) -> Units {
        self.units_since(window_start(at_ms, window_ms))
    }

    pub fn units_between(&self, start_ms: i64, end_ms: i64) -> Units {
        if let Some(slices) = &self.slices {
            let units = slices.between(start_ms, end_ms);
            let burn = if self.parts.is_empty() { None } else { units.burn(self.allowed) };
            return Units { burn, ..units };
        }
        match self.counting {
            Counting::Users { by_bad } => self.distinct(by_bad, start_ms, end_ms),
            Counting::Gauge(_) => Units { good: 0, bad: 0, scale: 1, burn: None, is_of_slices: false },
            _ if self.parts.is_empty() => Units::of_events(&self.counted().0.between(start_ms, end_ms)),
            _ => parts::units(&self.parts, start_ms, end_ms),
        }
    }

    /// A gauge has no good and bad.
    pub fn figure(&self, figure: f64) -> Option<f64> {
        let has_figures = !matches!(self.counting, Counting::Gauge(_)) || self.slices.is_some();
        has_figures.then_some(figure)
    }

    fn distinct(&self, by_bad: bool, start_ms: i64, end_ms: i64) -> Units {
        let slice = |time_ms: i64| self.history.axis.slice(time_ms);
        let end = if end_ms == i64::MAX { usize::MAX } else { slice(end_ms) };
        let [all, good, bad] = self.users.distinct(slice(start_ms)..end);
        reach(good + bad > all, "a user with good and bad events");
        let good = if by_bad { all - bad } else { good };
        Units { good: good.into(), bad: (all - good).into(), scale: 1, burn: None, is_of_slices: false }
    }

    pub fn settle(&mut self, at_ms: i64) {
        for part in &mut self.parts {
            let (history, slicing) = (&part.history, part.slices.as_ref().map(|slices| slices.slicing));
            if let (Some(slices), Some(slicing)) = (&mut part.slices, slicing) {
                slices.settle(at_ms, |start_ms, end_ms| judge(&slicing, &history.between(start_ms, end_ms)));
            }
        }
        let (history, parts, readings) = (&self.history, &self.parts, &self.readings);
        let gauge = match &self.counting {
            Counting::Gauge(aggregate) => Some(aggregate),
            _ => None,
        };
        if let Some(slices) = &mut self.slices {
            let slicing = slices.slicing;
            slices.settle(at_ms, |start_ms, end_ms| match &parts[..] {
                [] => match gauge {
                    Some(gauge) => {
                        let has_enough = history.between(start_ms, end_ms).events() >= slicing.min_events.max(1);
                        let value = readings.value(&gauge.how, start_ms, end_ms).filter(|_| has_enough);
                        value.map_or_else(Slice::default, |value| Slice::whole(gauge.is_met(value)))
                    }
                    None => judge(&slicing, &history.between(start_ms, end_ms)),
                },
                parts => parts::judge_all(parts, start_ms, end_ms),
            });
        }
    }
}

#[test]
fn a_slice_is_rounded_to_the_even_billionth() {
    let of = |good: i64, bad: i64| {
        let sums = Sums { good_micros: good, bad_micros: bad, good: 1, bad: 1, unclassified: 0 };
        judge(&Slicing { window_ms: 60_000, target: None, min_events: 2 }, &sums).good
    };
    assert_eq!(of(1, 1_999_999_999), 0);
    assert_eq!(of(3, 1_999_999_997), 2);
    assert_eq!(of(2, 1), 666_666_667);
}
