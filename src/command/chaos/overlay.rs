//! Lays a fault over the events of a recording: which become faulty, what becomes of them, and what each SLO says.

use super::fault::{Change, Fault, Kind};
use crate::model::outcome::{Outcome, Pairs};
use crate::model::slo::Slo;
use crate::model::time::{Ms, PANE_MS, floor_to};
use crate::operator::classify::{Verdict, classify};
use crate::worker::direct::Overlay;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// What slow answers take at least.
const SLOW_MIN_MS: f64 = 60_000.0;
const SLOWER: f64 = 10.0;

/// What a fault did to the events of one SLO.
#[derive(Clone, Debug, Default)]
pub struct Damage {
    /// Good events that the fault selects, in its time.
    pub selected: u64,
    /// Those that became bad.
    pub turned: u64,
    /// Their number and micro-weights, by pane.
    panes: BTreeMap<Ms, (u64, u128)>,
    /// Hashes of their users.
    pub users: BTreeSet<u64>,
}

impl Damage {
    /// Number and micro-weights of the events that became bad and lie before a boundary.
    pub fn before(&self, at_ms: Ms) -> (u64, u128) {
        let sum = |(n, w): (u64, u128), (more, weight): &(u64, u128)| (n + more, w + weight);
        self.panes.range(..at_ms).map(|(_, counts)| counts).fold((0, 0), sum)
    }

    fn add(&mut self, outcome: &Outcome<'_>) {
        self.turned += 1;
        let pane = self.panes.entry(floor_to(outcome.timestamp_ms, PANE_MS)).or_default();
        *pane = (pane.0 + 1, pane.1 + u128::from(outcome.weight_micros));
        self.users.extend(outcome.user.as_deref().map(|user| user_hash(&outcome.tenant, user)));
    }
}

/// The hash by which users are counted.
pub fn user_hash(tenant: &str, user: &str) -> u64 {
    xxh3_64_with_seed(user.as_bytes(), xxh3_64(tenant.as_bytes()))
}

/// The event as the fault leaves it.
pub fn changed<'a>(outcome: &Outcome<'a>, kind: Kind, changes: &[Change]) -> Outcome<'a> {
    let mut faulty = outcome.clone();
    match kind {
        Kind::Error => {
            faulty.status = Some(500);
            faulty.error_type = Some(Cow::Borrowed("fault"));
        }
        Kind::Slow => {
            let slow = |ms: f64| (ms * SLOWER).max(SLOW_MIN_MS);
            faulty.latency_ms = faulty.latency_ms.map(slow);
            let in_ms = faulty.measures.iter_mut().filter(|(name, _)| name.ends_with("_ms"));
            in_ms.for_each(|(_, ms)| *ms = slow(*ms));
        }
        Kind::Set => {}
    }
    changes.iter().for_each(|change| set(&mut faulty, change));
    faulty
}

fn set(outcome: &mut Outcome<'_>, change: &Change) {
    match change {
        Change::Status(status) => outcome.status = Some(*status),
        Change::Latency(ms) => outcome.latency_ms = Some(*ms),
        Change::ErrorType(text) => outcome.error_type = Some(Cow::Owned(text.clone())),
        Change::Measure(name, value) => put(&mut outcome.measures, name, *value),
        Change::Attribute(name, value) => put(&mut outcome.attributes, name, Cow::Owned(value.clone())),
    }
}

/// The last value of a name counts.
fn put<T>(pairs: &mut Pairs<'_, T>, name: &str, value: T) {
    pairs.retain(|(known, _)| known != name);
    pairs.push((Cow::Owned(name.to_owned()), value));
}

/// A number from 0 to 1 for each event, by what it is: the same wherever it stands in a recording. An event that a
/// share hits is hit by every larger share, too.
pub struct Lot {
    seed: u64,
    scratch: Vec<u8>,
}

impl Lot {
    pub const fn new(seed: u64) -> Lot {
        Lot { seed, scratch: Vec::new() }
    }

    pub fn of(&mut self, o: &Outcome<'_>) -> f64 {
        self.scratch.clear();
        let texts = [&o.user, &o.event_id, &o.trace_id, &o.operation, &o.dependency, &o.journey, &o.step];
        let texts = texts.into_iter().map(|text| text.as_deref().unwrap_or("\u{1}"));
        for text in std::iter::once(o.tenant.as_ref()).chain(texts) {
            self.scratch.extend_from_slice(text.as_bytes());
            self.scratch.push(0);
        }
        let latency = o.latency_ms.map_or(0, f64::to_bits);
        for number in [o.timestamp_ms as u64, o.status.unwrap_or(-1) as u64, latency] {
            self.scratch.extend_from_slice(&number.to_le_bytes());
        }
        // 53 bits: what a double holds.
        (xxh3_64_with_seed(&self.scratch, self.seed) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A fault over the events that SLOs see.
pub struct FaultOverlay {
    pub fault: Fault,
    pub kind: Kind,
    pub slos: Arc<Vec<Slo>>,
    pub lot: Lot,
    /// One per SLO.
    pub damage: Rc<RefCell<Vec<Damage>>>,
}

impl Overlay for FaultOverlay {
    /// An event becomes faulty where that turns it from good to bad for at least one of the SLOs.
    fn change<'a>(&mut self, outcome: &Outcome<'a>) -> Option<Outcome<'a>> {
        if !self.fault.selects(outcome) {
            return None;
        }
        let is_hit = self.lot.of(outcome) < self.fault.spec.share;
        let faulty = is_hit.then(|| changed(outcome, self.kind, &self.fault.spec.changes));
        let mut damage = self.damage.borrow_mut();
        let mut is_worse = false;
        for (slo, damage) in self.slos.iter().zip(damage.iter_mut()) {
            if classify(slo, outcome).0 != Verdict::Good {
                continue;
            }
            damage.selected += 1;
            if let Some(faulty) = &faulty
                && classify(slo, faulty).0 == Verdict::Bad
            {
                damage.add(outcome);
                is_worse = true;
            }
        }
        faulty.filter(|_| is_worse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_share_hits_what_a_smaller_one_hits() {
        let event = |at_ms| Outcome { tenant: "a".into(), timestamp_ms: at_ms, ..Outcome::default() };
        let mut lot = Lot::new(7);
        let lots: Vec<f64> = (0..10_000).map(|at_ms| lot.of(&event(at_ms))).collect();
        let hit = |share: f64| lots.iter().filter(|lot| **lot < share).count();
        assert!((900..1_100).contains(&hit(0.1)) && hit(1.0) == 10_000, "{}", hit(0.1));
        assert_ne!(Lot::new(8).of(&event(1)), lots[1], "the seed counts");
        assert_eq!(Lot::new(7).of(&event(1)), lots[1]);
    }

    #[test]
    fn an_event_fails_in_the_way_of_its_kind() {
        let mut event = Outcome { status: Some(200), latency_ms: Some(50.0), ..Outcome::default() };
        event.measures.push(("ttft_ms".into(), 20_000.0));
        event.measures.push(("quality".into(), 0.9));
        let error = changed(&event, Kind::Error, &[]);
        assert_eq!(
            (error.status, error.error_type.as_deref(), error.latency_ms),
            (Some(500), Some("fault"), Some(50.0))
        );
        let slow = changed(&event, Kind::Slow, &[]);
        assert_eq!((slow.status, slow.latency_ms), (Some(200), Some(60_000.0)));
        assert_eq!((slow.measure("ttft_ms"), slow.measure("quality")), (Some(200_000.0), Some(0.9)));
        let set = changed(&event, Kind::Set, &[Change::Measure("quality".into(), 0.1)]);
        assert_eq!((set.measure("quality"), set.status), (Some(0.1), Some(200)));
    }
}
