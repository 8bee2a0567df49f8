//! What a users task makes of decisions, in whatever order it hears them.

use crate::model::key::Scope;
use crate::model::outcome::{Outcome, WEIGHT_ONE};
use crate::model::time::{DAY_MS, Ms, PANE_MS};
use crate::operator::admission::{AdmittedSet, Candidates, Decision, SetId};
use crate::operator::partial::{BoundaryPartial, Partial};
use crate::pipeline::alone::Alone;
use crate::pipeline::checkpoint::GroupMark;
use crate::pipeline::key_ref::KEY_GROUPS;
use std::collections::{BTreeMap, BTreeSet};

const START_MS: Ms = 1_780_000_000_000 - 1_780_000_000_000 % DAY_MS;
/// A region a boundary, and room for two.
const REGIONS: [&str; 3] = ["z", "y", "x"];
const LAST_MS: Ms = START_MS + 3 * PANE_MS;

fn feed(alone: &mut Alone, number: usize, region: &'static str) {
    let outcome = Outcome {
        tenant: "acme".into(),
        user: Some("u1".into()),
        timestamp_ms: START_MS + number as Ms * PANE_MS,
        status: Some(200),
        weight_micros: WEIGHT_ONE,
        attributes: std::iter::once(("region".into(), region.into())).collect(),
        ..Outcome::default()
    };
    alone.task.apply(0, number as i64, &outcome);
}

fn new() -> Alone {
    let Alone { task, store } = Alone::new("user-windows: 10m\ngroup-by: region", "1d", 2);
    Alone { task: task.asking(), store }
}

/// A task that has read everything, and what it names.
fn asking() -> (Alone, Vec<Candidates>) {
    let mut alone = new();
    (0..).zip(REGIONS).for_each(|(number, region)| feed(&mut alone, number, region));
    let partial = alone.close(LAST_MS);
    assert!(partial.boundaries.is_empty() && alone.task.closed_ms().is_none(), "its first boundary waits");
    (alone, partial.candidates)
}

/// What the owner of the sets makes of candidates, boundary by boundary.
fn decided(mut candidates: Vec<Candidates>) -> Vec<Decision> {
    candidates.sort_by_key(|of| of.at_ms);
    let mut sets: BTreeMap<SetId, AdmittedSet> = BTreeMap::new();
    let decide = |Candidates { set, subject, at_ms, names }: Candidates| {
        let of = sets.entry(set).or_insert_with(|| AdmittedSet::new(subject.clone()));
        let after_ms = of.last_ms();
        let names = of.decide(set.admits, at_ms, names.into_iter().collect());
        Decision { set, slo: subject.slo, at_ms, after_ms, names }
    };
    candidates.into_iter().map(decide).collect()
}

fn receive(alone: &mut Alone, decision: &Decision, said: &mut Vec<BoundaryPartial>) {
    alone.task.learn(decision, true);
    said.extend(alone.close(LAST_MS).boundaries);
}

fn groups(said: &[BoundaryPartial]) -> Vec<(Ms, String)> {
    let of = |boundary: &BoundaryPartial| {
        let scope = |scope: &Scope| match scope {
            Scope::Group(pairs) => pairs.first().map(|(_, value)| value.clone()),
            Scope::OtherGroups => Some("__other__".to_owned()),
            _ => None,
        };
        let all: Vec<String> = boundary.deltas.iter().filter_map(|delta| scope(&delta.scope)).collect();
        all.into_iter().map(|name| (boundary.at_ms, name)).collect::<Vec<_>>()
    };
    said.iter().flat_map(of).collect()
}

/// All orders of so many things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for _ in 0..count {
        let longer = |order: &Vec<usize>| {
            let left = (0..count).filter(|i| !order.contains(i)).collect::<Vec<_>>();
            left.into_iter().map(|i| [&order[..], &[i]].concat()).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

/// Our own rollup task decides, and what another instance decided before is still on its way: the decision does
/// nothing before that has come, and stands in the log behind it.
#[test]
fn a_decision_received_before_an_earlier_one_changes_nothing() {
    let (mut in_turn, candidates) = asking();
    let log = decided(candidates.clone());
    let (mut want, boundary) = (Vec::new(), |n: Ms| START_MS + n * PANE_MS);
    log.iter().for_each(|decision| receive(&mut in_turn, decision, &mut want));
    let expected = [(boundary(1), "z"), (boundary(2), "y"), (boundary(3), "__other__")];
    assert_eq!(groups(&want), expected.map(|(at_ms, name)| (at_ms, name.to_owned())));
    assert_eq!(log.len(), 4, "three boundaries of groups, and the tenant");

    let mut waited = BTreeSet::new();
    for order in orders(log.len()) {
        let (mut alone, again) = asking();
        assert_eq!(again, candidates);
        let mut said = Vec::new();
        order.iter().for_each(|i| receive(&mut alone, &log[*i], &mut said));
        waited.insert(alone.task.waits_for_decision());
        log.iter().for_each(|decision| receive(&mut alone, decision, &mut said));
        assert_eq!(said, want, "received in the order {order:?}, and then from the log");
        assert_eq!(alone.task.closed_ms(), Some(LAST_MS));
    }
    assert_eq!(waited, BTreeSet::from([false, true]), "some orders are not enough, and some are");
}

#[test]
fn a_decision_received_twice_changes_nothing() {
    let ((mut once, candidates), (mut twice, _)) = (asking(), asking());
    let log = decided(candidates);
    let (mut want, mut said) = (Vec::new(), Vec::new());
    log.iter().for_each(|decision| receive(&mut once, decision, &mut want));
    for received in 1..=log.len() {
        log[..received].iter().for_each(|decision| receive(&mut twice, decision, &mut said));
    }
    assert_eq!(said, want);
    // And for what comes then: there is no room, nobody is named, and nothing waits.
    let last = |alone: &mut Alone| -> Partial {
        feed(alone, 3, "w");
        feed(alone, 4, "y");
        alone.close(LAST_MS + 2 * PANE_MS)
    };
    let (want, said) = (last(&mut once), last(&mut twice));
    assert_eq!(said, want);
    let names: Vec<String> = groups(&said.boundaries).into_iter().map(|(_, name)| name).collect();
    assert_eq!((said.candidates.len(), names), (0, vec!["__other__".to_owned(), "y".to_owned()]));
}

/// The sources topic may be behind when a task comes back. The tenant has rows, and nothing new to be named for.
#[test]
fn a_task_that_comes_back_waits_for_the_decisions_that_its_rows_know() {
    let (mut before, candidates) = asking();
    let log = decided(candidates);
    log.iter().for_each(|decision| receive(&mut before, decision, &mut Vec::new()));
    before.checkpoint(u64::MAX);
    let (mark, again, at_ms) = (before.task.mark(), before.task.read_again(3), before.task.closed_ms());
    let want = before.close(LAST_MS + PANE_MS).boundaries;
    let tenant = Scope::Tenant("acme".to_owned());
    assert!(want.iter().flat_map(|boundary| &boundary.steps).any(|step| step.scope == tenant), "{want:?}");

    let mut alone = Alone { store: before.store, ..new() };
    let group = GroupMark { at_ms, again, generation: 0, blocks: 0, image_bytes: 0, delta_bytes: 0 };
    alone.task.load(&vec![group; usize::from(KEY_GROUPS)], &mark, &alone.store, u64::MAX).expect("loaded");
    alone.task.begin_replay(again.watermark);
    alone.task.end_replay(Some(&mark));
    alone.task.ask_again();
    let mut said = Vec::new();
    // The last one admits nobody.
    let (needed, last) = log.split_at(3);
    assert!(last[0].names.is_empty() && needed.iter().all(|decision| !decision.names.is_empty()));
    for decision in needed {
        assert!(alone.task.waits_for_decision());
        said.extend(alone.close(LAST_MS + PANE_MS).boundaries);
        assert_eq!((said.len(), alone.task.closed_ms()), (0, at_ms), "nothing is closed before");
        assert_eq!(alone.task.mark(), mark, "and should it end here, the next one waits as well");
        alone.task.learn(decision, true);
    }
    assert!(!alone.task.waits_for_decision());
    assert_eq!(alone.close(LAST_MS + PANE_MS).boundaries, want);
}
