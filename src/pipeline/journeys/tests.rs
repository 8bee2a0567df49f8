//! Open attempts: order of arrival, what is kept, and what the store has of them.

use super::*;
use crate::model::outcome::{Outcome as Arrived, WEIGHT_ONE};
use crate::model::time::{MINUTE_MS, SECOND_MS};
use crate::pipeline::alone::Alone;
use crate::state::keys::{Kind, Prefix};

const START_MS: Ms = 1_780_000_000_000 - 1_780_000_000_000 % MINUTE_MS;

fn requests(annotations: &str) -> Alone {
    let total =
        "journey: {by: trace_id, timeout: 2m, within: 30s, steps: [{name: answer, filter: 'true', retries: 9}]}";
    Alone::counting(total, annotations, "1d", 10)
}

fn event<'a>(trace: &'a str, after_ms: Ms, status: i64, latency_ms: f64, error_type: &'static str) -> Arrived<'a> {
    Arrived {
        tenant: "acme".into(),
        user: Some("bot".into()),
        trace_id: Some(trace.into()),
        timestamp_ms: START_MS + after_ms,
        status: Some(status),
        latency_ms: Some(latency_ms),
        error_type: Some(error_type.into()),
        weight_micros: WEIGHT_ONE,
        ..Arrived::default()
    }
}

fn open(alone: &Alone) -> usize {
    alone.task.slos[0].open.as_ref().map_or(0, |open| open.of.len())
}

fn rows(alone: &Alone) -> usize {
    let filters = alone.task.slos[0].open.as_ref().expect("a journey").filters;
    let mut rows = 0;
    let count = &mut |key: &[u8], _: &[u8]| {
        rows += usize::from(matches!(Key::decode(key), Ok(Key::User { filters: of, .. }) if of == filters));
        std::ops::ControlFlow::Continue(())
    };
    alone.store.scan(&Prefix::Kind(Kind::User).to_bytes(), count).expect("scanned");
    rows
}

/// The first event decides when a request began, and in which group it counts.
#[test]
fn events_that_are_alike_but_for_their_latency_or_group_are_taken_in_one_order() {
    let told = |order: [usize; 2]| {
        let mut alone = requests("group-by: error_type");
        let failures = [event("a", 0, 503, 29_000.0, "slow"), event("a", 0, 503, 1_000.0, "quick")];
        order.iter().for_each(|at| alone.task.apply(0, 0, &failures[*at]));
        alone.task.apply(0, 0, &event("a", 5 * SECOND_MS, 200, 10.0, "none"));
        alone.close(START_MS + MINUTE_MS).boundaries
    };
    let (forth, back) = (told([0, 1]), told([1, 0]));
    let attempts = forth[0].deltas.iter().filter(|delta| delta.attempts.is_some());
    let groups: Vec<_> = attempts.map(|delta| format!("{:?}", delta.scope)).collect();
    assert!(groups.iter().any(|scope| scope.contains("quick")), "{groups:?}");
    assert_eq!(forth, back);
}

#[test]
fn what_is_over_is_forgotten_with_a_store_and_without_one() {
    let names: Vec<String> = (0..300).map(|number| format!("trace{number}")).collect();
    let begun = || {
        let mut alone = requests("user-windows: '10m,1h'");
        names.iter().for_each(|name| alone.task.apply(0, 0, &event(name, 0, 503, 5.0, "-")));
        alone.close(START_MS + MINUTE_MS);
        alone
    };
    let end = |alone: &mut Alone| {
        alone.task.apply(0, 0, &event("later", 3 * MINUTE_MS, 200, 5.0, "-"));
        alone.close(START_MS + 4 * MINUTE_MS);
    };
    let (mut alone, mut without) = (begun(), begun());
    assert_eq!(open(&alone), 300);
    end(&mut without);
    assert_eq!((open(&without), without.task.slos[0].open.as_ref().map(|open| open.changed.len())), (0, Some(0)));
    alone.checkpoint(u64::MAX);
    assert!((2..=256).contains(&rows(&alone)), "several rows for one user: {}", rows(&alone));
    end(&mut alone);
    assert_eq!(open(&alone), 300, "the store has them");
    alone.checkpoint(u64::MAX);
    assert_eq!((open(&alone), rows(&alone)), (0, 0));
}
