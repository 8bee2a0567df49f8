//! The distribution over users at one step of a window: exact while there are few distinct SLIs, a
//! sketch of error ratios above (contract, section 7).

use super::signal::dispersion::DispersionSums;
use super::signal::evidence::Users;
use super::signal::tail;
use super::significance::binomial_at_least;
use super::sketch::{Sketch, bin_of, value_of};
use crate::model::duration;
use crate::model::output::UserWindow;
use crate::model::ratio::Ratio;
use crate::model::time::{MINUTE_MS, Moment, Ms};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Up to so many distinct SLIs (as doubles) the quantiles are exact.
pub const EXACT_SLIS: usize = 1_024;

/// One user's sums over a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserSums {
    pub events: u64,
    pub bad_events: u64,
    pub good: u128,
    pub bad: u128,
}

impl UserSums {
    pub fn sli(&self) -> f64 {
        self.good as f64 / (self.good + self.bad) as f64
    }

    pub fn is_below(&self, objective: Ratio) -> bool {
        let allowed = objective.complement().unwrap_or(Ratio::ZERO);
        allowed.compare_share(self.bad, self.good + self.bad) == Ordering::Greater
    }
}

/// Everything that is published of the users of a key, in a form that adds up over users tasks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Users with enough events.
    pub users: u64,
    pub users_too_few: u64,
    pub below_objective: u64,
    /// Unweighted events of the users with enough of them.
    pub events: u64,
    pub bad_events: u64,
    /// All users by their number of events: what chance alone would do to them depends on it.
    by_events: BTreeMap<u64, u64>,
    /// Users with a bad event by their numbers of events and of bad ones, large numbers roughly.
    #[serde(default)]
    with_bad: BTreeMap<(u64, u64), u64>,
    /// Of windows of at most a day.
    #[serde(default)]
    pub dispersion: DispersionSums,
    slis: Slis,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Slis {
    /// Users by SLI, as the bits of a non-negative double: in the order of the values.
    Exact(BTreeMap<u64, u64>),
    /// Users by error ratio.
    Sketched(BTreeMap<i16, u64>),
}

impl Default for Slis {
    fn default() -> Self {
        Slis::Exact(BTreeMap::new())
    }
}

/// Users with fewer events than this are counted in an array.
const COUNTED_BY_INDEX: u64 = 256;

/// Users by their number of events.
#[derive(Clone, Debug, Default)]
pub struct ByEvents {
    few: Vec<u64>,
    many: BTreeMap<u64, u64>,
}

impl ByEvents {
    #[inline]
    pub fn add(&mut self, events: u64) {
        if events >= COUNTED_BY_INDEX {
            *self.many.entry(events).or_insert(0) += 1;
            return;
        }
        if self.few.len() <= events as usize {
            self.few.resize(events as usize + 1, 0);
        }
        self.few[events as usize] += 1;
    }

    /// Takes back what was added before.
    #[inline]
    pub fn take(&mut self, events: u64) {
        if events < COUNTED_BY_INDEX {
            self.few[events as usize] -= 1;
        } else if let Some(users) = self.many.get_mut(&events) {
            *users -= 1;
            if *users == 0 {
                self.many.remove(&events);
            }
        }
    }

    /// Numbers of events that some user has, ascending, and how many have them.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        let few = (0..).zip(&self.few).filter(|(_, users)| **users > 0);
        few.chain(self.many.iter().map(|(events, users)| (*events, users))).map(|(events, users)| (events, *users))
    }
}

/// A distribution in the making: users are only counted or listed, and put in order once, at the end.
#[derive(Debug, Default)]
pub struct DistributionBuilder {
    counts: Distribution,
    by_events: ByEvents,
    /// Users without a bad event: nearly all of them, nearly always.
    perfect: u64,
    /// The SLIs of the others, as bits.
    slis: Vec<u64>,
}

impl DistributionBuilder {
    /// Begins with users who had no bad event.
    pub fn of_perfect(by_events: ByEvents, min_events: u64) -> DistributionBuilder {
        let mut all = DistributionBuilder { by_events, ..DistributionBuilder::default() };
        for (events, users) in all.by_events.iter() {
            all.counts.dispersion.add_perfect(events, users);
            if events < min_events {
                all.counts.users_too_few += users;
            } else {
                all.perfect += users;
                all.counts.events += events * users;
            }
        }
        all.counts.users = all.perfect;
        all
    }

    /// A user who had events in the window; `bad_minutes` are the minutes with a bad one, `name` its tenant and user.
    #[inline]
    pub fn add<'a>(
        &mut self,
        sums: &UserSums,
        bad_minutes: u64,
        limits: &Limits,
        name: impl FnOnce() -> (&'a str, &'a str),
    ) {
        let Limits { min_events, objective } = *limits;
        self.by_events.add(sums.events);
        if sums.bad_events == 0 {
            self.counts.dispersion.add_perfect(sums.events, 1);
        } else {
            self.counts.dispersion.add(sums.events, bad_minutes, name);
            let pair = (tail::rough(sums.events), tail::rough(sums.bad_events));
            *self.counts.with_bad.entry(pair).or_insert(0) += 1;
        }
        if sums.events < min_events || sums.events == 0 {
            self.counts.users_too_few += 1;
            return;
        }
        self.counts.users += 1;
        self.counts.events += sums.events;
        self.counts.bad_events += sums.bad_events;
        if sums.bad == 0 {
            self.perfect += 1;
        } else {
            self.counts.below_objective += u64::from(sums.is_below(objective));
            self.slis.push(sums.sli().to_bits());
        }
    }

    pub fn finish(mut self) -> Distribution {
        self.counts.by_events = self.by_events.iter().collect();
        let perfect = (1f64.to_bits(), self.perfect);
        for (bits, users) in runs(&mut self.slis).into_iter().chain((self.perfect > 0).then_some(perfect)) {
            self.counts.slis.add(f64::from_bits(bits), users);
        }
        self.counts
    }
}

/// What a user needs to be counted, and to be below.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub min_events: u64,
    pub objective: Ratio,
}

/// Equal numbers, counted, ascending.
fn runs(numbers: &mut [u64]) -> Vec<(u64, u64)> {
    numbers.sort_unstable();
    numbers.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u64)).collect()
}

impl Distribution {
    /// The users of another users task.
    pub fn merge(&mut self, other: &Distribution) {
        self.users += other.users;
        self.users_too_few += other.users_too_few;
        self.below_objective += other.below_objective;
        self.events += other.events;
        self.bad_events += other.bad_events;
        for (events, users) in &other.by_events {
            *self.by_events.entry(*events).or_insert(0) += users;
        }
        for (pair, users) in &other.with_bad {
            *self.with_bad.entry(*pair).or_insert(0) += users;
        }
        self.dispersion.merge(&other.dispersion);
        self.slis.merge(&other.slis);
    }

    pub fn is_empty(&self) -> bool {
        self.users == 0 && self.users_too_few == 0
    }

    /// The published figures.
    pub fn figures(&self, window_ms: Ms, at_ms: Ms, limits: &Limits) -> UserWindow {
        let n = self.users;
        // Windows with a step at each boundary are fitted once a minute: a fit costs more than all the rest.
        let tail = (at_ms % MINUTE_MS == 0).then(|| self.tail()).flatten();
        let at_rank = |rank: u64| (n > 0).then(|| self.slis.at_rank(rank.min(n.saturating_sub(1))));
        UserWindow {
            window: duration::print(window_ms),
            at: Moment(at_ms),
            users: n,
            users_too_few: self.users_too_few,
            below_objective: self.below_objective,
            below_share: (n > 0).then(|| self.below_objective as f64 / n as f64),
            below_expected: Some(self.below_expected(limits)),
            sli_p50: at_rank(n / 2),
            sli_worst_10pct: at_rank(n / 10),
            sli_worst_1pct: at_rank(n / 100),
            sli_worst_0_1pct: at_rank(n / 1_000),
            sli_worst_1pct_estimate: tail.map(|tail| tail.sli),
            worst_1pct_error_mean: (n > 0).then(|| self.slis.worst_error_mean((n as f64 / 100.0).max(1.0))),
            worst_1pct_error_mean_estimate: tail.map(|tail| tail.error_mean),
            dispersion: None,
        }
    }

    /// How many users chance alone would put below the objective, were all served at the pooled
    /// error rate: the sum over users of `P[Binomial(n, p) > (1 - objective) n]`.
    fn below_expected(&self, limits: &Limits) -> f64 {
        if self.bad_events == 0 {
            return 0.0;
        }
        let pooled = self.bad_events as f64 / self.events as f64;
        let allowed = limits.objective.complement().unwrap_or(Ratio::ZERO);
        let below = |events: u64| {
            let tolerated = u128::from(events) * u128::from(allowed.num) / u128::from(allowed.den);
            binomial_at_least(u64::try_from(tolerated).unwrap_or(u64::MAX).saturating_add(1), events, pooled)
        };
        let counted = self.by_events.range(limits.min_events..);
        counted.map(|(events, users)| *users as f64 * below(*events)).sum()
    }

    /// The tail of the users' true error rates, over all with events.
    fn tail(&self) -> Option<tail::Tail> {
        if self.with_bad.is_empty() {
            return (!self.is_empty()).then_some(tail::Tail::NONE);
        }
        let mut users: Users = self.with_bad.clone();
        for (events, of) in &self.by_events {
            *users.entry((tail::rough(*events), 0)).or_insert(0) += of;
        }
        for ((events, _), bad) in &self.with_bad {
            if let Some(perfect) = users.get_mut(&(*events, 0)) {
                // What a build that rounds otherwise sent does not add up.
                *perfect = perfect.saturating_sub(*bad);
            }
        }
        tail::estimate(&users)
    }
}

impl Slis {
    fn add(&mut self, sli: f64, users: u64) {
        match self {
            Slis::Exact(by_sli) => {
                *by_sli.entry(sli.to_bits()).or_insert(0) += users;
                if by_sli.len() > EXACT_SLIS {
                    *self = Slis::Sketched(self.sketched());
                }
            }
            Slis::Sketched(bins) => *bins.entry(bin_of(1.0 - sli)).or_insert(0) += users,
        }
    }

    fn sketched(&self) -> BTreeMap<i16, u64> {
        match self {
            Slis::Sketched(bins) => bins.clone(),
            Slis::Exact(by_sli) => {
                let mut bins = BTreeMap::new();
                for (bits, users) in by_sli {
                    *bins.entry(bin_of(1.0 - f64::from_bits(*bits))).or_insert(0) += users;
                }
                bins
            }
        }
    }

    fn merge(&mut self, other: &Slis) {
        match (&mut *self, other) {
            (Slis::Exact(_), Slis::Exact(theirs)) => {
                theirs.iter().for_each(|(bits, users)| self.add(f64::from_bits(*bits), *users));
            }
            _ => {
                let mut bins = self.sketched();
                for (bin, users) in other.sketched() {
                    *bins.entry(bin).or_insert(0) += users;
                }
                *self = Slis::Sketched(bins);
            }
        }
    }

    /// SLIs and users, from the worst.
    fn worst_first(&self) -> Box<dyn Iterator<Item = (f64, u64)> + '_> {
        match self {
            Slis::Exact(by_sli) => Box::new(by_sli.iter().map(|(bits, users)| (f64::from_bits(*bits), *users))),
            Slis::Sketched(bins) => {
                Box::new(bins.iter().rev().map(|(bin, users)| ((1.0 - value_of(*bin)).clamp(0.0, 1.0), *users)))
            }
        }
    }

    fn at_rank(&self, rank: u64) -> f64 {
        let mut before = 0;
        let mut last = f64::NAN;
        for (sli, users) in self.worst_first() {
            before += users;
            last = sli;
            if before > rank {
                break;
            }
        }
        last
    }

    /// The mean error ratio of the worst `k` users; the user at the edge counts for the fraction.
    fn worst_error_mean(&self, k: f64) -> f64 {
        let mut left = k;
        let mut sum = 0.0;
        for (sli, users) in self.worst_first() {
            let counted = (users as f64).min(left);
            sum += counted * (1.0 - sli);
            left -= counted;
            if left <= 0.0 {
                break;
            }
        }
        sum / k
    }
}

/// A latency sketch's quantiles as published.
pub fn latency_of(sketch: &Sketch) -> crate::model::output::Latency {
    crate::model::output::Latency { p50: sketch.quantile(500), p95: sketch.quantile(950), p99: sketch.quantile(990) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { min_events: 5, objective: Ratio { num: 99, den: 100 } };

    fn user(events: u64, bad: u64) -> UserSums {
        UserSums {
            events,
            bad_events: bad,
            good: u128::from(events - bad) * 1_000_000,
            bad: u128::from(bad) * 1_000_000,
        }
    }

    fn of(users: &[(u64, u64)]) -> Distribution {
        let mut gathering = DistributionBuilder::default();
        users.iter().for_each(|(events, bad)| gathering.add(&user(*events, *bad), *bad, &LIMITS, || ("t", "u")));
        gathering.finish()
    }

    #[test]
    fn without_users_only_the_counts_are_there() {
        let f = of(&[(4, 4)]).figures(3_600_000, 0, &LIMITS);
        assert_eq!((f.users, f.users_too_few, f.below_share, f.sli_p50), (0, 1, None, None));
        assert_eq!(f.worst_1pct_error_mean, None);
    }

    #[test]
    fn ranks_count_from_the_worst_and_a_user_at_the_objective_is_not_below() {
        let f = of(&[(100, 1), (100, 0), (10, 5), (10, 0)]).figures(3_600_000, 0, &LIMITS);
        assert_eq!((f.below_objective, f.sli_worst_1pct, f.sli_p50), (1, Some(0.5), Some(1.0)));
        assert_eq!(f.worst_1pct_error_mean, Some(0.5));
    }

    #[test]
    fn the_user_at_the_edge_counts_for_the_fraction() {
        let mut users = vec![(10, 10)];
        users.extend(vec![(10, 5); 1]);
        users.extend(vec![(10, 0); 148]);
        let mean = of(&users).figures(3_600_000, 0, &LIMITS).worst_1pct_error_mean;
        assert!((mean.unwrap_or(0.0) - (1.0 + 0.5 * 0.5) / 1.5).abs() < 1e-12);
    }

    #[test]
    fn above_the_exact_limit_error_ratios_stay_within_one_percent_however_the_users_were_split() {
        let users: Vec<(u64, u64)> = (0..3_000).map(|i| (10_000 + i, 1 + i % 1_500)).collect();
        let mut errors: Vec<f64> = users.iter().map(|(n, x)| *x as f64 / *n as f64).collect();
        errors.sort_by(|a, b| b.total_cmp(a));
        let whole = of(&users);
        let (mut left, right) = (of(&users[..700]), of(&users[700..]));
        left.merge(&right);
        assert_eq!(left, whole);
        let f = whole.figures(3_600_000, 0, &LIMITS);
        for (got, rank) in [(f.sli_p50, 1_500), (f.sli_worst_10pct, 300), (f.sli_worst_0_1pct, 3)] {
            let (got, exact) = (1.0 - got.unwrap_or(f64::NAN), errors[rank]);
            assert!((got - exact).abs() <= 0.01 * exact * 1.001, "{got} for {exact}");
        }
    }

    #[test]
    fn chance_alone_puts_few_users_below() {
        let f = of(&[(10, 1), (10, 0)]).figures(3_600_000, 0, &LIMITS);
        // p = 1/20, a user of 10 events is below with one bad event: 2 (1 - 0.95^10).
        assert!((f.below_expected.unwrap_or(0.0) - 2.0 * (1.0 - libm::pow(0.95, 10.0))).abs() < 1e-12);
    }
}
