//! Which groups and tenants of an SLO have keys of their own, up to a limit: those that became visible first, and
//! at the same boundary those whose keys come first in byte order (contract, section 2).
//!
//! One task decides for all users tasks: the one that owns the SLO's aggregate key. Users tasks name candidates, and a
//! boundary is decided once all of them have named theirs.

use crate::model::key::{Scope, key_text};
use crate::model::time::Ms;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What a set admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Admits {
    Groups,
    Tenants,
}

/// A set of admitted groups or tenants. `of` is the identity of what they belong to: the filters, for groups
/// also `group-by`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SetId {
    pub admits: Admits,
    pub of: u64,
}

/// What a set is about. Every users task sends it with its candidates: while a new configuration is rolled out, the
/// task that decides may not have the definition yet, or not any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    pub slo: String,
    /// Of groups: the names of their values.
    pub group_by: Vec<String>,
    /// How many may be admitted.
    pub max: u64,
}

/// Groups or tenants that a users task saw at a boundary and knows no decision about. Without names: the task has none
/// of its own, but waits for what is decided about those of others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidates {
    pub set: SetId,
    pub subject: Subject,
    pub at_ms: Ms,
    /// Tenants, or the texts of groups: their values, each behind its length.
    pub names: Vec<Vec<u8>>,
}

/// What was admitted at a boundary, and that everything up to it is decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub set: SetId,
    pub slo: String,
    pub at_ms: Ms,
    /// The boundary of the decision before that admitted something. A task that has not received that one must not use
    /// this one yet.
    pub after_ms: Option<Ms>,
    pub names: Vec<Vec<u8>>,
}

/// The values in a group's text.
pub fn group_values(text: &[u8]) -> Vec<String> {
    let mut values = Vec::new();
    let mut rest = text;
    while let Some((head, tail)) = rest.split_first_chunk::<2>() {
        let (value, after) = tail.split_at(usize::from(u16::from_be_bytes(*head)).min(tail.len()));
        values.push(String::from_utf8_lossy(value).into_owned());
        rest = after;
    }
    values
}

/// The text of a group with these values.
pub fn group_text<'a>(values: impl Iterator<Item = &'a str>, text: &mut Vec<u8>) {
    text.clear();
    for value in values {
        text.extend_from_slice(&(value.len() as u16).to_be_bytes());
        text.extend_from_slice(value.as_bytes());
    }
}

/// The scope that a group's text stands for.
pub fn group_scope(group_by: &[String], text: &[u8]) -> Scope {
    Scope::Group(group_by.iter().cloned().zip(group_values(text)).collect())
}

/// The order of those that become visible at the same boundary: by their keys, without the SLO that they share.
pub fn order_of(admits: Admits, group_by: &[String], name: &[u8]) -> String {
    let scope = match admits {
        Admits::Groups => group_scope(group_by, name),
        Admits::Tenants => Scope::Tenant(String::from_utf8_lossy(name).into_owned()),
    };
    key_text("", &scope)
}

/// A set, in the task that decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdmittedSet {
    pub subject: Subject,
    /// The boundary at which each was admitted.
    at_ms: BTreeMap<Vec<u8>, Ms>,
    /// Everything up to here is decided.
    up_to_ms: Option<Ms>,
    /// The last boundary at which somebody was admitted.
    last_ms: Option<Ms>,
    /// From here on nothing is admitted any more.
    full_ms: Option<Ms>,
}

impl AdmittedSet {
    pub fn new(subject: Subject) -> AdmittedSet {
        let mut set = AdmittedSet { subject, ..AdmittedSet::default() };
        set.note_full();
        set
    }

    /// Takes what was decided before.
    pub fn restore(&mut self, at_ms: Ms, names: Vec<Vec<u8>>) {
        self.at_ms.extend(names.into_iter().map(|name| (name, at_ms)));
        self.last_ms = self.last_ms.max(Some(at_ms));
        self.note_full();
    }

    pub fn decided_up_to(&mut self, at_ms: Option<Ms>) {
        self.up_to_ms = self.up_to_ms.max(at_ms);
    }

    pub fn up_to_ms(&self) -> Option<Ms> {
        self.up_to_ms
    }

    pub fn last_ms(&self) -> Option<Ms> {
        self.last_ms
    }

    /// The limit may be another one than before: whoever was admitted stays.
    pub fn set_max(&mut self, max: u64) {
        if self.subject.max != max {
            self.subject.max = max;
            self.note_full();
        }
    }

    fn note_full(&mut self) {
        let max = usize::try_from(self.subject.max).unwrap_or(usize::MAX);
        self.full_ms = (max == 0).then_some(Ms::MIN);
        if let Some(last) = max.checked_sub(1).filter(|last| *last < self.at_ms.len()) {
            let mut all: Vec<Ms> = self.at_ms.values().copied().collect();
            self.full_ms = Some(*all.select_nth_unstable(last).1);
        }
    }

    /// Admits what became visible at a boundary, as far as there is room. Who was admitted, by their keys.
    pub fn decide(&mut self, admits: Admits, at_ms: Ms, candidates: BTreeSet<Vec<u8>>) -> Vec<Vec<u8>> {
        self.decided_up_to(Some(at_ms));
        let room = usize::try_from(self.subject.max).unwrap_or(usize::MAX).saturating_sub(self.at_ms.len());
        let mut new: Vec<Vec<u8>> =
            candidates.into_iter().filter(|name| room > 0 && !self.at_ms.contains_key(name)).collect();
        new.sort_by_cached_key(|name| order_of(admits, &self.subject.group_by, name));
        new.truncate(room);
        if !new.is_empty() {
            self.restore(at_ms, new.clone());
        }
        new
    }

    /// Whether one has no key at a boundary, and none later.
    pub fn refuses(&self, name: &[u8], at_ms: Ms) -> bool {
        self.full_ms.is_some_and(|full_ms| full_ms <= at_ms) && self.at_ms.get(name).is_none_or(|at| *at > at_ms)
    }

    /// Who was admitted at a boundary, by their names.
    pub fn admitted_at(&self, at_ms: Ms) -> impl Iterator<Item = &Vec<u8>> {
        self.at_ms.iter().filter(move |(_, at)| **at == at_ms).map(|(name, _)| name)
    }

    /// The boundaries at which somebody was admitted.
    pub fn boundaries(&self) -> BTreeSet<Ms> {
        self.at_ms.values().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(values: &[&str]) -> Vec<u8> {
        let mut text = Vec::new();
        group_text(values.iter().copied(), &mut text);
        text
    }

    fn names(values: &[&str]) -> BTreeSet<Vec<u8>> {
        values.iter().map(|value| text(&[value])).collect()
    }

    fn set(max: u64) -> AdmittedSet {
        AdmittedSet::new(Subject { slo: "s".to_owned(), group_by: vec!["region".to_owned()], max })
    }

    #[test]
    fn those_that_are_visible_first_are_admitted_then_those_first_by_their_keys() {
        let mut set = set(3);
        assert_eq!(set.decide(Admits::Groups, 10, names(&["z", "x"])), [text(&["x"]), text(&["z"])]);
        assert!(!set.refuses(&text(&["a"]), 10), "there is room");
        // By keys, not by the bytes of the texts, which begin with a length; and nobody twice.
        assert_eq!(set.decide(Admits::Groups, 20, names(&["b", "aaa", "x"])), [text(&["aaa"])]);
        assert_eq!(set.decide(Admits::Groups, 30, names(&["a"])), Vec::<Vec<u8>>::new());
        assert!(set.refuses(&text(&["b"]), 20) && !set.refuses(&text(&["b"]), 10), "from the boundary it is full at");
        assert!(set.refuses(&text(&["aaa"]), 10) == set.refuses(&text(&["b"]), 10));
        assert!(!set.refuses(&text(&["aaa"]), 20));
        assert_eq!((set.up_to_ms(), set.boundaries()), (Some(30), BTreeSet::from([10, 20])));
        assert_eq!(set.admitted_at(10).count(), 2);
    }

    #[test]
    fn whoever_was_admitted_stays_when_the_limit_changes() {
        let mut set = set(2);
        set.decide(Admits::Groups, 10, names(&["a"]));
        set.decide(Admits::Groups, 20, names(&["b"]));
        set.set_max(3);
        assert!(!set.refuses(&text(&["c"]), 20));
        assert_eq!(set.decide(Admits::Groups, 30, names(&["c"])), [text(&["c"])]);
        set.set_max(1);
        assert!(set.refuses(&text(&["d"]), 10) && !set.refuses(&text(&["c"]), 30));
        assert!(set.decide(Admits::Groups, 40, names(&["d"])).is_empty());
    }

    #[test]
    fn the_values_of_a_group_come_back_from_its_text() {
        assert_eq!(group_values(&text(&["eu", "", "a,b"])), ["eu", "", "a,b"]);
        let by = ["region".to_owned(), "tier".to_owned()];
        assert_eq!(order_of(Admits::Groups, &by, &text(&["eu", "x=y"])), "|group|region=eu,tier=x%3Dy");
        assert_eq!(order_of(Admits::Tenants, &[], b"acme|1"), "|tenant|acme%7C1");
    }
}
