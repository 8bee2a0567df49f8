//! What a users task tells the rollup tasks: per boundary and key, only what changed.
//!
//! Everything in here adds up: deltas of several users tasks may be merged in any order.

use super::distribution::Distribution;
use super::sketch::Sketch;
use crate::model::key::{OTHER, Scope};
use crate::model::output::Exemplar;
use crate::model::time::Ms;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// All that a users task closed since its last partial, for one rollup partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Partial {
    pub users_task: u32,
    /// Every boundary up to and including this one is closed: nothing more comes for them.
    pub up_to_ms: Ms,
    /// In ascending order; boundaries without news are left out.
    pub boundaries: Vec<BoundaryPartial>,
    /// What the sender's SLO indices stand for: the identities of their filters, in its order. Empty:
    /// the receiver has the same list. (While a new configuration is rolled out, it may not.)
    pub slos: Vec<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BoundaryPartial {
    pub at_ms: Ms,
    pub deltas: Vec<KeyDelta>,
    pub steps: Vec<KeyStep>,
    /// A source was passed over although it has more: what it has is missing here.
    pub is_incomplete: bool,
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
    /// The bad events with the smallest hash, ascending by hash, at most [`EXEMPLARS`].
    pub exemplars: Vec<(u64, Exemplar)>,
}

/// How many bad events are kept as examples.
pub const EXEMPLARS: usize = 5;

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
}

/// One leaf of the cube: the users who share an attribute tuple.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf {
    /// Ascending by attribute.
    pub attributes: Vec<(String, String)>,
    /// Users with enough events.
    pub users: u64,
    pub users_below: u64,
    pub events: u64,
    pub bad_events: u64,
    pub bad: u128,
    /// The users below the objective with the most bad events, ties by hash.
    pub sample: Vec<SampleUser>,
}

impl Leaf {
    /// Whether it holds the users whose attributes are not told apart.
    fn is_other(&self) -> bool {
        !self.attributes.is_empty() && self.attributes.iter().all(|(_, value)| value == OTHER)
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

/// Sorts leaves by attributes, and puts what is over the limit into one: the largest by users stay, ties
/// by bytes. One that holds what was over a limit before is no leaf like others.
pub fn cap_leaves(leaves: &mut Vec<Leaf>, limit: usize) {
    if leaves.len() > limit {
        let size = |leaf: &Leaf| (leaf.is_other(), std::cmp::Reverse(leaf.users));
        leaves.sort_unstable_by(|a, b| size(a).cmp(&size(b)).then_with(|| a.attributes.cmp(&b.attributes)));
        let names: Vec<String> = leaves[0].attributes.iter().map(|(n, _)| n.clone()).collect();
        let mut other = leaves.split_off(limit - 1).into_iter().reduce(|mut all, leaf| {
            all.add(&leaf);
            all
        });
        if let Some(other) = &mut other {
            other.attributes = names.into_iter().map(|n| (n, OTHER.to_owned())).collect();
        }
        leaves.extend(other);
    }
    leaves.sort_unstable_by(|a, b| a.attributes.cmp(&b.attributes));
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
