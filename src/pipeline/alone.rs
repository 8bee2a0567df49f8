//! A users task on its own, for tests: outcomes go in, partials come out.

use super::key_ref::KEY_GROUPS;
use super::users::{UsersSettings, UsersTask};
use crate::model::outcome::Outcome;
use crate::model::time::{Ms, PANE_MS, floor_to};
use crate::operator::partial::Partial;
use crate::state::{Batch, MemoryStore, Store};
use std::sync::Arc;

/// One source, no disorder, all keys in one rollup partition.
pub struct Alone {
    pub task: UsersTask,
    pub store: MemoryStore,
}

impl Alone {
    /// A task with one SLO over `status < 500`, with these annotations, one per line.
    pub fn new(annotations: &str, compliance_window: &str, groups_max: usize) -> Alone {
        Alone::counting("filter: 'true'", annotations, compliance_window, groups_max)
    }

    /// The same, with the `spec` of what counts.
    pub fn counting(total: &str, annotations: &str, compliance_window: &str, groups_max: usize) -> Alone {
        let annotations: String =
            annotations.lines().map(|line| format!("    tailburn.dev/{}\n", line.trim())).collect();
        let slo = format!(
            "
apiVersion: openslo/v1
kind: SLO
metadata:
  name: checkout
  annotations:
{annotations}spec:
  service: checkout
  indicator:
    metadata: {{name: ok}}
    spec:
      ratioMetric:
        counter: true
        good: {{metricSource: {{type: tailburn, spec: {{filter: 'status < 500'}}}}}}
        total: {{metricSource: {{type: tailburn, spec: {{{total}}}}}}}
  timeWindow: [{{duration: {compliance_window}, isRolling: true}}]
  budgetingMethod: Occurrences
  objectives: [{{displayName: standard, target: 0.9}}]
"
        );
        let slos = crate::definition::parse(&[("slo.yaml".to_owned(), slo)]).expect("a definition").slos;
        let settings = UsersSettings { out_of_orderness_ms: 0, groups_max, tenants_max: 50_000, rollup_partitions: 1 };
        Alone { task: UsersTask::new(Arc::new(slos), 1, settings), store: MemoryStore::default() }
    }

    /// Takes an outcome, then closes all boundaries up to this time.
    pub fn take(&mut self, outcome: &Outcome<'_>, at_ms: Ms) -> Partial {
        self.task.apply(0, 0, outcome);
        self.close(at_ms)
    }

    pub fn close(&mut self, at_ms: Ms) -> Partial {
        let mut partials = [Partial::default()];
        self.task.close_until(floor_to(at_ms, PANE_MS), &mut partials, &self.store).expect("closed");
        let [partial] = partials;
        partial
    }

    /// Writes a checkpoint of everything, then evicts rows until `limit_bytes` is kept.
    pub fn checkpoint(&mut self, limit_bytes: u64) {
        let mut batch = Batch::default();
        (0..KEY_GROUPS).for_each(|group| self.task.save_group(group, &self.store, &mut batch).expect("saved"));
        self.store.write(&mut batch).expect("written");
        self.task.evict(limit_bytes);
    }
}
