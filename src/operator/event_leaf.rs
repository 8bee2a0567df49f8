//! Events that share their attributes and their operation, as users tasks tell of them: how many, how many bad, and of how
//! many users.
//!
//! Everything here adds up in any order, as long as a user's events are told by one users task.

use crate::model::key::OTHER;
use crate::model::time::Ms;
use crate::model::tuple::Tuple;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// The field of an event that stands among its attributes here, in the place of an attribute of that name.
pub const OPERATION: &str = "operation";

/// The users with the smallest hashes are a fair sample of all; those with the most bad events may be why there are so many.
const SAMPLED: usize = 6;
const LARGEST: usize = 2;

/// Some users with their bad events: all of them where they are few.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crowd(Vec<(u32, u32)>);

impl Crowd {
    /// Hashes of users with numbers of bad events, in any order, also repeated.
    pub fn of(mut users: Vec<(u32, u32)>) -> Crowd {
        users.sort_unstable();
        users.dedup_by(|next, kept| {
            let is_same = next.0 == kept.0;
            if is_same {
                kept.1 = kept.1.saturating_add(next.1);
            }
            is_same
        });
        if users.len() > SAMPLED + LARGEST {
            let mut others = users.split_off(SAMPLED);
            others.sort_unstable_by_key(|(user, bad)| (Reverse(*bad), *user));
            others.truncate(LARGEST);
            users.extend(others);
            users.sort_unstable();
        }
        Crowd(users)
    }

    pub fn add(&mut self, other: &Crowd) {
        if !other.0.is_empty() {
            let mut all = std::mem::take(&mut self.0);
            all.extend_from_slice(&other.0);
            *self = Crowd::of(all);
        }
    }

    /// The users who are known.
    pub fn known(&self) -> &[(u32, u32)] {
        &self.0
    }

    /// How many users there are: exact where they are few, else by how close together the smallest hashes are
    /// (k minimum values: Bar-Yossef et al. 2002).
    pub fn users(&self) -> u64 {
        match self.0.get(SAMPLED - 1) {
            Some((hash, _)) if self.0.len() == SAMPLED + LARGEST => {
                let share = (f64::from(*hash) + 1.0) / (f64::from(u32::MAX) + 1.0);
                (libm::round((SAMPLED - 1) as f64 / share) as u64).max(self.0.len() as u64)
            }
            _ => self.0.len() as u64,
        }
    }

    /// The most bad events of one user.
    pub fn most(&self) -> u64 {
        self.0.iter().map(|(_, bad)| u64::from(*bad)).max().unwrap_or(0)
    }
}

/// Whose bad events are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whose {
    pub users: Crowd,
    /// Bad events without a user, each as one of a user of its own.
    pub nameless: u64,
}

/// The bad ones among some events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadEvents {
    pub events: u64,
    /// In micro-weights.
    pub weight: u128,
    /// Those without a user, each as one of a user of its own.
    pub nameless: u64,
    pub users: Crowd,
}

impl BadEvents {
    pub fn add(&mut self, other: &BadEvents) {
        self.events += other.events;
        self.weight += other.weight;
        self.nameless += other.nameless;
        self.users.add(&other.users);
    }
}

/// Events with the same attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventLeaf {
    /// The attributes, the operation among them.
    pub tuple: Tuple,
    /// Good and bad ones.
    pub events: u64,
    pub bad: Option<BadEvents>,
}

impl EventLeaf {
    pub fn add(&mut self, other: &EventLeaf) {
        self.events += other.events;
        if let Some(bad) = &other.bad {
            self.bad.get_or_insert_default().add(bad);
        }
    }
}

/// The events of one slice of event time that became visible at a boundary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventPane {
    pub start_ms: Ms,
    /// Each tuple once, in any order.
    pub leaves: Vec<EventLeaf>,
}

/// Puts what is over the limit into one leaf: those with the most events stay, ties by bytes.
pub fn cap(leaves: &mut Vec<EventLeaf>, limit: usize) {
    if leaves.len() <= limit {
        return;
    }
    let size = |leaf: &EventLeaf| (is_other(&leaf.tuple), Reverse(leaf.events));
    leaves.sort_unstable_by(|a, b| size(a).cmp(&size(b)).then_with(|| a.tuple.cmp(&b.tuple)));
    let over = leaves.split_off(limit - 1);
    let names: BTreeSet<&str> = over.iter().chain(&*leaves).flat_map(|l| l.tuple.pairs()).map(|(n, _)| n).collect();
    let tuple = Tuple::of(names.into_iter().map(|name| (name, OTHER)));
    let mut other = EventLeaf { tuple, ..EventLeaf::default() };
    over.iter().for_each(|leaf| other.add(leaf));
    leaves.push(other);
}

/// Whether it holds events that are not told apart.
pub fn is_other(tuple: &Tuple) -> bool {
    !tuple.is_empty() && tuple.pairs().all(|(_, value)| value == OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hash(user: u32) -> u32 {
        user.wrapping_mul(0x9e37_79b9)
    }

    #[test]
    fn few_users_are_all_known_and_of_many_those_with_the_most() {
        let users = |n: u32| (0..n).map(|user| (hash(user), if user == 77 { 9 } else { 1 })).collect();
        assert_eq!((Crowd::of(users(7)).users(), Crowd::of(users(7)).known().len()), (7, 7));
        let many = Crowd::of(users(2_000));
        assert_eq!((many.known().len(), many.most()), (SAMPLED + LARGEST, 9));
        assert!((500..8_000).contains(&many.users()), "{}", many.users());
    }

    proptest! {
        /// However the users are divided among users tasks, and in whatever order these are heard.
        #[test]
        fn a_crowd_of_parts_is_the_crowd_of_all(
            users in prop::collection::vec((0u32..60, 1u32..5), 0..120), tasks in 1u32..5, last_first in any::<bool>(),
        ) {
            let all: Vec<(u32, u32)> = users.iter().map(|(user, bad)| (hash(*user), *bad)).collect();
            let part = |task: u32| {
                let own = users.iter().filter(|(user, _)| user % tasks == task);
                Crowd::of(own.map(|(user, bad)| (hash(*user), *bad)).collect())
            };
            let mut sum = Crowd::default();
            (0..tasks).for_each(|task| sum.add(&part(if last_first { tasks - 1 - task } else { task })));
            prop_assert_eq!(sum, Crowd::of(all));
        }
    }

    #[test]
    fn leaves_over_the_limit_are_one_leaf() {
        let leaf = |value: &str, events: u64| {
            let bad = BadEvents { events: 1, weight: 5, ..BadEvents::default() };
            EventLeaf { tuple: Tuple::of([("a", value)].into_iter()), events, bad: Some(bad) }
        };
        let mut leaves = vec![leaf("z", 1), leaf(OTHER, 100), leaf("x", 3), leaf("y", 3), leaf("w", 1)];
        cap(&mut leaves, 3);
        let told: Vec<(&Tuple, u64)> = leaves.iter().map(|leaf| (&leaf.tuple, leaf.events)).collect();
        let named = |value: &str| Tuple::of([("a", value)].into_iter());
        assert_eq!(told, [(&named("x"), 3), (&named("y"), 3), (&named(OTHER), 102)]);
        assert_eq!(leaves[2].bad.as_ref().map(|bad| (bad.events, bad.weight)), Some((3, 15)));
    }
}
