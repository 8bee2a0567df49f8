//! The users of a key: their last (bad) events, and the distribution of section 7.
//!
//! Exact at any number of users; the estimate and cohorts are not modelled.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::chance::binomial_above;
use crate::dispersion::Minutes;

use crate::ratio::Ratio;
use crate::time::{MINUTE_MS, print_duration, print_time};
use crate::windows::{Axis, Suffixes};

/// Above this many distinct SLIs the contract allows the quantiles an error.
const EXACT_SLIS: usize = 1_024;
/// How many users of a slice the single-user guard considers.
const SEEN_PER_SLICE: usize = 64;

/// A user of the run: an index that sorts as (tenant bytes, user bytes) do.
pub type UserIndex = u32;
/// A tuple of attributes of the run: an index that sorts as the tuples do.
pub type TupleIndex = u32;

#[derive(Clone, Copy, Debug)]
pub struct Served {
    pub user: UserIndex,
    pub good: bool,
    pub weight_micros: i64,
}

/// The last slice of each user, and the number of users for whom each slice is the last.
struct LastSlices {
    of_user: BTreeMap<UserIndex, usize>,
    users: Suffixes<i64>,
}

impl LastSlices {
    fn see(&mut self, user: UserIndex, slice: usize) {
        let last = self.of_user.insert(user, slice);
        match last {
            Some(last) if last >= slice => {
                self.of_user.insert(user, last);
            }
            _ => {
                self.users.add(slice, &1);
                if let Some(last) = last {
                    self.users.add(last, &-1);
                }
            }
        }
    }
}

pub struct Users {
    served: BTreeMap<usize, Vec<Served>>,
    bad_of_slice: BTreeMap<usize, BTreeMap<UserIndex, i64>>,
    nameless_bad: Suffixes<i64>,
    nameless: Suffixes<i64>,
    last_good: LastSlices,
    last_bad: LastSlices,
    last_seen: LastSlices,
    /// The newest event of each user, with its attributes.
    newest: BTreeMap<UserIndex, (i64, TupleIndex)>,
    known: usize,
}

/// One of the worst-served users of a window.
pub struct Worst {
    pub user: UserIndex,
    pub good_micros: i64,
    pub bad_micros: i64,
    pub sli: f64,
    /// The slices of its first and of its last bad event.
    pub bad: Option<(usize, usize)>,
    pub tuple: TupleIndex,
}

impl Users {
    /// `known`: all users of the run.
    pub fn new(axis: Axis, known: usize) -> Self {
        let last_slices = || LastSlices { of_user: BTreeMap::new(), users: Suffixes::new(axis) };
        Self {
            served: BTreeMap::new(),
            bad_of_slice: BTreeMap::new(),
            nameless_bad: Suffixes::new(axis),
            nameless: Suffixes::new(axis),
            last_good: last_slices(),
            last_bad: last_slices(),
            last_seen: last_slices(),
            newest: BTreeMap::new(),
            known,
        }
    }

    pub fn see(&mut self, slice: usize, user: Option<UserIndex>, good: bool, weight_micros: i64) {
        let Some(user) = user else {
            self.nameless.add(slice, &1);
            self.nameless_bad.add(slice, &i64::from(!good));
            return;
        };
        self.served.entry(slice).or_default().push(Served { user, good, weight_micros });
        self.last_seen.see(user, slice);
        if good {
            self.last_good.see(user, slice);
        } else {
            self.last_bad.see(user, slice);
            *self.bad_of_slice.entry(slice).or_default().entry(user).or_default() += 1;
        }
    }

    pub fn note_tuple(&mut self, user: UserIndex, time_ms: i64, tuple: TupleIndex) {
        let newest = self.newest.entry(user).or_insert((time_ms, tuple));
        *newest = (*newest).max((time_ms, tuple));
    }

    /// `users_active` of the window from `start`: null if no event in it has a user.
    pub fn active(&self, start: usize) -> Option<i64> {
        Some(self.last_seen.users.from(start)).filter(|n| *n > 0)
    }

    pub fn affected(&self, start: usize) -> Option<i64> {
        self.active(start).map(|_| self.last_bad.users.from(start))
    }

    /// Users with an event in these slices, with a good one, with a bad one.
    pub fn distinct(&self, slices: std::ops::Range<usize>) -> [i64; 3] {
        if slices.end == usize::MAX {
            return [&self.last_seen, &self.last_good, &self.last_bad].map(|last| last.users.from(slices.start));
        }
        let mut users = [BTreeSet::new(), BTreeSet::new(), BTreeSet::new()];
        for served in self.served.range(slices).flat_map(|(_, served)| served) {
            users[0].insert(served.user);
            users[if served.good { 1 } else { 2 }].insert(served.user);
        }
        users.map(|users| users.len() as i64)
    }

    /// Users of the window; each event without a user counts as one.
    pub fn active_or_nameless(&self, start: usize) -> i64 {
        self.last_seen.users.from(start) + self.nameless.from(start)
    }

    /// The bad events of the user who has most of them, among the top 64 users of each slice.
    pub fn most_bad_of_one(&self, start: usize) -> i64 {
        let mut bad_of_user: BTreeMap<UserIndex, i64> = BTreeMap::new();
        for bad_in_slice in self.bad_of_slice.range(start..).map(|(_, users)| users) {
            let mut worst: Vec<(i64, UserIndex)> = bad_in_slice.iter().map(|(user, bad)| (-bad, *user)).collect();
            if worst.len() > SEEN_PER_SLICE {
                worst.sort_unstable();
                worst.truncate(SEEN_PER_SLICE);
            }
            for (minus_bad, user) in worst {
                *bad_of_user.entry(user).or_default() -= minus_bad;
            }
        }
        let nameless = i64::from(self.nameless_bad.from(start) > 0);
        bad_of_user.values().copied().max().unwrap_or(0).max(nameless)
    }

    /// The counts of each user of the run in the window from `start`.
    fn services(&self, start: usize) -> Vec<Service> {
        let mut users = vec![Service::default(); self.known];
        for served in self.served.range(start..).flat_map(|(_, served)| served) {
            users[served.user as usize].add(served);
        }
        users
    }

    /// By user with an event in the window from `start`: its events, and the minutes with a bad one.
    pub fn minutes(&self, start: usize, axis: Axis) -> BTreeMap<UserIndex, Minutes> {
        let mut users: BTreeMap<UserIndex, Minutes> = BTreeMap::new();
        for (slice, served) in self.served.range(start..) {
            for one in served {
                let minutes = users.entry(one.user).or_default();
                minutes.events += 1;
                if !one.good {
                    minutes.bad.insert(axis.start_ms(*slice) / MINUTE_MS);
                }
            }
        }
        users
    }

    /// The users with the lowest SLI of the window from `start`, ties by their bytes.
    pub fn worst(&self, start: usize, min_events: i64, count: usize) -> Vec<Worst> {
        let mut worst: Vec<Worst> = (0..)
            .zip(self.services(start))
            .filter_map(|(user, s)| {
                let (_, tuple) = self.newest.get(&user)?;
                let (good_micros, bad_micros) = (s.good_micros, s.bad_micros);
                (s.events > 0 && s.events >= min_events).then(|| Worst {
                    user,
                    good_micros,
                    bad_micros,
                    sli: s.sli(),
                    bad: None,
                    tuple: *tuple,
                })
            })
            .collect();
        worst.sort_by(|a, b| a.sli.total_cmp(&b.sli).then(a.user.cmp(&b.user)));
        worst.truncate(count);
        let mut bad: BTreeMap<UserIndex, (usize, usize)> = BTreeMap::new();
        for (slice, users) in self.bad_of_slice.range(start..) {
            users.keys().for_each(|user| bad.entry(*user).or_insert((*slice, *slice)).1 = *slice);
        }
        worst.iter_mut().for_each(|w| w.bad = bad.get(&w.user).copied());
        worst
    }

    /// One entry of `users[]`: the distribution over the users of the window from `start`.
    pub fn distribution(&self, start: usize, min_events: i64, allowed: Ratio) -> Map<String, Value> {
        let users = self.services(start);
        let seen = users.iter().filter(|u| u.events > 0).count();
        let enough = |u: &Service| u.events > 0 && u.events >= min_events;
        let mut served: Vec<Service> = users.into_iter().filter(enough).collect();
        served.sort_by(|a, b| b.error_ratio().total_cmp(&a.error_ratio()));
        let below = served.iter().filter(|u| u.is_below(allowed)).count();
        let mut entry = Map::new();
        entry.insert("users".into(), json!(served.len()));
        entry.insert("users_too_few".into(), json!(seen - served.len()));
        entry.insert("below_objective".into(), json!(below));
        entry.insert("below_expected".into(), json!(below_expected(&served, allowed)));
        let share = (!served.is_empty()).then(|| below as f64 / served.len() as f64);
        entry.insert("below_share".into(), json!(share));
        for (name, parts) in
            [("sli_p50", 2), ("sli_worst_10pct", 10), ("sli_worst_1pct", 100), ("sli_worst_0_1pct", 1000)]
        {
            let rank = (served.len() / parts).min(served.len().saturating_sub(1));
            entry.insert(name.into(), json!(served.get(rank).map(Service::sli)));
        }
        entry.insert("worst_1pct_error_mean".into(), json!(worst_error_mean(&served)));
        let mut slis: Vec<u64> = served.iter().map(|u| u.sli().to_bits()).collect();
        slis.sort_unstable();
        slis.dedup();
        if slis.len() > EXACT_SLIS {
            entry.insert("_sketched".into(), json!(true));
        }
        entry
    }
}

#[derive(Clone, Copy, Default)]
struct Service {
    good_micros: i64,
    bad_micros: i64,
    events: i64,
    bad: i64,
}

impl Service {
    fn add(&mut self, served: &Served) {
        *(if served.good { &mut self.good_micros } else { &mut self.bad_micros }) += served.weight_micros;
        self.events += 1;
        self.bad += i64::from(!served.good);
    }

    fn sli(&self) -> f64 {
        self.good_micros as f64 / (self.good_micros + self.bad_micros) as f64
    }

    fn error_ratio(&self) -> f64 {
        self.bad_micros as f64 / (self.good_micros + self.bad_micros) as f64
    }

    fn is_below(&self, allowed: Ratio) -> bool {
        allowed.exceeded_by(self.bad_micros.into(), (self.good_micros + self.bad_micros).into())
    }
}

/// The number of users that chance alone puts below the objective at the pooled error rate, unweighted.
fn below_expected(users: &[Service], allowed: Ratio) -> f64 {
    let events: i64 = users.iter().map(|u| u.events).sum();
    let bad: i64 = users.iter().map(|u| u.bad).sum();
    if bad == 0 {
        return 0.0;
    }
    let mut by_events: BTreeMap<i64, usize> = BTreeMap::new();
    users.iter().for_each(|u| *by_events.entry(u.events).or_default() += 1);
    let pooled = bad as f64 / events as f64;
    let tolerated = |n: i64| (i128::from(n) * allowed.num / allowed.den) as i64;
    by_events.iter().map(|(n, users)| *users as f64 * binomial_above(tolerated(*n), *n, pooled)).sum()
}

/// The mean error ratio of the worst `max(1, n / 100)` users; the user at the edge counts with the fraction.
fn worst_error_mean(worst_first: &[Service]) -> Option<f64> {
    let size = (worst_first.len() as f64 / 100.0).max(1.0);
    let (mut left, mut sum) = (size, 0.0);
    for user in worst_first {
        let share = left.min(1.0);
        sum += share * user.error_ratio();
        left -= share;
        if left <= 0.0 {
            break;
        }
    }
    (!worst_first.is_empty()).then(|| sum / size)
}

pub fn entry(window_ms: i64, at_ms: i64, figures: Map<String, Value>) -> Value {
    let mut entry = Map::new();
    entry.insert("window".into(), json!(print_duration(window_ms)));
    entry.insert("at".into(), json!(print_time(at_ms)));
    entry.extend(figures);
    Value::Object(entry)
}
