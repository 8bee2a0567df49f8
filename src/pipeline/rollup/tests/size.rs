//! What a key takes in memory where it is left alone, and what a boundary costs.

use super::heap::bytes_of;
use super::*;
use crate::model::time::HOUR_MS;
use crate::operator::partial::KeyDelta;
use crate::operator::partial::{Counts, PaneDelta};

/// A tenant with an event an hour, each hour with another latency, the sixth failing.
fn hourly(tenant: u64, hours: std::ops::Range<i64>) -> impl Iterator<Item = Event> {
    hours.map(move |hour| Event {
        time_ms: START_MS + hour * HOUR_MS,
        tenant,
        user: Some(tenant),
        status: Some(if hour % 6 == 5 { 500 } else { 200 }),
        latency_ms: 2.0 * (hour + 1) as f64,
        region: 0,
        tier: 0,
        weight: WEIGHT_ONE,
        // It fails in seven ways.
        any: hour as u64 % 42,
    })
}

/// A task that took the events, in order.
fn after(slos: &Arc<Vec<Slo>>, events: impl Iterator<Item = Event>) -> RollupTask {
    let settings =
        UsersSettings { out_of_orderness_ms: 5_000, groups_max: 1_000, tenants_max: 50_000, rollup_partitions: 1 };
    let mut users = UsersTask::new(Arc::clone(slos), 1, settings);
    let (mut task, mut out, mut partials) = (rollup(slos, 0, 1), Vec::new(), vec![Partial::default()]);
    let mut take = |users: &mut UsersTask, to_ms: Option<Ms>| {
        let Some(to_ms) = to_ms else { return };
        users.close_until(to_ms, &mut partials, &MemoryStore::default()).expect("closed");
        let next = Partial { from_ms: users.closed_ms(), ..Partial::default() };
        task.apply(0, std::mem::replace(&mut partials[0], next)).expect("in turn");
        task.advance(&mut out).expect("evaluated");
        out.clear();
    };
    for (offset, event) in (0..).zip(events) {
        users.apply(0, offset, &event.outcome());
        let to_ms = users.aligned_ms();
        take(&mut users, to_ms);
    }
    let to_ms = users.end_ms();
    take(&mut users, to_ms);
    task
}

/// The key with its text, as the task keeps both.
fn bytes(task: &mut RollupTask, key: &str) -> i64 {
    let (text, slot) = task.keys.remove_entry(key).expect("the key exists");
    task.due.retain(|(_, due)| **due != *text);
    task.dirty.iter_mut().for_each(|dirty| dirty.retain(|dirty| **dirty != *text));
    bytes_of((text, slot)) + (size_of::<Arc<str>>() + size_of::<KeySlot>()) as i64
}

/// A tenant with an event an hour for two days, then silence: its key is packed once nothing happens to
/// it, wakes at every full hour, and is packed again.
#[test]
fn a_quiet_key_is_packed_and_takes_less_than_a_kilobyte() {
    let events = hourly(0, 0..1).chain(hourly(1, 0..48)).chain(hourly(2, 60..61));
    let mut task = after(&slos(&[SPEED]), events);
    let packed = |key: &str| task.keys[key].packed_bytes();
    let (one_event, hourly) = (packed("speed|tenant|t0"), packed("speed|tenant|t1"));
    assert!(one_event.is_some_and(|bytes| bytes <= 600), "{one_event:?}");
    assert!(hourly.is_some_and(|bytes| bytes <= 1_500), "{hourly:?}");
    assert_eq!(packed("speed|tenant|t2"), None, "its event is in a window of a step a minute");
    let quiet = bytes(&mut task, "speed|tenant|t0");
    assert!(quiet <= 1_024, "{quiet}");
}

/// What becomes visible of tenants at a boundary: one event each.
fn one_each(at_ms: Ms, tenants: std::ops::Range<u32>) -> Partial {
    let delta = |tenant: u32| {
        let counts = Counts { events: 1, good: WEIGHT_ONE.into(), ..Counts::default() };
        let pane = PaneDelta { start_ms: at_ms - PANE_MS, counts, ..PaneDelta::default() };
        KeyDelta {
            panes: vec![pane],
            seen: vec![(at_ms - PANE_MS, 1)],
            ..KeyDelta::nothing(0, Scope::Tenant(format!("t{tenant:06}")))
        }
    };
    let boundary = BoundaryPartial { at_ms, deltas: tenants.map(delta).collect(), ..BoundaryPartial::default() };
    let from_ms = Some(at_ms - PANE_MS).filter(|from_ms| *from_ms > START_MS);
    Partial { from_ms, up_to_ms: at_ms, boundaries: vec![boundary], ..Partial::default() }
}

/// A task with so many tenants, two boundaries after an event of each.
fn with_tenants(tenants: u32) -> RollupTask {
    let (mut task, mut out) = (rollup(&slos(&[SPEED]), 0, 1), Vec::new());
    for (at_ms, tenants) in [(START_MS + PANE_MS, 0..tenants), (START_MS + 2 * PANE_MS, 0..0)] {
        task.apply(0, one_each(at_ms, tenants)).expect("in turn");
        task.advance(&mut out).expect("evaluated");
    }
    task
}

#[test]
fn only_keys_with_changes_take_a_step_at_a_boundary() {
    let mut task = with_tenants(1_000);
    let mut out = Vec::new();
    task.apply(0, one_each(START_MS + 3 * PANE_MS, 7..10)).expect("in turn");
    let mut steps = Vec::new();
    while let Some(key) = task.next_key().map(ToString::to_string) {
        steps.push(key);
        task.step_next(&mut out).expect("evaluated");
    }
    assert_eq!(steps, ["speed|tenant|t000007", "speed|tenant|t000008", "speed|tenant|t000009"]);
    task.advance(&mut out).expect("evaluated");
    assert_eq!(task.next_boundary(), Some(START_MS + 4 * PANE_MS), "they are looked at once more");
    assert_eq!(task.due.len(), 1_000, "each is due once");
}

/// For a look at what a boundary costs where little happens.
#[test]
#[ignore = "measures, and checks nothing"]
#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn what_a_boundary_of_100_000_keys_costs() {
    let mut task = with_tenants(100_000);
    let mut out = Vec::new();
    for boundary in 3..6 {
        let partial = one_each(START_MS + boundary * PANE_MS, 0..100);
        let begin = std::time::Instant::now();
        task.apply(0, partial).expect("in turn");
        task.advance(&mut out).expect("evaluated");
        println!("{} keys, 100 of them changed: {:?}", task.keys(), begin.elapsed());
    }
}

/// The default windows and rules.
const PLAIN: &str = "
apiVersion: openslo/v1
kind: SLO
metadata: {name: plain}
spec:
  service: checkout
  description: answers that are no errors
  indicator:
    metadata: {name: ok}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: tailburn, spec: {filter: 'status < 500'}}}
        total: {metricSource: {type: tailburn, spec: {filter: \"operation != 'ghost'\"}}}
  timeWindow: [{duration: 28d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: standard, target: 0.999}]
";

#[test]
fn a_key_with_an_event_an_hour_takes_less_than_four_kilobytes() {
    let mut later = hourly(2, 0..1).next().expect("an event");
    later.time_ms = START_MS + (28 * 24 - 1) * HOUR_MS + 2 * MINUTE_MS;
    let mut task = after(&slos(&[PLAIN]), hourly(1, 0..28 * 24).chain([later]));
    assert!(task.keys["plain|tenant|t1"].packed_bytes().is_some(), "it waits for the next minute");
    let busy = bytes(&mut task, "plain|tenant|t1");
    assert!(busy <= 4_096, "{busy}");
}
