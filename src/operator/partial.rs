//! What a users task tells the rollup tasks: per boundary and key, only what changed.
//!
//! Everything in here adds up: deltas of several users tasks may be merged in any order.

use super::distribution::Distribution;
use super::sketch::Sketch;
use crate::model::key::Scope;
use crate::model::output::Exemplar;
use crate::model::time::Ms;
use serde::{Deserialize, Serialize};

/// All that a users task closed since its last partial, for one rollup partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Partial {
    pub users_task: u32,
    /// Every boundary up to and including this one is closed: nothing more comes for them.
    pub up_to_ms: Ms,
    /// In ascending order; boundaries without news are left out.
    pub boundaries: Vec<BoundaryPartial>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BoundaryPartial {
    pub at_ms: Ms,
    pub deltas: Vec<KeyDelta>,
    pub steps: Vec<KeyStep>,
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
    /// Per pane that got bad events: the users with the most of them in it, by hash; replaces what was
    /// said of the pane before.
    pub bad_users: Vec<(Ms, Vec<(u64, u64)>)>,
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
