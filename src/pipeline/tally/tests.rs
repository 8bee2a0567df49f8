//! A task that counts says what one says that walks over all rows at each step.

use crate::model::outcome::{Outcome, WEIGHT_ONE};
use crate::model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Ms, PANE_MS};
use crate::operator::partial::Partial;
use crate::pipeline::users::{KEY_GROUPS, UsersSettings, UsersTask};
use crate::state::{Batch, MemoryStore, Store};
use proptest::prelude::*;
use std::sync::Arc;

const SLO: &str = "
apiVersion: openslo/v1
kind: SLO
metadata:
  name: checkout
  annotations:
    tailburn.dev/user-windows: '10m,1h,2h,1d'
    tailburn.dev/min-user-events: '2'
    tailburn.dev/group-by: region
spec:
  service: checkout
  indicator:
    metadata: {name: ok}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: tailburn, spec: {filter: 'status < 500'}}}
        total: {metricSource: {type: tailburn, spec: {filter: 'true'}}}
  timeWindow: [{duration: 28d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: standard, target: 0.9}]
";
const START_MS: Ms = 1_780_000_000_000 - 1_780_000_000_000 % DAY_MS;

/// A users task and its store.
struct Told {
    task: UsersTask,
    store: MemoryStore,
}

impl Told {
    fn new(walks: bool) -> Told {
        let slos = crate::definition::parse(&[("slo.yaml".to_owned(), SLO.to_owned())]).expect("a definition").slos;
        let settings =
            UsersSettings { out_of_orderness_ms: 0, groups_max: 2, tenants_max: 50_000, rollup_partitions: 1 };
        let mut task = UsersTask::new(Arc::new(slos), 1, settings);
        assert_eq!(task.slos[0].tallies.iter().map(|tally| tally.window).collect::<Vec<_>>(), [0, 1, 2]);
        if walks {
            task.slos[0].tallies.clear();
            task.slos[0].walked = 0b11111;
        }
        Told { task, store: MemoryStore::default() }
    }

    fn event(&mut self, event: &Event, at_ms: Ms) -> Partial {
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
        self.task.apply(0, 0, &outcome);
        self.close(at_ms)
    }

    fn close(&mut self, at_ms: Ms) -> Partial {
        let mut partials = [Partial::default()];
        self.task.close_until(at_ms - at_ms % PANE_MS, &mut partials, &self.store).expect("closed");
        let [partial] = partials;
        partial
    }

    /// Writes everything, and drops from memory what may be dropped.
    fn checkpoint(&mut self) {
        let mut batch = Batch::default();
        (0..KEY_GROUPS).for_each(|group| self.task.save_group(group, &self.store, &mut batch).expect("saved"));
        self.store.write(&mut batch).expect("written");
        self.task.evict(1);
    }
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
    fn counting_says_what_walking_says(events in prop::collection::vec(event(), 1..250)) {
        let (mut counts, mut walks) = (Told::new(false), Told::new(true));
        let mut at_ms = START_MS;
        for event in &events {
            at_ms += event.pause_ms;
            prop_assert_eq!(counts.event(event, at_ms), walks.event(event, at_ms));
            if event.checkpoints {
                counts.checkpoint();
                walks.checkpoint();
            }
        }
        at_ms += 30 * HOUR_MS;
        prop_assert_eq!(counts.close(at_ms), walks.close(at_ms));
        let left = |of: &Told| of.task.slos[0].tallies.iter().flat_map(|tally| tally.cells()).count();
        prop_assert_eq!(left(&counts), 0, "nobody is counted any more");
    }
}
