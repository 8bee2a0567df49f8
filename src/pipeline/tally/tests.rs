//! A task with tallies sends the same partials as a task that walks over all rows at each step.

use crate::model::outcome::{Outcome, WEIGHT_ONE};
use crate::model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Ms};
use crate::operator::partial::Partial;
use crate::pipeline::alone::Alone;
use proptest::prelude::*;

const START_MS: Ms = 1_780_000_000_000 - 1_780_000_000_000 % DAY_MS;

fn task(walks: bool) -> Alone {
    let annotations = "user-windows: '10m,1h,2h,1d'
                       min-user-events: '2'
                       group-by: region";
    let mut alone = Alone::new(annotations, "28d", 2);
    let rows = &mut alone.task.slos[0];
    assert_eq!(rows.tallies.iter().map(|tally| tally.window).collect::<Vec<_>>(), [0, 1, 2]);
    if walks {
        rows.tallies.clear();
        rows.walked = 0b11111;
    }
    alone
}

fn take(alone: &mut Alone, event: &Event, at_ms: Ms) -> Partial {
    let (user, region) = (format!("u{}", event.user), format!("r{}", event.region));
    let outcome = Outcome {
        tenant: if event.user.is_multiple_of(2) { "acme".into() } else { "birch".into() },
        user: Some(user.as_str().into()),
        timestamp_ms: at_ms - event.late_ms,
        status: Some(if event.is_bad { 503 } else { 200 }),
        weight_micros: WEIGHT_ONE,
        attributes: std::iter::once(("region".into(), region.as_str().into())).collect(),
        ..Outcome::default()
    };
    alone.take(&outcome, at_ms)
}

#[derive(Clone, Debug)]
struct Event {
    user: u32,
    region: u32,
    is_bad: bool,
    late_ms: Ms,
    pause_ms: Ms,
    checkpoints: bool,
}

fn event() -> impl Strategy<Value = Event> {
    let pause = prop_oneof![8 => 0..40_000i64, 2 => 0..20 * MINUTE_MS, 1 => 0..3 * HOUR_MS];
    let late = prop_oneof![3 => Just(0i64), 1 => 0..59 * MINUTE_MS];
    (0..6u32, 0..4u32, prop::bool::weighted(0.15), late, pause, prop::bool::weighted(0.02)).prop_map(
        |(user, region, is_bad, late_ms, pause_ms, checkpoints)| Event {
            user,
            region,
            is_bad,
            late_ms,
            pause_ms,
            checkpoints,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn tallies_and_walks_give_the_same_partials(events in prop::collection::vec(event(), 1..250)) {
        let (mut counts, mut walks) = (task(false), task(true));
        let mut at_ms = START_MS;
        for event in &events {
            at_ms += event.pause_ms;
            prop_assert_eq!(take(&mut counts, event, at_ms), take(&mut walks, event, at_ms));
            if event.checkpoints {
                counts.checkpoint(1);
                walks.checkpoint(1);
            }
        }
        at_ms += 30 * HOUR_MS;
        prop_assert_eq!(counts.close(at_ms), walks.close(at_ms));
        let left = |of: &Alone| of.task.slos[0].tallies.iter().flat_map(|tally| tally.cells()).count();
        prop_assert_eq!(left(&counts), 0, "nobody is counted any more");
    }
}
