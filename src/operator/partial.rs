//! What a users task tells the rollup tasks: per boundary and key, only what changed.
//!
//! Everything in here adds up: deltas of several users tasks may be merged in any order.

use super::admission::Candidates;
use super::distribution::{Distribution, UserSums};
use super::event_leaf::EventPane;
use super::event_slice::EventNews;
use super::exemplars::keep_smallest;
use super::failures::FailedPanes;
use super::kind::gauge::{self, GaugeSum};
use super::signal::canary::ValueDelta;
use super::signal::failing_user::FailingUser;
use super::sketch::Sketch;
use crate::model::key::{OTHER, Scope};
use crate::model::output::Exemplar;
use crate::model::time::Ms;
use crate::model::tuple::Tuple;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// All that a users task closed since its last partial, for one rollup partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Partial {
    pub users_task: u32,
    /// How far the partial before it went: whoever did not hear that one misses something.
    pub from_ms: Option<Ms>,
    /// Every boundary up to and including this one is closed: nothing more comes for them.
    pub up_to_ms: Ms,
    /// In ascending order; boundaries without news are left out.
    pub boundaries: Vec<BoundaryPartial>,
    /// What the sender's SLO indices stand for: the identities of their filters, in its order. Empty:
    /// the receiver has the same list. (While a new configuration is rolled out, it may not.)
    pub slos: Vec<u64>,
    /// Groups and tenants that the receiver has to decide on before the sender can close their boundary.
    pub candidates: Vec<Candidates>,
    /// Where the sender waits for a decision, whoever makes it: all its candidates up to here are known.
    pub candidates_up_to_ms: Option<Ms>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BoundaryPartial {
    pub at_ms: Ms,
    pub deltas: Vec<KeyDelta>,
    pub steps: Vec<KeyStep>,
    /// A source was passed over although it has more: what it has is missing here.
    pub is_incomplete: bool,
    /// SLOs that have more groups than are remembered, said once.
    pub groups_overflow: Vec<u32>,
}

impl BoundaryPartial {
    pub fn says_something(&self) -> bool {
        !self.deltas.is_empty() || !self.steps.is_empty() || self.is_incomplete || !self.groups_overflow.is_empty()
    }
}

impl BoundaryPartial {
    /// How much is said: keys, leaves, failures and users. A measure of memory, roughly.
    pub fn size(&self) -> usize {
        let of_step = |step: &KeyStep| 1 + step.cube.len() + step.worst.len() + step.failing.len();
        let leaves = |delta: &KeyDelta| delta.event_news.as_ref().map_or(0, |news| news.size());
        let of_delta = |delta: &KeyDelta| 1 + leaves(delta) + delta.failures.len();
        self.deltas.iter().map(of_delta).sum::<usize>() + self.steps.iter().map(of_step).sum::<usize>()
    }
}

/// What became visible of one key at one boundary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyDelta {
    pub slo: u32,
    pub scope: Scope,
    /// By pane of event time, ascending.
    pub panes: Vec<PaneDelta>,
    /// Unclassified events by pane of event time, ascending.
    pub unclassified: Vec<(Ms, u64)>,
    /// Events (good, bad or unclassified) that were late and not dropped.
    pub late: u64,
    /// Users whose last event (first element) or last bad event (second) moved: +1 and -1 by slice.
    pub seen: Vec<(Ms, i64)>,
    pub bad_seen: Vec<(Ms, i64)>,
    /// Per pane that got bad events: the sender's users with the most of them in it, all of them that
    /// were ever visible.
    pub bad_users: Vec<(Ms, Vec<BadUser>)>,
    /// Of an aggregate: more tenants were seen than may have keys.
    pub tenants_overflow: bool,
    /// Of an aggregate whose SLO has `canary`: by value of its attribute, ascending.
    #[serde(default)]
    pub canary: Vec<ValueDelta>,
    /// Not all values, or not all users with bad events, are in it.
    #[serde(default)]
    pub canary_overflow: bool,
    /// What partials before version 10 had instead of `event_news`.
    #[serde(default)]
    pub events: Vec<EventPane>,
    /// Its bad events by dependency and type of error, ascending.
    #[serde(default)]
    pub failures: Vec<FailedPanes>,
    /// Events that a maintenance excluded.
    #[serde(default)]
    pub maintenance: u64,
    /// Of keys with a table of events (`event_table`): events by what they have in common, by slice of event time.
    #[serde(default)]
    pub event_news: Option<Box<EventNews>>,
    /// Of an SLO that counts users: by pane, +1 and -1 as the last event of a user moves, and its last one that decides.
    #[serde(default)]
    pub users: Vec<(Ms, i64)>,
    #[serde(default)]
    pub decided: Vec<(Ms, i64)>,
    /// Of an SLO that counts users by the periods of a calendar: those who came late to the period before, and those who are
    /// decided in it late.
    #[serde(default)]
    pub late_users: (i64, i64),
    /// Of a journey.
    #[serde(default)]
    pub attempts: Option<Box<AttemptNews>>,
}

/// What became of attempts of a journey at one boundary.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AttemptNews {
    /// By the pane in which they were decided, ascending; as [`super::kind::attempts::note`] counts them.
    pub panes: Vec<PaneDelta>,
    /// As [`KeyDelta::seen`] and [`KeyDelta::bad_users`], by attempts.
    pub seen: Vec<(Ms, i64)>,
    pub bad_users: Vec<(Ms, Vec<BadUser>)>,
}

impl KeyDelta {
    /// Nothing became visible yet.
    pub const fn nothing(slo: u32, scope: Scope) -> KeyDelta {
        KeyDelta {
            slo,
            scope,
            panes: Vec::new(),
            unclassified: Vec::new(),
            late: 0,
            seen: Vec::new(),
            bad_seen: Vec::new(),
            bad_users: Vec::new(),
            tenants_overflow: false,
            canary: Vec::new(),
            users: Vec::new(),
            decided: Vec::new(),
            late_users: (0, 0),
            attempts: None,
            canary_overflow: false,
            events: Vec::new(),
            failures: Vec::new(),
            maintenance: 0,
            event_news: None,
        }
    }

    /// Reads what a partial before version 10 says of events as one of today does.
    pub fn renew_events(&mut self) {
        let panes = std::mem::take(&mut self.events);
        self.event_news = (!panes.is_empty()).then(|| Box::new(EventNews::of_panes(&panes)));
    }
}

/// A user with bad events in a pane. The names decide which of several with as many are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadUser {
    pub bad_events: u64,
    pub hash: u64,
    pub user: Box<str>,
    pub tenant: Box<str>,
}

/// How many users with bad events are known by name per pane (contract, section 6).
pub const BAD_USERS_PER_PANE: usize = 64;

impl BadUser {
    /// The most bad events first, ties by the bytes of the user, then of the tenant.
    fn order(&self, other: &BadUser) -> Ordering {
        let most = other.bad_events.cmp(&self.bad_events);
        most.then_with(|| self.user.cmp(&other.user)).then_with(|| self.tenant.cmp(&other.tenant))
    }
}

/// Adds what was said of a pane, and keeps the users with the most bad events.
///
/// A user's bad events in a pane only become more, and a sender says its worst with all that it knows
/// of. So who is not among the worst of what was said so far will not be without being said again, and
/// what is kept is that of one sender who knows all users, whatever the order.
pub fn keep_most_bad(kept: &mut Vec<BadUser>, more: &[BadUser]) {
    kept.extend_from_slice(more);
    kept.sort_unstable_by(|a, b| a.hash.cmp(&b.hash).then_with(|| a.order(b)));
    kept.dedup_by_key(|user| user.hash);
    kept.sort_unstable_by(BadUser::order);
    kept.truncate(BAD_USERS_PER_PANE);
}

/// Good and bad events of one pane of event time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PaneDelta {
    pub start_ms: Ms,
    pub counts: Counts,
    pub latency: Sketch,
    /// The bad events with the smallest hash, ascending by hash, at most [`super::exemplars::EXEMPLARS`].
    pub exemplars: Vec<(u64, Exemplar)>,
    /// Of a composite: the same counts of each component, without the anonymous ones.
    #[serde(default)]
    pub parts: Vec<Counts>,
    /// Of a gauge.
    #[serde(default)]
    pub gauge: Option<GaugeSum>,
}

/// Adds a pane to panes that ascend by their start.
pub fn add_pane(panes: &mut Vec<PaneDelta>, more: &PaneDelta) {
    match panes.binary_search_by_key(&more.start_ms, |pane| pane.start_ms) {
        Err(at) => panes.insert(at, more.clone()),
        Ok(at) => {
            let own = &mut panes[at];
            own.counts.add(&more.counts);
            own.latency.add(&more.latency);
            keep_smallest(&mut own.exemplars, &more.exemplars);
            if own.parts.len() < more.parts.len() {
                own.parts.resize(more.parts.len(), Counts::default());
            }
            more.gauge.iter().for_each(|sum| gauge::add_to(&mut own.gauge, sum));
            own.parts.iter_mut().zip(&more.parts).for_each(|(own, more)| own.add(more));
        }
    }
}

/// Integer sums that add and subtract exactly: events are unweighted, good and bad in micro-weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub events: u64,
    pub bad_events: u64,
    /// Events without a user id, each a user of its own for the single-user guard.
    pub anonymous: u64,
    pub anonymous_bad: u64,
    pub good: u128,
    pub bad: u128,
}

impl Counts {
    pub fn add(&mut self, other: &Counts) {
        self.events += other.events;
        self.bad_events += other.bad_events;
        self.anonymous += other.anonymous;
        self.anonymous_bad += other.anonymous_bad;
        self.good += other.good;
        self.bad += other.bad;
    }

    /// Takes away what was added before; less than that is a bug, and aborts.
    pub fn subtract(&mut self, other: &Counts) {
        self.events -= other.events;
        self.bad_events -= other.bad_events;
        self.anonymous -= other.anonymous;
        self.anonymous_bad -= other.anonymous_bad;
        self.good -= other.good;
        self.bad -= other.bad;
    }

    pub fn total(&self) -> u128 {
        self.good + self.bad
    }
}

/// The users of one key at one step of a user window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyStep {
    pub slo: u32,
    pub scope: Scope,
    pub window_ms: Ms,
    pub distribution: Distribution,
    /// Per distinct attribute tuple of users, ascending by tuple.
    pub cube: Vec<Leaf>,
    /// The worst-served users of the window (only for the window that `user-status` shows).
    pub worst: Vec<WorstUser>,
    /// Of a tenant, at full minutes: the sender's users who fail again and again, see
    /// [`super::signal::failing_user::keep_worst_served`].
    #[serde(default)]
    pub failing: Vec<FailingUser>,
}

/// One leaf of the cube: the users who share an attribute tuple.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf {
    /// The attributes.
    pub tuple: Tuple,
    /// Users with enough events.
    pub users: u64,
    pub users_below: u64,
    pub events: u64,
    pub bad_events: u64,
    pub bad: u128,
    /// The users below the objective with the most bad events, ties by hash.
    pub sample: Vec<SampleUser>,
    /// All users with an event, those with too few of them, too.
    #[serde(default)]
    pub every: Every,
}

/// The users of a leaf, whether they have enough events or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Every {
    pub users: u64,
    pub users_with_bad: u64,
    pub events: u64,
    pub bad_events: u64,
    pub bad: u128,
    /// The users with the most bad events among those that are not below the objective, ties by hash.
    pub sample: Vec<SampleUser>,
}

impl Every {
    pub fn add_user(&mut self, sums: &UserSums) {
        self.users += 1;
        self.users_with_bad += u64::from(sums.bad_events > 0);
        self.events += sums.events;
        self.bad_events += sums.bad_events;
        self.bad += sums.bad;
    }

    fn add(&mut self, other: &Every) {
        self.users += other.users;
        self.users_with_bad += other.users_with_bad;
        self.events += other.events;
        self.bad_events += other.bad_events;
        self.bad += other.bad;
        self.sample.extend(other.sample.iter().cloned());
        keep_worst(&mut self.sample);
    }
}

impl Leaf {
    /// The leaf of all users with an event: a user with a bad event is in the tail.
    pub fn of_every(&self) -> Leaf {
        let Every { users, users_with_bad, events, bad_events, bad, ref sample } = self.every;
        let mut sample: Vec<SampleUser> = self.sample.iter().chain(sample).cloned().collect();
        keep_worst(&mut sample);
        let tuple = self.tuple.clone();
        Leaf { tuple, users, users_below: users_with_bad, events, bad_events, bad, sample, every: Every::default() }
    }

    /// The weight of all its bad events, those of users with too few events included.
    pub fn all_bad(&self) -> u128 {
        self.bad.max(self.every.bad)
    }

    /// Adds a user with enough events.
    pub fn add_user(&mut self, sums: &UserSums, is_below: bool) {
        self.users += 1;
        self.users_below += u64::from(is_below);
        self.events += sums.events;
        self.bad_events += sums.bad_events;
        self.bad += sums.bad;
    }

    /// Whether it holds the users whose attributes are not told apart.
    fn is_other(&self) -> bool {
        !self.tuple.is_empty() && self.tuple.pairs().all(|(_, value)| value == OTHER)
    }

    /// One leaf for those that are over a limit, with the names of the attributes of the others.
    pub fn other<'a>(leaves: &[Leaf], over: impl Iterator<Item = &'a Leaf>) -> Option<Leaf> {
        let mut other = over.cloned().reduce(|mut all, leaf| {
            all.add(&leaf);
            all
        })?;
        let names: BTreeSet<&str> = leaves.iter().flat_map(|leaf| leaf.tuple.pairs()).map(|(name, _)| name).collect();
        other.tuple = Tuple::of(names.into_iter().map(|name| (name, OTHER)));
        Some(other)
    }

    /// Adds users who share the attributes.
    pub fn add(&mut self, other: &Leaf) {
        self.users += other.users;
        self.users_below += other.users_below;
        self.events += other.events;
        self.bad_events += other.bad_events;
        self.bad += other.bad;
        self.sample.extend(other.sample.iter().cloned());
        keep_worst(&mut self.sample);
        self.every.add(&other.every);
    }
}

/// A user below the objective, as an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleUser {
    pub bad_events: u64,
    pub hash: u64,
    pub tenant: String,
    pub user: String,
}

/// How many users are kept as examples.
pub const SAMPLE_USERS: usize = 5;

/// Leaves of a cube beyond these go into `__other__`.
pub const LEAVES: usize = 1_024;
/// An attribute with more values than this identifies rather than groups: no cohort is by it.
pub const VALUES_PER_ATTRIBUTE_MAX: usize = 256;

/// Sorts leaves by tuple, and puts what is over the limit into one: the largest by users stay, ties
/// by bytes. One that holds what was over a limit before is no leaf like others.
pub fn cap_leaves(leaves: &mut Vec<Leaf>, limit: usize) {
    if leaves.len() > limit {
        let size = |leaf: &Leaf| (leaf.is_other(), std::cmp::Reverse(leaf.users));
        leaves.sort_unstable_by(|a, b| size(a).cmp(&size(b)).then_with(|| a.tuple.cmp(&b.tuple)));
        let over = leaves.split_off(limit - 1);
        let other = Leaf::other(leaves, over.iter());
        leaves.extend(other);
    }
    leaves.sort_unstable_by(|a, b| a.tuple.cmp(&b.tuple));
}

/// Keeps the users with the most bad events, ties by hash.
pub fn keep_worst(sample: &mut Vec<SampleUser>) {
    sample.sort_unstable_by(|a, b| b.bad_events.cmp(&a.bad_events).then(a.hash.cmp(&b.hash)));
    sample.truncate(SAMPLE_USERS);
}

/// One of the worst-served users of a (slo, tenant).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorstUser {
    pub user: String,
    pub good: u128,
    pub bad: u128,
    pub first_bad_ms: Option<Ms>,
    pub last_bad_ms: Option<Ms>,
    pub attributes: Vec<(String, String)>,
}

/// How many of the worst-served users are told, per (slo, tenant).
pub const WORST_USERS: usize = 100;

impl WorstUser {
    pub fn sli(&self) -> f64 {
        self.good as f64 / (self.good + self.bad) as f64
    }

    /// By SLI, then by name.
    fn order(&self, other: &WorstUser) -> Ordering {
        self.sli().total_cmp(&other.sli()).then_with(|| self.user.as_bytes().cmp(other.user.as_bytes()))
    }
}

/// The worst-served users of what several users tasks said of one step, worst first.
pub fn worst_of<'a>(steps: &[&'a KeyStep]) -> Vec<&'a WorstUser> {
    let mut worst: Vec<&WorstUser> = steps.iter().flat_map(|step| &step.worst).collect();
    worst.sort_unstable_by(|a, b| a.order(b));
    worst.truncate(WORST_USERS);
    worst
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn user(bad_events: u64, id: u64) -> BadUser {
        let (hash, user) = (id.wrapping_mul(0x9e37_79b9_7f4a_7c15), format!("u{id}").into());
        BadUser { bad_events, hash, user, tenant: "t".into() }
    }

    /// What a users task says of its users.
    fn said(users: impl Iterator<Item = BadUser>) -> Vec<BadUser> {
        let mut said: Vec<BadUser> = users.collect();
        said.sort_by(BadUser::order);
        said.truncate(BAD_USERS_PER_PANE);
        said
    }

    proptest! {
        /// Few different numbers of bad events, so that many users tie; each task says again what became more.
        #[test]
        fn the_worst_of_a_pane_are_those_of_one_task_that_knows_all(
            bad in prop::collection::vec((1u64..4, 0u64..3), 1..300), tasks in 1u64..6, late_first in any::<bool>(),
        ) {
            let of = |task: u64, more: bool| {
                let own = bad.iter().enumerate().filter(move |(id, _)| *id as u64 % tasks == task);
                said(own.map(move |(id, (first, then))| user(first + if more { *then } else { 0 }, id as u64)))
            };
            let mut kept = Vec::new();
            for task in 0..tasks {
                // Whoever speaks first, and twice.
                let task = if late_first { tasks - 1 - task } else { task };
                keep_most_bad(&mut kept, &of(task, false));
                keep_most_bad(&mut kept, &of(task, true));
                keep_most_bad(&mut kept, &of(task, true));
            }
            let all = bad.iter().enumerate().map(|(id, (first, then))| user(first + then, id as u64));
            prop_assert_eq!(kept, said(all));
        }

        /// Leaves of several tasks, merged and capped, are those of one.
        #[test]
        fn leaves_are_capped_where_all_came_together(
            users in prop::collection::vec((0u32..40, 0u64..5), 1..200), limit in 2usize..30,
        ) {
            let leaf = |(name, tasks): &(u32, u64)| Leaf {
                tuple: Tuple::of([("a", format!("v{name:02}").as_str())].into_iter()),
                users: 1 + tasks,
                events: 10,
                ..Leaf::default()
            };
            let cube = |leaves: Vec<Leaf>| {
                let mut by_name = std::collections::BTreeMap::<_, Leaf>::new();
                for leaf in leaves {
                    by_name.entry(leaf.tuple.clone()).and_modify(|sum| sum.add(&leaf)).or_insert(leaf);
                }
                by_name.into_values().collect::<Vec<_>>()
            };
            let parts = users.chunks(users.len().div_ceil(3)).map(|part| cube(part.iter().map(leaf).collect()));
            let (mut merged, mut whole) = (cube(parts.flatten().collect()), cube(users.iter().map(leaf).collect()));
            cap_leaves(&mut merged, limit);
            cap_leaves(&mut whole, limit);
            prop_assert!(whole.len() <= limit);
            prop_assert_eq!(whole.iter().map(|l| l.users).sum::<u64>(), users.iter().map(|(_, t)| 1 + t).sum::<u64>());
            prop_assert_eq!(merged, whole);
        }
    }

    #[test]
    fn what_was_over_a_limit_before_stays_in_the_leaf_of_all_others() {
        let leaf =
            |value: &str, users: u64| Leaf { tuple: Tuple::of([("a", value)].into_iter()), users, ..Leaf::default() };
        let mut leaves = vec![leaf(OTHER, 100), leaf("x", 3), leaf("y", 2), leaf("z", 1)];
        cap_leaves(&mut leaves, 3);
        assert_eq!(leaves, [leaf("x", 3), leaf("y", 2), leaf(OTHER, 101)]);
    }

    #[test]
    fn the_worst_users_of_several_tasks_are_by_sli_then_by_name() {
        let worst = |users: &[(&str, u128)]| KeyStep {
            slo: 0,
            scope: Scope::Aggregate,
            window_ms: 1,
            distribution: Distribution::default(),
            cube: Vec::new(),
            worst: users.iter().map(|(user, bad)| of(user, *bad)).collect(),
            failing: Vec::new(),
        };
        fn of(user: &str, bad: u128) -> WorstUser {
            let (first_bad_ms, last_bad_ms, attributes) = (None, None, Vec::new());
            WorstUser { user: user.to_owned(), good: 10 - bad, bad, first_bad_ms, last_bad_ms, attributes }
        }
        let (one, two) = (worst(&[("c", 9), ("a", 1)]), worst(&[("b", 9), ("d", 0)]));
        let order = |steps: &[&KeyStep]| worst_of(steps).iter().map(|u| u.user.clone()).collect::<String>();
        assert_eq!((order(&[&one, &two]).as_str(), order(&[&two, &one]).as_str()), ("bcad", "bcad"));
    }
}
