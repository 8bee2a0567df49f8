//! Decisions on which groups and tenants have keys, on their way from the rollup tasks to the users tasks.
//!
//! They are records in the topic of the sources, in the transaction that contains what they follow from. Every instance
//! reads this topic from its beginning, and it is compacted: the records of boundaries at which something was admitted
//! stay for good; of the others, only the last one of each set.

use super::WorkerError;
use crate::model::record::{RecordOut, Topic};
use crate::model::time::Ms;
use crate::operator::admission::{Admits, Decision, SetId};
use crate::pipeline::admission::{Forgotten, NAMES_MAX};
use crate::pipeline::users::UsersTask;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The last byte of a record's key, behind the set, the boundary and the part.
const DECISION: u8 = 3;
const KEY_BYTES: usize = 1 + 8 + 8 + 4 + 1;
/// The version of the layout, the first byte of every value.
const VERSION: u8 = 1;

/// A part of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct DecisionPart {
    decision: Decision,
    is_last: bool,
}

/// All decisions that were committed.
#[derive(Default)]
pub struct Decisions {
    sets: BTreeMap<SetId, BTreeMap<(Ms, u32), DecisionPart>>,
}

/// The content of a record.
pub enum Received {
    /// A part of a decision; `true`: the last one.
    Decided(Decision, bool),
    /// The decisions about a set are void.
    Forgotten(SetId),
}

impl Decisions {
    /// Takes a record, perhaps our own. `None`: it is about something else, or changes nothing.
    pub fn receive(&mut self, key: &[u8], value: &[u8]) -> Result<Option<Received>, WorkerError> {
        let Some((set, at_ms, part)) = read_key(key) else { return Ok(None) };
        if value.is_empty() {
            return Ok(self.sets.remove(&set).map(|_| Received::Forgotten(set)));
        }
        let read = read(value)?;
        let known = self.sets.entry(set).or_default();
        known.insert((at_ms, part), read.clone());
        Ok(Some(Received::Decided(read.decision, read.is_last)))
    }

    pub fn is_one(key: &[u8]) -> bool {
        read_key(key).is_some()
    }

    /// Passes all decisions to a users task, in the order in which they were made.
    pub fn pass_to(&self, users: &mut UsersTask) {
        for parts in self.sets.values() {
            let mut all: Vec<&DecisionPart> = parts.values().collect();
            all.sort_by_key(|part| (part.decision.at_ms, part.is_last));
            all.into_iter().for_each(|part| users.learn(&part.decision, part.is_last));
        }
    }
}

fn key_of(set: SetId, at_ms: Ms, part: u32) -> Vec<u8> {
    let admits = match set.admits {
        Admits::Groups => 1u8,
        Admits::Tenants => 2,
    };
    [&[admits][..], &set.of.to_be_bytes(), &at_ms.to_be_bytes(), &part.to_be_bytes(), &[DECISION]].concat()
}

fn read_key(key: &[u8]) -> Option<(SetId, Ms, u32)> {
    let key: &[u8; KEY_BYTES] = key.try_into().ok()?;
    let (head, rest) = key.split_first()?;
    let admits = match head {
        1 => Admits::Groups,
        2 => Admits::Tenants,
        _ => return None,
    };
    let (of, rest) = rest.split_first_chunk::<8>()?;
    let (at_ms, rest) = rest.split_first_chunk::<8>()?;
    let (part, rest) = rest.split_first_chunk::<4>()?;
    let set = SetId { admits, of: u64::from_be_bytes(*of) };
    (rest == [DECISION]).then(|| (set, Ms::from_be_bytes(*at_ms), u32::from_be_bytes(*part)))
}

/// An unreadable record is an error: without the decision a task would wait for ever, or publish other keys.
fn read(value: &[u8]) -> Result<DecisionPart, WorkerError> {
    let why = match value.split_first() {
        Some((&VERSION, bytes)) => match postcard::from_bytes(bytes) {
            Ok(part) => return Ok(part),
            Err(error) => error.to_string(),
        },
        found => format!("it has layout {}, and this build reads {VERSION}", found.map_or(0, |(found, _)| *found)),
    };
    Err(WorkerError::Refused(format!(
        "a decision on groups or tenants in the topic of the sources cannot be read ({why}): another build wrote it. \
         Start that build again, or start over with another application_id"
    )))
}

fn record(key: Vec<u8>, value: Option<Vec<u8>>) -> RecordOut {
    RecordOut { topic: Topic::Sources, partition: 0, key: Some(key), value, headers: Vec::new(), timestamp_ms: 0 }
}

/// The records of a decision.
pub fn records_of(decision: &Decision, out: &mut Vec<RecordOut>) -> Result<(), WorkerError> {
    let parts: Vec<&[Vec<u8>]> = decision.names.chunks(NAMES_MAX).collect();
    let mut say = |key: Vec<u8>, names: &[Vec<u8>], is_last: bool| {
        let value = DecisionPart { decision: Decision { names: names.to_vec(), ..decision.clone() }, is_last };
        let value = postcard::to_extend(&value, vec![VERSION]).map_err(WorkerError::Write)?;
        out.push(record(key, Some(value)));
        Ok(())
    };
    if parts.is_empty() {
        return say(key_of(decision.set, 0, 0), &[], true);
    }
    for (part, names) in (0..).zip(&parts) {
        say(key_of(decision.set, decision.at_ms, part), names, part as usize + 1 == parts.len())?;
    }
    Ok(())
}

/// Tombstones for all records of a set.
pub fn tombstones_of(forgotten: &Forgotten, out: &mut Vec<RecordOut>) {
    let parts = forgotten.boundaries.iter().flat_map(|(at_ms, parts)| (0..*parts as u32).map(|part| (*at_ms, part)));
    out.extend(parts.chain([(0, 0)]).map(|(at_ms, part)| record(key_of(forgotten.set, at_ms, part), None)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(at_ms: Ms, names: usize) -> Decision {
        let names = (0..names).map(|n| format!("t{n}").into_bytes()).collect();
        Decision { set: SetId { admits: Admits::Tenants, of: 7 }, slo: "s".to_owned(), at_ms, after_ms: None, names }
    }

    fn receive(decisions: &mut Decisions, records: &[RecordOut]) -> Vec<Received> {
        let text = |bytes: &Option<Vec<u8>>| bytes.clone().unwrap_or_default();
        records.iter().filter_map(|r| decisions.receive(&text(&r.key), &text(&r.value)).expect("readable")).collect()
    }

    #[test]
    fn a_large_decision_is_sent_in_parts_and_holds_with_the_last() {
        let (mut decisions, mut out) = (Decisions::default(), Vec::new());
        records_of(&decision(10_000, 2 * NAMES_MAX + 1), &mut out).expect("written");
        records_of(&decision(20_000, 0), &mut out).expect("written");
        let received = receive(&mut decisions, &out);
        let said: Vec<(usize, bool)> = received
            .iter()
            .map(|received| match received {
                Received::Decided(decision, is_last) => (decision.names.len(), *is_last),
                Received::Forgotten(_) => (0, false),
            })
            .collect();
        assert_eq!(said, [(NAMES_MAX, false), (NAMES_MAX, false), (1, true), (0, true)]);
    }

    #[test]
    fn a_set_that_is_forgotten_leaves_nothing() {
        let (mut decisions, mut out) = (Decisions::default(), Vec::new());
        records_of(&decision(10_000, 1), &mut out).expect("written");
        records_of(&decision(20_000, NAMES_MAX + 1), &mut out).expect("written");
        records_of(&decision(30_000, 0), &mut out).expect("written");
        let set = decision(0, 0).set;
        let mut gone = Vec::new();
        tombstones_of(&Forgotten { set, boundaries: vec![(10_000, 1), (20_000, 2)] }, &mut gone);
        let keys =
            |records: &[RecordOut]| records.iter().map(|r| r.key.clone()).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(keys(&out), keys(&gone), "each record has its tombstone");
        assert_eq!(receive(&mut decisions, &out).len(), 4);
        assert!(matches!(receive(&mut decisions, &gone)[..], [Received::Forgotten(id)] if id == set), "told once");
        assert!(decisions.sets.is_empty());
    }

    /// Decisions stay in the log for good: their bytes are frozen.
    #[test]
    fn a_decision_has_the_bytes_that_it_always_had() {
        let mut out = Vec::new();
        records_of(&decision(10_000, 1), &mut out).expect("written");
        let key = [&[2][..], &[0, 0, 0, 0, 0, 0, 0, 7], &[0, 0, 0, 0, 0, 0, 0x27, 0x10], &[0, 0, 0, 0], &[3]].concat();
        assert_eq!(out[0].key.as_deref(), Some(&key[..]));
        let value = [&[1][..], &[1, 7], &[1, b's'], &[0xa0, 0x9c, 1], &[0], &[1, 2, b't', b'0'], &[1]].concat();
        assert_eq!(out[0].value.as_deref(), Some(&value[..]));
    }

    #[test]
    fn a_decision_of_another_build_is_refused_with_advice() {
        let mut out = Vec::new();
        records_of(&decision(10_000, 1), &mut out).expect("written");
        let (key, value) = (out[0].key.clone().expect("a key"), out[0].value.clone().expect("a value"));
        assert_eq!(value[0], VERSION);
        for other in [&[VERSION + 1, 0][..], &value[..value.len() - 1]] {
            let refused = Decisions::default().receive(&key, other).err().expect("refused").to_string();
            assert!(refused.contains("Start that build again"), "{refused}");
        }
    }

    #[test]
    fn records_of_other_kinds_are_ignored() {
        for key in [&7u32.to_be_bytes()[..], &[0, 0, 0, 7, 1], &[0, 0, 0, 0, 7, 2], &[9; KEY_BYTES]] {
            assert!(!Decisions::is_one(key), "{key:?}");
        }
    }
}
