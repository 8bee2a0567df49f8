//! A task that is the only one leaves out what no search can use.

use super::*;
use crate::model::outcome::{Outcome, WEIGHT_ONE};
use crate::model::time::MINUTE_MS;
use crate::operator::cohort::{Kind, leaves_of};
use crate::pipeline::alone::Alone;
use crate::state::MemoryStore;

const START_MS: Ms = 1_780_000_000_000 - 1_780_000_000_000 % DAY_MS;

/// The cubes of the hour at a step after events of 12 users a tenant, of whom so many are badly served.
fn cubes(annotations: &str, badly_served: [u32; 2]) -> [BTreeMap<KeyRef, Vec<Leaf>>; 2] {
    let mut alone = Alone::new(annotations, "28d", 1);
    for event in 0..240u32 {
        let (user, tenant) = (event / 2 % 12, event % 2);
        let is_bad = user < badly_served[tenant as usize] && event < 48;
        let (name, region) = (format!("u{user}"), format!("r{}", user % 3));
        let outcome = Outcome {
            tenant: ["acme", "birch"][tenant as usize].into(),
            user: Some(name.as_str().into()),
            timestamp_ms: START_MS + Ms::from(event) * 1_000,
            status: Some(if is_bad { 503 } else { 200 }),
            weight_micros: WEIGHT_ONE,
            attributes: std::iter::once(("region".into(), region.as_str().into())).collect(),
            ..Outcome::default()
        };
        alone.take(&outcome, outcome.timestamp_ms);
    }
    let at_ms = START_MS + 3 * MINUTE_MS;
    let task = &mut alone.task;
    let members = task.members_with_bad_events(0, 0, at_ms, &MemoryStore::default()).expect("all rows are in memory");
    let users = Users { members, tally: Some(0), failing: BTreeMap::new() };
    task.tuples.rank();
    [true, false].map(|is_alone| {
        task.is_only = is_alone;
        task.cubes(0, &users)
    })
}

fn found(cube: &[Leaf]) -> [Vec<Leaf>; 2] {
    [Kind::Users, Kind::Events].map(|kind| leaves_of(kind, cube.iter()))
}

fn samples(cube: &[Leaf]) -> Vec<&SampleUser> {
    cube.iter().flat_map(|leaf| &leaf.sample).collect()
}

#[test]
fn a_search_over_what_an_only_task_sends_finds_the_same() {
    for badly_served in [[0, 0], [1, 0], [2, 2], [2, 5], [9, 0]] {
        let [alone, asking] = cubes("user-windows: '1h,1d'", badly_served);
        assert_eq!(asking.len(), 3, "the aggregate and two tenants");
        for (key, whole) in &asking {
            let sent = alone.get(key).map_or(&[][..], Vec::as_slice);
            assert_eq!((found(sent), samples(sent)), (found(whole), samples(whole)), "{key:?} {badly_served:?}");
            let with_bad: u64 = whole.iter().map(|leaf| leaf.every.users_with_bad).sum();
            assert_eq!(sent == whole.as_slice(), with_bad >= 3, "{key:?} {badly_served:?}");
        }
    }
}

#[test]
fn where_nobody_looks_for_cohorts_only_examples_are_sent() {
    let annotations = "user-windows: '1h,1d'\n                       cohorts: 'off'";
    let [_, sent] = cubes(annotations, [9, 1]);
    let [_, whole] = cubes("user-windows: '1h,1d'", [9, 1]);
    for (key, whole) in &whole {
        let sent = sent.get(key).map_or(&[][..], Vec::as_slice);
        assert_eq!(samples(sent), samples(whole), "{key:?}");
        assert!(sent.iter().all(|leaf| leaf.users_below > 0), "{key:?}");
    }
}
