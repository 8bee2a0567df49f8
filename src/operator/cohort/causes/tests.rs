use super::*;
use crate::model::time::{DAY_MS, HOUR_MS};
use crate::model::tuple::Tuple;
use crate::operator::event_leaf::{BadEvents, EventLeaf, EventPane};
use crate::operator::event_slice::EventNews;
use crate::operator::random::Random;
use std::collections::BTreeMap;

const WINDOWS_MS: [Ms; 3] = [HOUR_MS, DAY_MS, 28 * DAY_MS];
const NOW_MS: Ms = 20_000 * DAY_MS;
const OPERATIONS: [&str; 4] = ["pay", "browse", "search", "login"];
const REGIONS: [&str; 3] = ["eu", "us", "ap"];

/// One event, of a user or of nobody.
#[derive(Clone, Copy)]
struct Event<'a> {
    before_ms: Ms,
    operation: &'a str,
    region: &'a str,
    user: Option<u32>,
    is_bad: bool,
}

fn table_of(events: &[Event<'_>]) -> EventTable {
    let mut panes: BTreeMap<Ms, BTreeMap<Tuple, EventLeaf>> = BTreeMap::new();
    for event in events {
        let tuple = Tuple::of([(OPERATION, event.operation), ("region", event.region)].into_iter());
        let start_ms = (NOW_MS - event.before_ms).div_euclid(60_000) * 60_000;
        let users = event.user.map(|user| Crowd::of(vec![(user.wrapping_mul(0x9e37_79b9), 1)])).unwrap_or_default();
        let nameless = u64::from(event.user.is_none());
        let bad = event.is_bad.then_some(BadEvents { events: 1, weight: 1_000_000, nameless, users });
        let leaf = panes.entry(start_ms).or_default().entry(tuple.clone()).or_default();
        leaf.add(&EventLeaf { tuple: Tuple::default(), events: 1, bad });
        leaf.tuple = tuple;
    }
    let pane = |(start_ms, leaves): (Ms, BTreeMap<Tuple, EventLeaf>)| EventPane {
        start_ms,
        leaves: leaves.into_values().collect(),
    };
    let panes: Vec<EventPane> = panes.into_iter().map(pane).collect();
    let mut table = EventTable::default();
    table.add(NOW_MS, &WINDOWS_MS, &[&EventNews::of_panes(&panes)]);
    table
}

fn found(table: &EventTable, window_ms: Ms) -> Vec<Found> {
    Events::of(table, NOW_MS, window_ms).search(std::iter::empty())
}

fn words(found: &[Found]) -> Vec<String> {
    let pair = |(name, value): &(String, String)| format!("{name}={value}");
    found.iter().map(|found| found.attributes.iter().map(pair).collect::<Vec<_>>().join(",")).collect()
}

/// Traffic within so many milliseconds of now, with a rate of errors by what an event is.
fn traffic(
    seed: u64,
    n: usize,
    (from_ms, to_ms): (Ms, Ms),
    user: impl Fn(u64) -> Option<u32>,
    rate: impl Fn(&str, &str) -> f64,
) -> Vec<Event<'static>> {
    let mut random = Random(seed);
    let mut below = move |n: usize| random.below(n as u64) as usize;
    (0..n)
        .map(|at| {
            let (operation, region) = (OPERATIONS[below(4)], REGIONS[below(3)]);
            let before_ms = to_ms + below((from_ms - to_ms) as usize) as Ms;
            let is_bad = (below(1 << 20) as f64) < rate(operation, region) * f64::from(1 << 20);
            Event { before_ms, operation, region, user: user(at as u64), is_bad }
        })
        .collect()
}

const HOUR: (Ms, Ms) = (HOUR_MS - 60_000, 1);
const WEEKS: (Ms, Ms) = (25 * DAY_MS, 2 * DAY_MS);

fn nobody(_: u64) -> Option<u32> {
    None
}

#[test]
fn an_operation_that_fails_is_named_by_the_events_of_nobody() {
    let fails = |operation: &str, region: &str| if (operation, region) == ("pay", "eu") { 0.5 } else { 0.01 };
    for seed in 0..10 {
        let found = found(&table_of(&traffic(seed, 2_000, HOUR, nobody, fails)), HOUR_MS);
        assert_eq!(words(&found), ["operation=pay,region=eu"], "seed {seed}");
        let first = &found[0];
        assert_eq!((first.users_in_tail, first.users, first.bad), (0, 0, u128::from(first.bad_events) * 1_000_000));
        assert!(first.bad_events > 50 && first.events > first.bad_events, "{first:?}");
    }
}

#[test]
fn nothing_is_named_where_all_fail_alike_or_one_user_fails() {
    for seed in 0..20 {
        assert_eq!(words(&found(&table_of(&traffic(seed, 3_000, HOUR, nobody, |_, _| 0.02)), HOUR_MS)), [""; 0]);
        let mut events = traffic(seed, 3_000, HOUR, |at| Some(at as u32 % 400), |_, _| 0.005);
        let one = Event { before_ms: 60_000, operation: "login", region: "ap", user: Some(7), is_bad: true };
        events.extend([one; 60]);
        assert_eq!(words(&found(&table_of(&events), HOUR_MS)), [""; 0], "seed {seed}");
    }
}

#[test]
fn what_always_fails_more_is_usual_and_what_fails_more_than_it_used_to_is_not() {
    let usual = |operation: &str, _: &str| if operation == "search" { 0.1 } else { 0.005 };
    let worse = |operation: &str, region: &str| usual(operation, region) * if region == "us" { 6.0 } else { 1.0 };
    for seed in 0..10 {
        let history = traffic(seed, 40_000, WEEKS, nobody, usual);
        let with = |now: Vec<Event<'static>>| table_of(&[&history[..], &now[..]].concat());
        let calm = with(traffic(seed + 100, 2_000, HOUR, nobody, usual));
        assert_eq!(words(&found(&calm, HOUR_MS)), [""; 0], "seed {seed}");
        assert_eq!(words(&found(&calm, 28 * DAY_MS)), ["operation=search"], "there is no time before, seed {seed}");
        let now = with(traffic(seed + 200, 2_000, HOUR, nobody, worse));
        assert_eq!(words(&found(&now, HOUR_MS)), ["region=us"], "seed {seed}");
    }
}

#[test]
fn one_cause_explains_what_overlaps_with_it_and_nothing_else() {
    let fails = |operation: &str, region: &str| match (operation, region) {
        ("pay", _) => 0.4,
        (_, "ap") => 0.3,
        _ => 0.01,
    };
    let table = table_of(&traffic(3, 4_000, HOUR, nobody, fails));
    let events = Events::of(&table, NOW_MS, HOUR_MS);
    let cohort = |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let pay: Attributes = cohort(&[("operation", "pay")]);
    assert!(events.explains(&pay, &pay) && events.explains(&pay, &cohort(&[("operation", "pay"), ("region", "eu")])));
    assert!(!events.explains(&pay, &cohort(&[("region", "ap")])));
    assert!(events.explains(&pay, &cohort(&[("region", "eu")])));
}
