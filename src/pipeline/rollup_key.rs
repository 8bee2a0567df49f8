//! A key of a rollup task, its definition, and the boundary at which it is.

use super::pseudonym::UserIds;
use super::stored::filters_of;
use crate::codec::output::Encoder;
use crate::model::key::{Scope, key_text};
use crate::model::record::partition_of;
use crate::model::slo::Slo;
use crate::model::time::Ms;
use crate::operator::key_definition::{Boundary, KeyIdentity, OpenCohort};
use crate::operator::key_state::KeyState;
use crate::operator::partial::{KeyDelta, KeyStep};
use crate::operator::window::{Layout, Starts};
use crate::state::keys;
use std::sync::Arc;

/// What the configuration says about outputs.
#[derive(Clone)]
pub struct RollupSettings {
    /// The partition of every output topic that this task writes.
    pub partition: u32,
    /// How many users tasks send partials; T waits for all of them.
    pub users_tasks: u32,
    pub status_interval_ms: Ms,
    pub tenant_status_interval_ms: Ms,
    pub user_ids: UserIds,
    pub encoder: Arc<Encoder>,
}

/// An SLO and the windows its keys have.
pub(super) struct Definition {
    pub slo: Slo,
    /// Its id in partials.
    pub id: u64,
    pub layout: Layout,
    pub starts: Starts,
    /// It has more groups than are remembered.
    pub groups_overflow: bool,
}

/// A key and its state.
#[derive(Clone)]
pub(super) struct RollupKey {
    /// Its definition.
    pub slo: usize,
    /// The definition that it was evaluated by so far, until its first boundary under the present one.
    pub former: Option<usize>,
    pub group: u16,
    pub identity: KeyIdentity,
    pub state: KeyState,
    /// Users that `user-status` now lists, ascending.
    pub listed_users: Vec<Box<str>>,
    /// The last boundary at which it was evaluated.
    pub at_ms: Ms,
    /// Nothing happens to it before this boundary, unless a partial brings news.
    pub due_ms: Ms,
}

/// Keys are checkpointed in so many ranges of virtual key groups.
pub const KEY_GROUPS: u16 = 16;

/// The virtual key group of a key. It follows from what chose the key's partition, as a key goes with its partition:
/// the groups of an SLO are where its aggregate is.
pub fn virtual_group(key_text: &str) -> u16 {
    let mut parts = key_text.split('|');
    let aggregate = match (parts.next(), parts.next()) {
        (Some(slo), Some("group")) => Some(self::key_text(slo, &Scope::Aggregate)),
        _ => None,
    };
    partition_of(aggregate.as_deref().unwrap_or(key_text).as_bytes(), u32::from(keys::KEY_GROUPS)) as u16
}

/// The range of key groups that a key is checkpointed with.
pub fn key_checkpoint_range(key_text: &str) -> u16 {
    keys::range_of(virtual_group(key_text), KEY_GROUPS)
}

/// The ids of definitions in partials: window state belongs to name and filters.
pub fn slo_ids(slos: &[Slo]) -> Vec<u64> {
    slos.iter().map(|slo| filters_of(slo).0).collect()
}

/// The news of one key at one boundary.
#[derive(Default)]
pub(super) struct Said {
    pub deltas: Vec<KeyDelta>,
    pub steps: Vec<KeyStep>,
    /// Of a group: the open cohorts of its SLO's aggregate.
    pub of_aggregate: Vec<OpenCohort>,
}

/// A boundary, as all keys of the task see it.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub at_ms: Ms,
    pub is_incomplete: bool,
    pub is_last: bool,
}

impl At {
    /// The boundary, as a key sees it.
    pub fn moments<'a>(&self, scope: &Scope, definition: &'a Definition, settings: &RollupSettings) -> Boundary<'a> {
        let is_tenant = matches!(scope, Scope::Tenant(_));
        Boundary {
            at_ms: self.at_ms,
            starts: &definition.starts,
            status_interval_ms: if is_tenant {
                settings.tenant_status_interval_ms
            } else {
                settings.status_interval_ms
            },
            is_incomplete: self.is_incomplete,
            is_last: self.is_last,
            groups_overflow: definition.groups_overflow,
            of_aggregate: &[],
        }
    }
}
