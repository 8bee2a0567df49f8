use super::*;
use crate::model::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use crate::operator::event_leaf::{Crowd, EventLeaf, EventPane};
use proptest::prelude::*;

const WINDOWS_MS: [Ms; 3] = [HOUR_MS, DAY_MS, 28 * DAY_MS];
const NOW_MS: Ms = 20_000 * DAY_MS;

/// An event: when, which value of `a` and of `b`, and whose it is, where it is bad.
type Event = (Ms, u64, u64, Option<u32>);

fn delta(events: &[Event]) -> EventNews {
    let mut panes: BTreeMap<Ms, BTreeMap<Tuple, EventLeaf>> = BTreeMap::new();
    for (time_ms, a, b, bad) in events {
        let (a, b) = (format!("a{a}"), format!("b{b}"));
        let tuple = Tuple::of([("a", &*a), ("b", &*b)].into_iter());
        let start_ms = time_ms.div_euclid(MINUTE_MS) * MINUTE_MS;
        let leaf = panes.entry(start_ms).or_default().entry(tuple.clone()).or_default();
        let users = |user: u32| Crowd::of(vec![(user.wrapping_mul(0x9e37_79b9), 1)]);
        let bad = bad.map(|user| BadEvents { events: 1, weight: 1_000_000, nameless: 0, users: users(user) });
        leaf.add(&EventLeaf { tuple: Tuple::default(), events: 1, bad });
        leaf.tuple = tuple;
    }
    let pane = |(start_ms, leaves): (Ms, BTreeMap<Tuple, EventLeaf>)| EventPane {
        start_ms,
        leaves: leaves.into_values().collect(),
    };
    EventNews::of_panes(&panes.into_iter().map(pane).collect::<Vec<_>>())
}

fn sums(table: &EventTable, window_ms: Ms) -> Vec<(String, u64, u64)> {
    let named = |tuple: &Tuple| tuple.pairs().map(|(_, value)| value).collect::<Vec<_>>().join(",");
    let sums = table.window(NOW_MS, window_ms);
    let all = table.tuples().iter().zip(sums).map(|(tuple, sum)| (named(tuple), sum.events, sum.bad));
    all.filter(|(_, events, _)| *events > 0).collect()
}

#[test]
fn each_window_has_its_events_by_their_own_attributes() {
    let mut table = EventTable::default();
    let then = |before_ms: Ms, a: u64, bad: Option<u32>| (NOW_MS - before_ms, a, 0, bad);
    let old = [then(20 * DAY_MS, 1, Some(3)), then(20 * DAY_MS, 2, None)];
    table.add(NOW_MS - 20 * DAY_MS + 10_000, &WINDOWS_MS, &[&delta(&old)]);
    // One comes a day late.
    let new = [then(30 * MINUTE_MS, 1, None), then(20 * HOUR_MS, 1, Some(4)), then(MINUTE_MS, 3, Some(4))];
    table.add(NOW_MS, &WINDOWS_MS, &[&delta(&new)]);
    let own = |a: u64, events, bad| (format!("a{a},b0"), events, bad);
    assert_eq!(sums(&table, HOUR_MS), [own(1, 1, 0), own(3, 1, 1)]);
    assert_eq!(sums(&table, DAY_MS), [own(1, 2, 1), own(3, 1, 1)]);
    assert_eq!(sums(&table, 28 * DAY_MS), [own(1, 3, 2), own(2, 1, 0), own(3, 1, 1)]);
    let before = |window_ms| table.before(NOW_MS, window_ms).iter().map(|sum| sum.events).sum::<u64>();
    assert_eq!((before(HOUR_MS), before(DAY_MS), before(28 * DAY_MS)), (3, 2, 0));
    assert_eq!((table.bad_in(NOW_MS, HOUR_MS), table.bad_in(NOW_MS, DAY_MS)), (1, 2));
    table.add(NOW_MS + 60 * DAY_MS, &WINDOWS_MS, &[&delta(&[])]);
    assert_eq!(table.numbers.len(), 0, "nothing is left of them");
}

#[test]
fn windows_that_are_new_are_filled_from_shorter_slices() {
    let mut table = EventTable::default();
    let events: Vec<Event> = (0..200).map(|minutes| (NOW_MS - minutes * MINUTE_MS - 1, 0, 0, None)).collect();
    table.add(NOW_MS, &[2 * HOUR_MS], &[&delta(&events)]);
    table.add(NOW_MS, &[HOUR_MS, DAY_MS], &[&delta(&[])]);
    assert_eq!(sums(&table, DAY_MS), [("a0,b0".to_owned(), 120, 0)], "as far as they reach");
    assert_eq!(sums(&table, HOUR_MS), [("a0,b0".to_owned(), 60, 0)]);
}

#[test]
fn an_attribute_that_identifies_is_given_up_and_of_too_many_leaves_the_largest_stay() {
    let mut table = EventTable::default();
    let ids: Vec<Event> = (0..3_000).map(|id| (NOW_MS - 1, id % 7, id, Some(id as u32))).collect();
    table.add(NOW_MS, &WINDOWS_MS, &[&delta(&ids)]);
    let found = sums(&table, HOUR_MS);
    assert_eq!((found.len(), &found[0]), (7, &(format!("a0,{OTHER}"), 429, 429)));
    table.add(NOW_MS, &WINDOWS_MS, &[&delta(&[(NOW_MS - 1, 0, 9_999, None)])]);
    assert_eq!(sums(&table, HOUR_MS)[0].1, 430, "it stays so");

    let mut table = EventTable::default();
    let few = |i: u64| (NOW_MS - 1, i % 60, i / 60 % 60, None);
    table.add(NOW_MS, &WINDOWS_MS, &[&delta(&(0..3_700).map(few).collect::<Vec<_>>())]);
    let found = sums(&table, HOUR_MS);
    assert_eq!((found.len(), found.iter().map(|(_, events, _)| events).sum::<u64>()), (LEAVES, 3_700));
    assert!(found.iter().filter(|(_, events, _)| *events == 2).count() == 100, "those with the most events stay");
}

proptest! {
    /// However the events of a boundary are divided among users tasks, and in whatever order these are heard.
    #[test]
    fn a_table_depends_on_the_events_of_its_boundaries_alone(
        boundaries in prop::collection::vec(
            prop::collection::vec((0i64..90 * MINUTE_MS, 0u64..40, 0u64..40, prop::option::of(0u32..30)), 0..500), 1..5),
        tasks in 1u32..4, last_first in any::<bool>(),
    ) {
        let (mut whole, mut parts) = (EventTable::default(), EventTable::default());
        for (at, events) in (0..).zip(boundaries) {
            let at_ms = NOW_MS + at * 10_000;
            let events: Vec<Event> = events.into_iter().map(|(ms, a, b, bad)| (at_ms - ms, a, b, bad)).collect();
            let of = |task: u32| {
                let own = events.iter().filter(|event| event.3.map_or(event.1 as u32, |user| user) % tasks == task);
                delta(&own.copied().collect::<Vec<_>>())
            };
            let mut deltas: Vec<EventNews> = (0..tasks).map(of).collect();
            if last_first {
                deltas.reverse();
            }
            whole.add(at_ms, &WINDOWS_MS, &[&delta(&events)]);
            parts.add(at_ms, &WINDOWS_MS, &deltas.iter().collect::<Vec<_>>());
        }
        prop_assert_eq!(&parts, &whole);
        let bytes = postcard::to_stdvec(&whole).expect("bytes");
        prop_assert_eq!(postcard::from_bytes::<EventTable>(&bytes).expect("a table"), whole);
    }
}
